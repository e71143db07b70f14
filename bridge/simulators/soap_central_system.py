"""A Central System that speaks OCPP-S 1.6: zeep reads and writes, aiohttp carries.

It serves a CentralSystemService and commands each Charge Point at the address that it last gave in `From`. It breaks no
rule by itself, but a test may make it: with a behaviour that refuses or never ends, and by taking it `down`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.simulators import envelope
from bridge.simulators.answers import CentralSystemAnswers
from bridge.simulators.envelope import ANONYMOUS, Headers
from bridge.simulators.wire import Behaviour, Direction, Kind, Observer, Payload, Refused, WireMessage, answer_of

_CONTENT_TYPE = "application/soap+xml"
_HTTP_STATUS = {"Sender": 400, "Receiver": 500}
# What a behaviour that never ends may delay `down` by, twice; 0 would mean for ever to aiohttp.
_PATIENCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What a POST to us held; with `refusal` it is not carried out."""

    action: str = ""
    payload: Payload = field(default_factory=dict)
    headers: Headers = field(default_factory=Headers)
    refusal: Refused | None = None


class SoapCentralSystem:
    """Serves from `start` to `stop`, or inside `async with`, at any path.

    wsdl          the folder of the two WSDLs
    known         the identities that are served; None: all
    sends_from    False: a command has neither From nor ReplyTo, as those of SteVe and other users of CXF
    behaviour     by action, what it answers; see `wire.Behaviour`. A Refused with an `http_status` sets that of the
                  response too, one with the code HTTP makes its `body` the whole response, without a Fault
    blocked       idTags that are answered Invalid
    addresses     by identity, where the Charge Point takes commands; may be changed
    received      identity, action and payload of every request that could be read, in the order they came
    violations    what the other side sent that the specification or the WSDL does not allow
    """

    def __init__(
        self,
        *,
        wsdl: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/services/CentralSystemService",
        observe: Observer | None = None,
        known: Collection[str] | None = None,
        sends_from: bool = True,
        interval: int = 300,
    ) -> None:
        self.answers = CentralSystemAnswers(interval=interval)
        self.behaviour: dict[str, Behaviour] = self.answers.table()
        self.blocked = self.answers.blocked
        self.addresses: dict[str, str] = {}
        self.received: list[tuple[str, str, Payload]] = []
        self.violations: list[str] = []
        self.observe = observe
        self._wsdl = wsdl
        self._host = host
        self._port = port
        self._path = path
        self._known = known
        self._sends_from = sends_from
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Listen, and be ready to command. Raises OSError when the port is taken; one that was 0 is kept."""
        # In a thread: reading the two WSDLs takes a tenth of a second.
        self._central_system = await asyncio.to_thread(envelope.load, self._wsdl / "CentralSystemService.wsdl")
        self._charge_point = await asyncio.to_thread(envelope.load, self._wsdl / "ChargePointService.wsdl")
        await self.up()
        # Each call has a time of its own, which may be longer than aiohttp's.
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def stop(self) -> None:
        """Close every socket."""
        await self._http.close()
        await self.down()

    async def up(self) -> None:
        """Listen again after `down`, at the same port. Raises OSError when that is taken by now."""
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Refuse connections and end those that are open; behaviours that still run are cancelled, unanswered."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The CentralSystemService; in commands sent as `From`."""
        return str(URL.build(scheme="http", host=self._host, port=self._port, path=self._path))

    async def wait_for(self, identity: str, timeout: float = 30) -> str:  # noqa: ASYNC109
        """The address of `identity`, as soon as it is known; TimeoutError when it is not in time."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: identity in self.addresses)
        return self.addresses[identity]

    async def call(
        self,
        identity: str,
        action: str,
        payload: Mapping[str, object],
        timeout: float = 30,  # noqa: ASYNC109
    ) -> Payload:
        """Command a Charge Point; gives the answer's payload (see `envelope.Service.decode` for its types).

        Raises Refused for a Fault or an HTTP error, ValueError for a payload or an answer that does not fit the WSDL,
        ConnectionError without an address or when nobody answers there, TimeoutError when nobody answers in time.
        """
        if identity not in self.addresses:
            raise ConnectionError(f"{identity} has not told its address")
        headers = self._headers(identity, action)
        body = self._charge_point.encode(action, payload, headers, is_request=True)
        self._tell("sent", "call", action, headers.message_id, body.decode())
        begun = time.perf_counter()
        status, answer = await self._post(headers, body, timeout)
        elapsed = time.perf_counter() - begun
        text = answer.decode(errors="replace")
        try:
            result = self._result(f"{identity}: answer to {action}", headers, status, answer)
        except (Refused, ValueError):
            self._tell("received", "error", action, headers.message_id, text, elapsed)
            raise
        self._tell("received", "result", action, headers.message_id, text, elapsed)
        return result

    def _headers(self, identity: str, action: str) -> Headers:
        headers = Headers(
            identity=identity,
            action=f"/{action}",
            message_id=envelope.new_message_id(),
            to=self.addresses[identity],
        )
        return replace(headers, source=self.url, reply_to=ANONYMOUS) if self._sends_from else headers

    async def _post(self, headers: Headers, body: bytes, within: float) -> tuple[int, bytes]:
        content_type = f'{_CONTENT_TYPE}; charset=utf-8; action="{headers.action}"'
        try:
            async with (
                asyncio.timeout(within),
                self._http.post(headers.to, data=body, headers={"Content-Type": content_type}) as response,
            ):
                return response.status, await response.read()
        except TimeoutError as error:
            raise TimeoutError(f"{headers.action}: no answer within {within} s") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{headers.action}: {error}") from error

    def _result(self, what: str, asked: Headers, status: int, answer: bytes) -> Payload:
        """The payload of `answer`, or the exception that it stands for. A Fault is one whatever the HTTP status."""
        text = answer.decode(errors="replace")
        try:
            root = envelope.parsed(answer)
            if fault := envelope.fault_in(root, http_status=status, body=text):
                raise fault
            message = self._charge_point.decode(root)
        except ValueError as error:
            if status >= 400:
                raise Refused("HTTP", f"status {status}", http_status=status, body=text) from error
            self.violations.append(f"{what}: {error}")
            raise
        headers = self._charge_point.headers_of(root)
        self._expect(f"{what}: HTTP status", status, 200)
        self._expect(f"{what}: Body", (f"/{message.action}", message.is_request), (asked.action, False))
        self._expect(f"{what}: Action", headers.action, f"{asked.action}Response")
        self._expect(f"{what}: RelatesTo", headers.relates_to, asked.message_id)
        return message.payload

    async def _serve(self, http: web.BaseRequest) -> web.Response:
        """A request came in."""
        if http.method != "POST":
            return web.Response(status=405, text="OCPP-S is spoken here, by POST", headers={"Allow": "POST"})
        request = self._read(await http.read())
        if request.refusal is None:
            self._compare(request, http)
            await self._learn(request.headers)
            self.received.append((request.headers.identity, request.action, request.payload))
        else:
            self.violations.append(f"{request.headers.identity}: {request.action}: {request.refusal.description}")
        try:
            return _response(200, await self._answer(request))
        except Refused as refusal:
            return self._refuse(request, refusal)

    def _read(self, body: bytes) -> _Request:
        """What is in `body`; one that cannot be read or comes from somebody unknown has its refusal."""
        request = _Request()
        try:
            root = envelope.parsed(body)
            request = replace(request, headers=self._central_system.headers_of(root))
            message = self._central_system.decode(root)
            request = replace(request, action=message.action, payload=message.payload)
            request = replace(request, refusal=self._objection(request.headers.identity, message.is_request))
        except ValueError as error:
            request = replace(request, refusal=Refused("Sender", str(error), subcode="ProtocolError"))
        self._tell("received", "call", request.action, request.headers.message_id, body.decode(errors="replace"))
        return request

    def _objection(self, identity: str, is_request: bool) -> Refused | None:
        if not is_request:
            return Refused("Sender", "an answer, where a request belongs", subcode="ProtocolError")
        if not identity:
            return Refused("Sender", "there is no chargeBoxIdentity", subcode="ProtocolError")
        if self._known is not None and identity not in self._known:
            return Refused("Sender", f"{identity} is not known here", subcode="IdentityMismatch")
        return None

    def _compare(self, request: _Request, http: web.BaseRequest) -> None:
        """A header that is lacking or wrong (OCPP-S 1.6, 3.8) is only written down."""
        headers = request.headers
        what = f"{headers.identity}: {request.action}"
        self._expect(f"{what}: Content-Type", http.content_type, _CONTENT_TYPE)
        self._expect(f"{what}: Action", headers.action, f"/{request.action}")
        self._expect(f"{what}: ReplyTo", headers.reply_to, ANONYMOUS)
        self._expect(f"{what}: To", headers.to, str(http.url))
        self._expect(f"{what}: a MessageID", bool(headers.message_id), True)

    async def _learn(self, headers: Headers) -> None:
        url = headers.source
        if not url.startswith(("http://", "https://")) or url.startswith(envelope.WSA):  # anonymous, or none
            self.violations.append(f"{headers.identity}: From is {url!r}, where nobody can be called")
            return
        async with self._changed:
            self.addresses[headers.identity] = url
            self._changed.notify_all()

    async def _answer(self, request: _Request) -> bytes:
        if request.refusal:
            raise request.refusal
        try:
            if request.action not in self.behaviour:
                raise Refused("Receiver", f"{request.action} is not supported here", subcode="NotSupported")
            result = await answer_of(self.behaviour[request.action], request.payload)
            headers = _reply_headers(request, f"/{request.action}Response")
            answer = self._central_system.encode(request.action, result, headers, is_request=False)
        except Refused:
            raise
        except Exception as error:  # a behaviour is anybody's code, and the other side must hear of its end
            self.violations.append(f"{request.headers.identity}: our own answer to {request.action}: {error!r}")
            raise Refused("Receiver", repr(error), subcode="InternalError") from error
        self._tell("sent", "result", request.action, request.headers.message_id, answer.decode())
        return answer

    def _refuse(self, request: _Request, refusal: Refused) -> web.Response:
        status = refusal.http_status or _HTTP_STATUS.get(refusal.code, 500)
        if refusal.code == "HTTP":
            body = refusal.body.encode()
        else:
            body = self._central_system.encode_fault(refusal, _reply_headers(request, f"{envelope.WSA}/fault"))
        self._tell("sent", "error", request.action, request.headers.message_id, body.decode())
        return _response(status, body)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.violations.append(f"{what} is {found!r}, not {wanted!r}")

    def _tell(
        self, direction: Direction, kind: Kind, action: str, unique_id: str, text: str, elapsed: float | None = None
    ) -> None:
        if self.observe is not None:
            message = WireMessage(
                direction=direction,
                party="central_system",
                text=text,
                action=action,
                unique_id=unique_id,
                kind=kind,
                elapsed=elapsed,
            )
            self.observe(message)


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=_CONTENT_TYPE, charset="utf-8")


def _reply_headers(request: _Request, action: str) -> Headers:
    # To is the anonymous address: the answer goes where ReplyTo says, and that is on the back of the request.
    return Headers(
        action=action,
        message_id=envelope.new_message_id(),
        relates_to=request.headers.message_id,
        to=ANONYMOUS,
    )
