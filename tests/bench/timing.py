"""The codec alone: microseconds of processor time per message, in this process."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping

from msgspec import Struct

from tests.bench.codecs import ACTIONS_MEASURED, ALONE, Work, pieces, references
from tests.bench.figures import Figure, Plan, figure, table


class Piece(Struct, frozen=True, kw_only=True):
    """A message in one direction. The best repetition is the low of `us`; `of_alone` is how many times as long it takes
    as lxml and msgspec alone take for it, None where they were not measured."""

    name: str
    us: Figure
    of_alone: float | None = None


def measure(plan: Plan) -> list[Piece]:
    """Every piece in turn, and what lxml and msgspec alone take."""
    timed = taking_turns({**dict(pieces()), **dict(references())}, plan)
    return [Piece(name=name, us=us, of_alone=_of_alone(name, timed)) for name, us in timed.items()]


def _of_alone(name: str, timed: Mapping[str, Figure]) -> float | None:
    action, _, way = name.partition(", ")
    return (
        timed[name].median / timed[f"{action}, {ALONE}"].median
        if way == "SOAP to JSON" and action in ACTIONS_MEASURED
        else None
    )


def taking_turns(works: Mapping[str, Work], plan: Plan) -> dict[str, Figure]:
    """Microseconds of processor time that each piece of work takes. All are measured in turn, again and again. What was
    there before is left to itself by the garbage collector, as in the bridge once it serves."""
    runs: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.freeze()
    try:
        counts = {name: _calibrated(work, plan.seconds / 5) for name, work in works.items()}
        for _ in range(plan.repetitions):
            for name, work in works.items():
                runs[name].append(1e6 * _spent(work, counts[name]) / counts[name])
    finally:
        gc.unfreeze()
    return {name: figure(each) for name, each in runs.items()}


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
    rows = [
        (
            piece.name,
            piece.us.text(1),
            f"{piece.us.low:.1f}",
            "" if piece.of_alone is None else f"{piece.of_alone:.2f}",
        )
        for piece in figures
    ]
    return table(("codec alone", "CPU, us (spread)", "best", f"x {ALONE}"), rows)
