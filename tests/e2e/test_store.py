"""The store's file is locked, taken, of the future, replaced or late: what an operator decided survives each, or the
bridge does not start and says why."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from bridge import app as gateway
from bridge.admin import token_file
from bridge.commands import cli
from bridge.store import schema
from bridge.store.thread import LOOK
from tests.e2e.processes import Bridge, Program
from tests.e2e.stage import AT, RawCentralSystem, envelope, post
from tests.e2e.test_restart import opened, through

HOLDER = """
import sqlite3, sys, threading
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
threading.Event().wait()
"""


async def move(bridge: Bridge, identity: str, central_system: str) -> None:
    """As an operator does it; it is on disk afterwards."""
    url = f"http://127.0.0.1:{bridge.admin_address[1]}/api/v1/charge-points/{identity}/route"
    kept = token_file.beside(bridge.store_url)
    assert kept is not None
    headers = {"Authorization": f"Bearer {(token_file.found(kept) or b'').decode()}"}
    body = {"central_system": central_system}
    async with aiohttp.ClientSession(headers=headers) as http, http.put(url, json=body) as response:
        assert (response.status, (await response.json())["kept"]) == (200, True)


async def goes_to(central: RawCentralSystem, bridge: Bridge) -> None:
    """CP 1 is passed on to `central`."""
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(post(bridge, envelope()))
        while not asked.done():
            link = await central.connected()
            with suppress(ConnectionClosed):  # one of a run that is over
                assert (await link.serve({"currentTime": AT}))[2] == "Heartbeat"
                await asked
    assert asked.result().status == 200


@asynccontextmanager
async def moved(folder: Path) -> AsyncIterator[tuple[Bridge, RawCentralSystem, RawCentralSystem]]:
    """A bridge that has been stopped, with a Charge Point that an operator moved from `main` to `other`."""
    async with RawCentralSystem() as main, RawCentralSystem() as other:
        pause: Any = {"reconnect_min": 0.05, "reconnect_max": 0.2}
        tables = {"main": {"url": main.url} | pause, "other": {"url": other.url} | pause}
        async with Bridge(folder, tables, {"*": "main"}) as bridge:
            await goes_to(main, bridge)
            await move(bridge, "CP 1", "other")
            bridge.told(signal.SIGTERM)
            assert await bridge.ended() == 0
            yield bridge, main, other


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[int]:
    """Another program holds the file as if it were its own, a backup for instance; its pid."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"locked\n"
        yield holder.pid
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()


async def test_a_store_that_another_program_has_locked_is_waited_for(tmp_path: Path) -> None:
    """At 1eaf26e the bridge began without it, and then wrote over what it had not read."""
    async with moved(tmp_path) as (bridge, _, other):
        async with locked(tmp_path / "bridge.db") as pid:
            await Program.start(bridge)
            line = await bridge.says("waiting for the store")
            assert f"locked by process {pid} " in line
        await bridge.says("listening", "listener", "admin")
        await goes_to(other, bridge)
        assert (await bridge.ready())[1]["store"] == {"trouble": None}


async def test_who_waits_for_the_store_can_be_stopped(tmp_path: Path) -> None:
    async with moved(tmp_path) as (bridge, _, _), locked(tmp_path / "bridge.db"):
        await Program.start(bridge)
        await bridge.says("waiting for the store")
        bridge.told(signal.SIGHUP)  # it will read the file anyway
        bridge.told(signal.SIGTERM)
        assert await bridge.ended() == 0
        assert not any("Traceback" in line for line in bridge.lines)


async def test_a_store_that_stays_locked_is_never_served_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateway._STORE_PATIENCE == 30.0
    monkeypatch.setattr(gateway, "_STORE_PATIENCE", 0.1)
    bridge = Bridge(tmp_path, {"main": {"url": "ws://127.0.0.1:9/ocpp"}})
    path = tmp_path / "bridge.db"
    monkeypatch.setattr("bridge.commands.serve.on_stop", lambda call: None)  # signals are for the main thread
    monkeypatch.setattr(asyncio.unix_events._UnixSelectorEventLoop, "add_signal_handler", lambda *_: None)
    async with bridge.put_away():
        pass
    async with locked(path) as pid:
        serving = ["serve", "--config", str(tmp_path / "bridge.toml")]
        code = await asyncio.to_thread(cli.main, serving)
    assert code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{path}: it is locked by process {pid} " in said and "within 0.1 s" in said


async def test_a_second_bridge_waits_for_the_first_to_end(tmp_path: Path) -> None:
    """A restart whose two processes overlap."""
    async with moved(tmp_path) as (first, main, other):
        await first.start()
        pid = first.pid
        tables = {"main": {"url": main.url}, "other": {"url": other.url}}
        second = Bridge(tmp_path, tables, {"*": "main"})
        try:
            await Program.start(second)
            line = await second.says("waiting for the store")
            assert f"another ocpp-bridge has it open: process {pid} " in line
            await goes_to(other, first)
            first.told(signal.SIGTERM)
            assert await first.ended() == 0
            await second.says("listening", "listener", "admin")
            await goes_to(other, second)
        finally:
            await second.close()


async def test_a_store_of_the_future_is_left_alone(tmp_path: Path) -> None:
    async with moved(tmp_path) as (bridge, _, other):
        path, known = tmp_path / "bridge.db", len(schema.MIGRATIONS)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {known + 1}")
        await Program.start(bridge)
        assert await bridge.ended() == 2
        [line] = [line for line in bridge.lines if "a later ocpp-bridge wrote it" in line]
        assert str(path) in line and f"version {known + 1}," in line and f"version {known}." in line
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {known}")
        await bridge.start()
        await goes_to(other, bridge)


async def test_a_file_that_is_replaced_is_restored(tmp_path: Path) -> None:
    assert LOOK == 5.0
    async with moved(tmp_path) as (bridge, _, other):
        await bridge.start()
        foreign = tmp_path / "foreign"
        with closing(sqlite3.connect(foreign)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        foreign.replace(tmp_path / "bridge.db")
        line = await bridge.says("was replaced while it was in use")
        assert " ERROR " in line and str(tmp_path / "bridge.db.found-1") in line
        await bridge.restart()
        await goes_to(other, bridge)
        with closing(sqlite3.connect(tmp_path / "bridge.db.found-1")) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def test_a_store_that_turns_up_late_holds_again_what_an_operator_decided(tmp_path: Path) -> None:
    """A disk that was mounted after the bridge was started."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    async with moved(tmp_path) as (_, main, other):
        elsewhere.mkdir()
        (tmp_path / "bridge.db").rename(elsewhere / "bridge.db")
        disk.write_text("where a folder is expected")
        late = Bridge(
            tmp_path,
            {"main": {"url": main.url}, "other": {"url": other.url}},
            {"*": "main"},
            store=f"sqlite:///{disk}/bridge.db",
        )
        async with late:
            _, link, _ = await opened(main, late, envelope(), {"currentTime": AT})
            await through(link, late, envelope(), {"currentTime": AT})
            disk.unlink()
            elsewhere.rename(disk)
            await late.says("all is well again with the store")
            await asyncio.wait_for(link.websocket.wait_closed(), 30)
            await goes_to(other, late)
            await late.restart()
            await goes_to(other, late)
