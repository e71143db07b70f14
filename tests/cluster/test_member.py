"""A process in a cluster: it follows the map by itself, and says what has become of its slots."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial

import pytest

from bridge.cluster.assignment import Assignment
from bridge.cluster.cluster_map import Claim, ClusterMap, NodePresence
from bridge.cluster.member import Member
from bridge.cluster.ownership import Ownership, Renew
from bridge.cluster.slots import SLOTS
from bridge.errors import StartError
from tests.cluster.nodes import until
from tests.cluster.simulated import Stream

LEASE = 0.4


class Map:
    """The map of one process, which may be out of reach."""

    def __init__(self, stream: Stream, node: str) -> None:
        self.stream, self.node, self.is_away = stream, node, False

    def _reach(self) -> Stream:
        if self.is_away:
            raise ConnectionError("away")
        return self.stream

    async def read_map(self) -> ClusterMap:
        return self._reach().read()

    async def renew(self, address: str, after: int, *, leaving: bool = False) -> int:
        sequence = self._reach().renew(self.node, f"{self.node}/1", Renew(after=after, leaving=leaving))
        if sequence is None:
            raise StartError("taken")
        return sequence

    async def assign(self, assignment: Assignment, after: int) -> int | None:
        stream = self._reach()
        if stream.assignment_sequence != after:
            return None
        stream.assignment, stream.assignment_sequence = assignment, after + 1
        return after + 1

    async def claim(self, epochs: Mapping[int, int]) -> dict[int, int]:
        stream = self._reach()
        claimed = {slot: stream.claim(slot, epoch, self.node, f"{self.node}/1") for slot, epoch in epochs.items()}
        return {slot: epoch for slot, epoch in claimed.items() if epoch}

    async def release(self, claims: Mapping[int, Claim]) -> dict[int, Claim]:
        return self._reach().release(claims)


class User:
    """Says what it was told."""

    def __init__(self) -> None:
        self.slots: set[int] = set()
        self.told: list[str] = []
        self.serves = True
        self.fails_at = -1
        """The slot that it cannot hand over."""

    def is_serving(self) -> bool:
        return self.serves

    def owned(self, epochs: Mapping[int, int]) -> None:
        self.slots |= set(epochs)

    async def hand_over(self, slots: Collection[int]) -> AsyncIterator[Collection[int]]:
        for slot in sorted(slots):
            if slot == self.fails_at:
                raise RuntimeError("an error in the code")
            self.slots.remove(slot)
            yield {slot}

    def lost(self, slots: Collection[int]) -> None:
        self.slots -= set(slots)
        self.told.append("lost")

    def suspended(self) -> None:
        self.told.append("suspended")

    def continued(self) -> None:
        self.told.append("continued")

    def stopped(self, reason: str) -> None:
        self.told.append(reason)


class Process:
    """A member, with what it reads and what it tells."""

    def __init__(self, stream: Stream, node: str, changed: Callable[[Mapping[int, Claim]], None]) -> None:
        self.map, self.user = Map(stream, node), User()
        ownership = Ownership(node, f"{node}/1", LEASE)
        self.member = Member(ownership, self.map, self.user, f"unix:/{node}", changed)


@asynccontextmanager
async def processes(*names: str) -> AsyncIterator[list[Process]]:
    stream, made = Stream(), list[Process]()

    def tell(teller: str, claims: Mapping[int, Claim]) -> None:
        (told_by,) = [process.member for process in made if process.member.node == teller]
        for member in [process.member for process in made if process.member is not told_by]:
            held = member.news({slot: claim for slot, claim in claims.items() if claim.node == member.node})
            asyncio.get_running_loop().call_soon(told_by.taken, {slot: claims[slot] for slot in held})

    made += [Process(stream, name, partial(tell, name)) for name in names]
    for process in made:
        process.member.begin()
    try:
        yield made
    finally:
        for process in made:
            await process.member.close()


async def test_two_processes_share_the_slots_and_know_of_each_other() -> None:
    async with processes("a", "b") as (one, other):
        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)

        assert not one.user.slots & other.user.slots
        await until(lambda: one.member.others() == ["b"] and other.member.others() == ["a"])
        keys = [f"CP{number}" for number in range(50)]
        await until(lambda: {one.member.holder_of(key) for key in keys} == {"a", "b"})
        await until(lambda: [*map(one.member.holder_of, keys)] == [*map(other.member.holder_of, keys)])


async def test_one_that_cannot_reach_the_servers_stops_and_goes_on_when_it_can() -> None:
    async with processes("a") as (one,):
        await until(lambda: len(one.user.slots) == SLOTS)

        one.map.is_away = True
        await until(lambda: "suspended" in one.user.told)
        assert not one.member.may_act()
        one.map.is_away = False
        await until(one.member.may_act)

        assert one.user.told == ["continued", "suspended", "continued"]
        assert len(one.user.slots) == SLOTS


async def test_one_whose_slots_were_taken_meanwhile_loses_them() -> None:
    async with processes("a", "b") as (one, other):
        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)

        one.map.is_away = True
        await until(lambda: len(other.user.slots) == SLOTS)
        one.map.is_away = False
        await until(lambda: "lost" in one.user.told)

        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)


async def test_one_that_leaves_has_handed_everything_over() -> None:
    async with processes("a", "b") as (one, other):
        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)

        await asyncio.wait_for(one.member.leave(60), 60)

        assert one.user.slots == set()
        await until(lambda: len(other.user.slots) == SLOTS)


async def test_one_that_cannot_read_the_map_uses_what_another_gives_to_it() -> None:
    async with processes("a", "b") as (one, other):
        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)
        slot, other.map.is_away = next(iter(one.user.slots)), True

        assert other.member.news({slot: Claim(node="b", incarnation="b/1", epoch=10**6)}) == [slot]

        assert slot in other.user.slots
        assert not other.member.news({slot: Claim(node="b", incarnation="b/earlier", epoch=10**7)})
        other.user.serves = False
        assert not other.member.news({slot: Claim(node="b", incarnation="b/1", epoch=10**6)})


async def test_one_that_fails_in_the_middle_gives_its_slots_away_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async with processes("a", "b") as (one, other):
        await until(lambda: len(one.user.slots) == len(other.user.slots) == SLOTS // 2)

        one.user.fails_at = sorted(one.user.slots)[10]
        await asyncio.wait_for(one.member.leave(60), 60)

        assert one.user.slots == set() and "lost" in one.user.told
        assert re.search(r"handing over \d+ slots has failed", caplog.text) and "an error in the code" in caplog.text
        await until(lambda: len(other.user.slots) == SLOTS)


async def test_one_whose_name_is_in_use_says_so() -> None:
    async with processes("a") as (one,):
        await until(lambda: len(one.user.slots) == SLOTS)

        one.map.stream.presences["a"] = NodePresence(incarnation="another", sequence=10**6)
        await until(lambda: any("each node needs a name of its own" in text for text in one.user.told))

        assert not one.member.may_act()


async def test_a_record_that_was_refused_ends_the_slot() -> None:
    async with processes("a") as (one,):
        await until(lambda: len(one.user.slots) == SLOTS)
        epoch = one.member.ownership.held[7]

        one.map.stream.claims[7] = Claim(node="z", incarnation="z/1", epoch=epoch + 10**6)
        one.member.fenced(7, epoch)

        assert 7 not in one.user.slots
        assert one.member.holder_of("CP1") == "a"
