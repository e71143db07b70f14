"""Whoever wakes Charge Points is asked over a real socket."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bridge.core.destinations import OwnListeners
from bridge.gateway.waking import Waker
from bridge.net.tasks import Tasks
from bridge.ocpp.tenants import key_of
from tests.names import stand_for

AT_MOST = 20


async def asked(status: str, *, own: bool = False, named: str = "127.0.0.1", key: str = "CP 1") -> bytes:
    """What a listener gets that answers with `status`, whose host is `named` so; `own`: it is the bridge's own. `key`
    names the Charge Point."""
    request: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        request.set_result(head + await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    tasks = Tasks()
    listeners = OwnListeners.at([(host, port)]) if own else OwnListeners()
    waker = Waker(tasks, lambda: listeners)
    waker.wake(key, f"http://{named}:{port}/wake?by=bridge")
    while len(tasks):  # noqa: ASYNC110  its tasks say that they have ended by being gone
        await asyncio.sleep(0.001)
    await waker.close()
    server.close()
    return request.result() if request.done() else b""


def run(status: str, **how: Any) -> bytes:
    return asyncio.run(asyncio.wait_for(asked(status, **how), AT_MOST))


def test_it_is_told_which_charge_point_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bridge.gateway"):
        request = run("202 Accepted")
    assert request.startswith(b"POST /wake?by=bridge HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"identity":"CP 1"}')
    assert b"Content-Type: application/json\r\n" in request
    assert "asked to wake a Charge Point" in caplog.text


def test_it_is_told_the_tenant_beside_the_identity() -> None:
    assert run("202 Accepted", key=key_of("acme", "CP 1")).endswith(b'\r\n\r\n{"identity":"CP 1","tenant":"acme"}')


def test_that_it_refuses_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    run("500 Oops")
    assert "wake_url failed" in caplog.text


@pytest.mark.parametrize("named", ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "wake.example"])
def test_the_bridge_itself_is_not_asked_by_whatever_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    stand_for(monkeypatch, "wake.example", "127.0.0.1")
    assert run("202 Accepted", own=True, named=named) == b""
    assert "wake_url failed" in caplog.text
    assert run("202 Accepted", named=named) != b""
