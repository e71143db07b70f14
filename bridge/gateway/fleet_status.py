"""The views of the admin API of the fleet as a whole: the overview, Central Systems, losses and quirk packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bridge.admin.alarms import Situation, alarms
from bridge.admin.facts import Audited, CentralSystemFact, CentralSystems, moment
from bridge.admin.fleet_facts import FaultFact, LossFacts, Overview, PackFact, PackFacts, PackMatch
from bridge.admin.health import CentralSystemHealth, Health
from bridge.admin.history import TrafficHistory
from bridge.admin.loss_counts import LossCounts
from bridge.config import CentralSystem
from bridge.core.state import STATES
from bridge.gateway.known import ViewSources
from bridge.gateway.moves import Moves
from bridge.gateway.quirks import fitting, keys_of
from bridge.gateway.views import SessionViews
from bridge.store.audit import AuditQuery
from bridge.watching.masking import without_password

# Losses and moves on the overview.
_MOST = 5
# The entries of the audit among which the moves of single Charge Points are looked for.
_LOOKED_AT = 20
_LATELY = 3600.0


class FleetStatus:
    """Implements `bridge.admin.fleet.FleetViews`.

    Args:
        ground: The sources of the views.
        views: The views of single Charge Points.
        health: Returns the health of the bridge.
        history: The last hour.
        losses: The losses since the start.
        moves: The moves of several Charge Points.
        cautions: Returns what is doubtful in the configuration.
    """

    def __init__(
        self,
        ground: ViewSources,
        views: SessionViews,
        *,
        health: Callable[[], Health],
        history: TrafficHistory,
        losses: LossCounts,
        moves: Moves,
        cautions: Callable[[], Sequence[str]],
    ) -> None:
        self._ground = ground
        self._views = views
        self._health = health
        self._history = history
        self._losses = losses
        self._moves = moves
        self._cautions = cautions
        # The moves of single Charge Points in the audit, and the newest record when they were looked for.
        self._moved: tuple[int, list[Audited]] = (-1, [])

    async def overview(self) -> Overview:
        """Return what is wrong now, the counts, and the last hour."""
        ground, faults = self._ground, self._faults()
        states = dict.fromkeys(STATES, 0)
        for (_, state), number in ground.states.by_transport().items():
            states[state] += number
        situation = Situation(
            health=self._health(),
            reasons={name: without_password(failure.reason) for name, failure in ground.outages.failures.items()},
            states=states,
            faults=faults,
            moves=self._moves.stopped(),
            moved=self._views.routes().moved,
            dropped=self._losses.dropped_since(ground.clock() - _LATELY),
            cautions=self._cautions(),
        )
        return Overview(
            alarms=alarms(situation),
            states=states,
            transactions=ground.fleet.open_transactions(),
            faults=faults,
            losses=self._losses.all()[:_MOST],
            moves=self._moves.newest(_MOST),
            moved=await self._moved_lately(),
            waiting_moves=len(ground.persistence.waiting_moves()),
            hour=self._history.hour(),
        )

    def central_systems(self) -> CentralSystems:
        """Return all Central Systems with their health."""
        systems, ground = self._ground.settings().central_systems, self._ground
        health = ground.sessions.counts.central_systems(systems, ground.outages)
        return CentralSystems(
            items=[self._central_system(name, system, health[name]) for name, system in systems.items()]
        )

    def losses(self) -> LossFacts:
        """Return all kinds of losses since the start."""
        return LossFacts(items=self._losses.all())

    def packs(self) -> PackFacts:
        """Return the quirk packs, and how many Charge Points each matches."""
        packs = self._ground.settings().packs
        counts, examples = [0] * len(packs), [""] * len(packs)
        for boot, number, identity in self._ground.fleet.boots():
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

    def _central_system(self, name: str, system: CentralSystem, health: CentralSystemHealth) -> CentralSystemFact:
        ground, times = self._ground, self._history.answer_times(name)
        failure = ground.outages.failures.get(name)
        return CentralSystemFact(
            name=name,
            protocol=system.protocol,
            url=system.url,
            charge_points=ground.fleet.charge_points[name],
            sessions=ground.sessions.counts.sessions_of(name),
            connected=health.connected,
            unreachable=health.unreachable,
            degraded=health.degraded,
            since=health.since,
            misconfigured=health.misconfigured,
            open_transactions=ground.fleet.transactions().get(name, 0),
            last_failure=None if failure is None else without_password(failure.reason),
            last_failure_at=None if failure is None else moment(failure.at),
            p50_ms=times.percentile(0.5),
            p99_ms=times.percentile(0.99),
        )

    def _faults(self) -> list[FaultFact]:
        return [
            FaultFact(error_code=code, connectors=connectors, charge_points=charge_points, identity=identity)
            for code, connectors, charge_points, identity in self._ground.fleet.faults()
        ]

    async def _moved_lately(self) -> list[Audited]:
        """Return the newest moves of single Charge Points. The audit is read only if it has grown."""
        audit = self._ground.audit
        if self._moved[0] != audit.last:
            last = audit.last
            page = await audit.page(AuditQuery(what="move*"), _LOOKED_AT)
            self._moved = last, [entry for entry in page.items if entry.identity][:_MOST]
        return self._moved[1]
