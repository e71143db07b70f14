"""The knowledge of one process about the fleet as a whole, and the merging of that of several processes. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bridge.admin.alarms import Situation, alarms
from bridge.admin.facts import Audited, CentralSystemFact, CentralSystems
from bridge.admin.fleet_facts import (
    FaultFact,
    LossFact,
    LossFacts,
    NodeFact,
    ObserverFact,
    ObserverFacts,
    Overview,
    PackFacts,
)
from bridge.admin.health import (
    CentralSystemHealth,
    CertificateHealth,
    ClusterHealth,
    Health,
    ListenerHealth,
    LoopHealth,
    ObserverCounts,
    ReceiverCounts,
    StoreHealth,
)
from bridge.admin.history import AnswerTimes, HourCounts, merged_hours, told_hour
from bridge.admin.merging import by_name, earliest, first, summed
from bridge.admin.moves import MoveSummary

# Losses on the overview.
_MOST_LOSSES = 5
T = TypeVar("T")


class CentralSystemPart(Struct, frozen=True, kw_only=True):
    """The knowledge of one process about a Central System. `times` are the counts of its answer times."""

    fact: CentralSystemFact
    times: dict[int, int]


class OverviewPart(Struct, frozen=True, kw_only=True):
    """The knowledge of one process about the fleet at a glance.

    Attributes:
        situation: What is wrong now.
        dropped: The fields of which something was dropped in the last hour, each with its message.
        transactions: The number of open transactions.
        losses: The losses since the start.
        moves: The newest moves of several Charge Points.
        moved: The newest moves of single Charge Points.
        waiting_moves: The number of Charge Points whose move waits.
        hour: The last hour.
        nodes: The processes of a cluster; none for a single process.
    """

    situation: Situation
    dropped: set[tuple[str, str]]
    transactions: int
    losses: list[LossFact]
    moves: list[MoveSummary]
    moved: list[Audited]
    waiting_moves: int
    hour: HourCounts
    nodes: list[ClusterHealth] = []


# The overview.


def merged_overview(asked: object, parts: Sequence[OverviewPart]) -> OverviewPart:
    """Return the overview of a fleet from those of its parts. What all processes have in common is that of the first.

    Args:
        asked: The request.
        parts: The parts.
    """
    one, situations = parts[0], [part.situation for part in parts]
    moved = [each for situation in situations for each in situation.moved]
    situation = Situation(
        health=_merged_health([each.health for each in situations]),
        reasons={name: reason for each in reversed(situations) for name, reason in each.reasons.items()},
        states=summed(each.states for each in situations),
        faults=_merged_faults([each.faults for each in situations]),
        moves=one.situation.moves,
        moved=sorted(moved, key=lambda each: each.identity),
        cautions=one.situation.cautions,
        complaints=next((each.complaints for each in situations if each.complaints), ()),
        pending=one.situation.pending,
    )
    return OverviewPart(
        situation=situation,
        dropped=set().union(*(part.dropped for part in parts)),
        transactions=sum(part.transactions for part in parts),
        losses=_merged_losses([part.losses for part in parts]),
        moves=one.moves,
        moved=one.moved,
        waiting_moves=sum(part.waiting_moves for part in parts),
        hour=merged_hours([part.hour for part in parts]),
        nodes=sorted((node for part in parts for node in part.nodes), key=lambda node: node.node),
    )


def told_overview(asked: object, part: OverviewPart) -> Overview:
    """Return the overview of the API."""
    situation = replace(part.situation, dropped=len(part.dropped), nodes=_nodes(part.nodes))
    return Overview(
        alarms=alarms(situation),
        states=dict(situation.states),
        transactions=part.transactions,
        faults=list(situation.faults),
        losses=part.losses[:_MOST_LOSSES],
        moves=part.moves,
        moved=part.moved,
        waiting_moves=part.waiting_moves,
        hour=told_hour(part.hour),
        nodes=list(situation.nodes),
    )


def _nodes(told: Sequence[ClusterHealth]) -> list[NodeFact]:
    """Return the processes that have answered, and those that others have seen and that have not."""
    answering = {each.node: NodeFact(name=each.node, answers=True, slots=each.slots) for each in told}
    silent = {name for each in told for name in each.nodes} - answering.keys()
    facts = [*answering.values(), *(NodeFact(name=name, answers=False, slots=None) for name in silent)]
    return sorted(facts, key=lambda fact: fact.name)


def _merged_health(healths: Sequence[Health]) -> Health:
    return Health(
        store=StoreHealth(trouble=_trouble(healths)),
        central_systems=_by_key([each.central_systems for each in healths], _merged_system_health),
        listeners=_by_key([each.listeners for each in healths], _merged_listener),
        event_loop=LoopHealth(lag=max(each.event_loop.lag for each in healths)),
        certificates=_by_key([each.certificates for each in healths], _merged_certificate),
        draining=all(each.draining for each in healths),  # others have taken the Charge Points of one that drains
        events=_by_key([each.events for each in healths], _merged_receiver),
        observers=_by_key([each.observers for each in healths], _merged_observer),
    )


def _trouble(healths: Sequence[Health]) -> str | None:
    troubles = []
    for health in healths:
        if health.store.trouble is not None:
            node = "" if health.cluster is None else f"{health.cluster.node}: "
            troubles.append(node + health.store.trouble)
    return "; ".join(troubles) or None


def _merged_system_health(same: Sequence[CentralSystemHealth]) -> CentralSystemHealth:
    return CentralSystemHealth(
        connected=sum(each.connected for each in same),
        unreachable=sum(each.unreachable for each in same),
        down=sum(each.down for each in same),
        since=earliest(each.since for each in same),
        misconfigured=first(each.misconfigured for each in same),
    )


def _merged_listener(same: Sequence[ListenerHealth]) -> ListenerHealth:
    return next((each for each in same if not each.listening), same[0])


def _merged_certificate(same: Sequence[CertificateHealth]) -> CertificateHealth:
    return min(same, key=lambda each: each.ends)


def _merged_receiver(same: Sequence[ReceiverCounts]) -> ReceiverCounts:
    return ReceiverCounts(
        waiting=sum(each.waiting for each in same),
        oldest=earliest(each.oldest for each in same),
        trouble=first(each.trouble for each in same),
        since=earliest(each.since for each in same),
        delivered=sum(each.delivered for each in same),
        dropped=dict(summed(each.dropped for each in same)),
    )


def _merged_observer(same: Sequence[ObserverCounts]) -> ObserverCounts:
    return ObserverCounts(
        waiting=sum(each.waiting for each in same),
        octets=sum(each.octets for each in same),
        oldest=earliest(each.oldest for each in same),
        halted=sum(each.halted for each in same),
        trouble=first(each.trouble for each in same),
        lost=dict(summed(each.lost for each in same)),
    )


def _by_key(tables: Iterable[Mapping[str, T]], merge: Any) -> dict[str, T]:
    same: dict[str, list[T]] = {}
    for table in tables:
        for name, value in table.items():
            same.setdefault(name, []).append(value)
    return {name: merge(values) for name, values in same.items()}


def _merged_faults(lists: Sequence[Sequence[FaultFact]]) -> list[FaultFact]:
    merged = [
        FaultFact(
            error_code=same[0].error_code,
            connectors=sum(each.connectors for each in same),
            charge_points=sum(each.charge_points for each in same),
            identity=same[0].identity,
        )
        for same in by_name(lists, lambda fault: fault.error_code)
    ]
    return sorted(merged, key=lambda fault: (-fault.connectors, fault.error_code))


# The other lists.


def merged_losses(asked: object, parts: Sequence[LossFacts]) -> LossFacts:
    """Return the losses of a fleet from those of its parts."""
    return LossFacts(items=_merged_losses([part.items for part in parts]))


def _merged_losses(lists: Sequence[Sequence[LossFact]]) -> list[LossFact]:
    merged = []
    for same in by_name(lists, lambda loss: (loss.message, loss.field, loss.reason, loss.central_system)):
        last = max(same, key=lambda loss: (loss.at, loss.identity))
        merged.append(replace(last, count=sum(loss.count for loss in same)))
    return sorted(merged, key=lambda loss: (-loss.count, loss.message, loss.field, loss.reason, loss.central_system))


def merged_central_systems(asked: object, parts: Sequence[list[CentralSystemPart]]) -> list[CentralSystemPart]:
    """Return the Central Systems of a fleet from those of its parts."""
    return [_merged_system(same) for same in by_name(parts, lambda part: part.fact.name)]


def _merged_system(same: Sequence[CentralSystemPart]) -> CentralSystemPart:
    facts = [part.fact for part in same]
    failed = max(facts, key=lambda fact: fact.last_failure_at or "")
    fact = replace(
        facts[0],
        charge_points=sum(each.charge_points for each in facts),
        sessions=sum(each.sessions for each in facts),
        connected=sum(each.connected for each in facts),
        unreachable=sum(each.unreachable for each in facts),
        down=sum(each.down for each in facts),
        degraded=any(each.degraded for each in facts),
        since=earliest(each.since for each in facts),
        misconfigured=first(each.misconfigured for each in facts),
        open_transactions=sum(each.open_transactions for each in facts),
        last_failure=failed.last_failure,
        last_failure_at=failed.last_failure_at,
    )
    return CentralSystemPart(fact=fact, times=dict(summed(part.times for part in same)))


def told_central_systems(asked: object, parts: list[CentralSystemPart]) -> CentralSystems:
    """Return the Central Systems as the API has them."""
    items = []
    for part in parts:
        times = AnswerTimes(part.times)
        items.append(replace(part.fact, p50_ms=times.percentile(0.5), p99_ms=times.percentile(0.99)))
    return CentralSystems(items=items)


def merged_observers(asked: object, parts: Sequence[ObserverFacts]) -> ObserverFacts:
    """Return the further Central Systems of a fleet from those of its parts."""
    merged = [_merged_observer_fact(same) for same in by_name((part.items for part in parts), _name_of_observer)]
    return ObserverFacts(items=sorted(merged, key=_name_of_observer))


def _name_of_observer(fact: ObserverFact) -> str:
    return fact.central_system


def _merged_observer_fact(same: Sequence[ObserverFact]) -> ObserverFact:
    lost = [each.lost for each in same if each.lost is not None]
    return replace(
        same[0],
        waiting=sum(each.waiting for each in same),
        octets=sum(each.octets for each in same),
        oldest=earliest(each.oldest for each in same),
        halted=sum(each.halted for each in same),
        trouble=first(each.trouble for each in same),
        lost=dict(summed(lost)) if len(lost) == len(same) else None,
    )


def merged_packs(asked: object, parts: Sequence[PackFacts]) -> PackFacts:
    """Return the quirk packs of a fleet from those of its parts, which have the same packs in the same order."""
    items = []
    for number, pack in enumerate(parts[0].items):
        same = [part.items[number] for part in parts if part.items[number : number + 1]]
        count = sum(each.charge_points for each in same)
        items.append(replace(pack, charge_points=count, identity=first(each.identity for each in same)))
    return PackFacts(items=items)
