"""The interface of asyncio that TLS behind a PROXY header leans on: it is as it was, or the start says so.

That it works is shown in `test_entrance.py` and in `tests/e2e/test_proxies.py`.
"""

from __future__ import annotations

import asyncio.sslproto
from pathlib import Path
from typing import Any

import pytest

from bridge.commands.cli import main
from bridge.net.proxies.tls_after_header import missing
from tests.authority import Authority

WHY = "TLS behind a PROXY header needs asyncio.sslproto.SSLProtocol of asyncio, and this Python has another one:"


class Renamed:
    """With another name for what `begin` passes."""

    def __init__(self, loop: Any, app: Any, context: Any, waiter: Any, server_side: bool = False) -> None: ...


class WithoutBuffers:
    """One that the loop feeds in another way."""

    def __init__(
        self,
        loop: Any,
        app_protocol: Any,
        sslcontext: Any,
        waiter: Any,
        server_side: bool = False,
        ssl_handshake_timeout: float | None = None,
    ) -> None: ...

    def connection_made(self, transport: Any) -> None: ...


def configured(folder: Path, mode: str) -> Path:
    """A configuration with TLS and a proxy, which speaks for others in the way `mode`."""
    keys = Authority(folder).issue("server", "localhost")
    path = folder / "bridge.toml"
    path.write_text(f"""
[soap]
listen = "127.0.0.1:0"
proxies = ["127.0.0.0/8"]
proxy = "{mode}"
[soap.tls]
certificate = "{keys["certificate"]}"
key = "{keys["key"]}"
[websocket]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
""")
    return path


def test_this_python_has_it() -> None:
    assert missing() is None


@pytest.mark.parametrize("other", [Renamed, WithoutBuffers, None])
def test_what_is_another_one_is_named(other: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.sslproto, "SSLProtocol", other)
    assert (missing() or "").startswith(WHY)
    monkeypatch.delattr(asyncio.sslproto, "SSLProtocol")
    assert (missing() or "").startswith(WHY)


def test_check_and_a_start_say_so_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asyncio.sslproto, "SSLProtocol", Renamed)
    path = str(configured(tmp_path, "protocol"))
    for command in ("check", "serve"):
        assert main([command, "--config", path]) == 2
        assert f"soap.tls: {WHY}" in capsys.readouterr().err
    path = str(configured(tmp_path, "forwarded"))
    assert main(["check", "--config", path]) == 0
