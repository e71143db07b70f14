"""What an operator does to a Charge Point: command it, hang up on it, give it to another Central System. All of it is
written down in the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus

from msgspec import Raw

from bridge.admin.facts import CallFailure, CallOutcome, Moved
from bridge.admin.problems import Refused
from bridge.core.links import Status
from bridge.errors import MessageError, Unavailable
from bridge.gateway.conductor import Conductor
from bridge.gateway.known import Ground, Known
from bridge.gateway.live import Live
from bridge.gateway.overview import SessionOverview
from bridge.gateway.sessions import mint
from bridge.gateway.ways import PostedWay, WebSocketWay
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.validation import refuse_losses
from bridge.ocppj.codec import CallFrame, decode_call

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
# Seconds that a move waits for the disk.
_PATIENCE = 5.0


class OperatorSteering:
    """Implements `bridge.admin.operations.Steering`. `rehouse` lets a Session whose place has changed move."""

    def __init__(
        self, ground: Ground, overview: SessionOverview, live: Live, rehouse: Callable[[Conductor], object]
    ) -> None:
        self._ground = ground
        self._overview = overview
        self._live = live
        self._rehouse = rehouse

    # Commands.

    async def call(self, identity: str, action: str, payload: Raw, who: str) -> CallOutcome:
        """Send a command, in the place of the Central System. Raises Refused."""
        known = self._overview.known(identity)
        call = _call(known, action, payload)
        try:
            conductor = _reachable(known)
            loop = asyncio.get_running_loop()
            began = loop.time()
            answer = await conductor.command(call)
            outcome = _outcome(call, answer, round((loop.time() - began) * 1000, 1))
        except Refused as refused:
            self._note(known, who, call, f"not done: {refused.detail}")
            raise
        except Unavailable as error:
            self._note(known, who, call, f"not done: {error.description}")
            headers = {"Retry-After": "5"}
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, error.description, headers=headers) from error
        self._note(known, who, call, outcome.outcome if outcome.error is None else f"error {outcome.error.code}")
        return outcome

    def _note(self, known: Known, who: str, call: Call, outcome: str) -> None:
        what = f"call {call.action}"
        self._ground.audit.add(known.identity, who=who, what=what, detail=call.unique_id, outcome=outcome)

    # Links.

    async def disconnect(self, identity: str, who: str) -> None:
        """Close its links, those that stay open. Raises Refused."""
        known = self._overview.known(identity)
        closed = [] if known.conductor is None else known.conductor.disconnect("disconnected by an operator")
        detail = ", ".join(party.value for party in closed)
        outcome = "done" if closed else "nothing was open"
        self._ground.audit.add(known.identity, who=who, what="disconnect", detail=detail, outcome=outcome)

    # Places.

    async def move(self, identity: str, central_system: str | None, who: str) -> Moved:
        """Give it to another Central System, or back. It moves as it would when the routes are read again: what is in
        flight ends where it is. Raises Refused."""
        known = self._overview.known(identity)
        if known.record is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"nothing is kept yet of the Charge Point {identity!r}; try again")
        if central_system is not None and central_system not in self._ground.settings().central_systems:
            text = f"no Central System of the configuration is called {central_system!r}"
            raise Refused(HTTPStatus.BAD_REQUEST, text, path="central_system")
        before = _place(known)
        kept = await _within(self._ground.keeping.move(known.identity, central_system))
        after = _place(Known(self._ground, None, known.record))
        if (conductor := self._ground.sessions.get(known.identity)) is not None:
            self._rehouse(conductor)
        detail = f"{before or 'nowhere'} -> {after or 'nowhere'}"
        what = "move back" if central_system is None else "move"
        outcome = "done" if kept else "done, but the store did not take it: it will not survive a restart"
        number = self._ground.audit.add(known.identity, who=who, what=what, detail=detail, outcome=outcome)
        self._live.moved(known.identity, after or "")
        return Moved(from_=before, to=after, audit_id=number, kept=kept)


def _call(known: Known, action: str, payload: Raw) -> Call:
    """The Call. Between two JSON parties it is sent as it is; all else must be what OCPP 1.6 has. Raises Refused."""
    frame = CallFrame(mint(), action, payload)
    if known.conductor is not None and isinstance(known.conductor.ways.get(CENTRAL_SYSTEM), WebSocketWay):
        return Call(unique_id=frame.unique_id, action=action, payload=UnopenedRequest(raw=payload))
    try:
        call = decode_call(frame, CENTRAL_SYSTEM, strict=False)
        # A slip of the pen in a name must not send something else.
        refuse_losses(call.losses)
    except MessageError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, error.description, path=error.path) from error
    return call


def _reachable(known: Known) -> Conductor:
    """Raises Refused if there is no way to the Charge Point. An address that did not answer last is tried again."""
    conductor = known.conductor
    if conductor is None:
        raise Refused(HTTPStatus.CONFLICT, f"the Charge Point {known.identity!r} is not connected now")
    way, link = conductor.ways.get(CHARGE_POINT), conductor.session.links[CHARGE_POINT]
    if isinstance(way, PostedWay):
        if way.address.to is None:
            raise Refused(HTTPStatus.CONFLICT, f"it cannot be called: {way.address.why_not}")
    elif way is None or link.status is not Status.UP:
        raise Refused(HTTPStatus.CONFLICT, f"the Charge Point is not connected now: {link.reason}")
    return conductor


def _outcome(call: Call, answer: Answer, ms: float) -> CallOutcome:
    """Raises Refused for no answer."""
    match answer:
        case CallResult(payload=payload):
            content = payload.raw if isinstance(payload, UnopenedResponse) else payload
            return CallOutcome(unique_id=call.unique_id, outcome="result", payload=content, ms=ms)
        case CallError(code=code, description=description, details=details):
            error = CallFailure(code=code, description=description, details=details)
            return CallOutcome(unique_id=call.unique_id, outcome="error", error=error, ms=ms)
        case Unanswered(reason=reason):
            raise Refused(HTTPStatus.GATEWAY_TIMEOUT, reason)


def _place(known: Known) -> str | None:
    placement = known.placement
    return None if placement is None else placement.central_system


async def _within(kept: Future[bool]) -> bool:
    """Whether the disk took it, as far as that can be said soon."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(kept)), _PATIENCE)
    except TimeoutError:
        return False
