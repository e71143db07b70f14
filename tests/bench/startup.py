"""From `exec` to serving: with nothing stored, and with many SOAP Charge Points that were heard of a moment ago, whose
Central System is there; as a ratio to the floor, which imports its libraries and opens a port."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from bridge.store import ChargePointRecord, Store
from tests.bench import parties, posts
from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.load import GOOD
from tests.bench.subject import Bridge, allow_files, bare, configuration, ended, launched, serving
from tests.ports import free_port


class Started(Struct, frozen=True, kw_only=True):
    """Seconds since `exec`: until /healthz answered, a Heartbeat was answered, all links were open again. The bridge
    spreads those over some seconds, however few they are: a Central System is not stormed. `of_floor` is how many times
    as long it takes until a Heartbeat is answered as the floor takes."""

    stored: int
    healthz: Figure
    heartbeat: Figure
    links: Figure
    of_floor: float


class _Run(Struct, frozen=True):
    healthz: float
    heartbeat: float
    links: float


async def measure(plan: Plan) -> list[Started] | str:
    """The figures, or why there are none."""
    if why := allow_files(plan.stored + 500):
        return why
    with tempfile.TemporaryDirectory() as folder:
        full, started = Path(folder) / "full.db", []
        runs: dict[int, list[_Run]] = {0: [], plan.stored: []}
        floors: list[float] = []
        for repetition in range(plan.repetitions):
            floors.append(await _start_of_floor())
            for stored in runs:
                _store(full, stored)
                runs[stored].append(await _start(Path(folder), full, stored, number=repetition))
        for stored, each in runs.items():
            started.append(
                Started(
                    stored=stored,
                    healthz=figure(run.healthz for run in each),
                    heartbeat=figure(run.heartbeat for run in each),
                    links=figure(run.links for run in each),
                    of_floor=figure(run.heartbeat for run in each).median / figure(floors).median,
                )
            )
    return started


def _store(file: Path, count: int) -> None:
    """A store that has heard of `count` of them just now."""
    for old in file.parent.glob(f"{file.name}*"):
        old.unlink()
    store = Store(f"sqlite:///{file}")
    store.open()
    now = time.time()
    store.put(
        *(
            ChargePointRecord(identity=name, last_seen=now, transport="soap", version="1.6", interval=300)
            for name in parties.identities(count)
        )
    )
    store.close()
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _start_of_floor() -> float:
    """Seconds from `exec` until a Heartbeat is answered."""
    async with parties.json_central_system() as central:
        begun = time.perf_counter()
        async with bare("floor", "soap-json", central.url) as subject:
            await _heartbeat(subject.soap)
            return time.perf_counter() - begun


async def _heartbeat(port: int) -> None:
    """Send one, and wait for its answer."""
    charge_point = await posts.poster(port)
    try:
        status = await parties.answer_of(charge_point, parties.posted("Heartbeat", parties.identities(1)[0]))
    finally:
        charge_point.close()
    assert status == GOOD


async def _start(folder: Path, full: Path, stored: int, number: int) -> _Run:
    own = folder / f"{stored}-{number}"
    own.mkdir()
    file = own / "bridge.db"
    shutil.copy(full, file)
    ports = [free_port() for _ in range(3)]
    async with parties.json_central_system() as central:
        configured, _ = configuration(Bridge(central_system=central.url, store=str(file)), own, ports)
        begun = time.perf_counter()
        process = await launched(["-m", "bridge", "serve", "--config", str(configured)], own / "log")
        try:
            await serving(process, ports[2], own / "log")
            healthz = time.perf_counter() - begun
            await _heartbeat(ports[0])
            heartbeat = time.perf_counter() - begun
            await central.connected(stored, 120)
            return _Run(healthz, heartbeat, time.perf_counter() - begun)
        finally:
            await ended(process)


def report(figures: list[Started] | str) -> str:
    """For a person."""
    if isinstance(figures, str):
        return f"start: not measured, {figures}"
    rows = [
        (
            f"{one.stored} stored sessions",
            one.healthz.text(2),
            one.heartbeat.text(2),
            f"{one.of_floor:.1f}",
            one.links.text(2),
        )
        for one in figures
    ]
    head = ("start, s (spread)", "/healthz answers", "a Heartbeat is answered", "x floor", "all links are open")
    return table(head, rows)
