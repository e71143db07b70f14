"""The API's views of the fleet as a whole: the overview, Central Systems, observers, losses and quirk packs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from bridge.admin.alarms import Situation
from bridge.admin.by_tenant import ByTenant
from bridge.admin.facts import Audited, CentralSystemFact, moment
from bridge.admin.fleet_facts import (
    FaultFact,
    LossFacts,
    ObserverFact,
    ObserverFacts,
    PackFact,
    PackFacts,
    PackMatch,
)
from bridge.admin.fleet_parts import CentralSystemPart, OverviewPart
from bridge.admin.health import CentralSystemHealth, Health, ObserverCounts, StoreHealth
from bridge.admin.history import TrafficHistory
from bridge.admin.loss_counts import LossCounts
from bridge.config import CentralSystem
from bridge.gateway.known import ViewSources
from bridge.gateway.moves import Moves
from bridge.gateway.quirks import fitting, keys_of
from bridge.gateway.views import SessionViews, systems_for
from bridge.ocpp.tenants import identity_of, named, tenant_of
from bridge.store.audit import AuditQuery
from bridge.watching.masking import without_password

# Moves on the overview.
_MOST = 5
# The entries of the audit among which the moves of single Charge Points are looked for.
_LOOKED_AT = 20
_LATELY = 3600.0
_NOTHING_WAITS = ObserverCounts(waiting=0, octets=0, oldest=None, halted=0, trouble=None, lost={})


class UnreadConfiguration(Struct, frozen=True, kw_only=True):
    """What the configuration file says, and what the bridge does not run with.

    Attributes:
        complaints: Why the file was not taken over when it was last read; empty if it was.
        pending: The keys that have changed since the start, and hold from the next one on.
    """

    complaints: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class FleetStatus:
    """Implements `bridge.admin.fleet.FleetViews`.

    Args:
        ground: The sources of the views.
        views: The views of single Charge Points.
        health: Returns the health of the bridge.
        history: The last hour of each tenant.
        losses: The losses of each tenant since the start.
        moves: The moves of several Charge Points.
        cautions: Returns what is doubtful in the configuration.
        unread: Returns what of the configuration file does not hold.
        observers: Returns the state of the further Central Systems, by name; of a tenant, or None for all tenants.
    """

    def __init__(
        self,
        ground: ViewSources,
        views: SessionViews,
        *,
        health: Callable[[], Health],
        history: ByTenant[TrafficHistory],
        losses: ByTenant[LossCounts],
        moves: Moves,
        cautions: Callable[[], Sequence[str]],
        unread: Callable[[], UnreadConfiguration],
        observers: Callable[[str | None], Mapping[str, ObserverCounts]],
    ) -> None:
        self._ground = ground
        self._views = views
        self._health = health
        self._history = history
        self._losses = losses
        self._moves = moves
        self._cautions = cautions
        self._unread = unread
        self._observers = observers
        # For each tenant: the changes of the audit when it was looked through, and the moves in it.
        self._moved: dict[str, tuple[int, list[Audited]]] = {}

    async def overview(self, *, tenant: str, whole: bool) -> OverviewPart:
        """Return what is wrong now at a tenant, its counts, and its last hour.

        Args:
            tenant: The tenant.
            whole: Whether to tell also what is wrong with what all tenants share.
        """
        ground, faults, losses = self._ground, self._faults(tenant), self._losses.of(tenant)
        states = ground.states.of_tenant(tenant)
        situation = Situation(
            health=self._health_for(tenant, whole=whole),
            reasons={name: without_password(failed.reason) for name, failed in ground.outages.failures_of(tenant)},
            states=states,
            faults=faults,
            moves=self._moves.stopped(tenant=tenant),
            moved=self._views.routes(tenant=tenant).moved,
            cautions=self._cautions() if whole else (),
            complaints=self._unread().complaints if whole else (),
            pending=self._unread().pending if whole else (),
        )
        cluster = self._health().cluster
        return OverviewPart(
            situation=situation,
            dropped=losses.dropped_since(ground.clock() - _LATELY),
            transactions=ground.fleet.open_transactions(tenant),
            losses=losses.all(),
            moves=self._moves.newest(_MOST, tenant=tenant),
            moved=await self._moved_lately(tenant),
            waiting_moves=sum(tenant_of(identity) == tenant for identity in ground.persistence.waiting_moves()),
            hour=self._history.of(tenant).counts(),
            nodes=[] if cluster is None else [cluster],
        )

    def _health_for(self, tenant: str, *, whole: bool) -> Health:
        """Return the health of what a tenant uses. Only the `whole` has what all tenants share."""
        ground, health = self._ground, self._health()
        counts, settings = ground.sessions.counts, ground.settings()
        own = systems_for(tenant, settings)
        systems = {
            name: system
            for name, system in counts.central_systems(own, ground.outages, tenant).items()
            if name in own or counts.sessions_of(name, tenant)
        }
        if whole:
            return msgspec.structs.replace(health, central_systems=systems)
        receivers = {receiver.name for receiver in settings.events if named(receiver.tenant) == tenant}
        return Health(
            store=StoreHealth(),
            central_systems=systems,
            draining=health.draining,
            events={name: receiver for name, receiver in health.events.items() if name in receivers},
            observers=dict(self._observers(tenant)),
        )

    def central_systems(self, *, tenant: str) -> list[CentralSystemPart]:
        """Return the Central Systems that a tenant may use, with the health of that tenant's connections."""
        systems, ground = systems_for(tenant, self._ground.settings()), self._ground
        health = ground.sessions.counts.central_systems(systems, ground.outages, tenant)
        observers = {observer.central_system: observer for observer in self.observers(tenant=tenant).items}
        return [
            self._central_system(name, system, health[name], observers.get(name), tenant)
            for name, system in systems.items()
        ]

    def observers(self, *, tenant: str) -> ObserverFacts:
        """Return the further Central Systems of a tenant's routes, and what waits for them of that tenant."""
        settings = self._ground.settings()
        states = self._observers(tenant if settings.tenants else None)
        further = [(route, also) for route in settings.routes if named(route.tenant) == tenant for also in route.also]
        items = []
        for name in sorted({also.central_system for _, also in further}):
            mine = [(route, also) for route, also in further if also.central_system == name]
            state = states.get(name, _NOTHING_WAITS)
            items.append(
                ObserverFact(
                    central_system=name,
                    roles=sorted({also.role for _, also in mine}),
                    routes=[route.charge_point for route, _ in mine],
                    waiting=state.waiting,
                    octets=state.octets,
                    oldest=state.oldest,
                    halted=state.halted,
                    trouble=state.trouble,
                    lost=None if settings.tenants else dict(state.lost),
                )
            )
        return ObserverFacts(items=items)

    def losses(self, *, tenant: str) -> LossFacts:
        """Return all kinds of losses of a tenant since the start."""
        return LossFacts(items=self._losses.of(tenant).all())

    def packs(self, *, tenant: str) -> PackFacts:
        """Return the quirk packs, and how many Charge Points of a tenant each matches."""
        packs = self._ground.settings().packs
        counts, examples = [0] * len(packs), [""] * len(packs)
        for boot, number, identity in self._ground.fleet.of(tenant).boots():
            for index, pack in enumerate(packs):
                if fitting([pack], boot):
                    counts[index] += number
                    examples[index] = examples[index] or identity
        return PackFacts(
            items=[
                PackFact(
                    evidence=" ".join(pack.evidence.split()),
                    match=PackMatch(vendor=pack.match.vendor, model=pack.match.model, firmware=pack.match.firmware),
                    settings=msgspec.to_builtins(keys_of(pack.set)),
                    charge_points=count,
                    identity=example or None,
                )
                for pack, count, example in zip(packs, counts, examples, strict=True)
            ]
        )

    def _central_system(
        self,
        name: str,
        system: CentralSystem,
        health: CentralSystemHealth,
        observer: ObserverFact | None,
        tenant: str,
    ) -> CentralSystemPart:
        ground, times = self._ground, self._history.of(tenant).answer_times(name)
        counts, failure = ground.fleet.of(tenant), ground.outages.failure(name, tenant)
        fact = CentralSystemFact(
            name=name,
            protocol=system.protocol,
            url=system.url,
            charge_points=counts.charge_points[name],
            sessions=ground.sessions.counts.sessions_of(name, tenant),
            connected=health.connected,
            unreachable=health.unreachable,
            down=health.down,
            degraded=health.degraded,
            since=health.since,
            misconfigured=health.misconfigured,
            observes=[] if observer is None else observer.roles,
            observer_trouble=None if observer is None else observer.trouble,
            open_transactions=counts.transactions[name],
            last_failure=None if failure is None else without_password(failure.reason),
            last_failure_at=None if failure is None else moment(failure.at),
        )
        return CentralSystemPart(fact=fact, times=times.counts())

    def _faults(self, tenant: str) -> list[FaultFact]:
        return [
            FaultFact(error_code=code, connectors=connectors, charge_points=charge_points, identity=identity)
            for code, connectors, charge_points, identity in self._ground.fleet.of(tenant).faults()
        ]

    async def _moved_lately(self, tenant: str) -> list[Audited]:
        """Return the newest moves of single Charge Points. The audit is read only if it has grown."""
        audit = self._ground.audit
        changes, found = self._moved.get(tenant, (-1, []))
        if changes != audit.changes:
            changes = audit.changes
            page = await audit.page(AuditQuery(tenant=tenant, what="move*"), _LOOKED_AT)
            found = [entry for entry in page.items if entry.identity and identity_of(entry.identity)][:_MOST]
            self._moved[tenant] = changes, found
        return found
