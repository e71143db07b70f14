"""Traces for OpenTelemetry: one span for each Call, from its arrival to its end, with both hops.

The library, which the extra `otel` installs, is loaded only if `[tracing] endpoint` is configured. A span names the
Charge Point, and has no content of a message. A thread of the library sends the spans in batches, and drops them if the
endpoint does not accept them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bridge.core.commands import Outcome, Report
from bridge.errors import Complaint, ConfigurationError, known_code
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallError, CallResult
from bridge.ocpp.tenants import identity_of, tenant_of
from bridge.watching.facts import CallEnded, Fact

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_WELL = (Outcome.RESULT, Outcome.REPEATED)
# Most losses that a span lists.
_MOST_LOSSES = 32
# Seconds that the endpoint may take to accept a batch of spans.
_PATIENCE = 5


class SpanLabels(Protocol):
    """The facts about a Charge Point that a Report does not have."""

    def transport_of(self, identity: str, party: Party) -> str:
        """Return the transport of `party`: `soap` or `json`."""


class Spans:
    """The watcher that makes the spans.

    Args:
        provider: The OpenTelemetry library's source of spans.
        places: Gives the facts that a Report does not have.
        clock: Returns nanoseconds since 1970.
    """

    def __init__(
        self, provider: TracerProvider, places: SpanLabels, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._provider = provider
        self._tracer = provider.get_tracer("ocpp-bridge")
        self._places = places
        self._clock = clock
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def see(self, fact: Fact) -> None:
        """Make the span of a Call that has ended."""
        if isinstance(fact, CallEnded):
            self._ended(fact)

    def _ended(self, fact: CallEnded) -> None:
        report = fact.report
        ended = self._clock()  # a Report comes at the moment its Call ends
        begun = ended - _nanoseconds(report.ended - report.arrived)
        span = self._tracer.start_span(
            report.call.action, kind=self._kind, attributes=self._attributes(fact), start_time=begun
        )
        if report.sent is not None:
            span.add_event("sent on", timestamp=begun + _nanoseconds(report.sent - report.arrived))
        if report.outcome not in _WELL:
            span.set_status(self._failed)
        span.end(end_time=ended)

    def close(self) -> None:
        """Send the spans that wait. Blocks for some seconds at most."""
        self._provider.shutdown()

    def _attributes(self, fact: CallEnded) -> dict[str, str | bool | list[str]]:
        identity, report = fact.identity, fact.report
        attributes: dict[str, str | bool | list[str]] = {
            "ocpp.charge_point": identity_of(identity),
            "ocpp.central_system": fact.central_system,
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
        if tenant := tenant_of(identity):
            attributes["ocpp.tenant"] = tenant
        if report.hop_id is not None:
            attributes["ocpp.hop_id"] = report.hop_id
        if isinstance(report.answer, CallError):
            # A peer may send any text as a code.
            attributes["ocpp.error_code"] = known_code(report.answer.code) or "other"
        return attributes


def _losses(report: Report) -> tuple[Loss, ...]:
    answered = report.answer.losses if isinstance(report.answer, CallResult) else ()
    return report.call.losses + answered


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def open_spans(endpoint: str, service_name: str, places: SpanLabels) -> Spans:
    """Return Spans that POSTs to an endpoint.

    Args:
        endpoint: The URL of the endpoint (OTLP over HTTP).
        service_name: The name of this service in the traces.
        places: Gives the facts that a Report does not have.

    Raises:
        ConfigurationError: If the extra `otel` is not installed.
    """
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
