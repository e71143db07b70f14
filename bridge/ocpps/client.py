"""POSTs to the other party's service, on aiohttp: a Call goes out, what comes back is an answer, whatever it is.

Plain for tiny HTTP stacks: a Content-Length, no chunks, no Expect, no redirects followed, one connection per Call
unless configured otherwise (quirks 42 and 43).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from io import BytesIO
from ipaddress import ip_address
from typing import Protocol

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from bridge.dialects.dialect import Dialect
from bridge.dialects.versions import OCPP16
from bridge.errors import BridgeError, ErrorCode, FaultCode, MessageError, Unavailable
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import PLAIN, Manners
from bridge.ocpp.rpc import Call, CallError, CallResult, Unanswered
from bridge.ocpp.validation import refuse_losses
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Headers, Soap
from bridge.ocpps.wsdl import Service
from bridge.ocpps.xml import PLAIN_BOUNDS, Bounds

_CONNECT_TIMEOUT = 10.0


class Undelivered(Unavailable):
    """The Call certainly did not arrive: no connection was made."""


class Destination(Protocol):
    """Where to POST, and to which IP addresses its host may lead."""

    @property
    def url(self) -> str: ...

    def admits(self, address: str) -> bool: ...


class Posted(Struct, frozen=True, kw_only=True):
    """What came of a Call. `wrong_address`: who answered is not the Charge Point that was meant. `sent` and `received`
    are the envelopes, as far as they went over the wire."""

    answer: CallResult | CallError | Unanswered
    wrong_address: bool = False
    losses: Sequence[Loss] = ()
    sent: bytes = b""
    received: bytes = b""


class SoapClient:
    """Calls on one service, in the name of `sent_from` (the address where answers to come may be sent)."""

    def __init__(
        self,
        service: Service,
        dialect: Dialect = OCPP16,
        *,
        sent_from: str,
        mint: Callable[[], str],
        max_body: int,
        bounds: Bounds = PLAIN_BOUNDS,
    ) -> None:
        self._codec = Codec(service, dialect)
        self._sent_from = sent_from
        self._mint = mint
        self._max_body = max_body
        self._bounds = bounds
        # By whether every POST has a connection of its own.
        self._http: dict[bool, aiohttp.ClientSession] = {}

    @property
    def version(self) -> str:
        """The OCPP version that is spoken."""
        return self._codec.dialect.version

    async def start(self) -> None:
        """Must run inside the event loop that the calls will."""
        for per_call in (True, False):
            connector = aiohttp.TCPConnector(limit=0, force_close=per_call)
            self._http[per_call] = aiohttp.ClientSession(
                connector=connector, trust_env=False, skip_auto_headers=("User-Agent", "Accept"), auto_decompress=True
            )

    async def close(self) -> None:
        """Hang up."""
        for http in self._http.values():
            await http.close()

    def instead(self, call: Call, *, strict: bool) -> Posted | None:
        """What answers `call` in the place of a party whose OCPP version lacks it; None: it can be sent.

        An answer without a field only says "received". If that is not so, `strict` refuses instead.
        """
        stand_in = self._codec.dialect.instead(call.action, call.payload)
        if stand_in is None:
            return None
        if strict and not isinstance(stand_in.answer, MessageError) and not stand_in.answer.__struct_fields__:
            refusal = f"{stand_in.losses[0].reason} (refused: strict)"
            error = MessageError(ErrorCode.NotSupported, refusal)
            return Posted(answer=CallError.of(call.unique_id, error))
        if isinstance(stand_in.answer, MessageError):
            return Posted(answer=CallError.of(call.unique_id, stand_in.answer), losses=stand_in.losses)
        return Posted(answer=CallResult(unique_id=call.unique_id, payload=stand_in.answer), losses=stand_in.losses)

    async def call(
        self,
        to: Destination,
        identity: str,
        call: Call,
        *,
        within: float,
        strict: bool,
        manners: Manners = PLAIN,
        sent_from: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Posted:
        """Send `call` to `to` and give what came of it, in `within` seconds at most. `sent_from` is in the place of the
        client's own; `tls` is for https, None trusts the system's authorities.

        Raises Undelivered if it certainly did not arrive, and MessageError if SOAP cannot carry it (with `strict`: not
        without a loss).
        """
        body, losses = self._codec.write_call(call.payload, call.action, manners)
        if strict:
            refuse_losses(losses)
        operation = self._codec.service.operations[call.action]
        headers = Headers(
            action=operation.request_action,
            message_id=f"urn:uuid:{call.unique_id}",
            to=to.url,
            identity=(self._codec.service.namespace, identity),
            sent_from=sent_from or self._sent_from,
            must_understand=manners.must_understand,
        )
        content_type = f'{Soap.V12.content_type}; action="{operation.soap_action}"'
        data = soap.write(body, headers)
        try:
            async with asyncio.timeout(within):
                http = self._http[manners.connection_per_call]
                response = await self._post(http, to, data, content_type, tls)
        except TimeoutError:
            response = f"no response within {within:.0f} s"
        posted = self._posted(response, call, strict, losses, manners)
        received = b"" if isinstance(response, str) else response.body
        return msgspec.structs.replace(posted, sent=data, received=received)

    async def reachable(self, to: Destination) -> bool:
        """Whether a connection to `to` can be made."""
        try:
            url, _ = await _resolved(to)
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                _, writer = await asyncio.open_connection(url.host, url.port)
        except (OSError, TimeoutError, Undelivered):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _post(
        self,
        http: aiohttp.ClientSession,
        to: Destination,
        body: bytes,
        content_type: str,
        tls: ssl.SSLContext | None,
    ) -> _Response | str:
        """The response, or in plain words why there is none. Raises Undelivered."""
        url, host = await _resolved(to)
        try:
            request = http.post(
                url,
                data=BytesIO(body),  # of much text aiohttp wants no bytes
                headers={"Content-Type": content_type, "Host": host},
                # Connected to is an IP address, asked for and verified is the name.
                server_hostname=URL(to.url).raw_host if url.scheme == "https" else None,
                ssl=tls or True,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            )
            async with request as response:
                return await _read(response, self._max_body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise Undelivered(f"{to.url} cannot be reached: {_words(error)}") from error
        except (aiohttp.ClientError, ValueError) as error:
            return f"{to.url} hung up without a response: {_words(error)}"

    def _posted(
        self, response: _Response | str, call: Call, strict: bool, losses: Sequence[Loss], manners: Manners
    ) -> Posted:
        if isinstance(response, str):
            return Posted(answer=Unanswered(unique_id=call.unique_id, reason=response), losses=losses)
        try:
            opened = soap.read(response.body, self._bounds)
            answer = self._codec.read_answer(opened, call.action, call.unique_id, strict=strict, manners=manners)
        except MessageError as error:
            text = f"{response.described}: {error.description}"
            refusal = CallError.of(call.unique_id, BridgeError(ErrorCode.InternalError, text))
            return Posted(answer=refusal, losses=losses)
        return Posted(answer=answer, wrong_address=_is_mismatch(answer), losses=losses)


class _Response(Struct, frozen=True):
    status: int
    content_type: str
    body: bytes

    @property
    def described(self) -> str:
        """For a person who wonders what answered: an HTML login page is a favourite (quirk 23)."""
        head = " ".join(self.body[:200].decode("utf-8", "replace").split())[:120]
        return f"HTTP {self.status}, {self.content_type}, {head!r}"


async def _read(response: aiohttp.ClientResponse, max_body: int) -> _Response | str:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_body:
            return f"HTTP {response.status} with more than {max_body} bytes"
    return _Response(response.status, response.content_type, bytes(body))


def _is_mismatch(answer: CallResult | CallError) -> bool:
    """Subcodes are read in any letter case, as in the error table."""
    subcode = str(answer.details.get("soapSubcode", "")) if isinstance(answer, CallError) else ""
    return subcode.strip().lower() == FaultCode.IdentityMismatch.subcode.lower()


async def _resolved(to: Destination) -> tuple[URL, str]:
    """The URL with its host's name replaced by an IP address that may be connected to, and the Host header.

    Resolved here and nowhere else, so that what was checked is what is connected to. Raises Undelivered.
    """
    try:
        url = URL(to.url)
    except ValueError as error:
        raise Undelivered(f"{to.url} is no address: {error}") from error
    host = url.host or ""
    try:
        addresses = await _looked_up(host, url.port)
    except (OSError, UnicodeError) as error:
        raise Undelivered(f"{to.url} cannot be reached: {host}: {_words(error)}") from error
    admitted = next((address for address in addresses if to.admits(address)), None)
    if admitted is None:
        raise Undelivered(f"{to.url} leads to {addresses[0]}, which is not allowed for this Charge Point")
    return url.with_host(admitted), url.raw_authority.rpartition("@")[2]


async def _looked_up(host: str, port: int | None) -> list[str]:
    """The IP addresses of `host`. What is one needs no resolver, and no thread that waits for it."""
    with contextlib.suppress(ValueError):
        return [str(ip_address(host))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def _words(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
