"""The stage of the walks: a gateway and the parties around it, on loopback, each on a port that the system chose.

Well-behaved parties are the simulators, on zeep and on the `ocpp` package. The others are made here: a Central System
and a Charge Point that do exactly what a test tells them to, and a client that writes bytes into a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import logging
import re
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web
from lxml import etree
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection as WebSocket
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

import bridge
from bridge import config
from bridge.app import Gateway
from bridge.config import CentralSystem, ChargePoint, Listen, Policy, Route, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Payload
from bridge.watching.lines import Lines
from tests.ports import free_port
from tests.reference import OFFICIAL_WSDL

T = TypeVar("T")

OUR_WSDL = Path(bridge.__file__).parents[1] / "wsdl" / "ocpp16"
WSDL = OFFICIAL_WSDL / "ocpp16" if OFFICIAL_WSDL.is_dir() else OUR_WSDL
PATH = "/services/CentralSystemService"
# Far longer than anything takes: what is waited for comes, or the test fails.
AT_MOST = 90

CS = "urn://Ocpp/Cs/2015/10/"
CP = "urn://Ocpp/Cp/2015/10/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"

AT = "2026-01-02T03:04:05Z"
SAMPLES: dict[str, Payload] = {
    "Authorize": {"idTag": "DRIVER-1"},
    "BootNotification": {"chargePointVendor": "v", "chargePointModel": "m"},
    "DataTransfer": {"vendorId": "v"},
    "DiagnosticsStatusNotification": {"status": "Idle"},
    "FirmwareStatusNotification": {"status": "Idle"},
    "Heartbeat": {},
    "MeterValues": {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [{"value": "230.10"}]}]},
    "StartTransaction": {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": AT, "meterStart": 12000},
    "StatusNotification": {"connectorId": 1, "status": "Available", "errorCode": "NoError"},
    "StopTransaction": {"transactionId": 1, "timestamp": AT, "meterStop": 12680},
}
"""A request of each of the Charge Point's actions."""
_SCHEDULE = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}]}
COMMANDS: dict[str, Payload] = {
    "CancelReservation": {"reservationId": 1},
    "ChangeAvailability": {"connectorId": 0, "type": "Operative"},
    "ChangeConfiguration": {"key": "HeartbeatInterval", "value": "60"},
    "ClearCache": {},
    "ClearChargingProfile": {},
    "DataTransfer": {"vendorId": "v"},
    "GetCompositeSchedule": {"connectorId": 1, "duration": 60},
    "GetConfiguration": {},
    "GetDiagnostics": {"location": "ftp://files.example/"},
    "GetLocalListVersion": {},
    "RemoteStartTransaction": {"idTag": "DRIVER-1"},
    "RemoteStopTransaction": {"transactionId": 1},
    "ReserveNow": {"connectorId": 1, "expiryDate": AT, "idTag": "DRIVER-1", "reservationId": 1},
    "Reset": {"type": "Soft"},
    "SendLocalList": {"listVersion": 1, "updateType": "Full"},
    "SetChargingProfile": {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": _SCHEDULE,
        },
    },
    "TriggerMessage": {"requestedMessage": "Heartbeat"},
    "UnlockConnector": {"connectorId": 1},
    "UpdateFirmware": {"location": "ftp://files.example/new", "retrieveDate": AT},
}
"""A request of each of the Central System's."""


def run(walk: Coroutine[Any, Any, T], within: float = 2 * AT_MOST) -> T:
    """Run `walk` to its end, which comes."""

    async def bounded() -> T:
        return await asyncio.wait_for(walk, within)

    return asyncio.run(bounded())


# The gateway.


def settings(
    url: str,
    *,
    gateway: Mapping[str, Any] | None = None,
    soap: Mapping[str, Any] | None = None,
    websocket: Mapping[str, Any] | None = None,
    central_system: Mapping[str, Any] | None = None,
    route: Mapping[str, Any] | None = None,
    charge_points: Mapping[str, ChargePoint] | None = None,
    limits: Mapping[str, Any] | None = None,
    policies: Sequence[Policy] = (),
) -> Settings:
    """Settings with one Central System at `url` and a Route to it; each table takes what differs from the default."""
    anywhere = Listen("127.0.0.1", 0)
    return Settings(
        gateway=config.Gateway(**(gateway or {})),
        soap=(config.Soap(**({"listen": anywhere} | dict(soap or {}))),),
        websocket=(config.WebSocket(**({"listen": anywhere} | dict(websocket or {}))),),
        admin=config.Admin(listen=anywhere),
        limits=config.Limits(**({"new_identities_per_minute": 100_000} | dict(limits or {}))),
        store=config.Store(url="memory:"),
        central_systems={"main": CentralSystem(**({"url": url} | dict(central_system or {})))},
        routes=(Route(**({"charge_point": "*", "central_system": "main"} | dict(route or {}))),),
        charge_points=dict(charge_points or {}),
        policies=tuple(policies),
    )


@asynccontextmanager
async def running(told: Settings) -> AsyncIterator[Gateway]:
    """A gateway from start to close."""
    gateway = Gateway(told)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


def address_of(gateway: Gateway) -> str:
    """The URL of its CentralSystemService."""
    host, port = gateway.soap_address
    return f"http://{host}:{port}{PATH}"


def reachable() -> dict[str, Any]:
    """The table `soap` of a gateway that a SOAP Central System can find: it tells the address where it listens."""
    port = free_port()
    return {"listen": Listen("127.0.0.1", port), "public_url": f"http://127.0.0.1:{port}"}


def websocket_of(gateway: Gateway) -> str:
    """The URL that a JSON Charge Point appends its identity to."""
    host, port = gateway.websocket_address
    return f"ws://{host}:{port}/ocpp"


def json_charge_point(gateway: Gateway, identity: str = "CP 1", **options: Any) -> JsonChargePoint:
    """A Charge Point on the `ocpp` package that speaks to `gateway`."""
    return JsonChargePoint(url=websocket_of(gateway), identity=identity, **options)


def soap_central_system(**options: Any) -> SoapCentralSystem:
    """A Central System on zeep."""
    return SoapCentralSystem(wsdl=WSDL, **options)


def charge_point(gateway: Gateway, identity: str = "CP 1", **options: Any) -> SoapChargePoint:
    """A Charge Point on zeep that speaks to `gateway`."""
    return SoapChargePoint(url=address_of(gateway), identity=identity, wsdl=WSDL, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """All three parties."""

    gateway: Gateway
    central_system: JsonCentralSystem
    charge_point: SoapChargePoint

    def violations(self) -> list[str]:
        """What either simulator objects to."""
        return self.central_system.violations + self.charge_point.violations


@asynccontextmanager
async def stage(identity: str = "CP 1", **tables: Any) -> AsyncIterator[Stage]:
    """A gateway with well-behaved parties; `tables` are those of `settings`."""
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, **tables)) as gateway,
        charge_point(gateway, identity) as point,
    ):
        yield Stage(gateway=gateway, central_system=central, charge_point=point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """All three parties, of whichever protocols."""

    identity: str
    gateway: Gateway
    central_system: JsonCentralSystem | SoapCentralSystem
    charge_point: JsonChargePoint | SoapChargePoint

    def violations(self) -> list[str]:
        """What either simulator objects to."""
        return self.central_system.violations + self.charge_point.violations

    def forget(self) -> None:
        """What they have seen so far."""
        for party in (self.central_system, self.charge_point):
            party.violations.clear()
            party.received.clear()

    async def met(self) -> None:
        """Until the Central System can command the Charge Point."""
        await self.charge_point.call("Heartbeat", {})
        await self.central_system.wait_for(self.identity)


@asynccontextmanager
async def leg(near: str, far: str, identity: str = "CP 1", **tables: Any) -> AsyncIterator[Leg]:
    """A gateway between a Charge Point that speaks `near` and a Central System that speaks `far`, "soap" or "json"."""
    central: JsonCentralSystem | SoapCentralSystem = JsonCentralSystem() if far == "json" else soap_central_system()
    protocol = {"json": "ocpp1.6j", "soap": "ocpp1.6s"}[far]
    async with AsyncExitStack() as held:
        await held.enter_async_context(central)
        told = {"soap": reachable(), "central_system": {"protocol": protocol}} | tables
        gateway = await held.enter_async_context(running(settings(central.url, **told)))
        point: JsonChargePoint | SoapChargePoint
        point = json_charge_point(gateway, identity) if near == "json" else charge_point(gateway, identity)
        await held.enter_async_context(point)
        yield Leg(identity=identity, gateway=gateway, central_system=central, charge_point=point)


class Backstage:
    """An event loop in a thread of its own, for tests that draw their examples outside of it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backstage")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of `coroutine`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(AT_MOST)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


# A Central System under control.


class RawCentralSystem:
    """Does nothing by itself. `requests` holds the raw path and the headers of every handshake, refused ones too.

    refuse       HTTP status for every handshake; None accepts
    subprotocol  the one that is spoken; None completes the handshake without one (OCPP-J 1.6 section 3.2)
    """

    def __init__(self, *, refuse: HTTPStatus | None = None, subprotocol: str | None = "ocpp1.6", port: int = 0) -> None:
        self.refuse = refuse
        self.subprotocol = subprotocol
        self.requests: list[Request] = []
        self._port = port
        self._accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            process_request=self._admit,
            select_subprotocol=lambda _, offered: self._select(offered),
            compression=None,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ocpp"

    async def connected(self) -> Connection:
        """The next connection, as soon as there is one."""
        return await asyncio.wait_for(self._accepted.get(), AT_MOST)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return None if self.refuse is None else connection.respond(self.refuse, "not here\n")

    def _select(self, offered: Any) -> Subprotocol | None:
        return Subprotocol(self.subprotocol) if self.subprotocol and self.subprotocol in offered else None

    async def _serve(self, websocket: ServerConnection) -> None:
        self._accepted.put_nowait(Connection(websocket))
        await websocket.wait_closed()


@asynccontextmanager
async def dialled(
    gateway: Gateway,
    segment: str = "CP%201",
    *,
    subprotocols: Sequence[str] | None = ("ocpp1.6",),
    headers: Sequence[tuple[str, str]] = (),
    **options: Any,
) -> AsyncIterator[Connection]:
    """A JSON Charge Point that does nothing by itself; `segment` is its identity as it stands in the URL."""
    async with connect(
        f"{websocket_of(gateway)}/{segment}",
        subprotocols=None if subprotocols is None else [Subprotocol(name) for name in subprotocols],
        additional_headers=list(headers),
        **({"compression": None, "proxy": None, "open_timeout": AT_MOST, "close_timeout": 1} | options),
    ) as websocket:
        yield Connection(websocket)


class Connection:
    """One WebSocket, of a RawCentralSystem or towards a gateway."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def text(self) -> str:
        """The next frame as it came."""
        text = await asyncio.wait_for(self.websocket.recv(), AT_MOST)
        assert isinstance(text, str)
        return text

    async def ended(self) -> tuple[int | None, str | None]:
        """The code and the reason that it was closed with, as soon as it is."""
        await asyncio.wait_for(self.websocket.wait_closed(), AT_MOST)
        return self.websocket.close_code, self.websocket.close_reason

    async def receive(self) -> list[Any]:
        """The next frame."""
        frame = json.loads(await self.text())
        assert isinstance(frame, list)
        return frame

    async def send(self, frame: Any) -> None:
        """`frame` as JSON; text and bytes as they are."""
        await self.websocket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def ask(self, frame: Any) -> list[Any]:
        """Send `frame`; gives what comes next."""
        await self.send(frame)
        return await self.receive()

    async def serve(self, answer: Payload | None = None) -> list[Any]:
        """Take the next Call and answer it; gives the Call."""
        call = await self.receive()
        await self.send([3, call[1], {"currentTime": AT} if answer is None else answer])
        return call


def command(action: str, payload: Payload) -> list[Any]:
    """A Call of a Central System."""
    return [2, str(uuid.uuid4()), action, payload]


# A Charge Point under control: what it sends.


_ELEMENT = re.compile(r"<(?:\w+:)?(\w+?)(Request|Response)\b")


def action_of(body: str) -> str:
    """The Action header of the message in a Body; "" for a Fault."""
    found = _ELEMENT.search(body)
    if found is None:
        return ""
    name, kind = found.groups()
    return f"<a:Action>/{name[:1].upper()}{name[1:]}{kind.removesuffix('Request')}</a:Action>"


def envelope(
    body: str = f'<heartbeatRequest xmlns="{CS}"/>',
    *,
    identity: str | None = "CP 1",
    source: str | None = None,
    message_id: str = "urn:uuid:1",
    headers: str = "",
    soap: str = SOAP12,
) -> bytes:
    """A request as a Charge Point writes it, whatever stands in its Body."""
    named = "" if identity is None else f'<c:chargeBoxIdentity xmlns:c="{CS}">{escape(identity)}</c:chargeBoxIdentity>'
    action = "" if ":Action" in headers else action_of(body)
    sender = "" if source is None else f"<a:From><a:Address>{escape(source)}</a:Address></a:From>"
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}"><s:Header>{named}<a:MessageID>{message_id}</a:MessageID>'
        f"{action}{sender}{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def content(self) -> etree._Element:
        """The first element in the Body."""
        body = etree.fromstring(self.body).find("{*}Body")
        assert body is not None
        return body[0]

    @property
    def fault(self) -> tuple[str, str] | None:
        """Code and Subcode, QNames resolved; None if it is no Fault. "" is no Subcode."""
        content = self.content
        if etree.QName(content).localname != "Fault":
            return None
        if etree.QName(content).namespace == SOAP11:
            return _resolved(content.find("faultcode")), ""
        code = _resolved(content.find(f"{{{SOAP12}}}Code/{{{SOAP12}}}Value"))
        subcode = content.find(f"{{{SOAP12}}}Code/{{{SOAP12}}}Subcode/{{{SOAP12}}}Value")
        return code, "" if subcode is None else _resolved(subcode)

    @property
    def reason(self) -> str:
        return self.content.findtext(f"{{{SOAP12}}}Reason/{{{SOAP12}}}Text") or ""


def _resolved(element: etree._Element | None) -> str:
    assert element is not None
    prefix, _, name = (element.text or "").rpartition(":")
    return f"{{{element.nsmap[prefix or None]}}}{name}"


def sender(subcode: str) -> tuple[str, str]:
    """What `Answer.fault` is for a message that is at fault."""
    return f"{{{SOAP12}}}Sender", f"{{{CS}}}{subcode}"


def receiver(subcode: str) -> tuple[str, str]:
    """What `Answer.fault` is for a receiver that is."""
    return f"{{{SOAP12}}}Receiver", f"{{{CS}}}{subcode}"


class Listening(Protocol):
    """A gateway, in this process or in another."""

    @property
    def soap_address(self) -> tuple[str, int]: ...


async def post(
    gateway: Listening,
    body: bytes,
    *,
    path: str = PATH,
    method: str = "POST",
    headers: Mapping[str, str | None] | None = None,
    peer: str = "127.0.0.1",
) -> Answer:
    """One request over a connection of its own, from the address `peer`, byte for byte as it is told; a header that is
    None is left out."""
    lines: dict[str, str | None] = {
        "Host": "gateway",
        "Connection": "close",
        "Content-Type": "application/soap+xml; charset=utf-8",
        "Content-Length": str(len(body)),
    }
    lines |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return await asyncio.wait_for(
        _exchanged(gateway, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode(), body, peer), AT_MOST
    )


async def _exchanged(gateway: Listening, head: bytes, body: bytes, peer: str) -> Answer:
    reader, writer = await asyncio.open_connection(*gateway.soap_address, local_addr=(peer, 0))
    try:
        writer.write(head)
        writer.write(body)
        data = await _response(reader)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    response = http.client.HTTPResponse(_Bytes(data))  # type: ignore[arg-type]
    response.begin()
    return Answer(status=response.status, headers=dict(response.getheaders()), body=response.read())


async def _response(reader: asyncio.StreamReader) -> bytes:
    """As much as belongs to the response: the connection may stay."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
    return head + (await reader.read() if length is None else await reader.readexactly(int(length[1])))


class _Bytes:
    """What http.client takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


# A Charge Point under control: what it answers.

Respond = Callable[[bytes], Awaitable[web.Response]]


@dataclass(slots=True)
class RawChargePoint:
    """Where commands are POSTed to. `received` holds the bodies."""

    url: str = ""
    received: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def listening(respond: Respond, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RawChargePoint]:
    """A ChargePointService whose every response is made by `respond`."""
    point = RawChargePoint()

    async def answer(request: web.BaseRequest) -> web.Response:
        point.received.append(await request.read())
        point.arrived.set()
        return await respond(point.received[-1])

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    point.url = f"http://{host}:{runner.addresses[0][1]}/"
    try:
        yield point
    finally:
        await runner.cleanup()


def answering(
    body: str | bytes, *, status: int = 200, content_type: str = "application/soap+xml", headers: Any = None
) -> Respond:
    """The same response to everything; a str is what stands in the Body of an envelope."""
    data = envelope(body, identity=None) if isinstance(body, str) else body

    async def respond(_: bytes) -> web.Response:
        return web.Response(status=status, body=data, content_type=content_type, headers=headers)

    return respond


def fault(subcode: str, reason: str = "because", *, side: str = "Receiver", namespace: str = CP) -> str:
    """A SOAP 1.2 Fault, for the Body of an envelope."""
    return (
        f'<s:Fault xmlns:o="{namespace}"><s:Code><s:Value>s:{side}</s:Value><s:Subcode><s:Value>o:{subcode}</s:Value>'
        f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault>'
    )


# The log.


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[list[str]]:
    """The lines that the bridge logs, as they come."""
    lines: list[str] = []
    handler = _Collector(lines)
    handler.setFormatter(Lines("text", longest=100_000))
    logger = logging.getLogger("bridge")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def wire(payload: msgspec.Struct) -> Payload:
    """A PDU as plain JSON data."""
    data: Payload = msgspec.json.decode(msgspec.json.Encoder(decimal_format="number").encode(payload))
    return data
