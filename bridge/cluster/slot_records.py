"""The records of one slot in memory: what is loaded, what waits to be written, and who waits for that. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from bridge.cluster import stream_forms as form
from bridge.cluster.stream_forms import RecordChange, StoredMessage
from bridge.store.kept import KeptRecords
from bridge.store.records import CredentialRecord, Key, Kind, ProvisionedRecord, Record, key_of

# The kinds of records of a Charge Point of which every node has a copy.
COPIED: tuple[Kind, ...] = (CredentialRecord, ProvisionedRecord)


@dataclass(slots=True, eq=False)
class StoreCommit:
    """Somebody waits until records are written.

    Attributes:
        slots: The slots of the records, None for those that belong to no slot.
        since: When it began, in seconds of the event loop.
        future: True once all are written.
        keys: The Keys of those that are not written yet.
    """

    slots: frozenset[int | None]
    since: float
    future: Future[bool] = field(default_factory=Future)
    keys: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()

    def written(self, keys: Collection[Key]) -> bool:
        """Take note that records are written. Returns: whether all are."""
        self.keys.difference_update(keys)
        if not self.keys:
            self.resolve(written=True)
        return not self.keys

    def resolve(self, *, written: bool) -> None:
        """Tell the outcome, unless it was told before."""
        if not self.future.done():
            self.future.set_result(written)


@dataclass(slots=True)
class _Early:
    """What is to be done with a Charge Point once its records are loaded: put records, or remove all of them."""

    records: tuple[Record, ...]
    commit: StoreCommit | None
    removal: Key | None = None


class SlotRecords:
    """The records of a slot that this node holds, or those that belong to no slot.

    The records of a Charge Point are written only after they were loaded: a new record may have to be completed by what
    the earlier one holds (`successor`).

    Args:
        slot: The slot, None for the records that belong to no slot. Those count as loaded.
        epoch: The epoch of the slot.
    """

    def __init__(self, slot: int | None, epoch: int = 0) -> None:
        self.slot, self.epoch = slot, epoch
        self.loaded = slot is None
        self.records = self._kept()
        self._charge_points: set[str] = set()  # those that are loaded before the slot is
        # By Charge Point, so that what is put for one of them at once is written at once; in the order of the last
        # change, so that what a record says of earlier ones is true even if only a part is written.
        self._unwritten: OrderedDict[str, dict[Key, None]] = OrderedDict()
        self._in_stream: set[Key] = set()  # the records with something apart that the stream has, or may have
        self._early: dict[str, list[_Early]] = {}

    def _kept(self) -> KeptRecords:
        # One that a node forgets because there are too many is removed for all, unless it belongs to all.
        return KeptRecords() if self.slot is None else KeptRecords(evicted=self._mark)

    def has(self, folded: str) -> bool:
        """Return whether the records of a Charge Point are loaded."""
        return self.loaded or folded in self._charge_points

    def release(self) -> None:
        """Release the records, which refer to this object, because this node holds the slot no more."""
        self.records = KeptRecords()

    # Changes.

    def put(self, record: Record, commit: StoreCommit | None = None) -> None:
        """Take a new record, and write it later. `commit` is who waits for that."""
        key = key_of(record)
        if commit is not None:
            commit.keys.add(key)
        if self.has(key[1]):
            self.records.put(record)
            self._mark(key)
        else:
            self._early.setdefault(key[1], []).append(_Early((record,), commit))

    def remove(self, folded: str, commit: StoreCommit) -> None:
        """Remove the records of a Charge Point. `commit` is who waits for that."""
        if not self.has(folded):
            removal: Key = (ProvisionedRecord, folded, ("removal",))  # no record has this Key
            commit.keys.add(removal)
            self._early.setdefault(folded, []).append(_Early((), commit, removal))
            return
        before = {key_of(record) for record in self.records.of(folded)}
        self.records.remove(folded)
        gone = before - {key_of(record) for record in self.records.of(folded)}
        commit.keys |= gone
        for key in gone:
            self._mark(key)

    def discard(self, key: Key) -> bool:
        """Remove a record of a Charge Point that is loaded.

        Returns: Whether that is to be written. It is not if the record has something apart, and never was written.
        """
        self.records.discard(key)
        if not key[0].APART or key in self._in_stream:
            self._mark(key)
            return True
        if self.waits(key):
            self._unmark(key)
        return False

    def _mark(self, key: Key) -> None:
        keys = self._unwritten.setdefault(key[1], {})
        keys.pop(key, None)
        keys[key] = None

    def _unmark(self, key: Key) -> None:
        keys = self._unwritten[key[1]]
        del keys[key]
        if not keys:
            del self._unwritten[key[1]]

    # Loading.

    def load_charge_point(self, folded: str, messages: Iterable[StoredMessage]) -> list[StoreCommit]:
        """Take the records of one Charge Point from the stream.

        Returns: The commits that wait for nothing any more.
        """
        if self.has(folded):
            return []
        for record in loaded(messages).values():
            self._put_loaded(record)
        self._charge_points.add(folded)
        return self._catch_up([folded])

    def load(self, found: Mapping[str, Record]) -> list[StoreCommit]:
        """Take the records of the slot from the stream, by subject. Returns: as `load_charge_point` does."""
        newer, self.records = self.records, self._kept()
        for record in found.values():
            # Mostly none was loaded before, and a Key takes as long to make as its record to read.
            if not self._charge_points or key_of(record)[1] not in self._charge_points:
                self._put_loaded(record)
        self.records.absorb(newer)
        self.loaded = True
        return self._catch_up(list(self._early))

    def _put_loaded(self, record: Record) -> None:
        self.records.put(record)
        if record.APART:
            self._in_stream.add(key_of(record))

    def _catch_up(self, charge_points: Iterable[str]) -> list[StoreCommit]:
        """Do what came before the records were loaded."""
        done = []
        for folded in charge_points:
            for early in self._early.pop(folded, []):
                for record in early.records:
                    self.put(record, early.commit)
                if early.removal is not None and early.commit is not None:
                    early.commit.keys.discard(early.removal)
                    self.remove(folded, early.commit)
                    if not early.commit.keys:
                        done.append(early.commit)
        return done

    # Writing.

    def __len__(self) -> int:
        """Return the number of Charge Points of which something waits to be written."""
        return len(self._unwritten)

    def take(self, most: int, *, divide: bool = True) -> list[Key]:
        """Return the Keys of at most `most` records that wait, all of a Charge Point or none: they wait no more.

        Those that count on others of their Charge Point come after them (`KeptRecord.LAST`).

        Args:
            most: The most records.
            divide: Whether the first Charge Point is divided if more of it wait.
        """
        taken: list[Key] = []
        while self._unwritten:
            folded, keys = next(iter(self._unwritten.items()))
            if len(taken) + len(keys) > most and (taken or not divide):
                break
            part = sorted(keys, key=lambda key: key[0].LAST)[: most - len(taken)]
            taken += part
            for key in part:
                del keys[key]
                if key[0].APART:
                    self._in_stream.add(key)
            if keys:
                break
            del self._unwritten[folded]
        return taken

    def give_back(self, keys: Iterable[Key]) -> None:
        """Have records that were taken written again, as they are then, before those that were put meanwhile."""
        taken: dict[str, dict[Key, None]] = {}
        for key in keys:
            if not self.waits(key):
                taken.setdefault(key[1], {})[key] = None
        for folded, before in taken.items():
            self._unwritten[folded] = before | self._unwritten.get(folded, {})

    def written(self, keys: Iterable[Key]) -> None:
        """Take note that records are written. What is apart of them is not kept in memory."""
        for key in keys:
            if key[0].APART and not self.waits(key):
                if (record := self.records.get(key)) is None:
                    self._in_stream.discard(key)
                else:
                    self.records.replace(form.without_content(record))

    def waiting(self, folded: str) -> tuple[Key, ...]:
        """Return the Keys of the records of a Charge Point that wait to be written, in order."""
        return tuple(self._unwritten.get(folded, ()))

    def waits(self, key: Key) -> bool:
        """Return whether a record waits to be written."""
        return key in self._unwritten.get(key[1], ())

    def belong_together(self, keys: Iterable[Key]) -> bool:
        """Return whether a part of these records must not be written without the others.

        That is so for records that are TOGETHER, for those with something apart, and for removals.
        """
        return any(key[0].TOGETHER or key[0].APART or self.records.get(key) is None for key in keys)

    def changes(self, keys: Iterable[Key], now: float) -> Iterator[tuple[Key, list[tuple[int | None, RecordChange]]]]:
        """Yield the changes for each Key, with the place of each: this slot, or None for what every node has.

        There are none for a record that cannot be written.
        """
        for key in keys:
            record = self.records.get(key)
            try:
                yield key, changes_of(self.slot, key, record, now)
            except ValueError:
                yield key, []


def changes_of(slot: int | None, key: Key, record: Record | None, now: float) -> list[tuple[int | None, RecordChange]]:
    """Return the changes that write a record, each with its place: a slot, or None for what every node has.

    Args:
        slot: The slot of the Charge Point, None for a record that belongs to no slot.
        key: The Key of the record.
        record: The record, None to remove it.
        now: The running time.

    Raises:
        ValueError: The record holds what no JSON can hold.
    """
    places = [slot] if slot is None or key[0] not in COPIED else [slot, None]
    changes = [
        (place, form.removed(place, key) if record is None else form.written(place, key, record, now))
        for place in places
    ]
    if key[0].APART and slot is not None:
        apart = form.content_removed(slot, key) if record is None else form.content_written(slot, key, record)
        changes.append((slot, apart))
    return changes


def loaded(messages: Iterable[StoredMessage]) -> dict[str, Record]:
    """Return the records in `messages` by subject, without those that were removed."""
    found: dict[str, Record] = {}
    for message in messages:
        if (record := form.record_of(message.subject, message.body)) is not None:
            found[message.subject] = record
    return found
