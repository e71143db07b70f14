"""Exchanges per second on each leg, every subject of it in turn, again and again."""

from __future__ import annotations

from contextlib import AsyncExitStack

from msgspec import Struct

from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.legs import HTTPTOOLS, Leg, Measured, measured
from tests.bench.load import Rate, closed
from tests.bench.recorded import Recorded, Recording

# With this share of a core, a process has all that it can get. Of one that has less, it is not the rate that counts but
# what it spends: the load could do no more, or others were at work on the machine.
_BUSY = 0.93
# What the bridge is compared with where one thing of it is otherwise.
_PLAIN = "bridge"


class Row(Struct, frozen=True, kw_only=True):
    """What came of one action with one subject. `of_floor` and `of_stock` are None where there is none; `subject_core`
    is a share, 0 to 1, `cpu_us` what the subject spent on an exchange, and `remark` says why the rate is not its own.
    `of_floor_by_cpu` is what `of_floor` would be if it were: what the floor spends, of what the subject spends.
    `of_httptools` and `of_httptools_by_cpu` are the same for the floor on httptools. `change` is that of the rate,
    against the bridge where nothing is otherwise, and `change_of_cpu` that of what an exchange costs. Of a subject that
    records, `recorded` is the share of the messages that it had recorded in the end, 0 to 1, and `behind` when that
    was, in seconds after a run.
    """

    action: str
    subject: str
    per_second: Figure
    of_floor: float | None
    of_stock: float | None
    of_floor_by_cpu: float | None
    of_httptools: float | None
    of_httptools_by_cpu: float | None
    subject_core: float
    cpu_us: float
    change: float | None
    change_of_cpu: float | None
    recorded: float | None
    behind: float | None
    remark: str


async def measure(leg: Leg, plan: Plan) -> list[Row]:
    """All of a leg."""
    subjects = leg.at_a_glance if plan.quick else leg.subjects
    runs: dict[tuple[str, str], list[Rate]] = {(a, s): [] for a in leg.actions for s in subjects}
    kept: dict[tuple[str, str], list[Recorded]] = {key: [] for key in runs}
    for begun in range(0, plan.repetitions, plan.anew):
        await _measure(leg, plan, min(plan.anew, plan.repetitions - begun), runs, kept)
    return _rows(runs, kept)


async def _measure(
    leg: Leg,
    plan: Plan,
    repetitions: int,
    runs: dict[tuple[str, str], list[Rate]],
    kept: dict[tuple[str, str], list[Recorded]],
) -> None:
    """`repetitions` with the same processes."""
    async with AsyncExitStack() as stack:
        running: dict[str, Measured] = {}
        recording: dict[str, Recording] = {}
        for kind in dict.fromkeys(kind for _, kind in runs):
            one = running[kind] = await stack.enter_async_context(measured(leg, kind, plan.charge_points))
            if one.subject.records:
                recording[kind] = Recording(one.subject.admin)
                await recording[kind].caught_up()
        for repetition in range(repetitions + 1):
            seconds = plan.seconds if repetition else plan.seconds / 2  # the first is the warm-up
            for action, kind in runs:
                one = running[kind]
                try:
                    rate = await closed(one.work[action], seconds, one.subject.pid)
                except RuntimeError as error:
                    raise RuntimeError(f"{leg.title}, {action}, {kind}: {error}") from error
                done = await recording[kind].caught_up() if kind in recording else None
                if repetition:
                    runs[action, kind].append(rate)
                    kept[action, kind] += [] if done is None else [done]


def _rows(runs: dict[tuple[str, str], list[Rate]], kept: dict[tuple[str, str], list[Recorded]]) -> list[Row]:
    rates = {key: figure(run.per_second for run in those) for key, those in runs.items()}
    spent = {key: figure(1e6 * run.subject / run.per_second for run in those).median for key, those in runs.items()}

    def reference(action: str, kind: str, wanted: str) -> tuple[str, str] | None:
        """What `kind` is compared with: the one that differs in the same thing, if there is one."""
        names = (f"{wanted}, {kind.partition(', ')[2]}", wanted)
        known = [(action, name) for name in names if (action, name) in rates]
        return None if not known or kind.startswith(wanted) else known[0]

    def ratio(action: str, kind: str, wanted: str) -> float | None:
        other = reference(action, kind, wanted)
        return None if other is None else rates[action, kind].median / rates[other].median

    def by_cpu(action: str, kind: str, wanted: str) -> float | None:
        other = reference(action, kind, wanted)
        return None if other is None or not spent[action, kind] else spent[other] / spent[action, kind]

    def change(action: str, kind: str, of: dict[tuple[str, str], float]) -> float | None:
        plain = of.get((action, _PLAIN))
        return of[action, kind] / plain - 1 if plain and kind.startswith(f"{_PLAIN}, ") else None

    def row(action: str, kind: str) -> Row:
        recorded = kept[action, kind]
        subject = figure(run.subject for run in runs[action, kind]).median
        return Row(
            action=action,
            subject=kind,
            per_second=rates[action, kind],
            of_floor=ratio(action, kind, "floor"),
            of_stock=ratio(action, kind, "stock"),
            of_floor_by_cpu=by_cpu(action, kind, "floor"),
            of_httptools=ratio(action, kind, HTTPTOOLS),
            of_httptools_by_cpu=by_cpu(action, kind, HTTPTOOLS),
            subject_core=subject,
            cpu_us=spent[action, kind],
            change=change(action, kind, {key: rate.median for key, rate in rates.items()}),
            change_of_cpu=change(action, kind, spent),
            recorded=figure(one.share for one in recorded).median if recorded else None,
            behind=figure(one.behind for one in recorded).median if recorded else None,
            remark="" if subject > _BUSY else "held back by the load or by others",
        )

    return [row(action, kind) for action, kind in runs]


def report(leg: Leg, rows: list[Row]) -> str:
    """For a person."""

    def times(ratio: float | None) -> str:
        return "" if ratio is None else f"{ratio:.2f}"

    def changed(share: float | None) -> str:
        return "" if share is None else f"{share:+.0%}"

    def remarks(row: Row) -> str:
        kept = f"recorded {row.recorded:.0%}, {row.behind:.1f} s behind" if row.recorded is not None else ""
        return "; ".join(filter(None, (kept, row.remark)))

    cells = [
        (
            f"{row.action}, {row.subject}",
            row.per_second.text(),
            times(row.of_floor),
            times(row.of_httptools),
            times(row.of_stock),
            changed(row.change),
            f"{row.cpu_us:.0f}",
            times(row.of_floor_by_cpu),
            times(row.of_httptools_by_cpu),
            changed(row.change_of_cpu),
            f"{row.subject_core:.0%}",
            remarks(row),
        )
        for row in rows
    ]
    head = (
        leg.title,
        "exchanges/s (spread)",
        "of floor",
        "of httptools",
        "x stock",
        "change",
        "CPU, us",
        "of floor by CPU",
        "of httptools by CPU",
        "change of CPU",
        "its core",
        "",
    )
    return table(head, cells)
