"""The OCPP-S listener: HTTP to envelopes and back, on aiohttp. Decides nothing about a message.

A Door is an address where a service is found. What knocks at the wrong one is told, in plain words, where to go.
"""

from __future__ import annotations

import asyncio
import html
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import unquote

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from bridge import logs
from bridge.certificates import names_of
from bridge.dialects.known import Known
from bridge.errors import BridgeError, ErrorCode, MessageError, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import PLAIN, Boot, Manners
from bridge.ocpp.rpc import Answer, Call
from bridge.ocpp.wire import Kind, Tap, Wire
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import boot_of
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.service import Exchange, Reply, SoapService
from bridge.ocpps.xml import local_name, namespace

_log = logging.getLogger("bridge.ocpps")
# Above this size a response is compressed, for who accepts it (OCPP-S 1.6 section 6.1: peers support gzip and deflate).
_WORTH_COMPRESSING = 4096


class Arrival(Struct, frozen=True, kw_only=True):
    """Who sends a message, and from where. `peer` is the IP address of the connection; `boot` what a BootNotification
    says of its sender; `listener` the name of the one that it came through; `certificate` the names in the certificate
    that was shown, None if none was."""

    identity: str
    peer: str
    version: str
    addressing: Addressing
    boot: Boot | None = None
    listener: str = ""
    certificate: tuple[str, ...] | None = None


class Admission(Struct, frozen=True, kw_only=True):
    """How a message that is let in is read, and what answers its Call."""

    unique_id: str
    strict: bool
    known: Known | None = None
    manners: Manners = PLAIN
    handle: Callable[[Call], Awaitable[Answer]]
    # Told what writing the answer cost, and told of a message that was refused before it became a Call.
    lost: Callable[[Sequence[Loss]], None]
    # Told of the envelopes, if anybody wants to know.
    tap: Tap | None = None


Receive = Callable[[Arrival], Admission]
# identity, peer, why, the MessageID, who sent it, and what came.
Refused = Callable[[str | None, str, BridgeError, str | None, Party, bytes], None]


class Door(Struct, frozen=True, kw_only=True):
    """One service of ours, its address, and who calls it. `services` by version; `receive` raises BridgeError for
    whom it turns away."""

    path: str
    caller: Party
    services: Mapping[str, SoapService]
    receive: Receive


class SoapServer:
    """The listener. `public_url` is its address as others see it, `elsewhere` what to tell a WebSocket that knocks.

    `refused` is told of every message that was turned away before its Call was handled; `admits` says whether an IP
    address may use this listener.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        *,
        public_url: str,
        elsewhere: str,
        max_body: int,
        body_timeout: float,
        refused: Refused,
        name: str = "soap",
        admits: Callable[[str], bool] = lambda peer: True,
    ) -> None:
        self._name = name
        self._admits = admits
        self._doors = {door.path.lower(): door for door in doors}
        self._public_url = public_url.rstrip("/")
        self._elsewhere = elsewhere
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._refused = refused
        self._runner: web.AppRunner | None = None
        self.address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        application = web.Application(client_max_size=self._max_body)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        self.address = self._runner.addresses[0][:2]

    async def close(self) -> None:
        """Stop listening; hang up on who is still there."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.rstrip("/")  # not decoded: an identity may hold a slash
        door, tail = self._find(path)
        if not self._admits(request.remote or ""):
            return self._turn_away(request, door)
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return self._wrong_door(request, 426, "This is the OCPP-S (SOAP) port.", {"Upgrade": "HTTP/1.1"})
        version, tail = _version_of(door, tail)
        if request.method == "GET" and door is not None and not tail:
            return self._describe(request, door, version)
        if request.method == "POST" and door is not None:
            return await self._post(request, door, version, tail)
        if request.method == "GET" and path.lower() == "/services":
            return web.Response(text=self._index(), content_type="text/html")
        if door is not None:
            return self._wrong_door(request, 405, f"{request.method} is no use here.", {"Allow": "GET, POST"})
        return self._wrong_door(request, 404, f"Nothing is served at {request.path[:200]}.", {})

    def _find(self, path: str) -> tuple[Door | None, str]:
        """The Door at `path`, and what follows its address there. Letter case is forgiven: some devices change it."""
        for known, door in self._doors.items():
            if path.lower() == known or path.lower().startswith(f"{known}/"):
                return door, path[len(known) + 1 :]
        return None, ""

    def _turn_away(self, request: web.Request, door: Door | None) -> web.Response:
        """A stranger is told nothing."""
        error = BridgeError(ErrorCode.SecurityError, "this listener is not for its network", why=Why.WRONG_ADDRESS)
        caller = Party.CHARGE_POINT if door is None else door.caller
        self._refused(None, request.remote or "", error, None, caller, b"")
        response = web.Response(status=403, text="This listener is not for your network.\n")
        response.force_close()
        return response

    # Help for people.

    def _wrong_door(self, request: web.Request, status: int, why: str, headers: dict[str, str]) -> web.Response:
        where = {"peer": request.remote, "method": request.method, "path": request.path, "status": status}
        logs.fields(_log, logging.INFO, "wrong door", **where)
        lines = [why, "", *(f"SOAP Charge Points (OCPP-S): POST {self._url(door)}" for door in self._doors.values())]
        lines.append(f"JSON Charge Points (OCPP-J): {self._elsewhere}")
        return web.Response(status=status, text="\n".join(lines) + "\n", headers=headers)

    def _url(self, door: Door) -> str:
        return self._public_url + door.path

    def _index(self) -> str:
        rows = "".join(
            f"<li>{html.escape(name)} {html.escape(version)}: <code>{html.escape(self._url(door))}</code> "
            f'(<a href="{html.escape(door.path)}?wsdl&amp;version={html.escape(version)}">WSDL</a>)</li>'
            for door in self._doors.values()
            for version, service in door.services.items()
            for name in (service.service.name,)
        )
        return (
            "<!doctype html><meta charset=utf-8><title>ocpp-bridge</title><h1>ocpp-bridge</h1>"
            f"<p>Addresses to type into a Charge Point:</p><ul>{rows}"
            f"<li>OCPP-J: <code>{html.escape(self._elsewhere)}</code></li></ul>"
        )

    def _describe(self, request: web.Request, door: Door, version: str) -> web.Response:
        if "wsdl" not in {name.lower() for name in request.query}:
            text = "A SOAP service takes POST; its description is at ?wsdl."
            return self._wrong_door(request, 405, text, {"Allow": "POST"})
        address = self._url(door) + (f"/{version}" if version else "")
        version = request.query.get("version", version or next(iter(door.services)))
        service = door.services.get(version)
        if service is None:
            known = ", ".join(door.services)
            return self._wrong_door(request, 404, f"There is no version {version[:20]} here, but {known}.", {})
        return web.Response(body=service.service.describe(address), content_type="text/xml", charset="utf-8")

    # Messages.

    async def _post(self, request: web.Request, door: Door, version: str, tail: str) -> web.Response:
        peer, data = request.remote or "", b""
        try:
            data = await self._body(request)
            opened = soap.read(data)
        except BridgeError as error:
            return self._refuse(request, door, _unreadable(), None, error, data)
        if version and version not in _versions_of(door, opened):
            logs.fields(_log, logging.INFO, "another version than the address says", peer=peer, path=request.path)
        return await self._message(request, door, opened, _identity(opened, tail), data)

    async def _message(
        self, request: web.Request, door: Door, opened: Envelope, identity: str | None, data: bytes
    ) -> web.Response:
        peer = request.remote or ""
        try:
            version, service = _service_of(door, opened)
            if identity is None:
                raise MessageError(ErrorCode.ProtocolError, "no chargeBoxIdentity in the Header")
            _check_identity(identity)
            boot = boot_of(opened.body)
            admission = door.receive(
                Arrival(
                    identity=identity,
                    peer=peer,
                    version=version,
                    addressing=opened.addressing,
                    boot=boot,
                    listener=self._name,
                    certificate=_shown(request),
                )
            )
        except BridgeError as error:
            return self._refuse(request, door, opened, identity, error, data)
        except Exception:
            _log.exception("a message could not be let in")
            failure = BridgeError(ErrorCode.InternalError, "the bridge failed; its log says why")
            return self._refuse(request, door, opened, identity, failure, data)
        exchange = Exchange(
            opened, admission.unique_id, admission.strict, admission.handle, admission.known, admission.manners
        )
        if opened.soap is soap.Soap.V11 and not admission.manners.answers_soap11:
            reply = service.mismatch(exchange)
            spoken = BridgeError(ErrorCode.ProtocolError, "SOAP 1.1, which the route refuses")
            self._refused(identity, peer, spoken, exchange.unique_id, door.caller, data)
            return _response(request, reply)
        _tapped(admission, exchange, data)
        reply = await service.answer(exchange)
        _tapped(admission, exchange, reply)
        if reply.losses:
            admission.lost(reply.losses)
        if exchange.refusal is not None:
            self._refused(identity, peer, exchange.refusal, exchange.unique_id, door.caller, data)
        return _response(request, reply)

    def _refuse(
        self,
        request: web.Request,
        door: Door,
        opened: Envelope,
        identity: str | None,
        error: BridgeError,
        data: bytes,
    ) -> web.Response:
        unique_id = opened.addressing.message_id
        self._refused(identity, request.remote or "", error, unique_id, door.caller, data)
        version = next(iter([*_versions_of(door, opened), *door.services]))
        reply = door.services[version].refuse(Exchange(opened, "", False, _never), error)
        response = _response(request, reply)
        if not request.content.is_eof() or request.content.exception() is not None:
            response.force_close()
        return response

    async def _body(self, request: web.Request) -> bytes:
        """The body, inflated if it was compressed, and never more than `max_body` bytes of it. Raises MessageError."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self._max_body:
                        raise MessageError(ErrorCode.FormationViolation, f"more than {self._max_body} bytes")
        except TimeoutError:
            text = f"the body did not arrive within {self._body_timeout:g} s"
            raise MessageError(ErrorCode.FormationViolation, text) from None
        except ConnectionError as error:
            raise MessageError(ErrorCode.FormationViolation, "the sender hung up in the middle of the body") from error
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError) as error:
            # Nothing can follow. aiohttp would look for more all the same, and log a traceback.
            request.content.feed_eof()
            raise MessageError(ErrorCode.FormationViolation, f"the body cannot be read: {error}") from error
        return bytes(body)


def _tapped(admission: Admission, exchange: Exchange, data: bytes | Reply) -> None:
    if admission.tap is None:
        return
    kind: Kind = "call" if isinstance(data, bytes) else "result" if data.error is None else "error"
    wire = Wire(
        inbound=kind == "call",
        transport="soap",
        kind=kind,
        unique_id=exchange.unique_id,
        action=None if exchange.call is None else exchange.call.action,
        data=data if isinstance(data, bytes) else data.body,
    )
    admission.tap(wire)


def _shown(request: web.Request) -> tuple[str, ...] | None:
    """The names in the certificate that the sender showed."""
    return None if request.transport is None else names_of(request.transport.get_extra_info("peercert"))


async def _never(call: Call) -> Answer:
    raise AssertionError("a refused message has no Call")


def _unreadable() -> Envelope:
    """What stands in for an envelope that could not be opened: enough to answer it."""
    return Envelope(soap=soap.Soap.V12, identity=None, addressing=Addressing(), body=soap.nothing())


def _identity(opened: Envelope, tail: str) -> str | None:
    """The ChargeBoxIdentity: the header's, else the last segment of the URL, decoded once (rule 2)."""
    return opened.identity or unquote(tail.rpartition("/")[2]) or None


def _check_identity(identity: str) -> None:
    if len(identity) > 255 or not identity.isprintable():
        text = "a chargeBoxIdentity has at most 255 characters, none of them a control character"
        raise MessageError(ErrorCode.ProtocolError, text)


def _version_of(door: Door | None, tail: str) -> tuple[str, str]:
    """The version that the address names behind the Door's, and what follows it. The Body decides, not the address."""
    first, _, rest = tail.partition("/")
    return (first, rest) if door is not None and first in door.services else ("", tail)


def _versions_of(door: Door, opened: Envelope) -> list[str]:
    """The version that the Body's namespace decides; its trailing slash and letter case are forgiven (quirk 17)."""
    spoken = namespace(opened.body).rstrip("/").lower()
    return [name for name, served in door.services.items() if spoken == served.service.namespace.rstrip("/").lower()]


def _service_of(door: Door, opened: Envelope) -> tuple[str, SoapService]:
    for version in _versions_of(door, opened):
        return version, door.services[version]
    spoken = namespace(opened.body)
    text = f"<{local_name(opened.body)}> is of the namespace {spoken!r}, which is not served at {door.path}"
    raise MessageError(ErrorCode.NotSupported, text)


def _response(request: web.Request, reply: Reply) -> web.Response:
    content_type = {"Content-Type": reply.content_type}
    response = web.Response(status=reply.status, body=reply.body, headers=content_type)
    if request.headers.get("Content-Encoding") or len(reply.body) >= _WORTH_COMPRESSING:
        response.enable_compression()  # if the request's Accept-Encoding allows it
    return response
