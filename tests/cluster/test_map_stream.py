"""Presences, claims and assignments at a real nats-server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.cluster.cluster_map import Claim
from bridge.cluster.map_stream import NameTaken
from bridge.cluster.nats_connection import ServersAway
from bridge.cluster.slots import SLOTS
from tests.cluster.servers import nats_at, node, nodes


async def test_each_node_sees_the_others(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b.c *>") as (a, b):
            assert (await a.map.read_map()).presences == {}
            first = await a.map.join("10.0.0.1:7000", 0)
            await b.map.join("10.0.0.2:7000", 0)
            second = await a.map.renew("10.0.0.1:7000", first, leaving=True)
            for one in (a, b):
                read = await one.map.read_map()
                assert read.presences["a"].sequence == second > first
                assert read.presences["a"].leaving and read.presences["a"].address == "10.0.0.1:7000"
                assert read.presences["b.c *>"].incarnation == "i-b.c *>"
            await a.map.depart(second)
            assert set((await b.map.read_map()).presences) == {"b.c *>"}


async def test_all_slots_are_claimed_and_released(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            mine = await a.map.claim(dict.fromkeys(range(SLOTS), 0))
            assert mine.keys() == set(range(SLOTS))
            read = await b.map.read_map()
            assert {slot: claim.epoch for slot, claim in read.claims.items()} == mine
            assert {claim.node for claim in read.claims.values()} == {"a"}
            given = {3: Claim(epoch=mine[3]), 4: Claim(node="b", incarnation="i-b", epoch=mine[4])}
            released = await a.map.release(given)
            assert released.keys() == {3, 4} and released[3].epoch > mine[3]
            claims = (await b.map.read_map()).claims
            assert {slot: claims[slot] for slot in (3, 4)} == released
            assert (claims[3].node, claims[4].node, claims[4].incarnation) == ("", "b", "i-b")


async def test_of_two_claims_one_holds(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            asked = dict.fromkeys(range(40), 0)
            first, second = await asyncio.gather(a.map.claim(asked), b.map.claim(asked))
            assert not first.keys() & second.keys() and first.keys() | second.keys() == set(range(40))
            # Some of the claims are stale: those alone are refused.
            epochs = first | second
            taken = await b.map.claim({slot: epoch - (slot in (7, 11)) for slot, epoch in epochs.items()})
            assert taken.keys() == set(range(40)) - {7, 11}
            claims = (await b.map.read_map()).claims
            assert {slot: claims[slot].epoch for slot in taken} == taken


async def test_of_two_assignments_one_holds(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            wanted = ("a", "b") * (SLOTS // 2)
            first = await a.map.assign(wanted, 0)
            assert first is not None and await b.map.assign(("b",) * SLOTS, 0) is None
            read = await a.map.read_map()
            assert (read.assignment, read.assignment_sequence) == (wanted, first)
            assert await b.map.assign(("b",) * SLOTS, first)


async def test_a_name_has_one_process(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url, "a", "first") as first, node(server.url, "a", "second") as second:
            sequence = await first.map.join("", 0)
            joining = asyncio.ensure_future(second.map.join("", 1.0))
            while not joining.done():  # it lives
                sequence = await first.map.renew("", sequence)
                await asyncio.sleep(0.05)
            with pytest.raises(NameTaken, match="another process has the name 'a'"):
                await joining
            # Now it does not renew any more.
            await second.map.join("", 0.1)
            with pytest.raises(NameTaken):
                await first.map.renew("", sequence)


async def test_a_process_that_departed_is_not_waited_for(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url, "a", "first") as first, node(server.url, "a", "second") as second:
            await first.map.depart(await first.map.join("", 0))
            await second.map.join("", 10**6)


async def test_a_renewal_whose_outcome_was_not_known_is_made_again(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            first = await a.map.join("", 0)
            second = await a.map.renew("", first)
            third = await a.map.renew("", first)  # as if the answer to the second had not come
            assert first < second < third


async def test_the_server_is_killed_and_comes_again(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b", timeout=3.0) as (a, b):
            sequence = await a.map.join("", 0)
            mine = await a.map.claim({1: 0, 2: 0})
            server.kill()
            with pytest.raises(ServersAway):
                await a.map.read_map()
            assert await a.map.claim({3: 0}) == {}
            server.start()
            sequence = await a.map.renew("", sequence)
            for one in (a, b):
                read = await one.map.read_map()
                assert read.presences["a"].sequence == sequence
                assert {slot: claim.epoch for slot, claim in read.claims.items()} == mine


async def test_a_stream_that_was_deleted_is_read_anew(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url, timeout=5.0) as a:
            sequence = await a.map.join("", 0)
            await a.map.claim(dict.fromkeys(range(20), 0))
            await a.stream.within(5.0, lambda: a.stream._nats.request("$JS.API.STREAM.DELETE.ocpp-bridge", b""))
            with pytest.raises(ServersAway):
                await a.map.renew("", sequence)
            await a.map.renew("", sequence)
            read = await a.map.read_map()
            assert set(read.presences) == {"a"} and not read.claims and a.stream.lost
