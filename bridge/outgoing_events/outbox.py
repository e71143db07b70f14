"""The watcher that makes events from facts, has them written, and has them sent to the receivers.

An event is first written, then sent, then deleted. So a bridge that is killed at any time sends it at least once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from bridge.net.tasks import Threads
from bridge.ocpp.tenants import DEFAULT, key_of
from bridge.outgoing_events.database import EventDatabase, EventRow, StoredEvents
from bridge.outgoing_events.delivery import Delivery, DeliveryFailed, EventToSend, Receiver
from bridge.outgoing_events.derivation import EventMaker, folded
from bridge.outgoing_events.queue import DeliveryQueue, DropReason
from bridge.outgoing_events.records import ABOUT_MONEY, BEFORE_THE_ANSWER, AnyEvent, type_of
from bridge.outgoing_events.writer import EventWriter
from bridge.store.files import database_beside
from bridge.store.thread import EXPECTED, described
from bridge.watching import logs
from bridge.watching.facts import Fact
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.events")
_encode = msgspec.json.Encoder().encode


class _Named(Struct):
    """The members of an event that a EventSender needs."""

    id: str
    charge_point: str
    tenant: str = DEFAULT


class ReceiverHealth(Struct, frozen=True, kw_only=True):
    """The state of a receiver.

    Attributes:
        waiting: The number of events that wait for it.
        octets: The size of these events.
        oldest: The time of the oldest one in unix seconds, None if none waits.
        trouble: The reason why the last attempt failed, or why no event can be written; None if all is well.
        since: When attempts began to fail, in unix seconds; None if the last one did not fail.
        delivered: The number of events that were delivered since the start.
        dropped: The number of events that were dropped since the start, by reason.
    """

    waiting: int
    octets: int
    oldest: float | None
    trouble: str | None
    since: float | None
    delivered: int
    dropped: dict[str, int]


class Outbox:
    """Makes, keeps and sends events.

    Without receivers it does nothing, and makes no file.

    Args:
        url: The store's URL: of a file `X.db`, `X.events.db` is beside it; `memory:` keeps events in memory.
        maker: Makes the events.
        clock: Returns the time in unix seconds.
    """

    def __init__(self, url: str, maker: EventMaker, clock: Callable[[], float] = time.time) -> None:
        self._maker = maker
        self._clock = clock
        self._database = EventDatabase(database_beside(url, "events"))
        self._writer: EventWriter | None = None
        self._threads = Threads(1, name="events to send")
        self._loop = asyncio.get_running_loop()
        self._deliveries: dict[str, Delivery] = {}
        self._delivered: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, DropReason]] = Counter()
        self._gate = RepeatLimiter(time.monotonic)
        self._numbers = count(1)
        self._must_be_written = False  # an event was made that an answer has to wait for, and no answer waits yet

    # Receivers.

    async def take_over(self, receivers: Sequence[Receiver]) -> None:
        """Send to these receivers from now on, and to no others.

        A receiver that was known before keeps its events. Events for a receiver that is gone are deleted.
        """
        wanted = {receiver.name: receiver for receiver in receivers}
        if wanted:
            self._open()
        for name in [name for name in self._deliveries if name not in wanted]:
            delivery = self._deliveries.pop(name)
            await delivery.close()
            self._forget(name, delivery.queue.numbers())
        for name, receiver in wanted.items():
            await self._take_over(name, receiver)

    async def _take_over(self, name: str, receiver: Receiver) -> None:
        former = self._deliveries.get(name)
        if former is not None and former.receiver.settings == receiver.settings:
            return
        queue = DeliveryQueue(receiver.bounds) if former is None else former.queue
        if former is not None:
            await former.close()
            queue.interrupted()
            self._drop(name, queue.resize(receiver.bounds))
        self._deliveries[name] = delivery = Delivery(
            receiver,
            queue,
            read=self._read,
            finished=lambda numbers: self._finished(name, numbers),
            dropped=lambda dropped: self._drop(name, dropped),
        )
        delivery.start()

    def _open(self) -> None:
        """Open the file when there is the first receiver."""
        if self._writer is None:
            self._writer = EventWriter(
                self._database,
                on_written=lambda rows: self._from_thread(self._written, rows),
                on_found=lambda found: self._from_thread(self._found, found),
            )
            last = self._writer.open()
            # Numbers grow, even if the file was lost: a millisecond has room for a thousand of them.
            self._numbers = count(max(int(self._clock() * 1000) * 1000, last + 1))

    def _from_thread(self, call: Callable[[Any], None], value: Any) -> None:
        with suppress(RuntimeError):  # the event loop is closed: the events are sent after the next start
            self._loop.call_soon_threadsafe(call, value)

    async def close(self) -> None:
        """Stop sending, write the rest and close the file. Events that are not delivered are sent after the start."""
        for delivery in self._deliveries.values():
            await delivery.close()
        self._threads.close()
        if self._writer is not None:
            self._writer.close()

    # Facts.

    def see(self, fact: Fact) -> None:
        """Make the events that `fact` stands for, and have them written for each receiver that wants them."""
        if self._deliveries:
            for event in self._maker.of(fact):
                self._put(event)

    def on_disk(self) -> Future[bool] | None:
        """Return a future that is done when the events that an answer has to wait for are on disk.

        Returns: None if no such event was made since the last call.
        """
        if self._writer is None or not self._must_be_written:
            return None
        self._must_be_written = False
        return self._writer.flush()

    def _put(self, event: AnyEvent) -> None:
        assert self._writer is not None
        if (start := self._maker.start_of(event)) is not None:
            self._maker.remember(start)
        charge_point, kind = folded(key_of(event.tenant, event.charge_point)), type_of(event)
        wanted = [name for name, delivery in self._deliveries.items() if delivery.receiver.wants(kind, charge_point)]
        if not wanted and start is None:
            return
        money = isinstance(event, ABOUT_MONEY)
        content = _content(event)
        now = self._clock()
        rows = [EventRow(next(self._numbers), name, charge_point, now, int(money), kind, content) for name in wanted]
        if self._writer.put(rows, start):
            self._must_be_written |= isinstance(event, BEFORE_THE_ANSWER) and bool(rows)
            return
        for name in wanted:
            self._count(name, [DropReason.NOT_WRITTEN])

    # Events on disk.

    def _found(self, found: StoredEvents) -> None:
        """Take what an earlier process left. If the file could be read only now, it is older than all that waits."""
        for start in found.starts:
            self._maker.remember(start)
        for name, events in found.events.items():
            delivery = self._deliveries.get(name)
            if delivery is None:
                self._forget(name, [event.number for event in events])
                continue
            for event in events:
                self._drop(name, delivery.queue.put(event))
            delivery.wake()

    def _written(self, rows: Iterable[EventRow]) -> None:
        for row in rows:
            delivery = self._deliveries.get(row.receiver)
            if delivery is None:
                self._forget(row.receiver, [row.number])
                continue
            self._drop(row.receiver, delivery.queue.put(row.waiting()))
            delivery.wake()

    async def _read(self, number: int) -> EventToSend | None:
        try:
            found = await self._threads.run(lambda: self._database.content(number))
        except EXPECTED as error:
            raise DeliveryFailed(f"{self._database.path} cannot be read: {described(error)}") from error
        if found is None:
            return None
        kind, content = found
        named = msgspec.json.decode(content, type=_Named)
        return EventToSend(
            id=named.id, type=kind, charge_point=named.charge_point, tenant=named.tenant, content=content
        )

    def _finished(self, name: str, numbers: Iterable[int]) -> None:
        assert self._writer is not None
        self._delivered[name] += 1
        self._writer.delete(numbers)

    def _drop(self, name: str, dropped: Sequence[tuple[int, DropReason]]) -> None:
        if dropped:
            assert self._writer is not None
            self._writer.delete([number for number, _ in dropped])
            self._count(name, [reason for _, reason in dropped])

    def _count(self, name: str, reasons: Sequence[DropReason]) -> None:
        for reason, times in Counter(reasons).items():
            self._dropped[name, reason] += times
            if (held := self._gate.passes((name, reason), times)) is not None:
                text = "events are dropped, and their receiver never gets them"
                logs.fields(_log, logging.ERROR, text, receiver=name, reason=reason.value, events=held + 1)

    def _forget(self, name: str, numbers: Sequence[int]) -> None:
        """Delete the events for a receiver that is not configured any more."""
        if numbers:
            assert self._writer is not None
            self._writer.delete(numbers)
            text = "a receiver of events is not configured any more: what waited for it is deleted"
            logs.fields(_log, logging.WARNING, text, receiver=name, events=len(numbers))

    # Health.

    def health(self) -> dict[str, ReceiverHealth]:
        """Return the state of each receiver, by name."""
        trouble = None if self._writer is None else self._writer.trouble
        return {
            name: ReceiverHealth(
                waiting=len(delivery.queue),
                octets=delivery.queue.octets,
                oldest=delivery.queue.oldest,
                trouble=trouble or delivery.trouble,
                since=delivery.since,
                delivered=self._delivered[name],
                dropped={reason.value: self._dropped[name, reason] for reason in DropReason},
            )
            for name, delivery in self._deliveries.items()
        }


def _content(event: AnyEvent) -> bytes:
    """Return an event as JSON. Half a surrogate pair, which a peer may write as an escape, becomes a question mark."""
    try:
        return _encode(event)
    except UnicodeEncodeError:
        return _encode(_readable(msgspec.to_builtins(event)))


def _readable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {name: _readable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
    return value
