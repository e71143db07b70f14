"""A Central System that speaks OCPP-S 1.6: zeep reads and writes, aiohttp carries.

It serves a CentralSystemService and commands each Charge Point at the address that it last gave in `From`. It breaks no
rule by itself, but a test may make it: with a behaviour that refuses or never ends, and by taking it `down`.
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

from bridge.listening import Listening
from bridge.simulators import envelope
from bridge.simulators.answers import CentralSystemAnswers
from bridge.simulators.envelope import ANONYMOUS, Headers
from bridge.simulators.soap_link import CONTENT_TYPE, SoapLink, SoapRequest, only_post, response
from bridge.simulators.wire import Behaviour, Observer, Payload, Refused, WireMessage

# What a behaviour that never ends may delay `down` by, twice; 0 would mean for ever to aiohttp.
_PATIENCE = 0.1


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
        self._link = await SoapLink.of(
            "central_system", self._wsdl, object_to=lambda text: self.violations.append(text), observe=self._told
        )
        await self.up()
        # Each call has a time of its own, which may be longer than aiohttp's.
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def stop(self) -> None:
        """Close every socket."""
        await self._http.close()
        await self.down()

    async def up(self) -> None:
        """Listen again after `down`, at the same port. Raises OSError when that is taken by now."""
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=_PATIENCE)
        self._listening = await Listening.at(runner, self._host, self._port)
        self._port = self._listening.address[1]

    async def down(self) -> None:
        """Refuse connections and end those that are open; behaviours that still run are cancelled, unanswered."""
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
        headers, what = self._headers(identity, action), f"{identity}: answer to {action}"
        return await self._link.call(self._http, headers, payload, within=timeout, what=what)

    def _headers(self, identity: str, action: str) -> Headers:
        headers = Headers(
            identity=identity,
            action=f"/{action}",
            message_id=envelope.new_message_id(),
            to=self.addresses[identity],
        )
        return replace(headers, source=self.url, reply_to=ANONYMOUS) if self._sends_from else headers

    async def _serve(self, http: web.BaseRequest) -> web.Response:
        """A request came in. The answer goes where ReplyTo says, and that is on the back of the request."""
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
        except Refused as refusal:
            return response(*self._link.refuse(request, refusal, to=ANONYMOUS))

    def _check(self, request: SoapRequest) -> None:
        """Raises Refused for who is nobody, or unknown here."""
        identity = request.headers.identity
        if not identity:
            raise Refused("Sender", "there is no chargeBoxIdentity", subcode="ProtocolError")
        if self._known is not None and identity not in self._known:
            raise Refused("Sender", f"{identity} is not known here", subcode="IdentityMismatch")

    async def _learn(self, headers: Headers) -> None:
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
