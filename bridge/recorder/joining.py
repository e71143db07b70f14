"""Puts messages together: a Call's report says which bytes on which hops are its own. Pure.

In: what an Observer is told, in its order. Out: messages, whole as soon as all that belongs to them has come, or as
they are when nothing more came for a while. Bounded: what belongs to nothing is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count, takewhile

from bridge.core.commands import Drop, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.wire import Transport, Wire
from bridge.recorder import joined
from bridge.recorder.joined import ANSWER_RECEIVED, ANSWER_SENT, RECEIVED, SENT, Joined

# Seconds: what may still come of a message that has ended; how long bytes wait for the report that they belong to.
GRACE, PATIENCE = 1.0, 600.0
# Of bytes that wait.
_MOST, _MOST_OCTETS = 20_000, 64_000_000

Hop = tuple[str, Party, str]
"""identity, party, UniqueId"""
_Waiting = tuple[float, Wire]


class Joining:
    """Of all Charge Points. `numbers` gives ids, for what nobody else gave one."""

    def __init__(self, numbers: count[int]) -> None:
        self._numbers = numbers
        self._wires: OrderedDict[Hop, list[_Waiting]] = OrderedDict()
        self._frames: OrderedDict[Hop, list[_Waiting]] = OrderedDict()  # those that are no Calls and no answers
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

    def wire(self, at: float, identity: str, party: Party, wire: Wire) -> None:
        """Bytes went to `party`, or came from it."""
        hop = (identity, party, wire.unique_id)
        for place, message in self._awaited.get(hop, ()):
            if _place(wire, message.missing & {place}) is not None:
                message.fill(place, at, wire)
                return
        self._put(hop, (at, wire))
        while self._waiting > _MOST or self._octets > _MOST_OCTETS:
            self._take(next(iter(self._wires or self._frames)))

    def exchanged(self, number: int, now: float, identity: str, report: Report) -> None:
        """A Call has ended."""
        message = joined.of_report(number, now, identity, report)
        near = (identity, report.sender, report.call.unique_id)
        self._claim(message, near, {RECEIVED, ANSWER_SENT})
        if report.hop_id is not None:
            self._claim(message, (identity, report.sender.other, report.hop_id), {SENT, ANSWER_RECEIVED})
        self._open[number] = message

    def dropped(self, number: int, now: float, identity: str, drop: Drop) -> None:
        """An answer goes nowhere."""
        message = joined.of_drop(number, now, identity, drop)
        self._claim(message, (identity, drop.party, drop.unique_id), {ANSWER_RECEIVED})
        self._open[number] = message

    def refused(
        self, number: int, now: float, hop: tuple[str, Party | None, str], why: str, peer: str | None, data: bytes
    ) -> None:
        """A message was turned away; `hop` as far as it is known."""
        identity, by, unique_id = hop
        message = joined.of_refusal(number, now, identity, by, unique_id, why, peer)
        if by is not None:
            message.missing = {RECEIVED, ANSWER_SENT}
            self._claim(message, (identity, by, unique_id), {RECEIVED, ANSWER_SENT})
        if message.wires[RECEIVED] is None and data:
            transport: Transport = "soap" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else "json"
            wire = Wire(inbound=True, transport=transport, kind="other", unique_id=unique_id, data=data)
            message.fill(RECEIVED, now, wire)
        if (entry := message.wires[RECEIVED]) is not None:
            message.action = entry[1].action or joined.action_in(entry[1].data)
        message.missing.discard(RECEIVED)
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
        ended = [message for message in self._open.values() if message.rested or now - message.ended >= GRACE]
        for message in ended:
            self._release(message)
        for message in self._open.values():
            message.rested = not message.missing
        early = [*self._open.values()] if at_once else []
        for message in [*ended, *early]:
            self._attach(message)
        return [*ended, *early]

    def _attach(self, message: Joined) -> None:
        """What was lost in writing it: it is told by the name of the PDU."""
        if self._losses:
            told = self._losses.pop((message.identity, message.action), ())
            message.losses += [loss for at, loss in told if at >= message.at]

    def _release(self, message: Joined) -> None:
        del self._open[message.number]
        for hop in _hops(message):
            left = [entry for entry in self._awaited.get(hop, ()) if entry[1] is not message]
            if left:
                self._awaited[hop] = left
            else:
                self._awaited.pop(hop, None)

    # Bytes that wait.

    def _claim(self, message: Joined, hop: Hop, places: set[int]) -> None:
        """Take what has come over `hop`, the oldest first, and await the rest."""
        for at, wire in self._take(hop):
            place = _place(wire, message.missing & places)
            if place is None:
                self._put(hop, (at, wire))
            else:
                message.fill(place, at, wire)
        for place in message.missing & places:
            self._awaited.setdefault(hop, []).append((place, message))

    def _take(self, hop: Hop) -> list[_Waiting]:
        taken = self._wires.pop(hop, []) + self._frames.pop(hop, [])
        self._waiting -= len(taken)
        self._octets -= sum(len(wire.data) for _, wire in taken)
        return taken

    def _put(self, hop: Hop, entry: _Waiting) -> None:
        kept = self._frames if entry[1].kind == "other" else self._wires
        kept.setdefault(hop, []).append(entry)
        self._waiting += 1
        self._octets += len(entry[1].data)

    def _expire(self, now: float) -> None:
        """Frames that were only passed on are messages of their own; all else has lost its owner."""
        for hop in _older(self._wires, now - PATIENCE):
            self._take(hop)
        for hop in _older(self._frames, now - GRACE):
            for at, wire in self._take(hop):
                if wire.inbound:
                    self._passed_on(at, hop, wire)

    def _passed_on(self, at: float, hop: Hop, wire: Wire) -> None:
        identity, party, unique_id = hop
        message = joined.of_frame(next(self._numbers), at, identity, party)
        message.fill(RECEIVED, at, wire)
        beyond = (identity, party.other, unique_id)
        for entry in self._take(beyond):
            if message.wires[SENT] is None and not entry[1].inbound and entry[1].data == wire.data:
                message.fill(SENT, *entry)
            else:
                self._put(beyond, entry)
        self._open[message.number] = message


def _older(kept: OrderedDict[Hop, list[_Waiting]], limit: float) -> list[Hop]:
    """Those that nothing was added to since `limit`, as far as they stand first."""
    return [hop for hop, wires in takewhile(lambda item: item[1][-1][0] < limit, kept.items())]


def _place(wire: Wire, places: set[int]) -> int | None:
    """Which of `places`, those of one hop, `wire` is for."""
    if wire.inbound:
        wanted = ANSWER_RECEIVED if wire.kind in ("result", "error") else RECEIVED
        if wire.kind == "other":
            wanted = RECEIVED if RECEIVED in places else ANSWER_RECEIVED
    else:
        wanted = SENT if wire.kind == "call" else ANSWER_SENT
    return wanted if wanted in places else None


def _hops(message: Joined) -> list[Hop]:
    sender = Party.CHARGE_POINT if message.sender == Party.CHARGE_POINT.value else Party.CENTRAL_SYSTEM
    hops = [(message.identity, sender, message.unique_id)]
    return hops if message.hop_id is None else [*hops, (message.identity, sender.other, message.hop_id)]


def _action_of(loss: Loss) -> str:
    return loss.message.removesuffix("Request").removesuffix("Response")
