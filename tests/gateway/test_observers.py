"""What an earlier process had kept for observers and not put into their queues, and what is counted as lost."""

from __future__ import annotations

import logging

import pytest

from bridge.core.observed import Observed
from bridge.core.observer_queue import LostReason, QueuedMessage
from bridge.gateway.observer_state import ObserverLosses
from bridge.gateway.observers import _not_entered
from bridge.observer_queues import StoredLane


def kept(key: str, *observers: str) -> Observed:
    return Observed(key=key, observers=observers, action="StartTransaction", request=b"{}", answer=b"[3,{}]")


ROWS = [kept("a", "ems"), kept("b", "ems", "lake"), kept("c", "lake"), kept("d", "ems", "lake")]


@pytest.mark.parametrize(
    ("observer", "entered", "missing"),
    [
        ("ems", None, ["a", "b", "d"]),  # nothing has entered yet
        ("ems", "a", ["b", "d"]),
        ("ems", "d", []),
        ("lake", "b", ["c", "d"]),
        ("ems", "long ago", ["a", "b", "d"]),  # what entered last is older than all that is kept
        ("other", None, []),  # it was no observer then
    ],
)
def test_what_was_kept_after_the_last_that_entered_is_missing(
    observer: str, entered: str | None, missing: list[str]
) -> None:
    lane = StoredLane(identity="CP 1", entered=entered)
    assert [one.key for one in _not_entered(ROWS, observer, lane)] == missing


def test_what_is_in_the_queue_is_not_missing() -> None:
    """Its process was killed before it had written that it has entered."""
    queued = QueuedMessage(number=1, key="b", action="StartTransaction", at=0.0, octets=2)
    lane = StoredLane(identity="CP 1", entered="a", messages=[queued])
    assert [one.key for one in _not_entered(ROWS, "ems", lane)] == ["d"]


def test_a_lane_that_is_not_on_disk_has_got_nothing() -> None:
    assert [one.key for one in _not_entered(ROWS, "lake", None)] == ["b", "c", "d"]


def test_what_is_lost_is_counted_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    losses = ObserverLosses()
    with caplog.at_level(logging.WARNING, "bridge.observers"):
        losses.add("ems", "CP 1", LostReason.TOO_MANY)
        losses.add("ems", "CP 2", LostReason.TOO_MANY, 5)
        losses.add("ems", "CP 2", LostReason.REFUSED, 0)
        losses.add("lake", "CP 2", LostReason.TOO_OLD, 2)
    assert losses.names() == {"ems", "lake"} and sum(losses.of("other").values()) == 0
    assert (losses.of("ems")["too_many"], losses.of("ems")["refused"], losses.of("lake")["too_old"]) == (6, 0, 2)
    assert len(caplog.records) == 2
