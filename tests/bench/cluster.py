"""What an exchange costs in a cluster of two nodes, beside one node and a single process on the same work.

The nodes have listeners of their own, so that the load chooses whether a message comes to the node that has the Charge
Point or to the other one, which forwards it. With the workers of one machine, which share their listeners, half of the
messages are forwarded, as in the row "half forwarded".
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from msgspec import Struct

from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import Login
from bridge.cluster.shared_stream import SharedStream
from bridge.cluster.slots import slot_of
from tests.bench import messages, parties
from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.load import Work, closed, spent_by
from tests.bench.subject import Bridge, Subject, bridge
from tests.cluster.servers import NatsServer, nats_at

_ACTIONS = ("Heartbeat", "MeterValues")
ALONE, ONE, HERE, HALF, AWAY = (
    *("a process without a cluster", "1 node"),
    *("2 nodes, none forwarded", "2 nodes, half forwarded", "2 nodes, all forwarded"),
)
# The identities whose nodes are counted.
_MANY = 100_000
# Seconds until the slots have moved.
_PATIENCE = 60.0


class Exchange(Struct, frozen=True, kw_only=True):
    """What came of one kind of message.

    Attributes:
        action: The action, and which protocol the Charge Points speak.
        where: One of the kinds of clusters.
        per_second: Exchanges per second.
        us: Microseconds of processor time of all processes of the bridge for one.
        server_us: The same of the NATS server.
        of_one: Exchanges per second of processor time, as a ratio to that of one node in the same repetition.
        shares: What each process has of the processor time, 0 to 1.
    """

    action: str
    where: str
    per_second: Figure
    us: Figure
    server_us: Figure
    of_one: Figure
    shares: tuple[float, ...]


class ClusterRates(Struct, frozen=True, kw_only=True):
    """All exchanges, and the share of each of two nodes in the Charge Points, 0 to 1."""

    exchanges: list[Exchange]
    shares: dict[str, float]


class _Run(Struct, frozen=True, kw_only=True):
    per_second: float
    us: tuple[float, ...]
    server_us: float


class _Place(Struct, kw_only=True):
    """The processes of one kind of cluster, and its work by action."""

    processes: tuple[int, ...]
    server: int
    work: dict[str, list[Work]]


async def measure(plan: Plan) -> ClusterRates:
    """All kinds in turn, again and again."""
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            return await _measured(plan, Path(name), stack)


async def _measured(plan: Plan, folder: Path, stack: AsyncExitStack) -> ClusterRates:
    central = await stack.enter_async_context(parties.json_central_system())
    single = await stack.enter_async_context(bridge(Bridge(central_system=central.url)))
    one_server, one = await _nodes(stack, folder / "one", central.url, ["a"])
    two_server, two = await _nodes(stack, folder / "two", central.url, ["a", "b"])
    claims = await _claims(two_server, set(two))
    names = parties.identities(2 * plan.charge_points)  # for each of two nodes as many as one has elsewhere
    holders = {name: claims[slot_of(name)] for name in names}
    other = {"a": "b", "b": "a"}
    half = {name: Random(name).choice(("a", "b")) for name in names}
    reached: dict[str, tuple[NatsServer | None, Mapping[str, Subject], Mapping[str, str]]] = {
        ALONE: (None, {"a": single}, dict.fromkeys(names, "a")),
        ONE: (one_server, one, dict.fromkeys(names, "a")),
        HERE: (two_server, two, holders),
        HALF: (two_server, two, half),
        AWAY: (two_server, two, {name: other[node] for name, node in holders.items()}),
    }
    runs: dict[tuple[str, str], list[_Run]] = {}
    for protocol in ("SOAP", "JSON"):
        for turn in range(plan.repetitions + 1):
            for where, (server, nodes, chosen) in reached.items():
                async with _place(protocol, server, nodes, chosen) as place:
                    for action, work in place.work.items():
                        # Charge Points that speak JSON connect anew in each place: the first messages are not measured.
                        await closed(work, plan.seconds / 4, place.processes[0])
                        run = await _run(place, work, plan.seconds)
                        if turn:  # the first is a warm-up
                            runs.setdefault((f"{action}, {protocol} -> JSON", where), []).append(run)
    counted = Counter(claims[slot_of(f"CP-{number:06}")] for number in range(_MANY))
    return ClusterRates(
        exchanges=[_exchange(*key, runs) for key in runs],
        shares={node: counted[node] / _MANY for node in two},
    )


async def _nodes(
    stack: AsyncExitStack, folder: Path, central: str, names: Sequence[str]
) -> tuple[NatsServer, dict[str, Subject]]:
    """A NATS server, and the nodes that share it."""
    folder.mkdir()
    server = stack.enter_context(nats_at(folder, authorization=False))
    nodes = {}
    for name in names:
        configured = Bridge(central_system=central, node=name, servers=(server.url,))
        nodes[name] = await stack.enter_async_context(bridge(configured))
    return server, nodes


async def _claims(server: NatsServer, nodes: set[str]) -> dict[int, str]:
    """The node of each slot, once each node has its part and the map is as it should be."""
    stream = SharedStream((server.url,), "bench", login=Login())
    await stream.open(_PATIENCE)
    try:
        reader = MapStream(stream, "bench", "bench", timeout=_PATIENCE)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            read = await reader.read_map()
            claims = {slot: claim.node for slot, claim in read.claims.items()}
            if set(read.assignment) == nodes and all(
                claims.get(slot) == node for slot, node in enumerate(read.assignment)
            ):
                return claims
    finally:
        await stream.close()
    raise RuntimeError("the slots have not moved to their nodes")


@asynccontextmanager
async def _place(
    protocol: str, server: NatsServer | None, nodes: Mapping[str, Subject], chosen: Mapping[str, str]
) -> AsyncIterator[_Place]:
    """The work of Charge Points that send to the nodes `chosen`."""
    work: dict[str, list[Work]] = {action: [] for action in _ACTIONS}
    async with AsyncExitStack() as stack:
        for node, subject in nodes.items():
            names = [name for name, at in chosen.items() if at == node]
            if protocol == "SOAP":
                senders = await stack.enter_async_context(parties.soap_connections(subject, len(names)))
                for action, those in work.items():
                    those += parties.paired(senders, [parties.posted(action, name) for name in names])
            else:
                points = await stack.enter_async_context(parties.json_charge_points(subject, names))
                for action, those in work.items():
                    those += parties.paired(points, [messages.call(action)] * len(names))
        assert server is None or server.process is not None
        yield _Place(
            processes=tuple(subject.pid for subject in nodes.values()),
            server=0 if server is None or server.process is None else server.process.pid,
            work=work,
        )


async def _run(place: _Place, work: Sequence[Work], seconds: float) -> _Run:
    pids = (*place.processes, *filter(None, [place.server]))
    before, begun = [spent_by(pid) for pid in pids], time.perf_counter()
    rate = await closed(work, seconds, pids[0])
    exchanges = rate.per_second * (time.perf_counter() - begun)
    us = [1e6 * (spent_by(pid) - earlier) / exchanges for pid, earlier in zip(pids, before, strict=True)]
    count = len(place.processes)
    return _Run(per_second=rate.per_second, us=tuple(us[:count]), server_us=sum(us[count:]))


def _exchange(action: str, where: str, runs: Mapping[tuple[str, str], Sequence[_Run]]) -> Exchange:
    own, one = runs[action, where], runs[action, ONE]
    totals = [sum(run.us) for run in own]
    shares = [[us / (total or 1.0) for us in run.us] for run, total in zip(own, totals, strict=True)]
    return Exchange(
        action=action,
        where=where,
        per_second=figure(run.per_second for run in own),
        us=figure(totals),
        server_us=figure(run.server_us for run in own),
        of_one=figure(sum(other.us) / (total or 1.0) for other, total in zip(one, totals, strict=True)),
        shares=tuple(figure(each).median for each in zip(*shares, strict=True)),
    )


def report(rates: ClusterRates) -> str:
    """For a person."""
    head = ("cluster", "exchanges/s (spread)", "CPU of all, us", "x 1 node", "NATS, us", "processes' parts")
    rows = [
        (
            f"{one.action}, {one.where}",
            one.per_second.text(),
            one.us.text(),
            one.of_one.text(2),
            one.server_us.text(),
            " ".join(f"{share:.0%}" for share in one.shares),
        )
        for one in rates.exchanges
    ]
    shared = ", ".join(f"{node} {share:.1%}" for node, share in rates.shares.items())
    return f"{table(head, rows)}\nof {_MANY} Charge Points: {shared}"
