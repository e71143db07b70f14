"""How many instructions a piece of work takes: the interpreter's own, and calls into C. Not time: the same on every
machine, so that a test can hold a figure to a baseline.

`python -m tests.bench.counting` writes the baseline of the Python that runs it.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench import codecs

BASELINE = Path(__file__).with_name("instructions.json")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_WARM_UP = 3


def instructions(work: Callable[[], object]) -> int:
    """Of `work`, once its caches are filled."""
    for _ in range(_WARM_UP):
        work()
    gc.disable()  # what it finds to finalize is not the work's
    counter = Counter()
    counter.start()
    try:
        work()
        return counter.count
    finally:
        counter.stop()
        gc.enable()


class _Traced:
    """Counts in the thread that starts it, until it stops."""

    def __init__(self) -> None:
        self.count = 0
        self._before: tuple[Any, Any] = None, None

    def start(self) -> None:
        """Count in this thread from now on."""
        self._before = sys.gettrace(), sys.getprofile()
        sys.settrace(self._trace)
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Count no more."""
        sys.setprofile(self._before[1])
        sys.settrace(self._before[0])

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        self.count += event == "c_call"


class _Monitored:
    """The same: from Python 3.12 on, tracing does not see every instruction of a function that has run before."""

    def __init__(self) -> None:
        self.count = 0
        self._monitoring: Any = vars(sys)["monitoring"]
        self._thread = 0

    def start(self) -> None:
        """Count in this thread from now on."""
        monitoring, events = self._monitoring, self._monitoring.events
        self._thread = threading.get_ident()
        monitoring.use_tool_id(monitoring.PROFILER_ID, "counting")
        for event in (events.INSTRUCTION, events.C_RETURN, events.C_RAISE):
            monitoring.register_callback(monitoring.PROFILER_ID, event, self._one)
        monitoring.set_events(monitoring.PROFILER_ID, events.INSTRUCTION | events.CALL)

    def stop(self) -> None:
        """Count no more."""
        self._monitoring.set_events(self._monitoring.PROFILER_ID, 0)
        self._monitoring.free_tool_id(self._monitoring.PROFILER_ID)

    def _one(self, *_: object) -> None:
        self.count += threading.get_ident() == self._thread


Counter = _Monitored if sys.version_info >= (3, 12) else _Traced


def counted() -> dict[str, int]:
    """The figures of this Python."""
    return {name: instructions(work) for name, work in codecs.pieces()}


def baseline() -> dict[str, dict[str, int]]:
    """What is committed, by the version of Python."""
    known: dict[str, dict[str, int]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    return known


if __name__ == "__main__":
    figures = baseline() | {VERSION: counted()}
    BASELINE.write_text(json.dumps(dict(sorted(figures.items())), indent=2) + "\n")
    print(f"{BASELINE.name}: {VERSION} written")
