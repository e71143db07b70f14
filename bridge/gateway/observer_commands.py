"""The commands of observers that the configuration lists, on their way to a Charge Point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.core.policies import PolicyRule
from bridge.errors import Unavailable
from bridge.gateway.session_runner import SessionRunner
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call, Failure, Unanswered


class ObserverCommands:
    """Sends the commands of observers, for each Charge Point one at a time, and after those of its Central System.

    Args:
        runner_of: Returns the SessionRunner of a Charge Point, None without a Session.
    """

    def __init__(self, runner_of: Callable[[str], SessionRunner | None]) -> None:
        self._runner_of = runner_of
        self._turns: dict[str, asyncio.Lock] = {}  # by the casefolded identity
        self._ended: dict[str, asyncio.Event] = {}  # set when a Call of a Charge Point has ended

    def ended(self, identity: str) -> None:
        """Note that a Call from or to a Charge Point has ended."""
        if (ended := self._ended.get(identity)) is not None:
            ended.set()

    def forget(self, folded: str) -> None:
        """Forget a Charge Point that was removed. `folded` is the casefolded identity."""
        self._turns.pop(folded, None)

    async def send(self, identity: str, call: Call, policy: PolicyRule | None) -> Answer:
        """Send a command of an observer to a Charge Point, after those of its Central System.

        Only one command of an observer is out or in the lane of a Charge Point, and it enters when nothing else waits
        there. It has the time of a command to do so, and that time again for its answer.
        """
        runner = self._runner_of(identity)
        if runner is None:
            return _unanswered("the Charge Point is not connected", Failure.UNREACHABLE)
        within = runner.session.command_patience
        turn = self._turns.setdefault(identity.casefold(), asyncio.Lock())
        try:
            async with asyncio.timeout(within) as limit, turn:
                await self._until_idle(identity)
                limit.reschedule(None)
                return await self._send_command(identity, call, policy)
        except TimeoutError:
            return _unanswered(f"the Charge Point was busy for {within:g} s", Failure.TIMEOUT)

    async def _send_command(self, identity: str, call: Call, policy: PolicyRule | None) -> Answer:
        runner = self._runner_of(identity)
        if runner is None:
            return _unanswered("the Charge Point is not connected", Failure.UNREACHABLE)
        try:
            return await runner.command(call, policy)
        except Unavailable as error:
            return _unanswered(error.description, Failure.REFUSED_HERE)

    async def _until_idle(self, identity: str) -> None:
        """Wait until no command is on its way to a Charge Point."""
        ended = self._ended[identity] = asyncio.Event()
        try:
            while (runner := self._runner_of(identity)) is not None and _is_commanded(runner):
                ended.clear()
                await ended.wait()
        finally:
            self._ended.pop(identity, None)


def _is_commanded(runner: SessionRunner) -> bool:
    lane = runner.session.lanes[Party.CHARGE_POINT]
    return lane.out is not None or bool(lane.waiting)


def _unanswered(reason: str, failure: Failure) -> Unanswered:
    return Unanswered(unique_id="", reason=reason, failure=failure)
