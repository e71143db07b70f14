"""One WebSocket of a simulated party: the Calls of both sides, each matched with its answer.

Reads on while behaviours run, so that a Call of the other side is served while one of ours waits for its answer.
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

from bridge.simulators import json_frame
from bridge.simulators.wire import (
    Behaviour,
    Direction,
    Kind,
    Observer,
    Party,
    Payload,
    Refused,
    WireMessage,
    answer_of,
)
from bridge.tasks import Tasks

Frame: TypeAlias = Call | CallResult | CallError


class JsonLink:
    """`websocket` is public so that a test can break it.

    find         the behaviour for an action, None when there is none
    carried_out  told action and payload of each Call before its behaviour begins
    object_to    told each breach of the specification or of a schema, of either side
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
        """Serve until the WebSocket is closed; then nobody who waits for an answer waits on."""
        try:
            async for text in self.websocket:
                self._take(text)
        except ConnectionClosed:
            pass  # without a closing handshake: as good an end as any
        finally:
            await self._tasks.close()
            for _, _, answer in self._ours.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the connection ended"))

    async def call(self, action: str, payload: Payload, within: float) -> Payload:
        """Ask the other side. Raises Refused for a CALLERROR, ConnectionError, TimeoutError (`within` seconds)."""
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
                answer.exception()  # seen, even if sending failed before anybody waited for it

    def _take(self, text: str | bytes) -> None:
        """A frame came in. Waits for nothing: what takes time becomes a task."""
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
            refusal = json_frame.call_error(unique_id, Refused("FormationViolation", why))
            self._tasks.spawn(self._reply(refusal, ""), name="a refusal")

    def _serve(self, frame: Call) -> None:
        if frame.unique_id in self._theirs:
            # OCPP-J 1.6, 4.2.3: a second Call with the id of one in progress is refused, the first goes on.
            self._object_to(f"{frame.action}: a Call with the UniqueId {frame.unique_id} is in progress")
            refusal = json_frame.call_error(frame.unique_id, Refused("GenericError", "this UniqueId is in progress"))
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

    def _objection(self, frame: Call) -> Refused | None:
        objection = json_frame.complaint(frame)
        if objection is not None:
            self._object_to(f"{frame.action}: {objection}")
        elif self._find(frame.action) is None:
            objection = Refused("NotImplemented", f"{frame.action} is not implemented here")
        return objection

    async def _carry_out(self, frame: Call, objection: Refused | None) -> None:
        behaviour = self._find(frame.action)
        answer: CallResult | CallError
        try:
            if objection is not None or behaviour is None:
                raise objection or Refused("NotImplemented")
            answer = CallResult(frame.unique_id, await answer_of(behaviour, frame.payload), action=frame.action)
        except Refused as refusal:
            answer = json_frame.call_error(frame.unique_id, refusal)
        except Exception as error:  # a behaviour is anybody's code, and the other side must hear of its end
            self._object_to(f"our own answer to {frame.action}: {error!r}")
            answer = json_frame.call_error(frame.unique_id, Refused("InternalError", repr(error)))
        # No longer in progress once the answer is on its way: the next Call may come on its heels.
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
        with contextlib.suppress(ConnectionClosed):  # then nobody is left to be told
            await self._send(answer, action)

    async def _send(self, frame: Frame, action: str) -> None:
        """Ours, too, are held against the schema, but sent whatever it says: a test may want to see the worst."""
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
