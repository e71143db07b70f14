"""Spans: what they say of a Call, and what happens where their library is missing or nobody takes them."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bridge import config
from bridge.core.commands import Outcome, Report
from bridge.errors import ConfigurationError
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import AuthorizeRequest, HeartbeatResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult
from bridge.ocpp.tenants import key_of
from bridge.watching.facts import CallEnded
from bridge.watching.spans import Spans, open_spans
from tests.e2e.stage import AT, RawCentralSystem, envelope, post, running, settings

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


class Here:
    """A SOAP Charge Point with a JSON Central System."""

    def transport_of(self, identity: str, party: Party) -> str:
        return "soap" if party is Party.CHARGE_POINT else "json"


def report(outcome: Outcome = Outcome.RESULT, answer: Answer | None = None, **values: Any) -> Report:
    """An Authorize that took two seconds, half of one before it was sent on."""
    zone = Loss(message="AuthorizeRequest", path="colour", reason=LossReason.UNKNOWN_FIELD)
    call = Call(unique_id="urn:uuid:1", action="Authorize", payload=AuthorizeRequest(idTag="DEADBEEF"), losses=(zone,))
    told: dict[str, Any] = {"sender": Party.CHARGE_POINT, "call": call, "arrived": 5.0, "ended": 7.0}
    return Report(outcome=outcome, answer=answer, **(told | {"sent": 5.5, "hop_id": "h1"} | values))


def span_of(told: Report, key: str = "RDAM 123") -> ReadableSpan:
    """The one that is made of it, for the Charge Point that `key` names."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider, Here(), clock=lambda: NOW)
    spans.see(CallEnded(key, told, "main"))
    spans.close()
    [span] = exporter.get_finished_spans()
    return span


def test_the_tenant_stands_beside_the_identity() -> None:
    told = span_of(report(), key_of("acme", "RDAM 123")).attributes or {}
    assert (told["ocpp.charge_point"], told["ocpp.tenant"]) == ("RDAM 123", "acme")
    assert "ocpp.tenant" not in (span_of(report()).attributes or {})


def test_a_call_is_one_span_with_both_its_sides() -> None:
    lost = Loss(message="HeartbeatResponse", path="currentTime", reason=LossReason.ASSUMED_ZONE)
    answer = CallResult(unique_id="urn:uuid:1", payload=HeartbeatResponse(currentTime=AT), losses=(lost,))
    span = span_of(report(answer=answer))
    assert (span.name, span.kind, span.status.status_code) == ("Authorize", SpanKind.SERVER, StatusCode.UNSET)
    assert (span.start_time, span.end_time) == (NOW - 2 * SECOND, NOW)
    assert [(event.name, event.timestamp) for event in span.events] == [("sent on", NOW - 3 * SECOND // 2)]
    assert dict(span.attributes or {}) == {
        "ocpp.charge_point": "RDAM 123",
        "ocpp.central_system": "main",
        "ocpp.action": "Authorize",
        "ocpp.from": "charge_point",
        "ocpp.transport": "soap",
        "ocpp.to.transport": "json",
        "ocpp.unique_id": "urn:uuid:1",
        "ocpp.hop_id": "h1",
        "ocpp.outcome": "result",
        "ocpp.own": False,
        "ocpp.operator": False,
        "ocpp.losses": ("AuthorizeRequest.colour", "HeartbeatResponse.currentTime"),
    }


def test_nothing_of_what_was_said_is_in_it() -> None:
    answer = CallError(unique_id="1", code="ftp://u:s3cr3t@h/", description="ftp://u:s3cr3t@h/")
    span = span_of(report(Outcome.ERROR, answer))
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["ocpp.error_code"] == "other"
    assert "DEADBEEF" not in span.to_json() and "s3cr3t" not in span.to_json()


def test_a_call_that_was_never_sent_on_has_no_second_side() -> None:
    span = span_of(report(Outcome.REFUSED, CallError(unique_id="1", code="SecurityError"), sent=None, hop_id=None))
    assert not span.events and "ocpp.hop_id" not in (span.attributes or {})
    assert (span.attributes or {})["ocpp.error_code"] == "SecurityError"


@pytest.mark.parametrize("outcome", Outcome)
def test_a_call_that_failed_is_marked(outcome: Outcome) -> None:
    well = outcome in (Outcome.RESULT, Outcome.REPEATED)
    assert span_of(report(outcome)).status.status_code is (StatusCode.UNSET if well else StatusCode.ERROR)


def test_without_its_library_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"tracing.endpoint: .* pip install 'ocpp-bridge\[otel\]'"):
        open_spans("http://127.0.0.1:4318/v1/traces", "ocpp-bridge", Here())


async def test_it_is_not_even_loaded_where_it_is_not_configured() -> None:
    code = "import bridge.app, sys; print([name for name in sys.modules if 'opentelemetry' in name])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0].strip() == b"[]"


async def test_a_collector_gets_the_spans_before_the_bridge_has_stopped() -> None:
    got: list[ExportTraceServiceRequest] = []

    async def collect(request: web.Request) -> web.Response:
        data = await request.read()
        got.append(ExportTraceServiceRequest.FromString(data))
        return web.Response()

    application = web.Application()
    application.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tracing = config.Tracing(endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces", service_name="here")
    await one_heartbeat(tracing)
    await runner.cleanup()
    [resource] = [resource for request in got for resource in request.resource_spans]
    assert [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"] == ["here"]
    [span] = [span for scope in resource.scope_spans for span in scope.spans]
    assert span.name == "Heartbeat"


async def test_a_collector_that_is_not_there_stops_nothing() -> None:
    await one_heartbeat(config.Tracing(endpoint="http://127.0.0.1:1/v1/traces"))


async def one_heartbeat(tracing: config.Tracing) -> None:
    """Through a gateway, from its start to its end."""
    async with RawCentralSystem() as central:
        told = msgspec.structs.replace(settings(central.url), tracing=tracing)
        async with running(told) as gateway, asyncio.TaskGroup() as group:
            asked = group.create_task(post(gateway, envelope(identity="RDAM 123")))
            await (await central.connected()).serve()
    assert asked.result().status == 200
