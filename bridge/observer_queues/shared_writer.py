"""The messages for observers in records that several processes share: those of a Charge Point follow its slot.

A message has a place in its queue, and its record is that of the place. The least free place is taken, so that a queue
which is short leaves few places behind, however many messages pass.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future
from typing import Protocol

from bridge.core.observer_ids import ObserverId
from bridge.core.observer_queue import LONGEST, QueuedMessage
from bridge.observer_queues.queues import LaneName, MessageContent, MessageRow, ObserverQueues, StoredLane
from bridge.store.records import (
    Key,
    Kind,
    ObservedRecord,
    ObserverIdRecord,
    ObserverLaneRecord,
    ObserverMessageRecord,
    Record,
    key_of,
)

_KINDS: tuple[Kind, ...] = (ObserverMessageRecord, ObserverIdRecord, ObserverLaneRecord)


class QueueStore(Protocol):
    """The records of the slots that this process holds (`bridge.cluster.shared_store.SharedStore`)."""

    @property
    def trouble(self) -> str | None:
        """Return the reason why nothing is written; None without trouble."""

    @property
    def running_time(self) -> float:
        """Return the time by which records age, in seconds."""

    def put(self, *records: Record) -> None:
        """Store records soon."""

    def discard(self, *keys: Key) -> None:
        """Remove records soon."""

    def written(self, folded: str) -> Future[bool]:
        """Return a Future that is True when all that was put for a Charge Point is written."""

    def get(self, key: Key) -> Record | None:
        """Return the record with a Key, None if there is none."""

    def records_in(self, slots: Collection[int], kinds: Collection[Kind]) -> list[Record]:
        """Return the records of some kinds in slots."""

    def records_of(self, identity: str, kinds: Collection[Kind]) -> list[Record]:
        """Return the records of some kinds of a Charge Point."""

    async def content(self, key: Key) -> tuple[bytes, ...] | None:
        """Return what is apart of a record, None if it is gone."""


class _Lane:
    """What is known of a lane, besides its records.

    Attributes:
        record: The record of the lane.
        places: The places of the messages, by their numbers.
    """

    def __init__(self, record: ObserverLaneRecord) -> None:
        self.record = record
        self.places: dict[int, int] = {}
        self._free: list[int] = []  # a heap: places below `_next` without a message
        self._next = 0

    def load(self, messages: Iterable[ObserverMessageRecord]) -> None:
        """Note the messages that are there."""
        self.places = {message.number: message.place for message in messages}
        taken = set(self.places.values())
        self._next = max(taken, default=-1) + 1
        self._free = [place for place in range(self._next) if place not in taken]

    def take(self, number: int) -> int:
        """Return a place for a message."""
        place = heapq.heappop(self._free) if self._free else self._next
        self._next = max(self._next, place + 1)
        self.places[number] = place
        return place

    def give_back(self, number: int) -> int | None:
        """Return the place that a message had, None if it had none."""
        place = self.places.pop(number, None)
        if place is not None:
            heapq.heappush(self._free, place)
        return place


class SharedObserverWriter(ObserverQueues):
    """Keeps the messages in `store`.

    `found` is asked for the content of each Charge Point before anything is put for it.
    """

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._lanes: dict[LaneName, _Lane] = {}

    @property
    def trouble(self) -> str | None:
        """The reason why nothing is written, for a person; None if all is well."""
        return self._store.trouble

    # Reading.

    def charge_points_in(self, slots: Collection[int]) -> set[str]:
        """Return the casefolded identities of the Charge Points of slots that may have something for an observer."""
        return {record.identity.casefold() for record in self._store.records_in(slots, (*_KINDS, ObservedRecord))}

    def found(self, identity: str) -> dict[LaneName, StoredLane]:
        """Return what is kept for a Charge Point whose records are loaded. Nothing was put for it before."""
        records = self._store.records_of(identity, _KINDS)
        stored: dict[LaneName, StoredLane] = {}
        messages: dict[LaneName, list[ObserverMessageRecord]] = {}
        lanes: dict[LaneName, ObserverLaneRecord] = {}
        for record in records:
            assert isinstance(record, ObserverMessageRecord | ObserverIdRecord | ObserverLaneRecord)
            name = record.identity.casefold(), record.observer
            lane = stored.setdefault(name, StoredLane(identity=record.identity))
            match record:
                case ObserverMessageRecord():
                    messages.setdefault(name, []).append(record)
                case ObserverIdRecord(number=number, named=named, ended=ended):
                    lane.ids.append(ObserverId(number=number, named=named, ended=ended))
                case ObserverLaneRecord(entered=entered, interval=interval):
                    lane.entered, lane.interval = entered, interval
                    lanes[name] = record
        for name, lane in stored.items():
            waiting = sorted(messages.get(name, ()), key=_number)
            lane.messages = [_queued(message) for message in waiting]
            kept = self._lanes[name] = _Lane(lanes.get(name) or _lane(name, lane.identity))
            kept.load(waiting)
        return stored

    def waiting(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message that is not written yet; None for any other."""
        lane = self._lanes.get(name)
        if lane is None or (place := lane.places.get(number)) is None:
            return None
        record = self._store.get(_key(name, place))
        if not isinstance(record, ObserverMessageRecord) or not record.request:
            return None
        return record.request, record.answer

    async def content(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message, None if they are gone."""
        lane = self._lanes.get(name)
        if (found := self.waiting(name, number)) is not None or lane is None:
            return found
        place = lane.places.get(number)
        fields = None if place is None else await self._store.content(_key(name, place))
        return None if fields is None or lane.places.get(number) != place else (fields[0], fields[1])

    # Writing.

    def put(self, row: MessageRow, *, ends: bool) -> None:
        """Have a message written soon. `ends` says whether it is a StartTransaction or StopTransaction.

        What has entered is written with the message, or after it: it is never said of a message that is lost.
        """
        lane, message = self._lane_of(row.name, row.identity), row.queued()
        records: list[Record] = [message_record(row, message, lane.take(row.number))]
        if ends:
            lane.record = ObserverLaneRecord(
                identity=lane.record.identity, observer=row.observer, entered=row.key, interval=lane.record.interval
            )
            records.append(lane.record)
        self._store.put(*records)

    def delete(self, name: LaneName, number: int) -> None:
        """Have a message deleted soon."""
        lane = self._lanes.get(name)
        if lane is not None and (place := lane.give_back(number)) is not None:
            self._store.discard(_key(name, place))

    def keep(self, name: LaneName, row: ObserverId, now: float) -> None:
        """Have a transactionId written soon. It ages by the time that all processes have in common, not by `now`."""
        identity = self._lane_of(name, name[0]).record.identity
        self._store.put(id_record(identity, name[1], row, self._store.running_time))

    def thin(self, name: LaneName, identity: str, interval: int) -> None:
        """Have the seconds written that an observer wants between periodic MeterValues."""
        lane = self._lane_of(name, identity)
        entered = lane.record.entered
        lane.record = ObserverLaneRecord(identity=identity, observer=name[1], entered=entered, interval=interval)
        self._store.put(lane.record)

    def remove(self, folded: str) -> None:
        """Forget the lanes of a Charge Point. The store removes their records with all others of the Charge Point."""
        for name in [name for name in self._lanes if name[0] == folded]:
            del self._lanes[name]

    def forget(self, name: LaneName) -> None:
        """Have everything deleted for one observer of one Charge Point."""
        self._lanes.pop(name, None)
        records = self._store.records_of(name[0], _KINDS)
        self._store.discard(*(key_of(record) for record in records if getattr(record, "observer", None) == name[1]))

    def flush(self, name: LaneName) -> Future[bool]:
        """Return a future that is done when what was put so far for a lane is kept (True), or cannot be (False)."""
        return self._store.written(name[0])

    def release(self, name: LaneName) -> None:
        """Forget a lane, which another process has from now on. What was put is still written."""
        self._lanes.pop(name, None)

    def close(self) -> None:
        """Do nothing: the store writes the rest."""

    def _lane_of(self, name: LaneName, identity: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(_lane(name, identity))
        return lane


def _lane(name: LaneName, identity: str) -> ObserverLaneRecord:
    return ObserverLaneRecord(identity=identity, observer=name[1])


def _key(name: LaneName, place: int) -> Key:
    return ObserverMessageRecord, name[0], (name[1], place)


def _number(record: ObserverMessageRecord) -> int:
    return record.number


def message_record(row: MessageRow, message: QueuedMessage, place: int) -> ObserverMessageRecord:
    """Return the record of a message.

    Args:
        row: The message as a row.
        message: The same as the queue knows it.
        place: Its place in its queue.
    """
    return ObserverMessageRecord(
        identity=row.identity,
        observer=row.observer,
        place=place,
        number=message.number,
        key=message.key,
        action=message.action,
        at=message.at,
        octets=message.octets,
        connector=message.connector,
        transaction=message.transaction,
        periodic=message.periodic,
        request=row.request,
        answer=row.answer,
    )


def _queued(record: ObserverMessageRecord) -> QueuedMessage:
    return QueuedMessage(
        number=record.number,
        key=record.key,
        action=record.action,
        at=record.at,
        octets=record.octets,
        connector=record.connector,
        transaction=record.transaction,
        periodic=record.periodic,
    )


def id_record(identity: str, observer: str, row: ObserverId, now: float) -> ObserverIdRecord:
    """Return the record of a transactionId. `now` is the running time."""
    early = ObserverIdRecord.KEPT_FOR - LONGEST if row.ended else 0.0
    return ObserverIdRecord(
        identity=identity,
        observer=observer,
        number=row.number,
        named=row.named,
        ended=row.ended,
        kept_at=now - early,
    )


def lane_records(name: LaneName, lane: StoredLane, rows: Iterable[MessageRow], now: float) -> Iterator[Record]:
    """Return the records of what a file has for one lane.

    Args:
        name: The name of the lane.
        lane: What the file has, without the content of the messages.
        rows: The messages, the oldest first.
        now: The running time.
    """
    for place, row in enumerate(rows):
        yield message_record(row, row.queued(), place)
    for each in lane.ids:
        yield id_record(lane.identity, name[1], each, now)
    if lane.entered is not None or lane.interval is not None:
        yield ObserverLaneRecord(identity=lane.identity, observer=name[1], entered=lane.entered, interval=lane.interval)
