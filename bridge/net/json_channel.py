"""Calls and answers on one open WebSocket, dialled or accepted. This module decides only what OCPP-J itself prescribes.

Received frames go to the owner as Calls and answers. A frame that cannot be read as a Call is answered with a CALLERROR
here, because OCPP-J leaves no choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import time
from typing import Protocol

from msgspec import Struct
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.net.large import aside
from bridge.net.message_socket import MessageSocket
from bridge.net.websocket import WebSocketBounds
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot, DeviceProfile, plain_profile
from bridge.ocpp.message_size import takes_long
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import (
    Answer,
    Call,
    CallError,
    CallResult,
    Failure,
    Unanswered,
    UnopenedRequest,
    UnopenedResponse,
)
from bridge.ocpp.wire import Octets, Wires
from bridge.ocppj import codec, html
from bridge.ocppj.codec import CallFrame, ErrorFrame, Frame, FrameError, IgnoredFrame, ResultFrame

# The UniqueId in the answer to a frame whose UniqueId cannot be read. OCPP-J 1.6 leaves it open.
_NO_ID = "-1"
# Actions whose late answers are read all the same: the repetition of the Call gets them.
_WORTH_READING_LATE = frozenset({"StartTransaction", "StopTransaction"})
_MOST_LATE = 100
# The most octets of a broken frame in which a UniqueId is searched.
_BEGINNING = 200
# Actions whose payloads are read although they are passed on as they came, for the rules about repetitions and about
# the last messages of a Charge Point.
_READ_ON_THE_SIDE = frozenset({"BootNotification", "StartTransaction", "StatusNotification", "StopTransaction"})


class ChannelOwner(Protocol):
    """The receiver of all Calls and answers on a connection."""

    def on_call(self, call: Call) -> None:
        """Handle a Call of the other party."""

    def on_answer(self, answer: Answer, came: Octets | None) -> None:
        """Handle an answer of the other party. `came` is its frame, None if nobody records it."""

    def on_refused(self, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        """Handle the refusal of a frame. `unique_id` is None if it could not be read.

        `wires` holds the frame, None if nobody records it. The CALLERROR is added to it afterwards.
        """

    def on_other(self, data: bytes) -> None:
        """Handle a frame of an unknown message type on a connection whose payloads are passed on unread."""


def _unheard(boot: Boot) -> None:
    """Do nothing: no caller asked for BootNotifications."""


def _unhurried() -> float:
    """Return 0.0: the peer has no rate limit."""
    return 0.0


class ChannelTerms(Struct, frozen=True, kw_only=True):
    """The settings of one connection.

    Attributes:
        peer: The party at the other end.
        strict: Whether deviations of the peer from OCPP are refused.
        relay: Whether payloads are passed on as they came, between two JSON parties, and not read.
        html_escaped: Whether the peer escapes its texts for HTML, so that the escapes have to be removed.
        profile: Returns the current settings for the Charge Point.
        booted: Called with the fields of a BootNotification before its payload is read.
        records: Whether Calls and answers carry their frames, because somebody records them.
        bounds: The limits of the connection.
        pace: Called before a message is read. Returns 0.0, or the seconds after which it has to be called again.
    """

    peer: Party
    strict: bool = False
    relay: bool = False
    html_escaped: bool = False
    profile: Callable[[], DeviceProfile] = plain_profile
    booted: Callable[[Boot], None] = _unheard
    records: bool = False
    bounds: WebSocketBounds = WebSocketBounds()
    pace: Callable[[], float] = _unhurried


class _Asked(Struct, frozen=True):
    """A Call that was sent: its action, which its answer does not name, and who gets the answer."""

    unique_id: str
    action: str
    owner: ChannelOwner
    terms: ChannelTerms


class _Nobody:
    """The owner of a connection that has ended."""

    def on_call(self, call: Call) -> None:
        """Do nothing."""

    def on_answer(self, answer: Answer, came: Octets | None) -> None:
        """Do nothing."""

    def on_refused(self, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        """Do nothing."""

    def on_other(self, data: bytes) -> None:
        """Do nothing."""


_NOBODY = _Nobody()


class JsonChannel:
    """The Calls and answers on one WebSocket.

    Args:
        connection: The open WebSocket.
        owner: The receiver of the Calls and answers.
        terms: The settings.
    """

    def __init__(self, connection: MessageSocket, owner: ChannelOwner, terms: ChannelTerms) -> None:
        self._connection = connection
        self._owner = owner
        self._terms = terms
        self._asked: _Asked | None = None  # the one Call that is out (rule 9)
        self._asked_before: dict[str, _Asked] = {}

    @property
    def owner(self) -> ChannelOwner:
        """The receiver of the Calls, and of the answers to the Calls that it has sent."""
        return self._owner

    def hand_over(self, owner: ChannelOwner, terms: ChannelTerms) -> None:
        """Give later Calls to another owner. The answers to Calls that were sent before go to the earlier one."""
        self._owner, self._terms = owner, terms

    def leave(self) -> None:
        """Release the owners, which refer to this object, because the connection has ended."""
        self._owner, self._asked = _NOBODY, None
        self._asked_before.clear()

    def send(self, call: Call, earlier: tuple[ChannelOwner, ChannelTerms] | None = None) -> None:
        """Send `call` after earlier messages. A message that is unsent when the connection ends is lost.

        Args:
            call: The Call.
            earlier: The earlier owner that sends the Call, and its settings; None for the present owner.
        """
        self._ask(call, *(earlier or (self._owner, self._terms)))
        data = codec.encode(call)
        if call.wires is not None:
            call.wires.sent = Octets("json", time(), data)
        self.send_frame(data)

    def send_answer(self, answer: Answer, wires: Wires | None) -> None:
        """Send `answer`, as `send` does, and add its frame to the `wires` of the Call."""
        data = codec.encode(answer)
        if wires is not None:
            wires.answer_sent = Octets("json", time(), data)
        self.send_frame(data)

    def _came(self, data: bytes) -> Octets | None:
        """Return the octets of a frame that came, None if nobody records them."""
        return Octets("json", time(), data) if self._terms.records else None

    def _wires_of(self, data: bytes) -> Wires | None:
        """Return the Wires of a Call that came in the frame `data`, None if nobody records them."""
        return Wires(Octets("json", time(), data)) if self._terms.records else None

    def _ask(self, call: Call, owner: ChannelOwner, terms: ChannelTerms) -> None:
        if self._asked is not None and self._asked.action in _WORTH_READING_LATE:
            self._asked_before[self._asked.unique_id] = self._asked
            if len(self._asked_before) > _MOST_LATE:
                del self._asked_before[next(iter(self._asked_before))]
        self._asked = _Asked(call.unique_id, call.action, owner, terms)

    def send_frame(self, data: bytes) -> None:
        """Send a frame as it is, if the connection is open."""
        self._connection.send(data)

    def close(self, code: int, reason: str) -> None:
        """Close the connection after the frames that were sent before."""
        self._connection.close(code, reason)

    async def run(self) -> tuple[str, int | None]:
        """Carry frames until the connection ends.

        Returns: why it ended, and the close code of the other party, None if the connection broke or was given up.
        """
        connection = self._connection
        connection.receiver = self._receive_at_once
        while (data := await connection.recv()) is not None:
            # While this waits, the queue fills and the socket is not read, so that the sender has to wait.
            while pause := self._terms.pace():  # noqa: ASYNC110  no event could end the wait
                await asyncio.sleep(pause)
            if takes_long(data):
                await self._receive_large(data)
            else:
                self._receive(data)
            # Only now may new messages be handled at once, so that none overtakes a large message.
            connection.one_read()
        connection.receiver = None  # breaks the reference cycle, which would wait for the garbage collector
        end = connection.end
        return _why(end), None if end.rcvd is None else end.rcvd.code

    def _receive_at_once(self, data: bytes) -> bool:
        """Handle a message now. Return False if it has to wait, because it is large or comes too fast."""
        if takes_long(data) or self._terms.pace():
            return False
        self._receive(data)
        return True

    def _receive(self, data: bytes) -> None:
        frame, boot = self._framed(data)
        asked = self._asked_with(frame)
        reading = self._reading(frame, boot, data, asked)
        self._received(frame, data, None if reading is None else reading(), asked)

    async def _receive_large(self, data: bytes) -> None:
        """Handle a large message. A thread decodes it, once more if the connection was handed over meanwhile."""
        frame, boot = await aside(lambda: self._framed(data))
        asked, terms = self._asked_with(frame), None
        while terms is not self._terms:
            terms = self._terms
            reading = self._reading(frame, boot, data, asked)
            content = None if reading is None else await aside(reading)
        self._received(frame, data, content, asked)

    def _framed(self, data: bytes) -> tuple[Frame | FrameError, Boot | None]:
        """Return the frame in `data`, and what a BootNotification of the Charge Point in it says."""
        try:
            frame = codec.read_frame(data, self._terms.bounds.json_depth, self._terms.bounds.json_members)
        except FrameError as error:
            return error, None
        if self._terms.html_escaped:
            frame = html.undone(frame)
        if not isinstance(frame, CallFrame) or self._terms.peer is not Party.CHARGE_POINT or self._terms.relay:
            return frame, None
        return frame, codec.boot_of(frame)

    def _reading(
        self, frame: Frame | FrameError, boot: Boot | None, data: bytes, asked: _Asked | None
    ) -> Callable[[], _Content] | None:
        """Return the function that reads the payload, with the settings that hold now; None if there is no payload.

        Args:
            frame: The frame.
            boot: What a BootNotification of the Charge Point in it says.
            data: The octets of the frame.
            asked: The Call that it answers, None for none.
        """
        match frame:
            case CallFrame() if not self._terms.relay:
                if boot is not None:
                    self._terms.booted(boot)
                wires = self._wires_of(data)
                return partial(_call, frame, self._terms.peer, self._terms.strict, self._terms.profile(), wires)
            case CallFrame():
                return partial(_passed_on, frame, self._terms.peer, self._terms.profile(), self._wires_of(data))
            case ResultFrame():
                if asked is None:
                    return partial(_answer_to_nothing, frame)
                terms = asked.terms
                if not terms.relay:
                    return partial(_result, frame, asked.action, terms.strict, terms.profile())
                return partial(_result_passed_on, frame, asked.action, terms.profile())
        return None

    def _received(self, frame: Frame | FrameError, data: bytes, content: _Content | None, asked: _Asked | None) -> None:
        asker = self._owner if asked is None else asked.owner
        match frame:
            case FrameError():
                self._refuse_frame(frame, data)
            case CallFrame() if isinstance(content, Call):
                self._owner.on_call(content)
            case CallFrame() if isinstance(content, MessageError):
                self._refuse(content, frame.unique_id, data)
            case ResultFrame():
                assert isinstance(content, CallResult | CallError | Unanswered)
                asker.on_answer(content, self._came(data))
            case ErrorFrame():
                asker.on_answer(frame.error, self._came(data))
            case IgnoredFrame():
                self._ignored(frame, data)

    def _refuse_frame(self, error: FrameError, data: bytes) -> None:
        """Answer a broken Call with a CALLERROR, or end the Call that a broken answer was meant for.

        OCPP-J 1.6 section 4.2.3: a CALLERROR answers a CALL, never an answer. The Call ends now, not at its deadline.
        """
        answered = codec.answered_by(data)
        if not answered and error.unique_id is None and self._names_call_out(data):
            assert self._asked is not None
            answered = self._asked.unique_id
        if answered is None:
            self._refuse(error, error.unique_id, data)
            return
        self._owner.on_refused(error, answered or None, self._wires_of(data))
        if answered:
            asked = self._asked if self._asked is not None and self._asked.unique_id == answered else None
            asker = self._owner if asked is None else asked.owner
            asker.on_answer(_malformed(answered, error.description), None)

    def _names_call_out(self, data: bytes) -> bool:
        """Return whether the beginning of a broken frame has the UniqueId of the Call that is out."""
        return self._asked is not None and self._asked.unique_id.encode() in data[:_BEGINNING]

    def _ignored(self, frame: IgnoredFrame, data: bytes) -> None:
        if self._terms.relay:
            self._owner.on_other(data)
        else:
            error = MessageError(ErrorCode.FormationViolation, frame.reason)
            self._owner.on_refused(error, None, self._wires_of(data))

    def _asked_with(self, frame: Frame | FrameError) -> _Asked | None:
        """Return the Call that a frame answers; None if it answers none, or if the answer is of no use."""
        match frame:
            case ResultFrame(unique_id=unique_id) | ErrorFrame(error=CallError(unique_id=unique_id)):
                if self._asked is not None and self._asked.unique_id == unique_id:
                    return self._asked
                return self._asked_before.pop(unique_id, None)
        return None

    def _refuse(self, error: MessageError, unique_id: str | None, data: bytes) -> None:
        wires = self._wires_of(data)
        self._owner.on_refused(error, unique_id, wires)
        self.send_answer(CallError.of(unique_id or _NO_ID, error), wires)


# The results of reading a payload: a Call or the error in it, or an answer.
_Content = Call | MessageError | CallResult | CallError | Unanswered


def _call(
    frame: CallFrame, peer: Party, strict: bool, profile: DeviceProfile, wires: Wires | None
) -> Call | MessageError:
    try:
        return codec.decode_call(frame, peer, strict=strict, profile=profile, wires=wires)
    except MessageError as error:
        return error


def _passed_on(frame: CallFrame, peer: Party, profile: DeviceProfile, wires: Wires | None) -> Call:
    """Return a Call whose payload is passed on as it came. For some actions the payload is read as well."""
    read: Request | None = None
    if frame.action in _READ_ON_THE_SIDE:
        with suppress(MessageError):  # its receiver decides whether it is valid
            read = codec.decode_call(frame, peer, strict=False, profile=profile).payload
    payload = UnopenedRequest(raw=frame.payload, read=read)
    return Call(unique_id=frame.unique_id, action=frame.action, payload=payload, wires=wires)


def _result(frame: ResultFrame, action: str, strict: bool, profile: DeviceProfile) -> CallResult | Unanswered:
    try:
        return codec.decode_result(frame, action, strict=strict, profile=profile)
    except MessageError as error:
        # OCPP-J 1.6 section 4.2.3: a CALLERROR answers a CALL, never an answer. So the Call ends without a verdict.
        return _malformed(frame.unique_id, f"the answer to {action} is not valid: {error.description}")


def _result_passed_on(frame: ResultFrame, action: str, profile: DeviceProfile) -> CallResult:
    read: Response | None = None
    if action in _READ_ON_THE_SIDE:
        with suppress(MessageError):
            read = codec.decode_result(frame, action, strict=False, profile=profile).payload
    payload = UnopenedResponse(raw=frame.payload, read=read)
    return CallResult(unique_id=frame.unique_id, payload=payload)


def _answer_to_nothing(frame: ResultFrame) -> Unanswered:
    return Unanswered(unique_id=frame.unique_id, reason="an answer to a Call that is not out")


def _malformed(unique_id: str, reason: str) -> Unanswered:
    """Return an Unanswered: an answer that cannot be read gives no verdict on the Call."""
    text = f"malformed answer: {reason}"[:255]
    return Unanswered(unique_id=unique_id, reason=text, failure=Failure.MALFORMED_ANSWER)


def _why(closed: ConnectionClosed) -> str:
    if isinstance(closed, ConnectionClosedOK):
        return "it closed the connection"
    if closed.rcvd is not None:
        return f"it closed the connection ({closed.rcvd.code} {closed.rcvd.reason})".replace(" )", ")")
    if closed.sent is not None:  # an unanswered ping, a frame over the limit
        return f"the connection was given up ({closed.sent.code} {closed.sent.reason})".replace(" )", ")")
    return "the connection broke"
