"""The actions of operators on a Charge Point: send a Call, disconnect, remove, move.

Each action is recorded in the audit.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from msgspec import Raw

from bridge.admin.facts import CallFailure, CallOutcome, Moved
from bridge.admin.problems import RequestRefused
from bridge.core.links import Status
from bridge.core.moves import MoveTime
from bridge.errors import MessageError, Unavailable
from bridge.gateway.known import KnownChargePoints, ViewSources
from bridge.gateway.provisioning import Provisioning
from bridge.gateway.route_choices import RouteChoices, within
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.sessions import mint
from bridge.gateway.views import SessionViews
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.tenants import identity_of
from bridge.ocpp.validation import refuse_losses
from bridge.ocppj.codec import CallFrame, decode_call
from bridge.watching.masking import masked

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
# The characters of the payload of a Call that the audit has.
_SENT = 200


class OperatorActions:
    """Implements `bridge.admin.operations.Actions`."""

    def __init__(
        self,
        ground: ViewSources,
        overview: SessionViews,
        choices: RouteChoices,
        fleet: Provisioning,
    ) -> None:
        self._ground = ground
        self._overview = overview
        self._choices = choices
        self._fleet = fleet

    # Calls.

    async def call(self, identity: str, action: str, payload: Raw, who: str) -> CallOutcome:
        """Send a Call in the place of the Central System. Raises RequestRefused."""
        known = self._overview.known(identity)
        call = _call(known, action, payload)
        try:
            runner = _reachable(known)
            loop = asyncio.get_running_loop()
            began = loop.time()
            answer = await runner.command(call)
            outcome = _outcome(call, answer, round((loop.time() - began) * 1000, 1))
        except RequestRefused as refused:
            self._note(known, who, call, payload, f"not done: {refused.detail}")
            raise
        except Unavailable as error:
            self._note(known, who, call, payload, f"not done: {error.description}")
            headers = {"Retry-After": "5"}
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, error.description, headers=headers) from error
        ended = outcome.outcome if outcome.error is None else f"error {outcome.error.code}"
        self._note(known, who, call, payload, ended)
        return outcome

    def _note(self, known: KnownChargePoints, who: str, call: Call, payload: Raw, outcome: str) -> None:
        """Note a Call in the audit, with the beginning of what was sent. It is masked as a recorded message is."""
        what, id_tags = f"call {call.action}", self._ground.settings().recorder.mask_id_tags
        sent = masked(bytes(payload), id_tags=id_tags).decode(errors="replace")
        sent = sent if len(sent) <= _SENT else f"{sent[:_SENT]}…"
        self._ground.audit.add(known.identity, who=who, what=what, detail=f"{sent} {call.unique_id}", outcome=outcome)

    # Links.

    async def disconnect(self, identity: str, who: str) -> None:
        """Close the open WebSockets of a Charge Point and its Central System. Raises RequestRefused."""
        known = self._overview.known(identity)
        closed = [] if known.runner is None else known.runner.disconnect("disconnected by an operator")
        detail = ", ".join(party.value for party in closed)
        outcome = "done" if closed else "nothing was open"
        self._ground.audit.add(known.identity, who=who, what="disconnect", detail=detail, outcome=outcome)

    async def remove(self, identity: str, who: str) -> None:
        """Disconnect a Charge Point, and delete all that is known of it except its audit records.

        That includes the settings that an operator gave it. Those in the configuration file stay. Calls in progress end
        on their present route.

        Raises:
            RequestRefused: The Charge Point is not known, and no operator gave it settings.
        """
        async with self._fleet.turn:
            name = self._fleet.has(identity)
            if not name:
                known = self._overview.known(identity)
                if not known.was_seen:
                    named = identity_of(identity)
                    text = f"nothing is kept of the Charge Point {named!r}, which is in the configuration file"
                    raise RequestRefused(HTTPStatus.NOT_FOUND, text)
                name = known.identity
            withdrawn = self._fleet.withdraw(name)
            removal = self._ground.sessions.remove(name, "removed by an operator")
        kept = await within(removal)
        outcome = "done" if kept else "done, but the store did not take it: it is known again after a restart"
        detail = "with its settings" if withdrawn else ""
        self._ground.audit.add(name, who=who, what="remove", detail=detail, outcome=outcome)

    # Moves.

    async def move(self, identity: str, central_system: str, when: MoveTime, who: str) -> Moved:
        """Move a Charge Point to another Central System.

        The Charge Point moves as after a change of the Routes: Calls in progress end on their present route.

        Args:
            identity: The identity of the Charge Point.
            central_system: The name of the Central System.
            when: "now", or "idle" for as soon as no transaction is open.
            who: The operator.

        Raises:
            RequestRefused: The Central System is not configured or cannot serve the Charge Point, or no Route takes it.
        """
        return await self._choices.choose(identity, central_system, when=when, who=who)

    async def move_back(self, identity: str, who: str) -> Moved:
        """Move a Charge Point to the Central System of its Route at once. Raises RequestRefused if it is not known."""
        known = self._overview.known(identity)
        return await self._choices.choose(known.identity, None, when="now", who=who)


def _call(known: KnownChargePoints, action: str, payload: Raw) -> Call:
    """Return the Call to send.

    Between two JSON parties the payload is sent as it is. Otherwise it must be valid in OCPP 1.6.

    Raises:
        RequestRefused: The payload is not valid.
    """
    frame = CallFrame(mint(), action, payload)
    if known.runner is not None and known.runner.session.relays:
        return Call(unique_id=frame.unique_id, action=action, payload=UnopenedRequest(raw=payload))
    try:
        call = decode_call(frame, CENTRAL_SYSTEM, strict=False)
        # A field with a misspelt name would be lost, so that another Call is sent than the operator meant.
        refuse_losses(call.losses)
    except MessageError as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, error.description, path=error.path) from error
    return call


def _reachable(known: KnownChargePoints) -> SessionRunner:
    """Return the SessionRunner. A callback address that did not answer the last time is tried again.

    Raises:
        RequestRefused: The Charge Point cannot be reached.
    """
    runner = known.runner
    if runner is None:
        text = f"the Charge Point {identity_of(known.identity)!r} is not connected now"
        raise RequestRefused(HTTPStatus.CONFLICT, text)
    callback, link = runner.charge_point.callback, runner.session.links[CHARGE_POINT]
    if callback is not None:
        if callback.to is None:
            raise RequestRefused(HTTPStatus.CONFLICT, f"it cannot be called: {callback.why_not}")
    elif link.status is not Status.UP:
        raise RequestRefused(HTTPStatus.CONFLICT, f"the Charge Point is not connected now: {link.reason}")
    return runner


def _outcome(call: Call, answer: Answer, ms: float) -> CallOutcome:
    """Return the outcome for the API. Raises RequestRefused if there was no answer."""
    match answer:
        case CallResult(payload=payload):
            content = payload.raw if isinstance(payload, UnopenedResponse) else payload
            return CallOutcome(unique_id=call.unique_id, outcome="result", payload=content, ms=ms)
        case CallError(code=code, description=description, details=details):
            error = CallFailure(code=code, description=description, details=details)
            return CallOutcome(unique_id=call.unique_id, outcome="error", error=error, ms=ms)
        case Unanswered(reason=reason):
            raise RequestRefused(HTTPStatus.GATEWAY_TIMEOUT, reason)
