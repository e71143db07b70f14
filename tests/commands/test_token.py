"""`ocpp-bridge token`, and how a bridge and its command line find the same token."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from bridge.commands.cli import main
from tests.e2e.processes import Bridge

NOBODY = "ws://127.0.0.1:1/ocpp"


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    path = tmp_path / "bridge.toml"
    path.write_text(f"[store]\nurl = 'sqlite:///{tmp_path}/var/bridge.db'\n[admin]\nlisten = '0.0.0.0:8081'\n")
    return path


def test_it_prints_what_the_bridge_keeps(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--config", str(configured)]) == 1
    file = configured.parent / "var" / "admin-token"
    why = f"there is no file {file}: the bridge makes it when it starts"
    assert capsys.readouterr().err == f"ocpp-bridge token: {why}\n"
    file.parent.mkdir()
    file.write_text("kept+token\n")
    assert main(["token", "--config", str(configured)]) == 0
    assert capsys.readouterr().out == "kept+token\n"
    assert main(["token", "--address", "--config", str(configured)]) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:8081/#token=kept%2Btoken\n"
    file.write_text("")
    assert main(["token", "--config", str(configured)]) == 2
    assert capsys.readouterr().err == f"{file}: is blank: delete it, and the bridge makes a new one\n"


def test_a_configured_one_and_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, secret = tmp_path / "bridge.toml", tmp_path / "secret"
    secret.write_text("mine\n")
    path.write_text(f"[admin]\ntoken_file = '{secret}'\n")
    assert main(["token", "--config", str(path)]) == 0
    assert capsys.readouterr().out == "mine\n"
    path.write_text("[store]\nurl = 'memory:'\n")
    assert main(["token", "--config", str(path)]) == 1
    assert "the store is in memory, and so is the token: set admin.token_file" in capsys.readouterr().err


async def status(bridge: Bridge, token: str) -> int:
    """Of a request to the API that shows `token`."""
    url = "http://127.0.0.1:{1}/api/v1/routes".format(*bridge.admin_address)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status


async def test_the_bridge_makes_it_once_and_reads_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line finds it by itself; a token that is changed holds from SIGHUP on, and a blank one changes
    nothing."""
    file, config = tmp_path / "admin-token", str(tmp_path / "bridge.toml")
    async with Bridge(tmp_path, {"main": {"url": NOBODY}}) as bridge:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        first = file.read_text().strip()
        assert (await status(bridge, first), await status(bridge, "")) == (200, 401)
        assert await asyncio.to_thread(main, ["sessions", "--config", config]) == 0
        await bridge.restart()
        assert await status(bridge, first) == 200
        file.write_text("another token\n")
        await bridge.reload()
        assert (await status(bridge, first), await status(bridge, "another token")) == (401, 200)
        assert await asyncio.to_thread(main, ["sessions", "--config", config]) == 0
        file.write_text("")
        bridge.told(signal.SIGHUP)
        await bridge.says("configuration not taken over", "is blank")
        assert await status(bridge, "another token") == 200
        assert not [line for line in bridge.lines if first in line or "another token" in line]
    capsys.readouterr()


def test_on_a_terminal_the_console_is_one_click_away(tmp_path: Path) -> None:
    """What a person sees, and no journal."""
    bridge = Bridge(tmp_path, {"main": {"url": NOBODY}})  # writes the configuration
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "bridge", "serve", "--config", str(tmp_path / "bridge.toml")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=end, stderr=subprocess.DEVNULL) as process:
        os.close(end)
        try:
            shown = b""
            while not shown.endswith(b"\n"):
                shown += os.read(terminal, 65536)
        finally:
            process.kill()
    os.close(terminal)
    token = (tmp_path / "admin-token").read_text().strip()
    port = bridge.admin_address[1]
    assert shown.decode() == f"The console: http://127.0.0.1:{port}/#token={token}\r\n"
