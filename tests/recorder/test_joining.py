"""Which bytes belong to which message, whatever the order in which they come."""

from __future__ import annotations

from itertools import count, permutations
from typing import Any

import pytest

from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocpp.wire import Kind, Wire
from bridge.recorder import joining
from bridge.recorder.joined import Joined, Seen, of_report
from bridge.recorder.joining import GRACE, PATIENCE, Joining

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
NOW = 1000.0


def wire(unique_id: str, data: str, *, inbound: bool, kind: Kind = "call") -> Wire:
    return Wire(inbound=inbound, transport="json", kind=kind, unique_id=unique_id, data=data.encode())


def report(unique_id: str = "n", hop_id: str | None = "f") -> Report:
    payload = HeartbeatResponse(currentTime="2026-01-01T00:00:00Z")
    return Report(
        sender=CP,
        call=Call(unique_id=unique_id, action="Heartbeat", payload=HeartbeatRequest()),
        outcome=Outcome.RESULT,
        arrived=1,
        ended=2,
        hop_id=hop_id,
        sent=None if hop_id is None else 1.5,
        answer=CallResult(unique_id=unique_id, payload=payload),
    )


NOTES: list[Any] = [
    lambda j: j.wire(Seen(NOW, "A", CP, wire("n", "in", inbound=True))),
    lambda j: j.wire(Seen(NOW, "A", CS, wire("f", "on", inbound=False))),
    lambda j: j.wire(Seen(NOW, "A", CS, wire("f", "back", inbound=True, kind="result"))),
    lambda j: j.wire(Seen(NOW, "A", CP, wire("n", "out", inbound=False, kind="result"))),
    lambda j: j.ended(of_report(7, NOW, "A", report())),
]


def data_of(message: Joined) -> list[str | None]:
    return [None if entry is None else entry.wire.data.decode() for entry in message.wires]


def ended(j: Joining, now: float = NOW) -> list[list[str | None]]:
    """All that is whole by then: what is whole rests for one look."""
    j.done(now)
    return [data_of(message) for message in j.done(now)]


@pytest.mark.parametrize("order", [*permutations(range(5))])
def test_in_whatever_order(order: tuple[int, ...]) -> None:
    j = Joining(count())
    for place in order:
        NOTES[place](j)
    assert ended(j) == [["in", "on", "back", "out"]]
    assert (len(j), j.waiting) == (0, 0)


def test_a_unique_id_that_is_used_again_and_again() -> None:
    """Some Charge Points know only one."""
    j = Joining(count())
    for number in range(3):
        j.wire(Seen(NOW, "A", CP, wire("1", f"in {number}", inbound=True)))
        j.ended(of_report(number, NOW, "A", report("1", None)))
        j.wire(Seen(NOW, "A", CP, wire("1", f"out {number}", inbound=False, kind="result")))
    assert ended(j) == [[f"in {number}", None, None, f"out {number}"] for number in range(3)]


def test_what_does_not_come_is_not_waited_for_for_long() -> None:
    j = Joining(count())
    NOTES[0](j)
    NOTES[4](j)
    assert ended(j, NOW + GRACE / 2) == []
    assert [data_of(message) for message in j.done(NOW + GRACE)] == [["in", None, None, None]]
    NOTES[3](j)
    assert ended(j, NOW + PATIENCE + 1) == [] and j.waiting == 0


def test_at_once_it_is_as_it_is_and_comes_again() -> None:
    j = Joining(count())
    NOTES[0](j)
    NOTES[4](j)
    assert [data_of(message) for message in j.done(NOW, at_once=True)] == [["in", None, None, None]]
    for note in NOTES[1:4]:
        note(j)
    assert ended(j) == [["in", "on", "back", "out"]]


def test_a_frame_that_is_only_passed_on() -> None:
    j = Joining(count(5))
    j.wire(Seen(NOW, "A", CP, wire("", "[9]", inbound=True, kind="other")))
    j.wire(Seen(NOW, "A", CS, wire("", "[9]", inbound=False, kind="other")))
    assert j.done(NOW) == []
    (message,) = j.done(NOW + 2 * GRACE)
    assert (message.number, message.outcome, data_of(message)) == (5, "relayed", ["[9]", "[9]", None, None])


def test_what_belongs_to_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_MOST", 10)
    j = Joining(count())
    for number in range(100):
        j.wire(Seen(NOW, "A", CP, wire(str(number), "in", inbound=True)))
    assert j.waiting == 10
