"""Send the Charge Point's Calls of a trace to a Central System again, and report differences of the answers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from bridge.lab.simulators.wire import Behaviour, CallRefused, Payload
from bridge.lab.trace.plan import RecordedCall, ReplayedTransactions, ReplayPlan, ReplayStep
from bridge.ocpp.comparison import PlainAnswer, answer_differences
from bridge.watching.masking import MASK


class ReplayedChargePoint(Protocol):
    """The interface of a simulated Charge Point, for both transports."""

    behaviour: dict[str, Behaviour]

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """Send a Call and return the payload of the answer.

        Raises:
            Refused: The answer is a CALLERROR or a Fault.
            OSError: There is no answer.
            ValueError: The payload does not fit the action.
        """


class Result(Struct, kw_only=True):
    """Result of a replay.

    Attributes:
        same: Number of Calls with the recorded answer.
        different: Number of Calls with another answer.
        without: Number of Calls without a recorded answer to compare with.
        commands: Number of Calls that the Central System sent.
    """

    same: int = 0
    different: int = 0
    without: int = 0
    commands: int = 0


Say = Callable[[str], None]


async def replay(plan: ReplayPlan, charge_point: ReplayedChargePoint, say: Say, *, speed: float | None) -> Result:
    """Send the Calls of `plan` and compare the answers.

    Args:
        plan: The Calls and the recorded answers.
        charge_point: The simulated Charge Point that sends the Calls and answers commands.
        say: Receives a line for each Call and each difference.
        speed: Factor of the recorded speed; None sends each Call as soon as the previous one is answered.
    """
    player = _Player(plan, charge_point, say)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for step in plan.steps:
        if speed is not None:
            await asyncio.sleep(max(0.0, begun + step.at / speed - loop.time()))
        await player.play(step)
    return player.result


class _Player:
    def __init__(self, plan: ReplayPlan, charge_point: ReplayedChargePoint, say: Say) -> None:
        self.result = Result()
        self._charge_point = charge_point
        self._say = say
        self._transactions = ReplayedTransactions()
        self._recorded = RecordedCall(plan.answers)
        for action in self._recorded.actions():
            charge_point.behaviour[action] = functools.partial(self._answer, action)

    async def play(self, step: ReplayStep) -> None:
        told = await self._ask(step)
        if step.expected is None:
            self.result.without += 1
            self._say(f"{step.action}: {told} (it was not answered then)")
            return
        if step.action == "StartTransaction":
            self._transactions.learn(step.expected.payload, told.payload)
        found = answer_differences(step.expected, told, any_value=MASK)
        self.result.same += not found
        self.result.different += bool(found)
        self._say(f"{step.action}: {'answered otherwise' if found else 'as then'}")
        for difference in found:
            where = difference.path or "the answer"
            self._say(f"    {where}: was {difference.expected}, is {difference.found}")

    async def _ask(self, step: ReplayStep) -> PlainAnswer:
        try:
            payload = _sendable(self._transactions.renewed(step.payload))
            return PlainAnswer(payload=await self._charge_point.call(step.action, payload))
        except CallRefused as refused:
            return PlainAnswer(code=refused.subcode or refused.code, description=refused.description)
        except (OSError, ValueError) as error:
            return PlainAnswer(code="no answer", description=str(error))

    def _answer(self, action: str, request: Payload) -> Payload:
        """Answer a Call of the Central System with the recorded answer."""
        self.result.commands += 1
        told = self._recorded.answer(action, request)
        self._say(f"{action} from the Central System: {told}, as recorded")
        if told.code is not None:
            raise CallRefused(told.code, told.description)
        answer: Payload = _sendable(self._transactions.renewed(told.payload))
        return answer


def _sendable(value: Any) -> Any:
    """Return `value` with floats in place of Decimals, which the JSON encoder does not accept.

    The numbers of a Charge Point have one digit after the point, so a float is exact enough.
    """
    if isinstance(value, dict):
        return {name: _sendable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_sendable(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
