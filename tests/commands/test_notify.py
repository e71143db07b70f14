"""What systemd hears of the service, at a socket of our own in the place of systemd's."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from bridge.commands.notify import Notifier
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT_MOST


@pytest.fixture
def systemd(tmp_path: Path) -> socket.socket:
    """Where it listens."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(AT_MOST)
    return listener


def heard(systemd: socket.socket) -> str:
    """The next thing."""
    return systemd.recv(4096).decode()


def test_what_is_said_and_how(systemd: socket.socket) -> None:
    with systemd:
        notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
        notifier.ready()
        assert heard(systemd) == "READY=1"
        notifier.reloading()
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[0-9]+", heard(systemd))
        notifier.stopping(10)
        assert heard(systemd) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000"


def test_a_name_that_is_in_no_folder() -> None:
    name = f"ocpp-bridge-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(systemd) == "READY=1"


def test_where_nobody_listens_nothing_fails(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / ("x" * 200))}).ready()


async def test_a_watchdog_hears_of_every_turn(systemd: socket.socket) -> None:
    with systemd:
        loop = asyncio.get_running_loop()
        Notifier({"NOTIFY_SOCKET": systemd.getsockname()}).watch(loop)
        Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "often"}).watch(loop)
        Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000"}).watch(loop)
        for _ in range(3):
            assert await asyncio.to_thread(heard, systemd) == "WATCHDOG=1"


async def test_serve_says_when_it_is_ready_reads_again_and_goes(tmp_path: Path, systemd: socket.socket) -> None:
    with systemd:
        bridge = Bridge(tmp_path, {"main": {"url": "ws://127.0.0.1:1/"}})
        bridge.environment = {"NOTIFY_SOCKET": systemd.getsockname()}
        async with bridge:
            assert await asyncio.to_thread(heard, systemd) == "READY=1"
            await bridge.reload()
            assert (await asyncio.to_thread(heard, systemd)).startswith("RELOADING=1")
            assert await asyncio.to_thread(heard, systemd) == "READY=1"
            (tmp_path / "bridge.toml").write_text("no")
            bridge.told(signal.SIGHUP)
            await bridge.says("configuration not taken over")
            assert (await asyncio.to_thread(heard, systemd)).startswith("RELOADING=1")
            assert await asyncio.to_thread(heard, systemd) == "READY=1"
            bridge.told(signal.SIGTERM)
            assert (await asyncio.to_thread(heard, systemd)).startswith("STOPPING=1")
            assert await bridge.ended() == 0
