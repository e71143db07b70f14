"""How long the main Central System's answers take with two observers, one of which never answers, beside without any:
SOAP -> JSON, at a share of the capacity without. Both bridges are measured in turns, in one run.

Requests are due at fixed times, and late from then on. The observers are in the process of the load.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from tests.bench import frames, parties
from tests.bench.figures import Figure, Plan, figure, percentile, table
from tests.bench.load import GOOD, Open, Work, closed
from tests.bench.subject import Bridge, bridge

_SHARE, _LONGER = 0.2, 3
_ACTION = "MeterValues"
_PERCENTILES = {"p50": 0.5, "p99": 0.99}


class Beside(Struct, frozen=True, kw_only=True):
    """Milliseconds at a percentile without observers and with two, and the ratio in each repetition. `failed` had no
    good answer, of all repetitions together."""

    percentile: str
    per_second: float
    without: Figure
    observed: Figure
    ratio: Figure
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


async def measure(plan: Plan) -> list[Beside]:
    """All of it."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        names, work, pids = parties.identities(2 * plan.charge_points), dict[str, list[Work]](), dict[str, int]()
        for kind in ("without", "observed"):
            main, answering = await enter(parties.json_central_system()), await enter(parties.json_central_system())
            observers = (answering.url, await enter(_silent())) if kind == "observed" else ()
            subject = await enter(bridge(Bridge(central_system=main.url, observers=observers)))
            connections = await enter(parties.soap_connections(subject, len(names)))
            work[kind] = parties.paired(connections, [parties.posted(_ACTION, name) for name in names])
            pids[kind] = subject.pid
        for kind in reversed(work):  # a warm-up of both
            capacity = (await closed(work[kind], plan.seconds, pids[kind])).per_second
        rate = _SHARE * capacity
        runs: dict[str, list[tuple[list[float], int]]] = {kind: [] for kind in work}
        for _ in range(plan.repetitions):
            for kind in runs:
                runs[kind].append(await _run(work[kind], rate, _LONGER * plan.seconds))
    return [_row(name, at, rate, runs) for name, at in _PERCENTILES.items()]


async def _run(work: list[Work], rate: float, seconds: float) -> tuple[list[float], int]:
    """The milliseconds of the good answers, sorted, and how many others there were."""
    load = Open(work, rate, seconds)
    await load.run()
    good = [1e3 * (outcome.ended - outcome.due) for outcome in load.outcomes if outcome.status == GOOD]
    return sorted(good), load.count - len(good)


def _row(name: str, at: float, rate: float, runs: dict[str, list[tuple[list[float], int]]]) -> Beside:
    without, observed = ([percentile(took, at) for took, _ in runs[kind]] for kind in ("without", "observed"))
    return Beside(
        percentile=name,
        per_second=rate,
        without=figure(without),
        observed=figure(observed),
        ratio=figure(mine / bare for mine, bare in zip(observed, without, strict=True)),
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
            str(row.failed),
        )
        for row in rows
    ]
    return table(("latency of main, ms (spread)", "no observers", "two, one hanging", "ratio", "failed"), cells)
