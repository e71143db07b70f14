"""The gateway: everything put together, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bridge import logs
from bridge.admin.server import AdminServer, CentralSystemHealth, Health, StoreHealth
from bridge.config import TLS, Listen, Settings
from bridge.core.session import Status
from bridge.dialects.versions import DIALECTS
from bridge.errors import Complaint, ConfigurationError, Unavailable, UnknownIdentity
from bridge.gateway.conductor import Conductor
from bridge.gateway.doors import Reception
from bridge.gateway.keeping import Keeping
from bridge.gateway.placement import Placements
from bridge.gateway.sessions import Clients, Sessions, mint
from bridge.gateway.ways import SHUTTING_DOWN
from bridge.journal import Journal
from bridge.observing import Audience
from bridge.ocpp.actions import Party
from bridge.ocppj.server import JsonServer
from bridge.ocpps.client import SoapClient
from bridge.ocpps.server import Door, SoapServer
from bridge.ocpps.service import SoapService
from bridge.ocpps.wsdl import Service, default_folder, folder_name, load
from bridge.store import Store
from bridge.tasks import Tasks
from bridge.tls import server_context

_log = logging.getLogger("bridge.gateway")
Services = dict[str, Service]

CENTRAL_SYSTEM_SERVICE = "/services/CentralSystemService"
CHARGE_POINT_SERVICE = "/services/ChargePointService"
_MAX_FRAME = 1_048_576
# WebSocket pings to Charge Points, and how long a handshake may take, the far side's included: seconds.
_PING_INTERVAL, _OPEN_TIMEOUT = 30.0, 30.0


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
            raise Unavailable(SHUTTING_DOWN)
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
    """All of it. `start` and `close` it once, inside one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._placements = Placements(settings)

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken, ConfigurationError when WSDLs or certificates are unusable."""
        settings = self._settings
        self._tasks = Tasks()
        self._traffic = _Traffic(settings.gateway.max_in_flight)
        self._store = Store(settings.store.url)
        self._store.open()
        try:
            await self._start(settings)
        except BaseException:
            self._store.close()
            raise
        self._resume()

    async def _start(self, settings: Settings) -> None:
        central_system, charge_point = _services(settings.soap.wsdl)
        self._clients = _clients(settings, central_system, charge_point)
        self._keeping = Keeping(self._store)
        self._audience = Audience([Journal()])
        self._sessions = Sessions(self._clients, self._tasks, self._traffic, self._keeping, self._audience)
        self._reception = Reception(self._placements, self._sessions, settings.soap.callback_networks)
        self._server = self._soap_server(central_system, charge_point)
        self._json = self._json_server()
        self._admin = AdminServer(self._health)
        for client in _all(self._clients):
            await client.start()
        try:
            await _listen(self._server, settings.soap.listen, "soap.listen", settings.soap.tls)
            await _listen(self._json, settings.websocket.listen, "websocket.listen", settings.websocket.tls)
            await _listen(self._admin, settings.admin.listen, "admin.listen", settings.admin.tls)
        except BaseException:
            await self._close_all()
            raise
        self.soap_address, self.admin_address = self._server.address, self._admin.address
        self.websocket_address = self._json.address
        self._log_listeners()

    async def close(self) -> None:
        """Drain: no new work, work in flight answered within `drain_timeout`, then WebSockets closed with 1001."""
        self._traffic.draining = self._reception.draining = True
        within = self._settings.gateway.drain_timeout
        logs.fields(_log, logging.INFO, "draining", within=within)
        drained = await self._traffic.drained(within)
        logs.fields(_log, logging.INFO, "stopping", drained=drained)
        await asyncio.gather(*(conductor.close() for conductor in self._sessions))
        await self._close_all()
        self._store.close()

    async def _close_all(self) -> None:
        await self._server.close()
        await self._json.close()
        await self._admin.close()
        await self._tasks.close()
        for client in _all(self._clients):
            await client.close()

    def reload(self, settings: Settings) -> None:
        """Take over the Routes, Central Systems and Charge Points of `settings`. Sessions whose place has changed
        move: what is in flight ends where it is, what comes next goes to the new place."""
        self._settings = msgspec.structs.replace(
            self._settings,
            routes=settings.routes,
            central_systems=settings.central_systems,
            charge_points=settings.charge_points,
            packs=settings.packs,
        )
        self._placements = self._reception.placements = Placements(self._settings)
        moved = [conductor for conductor in self._sessions if self._has_moved(conductor)]
        for conductor in moved:
            self._sessions.forget(conductor)
            self._tasks.spawn(conductor.retire(), name=f"retiring {conductor.identity}")
        logs.fields(_log, logging.INFO, "routes read again", routes=len(settings.routes), moved=len(moved))

    def _has_moved(self, conductor: Conductor) -> bool:
        try:
            return self._placements.of(conductor.identity) != conductor.placement
        except UnknownIdentity:
            return True

    def _resume(self) -> None:
        """Take up the Sessions of the Charge Points that were there when the bridge was last stopped."""
        now = time.time()
        for record in self._keeping.charge_points():
            idle = 3 * record.interval if record.interval else 900
            if record.transport != "soap" or now - record.last_seen > idle:
                continue
            try:
                placement = self._placements.of(record.identity)
            except UnknownIdentity:
                continue
            self._sessions.resume(placement, record, max(0.0, now - record.last_seen))

    def _soap_server(self, central_system: Services, charge_point: Services) -> SoapServer:
        settings = self._settings
        doors = [
            Door(
                path=CENTRAL_SYSTEM_SERVICE,
                caller=Party.CHARGE_POINT,
                services=_served(central_system),
                receive=self._reception.soap_charge_point,
            ),
            Door(
                path=CHARGE_POINT_SERVICE,
                caller=Party.CENTRAL_SYSTEM,
                services=_served(charge_point),
                receive=self._reception.soap_central_system,
            ),
        ]
        return SoapServer(
            doors,
            public_url=settings.soap.public_url,
            elsewhere=_websocket_url(settings),
            max_body=settings.soap.max_body,
            body_timeout=settings.gateway.call_timeout,
            refused=self._audience.refused,
        )

    def _json_server(self) -> JsonServer:
        websocket, soap_url = self._settings.websocket, self._settings.soap.public_url.rstrip("/")
        text = (
            f"JSON Charge Points (OCPP-J): {_websocket_url(self._settings)}\n"
            f"SOAP Charge Points (OCPP-S): POST {soap_url}{CENTRAL_SYSTEM_SERVICE}\n"
        )
        return JsonServer(
            self._reception.knock,
            path=websocket.path,
            help_text=text,
            max_size=_MAX_FRAME,
            ping_interval=_PING_INTERVAL,
            open_timeout=_OPEN_TIMEOUT,
            refused=self._audience.handshake_refused,
        )

    def _health(self) -> Health:
        """Of each Central System: how many Links are open, and how many are wanted but not."""
        health = {name: CentralSystemHealth() for name in self._settings.central_systems}
        for conductor in self._sessions:
            link = conductor.session.links[Party.CENTRAL_SYSTEM]
            counts = health.setdefault(conductor.placement.central_system, CentralSystemHealth())
            counts.connected += link.status is Status.UP
            counts.unreachable += link.status is not Status.UP and link.failures > 0
        return Health(store=StoreHealth(trouble=self._store.trouble), central_systems=health)

    def _log_listeners(self) -> None:
        listeners = (("soap", self._server), ("websocket", self._json), ("admin", self._admin))
        for name, listener in listeners:
            host, port = listener.address
            logs.fields(_log, logging.INFO, "listening", listener=name, address=f"{host}:{port}")


def _websocket_url(settings: Settings) -> str:
    """Where JSON Charge Points connect to, for people. A listener on all addresses is at that of the SOAP listener."""
    websocket, listen = settings.websocket, settings.websocket.listen
    if listen.host in ("0.0.0.0", "::"):  # noqa: S104
        listen = Listen(urlsplit(settings.soap.public_url).hostname or listen.host, listen.port)
    scheme = "ws" if websocket.tls is None else "wss"
    return f"{scheme}://{listen}{websocket.path.rstrip('/')}/{{identity}}"


def _all(clients: Clients) -> tuple[SoapClient, ...]:
    return (*clients.charge_point.values(), *clients.central_system.values())


def _clients(settings: Settings, central_system: Services, charge_point: Services) -> Clients:
    soap, public_url = settings.soap, settings.soap.public_url.rstrip("/")

    def client(service: Service, version: str, sent_from: str) -> SoapClient:
        return SoapClient(
            service,
            DIALECTS[version],
            sent_from=public_url + sent_from,
            mint=mint,
            max_body=soap.max_body,
        )

    return Clients(
        charge_point={
            version: client(service, version, CENTRAL_SYSTEM_SERVICE) for version, service in charge_point.items()
        },
        central_system={
            protocol: client(central_system[version], version, CHARGE_POINT_SERVICE)
            for protocol, version in (("ocpp1.6s", "1.6"), ("ocpp1.5s", "1.5"))
        },
    )


def _served(services: Services) -> dict[str, SoapService]:
    return {version: SoapService(service, mint, DIALECTS[version]) for version, service in services.items()}


def _services(configured: str) -> tuple[Services, Services]:
    """CentralSystemService and ChargePointService of every version, from the folder that is configured, or ours."""
    folders = {version: _wsdl_folder(configured, version) for version in DIALECTS}
    central_system = {version: load(folder / "CentralSystemService.wsdl") for version, folder in folders.items()}
    charge_point = {version: load(folder / "ChargePointService.wsdl") for version, folder in folders.items()}
    return central_system, charge_point


def _wsdl_folder(configured: str, version: str) -> Path:
    """The folder of one version's WSDLs: the official ones where the operator put them, in `ocpp16` and the like or,
    for 1.6, in the folder itself; ours for what is not there. Raises ConfigurationError if no 1.6 is there."""
    name = folder_name(version)
    ours = default_folder() / name
    if not configured:
        return ours
    candidates = [Path(configured) / name] + ([Path(configured)] if version == "1.6" else [])
    for folder in candidates:
        if (folder / "CentralSystemService.wsdl").is_file():
            return folder
    if version != "1.6":
        return ours
    text = f"{configured} holds no CentralSystemService.wsdl, nor does its folder {name}"
    raise ConfigurationError([Complaint(source="configuration", key="soap.wsdl", text=text)])


async def _listen(server: SoapServer | JsonServer | AdminServer, listen: Listen, key: str, tls: TLS | None) -> None:
    context = server_context(tls, key.replace("listen", "tls"))
    try:
        await server.start(listen.host, listen.port, context)
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"{key}: cannot listen at {listen}: {text}") from error
