"""The codec alone: microseconds of processor time per message, in this process."""

from __future__ import annotations

import gc
import time

from msgspec import Struct

from tests.bench.codecs import Work, pieces
from tests.bench.figures import Figure, Plan, figure, table


class Piece(Struct, frozen=True, kw_only=True):
    """A message in one direction. The best repetition is the low of `us`."""

    name: str
    us: Figure


def measure(plan: Plan) -> list[Piece]:
    """Every piece in turn, again and again."""
    works = dict(pieces())
    counts = {name: _calibrated(work, plan.seconds / 5) for name, work in works.items()}
    runs: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(plan.repetitions):
        for name, work in works.items():
            runs[name].append(1e6 * _spent(work, counts[name]) / counts[name])
    return [Piece(name=name, us=figure(each)) for name, each in runs.items()]


def _spent(work: Work, count: int) -> float:
    gc.collect()
    begun = time.process_time()
    for _ in range(count):
        work()
    return time.process_time() - begun


def _calibrated(work: Work, seconds: float) -> int:
    """How many take about so long; a warm-up too."""
    each = _spent(work, 20) / 20
    return max(20, int(seconds / max(each, 1e-6)))


def report(figures: list[Piece]) -> str:
    """For a person."""
    rows = [(piece.name, piece.us.text(1), f"{piece.us.low:.1f}") for piece in figures]
    return table(("codec alone", "CPU, us (spread)", "best"), rows)
