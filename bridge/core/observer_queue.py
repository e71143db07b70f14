"""The messages that wait for one observer of one Charge Point: their order, and which are dropped.

If there are too many, a Heartbeat is dropped first, then a StatusNotification that is not the last one of its
connector, then periodic MeterValues, then any other message: the oldest of its kind. A StartTransaction or
StopTransaction is never dropped for another message.

This module is pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from bridge.core.observed import ENDS

MOST = 10_000
LONGEST = 7 * 24 * 3600.0
_HEARTBEAT, _STATUS = "Heartbeat", "StatusNotification"


class LostReason(StrEnum):
    """The reason why an observer does not get a message, which is also a label of the metrics."""

    TOO_MANY = "too_many"  # more than the queue, or all queues together, may hold
    TOO_OLD = "too_old"
    NO_ANSWER = "no_answer"  # sent twice without an answer
    REFUSED = "refused"  # the observer answered with an error
    NO_TRANSACTION_THERE = "no_transaction_there"  # the observer has not named the transaction
    UNREADABLE = "unreadable"  # the queue on disk does not hold it any more, or no message of OCPP 1.6
    FORGOTTEN = "forgotten"  # the Central System is no observer of the Charge Point any more


class QueuedMessage(Struct, frozen=True, kw_only=True):
    """A message that waits, without its content.

    Attributes:
        number: The place in the order of all messages.
        key: The UniqueId under which it is sent, each time.
        action: The action.
        at: When it entered, in unix seconds.
        octets: The size of its content.
        connector: The connectorId, None if it has none.
        transaction: The transactionId as the Charge Point knows it, None if it has none.
        periodic: Whether it is a MeterValues with periodic samples only.
    """

    number: int
    key: str
    action: str
    at: float
    octets: int
    connector: int | None = None
    transaction: int | None = None
    periodic: bool = False


class ObserverQueue:
    """The messages for one observer of one Charge Point.

    Args:
        most: The most messages.
        longest: The longest time in seconds that a message waits.
    """

    def __init__(self, most: int = MOST, longest: float = LONGEST) -> None:
        self._most = most
        self._longest = longest
        self._messages: OrderedDict[int, QueuedMessage] = OrderedDict()
        # The numbers of the messages of each kind that may be dropped, those of the kind that is dropped first first.
        self._kinds: tuple[OrderedDict[int, None], ...] = tuple(OrderedDict() for _ in range(4))
        self._last_status: dict[int | None, int] = {}
        self.octets = 0
        self.out: int | None = None
        """The number of the message that is out. It is not dropped."""

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[QueuedMessage]:
        return iter(self._messages.values())

    @property
    def first(self) -> QueuedMessage | None:
        """Return the message that is sent next, None if there is none."""
        return next(iter(self._messages.values()), None)

    def put(self, message: QueuedMessage) -> list[QueuedMessage]:
        """Add a message, which is newer than all others. Returns: the messages that are dropped for it."""
        self._messages[message.number] = message
        self.octets += message.octets
        if message.action == _STATUS:
            before = self._last_status.get(message.connector)
            if before is not None:
                del self._kinds[3][before]
                self._kinds[1][before] = None
            self._last_status[message.connector] = message.number
        if message.action not in ENDS:
            self._kinds[_rank(message)][message.number] = None
        dropped = []
        while len(self._messages) > self._most and (one := self.shrink()) is not None:
            dropped.append(one)
        return dropped

    def take_back(self, messages: Iterable[QueuedMessage]) -> list[QueuedMessage]:
        """Add messages that are older than all others. Returns: the messages that are dropped."""
        newer = [self.remove(number) for number in tuple(self._messages)]
        return [one for message in (*messages, *newer) if message is not None for one in self.put(message)]

    def shrink(self) -> QueuedMessage | None:
        """Drop one message, because all queues together are too large. Returns: the message, None if none may go."""
        for numbers in self._kinds:
            number = next((number for number in numbers if number != self.out), None)
            if number is not None:
                return self.remove(number)
        return None

    def expired(self, now: float) -> list[QueuedMessage]:
        """Drop the messages that have waited for too long at `now`, in unix seconds. Returns: the messages."""
        old = []
        for message in self._messages.values():
            if message.at >= now - self._longest:
                break
            if message.number != self.out:
                old.append(message)
        for message in old:
            self.remove(message.number)
        return old

    def remove(self, number: int) -> QueuedMessage | None:
        """Remove a message. Returns: the message, None if it is gone already."""
        message = self._messages.pop(number, None)
        if message is None:
            return None
        self.octets -= message.octets
        for numbers in self._kinds:
            numbers.pop(number, None)
        if self._last_status.get(message.connector) == number:
            del self._last_status[message.connector]
        return message


def _rank(message: QueuedMessage) -> int:
    """Return the place of the kind of a new message in the order in which kinds are dropped."""
    if message.action == _HEARTBEAT:
        return 0
    return 2 if message.periodic else 3
