"""A Charge Point that speaks OCPP-S: zeep reads and writes, aiohttp carries.

It asks a CentralSystemService and serves a ChargePointService of its own, both from the WSDLs in one folder, which
decides the OCPP version on the wire; the protocol decides what it answers when nothing else was asked of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.simulators import envelope
from bridge.simulators.answers import ChargePointAnswers
from bridge.simulators.envelope import ANONYMOUS, Headers
from bridge.simulators.wire import Behaviour, Direction, Kind, Observer, Payload, Refused, WireMessage, answer_of
from bridge.tasks import Tasks

Hook: TypeAlias = Callable[[str, Payload], Awaitable[None]]

_HTTP_STATUS = {"Sender": 400, "Receiver": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """What a POST to us held; with `refusal` it is not carried out."""

    action: str = ""
    payload: Payload
    headers: Headers
    refusal: Refused | None = None


class SoapChargePoint:
    """One Charge Point. Usable from `start` to `stop`, or inside `async with`; may be started again.

    wsdl            the folder of the two WSDLs
    protocol        ocpp1.6s, ocpp1.5s or ocpp1.2s: that of the folder
    behaviour       by action, what it answers; see `wire.Behaviour`
    on_command      awaited before a command is answered
    after_command   awaited after a command was answered, unless with a Fault
    received        the commands, in the order they came
    violations      what the other side sent that the specification or the WSDL does not allow
    """

    def __init__(
        self,
        *,
        url: str,
        identity: str,
        wsdl: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        protocol: str = "ocpp1.6s",
        observe: Observer | None = None,
        timeout: float = 60,
    ) -> None:
        self.url = url
        self.identity = identity
        self.answers = ChargePointAnswers(protocol)
        self.behaviour: dict[str, Behaviour] = self.answers.table()
        self.on_command: Hook | None = None
        self.after_command: Hook | None = None
        self.received: list[tuple[str, Payload]] = []
        self.violations: list[str] = []
        self._wsdl = wsdl
        self._host = host
        self._port = port
        self._bound_port = port
        self._observe = observe
        self._timeout = timeout
        self._tasks = Tasks()

    async def start(self) -> None:
        """Listen for commands, and be ready to call."""
        # In a thread: reading the two WSDLs takes a tenth of a second.
        self._central_system = await asyncio.to_thread(envelope.load, self._wsdl / "CentralSystemService.wsdl")
        self._charge_point = await asyncio.to_thread(envelope.load, self._wsdl / "ChargePointService.wsdl")
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._bound_port = self._runner.addresses[0][1]
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))

    async def stop(self) -> None:
        """Close every socket; hooks that still run are cancelled."""
        await self._tasks.close()
        await self._http.close()
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def callback_url(self) -> str:
        """Where commands are to be POSTed; sent as `From`."""
        return f"http://{self._host}:{self._bound_port}/"

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """Ask the Central System; gives the answer's payload (see `envelope.Service.decode` for its types).

        Raises Refused for a Fault or an HTTP error, ValueError for a payload or an answer that does not fit the WSDL,
        ConnectionError when nobody answers, TimeoutError when nobody answers in time.
        """
        headers = Headers(
            identity=self.identity,
            action=f"/{action}",
            message_id=envelope.new_message_id(),
            source=self.callback_url,
            reply_to=ANONYMOUS,
            to=self.url,
        )
        body = self._central_system.encode(action, payload, headers, is_request=True)
        self._tell("sent", "call", action, headers.message_id, body.decode())
        begun = time.perf_counter()
        status, answer = await self._post(action, body)
        elapsed = time.perf_counter() - begun
        text = answer.decode(errors="replace")
        try:
            result = self._result(action, headers.message_id, status, answer, text)
        except (Refused, ValueError):
            self._tell("received", "error", action, headers.message_id, text, elapsed)
            raise
        self._tell("received", "result", action, headers.message_id, text, elapsed)
        return result

    async def _post(self, action: str, body: bytes) -> tuple[int, bytes]:
        content_type = f'application/soap+xml; charset=utf-8; action="/{action}"'
        try:
            async with self._http.post(self.url, data=body, headers={"Content-Type": content_type}) as response:
                return response.status, await response.read()
        except TimeoutError as error:
            raise TimeoutError(f"{action}: no answer within {self._timeout} s") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{action}: {error}") from error

    def _result(self, action: str, message_id: str, status: int, answer: bytes, text: str) -> Payload:
        """The payload of `answer`, or the exception that it stands for. A Fault is one whatever the HTTP status."""
        try:
            root = envelope.parsed(answer)
            if fault := envelope.fault_in(root, http_status=status, body=text):
                raise fault
            message = self._central_system.decode(root)
        except ValueError as error:
            if status >= 400:
                raise Refused("HTTP", f"status {status}", http_status=status, body=text) from error
            self.violations.append(f"answer to {action}: {error}")
            raise
        headers = self._central_system.headers_of(root)
        self._expect(f"answer to {action}: HTTP status", str(status), "200")
        self._expect(f"answer to {action}: Body", (message.action, message.is_request), (action, False))
        self._expect(f"answer to {action}: Action", headers.action, f"/{action}Response")
        self._expect(f"answer to {action}: RelatesTo", headers.relates_to, message_id)
        return message.payload

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """A command came in. The answer is out before `after_command` begins."""
        if request.method != "POST":
            return web.Response(status=405, text="OCPP-S is spoken here, by POST", headers={"Allow": "POST"})
        command = self._command(await request.read(), request.url)
        try:
            status, body = 200, await self._answer(command)
        except Refused as refusal:
            status, body = _HTTP_STATUS.get(refusal.code, 500), self._fault(command, refusal)
        response = web.Response(status=status, body=body, content_type="application/soap+xml", charset="utf-8")
        await response.prepare(request)
        await response.write_eof()
        if self.after_command is not None and status == 200:
            after = _after(self.after_command, command)
            self._tasks.spawn(after, name=f"{self.identity} after {command.action}")
        return response

    def _command(self, body: bytes, url: URL) -> _Command:
        """What is in `body`; one that cannot be read or is not for us comes with its refusal."""
        command = _Command(payload={}, headers=Headers())
        try:
            root = envelope.parsed(body)
            command = replace(command, headers=self._charge_point.headers_of(root))
            message = self._charge_point.decode(root)
            command = replace(command, action=message.action, payload=message.payload)
            self._check(message.is_request, command, url)
        except ValueError as error:
            command = replace(command, refusal=Refused("Sender", str(error), subcode="ProtocolError"))
        except Refused as refusal:
            command = replace(command, refusal=refusal)
        self._tell("received", "call", command.action, command.headers.message_id, body.decode(errors="replace"))
        if command.refusal:
            self.violations.append(f"command {command.action}: {command.refusal.description}")
        else:
            self.received.append((command.action, command.payload))
        return command

    def _check(self, is_request: bool, command: _Command, url: URL) -> None:
        """A command for another Charge Point is refused (OCPP-S 1.6, 3.3), a lacking header (3.8) only written down."""
        headers = command.headers
        if not is_request:
            raise ValueError("an answer, where a request belongs")
        if headers.identity != self.identity:
            reason = f"this is {self.identity}, not {headers.identity}"
            raise Refused("Sender", reason, subcode="IdentityMismatch")
        self._expect(f"{command.action}: Action", headers.action, f"/{command.action}")
        self._expect(f"{command.action}: ReplyTo", headers.reply_to, ANONYMOUS)
        self._expect(f"{command.action}: To", headers.to, str(url))
        self._expect(f"{command.action}: a MessageID", bool(headers.message_id), True)
        self._expect(f"{command.action}: a From", bool(headers.source), True)

    async def _answer(self, command: _Command) -> bytes:
        if command.refusal:
            raise command.refusal
        try:
            if self.on_command is not None:
                await self.on_command(command.action, command.payload)
            if command.action not in self.behaviour:
                raise Refused("Receiver", f"{command.action} is not supported here", subcode="NotSupported")
            result = await answer_of(self.behaviour[command.action], command.payload)
            headers = _reply_headers(command, f"/{command.action}Response")
            answer = self._charge_point.encode(command.action, result, headers, is_request=False)
        except Refused:
            raise
        except Exception as error:  # a behaviour is anybody's code, and the other side must hear of its end
            self.violations.append(f"our own answer to {command.action}: {error!r}")
            raise Refused("Receiver", repr(error), subcode="InternalError") from error
        self._tell("sent", "result", command.action, command.headers.message_id, answer.decode())
        return answer

    def _fault(self, command: _Command, refusal: Refused) -> bytes:
        body = self._charge_point.encode_fault(refusal, _reply_headers(command, f"{envelope.WSA}/fault"))
        self._tell("sent", "error", command.action, command.headers.message_id, body.decode())
        return body

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.violations.append(f"{what} is {found!r}, not {wanted!r}")

    def _tell(
        self, direction: Direction, kind: Kind, action: str, unique_id: str, text: str, elapsed: float | None = None
    ) -> None:
        if self._observe is not None:
            message = WireMessage(
                direction=direction,
                party="charge_point",
                text=text,
                action=action,
                unique_id=unique_id,
                kind=kind,
                elapsed=elapsed,
            )
            self._observe(message)


def _reply_headers(command: _Command, action: str) -> Headers:
    return Headers(
        action=action,
        message_id=envelope.new_message_id(),
        relates_to=command.headers.message_id,
        to=command.headers.source or ANONYMOUS,
    )


async def _after(hook: Hook, command: _Command) -> None:
    await hook(command.action, command.payload)
