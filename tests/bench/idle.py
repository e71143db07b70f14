"""Idle SOAP sessions, each with its WebSocket, held by one bridge: what one costs, and how fast it still answers, as
their number grows. As it is served: with pings, and with an address to call each Charge Point back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.bench import parties
from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.load import Done, Sender, closed
from tests.bench.subject import Bridge, Subject, allow_files, bridge

_PING_INTERVAL = 30
# No listener is there: nobody is called in this measurement.
_CALLBACK = "http://127.0.0.1:8082/"


class Fleet(Struct, frozen=True, kw_only=True):
    """At a number of `sessions`. Memory in kB of 1024 bytes, of the whole process and of one session; Heartbeats per
    second, each of another Charge Point than the last."""

    sessions: int
    opened_in_s: float
    resident_kb: int
    kb_per_session: float
    heartbeats: Figure
    subject_core: float


class _Cycling:
    """Sends what is next in `requests`, whatever it is told."""

    def __init__(self, sender: Sender, requests: itertools.cycle[bytes]) -> None:
        self._sender = sender
        self._requests = requests

    def send(self, data: bytes, done: Done) -> None:
        self._sender.send(next(self._requests), done)


async def measure(plan: Plan) -> list[Fleet] | str:
    """The figures, or why there are none."""
    if why := _why_not(plan):
        return why
    async with (
        parties.json_central_system() as central,
        bridge(Bridge(central_system=central.url, ping_interval=_PING_INTERVAL)) as subject,
        parties.soap_connections(subject, plan.charge_points) as connections,
    ):
        await _boot(connections, _names("warm", 0, plan.warm_up))
        await closed(_heartbeats(connections, _names("warm", 0, plan.warm_up)), plan.seconds, subject.pid)
        before, fleets = _resident(subject.pid), []
        for already, sessions in itertools.pairwise((0, *plan.sessions)):
            fleets.append(await _grown(connections, subject, before, already, sessions, plan))
        assert len(central.connections) == plan.sessions[-1] + plan.warm_up
    return fleets


def _why_not(plan: Plan) -> str:
    if not Path("/proc/self/status").exists():
        return "the memory of a process is read from Linux's /proc"
    return allow_files(plan.sessions[-1] + plan.warm_up + 500)


async def _grown(
    connections: Sequence[Sender], subject: Subject, before: int, already: int, sessions: int, plan: Plan
) -> Fleet:
    begun = time.perf_counter()
    await _boot(connections, _names("idle", already, sessions))
    opened = time.perf_counter() - begun
    work = _heartbeats(connections, _names("idle", 0, sessions))
    rates = [await closed(work, plan.seconds, subject.pid) for _ in range(plan.repetitions)]
    resident = _resident(subject.pid)
    return Fleet(
        sessions=sessions,
        opened_in_s=opened,
        resident_kb=resident,
        kb_per_session=(resident - before) / sessions,
        heartbeats=figure(rate.per_second for rate in rates),
        subject_core=figure(rate.subject for rate in rates).median,
    )


def _names(kind: str, begin: int, end: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(begin, end)]


async def _boot(connections: Sequence[Sender], names: list[str]) -> None:
    requests = [parties.posted("BootNotification", name, _CALLBACK) for name in names]
    assert await parties.once(connections, requests) == len(names)


def _heartbeats(connections: Sequence[Sender], names: list[str]) -> list[tuple[Sender, bytes]]:
    requests = itertools.cycle([parties.posted("Heartbeat", name, _CALLBACK) for name in names])
    return [(_Cycling(connection, requests), b"") for connection in connections]


def _resident(pid: int) -> int:
    """Kilobytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def report(figures: list[Fleet] | str) -> str:
    """For a person."""
    if isinstance(figures, str):
        return f"idle sessions: not measured, {figures}"
    rows = [
        (
            str(fleet.sessions),
            f"{fleet.opened_in_s:.1f}",
            f"{fleet.resident_kb / 1024:.0f}",
            f"{fleet.kb_per_session:.1f}",
            fleet.heartbeats.text(),
            f"{fleet.subject_core:.0%}",
        )
        for fleet in figures
    ]
    head = (
        "idle SOAP sessions",
        "opened in, s",
        "memory, MB",
        "kB each",
        "Heartbeats/s (spread)",
        "its core",
    )
    return table(head, rows)
