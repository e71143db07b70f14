"""Losses by field and reason, and that no stranger fills the memory with the names of fields."""

from __future__ import annotations

from bridge.admin.loss_counts import DROPPED, LossCounts
from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Call, CallResult
from bridge.watching.facts import CallEnded, ContentLost

ZONE = Loss(message="MeterValuesRequest", path="meterValue[3].timestamp", reason=LossReason.ASSUMED_ZONE, count=2)
WORD = Loss(message="StatusNotificationRequest", path="errorCode", reason=LossReason.UNKNOWN_VALUE)


def ended(identity: str, *losses: Loss, answer: tuple[Loss, ...] = ()) -> CallEnded:
    call = Call(unique_id="1", action="MeterValues", payload=HeartbeatRequest(), losses=losses)
    told = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime="x"), losses=answer)
    report = Report(sender=Party.CHARGE_POINT, call=call, outcome=Outcome.RESULT, arrived=0.0, ended=1.0, answer=told)
    return CallEnded(identity, report)


def test_they_are_added_by_field_and_reason_with_the_last_charge_point() -> None:
    now = [1_767_312_000.0]
    counts = LossCounts(lambda: now[0])
    counts.see(ended("CP 1", ZONE))
    now[0] += 60
    counts.see(ended("CP 2", ZONE, answer=(WORD,)))
    counts.see(ContentLost("CP 3", (WORD,)))
    first, second = counts.all()
    assert (first.action, first.message, first.field) == ("MeterValues", "MeterValuesRequest", "meterValue.timestamp")
    assert (first.count, first.identity, first.at, first.dropped) == (4, "CP 2", "2026-01-02T00:01:00.000Z", False)
    assert (second.field, second.count, second.identity, second.dropped) == ("errorCode", 2, "CP 3", True)
    assert second.reason == LossReason.UNKNOWN_VALUE.value


def test_what_a_further_central_system_does_not_get_is_a_row_of_its_own() -> None:
    counts = LossCounts()
    not_named = Loss(message="StopTransactionRequest", path="", reason=LossReason.NO_TRANSACTION_THERE)
    counts.see(ContentLost("CP 1", (not_named, ZONE), "ems"))
    counts.see(ContentLost("CP 1", (ZONE,), "main"))
    counts.see(ContentLost("CP 1", (ZONE, ZONE), "main"))
    assert [(row.action, row.central_system, row.count) for row in counts.all()] == [
        ("MeterValues", "main", 6),
        ("MeterValues", "ems", 2),
        ("StopTransaction", "ems", 1),
    ]


def test_what_was_dropped_lately_is_counted_by_field() -> None:
    now = [1000.0]
    counts = LossCounts(lambda: now[0])
    counts.see(ContentLost("CP 1", (WORD, ZONE)))
    now[0] = 5000.0
    counts.see(ContentLost("CP 1", (ZONE,)))
    assert len(counts.dropped_since(1000.0)) == 1
    assert len(counts.dropped_since(1001.0)) == 0


def test_names_that_strangers_make_up_are_bounded_and_known_ones_still_counted() -> None:
    counts = LossCounts()
    for number in range(5000):
        foreign = Loss(message="BootNotificationRequest", path="x" * 500 + str(number), reason=LossReason.UNKNOWN_FIELD)
        made_up = Loss(message="BootNotificationRequest", path=f"vendor{number}", reason=LossReason.UNKNOWN_FIELD)
        counts.see(ContentLost("CP 1", (foreign, made_up)))
    counts.see(ContentLost("CP 1", (WORD,)))
    rows = counts.all()
    assert len(rows) < 210
    assert sum(row.count for row in rows) == 10_001
    assert max(len(row.field) for row in rows) == 100
    assert any(row.field == "errorCode" for row in rows)


def test_nothing_that_is_only_written_otherwise_counts_as_dropped() -> None:
    written = {LossReason.RESPELLED_TIME, LossReason.ASSUMED_ZONE, LossReason.NOT_IN_VERSION, LossReason.REPLAYED}
    assert not written & DROPPED
