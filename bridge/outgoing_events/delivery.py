"""Send the events of one receiver. Nothing here decides which event is next, or when: that is the queue's."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from bridge.net.tasks import Tasks
from bridge.ocpp.tenants import DEFAULT
from bridge.outgoing_events.queue import DeliveryQueue, DropReason, QueueBounds
from bridge.watching import logs
from bridge.watching.masking import without_password
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.events")
# Seconds between two looks for events that are too old.
_LOOK = 60.0


class EventToSend(Struct, frozen=True, kw_only=True):
    """An event as its receiver gets it.

    Attributes:
        id: The id of the event.
        type: The type of the event.
        charge_point: The identity of the Charge Point as it was first written.
        content: The event as JSON.
        tenant: The tenant of the Charge Point.
    """

    id: str
    type: str
    charge_point: str
    content: bytes
    tenant: str = DEFAULT


class DeliveryFailed(Exception):
    """An event was not delivered.

    Attributes:
        refused: Whether the receiver refused this event: others may be delivered. False: it cannot be reached, or does
            not take any event at present.
        pause: The seconds for which the receiver asks not to be bothered.
    """

    def __init__(self, reason: str, *, refused: bool = False, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.refused = refused
        self.pause = pause


class EventSender(Protocol):
    """Sends events to one receiver. Several may be under way."""

    async def send(self, event: EventToSend) -> None:
        """Send an event and return when the receiver has it. Raises DeliveryFailed, OSError or TimeoutError."""

    async def close(self) -> None:
        """Close all connections."""


class Receiver(Struct, frozen=True, kw_only=True):
    """A system that gets events.

    Attributes:
        name: The name in logs, in metrics and in the queue on disk.
        wants: Returns whether the receiver gets an event, by its type and the casefolded key of the Charge Point.
        open: Returns the EventSender for the receiver.
        timeout: The seconds that one attempt may take.
        bounds: The limits on the events that wait.
        settings: A value that is equal for equal settings. A receiver with other settings gets a new EventSender.
    """

    name: str
    wants: Callable[[str, str], bool]
    open: Callable[[], EventSender]
    timeout: float
    bounds: QueueBounds
    settings: object


class Delivery:
    """Sends the events of one receiver, from `start` to `close`.

    Args:
        receiver: The receiver.
        queue: The events that wait for it.
        read: Returns an event by its number, None if the file does not hold it any more. Raises DeliveryFailed.
        finished: Called with the numbers of events that need not be kept any more.
        dropped: Called with each event that is dropped.
    """

    def __init__(
        self,
        receiver: Receiver,
        queue: DeliveryQueue,
        *,
        read: Callable[[int], Awaitable[EventToSend | None]],
        finished: Callable[[Iterable[int]], None],
        dropped: Callable[[list[tuple[int, DropReason]]], None],
    ) -> None:
        self.receiver = receiver
        self.queue = queue
        self._read = read
        self._finished = finished
        self._dropped = dropped
        self._sender = receiver.open()
        self._tasks = Tasks()
        self._changed = asyncio.Event()
        self._gate = RepeatLimiter(time.monotonic)
        self.trouble: str | None = None
        """The reason why the last attempt failed, None after a success."""
        self.since: float | None = None
        """When the first attempt failed since the last success, in unix seconds."""

    def start(self) -> None:
        """Start to send."""
        self._tasks.spawn(self._run(), name=f"events for {self.receiver.name}")

    def wake(self) -> None:
        """Note that the queue has a new event."""
        self._changed.set()

    async def close(self) -> None:
        """Stop sending. Events that are under way may arrive, and are sent again later."""
        await self._tasks.close()
        await self._sender.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if old := self.queue.expired(time.time()):
                self._dropped(old)
            for number in self.queue.take(loop.time()):
                self._tasks.spawn(self._deliver(number), name=f"event {number} for {self.receiver.name}")
            due = self.queue.due()
            wait = _LOOK if due is None else min(_LOOK, max(0.0, due - loop.time()))
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _deliver(self, number: int) -> None:
        failed: DeliveryFailed | None = None
        try:
            event = await self._read(number)
            if event is None:
                self._dropped(self.queue.unreadable(number))
                self._changed.set()
                return
            async with asyncio.timeout(self.receiver.timeout):
                await self._sender.send(event)
        except TimeoutError:
            failed = DeliveryFailed(f"no answer within {self.receiver.timeout:g} s")
        except DeliveryFailed as error:
            failed = error
        except OSError as error:
            failed = DeliveryFailed(str(error) or type(error).__name__)
        except Exception as error:  # of any kind: the event is kept, and sent again
            _log.exception("a fault of ocpp-bridge itself, please report it: an event was not sent")
            failed = DeliveryFailed(repr(error))
        if failed is None:
            self._succeeded(number)
        else:
            self._failed(number, failed)
        self._changed.set()

    def _succeeded(self, number: int) -> None:
        self.queue.delivered(number)
        self._finished([number])
        if self.trouble is not None:
            logs.fields(_log, logging.INFO, "events are delivered again", receiver=self.receiver.name)
            self.trouble = self.since = None

    def _failed(self, number: int, failed: DeliveryFailed) -> None:
        now = asyncio.get_running_loop().time()
        # The chance spreads attempts: nobody gains by guessing it.
        chance = random.random()  # noqa: S311
        self.queue.failed(number, now, refused=failed.refused, chance=chance, pause=failed.pause)
        self.trouble = without_password(str(failed))
        self.since = time.time() if self.since is None else self.since
        held = self._gate.passes((failed.refused, self.trouble))
        if held is not None:
            text = "a receiver refuses an event" if failed.refused else "events are not delivered, and wait"
            logs.fields(
                _log,
                logging.WARNING,
                text,
                receiver=self.receiver.name,
                reason=self.trouble,
                waiting=len(self.queue),
                held=held or None,
            )
