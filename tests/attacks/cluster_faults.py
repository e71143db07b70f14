"""Is anything lost, doubled or late while one part of a cluster breaks? `python -m tests.attacks.cluster_faults`.

Three nodes, each a process with its own listeners, share the Charge Points through NATS. SOAP and JSON Charge Points
charge all the time, most of them through two nodes that stay well, some through the third, which breaks. Each message
is timed from its first attempt until it is delivered, by the node that it was sent to; what was told is then held
against what arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import nats
import nats.errors
from msgspec import Struct

from tests.attacks.cluster_ledger import FaultCounts
from tests.attacks.cluster_stage import WITHIN, Cluster, cluster
from tests.bench.figures import table
from tests.cluster.servers import NatsServer
from tests.process_states import frozen

# Seconds for which a node is frozen or cut: more than a lease, and what the others need to take over.
_BROKEN_FOR = 6.0
# Seconds with nothing but the load before a fault.
_BEFORE = 0.5


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of all runs of one fault.

    Attributes:
        fault: What broke.
        waits: The longest wait of each run through the nodes that stayed well, in seconds.
        elsewhere: The same through the node that broke.
        counts: What was counted over all runs.
        trouble: Lines that no log may have.
    """

    fault: str
    waits: tuple[float, ...]
    elsewhere: tuple[float, ...]
    counts: FaultCounts
    trouble: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all that must be 0 is."""
        return not self.counts.faults and not self.trouble


# What breaks. Each is whole again at the end.


async def _node_killed(stage: Cluster) -> None:
    await stage.victim.kill()
    await stage.deliver(victim=False)
    await _comes_back(stage)


async def _node_frozen(stage: Cluster) -> None:
    since = len(stage.victim.lines)
    with frozen(stage.victim.pid):
        await _others_take_over(stage)
    await _is_whole(stage, since)


async def _node_cut(stage: Cluster) -> None:
    since = len(stage.victim.lines)
    stage.cable.cut()
    try:
        await _others_take_over(stage)
    finally:
        stage.cable.mend()
    await _is_whole(stage, since)


async def _node_terminated(stage: Cluster) -> None:
    stage.victim.told(signal.SIGTERM)
    await stage.victim.ended()
    await stage.deliver(victim=False)
    await _comes_back(stage)


async def _server_killed(stage: Cluster) -> None:
    stage.servers[0].kill()
    await asyncio.to_thread(stage.servers[0].start)
    await stage.deliver()


async def _leader_killed(stage: Cluster) -> None:
    leader = await _leader(stage.servers)
    leader.kill()
    await stage.deliver()
    await asyncio.to_thread(leader.start)
    async with asyncio.timeout(WITHIN):
        while not await _is_in_step(stage.servers):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await stage.deliver()


async def _comes_back(stage: Cluster) -> None:
    since = len(stage.victim.lines)
    await stage.victim.start()
    await _is_whole(stage, since)


async def _others_take_over(stage: Cluster) -> None:
    await asyncio.gather(asyncio.sleep(_BROKEN_FOR), stage.deliver(victim=False))


async def _is_whole(stage: Cluster, since: int) -> None:
    await stage.victim.takes_slots(since)
    await stage.deliver()


async def _stream(server: NatsServer) -> dict[str, object] | None:
    """What a server says about the stream, None if it does not answer."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        client = await nats.connect(server.url, allow_reconnect=False, connect_timeout=2)
        try:
            answer = await client.request("$JS.API.STREAM.INFO.ocpp-bridge", b"", timeout=5)
        finally:
            await client.close()
        return msgspec.json.decode(answer.data, type=dict[str, object]).get("cluster")  # type: ignore[return-value]
    return None


async def _leader(servers: Sequence[NatsServer]) -> NatsServer:
    async with asyncio.timeout(WITHIN):
        while True:
            told = await _stream(servers[0]) or {}
            for server in servers:
                if server.name == told.get("leader"):
                    return server
            await asyncio.sleep(0.2)


async def _is_in_step(servers: Sequence[NatsServer]) -> bool:
    told = await _stream(servers[0]) or {}
    replicas: list[dict[str, object]] = told.get("replicas", [])  # type: ignore[assignment]
    return "leader" in told and len(replicas) == 2 and all(one.get("current") for one in replicas)


Fault = Callable[[Cluster], Awaitable[None]]
FAULTS: dict[str, tuple[int, Fault]] = {
    "node killed (-9)": (1, _node_killed),
    "node frozen (SIGSTOP)": (1, _node_frozen),
    "node cut from NATS": (1, _node_cut),
    "node terminated (SIGTERM), and started again": (1, _node_terminated),
    "the only nats-server killed, and started again": (1, _server_killed),
    "leading nats-server of three killed": (3, _leader_killed),
}
"""What breaks, and the number of NATS servers that it is done with."""


AIMS = dict(zip(FAULTS, (5.0, 5.0, 5.0, 0.5, 10.0, 10.0), strict=True))
"""The longest wait that is promised through a node that stays well, in seconds (docs/cluster.md)."""


PAST = 1000
"""The Charge Points that have charged for a week before the first fault."""


async def measured(folder: Path, runs: int, faults: Iterable[str] = FAULTS, past: int = PAST) -> list[Outcome]:
    """Let each fault happen `runs` times, in a cluster of its own that has a week's records of `past` Charge Points.

    The Charge Points that charge all the time leave more records behind in a minute than others in a week.
    """
    outcomes = list[Outcome]()
    for number, name in enumerate(faults):
        inside = folder / str(number)
        inside.mkdir()
        async with cluster(inside, servers=FAULTS[name][0], past=past) as stage:
            outcomes.append(await _runs(stage, name, runs))
            print(report(outcomes[-1:]), flush=True)
    return outcomes


async def _runs(stage: Cluster, name: str, runs: int) -> Outcome:
    waits: list[tuple[float, float]] = []
    async with stage.loaded():
        for _ in range(runs):
            await asyncio.sleep(_BEFORE)
            began = time.monotonic()
            await FAULTS[name][1](stage)
            waits.append(stage.longest(began))
    return Outcome(
        fault=name,
        waits=tuple(well for well, _ in waits),
        elsewhere=tuple(victim for _, victim in waits),
        counts=stage.counts(),
        trouble=tuple(stage.trouble()),
    )


def report(outcomes: Iterable[Outcome]) -> str:
    """The table."""
    head = (
        *("what breaks", "runs", "longest wait, s: median", "of all runs", "through the node itself"),
        *("delivered", "lost", "doubled", "answered twice", "misled", "sent twice by a process", "copies", "renamed"),
    )
    rows = [
        (
            *(one.fault, str(len(one.waits)), f"{statistics.median(one.waits):.2f}", f"{max(one.waits):.2f}"),
            f"{max(one.elsewhere):.2f}",
            *(str(number) for number in (one.counts.delivered, one.counts.lost, one.counts.doubled)),
            *(str(number) for number in (one.counts.answered_twice, one.counts.misled, one.counts.sent_twice)),
            *(str(one.counts.copies), str(one.counts.renamed)),
        )
        for one in outcomes
    ]
    troubles = [line for one in outcomes for line in one.trouble]
    return "\n".join((table(head, rows), *troubles))


def main() -> int:
    """Exit code 1 if anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.cluster_faults")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="in place of all")
    parser.add_argument("--past", type=int, default=PAST, help="Charge Points with records of a week")
    parser.add_argument("--folder", type=Path, help="where logs and what NATS stores are kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        outcomes = asyncio.run(measured(folder, arguments.runs, arguments.fault or FAULTS, arguments.past))
    print(report(outcomes))
    return int(not all(one.holds for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
