"""What is kept of each Charge Point's connections, states and moves, and how much of it."""

from __future__ import annotations

from itertools import count

from bridge.gateway.change_history import OF_ONE, ChangeHistory
from bridge.ocpp.actions import Party
from bridge.watching.facts import (
    CallbackChanged,
    ChargePointMoved,
    ChargePointRemoved,
    LinkClosed,
    LinkLost,
    LinkOpened,
)

UP, DOWN = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


def history(most: int = 1000) -> ChangeHistory:
    numbers = count()
    return ChangeHistory(lambda: float(next(numbers)), most)


def test_changes_are_told_in_words_and_in_order() -> None:
    kept = history()
    kept.see(LinkOpened("CP 1", UP, "main"))
    kept.see(LinkOpened("cp 1", DOWN, "main"))
    kept.see(LinkLost("CP 1", DOWN, "main", "refused: ws://u:secret@host/"))
    kept.see(LinkClosed("CP 1", UP, "main", "an operator asked"))
    kept.see(ChargePointMoved("CP 1", "main", "other", "anna"))
    kept.see(ChargePointMoved("CP 1", "other", None))
    kept.see(CallbackChanged("CP 1", "", "http://10.0.0.1/", "10.0.0.1"))
    kept.state_changed("CP 1", "stale")
    assert [(change.at, change.kind, change.party, change.text) for change in kept.of("CP 1")] == [
        (0.0, "link", UP, "connected"),
        (1.0, "link", DOWN, "connected to main"),
        (2.0, "link", DOWN, "not connected to main: refused: ws://u:***@host/"),
        (3.0, "link", UP, "closed by the bridge: an operator asked"),
        (4.0, "moved", None, "main to other, by anna"),
        (5.0, "moved", None, "other to no Central System"),
        (6.0, "callback", None, "none to http://10.0.0.1/"),
        (7.0, "state", None, "stale"),
    ]
    kept.see(ChargePointRemoved("CP 1"))
    assert kept.of("CP 1") == [] == kept.of("CP 2")


def test_the_last_of_each_are_kept() -> None:
    kept = history()
    for _ in range(OF_ONE + 5):
        kept.state_changed("CP 1", "up")
    assert [change.at for change in kept.of("CP 1")] == [float(number) for number in range(5, OF_ONE + 5)]


def test_attempts_that_fail_for_the_same_reason_are_one_change() -> None:
    """A Central System that is away for hours would leave nothing else of a Charge Point."""
    kept = history()
    kept.see(LinkLost("CP 1", DOWN, "main", "it closed the connection"))
    for _ in range(3):
        kept.see(LinkLost("CP 1", DOWN, "main", "refused"))
    kept.see(LinkLost("CP 1", DOWN, "main", "no route"))
    kept.see(LinkLost("CP 1", UP, "main", "no route"))
    kept.state_changed("CP 1", "stale")
    kept.state_changed("CP 1", "stale")
    assert [(change.at, change.text, change.times, change.since) for change in kept.of("CP 1")] == [
        (0.0, "not connected to main: it closed the connection", 1, None),
        (3.0, "not connected to main: refused", 3, 1.0),
        (4.0, "not connected to main: no route", 1, None),
        (5.0, "not connected: no route", 1, None),
        (6.0, "stale", 1, None),
        (7.0, "stale", 1, None),
    ]


def test_of_all_those_that_changed_longest_ago_are_forgotten() -> None:
    kept = history(most=6)
    for name in ("A", "B", "A", "C", "A", "D", "D"):
        kept.state_changed(name, "up")
    assert {name: len(kept.of(name)) for name in "ABCD"} == {"A": 3, "B": 0, "C": 1, "D": 2}
