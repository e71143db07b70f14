"""Idle SOAP sessions, each with its WebSocket, held by one gateway: what one costs, and whether it still answers.

The gateway runs alone in its process, as it does by default: with pings, and with an address to call each Charge Point
back. The Central System and the Charge Points are in this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.bench import messages
from tests.bench.subject import allow_files, subject

SESSIONS = 10_000
_AIM = 40  # kB, 1024 bytes each
_WARM_UP, _AT_ONCE = 500, 16
# One for each session, and what else a process has.
_FILES = SESSIONS + _WARM_UP + 500


class _CentralSystem:
    """Answers, and counts its connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                await connection.send(messages.answer(frame if isinstance(frame, str) else frame.decode()))
        self.connections -= 1


def measure() -> dict[str, Any] | str:
    """The figures, or why there are none."""
    if not Path("/proc/self/status").exists():
        return "the memory of a process is read from Linux's /proc"
    return allow_files(_FILES) or asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    central = _CentralSystem()
    protocols = [Subprotocol("ocpp1.6")]
    async with serve(
        central.serve, "127.0.0.1", 0, subprotocols=protocols, compression=None, ping_interval=None
    ) as server:
        address = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ocpp"
        async with subject("idle", address) as (url, pid), aiohttp.ClientSession() as http:
            await _all(http, url, "BootNotification", _names("warm", _WARM_UP))
            await _all(http, url, "Heartbeat", _names("warm", _WARM_UP))
            before, begun = _resident(pid), time.perf_counter()
            await _all(http, url, "BootNotification", _names("idle", SESSIONS))
            opened = time.perf_counter() - begun
            answered = await _all(http, url, "Heartbeat", _names("idle", SESSIONS))
            after = _resident(pid)
            assert central.connections == SESSIONS + _WARM_UP
    return {
        "sessions": SESSIONS,
        "opened_in_s": round(opened, 1),
        "before_kb": before,
        "after_kb": after,
        "kb_per_session": round((after - before) / SESSIONS, 1),
        "heartbeats_answered": answered,
    }


def _names(kind: str, count: int) -> Iterator[str]:
    return (f"{kind}-{number:05}" for number in range(count))


async def _all(http: aiohttp.ClientSession, url: str, action: str, names: Iterator[str]) -> int:
    """One message of each; how many were answered as they should be."""

    async def some() -> int:
        answered = 0
        for name in names:
            body = messages.envelope(action, name, called_back_at="http://127.0.0.1:8081/")
            async with http.post(url, data=body, headers={"Content-Type": "application/soap+xml"}) as response:
                text = await response.text()
                answered += response.status == 200 and "currentTime" in text
        return answered

    return sum(await asyncio.gather(*(some() for _ in range(_AT_ONCE))))


def _resident(pid: int) -> int:
    """Kilobytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def report(figures: dict[str, Any] | str) -> str:
    """For a person."""
    if isinstance(figures, str):
        return f"idle sessions: not measured, {figures}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "websockets", "lxml", "msgspec", "spyne"))
    each = figures["kb_per_session"]
    return "\n".join(
        [
            f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}; {packages}",
            f"{figures['sessions']} idle SOAP sessions, each with its WebSocket, opened in {figures['opened_in_s']} s",
            f"memory: {figures['before_kb'] / 1024:.0f} -> {figures['after_kb'] / 1024:.0f} MB, {each} kB a session "
            f"(aim: under {_AIM})",
            f"a Heartbeat on each: {figures['heartbeats_answered']} answered",
        ]
    )
