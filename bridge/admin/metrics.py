"""Metrics: counts of Facts, and gauges that are read when Prometheus asks (DESIGN section 4).

Every label has a fixed set of values. An identity or a text from a stranger is never a label; such a value is counted
as `other`. Counting a Fact adds one to a number. Everything else is done when Prometheus asks. Both happen in the event
loop.
"""

from __future__ import annotations

import platform
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, get_args

from msgspec import Struct
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.admin.health import CentralSystemHealth, ClusterHealth, ObserverCounts, ReceiverCounts
from bridge.core.commands import Report
from bridge.core.state import STATES, Spoken, State
from bridge.errors import Why
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallResult, Failure
from bridge.ocpp.shapes import Shape, shape_of
from bridge.watching.facts import (
    AnswerDropped,
    CallbackRefused,
    CallEnded,
    ContentLost,
    Fact,
    HandshakeRefused,
    LinkLost,
    MessageRefused,
    RequestsUnread,
    ShadowAnswered,
)

PREFIX = "ocpp_bridge_"
OTHER = "other"
TRANSPORTS = ("soap", "json")
VERSIONS = ("1.6", "1.5", "1.2")
# In seconds. A Call takes milliseconds over both wires; its timeout is 30 s unless configured otherwise.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ACTIONS = frozenset(ACTIONS) | SECURITY_EXTENSIONS
# The content type that every version of Prometheus reads, and every other tool for its text format.
_PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_INDEX = re.compile(r"\[[0-9]+\]")


class Places(Protocol):
    """Finds the transport and the version of a Charge Point, which a Report lacks."""

    def transport_of(self, identity: str, party: Party) -> str:
        """Return the transport of `party`, one of TRANSPORTS. `party` is the Charge Point or its Central System."""

    def version_of(self, identity: str) -> str:
        """Return the OCPP version of the party that speaks SOAP, one of VERSIONS."""


class HealthCounts(Struct, frozen=True, kw_only=True):
    """The values of all gauges at one moment.

    Attributes:
        sessions: The number of known Charge Points, by transport and state.
        central_systems: The health of each Central System, by name.
        in_flight: The number of Calls in progress.
        most_in_flight: The limit of that number.
        store_trouble: Nothing can be written to the store.
        draining: The bridge is shutting down.
        lag: The longest delay of the event loop in the last minute, in seconds.
        late_posts: The number of POSTs that are open after the timeout of their Calls.
        late_posts_closed: The number of such POSTs that were closed, because there were too many.
        recorder_lost: The number of messages that were not recorded, for lack of time or disk space.
        recorder_dropped: The number of recorded messages that were deleted for lack of space.
        recorder_waiting: The number of observations that the recorder has not written yet.
        certificates: When each certificate of the bridge ends, in unix seconds, by the table of the configuration.
        receivers: The state of each receiver of events, by name.
        observers: The state of each further Central System, by name.
        moves: The number of moves of several Charge Points, by state.
        open_transactions: The number of open transactions, by the Central System that named them.
        cluster: The state of this process as one of a cluster, None if it is in none.
    """

    sessions: Mapping[tuple[Spoken, State], int]
    central_systems: Mapping[str, CentralSystemHealth]
    in_flight: int
    most_in_flight: int
    store_trouble: bool
    draining: bool
    lag: float
    late_posts: int = 0
    late_posts_closed: int = 0
    recorder_lost: int = 0
    recorder_dropped: int = 0
    recorder_waiting: int = 0
    certificates: Mapping[str, float] = {}
    receivers: Mapping[str, ReceiverCounts] = {}
    observers: Mapping[str, ObserverCounts] = {}
    moves: Mapping[str, int] = {}
    open_transactions: Mapping[str, int] = {}
    cluster: ClusterHealth | None = None


class Meter(Collector):
    """Counts Facts. `vitals` returns the gauges and is called for each request of Prometheus."""

    def __init__(self, places: Places, vitals: Callable[[], HealthCounts]) -> None:
        self._places = places
        self._vitals = vitals
        self._calls: dict[tuple[str, str, str, str], _Durations] = {}
        self._own_calls: Counter[tuple[str, str, str]] = Counter()
        self._losses: Counter[tuple[str, str, str, str]] = Counter()
        self._refused: Counter[str] = Counter({why.value: 0 for why in Why})
        self._dropped: Counter[str] = Counter({party.value: 0 for party in Party})
        self._link_downs: Counter[str] = Counter({party.value: 0 for party in Party})
        self._callbacks_refused = 0
        self._late_answers_kept = 0
        self._shadow_differences: Counter[tuple[str, str]] = Counter()
        self._link_failures: Counter[tuple[str, str]] = Counter(
            {(party.value, failure.value): 0 for party in Party for failure in Failure}
        )
        self.known_fields = known_fields()

    def see(self, fact: Fact) -> None:
        """Count the Fact."""
        match fact:
            case CallEnded(identity, report, central_system):
                self._ended(identity, report, central_system)
            case ContentLost(identity, losses, central_system):
                self._lost(identity, losses, central_system)
            case AnswerDropped(drop=drop):
                self._dropped[drop.party.value] += 1
                self._late_answers_kept += drop.kept
            case MessageRefused(why=why) | HandshakeRefused(why=why):
                self._refused[why.value] += 1
            case RequestsUnread(why=why, times=times):
                self._refused[why.value] += times
            case LinkLost(party=party):
                self._link_downs[party.value] += 1
            case ShadowAnswered(central_system=name, action=action) if fact.differences:
                self._shadow_differences[name, action if action in _ACTIONS else OTHER] += 1
            case CallbackRefused():
                self._callbacks_refused += 1

    def _ended(self, identity: str, report: Report, central_system: str) -> None:
        call, answer = report.call, report.answer
        if report.failed is not None:
            self._link_failures[report.sender.other.value, report.failed.failure.value] += 1
        if report.own or report.operator:
            action = call.action if call.action in _ACTIONS else OTHER
            self._own_calls["operator" if report.operator else "bridge", action, report.outcome] += 1
        else:
            sender, outcome = report.sender, report.outcome
            transport = self._places.transport_of(identity, sender)
            durations = self._calls.get((sender, transport, call.action, outcome))
            if durations is None:
                durations = self._durations_of(sender, transport, call.action, outcome)
            durations.add(report.ended - report.arrived)
        if call.losses:
            self._lost(identity, call.losses, central_system)
        if isinstance(answer, CallResult) and answer.losses:
            self._lost(identity, answer.losses, central_system)

    def _lost(self, identity: str, losses: Sequence[Loss], central_system: str) -> None:
        if not losses:
            return
        spoken = self._places.version_of(identity)
        dialect = spoken if spoken in VERSIONS else OTHER
        for loss in losses:
            self._losses[(dialect, *self._field_of(loss), central_system)] += loss.count

    def _durations_of(self, sender: str, transport: str, action: str, outcome: str) -> _Durations:
        """Return the durations for these labels. Unknown transports and actions become `other`."""
        spoken = transport if transport in TRANSPORTS else OTHER
        return self._calls.setdefault((sender, spoken, action if action in _ACTIONS else OTHER, outcome), _Durations())

    def _field_of(self, loss: Loss) -> tuple[str, str]:
        fields = self.known_fields.get(loss.message)
        if fields is None:
            return OTHER, OTHER
        field = _INDEX.sub("", loss.path)
        return loss.message, field if field in fields else OTHER

    # The output for Prometheus.

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics for Prometheus."""
        yield from self._counted()
        yield from self._standing(self._vitals())
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}build", "What runs here.", value=build)

    def _counted(self) -> Iterator[Metric]:
        labels = ("from", "transport", "action", "outcome")
        calls = {ended: sum(durations.counts) for ended, durations in self._calls.items()}
        yield _counter("calls", "Calls that have ended, by who sent them and how they ended.", labels, calls)
        yield self._histogram()
        text = "Calls that began here and have ended: operators' commands, and what the bridge repeats by itself."
        yield _counter("own_calls", text, ("by", "action", "outcome"), self._own_calls)
        text = "Values that a translation dropped, altered or assumed."
        yield _counter("losses", text, ("dialect", "message", "field", "central_system"), self._losses)
        text = "Messages and handshakes that were turned away."
        yield _counter("refused", text, ("reason",), _keyed(self._refused))
        text = "Answers that came for no Call: too late, or never asked for."
        yield _counter("dropped", text, ("from",), _keyed(self._dropped))
        text = "How often the way to a party was lost, or could not be opened."
        yield _counter("link_downs", text, ("to",), _keyed(self._link_downs))
        text = "Calls that got no verdict, by the party that gave none and why."
        yield _counter("link_failures", text, ("to", "reason"), self._link_failures)
        text = "Answers that came too late, and are kept for the repetition."
        yield _counter("late_answers_kept", text, (), {(): self._late_answers_kept})
        text = "Answers of a shadow that differ from those of the main Central System."
        yield _counter("shadow_differences", text, ("central_system", "action"), self._shadow_differences)
        text = "Callback addresses of Charge Points that must not be used."
        yield _counter("callbacks_refused", text, (), {(): self._callbacks_refused})

    def _histogram(self) -> Metric:
        text = "Seconds from the arrival of a Call to its end."
        family = HistogramMetricFamily(f"{PREFIX}call_duration_seconds", text, labels=("from", "transport", "action"))
        of_all: dict[tuple[str, str, str], _Durations] = {}
        for (sender, transport, action, _), durations in self._calls.items():
            of_all.setdefault((sender, transport, action), _Durations()).include(durations)
        for labels, durations in of_all.items():
            family.add_metric(labels, durations.buckets(), durations.sum)
        return family

    def _standing(self, vitals: HealthCounts) -> Iterator[Metric]:
        sessions = {(transport, state): 0 for transport in get_args(Spoken) for state in STATES}
        sessions |= vitals.sessions
        text = "Known Charge Points, by what they speak and their state. Each is in one state."
        yield _gauge("sessions", text, ("transport", "state"), sessions)
        links: dict[tuple[str, str], float] = {}
        for name, system in vitals.central_systems.items():
            links |= {(name, "connected"): system.connected, (name, "unreachable"): system.unreachable}
        text = "Ways to each Central System that are open, and that are wanted but could not be opened."
        yield _gauge("central_system_links", text, ("central_system", "state"), links)
        odd = {(name,): system.misconfigured is not None for name, system in vitals.central_systems.items()}
        text = "1 while what comes back to POSTs is no answer of the Central System's service."
        yield _gauge("central_system_misconfigured", text, ("central_system",), odd)
        text = "When the certificates that the bridge shows end, in unix seconds, by the table of the configuration."
        ends = {(table,): end for table, end in vitals.certificates.items()}
        yield _gauge("certificate_not_after_seconds", text, ("table",), ends)
        text = "POSTs whose Calls have timed out, and that may still bring an answer."
        yield _gauge("late_posts", text, (), {(): vitals.late_posts})
        text = "Such POSTs that were closed because there were too many."
        yield _counter("late_posts_closed", text, (), {(): vitals.late_posts_closed})
        yield _gauge("in_flight", "Calls in progress.", (), {(): vitals.in_flight})
        text = "How many Calls may be in progress (gateway.max_in_flight)."
        yield _gauge("in_flight_limit", text, (), {(): vitals.most_in_flight})
        yield _gauge("store_trouble", "1 while nothing can be written to the store.", (), {(): vitals.store_trouble})
        yield _gauge("draining", "1 while the bridge is shutting down.", (), {(): vitals.draining})
        text = "How late the event loop was at most in the last minute."
        yield _gauge("event_loop_lag_seconds", text, (), {(): vitals.lag})
        text = "Messages that the recorder had no time for, or no disk."
        yield _counter("recorder_lost", text, (), {(): vitals.recorder_lost})
        text = "Recorded messages that were dropped because all together were larger than recorder.max_bytes."
        yield _counter("recorder_dropped", text, (), {(): vitals.recorder_dropped})
        text = "Messages that the recorder has not written yet."
        yield _gauge("recorder_waiting", text, (), {(): vitals.recorder_waiting})
        text = "Moves of several Charge Points to another Central System, by their state."
        yield _gauge("moves", text, ("state",), _keyed(vitals.moves))
        text = "Open transactions of Charge Points with a Session, by the Central System that named them."
        yield _gauge("transactions_open", text, ("central_system",), _keyed(vitals.open_transactions))
        if vitals.cluster is not None:
            suspended, slots = vitals.cluster.suspended, vitals.cluster.slots
            text = "Slots whose Charge Points this process serves, of 1024 in all. Only with several processes."
            yield _gauge("slots", text, (), {(): 0 if suspended else slots})
            text = "1 while this process has no lease, and waits for NATS. Only with several processes."
            yield _gauge("suspended", text, (), {(): suspended})
        yield from self._events(vitals.receivers)
        yield from self._observers(vitals.observers)

    def _events(self, receivers: Mapping[str, ReceiverCounts]) -> Iterator[Metric]:
        waiting = {(name,): each.waiting for name, each in receivers.items()}
        yield _gauge("events_waiting", "Events that wait for each receiver.", ("receiver",), waiting)
        trouble = {(name,): each.trouble is not None for name, each in receivers.items()}
        yield _gauge("events_trouble", "1 while events are not delivered to a receiver.", ("receiver",), trouble)
        delivered = {(name,): each.delivered for name, each in receivers.items()}
        yield _counter("events_delivered", "Events that each receiver has got.", ("receiver",), delivered)
        dropped = {(name, why): times for name, each in receivers.items() for why, times in each.dropped.items()}
        text = "Events that a receiver never gets: too many or too large ones waited, too long, or none could be kept."
        yield _counter("events_dropped", text, ("receiver", "reason"), dropped)

    def _observers(self, observers: Mapping[str, ObserverCounts]) -> Iterator[Metric]:
        waiting = {(name,): each.waiting for name, each in observers.items()}
        yield _gauge("observer_queue", "Messages that wait for each observer.", ("central_system",), waiting)
        halted = {(name,): each.halted for name, each in observers.items()}
        text = "Charge Points whose messages to an observer wait behind a Start or Stop without an answer."
        yield _gauge("observer_halted", text, ("central_system",), halted)
        lost = {(name, why): times for name, each in observers.items() for why, times in each.lost.items()}
        text = "Messages that an observer never gets, by why."
        yield _counter("observer_lost", text, ("central_system", "reason"), lost)


class _Durations:
    """The number of Calls in each bucket of durations, and the sum of the durations in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def include(self, others: _Durations) -> None:
        """Add the counts of `others`."""
        self.counts = [one + other for one, other in zip(self.counts, others.counts, strict=True)]
        self.sum += others.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Return the upper bound of each bucket in seconds, and the number of Calls up to that bound."""
        bounds = [*map(str, BUCKETS), "+Inf"]
        return [(bound, sum(self.counts[: index + 1])) for index, bound in enumerate(bounds)]


def registry_of(meter: Meter) -> CollectorRegistry:
    """Return a registry with the metrics of `meter`, of this process and of its Python interpreter."""
    registry = CollectorRegistry()
    registry.register(meter)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the metrics of `registry` and their content type: OpenMetrics if `accept` names it, else plain text."""
    if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept:
        data: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return data, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), _PLAIN_TEXT


def known_fields() -> dict[str, frozenset[str]]:
    """Return the paths of the fields in each PDU, without indexes. The empty path is the PDU itself."""
    records = [record for action in ACTIONS.values() for record in (action.request, action.response)]
    return {record.__name__: frozenset(("", *_paths(shape_of(record), ""))) for record in records}


def _paths(shape: Shape, above: str) -> Iterator[str]:
    for name, field in shape.fields.items():
        yield above + name
        if field.shape is not None:
            yield from _paths(field.shape, f"{above}{name}.")


def _keyed(counts: Mapping[str, int]) -> dict[tuple[str], int]:
    return {(label,): count for label, count in counts.items()}


def _counter(name: str, text: str, labels: Sequence[str], counts: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    _fill(family.add_metric, counts)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    _fill(family.add_metric, values)
    return family


def _fill(add: Callable[[Sequence[str], float], None], values: Mapping[Any, float]) -> None:
    for labels, value in values.items():
        add(labels, value)
