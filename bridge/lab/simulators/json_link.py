"""The WebSocket of a simulated party: the Calls of both sides, each matched with its answer.

Frames are read while behaviours run. So a Call of the other side is served while one of ours waits for its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from typing import TypeAlias

from ocpp.messages import Call, CallError, CallResult, pack
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from bridge.lab.simulators import json_frame
from bridge.lab.simulators.wire import (
    Behaviour,
    CallRefused,
    Direction,
    Kind,
    Observer,
    Party,
    Payload,
    WireMessage,
    answer_of,
)
from bridge.net.tasks import Tasks

Frame: TypeAlias = Call | CallResult | CallError


class JsonLink:
    """The Calls and answers on one `websocket`, which is public so that a test can break the connection.

    Args:
        websocket: The open WebSocket.
        party: The party that this end of the WebSocket plays.
        find: Returns the behaviour for an action, or None.
        carried_out: Called with action and payload of each valid Call before its behaviour begins.
        object_to: Called with each breach of the specification or of a schema, by either side.
        observe: Called with each message on the wire.
    """

    def __init__(
        self,
        websocket: Connection,
        *,
        party: Party,
        find: Callable[[str], Behaviour | None],
        carried_out: Callable[[str, Payload], None],
        object_to: Callable[[str], None],
        observe: Observer | None,
    ) -> None:
        self.websocket = websocket
        self._party = party
        self._find = find
        self._carried_out = carried_out
        self._object_to = object_to
        self._observe = observe
        self._ours: dict[str, tuple[Call, float, asyncio.Future[Payload]]] = {}
        self._theirs: set[str] = set()
        self._tasks = Tasks()

    async def run(self) -> None:
        """Serve until the WebSocket is closed, then fail the Calls that wait for an answer."""
        try:
            async for text in self.websocket:
                self._take(text)
        except ConnectionClosed:
            pass  # the WebSocket closed without a closing handshake, which needs no other treatment
        finally:
            await self._tasks.close()
            for _, _, answer in self._ours.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the connection ended"))

    async def call(self, action: str, payload: Payload, within: float) -> Payload:
        """Send a Call to the other side and return the payload of the answer.

        Raises:
            Refused: The answer is a CALLERROR.
            ConnectionError: The connection ended.
            TimeoutError: No answer arrived within `within` seconds.
        """
        frame = Call(str(uuid.uuid4()), action, payload)
        answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._ours[frame.unique_id] = (frame, time.perf_counter(), answer)
        try:
            async with asyncio.timeout(within):
                await self._send(frame, action)
                return await answer
        except ConnectionClosed as error:
            raise ConnectionError("the connection ended") from error
        except TimeoutError as error:
            raise TimeoutError(f"{action}: no answer within {within} s") from error
        finally:
            del self._ours[frame.unique_id]
            if answer.done() and not answer.cancelled():
                answer.exception()  # marks the exception as retrieved: sending may fail before the answer is awaited

    def _take(self, text: str | bytes) -> None:
        """Process a received frame without waiting: a task does what takes time."""
        try:
            frame = json_frame.read(text)
        except ValueError as error:
            self._unreadable(text, str(error))
            return
        if isinstance(frame, Call):
            self._tell("received", frame, str(text), str(frame.action))
            self._serve(frame)
        else:
            self._answered(frame, str(text))

    def _unreadable(self, text: str | bytes, why: str) -> None:
        self._object_to(why)
        if unique_id := json_frame.id_in(text):
            refusal = json_frame.call_error(unique_id, CallRefused("FormationViolation", why))
            self._tasks.spawn(self._reply(refusal, ""), name="a refusal")

    def _serve(self, frame: Call) -> None:
        if frame.unique_id in self._theirs:
            # OCPP-J 1.6, 4.2.3: a second Call with the UniqueId of a Call in progress is refused, the first continues.
            self._object_to(f"{frame.action}: a Call with the UniqueId {frame.unique_id} is in progress")
            refusal = json_frame.call_error(
                frame.unique_id, CallRefused("GenericError", "this UniqueId is in progress")
            )
            self._tasks.spawn(self._reply(refusal, frame.action), name="a refusal")
            return
        if self._theirs:
            # OCPP-J 1.6, 4.1.1: one Call at a time in each direction.
            self._object_to(f"{frame.action} was sent while another Call is unanswered")
        self._theirs.add(frame.unique_id)
        objection = self._objection(frame)
        if objection is None:
            self._carried_out(frame.action, frame.payload)
        self._tasks.spawn(self._carry_out(frame, objection), name=f"{self._party} {frame.action}")

    def _objection(self, frame: Call) -> CallRefused | None:
        objection = json_frame.complaint(frame)
        if objection is not None:
            self._object_to(f"{frame.action}: {objection}")
        elif self._find(frame.action) is None:
            objection = CallRefused("NotImplemented", f"{frame.action} is not implemented here")
        return objection

    async def _carry_out(self, frame: Call, objection: CallRefused | None) -> None:
        behaviour = self._find(frame.action)
        answer: CallResult | CallError
        try:
            if objection is not None or behaviour is None:
                raise objection or CallRefused("NotImplemented")
            answer = CallResult(frame.unique_id, await answer_of(behaviour, frame.payload), action=frame.action)
        except CallRefused as refusal:
            answer = json_frame.call_error(frame.unique_id, refusal)
        except Exception as error:  # a behaviour may raise anything, and the other side must get an answer
            self._object_to(f"our own answer to {frame.action}: {error!r}")
            answer = json_frame.call_error(frame.unique_id, CallRefused("InternalError", repr(error)))
        # The Call ends before its answer is sent, because the next Call may arrive right after the answer.
        self._theirs.discard(frame.unique_id)
        await self._reply(answer, frame.action)

    def _answered(self, frame: CallResult | CallError, text: str) -> None:
        call, begun, answer = self._ours.get(frame.unique_id, (None, 0.0, None))
        elapsed = time.perf_counter() - begun if call else None
        self._tell("received", frame, text, call.action if call else "", elapsed)
        if call is None or answer is None or answer.done():
            self._object_to(f"an answer to no Call of ours that waits for one: {text}")
        elif isinstance(frame, CallError):
            answer.set_exception(json_frame.refused(frame))
        else:
            frame.action = call.action
            if objection := json_frame.complaint(frame):
                self._object_to(f"answer to {call.action}: {objection}")
            answer.set_result(frame.payload)

    async def _reply(self, answer: CallResult | CallError, action: str) -> None:
        with contextlib.suppress(ConnectionClosed):  # after the close, nobody can receive the answer
            await self._send(answer, action)

    async def _send(self, frame: Frame, action: str) -> None:
        """Send `frame`, even if it does not fit its schema, and report the breach: a test may send invalid frames."""
        if not isinstance(frame, CallError) and (objection := json_frame.complaint(frame)):
            self._object_to(f"our own {action}: {objection}")
        text = pack(frame)
        self._tell("sent", frame, text, action)
        await self.websocket.send(text)

    def _tell(self, direction: Direction, frame: Frame, text: str, action: str, elapsed: float | None = None) -> None:
        if self._observe is None:
            return
        kinds: dict[type, Kind] = {Call: "call", CallResult: "result", CallError: "error"}
        message = WireMessage(
            direction=direction,
            party=self._party,
            text=text,
            action=action,
            unique_id=frame.unique_id,
            kind=kinds[type(frame)],
            elapsed=elapsed,
        )
        self._observe(message)
