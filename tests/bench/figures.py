"""Figures of several repetitions, and tables of them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

_PACKAGES = ("aiohttp", "httptools", "websockets", "lxml", "msgspec", "spyne", "zeep")


class Plan(Struct, frozen=True, kw_only=True):
    """How much is measured. Times in seconds. `sessions` are the sizes of the fleet; `anew` is how often the processes
    of a leg are measured before others take their place: each has its luck, with its memory above all; `faults` is how
    often each fault of a cluster happens."""

    quick: bool
    repetitions: int
    anew: int
    seconds: float
    charge_points: int
    crowd: int
    sessions: tuple[int, ...]
    warm_up: int
    stored: int
    faults: int


FULL = Plan(
    quick=False,
    repetitions=6,
    anew=2,
    seconds=1.0,
    charge_points=32,
    crowd=2000,
    sessions=(100, 1_000, 10_000),
    warm_up=500,
    stored=10_000,
    faults=20,
)
QUICK = Plan(
    quick=True,
    repetitions=1,
    anew=1,
    seconds=0.05,
    charge_points=4,
    crowd=20,
    sessions=(5, 10),
    warm_up=5,
    stored=20,
    faults=1,
)


class Figure(Struct, frozen=True, kw_only=True):
    """The median of the repetitions, and what it lies between."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 0) -> str:
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def figure(runs: Iterable[float]) -> Figure:
    """Of the runs of one thing."""
    known = list(runs)
    return Figure(median=statistics.median(known), low=min(known), high=max(known))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of `ordered`, which is sorted, does not exceed; NaN of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as what stands in them; the first to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def written(line: Sequence[str]) -> str:
        first, *others = (cell.ljust(widths[0]) if not at else cell.rjust(widths[at]) for at, cell in enumerate(line))
        return "  ".join((first, *others)).rstrip()

    return "\n".join((written(head), "  ".join("-" * width for width in widths), *map(written, lines[1:])))


def machine() -> dict[str, str | int]:
    """Where it was measured, and with what."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
