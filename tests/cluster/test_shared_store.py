"""The store of a node at a real nats-server."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import ref

import msgspec
import pytest
from msgspec import structs

from bridge.cluster import shared_store
from bridge.cluster import stream_forms as form
from bridge.cluster.node_numbers import number_of
from bridge.cluster.shared_store import SharedStore
from bridge.cluster.slots import slot_of
from bridge.gateway.audit import Audit
from bridge.store.records import Record
from tests.cluster.servers import NatsServer, Node, nats_at, node
from tests.e2e.stage import AT_MOST
from tests.outgoing_events.receivers import eventually
from tests.process_states import frozen
from tests.store.conftest import NOW
from tests.store.examples import alias, answered, audited, charge_point, connector, credential, provisioned

CP = "RDAM 123"
SLOT = slot_of(CP)


class Member:
    """A node with a store."""

    def __init__(self, of: Node, **options: Any) -> None:
        self.node = of
        self.fenced: list[tuple[int, int]] = []
        self.news: list[Record] = []
        self.store = SharedStore(
            of.records,
            of.map,
            retry=0.1,
            fenced=lambda slot, epoch: self.fenced.append((slot, epoch)),
            news=self._told,
            **options,
        )

    def _told(self, records: Sequence[Record]) -> None:
        self.news += records

    async def hold(self, slot: int = SLOT) -> int:
        """Claim a slot, whoever holds it, and load it. Returns: the epoch."""
        await self.see()
        claims = (await self.node.map.read_map()).claims
        (epoch,) = (await self.node.map.claim({slot: claims[slot].epoch if slot in claims else 0})).values()
        await self.store.take_slots({slot: epoch})
        return epoch

    async def see(self) -> None:
        """Read the map as it is now."""
        await self.node.map.renew("", 0)
        await self.node.map.read_map()


@asynccontextmanager
async def member(server: NatsServer, name: str = "a", **options: Any) -> AsyncIterator[Member]:
    async with node(server.url, name, **options) as of:
        made = Member(of)
        await made.store.start()
        try:
            yield made
        finally:
            made.store.close()


async def told(future: Future[bool]) -> bool:
    return await asyncio.wait_for(asyncio.wrap_future(future), AT_MOST)


async def test_a_successor_has_what_was_committed(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await a.hold()
            known = structs.replace(charge_point(), callback_url="http://cp/", interval=300)
            kept = answered(1, kept_at=a.store.running_time)
            assert await told(a.store.commit(known, connector(1), kept))
            a.store.put(charge_point(last_seen=9.0), alias())
            assert a.store.charge_points() == [structs.replace(known, last_seen=9.0)]
            assert await a.store.flush(AT_MOST)
            await b.hold()
            found = b.store.memory_of(CP)
            assert found == a.store.memory_of(CP.lower())
            assert found.charge_point == structs.replace(known, last_seen=9.0)
            assert found.answered == (kept,) and found.connectors == (connector(1),) and found.aliases == (alias(),)
            assert b.store.is_loaded(CP) and not b.store.is_loaded("another one")


async def test_a_node_that_was_superseded_writes_nothing(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            epoch = await a.hold()
            other = next(f"cp {number}" for number in range(99) if slot_of(f"cp {number}") != SLOT)
            await a.hold(slot_of(other))
            assert await told(a.store.commit(connector(1)))
            await b.hold()
            # One batch of two slots, of which one is held.
            stale, held = a.store.commit(connector(1, "stale"), alias()), a.store.commit(connector(identity=other))
            assert not await told(stale) and await told(held)
            assert a.fenced == [(SLOT, epoch)] and not a.store.is_loaded(CP)
            assert a.store.memory_of(CP).connectors == () and a.store.memory_of(other).connectors
            assert not await told(a.store.commit(connector(1))) and not await told(a.store.remove(CP))
            await a.hold()
            assert a.store.memory_of(CP).connectors == (connector(1),) and not a.store.memory_of(CP).aliases


async def test_what_is_put_while_a_slot_is_loaded_is_kept(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await a.hold()
            known = structs.replace(charge_point(), callback_url="http://cp/")
            assert await told(a.store.commit(known, *(alias(number) for number in range(1, 400))))
            taking = asyncio.ensure_future(b.hold())
            while SLOT not in b.store._slots:  # noqa: ASYNC110 (it is loaded a few milliseconds later)
                await asyncio.sleep(0)
            future = b.store.commit(charge_point(last_seen=9.0), alias(1000))
            assert not b.store.is_loaded(CP)
            await b.store.load_charge_point(CP)
            assert b.store.is_loaded(CP)
            await taking
            assert await told(future)
            assert b.store.memory_of(CP).charge_point == structs.replace(known, last_seen=9.0)
            await a.hold()
            assert a.store.memory_of(CP) == b.store.memory_of(CP)
            assert len(a.store.memory_of(CP).aliases) == 400


async def test_many_slots_are_loaded_some_at_a_time_and_who_is_waited_for_comes_first(tmp_path: Path) -> None:
    """Also one that has more records than a server gives at once, in a slot that is loaded last."""
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            slots = range(300)
            named = {slot_of(name): name for name in (f"cp {number}" for number in range(20_000))}
            assert set(slots) <= named.keys()
            await a.store.take_slots(await a.node.map.claim(dict.fromkeys(slots, 0)))
            for name in (named[slot] for slot in slots):
                assert await told(a.store.commit(*(connector(number, identity=name) for number in range(12))))
            last = named[slots[-1]]
            now = a.store.running_time
            records: list[Record] = [alias(number + 1, identity=last) for number in range(900)]
            records += [answered(number, now, last) for number in range(900)]
            for start in range(0, len(records), 600):
                assert await told(a.store.commit(*records[start : start + 600]))
            epochs = await b.node.map.claim({slot: a.store._slots[slot].epoch for slot in slots})
            assert len(epochs) == len(slots)

            taking = asyncio.ensure_future(b.store.take_slots(epochs))
            await asyncio.sleep(0)
            await b.store.load_charge_point(last)
            early = b.store.memory_of(last)
            assert not b.store._slots[slots[-1]].loaded  # nor most others
            assert (len(early.aliases), len(early.answered), len(early.connectors)) == (900, 900, 12)
            await taking
            assert all(len(b.store.memory_of(named[slot]).connectors) == 12 for slot in slots)
            assert b.store.memory_of(last) == early


async def test_the_records_of_a_slot_that_is_dropped_wait_for_no_garbage_collector(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            await a.hold()
            assert await told(a.store.commit(connector(1)))
            kept = ref(a.store._slots[SLOT].records)
            gc.disable()
            try:
                a.store.drop(SLOT)
                assert kept() is None
            finally:
                gc.enable()


async def test_a_slot_that_is_dropped_is_not_waited_for(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server, timeout=2.0) as a:
            server.kill()
            taking = asyncio.ensure_future(a.store.take_slots({SLOT: 5}))
            await eventually(lambda: SLOT in a.store._slots)
            loading = asyncio.ensure_future(a.store.load_charge_point(CP))
            future = a.store.commit(connector(1))
            a.store.drop(SLOT)
            assert not await told(future)
            await asyncio.wait_for(asyncio.gather(taking, loading), AT_MOST)
            a.store.drop(SLOT)
            server.start()


async def test_a_removed_charge_point_is_gone_for_the_successor(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await a.hold()
            everything = (charge_point(), connector(1), credential(), provisioned(), alias())
            assert await told(a.store.commit(*everything))
            await b.see()
            await eventually(lambda: b.store.provisioned())
            assert await told(a.store.remove(CP))
            assert a.store.provisioned() == []
            await b.hold()
            found = b.store.memory_of(CP)
            assert (found.charge_point, found.connectors, found.aliases) == (None, (), ())
            assert found.credentials == (credential(),)
            await b.see()
            await eventually(lambda: not b.store.provisioned())


async def test_every_node_has_the_audit_and_what_operators_gave(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await a.hold()
            assert await told(a.store.commit(audited(1), provisioned(), credential()))
            b.store.put(audited(2))
            assert await b.store.flush(AT_MOST)
            for one in (a, b):
                await one.see()
                await eventually(lambda one=one: len(one.store.audit()) == 2)  # type: ignore[misc]
                assert [record.id for record in one.store.audit()] == [2, 1]
                assert one.store.provisioned() == [provisioned()]
                assert one.store.memory_of(CP).credentials == (credential(),)
            assert {type(record).__name__ for record in b.news} == {
                *("AuditRecord", "ProvisionedRecord", "CredentialRecord")
            }
        async with member(server, "c") as c:
            assert [record.id for record in c.store.audit()] == [2, 1] and c.store.provisioned() == [provisioned()]


async def test_many_commits_are_few_batches(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            identities = [f"cp {number}" for number in range(1500)]
            slots = sorted(set(map(slot_of, identities)))
            epochs = await a.node.map.claim(dict.fromkeys(slots, 0))
            await asyncio.gather(*(a.store.take_slots({slot: epoch}) for slot, epoch in epochs.items()))
            futures = [a.store.commit(connector(identity=one), alias(identity=one)) for one in identities]
            assert all([await told(future) for future in futures])
            assert next(a.node.records._numbers) < 12
            assert len(a.store.transactions().records) == 0 and not a.store.readiness() and not a.store.moves()


async def test_the_servers_are_away_for_a_while(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server, timeout=2.0) as a:
            await a.hold()
            server.kill()
            first = a.store.commit(connector(1, "Preparing"))
            await eventually(lambda: a.store._writing)
            a.store.overdue(0.0)
            assert a.store.trouble is not None and "have not answered" in a.store.trouble
            assert not await told(a.store.commit(connector(1))) and not first.done()
            a.store.put(alias())
            server.start()
            assert await told(first)
            await eventually(lambda: a.store.trouble is None)
            assert await told(a.store.commit(connector(2)))
            await a.store.take_slots({SLOT: a.store._slots[SLOT].epoch})
            assert a.store.memory_of(CP).connectors == (connector(1), connector(2))
            assert a.store.memory_of(CP).aliases == (alias(),)


async def test_servers_that_do_not_come_back_are_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with nats_at(tmp_path) as server:
        async with member(server, timeout=2.0) as a:
            await a.hold()
            monkeypatch.setattr(shared_store, "_PATIENCE", 0.3)
            server.kill()
            assert not await told(a.store.commit(connector(1)))
            assert a.store.trouble is not None and not await a.store.flush(0.1)


async def test_a_full_server_is_trouble_until_there_is_room(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            await a.hold()

            async def limit(octets: int) -> None:
                wanted = msgspec.json.encode(form.CONFIGURATION | {"max_bytes": octets, "num_replicas": 1})
                stream = a.node.stream
                subject = f"$JS.API.STREAM.UPDATE.{form.STREAM}"
                await stream.within(AT_MOST, lambda: stream._nats.request(subject, wanted))

            await limit(10_000)
            large = structs.replace(provisioned(), settings=b"x" * 20_000)
            assert not await told(a.store.commit(large))
            assert a.store.trouble is not None and "maximum bytes" in a.store.trouble
            assert a.store.provisioned() == [large]
            await limit(-1)
            await eventually(lambda: a.store.trouble is None)
            await a.store.take_slots({SLOT: a.store._slots[SLOT].epoch})
            assert a.store.provisioned() == [large]


async def test_a_record_that_no_server_takes_harms_no_other(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            await a.hold()
            large = structs.replace(provisioned(), settings=b"x" * 2_000_000)
            futures = [a.store.commit(one) for one in (large, connector(1), connector(2, "\ud800"), alias())]
            assert [await told(future) for future in futures] == [False, True, False, True]
            many = [structs.replace(provisioned(CP), identity=CP, settings=b"x" * 600_000) for _ in range(2)]
            assert all([await told(a.store.commit(one)) for one in many])
            big = [answered(number) for number in range(20)]
            big = [structs.replace(one, answer=b"x" * 500_000, kept_at=a.store.running_time) for one in big]
            assert await told(a.store.commit(*big))  # more than one batch
            assert len(a.store.memory_of(CP).answered) == 20 and a.store.trouble is None


async def test_another_thread_writes(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            await a.hold()
            future = await asyncio.to_thread(a.store.commit, connector(1))
            assert await told(future)
            assert await asyncio.to_thread(a.store.audit) == []
            a.store.close()
            assert not await told(a.store.commit(connector(2)))


@pytest.mark.parametrize("ahead", [0, 60])
async def test_what_operators_do_at_two_nodes_at_once_is_in_the_audit_of_both(tmp_path: Path, ahead: int) -> None:
    """Both clocks show the same, and that of a third node, which both have heard of, is ahead."""
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            third = audited(int((NOW + ahead) * 1e6))
            assert await told(a.store.commit(third))
            await b.see()
            await eventually(lambda: third in b.store.audit())
            ids = {third.id}
            for each in (a, b):
                audit = Audit(
                    each.store, lambda: NOW, number=await number_of(each.node.stream, each.node.name, AT_MOST)
                )
                ids.add(audit.add(CP, who=each.node.name, what="move", detail="", outcome=""))
                audit.close()
            for each in (a, b):
                assert await each.store.flush(AT_MOST)
            for store in (a.store, b.store):
                await a.see()
                await b.see()
                await eventually(lambda store=store: ids <= {record.id for record in store.audit()})  # type: ignore[misc]
                assert sorted(record.who for record in store.audit()) == sorted([third.who, "a", "b"])


# Several slots.


def in_other_slots(count: int) -> list[str]:
    """Charge Points, each in a slot of its own, and none in that of CP."""
    found: dict[int, str] = {}
    for number in range(100 * count):
        identity = f"cp {number}"
        if slot_of(identity) != SLOT and len(found) < count:
            found.setdefault(slot_of(identity), identity)
    return [*found.values()]


async def held_by(a: Member, identities: Sequence[str]) -> dict[int, int]:
    """Claim the slots of Charge Points, and load them together. Gives their epochs."""
    await a.see()
    claims = (await a.node.map.read_map()).claims
    slots = {slot_of(identity): 0 for identity in identities}
    epochs = await a.node.map.claim({slot: claims[slot].epoch if slot in claims else 0 for slot in slots})
    await a.store.take_slots(epochs)
    return epochs


async def test_a_successor_takes_many_slots_with_their_records(tmp_path: Path) -> None:
    identities = [CP, *in_other_slots(40)]
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await held_by(a, identities)
            # Without a record: two of them. With more than are read at once: two others.
            records: list[Record] = [connector(1, identity=one) for one in identities[2:]]
            for one in identities[2:4]:
                records += [alias(number, identity=one) for number in range(600)]
            a.store.put(*records)
            assert await a.store.flush_slots([slot_of(one) for one in identities], AT_MOST)
            await held_by(b, identities)
            for one in identities:
                assert b.store.is_loaded(one) and b.store.memory_of(one) == a.store.memory_of(one)
            assert len(b.store.memory_of(identities[2]).aliases) == 600
            assert not b.store.memory_of(CP).connectors and b.store.memory_of(identities[-1]).connectors


async def test_of_slots_that_are_taken_some_are_dropped_meanwhile(tmp_path: Path) -> None:
    first, second, third = in_other_slots(3)
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b", timeout=2.0) as b:
            epochs = await held_by(a, [first, second, third])
            assert await told(a.store.commit(*(connector(identity=one) for one in (first, second, third))))
            server.kill()
            taking = asyncio.ensure_future(b.store.take_slots(epochs))
            await eventually(lambda: len(b.store._slots) == 3)
            b.store.drop(slot_of(second))
            server.start()
            await asyncio.wait_for(taking, AT_MOST)
            assert [b.store.is_loaded(one) for one in (first, second, third)] == [True, False, True]
            assert b.store.memory_of(first).connectors and b.store.memory_of(third).connectors
            assert not await told(b.store.commit(connector(identity=second)))


async def test_slots_are_flushed_when_what_was_put_into_them_is_written(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await a.hold()
            assert await a.store.flush_slots([SLOT], AT_MOST)  # nothing waits
            assert await a.store.flush_slots([], AT_MOST) and await a.store.flush_slots([(SLOT + 1) % 1024], AT_MOST)
            for number in range(20):
                a.store.put(connector(1, f"{number}"), alias(number))
                assert await a.store.flush_slots([SLOT], AT_MOST)
                messages = await b.node.records.load(SLOT, a.store._slots[SLOT].epoch)
                assert len(messages) == number + 2 and any(f'"{number}"'.encode() in each.body for each in messages)


async def test_slots_that_cannot_be_written_are_not_flushed(tmp_path: Path) -> None:
    """What waits, and what is on its way: neither is written. It is once the server goes on."""
    (other,) = in_other_slots(1)
    with nats_at(tmp_path) as server:
        async with member(server) as a, member(server, "b") as b:
            await held_by(a, [CP, other])
            assert server.process is not None
            with frozen(server.process.pid):
                a.store.put(connector(1))
                await eventually(lambda: SLOT in a.store._slots_in_batch)
                assert len(a.store._slots[SLOT]) == 0  # it is on its way
                assert not await a.store.flush_slots([SLOT], 0.1)
                # What waits of one slot is nothing to wait for at another one.
                assert await a.store.flush_slots([slot_of(other)], AT_MOST)
                a.store.put(connector(2), connector(1, identity=other))
                for slot in (SLOT, slot_of(other)):
                    assert not await a.store.flush_slots([slot], 0.1)
                flushing = asyncio.ensure_future(a.store.flush_slots([SLOT, slot_of(other)], AT_MOST))
            assert await flushing
            await held_by(b, [CP, other])
            assert b.store.memory_of(CP).connectors == (connector(1), connector(2))
            assert b.store.memory_of(other).connectors == (connector(1, identity=other),)


async def test_slots_are_flushed_although_another_one_never_rests(tmp_path: Path) -> None:
    (other,) = in_other_slots(1)
    with nats_at(tmp_path) as server:
        async with member(server) as a:
            await held_by(a, [CP, other])
            numbers = itertools.count()

            async def put() -> None:
                while True:
                    a.store.put(*(alias(next(numbers), identity=other) for _ in range(20)))
                    await asyncio.sleep(0)

            busy = asyncio.ensure_future(put())
            try:
                for number in range(5):
                    a.store.put(connector(number))
                    assert await a.store.flush_slots([SLOT], AT_MOST)
            finally:
                busy.cancel()


async def test_records_that_wait_for_the_loading_of_their_slot_are_not_waited_for(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with member(server, timeout=2.0) as a:
            server.kill()
            taking = asyncio.ensure_future(a.store.take_slots({SLOT: 5}))
            await eventually(lambda: SLOT in a.store._slots)
            a.store.put(connector(1))
            assert await a.store.flush_slots([SLOT], AT_MOST)
            a.store.drop(SLOT)
            await asyncio.wait_for(taking, AT_MOST)
