"""A Charge Point that speaks OCPP-S: zeep reads and writes, aiohttp carries.

It asks a CentralSystemService and serves a ChargePointService of its own, both from the WSDLs in one folder, which
decides the OCPP version on the wire; the protocol decides what it answers when nothing else was asked of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.listening import Listening
from bridge.simulators import envelope
from bridge.simulators.answers import ChargePointAnswers
from bridge.simulators.envelope import ANONYMOUS, Headers
from bridge.simulators.soap_link import Hook, SoapLink, SoapRequest, only_post, response
from bridge.simulators.wire import Behaviour, Observer, Payload, Refused, WireMessage
from bridge.tasks import Tasks


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
        self._link = await SoapLink.of(
            "charge_point", self._wsdl, object_to=lambda text: self.violations.append(text), observe=self._told
        )
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=1)
        self._listening = await Listening.at(runner, self._host, self._port)
        self._bound_port = self._listening.address[1]
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def stop(self) -> None:
        """Close every socket; hooks that still run are cancelled."""
        await self._tasks.close()
        await self._http.close()
        await self._listening.close()

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
        what = f"answer to {action}"
        return await self._link.call(self._http, headers, payload, within=self._timeout, what=what)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """A command came in. The answer is out before `after_command` begins."""
        if request.method != "POST":
            return only_post()
        command = self._command(await request.read(), request.url)
        to, what = command.headers.source or ANONYMOUS, f"our own answer to {command.action}"
        try:
            answer = await self._link.answer(command, self.behaviour, to=to, what=what, before=self.on_command)
            status, body = 200, answer
        except Refused as refusal:
            status, body = self._link.refuse(command, refusal, to=to)
        sent = response(status, body)
        await sent.prepare(request)
        await sent.write_eof()
        if self.after_command is not None and status == 200:
            after = _after(self.after_command, command)
            self._tasks.spawn(after, name=f"{self.identity} after {command.action}")
        return sent

    def _command(self, body: bytes, url: URL) -> SoapRequest:
        """What is in `body`; one that cannot be read or is not for us comes with its refusal."""
        command = self._link.read(body, lambda command: self._check(command, url))
        if command.refusal:
            self.violations.append(f"command {command.action}: {command.refusal.description}")
        else:
            self.received.append((command.action, command.payload))
        return command

    def _check(self, command: SoapRequest, url: URL) -> None:
        """A command for another Charge Point is refused (OCPP-S 1.6, 3.3), a lacking header (3.8) only written down."""
        if command.headers.identity != self.identity:
            reason = f"this is {self.identity}, not {command.headers.identity}"
            raise Refused("Sender", reason, subcode="IdentityMismatch")
        self._link.expect_headers(command.action, command, str(url))
        self._link.expect(f"{command.action}: a From", bool(command.headers.source), True)

    def _told(self, message: WireMessage) -> None:
        if self._observe is not None:
            self._observe(message)


async def _after(hook: Hook, command: SoapRequest) -> None:
    await hook(command.action, command.payload)
