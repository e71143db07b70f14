"""The numbers of nodes at a real nats-server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.cluster import node_numbers
from bridge.cluster.node_numbers import number_of
from bridge.errors import StartError
from tests.cluster.servers import nats_at, node, nodes, three_servers
from tests.e2e.stage import AT_MOST


async def test_nodes_that_start_together_have_different_numbers(tmp_path: Path) -> None:
    with three_servers(tmp_path) as servers:
        names = [f"node {number}" for number in range(9)]
        async with nodes([server.url for server in servers], *names) as started:
            numbers = await asyncio.gather(*(number_of(each.stream, each.name, AT_MOST) for each in started))
            assert len(set(numbers)) == 9


async def test_a_name_keeps_its_number(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            numbers = [await number_of(each.stream, each.name, AT_MOST) for each in (a, b, a, b, a)]
            assert numbers == [0, 1, 0, 1, 0]
        server.kill()
        server.start()
        async with node(server.url, "b", "later") as again:
            assert await number_of(again.stream, "b", AT_MOST) == 1


async def test_without_a_free_number_the_oldest_one_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_numbers, "NUMBERS", 3)
    with nats_at(tmp_path) as server:
        async with node(server.url) as of:
            assert [await number_of(of.stream, name, AT_MOST) for name in "abcadae"] == [0, 1, 2, 0, 1, 0, 2]


async def test_without_a_server_there_is_no_number(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as of:
            server.kill()
            with pytest.raises(StartError):
                await number_of(of.stream, "a", 0.5)
