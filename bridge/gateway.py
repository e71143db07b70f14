"""The gateway: the session table, the listeners, and the start and end of it all.

Arrivals find their Charge Point's Conductor here, by its identity and the Routes; what happens then is up to them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from pathlib import Path

from bridge import journal, logs
from bridge.admin.server import AdminServer, CentralSystemHealth
from bridge.conductor import Conductor, Placement
from bridge.config import CentralSystem, ChargePoint, Listen, Settings
from bridge.core import addresses
from bridge.core.routes import Route, Routes
from bridge.core.session import Session, Side, Status, Terms
from bridge.errors import Complaint, ConfigurationError, Unavailable
from bridge.ocpp.actions import Party
from bridge.ocppj.client import Target
from bridge.ocpps.client import SoapClient
from bridge.ocpps.server import Admission, Arrival, Door, SoapServer
from bridge.ocpps.service import SoapService
from bridge.ocpps.wsdl import Service, default_folder, load
from bridge.tasks import Tasks
from bridge.tls import server_context

_log = logging.getLogger("bridge.gateway")

CENTRAL_SYSTEM_SERVICE = "/services/CentralSystemService"
# A connection that each message brings with it, and one that stays (core.session.Side).
_POSTED = Side(dialable=False, carries_answers=False)
_DIALLED = Side(dialable=True, carries_answers=True)


def _mint() -> str:
    """A UniqueId: 36 characters, all that OCPP-J 1.6 section 4.1.4 allows."""
    return str(uuid.uuid4())


class _Traffic:
    """How many Calls are in progress, and whether more may come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_progress = 0
        self.draining = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def begin(self) -> None:
        if self.draining:
            raise Unavailable("the bridge is shutting down")
        if self._in_progress >= self._limit:
            raise Unavailable(f"the bridge is busy: {self._limit} Calls are in progress (gateway.max_in_flight)")
        self._in_progress += 1
        self._quiet.clear()

    def end(self) -> None:
        self._in_progress -= 1
        if not self._in_progress:
            self._quiet.set()

    async def drained(self, within: float) -> bool:
        """Whether all Calls ended, `within` seconds."""
        try:
            await asyncio.wait_for(self._quiet.wait(), within)
        except TimeoutError:
            return False
        return True


class Gateway:
    """All Sessions. `start` and `close` it once, inside one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._routes = _routes(settings)
        self._charge_points = _by_identity(settings)
        self._conductors: dict[str, Conductor] = {}

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken, ConfigurationError when WSDLs or certificates are unusable."""
        settings = self._settings
        self._tasks = Tasks()
        self._traffic = _Traffic(settings.gateway.max_in_flight)
        folder = _wsdl_folder(settings.soap.wsdl)
        central_system_service = load(folder / "CentralSystemService.wsdl")
        self._client = self._soap_client(load(folder / "ChargePointService.wsdl"))
        self._server = self._soap_server(central_system_service)
        self._admin = AdminServer(self._health)
        await self._client.start()
        try:
            await _listen(self._server, settings.soap.listen, "soap.listen", settings.soap.tls)
            await _listen(self._admin, settings.admin.listen, "admin.listen", settings.admin.tls)
        except BaseException:
            await self._close_all()
            raise
        self.soap_address, self.admin_address = self._server.address, self._admin.address
        _log_listeners(self)

    async def close(self) -> None:
        """Drain: no new work, work in flight answered within `drain_timeout`, then WebSockets closed with 1001."""
        self._traffic.draining = True
        within = self._settings.gateway.drain_timeout
        logs.fields(_log, logging.INFO, "draining", within=within)
        drained = await self._traffic.drained(within)
        logs.fields(_log, logging.INFO, "stopping", drained=drained)
        await asyncio.gather(*(conductor.close() for conductor in self._conductors.values()))
        await self._close_all()

    async def _close_all(self) -> None:
        await self._server.close()
        await self._admin.close()
        await self._tasks.close()
        await self._client.close()

    def reload(self, settings: Settings) -> None:
        """Take over the Routes of `settings`. Sessions that exist keep theirs."""
        self._routes, self._charge_points = _routes(settings), _by_identity(settings)
        logs.fields(_log, logging.INFO, "routes read again", routes=len(settings.routes))

    def _soap_client(self, service: Service) -> SoapClient:
        soap = self._settings.soap
        return SoapClient(
            service,
            sent_from=soap.public_url.rstrip("/") + CENTRAL_SYSTEM_SERVICE,
            mint=_mint,
            per_call=soap.connection_per_call,
            max_body=soap.max_body,
        )

    def _soap_server(self, service: Service) -> SoapServer:
        settings = self._settings
        door = Door(path=CENTRAL_SYSTEM_SERVICE, services={"1.6": SoapService(service, _mint)}, receive=self._receive)
        websocket = settings.websocket
        return SoapServer(
            [door],
            public_url=settings.soap.public_url,
            elsewhere=f"{'ws' if websocket.tls is None else 'wss'}://{websocket.listen}{websocket.path}/{{identity}}",
            max_body=settings.soap.max_body,
            body_timeout=settings.gateway.call_timeout,
            refused=lambda identity, peer, error: journal.refused(identity, peer, error),
        )

    # Arrivals.

    def _receive(self, arrival: Arrival) -> Admission:
        """Let a SOAP Charge Point's message in. Raises UnknownIdentity, or Unavailable while draining."""
        if self._traffic.draining:
            raise Unavailable("the bridge is shutting down")
        conductor = self._conductor(arrival.identity)
        networks = self._settings.soap.callback_networks
        addressing = arrival.addressing
        conductor.learn(addresses.learn(addressing.sent_from, addressing.reply_to, arrival.peer, networks))
        return Admission(
            unique_id=addressing.message_id or _mint(),
            strict=conductor.placement.strict,
            handle=conductor.call,
            lost=conductor.lost,
        )

    def _conductor(self, identity: str) -> Conductor:
        """The Charge Point's, made when it is first heard of. Raises UnknownIdentity."""
        known = self._conductors.get(identity.casefold())
        if known is not None:
            return known
        placement = self._place(identity, self._routes.find(identity))
        central_system = self._settings.central_systems[placement.central_system]
        session = Session(
            {Party.CHARGE_POINT: _POSTED, Party.CENTRAL_SYSTEM: _DIALLED},
            self._terms(central_system),
            mint=_mint,
            chance=random.random,
        )
        conductor = Conductor(
            identity,
            session,
            placement,
            soap=self._client,
            tasks=self._tasks,
            traffic=self._traffic,
            mint=_mint,
        )
        self._conductors[identity.casefold()] = conductor
        return conductor

    def _place(self, identity: str, route: Route) -> Placement:
        own = self._charge_points.get(identity.casefold(), ChargePoint())
        central_system = self._settings.central_systems[route.central_system]
        password = own.central_system_password
        return Placement(
            target=Target(
                url=central_system.url,
                identity=own.central_system_identity or identity,
                password=None if password is None else password.reveal(),
                ping_interval=central_system.ping_interval or None,
            ),
            central_system=route.central_system,
            strict=route.strict,
            pinned=addresses.pinned(own.callback_url) if own.callback_url else None,
        )

    def _terms(self, central_system: CentralSystem) -> Terms:
        return Terms(
            call_timeout=self._settings.gateway.call_timeout,
            reconnect_min=central_system.reconnect_min,
            reconnect_max=central_system.reconnect_max,
            replay_boot=central_system.replay_boot,
        )

    # Health.

    def _health(self) -> dict[str, CentralSystemHealth]:
        """Of each Central System: how many Links are open, and how many are wanted but not."""
        health = {name: CentralSystemHealth() for name in self._settings.central_systems}
        for conductor in self._conductors.values():
            link = conductor.session.links[Party.CENTRAL_SYSTEM]
            counts = health[conductor.placement.central_system]
            counts.connected += link.status is Status.UP
            counts.unreachable += link.status is not Status.UP and link.failures > 0
        return health


def _routes(settings: Settings) -> Routes:
    return Routes(
        [
            Route(
                charge_point=route.charge_point,
                central_system=route.central_system,
                strict=route.tolerance == "strict",
                listed_only=route.accept == "listed",
            )
            for route in settings.routes
        ],
        settings.charge_points,
    )


def _by_identity(settings: Settings) -> dict[str, ChargePoint]:
    return {identity.casefold(): charge_point for identity, charge_point in settings.charge_points.items()}


def _wsdl_folder(configured: str) -> Path:
    """The folder of the 1.6 WSDLs: ours, or the official ones where the operator put them, `ocpp16` or the folder
    itself. Raises ConfigurationError."""
    if not configured:
        return default_folder() / "ocpp16"
    for folder in (Path(configured) / "ocpp16", Path(configured)):
        if (folder / "CentralSystemService.wsdl").is_file():
            return folder
    text = f"{configured} holds no CentralSystemService.wsdl, nor does its folder ocpp16"
    raise ConfigurationError([Complaint(source="configuration", key="soap.wsdl", text=text)])


async def _listen(server: SoapServer | AdminServer, listen: Listen, key: str, tls: object) -> None:
    from bridge.config import TLS

    assert tls is None or isinstance(tls, TLS)
    context = server_context(tls, key.replace("listen", "tls"))
    try:
        await server.start(listen.host, listen.port, context)
    except OSError as error:
        raise OSError(error.errno, f"{key}: cannot listen at {listen}: {error.strerror or error}") from error


def _log_listeners(gateway: Gateway) -> None:
    for name, (host, port) in (("soap", gateway.soap_address), ("admin", gateway.admin_address)):
        logs.fields(_log, logging.INFO, "listening", listener=name, address=f"{host}:{port}")
