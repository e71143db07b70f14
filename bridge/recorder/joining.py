"""Puts messages together: a Call's report says which bytes on which hops are its own. Pure.

In: what an Observer is told, in its order. Out: messages, whole as soon as all that belongs to them has come, or as
they are when nothing more came for a while. Bounded: what belongs to nothing is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count, takewhile

from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.wire import Transport, Wire
from bridge.recorder import joined
from bridge.recorder.joined import ANSWER_RECEIVED, ANSWER_SENT, BEYOND, NEAR, RECEIVED, SENT, Joined, Seen

# Seconds: what may still come of a message that has ended; how long bytes wait for the report that they belong to.
GRACE, PATIENCE = 1.0, 600.0
# Of bytes that wait.
_MOST, _MOST_OCTETS = 20_000, 64_000_000

Hop = tuple[str, bool, str]
"""identity, whether it is the Charge Point's, UniqueId"""
_CP = Party.CHARGE_POINT


class Joining:
    """Of all Charge Points. `numbers` gives ids, for what nobody else gave one."""

    def __init__(self, numbers: count[int]) -> None:
        self._numbers = numbers
        self._wires: OrderedDict[Hop, list[Seen]] = OrderedDict()
        self._frames: OrderedDict[Hop, list[Seen]] = OrderedDict()  # those that are no Calls and no answers
        self._waiting = self._octets = 0
        self._open: dict[int, Joined] = {}
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

    def wire(self, seen: Seen) -> None:
        """Bytes went over a wire."""
        wire = seen.wire
        hop = (seen.identity, seen.party is _CP, wire.unique_id)
        awaited = self._awaited.get(hop, [])
        for index, (places, message) in enumerate(awaited):
            if (place := _place(wire, message.missing & places)) is not None:
                message.fill(place, seen)
                if not message.missing & places:  # of one UniqueId a hostile peer may make many messages
                    del awaited[index]
                return
        self._put(hop, seen)
        while self._waiting > _MOST or self._octets > _MOST_OCTETS:
            self._take(next(iter(self._wires or self._frames)))

    def ended(self, message: Joined) -> None:
        """A Call has ended, or an answer goes nowhere."""
        near, beyond = _hops(message)
        if message.missing & NEAR:
            self._claim(message, near, NEAR)
        if message.missing & BEYOND and beyond is not None:
            self._claim(message, beyond, BEYOND)
        self._open[message.number] = message

    def refused(
        self, number: int, now: float, hop: tuple[str, Party | None, str], why: str, peer: str | None, data: bytes
    ) -> None:
        """A message was turned away; `hop` as far as it is known."""
        identity, by, unique_id = hop
        message = joined.of_refusal(number, now, identity, by, unique_id, why, peer)
        if by is not None:
            message.missing = NEAR
            self._claim(message, (identity, by is _CP, unique_id), NEAR)
        if message.wires[RECEIVED] is None and data:
            transport: Transport = "soap" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else "json"
            wire = Wire(inbound=True, transport=transport, kind="other", unique_id=unique_id, data=data)
            message.fill(RECEIVED, Seen(now, identity, message.party, wire))
        if (seen := message.wires[RECEIVED]) is not None:
            message.action = seen.wire.action or joined.action_in(seen.wire.data)
        message.missing &= ~(1 << RECEIVED)
        self._open[number] = message

    def lost(self, at: float, identity: str, losses: Sequence[Loss]) -> None:
        """Writing a message cost something."""
        if len(self._losses) > _MOST:
            self._losses.clear()
        for loss in losses:
            self._losses.setdefault((identity, _action_of(loss)), []).append((at, loss))

    # What comes out.

    def done(self, now: float, *, at_once: bool = False) -> list[Joined]:
        """The messages that were whole the last time, so that what their writing cost has been told too, and those for
        which nothing came for a while. `at_once`: all of them; those that are not done come once more."""
        self._expire(now)
        ended: list[Joined] = []
        for message in self._open.values():
            if message.rested or now - message.ended >= GRACE:
                ended.append(message)
            else:
                message.rested = not message.missing
        for message in ended:
            self._release(message)
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
            place = _place(seen.wire, message.missing & places)
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
            self._octets -= len(seen.wire.data)
        return taken

    def _put(self, hop: Hop, seen: Seen) -> None:
        wire = seen.wire
        kept = self._frames if wire.kind == "other" else self._wires
        kept.setdefault(hop, []).append(seen)
        self._waiting += 1
        self._octets += len(wire.data)

    def _expire(self, now: float) -> None:
        """Frames that were only passed on are messages of their own; all else has lost its owner."""
        for hop in _older(self._wires, now - PATIENCE):
            self._take(hop)
        for hop in _older(self._frames, now - GRACE):
            for seen in self._take(hop):
                if seen.wire.inbound:
                    self._passed_on(seen)

    def _passed_on(self, seen: Seen) -> None:
        message = joined.of_frame(next(self._numbers), seen)
        message.fill(RECEIVED, seen)
        beyond = (seen.identity, seen.party is not _CP, seen.wire.unique_id)
        for other in self._take(beyond):
            if message.wires[SENT] is None and not other.wire.inbound and other.wire.data == seen.wire.data:
                message.fill(SENT, other)
            else:
                self._put(beyond, other)
        self._open[message.number] = message


def _older(kept: OrderedDict[Hop, list[Seen]], limit: float) -> list[Hop]:
    """Those that nothing was added to since `limit`, as far as they stand first."""
    return [hop for hop, wires in takewhile(lambda item: item[1][-1].at < limit, kept.items())]


def _place(wire: Wire, places: int) -> int | None:
    """Which of `places`, those of one hop, `wire` is for."""
    if wire.kind == "other":
        wanted = (RECEIVED if places & 1 << RECEIVED else ANSWER_RECEIVED) if wire.inbound else ANSWER_SENT
    elif wire.kind == "call":
        wanted = RECEIVED if wire.inbound else SENT
    else:
        wanted = ANSWER_RECEIVED if wire.inbound else ANSWER_SENT
    return wanted if places & 1 << wanted else None


def _hops(message: Joined) -> tuple[Hop, Hop | None]:
    """Towards the party that sent it, and towards the other."""
    identity, ours = message.identity, message.party is _CP
    beyond = None if message.hop_id is None else (identity, not ours, message.hop_id)
    return (identity, ours, message.unique_id), beyond


def _action_of(loss: Loss) -> str:
    return loss.message.removesuffix("Request").removesuffix("Response")
