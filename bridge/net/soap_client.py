"""The SOAP client: it POSTs a Call to the other party's service, and `verdicts` judges the response.

Requests are plain, for small HTTP stacks: they have a Content-Length, no chunks and no Expect. The client follows no
redirects, and opens one connection per Call unless configured otherwise (quirks 42 and 43).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Protocol

from msgspec import Struct
from yarl import URL

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.ocpp12 import OCPP12
from bridge.dialects.versions import OCPP16
from bridge.errors import ErrorCode, MessageError, Unavailable
from bridge.net.http_client import (
    ConnectFailed,
    Connection,
    ConnectionLost,
    Endpoint,
    HttpClient,
    HttpResponse,
    post_request,
)
from bridge.net.large import aside
from bridge.net.lookups import look_up
from bridge.net.verdicts import AnswerReading, Judgement, judge
from bridge.ocpp.device_profile import PLAIN, DeviceProfile
from bridge.ocpp.losses import Loss
from bridge.ocpp.message_size import is_large, takes_long
from bridge.ocpp.rpc import Call, CallError, CallResult, Failure, Unanswered
from bridge.ocpp.validation import AS_STRICT, refuse_losses
from bridge.ocpp.wire import Octets, Wires
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import EnvelopeFields, SoapVersion
from bridge.ocpps.wsdl import Service
from bridge.ocpps.xml import PLAIN_BOUNDS, XmlBounds

_MOST_UNRELATED = 10_000


class Undelivered(Unavailable):
    """The Call certainly did not arrive: no connection was made."""


class Destination(Protocol):
    """A URL to POST to, and the IP addresses that its host may resolve to."""

    @property
    def url(self) -> str: ...

    @property
    def told_by(self) -> str: ...

    def admits(self, address: str) -> bool: ...


class Posted(Struct, frozen=True, kw_only=True):
    """The outcome of a Call.

    Attributes:
        answer: The answer, or Unanswered for a link failure.
        wrong_address: Whether another Charge Point answered than the one that the Call was for.
        losses: What could not be written in the request.
        received: The envelope of the answer, b"" if there is none.
    """

    answer: CallResult | CallError | Unanswered
    wrong_address: bool = False
    losses: Sequence[Loss] = ()
    received: bytes = b""


class SoapClient:
    """A client of one service of the other party.

    Args:
        service: The service that is called.
        dialect: The OCPP version in which it is called.
        sent_from: The address in the From header of each request.
        mint: Returns a fresh UUID.
        max_body: The most octets of a response's body, before and after decompression.
        bounds: The limits on the XML of a response.
    """

    def __init__(
        self,
        service: Service,
        dialect: Dialect = OCPP16,
        *,
        sent_from: str,
        mint: Callable[[], str],
        max_body: int,
        bounds: XmlBounds = PLAIN_BOUNDS,
    ) -> None:
        self._codec = Codec(service, dialect)
        self._sent_from = sent_from
        self._mint = mint
        self._max_body = max_body
        self._bounds = bounds
        self._http = HttpClient(max_body=max_body)
        self._unrelated: dict[str, None] = {}  # the URLs of services whose RelatesTo named another message

    @property
    def version(self) -> str:
        """The OCPP version of the service."""
        return self._codec.dialect.version

    async def close(self) -> None:
        """Close all HTTP connections of this client."""
        await self._http.close()

    def instead(self, call: Call, *, strict: bool) -> Posted | None:
        """Return the bridge's own answer to a Call whose action the OCPP version of the other party lacks.

        Args:
            call: The Call.
            strict: Refuse the Call where the answer would have no fields: such an answer only says that the other
                party received the Call, which is not true.

        Returns:
            None if the Call can be sent.
        """
        if self._passes(call):
            return None
        stand_in = self._codec.dialect.instead(call.action, call.payload)
        if stand_in is None:
            return None
        if strict and not isinstance(stand_in.answer, MessageError) and not stand_in.answer.__struct_fields__:
            refusal = f"{stand_in.losses[0].reason} {AS_STRICT}"
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
        profile: DeviceProfile = PLAIN,
        sent_from: str | None = None,
        tls: ssl.SSLContext | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> Posted:
        """Send a Call and return its outcome.

        Args:
            to: The address of the other party.
            identity: The ChargeBoxIdentity in the Header.
            call: The Call, under its UniqueId of this hop.
            within: The most seconds until the response is complete.
            strict: Refuse a Call that cannot be written without a loss, and an answer that is not valid.
            profile: The settings for the Charge Point.
            sent_from: The address in the From header; None for that of the client.
            tls: The TLS settings for https; None trusts the system's certificate authorities.
            fields: The names and values of further header fields of the POST.

        Raises:
            Undelivered: The Call certainly did not arrive.
            MessageError: SOAP cannot carry the Call, or, with `strict`, not without a loss.
        """
        write = partial(self._codec.write_call, call.payload, call.action, profile, call.verbatim)
        body, losses = await aside(write) if is_large(call.payload) else write()
        if strict:
            refuse_losses(losses)
        operation = self._codec.service.operations[call.action]
        headers = EnvelopeFields(
            action=operation.request_action,
            message_id=f"urn:uuid:{call.unique_id}",
            to=to.url,
            identity=(self._codec.service.namespace, identity),
            sent_from=sent_from or self._sent_from,
            must_understand=profile.must_understand,
            prefix=profile.prefix,
        )
        content_type = f'{SoapVersion.V12.content_type}; action="{operation.soap_action}"'
        head = [("Content-Type", content_type), *fields]
        data = soap.write(body, headers)
        try:
            async with asyncio.timeout(within):
                judgement, received = await self._judged(to, data, head, call, strict, profile, tls)
        except TimeoutError:
            text = f"no response within {within:.0f} s"
            judgement, received = Judgement(answer=Unanswered(unique_id=call.unique_id, reason=text)), b""
        return Posted(
            answer=judgement.answer,
            wrong_address=judgement.wrong_address,
            losses=losses,
            received=received,
        )

    async def _judged(
        self,
        to: Destination,
        data: bytes,
        head: Sequence[tuple[str, str]],
        call: Call,
        strict: bool,
        profile: DeviceProfile,
        tls: ssl.SSLContext | None,
    ) -> tuple[Judgement, bytes]:
        """POST `data`. Return the verdict on the response, and the octets of its body. Raises Undelivered."""
        per_call = profile.connection_per_call or to.url in self._unrelated
        try:
            connection, response = await self._post(to, data, head, tls, per_call, call.wires)
        except ConnectionLost as error:
            text = f"{to.url} hung up without a response: {error}"
            failed = Unanswered(unique_id=call.unique_id, reason=text, failure=Failure.UNREACHABLE)
            return Judgement(answer=failed), b""
        reading = AnswerReading(
            codec=self._codec,
            bounds=self._bounds,
            strict=strict,
            profile=profile,
            message_id=f"urn:uuid:{call.unique_id}",
            carried=connection.carried,
            now=time.time(),
            known=self._known(),
            passes=self._passes(call),
        )
        keep = False
        try:
            read = partial(judge, response, call, reading)
            judgement = await aside(read) if takes_long(response.body) else read()
            keep = judgement.relates and not per_call
        finally:
            self._http.release(connection, keep=keep)
        if not judgement.relates:
            self._remember_unrelated(to.url)
        return judgement, response.body

    def _remember_unrelated(self, url: str) -> None:
        """Open a new connection for each later POST to `url`, whose RelatesTo named another message.

        On a connection that is kept, the client could not tell a late answer to an earlier request from the answer to
        the next request.
        """
        self._unrelated.pop(url, None)
        self._unrelated[url] = None
        if len(self._unrelated) > _MOST_UNRELATED:
            del self._unrelated[next(iter(self._unrelated))]

    async def _post(
        self,
        to: Destination,
        request: bytes,
        head: Sequence[tuple[str, str]],
        tls: ssl.SSLContext | None,
        per_call: bool,
        wires: Wires | None,
    ) -> tuple[Connection, HttpResponse]:
        """Send `request` with the header fields `head`, add it to `wires`, and wait for the response.

        The caller releases the connection.

        Raises Undelivered if no connection was made, and ConnectionLost if the connection ended without a response.
        """
        url, host, endpoint = await endpoint_of(to, tls)
        headers = [("Host", host), *head]
        if url.user is not None:
            credentials = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
            headers.append(("Authorization", f"Basic {credentials}"))
        if per_call:
            headers.append(("Connection", "close"))
        try:
            connection = await self._http.connect(endpoint, fresh=per_call)
        except ConnectFailed as error:
            raise Undelivered(f"{to.url} cannot be reached: {error}") from error
        if wires is not None:
            wires.sent = Octets("soap", time.time(), request)
        return connection, await connection.post(post_request(url.raw_path_qs, headers, request))

    async def reachable(self, to: Destination, tls: ssl.SSLContext | None) -> bool:
        """Open a connection to `to` and close it. Return whether that was possible."""
        try:
            _, _, endpoint = await endpoint_of(to, tls)
            self._http.release(await self._http.connect(endpoint, fresh=True), keep=False)
        except (Undelivered, ConnectFailed):
            return False
        return True

    def _passes(self, call: Call) -> bool:
        """Return whether `call` came in the OCPP version of this service. Its body and its answer pass unchanged."""
        return call.verbatim is not None and call.verbatim.version == self.version

    def _known(self) -> Known | None:
        """Return the values that an answer of OCPP 1.2 may leave out: the current time (rule 103)."""
        if self.version != OCPP12.version:
            return None
        return Known(now=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))


async def endpoint_of(to: Destination, tls: ssl.SSLContext | None) -> tuple[URL, str, Endpoint]:
    """Return the endpoint to connect to for the URL of `to`.

    Args:
        to: The URL, and the IP addresses that its host may resolve to.
        tls: The TLS settings for https; None trusts the system's certificate authorities.

    Returns:
        The URL with an IP address for its host, the Host header, and the endpoint.

    Raises:
        Undelivered: The host has no IP address, or none that is allowed.
    """
    url, host = await _resolved(to)
    assert url.host is not None
    assert url.port is not None
    secure = url.scheme == "https"
    endpoint = Endpoint(
        host=url.host,
        port=url.port,
        tls=(tls or _system_tls()) if secure else None,
        # The client connects to an IP address. It asks for the certificate of the host's name, and verifies the name.
        server_hostname=URL(to.url).raw_host if secure else None,
    )
    return url, host, endpoint


@cache
def _system_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _resolved(to: Destination) -> tuple[URL, str]:
    """Return the URL with an allowed IP address for its host, and the value of the Host header. Raises Undelivered.

    Only this function resolves the host: the client connects to the IP address that was checked.
    """
    try:
        url = URL(to.url)
    except ValueError as error:
        raise Undelivered(f"{to.url} is no address: {error}") from error
    host = url.host or ""
    try:
        addresses = await look_up(host, url.port, to.told_by)
    except (OSError, UnicodeError) as error:
        raise Undelivered(f"{to.url} cannot be reached: {host}: {_words(error)}") from error
    admitted = next((address for address in addresses if to.admits(address)), None)
    if admitted is None:
        raise Undelivered(f"{to.url} leads to {addresses[0]}, which is not allowed for this Charge Point")
    return url.with_host(admitted), url.raw_authority.rpartition("@")[2]


def _words(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
