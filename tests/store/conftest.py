"""What the tests of the store share: a place for a file, a clock, and ears for what the log says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.store import Store

NOW = 1_790_000_000.0
# Seconds within which anything that happens at all happens; a test that passes waits for none of them.
SOON = 20.0


class Log(logging.Handler):
    """Every line of bridge.store, and a way to wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self.lines.append(record.getMessage())
            self._more.notify_all()

    def count(self, text: str) -> int:
        """How many lines hold `text`."""
        return sum(text in line for line in self.lines)

    def wait_for(self, text: str) -> None:
        """Until a line holds `text`."""
        with self._more:
            assert self._more.wait_for(lambda: self.count(text), SOON), self.lines


@pytest.fixture
def log() -> Iterator[Log]:
    handler, logger = Log(), logging.getLogger("bridge.store")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "bridge.db"


Opened = Callable[..., Store]
Clock = Callable[[], float]


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    """Opens a Store on `path`, or on the URL that is given; closed when the test is over. Its clock stands still."""
    stores: list[Store] = []

    def open_store(url: str = f"sqlite:///{path}", retry: float = 0.02, clock: Clock = lambda: 0.0) -> Store:
        store = Store(url, retry=retry, clock=clock)
        store.open()
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()
