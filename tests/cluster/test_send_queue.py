"""The order in which the messages of a link are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.cluster.link_frames import GREETING, MOST_IN_PIECES, PIECE, FrameReader, FrameType, Received, frame
from bridge.cluster.send_queue import SendQueue

LARGE = bytes(3 * PIECE + 1)


def takes(queue: SendQueue) -> list[list[Received]]:
    """The messages that end with each piece that is taken."""
    reader, found = FrameReader(10 * PIECE), []
    reader.feed(frame(FrameType.HELLO, GREETING))
    while queue:
        found.append(reader.feed(queue.take()))
    assert reader.broken == ""
    assert not reader._parts  # the receiver has dropped what was given up
    return found


def test_small_messages_go_between_the_pieces_of_a_large_one() -> None:
    queue = SendQueue()
    queue.put(FrameType.REQUEST, 1, LARGE)
    queue.put(FrameType.REQUEST, 2, b"small")
    assert len(queue.take()) > PIECE
    queue.put(FrameType.REQUEST, 3, b"small")
    reader = FrameReader(10 * PIECE)
    reader.feed(frame(FrameType.HELLO, GREETING))
    assert [number for _, number, _ in reader.feed(queue.take())] == [3]


def test_large_messages_take_turns() -> None:
    queue = SendQueue()
    for number in (1, 2):
        queue.put(FrameType.REQUEST, number, LARGE)
    queue.put(FrameType.REQUEST, 3, bytes(PIECE + 1))
    ended = [[number for _, number, _ in messages] for messages in takes(queue)]
    assert ended == [[], [], [], [], [], [3], [], [], [1], [2]]


def test_no_more_messages_are_in_pieces_at_once_than_the_receiver_allows() -> None:
    queue = SendQueue()
    for number in range(1, 4 * MOST_IN_PIECES):
        queue.put(FrameType.REQUEST, number, LARGE)
        queue.put(FrameType.REQUEST, number, b"behind it")
    found = [number for messages in takes(queue) for _, number, _ in messages]
    assert sorted(found) == sorted([*range(1, 4 * MOST_IN_PIECES)] * 2)


def test_what_has_not_begun_can_be_withdrawn() -> None:
    queue = SendQueue()
    small, large = queue.put(FrameType.REQUEST, 1, b"small"), queue.put(FrameType.REQUEST, 2, LARGE)
    assert queue.waits(small, 1) and queue.waits(large, 2)
    assert queue.withdraw(small, 1) and queue.withdraw(large, 2)
    assert not queue and queue.size == 0
    assert not queue.withdraw(small, 1) and not queue.withdraw(large, 2)


def test_what_has_begun_cannot_be_withdrawn_and_is_dropped_at_both_ends() -> None:
    queue = SendQueue()
    small, large = queue.put(FrameType.REQUEST, 1, b"small"), queue.put(FrameType.REQUEST, 2, LARGE)
    data = queue.take()
    assert not queue.waits(small, 1) and not queue.waits(large, 2)
    assert not queue.withdraw(small, 1) and not queue.withdraw(large, 2)
    assert queue.drop(2) and not queue.drop(1)
    reader = FrameReader(10 * PIECE)
    reader.feed(frame(FrameType.HELLO, GREETING))
    reader.feed(data)
    assert reader.feed(queue.take()) == [(FrameType.CANCEL, 2, b"")]
    assert not reader._parts and not queue and queue.size == 0


def test_what_has_not_begun_is_dropped_silently() -> None:
    queue = SendQueue()
    queue.put(FrameType.REQUEST, 2, LARGE)
    assert not queue.drop(2)
    assert not queue and queue.size == 0


@given(st.lists(st.tuples(st.sampled_from(["put", "large", "take", "drop", "withdraw"]), st.integers(1, 20))))
def test_whatever_is_put_and_dropped_the_octets_are_those_of_a_link(steps: list[tuple[str, int]]) -> None:
    queue, tickets, data = SendQueue(), dict[int, int](), [frame(FrameType.HELLO, GREETING)]
    for step, number in steps:
        match step:
            case "put":
                tickets[number] = queue.put(FrameType.BINARY, number, b"small")
            case "large":
                tickets[number] = queue.put(FrameType.BINARY, number, LARGE)
            case "take":
                data.append(queue.take())
            case "drop":
                queue.drop(number)
            case _ if number in tickets:
                queue.withdraw(tickets[number], number)
    while queue:
        data.append(queue.take())
    reader = FrameReader(10 * PIECE)
    for taken in data:
        reader.feed(taken)
    assert reader.broken == "" and not reader._parts and not reader._rest
    assert queue.size == 0
