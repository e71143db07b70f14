"""What the gateway logs of losses, read from its log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.lines import values_of

_TRAFFIC = logging.getLogger("bridge.traffic")


class Ledger(logging.Filter):
    """Losses as (field, reason), in their order. Nothing gets through that the log would not have shown without it."""

    def __init__(self, shown: int) -> None:
        super().__init__()
        self.entries: list[tuple[str, str]] = []
        self._shown = shown

    def filter(self, record: logging.LogRecord) -> bool:
        """Note a loss."""
        if record.msg == "loss":
            values = values_of(record)
            self.entries.append((str(values["field"]), str(values["reason"])))
        return record.levelno >= self._shown

    def counted(self) -> Counter[tuple[str, str]]:
        """How often each was logged."""
        return Counter(self.entries)


@contextmanager
def kept() -> Iterator[Ledger]:
    """A Ledger of what is logged meanwhile."""
    ledger, level = Ledger(_TRAFFIC.getEffectiveLevel()), _TRAFFIC.level
    _TRAFFIC.addFilter(ledger)
    _TRAFFIC.setLevel(min(logging.INFO, _TRAFFIC.getEffectiveLevel()))
    try:
        yield ledger
    finally:
        _TRAFFIC.setLevel(level)
        _TRAFFIC.removeFilter(ledger)
