"""Count links and outages as they change, for `/readyz`, for the metrics and for the API."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from bridge.admin.health import CentralSystemHealth, ObserverCounts, ReceiverCounts
from bridge.core.commands import Outcome, Report
from bridge.core.links import Status
from bridge.core.state import State
from bridge.gateway.observer_state import ObserverState
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.transports import JSON_VERSION
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Failure
from bridge.ocpp.tenants import DEFAULT, tenant_of
from bridge.outgoing_events import ReceiverHealth
from bridge.watching.facts import (
    CallEnded,
    ChargePointMoved,
    ChargePointRemoved,
    Fact,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
)

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
# A heap is cleaned when its outages that are over exceed the present ones by about this number.
_OVER = 1000
# Seconds for which a refused JSON Charge Point counts as one that its Central System keeps out. It tries again sooner.
_TRIES_AGAIN = 900.0
# Seconds for which it counts after another connection to the Central System was opened: it may have been refused since.
_OTHERS_ENTER = 60.0
# The most refused Charge Points of one Central System and tenant that are counted.
_MOST_REFUSED = 50_000
_ANSWERED = (Outcome.RESULT, Outcome.ERROR)


class LinkFailure(NamedTuple):
    """The last failure towards a Central System: the time in unix seconds, and the reason."""

    at: float
    reason: str


class RefusedEntry(NamedTuple):
    """A JSON Charge Point that was not let in, because its Central System could not be reached.

    Attributes:
        identity: The identity in its address.
        since: When its way to the Central System ended, in unix seconds.
        at: When it was last refused, in unix seconds.
        times: How often it was refused in a row.
        reason: Why its Central System could not be reached the last time.
    """

    identity: str
    since: float
    at: float
    times: int
    reason: str


class Outages:
    """The outages of the links to Central Systems.

    A JSON Charge Point has no link to its Central System while that one is away: the link is opened together with its
    own connection. What tells of the outage is that its handshakes are refused.

    Attributes:
        since: When the present outage of each Charge Point's link began, by identity, in unix seconds.
        misconfigured: The last response to a POST that was no answer, by the name of the Central System, until it
            answers.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._failures: dict[tuple[str, str], LinkFailure] = {}  # the last one, by tenant and Central System
        self.misconfigured: dict[str, str] = {}
        self.since: dict[str, float] = {}
        self._of: dict[str, str] = {}  # the Central System of each outage, also of those that are over
        self._clock = clock
        # A heap for each Central System, the oldest outage first. Outages that are over are removed later.
        self._oldest: dict[str, list[tuple[float, str]]] = {}
        # For each Central System and tenant, by the casefolded identity; the one that was refused last is the last.
        self._refused: dict[tuple[str, str], OrderedDict[str, RefusedEntry]] = {}
        self._opened: dict[str, float] = {}  # when a link to each Central System was last opened

    def see(self, fact: Fact) -> None:
        """Record the beginning or the end of an outage."""
        match fact:
            case CallEnded(identity, report, central_system):
                self._ended(identity, report, central_system)
            case LinkLost(identity, party, central_system, reason) if party is CENTRAL_SYSTEM:
                self._lost(identity, central_system, reason)
            case LinkOpened(identity, party, central_system) if party is CENTRAL_SYSTEM:
                self.since.pop(identity, None)
                self._opened[central_system] = self._clock()
                self._let_in(identity)
            case LinkClosed(identity, party) if party is CENTRAL_SYSTEM:
                self.since.pop(identity, None)
            case HandshakeRefused(identity=str(identity), central_system=central_system) if central_system:
                self._keeps_out(identity, central_system, fact.reason)
            case ChargePointMoved(identity):
                self._let_in(identity)
            case ChargePointRemoved(identity):
                self.since.pop(identity, None)
                self._of.pop(identity, None)
                self._let_in(identity)

    def _keeps_out(self, identity: str, central_system: str, reason: str) -> None:
        now, tenant = self._clock(), tenant_of(identity)
        self._failures[tenant, central_system] = LinkFailure(now, reason)
        refused = self._refused.setdefault((central_system, tenant), OrderedDict())
        known = refused.pop(identity.casefold(), None)
        since, times = (self.since.get(identity, now), 0) if known is None else (known.since, known.times)
        refused[identity.casefold()] = RefusedEntry(identity, since, now, times + 1, reason)
        if len(refused) > _MOST_REFUSED:
            refused.popitem(last=False)

    def _let_in(self, identity: str) -> None:
        if not self._refused:
            return
        for key in [key for key in self._refused if key[1] == tenant_of(identity)]:
            self._refused[key].pop(identity.casefold(), None)
            if not self._refused[key]:
                del self._refused[key]

    def refused(self, central_system: str, tenant: str | None = None) -> Iterator[RefusedEntry]:
        """Yield the JSON Charge Points that a Central System keeps out, because it cannot be reached.

        Args:
            central_system: The name of the Central System.
            tenant: The tenant of the Charge Points, None for all.
        """
        after = max(self._clock() - _TRIES_AGAIN, self._opened.get(central_system, 0.0) - _OTHERS_ENTER)
        for key in [key for key in self._refused if key[0] == central_system and tenant in (None, key[1])]:
            entries = self._refused[key]
            while entries and next(iter(entries.values())).at < after:
                entries.popitem(last=False)
            if not entries:
                del self._refused[key]
            yield from entries.values()

    def refusing(self) -> list[str]:
        """Return the names of the Central Systems that keep JSON Charge Points out."""
        return [name for name in sorted({name for name, _ in self._refused}) if any(self.refused(name))]

    def refused_one(self, identity: str, central_system: str) -> RefusedEntry | None:
        """Return the entry of a Charge Point that a Central System keeps out, None if it does not."""
        tenant = tenant_of(identity)
        if not any(self.refused(central_system, tenant)):
            return None
        return self._refused[central_system, tenant].get(identity.casefold())

    def _lost(self, identity: str, central_system: str, reason: str) -> None:
        since = self._clock()
        self._failures[tenant_of(identity), central_system] = LinkFailure(since, reason)
        if identity not in self.since:
            self.since[identity] = since
            self._of[identity] = central_system
            heap = self._oldest.setdefault(central_system, [])
            heappush(heap, (since, identity))
            if len(heap) > 2 * len(self.since) + _OVER:
                heap[:] = [outage for outage in heap if self.since.get(outage[1]) == outage[0]]
                heapify(heap)

    def failure(self, central_system: str, tenant: str = DEFAULT) -> LinkFailure | None:
        """Return the last failure of a tenant's links to a Central System, None if there was none."""
        return self._failures.get((tenant, central_system))

    def failures_of(self, tenant: str) -> Iterator[tuple[str, LinkFailure]]:
        """Yield the name of each Central System towards which links of a tenant have failed, and the last failure."""
        for (whose, name), failure in self._failures.items():
            if whose == tenant:
                yield name, failure

    def oldest(self, central_system: str, among: Collection[str]) -> float | None:
        """Return when the longest outage of `central_system` began, among the identities in `among`.

        Returns: Unix seconds, or None without an outage.
        """
        heap = self._oldest.get(central_system, [])
        others: list[tuple[float, str]] = []
        found = None
        while heap and found is None:
            since, identity = heap[0]
            if self.since.get(identity) != since:
                heappop(heap)
            elif identity in among:
                found = since
            else:
                others.append(heappop(heap))
        for outage in others:
            heappush(heap, outage)
        return found

    def _ended(self, identity: str, report: Report, central_system: str) -> None:
        if report.sender is not CHARGE_POINT:
            return
        if report.failed is not None:
            failure = LinkFailure(self._clock(), report.failed.reason)
            self._failures[tenant_of(identity), central_system] = failure
        if report.failed is not None and report.failed.failure is Failure.MISCONFIGURED:
            self.misconfigured[central_system] = report.failed.reason
        elif self.misconfigured and report.outcome in _ANSWERED and report.sent is not None:
            self.misconfigured.pop(central_system, None)
        # A Central System that the Charge Point was moved away from ends no outage of the present one.
        if self.since and report.outcome in _ANSWERED and self._of.get(identity) == central_system:
            self.since.pop(identity, None)


class SpokenProtocols:
    """The protocols that Charge Points and their Central Systems use at present."""

    def __init__(self, runner_of: Callable[[str], SessionRunner | None]) -> None:
        self._runner_of = runner_of

    def transport_of(self, identity: str, party: Party) -> str:
        """Return the protocol of `party`: `soap` or `json`."""
        runner = self._runner_of(identity)
        return "json" if runner is None else transport_of(runner, party)

    def version_of(self, identity: str) -> str:
        """Return the OCPP version of SOAP: the Charge Point's if it speaks SOAP, else the Central System's."""
        runner = self._runner_of(identity)
        if runner is None:
            return JSON_VERSION
        posted = [party for party in Party if transport_of(runner, party) == "soap" and party in runner.transports]
        return next((runner.transports[party].version for party in posted), JSON_VERSION)


def transport_of(runner: SessionRunner, party: Party) -> str:
    """Return the protocol of `party` in a Session: `soap` or `json`."""
    return "json" if runner.session.sides[party].carries_answers else "soap"


class LinkState(NamedTuple):
    """The state of one Session's link to the Central System, for the counts.

    Attributes:
        central_system: The name of the Central System.
        connected: Whether the link is up.
        unreachable: Whether the Central System cannot be reached.
        cut_off: Whether a JSON Charge Point is disconnected because the Central System cannot be reached.
    """

    central_system: str
    connected: bool
    unreachable: bool
    cut_off: bool


class _OfCentralSystem:
    """The counts of one Central System."""

    def __init__(self) -> None:
        self.sessions = 0
        self.connected = 0
        self.unreachable: set[str] = set()
        self.cut_off: set[str] = set()


class SessionCounts:
    """The counts of all Sessions, updated with each change. A query costs the same with one Session and with 50 000.

    Attributes:
        changed: Called with the identity of each Charge Point whose Session begins, ends or changes a link.
        state_of: Returns the state of a Charge Point, None if it is not known.
    """

    def __init__(self) -> None:
        self.changed: Callable[[str], None] = lambda identity: None
        self.state_of: Callable[[str], State | None] = lambda identity: None
        self._standings: dict[SessionRunner, LinkState] = {}
        self._systems: dict[str, dict[str, _OfCentralSystem]] = {}  # by name and tenant

    def begin(self, runner: SessionRunner) -> None:
        """Count a Session that was added to the table."""
        standing = self._standings[runner] = standing_of(runner)
        self._add(runner.identity, standing)
        self.changed(runner.identity)

    def update(self, runner: SessionRunner) -> None:
        """Update the counts after a change of a Session. A Session that is not in the table is ignored."""
        before, now = self._standings.get(runner), standing_of(runner)
        if before is not None and before != now:
            self._remove(runner.identity, before)
            self._standings[runner] = now
            self._add(runner.identity, now)
        if before is not None:
            self.changed(runner.identity)

    def end(self, runner: SessionRunner) -> None:
        """Stop counting a Session that was removed from the table."""
        if (before := self._standings.pop(runner, None)) is not None:
            self._remove(runner.identity, before)
            self.changed(runner.identity)

    def sessions_of(self, central_system: str, tenant: str | None = None) -> int:
        """Return the number of Sessions with a Central System, of one tenant or, with None, of all."""
        return sum(each.sessions for each in self._of(central_system, tenant))

    def _of(self, central_system: str, tenant: str | None) -> list[_OfCentralSystem]:
        by_tenant = self._systems.get(central_system, {})
        return [each for whose, each in by_tenant.items() if tenant in (None, whose)]

    def central_systems(
        self, names: Iterable[str], outages: Outages, tenant: str | None = None
    ) -> dict[str, CentralSystemHealth]:
        """Return the health of each Central System that is in `names` or has Sessions.

        The health counts the open links, the links that are needed and not open, and the JSON Charge Points that are
        down because of that.

        Args:
            names: The names of the Central Systems.
            outages: The outages of their links.
            tenant: The tenant whose links count, None for all.
        """
        known = dict.fromkeys((*names, *self._systems, *outages.refusing()))
        return {name: self._health(name, outages, tenant) for name in known}

    def _health(self, name: str, outages: Outages, tenant: str | None) -> CentralSystemHealth:
        found = self._of(name, tenant)
        unreachable = found[0].unreachable if len(found) == 1 else set().union(*(each.unreachable for each in found))
        since = [outages.oldest(name, unreachable)] if unreachable else []
        refused, down = 0, sum(len(each.cut_off) for each in found)
        for entry in outages.refused(name, tenant):
            # One that is connected tried to replace its connection.
            if entry.identity not in unreachable and (state := self.state_of(entry.identity)) in (None, "down"):
                refused, down = refused + 1, down + (state is not None)
                since.append(entry.since)
        begun = [moment for moment in since if moment is not None]
        return CentralSystemHealth(
            connected=sum(each.connected for each in found),
            unreachable=len(unreachable) + refused,
            down=down,
            since=_at(min(begun)) if begun else None,
            misconfigured=outages.misconfigured.get(name),
        )

    def _add(self, identity: str, standing: LinkState) -> None:
        by_tenant = self._systems.setdefault(standing.central_system, {})
        of_it = by_tenant.setdefault(tenant_of(identity), _OfCentralSystem())
        of_it.sessions += 1
        of_it.connected += standing.connected
        if standing.unreachable:
            of_it.unreachable.add(identity)
        if standing.cut_off:
            of_it.cut_off.add(identity)

    def _remove(self, identity: str, standing: LinkState) -> None:
        by_tenant, tenant = self._systems[standing.central_system], tenant_of(identity)
        of_it = by_tenant[tenant]
        of_it.sessions -= 1
        of_it.connected -= standing.connected
        of_it.unreachable.discard(identity)
        of_it.cut_off.discard(identity)
        if not of_it.sessions:
            del by_tenant[tenant]
        if not by_tenant:
            del self._systems[standing.central_system]


def standing_of(runner: SessionRunner) -> LinkState:
    """Return the present state of a Session."""
    links, unreachable = runner.session.links, is_unreachable(runner)
    near_is_down = transport_of(runner, CHARGE_POINT) == "json" and links[CHARGE_POINT].status is not Status.UP
    return LinkState(
        central_system=runner.placement.central_system,
        connected=links[CENTRAL_SYSTEM].status is Status.UP,
        unreachable=unreachable,
        cut_off=unreachable and near_is_down,
    )


def is_unreachable(runner: SessionRunner) -> bool:
    """Return whether the Central System of a Session cannot be reached.

    A link that is dialled is also down while no Call needs it, so it must have failed. A link with POSTs counts as up
    for the next attempt (rule 11 of the Session), so only an answer ends the failure.
    """
    link = runner.session.links[CENTRAL_SYSTEM]
    posted = transport_of(runner, CENTRAL_SYSTEM) == "soap"
    return link.failures > 0 and (posted or link.status is not Status.UP)


def receiver_counts(receivers: Mapping[str, ReceiverHealth]) -> dict[str, ReceiverCounts]:
    """Return the state of the receivers of events for `/readyz` and for the metrics, by name."""
    return {
        name: ReceiverCounts(
            waiting=each.waiting,
            oldest=None if each.oldest is None else _at(each.oldest),
            trouble=each.trouble,
            since=None if each.since is None else _at(each.since),
            delivered=each.delivered,
            dropped=each.dropped,
        )
        for name, each in receivers.items()
    }


def observer_counts(observers: Mapping[str, ObserverState]) -> dict[str, ObserverCounts]:
    """Return the state of the observers for `/readyz` and for the metrics, by name."""
    return {
        name: ObserverCounts(
            waiting=each.waiting,
            octets=each.octets,
            oldest=None if each.oldest is None else _at(each.oldest),
            halted=each.halted,
            trouble=each.trouble,
            lost=each.lost,
        )
        for name, each in observers.items()
    }


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
