"""Metrics: what an Observer hears of, counted, and how things stand when somebody asks (DESIGN section 4).

Every label has a fixed set of values: no identity, nothing that a stranger writes. What is none of them is `other`.
Counting is adding one to a number that is at hand; all else is done when Prometheus asks. One event loop does both.
"""

from __future__ import annotations

import platform
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

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

from bridge.admin.health import CentralSystemHealth
from bridge.core.commands import Drop, Report
from bridge.errors import BridgeError, Why
from bridge.observing import Observer
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallResult
from bridge.ocpp.shapes import Shape, shape_of

PREFIX = "ocpp_bridge_"
OTHER = "other"
TRANSPORTS = ("soap", "json")
STATES = ("up", "connecting", "down")
VERSIONS = ("1.6", "1.5", "1.2")
# Seconds. A Call across two wires takes milliseconds; its time-out is half a minute unless it is configured.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ACTIONS = frozenset(ACTIONS) | SECURITY_EXTENSIONS
# Every Prometheus reads it, and so does everything else that was written for one.
_PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_INDEX = re.compile(r"\[[0-9]+\]")


class Places(Protocol):
    """What a Report does not say of its Charge Point."""

    def transport_of(self, identity: str, party: Party) -> str:
        """What `party` speaks, one of TRANSPORTS; the party is the Charge Point `identity` or its Central System."""

    def version_of(self, identity: str) -> str:
        """The OCPP version of the SOAP that is spoken on either side, one of VERSIONS."""


class Vitals(Struct, frozen=True, kw_only=True):
    """How things stand at this moment. `sessions` by the Charge Point's transport and the state of its Link; `lag` in
    seconds, the most of the last minute."""

    sessions: Mapping[tuple[str, str], int]
    central_systems: Mapping[str, CentralSystemHealth]
    in_flight: int
    most_in_flight: int
    store_trouble: bool
    draining: bool
    lag: float
    recorder_lost: int = 0
    recorder_waiting: int = 0


class Meter(Observer, Collector):
    """Counts. `vitals` is asked whenever somebody wants to see the numbers."""

    def __init__(self, places: Places, vitals: Callable[[], Vitals]) -> None:
        self._places = places
        self._vitals = vitals
        self._calls: dict[tuple[str, str, str, str], _Durations] = {}
        self._own_calls: Counter[tuple[str, str, str]] = Counter()
        self._losses: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[str] = Counter({why.value: 0 for why in Why})
        self._dropped: Counter[str] = Counter({party.value: 0 for party in Party})
        self._link_downs: Counter[str] = Counter({party.value: 0 for party in Party})
        self._callbacks_refused = 0
        self.known_fields = _known_fields()

    # What is heard.

    def exchanged(self, identity: str, report: Report) -> None:
        call, answer = report.call, report.answer
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
            self.lost(identity, call.losses)
        if isinstance(answer, CallResult) and answer.losses:
            self.lost(identity, answer.losses)

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        if not losses:
            return
        spoken = self._places.version_of(identity)
        dialect = spoken if spoken in VERSIONS else OTHER
        for loss in losses:
            self._losses[(dialect, *self._field_of(loss))] += 1

    def dropped(self, identity: str, drop: Drop) -> None:
        self._dropped[drop.party.value] += 1

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        self._refused[error.why.value] += 1

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        self._refused[why.value] += 1

    def turned_away(self, peer: str, error: BridgeError, times: int) -> None:
        self._refused[error.why.value] += times

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        self._link_downs[party.value] += 1

    def callback_refused(self, identity: str, reason: str) -> None:
        self._callbacks_refused += 1

    def _durations_of(self, sender: str, transport: str, action: str, outcome: str) -> _Durations:
        """Those of the labels: never those of a stranger's words."""
        spoken = transport if transport in TRANSPORTS else OTHER
        return self._calls.setdefault((sender, spoken, action if action in _ACTIONS else OTHER, outcome), _Durations())

    def _field_of(self, loss: Loss) -> tuple[str, str]:
        fields = self.known_fields.get(loss.message)
        if fields is None:
            return OTHER, OTHER
        field = _INDEX.sub("", loss.path)
        return loss.message, field if field in fields else OTHER

    # What is told.

    def collect(self) -> Iterator[Metric]:
        """Everything, for Prometheus."""
        yield from self._counted()
        yield from self._standing(self._vitals())
        build = {"version": _version(), "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}build", "What runs here.", value=build)

    def _counted(self) -> Iterator[Metric]:
        labels = ("from", "transport", "action", "outcome")
        calls = {ended: sum(durations.counts) for ended, durations in self._calls.items()}
        yield _counter("calls", "Calls that have ended, by who sent them and how they ended.", labels, calls)
        yield self._histogram()
        text = "Calls that began here and have ended: operators' commands, and what the bridge repeats by itself."
        yield _counter("own_calls", text, ("by", "action", "outcome"), self._own_calls)
        text = "Values that a translation dropped, altered or assumed."
        yield _counter("losses", text, ("dialect", "message", "field"), self._losses)
        text = "Messages and handshakes that were turned away."
        yield _counter("refused", text, ("reason",), _keyed(self._refused))
        text = "Answers that came for no Call: too late, or never asked for."
        yield _counter("dropped", text, ("from",), _keyed(self._dropped))
        text = "How often the way to a party was lost, or could not be opened."
        yield _counter("link_downs", text, ("to",), _keyed(self._link_downs))
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

    def _standing(self, vitals: Vitals) -> Iterator[Metric]:
        sessions = {(transport, state): 0 for transport in TRANSPORTS for state in STATES} | dict(vitals.sessions)
        text = "Charge Points, by what they speak and the state of the way to them."
        yield _gauge("sessions", text, ("transport", "state"), sessions)
        links: dict[tuple[str, str], float] = {}
        for name, system in vitals.central_systems.items():
            links |= {(name, "connected"): system.connected, (name, "unreachable"): system.unreachable}
        text = "Ways to each Central System that are open, and that are wanted but could not be opened."
        yield _gauge("central_system_links", text, ("central_system", "state"), links)
        yield _gauge("in_flight", "Calls in progress.", (), {(): vitals.in_flight})
        text = "How many Calls may be in progress (gateway.max_in_flight)."
        yield _gauge("in_flight_limit", text, (), {(): vitals.most_in_flight})
        yield _gauge("store_trouble", "1 while nothing can be written to the store.", (), {(): vitals.store_trouble})
        yield _gauge("draining", "1 while the bridge is shutting down.", (), {(): vitals.draining})
        text = "How late the event loop was at most in the last minute."
        yield _gauge("event_loop_lag_seconds", text, (), {(): vitals.lag})
        text = "Messages that the recorder had no time for, or no disk."
        yield _counter("recorder_lost", text, (), {(): vitals.recorder_lost})
        text = "Observations that the recorder has not written yet: five to a message, as a rule."
        yield _gauge("recorder_waiting", text, (), {(): vitals.recorder_waiting})


class _Durations:
    """How many took how long."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def include(self, others: _Durations) -> None:
        """Those too."""
        self.counts = [one + other for one, other in zip(self.counts, others.counts, strict=True)]
        self.sum += others.sum

    def buckets(self) -> list[tuple[str, float]]:
        """The upper bound of each, and how many took that long at most."""
        bounds = [*map(str, BUCKETS), "+Inf"]
        return [(bound, sum(self.counts[: index + 1])) for index, bound in enumerate(bounds)]


def registry_of(meter: Meter) -> CollectorRegistry:
    """The Meter's numbers, and those of this process and of its Python."""
    registry = CollectorRegistry()
    registry.register(meter)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """What `registry` holds, and its content type: OpenMetrics for who says that it takes it, else plain text."""
    if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept:
        data: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return data, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), _PLAIN_TEXT


@cache
def _version() -> str:
    try:
        return version("ocpp-bridge")
    except PackageNotFoundError:  # it runs from its sources
        return "unknown"


def _known_fields() -> dict[str, frozenset[str]]:
    """Of each PDU the paths in it, without indexes; the empty one is the message itself."""
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
