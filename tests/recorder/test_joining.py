"""Which bytes belong to which message, whatever the order in which they come."""

from __future__ import annotations

from itertools import count, permutations

import pytest

from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocpp.wire import End, Kind
from bridge.recorder import joining
from bridge.recorder.joined import Joined
from bridge.recorder.joining import GRACE, PATIENCE, Joining
from bridge.recorder.notes import Ended, Ending, Gap, Note, Seen, ended

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
NOW = 1000.0


def seen(party: Party, unique_id: str, data: str, *, inbound: bool, kind: Kind = "call") -> Seen:
    return Seen(End("A", party is CP), NOW, inbound, "json", kind, unique_id, None, data.encode())


def end(number: int = 7, unique_id: str = "n", hop_id: str | None = "f") -> Ended:
    payload = HeartbeatResponse(currentTime="2026-01-01T00:00:00Z")
    report = Report(
        sender=CP,
        call=Call(unique_id=unique_id, action="Heartbeat", payload=HeartbeatRequest()),
        outcome=Outcome.RESULT,
        arrived=1,
        ended=2,
        hop_id=hop_id,
        sent=None if hop_id is None else 1.5,
        answer=CallResult(unique_id=unique_id, payload=payload),
    )
    return ended(Ending(number, NOW, "A", report))


NOTES: list[Note] = [
    seen(CP, "n", "in", inbound=True),
    seen(CS, "f", "on", inbound=False),
    seen(CS, "f", "back", inbound=True, kind="result"),
    seen(CP, "n", "out", inbound=False, kind="result"),
    end(),
]


def joining_from(first: int = 0) -> Joining:
    return Joining(count(first).__next__)


def data_of(message: Joined) -> list[str | None]:
    return [None if entry is None else entry.data.decode() for entry in message.wires]


def whole(j: Joining, now: float = NOW) -> list[list[str | None]]:
    """All that is whole by then: what is whole rests for one look."""
    j.done(now)
    return [data_of(message) for message in j.done(now)]


@pytest.mark.parametrize("order", [*permutations(range(5))])
def test_in_whatever_order(order: tuple[int, ...]) -> None:
    j = joining_from()
    for place in order:
        j.take(NOTES[place])
    assert whole(j) == [["in", "on", "back", "out"]]
    assert (len(j), j.waiting) == (0, 0)


def test_a_unique_id_that_is_used_again_and_again() -> None:
    """Some Charge Points know only one."""
    j = joining_from()
    for number in range(3):
        j.take(seen(CP, "1", f"in {number}", inbound=True))
        j.take(end(number, "1", None))
        j.take(seen(CP, "1", f"out {number}", inbound=False, kind="result"))
    assert whole(j) == [[f"in {number}", None, None, f"out {number}"] for number in range(3)]


def test_what_does_not_come_is_not_waited_for_for_long() -> None:
    j = joining_from()
    j.take(NOTES[0])
    j.take(NOTES[4])
    assert whole(j, NOW + GRACE / 2) == []
    assert [data_of(message) for message in j.done(NOW + GRACE)] == [["in", None, None, None]]
    j.take(NOTES[3])
    assert whole(j, NOW + PATIENCE + 1) == [] and j.waiting == 0


def test_at_once_it_is_as_it_is_and_comes_again() -> None:
    j = joining_from()
    j.take(NOTES[0])
    j.take(NOTES[4])
    assert [data_of(message) for message in j.done(NOW, at_once=True)] == [["in", None, None, None]]
    for note in NOTES[1:4]:
        j.take(note)
    assert whole(j) == [["in", "on", "back", "out"]]


def test_a_frame_that_is_only_passed_on() -> None:
    j = joining_from(5)
    j.take(seen(CP, "", "[9]", inbound=True, kind="other"))
    j.take(seen(CS, "", "[9]", inbound=False, kind="other"))
    assert j.done(NOW) == []
    (message,) = j.done(NOW + 2 * GRACE)
    assert (message.number, message.outcome, data_of(message)) == (5, "relayed", ["[9]", "[9]", None, None])


def test_what_belongs_to_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_MOST", 10)
    j = joining_from()
    for number in range(100):
        j.take(seen(CP, str(number), "in", inbound=True))
    assert j.waiting == 10


def test_what_was_not_taken_down_is_not_waited_for() -> None:
    """Behind a gap, what belongs to the bytes before it does not come."""
    j = joining_from()
    j.take(NOTES[0])
    j.take(Gap(NOW))
    assert j.waiting == 0
    for note in NOTES[1:]:
        j.take(note)
    assert [data_of(message) for message in j.done(NOW + GRACE)] == [[None, "on", "back", "out"]]


def test_what_is_told_is_of_the_message_that_is_done_then() -> None:
    """Messages that end while others wait for their bytes."""
    j = joining_from()
    for number in range(3):
        j.take(seen(CP, str(number), "in", inbound=True))
        j.take(end(number, str(number), None))
    j.take(seen(CP, "1", "out", inbound=False, kind="result"))
    assert whole(j) == [["in", None, None, "out"]]
    assert len(j.done(NOW + GRACE)) == 2 and len(j) == 0
