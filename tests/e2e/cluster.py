"""Two processes of one bridge, each with addresses of its own, so that a test knows which one it asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from bridge.admin import token_file
from tests.admin.asked import Api
from tests.cluster.servers import NatsServer, nats_at
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT_MOST, envelope, post


class ClusterNode(Bridge):
    """One process of a cluster. `api` asks its admin listener. `nats` is the NATS server."""

    api: Api

    def __init__(
        self,
        folder: Path,
        name: str,
        server: NatsServer,
        central_systems: Mapping[str, Mapping[str, Any]],
        more: str = "",
        lease: float = 10,
    ) -> None:
        folder.mkdir(exist_ok=True)
        table = f"[cluster]\nservers = {json.dumps([server.url])}\nnode = {json.dumps(name)}\nlease = {lease}\n"
        super().__init__(folder, central_systems, more=table + more)
        self.name, self.nats = name, server
        self._http = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        kept = token_file.beside(self.store_url)
        http = await self._http.enter_async_context(aiohttp.ClientSession())
        host, port = self.admin_address
        self.api = Api(f"http://{host}:{port}", http, None if kept is None else token_file.found(kept))
        return self

    async def close(self) -> None:
        await self._http.aclose()
        await super().close()


@asynccontextmanager
async def cluster_of(
    folder: Path, central_systems: Mapping[str, Mapping[str, Any]], names: Sequence[str] = ("a", "b"), **options: Any
) -> AsyncIterator[list[ClusterNode]]:
    """Processes that have the slots among them."""
    with nats_at(folder, authorization=False) as server:
        async with AsyncExitStack() as stack:
            nodes = [ClusterNode(folder / name, name, server, central_systems, **options) for name in names]
            for node in nodes:
                await stack.enter_async_context(node)
            await until(lambda: _is_shared(nodes))
            yield nodes


async def _is_shared(nodes: Sequence[ClusterNode]) -> bool:
    """Whether each node serves its part of the slots."""
    held = [(await node.api("GET", "//readyz")).data["cluster"] for node in nodes]
    return (
        all(len(each["nodes"]) == len(nodes) for each in held)
        and sum(each["slots"] for each in held) == 1024
        and (all(each["slots"] for each in held))
    )


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(AT_MOST):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def present(node: ClusterNode, *identities: str) -> None:
    """Let Charge Points send a message to a node, which passes on those of others."""
    for identity in identities:
        answer = await post(node, envelope(identity=identity))
        assert answer.status == 200, answer
