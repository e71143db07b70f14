"""Who passes, who waits, and who is refused."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bridge.net.limits.request_queue import QueueDecision, RequestQueue

PASSES, WAITS, REFUSED = QueueDecision.PASSES, QueueDecision.WAITS, QueueDecision.REFUSED


class Loop:
    """Turns when it is told to."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self._due.append(call)

    def turn(self) -> bool:
        """Whether there was anything to do."""
        due, self._due = self._due, []
        for call in due:
            call()
        return bool(due)


class Visitor:
    """Writes into `book` what becomes of it. It comes from a source of its own, or from that before the blank."""

    def __init__(self, name: str, book: list[str]) -> None:
        self.source = name.partition(" ")[0]
        self._name = name
        self._book = book

    def proceed(self) -> None:
        self._book.append(f"{self._name} proceeds")

    def turned_away(self) -> None:
        self._book.append(f"{self._name} is turned away")


class Hall:
    """A RequestQueue, and what happened there."""

    def __init__(self, *, most: int, per_turn: int = 2) -> None:
        self.loop, self.book = Loop(), list[str]()
        self.request_queue = RequestQueue(self.loop.soon, most=most, per_turn=per_turn)

    def enter(self, *names: str) -> list[QueueDecision]:
        return [self.request_queue.enter(Visitor(name, self.book)) for name in names]

    def turn(self) -> list[str]:
        """What it led to."""
        self.loop.turn()
        happened, self.book[:] = self.book[:], []
        return happened


def test_so_many_pass_in_a_turn_and_the_others_in_order() -> None:
    hall = Hall(most=10)
    assert hall.enter(*"abcde") == [PASSES, PASSES, WAITS, WAITS, WAITS]
    assert hall.turn() == ["c proceeds", "d proceeds"]
    assert hall.enter("f") == [WAITS], "nobody overtakes"
    assert hall.turn() == ["e proceeds", "f proceeds"]
    assert hall.enter("g") == [WAITS], "this turn's two have passed"
    assert hall.turn() == ["g proceeds"]
    assert hall.turn() == []
    assert hall.enter("h") == [PASSES]


def test_nobody_is_called_while_nobody_comes() -> None:
    hall = Hall(most=10)
    hall.enter("a")
    assert hall.loop.turn()
    assert not hall.loop.turn()


def test_a_burst_waits_and_what_is_more_is_refused() -> None:
    hall = Hall(most=8)
    assert hall.enter(*"abcdefghij") == [PASSES] * 2 + [WAITS] * 8
    assert hall.enter("k") == [REFUSED]
    hall.turn()
    assert hall.enter("l", "m", "n") == [WAITS, WAITS, REFUSED]


def test_who_has_left_is_not_called() -> None:
    hall = Hall(most=2, per_turn=1)
    gone = Visitor("gone", hall.book)
    hall.enter("a")
    hall.request_queue.enter(gone)
    hall.enter("b")
    hall.request_queue.leave(gone)
    hall.request_queue.leave(gone)
    assert hall.turn() == ["b proceeds"]


def test_who_waits_when_it_closes_is_told_so() -> None:
    hall = Hall(most=5, per_turn=1)
    hall.enter(*"abc")
    hall.request_queue.close()
    assert hall.turn() == ["b is turned away", "c is turned away"]


@given(st.lists(st.integers(0, 7), max_size=100))
def test_everybody_who_was_not_refused_passes_once_and_in_order(arrivals: list[int]) -> None:
    hall, passed, let_in = Hall(most=6), list[str](), list[str]()
    for at, count in enumerate(arrivals):
        for number in range(count):
            name = f"{at}.{number}"
            (entry,) = hall.enter(name)
            let_in += [name] * (entry is not REFUSED)
            passed += [name] * (entry is PASSES)
        passed += [text.removesuffix(" proceeds") for text in hall.turn()]
    while happened := hall.turn():
        passed += [text.removesuffix(" proceeds") for text in happened]
    assert passed == let_in


def test_one_source_has_three_quarters_of_the_places() -> None:
    hall = Hall(most=8, per_turn=1)
    assert hall.enter("first") == [PASSES]
    assert hall.enter(*(f"loud {number}" for number in range(8))) == [WAITS] * 6 + [REFUSED] * 2
    assert hall.enter("a", "b", "c") == [WAITS, WAITS, REFUSED]
    assert hall.turn() == ["loud 0 proceeds"]
    assert hall.enter("loud 9", "loud 10") == [WAITS, REFUSED]
    while hall.turn():
        pass
    assert hall.enter("loud 11") == [PASSES]
    assert not hall.request_queue._of
