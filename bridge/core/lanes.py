"""The Calls of one direction of one Session: who waits, in which order, and the one that is out."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Call, Unanswered

_NEVER = float("inf")


class Pending:
    """A Call that has not been answered. `hop_id` and `sent` are set while it is out."""

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
        "operator",
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
        self.own = own  # sent by the bridge itself: nobody waits for the answer
        self.operator = operator  # sent by a person: whatever happens to the Links of its sender, somebody waits
        self.instead = False  # answered in the other party's place: it needs no Link to it
        self.abandoned = False  # its sender's Link is gone: nobody waits for the answer any more
        self.mark: str | None = None  # what its repetitions have in common with it
        self.followers: list[Pending] = []  # its repetitions, which get the answer that it gets
        self.hop_id: str | None = None
        self.sent: float | None = None

    def clashes_with(self, other: Pending) -> bool:
        """Whether the two have one UniqueId by mistake. A repetition may have that of the first (rule 13 of the
        field)."""
        repeats = self.mark is not None and self.mark == other.mark
        return self.key == other.key and not other.abandoned and not repeats

    def abandon_if_of(self, party: Party) -> bool:
        """Nobody waits for it any more, nor for its repetitions, if `party` sent them on the Link that is gone."""
        for follower in self.followers:
            follower.abandon_if_of(party)
        if self.own or self.operator or self.sender is not party:
            return False
        self.abandoned = True
        return True

    def unanswered(self, reason: str) -> Unanswered:
        """That the other side said nothing, and why."""
        other = "Central System" if self.sender is Party.CHARGE_POINT else "Charge Point"
        return Unanswered(unique_id=self.call.unique_id, reason=f"the {other} did not answer ({reason})")

    def __repr__(self) -> str:
        return f"<{self.call.action} {self.key} -> {self.hop_id or 'waiting'}>"


class Lane:
    """First in, first out, and one at a time.

    OCPP-J 1.6 section 4.1.1: a side "SHOULD NOT send a CALL message to the other party unless all the CALL messages it
    sent before have been responded to or have timed out" (rule 9). A peer that does not keep to it is queued, not
    refused (rule 11).
    """

    __slots__ = ("out", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Pending] = []  # few, and mostly none: an empty deque has 600 octets more
        self.out: Pending | None = None

    def __iter__(self) -> Iterator[Pending]:
        if self.out is not None:
            yield self.out
        yield from self.waiting

    def __len__(self) -> int:
        return len(self.waiting) + (self.out is not None)

    def send(self, pending: Pending, hop_id: str, at: float) -> Pending:
        """Take one that waits as the one that is out."""
        assert self.out is None
        self.waiting.remove(pending)
        self.out = pending
        pending.hop_id, pending.sent = hop_id, at
        return pending

    def take_back(self) -> None:
        """The one that is out did not arrive: it is the first that waits again."""
        assert self.out is not None
        self.out.hop_id = self.out.sent = None
        self.out.instead = False  # it was tried to send: the other party's version has changed meanwhile
        self.waiting.insert(0, self.out)
        self.out = None

    def remove(self, pending: Pending) -> None:
        """It is answered, or never will be."""
        if pending is self.out:
            self.out = None
        else:
            self.waiting.remove(pending)

    def next_deadline(self) -> float:
        """The earliest; infinity if there is none."""
        out = self.out
        if not self.waiting:
            return _NEVER if out is None else out.deadline
        return min([pending.deadline for pending in self])
