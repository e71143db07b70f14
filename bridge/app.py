"""The gateway: create all parts, start them and stop them."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from bridge import config
from bridge.admin.by_tenant import ByTenant
from bridge.admin.health import ClusterHealth, Health, ListenerHealth, LoopHealth, StoreHealth
from bridge.admin.history import TrafficHistory
from bridge.admin.loss_counts import LossCounts
from bridge.admin.metrics import HealthCounts, Meter
from bridge.admin.server import AdminContext, AdminServer
from bridge.admin.shared_sign_in import SharedSignIn
from bridge.admin.sign_in import SignIn
from bridge.cluster.slots import slot_of
from bridge.config import Listen, Settings, Soap, WebSocket
from bridge.config.changes import needs_restart
from bridge.config.cluster import is_cluster
from bridge.config.listeners import Place, admin_url
from bridge.config.tenants import soap_url, urls_of
from bridge.core.state import Observation, State
from bridge.core.transactions import KnownTransaction
from bridge.errors import BridgeError
from bridge.gateway import limits, public_addresses
from bridge.gateway.admin_context import access_of, addresses_of, admin_context_of, stream_of
from bridge.gateway.admin_forwarding import AdminForwarding
from bridge.gateway.admission import AdmissionControl
from bridge.gateway.audit import Audit, CallbackChanges
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.certificate_ends import CertificateEnds, read_ends
from bridge.gateway.change_history import ChangeHistory
from bridge.gateway.event_loop_lag import EventLoopLag
from bridge.gateway.event_receivers import receivers_of
from bridge.gateway.fleet_status import UnreadConfiguration
from bridge.gateway.fleet_tally import FaultCodes, FleetTally
from bridge.gateway.forwarding import Forwarding
from bridge.gateway.gatekeeper import Gatekeeper
from bridge.gateway.health import Outages, SpokenProtocols, observer_counts, receiver_counts
from bridge.gateway.holder_search import HolderSearch
from bridge.gateway.in_progress import InProgress
from bridge.gateway.known import KnownChargePoints, UnixTimes, ViewSources
from bridge.gateway.listeners import Listeners, descriptors_wanted, proxies_of, watch_accepting
from bridge.gateway.live_forwarding import LiveForwarding
from bridge.gateway.live_stream import LiveStream
from bridge.gateway.move_nodes import ClusterMoves
from bridge.gateway.moves import Moves
from bridge.gateway.newcomers import Newcomers
from bridge.gateway.node import Node
from bridge.gateway.observer_transports import ObserverTransports
from bridge.gateway.observers import Observers
from bridge.gateway.opening import open_store
from bridge.gateway.operators import Operators
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placements
from bridge.gateway.policies import policy_table_of
from bridge.gateway.provisioning import Provisioning
from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE
from bridge.gateway.readiness import ShadowComparisons
from bridge.gateway.readiness_reports import ReadinessReports
from bridge.gateway.recognised import KeptTags
from bridge.gateway.rerouting import LOOKED_AT_ONCE, Rerouting
from bridge.gateway.route_choices import RouteChoices
from bridge.gateway.services import Services, clients_of, load_services, served
from bridge.gateway.session_runner import always
from bridge.gateway.sessions import Sessions
from bridge.gateway.sign_in import require_library, terms_of
from bridge.gateway.sign_in_forwarding import SignInForwarding
from bridge.gateway.states import ChargePointStates
from bridge.gateway.stored_settings import StoredSettings
from bridge.gateway.tls_contexts import TlsContexts
from bridge.gateway.transaction_views import TransactionViews
from bridge.gateway.transports import SHUTTING_DOWN
from bridge.gateway.views import SessionViews
from bridge.gateway.waking import Waker
from bridge.gateway.watching import outbox_of, recorder_of, spans_of
from bridge.net.descriptors import Inherited
from bridge.net.endpoints import SoapEndpoint
from bridge.net.json_server import JsonServer
from bridge.net.lookups import own_threads
from bridge.net.soap_server import SoapServer
from bridge.net.tasks import Background, Tasks, Threads
from bridge.ocpp.actions import Party
from bridge.ocpp.tenants import key_of, named
from bridge.ocpp.wire import Wires
from bridge.ocpps.service import PendingRequests
from bridge.recorder import Recorder
from bridge.store import (
    AuditRecord,
    CredentialRecord,
    MoveRecord,
    ProvisionedRecord,
    Record,
    RecordStore,
    Store,
)
from bridge.watching import logs
from bridge.watching.audience import Audience
from bridge.watching.facts import (
    HandshakeRefused,
    MessageRefused,
    ProxyFieldsIgnored,
    RequestsUnread,
    Watcher,
)
from bridge.watching.traffic_log import TrafficLog

if TYPE_CHECKING:
    from bridge.gateway.cluster_parts import ClusterParts

_log = logging.getLogger("bridge.gateway")

# The most seconds for a handshake, including the handshake with the Central System.
_OPEN_TIMEOUT = 30.0
# Seconds that what a process of a cluster passes on may take when it stops.
_PASSED_ON = 5.0
# Seconds that the start waits for another process that has the store.
_STORE_PATIENCE = 30.0
# Seconds that the start waits for a name server, which may come later than the bridge.
_NAMES_PATIENCE = 1.0


class Gateway:
    """The whole bridge. Call `start` and `close` once each, in one event loop.

    Args:
        settings: The configuration.
        clock: Returns the time in unix seconds, by which it is decided how long a Charge Point has been silent.
        inherited: The sockets that another process bound, by the name of the listener.
        reports: Whether to log what holds for all workers of the machine alike: cautions, and keys that need a restart.

    Attributes:
        resumed: A task that is done when all Sessions from before the last stop are resumed. The bridge serves before
            that.
    """

    resumed: asyncio.Task[None]

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        *,
        inherited: Mapping[str, Inherited] = MappingProxyType({}),
        reports: bool = True,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._inherited = inherited
        self._reports = reports
        self._tls_contexts = TlsContexts()
        self._placements = Placements(settings, self._tls_contexts.of)
        self._operators = Operators(settings.store.url)

    async def start(self) -> None:
        """Start the bridge and listen.

        Raises:
            OSError: A port is taken.
            ConfigurationError: A WSDL or a certificate cannot be used.
            StartError: The store exists and cannot be read.
        """
        settings = self._settings
        require_library(settings.admin)
        self._valid = self._operators.valid(settings.admin)
        watch_accepting()
        own_threads()
        self._files = Threads(1, name="files")
        self._tasks = Tasks()
        self._background = Background()
        self._traffic = InProgress(settings.gateway.max_in_flight, settings.limits.waiting_per_charge_point)
        self._cluster: ClusterParts | None = None
        self._follows = self._is_stopping = False
        self._store = await self._opened_store(settings)
        self._recorder, recording = recorder_of(settings)
        try:
            await self._start(settings, recording)
        except BaseException:
            await self._close_store()
            self._recorder.close()
            raise
        self.resumed = self._tasks.spawn(self._rerouting.resume(self._persistence.charge_points()), name="resuming")

    async def _opened_store(self, settings: Settings) -> RecordStore:
        """Return the store: the file of this process, or the records that it shares with others."""
        if is_cluster(settings):
            from bridge.gateway.cluster_parts import ClusterParts  # needs the extra `cluster`

            self._cluster = ClusterParts(settings, self._shared_records_changed, self._background)
            await self._cluster.start()
            return self._cluster.store
        loop = asyncio.get_running_loop()
        store = Store(settings.store.url, on_found=lambda: loop.call_soon_threadsafe(self._read_store_again))
        await open_store(store, _STORE_PATIENCE)
        return store

    async def _close_store(self) -> None:
        if self._cluster is not None:
            await self._cluster.close()
        else:
            self._store.close()

    async def _start(self, settings: Settings, recording: Sequence[Recorder]) -> None:
        self._tls_contexts.take_over(settings, self._tls_contexts.read_for(settings))
        self._certificates = CertificateEnds(self._clock)
        self._certificates.take(read_ends(settings))
        central_system, charge_point = load_services(settings.soap[0].wsdl)
        self._clients = clients_of(settings, central_system, charge_point)
        self._pending = PendingRequests()
        self._audit = Audit(self._store, number=None if self._cluster is None else self._cluster.number)
        self._stored_settings = StoredSettings(self._store, self._tls_contexts)
        self._newcomers = Newcomers(settings.limits.new_identities_per_minute)
        loop_time = asyncio.get_running_loop().time
        self._states = ChargePointStates(self._observed, loop_time, self._state_changed)
        self._fault_codes = FaultCodes()
        self._fleet = FleetTally(lambda key: KnownChargePoints.of(self._ground, key).entry(), loop_time)
        self._persistence = Persistence(
            self._store, self._clock, accepted=self._newcomers.accepted, changed=self._look_again
        )
        self._rerouting = Rerouting(
            settings=lambda: self._settings,
            placements=lambda: self._placements,
            tls_contexts=self._tls_contexts,
            persistence=self._persistence,
            stored_settings=self._stored_settings,
            sessions=lambda: self._sessions,
            see=lambda fact: self._audience.see(fact),
            clock=self._clock,
            is_stopping=lambda: self._is_stopping,
            background=self._background,
        )
        self._placements = self._rerouting.place()
        self._provisioning = Provisioning(
            self._stored_settings,
            self._audit,
            self._tls_contexts,
            settings=lambda: self._settings,
            placements=lambda: self._placements,
            changed=self._settings_changed,
            serves=_everything if self._cluster is None else lambda key: self._node.serves(key),
        )
        places = SpokenProtocols(lambda identity: self._sessions.get(identity))
        self._outages = Outages(self._clock)
        self._event_loop_lag = EventLoopLag(asyncio.get_running_loop())
        self._meter = Meter(places, self._vitals)
        self._spans = spans_of(settings.tracing, places)
        self._keys = AuthorizationKeys(
            self._store,
            self._tasks,
            lambda identity: self._sessions.get(identity),
            manage=settings.gateway.manage_authorization_key,
        )
        self._call_counters, self._live = (
            CallCounters(self._persistence.record_of),
            LiveStream(stream_of(self._recorder, settings.cluster.node if self._cluster is not None else "")),
        )
        self._changes = ChangeHistory(self._clock)
        self._events = outbox_of(settings, self._central_system_of)
        await self._events.take_over(receivers_of(settings.events, self._tls_contexts.of))
        begun = self._clock()
        self._history = ByTenant(
            lambda tenant: TrafficHistory(lambda: self._fleet.open_transactions(tenant), self._clock, begun)
        )
        self._losses = ByTenant(lambda tenant: LossCounts(self._clock))
        self._cautions = _cautions(settings)
        self._unread = UnreadConfiguration()
        watching: list[Watcher] = [
            TrafficLog(calls=settings.gateway.log_calls),
            self._meter,
            self._history,
            self._losses,
            self._fault_codes,
            self._fleet,
            self._outages,
            self._call_counters,
            self._live,
            self._changes,
        ]
        self._callback_changes = CallbackChanges(self._audit)
        self._comparisons = ShadowComparisons(
            self._store,
            mask_id_tags=settings.recorder.mask_id_tags,
            max_age=settings.recorder.max_age,
            known=lambda identity: self._persistence.record_of(identity) is not None,
            clock=self._clock,
            shared=self._cluster is not None,
        )
        self._choices = RouteChoices(lambda: self._ground, lambda fact: self._audience.see(fact), self._rerouting.move)
        self._moves = Moves(
            lambda: self._ground,
            self._choices,
            lambda tenant: SessionViews(self._ground).waiting_moves(tenant),
            self._store,
            self._tasks,
        )
        watching += [self._callback_changes, *self._spans, *recording, self._keys, self._events]
        self._observers = Observers(
            settings.store.url,
            tasks=self._tasks,
            persistence=self._persistence,
            sessions=lambda: self._sessions,
            transport_of=lambda runner: self._observer_transports.of(runner),
            max_bytes=settings.observers.max_bytes,
            clock=self._clock,
            shared=None if self._cluster is None else self._cluster.store,
            may_act=always if self._cluster is None else lambda: self._node.may_act(),
        )
        watching += [self._choices, self._moves, self._comparisons, self._observers]
        self._audience = Audience(watching, records=bool(recording), on_disk=self._events.on_disk)
        self._observers.audience = self._audience
        self._choices.owed, self._observers.drained = self._observers.owes, self._choices.look_again
        self._listeners = Listeners(partial(self._refused, None, None), self._inherited)
        self._waker = Waker(self._tasks, lambda: self._listeners.own)
        self._sessions = Sessions(
            self._clients,
            self._tasks,
            self._traffic,
            self._persistence,
            self._audience,
            self._keys,
            self._listeners,
            self._pending.answer,
            self._waker.wake,
            lambda identity: self._placements.lists(identity),
            placed_at=lambda identity, central_system: self._placements.at(identity, central_system),
            drain_for=settings.gateway.drain_hours * 3600.0,
            given_up=self._transactions_given_up,
            policies=policy_table_of(settings),
            observers_of=self._observers.names_for,
            may_act=always if self._cluster is None else lambda: self._node.may_act(),
            has=_everything if self._cluster is None else lambda key: self._node.has(key),
        )
        if self._cluster is not None:
            self._node = self._node_of(self._cluster)
        self._observer_transports = ObserverTransports(
            self._clients, self._tasks, self._sessions.gate_of, self._pending.answer
        )
        self._sessions.counts.changed = self._look_again
        self._sessions.counts.state_of = self._states.of
        self._ground = self._sources()
        self._observers.take_over(self._placements, self._sessions.policies)
        self._transactions = TransactionViews(self._store, self._sessions, self._clock)
        known = (*self._persistence.keys(), *(one.identity for one in self._placements.listed))
        self._states.begin(known)
        self._fleet.begin(known)
        self._sessions.trim(settings.limits.charge_points)
        self._gatekeeper = Gatekeeper(self._tasks, KeptTags(self._store))
        self._admission_control = AdmissionControl(
            self._placements,
            self._sessions,
            self._gatekeeper,
            self._keys,
            self._newcomers,
            self._observers,
            self._rerouting.resume_known,
        )
        self._forwarding = self._forward() if self._cluster is not None else None
        if self._cluster is not None:
            self._moves.join(ClusterMoves(self._node, self._holders, self._cluster.courier), self._node.serves)
        self._live_forwarding = (
            None if self._cluster is None else LiveForwarding(self._live.stream, self._node, self._cluster.courier)
        )
        self._endpoints = self._soap_endpoints(central_system, charge_point)
        self._sign_in = SignIn(self._live.stream.check, self._shared_sign_in())
        self._access = access_of(settings, self._valid.credentials, self._sign_in)
        await self._take_over_sign_in(settings)
        self._admin = AdminServer(
            self._admin_context(), partial(self._refused, None), proxies_of(settings.admin, self._fields_ignored)
        )
        try:
            if self._cluster is not None:
                await self._cluster.join(self._node)
            await self._listeners.open(settings, self._server_of)
            if self._cluster is not None:
                self._node.serve()
            self._follows = True
            if self._cluster is not None:
                self._read_store_again()
            self._moves.begin()
            self._tasks.spawn(self._choices.follow(), name="looking at moves that wait")
            self._tasks.spawn(self._comparisons.forget(), name="forgetting old differences")
            names = self._tasks.spawn(self._listeners.look_up(), name="looking up the public names")
            await asyncio.wait([names], timeout=_NAMES_PATIENCE)
        except BaseException:
            await self._close_all()
            raise
        self._tasks.spawn(self._listeners.follow_names(), name="following the public names")
        self.addresses = {listening.place.name: listening.server.address for listening in self._listeners}
        self.soap_address = self._listeners.of(SoapServer)[0].address
        self.websocket_address, self.admin_address = self._listeners.of(JsonServer)[0].address, self._admin.address
        self._event_loop_lag.start()
        self._operators.report()
        for caution in self._cautions if self._reports else ():
            logs.fields(_log, logging.WARNING, "caution", about=caution)
        if (few := descriptors_wanted(settings)) is not None:
            logs.fields(_log, logging.WARNING, "caution", about=few)

    @property
    def admin_token(self) -> bytes | None:
        """Return the admin API token that the bridge made, or None if the configuration has a token."""
        return self._valid.own

    @property
    def console_url(self) -> str:
        """Return the URL of the console for a browser on this machine.

        The token that the bridge made is in the fragment, which no browser sends and no log holds.
        """
        listen = Listen(self._settings.admin.listen.host, self.admin_address[1])
        url = admin_url(msgspec.structs.replace(self._settings.admin, listen=listen))
        return f"{url}/" if self._valid.own is None else f"{url}/#token={quote(self._valid.own)}"

    async def close(self) -> None:
        """Drain and stop the bridge.

        In a cluster, the Charge Points are handed over to other processes first. New Calls are refused, Calls in
        progress are answered within `drain_timeout`, and then WebSockets are closed with 1001.
        """
        self._is_stopping = True
        within, began = self._settings.gateway.drain_timeout, asyncio.get_running_loop().time()
        if self._cluster is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._node.leave(within)
        self._traffic.draining = self._admission_control.draining = True
        logs.fields(_log, logging.INFO, "draining", within=within)
        for runner in tuple(self._sessions):
            runner.drain()
        drained = await self._traffic.drained(self._left_to_drain(began))
        await self._sessions.late_posts.drained(self._left_to_drain(began))
        if self._forwarding is not None:
            await self._forwarding.drained(min(within, _PASSED_ON))
        logs.fields(_log, logging.INFO, "stopping", drained=drained)
        await asyncio.gather(*(runner.close() for runner in self._sessions))
        self._pending.close(SHUTTING_DOWN)
        await self._keys.settle()
        await self._close_all()
        self._callback_changes.settle()
        self._moves.close()
        self._comparisons.close()
        self._audit.close()
        self._transactions.close()
        await self._close_store()
        self._recorder.close()

    def _left_to_drain(self, began: float) -> float:
        """Return the seconds that are left to a drain that began at a time of the event loop."""
        return max(0.0, self._settings.gateway.drain_timeout - (asyncio.get_running_loop().time() - began))

    async def _close_all(self) -> None:
        self._event_loop_lag.stop()
        await self._listeners.close()
        if self._forwarding is not None:
            await self._forwarding.close()
            await self._holders.close()
            await self._node.close()
        if self._live_forwarding is not None:
            await self._live_forwarding.close()
        await self._observers.close()
        self._gatekeeper.close()
        await self._tasks.close()
        for client in self._clients.all():
            await client.close()
        await self._waker.close()
        await self._sign_in.close()
        await self._events.close()
        self._provisioning.close()
        for spans in self._spans:
            await self._files.run(spans.close)
        self._files.close()

    async def reload(self, settings: Settings) -> None:
        """Take over the Routes, Central Systems, Charge Points and policies of `settings`.

        The certificates are read again.

        Sessions whose placement has changed move: Calls in progress end on the present route, and later Calls take the
        new one.

        Raises:
            ConfigurationError: A TLS file that `settings` newly names cannot be read. Then nothing is taken over.
        """
        await self._rerouting.check(settings)
        built = await self._files.run(partial(self._tls_contexts.read_for, settings))
        ends = await self._files.run(partial(read_ends, settings, again=True))
        again = await self._files.run(partial(self._tls_contexts.read, self._stored_settings.tables()))
        valid = self._operators.valid(settings.admin)
        receivers = receivers_of(settings.events, self._tls_contexts.of)
        require_library(settings.admin)
        self._tls_contexts.take_over(settings, built)
        self._certificates.take(ends)
        self._stored_settings.take(again)
        self._valid = valid
        self._access.credentials, self._access.shared = valid.credentials, bool(settings.tenants)
        await self._take_over_sign_in(settings)
        self._live.stream.check()
        await self._events.take_over(receivers)
        self._operators.report()
        self._listeners.reload(settings)
        self._sessions.limit_callbacks()
        pending = tuple(needs_restart(self._settings, settings))
        for key in pending if self._reports else ():
            logs.fields(_log, logging.WARNING, "changed, and holds from the next start on", key=key)
        self._unread = UnreadConfiguration(pending=pending)
        self._settings = msgspec.structs.replace(
            self._settings,
            routes=settings.routes,
            central_systems=settings.central_systems,
            charge_points=settings.charge_points,
            tenants=settings.tenants,
            events=settings.events,
            packs=settings.packs,
            policies=settings.policies,
        )
        self._sessions.policies = policy_table_of(settings)
        placements = self._rerouting.place()
        held = await self._choices.hold(self._placements, placements, settings.gateway.move_when)
        self._placements = self._admission_control.placements = placements
        self._observers.take_over(placements, self._sessions.policies)
        moved = await self._rerouting.move_all()
        await self._update_states()
        self._cautions = await self._files.run(partial(_cautions, self._settings))
        logs.fields(_log, logging.INFO, "routes read again", routes=len(settings.routes), waiting=held, moved=moved)

    def reload_refused(self, complaints: Sequence[str]) -> None:
        """Note that the configuration file was not taken over, and why. The overview says so until it is."""
        self._unread = msgspec.structs.replace(self._unread, complaints=tuple(complaints))

    async def _take_over_sign_in(self, settings: Settings) -> None:
        """Let operators sign in as `settings` says."""
        terms = terms_of(settings.admin, self._tls_contexts.of, self._sign_in.terms)
        await self._sign_in.take_over(terms)
        self._access.public_origin = None if terms is None else terms.public_url

    def _read_store_again(self) -> None:
        """Apply the stored decisions of operators after the store has found its file.

        The file could not be read when the bridge was started.
        """
        if self._traffic.draining:
            return
        self._persistence.read_again()
        self._stored_settings.read_again()
        self._keys.read_again()
        self._audit.read_again()
        self._comparisons.read_again()
        self._placements = self._admission_control.placements = self._rerouting.place()
        self._observers.take_over(self._placements, self._sessions.policies)
        self._tasks.spawn(self._rerouting.move_all(), name="moving Charge Points")
        self._tasks.spawn(self._update_states(), name="working out the states")

    async def _update_states(self) -> None:
        """Work out the states anew after a change of the configuration or the store. Other work is served in between.

        The change may add Charge Points, or leave some without a Route.
        """
        listed = {one.identity.casefold() for one in self._placements.listed}
        known = listed.union(self._states.keys(), self._persistence.keys())
        for number, identity in enumerate(known, start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            self._look_again(identity)

    def _look_again(self, identity: str) -> None:
        """Count a Charge Point anew, because something about it has changed."""
        self._states.update(identity)
        self._fleet.update(identity)

    def _observed(self, identity: str) -> Observation | None:
        return KnownChargePoints.of(self._ground, identity).observed()

    def _state_changed(self, key: str, state: State) -> None:
        identity = self._sessions.spelling(key)
        self._live.state_changed(identity, state)
        self._changes.state_changed(identity, state)

    async def _settings_changed(self, identities: Sequence[str]) -> None:
        """Move the Sessions whose placement has changed with the settings of these Charge Points."""
        for number, identity in enumerate(identities, start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if (runner := self._sessions.get(identity)) is not None:
                self._rerouting.move(runner)
            self._observers.follow(identity)
            self._look_again(identity)

    def _central_system_of(self, identity: str) -> str:
        """Return the name of a Charge Point's Central System, "" without a Session."""
        runner = self._sessions.get(identity)
        return "" if runner is None else runner.placement.central_system

    def _shadows_of(self, identity: str) -> set[str]:
        """Return the names of the Central Systems that are shadows for a Charge Point."""
        further = self._placements.observers_of(identity)
        return {terms.central_system for terms in further if terms.is_shadow}

    def _node_of(self, cluster: ClusterParts) -> Node:
        """Return this process as one of a cluster."""
        return Node(
            node=self._settings.cluster.node,
            sessions=self._sessions,
            store=cluster.store,
            pending=self._pending,
            observers=self._observers,
            tasks=self._tasks,
            background=self._background,
            loaded=self._slots_loaded,
            loaded_early=self._charge_point_loaded,
            left=self._comparisons.release,
            dropped=self._slots_dropped,
            stop=self._must_end,
        )

    def _forward(self) -> Forwarding:
        """Return what lets other processes handle what is theirs."""
        assert self._cluster is not None
        self._holders = HolderSearch(self._node, self._cluster.courier)
        return Forwarding(
            self._holders,
            self._cluster.courier,
            process=self._cluster.process,
            handshake=self._admission_control.handshake,
            placements=lambda: self._placements,
            servers=lambda: {
                one.place.name: one.server for one in self._listeners if isinstance(one.server, SoapServer)
            },
        )

    def _slots_loaded(self, slots: Collection[int]) -> None:
        """Take over the records of slots that this process holds from now on."""
        assert self._cluster is not None
        records = self._cluster.store.charge_points_in(slots)
        self._persistence.take(records)
        self._observers.take(slots)
        self._tasks.spawn(self._look_at(slots), name="working out the states")
        self._tasks.spawn(self._rerouting.resume(records), name="resuming")

    def _charge_point_loaded(self, key: str) -> None:
        """Take over the record of a Charge Point whose slot this process holds from now on."""
        record = self._store.memory_of(key).charge_point
        if record is not None:
            self._persistence.take([record])
        self._observers.take_one(key)
        if record is not None:  # the Central System may wait for it, to send a command
            self._rerouting.resume_one(record)

    def _shared_records_changed(self, records: Sequence[Record]) -> None:
        """Apply what operators have decided through another process."""
        if not self._follows:  # all is read again when this process begins to serve
            return
        if any(isinstance(record, ProvisionedRecord | CredentialRecord) for record in records):
            self._read_store_again()
        if any(isinstance(record, AuditRecord) for record in records):
            self._audit.read_again()
        if any(isinstance(record, MoveRecord) for record in records):
            self._moves.read_again()

    def _slots_dropped(self, slots: Collection[int]) -> None:
        """Forget the Charge Points of slots that another process holds from now on."""
        gone = frozenset(slots)
        self._persistence.release(lambda key: slot_of(key) not in gone)
        self._tasks.spawn(self._look_at(gone), name="working out the states")

    async def _look_at(self, slots: Collection[int]) -> None:
        """Count the Charge Points of slots anew. Other work is served in between."""
        listed = {one.identity.casefold() for one in self._placements.listed}
        keys = [key for key in listed.union(self._states.keys()) if slot_of(key) in slots]
        for number, key in enumerate(keys, start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            self._look_again(key)

    def _must_end(self, reason: str) -> None:
        """End the process, which must not serve any more."""
        logs.fields(_log, logging.ERROR, "stopping", reason=reason)
        signal.raise_signal(signal.SIGTERM)

    def _server_of(self, place: Place) -> SoapServer | JsonServer | AdminServer:
        match place.table:
            case Soap():
                return self._soap_server(place.name, place.table)
            case WebSocket():
                return self._json_server(place.name, place.table)
        return self._admin

    def _soap_endpoints(self, central_system: Services, charge_point: Services) -> list[SoapEndpoint]:
        return [
            SoapEndpoint(
                path=CENTRAL_SYSTEM_SERVICE,
                caller=Party.CHARGE_POINT,
                services=served(central_system),
                senders={version: service.namespace for version, service in charge_point.items()},
                receive=self._admission_control.soap_charge_point,
            ),
            SoapEndpoint(
                path=CHARGE_POINT_SERVICE,
                caller=Party.CENTRAL_SYSTEM,
                services=served(charge_point),
                senders={version: service.namespace for version, service in central_system.items()},
                receive=self._admission_control.soap_central_system,
            ),
        ]

    def _refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
        wires: Wires | None = None,
    ) -> None:
        self._audience.see(MessageRefused.of(identity, peer, error, unique_id, by, data, wires))

    def _transactions_given_up(
        self, identity: str, central_system: str, transactions: Sequence[KnownTransaction]
    ) -> None:
        for row in transactions:
            detail = f"transaction {row.named} of connector {row.connector} at {central_system}"
            self._audit.add(
                identity, who="ocpp-bridge", what="give up", detail=detail, outcome="it has not ended there"
            )
        self._fleet.update(identity)

    def _fields_ignored(self, peer: str, fields: str) -> None:
        self._audience.see(ProxyFieldsIgnored(peer, fields))

    def _soap_server(self, name: str, soap: Soap) -> SoapServer:
        settings = self._settings
        others = (each for each in settings.websocket if each.tenant == soap.tenant)
        beside = next(others, settings.websocket[0])
        return SoapServer(
            self._endpoints,
            pending=self._pending,
            name=name,
            admits=partial(self._listeners.admits, name),
            tenant_at=partial(self._listeners.tenant_at, name),
            url_for=lambda tenant: next(iter(urls_of(soap, soap.public_url, tenant, self._settings)), soap.public_url),
            holders=self._forwarding,
            public_url=soap.public_url,
            elsewhere=public_addresses.websocket_url(settings.soap, beside),
            max_body=soap.max_body,
            body_timeout=settings.limits.body_timeout,
            idle_timeout=settings.limits.idle_timeout,
            bounds=limits.xml_bounds(settings.limits),
            rules=limits.rules(settings.limits),
            proxies=proxies_of(soap, self._fields_ignored),
            most_waiting=max(1, settings.gateway.max_in_flight // 2),
            refused=self._refused,
            turned_away=partial(self._turned_away, key_of(named(soap.tenant), "") or None),
        )

    def _turned_away(self, identity: str | None, peer: str, error: BridgeError, times: int) -> None:
        """Report requests that were refused unread. `identity` is a key for the tenant of the listener."""
        self._audience.see(RequestsUnread.of(peer, error, times, identity))

    def _json_server(self, name: str, websocket: WebSocket) -> JsonServer:
        text = f"JSON Charge Points (OCPP-J): {public_addresses.websocket_url(self._settings.soap, websocket)}\n"
        if url := soap_url(self._settings, named(websocket.tenant)):
            text += f"SOAP Charge Points (OCPP-S): POST {url}{CENTRAL_SYSTEM_SERVICE}\n"
        return JsonServer(
            self._admission_control.handshake if self._forwarding is None else self._forwarding.handshake,
            name=name,
            admits=partial(self._listeners.admits, name),
            tenant_at=partial(self._listeners.tenant_at, name),
            path=websocket.path,
            help_text=text,
            bounds=limits.frame_bounds(self._settings.limits),
            rules=limits.rules(self._settings.limits),
            proxies=proxies_of(websocket, self._fields_ignored),
            ping_interval=websocket.ping_interval or None,
            open_timeout=_OPEN_TIMEOUT,
            refused=lambda *told: self._audience.see(HandshakeRefused(*told)),
        )

    def _sources(self) -> ViewSources:
        return ViewSources(
            clock=self._clock,
            loop_clock=asyncio.get_running_loop().time,
            unix_times=UnixTimes(self._clock, asyncio.get_running_loop().time),
            settings=lambda: self._settings,
            placements=lambda: self._placements,
            addresses=lambda tenant: addresses_of(self._listeners, tenant, self._settings),
            sessions=self._sessions,
            persistence=self._persistence,
            states=self._states,
            fleet=self._fleet,
            fault_codes=self._fault_codes,
            call_counters=self._call_counters,
            outages=self._outages,
            audit=self._audit,
            serves=_everything if self._cluster is None else lambda key: self._node.serves(key),
        )

    def _admin_context(self) -> AdminContext:
        return admin_context_of(
            self._ground,
            health=self._health,
            meter=self._meter,
            live=self._live,
            audience=self._audience,
            recorder=self._recorder,
            transactions=self._transactions,
            changes=self._changes,
            fleet=self._provisioning,
            choices=self._choices,
            moves=self._moves,
            history=self._history,
            losses=self._losses,
            cautions=lambda: self._cautions,
            unread=lambda: self._unread,
            observers=lambda tenant: observer_counts(self._observers.states(tenant)),
            readiness=ReadinessReports(
                self._comparisons,
                settings=lambda: self._settings,
                known=self._persistence.keys,
                shadows_of=self._shadows_of,
                spelling=self._sessions.spelling,
            ),
            access=self._access,
            sign_in=self._sign_in,
            others=self._admin_forwarding(),
        )

    def _shared_sign_in(self) -> SharedSignIn | None:
        if (cluster := self._cluster) is None:
            return None
        others = SignInForwarding(self._node, cluster.courier)
        return SharedSignIn(
            values=cluster.sessions, others=others, may_act=self._node.may_act, lease=self._settings.cluster.lease
        )

    def _admin_forwarding(self) -> AdminForwarding | None:
        if self._cluster is None:
            return None
        return AdminForwarding(self._node, self._holders, self._cluster.courier, self._cluster.neighbours)

    def _health(self) -> Health:
        return Health(
            store=StoreHealth(trouble=self._store.trouble),
            central_systems=self._sessions.counts.central_systems(self._settings.central_systems, self._outages),
            listeners={
                listening.place.name: _health_of(listening.server)
                for listening in self._listeners
                if isinstance(listening.server, SoapServer | JsonServer)
            },
            event_loop=LoopHealth(lag=round(self._event_loop_lag.lag, 3)),
            certificates=self._certificates.warnings(),
            draining=self._traffic.draining,
            events=receiver_counts(self._events.health()),
            observers=observer_counts(self._observers.states()),
            cluster=None if self._cluster is None else self._cluster_health(),
        )

    def _cluster_health(self) -> ClusterHealth:
        node = self._node
        return ClusterHealth(node=node.node, nodes=node.nodes, slots=node.slots, suspended=not node.may_act())

    def _vitals(self) -> HealthCounts:
        transactions = self._fleet.transactions()
        return HealthCounts(
            sessions=self._states.by_transport(),
            central_systems=self._sessions.counts.central_systems(self._settings.central_systems, self._outages),
            in_flight=self._traffic.in_progress,
            most_in_flight=self._settings.gateway.max_in_flight,
            store_trouble=self._store.trouble is not None,
            late_posts=len(self._sessions.late_posts),
            late_posts_closed=self._sessions.late_posts.closed,
            recorder_lost=self._recorder.lost_messages,
            recorder_dropped=self._recorder.dropped_messages,
            recorder_waiting=self._recorder.waiting,
            moves=self._moves.counts(),
            open_transactions={name: transactions.get(name, 0) for name in self._settings.central_systems},
            certificates=self._certificates.by_table(),
            receivers=receiver_counts(self._events.health()),
            observers=observer_counts(self._observers.states()),
            draining=self._traffic.draining,
            lag=self._event_loop_lag.most,
            cluster=None if self._cluster is None else self._cluster_health(),
        )


def _everything(key: str) -> bool:
    return True


def _cautions(settings: Settings) -> tuple[str, ...]:
    return (*config.exposed(settings), *config.cautions(settings))


def _health_of(server: SoapServer | JsonServer) -> ListenerHealth:
    host, port = server.address
    return ListenerHealth(address=f"{host}:{port}", listening=server.listening)
