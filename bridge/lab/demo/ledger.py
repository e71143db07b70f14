"""Collect the losses that the gateway writes to its log."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.watching.lines import values_of

_TIMES = re.compile(r" \([0-9]+ times\)\Z")
_TRAFFIC = logging.getLogger("bridge.traffic")


class Ledger(logging.Filter):
    """The logged losses as (field, reason), in order. The filter passes only records of level `shown` or above."""

    def __init__(self, shown: int) -> None:
        super().__init__()
        self.entries: list[tuple[str, str]] = []
        self.noted: Callable[[], None] = lambda: None  # called after each line of losses
        self._shown = shown

    def filter(self, record: logging.LogRecord) -> bool:
        """Collect the losses in `record`, a line of the log with all losses of one message."""
        if record.msg == "loss":
            values = values_of(record)
            self.entries.append((str(values["field"]), str(values["reason"])))
            self.entries += map(_entry, filter(None, str(values.get("more", "")).split("; ")))
            self.noted()
        return record.levelno >= self._shown

    def counted(self) -> Counter[tuple[str, str]]:
        """Return how often each loss was logged."""
        return Counter(self.entries)


def _entry(other: str) -> tuple[str, str]:
    """Return field and reason of a loss that is not the first of its line. `other` is the `str` of a Loss."""
    field, _, reason = other.partition(": ")
    return field, _TIMES.sub("", reason)


@contextmanager
def kept() -> Iterator[Ledger]:
    """Yield a Ledger that collects the losses that are logged inside the `with` block."""
    ledger, level = Ledger(_TRAFFIC.getEffectiveLevel()), _TRAFFIC.level
    _TRAFFIC.addFilter(ledger)
    _TRAFFIC.setLevel(min(logging.INFO, _TRAFFIC.getEffectiveLevel()))
    try:
        yield ledger
    finally:
        _TRAFFIC.setLevel(level)
        _TRAFFIC.removeFilter(ledger)
