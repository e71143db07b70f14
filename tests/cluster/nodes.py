"""Nodes for tests: couriers in this process, and nodes in processes of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.cluster.courier import Courier, NodePlace
from bridge.cluster.hello import NodeName
from bridge.cluster.link_tls import LinkTLS
from bridge.cluster.links import LinkTerms

# Seconds that no test waits for; machines are slow and busy.
PATIENCE = 60.0


def run(walk: Coroutine[Any, Any, None]) -> None:
    """Run a test, which does not wait for ever."""
    asyncio.run(asyncio.wait_for(walk, 3 * PATIENCE))


def later(seconds: float = PATIENCE) -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + seconds


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def name(node: str, *, cluster: str = "east", incarnation: str = "1") -> NodeName:
    """A process of the cluster."""
    return NodeName(cluster=cluster, node=node, incarnation=incarnation)


class Nodes:
    """The presence of nodes, and couriers that see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, NodePlace] = {}
        self._couriers: list[Courier] = []

    def courier(self, node: NodeName, *, tls: LinkTLS | None = None, terms: LinkTerms | None = None) -> Courier:
        """One that does not listen yet."""
        courier = Courier(node, self.places.get, tls=tls, terms=terms)
        self._couriers.append(courier)
        return courier

    async def node(
        self,
        node: str | NodeName,
        *,
        address: str | None = None,
        tls: LinkTLS | None = None,
        terms: LinkTerms | None = None,
    ) -> Courier:
        """One that listens, and whose presence says so."""
        known = name(node) if isinstance(node, str) else node
        courier = self.courier(known, tls=tls, terms=terms)
        bound = await courier.listen(address or f"unix:{self.folder}/{known.node}")
        self.places[known.node] = NodePlace(address=bound, incarnation=known.incarnation)
        return courier

    async def close(self) -> None:
        """Close all couriers."""
        for courier in self._couriers:
            await courier.close()


@asynccontextmanager
async def nodes(folder: Path) -> AsyncIterator[Nodes]:
    """Nodes, until the test is over."""
    made = Nodes(folder)
    try:
        yield made
    finally:
        await made.close()


class NodeProcess:
    """A node in a process of its own, which runs `tests.cluster.node_process`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def said(self, line: str) -> None:
        """Wait until it prints a line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while (await self._process.stdout.readline()).decode().strip() != line:
                pass

    async def killed(self) -> None:
        """Kill it, and wait for its end."""
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def node_process(
    nodes: Nodes, node: str, *, lease: float = 60.0, others: dict[str, NodePlace] | None = None
) -> AsyncIterator[NodeProcess]:
    """A node in a process of its own, at a Unix socket. It is killed in the end."""
    address = f"unix:{nodes.folder}/{node}"
    known = [f"{other}={place.address}={place.incarnation}" for other, place in (others or {}).items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.node_process", node, address, str(lease), *known),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    started = NodeProcess(process)
    try:
        await started.said("up")
        nodes.places[node] = NodePlace(address=address, incarnation="1")
        yield started
    finally:
        if process.returncode is None:
            await started.killed()
        await asyncio.sleep(0)
