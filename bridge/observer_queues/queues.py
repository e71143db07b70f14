"""The interface of what keeps the messages for observers: a file of this process, or records that processes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import NamedTuple

from msgspec import Struct, field

from bridge.core.observer_ids import ObserverId
from bridge.core.observer_queue import QueuedMessage

# The casefolded identity and the name of the Central System.
LaneName = tuple[str, str]
# The request and the answer of a message.
MessageContent = tuple[bytes, bytes]


class MessageRow(NamedTuple):
    """A message for one observer, as a row. The columns are those of the table of a file."""

    number: int
    folded: str
    observer: str
    identity: str
    key: str
    action: str
    at: float
    connector: str | None
    transaction_id: str | None
    periodic: int
    request: bytes
    answer: bytes

    @property
    def name(self) -> LaneName:
        """Return the name of the lane."""
        return self.folded, self.observer

    def queued(self) -> QueuedMessage:
        """Return what the queue has to know of the message."""
        return QueuedMessage(
            number=self.number,
            key=self.key,
            action=self.action,
            at=self.at,
            octets=len(self.request) + len(self.answer),
            connector=None if self.connector is None else int(self.connector),
            transaction=None if self.transaction_id is None else int(self.transaction_id),
            periodic=bool(self.periodic),
        )


class StoredLane(Struct, kw_only=True):
    """What is kept for one observer of one Charge Point, the oldest first.

    Attributes:
        identity: The identity as it was first written.
        messages: The messages that wait.
        ids: The transactionIds.
        entered: The key of the StartTransaction or StopTransaction that entered last, None if none has.
        interval: Seconds between the periodic MeterValues that it wants, None if it wants all.
    """

    identity: str
    messages: list[QueuedMessage] = field(default_factory=list)
    ids: list[ObserverId] = field(default_factory=list)
    entered: str | None = None
    interval: int | None = None


class ObserverQueues(ABC):
    """Keeps the messages that wait for observers, and their transactionIds.

    No method that writes raises or waits: what cannot be written is kept in memory, and written again. `trouble` gives
    the reason.
    """

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """The reason why nothing is written, for a person; None if all is well."""

    @abstractmethod
    def put(self, row: MessageRow, *, ends: bool) -> None:
        """Have a message written soon. `ends` says whether it is a StartTransaction or StopTransaction."""

    @abstractmethod
    def delete(self, name: LaneName, number: int) -> None:
        """Have a message deleted soon."""

    @abstractmethod
    def keep(self, name: LaneName, row: ObserverId, now: float) -> None:
        """Have a transactionId written soon. `now` is the time in unix seconds."""

    @abstractmethod
    def thin(self, name: LaneName, identity: str, interval: int) -> None:
        """Have the seconds written that an observer wants between periodic MeterValues."""

    @abstractmethod
    def remove(self, folded: str) -> None:
        """Have everything deleted about a Charge Point. `folded` is the casefolded identity."""

    @abstractmethod
    def forget(self, name: LaneName) -> None:
        """Have everything deleted for one observer of one Charge Point."""

    @abstractmethod
    def flush(self, name: LaneName) -> Future[bool]:
        """Return a future that is done when what was put so far for a lane is kept (True), or cannot be (False)."""

    @abstractmethod
    def waiting(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message that is in memory; None for any other."""

    @abstractmethod
    async def content(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message, None if they are gone.

        Raises:
            OSError, sqlite3.Error, UnusableStore: The file, which may hold them, cannot be read at present.
        """

    @abstractmethod
    def release(self, name: LaneName) -> None:
        """Forget a lane, which another process has from now on. What was put is still written."""

    @abstractmethod
    def close(self) -> object:
        """End the writing, after what was put."""
