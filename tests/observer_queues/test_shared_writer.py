"""What waits for observers, in the stream of a cluster at a real nats-server: it follows a Charge Point.

What the next one finds is what was flushed, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.cluster import shared_store
from bridge.cluster.nats_connection import ServersAway
from bridge.cluster.record_stream import SlotChanges
from bridge.cluster.slots import slot_of
from bridge.core.observer_ids import ObserverId
from bridge.observer_queues import LaneName, MessageRow, SharedObserverWriter, StoredLane
from bridge.store.records import ObservedRecord, ObserverMessageRecord
from tests.cluster.servers import NatsServer, Node, nats_at, node
from tests.cluster.test_shared_store import Member, told
from tests.e2e.stage import AT_MOST

OBSERVERS = ("ems", "lake")
IDENTITIES = (f"CP {number}" for number in count(1))


class Mortal(Member):
    """A process with a store, which is killed after some more batches. `batches` is how many, None for ever."""

    def __init__(self, of: Node) -> None:
        super().__init__(of)
        self.batches: int | None = None
        self._commit = of.records.commit
        of.records.commit = self._commit_or_die  # type: ignore[method-assign]

    async def _commit_or_die(self, parts: Sequence[SlotChanges]) -> None:
        if self.batches == 0:
            raise ServersAway("it was killed")
        await self._commit(parts)
        if self.batches is not None:
            self.batches -= 1


def row(identity: str, observer: str, number: int, action: str = "MeterValues") -> MessageRow:
    return MessageRow(
        number,
        identity.casefold(),
        observer,
        identity,
        f"key-{number}",
        action,
        float(number),
        "1",
        str(2**70),
        int(action == "MeterValues"),
        b'{"n":%d}' % number,
        b"[3,{}]",
    )


@dataclass
class Queue:
    """What a lane has to hold."""

    rows: dict[int, MessageRow] = field(default_factory=dict)
    ids: dict[int, ObserverId] = field(default_factory=dict)
    entered: str | None = None
    interval: int | None = None

    def copy(self) -> Queue:
        return Queue(dict(self.rows), dict(self.ids), self.entered, self.interval)

    def told(self) -> tuple[object, ...]:
        ids = sorted(self.ids.values(), key=lambda each: each.number)
        return [one.queued() for one in self.rows.values()], ids, self.entered, self.interval


def found(lane: StoredLane | None) -> tuple[object, ...]:
    if lane is None:
        return Queue().told()
    return lane.messages, sorted(lane.ids, key=lambda each: each.number), lane.entered, lane.interval


class History:
    """One Charge Point, at one of two processes, and what its queues have to hold.

    Attributes:
        snapshots: What each lane had to hold after each step since the last flush.
        ends: The keys of the transaction messages of each lane, in the order in which they entered.
        gone: Those that were deleted.
    """

    def __init__(self, members: list[Mortal]) -> None:
        self.identity = next(IDENTITIES)
        self.slot = slot_of(self.identity)
        self.members = members
        self.queues = {name: Queue() for name in OBSERVERS}
        self.snapshots: list[dict[str, Queue]] = []
        self.ends: dict[str, list[str]] = {name: [] for name in OBSERVERS}
        self.gone: set[str] = set()
        self._numbers = count(1)

    async def begin(self) -> None:
        await self.members[0].hold(self.slot)
        self.writer = SharedObserverWriter(self.members[0].store)
        self._noted(flushed=True)

    def name(self, observer: str) -> LaneName:
        return self.identity.casefold(), observer

    def _noted(self, *, flushed: bool = False) -> None:
        if flushed:
            self.snapshots.clear()
        self.snapshots.append({name: queue.copy() for name, queue in self.queues.items()})

    async def do(self, step: str, observer: str, number: int) -> None:
        queue, name = self.queues[observer], self.name(observer)
        if step in ("put", "start"):
            one = row(self.identity, observer, next(self._numbers), "StartTransaction" if step == "start" else step)
            self.writer.put(one, ends=step == "start")
            queue.rows[one.number] = one
            if step == "start":
                queue.entered = one.key
                self.ends[observer].append(one.key)
        elif step == "delete" and queue.rows:
            chosen = list(queue.rows)[number % len(queue.rows)]
            self.writer.delete(name, chosen)
            self.gone.add(queue.rows.pop(chosen).key)
        elif step == "keep":
            told_ = ObserverId(number=number, named=number + 2**70, ended=bool(number % 2))
            self.writer.keep(name, told_, 0.0)
            queue.ids[number] = told_
        elif step == "thin":
            self.writer.thin(name, self.identity, number)
            queue.interval = number
        elif step == "forget":
            self.writer.forget(name)
            self.gone |= {one.key for one in queue.rows.values()}
            self.gone |= set(self.ends[observer])
            self.queues[observer] = Queue()
        elif step == "wait":
            await asyncio.sleep(0.03)  # a batch may begin
        elif step == "flush":
            assert await told(self.writer.flush(name))
            self._noted(flushed=True)
            return
        elif step in ("hand over", "kill"):
            await self._moved(None if step == "hand over" else number % 4)
            return
        self._noted()

    async def _moved(self, batches: int | None) -> None:
        """The other process takes over.

        Args:
            batches: The batches that this one still writes before it is killed, None if it hands over.
        """
        before, after = self.members
        handed = batches is None
        if handed:
            assert await before.store.flush_slots([self.slot], AT_MOST)
            self._noted(flushed=True)
            before.store.drop(self.slot)
        else:
            before.batches = batches
            async with asyncio.timeout(AT_MOST):
                while before.batches and not before.store._idle.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            before.batches = 0
        stale = self.writer
        await after.hold(self.slot)
        self.writer = SharedObserverWriter(after.store)
        lanes = self.writer.found(self.identity)
        await self.check(lanes)
        before.batches = None
        if not handed:
            # What the earlier one writes from now on is refused as a whole.
            stale.put(row(self.identity, "ems", 10**9, "StartTransaction"), ends=True)
            assert not await told(stale.flush(self.name("ems")))
            before.store.drop(self.slot)
        self.members.reverse()
        for observer in OBSERVERS:
            self._taken(observer, lanes.get(self.name(observer)))
        self._noted(flushed=True)

    def _taken(self, observer: str, lane: StoredLane | None) -> None:
        """Go on with what was found."""
        known = {one.number: one for snapshot in self.snapshots for one in snapshot[observer].rows.values()}
        if lane is None:
            self.queues[observer] = Queue()
            return
        rows = {message.number: known[message.number] for message in lane.messages}
        self.queues[observer] = Queue(rows, {one.number: one for one in lane.ids}, lane.entered, lane.interval)

    async def check(self, lanes: dict[LaneName, StoredLane]) -> None:
        told_ = tuple(found(lanes.get(self.name(observer))) for observer in OBSERVERS)
        wanted = [tuple(snapshot[observer].told() for observer in OBSERVERS) for snapshot in self.snapshots]
        assert told_ in wanted
        await self.check_content(lanes)

    async def check_content(self, lanes: dict[LaneName, StoredLane]) -> None:
        for name, lane in lanes.items():
            for message in lane.messages:
                content = await self.writer.content(name, message.number)
                assert content == (b'{"n":%d}' % message.number, b"[3,{}]")


class InParts(History):
    """Batches are so small that what is put at once is not written at once."""

    async def check(self, lanes: dict[LaneName, StoredLane]) -> None:
        for observer in OBSERVERS:
            lane = lanes.get(self.name(observer)) or StoredLane(identity="")
            numbers = [message.number for message in lane.messages]
            assert numbers == sorted(numbers)
            ends = self.ends[observer]
            entered = ends[: ends.index(lane.entered) + 1] if lane.entered in ends else []
            # What is said to have entered is there, unless it was deleted. The rest is in the record of its answer.
            assert {*entered} <= {message.key for message in lane.messages} | self.gone
        await self.check_content(lanes)

    def _taken(self, observer: str, lane: StoredLane | None) -> None:
        super()._taken(observer, lane)
        there = set() if lane is None else {message.key for message in lane.messages}
        self.ends[observer] = [key for key in self.ends[observer] if key in there]


STEPS = (
    *("put", "put", "start", "start", "delete", "delete", "keep", "thin"),
    *("forget", "wait", "flush", "hand over", "kill"),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.sampled_from(OBSERVERS),
        st.integers(1, 9),
    ),
    min_size=5,
    max_size=40,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_at(tmp_path) as running:
        yield running


@pytest.fixture
async def members(server: NatsServer) -> AsyncIterator[list[Mortal]]:
    async with AsyncExitStack() as stack:
        made = [Mortal(await stack.enter_async_context(node(server.url, name))) for name in "ab"]
        for one in made:
            await one.store.start()
            stack.callback(one.store.close)
        yield made


_FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FEW
@given(steps=steps)
async def test_the_next_process_finds_what_was_flushed_in_order(
    members: list[Mortal], steps: list[tuple[str, str, int]]
) -> None:
    history = History(members)
    await history.begin()
    for step in [*steps, ("hand over", "ems", 1)]:
        await history.do(*step)


@_FEW
@given(steps=steps)
async def test_what_is_said_to_have_entered_is_there_even_if_batches_are_small(
    members: list[Mortal], steps: list[tuple[str, str, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared_store, "_MOST_MESSAGES", 3)
        history = InParts(members)
        await history.begin()
        for step in [*steps, ("kill", "ems", 1)]:
            await history.do(*step)


async def test_nobody_waits_for_what_is_deleted_before_it_was_written(members: list[Mortal]) -> None:
    history = History(members)
    await history.begin()
    history.writer.put(row(history.identity, "ems", 1), ends=False)
    flushed = history.writer.flush(history.name("lake"))
    history.writer.delete(history.name("ems"), 1)
    assert await told(flushed)
    assert history.writer.waiting(history.name("ems"), 1) is None
    assert await history.writer.content(history.name("ems"), 1) is None


async def test_a_short_queue_leaves_few_places_however_many_messages_pass(members: list[Mortal]) -> None:
    history = History(members)
    await history.begin()
    for number in range(1, 30):
        history.writer.put(row(history.identity, "ems", number), ends=False)
        assert await told(history.writer.flush(history.name("ems")))
        history.writer.delete(history.name("ems"), number)
    assert await members[0].store.flush_slots([history.slot], AT_MOST)
    messages = await members[0].node.records.load(history.slot, members[0].store._slots[history.slot].epoch)
    left = [one.subject for one in messages if f".{ObserverMessageRecord.TABLE}." in one.subject]
    assert len(left) == 1


async def test_a_charge_point_that_may_have_something_is_found(members: list[Mortal]) -> None:
    history, store = History(members), members[0].store
    await history.begin()
    assert history.writer.charge_points_in([history.slot]) == set()
    kept = ObservedRecord(
        identity=history.identity,
        kept_at=store.running_time,
        key="k",
        observers=("ems",),
        action="StopTransaction",
        request=b"{}",
        answer=b"",
    )
    store.put(kept)
    assert history.writer.charge_points_in([history.slot, history.slot + 1]) == {history.identity.casefold()}
    assert store.observed_of(history.identity.upper()) == [kept]


async def test_with_a_charge_point_goes_what_waits_for_its_observers(members: list[Mortal]) -> None:
    history = History(members)
    await history.begin()
    for step in ("start", "keep", "thin", "flush", "put"):
        await history.do(step, "ems", 3)
    assert await told(members[0].store.remove(history.identity))
    history.writer.remove(history.identity.casefold())
    await members[1].hold(history.slot)
    assert SharedObserverWriter(members[1].store).found(history.identity) == {}
