"""A simulated Charge Point of OCPP-S. zeep reads and writes envelopes, aiohttp carries them.

The Charge Point calls a CentralSystemService and serves a ChargePointService. Both come from the WSDLs in one folder,
which decide the OCPP version on the wire. The protocol decides the default answers.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.lab.simulators import envelope
from bridge.lab.simulators.answers import ChargePointAnswers
from bridge.lab.simulators.envelope import ANONYMOUS, EnvelopeHeaders
from bridge.lab.simulators.soap_link import Hook, SoapLink, SoapRequest, only_post, response
from bridge.lab.simulators.wire import Behaviour, CallRefused, Observer, Payload, WireMessage, basic_authorization
from bridge.net.listening import Listening
from bridge.net.tasks import Tasks


class SoapChargePoint:
    """A Charge Point that is usable from `start` to `stop`, or inside `async with`. It may be started again.

    Attributes:
        url: The URL of the CentralSystemService.
        behaviour: The answer to each action; see `wire.Behaviour`.
        on_command: The hook that is awaited before a command is answered.
        after_command: The hook that is awaited after a command was answered without a Fault.
        received: The commands, in the order of arrival.
        violations: Each message of the other side that the specification or the WSDL does not allow.

    The constructor takes, among others, `wsdl`, the folder of the two WSDLs, and `protocol`, the protocol of the
    folder: ocpp1.6s, ocpp1.5s or ocpp1.2s. `password` is for Basic authentication (None: no authentication), `tls` is
    the context for an https URL.
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
        password: bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._password = password
        self._tls = tls
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
        """Listen for commands, and be ready to send requests."""
        self._link = await SoapLink.of(
            "charge_point", self._wsdl, object_to=lambda text: self.violations.append(text), observe=self._told
        )
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=1)
        self._listening = await Listening.at(runner, self._host, self._port)
        self._bound_port = self._listening.address[1]
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            headers=basic_authorization(self.identity, self._password),
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
        )

    async def stop(self) -> None:
        """Close the listener and every connection, and cancel the running hooks."""
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
        """Return the URL for commands, which requests carry in `From`."""
        return f"http://{self._host}:{self._bound_port}/"

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """Send a request to the Central System and return the payload of the answer.

        `envelope.Service.decode` gives the types in the payload.

        Raises:
            Refused: The answer is a Fault or an HTTP error.
            ValueError: The payload or the answer does not fit the WSDL.
            ConnectionError: Nobody answers at the URL.
            TimeoutError: No answer arrived in time.
        """
        headers = EnvelopeHeaders(
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
        """Answer a command. `after_command` begins after the answer was sent."""
        if request.method != "POST":
            return only_post()
        command = self._command(await request.read(), request.url)
        to, what = command.headers.source or ANONYMOUS, f"our own answer to {command.action}"
        try:
            answer = await self._link.answer(command, self.behaviour, to=to, what=what, before=self.on_command)
            status, body = 200, answer
        except CallRefused as refusal:
            status, body = self._link.refuse(command, refusal, to=to)
        sent = response(status, body)
        await sent.prepare(request)
        await sent.write_eof()
        if self.after_command is not None and status == 200:
            after = _after(self.after_command, command)
            self._tasks.spawn(after, name=f"{self.identity} after {command.action}")
        return sent

    def _command(self, body: bytes, url: URL) -> SoapRequest:
        """Return the command in `body`. An unreadable command, or one for another Charge Point, has a refusal."""
        command = self._link.read(body, lambda command: self._check(command, url))
        if command.refusal:
            self.violations.append(f"command {command.action}: {command.refusal.description}")
        else:
            self.received.append((command.action, command.payload))
        return command

    def _check(self, command: SoapRequest, url: URL) -> None:
        """Raise Refused for a command to another Charge Point (OCPP-S 1.6, 3.3); only report a lacking header (3.8)."""
        if command.headers.identity != self.identity:
            reason = f"this is {self.identity}, not {command.headers.identity}"
            raise CallRefused("Sender", reason, subcode="IdentityMismatch")
        self._link.expect_headers(command.action, command, str(url))
        self._link.expect(f"{command.action}: a From", bool(command.headers.source), True)

    def _told(self, message: WireMessage) -> None:
        if self._observe is not None:
            self._observe(message)


async def _after(hook: Hook, command: SoapRequest) -> None:
    await hook(command.action, command.payload)
