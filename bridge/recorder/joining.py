"""Puts messages together: a Call's end says which bytes on which hops are its own. Pure.

In: notes, in their order. Out: messages, whole as soon as all that belongs to them has come, or as they are when
nothing more came for a while. Bounded: what belongs to nothing is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import takewhile

from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.wire import End, Transport
from bridge.recorder import begun, joined
from bridge.recorder.joined import ANSWER_RECEIVED, ANSWER_SENT, BEYOND, NEAR, RECEIVED, SENT, Joined
from bridge.recorder.notes import Cost, Dropped, Ended, Note, Seen, TurnedAway

# Seconds: what may still come of a message that has ended; how long bytes wait for the report that they belong to.
GRACE, PATIENCE = 1.0, 600.0
# Octets of a Seen itself, with the numbers and short texts that it holds; measured, and rounded up.
_SEEN = 320
# Of bytes that wait.
_MOST, _MOST_OCTETS = 20_000, 32_000_000

Hop = tuple[str, bool, str]
"""identity, whether it is the Charge Point's, UniqueId"""
_CP = Party.CHARGE_POINT


class Joining:
    """Of all Charge Points. `number` gives ids, for what nobody else gave one."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._wires: OrderedDict[Hop, list[Seen]] = OrderedDict()
        self._frames: OrderedDict[Hop, list[Seen]] = OrderedDict()  # those that are no Calls and no answers
        self._waiting = self._octets = 0
        self._open: OrderedDict[int, Joined] = OrderedDict()
        # Of those, the ones that are whole since the last look, and those that were then.
        self._whole: list[Joined] = []
        self._rested: list[Joined] = []
        self._awaited: dict[Hop, list[tuple[int, Joined]]] = {}
        self._losses: dict[tuple[str, str], list[tuple[float, Loss]]] = {}

    def __len__(self) -> int:
        """How many messages are not whole yet."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """How many bytes' owners are not known yet."""
        return self._waiting

    # What comes in.

    def take(self, note: Note) -> None:
        """The next note."""
        if isinstance(note, Seen):
            self._seen(note)
        elif isinstance(note, Ended):
            self._ended(begun.of_end(note))
        elif isinstance(note, Dropped):
            self._ended(begun.of_drop(note))
        elif isinstance(note, TurnedAway):
            self._turned_away(note)
        elif isinstance(note, Cost):
            self._lost(note)
        else:
            self._forget()

    def _seen(self, seen: Seen) -> None:
        """Bytes went over a wire."""
        hop = (*seen.end, seen.unique_id)
        awaited = self._awaited.get(hop, [])
        for index, (places, message) in enumerate(awaited):
            if (place := _place(seen, message.missing & places)) is not None:
                message.fill(place, seen)
                if not message.missing & places:  # of one UniqueId a hostile peer may make many messages
                    del awaited[index]
                if not message.missing:
                    self._whole.append(message)
                return
        self._put(hop, seen)
        while self._waiting > _MOST or self._octets > _MOST_OCTETS:
            self._take(next(iter(self._wires or self._frames)))

    def _ended(self, message: Joined) -> None:
        """A Call has ended, or an answer goes nowhere."""
        near, beyond = _hops(message)
        if message.missing & NEAR:
            self._claim(message, near, NEAR)
        if message.missing & BEYOND and beyond is not None:
            self._claim(message, beyond, BEYOND)
        self._begin(message)

    def _begin(self, message: Joined) -> None:
        """It is known, and what is missing may still come."""
        self._open[message.number] = message
        if not message.missing:
            self._whole.append(message)

    def _turned_away(self, note: TurnedAway) -> None:
        message = begun.of_refusal(note)
        near = message.party is _CP
        if note.by is not None:
            message.missing = NEAR
            self._claim(message, (note.identity, near, note.unique_id), NEAR)
        data = note.data
        if message.wires[RECEIVED] is None and data:
            transport: Transport = "soap" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else "json"
            seen = Seen(End(note.identity, near), note.at, True, transport, "other", note.unique_id, None, data)
            message.fill(RECEIVED, seen)
        if (received := message.wires[RECEIVED]) is not None:
            message.action = received.action or joined.action_in(received.data)
        message.missing &= ~(1 << RECEIVED)
        self._begin(message)

    def _lost(self, note: Cost) -> None:
        """Writing a message cost something."""
        if len(self._losses) > _MOST:
            self._losses.clear()
        for loss in note.losses:
            self._losses.setdefault((note.identity, _action_of(loss)), []).append((note.at, loss))

    def _forget(self) -> None:
        """What the bytes that wait belong to was, as a rule, not taken down."""
        for hop in list(self._wires):
            self._take(hop)

    # What comes out.

    def done(self, now: float, *, at_once: bool = False) -> list[Joined]:
        """The messages that were whole the last time, so that what their writing cost has been told too, and those for
        which nothing came for a while. `at_once`: all of them; those that are not done come once more."""
        self._expire(now)
        ended = [message for message in self._rested if message.number in self._open]
        self._rested, self._whole = self._whole, []
        for message in ended:
            self._release(message)
        while self._open and now - (oldest := next(iter(self._open.values()))).ended >= GRACE:
            self._release(oldest)
            ended.append(oldest)
        done = [*ended, *self._open.values()] if at_once else ended
        if self._losses:
            for message in done:
                self._attach(message)
        return done

    def _attach(self, message: Joined) -> None:
        """What was lost in writing it: it is told by the name of the PDU."""
        told = self._losses.pop((message.identity, message.action), ())
        message.losses += tuple(loss for at, loss in told if at >= message.at)

    def _release(self, message: Joined) -> None:
        del self._open[message.number]
        for hop in _hops(message):
            if hop is not None and (entries := self._awaited.pop(hop, None)) is not None:
                left = [entry for entry in entries if entry[1] is not message]
                if left:
                    self._awaited[hop] = left

    # Bytes that wait.

    def _claim(self, message: Joined, hop: Hop, places: int) -> None:
        """Take what has come over `hop`, the oldest first, and await the rest."""
        for seen in self._take(hop):
            place = _place(seen, message.missing & places)
            if place is None:
                self._put(hop, seen)
            else:
                message.fill(place, seen)
        if message.missing & places:
            self._awaited.setdefault(hop, []).append((places, message))

    def _take(self, hop: Hop) -> list[Seen]:
        taken = self._wires.pop(hop, None) or []
        if self._frames:
            taken += self._frames.pop(hop, ())
        self._waiting -= len(taken)
        for seen in taken:
            self._octets -= _SEEN + len(seen.data)
        return taken

    def _put(self, hop: Hop, seen: Seen) -> None:
        kept = self._frames if seen.kind == "other" else self._wires
        kept.setdefault(hop, []).append(seen)
        self._waiting += 1
        self._octets += _SEEN + len(seen.data)

    def _expire(self, now: float) -> None:
        """Frames that were only passed on are messages of their own; all else has lost its owner."""
        for hop in _older(self._wires, now - PATIENCE):
            self._take(hop)
        for hop in _older(self._frames, now - GRACE):
            for seen in self._take(hop):
                if seen.inbound:
                    self._passed_on(seen)

    def _passed_on(self, seen: Seen) -> None:
        message = begun.of_frame(self._number(), seen)
        message.fill(RECEIVED, seen)
        beyond = (seen.end.identity, not seen.end.near, seen.unique_id)
        for other in self._take(beyond):
            if message.wires[SENT] is None and not other.inbound and other.data == seen.data:
                message.fill(SENT, other)
            else:
                self._put(beyond, other)
        self._open[message.number] = message
        self._rested.append(message)


def _older(kept: OrderedDict[Hop, list[Seen]], limit: float) -> list[Hop]:
    """Those that nothing was added to since `limit`, as far as they stand first."""
    return [hop for hop, wires in takewhile(lambda item: item[1][-1].at < limit, kept.items())]


def _place(seen: Seen, places: int) -> int | None:
    """Which of `places`, those of one hop, `seen` is for."""
    if seen.kind == "other":
        wanted = (RECEIVED if places & 1 << RECEIVED else ANSWER_RECEIVED) if seen.inbound else ANSWER_SENT
    elif seen.kind == "call":
        wanted = RECEIVED if seen.inbound else SENT
    else:
        wanted = ANSWER_RECEIVED if seen.inbound else ANSWER_SENT
    return wanted if places & 1 << wanted else None


def _hops(message: Joined) -> tuple[Hop, Hop | None]:
    """Towards the party that sent it, and towards the other."""
    identity, ours = message.identity, message.party is _CP
    beyond = None if message.hop_id is None else (identity, not ours, message.hop_id)
    return (identity, ours, message.unique_id), beyond


def _action_of(loss: Loss) -> str:
    return loss.message.removesuffix("Request").removesuffix("Response")
