"""`make bench`: requests per second through the gateway and through the bare transports, interleaved, in one run; then
what an idle session costs (`python -m tests.bench idle`: that alone).

The subject runs alone on one core; the load and the Central System on another. Each figure is the median of the
repetitions, beside its spread; what counts is the ratio to the floor of the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from typing import Any

import aiohttp
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.bench import idle, messages
from tests.bench.subject import subject

_REPETITIONS, _REQUESTS, _CHARGE_POINTS = 5, 2000, 16
_ACTIONS = ("BootNotification", "MeterValues")


async def _central_system(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):  # a subject is ended without ceremony
        async for frame in connection:
            # The floor sends the envelope as it is; anything of the size of an answer will do.
            text = frame if isinstance(frame, str) else frame.decode()
            await connection.send(messages.answer(text) if text.startswith("[") else text[:400])


async def _one(http: aiohttp.ClientSession, url: str, body: bytes, count: int) -> None:
    for _ in range(count):
        async with http.post(url, data=body, headers={"Content-Type": "application/soap+xml"}) as response:
            await response.read()
            if response.status != 200:
                raise SystemExit(f"HTTP {response.status}: {(await response.text())[:500]}")


async def _rate(http: aiohttp.ClientSession, url: str, action: str, requests: int) -> float:
    """Requests per second of all Charge Points together."""
    each = requests // _CHARGE_POINTS
    begun = time.perf_counter()
    bodies = [(f"{url}/B{number}", messages.envelope(action, f"B{number}")) for number in range(_CHARGE_POINTS)]
    await asyncio.gather(*(_one(http, address, body, each) for address, body in bodies))
    return each * _CHARGE_POINTS / (time.perf_counter() - begun)


async def _measure() -> dict[str, Any]:
    rates: dict[str, dict[str, list[float]]] = {action: {"floor": [], "gateway": []} for action in _ACTIONS}
    protocols = [Subprotocol("ocpp1.6")]
    async with serve(_central_system, "127.0.0.1", 0, subprotocols=protocols, compression=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ocpp"
        async with (
            subject("floor", url) as (floor, _),
            subject("gateway", url) as (gateway, _),
            aiohttp.ClientSession() as http,
        ):
            for repetition in range(_REPETITIONS + 1):
                for action in _ACTIONS:
                    for kind, address in (("floor", floor), ("gateway", gateway)):
                        rate = await _rate(http, address, action, _REQUESTS if repetition else _REQUESTS // 4)
                        if repetition:  # the first is the warm-up
                            rates[action][kind].append(rate)
    return rates


def _report(rates: dict[str, dict[str, list[float]]]) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "websockets", "lxml", "msgspec", "spyne"))
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}; {packages}",
        f"{_CHARGE_POINTS} Charge Points, {_REQUESTS} requests a run, {_REPETITIONS} interleaved runs; median (spread)",
        "",
        f"{'SOAP -> JSON':<20}{'floor, req/s':>22}{'gateway, req/s':>22}{'gateway/floor':>16}",
    ]
    for action, kinds in rates.items():
        cells = [f"{statistics.median(runs):.0f} ({min(runs):.0f}-{max(runs):.0f})" for runs in kinds.values()]
        ratio = statistics.median(kinds["gateway"]) / statistics.median(kinds["floor"])
        lines.append(f"{action:<20}{cells[0]:>22}{cells[1]:>22}{ratio:>16.2f}")
    return "\n".join(lines)


def main(only: str = "") -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))
    if only not in ("", "idle"):
        raise SystemExit(f"{only!r} is not measured; say nothing, or idle")
    if not only:
        rates = asyncio.run(_measure())
        print(_report(rates))
        print(json.dumps(rates))
        print()
    figures = idle.measure()
    print(idle.report(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:2])
