"""Processes of a cluster, at a real nats-server and with real links: what one tells the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bridge.cluster.cluster_map import Claim, ClusterMap
from bridge.cluster.member import Member
from bridge.cluster.slots import SLOTS
from bridge.config import Cluster, Secret
from bridge.gateway.cluster_parts import ClusterParts
from bridge.net.tasks import Background
from tests.cluster.nodes import until
from tests.cluster.servers import TOKEN, NatsServer, nats_at


class Slots:
    """Stands for a Node: it has the slots, and no Charge Points."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.member: Member | None = None

    async def join(self, member: Member) -> None:
        self.member = member
        member.begin()
        while not member.may_act():
            await member.changed(0.1)

    def is_serving(self) -> bool:
        return True

    def owned(self, epochs: Mapping[int, int]) -> None:
        self.held |= set(epochs)

    async def hand_over(self, slots: Collection[int]) -> AsyncIterator[Collection[int]]:
        self.held -= set(slots)
        yield set(slots)

    def lost(self, slots: Collection[int]) -> None:
        self.held -= set(slots)

    def suspended(self) -> None:
        pass

    def continued(self) -> None:
        pass

    def stopped(self, reason: str) -> None:
        pass


@asynccontextmanager
async def process(server: NatsServer, node: str) -> AsyncIterator[tuple[ClusterParts, Slots]]:
    settings = SimpleNamespace(cluster=Cluster(servers=(server.url,), node=node, password=Secret(TOKEN.encode())))
    parts, slots = ClusterParts(cast(Any, settings), lambda records: None, Background()), Slots()
    try:
        await parts.start()
        await parts.join(cast(Any, slots))
        yield parts, slots
    finally:
        if slots.member is not None:
            await slots.member.close()
        await parts.close()


async def test_one_that_cannot_read_the_map_gets_what_another_one_hands_over(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with process(server, "a") as (_, a), process(server, "b") as (parts, b), process(server, "c") as (_, c):
            await until(lambda: sorted(len(one.held) for one in (a, b, c)) == [341, 341, 342])

            async def never() -> ClusterMap:
                await asyncio.Event().wait()
                raise AssertionError

            parts._map.read_map = never  # type: ignore[method-assign]
            assert c.member is not None
            moved, taken, answers = frozenset(c.held), c.member.taken, list[int]()

            def counted(claims: Mapping[int, Claim]) -> None:
                answers.append(len(claims))
                taken(claims)

            c.member.taken = counted  # type: ignore[method-assign]
            await c.member.leave(60)
            await until(lambda: a.held | b.held == set(range(SLOTS)))
            assert sum(answers) == len(moved)
            assert len(a.held) == len(b.held) == SLOTS // 2
