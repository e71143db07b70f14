"""Traces for OpenTelemetry: one span for each Call, from its arrival to its end, both hops in it.

Only where it is configured (`[tracing] endpoint`), and only then is its library loaded: the extra `otel` brings it. A
span names the Charge Point, and holds nothing of what a message says. Spans are sent in batches, by a thread of the
library; when nobody takes them they are dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bridge.core.commands import Outcome, Report
from bridge.errors import Complaint, ConfigurationError, known_code
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallError, CallResult

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_WELL = (Outcome.RESULT, Outcome.REPEATED)
# A message may be all losses.
_MOST_LOSSES = 32
# Seconds that somebody who takes spans has for it.
_PATIENCE = 5


class Places(Protocol):
    """What a Report does not say of its Charge Point."""

    def transport_of(self, identity: str, party: Party) -> str:
        """What `party` speaks: `soap` or `json`."""

    def central_system_of(self, identity: str) -> str:
        """The name of its Central System; "" if it has none any more."""


class Spans(Observer):
    """Makes the spans. `clock` gives nanoseconds since 1970."""

    def __init__(self, provider: TracerProvider, places: Places, *, clock: Callable[[], int] = time.time_ns) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._provider = provider
        self._tracer = provider.get_tracer("ocpp-bridge")
        self._places = places
        self._clock = clock
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def exchanged(self, identity: str, report: Report) -> None:
        ended = self._clock()  # a Report is told at once
        begun = ended - _nanoseconds(report.ended - report.arrived)
        span = self._tracer.start_span(
            report.call.action, kind=self._kind, attributes=self._attributes(identity, report), start_time=begun
        )
        if report.sent is not None:
            span.add_event("sent on", timestamp=begun + _nanoseconds(report.sent - report.arrived))
        if report.outcome not in _WELL:
            span.set_status(self._failed)
        span.end(end_time=ended)

    def close(self) -> None:
        """Send what waits. Blocks, for some seconds at most."""
        self._provider.shutdown()

    def _attributes(self, identity: str, report: Report) -> dict[str, str | bool | list[str]]:
        attributes: dict[str, str | bool | list[str]] = {
            "ocpp.charge_point": identity,
            "ocpp.central_system": self._places.central_system_of(identity),
            "ocpp.action": report.call.action,
            "ocpp.from": report.sender.value,
            "ocpp.transport": self._places.transport_of(identity, report.sender),
            "ocpp.to.transport": self._places.transport_of(identity, report.sender.other),
            "ocpp.unique_id": report.call.unique_id,
            "ocpp.outcome": report.outcome.value,
            "ocpp.own": report.own,
            "ocpp.operator": report.operator,
            "ocpp.losses": [loss.where for loss in _losses(report)[:_MOST_LOSSES]],
        }
        if report.hop_id is not None:
            attributes["ocpp.hop_id"] = report.hop_id
        if isinstance(report.answer, CallError):
            # Peers may write anything in the place of a code.
            attributes["ocpp.error_code"] = known_code(report.answer.code) or "other"
        return attributes


def _losses(report: Report) -> tuple[Loss, ...]:
    answered = report.answer.losses if isinstance(report.answer, CallResult) else ()
    return report.call.losses + answered


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def open_spans(endpoint: str, service_name: str, places: Places) -> Spans:
    """Spans that are POSTed to `endpoint` (OTLP over HTTP). Raises ConfigurationError where the extra is missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        text = "OpenTelemetry is not installed here: pip install 'ocpp-bridge[otel]'"
        raise ConfigurationError([Complaint(source="configuration", key="tracing.endpoint", text=text)]) from error
    provider = TracerProvider(resource=Resource.create({"service.name": service_name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_PATIENCE)))
    return Spans(provider, places)
