"""A simulated Central System of OCPP-S. zeep reads and writes envelopes, aiohttp carries them.

The WSDLs in one folder decide the OCPP version on the wire; the protocol decides the default answers. The Central
System serves a CentralSystemService. It sends a command to the address that the Charge Point last gave in `From`. It
breaks no rule by itself, but a test may make it break one: with a behaviour that refuses or never ends, or with `down`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.lab.simulators import envelope
from bridge.lab.simulators.answers import CentralSystemAnswers
from bridge.lab.simulators.envelope import ANONYMOUS, EnvelopeHeaders
from bridge.lab.simulators.soap_link import CONTENT_TYPE, SoapLink, SoapRequest, only_post, response
from bridge.lab.simulators.wire import Behaviour, CallRefused, Observer, Payload, WireMessage
from bridge.net.listening import Listening

# `down` waits at most twice this time, in seconds, for a behaviour that never ends. aiohttp would wait for ever at 0.
_PATIENCE = 0.1


class SoapCentralSystem:
    """A Central System that listens from `start` to `stop`, or inside `async with`, at any path.

    Attributes:
        behaviour: The answer to each action; see `wire.Behaviour`. The `http_status` of a Refused is the status of the
            response. The `body` of a Refused with the code HTTP is the whole response, without a Fault.
        blocked: The idTags with the status Invalid.
        addresses: The URL at which each Charge Point takes commands, by identity. A test may change it.
        received: Identity, action and payload of every readable request, in the order of arrival.
        violations: Each message of the other side that the specification or the WSDL does not allow.

    The constructor takes, among others:
        wsdl: The folder of the two WSDLs.
        protocol: The protocol of the folder: ocpp1.6s, ocpp1.5s or ocpp1.2s.
        known: The identities that are served; None means every identity.
        sends_from: False sends commands without From and ReplyTo, as SteVe and other users of CXF do.
    """

    def __init__(
        self,
        *,
        wsdl: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/services/CentralSystemService",
        protocol: str = "ocpp1.6s",
        observe: Observer | None = None,
        known: Collection[str] | None = None,
        sends_from: bool = True,
        interval: int = 300,
    ) -> None:
        self.answers = CentralSystemAnswers(interval=interval, protocol=protocol)
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
        """Listen, at a free port and always the same one if the port is 0. Raises OSError when the port is taken."""
        self._link = await SoapLink.of(
            "central_system", self._wsdl, object_to=lambda text: self.violations.append(text), observe=self._told
        )
        await self.up()
        # aiohttp's own time limit is off, because each call has a time limit, which may be longer.
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def stop(self) -> None:
        """Close the listener and every connection, of both directions."""
        await self._http.close()
        await self.down()

    async def up(self) -> None:
        """Listen again at the same port after `down`. Raises OSError when another process has taken the port."""
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=_PATIENCE)
        self._listening = await Listening.at(runner, self._host, self._port)
        self._port = self._listening.address[1]

    async def down(self) -> None:
        """Refuse new connections and end the open ones. Running behaviours are cancelled and give no answer."""
        await self._listening.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Return the URL of the CentralSystemService, which commands carry in `From`."""
        return str(URL.build(scheme="http", host=self._host, port=self._port, path=self._path))

    async def wait_for(self, identity: str, timeout: float = 30) -> str:  # noqa: ASYNC109
        """Return the address of `identity` as soon as it is known. Raises TimeoutError after `timeout` seconds."""
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
        """Send a command to a Charge Point and return the payload of the answer.

        `envelope.Service.decode` gives the types in the payload.

        Raises:
            Refused: The answer is a Fault or an HTTP error.
            ValueError: The payload or the answer does not fit the WSDL.
            ConnectionError: The address is unknown, or nobody answers there.
            TimeoutError: No answer arrived within `timeout` seconds.
        """
        if identity not in self.addresses:
            raise ConnectionError(f"{identity} has not told its address")
        headers, what = self._headers(identity, action), f"{identity}: answer to {action}"
        return await self._link.call(self._http, headers, payload, within=timeout, what=what)

    def _headers(self, identity: str, action: str) -> EnvelopeHeaders:
        headers = EnvelopeHeaders(
            identity=identity,
            action=f"/{action}",
            message_id=envelope.new_message_id(),
            to=self.addresses[identity],
        )
        return replace(headers, source=self.url, reply_to=ANONYMOUS) if self._sends_from else headers

    async def _serve(self, http: web.BaseRequest) -> web.Response:
        """Answer a request. ReplyTo is anonymous, so the answer is the HTTP response."""
        if http.method != "POST":
            return only_post()
        request = self._link.read(await http.read(), self._check)
        who = request.headers.identity
        if request.refusal is None:
            self._link.expect(f"{who}: {request.action}: Content-Type", http.content_type, CONTENT_TYPE)
            self._link.expect_headers(f"{who}: {request.action}", request, str(http.url))
            await self._learn(request.headers)
            self.received.append((who, request.action, request.payload))
        else:
            self.violations.append(f"{who}: {request.action}: {request.refusal.description}")
        try:
            what = f"{who}: our own answer to {request.action}"
            return response(200, await self._link.answer(request, self.behaviour, to=ANONYMOUS, what=what))
        except CallRefused as refusal:
            return response(*self._link.refuse(request, refusal, to=ANONYMOUS))

    def _check(self, request: SoapRequest) -> None:
        """Raise Refused for a request without an identity, or with an unknown identity."""
        identity = request.headers.identity
        if not identity:
            raise CallRefused("Sender", "there is no chargeBoxIdentity", subcode="ProtocolError")
        if self._known is not None and identity not in self._known:
            raise CallRefused("Sender", f"{identity} is not known here", subcode="IdentityMismatch")

    async def _learn(self, headers: EnvelopeHeaders) -> None:
        url = headers.source
        if not url.startswith(("http://", "https://")) or url.startswith(envelope.WSA):  # anonymous, or none
            self.violations.append(f"{headers.identity}: From is {url!r}, where nobody can be called")
            return
        async with self._changed:
            self.addresses[headers.identity] = url
            self._changed.notify_all()

    def _told(self, message: WireMessage) -> None:
        if self.observe is not None:
            self.observe(message)
