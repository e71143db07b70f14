"""Batches of records at a real nats-server: refused as a whole when stale, written once, and read again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.cluster import stream_forms as form
from bridge.cluster.cluster_map import unclaimed
from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import Login, OutgoingMessage, PublishRefused, ServersAway
from bridge.cluster.record_stream import Fenced, RecordStream, SlotChanges
from bridge.cluster.shared_stream import SharedStream
from bridge.cluster.slots import SLOTS
from bridge.cluster.stream_forms import RecordChange
from bridge.store.records import key_of
from tests.cluster.servers import TOKEN, Node, nats_at, node, nodes, three_servers
from tests.e2e.stage import AT_MOST, run
from tests.outgoing_events.receivers import eventually
from tests.store.examples import alias, connector


def changes(
    numbers: Iterable[int], text: str = "x", identity: str = "cp", slot: int | None = 7
) -> tuple[RecordChange, ...]:
    """Changes to records with these numbers; `text` is their body."""
    return tuple(
        RecordChange(
            subject=form.subject_of_record(slot, key_of(connector(number, identity=identity))),
            body=text.encode(),
            lives=None,
        )
        for number in numbers
    )


def part(epoch: int, *made: RecordChange, slot: int | None = 7) -> SlotChanges:
    return SlotChanges(slot=slot, epoch=epoch, changes=made)


async def epoch_of(of: Node, slot: int = 7, after: int = 0) -> int:
    return (await of.map.claim({slot: after}))[slot]


async def stored(of: Node, epoch: int, slot: int = 7) -> list[tuple[str, str]]:
    """The last word of each subject of the slot, and what it holds."""
    messages = await of.records.load(slot, epoch)
    assert [message.sequence for message in messages] == sorted({message.sequence for message in messages})
    return sorted((message.subject.rpartition(".")[2], message.body.decode()) for message in messages)


def names(numbers: Iterable[int], text: str = "x") -> list[tuple[str, str]]:
    return sorted((change.subject.rpartition(".")[2], text) for change in changes(numbers))


async def test_what_is_written_is_loaded(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            epoch = await epoch_of(a)
            for start in range(0, 2500, 500):  # more than are read at once
                await a.records.commit([part(epoch, *changes(range(start, start + 500), "old"))])
            await a.records.commit([part(epoch, *changes(range(998)))])
            later = await epoch_of(b, after=epoch)
            expected = sorted([*names(range(998)), *names(range(998, 2500), "old")])
            assert await stored(b, later) == expected
            assert await stored(b, later, 8 - 1) == expected
            assert await stored(b, await epoch_of(b, 8), 8) == []


async def test_a_stale_batch_is_refused_as_a_whole(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            seven, eight = await epoch_of(a, 7), await epoch_of(a, 8)
            await a.records.commit([part(seven, *changes([1, 2]))])
            taken = await epoch_of(b, 7, seven)
            both = [
                part(eight, *changes([1], slot=8), slot=8),
                part(seven, *changes([2, 3], "stale")),
                part(0, *changes([1], slot=None), slot=None),
            ]
            with pytest.raises(Fenced) as caught:
                await a.records.commit(both)
            assert caught.value.slots == {7}
            assert await stored(b, taken) == names([1, 2]) and await stored(a, eight, 8) == []
            assert [page async for page in a.records.follow(0)] == []
            await a.records.commit([both[0], both[2]])
            assert len(await stored(a, eight, 8)) == 1
            # A release is a later claim, too.
            await b.map.release(unclaimed({7: taken}))
            with pytest.raises(Fenced):
                await b.records.commit([part(taken, *changes([5]))])


async def test_two_writers_of_one_slot(tmp_path: Path) -> None:
    """Each claims it again and again, and writes for as long as it can. Each batch is of one writer."""
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as both:
            written: dict[str, int] = {"a": 0, "b": 0}

            async def write(of: Node) -> None:
                while written[of.name] < 10:
                    await of.map.renew("", 0)
                    claims = (await of.map.read_map()).claims
                    held = await of.map.claim({7: claims[7].epoch if 7 in claims else 0})
                    try:
                        while 7 in held and written[of.name] < 10:
                            await of.records.commit([part(held[7], *changes(range(50), of.name))])
                            written[of.name] += 1
                    except Fenced as error:
                        assert error.slots == {7}

            async def look() -> None:
                while min(written.values()) < 10:
                    found = await stored(both[0], 0)
                    assert len({text for _, text in found}) <= 1

            await asyncio.gather(*map(write, both), look())
            found = await stored(both[0], 0)
            assert len(found) == 50 and len({text for _, text in found}) == 1


_FULL = PublishRefused(10077, "maximum bytes exceeded")


class LossyStream(SharedStream):
    """A stream whose connection fails: `fates` says what becomes of each message or batch that is published next.

    "lost": it is never sent. "unheard": it is written, and no answer comes. "late": it arrives with `arrive`.
    "refused": the server cannot write.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__([url], name, login=Login(password=TOKEN))
        self.fates: list[str] = []
        self.late: list[list[Sequence[OutgoingMessage]]] = []  # those of one connection stay in order

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int | None:
        (fate,) = self._fates(1)
        if fate == "late":
            self.late.append([messages])
        if fate == "refused":
            raise _FULL
        sequence = await super().publish(messages) if fate in ("", "unheard") else 0
        if fate:
            raise ServersAway("the connection was lost")
        return sequence

    async def publish_each(self, messages: Sequence[OutgoingMessage]) -> list[int | PublishRefused | None]:
        """What follows a message that is late comes after it, or is lost; what follows one that is lost is lost."""
        fates = self._fates(len(messages))
        gone = next((number for number, fate in enumerate(fates) if fate in ("late", "lost")), len(messages))
        outcomes: list[int | PublishRefused | None] = []
        for message, fate in zip(messages[:gone], fates[:gone], strict=True):
            outcomes += [_FULL] if fate == "refused" else await super().publish_each([message])
        late = list(
            itertools.takewhile(lambda pair: pair[1] == "late", zip(messages[gone:], fates[gone:], strict=True))
        )
        self.late += [[[message] for message, _ in late]] if late else []
        if {*fates} & {"late", "lost", "unheard"}:
            raise ServersAway("the connection was lost")
        return outcomes

    def _fates(self, number: int) -> list[str]:
        fates, self.fates = self.fates[:number], self.fates[number:]
        return fates + [""] * (number - len(fates))

    async def arrive(self, number: int) -> None:
        """Let one of those that are late arrive, if there is one."""
        if self.late:
            waiting = self.late[number % len(self.late)]
            await super().publish(waiting.pop(0))
            if not waiting:
                self.late.remove(waiting)


# The records of a write, by the slot, of which there are two.
WRITES = st.sampled_from([{0: [0]}, {0: [0, 1]}, {1: [0]}, {1: [0, 1]}, {0: [0], 1: [0]}])
FATES = st.lists(st.sampled_from(["late", "lost", "unheard", "refused"]), max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), WRITES, FATES),
        st.tuples(st.just("arrive"), st.integers(0, 9)),
        st.tuples(st.sampled_from(["take", "move"]), st.integers(0, 1)),
    ),
    max_size=8,
)


async def _write_and_lose(url: str, first: int, steps: Sequence[Sequence[Any]]) -> None:
    """Write records again and again, whatever becomes of it. Nothing older replaces what was acknowledged."""
    stream = LossyStream(url, f"a{first}")
    records, slots = RecordStream(stream, f"a{first}", "i"), (first, first + SLOTS // 2)
    acknowledged: dict[tuple[int, str], int] = {}
    versions = itertools.count(1)
    async with node(url, f"b{first}") as b:
        await stream.open(AT_MOST)
        try:
            held = MapStream(stream, f"a{first}", "i", timeout=20.0)
            epochs = await held.claim(dict.fromkeys(slots, 0))
            taken: dict[int, int] = {}
            for what, told, *fates in steps:
                if what == "arrive":
                    await stream.arrive(told)
                elif what != "write":  # another node takes a slot; this one knows, and takes it back, or does not know
                    taken |= await b.map.claim({slots[told]: epochs[slots[told]]})
                    if what == "move":
                        epochs |= await held.claim(taken)
                        taken = {}
                else:
                    version, (stream.fates,) = next(versions), ([*fate] for fate in fates)
                    parts = [
                        part(epochs[slot], *changes(numbers, f"{version}", slot=slot), slot=slot)
                        for slot, numbers in ((slots[which], numbers) for which, numbers in told.items())
                    ]
                    with suppress(ServersAway, PublishRefused):
                        try:
                            await records.commit(parts)
                        except Fenced as error:
                            assert error.slots <= taken.keys()
                            stream.fates = []
                            epochs |= await held.claim(taken)
                            taken = {}
                        else:
                            for which, numbers in told.items():
                                acknowledged |= {(slots[which], name): version for name, _ in names(numbers)}
                    stream.fates = []
            while stream.late:
                await stream.arrive(0)
            for slot in slots:
                found = {(slot, name): int(text) for name, text in await stored(b, epochs[slot], slot)}
                expected = {key: version for key, version in acknowledged.items() if key[0] == slot}
                assert all(found[key] >= version for key, version in expected.items()), (found, expected)
                if any("refused" in fate for _, _, *fates in steps for fate in fates):
                    continue
                # No record is written before those that are put with it before it.
                by_number = [found.get((slot, name), 0) for number in (0, 1) for name, _ in names([number])]
                assert by_number == sorted(by_number, reverse=True), found
        finally:
            await stream.close()


def test_a_copy_that_arrives_late_replaces_nothing(tmp_path: Path) -> None:
    slots = itertools.count()
    with nats_at(tmp_path) as server:

        @example(steps=[("write", {0: [0]}, ["late"]), ("write", {0: [0]}, [])])
        @example(steps=[("write", {0: [0, 1]}, ["late"]), ("write", {0: [0]}, [])])
        @example(steps=[("write", {0: [0]}, ["late"]), ("write", {0: [0]}, ["refused"]), ("write", {0: [0]}, [])])
        @example(
            steps=[
                *(("write", {0: [0, 1]}, ["late"]), ("take", 1)),
                *(("write", {1: [0, 1]}, []), ("write", {0: [0]}, [])),
            ]
        )
        @given(steps=STEPS)
        @settings(max_examples=100)
        def whatever_happens(steps: Sequence[Sequence[Any]]) -> None:
            run(_write_and_lose(server.url, next(slots), steps))

        whatever_happens()


async def test_a_few_changes_need_no_batch(tmp_path: Path) -> None:
    """It has the condition of a batch, and is written once, however often it is sent."""
    with nats_at(tmp_path) as server:
        async with node(server.url, "b") as b:
            stream = LossyStream(server.url, "a")
            await stream.open(AT_MOST)
            try:
                records = RecordStream(stream, "a", "i")
                epoch = (await MapStream(stream, "a", "i", timeout=20.0).claim({7: 0}))[7]
                await records.commit([part(epoch, *changes([1]))])
                assert stream.written == epoch + 1  # a batch has a mark as well
                stream.fates = ["unheard"]
                with pytest.raises(ServersAway):
                    await records.commit([part(epoch, *changes([1], "y"))])
                await records.commit([part(epoch, *changes([2]))])
                assert stream.written == epoch + 3 and await stored(b, epoch) == sorted([*names([1], "y"), *names([2])])
                before = stream.written
                await records.commit([part(epoch, *changes([2, 3, 4, 5], "z"))])
                assert stream.written == before + 4
                await records.commit([part(epoch, *changes(range(1, 6)))])
                assert stream.written == before + 4 + 6  # five make a batch
                assert await stored(b, epoch) == names(range(1, 6))
                # A server without room may have room for some.
                stream.fates = ["", "refused"]
                with pytest.raises(PublishRefused):
                    await records.commit([part(epoch, *changes([1, 2, 3], "y"))])
                assert await stored(b, epoch) == sorted([*names([1, 3], "y"), *names([2, 4, 5])])
                # So there are batches until one is written.
                before = stream.written
                for _ in range(2):
                    await records.commit([part(epoch, *changes([1, 3]))])
                assert stream.written == before + 3 + 2
                # Changes that belong together are a batch, unless there is one.
                for number, messages in ((2, 3), (1, 1)):
                    before = stream.written
                    together = SlotChanges(slot=7, epoch=epoch, changes=changes(range(number), "y"), together=True)
                    await records.commit([together])
                    assert stream.written == before + messages
                # One that the server never takes is in doubt no more once there is a connection.
                stream.fates = ["lost"]
                with pytest.raises(ServersAway):
                    await records.commit([part(epoch, *changes([1], "x" * 2_000_000))])
                with pytest.raises(PublishRefused, match="too large"):
                    await records.commit([part(epoch, *changes([1, 3], "y"))])
                await records.commit([part(epoch, *changes([1, 3], "y"))])
                assert await stored(b, epoch) == sorted([*names([0, 1, 3], "y"), *names([2, 4, 5])])
                # Of a message that another node has made stale, no copy is sent again.
                stream.fates = ["late"]
                with pytest.raises(ServersAway):
                    await records.commit([part(epoch, *changes([1], "late"))])
                taken = await epoch_of(b, 7, epoch)
                with pytest.raises(Fenced) as caught:
                    await records.commit([part(epoch, *changes([2], "stale"))])
                assert caught.value.slots == {7}
                await stream.arrive(0)
                assert await stored(b, taken) == sorted([*names([0, 1, 3], "y"), *names([2, 4, 5])])
            finally:
                await stream.close()


async def test_what_is_removed_is_gone_after_a_while(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            epoch = await epoch_of(a)
            await a.records.commit([part(epoch, *changes([1, 2]))])
            (gone,) = [RecordChange(subject=change.subject, lives=1) for change in changes([1])]
            await a.records.commit([part(epoch, gone)])
            assert sorted(text for _, text in await stored(a, epoch)) in (["", "x"], ["x"])
            while len(await stored(a, epoch)) > 1:  # noqa: ASYNC110  (the server tells nobody)
                await asyncio.sleep(0.1)
            assert await stored(a, epoch) == names([2])


async def test_one_charge_point_is_loaded_before_the_rest(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            epoch = await epoch_of(a)
            await a.records.commit([part(epoch, *changes([1, 2]), *changes([1, 3], "other", "cp 2"))])
            found = await a.records.load_charge_point(7, epoch, "cp 2")
            assert [message.body for message in found] == [b"other"] * 2
            assert await a.records.load_charge_point(7, epoch, "cp 3") == []
            for start in (0, 900):
                await a.records.commit([part(epoch, *changes(range(start, start + 900)))])
            # More than a server gives at once.
            many = await a.records.load_charge_point(7, epoch, "cp")
            assert sorted((one.subject.rpartition(".")[2], one.body.decode()) for one in many) == names(range(1800))


async def test_every_node_follows_what_is_for_all(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            await a.records.commit([part(0, *changes([1, 2], slot=None), slot=None)])
            await b.map.join("", 0)
            await b.map.read_map()
            assert b.map.news.is_set()
            pages = [page async for page in b.records.follow(0, b.map.news_for_everyone)]
            bodies = [message.body for page in pages for message in page]
            assert bodies == [b"x", b"x", b""] and pages[-1][-1].sequence == b.map.news_for_everyone
            assert [page async for page in b.records.follow(b.map.news_for_everyone)] == []
            await a.records.commit([part(0, *changes(range(3000, 3900), slot=None), slot=None)])
            await a.records.commit([part(0, *changes(range(4000, 4900), slot=None), slot=None)])
            found, position = await b.records.load_everyone()
            assert len(found) == 1802 and position >= found[-1].sequence
            assert [page async for page in b.records.follow(position)] == []


async def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            epoch = await epoch_of(a)
            with pytest.raises(PublishRefused, match="too large"):
                await a.records.commit([part(epoch, *changes([1], "x" * 2_000_000))])
            await a.records.commit([part(epoch, *changes([1]))])


async def test_a_full_server_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            epoch = await epoch_of(a)
            await a.records.commit([part(epoch, *changes([1]))])
            limited = form.CONFIGURATION | {"max_bytes": 100_000, "num_replicas": 1}
            await a.stream.within(
                20,
                lambda: a.stream._nats.request("$JS.API.STREAM.UPDATE.ocpp-bridge", msgspec.json.encode(limited)),
            )
            with pytest.raises(PublishRefused, match="maximum bytes"):
                await a.records.commit([part(epoch, *changes(range(2, 400), "x" * 1000))])
            assert await stored(a, epoch) == names([1])


@pytest.mark.parametrize("size", [1, 3, 200])
async def test_the_server_is_killed_in_the_middle_of_writing(size: int, tmp_path: Path) -> None:
    """Again and again, while so many changes are written at once.

    All that was acknowledged is there, and no batch is there in part.
    """
    with nats_at(tmp_path) as server:
        async with node(server.url, timeout=2.0) as a:
            epoch = await epoch_of(a)
            acknowledged = 0
            attempted = 0
            killing = True

            async def write() -> None:
                nonlocal acknowledged, attempted
                while killing or acknowledged < 5:
                    attempted = acknowledged + 1
                    try:
                        await a.records.commit([part(epoch, *changes(range(size), str(attempted)))])
                    except ServersAway:
                        continue
                    acknowledged = attempted

            def progressed(before: int) -> bool:
                return acknowledged > before or writing.done()

            writing = asyncio.ensure_future(write())
            for number in range(6):
                before = acknowledged
                await eventually(partial(progressed, before))
                await asyncio.sleep(0.007 * number)
                server.kill()
                await asyncio.sleep(0.05)
                server.start()
                while True:
                    try:
                        texts = {text for _, text in await stored(a, epoch)}
                        break
                    except ServersAway:
                        await asyncio.sleep(0.1)
                assert texts and min(map(int, texts)) >= before
            killing = False
            await writing
            assert {text for _, text in await stored(a, epoch)} == {str(acknowledged)}
            assert len(await stored(a, epoch)) == size


async def test_three_servers_and_the_leader_is_killed(tmp_path: Path) -> None:
    with three_servers(tmp_path) as servers:
        urls = [server.url for server in servers]
        async with nodes(urls, "a", "b", timeout=3.0) as (a, b):
            sequence = await a.map.join("", 0)
            epoch = await epoch_of(a)
            before = a.stream.written
            await a.records.commit([part(epoch, *changes([100]))])
            assert a.stream.written == before + 2  # a batch, with a mark
            for number in range(3):
                await a.records.commit([part(epoch, *changes(range(100), str(number)))])
                asked = await a.stream.within(
                    20, lambda: a.stream._nats.request("$JS.API.STREAM.INFO.ocpp-bridge", b"")
                )
                told = msgspec.json.decode(asked)
                assert told["config"]["num_replicas"] == 3
                (leader,) = [one for one in servers if one._file.stem == told["cluster"]["leader"]]
                leader.kill()
                while True:  # an election takes some seconds
                    try:
                        await a.records.commit([part(epoch, *changes(range(100), f"later {number}"))])
                        await a.records.commit([part(epoch, *changes([100], f"later {number}"))])
                        sequence = await a.map.renew("", sequence)
                        break
                    except (ServersAway, PublishRefused):
                        await asyncio.sleep(0.1)
                read = await a.map.read_map()
                assert read.presences["a"].sequence == sequence and read.claims[7].epoch == epoch
                leader.start()
            while True:
                try:
                    later = (await b.map.claim({7: epoch})).get(7)
                    if later is None:
                        continue
                    assert await stored(b, later) == names(range(101), "later 2")
                    with pytest.raises(Fenced):
                        await a.records.commit([part(epoch, *changes([1], "stale"))])
                    break
                except ServersAway:
                    await asyncio.sleep(0.1)


def test_aliases_and_connectors_have_subjects_of_their_own() -> None:
    subjects = {
        form.subject_of_record(7, key_of(record)) for record in (alias(1), alias(2), connector(1), connector(2))
    }
    assert len(subjects) == 4


async def test_several_slots_are_loaded_at_once(tmp_path: Path) -> None:
    """Each has its own records, in the order of writing, and none of a slot that was not asked for."""
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            epochs = await a.map.claim(dict.fromkeys((7, 8, 9, 70), 0))
            for number in (3, 1, 2):
                parts = [
                    part(epochs[slot], *changes([number], f"{slot} {number}", slot=slot), slot=slot)
                    for slot in (7, 8, 70)
                ]
                await a.records.commit(parts)
            gone = changes([1], slot=8)[0]
            await a.records.commit([part(epochs[8], RecordChange(subject=gone.subject), slot=8)])
            wanted = {slot: epochs[slot] for slot in (7, 8, 9)}
            found = await b.records.load_slots(wanted)
            assert found is not None
            bodies = {slot: [message.body for message in messages] for slot, messages in found.items()}
            assert bodies == {7: [b"7 3", b"7 1", b"7 2"], 8: [b"8 3", b"8 2", b""], 9: []}
            assert all(form.slot_of_record(each.subject) == slot for slot, some in found.items() for each in some)


async def test_slots_with_too_many_records_are_not_loaded_at_once(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            epochs = await a.map.claim({7: 0, 8: 0})
            for slot in (7, 8):
                await a.records.commit([part(epochs[slot], *changes(range(600), slot=slot), slot=slot)])
            assert await a.records.load_slots(epochs) is None
            for slot in (7, 8):
                found = await a.records.load_slots({slot: epochs[slot]})
                assert found is not None and len(found[slot]) == 600


async def test_slots_are_not_loaded_from_a_server_that_lacks_a_claim(tmp_path: Path) -> None:
    """It lags behind: what is written before the last claim of the slots may not be there yet."""
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            before = await a.map.claim({7: 0, 8: 0})
            last = a.stream.written
            # The claims that are not there: of the slot 8 there are records before its last claim.
            loading = asyncio.ensure_future(b.records.load_slots({7: before[7], 8: last + 3}))
            for _ in range(3):
                await b.records.load(7, before[7])
            assert not loading.done()
            await a.records.commit([part(before[8], *changes([1, 2], slot=8), slot=8)])
            assert await a.map.claim({8: before[8]}) == {8: last + 3}
            found = await loading
            assert found is not None and [len(found[slot]) for slot in (7, 8)] == [0, 2]
