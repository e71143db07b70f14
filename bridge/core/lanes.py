"""The Calls of one direction of one Session: the Calls that wait, in their order, and the one that is out."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Call, Failure, Unanswered

_NEVER = float("inf")


class Pending:
    """A Call that has not been answered. `hop_id` is set while the Call is out, `sent` when it has been sent.

    Attributes:
        sender: The party that sent the Call.
        key: The name under which the sender's transport waits for the answer.
        call: The Call, under the sender's UniqueId.
        arrived: When the Call arrived, in seconds.
        deadline: When the Call ends without an answer, in seconds.
        not_before: When a policy lets the Call go on, in seconds; its arrival if no policy delays it.
        own: Whether the bridge itself sent the Call, so that no party waits for the answer.
        operator: Whether an operator sent the Call and waits for the answer, whatever happens to the sender's Link.
        instead: Whether the bridge answers in the other party's place, so that the Call needs no Link to that party.
        abandoned: Whether the sender's Link is gone, so that no party waits for the answer any more.
        over: Whether the sender knows that there is no answer. A later answer is for the repetitions.
        mark: The fingerprint that the Call shares with its repetitions, None if repetitions do not matter.
        followers: The repetitions of the Call, which get the same answer.
        hop_id: The UniqueId towards the other party, None while the Call waits.
        sent: When the Call was sent, in seconds; None while it was not.
    """

    __slots__ = (
        "abandoned",
        "arrived",
        "call",
        "deadline",
        "followers",
        "hop_id",
        "instead",
        "key",
        "mark",
        "not_before",
        "operator",
        "over",
        "own",
        "sender",
        "sent",
    )

    def __init__(
        self, *, sender: Party, key: str, call: Call, arrived: float, deadline: float, own: bool, operator: bool = False
    ) -> None:
        self.sender = sender
        self.key = key
        self.call = call
        self.arrived = arrived
        self.deadline = deadline
        self.not_before = arrived
        self.own = own
        self.operator = operator
        self.instead = False
        self.abandoned = False
        self.over = False
        self.mark: str | None = None
        self.followers: list[Pending] = []
        self.hop_id: str | None = None
        self.sent: float | None = None

    def is_over(self) -> None:
        """Note that the sender knows that there is no answer. A later answer, at any time, is for repetitions."""
        self.over, self.followers, self.deadline = True, [], _NEVER

    def abandon_if_of(self, party: Party) -> bool:
        """Mark the Call and its repetitions as abandoned if `party`, whose Link is gone, sent them.

        Returns: whether the Call itself is abandoned.
        """
        for follower in self.followers:
            follower.abandon_if_of(party)
        if self.own or self.operator or self.sender is not party:
            return False
        self.abandoned = True
        return True

    def unanswered(self, reason: str, failure: Failure) -> Unanswered:
        """Return the answer that says that the other party gave no verdict, and why."""
        other = "Central System" if self.sender is Party.CHARGE_POINT else "Charge Point"
        text = f"the {other} did not answer ({reason})"
        return Unanswered(unique_id=self.call.unique_id, reason=text, failure=failure)

    def __repr__(self) -> str:
        return f"<{self.call.action} {self.key} -> {self.hop_id or 'waiting'}>"


class Lane:
    """The queue of Calls in one direction: first in, first out, one at a time.

    OCPP-J 1.6 section 4.1.1: a side "SHOULD NOT send a CALL message to the other party unless all the CALL messages it
    sent before have been responded to or have timed out" (rule 9). The Calls of a peer that breaks this are queued, not
    refused (rule 11).
    """

    __slots__ = ("out", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Pending] = []  # mostly empty: an empty deque takes 600 octets more than an empty list
        self.out: Pending | None = None

    def __iter__(self) -> Iterator[Pending]:
        if self.out is not None:
            yield self.out
        yield from self.waiting

    def __len__(self) -> int:
        return len(self.waiting) + (self.out is not None)

    def send(self, pending: Pending, hop_id: str, at: float | None) -> Pending:
        """Move `pending` from the queue to `out`.

        Args:
            pending: A Call that waits.
            hop_id: The UniqueId towards the other party.
            at: When the Call is sent, in seconds; None if it is sent later.
        """
        assert self.out is None
        self.waiting.remove(pending)
        self.out = pending
        pending.hop_id, pending.sent = hop_id, at
        return pending

    def take_back(self) -> None:
        """Move the Call that is out, and did not arrive, back to the head of the queue."""
        assert self.out is not None
        self.out.hop_id = self.out.sent = None
        self.out.instead = False  # the transport tried to send it, so the other party's version has changed meanwhile
        self.waiting.insert(0, self.out)
        self.out = None

    def remove(self, pending: Pending) -> None:
        """Remove a Call that is answered, or never will be."""
        if pending is self.out:
            self.out = None
        else:
            self.waiting.remove(pending)

    def next_deadline(self) -> float:
        """Return the earliest deadline, in seconds; infinity if there is no Call."""
        out = self.out
        if not self.waiting:
            return _NEVER if out is None else out.deadline
        return min([pending.deadline for pending in self])
