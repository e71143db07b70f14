"""In what order guesses are looked at, and who goes when there are too many."""

from __future__ import annotations

from bridge.access.attempts import Rank
from bridge.access.queue import Queue, Waiting

Guesses = Queue[str]


def now(identity: str) -> float:
    return 0.0


def enter(queue: Guesses, name: str, rank: Rank = Rank.NEVER_WRONG, identity: str = "CP 1") -> str | None:
    """Who has to go for it."""
    gone = queue.enter(Waiting(identity, rank, name))
    return None if gone is None else gone.guess


def order(queue: Guesses) -> str:
    taken = []
    while isinstance(one := queue.next(now), Waiting):
        taken.append(one.guess)
    return " ".join(taken)


def test_the_least_rank_first_then_who_came_first() -> None:
    queue = Guesses()
    for name, rank in [
        ("w1", Rank.WRONG),
        ("a1", Rank.ADDRESS_WRONG),
        ("n1", Rank.NEVER_WRONG),
        ("w2", Rank.WRONG),
        ("r1", Rank.RECOGNISED),
        ("n2", Rank.NEVER_WRONG),
    ]:
        assert enter(queue, name, rank) is None
    assert order(queue) == "r1 n1 n2 a1 w1 w2"
    assert queue.next(now) is None


def test_of_too_many_the_last_goes() -> None:
    queue = Guesses(of_one=2)
    assert [enter(queue, name, Rank.WRONG) for name in ("w1", "w2", "w3")] == [None, None, "w3"]
    assert enter(queue, "n1") == "w2"
    assert enter(queue, "n2") == "w1"
    assert enter(queue, "n3") == "n3"
    assert enter(queue, "other", Rank.WRONG, "CP 2") is None
    assert order(queue) == "n1 n2 other"


def test_so_many_of_all_together() -> None:
    queue = Guesses(of_all=2)
    assert enter(queue, "w1", Rank.WRONG, "CP 1") is None
    assert enter(queue, "n1", Rank.NEVER_WRONG, "CP 2") is None
    assert enter(queue, "n2", Rank.NEVER_WRONG, "CP 3") == "w1"
    assert enter(queue, "w2", Rank.WRONG, "CP 4") == "w2"
    assert len(queue) == 2


def test_one_identity_that_has_to_wait_holds_up_no_other() -> None:
    queue = Guesses()
    enter(queue, "first", identity="CP 1")
    enter(queue, "second", identity="CP 2")
    due = {"cp 1": 0.5, "cp 2": 0.0}
    found = queue.next(due.__getitem__)
    assert isinstance(found, Waiting) and found.guess == "second"
    assert queue.next(due.__getitem__) == 0.5
    enter(queue, "known", Rank.RECOGNISED, identity="CP 1")
    found = queue.next(due.__getitem__)
    assert isinstance(found, Waiting) and found.guess == "known"
