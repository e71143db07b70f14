"""The store of a node: the records of the slots that it holds, in memory and in the shared stream.

Reading is from memory, as in the store in memory. What waits is written at once, of all slots together: the server
takes some milliseconds for many records. What is put meanwhile is written next. The epoch of each slot is written with
its records, so that the server refuses what comes from a node that no longer holds the slot.

Records age by the clock of the NATS servers, not by running time, which the nodes of a cluster do not have in common.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress

from bridge.cluster.followed_records import FollowedRecords
from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import PublishRefused, ServersAway
from bridge.cluster.record_stream import Fenced, RecordStream, SlotChanges
from bridge.cluster.slot_records import COPIED, SlotRecords, StoreCommit, loaded
from bridge.cluster.slots import slot_of
from bridge.cluster.stream_forms import MOST_IN_BATCH, RecordChange, StoredMessage
from bridge.net.tasks import Background, Tasks
from bridge.store.record_store import RecordStore
from bridge.store.records import (
    EVERY,
    ChargePointRecord,
    Key,
    Kind,
    Record,
    StoredMemory,
    TransactionRecord,
    latest,
)
from bridge.store.transactions import TransactionPage, TransactionQuery, page_of, place_of

_log = logging.getLogger("bridge.cluster")
# The most messages and octets of the records of a batch.
_MOST_MESSAGES, _MOST_OCTETS = MOST_IN_BATCH - 10, 4_000_000
# The octets of the largest message that a server takes by default, less what its headers may have.
_LARGEST = 1_000_000
# Seconds that records wait for others where nobody waits for them; until a batch is tried again; and without an answer
# after which that is trouble.
_LINGER, _AGAIN, _PATIENCE = 0.05, 0.1, 15.0
# The slots that are loaded with one request, at first and at most; the records that one should bring, so that a Charge
# Point that somebody waits for does not wait for many others; and the Charge Points that are loaded at a time.
_SLOTS_FIRST, _SLOTS_MOST, _RECORDS, _EARLY = 4, 256, 300, 8
# The most seconds that a slot waits for single Charge Points, because a peer can ask without end for identities that do
# not exist.
_PAUSE = 0.25
_TROUBLE = (
    "nothing is written to the NATS servers, what they should keep is in memory only: %s. If this process ends before "
    "they are well again, it loses what it learns from now on"
)


def _place(placed: tuple[int, TransactionRecord]) -> int:
    return placed[0]


class SharedStore(RecordStore):
    """Stores the records of the slots that this node holds. A record of another slot is not stored.

    Args:
        stream: The records in the shared stream.
        map_stream: The map of the cluster, which says when there is something new for every node.
        retry: Seconds until a server that refused to write is asked again.
        fenced: Called with a slot and its epoch after another node has claimed it. Its records are gone from memory.
        news: Called with records that other nodes, or this one, have written for every node.
        background: Shares the event loop.
    """

    def __init__(
        self,
        stream: RecordStream,
        map_stream: MapStream,
        *,
        retry: float = 5.0,
        fenced: Callable[[int, int], object] = lambda slot, epoch: None,
        news: Callable[[Sequence[Record]], object] = lambda records: None,
        background: Background | None = None,
    ) -> None:
        self._stream, self._retry, self._tell_fenced = stream, retry, fenced
        self._background = background or Background()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tasks = Tasks()
        self._running: list[asyncio.Task[None]] = []
        self._lock = threading.RLock()
        self._slots: dict[int, SlotRecords] = {}
        self._loading, self._slots_at_once = asyncio.Lock(), _SLOTS_FIRST
        self._loading_early, self._waited_for = asyncio.Semaphore(_EARLY), 0
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._followed = FollowedRecords(stream, map_stream, self._lock, lambda key: key in self._writing, news)
        self._everyone = self._followed.part
        self._commits: list[StoreCommit] = []
        self._writing: dict[Key, None] = {}  # in order
        self._wake, self._urgent, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._batch_ended = asyncio.Event()
        self._slots_in_batch: frozenset[int | None] = frozenset()
        self._trouble: str | None = None
        self._failing_since: float | None = None
        self._closed = False

    PATIENCE = None

    def holds(self, identity: str) -> bool:
        """Return whether this node holds the slot of a Charge Point."""
        return slot_of(identity) in self._slots

    async def start(self) -> None:
        """Read what every node has, and begin to write. Raises ServersAway."""
        await self._followed.read()
        self._running = [
            self._tasks.spawn(self._write(), name="writing to the shared stream"),
            self._tasks.spawn(self._followed.follow(), name="reading the shared stream"),
        ]

    async def flush(self, within: float) -> bool:
        """Write what waits, but for Charge Points whose records are not loaded.

        Returns: Whether all is written after `within` seconds.
        """
        self._urgent.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
                return True
        return False

    async def flush_slots(self, slots: Collection[int], within: float) -> bool:
        """Write what waits of slots, whatever waits of others.

        Returns: Whether it is written after `within` seconds.
        """
        wanted = frozenset(slots)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._waits(wanted):
                    self._urgent.set()
                    await self._batch_ended.wait()
                return True
        return False

    def _waits(self, slots: frozenset[int]) -> bool:
        """Return whether a record of slots whose records are loaded waits to be written, or is being written."""
        with self._lock:
            parts = [self._slots[slot] for slot in slots if slot in self._slots]
            return any(len(part) for part in parts) or not slots.isdisjoint(self._slots_in_batch)

    def close(self) -> None:
        """End the writing, from the event loop. What was not written (`flush`) is lost."""
        with self._lock:
            self._closed = True
            left = sum(map(len, self._parts())) + len(self._writing)
            commits, self._commits = self._commits, []
        for commit in commits:
            commit.resolve(written=False)
        if left:
            _log.error("records of %d Charge Points were not written to the NATS servers, and are lost", left)
        for task in self._running:
            task.cancel()

    # Slots.

    async def take_slots(self, epochs: Mapping[int, int]) -> None:
        """Load the records of slots that this node holds now, by their epochs. Few records are loaded with one request.

        Ends when each slot is loaded, or was dropped. The slots of an earlier call are loaded before.
        """
        parts: list[SlotRecords] = []
        with self._lock:
            for slot, epoch in epochs.items():
                self.drop(slot)
                part = self._slots[slot] = SlotRecords(slot, epoch)
                parts.append(part)
        async with self._loading:
            await self._load(parts)

    async def _load(self, parts: Sequence[SlotRecords]) -> None:
        """Load the records of slots, some slots with each request, after Charge Points that somebody waits for."""
        while parts:
            await self._background.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self._nobody_waits.wait()
            began = self._loop.time()
            some = parts[: self._slots_at_once]
            wanted = {part.slot: part for part in some if part.slot is not None and self._is_held(part)}
            try:
                found = await self._records_of({slot: part.epoch for slot, part in wanted.items()})
            except ServersAway:
                await asyncio.sleep(_AGAIN)
                continue
            if found is None:
                self._slots_at_once = max(1, len(some) // 2)
                continue
            commits: list[StoreCommit] = []
            with self._lock:
                for slot, messages in found.items():
                    if self._is_held(part := wanted[slot]):
                        commits += part.load(loaded(messages))
            self._changed(commits)
            fitting = len(some) * _RECORDS // max(1, sum(map(len, found.values())))
            self._slots_at_once = min(max(1, fitting), 2 * self._slots_at_once, _SLOTS_MOST)
            parts = parts[len(some) :]
            await self._background.make_way(self._loop.time() - began)

    async def _records_of(self, epochs: Mapping[int, int]) -> Mapping[int, list[StoredMessage]] | None:
        if len(epochs) > 1:
            return await self._stream.load_slots(epochs)
        return {slot: await self._stream.load(slot, epoch) for slot, epoch in epochs.items()}

    def _is_held(self, part: SlotRecords) -> bool:
        return self._slots.get(-1 if part.slot is None else part.slot) is part

    async def load_charge_point(self, identity: str) -> None:
        """Load the records of one Charge Point before the rest of its slot. Ends as `take_slots` does."""
        slot, folded = slot_of(identity), identity.casefold()
        part = self._slots.get(slot)
        self._waited_for += 1
        self._nobody_waits.clear()
        try:
            async with self._loading_early:
                while part is not None and self._slots.get(slot) is part and not part.has(folded):
                    try:
                        messages = await self._stream.load_charge_point(slot, part.epoch, folded)
                    except ServersAway:
                        await asyncio.sleep(_AGAIN)
                        continue
                    with self._lock:
                        commits = part.load_charge_point(folded, messages)
                    self._changed(commits)
        finally:
            self._waited_for -= 1
            if not self._waited_for:
                self._nobody_waits.set()

    def drop(self, slot: int) -> None:
        """Forget the records of a slot that this node holds no more."""
        with self._lock:
            if (part := self._slots.pop(slot, None)) is None:
                return
            part.release()
            lost = [commit for commit in self._commits if slot in commit.slots]
            self._commits = [commit for commit in self._commits if slot not in commit.slots]
        for commit in lost:
            commit.resolve(written=False)

    def is_loaded(self, identity: str) -> bool:
        """Return whether this node holds the slot of a Charge Point and has its records."""
        part = self._slots.get(slot_of(identity))
        return part is not None and part.has(identity.casefold())

    def _parts(self) -> list[SlotRecords]:
        return [self._everyone, *self._slots.values()]

    # Reading.

    def memory_of(self, identity: str) -> StoredMemory:
        """Return all records of one Charge Point.

        Of a Charge Point that another node has, they are those that every node has.
        """
        with self._lock:
            part = self._slots.get(slot_of(identity), self._everyone)
            return StoredMemory.of(part.records.of(identity.casefold()), now=self.running_time)

    def charge_points_in(self, slots: Collection[int]) -> list[ChargePointRecord]:
        """Return the record of every Charge Point in slots that this node holds."""
        with self._lock:
            parts = [part for slot in slots if (part := self._slots.get(slot)) is not None]
            records = latest(record for part in parts for record in part.records.of_kind(ChargePointRecord))
        return [record for record in records.values() if isinstance(record, ChargePointRecord)]

    def _of(self, folded: str) -> list[Record]:
        with self._lock:
            part = self._everyone if folded == EVERY else self._slots.get(slot_of(folded), self._everyone)
            return part.records.of(folded)

    def _of_kind(self, kind: Kind) -> list[Record]:
        with self._lock:
            return [record for part in self._parts() for record in part.records.of_kind(kind)]

    def transactions(self, query: TransactionQuery = TransactionQuery(), limit: int = 100) -> TransactionPage:  # noqa: B008 (frozen)
        """Return transactions of this node's slots, as RecordStore.transactions does.

        Places are those among the transactions of all nodes.
        """
        kept = [record for record in self._of_kind(TransactionRecord) if isinstance(record, TransactionRecord)]
        return page_of(sorted(((place_of(record), record) for record in kept), key=_place, reverse=True), query, limit)

    @property
    def running_time(self) -> float:
        """Return the time in unix seconds by the clock of the NATS servers. Records age also while no node runs."""
        return self._stream.now

    @property
    def trouble(self) -> str | None:
        """Return the reason why nothing is written, as a text; None without trouble."""
        return self._trouble

    # Writing, from any thread.

    def put(self, *records: Record) -> None:
        """Store `records` soon, as RecordStore.put does."""
        self._put(records, None)

    def commit(self, *records: Record) -> Future[bool]:
        """Store `records` and return a Future of the outcome, as RecordStore.commit does.

        The Future is False if another node holds the slot of a record. After its claim nothing is stored.
        """
        places = frozenset(None if record.SHARED else slot_of(record.identity) for record in records)
        commit = StoreCommit(places, self._loop.time())
        self._put(records, commit)
        return commit.future

    def _put(self, records: Sequence[Record], commit: StoreCommit | None) -> None:
        with self._lock:
            parts = [self._part_of(record) for record in records]
            if self._closed or None in parts:
                if commit is not None:
                    commit.resolve(written=False)
                return
            for part, record in zip(parts, records, strict=True):
                assert part is not None
                part.put(record, commit)
                if isinstance(record, COPIED):
                    self._everyone.records.put(record)
            self._wait_for(commit)
        self._signal(urgent=commit is not None)

    def _part_of(self, record: Record) -> SlotRecords | None:
        return self._everyone if record.SHARED else self._slots.get(slot_of(record.identity))

    def remove(self, identity: str) -> Future[bool]:
        """Delete the records of a Charge Point and return a Future of the outcome, as RecordStore.remove does."""
        slot, folded = slot_of(identity), identity.casefold()
        commit = StoreCommit(frozenset([slot]), self._loop.time())
        with self._lock:
            part = self._slots.get(slot)
            if self._closed or part is None:
                commit.resolve(written=False)
                return commit.future
            part.remove(folded, commit)
            self._everyone.records.remove(folded)
            self._wait_for(commit)
        self._signal(urgent=True)
        return commit.future

    def _wait_for(self, commit: StoreCommit | None) -> None:
        if commit is None:
            return
        if not commit.keys:
            commit.resolve(written=True)
        elif self._trouble is not None:
            commit.resolve(written=False)
        else:
            self._commits.append(commit)

    # Records with something apart, and those that are kept with them.

    def discard(self, *keys: Key) -> None:
        """Remove records of kinds that have something apart."""
        with self._lock:
            for key in keys:
                part = self._slots.get(slot_of(key[1]))
                if part is not None and not part.discard(key) and key not in self._writing:
                    self._commits = [commit for commit in self._commits if not commit.written([key])]
        self._signal(urgent=False)

    def written(self, folded: str) -> Future[bool]:
        """Return a Future that is True when all that was put for a Charge Point is written, as `commit` does.

        What is in a batch now is written before what waits, or with it.
        """
        slot = slot_of(folded)
        commit = StoreCommit(frozenset([slot]), self._loop.time())
        with self._lock:
            part = self._slots.get(slot)
            if self._closed or part is None:
                commit.resolve(written=False)
                return commit.future
            if not part.waiting(folded):  # what is in a batch now is written once more: its outcome may be missed
                part.give_back(key for key in self._writing if key[1] == folded)
            commit.keys.update(part.waiting(folded))
            self._wait_for(commit)
        self._signal(urgent=True)
        return commit.future

    def get(self, key: Key) -> Record | None:
        """Return the record of a Charge Point with the Key `key`, None if this node has none."""
        with self._lock:
            part = self._slots.get(slot_of(key[1]))
            return None if part is None else part.records.get(key)

    def records_in(self, slots: Collection[int], kinds: Collection[Kind]) -> list[Record]:
        """Return the records of some kinds in slots that this node holds, in each kind and slot the oldest first."""
        with self._lock:
            parts = [part for slot in slots if (part := self._slots.get(slot)) is not None]
            return [record for part in parts for kind in kinds for record in part.records.of_kind(kind)]

    def records_of(self, identity: str, kinds: Collection[Kind]) -> list[Record]:
        """Return the records of some kinds of a Charge Point, in each kind the oldest first."""
        return [record for record in self._of(identity.casefold()) if isinstance(record, tuple(kinds))]

    async def content(self, key: Key) -> tuple[bytes, ...] | None:
        """Return what is apart of a record in the stream, in the order of its APART. It is asked for until it comes.

        Returns: None if the stream has none, or this node does not hold the slot any more.
        """
        slot = slot_of(key[1])
        while (part := self._slots.get(slot)) is not None:
            try:
                return await self._stream.content(slot, part.epoch, key)
            except ServersAway:
                await asyncio.sleep(_AGAIN)
        return None

    def overdue(self, waited: float) -> None:
        """Report that a caller has given up after `waited` seconds, as RecordStore.overdue does."""
        with self._lock:
            since = min((commit.since for commit in self._commits), default=None)
            if self._writing and since is not None and self._loop.time() - since >= waited * 0.9:
                self._is_trouble(f"the NATS servers have not answered for {waited:g} s", resolve=False)

    def _signal(self, *, urgent: bool) -> None:
        if threading.get_ident() == self._thread:
            self._woken(urgent)
            return
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._woken, urgent)

    def _woken(self, urgent: bool) -> None:
        self._idle.clear()
        self._wake.set()
        if urgent:
            self._urgent.set()

    def _changed(self, done: Collection[StoreCommit]) -> None:
        """Go on after records were loaded: some that were put before can be written now."""
        with self._lock:
            self._commits = [commit for commit in self._commits if commit not in done]
        for commit in done:
            commit.resolve(written=True)
        self._woken(True)

    # Writing, in the event loop.

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER):
                    await self._urgent.wait()
            self._wake.clear()
            self._urgent.clear()
            while batch := self._take():
                self._slots_in_batch = frozenset(part.slot for part, _ in batch)
                await self._write_batch(batch)
                self._slots_in_batch = frozenset()
                self._batch_ended.set()
                self._batch_ended.clear()
            if not self._wake.is_set():
                self._idle.set()

    def _take(self) -> list[tuple[SlotRecords, list[Key]]]:
        """Take what is written next out of what waits."""
        with self._lock:
            batch, room = list[tuple[SlotRecords, list[Key]]](), _MOST_MESSAGES
            for part in self._parts():
                if room <= 0:
                    break
                if len(part) and (keys := part.take(room, divide=not batch)):
                    batch.append((part, keys))
                    room -= len(keys)
            self._writing = dict.fromkeys(key for _, keys in batch for key in keys)
            return batch

    async def _write_batch(self, batch: list[tuple[SlotRecords, list[Key]]]) -> None:
        with self._lock:
            commits = list(self._commits)
            parts = self._changes(batch)
        try:
            if parts:
                await self._stream.commit(parts)
        except Fenced as error:
            self._give_back(batch)
            for part, _ in batch:
                if part.slot in error.slots and self._slots.get(part.slot) is part:
                    self.drop(part.slot)
                    _log.warning("another node has claimed slot %d after epoch %d", part.slot, part.epoch)
                    self._tell_fenced(part.slot, part.epoch)
        except PublishRefused as error:
            self._give_back(batch)
            self._is_trouble(str(error))
            await asyncio.sleep(self._retry)
        except ServersAway as error:
            self._give_back(batch)
            now = self._loop.time()
            self._failing_since = self._failing_since or now
            if now - self._failing_since >= _PATIENCE:
                self._is_trouble(str(error))
            await asyncio.sleep(_AGAIN)
        else:
            self._written(batch, commits)

    def _changes(self, batch: list[tuple[SlotRecords, list[Key]]]) -> list[SlotChanges]:
        """Return the changes to write. What is too much for a batch waits again, with what follows it in its slot."""
        parts: list[SlotChanges] = []
        for_everyone: list[RecordChange] = []
        octets = messages = 0
        for part, keys in batch:
            own: list[RecordChange] = []
            too_much: list[Key] = []
            for key, changes in part.changes(keys, self.running_time):
                size = sum(len(change.body) for _, change in changes)
                full = octets + size > _MOST_OCTETS or messages + len(changes) > _MOST_MESSAGES
                if not changes or any(len(change.body) > _LARGEST for _, change in changes):
                    _log.warning("a record of %r cannot be kept: it is too large, or of no form", key[1])
                    self._refuse(key)
                elif too_much or (messages and full):
                    too_much.append(key)
                else:
                    octets, messages = octets + size, messages + len(changes)
                    own += [change for place, change in changes if place is not None]
                    for_everyone += [change for place, change in changes if place is None]
            part.give_back(too_much)
            for key in too_much:
                del self._writing[key]
            if own:
                together = part.belong_together(keys)
                parts.append(SlotChanges(slot=part.slot, epoch=part.epoch, changes=tuple(own), together=together))
        if for_everyone:
            parts.append(SlotChanges(slot=None, changes=tuple(for_everyone)))
        return parts

    def _refuse(self, key: Key) -> None:
        """Tell those who wait for a record that it cannot be written."""
        del self._writing[key]
        refused = [commit for commit in self._commits if key in commit.keys]
        self._commits = [commit for commit in self._commits if key not in commit.keys]
        for commit in refused:
            commit.resolve(written=False)

    def _give_back(self, batch: list[tuple[SlotRecords, list[Key]]]) -> None:
        with self._lock:
            self._writing = {}
            for part, keys in batch:
                part.give_back(keys)

    def _written(self, batch: list[tuple[SlotRecords, list[Key]]], commits: Sequence[StoreCommit]) -> None:
        with self._lock:
            keys, self._writing = self._writing, {}
            for part, taken in batch:
                part.written(key for key in taken if key in keys)
            was, self._trouble, self._failing_since = self._trouble, None, None
            done = {id(commit) for commit in commits if commit.written(keys)}
            self._commits = [commit for commit in self._commits if id(commit) not in done]
        if was is not None:
            _log.warning("all is well again with the NATS servers")

    def _is_trouble(self, reason: str, *, resolve: bool = True) -> None:
        with self._lock:
            was, self._trouble = self._trouble, reason
            commits: list[StoreCommit] = []
            if resolve:
                commits, self._commits = self._commits, []
        if was != reason:
            _log.error(_TROUBLE, reason)
        for commit in commits:
            commit.resolve(written=False)
