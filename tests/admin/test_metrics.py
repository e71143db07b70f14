"""What is counted, under which names and labels; and that no stranger makes a label."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from bridge.admin.health import CentralSystemHealth, ClusterHealth, ReceiverCounts
from bridge.admin.metrics import BUCKETS, HealthCounts, Meter, exposition, registry_of
from bridge.app import Gateway
from bridge.core.commands import Drop, Outcome, Report
from bridge.core.moves import MoveState
from bridge.core.state import STATES
from bridge.errors import ErrorCode, Unavailable, UnknownIdentity, Why
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered
from bridge.watching.facts import (
    AnswerDropped,
    CallbackRefused,
    CallEnded,
    ContentLost,
    Fact,
    HandshakeRefused,
    LinkLost,
    LinkOpened,
    MessageRefused,
    RequestsUnread,
    ShadowAnswered,
)
from tests.e2e import stage
from tests.e2e.stage import AT, RawCentralSystem, envelope, post, running

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class Everywhere:
    """All Charge Points speak the same."""

    def __init__(self, transport: str = "soap", version: str = "1.5") -> None:
        self.transport = transport
        self.version = version

    def transport_of(self, identity: str, party: Party) -> str:
        return self.transport

    def version_of(self, identity: str) -> str:
        return self.version


def vitals(**changes: Any) -> HealthCounts:
    """A gateway where nobody is."""
    calm: dict[str, Any] = {"sessions": {}, "central_systems": {}, "in_flight": 0, "most_in_flight": 1000}
    return HealthCounts(**(calm | {"store_trouble": False, "draining": False, "lag": 0.0} | changes))


def meter(places: Everywhere | None = None, **changes: Any) -> Meter:
    """One that has counted nothing yet."""
    return Meter(places or Everywhere(), lambda: vitals(**changes))


def meter_of_a_cluster() -> Meter:
    """One that has every metric: those of a process in a cluster, too."""
    return meter(cluster=ClusterHealth(node="a", nodes=["a"], slots=1024, suspended=False))


def report(
    action: str = "Heartbeat",
    *,
    sender: Party = CHARGE_POINT,
    outcome: Outcome = Outcome.RESULT,
    took: float = 0.02,
    losses: tuple[Loss, ...] = (),
    answer: Answer | None = None,
    own: bool = False,
    operator: bool = False,
) -> Report:
    """A Call that has ended."""
    call = Call(unique_id="1", action=action, payload=HeartbeatRequest(), losses=losses)

    return Report(
        sender=sender, call=call, outcome=outcome, arrived=0.0, ended=took, answer=answer, own=own, operator=operator
    )


def told(counted: Meter, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples called `name`, by their labels, that are not nought."""
    return samples(exposition(registry_of(counted), "")[0].decode(), name)


def samples(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The same, of a page."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.name == f"ocpp_bridge_{name}"]
    return {tuple(sorted(sample.labels.items())): sample.value for sample in samples if sample.value}


def labels_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every sample that `registry` can have, by its name, with the names of its labels."""
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        names = [family.name + suffix for suffix in suffixes.get(family.type, ("",))]
        names += [sample.name for sample in family.samples]
        own = set(getattr(family, "_labelnames", ()))
        for name in names:
            found.setdefault(name, set()).update(own, {"le"} if name.endswith("_bucket") else ())
        for sample in family.samples:
            found[sample.name].update(sample.labels)
    return found


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name.rstrip("_"), value) for name, value in values.items()))


def test_a_call_is_counted_by_who_sent_it_and_how_it_ended() -> None:
    counted = meter()
    counted.see(CallEnded("CP 1", report()))
    counted.see(CallEnded("CP 2", report()))
    counted.see(CallEnded("CP 1", report("Reset", sender=CENTRAL_SYSTEM, outcome=Outcome.UNANSWERED)))
    assert told(counted, "calls_total") == {
        labels(from_="charge_point", transport="soap", action="Heartbeat", outcome="result"): 2,
        labels(from_="central_system", transport="soap", action="Reset", outcome="unanswered"): 1,
    }


def test_how_long_a_call_took_falls_into_every_bucket_from_there_on() -> None:
    counted = meter()
    for seconds in (0.005, 0.02, 400.0):
        counted.see(CallEnded("CP 1", report(took=seconds)))
    here = {"from_": "charge_point", "transport": "soap", "action": "Heartbeat"}
    buckets = told(counted, "call_duration_seconds_bucket")
    assert [buckets[labels(**here, le=str(bound))] for bound in (0.005, 0.01, 0.025, 60.0)] == [1, 1, 2, 2]
    assert buckets[labels(**here, le="+Inf")] == told(counted, "call_duration_seconds_count")[labels(**here)] == 3
    assert told(counted, "call_duration_seconds_sum")[labels(**here)] == pytest.approx(400.025)
    assert len(buckets) == len(BUCKETS) + 1


def test_how_long_it_took_is_told_of_all_however_they_ended() -> None:
    counted = meter()
    for outcome in Outcome:
        counted.see(CallEnded("CP 1", report(outcome=outcome, took=0.25)))
    here = labels(from_="charge_point", transport="soap", action="Heartbeat")
    assert told(counted, "call_duration_seconds_count") == {here: len(Outcome)}
    assert told(counted, "call_duration_seconds_sum") == {here: 0.25 * len(Outcome)}


def test_what_strangers_call_an_action_is_one_number() -> None:
    counted = meter(Everywhere("pigeon"))
    for number in range(100):
        counted.see(CallEnded("CP 1", report(f"Action{number}")))
    here = {"from_": "charge_point", "transport": "other", "action": "other"}
    assert told(counted, "calls_total") == {labels(**here, outcome="result"): 100}
    assert len(counted._calls) == 1


def test_a_call_that_began_here_is_of_neither_party() -> None:
    counted = meter()
    counted.see(CallEnded("CP 1", report("BootNotification", own=True)))
    counted.see(CallEnded("CP 1", report("Reset", sender=CENTRAL_SYSTEM, operator=True)))
    assert told(counted, "calls_total") == {}
    assert told(counted, "own_calls_total") == {
        labels(by="bridge", action="BootNotification", outcome="result"): 1,
        labels(by="operator", action="Reset", outcome="result"): 1,
    }


def test_losses_of_reading_and_of_writing_are_counted_without_indexes() -> None:
    counted = meter()
    zone = Loss(message="MeterValuesRequest", path="meterValue[3].timestamp", reason=LossReason.ASSUMED_ZONE)
    unknown = Loss(message="AuthorizeRequest", path="colour", reason=LossReason.UNKNOWN_FIELD)
    whole = Loss(message="TriggerMessageRequest", path="", reason=LossReason.ANSWERED_HERE)
    empty = Loss(message="HeartbeatResponse", path="currentTime", reason=LossReason.ASSUMED_TIME)
    answer = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=AT), losses=(empty,))
    counted.see(CallEnded("CP 1", report(losses=(zone, unknown), answer=answer)))
    counted.see(CallEnded("CP 1", report(outcome=Outcome.ERROR, answer=CallError(unique_id="1", code="x"))))
    counted.see(ContentLost("CP 1", (whole, zone)))
    counted.see(ContentLost("CP 1", ()))
    counted.see(ContentLost("CP 1", (zone,), "ems"))
    main = {"dialect": "1.5", "central_system": ""}
    assert told(counted, "losses_total") == {
        labels(message="MeterValuesRequest", field="meterValue.timestamp", **main): 2,
        labels(message="AuthorizeRequest", field="other", **main): 1,
        labels(message="TriggerMessageRequest", field="", **main): 1,
        labels(message="HeartbeatResponse", field="currentTime", **main): 1,
        labels(message="MeterValuesRequest", field="meterValue.timestamp", **main | {"central_system": "ems"}): 1,
    }


def shadow_answered(identity: str, action: str, shadow: str | None) -> ShadowAnswered:
    """`shadow` is the CALLERROR of the shadow, None for the same answer as that of the main one."""
    call = Call(unique_id="1", action=action, payload=HeartbeatRequest())
    answer = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=AT))
    there = answer if shadow is None else CallError(unique_id="7", code=shadow)
    return ShadowAnswered.of(identity, "new", call, answer, there)


def test_answers_of_a_shadow_that_differ_are_counted_by_action() -> None:
    counted = meter()
    for action, shadow in (("Heartbeat", None), ("Heartbeat", "InternalError"), ("Vendors", "X"), ("Own", "X")):
        counted.see(shadow_answered("CP 1", action, shadow))
    assert told(counted, "shadow_differences_total") == {
        labels(central_system="new", action="Heartbeat"): 1,
        labels(central_system="new", action="other"): 2,
    }


def test_what_is_turned_away_is_counted_by_its_reason() -> None:
    counted = meter()
    counted.see(MessageRefused.of("CP 1", "192.0.2.1", UnknownIdentity("CP 1")))
    counted.see(MessageRefused.of(None, None, Unavailable("busy", why=Why.BUSY)))
    counted.see(RequestsUnread.of("192.0.2.1", Unavailable("busy", why=Why.BUSY), 7))
    counted.see(HandshakeRefused("CP 1", "192.0.2.1", 404, "no route", Why.NO_ROUTE))
    assert told(counted, "refused_total") == {labels(reason="no_route"): 2, labels(reason="busy"): 8}


def test_a_link_failure_is_counted_by_who_gave_no_verdict_and_why() -> None:
    counted = meter()
    failures = [Failure.UNREACHABLE, Failure.UNREACHABLE, Failure.MISCONFIGURED]
    for failure in failures:
        unanswered = Unanswered(unique_id="1", reason="none", failure=failure)
        counted.see(CallEnded("CP 1", structs.replace(report(outcome=Outcome.UNANSWERED), failed=unanswered)))
        to_charge_point = report("Reset", sender=CENTRAL_SYSTEM, outcome=Outcome.UNANSWERED)
        counted.see(CallEnded("CP 1", structs.replace(to_charge_point, failed=unanswered)))
    counted.see(CallEnded("CP 1", report()))
    assert told(counted, "link_failures_total") == {
        labels(to=to, reason=reason): times
        for to in ("central_system", "charge_point")
        for reason, times in {"unreachable": 2, "misconfigured": 1}.items()
    }


def test_of_answers_that_go_nowhere_those_that_are_kept_are_counted_too() -> None:
    counted = meter()
    for kept in (True, False, True):
        counted.see(AnswerDropped("CP 1", Drop(party=CENTRAL_SYSTEM, unique_id="1", reason="too late", kept=kept)))
    assert told(counted, "late_answers_kept_total") == {(): 2}
    assert told(counted, "dropped_total") == {labels(from_="central_system"): 3}


def test_retransmissions_and_replays_are_counted() -> None:
    counted = meter()
    counted.see(CallEnded("CP 1", report("StartTransaction", outcome=Outcome.RETRANSMITTED)))
    counted.see(CallEnded("CP 1", report("BootNotification", own=True)))
    sender = {"from_": "charge_point", "transport": "soap"}
    assert told(counted, "calls_total") == {labels(**sender, action="StartTransaction", outcome="retransmitted"): 1}
    assert told(counted, "own_calls_total") == {labels(by="bridge", action="BootNotification", outcome="result"): 1}


def test_what_else_happens_is_counted() -> None:
    counted = meter()
    counted.see(AnswerDropped("CP 1", Drop(party=CENTRAL_SYSTEM, unique_id="1", reason="late")))
    counted.see(LinkLost("CP 1", CENTRAL_SYSTEM, "main", "it hung up"))
    counted.see(CallbackRefused("CP 1", "not there"))
    assert told(counted, "dropped_total") == {labels(from_="central_system"): 1}
    assert told(counted, "link_downs_total") == {labels(to="central_system"): 1}
    assert told(counted, "callbacks_refused_total") == {(): 1}


def test_how_things_stand_is_asked_when_somebody_wants_to_know() -> None:
    standing = meter(
        sessions={("soap", "up"): 3, ("json", "down"): 1},
        central_systems={
            "main": CentralSystemHealth(connected=3, unreachable=1),
            "odd": CentralSystemHealth(misconfigured="HTTP 404, text/html"),
        },
        late_posts=4,
        late_posts_closed=5,
        in_flight=7,
        store_trouble=True,
        draining=True,
        lag=0.25,
        recorder_lost=2,
        recorder_waiting=3,
        moves={"running": 1, "done": 2, "paused": 0},
        open_transactions={"main": 8},
    )
    assert told(standing, "moves") == {labels(state="running"): 1, labels(state="done"): 2}
    assert told(standing, "transactions_open") == {labels(central_system="main"): 8}
    assert told(standing, "sessions") == {
        labels(transport="soap", state="up"): 3,
        labels(transport="json", state="down"): 1,
    }
    assert told(standing, "central_system_links") == {
        labels(central_system="main", state="connected"): 3,
        labels(central_system="main", state="unreachable"): 1,
    }
    assert told(standing, "central_system_misconfigured") == {labels(central_system="odd"): 1}
    numbers = {"late_posts": 4, "late_posts_closed_total": 5}
    numbers |= {"in_flight": 7, "in_flight_limit": 1000, "store_trouble": 1, "draining": 1}
    numbers |= {"recorder_lost_total": 2, "recorder_waiting": 3}
    for name, value in (numbers | {"event_loop_lag_seconds": 0.25}).items():
        assert told(standing, name) == {(): value}
    assert len(told(standing, "build_info")) == 1


@pytest.mark.parametrize(("suspended", "slots"), [(False, 341), (True, 0)])
def test_a_process_of_a_cluster_tells_the_slots_that_it_serves(suspended: bool, slots: int) -> None:
    standing = meter(cluster=ClusterHealth(node="a", nodes=["a", "b"], slots=341, suspended=suspended))
    page = exposition(registry_of(standing), "")[0].decode()
    assert f"\nocpp_bridge_slots {slots}.0\n" in page
    assert f"\nocpp_bridge_suspended {float(suspended)}\n" in page
    assert "ocpp_bridge_slots" not in exposition(registry_of(meter()), "")[0].decode()


def test_receivers_of_events_are_told_apart() -> None:
    calm = ReceiverCounts(waiting=0, oldest=None, trouble=None, since=None, delivered=7, dropped={"too_many": 0})
    away = msgspec.structs.replace(calm, waiting=3, trouble="HTTP 503", delivered=0, dropped={"too_many": 2})
    standing = meter(receivers={"billing": calm, "fleet": away})
    assert told(standing, "events_waiting") == {labels(receiver="fleet"): 3}
    assert told(standing, "events_trouble") == {labels(receiver="fleet"): 1}
    assert told(standing, "events_delivered_total") == {labels(receiver="billing"): 7}
    assert told(standing, "events_dropped_total") == {labels(receiver="fleet", reason="too_many"): 2}


def test_numbers_of_the_process_stand_beside_ours() -> None:
    text = exposition(registry_of(meter()), "")[0].decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_gc_collections_total"):
        assert f"\n{name}" in text


# Whatever is observed.

_text = st.text(max_size=30)
_actions = st.sampled_from(sorted(ACTIONS)) | _text
_paths = st.sampled_from(["", "idTag", "meterValue[7].sampledValue[1].unit", "chargingSchedule.x"]) | _text
_messages = st.sampled_from(["AuthorizeRequest", "MeterValuesRequest"]) | _text
_losses = st.lists(st.builds(Loss, message=_messages, path=_paths, reason=st.sampled_from(LossReason)), max_size=3)
_reports = st.builds(
    report,
    _actions,
    sender=st.sampled_from(Party),
    outcome=st.sampled_from(Outcome),
    took=st.floats(0, 1e6),
    losses=_losses.map(tuple),
    own=st.booleans(),
    operator=st.booleans(),
)
_party = st.sampled_from(Party)
_why = st.sampled_from(Why)
_facts = st.one_of(
    st.builds(CallEnded, _text, _reports),
    st.builds(ContentLost, _text, _losses.map(tuple)),
    st.builds(MessageRefused, st.none() | _text, _text, st.sampled_from(ErrorCode), _text, _why),
    st.builds(RequestsUnread, _text, st.sampled_from(ErrorCode), _text, _why, st.integers(1, 1000)),
    st.builds(HandshakeRefused, _text, _text, st.integers(400, 599), _text, _why),
    st.builds(AnswerDropped, _text, st.builds(Drop, party=_party, unique_id=_text, reason=_text)),
    st.builds(LinkLost, _text, _party, _text, _text),
    st.builds(LinkOpened, _text, _party, _text),
    st.builds(CallbackRefused, _text, _text),
    st.builds(lambda identity, action: shadow_answered(identity, action, "InternalError"), _text, _actions),
)
# All that there can be: of each label its values.
_OUTCOMES = {outcome.value for outcome in Outcome}
_MANY = {"action", "message", "field"}
_FEW: dict[str, set[str]] = {
    "from": {"charge_point", "central_system"},
    "to": {"charge_point", "central_system"},
    "transport": {"soap", "json", "unknown", "other"},
    "outcome": _OUTCOMES,
    "dialect": {"1.6", "1.5", "1.2", "other"},
    "reason": {why.value for why in Why} | {failure.value for failure in Failure},
    "by": {"bridge", "operator"},
    "state": {*STATES} | {state.value for state in MoveState},
    "le": {*map(str, BUCKETS), "+Inf"},
}


@settings(max_examples=50)
@given(st.lists(_facts, max_size=30), st.builds(Everywhere, _text, _text))
def test_whatever_is_observed_every_label_has_a_fixed_set_of_values(facts: list[Fact], places: Everywhere) -> None:
    counted = meter(places)
    for fact in facts:
        counted.see(fact)
    known = known_words()
    for family in counted.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert value in (known if label in _MANY else _FEW.get(label, {value})), (sample.name, label)


def known_words() -> set[str]:
    """Names of actions and messages, and paths of fields, that a label may hold: some hundreds."""
    fields = meter().known_fields
    words = {"other", "", *ACTIONS, *fields, *(path for paths in fields.values() for path in paths)}
    assert len(words) < 600 and sum(map(len, fields.values())) < 400
    return words


# Over loopback.


async def scrape(gateway: Gateway, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and text of /metrics."""
    host, port = gateway.admin_address
    url = f"http://{host}:{port}/metrics"
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_prometheus_reads_it() -> None:
    async with RawCentralSystem() as central, running(stage.settings(central.url)) as gateway:
        waits = asyncio.ensure_future(post(gateway, envelope(identity="RDAM 123")))
        await (await central.connected()).serve()
        assert (await waits).status == 200
        assert (await post(gateway, b"<x/>")).status == 400
        status, content_type, text = await scrape(gateway)
        assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        called = labels(from_="charge_point", transport="soap", action="Heartbeat", outcome="result")
        assert samples(text, "calls_total") == {called: 1}
        assert samples(text, "central_system_links") == {labels(central_system="main", state="connected"): 1}
        assert samples(text, "refused_total") == {labels(reason="malformed"): 1}
        assert "RDAM" not in text
        accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        status, content_type, text = await scrape(gateway, Accept=accept)
        assert (status, content_type) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert text.endswith("# EOF\n") and list(openmetrics_families(text))  # type: ignore[no-untyped-call]
        assert await scrape(gateway, "HEAD") == (200, "text/plain; version=0.0.4; charset=utf-8", "")
