"""Run a fleet of simulated Charge Points, and print how it is doing in place of what it says."""

from __future__ import annotations

import asyncio
import functools
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from bridge.commands.simulate import stay_connected
from bridge.commands.terminal import say
from bridge.config.complaints import one_line
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.script import Step, read_script, run_script
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.net.descriptors import raise_limit
from bridge.net.tasks import Tasks

_HEARTBEAT = read_script("Heartbeat\n", "")
# Charge Points that begin in a second, so that no test of a fleet is a test of a single moment.
_BEGIN_A_SECOND = 50
# Seconds between two Heartbeats, and from a failed connection to the next attempt.
_EVERY, _PAUSE = 60.0, 5.0
# Seconds between two progress lines: on a terminal, where one replaces the other, and elsewhere.
_ON_TERMINAL, _ELSEWHERE = 0.5, 60.0


class FleetCounts:
    """Counts what the Charge Points of a fleet do.

    Attributes:
        up: The identities of the Charge Points whose last Call was answered.
        answered: The number of Calls that were answered with a result.
        refused: The number of Calls that were answered with an error.
        unanswered: The number of Calls that were not answered.
        trouble: What went wrong last, "" if nothing has.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.up: set[str] = set()
        self.answered = self.refused = self.unanswered = 0
        self.trouble = ""

    def line(self) -> str:
        """Return the progress line."""
        told = f"{len(self.up)} of {self.count} up, Calls: {self.answered} answered, {self.refused} refused"
        told += f", {self.unanswered} unanswered"
        return one_line(f"{told}; last: {self.trouble}" if self.trouble else told)


class _Counted:
    """A simulated Charge Point whose Calls are counted."""

    def __init__(self, simulated: SoapChargePoint | JsonChargePoint, counts: FleetCounts) -> None:
        self._simulated = simulated
        self._counts = counts

    async def call(self, action: str, payload: Mapping[str, Any], /) -> Payload:
        counts, identity = self._counts, self._simulated.identity
        try:
            answer = await self._simulated.call(action, payload)
        except CallRefused as refusal:
            counts.refused += 1
            counts.trouble = f"{identity}: {action} was refused, {refusal}"
            raise
        except (OSError, ValueError) as error:
            counts.unanswered += 1
            counts.trouble = f"{identity}: {action} was not answered, {error}"
            counts.up.discard(identity)
            raise
        counts.answered += 1
        counts.up.add(identity)
        return answer


class SimulatedFleet:
    """Simulated Charge Points that run the same script.

    Args:
        members: The Charge Points.
        steps: The script.
        stay: Whether they send Heartbeats after the script, until they are stopped.
        out: Where progress is printed; None is standard output.
        pause: Seconds from a failed connection to the next attempt.
    """

    def __init__(
        self,
        members: Sequence[SoapChargePoint | JsonChargePoint],
        steps: Sequence[Step],
        *,
        stay: bool,
        out: TextIO | None = None,
        pause: float = _PAUSE,
    ) -> None:
        self.counts = FleetCounts(len(members))
        self._members = members
        self._steps = steps
        self._stay = stay
        self._out = sys.stdout if out is None else out
        self._pause = pause
        self._tasks = Tasks()

    async def run(self) -> int:
        """Run all Charge Points, and print their progress.

        Returns:
            0 if every Call of the script was answered with a result, else 1.
        """
        raise_limit()
        progress = self._tasks.spawn(self._show(), name="progress")
        members = [
            self._tasks.spawn(self._live(member, number / _BEGIN_A_SECOND), name=member.identity)
            for number, member in enumerate(self._members)
        ]
        try:
            await asyncio.wait(members)
            return 0 if all(member.result() for member in members) else 1
        finally:
            progress.cancel()
            await self._tasks.close()
            self._print(last=True)

    async def _live(self, member: SoapChargePoint | JsonChargePoint, begins_in: float) -> bool:
        """Run one Charge Point. Return whether every Call of the script was answered with a result."""
        await asyncio.sleep(begins_in)
        if not await self._started(member):
            return False
        counted = _Counted(member, self.counts)
        try:
            well = await run_script(counted, self._steps, _silent)
            while self._stay:
                if isinstance(member, JsonChargePoint):
                    trouble = functools.partial(self._disconnected, member.identity)
                    await stay_connected(member, trouble, every=_EVERY, pause=self._pause)
                else:
                    await asyncio.sleep(_EVERY)
                await run_script(counted, _HEARTBEAT, _silent)
            return well
        finally:
            await member.stop()

    async def _started(self, member: SoapChargePoint | JsonChargePoint) -> bool:
        """Start a Charge Point. One that stays tries until it can; one that only runs a script tries once."""
        while True:
            try:
                await member.start()
                return True
            except OSError as error:
                self._disconnected(member.identity, str(error))
                if not self._stay:
                    return False
            await asyncio.sleep(self._pause)

    def _disconnected(self, identity: str, reason: str) -> None:
        self.counts.up.discard(identity)
        self.counts.trouble = f"{identity}: {reason}"

    # Progress.

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(_ON_TERMINAL if self._out.isatty() else _ELSEWHERE)
            self._print(last=False)

    def _print(self, *, last: bool) -> None:
        """Print the progress: on a terminal in one line, which the next one replaces."""
        clock = time.strftime("%H:%M:%S")
        if not self._out.isatty():
            say(f"{clock} {self.counts.line()}", self._out)
            return
        width = shutil.get_terminal_size().columns - 1
        print(
            f"\r{f'{clock} {self.counts.line()}'[:width]}\x1b[K", end="\n" if last else "", file=self._out, flush=True
        )


def _silent(text: str) -> None:
    """Print nothing: a fleet would say thousands of lines."""
