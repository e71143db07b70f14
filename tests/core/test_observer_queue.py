"""What waits for an observer: in order, and dropped from what matters least up."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.observed import ENDS
from bridge.core.observer_queue import ObserverQueue, QueuedMessage

HEARTBEAT, STATUS, METERS, START, STOP = (
    *("Heartbeat", "StatusNotification", "MeterValues", "StartTransaction", "StopTransaction"),
)


def message(number: int, action: str = HEARTBEAT, connector: int | None = None, **more: object) -> QueuedMessage:
    fields = {"at": float(number), "octets": 10} | more
    return QueuedMessage(number=number, key=str(number), action=action, connector=connector, **fields)  # type: ignore[arg-type]


def numbers(messages: list[QueuedMessage]) -> list[int]:
    return [each.number for each in messages]


def test_messages_leave_in_the_order_in_which_they_came() -> None:
    queue = ObserverQueue()
    assert queue.first is None
    for number in (1, 2, 3):
        assert queue.put(message(number)) == []
    assert (len(queue), queue.octets, numbers(list(queue))) == (3, 30, [1, 2, 3])
    assert queue.first == message(1)
    assert queue.remove(1) == message(1) and queue.remove(1) is None
    assert queue.first == message(2) and queue.octets == 20


def test_what_is_dropped_first() -> None:
    queue = ObserverQueue()
    for each in (
        message(1, START, 1),
        message(2, METERS, 1, periodic=True),
        message(3, STATUS, 1),
        message(4, STATUS, 2),
        message(5, "DataTransfer"),
        message(6, STATUS, 1),
        message(7, METERS, 1),
        message(8, HEARTBEAT),
        message(9, STOP, 1),
    ):
        queue.put(each)
    dropped = [one.number for one in iter(queue.shrink, None)]
    # The Heartbeat; the older status of connector 1; the periodic values; the others, the oldest first.
    assert dropped == [8, 3, 2, 4, 5, 6, 7]
    assert numbers(list(queue)) == [1, 9]


def test_the_message_that_is_out_is_not_dropped() -> None:
    queue = ObserverQueue()
    queue.put(message(1))
    queue.out = 1
    assert queue.shrink() is None and queue.expired(now=1e9) == []
    queue.put(message(2))
    assert queue.shrink() == message(2)


def test_a_last_status_that_was_delivered_is_not_the_last_any_more() -> None:
    queue = ObserverQueue()
    queue.put(message(1, STATUS, 1))
    queue.remove(1)
    queue.put(message(2, STATUS, 1))
    queue.put(message(3, METERS, 1))
    assert queue.shrink() == message(2, STATUS, 1)


def test_what_is_too_old_goes_transactions_too() -> None:
    queue = ObserverQueue(longest=100.0)
    for each in (message(1, START, at=0.0), message(2, at=50.0), message(3, at=200.0)):
        queue.put(each)
    assert numbers(queue.expired(now=150.1)) == [1, 2]
    assert numbers(queue.expired(now=150.1)) == [] and len(queue) == 1


def test_what_an_earlier_process_left_comes_before_what_waits() -> None:
    queue = ObserverQueue(most=3)
    queue.put(message(10, START))
    assert numbers(queue.take_back([message(1, STATUS, 1), message(2, STATUS, 1), message(3, STOP)])) == [1]
    assert numbers(list(queue)) == [2, 3, 10] and queue.octets == 30


kinds = st.sampled_from([HEARTBEAT, STATUS, METERS, START, STOP, "DataTransfer"])


@given(st.lists(st.tuples(kinds, st.integers(0, 2), st.booleans(), st.booleans()), max_size=40), st.integers(1, 8))
def test_whatever_comes(events: list[tuple[str, int, bool, bool]], most: int) -> None:
    """No Start or Stop is dropped, the order stays, the sums are right, and the last status stays as long as any."""
    queue, number, expected = ObserverQueue(most=most), count(1), list[QueuedMessage]()
    for action, connector, periodic, leaves in events:
        if leaves and queue.first is not None:
            gone = queue.remove(queue.first.number)
            assert gone == expected.pop(0)
        new = message(next(number), action, connector, periodic=periodic and action == METERS)
        dropped = queue.put(new)
        expected.append(new)
        assert all(one.action not in ENDS for one in dropped)
        for one in dropped:
            expected.remove(one)
            if one.action == STATUS and any(other.action == HEARTBEAT for other in expected):
                raise AssertionError("a status went before a Heartbeat")
        assert list(queue) == expected
        assert queue.octets == sum(one.octets for one in expected)
        droppable = [one for one in expected if one.action not in ENDS]
        assert len(expected) <= most or not droppable
