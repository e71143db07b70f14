"""Sends the Charge Point's side of a trace again, at a Central System, and says where the answers differ."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from bridge.simulators.wire import Behaviour, Payload, Refused
from bridge.trace.comparison import Difference, differences
from bridge.trace.plan import Plan, Recorded, Step, Told, Transactions


class ChargePoint(Protocol):
    """What is needed of a simulated Charge Point, whatever its transport."""

    behaviour: dict[str, Behaviour]

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """The answer's payload. Raises Refused, OSError, or ValueError for what does not fit."""


class Result(Struct, kw_only=True):
    """What came of it: how many Calls were answered as then, otherwise, and not to be compared because they were not
    answered then."""

    same: int = 0
    different: int = 0
    without: int = 0
    commands: int = 0


Say = Callable[[str], None]


async def replay(plan: Plan, charge_point: ChargePoint, say: Say, *, speed: float | None) -> Result:
    """Send each Call when its time has come, `speed` times as fast as it was recorded; None: as soon as the one before
    is answered. Each Call is said in a line, and each difference."""
    player = _Player(plan, charge_point, say)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for step in plan.steps:
        if speed is not None:
            await asyncio.sleep(max(0.0, begun + step.at / speed - loop.time()))
        await player.play(step)
    return player.result


class _Player:
    def __init__(self, plan: Plan, charge_point: ChargePoint, say: Say) -> None:
        self.result = Result()
        self._charge_point = charge_point
        self._say = say
        self._transactions = Transactions()
        self._recorded = Recorded(plan.answers)
        for action in self._recorded.actions():
            charge_point.behaviour[action] = functools.partial(self._answer, action)

    async def play(self, step: Step) -> None:
        told = await self._ask(step)
        if step.expected is None:
            self.result.without += 1
            self._say(f"{step.action}: {_words(told)} (it was not answered then)")
            return
        if step.action == "StartTransaction":
            self._transactions.learn(step.expected.payload, told.payload)
        found = _compared(step.expected, told)
        self.result.same += not found
        self.result.different += bool(found)
        self._say(f"{step.action}: {'answered otherwise' if found else 'as then'}")
        for difference in found:
            self._say(f"    {difference}")

    async def _ask(self, step: Step) -> Told:
        try:
            payload = _sendable(self._transactions.renewed(step.payload))
            return Told(payload=await self._charge_point.call(step.action, payload))
        except Refused as refused:
            return Told(code=refused.subcode or refused.code, description=refused.description)
        except (OSError, ValueError) as error:
            return Told(code="no answer", description=str(error))

    def _answer(self, action: str, request: Payload) -> Payload:
        """A Call of the Central System, answered as then."""
        self.result.commands += 1
        told = self._recorded.answer(action, request)
        self._say(f"{action} from the Central System: {_words(told)}, as recorded")
        if told.code is not None:
            raise Refused(told.code, told.description)
        answer: Payload = _sendable(self._transactions.renewed(told.payload))
        return answer


def _compared(then: Told, now: Told) -> list[Difference]:
    if then.code is None and now.code is None:
        return list(differences(then.payload, now.payload))
    if then.code == now.code:
        return []
    return [Difference(path="", then=_words(then), now=_words(now))]


def _words(told: Told) -> str:
    if told.code is None:
        return json.dumps(told.payload, default=str)
    return f"{told.code}: {told.description}" if told.description else told.code


def _sendable(value: Any) -> Any:
    """JSON's encoder knows no Decimal; a Charge Point's numbers have one digit after the point."""
    if isinstance(value, dict):
        return {name: _sendable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_sendable(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
