"""How long an answer takes, SOAP -> JSON, at shares of the capacity, as a ratio to the floor's at the same share of its
own capacity: a slower machine is slower in both.

Requests are due at fixed times, and late from then on: a bridge that stalls is charged for all that became due
meanwhile.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from msgspec import Struct

from tests.bench.figures import Figure, Plan, figure, percentile, table
from tests.bench.legs import LEGS, Measured, measured
from tests.bench.load import GOOD, Open, closed

_SHARES = (0.1, 0.5, 0.9)
_ACTIONS = ("BootNotification", "MeterValues")
_KINDS = ("floor", "bridge")
_PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_LONGER = 3  # than a run that only counts


class Row(Struct, frozen=True, kw_only=True):
    """Milliseconds at a percentile, through both at a `share` of their capacity, and the ratio in each repetition.
    `failed` had no good answer, of all repetitions together. `late`: of the load itself, before the floor.
    `per_second` is the rate of the bridge."""

    action: str
    share: float
    per_second: float
    percentile: str
    floor: Figure
    bridge: Figure
    of_floor: Figure
    failed: int
    late: float


class _Run(Struct, frozen=True):
    took: list[float]
    late: list[float]
    failed: int


async def measure(plan: Plan) -> list[Row]:
    """All of it."""
    leg, rows = LEGS["soap-json"], []
    async with AsyncExitStack() as stack:
        running = {}
        for kind in _KINDS:
            running[kind] = await stack.enter_async_context(measured(leg, kind, 2 * plan.charge_points))
        for action in _ACTIONS:
            capacity = {kind: await _capacity(running[kind], action, plan) for kind in _KINDS}  # a warm-up of both, too
            runs: dict[tuple[float, str], list[_Run]] = {(s, k): [] for s in _SHARES for k in _KINDS}
            for _ in range(plan.repetitions):
                for share, kind in runs:
                    run = await _run(running[kind], action, share * capacity[kind], _LONGER * plan.seconds)
                    runs[share, kind].append(run)
            rows += [row for share in _SHARES for row in _rows(action, share, share * capacity["bridge"], runs)]
    return rows


async def _capacity(one: Measured, action: str, plan: Plan) -> float:
    rates = [await closed(one.work[action], plan.seconds, one.subject.pid) for _ in range(plan.repetitions + 1)]
    return figure(rate.per_second for rate in rates[1:]).median


async def _run(subject: Measured, action: str, rate: float, seconds: float) -> _Run:
    load = Open(subject.work[action], rate, seconds)
    await load.run()
    good = [outcome for outcome in load.outcomes if outcome.status == GOOD]
    return _Run(
        took=sorted(1e3 * (outcome.ended - outcome.due) for outcome in good),
        late=sorted(1e3 * (outcome.sent - outcome.due) for outcome in good),
        failed=load.count - len(good),
    )


def _rows(action: str, share: float, rate: float, runs: dict[tuple[float, str], list[_Run]]) -> list[Row]:
    floors, bridges = runs[share, "floor"], runs[share, "bridge"]

    def row(name: str, at: float) -> Row:
        floor = [percentile(run.took, at) for run in floors]
        bridge = [percentile(run.took, at) for run in bridges]
        return Row(
            action=action,
            share=share,
            per_second=rate,
            percentile=name,
            floor=figure(floor),
            bridge=figure(bridge),
            of_floor=figure(mine / bare for mine, bare in zip(bridge, floor, strict=True)),
            failed=sum(run.failed for run in (*floors, *bridges)),
            late=figure(percentile(run.late, at) for run in floors).median,
        )

    return [row(name, at) for name, at in _PERCENTILES.items()]


def report(rows: list[Row]) -> str:
    """For a person."""
    cells = [
        (
            f"{row.action}, {row.share:.0%} = {row.per_second:.0f}/s, {row.percentile}",
            row.floor.text(2),
            row.bridge.text(2),
            row.of_floor.text(1),
            f"{row.late:.2f}",
            str(row.failed),
        )
        for row in rows
    ]
    return table(("latency, ms (spread)", "floor", "bridge", "x floor", "load late", "failed"), cells)
