"""Records in memory, bounded. Pure; whoever shares one between threads guards it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from bridge.store.records import KINDS, LONGEST, MOST, AnsweredRecord, Key, Kind, Record, key_of

# Of each kind apart, so that many answers do not push out the few aliases that a running transaction depends on.
LIMIT = 100_000


class Kept:
    """The latest record of each Key. Past a bound the one that was put longest ago goes.

    The bounds: `limit` records of a kind, 1000 of a kind per Charge Point, answers not 7 days older than the newest.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        # OrderedDict: taking the first of a dict again and again walks over all that was taken before.
        self._all: dict[Kind, OrderedDict[Key, Record]] = {kind: OrderedDict() for kind in KINDS}
        self._of: dict[tuple[Kind, str], OrderedDict[Key, Record]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._all.values()))

    def __iter__(self) -> Iterator[Record]:
        """All records; of each kind, the one that was put longest ago first."""
        for records in self._all.values():
            yield from records.values()

    def put(self, record: Record) -> bool:
        """Keep `record`. False: one that nothing had made superfluous had to go for it."""
        key = key_of(record)
        records, siblings = self._all[key[0]], self._of.setdefault(key[:2], OrderedDict())
        for kept in (records, siblings):
            kept[key] = record
            kept.move_to_end(key)
        if len(siblings) > MOST:
            self._drop(next(iter(siblings)))
        if isinstance(record, AnsweredRecord):
            self._drop_before(record.at - LONGEST)
        if len(records) <= self._limit:
            return True
        self._drop(next(iter(records)))
        return False

    def absorb(self, newer: Kept) -> bool:
        """Keep all that `newer` holds as if put after what is here. False: as with `put`."""
        room = True
        for record in newer:
            room = self.put(record) and room
        return room

    def of(self, folded: str) -> list[Record]:
        """The records of one Charge Point, by its identity casefolded; of each kind, the oldest first."""
        return [record for kind in KINDS for record in self._of.get((kind, folded), {}).values()]

    def of_kind(self, kind: Kind) -> list[Record]:
        """All of one kind, oldest first."""
        return list(self._all[kind].values())

    def _drop_before(self, at: float) -> None:
        answered = self._all[AnsweredRecord]
        while isinstance(first := next(iter(answered.values()), None), AnsweredRecord) and first.at < at:
            self._drop(key_of(first))

    def _drop(self, key: Key) -> None:
        del self._all[key[0]][key]
        siblings = self._of[key[:2]]
        del siblings[key]
        if not siblings:
            del self._of[key[:2]]
