"""The gateway: everything put together, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import msgspec

from bridge import config, logs
from bridge.access.gatekeeper import Gatekeeper
from bridge.admin.health import Health, ListenerHealth, LoopHealth, StoreHealth
from bridge.admin.metrics import Meter, Vitals
from bridge.admin.server import AdminServer, Desk
from bridge.config import Settings, Soap, WebSocket
from bridge.config.changes import needs_restart
from bridge.config.listeners import Place
from bridge.errors import UnknownIdentity
from bridge.gateway import doorplates, limits
from bridge.gateway.audit import Audit
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.conductor import Conductor
from bridge.gateway.desk import addresses_of, furnished, stream_of
from bridge.gateway.doorplates import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE
from bridge.gateway.doors import Reception
from bridge.gateway.in_progress import InProgress
from bridge.gateway.keeping import Keeping
from bridge.gateway.known import Ground
from bridge.gateway.listeners import Listeners
from bridge.gateway.live import Live
from bridge.gateway.placement import Placements
from bridge.gateway.pulse import Pulse
from bridge.gateway.services import Services, clients_of, load_services, served
from bridge.gateway.sessions import Sessions
from bridge.gateway.tally import Tally
from bridge.gateway.trust import Trust
from bridge.gateway.vitals import Outages, Places, central_systems, sessions_by_state
from bridge.gateway.watching import recorder_of, spans_of
from bridge.journal import Journal
from bridge.observing import Audience, Observer
from bridge.ocpp.actions import Party
from bridge.ocppj.server import JsonServer
from bridge.ocpps.door import Door
from bridge.ocpps.server import SoapServer
from bridge.store import Store
from bridge.tasks import Tasks

_log = logging.getLogger("bridge.gateway")

# WebSocket pings to Charge Points, and how long a handshake may take, the far side's included: seconds.
_PING_INTERVAL, _OPEN_TIMEOUT = 30.0, 30.0
# A few milliseconds' work.
_RESUMED_AT_ONCE = 20


class Gateway:
    """All of it. `start` and `close` it once, inside one event loop. It serves before `resumed` is done: when all
    Sessions are taken up that there were when it was last stopped."""

    resumed: asyncio.Task[None]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trust = Trust()
        self._placements = Placements(settings, self._trust.of)

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken, ConfigurationError when WSDLs or certificates are unusable."""
        settings = self._settings
        self._tasks = Tasks()
        self._traffic = InProgress(settings.gateway.max_in_flight, settings.limits.waiting_per_charge_point)
        self._store = Store(settings.store.url)
        self._store.open()
        self._recorder, recording = recorder_of(settings)
        try:
            await self._start(settings, recording)
        except BaseException:
            self._store.close()
            self._recorder.close()
            raise
        self.resumed = self._tasks.spawn(self._resume(), name="resuming")

    async def _start(self, settings: Settings, recording: Sequence[Observer]) -> None:
        self._trust.take_over(settings)
        central_system, charge_point = load_services(settings.soap[0].wsdl)
        self._clients = clients_of(settings, central_system, charge_point)
        self._keeping = Keeping(self._store)
        self._placements = self._placed()
        self._outages = Outages()
        self._pulse = Pulse(asyncio.get_running_loop())
        places = Places(lambda identity: self._sessions.get(identity))
        self._meter = Meter(places, self._vitals)
        self._spans = spans_of(settings.tracing, places)
        self._keys = AuthorizationKeys(
            self._store,
            self._tasks,
            lambda identity: self._sessions.get(identity),
            manage=settings.gateway.manage_authorization_key,
        )
        self._tally, self._live = Tally(self._keeping.record_of), Live(stream_of(self._recorder))
        watching = [Journal(), self._meter, self._outages, self._tally, self._live]
        self._audience = Audience([*watching, *self._spans, *recording, self._keys])
        self._sessions = Sessions(
            self._clients,
            self._tasks,
            self._traffic,
            self._keeping,
            self._audience,
            self._keys,
            lambda: self._listeners.all_callback_networks(),
        )
        self._listeners = Listeners(partial(self._audience.refused, None, None))
        self._reception = Reception(
            self._placements,
            self._sessions,
            self._listeners.callback_networks,
            Gatekeeper(self._tasks),
            self._keys,
        )
        self._doors = self._soap_doors(central_system, charge_point)
        self._admin = AdminServer(self._desk())
        for client in self._clients.all():
            await client.start()
        try:
            await self._listeners.open(settings, self._server_of)
        except BaseException:
            await self._close_all()
            raise
        self.addresses = {listening.place.name: listening.server.address for listening in self._listeners}
        self.soap_address = self._listeners.of(SoapServer)[0].address
        self.websocket_address, self.admin_address = self._listeners.of(JsonServer)[0].address, self._admin.address
        self._pulse.start()
        for caution in config.cautions(settings):
            logs.fields(_log, logging.WARNING, "caution", about=caution)

    async def close(self) -> None:
        """Drain: no new work, work in flight answered within `drain_timeout`, then WebSockets closed with 1001."""
        self._traffic.draining = self._reception.draining = True
        within = self._settings.gateway.drain_timeout
        logs.fields(_log, logging.INFO, "draining", within=within)
        drained = await self._traffic.drained(within)
        logs.fields(_log, logging.INFO, "stopping", drained=drained)
        await asyncio.gather(*(conductor.close() for conductor in self._sessions))
        await self._keys.settle()
        await self._close_all()
        self._store.close()
        self._recorder.close()

    async def _close_all(self) -> None:
        self._pulse.stop()
        await self._listeners.close()
        await self._tasks.close()
        for client in self._clients.all():
            await client.close()
        for spans in self._spans:
            await asyncio.to_thread(spans.close)

    def reload(self, settings: Settings) -> None:
        """Take over the Routes, Central Systems and Charge Points of `settings`. Sessions whose place has changed
        move: what is in flight ends where it is, what comes next goes to the new place. Certificates are read again.

        Raises ConfigurationError if files of TLS that are new in it cannot be read; then nothing is taken over."""
        self._trust.take_over(settings)
        self._listeners.reload(settings)
        self._sessions.limit_callbacks()
        for key in needs_restart(self._settings, settings):
            logs.fields(_log, logging.WARNING, "changed, and holds from the next start on", key=key)
        self._settings = msgspec.structs.replace(
            self._settings,
            routes=settings.routes,
            central_systems=settings.central_systems,
            charge_points=settings.charge_points,
            packs=settings.packs,
        )
        self._placements = self._reception.placements = self._placed()
        moved = [conductor for conductor in self._sessions if self._has_moved(conductor)]
        for conductor in moved:
            self._rehouse(conductor)
        logs.fields(_log, logging.INFO, "routes read again", routes=len(settings.routes), moved=len(moved))

    def _placed(self) -> Placements:
        """Who belongs where, by the configuration and by what operators chose."""
        for identity, name in self._keeping.moved().items():
            if name not in self._settings.central_systems:
                text = "moved to a Central System that is not configured any more: its route holds"
                logs.fields(_log, logging.WARNING, text, identity=identity, central_system=name)
        return Placements(self._settings, self._trust.of, self._keeping.moved_to)

    def _rehouse(self, conductor: Conductor) -> None:
        """Let a Session move if its place has changed."""
        if self._has_moved(conductor):
            self._sessions.forget(conductor)
            self._tasks.spawn(conductor.retire(), name=f"retiring {conductor.identity}")

    def _has_moved(self, conductor: Conductor) -> bool:
        try:
            return self._placements.of(conductor.identity) != conductor.placement
        except UnknownIdentity:
            return True

    async def _resume(self) -> None:
        """Take up the Sessions of the Charge Points that were there when the bridge was last stopped, some at a time:
        whoever has something to say meanwhile is answered."""
        now = time.time()
        for number, record in enumerate(self._keeping.charge_points()):
            if number % _RESUMED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._traffic.draining:
                return
            idle = 3 * record.interval if record.interval else 900
            if record.transport != "soap" or now - record.last_seen > idle or self._sessions.get(record.identity):
                continue
            with suppress(UnknownIdentity):
                placement = self._placements.of(record.identity)
                self._sessions.resume(placement, record, max(0.0, now - record.last_seen))

    def _server_of(self, place: Place) -> SoapServer | JsonServer | AdminServer:
        match place.table:
            case Soap():
                return self._soap_server(place.name, place.table)
            case WebSocket():
                return self._json_server(place.name, place.table)
        return self._admin

    def _soap_doors(self, central_system: Services, charge_point: Services) -> list[Door]:
        return [
            Door(
                path=CENTRAL_SYSTEM_SERVICE,
                caller=Party.CHARGE_POINT,
                services=served(central_system),
                receive=self._reception.soap_charge_point,
            ),
            Door(
                path=CHARGE_POINT_SERVICE,
                caller=Party.CENTRAL_SYSTEM,
                services=served(charge_point),
                receive=self._reception.soap_central_system,
            ),
        ]

    def _soap_server(self, name: str, soap: Soap) -> SoapServer:
        settings = self._settings
        return SoapServer(
            self._doors,
            name=name,
            admits=partial(self._listeners.admits, name),
            public_url=soap.public_url,
            elsewhere=doorplates.websocket_url(settings.soap, settings.websocket[0]),
            max_body=soap.max_body,
            body_timeout=settings.limits.body_timeout,
            idle_timeout=settings.limits.idle_timeout,
            bounds=limits.xml_bounds(settings.limits),
            rules=limits.rules(settings.limits),
            most_waiting=settings.gateway.max_in_flight,
            refused=self._audience.refused,
            turned_away=self._audience.turned_away,
        )

    def _json_server(self, name: str, websocket: WebSocket) -> JsonServer:
        soap_url = self._settings.soap[0].public_url.rstrip("/")
        text = (
            f"JSON Charge Points (OCPP-J): {doorplates.websocket_url(self._settings.soap, websocket)}\n"
            f"SOAP Charge Points (OCPP-S): POST {soap_url}{CENTRAL_SYSTEM_SERVICE}\n"
        )
        return JsonServer(
            self._reception.knock,
            name=name,
            admits=partial(self._listeners.admits, name),
            path=websocket.path,
            help_text=text,
            bounds=limits.frame_bounds(self._settings.limits),
            rules=limits.rules(self._settings.limits),
            ping_interval=_PING_INTERVAL,
            open_timeout=_OPEN_TIMEOUT,
            refused=self._audience.handshake_refused,
        )

    def _desk(self) -> Desk:
        ground = Ground(
            settings=lambda: self._settings,
            placements=lambda: self._placements,
            addresses=lambda: addresses_of(self._listeners),
            sessions=self._sessions,
            keeping=self._keeping,
            tally=self._tally,
            outages=self._outages,
            audit=Audit(self._store),
        )
        return furnished(
            ground,
            admin=self._settings.admin,
            health=self._health,
            meter=self._meter,
            live=self._live,
            recorder=self._recorder,
            rehouse=self._rehouse,
        )

    def _health(self) -> Health:
        return Health(
            store=StoreHealth(trouble=self._store.trouble),
            central_systems=central_systems(self._settings.central_systems, self._sessions, self._outages),
            listeners={
                listening.place.name: _health_of(listening.server)
                for listening in self._listeners
                if isinstance(listening.server, SoapServer | JsonServer)
            },
            event_loop=LoopHealth(lag=round(self._pulse.lag, 3)),
            draining=self._traffic.draining,
        )

    def _vitals(self) -> Vitals:
        return Vitals(
            sessions=sessions_by_state(self._sessions),
            central_systems=central_systems(self._settings.central_systems, self._sessions, self._outages),
            in_flight=self._traffic.in_progress,
            most_in_flight=self._settings.gateway.max_in_flight,
            store_trouble=self._store.trouble is not None,
            recorder_lost=self._recorder.lost_messages,
            recorder_waiting=self._recorder.waiting,
            draining=self._traffic.draining,
            lag=self._pulse.most,
        )


def _health_of(server: SoapServer | JsonServer) -> ListenerHealth:
    host, port = server.address
    return ListenerHealth(address=f"{host}:{port}", listening=server.listening)
