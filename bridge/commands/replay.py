"""`replay`: a recorded Charge Point's side once more, at any Central System, and where the answers differ."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge import logs
from bridge.commands.signals import until_stopped
from bridge.config.complaints import one_line
from bridge.ocpps.wsdl import folder_of
from bridge.simulators.json_charge_point import JsonChargePoint
from bridge.simulators.soap_charge_point import SoapChargePoint
from bridge.trace.plan import Plan, plan
from bridge.trace.records import TraceError, read
from bridge.trace.replay import ChargePoint, Result, replay


def run(path: Path, url: str, identity: str | None, speed: float | None) -> int:
    """0 when every answer was as then, 1 when one was not, 2 for a trace that cannot be used.

    Raises OSError when the file cannot be read, or nobody answers at `url`.
    """
    try:
        with path.open("rb") as file:
            planned = plan(read(file), identity)
    except TraceError as error:
        print(one_line(f"{path}: {error}"), file=sys.stderr)
        return 2
    logs.setup("text", "error", sys.stderr)
    return asyncio.run(until_stopped(_replay(planned, url, identity or planned.identity, speed)))


async def _replay(planned: Plan, url: str, identity: str, speed: float | None) -> int:
    async with _charge_point(url, identity) as charge_point:
        result = await replay(planned, charge_point, _print, speed=speed)
    for line in summary(planned, result):
        _print(line)
    return 1 if result.different else 0


@asynccontextmanager
async def _charge_point(url: str, identity: str) -> AsyncIterator[ChargePoint]:
    if url.startswith(("ws:", "wss:")):
        async with JsonChargePoint(url=url, identity=identity) as over_json:
            yield over_json
    else:
        async with SoapChargePoint(url=url, identity=identity, wsdl=folder_of("1.6")) as over_soap:
            yield over_soap


def summary(planned: Plan, result: Result) -> list[str]:
    """What came of it, in a few lines."""
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


def _print(line: str) -> None:
    print(line, flush=True)
