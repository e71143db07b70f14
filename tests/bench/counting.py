"""How many instructions a piece of work takes: the interpreter's own, and calls into C. Not time: the same on every
machine, so that a test can hold a figure to a baseline.

`python -m tests.bench.counting` writes the baseline of the Python that runs it.
"""

from __future__ import annotations

import gc
import json
import sys
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
    try:
        return _monitored(work) if sys.version_info >= (3, 12) else _traced(work)
    finally:
        gc.enable()


def _traced(work: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return count


def _monitored(work: Callable[[], object]) -> int:
    """From Python 3.12 on, tracing does not see every instruction of a function that has run before."""
    monitoring: Any = vars(sys)["monitoring"]
    events, count = monitoring.events, 0

    def one(*_: object) -> None:
        nonlocal count
        count += 1

    monitoring.use_tool_id(monitoring.PROFILER_ID, "counting")
    for event in (events.INSTRUCTION, events.C_RETURN, events.C_RAISE):
        monitoring.register_callback(monitoring.PROFILER_ID, event, one)
    monitoring.set_events(monitoring.PROFILER_ID, events.INSTRUCTION | events.CALL)
    try:
        work()
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, 0)
        monitoring.free_tool_id(monitoring.PROFILER_ID)
    return count


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
