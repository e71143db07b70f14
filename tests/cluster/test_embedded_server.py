"""The NATS server that we start, with the real program."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.cluster import embedded_server
from bridge.cluster.embedded_server import EmbeddedServer, EmbeddedServerFailed
from bridge.cluster.nats_connection import Login, ServersAway, UnusableServers
from bridge.cluster.shared_stream import SharedStream
from tests.e2e.stage import AT_MOST
from tests.outgoing_events.receivers import eventually
from tests.process_states import lives


@asynccontextmanager
async def embedded(folder: Path, binary: str = "") -> AsyncIterator[EmbeddedServer]:
    server = EmbeddedServer(folder, binary)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def stream_of(server: EmbeddedServer, token: str | None = None) -> AsyncIterator[SharedStream]:
    stream = SharedStream([server.url], "a", login=Login(password=token or server.token))
    try:
        await stream.open(AT_MOST)
        yield stream
    finally:
        await stream.close()


def process_of(server: EmbeddedServer) -> int:
    assert server._process is not None
    return server._process.pid


async def test_it_serves_from_start_to_close(tmp_path: Path) -> None:
    async with embedded(tmp_path / "nats") as server:
        async with stream_of(server) as stream:
            assert stream.server_time > 1_700_000_000
        with pytest.raises(UnusableServers):
            async with stream_of(server, "guess"):
                pass
        process = process_of(server)
        assert stat.S_IMODE((tmp_path / "nats" / "server.conf").stat().st_mode) == 0o600
        told = json.loads((tmp_path / "nats" / "server.conf").read_bytes())
        assert told["jetstream"]["sync_interval"] == "always" and told["listen"].startswith("127.0.0.1:")
    assert not lives(process)
    async with embedded(tmp_path / "nats"):  # what was stored is no obstacle
        pass


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server, stream_of(server) as stream:
        for _ in range(2):
            url, process = server.url, process_of(server)
            os.kill(process, signal.SIGKILL)
            await eventually(lambda before=process: process_of(server) != before)  # type: ignore[misc]
            while True:
                try:
                    await stream.within(20, lambda: stream.last(["ocppb.node.a.head"]))
                    break
                except ServersAway:
                    await asyncio.sleep(0.1)
            assert server.url == url


async def test_a_folder_has_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with embedded(tmp_path):
        monkeypatch.setattr(embedded_server, "_ENDING", 0.2)
        with pytest.raises(EmbeddedServerFailed, match="another NATS server uses the folder"):
            await EmbeddedServer(tmp_path).start()
        monkeypatch.undo()


_PARENT = """
import asyncio, pathlib, sys
from bridge.cluster.embedded_server import EmbeddedServer

async def main():
    server = EmbeddedServer(pathlib.Path(sys.argv[1]))
    await server.start()
    print(server._process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot end a process with its parent")
async def test_it_ends_with_us(tmp_path: Path) -> None:
    """Killed, we end nobody. The next one of us waits until the server has ended."""

    command = [sys.executable, "-c", _PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220  it says one line at once
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        assert lives(process)
        parent.kill()
    async with embedded(tmp_path):
        assert not lives(process)


@pytest.mark.parametrize(
    ("binary", "text"),
    [
        ("/nowhere/nats-server", "there is no program /nowhere/nats-server"),
        ("false", "has ended with the exit code 1"),
    ],
)
async def test_a_program_that_is_no_server_is_told(tmp_path: Path, binary: str, text: str) -> None:
    with pytest.raises(EmbeddedServerFailed, match=text):
        await EmbeddedServer(tmp_path, binary).start()


async def test_without_the_wheel_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "_NAME", "no-such-server")
    with pytest.raises(EmbeddedServerFailed, match=r"install ocpp-bridge\[cluster\], or set cluster.server_binary"):
        await EmbeddedServer(tmp_path).start()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerFailed, match="file/nats: Not a directory"):
        await EmbeddedServer(tmp_path / "file" / "nats").start()


_GIVES_UP = """#!/bin/sh
echo "[1] [INF] Listening for client connections on 127.0.0.1:4000" >&2
echo "[1] [INF] Server is ready" >&2
if [ -e "{folder}/again" ]; then exec sleep 1000; fi
touch "{folder}/again"
echo "[1] [ERR] JetStream out of resources, will be DISABLED" >&2
exec sleep 1000
"""


async def test_a_server_that_gave_up_is_started_again(tmp_path: Path) -> None:
    """As the server does when the disk is full: it goes on without JetStream."""
    program = tmp_path / "server"
    program.write_text(_GIVES_UP.replace("{folder}", str(tmp_path)))
    program.chmod(0o755)
    async with embedded(tmp_path / "nats", str(program)) as server:
        first = process_of(server)
        await eventually(lambda: process_of(server) != first and lives(process_of(server)))
        assert not lives(first) and server.url == "nats://127.0.0.1:4000"
