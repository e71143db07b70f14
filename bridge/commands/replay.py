"""Command `replay`: send the Calls of a recorded Charge Point to a Central System, and report different answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.commands.signals import until_stopped
from bridge.commands.terminal import say
from bridge.config.complaints import one_line
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.trace.plan import ReplayPlan, plan
from bridge.lab.trace.replay import ReplayedChargePoint, Result, replay
from bridge.ocpps.wsdl import folder_of
from bridge.recorder.trace_records import TraceError, read
from bridge.watching import logs


def run(path: Path, url: str, identity: str | None, speed: float | None) -> int:
    """Replay the trace in the file at `path`.

    Args:
        path: File with the trace.
        url: URL of the Central System.
        identity: The Charge Point; None takes the identity in the trace.
        speed: Factor of the recorded speed; None sends each Call as soon as the previous one is answered.

    Returns:
        0 if every answer was as recorded, 1 if not, 2 for a trace that cannot be used.

    Raises:
        OSError: The file cannot be read, or nothing answers at `url`.
    """
    try:
        with path.open("rb") as file:
            planned = plan(read(file), identity)
    except TraceError as error:
        print(one_line(f"{path}: {error}"), file=sys.stderr)
        return 2
    logs.setup("text", "error", sys.stderr)
    return asyncio.run(until_stopped(_replay(planned, url, identity or planned.identity, speed)))


async def _replay(planned: ReplayPlan, url: str, identity: str, speed: float | None) -> int:
    async with _charge_point(url, identity) as charge_point:
        result = await replay(planned, charge_point, say, speed=speed)
    for line in summary(planned, result):
        say(line)
    return 1 if result.different else 0


@asynccontextmanager
async def _charge_point(url: str, identity: str) -> AsyncIterator[ReplayedChargePoint]:
    if url.startswith(("ws:", "wss:")):
        async with JsonChargePoint(url=url, identity=identity) as over_json:
            yield over_json
    else:
        async with SoapChargePoint(url=url, identity=identity, wsdl=folder_of("1.6")) as over_soap:
            yield over_soap


def summary(planned: ReplayPlan, result: Result) -> list[str]:
    """Return the result of a replay in a few lines."""
    compared = result.same + result.different
    told = [f"{compared} answers compared: {'no difference' if not result.different else f'{result.different} differ'}"]
    if result.without:
        told.append(f"{result.without} Calls were not answered when they were recorded, and are not compared")
    if planned.commands > result.commands:
        missing = planned.commands - result.commands
        told.append(f"{missing} Calls that the Central System sent then did not come this time")
    if planned.masked:
        told.append(f"{planned.masked} Calls went with idTags as they are in the trace, masked")
    return told
