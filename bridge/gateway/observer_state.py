"""The state of an observer, for health and metrics."""

from __future__ import annotations

from msgspec import Struct


class ObserverState(Struct, frozen=True, kw_only=True):
    """The state of one observer, for all Charge Points.

    Attributes:
        waiting: The number of messages that wait for it.
        octets: The size of these messages.
        oldest: The time of the oldest one in unix seconds, None if none waits.
        halted: The number of Charge Points whose queue stands still, because a StartTransaction or StopTransaction got
            no answer.
        trouble: Why messages wait, None without trouble.
        lost: The number of messages that it never gets since the start, by reason.
    """

    waiting: int
    octets: int
    oldest: float | None
    halted: int
    trouble: str | None
    lost: dict[str, int]
