"""Records in memory, bounded. Pure. Code that shares an object between threads must lock it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

from bridge.store.records import (
    ALL_KINDS,
    MOST,
    AgeingRecord,
    Key,
    Kind,
    Record,
    is_too_old,
    key_of,
    successor,
)

# The limit is per kind, so that many answers do not remove the few aliases on which a running transaction depends.
LIMIT = 100_000
_REMOVABLE = tuple(kind for kind in ALL_KINDS if not kind.STAYS)
_AGEING = tuple(kind for kind in ALL_KINDS if issubclass(kind, AgeingRecord))


class KeptRecords:
    """The latest record of each Key. Beyond a limit, the record that was put longest ago is removed.

    The limits are `limit` records of a kind, 1000 records of a kind per Charge Point unless the kind is shared, both if
    the kind is LIMITED, and the age KEPT_FOR. The age is measured when an ageing record is put.

    Args:
        limit: The most records of a kind.
        evicted: Called with the Key of each record that is removed because there are too many.
    """

    def __init__(self, limit: int = LIMIT, evicted: Callable[[Key], object] = lambda key: None) -> None:
        self._limit = limit
        self._evicted = evicted
        # A dict would be slow here: finding its first item again and again passes over all items removed before.
        self._all: dict[Kind, OrderedDict[Key, Record]] = {kind: OrderedDict() for kind in ALL_KINDS}
        self._of: dict[tuple[Kind, str], OrderedDict[Key, Record]] = {}
        # The running time at which the ages were looked at last. While records are loaded, many have an earlier time.
        self._looked_at = -math.inf

    def __len__(self) -> int:
        return sum(map(len, self._all.values()))

    def __iter__(self) -> Iterator[Record]:
        """Yield all records; within each kind, the record that was put longest ago is first."""
        for records in self._all.values():
            yield from records.values()

    def put(self, record: Record) -> bool:
        """Store `record`. Returns False if another record that was still needed had to be removed for it."""
        key = key_of(record)
        records, siblings = self._all[key[0]], self._of.get(key[:2])
        if siblings is None:
            siblings = self._of[key[:2]] = OrderedDict()
        if (older := records.get(key)) is not None:
            record = successor(older, record)
            records.move_to_end(key)
            siblings.move_to_end(key)
        records[key] = siblings[key] = record
        if len(siblings) > MOST and record.LIMITED and not record.SHARED:
            self._evict(next(iter(siblings)))
        if isinstance(record, AgeingRecord):
            self._drop_too_old(record.kept_at)
        if len(records) <= self._limit or not record.LIMITED:
            return True
        self._evict(next(iter(records)))
        return False

    def absorb(self, newer: KeptRecords) -> bool:
        """Put all records of `newer` after the present ones. Returns False as `put` does."""
        room = True
        for record in newer:
            room = self.put(record) and room
        return room

    def remove(self, folded: str) -> None:
        """Remove the records of a Charge Point. `folded` is the casefolded identity."""
        for kind in _REMOVABLE:
            for key in list(self._of.get((kind, folded), ())):
                self._drop(key)

    def discard(self, key: Key) -> None:
        """Remove the record with the Key `key`, if there is one."""
        if key in self._all[key[0]]:
            self._drop(key)

    def replace(self, record: Record) -> None:
        """Take another form of a record that is there."""
        key = key_of(record)
        self._all[key[0]][key] = self._of[key[:2]][key] = record

    def get(self, key: Key) -> Record | None:
        """Return the record with the Key `key`, None if there is none."""
        return self._all[key[0]].get(key)

    def of(self, folded: str) -> list[Record]:
        """Return the records of one Charge Point (`folded`: its casefolded identity), in each kind the oldest first."""
        return [record for kind in ALL_KINDS for record in self._of.get((kind, folded), {}).values()]

    def of_kind(self, kind: Kind) -> list[Record]:
        """Return all records of one kind, the oldest first."""
        return list(self._all[kind].values())

    def _drop_too_old(self, now: float) -> None:
        if now <= self._looked_at:
            return
        self._looked_at = now
        for kind in _AGEING:
            records = self._all[kind]
            while (first := next(iter(records.values()), None)) is not None and is_too_old(first, now):
                self._drop(key_of(first))

    def _evict(self, key: Key) -> None:
        self._drop(key)
        self._evicted(key)

    def _drop(self, key: Key) -> None:
        del self._all[key[0]][key]
        siblings = self._of[key[:2]]
        del siblings[key]
        if not siblings:
            del self._of[key[:2]]
