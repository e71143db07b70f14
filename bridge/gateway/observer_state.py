"""The state of an observer and what was lost for it, for health and metrics."""

from __future__ import annotations

import logging
import time
from collections import Counter

from msgspec import Struct

from bridge.core.observer_queue import LostReason
from bridge.watching import logs
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.observers")


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


class ObserverLosses:
    """The number of messages that observers never get, by Central System and reason, since the start."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, LostReason]] = Counter()
        self._gate = RepeatLimiter(time.monotonic)

    def add(self, central_system: str, identity: str, reason: LostReason, times: int = 1) -> None:
        """Count messages of a Charge Point. The log has a line a minute for each observer and reason.

        Args:
            central_system: The name of the observer.
            identity: The Charge Point.
            reason: Why the observer does not get them.
            times: The number of messages.
        """
        if not times:
            return
        self._counts[central_system, reason] += times
        if (held := self._gate.passes((central_system, reason), times)) is not None:
            text = "messages are lost for an observer"
            logs.fields(
                _log,
                logging.WARNING,
                text,
                identity=identity,
                central_system=central_system,
                reason=reason.value,
                messages=held + 1,
            )

    def names(self) -> set[str]:
        """Return the names of the observers that have lost messages."""
        return {name for name, _ in self._counts}

    def of(self, central_system: str) -> dict[str, int]:
        """Return the number of messages that an observer never gets, by reason."""
        return {reason.value: self._counts[central_system, reason] for reason in LostReason}
