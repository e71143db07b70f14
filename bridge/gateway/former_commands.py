"""What a former Central System of a Charge Point may command, and how it gets the Calls that are its own.

See design/central-systems.md M1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import structs

from bridge.core.answers import readdressed
from bridge.core.commands import Outcome, Report
from bridge.core.former import refusal_of
from bridge.core.policies import PolicyRule
from bridge.errors import MessageError, Unavailable
from bridge.gateway.placement import Placement
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocppj.codec import CallFrame, ResultFrame, decode_call, decode_result


def read_for(placement: Placement, call: Call) -> Call | CallError:
    """Return a Call of another Session of the Charge Point in the form that the Central System of `placement` needs.

    A payload that passes unread between two JSON parties is read for a Central System that speaks SOAP. What is no
    valid request is answered with a CallError.
    """
    if placement.speaks_json or not isinstance(call.payload, UnopenedRequest):
        return call
    frame = CallFrame(call.unique_id, call.action, call.payload.raw)
    try:
        return decode_call(frame, Party.CHARGE_POINT, strict=placement.strict, wires=call.wires)
    except MessageError as error:
        return CallError.of(call.unique_id, error)


def answer_for(placement: Placement, call: Call, answer: Answer) -> Answer:
    """Return the answer of the Charge Point to a command in the form that the Central System of `placement` needs.

    An answer that cannot be read is no verdict.
    """
    if placement.speaks_json or not isinstance(answer, CallResult) or not isinstance(answer.payload, UnopenedResponse):
        return answer
    frame = ResultFrame(answer.unique_id, answer.payload.raw)
    try:
        return decode_result(frame, call.action, strict=placement.strict)
    except MessageError as error:
        reason = f"malformed answer: {error.description}"
        return Unanswered(unique_id=answer.unique_id, reason=reason, failure=Failure.MALFORMED_ANSWER)


class PresentSession(Protocol):
    """The Session of a Charge Point with its present Central System."""

    async def command(self, call: Call, policy: PolicyRule | None = None) -> Answer:
        """Send `call` to the Charge Point. Raises Unavailable."""


class FormerCommands:
    """Refuses the commands of a former Central System, and passes on those for transactions of its own.

    Args:
        placement: The Charge Point at the Central System.
        present: Returns the present Session of the Charge Point, None if it has none.
        permitted: Returns a command as the Charge Point gets it, None if it is to be refused.
        policy_for: Returns the policy for a command.
        tasks: Owns the tasks of the commands that are passed on.
        mint: Returns a fresh UniqueId.
        answer: Sends the answer to the Call with a key.
        refused: Receives the report of a command that is refused.
        now: Returns the time on the clock of the events, in seconds.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        present: Callable[[], PresentSession | None],
        permitted: Callable[[Call], Call | None],
        policy_for: Callable[[Call], PolicyRule | None],
        tasks: Tasks,
        mint: Callable[[], str],
        answer: Callable[[str, Answer, Call], None],
        refused: Callable[[Report], None],
        now: Callable[[], float],
    ) -> None:
        self._placement = placement
        self._present = present
        self._permitted = permitted
        self._policy_for = policy_for
        self._tasks = tasks
        self._mint = mint
        self._answer = answer
        self._refused = refused
        self._now = now
        self._passed_on: set[str] = set()  # the keys of the commands that wait for the Charge Point

    def received(self, key: str, call: Call) -> None:
        """Refuse a command, or pass it on. Its answer goes to `key`."""
        allowed, present = self._permitted(call), self._present()
        if allowed is None or present is None:
            self._refuse(key, call)
        elif key not in self._passed_on:  # one answer serves a frame and its repetitions (rule 19)
            self._passed_on.add(key)
            self._tasks.spawn(
                self._pass_on(key, call, allowed, present), name=f"{call.action} to {self._placement.identity}"
            )

    def _refuse(self, key: str, call: Call) -> None:
        answer, now = refusal_of(call), self._now()
        self._answer(key, answer, call)
        self._refused(
            Report(
                sender=Party.CENTRAL_SYSTEM,
                call=call,
                outcome=Outcome.REFUSED,
                arrived=now,
                ended=now,
                answer=answer,
            )
        )

    async def _pass_on(self, key: str, call: Call, allowed: Call, present: PresentSession) -> None:
        # Another Central System may use the same UniqueId at this moment.
        renamed = structs.replace(allowed, unique_id=self._mint())
        try:
            answer = await present.command(renamed, self._policy_for(renamed))
        except Unavailable as error:
            answer = Unanswered(unique_id="", reason=error.description, failure=Failure.REFUSED_HERE)
        finally:
            self._passed_on.discard(key)
        told = answer_for(self._placement, call, answer)
        self._answer(key, readdressed(told, call.unique_id), call)
