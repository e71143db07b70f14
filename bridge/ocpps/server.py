"""The OCPP-S listener: HTTP to envelopes and back, on aiohttp. Decides nothing about a message.

A Door is an address where a service is found. What knocks at the wrong one is told, in plain words, where to go.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from aiohttp import web

from bridge import identity as identities
from bridge import logs, paths
from bridge.certificates import names_of
from bridge.errors import AccessDenied, BridgeError, ErrorCode, MessageError, Unavailable, Why
from bridge.limits.guard import House, Rules
from bridge.limits.turnstile import Turnstile
from bridge.ocpp.actions import Party
from bridge.ocpp.wire import Kind, Wire
from bridge.ocpps import envelope as soap
from bridge.ocpps.bodies import read_body
from bridge.ocpps.busy import Busy
from bridge.ocpps.codec import boot_of
from bridge.ocpps.connections import Connection, listen
from bridge.ocpps.directions import Directions
from bridge.ocpps.door import Admission, Arrival, Door, Refused
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import Exchange
from bridge.ocpps.xml import PLAIN_BOUNDS, Bounds

_log = logging.getLogger("bridge.ocpps")
# Seconds for responses under way when the listener closes.
_LAST_WORDS = 0.5
# Above this size a response is compressed, for who accepts it (OCPP-S 1.6 section 6.1: peers support gzip and deflate).
_WORTH_COMPRESSING = 4096


class SoapServer:
    """The listener. `public_url` is its address as others see it, `elsewhere` what to tell a WebSocket that knocks.

    `refused` is told of every message that was turned away before its Call was handled; `admits` says whether an IP
    address may use this listener. `most_waiting` requests may wait until there is time to read them.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        *,
        public_url: str,
        elsewhere: str,
        max_body: int,
        body_timeout: float,
        idle_timeout: float = 75.0,
        bounds: Bounds = PLAIN_BOUNDS,
        rules: Rules = Rules(),  # noqa: B008  frozen
        most_waiting: int = 1000,
        refused: Refused,
        name: str = "soap",
        admits: Callable[[str], bool] = lambda peer: True,
    ) -> None:
        self._name = name
        self._admits = admits
        self._doors = {door.path.lower(): door for door in doors}
        self._directions = Directions(doors, public_url, elsewhere)
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._refused = refused
        self._house = House(rules, self._hung_up)
        self._turnstile = Turnstile(_in_next_turn, most=most_waiting)
        self._busy = Busy(doors, self._turnstile.full)
        self._idle_timeout = idle_timeout
        self._bounds = bounds
        self._manager: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self.address: tuple[str, int] = ("", 0)

    @property
    def listening(self) -> bool:
        """Whether somebody can knock."""
        return self._listening is not None and self._listening.is_serving()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        self._manager = web.Server(self._serve)
        self._listening = await listen(
            self._manager, self._house, self._turnstile, self._busy, host, port, tls, self._idle_timeout
        )
        self.address = self._listening.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening; hang up on who is still there."""
        if self._listening is not None:
            self._listening.close()
        self._turnstile.close()
        if self._manager is not None:
            await self._manager.shutdown(_LAST_WORDS)

    def _hung_up(self, peer: str, status: int, text: str, why: Why) -> None:
        code = ErrorCode.InternalError if why is Why.BUSY else ErrorCode.FormationViolation
        error = BridgeError(code, f"HTTP {status}: {text}", why=why)
        self._refused(None, peer, error, None, Party.CHARGE_POINT, b"")

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._answer(request)
        if not request.content.is_eof():  # nothing that follows on this connection could be told from the rest of it
            response.force_close()
        elif isinstance(request.protocol, Connection):
            request.protocol.answered()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path.rstrip("/")  # not decoded: an identity may hold a slash
        door, tail = self._find(path)
        if not self._admits(request.remote or ""):
            return self._turn_away(request, door)
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return self._wrong_door(request, 426, "This is the OCPP-S (SOAP) port.", {"Upgrade": "HTTP/1.1"})
        version, tail = ("", tail) if door is None else door.version_in(tail)
        if request.method == "GET" and door is not None and not tail:
            return self._describe(request, door, version)
        if request.method == "POST" and door is not None:
            return await self._post(request, door, version, tail)
        if request.method == "GET" and path.lower() == "/services":
            return web.Response(text=self._directions.page(), content_type="text/html")
        if door is not None:
            return self._wrong_door(request, 405, f"{request.method} is no use here.", {"Allow": "GET, POST"})
        return self._wrong_door(request, 404, f"Nothing is served at {self._path_of(request)}.", {})

    def _find(self, path: str) -> tuple[Door | None, str]:
        """The Door at `path`, and what follows its address there. Letter case is forgiven: some devices change it."""
        lower = path.lower()
        for known, door in self._doors.items():
            if lower == known or lower.startswith(f"{known}/"):
                return door, path[len(known) + 1 :]
        return None, ""

    def _turn_away(self, request: web.BaseRequest, door: Door | None) -> web.Response:
        """A stranger is told nothing."""
        error = BridgeError(ErrorCode.SecurityError, "this listener is not for its network", why=Why.WRONG_ADDRESS)
        caller = Party.CHARGE_POINT if door is None else door.caller
        self._refused(None, request.remote or "", error, None, caller, b"")
        response = web.Response(status=403, text="This listener is not for your network.\n")
        response.force_close()
        return response

    # Help for people.

    def _wrong_door(self, request: web.BaseRequest, status: int, why: str, headers: dict[str, str]) -> web.Response:
        said = f"wrong door: {request.method[:20]} {self._path_of(request)}, HTTP {status}"
        caller = next(iter(self._doors.values())).caller
        error = BridgeError(ErrorCode.NotSupported, said, why=Why.WRONG_DOOR)
        self._refused(None, request.remote or "", error, None, caller, b"")
        return web.Response(status=status, text=self._directions.text(why), headers=headers)

    def _path_of(self, request: web.BaseRequest) -> str:
        """As it may be shown."""
        return paths.shown(request.path, [word for path in self._doors for word in path.split("/")])

    def _describe(self, request: web.BaseRequest, door: Door, version: str) -> web.Response:
        if "wsdl" not in {name.lower() for name in request.query}:
            text = "A SOAP service takes POST; its description is at ?wsdl."
            return self._wrong_door(request, 405, text, {"Allow": "POST"})
        address = self._directions.url(door) + (f"/{version}" if version else "")
        version = request.query.get("version", version or next(iter(door.services)))
        service = door.services.get(version)
        if service is None:
            known = ", ".join(door.services)
            return self._wrong_door(request, 404, f"There is no version {version[:20]} here, but {known}.", {})
        return web.Response(body=service.service.describe(address), content_type="text/xml", charset="utf-8")

    # Messages.

    async def _post(self, request: web.BaseRequest, door: Door, version: str, tail: str) -> web.Response:
        peer, data = request.remote or "", b""
        try:
            data = await read_body(request, self._max_body, self._body_timeout)
            opened = soap.read(data, self._bounds)
        except BridgeError as error:
            return self._refuse(request, door, _unreadable(), None, error, data)
        if version and version not in door.versions_of(opened):
            path = self._path_of(request)
            logs.fields(_log, logging.INFO, "another version than the address says", peer=peer, path=path)
        return await self._message(request, door, opened, tail, data)

    async def _message(
        self, request: web.BaseRequest, door: Door, opened: Envelope, tail: str, data: bytes
    ) -> web.Response:
        peer, identity = request.remote or "", None
        try:
            version, service = door.service_of(opened)
            path = tuple(_segment(part) for part in tail.split("/") if part)
            identity = opened.identity or (path[-1] if path else None)
            identity = _identity(identity)
            boot = boot_of(opened.body)
            admission = await door.receive(
                Arrival(
                    identity=identity,
                    peer=peer,
                    version=version,
                    addressing=opened.addressing,
                    boot=boot,
                    listener=self._name,
                    address=self._directions.url(door),
                    certificate=_shown(request),
                    authorization=_authorization(request),
                    path=path,
                    in_header=bool(opened.identity),
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
        response = _response(request, reply)
        if admission.manners.close_after_answer:
            response.force_close()
        return response

    def _refuse(
        self,
        request: web.BaseRequest,
        door: Door,
        opened: Envelope,
        identity: str | None,
        error: BridgeError,
        data: bytes,
    ) -> web.Response:
        unique_id = opened.addressing.message_id
        if isinstance(error, AccessDenied) and error.hides_identity:
            identity = None
        self._refused(identity, request.remote or "", error, unique_id, door.caller, data)
        response = _response(request, door.refuse(opened, error))
        if request.content.exception() is not None:
            response.force_close()
        if isinstance(error, AccessDenied):
            response.set_status(error.status)
            response.headers.update(error.headers)
        if isinstance(error, Unavailable) and error.retry_after is not None:
            response.headers["Retry-After"] = str(math.ceil(error.retry_after))
        return response


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


def _in_next_turn(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(do)


def _authorization(request: web.BaseRequest) -> str | None:
    """Raises AccessDenied: of two it cannot be known which is meant."""
    shown = request.headers.getall("Authorization", [])
    if len(shown) > 1:
        raise AccessDenied(400, "one Authorization header is enough", Why.MALFORMED)
    return shown[0] if shown else None


def _shown(request: web.BaseRequest) -> tuple[str, ...] | None:
    """The names in the certificate that the sender showed."""
    return None if request.transport is None else names_of(request.transport.get_extra_info("peercert"))


def _unreadable() -> Envelope:
    """What stands in for an envelope that could not be opened: enough to answer it."""
    return Envelope(soap=soap.Soap.V12, identity=None, addressing=Addressing(), body=soap.nothing())


def _segment(text: str) -> str:
    """A segment of the URL, decoded once: an identity, or what is as printable as one. Raises MessageError."""
    try:
        return _identity(unquote(text, errors="strict"))
    except UnicodeDecodeError:
        raise MessageError(ErrorCode.ProtocolError, "the identity in the address is not UTF-8") from None


def _identity(text: str | None) -> str:
    """The ChargeBoxIdentity as it is kept. Raises MessageError."""
    if text is None:
        raise MessageError(ErrorCode.ProtocolError, "no chargeBoxIdentity in the Header")
    try:
        return identities.read(text)
    except ValueError as error:
        raise MessageError(ErrorCode.ProtocolError, f"chargeBoxIdentity: {error}") from None


def _response(request: web.BaseRequest, reply: Reply) -> web.Response:
    content_type = {"Content-Type": reply.content_type}
    response = web.Response(status=reply.status, body=reply.body, headers=content_type)
    if request.headers.get("Content-Encoding") or len(reply.body) >= _WORTH_COMPRESSING:
        response.enable_compression()  # if the request's Accept-Encoding allows it
    return response
