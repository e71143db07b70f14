"""The OCPP-S listener: HTTP to envelopes and back, on aiohttp. Decides nothing about a message.

A Door is an address where a service is found. What knocks at the wrong one is told, in plain words, where to go.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import ssl
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from msgspec.structs import replace

from bridge import identity as identities
from bridge import logs, paths
from bridge.errors import AccessDenied, BridgeError, ErrorCode, MessageError, Unavailable, Why
from bridge.limits.guard import House, Rules
from bridge.limits.sums import Sums
from bridge.limits.turnstile import Turnstile
from bridge.listening import accept_no_more
from bridge.ocpp.actions import Party
from bridge.ocpp.wire import SEEN, Kind
from bridge.ocpps import envelope as soap
from bridge.ocpps.bodies import read_body
from bridge.ocpps.busy import Busy
from bridge.ocpps.codec import boot_of
from bridge.ocpps.connections import Connection, listen
from bridge.ocpps.directions import Directions
from bridge.ocpps.door import Admission, Arrival, Door, Refused
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.posts import Post, Respond
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import Exchange, SoapService
from bridge.ocpps.xml import PLAIN_BOUNDS, Bounds
from bridge.tasks import Tasks

_log = logging.getLogger("bridge.ocpps")
# Seconds for responses under way when the listener closes.
_LAST_WORDS = 0.5
# Seconds after which it is told who was turned away unread.
_SOON = 0.1
# The IP address, why, and how often.
TurnedAway = Callable[[str, BridgeError, int], None]
# Above this size a response is compressed, for who accepts it (OCPP-S 1.6 section 6.1: peers support gzip and deflate).
_WORTH_COMPRESSING = 4096
# Paths whose meaning is at hand: each Charge Point may have one of its own.
_PLACES = 20_000
_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": partial(gzip.compress, mtime=0), "deflate": zlib.compress}


class SoapServer:
    """The listener. `public_url` is its address as others see it, `elsewhere` what to tell a WebSocket that knocks.

    `refused` is told of every message that was turned away before its Call was handled, `turned_away` of those that
    nobody had the time to read, in sums; `admits` says whether an IP address may use this listener. `most_waiting`
    requests may wait until there is time to read them.
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
        turned_away: TurnedAway,
        name: str = "soap",
        admits: Callable[[str], bool] = lambda peer: True,
    ) -> None:
        self._name = name
        self._admits = admits
        self._doors = {door.path.lower(): door for door in doors}
        self._placed = lru_cache(_PLACES)(self._place_of)
        self._directions = Directions(doors, public_url, elsewhere)
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._refused = refused
        self._turned_away = turned_away
        self._house = House(rules, self._hung_up)
        self._turnstile = Turnstile(_in_next_turn, most=most_waiting)
        self._busy = Busy(doors, self._turnstile.full)
        self._sums = Sums(_soon, self._were_busy)
        self._idle_timeout = idle_timeout
        self._bounds = bounds
        self._tasks = Tasks()
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
            self._manager,
            self._house,
            self._turnstile,
            self._busy,
            self._sums,
            self._take,
            host,
            port,
            tls,
            self._idle_timeout,
        )
        self.address = self._listening.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening; hang up on who is still there."""
        if self._listening is not None:
            await accept_no_more(self._listening)
            self._listening.close()
        self._turnstile.close()
        self._sums.tell()
        await self._tasks.close()
        if self._manager is not None:
            await self._manager.shutdown(_LAST_WORDS)

    def _hung_up(self, peer: str, status: int, text: str, why: Why) -> None:
        error = BridgeError(ErrorCode.FormationViolation, f"HTTP {status}: {text}", why=why)
        self._refused(None, peer, error, None, Party.CHARGE_POINT, b"")

    def _were_busy(self, peer: str, times: int) -> None:
        text = f"HTTP 503: {self._turnstile.full}" + (f", {times} times" if times > 1 else "")
        self._turned_away(peer, BridgeError(ErrorCode.InternalError, text, why=Why.BUSY), times)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._answer(request)
        if not request.content.is_eof():  # nothing that follows on this connection could be told from the rest of it
            response.force_close()
        elif isinstance(request.protocol, Connection):
            request.protocol.answered()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path  # not decoded: an identity may hold a slash
        door, version, tail = self._place_of(path)
        if not self._admits(request.remote or ""):
            return self._turn_away(request, door)
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return self._wrong_door(request, 426, "This is the OCPP-S (SOAP) port.", {"Upgrade": "HTTP/1.1"})
        if request.method == "GET" and door is not None and not tail:
            return self._describe(request, door, version)
        if request.method == "POST" and door is not None:
            return await self._post(request, door, version, tail)
        if request.method == "GET" and path.rstrip("/").lower() == "/services":
            return web.Response(text=self._directions.page(), content_type="text/html")
        if door is not None:
            return self._wrong_door(request, 405, f"{request.method} is no use here.", {"Allow": "GET, POST"})
        return self._wrong_door(request, 404, f"Nothing is served at {self._path_of(request.path)}.", {})

    def _place_of(self, path: str) -> tuple[Door | None, str, str]:
        """The Door at `path`, the version that it names, and what follows. Letter case is forgiven: some devices change
        it."""
        path = path.rstrip("/")
        lower = path.lower()
        for known, door in self._doors.items():
            if lower == known or lower.startswith(f"{known}/"):
                return door, *door.version_in(path[len(known) + 1 :])
        return None, "", ""

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
        said = f"wrong door: {request.method[:20]} {self._path_of(request.path)}, HTTP {status}"
        caller = next(iter(self._doors.values())).caller
        error = BridgeError(ErrorCode.NotSupported, said, why=Why.WRONG_DOOR)
        self._refused(None, request.remote or "", error, None, caller, b"")
        return web.Response(status=status, text=self._directions.text(why), headers=headers)

    def _path_of(self, path: str) -> str:
        """As it may be shown."""
        return paths.shown(path, [word for path in self._doors for word in path.split("/")])

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
        """One that did not come as a whole."""
        peer = request.remote or ""
        try:
            data = await read_body(request, self._max_body, self._body_timeout)
        except BridgeError as error:
            reply = self._refuse(door, _unreadable(), None, peer, error, b"")
        else:
            assert isinstance(request.protocol, Connection)
            shown, path = request.protocol.certificate, request.rel_url.raw_path
            post = Post(path=path, peer=peer, headers=request.headers, body=data, certificate=shown)
            replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            self._message(post, door, version, tail, partial(_settle, replied))
            reply = await replied
        response = web.Response(
            status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type, **dict(reply.headers)}
        )
        if reply.closes or request.content.exception() is not None:
            response.force_close()
        return response

    def _take(self, post: Post, respond: Respond) -> bool:
        """Whether it is a message for a Door, and taken care of. All else needs more words."""
        door, version, tail = self._placed(post.path)
        odd = "Upgrade" in post.headers or "Content-Encoding" in post.headers or len(post.body) > self._max_body
        if door is None or odd or not self._admits(post.peer):
            return False
        self._message(post, door, version, tail, respond)
        return True

    def _message(self, post: Post, door: Door, version: str, tail: str, respond: Respond) -> None:
        """Its one reply is for `respond`, now or later."""
        try:
            opened = soap.read(post.body, self._bounds)
        except BridgeError as error:
            respond(self._refuse(door, _unreadable(), None, post.peer, error, post.body))
            return
        if version and version not in door.versions_of(opened):
            shown = self._path_of(post.path)
            logs.fields(_log, logging.INFO, "another version than the address says", peer=post.peer, path=shown)
        visit = Visit(post, door, opened, respond)
        try:
            version, visit.service = door.service_of(opened)
            path = _segments(tail)
            visit.identity = opened.identity or (path[-1] if path else None)
            if not path or visit.identity != path[-1]:  # which is one
                visit.identity = _identity(visit.identity)
            identity = visit.identity
            admission = door.receive(
                Arrival(
                    identity=identity,
                    peer=post.peer,
                    version=version,
                    addressing=opened.addressing,
                    boot=boot_of(opened.body),
                    listener=self._name,
                    address=self._directions.url(door),
                    certificate=post.certificate,
                    authorization=_authorization(post),
                    path=path,
                    in_header=bool(opened.identity),
                )
            )
        except Exception as error:
            self._not_let_in(visit, error)
            return
        if isinstance(admission, Admission):
            self._let_in(visit, admission)
        else:
            self._tasks.spawn(self._once_let_in(visit, admission), name="letting in")

    async def _once_let_in(self, visit: Visit, admission: Coroutine[Any, Any, Admission]) -> None:
        try:
            admitted = await admission
        except Exception as error:
            self._not_let_in(visit, error)
        else:
            self._let_in(visit, admitted)

    def _not_let_in(self, visit: Visit, error: Exception) -> None:
        if not isinstance(error, BridgeError):
            _log.error("a message could not be let in", exc_info=error)
            error = BridgeError(ErrorCode.InternalError, "the bridge failed; its log says why")
        post = visit.post
        visit.respond(self._refuse(visit.door, visit.opened, visit.identity, post.peer, error, post.body))

    def _let_in(self, visit: Visit, admission: Admission) -> None:
        opened, service = visit.opened, visit.service
        assert service is not None
        exchange = Exchange(
            opened, admission.unique_id, admission.strict, admission.handle, admission.known, admission.manners
        )
        if opened.soap is soap.Soap.V11 and not admission.manners.answers_soap11:
            spoken = BridgeError(ErrorCode.ProtocolError, "SOAP 1.1, which the route refuses")
            self._refused(
                visit.identity, visit.post.peer, spoken, exchange.unique_id, visit.door.caller, visit.post.body
            )
            visit.respond(service.mismatch(exchange))
            return
        if (tap := admission.tap) is not None:
            tap.tell((SEEN, tap.end, tap.clock(), True, "soap", "call", exchange.unique_id, None, visit.post.body))
        service.answer(exchange, partial(self._replied, visit, admission, exchange))

    def _replied(self, visit: Visit, admission: Admission, exchange: Exchange, reply: Reply) -> None:
        if (tap := admission.tap) is not None:
            kind: Kind = "result" if reply.error is None else "error"
            tap.tell((SEEN, tap.end, tap.clock(), False, "soap", kind, exchange.unique_id, None, reply.body))
        if reply.losses:
            admission.lost(reply.losses)
        if exchange.refusal is not None:
            post = visit.post
            self._refused(visit.identity, post.peer, exchange.refusal, exchange.unique_id, visit.door.caller, post.body)
        if admission.manners.close_after_answer:
            reply = replace(reply, closes=True)
        visit.respond(_compressed(reply, visit.post))

    def _refuse(
        self, door: Door, opened: Envelope, identity: str | None, peer: str, error: BridgeError, data: bytes
    ) -> Reply:
        unique_id = opened.addressing.message_id
        if isinstance(error, AccessDenied) and error.hides_identity:
            identity = None
        self._refused(identity, peer, error, unique_id, door.caller, data)
        reply = door.refuse(opened, error)
        if isinstance(error, AccessDenied):
            reply = replace(reply, status=error.status, headers=tuple(error.headers.items()))
        if isinstance(error, Unavailable) and error.retry_after is not None:
            reply = replace(reply, headers=(("Retry-After", str(math.ceil(error.retry_after))),))
        return reply


class Visit:
    """A message at a Door, and whom to tell its reply."""

    __slots__ = ("door", "identity", "opened", "post", "respond", "service")

    def __init__(self, post: Post, door: Door, opened: Envelope, respond: Respond) -> None:
        self.post = post
        self.door = door
        self.opened = opened
        self.respond = respond
        self.identity: str | None = None
        self.service: SoapService | None = None


def _settle(replied: asyncio.Future[Reply], reply: Reply) -> None:
    if not replied.done():  # who asked may have hung up
        replied.set_result(reply)


def _compressed(reply: Reply, post: Post) -> Reply:
    """In one of the ways that its reader accepts, if it is large, or its reader compresses, too (OCPP-S 1.6 section
    6.1)."""
    if len(reply.body) < _WORTH_COMPRESSING and "Content-Encoding" not in post.headers:
        return reply
    accepted = post.headers.get("Accept-Encoding", "").lower()
    for coding, compress in _CODINGS.items():
        if coding in accepted:
            return replace(reply, body=compress(reply.body), headers=(*reply.headers, ("Content-Encoding", coding)))
    return reply


def _in_next_turn(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(do)


def _soon(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(_SOON, do)


def _authorization(post: Post) -> str | None:
    """Raises AccessDenied: of two it cannot be known which is meant."""
    if "Authorization" not in post.headers:
        return None
    shown = post.headers.getall("Authorization")
    if len(shown) > 1:
        raise AccessDenied(400, "one Authorization header is enough", Why.MALFORMED)
    return shown[0]


def _unreadable() -> Envelope:
    """What stands in for an envelope that could not be opened: enough to answer it."""
    return Envelope(soap=soap.Soap.V12, identity=None, addressing=Addressing(), body=soap.nothing())


@lru_cache(_PLACES)
def _segments(tail: str) -> tuple[str, ...]:
    """What stands between slashes. Raises MessageError."""
    return tuple([_segment(part) for part in tail.split("/") if part])


def _segment(text: str) -> str:
    """A segment of the URL, decoded once: an identity, or what is as printable as one. Raises MessageError."""
    try:
        return _identity(unquote(text, errors="strict") if "%" in text else text)
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
