"""What holds for every walk: nothing fails behind the scenes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_WATCHED = ("bridge", "asyncio", "aiohttp", "websockets", "spyne")


class _Failures(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")


@pytest.fixture(autouse=True)
def nothing_fails_unseen() -> Iterator[None]:
    """An exception that a task or a server swallowed is on no wire, only in the log."""
    failures = _Failures()
    loggers = [logging.getLogger(name) for name in _WATCHED]
    for logger in loggers:
        logger.addHandler(failures)
    yield
    for logger in loggers:
        logger.removeHandler(failures)
    assert failures.found == []
