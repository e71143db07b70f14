"""One open WebSocket, whoever dialled: frames in and out, in order. Decides only what OCPP-J itself decides.

What comes in is told to the owner as a Call or an answer; what cannot be one is answered with a CALLERROR here, since
OCPP-J leaves no choice about it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.protocol import Side, State

from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.manners import Boot, Manners, plain_manners
from bridge.ocpp.rpc import (
    Answer,
    Call,
    CallError,
    CallResult,
    Unanswered,
    UnopenedRequest,
    UnopenedResponse,
    unopened,
)
from bridge.ocpp.wire import SEEN, Kind, Tap
from bridge.ocppj import codec
from bridge.ocppj.bounds import Bounded, Bounds
from bridge.ocppj.codec import CallFrame, ErrorFrame, FrameError, IgnoredFrame, ResultFrame
from bridge.ocppj.frames import text_frame
from bridge.tasks import Tasks

# What stands for the UniqueId of a frame that has none that can be read. OCPP-J 1.6 leaves that open.
_NO_ID = "-1"
# Calls of which an answer that comes too late is read all the same: the one who asks again gets it.
_WORTH_READING_LATE = frozenset({"StartTransaction", "StopTransaction"})
_MOST_LATE = 100
# What was meant to be an answer, whatever is wrong with it.
_ANSWER = re.compile(rb"\s*\[\s*[34]\b")


class Owner(Protocol):
    """Who is told what happens on a Link."""

    def on_call(self, call: Call) -> None:
        """The other party sent a Call."""

    def on_answer(self, answer: Answer) -> None:
        """The other party answered."""

    def on_refused(self, error: BridgeError, unique_id: str | None) -> None:
        """A frame was refused."""

    def on_other(self, data: bytes) -> None:
        """A frame of a kind that OCPP-J 1.6 does not have, on a Link that relays."""


def _unheard(boot: Boot) -> None:
    """Nobody wants to know."""


def _unhurried() -> float:
    """It may send as much as it likes."""
    return 0.0


class Terms(Struct, frozen=True, kw_only=True):
    """`peer` is the party at the other end; `strict` reads what it sends without tolerance; `relay` does not read it at
    all, but passes payloads on as they are (between two JSON parties). `manners` gives what holds at the time; `booted`
    is told of a BootNotification before it is read; `tap` of every frame, if anybody wants to know. `pace` is asked
    before each message is read: 0.0, or for how many seconds reading pauses, and is asked again then."""

    peer: Party
    strict: bool = False
    relay: bool = False
    manners: Callable[[], Manners] = plain_manners
    booted: Callable[[Boot], None] = _unheard
    tap: Tap | None = None
    bounds: Bounds = Bounds()
    pace: Callable[[], float] = _unhurried


class Link:
    """The traffic of one connection. `run` returns when it is over, with the reason."""

    def __init__(self, connection: Bounded, owner: Owner, terms: Terms) -> None:
        self._connection = connection
        self._owner = owner
        self._terms = terms
        self._tap = terms.tap
        self._tasks = Tasks()
        self._masks = connection.protocol.side is Side.CLIENT
        # The one Call that is out (rule 9), so that its answer can be read: a frame does not say what it answers.
        self._asked: tuple[str, str] | None = None
        self._asked_before: dict[str, str] = {}

    def send(self, message: Call | Answer) -> None:
        """Send it after what was sent before. What is still unsent when the connection ends is lost with it."""
        kind: Kind = "call"
        if isinstance(message, Call):
            self._ask(message)
        else:
            kind = "result" if isinstance(message, CallResult) else "error"
        data = codec.encode(message)
        if self._tap is not None and unopened(message) is None:
            self._tell(False, kind, message.unique_id, data)
        self.send_frame(data)

    def _tell(self, inbound: bool, kind: Kind, unique_id: str, data: bytes, action: str | None = None) -> None:
        if (tap := self._tap) is not None:
            tap.tell((SEEN, tap.end, tap.clock(), inbound, "json", kind, unique_id, action, data))

    def _ask(self, call: Call) -> None:
        if self._asked is not None and self._asked[1] in _WORTH_READING_LATE:
            self._asked_before[self._asked[0]] = self._asked[1]
            if len(self._asked_before) > _MOST_LATE:
                del self._asked_before[next(iter(self._asked_before))]
        self._asked = (call.unique_id, call.action)

    def send_frame(self, data: bytes) -> None:
        """Send a frame as it is, if the connection is open. A peer that does not read what waits for it is given up."""
        connection, most = self._connection, self._terms.bounds.max_unsent
        if connection.transport.get_write_buffer_size() > most:
            connection.give_up(f"more than {most} octets wait for it to read")
            return
        # It is written at once, and without a task: what waits for the peer is bounded above.
        if connection.protocol.state is State.OPEN:
            connection.transport.write(text_frame(data, masked=self._masks))

    def close(self, code: int, reason: str) -> None:
        """Close the connection, behind what was sent before."""
        # RFC 6455 section 5.5.1: a control frame has 125 bytes at most, two of them the code.
        text = reason.encode()[:120].decode(errors="ignore")
        self._tasks.spawn(self._connection.close(code, text), name="closing")

    async def run(self) -> str:
        """Carry frames until the connection ends. Returns why it did."""
        try:
            self._connection.receiver = self._receive_at_once
            async for message in self._connection:
                # What is not read here is not read from the socket either, and the sender has to wait.
                while pause := self._terms.pace():  # noqa: ASYNC110  time is all there is to wait for
                    await asyncio.sleep(pause)
                self._connection.one_read()
                self._receive(message.encode() if isinstance(message, str) else message)
        except ConnectionClosed as closed:
            return _why(closed)
        finally:
            await self._tasks.close()
        return "it closed the connection"

    def _receive_at_once(self, data: bytes) -> bool:
        """Unless it comes too fast: then it has to wait for its turn."""
        if self._terms.pace():
            return False
        self._receive(data)
        return True

    def _receive(self, data: bytes) -> None:
        try:
            frame = codec.read_frame(data, self._terms.bounds.json_depth)
        except FrameError as error:
            self._tell(True, "other", error.unique_id or "", data)
            # OCPP-J 1.6 section 4.2.3: a CALLERROR answers a CALL, never an answer.
            refuse = self._owner.on_refused if _is_answer(data) else self._refuse
            refuse(error, error.unique_id)
            return
        match frame:
            case CallFrame():
                self._receive_call(frame, data)
            case ResultFrame():
                answer = self._result(frame, data)
                if self._tap is not None and unopened(answer) is None:
                    self._tell(True, "result", frame.unique_id, data)
                self._owner.on_answer(answer)
            case ErrorFrame():
                self._tell(True, "error", frame.unique_id, data)
                self._owner.on_answer(frame.error)
            case IgnoredFrame():
                self._tell(True, "other", "", data)
                if self._tap is not None:
                    self._tap.settle()  # no Call of it ends
                self._ignored(frame, data)

    def _ignored(self, frame: IgnoredFrame, data: bytes) -> None:
        if self._terms.relay:
            self._owner.on_other(data)
        else:
            self._owner.on_refused(MessageError(ErrorCode.FormationViolation, frame.reason), None)

    def _receive_call(self, frame: CallFrame, data: bytes) -> None:
        if self._terms.relay:
            payload = UnopenedRequest(raw=frame.payload, frame=data)
            self._owner.on_call(Call(unique_id=frame.unique_id, action=frame.action, payload=payload))
            return
        self._tell(True, "call", frame.unique_id, data, frame.action)
        try:
            call = self._call(frame)
        except MessageError as error:
            self._refuse(error, frame.unique_id)
        else:
            self._owner.on_call(call)

    def _call(self, frame: CallFrame) -> Call:
        if (boot := codec.boot_of(frame)) is not None and self._terms.peer is Party.CHARGE_POINT:
            self._terms.booted(boot)
        return codec.decode_call(frame, self._terms.peer, strict=self._terms.strict, manners=self._terms.manners())

    def _result(self, frame: ResultFrame, data: bytes) -> Answer:
        action = self._action_of(frame.unique_id)
        if action is None:
            return Unanswered(unique_id=frame.unique_id, reason="an answer to a Call that is not out")
        if self._terms.relay:
            return CallResult(unique_id=frame.unique_id, payload=UnopenedResponse(raw=frame.payload, frame=data))
        try:
            strict, manners = self._terms.strict, self._terms.manners()
            return codec.decode_result(frame, action, strict=strict, manners=manners)
        except MessageError as error:
            # OCPP-J 1.6 section 4.2.3: a CALLERROR answers a CALL, never an answer. Who asked is told instead.
            text = f"the answer to {action} is not valid: {error.description}"
            return CallError.of(frame.unique_id, BridgeError(ErrorCode.InternalError, text))

    def _action_of(self, unique_id: str) -> str | None:
        """What a frame with this UniqueId answers; None for nothing that is of use."""
        if self._asked is not None and self._asked[0] == unique_id:
            return self._asked[1]
        return self._asked_before.pop(unique_id, None)

    def _refuse(self, error: MessageError, unique_id: str | None) -> None:
        self._owner.on_refused(error, unique_id)
        self.send(CallError.of(unique_id or _NO_ID, error))


def _is_answer(data: bytes) -> bool:
    return _ANSWER.match(data[:40]) is not None


def _why(closed: ConnectionClosed) -> str:
    if closed.rcvd is not None:
        return f"it closed the connection ({closed.rcvd.code} {closed.rcvd.reason})".replace(" )", ")")
    if closed.sent is not None:  # an unanswered ping, a frame over the limit
        return f"the connection was given up ({closed.sent.code} {closed.sent.reason})".replace(" )", ")")
    return "the connection broke"
