"""What a process of a cluster does with its slots, in which order. The store and the membership are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.cluster.slots import slot_of
from bridge.gateway.node import Node
from bridge.net.tasks import Background, Tasks
from bridge.ocpps.service import PendingRequests

ONE, SLOT = "CP 1", slot_of("CP 1")
OTHER = slot_of("CP 2")


class Lane:
    """Waits for an answer: the lane of an observer, or the runner of a Session."""

    identity, busy = ONE, True

    def in_progress(self) -> bool:
        return self.busy


class Everything:
    """The store, the Sessions and the observers. `done` is what was asked of them, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.loading, self.writing = asyncio.Event(), asyncio.Event()
        self.loading.set()
        self.writing.set()
        self.lanes: list[Lane] = []
        self.runners: list[Lane] = []

    async def take_slots(self, epochs: Mapping[int, int]) -> None:
        try:
            await self.loading.wait()
        except asyncio.CancelledError:
            self.done.append("not loaded")
            raise

    async def flush_slots(self, slots: Collection[int], within: float) -> bool:
        self.done.append("write")
        await self.writing.wait()
        return True

    def drop(self, slot: int) -> None:
        self.done.append("drop")

    def release(self, held: object) -> list[object]:
        self.done.append("end sessions")
        return []

    def __iter__(self) -> Any:
        return iter(self.runners)

    def withdraw(self, slots: Collection[int]) -> list[Lane]:
        self.done.append("withdraw")
        return self.lanes

    def leave(self, slots: Collection[int]) -> None:
        self.done.append("leave")

    def go_on(self) -> None:
        self.done.append("go on")

    def did(self, step: str) -> Any:
        return lambda *_: self.done.append(step)


class Held:
    """A process that holds two slots."""

    def __init__(self) -> None:
        self.all, self.tasks = Everything(), Tasks()
        self.member = SimpleNamespace(
            ownership=SimpleNamespace(held={SLOT: 5, OTHER: 6}, lease=2.5),
            may_act=lambda: True,
            leave=self.leave,
            ready=lambda: None,
            begin=lambda: None,
        )
        anything = cast(Any, self.all)
        self.node = Node(
            node="a",
            sessions=anything,
            store=anything,
            pending=PendingRequests(),
            observers=anything,
            tasks=self.tasks,
            background=Background(),
            loaded=lambda slots: self.all.done.append(f"loaded {len(slots)}"),
            loaded_early=self.all.did("loaded early"),
            left=self.all.did("left"),
            dropped=self.all.did("dropped"),
            stop=self.all.did("stop"),
        )

    async def begin(self) -> None:
        await self.node.join(cast(Any, self.member))
        self.node.serve()
        self.node.owned({SLOT: 5, OTHER: 6})
        await self.idle()

    async def leave(self, within: float) -> None:
        self.all.done.append("leave the cluster")

    async def hand_over(self) -> None:
        assert [slots async for slots in self.node.hand_over({SLOT})] == [{SLOT}]

    async def idle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_a_slot_is_handed_over_after_all_is_written_about_it() -> None:
    held = Held()
    await held.begin()
    assert held.node.is_here(ONE) and held.all.done == ["loaded 2"]
    await held.hand_over()
    assert held.all.done[1:] == ["withdraw", "end sessions", "leave", "left", "write", "drop", "dropped"]
    assert not held.node.serves(ONE)


async def test_the_answers_of_observers_are_waited_for_a_moment() -> None:
    held, lane = Held(), Lane()
    await held.begin()
    held.all.lanes = [lane]
    handing = asyncio.ensure_future(held.hand_over())
    await held.idle()
    assert held.all.done[1:] == ["withdraw"]
    lane.busy = False
    await handing
    assert "leave" in held.all.done


@pytest.mark.parametrize("kind", ["lanes", "runners"])
async def test_a_slot_in_which_nothing_is_in_progress_does_not_wait_for_others(kind: str) -> None:
    held, lane = Held(), Lane()
    await held.begin()
    setattr(held.all, kind, [lane])
    given = held.node.hand_over([SLOT, OTHER])
    assert await anext(given) == {OTHER}
    lane.busy = False
    assert [slots async for slots in given] == [{SLOT}]


async def test_a_slot_that_another_process_claims_while_it_is_handed_over_is_not_released() -> None:
    held, lane = Held(), Lane()
    await held.begin()
    held.all.runners = [lane]
    given = held.node.hand_over([SLOT, OTHER])
    assert await anext(given) == {OTHER}
    del held.member.ownership.held[SLOT]
    held.node.lost([SLOT])
    held.all.done.clear()
    assert [slots async for slots in given] == []
    await held.idle()
    assert held.all.done == ["end sessions"]


async def test_a_slot_that_is_lost_while_it_is_written_is_not_forgotten_when_it_is_back() -> None:
    held = Held()
    await held.begin()
    held.all.writing.clear()
    handing = asyncio.ensure_future(anext(held.node.hand_over([SLOT])))
    await held.idle()
    held.node.lost([SLOT])
    held.member.ownership.held[SLOT] = 7
    held.node.owned({SLOT: 7})
    await held.idle()
    held.all.done.clear()
    held.all.writing.set()
    assert await handing == frozenset()
    assert held.all.done == ["dropped"] and held.node.is_here(ONE)


async def test_a_slot_that_is_lost_before_this_process_serves_is_not_loaded() -> None:
    held = Held()
    await held.node.join(cast(Any, held.member))
    held.node.owned({SLOT: 5})
    del held.member.ownership.held[SLOT]
    held.node.lost([SLOT])
    held.node.serve()
    await held.idle()
    assert not held.node.serves(ONE)


async def test_a_process_that_stops_loads_no_more_records() -> None:
    held = Held()
    held.all.loading.clear()
    await held.begin()
    await held.node.leave(10)
    await held.idle()
    assert sorted(held.all.done) == ["leave the cluster", "not loaded"]


async def test_an_observer_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    await held.begin()
    held.all.lanes = [Lane()]
    await held.hand_over()
    assert held.all.done[-1] == "dropped"


async def test_nothing_more_is_sent_of_a_slot_that_is_lost() -> None:
    held = Held()
    await held.begin()
    held.node.lost({SLOT})
    assert held.all.done[1:] == ["leave", "left", "drop", "dropped"]
    await held.tasks.close()


async def test_a_slot_that_is_handed_over_before_its_records_have_come_is_not_served() -> None:
    held = Held()
    held.all.loading.clear()
    held.all.writing.clear()
    await held.begin()
    handing = asyncio.ensure_future(held.hand_over())
    await held.idle()
    held.all.loading.set()
    await held.idle()
    assert "loaded 2" not in held.all.done and not held.node.serves(ONE)
    held.all.writing.set()
    await handing
    assert not held.node.serves(ONE)


async def test_observers_get_what_has_waited_when_the_lease_holds_again() -> None:
    held = Held()
    await held.begin()
    held.node.continued()
    assert held.all.done[-1] == "go on"
