"""Whether a process runs, stands still or has ended, as Linux tells it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_MOST = 60.0  # seconds
# The states of a thread that does nothing more: stopped, traced, ended.
_STILL = ("T", "t", "Z", "X", None)


def lives(pid: int) -> bool:
    """Return whether the process runs. One that has ended and was not waited for does not."""
    return (_state(Path(f"/proc/{pid}")) or "Z") != "Z"


def freeze(pid: int) -> None:
    """Send SIGSTOP, and wait until no thread of the process runs any more.

    The signal reaches a thread that runs on another core some time after it was sent. Until then the process answers.
    """
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + _AT_MOST
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        while any(_state(thread) not in _STILL for thread in Path(f"/proc/{pid}/task").iterdir()):
            assert time.monotonic() < until, f"process {pid} goes on after SIGSTOP"
            time.sleep(0.001)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let the process stand still inside, and go on afterwards if it was not killed meanwhile."""
    try:
        freeze(pid)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _state(process: Path) -> str | None:
    """Return the letter for the state of a process or thread, None if it is gone."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
