"""What is sent next to one observer of one Charge Point, and what follows from its answers.

`put`, `link_up` and the other methods take events, with the time in seconds on a monotonic clock. Each returns the
LaneCommands that follow, in the order of their execution.

- One Call is out at a time, in the order of the queue.
- A StartTransaction or StopTransaction is sent when it is on disk, so that it has the same UniqueId after a restart.
- After the answer to a StartTransaction nothing is sent until the observer's transactionId is on disk.
- A message about a transaction that the observer has not named is not sent.
- On a new connection, and after an outage of an observer that gets POSTs, the last BootNotification and the last
  StatusNotifications come first. If the BootNotification is not accepted, it is sent again after the interval in the
  answer, and nothing else before that.
- Without an answer in two minutes the Call is sent once more, under the same UniqueId. Then it is skipped; a
  StartTransaction or StopTransaction halts the queue, and is sent again every ten minutes.
- A Call that was out when the connection was lost is sent again. After the third time it is skipped, unless it is a
  StartTransaction or StopTransaction.
- While the process may not send, because another one may have the Charge Point, nothing is sent or dropped. `go_on` is
  called when it may send again.

This module is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from bridge.core.links import Link, SessionTerms, Status
from bridge.core.observed import ENDS, METER_VALUES, START, STOP
from bridge.core.observer_ids import ObserverId, ObserverIds
from bridge.core.observer_queue import LostReason, ObserverQueue, QueuedMessage
from bridge.ocpp.enums import RegistrationStatus
from bridge.ocpp.messages import BootNotificationResponse, Request, StartTransactionResponse
from bridge.ocpp.rpc import Answer, CallError, CallResult, Failure, Unanswered

# Seconds that an observer has for an answer. Seconds until a halted queue tries again.
PATIENCE, _HALTED = 120.0, 600.0
_SLACK = 10.0
_TRIES, _LOSSES = 2, 3
# The least and the most seconds between two BootNotifications that are not accepted.
_BOOT_PAUSE, _LONGEST_BOOT_PAUSE = 10.0, 3600.0
_NEVER = float("inf")
# The failures after which a Call has surely had its chance. After any other, the observer could not be reached.
_NO_VERDICT = frozenset({Failure.TIMEOUT, Failure.MALFORMED_ANSWER, Failure.FOREIGN_ANSWER})


class DialObserver(Struct, frozen=True, kw_only=True):
    """Open the connection to the observer. `link_up` or `link_down` follows."""


class LeaveObserver(Struct, frozen=True, kw_only=True):
    """Close the connection to the observer. No event follows."""

    reason: str


class SendQueued(Struct, frozen=True, kw_only=True):
    """Send a message of the queue under its key, with the transactionId `named` if that is not None."""

    message: QueuedMessage
    named: int | None


class SendIntroduction(Struct, frozen=True, kw_only=True):
    """Send what the Charge Point last said."""

    request: Request
    unique_id: str


class Delivered(Struct, frozen=True, kw_only=True):
    """The observer has answered a message, which leaves the queue.

    Attributes:
        row: The transaction to store with it, None if nothing has changed. After a StartTransaction, `kept` must be
            called when the row is on disk.
        wait: Whether nothing is sent before `kept` is called.
    """

    message: QueuedMessage
    answer: CallResult | CallError
    row: ObserverId | None = None
    wait: bool = False


class NotDelivered(Struct, frozen=True, kw_only=True):
    """The observer never gets a message, which leaves the queue. `row` is the transaction to store with it."""

    message: QueuedMessage
    reason: LostReason
    row: ObserverId | None = None


LaneCommand = DialObserver | LeaveObserver | SendQueued | SendIntroduction | Delivered | NotDelivered


class _Out:
    """The Call that is out. `message` is None for a part of the introduction."""

    __slots__ = ("due", "message", "request", "tries", "unique_id")

    def __init__(self, unique_id: str, message: QueuedMessage | None, request: Request | None, due: float) -> None:
        self.unique_id = unique_id
        self.message = message
        self.request = request
        self.due = due
        self.tries = 1


class ObserverLane:
    """The lane of one observer of one Charge Point.

    Args:
        terms: The pauses between two attempts to connect.
        posts: Whether the observer gets POSTs, which need no connection.
        queue: The messages that wait.
        ids: The transactionIds of the observer.
        introduction: Returns the last BootNotification and StatusNotifications of the Charge Point.
        mint: Returns a fresh UniqueId.
        chance: Returns a random number in [0, 1).
        may_send: Returns whether this process may send now.
    """

    def __init__(
        self,
        terms: SessionTerms,
        *,
        posts: bool,
        queue: ObserverQueue,
        ids: ObserverIds,
        introduction: Callable[[], Sequence[Request]],
        mint: Callable[[], str],
        chance: Callable[[], float],
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self._terms = terms
        self.queue = queue
        self.ids = ids
        self._introduction = introduction
        self._mint = mint
        self._chance = chance
        self._may_send = may_send
        self.link = Link()
        self._take_transport(posts=posts)
        self.present = False
        """Whether the Charge Point is there, so that the connection stays open without messages."""
        self.halted = False
        """Whether a StartTransaction or StopTransaction has got no answer, so that the queue stands still."""
        self.trouble: str | None = None
        """Why messages wait, for a person; None without trouble."""
        self._waits = False  # for the row of a StartTransaction
        self._unready: set[int] = set()  # the numbers of messages that are not on disk yet and must be
        self._first_said: list[Request] = []  # what is left of the introduction
        self._introduce = True
        self._out: _Out | None = None
        self._not_before = -_NEVER
        self._losses = 0  # how often the connection was lost while the first message was out
        self._commands: list[LaneCommand] = []

    # Events.

    def put(self, message: QueuedMessage, at: float, *, on_disk: bool = True) -> list[LaneCommand]:
        """Add a message. Without `on_disk`, `ready` must be called when the message is on disk."""
        self._commands = []
        if not on_disk:
            self._unready.add(message.number)
        for dropped in self.queue.put(message):
            self._lose(dropped, LostReason.TOO_MANY)
        return self._go_on(at)

    def take_back(self, messages: Sequence[QueuedMessage], ids: Sequence[ObserverId], at: float) -> list[LaneCommand]:
        """Add messages and transactionIds of an earlier process, which are older than all others and on disk."""
        self._commands = []
        self.ids.take_back(ids)
        for dropped in self.queue.take_back(messages):
            self._lose(dropped, LostReason.TOO_MANY)
        return self._go_on(at)

    def moved(self, at: float, *, posts: bool) -> list[LaneCommand]:
        """Note that the observer is reached otherwise now. A Call that is out is sent again."""
        self._commands = []
        self._over()
        self.link = Link()
        self._take_transport(posts=posts)
        self._introduce, self._not_before, self._first_said = True, -_NEVER, []
        return self._go_on(at)

    def _take_transport(self, *, posts: bool) -> None:
        self._posts = posts
        # A POST ends by itself in time.
        self._patience = PATIENCE + (_SLACK if posts else 0.0)
        if posts:
            self.link.status = Status.UP

    def ready(self, number: int, at: float) -> list[LaneCommand]:
        """Note that a message is on disk."""
        self._commands = []
        self._unready.discard(number)
        return self._go_on(at)

    def kept(self, at: float) -> list[LaneCommand]:
        """Note that the row of a StartTransaction is on disk."""
        self._commands, self._waits = [], False
        return self._go_on(at)

    def comes_or_goes(self, at: float, *, present: bool) -> list[LaneCommand]:
        """Note whether the Charge Point is there."""
        self._commands, self.present = [], present
        return self._go_on(at)

    def go_on(self, at: float) -> list[LaneCommand]:
        """Note that this process may send again."""
        self._commands = []
        return self._go_on(at)

    def withheld(self, number: int) -> None:
        """Note that the message that is out was not sent, because this process may not send any more."""
        if self._out is not None and self._out.message is not None and self._out.message.number == number:
            self._over()

    @property
    def busy(self) -> bool:
        """Whether a message is out, or the observer's transactionId is not on disk yet."""
        return self.queue.out is not None or self._waits

    def shrink(self) -> list[LaneCommand]:
        """Drop one message because all queues together are too large. Returns nothing if none may be dropped."""
        self._commands = []
        if (dropped := self.queue.shrink()) is not None:
            self._lose(dropped, LostReason.TOO_MANY)
        return self._commands

    def expire(self, now: float) -> list[LaneCommand]:
        """Drop the messages that are too old at `now`, in unix seconds."""
        self._commands = []
        for dropped in self.queue.expired(now):
            self._lose(dropped, LostReason.TOO_OLD)
        return self._commands

    def unreadable(self, number: int, at: float) -> list[LaneCommand]:
        """Note that the message that is out cannot be sent, because its content is gone or is no valid message."""
        self._commands = []
        out = self._out
        if out is not None and out.message is not None and out.message.number == number:
            self._over()
            self._lose(out.message, LostReason.UNREADABLE)
        return self._go_on(at)

    def link_up(self, at: float) -> list[LaneCommand]:
        """Note that the connection is open."""
        self._commands = []
        self.link.status, self.link.retry_at = Status.UP, None
        self._introduce, self._not_before = True, -_NEVER
        return self._go_on(at)

    def link_down(self, reason: str, at: float) -> list[LaneCommand]:
        """Note that the connection was lost or could not be opened, or that a POST certainly did not arrive."""
        self._commands = []
        self._failed(reason, at, lost=self.link.status is Status.UP and not self._posts)
        return self._go_on(at)

    def answered(self, answer: Answer, at: float) -> list[LaneCommand]:
        """Note an answer of the observer. One that answers no Call that is out is ignored."""
        self._commands = []
        out = self._out or self._halted_at(answer.unique_id, at)
        if out is None or answer.unique_id != out.unique_id:
            return []
        if not isinstance(answer, Unanswered):
            self.link.failures, self._losses, self.trouble, self.halted = 0, 0, None, False
            self._over()
            self._take(out, answer, at)
        elif answer.failure in _NO_VERDICT:
            self._try_again(out, answer.reason, at)
        else:
            self._failed(answer.reason, at, lost=answer.failure is Failure.CONNECTION_LOST)
            if answer.retry_after:
                self._not_before = max(self._not_before, at + answer.retry_after)
        return self._go_on(at)

    def tick(self, at: float) -> list[LaneCommand]:
        """Do what is due."""
        self._commands = []
        if self._out is not None and self._out.due <= at:
            self._try_again(self._out, f"no answer within {PATIENCE:g} s", at)
        return self._go_on(at)

    def due(self, at: float) -> float | None:
        """Return when `tick` must be called if nothing happens before, a time after `at`; None for never."""
        if self._out is not None:
            return self._out.due
        down = self.link.status is Status.DOWN
        if self._waits or not (len(self.queue) or self._first_said or (self.present and down)):
            return None
        due = max(self._not_before, (self.link.retry_at or -_NEVER) if down else -_NEVER)
        return due if due > at else None

    # Answers.

    def _take(self, out: _Out, answer: CallResult | CallError, at: float) -> None:
        payload = answer.payload if isinstance(answer, CallResult) else None
        if isinstance(payload, BootNotificationResponse) and payload.status is not RegistrationStatus.Accepted:
            pause = min(max(float(payload.interval), _BOOT_PAUSE), _LONGEST_BOOT_PAUSE)
            self._not_before, self._introduce = at + pause, True
            self.trouble = f"it answers the BootNotification with {payload.status.value}"
        elif out.message is None:
            del self._first_said[:1]
        message = out.message
        if message is None:
            return
        self.queue.remove(message.number)
        row = None
        if message.action == START:
            told = payload.transactionId if isinstance(payload, StartTransactionResponse) else None
            row = self.ids.started(message.transaction, told)
        elif message.action == STOP and isinstance(answer, CallResult):
            row = self.ids.ended(message.transaction)
        self._waits = message.action == START and row is not None and row.named is not None
        self._commands.append(Delivered(message=message, answer=answer, row=row, wait=self._waits))

    def _halted_at(self, unique_id: str, at: float) -> _Out | None:
        """Return the message that has halted the queue, if `unique_id` is its key: its answer is late."""
        first = self.queue.first if self.halted else None
        return None if first is None or first.key != unique_id else _Out(first.key, first, None, at)

    def _try_again(self, out: _Out, reason: str, at: float) -> None:
        """Send the Call that is out once more, or skip it, or halt."""
        message = out.message
        if not self._may_send():
            self._over()
            return
        self.trouble = reason
        if out.tries < _TRIES and not self.halted:
            out.tries += 1
            out.due = at + self._patience
            self._transmit(out)
            return
        self._over()
        if message is None:
            del self._first_said[:1]
        elif message.action in ENDS:
            self.halted, self._not_before = True, at + _HALTED
        else:
            self._lose(message, LostReason.NO_ANSWER)

    def _failed(self, reason: str, at: float, *, lost: bool) -> None:
        """End the Call that is out without a verdict, and pause. It is sent again, unless it seems to be the cause."""
        out = self._out
        self._over()
        self.link.status = Status.UP if self._posts else Status.DOWN
        self.link.retry_later(at, self._terms, self._chance(), lost=lost)
        self.trouble, self._introduce = reason, True
        if self._posts:
            self._not_before = max(self._not_before, self.link.retry_at or at)
        if out is None or not lost:
            return
        self._losses += 1
        if self._losses >= _LOSSES and out.message is not None and out.message.action not in ENDS:
            self._losses = 0
            self._lose(out.message, LostReason.NO_ANSWER)

    def _lose(self, message: QueuedMessage, reason: LostReason) -> None:
        self.queue.remove(message.number)
        self._unready.discard(message.number)
        row = self.ids.started(message.transaction, None) if message.action == START else None
        self._commands.append(NotDelivered(message=message, reason=reason, row=row))

    def _over(self) -> None:
        self._out = self.queue.out = None

    # What is next.

    def _go_on(self, at: float) -> list[LaneCommand]:
        """Send the next Call, if none is out; open or close the connection if that is due."""
        if self._out is None and not self._waits and self._may_send():
            self._drop_unnamed()
            if self.link.status is Status.UP:
                self._send(at)
            elif self.link.status is Status.DOWN and (len(self.queue) or self.present):
                self._dial(at)
        return self._commands

    def _dial(self, at: float) -> None:
        if self.link.retry_at is not None and self.link.retry_at > at:
            return
        self.link.status, self.link.retry_at = Status.OPENING, None
        self._commands.append(DialObserver())

    def _send(self, at: float) -> None:
        first = self.queue.first
        if at < self._not_before:
            return
        if self._introduce and (first is not None or not self._posts):
            self._introduce = False
            booting = first is not None and first.action == "BootNotification"
            self._first_said = [] if booting else list(self._introduction())
        if self._first_said:
            request = self._first_said[0]
            self._out = _Out(self._mint(), None, request, at + self._patience)
            self._transmit(self._out)
        elif first is not None:
            if first.number not in self._unready:
                self._out = _Out(first.key, first, None, at + self._patience)
                self.queue.out = first.number
                self._transmit(self._out)
        elif not self.present and not self._posts:
            self.link.status, self.link.retry_at = Status.DOWN, None
            self._commands.append(LeaveObserver(reason="the Charge Point is silent, and nothing waits"))

    def _transmit(self, out: _Out) -> None:
        if out.message is not None:
            number = out.message.transaction
            asks = out.message.action != START and number is not None and number > 0
            named = self.ids.named(number) if asks and number is not None else None
            self._commands.append(SendQueued(message=out.message, named=named))
        elif out.request is not None:
            self._commands.append(SendIntroduction(request=out.request, unique_id=out.unique_id))

    def _drop_unnamed(self) -> None:
        """Drop the first messages if they are about transactions that the observer has not named."""
        while (first := self.queue.first) is not None and first.action in (METER_VALUES, STOP):
            number = first.transaction
            if number is None or number <= 0 or self.ids.named(number) is not None:
                return
            self._lose(first, LostReason.NO_TRANSACTION_THERE)
