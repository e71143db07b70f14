"""How long the main Central System's answers take with two observers, one of which never answers, beside without any:
SOAP -> JSON, at a share of the capacity without.

Both bridges are measured in turns, in one run: many short rounds, each pair of them in the other order than the one
before. What counts is the median of the ratios of the pairs, because what else the machine does comes in stretches that
are longer than a pair. A round begins when both bridges rest: they share a core, and observers are told later.

Requests are due at fixed times, and late from then on. The observers are in the process of the load.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain

from msgspec import Struct, structs

from tests.bench import frames, parties
from tests.bench.figures import FULL, Figure, Plan, figure, percentile, table
from tests.bench.load import GOOD, Open, Work, closed, spent_by
from tests.bench.quiet import Others
from tests.bench.real_time import LOOP, THREADS, preferred
from tests.bench.subject import Bridge, bridge, stay_off

_SHARE = 0.2
_PAIRS = 8  # of rounds, in each repetition
_LOOK, _PATIENCE = 0.2, 5.0
_ACTION = "MeterValues"
_KINDS = ("without", "observed")
_PERCENTILES = {"p50": 0.5, "p99": 0.99}


class Beside(Struct, frozen=True, kw_only=True):
    """Milliseconds at a percentile without observers and with two, and the ratio in each pair of rounds. `quartiles`
    are those of the ratios, and `together` is the ratio of the percentiles of all answers of each kind. `failed` had no
    good answer, of all rounds together."""

    percentile: str
    per_second: float
    without: Figure
    observed: Figure
    ratio: Figure
    quartiles: tuple[float, float]
    together: float
    failed: int


class _Silent(frames.Accepted):
    """A Central System that takes everything and answers nothing."""

    def _take(self, opcode: int, begin: bytes) -> None:
        if opcode != 1:
            super()._take(opcode, begin)


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    opened: list[frames.Party] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Silent({}, opened.append), "127.0.0.1", 0, backlog=4096)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
    finally:
        server.close()
        for party in opened:
            party.close()


async def measure(plan: Plan, *, real_time: bool = False) -> list[Beside]:
    """All of it. With `real_time`, the bridges go before whatever else the machine does."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        names, work, pids = parties.identities(2 * plan.charge_points), dict[str, list[Work]](), dict[str, int]()
        for kind in _KINDS:
            main, answering = await enter(parties.json_central_system()), await enter(parties.json_central_system())
            observers = (answering.url, await enter(_silent())) if kind == "observed" else ()
            subject = await enter(bridge(Bridge(central_system=main.url, observers=observers)))
            connections = await enter(parties.soap_connections(subject, len(names)))
            work[kind] = parties.paired(connections, [parties.posted(_ACTION, name) for name in names])
            pids[kind] = subject.pid
        if real_time:
            await enter(preferred(dict.fromkeys(pids.values(), (LOOP, THREADS)), own=False))
        for kind in reversed(work):  # a warm-up of both
            capacity = (await closed(work[kind], plan.seconds, pids[kind])).per_second
        rate = _SHARE * capacity
        runs: dict[str, list[tuple[list[float], int]]] = {kind: [] for kind in work}
        for pair in range(1 if plan.quick else _PAIRS * plan.repetitions):
            for kind in runs if pair % 2 else reversed(runs):
                await _rest(tuple(pids.values()))
                runs[kind].append(await _run(work[kind], rate, plan.seconds))
    return [_row(name, at, rate, runs) for name, at in _PERCENTILES.items()]


async def _rest(pids: tuple[int, ...]) -> None:
    """Wait until the processes do next to nothing, and _PATIENCE seconds at most."""
    for _ in range(int(_PATIENCE / _LOOK)):
        before = sum(map(spent_by, pids))
        await asyncio.sleep(_LOOK)
        if not sum(map(spent_by, pids)) - before > _LOOK / 10:
            return


async def _run(work: list[Work], rate: float, seconds: float) -> tuple[list[float], int]:
    """The milliseconds of the good answers, sorted, and how many others there were."""
    load = Open(work, rate, seconds)
    await load.run()
    good = [1e3 * (outcome.ended - outcome.due) for outcome in load.outcomes if outcome.status == GOOD]
    return sorted(good), load.count - len(good)


def _row(name: str, at: float, rate: float, runs: dict[str, list[tuple[list[float], int]]]) -> Beside:
    without, observed = ([percentile(took, at) for took, _ in runs[kind]] for kind in _KINDS)
    ratios = sorted(mine / other for mine, other in zip(observed, without, strict=True))
    bare, all_observed = (
        percentile(sorted(chain.from_iterable(took for took, _ in runs[kind])), at) for kind in _KINDS
    )
    return Beside(
        percentile=name,
        per_second=rate,
        without=figure(without),
        observed=figure(observed),
        ratio=figure(ratios),
        quartiles=(percentile(ratios, 0.25), percentile(ratios, 0.75)),
        together=all_observed / bare,
        failed=sum(failed for kind in runs for _, failed in runs[kind]),
    )


def report(rows: list[Beside]) -> str:
    """For a person."""
    cells = [
        (
            f"{_ACTION}, {row.per_second:.0f}/s, {row.percentile}",
            row.without.text(2),
            row.observed.text(2),
            row.ratio.text(2),
            "{:.2f}-{:.2f}".format(*row.quartiles),
            f"{row.together:.2f}",
            str(row.failed),
        )
        for row in rows
    ]
    head = (
        "latency of main, ms (spread)",
        "no observers",
        "two, one hanging",
        "ratio",
        "half of pairs",
        "of all answers",
    )
    return table((*head, "failed"), cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure this alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.observers", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=FULL.repetitions, metavar="N")
    parser.add_argument("--real-time", action="store_true", help="before all else that the machine does; needs root")
    chosen = parser.parse_args(arguments)
    stay_off()
    others = Others()
    plan = structs.replace(FULL, repetitions=chosen.repetitions)
    print(report(asyncio.run(measure(plan, real_time=chosen.real_time))))
    print(f"others took {others.share or 0.0:.0%} of all cores")


if __name__ == "__main__":
    main()
