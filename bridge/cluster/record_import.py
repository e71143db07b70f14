"""Bring the records of a single process into the stream of a cluster in which no node runs.

The import is a node of its own: it holds all slots, so that a node that is started meanwhile waits until all is in. A
record that the stream has already is left as it is, so that the import can be done again after it was broken off.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from msgspec import structs

from bridge.cluster import stream_forms as form
from bridge.cluster.cluster_map import unclaimed
from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import PublishRefused, ServersAway
from bridge.cluster.record_stream import Fenced, RecordStream, SlotChanges
from bridge.cluster.shared_stream import SharedStream
from bridge.cluster.slot_records import changes_of
from bridge.cluster.slots import SLOTS, slot_of
from bridge.cluster.stream_forms import MOST_IN_BATCH, RecordChange
from bridge.errors import StartError
from bridge.net.tasks import Tasks
from bridge.store.records import LONGEST_AUDIT, MOST, AgeingRecord, AuditRecord, Record, is_too_old, key_of

# The most messages and octets of a batch, and the octets of the largest record.
_MOST_MESSAGES, _MOST_OCTETS, _LARGEST = MOST_IN_BATCH - 10, 4_000_000, 1_000_000
# Renewals of the presence in a lease, and the leases for which the presences of other nodes are watched.
_PER_LEASE, _WATCHED = 4, 1.5


class CannotImport(StartError):
    """The records cannot be brought into the cluster, or not all of them. It can be tried again."""


@dataclass(slots=True)
class ImportCounts:
    """What came of an import.

    Attributes:
        written: The number of records that were written, by table.
        charge_points: The number of Charge Points of which there were records.
        present: The number of records that the cluster had.
        old: The number of records that were too old, or too many of a kind for their Charge Point.
        refused: The table and the identity of each record that the stream cannot hold.
    """

    written: Counter[str] = field(default_factory=Counter)
    charge_points: int = 0
    present: int = 0
    old: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class RecordImport:
    """One import, by a node of the name `node`.

    Args:
        stream: The stream of the cluster, which is open.
        node: The name of this node, which no other one has.
        lease: The lease of the cluster in seconds.
    """

    def __init__(self, stream: SharedStream, node: str, lease: float) -> None:
        self._node, self._lease = node, lease
        incarnation = uuid4().hex
        self._stream = stream
        self._map = MapStream(stream, node, incarnation, timeout=lease)
        self._records = RecordStream(stream, node, incarnation)
        self._presence = 0
        self._tasks = Tasks()

    async def run(self, records: Iterable[Record], running_time: float) -> ImportCounts:
        """Write `records` for all nodes.

        Args:
            records: The records, in each kind the oldest first.
            running_time: The running time now, by which they age.

        Raises:
            CannotImport: A node lives, or the servers do not answer.
        """
        try:
            self._presence = await self._map.join("", self._lease)
            renewing = self._tasks.spawn(self._renew(), name="renewing the presence")
            try:
                await self._refuse_company()
                epochs = await self._claim()
                try:
                    return await self._write(records, running_time, epochs)
                finally:
                    await self._map.release(unclaimed(epochs))
            finally:
                renewing.cancel()
                await asyncio.wait([renewing])
                with suppress(ServersAway, StartError):
                    await self._map.depart(self._presence)
        except Fenced as error:
            raise CannotImport("a node has taken over Charge Points: stop all nodes, and import again") from error
        except (ServersAway, PublishRefused) as error:
            raise CannotImport(f"not all records are in the cluster, import again: {error}") from error

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / _PER_LEASE)
            with suppress(ServersAway, PublishRefused):
                self._presence = await self._map.renew("", self._presence)

    async def _refuse_company(self) -> None:
        """Raise CannotImport if another node renews its presence."""
        seen: dict[str, int] = {}
        until = asyncio.get_running_loop().time() + _WATCHED * self._lease
        while True:
            presences = (await self._map.read_map()).presences
            now = {node: one.sequence for node, one in presences.items() if node != self._node}
            if living := sorted(node for node in seen if now.get(node, seen[node]) != seen[node]):
                raise CannotImport(f"the node {living[0]!r} runs: stop all nodes of the cluster first")
            seen |= now
            if not now or asyncio.get_running_loop().time() >= until:
                return
            await asyncio.sleep(self._lease / _PER_LEASE)

    async def _claim(self) -> dict[int, int]:
        """Claim all slots. Returns: their epochs. Raises CannotImport if another node claims some."""
        claims = (await self._map.read_map()).claims
        before = {slot: claims[slot].epoch if slot in claims else 0 for slot in range(SLOTS)}
        epochs = await self._map.claim(before)
        if len(epochs) < SLOTS:
            await self._map.release(unclaimed(epochs))
            raise CannotImport("a node was started meanwhile: stop all nodes of the cluster, and import again")
        return epochs

    async def _write(self, records: Iterable[Record], running_time: float, epochs: dict[int, int]) -> ImportCounts:
        counts, now = ImportCounts(), self._records.now
        by_slot = _by_slot(records, counts)
        batch = _Batch()
        for slot, own in by_slot.items():
            if slot is None:
                messages, _ = await self._records.load_everyone()
            else:
                messages = await self._records.load(slot, epochs[slot])
            there = {message.subject for message in messages}
            for record in own:
                if form.subject_of_record(slot, key_of(record)) in there:
                    counts.present += 1
                    continue
                if (aged := _aged(record, now, now - running_time)) is None:
                    counts.old += 1
                    continue
                if (changes := _changes(slot, aged, now)) is None:
                    counts.refused.append((record.TABLE, record.identity))
                    continue
                if not batch.has_room(changes):
                    await self._records.commit(batch.taken(epochs))
                batch.add(changes)
                counts.written[record.TABLE] += 1
        if batch.messages:
            await self._records.commit(batch.taken(epochs))
        return counts


class _Batch:
    """Changes that are written together."""

    def __init__(self) -> None:
        self.messages = self._octets = 0
        self._parts: dict[int | None, list[RecordChange]] = defaultdict(list)

    def has_room(self, changes: list[tuple[int | None, RecordChange]]) -> bool:
        octets = self._octets + sum(len(change.body) for _, change in changes)
        return not self.messages or (self.messages + len(changes) <= _MOST_MESSAGES and octets <= _MOST_OCTETS)

    def add(self, changes: list[tuple[int | None, RecordChange]]) -> None:
        self.messages += len(changes)
        for place, change in changes:
            self._octets += len(change.body)
            self._parts[place].append(change)

    def taken(self, epochs: dict[int, int]) -> list[SlotChanges]:
        """Return the changes, and begin anew.

        They are written together: the next import leaves out a record that is there, and what is apart of it.
        """
        parts = [
            SlotChanges(slot=slot, epoch=0 if slot is None else epochs[slot], changes=tuple(changes), together=True)
            for slot, changes in self._parts.items()
        ]
        self.messages = self._octets = 0
        self._parts = defaultdict(list)
        return parts


def _by_slot(records: Iterable[Record], counts: ImportCounts) -> dict[int | None, list[Record]]:
    """Return the records of each slot, None for those of no Charge Point: the newest ones of a kind, if too many."""
    of_charge_point: dict[tuple[str, str], list[Record]] = defaultdict(list)
    found: dict[int | None, list[Record]] = defaultdict(list)
    known: set[str] = set()
    for record in records:
        if record.SHARED:
            found[None].append(record)
            continue
        folded = record.identity.casefold()
        known.add(folded)
        of_charge_point[record.TABLE, folded].append(record)
    for (_, folded), own in of_charge_point.items():
        most = MOST if own[0].LIMITED else len(own)
        counts.old += max(0, len(own) - most)
        found[slot_of(folded)] += own[-most:]
    counts.charge_points = len(known)
    return found


def _aged(record: Record, now: float, later: float) -> Record | None:
    """Return a record as it ages by the clock of the servers, None if it is too old.

    Args:
        record: The record.
        now: The time by that clock.
        later: The seconds by which that clock is ahead of the running time.
    """
    if isinstance(record, AgeingRecord):
        record = structs.replace(record, kept_at=record.kept_at + later)
        return None if is_too_old(record, now) else record
    return None if isinstance(record, AuditRecord) and record.at < now - LONGEST_AUDIT else record


def _changes(slot: int | None, record: Record, now: float) -> list[tuple[int | None, RecordChange]] | None:
    """Return the changes that write a record, each with its place; None if the stream cannot hold it."""
    try:
        changes = changes_of(slot, key_of(record), record, now)
    except ValueError:
        return None
    return None if any(len(change.body) > _LARGEST for _, change in changes) else changes
