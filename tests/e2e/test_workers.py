"""A bridge of several processes, with real sockets, signals and its NATS server."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.simulators.json_charge_point import JsonChargePoint
from tests.commands.test_notify import heard
from tests.e2e.processes import Bridge, CentralSystem
from tests.e2e.stage import AT_MOST, envelope, post
from tests.process_states import lives

NOBODY = {"main": {"url": "ws://127.0.0.1:1/"}}


class Workers(Bridge):
    """A bridge with workers."""

    def __init__(
        self,
        folder: Path,
        workers: int | str = 2,
        central_systems: Mapping[str, Mapping[str, Any]] = NOBODY,
        more: str = "",
    ) -> None:
        super().__init__(folder, central_systems, more=more)
        self.environment = {
            "OCPP_BRIDGE__GATEWAY__WORKERS": str(workers),
            "OCPP_BRIDGE__CLUSTER__NODE": "a",
            "OCPP_BRIDGE__CLUSTER__LEASE": "10",
        }

    async def start(self) -> None:
        await super().start()
        await self.says("all workers serve")

    async def reload(self) -> None:
        self.told(signal.SIGHUP)
        await self.says("all workers have read the configuration again")

    def pids(self) -> list[int]:
        """The processes of the workers."""
        return self.children("serve")

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(2 * AT_MOST):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def named(self, words: str) -> set[str]:
        """The workers that have logged a line with `words`."""
        return {found[1] for line in self.lines if words in line and (found := re.search(r" worker=([\w-]+)$", line))}


async def test_messages_are_carried_by_all_workers_and_they_end_together(tmp_path: Path) -> None:
    async with CentralSystem() as central:
        bridge = Workers(tmp_path, 3, {"main": {"url": central.url}})
        async with bridge:
            servers = bridge.children("nats-server")
            assert len(servers) == 1 and len(bridge.pids()) == 3

            async def answered(number: int) -> None:
                answer = await post(bridge, envelope(identity=f"CP {number}"))
                assert answer.status == 200, answer

            number = 0
            async with asyncio.timeout(2 * AT_MOST):
                while len(bridge.named("Heartbeat")) < 3:
                    await asyncio.gather(*(answered(number + more) for more in range(10)))
                    number += 10
                    await asyncio.sleep(0.3)  # lines of the log linger
            assert bridge.named("Heartbeat") == {"a-1", "a-2", "a-3"}
            assert (await bridge.ready())[0] == 200
            async with JsonChargePoint(url=bridge.websocket_url, identity="J") as point:
                assert "currentTime" in await point.call("Heartbeat", {})
            pids = bridge.pids()
            bridge.told(signal.SIGTERM)
            assert await bridge.ended() == 0
            assert not any(map(lives, pids))
            assert bridge.named("stopping") == {"a-1", "a-2", "a-3"}
            assert not lives(servers[0])

    assert not (tmp_path / "bridge.db").exists()
    assert {each.name for each in tmp_path.glob("*.messages.db")} == {f"bridge-{one}.messages.db" for one in (1, 2, 3)}
    assert (tmp_path / "admin-token").exists()


async def test_a_worker_that_is_killed_comes_back_and_the_others_serve_meanwhile(tmp_path: Path) -> None:
    async with Workers(tmp_path) as bridge:
        before = bridge.pids()
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            assert (await bridge.asked("/healthz"))[0] == 200
        await bridge.says("a worker has ended, and is started again", 'reason="signal SIGKILL"')
        await bridge.until(lambda: len(bridge.pids()) == 2 and before[0] not in bridge.pids())
        assert before[1] in bridge.pids()
        await bridge.says("listening", "listener=admin")


async def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    async with Workers(tmp_path) as bridge:
        pids = [*bridge.pids(), *bridge.children("nats-server")]
        bridge.told(signal.SIGKILL)
        await bridge.until(lambda: not any(map(lives, pids)))


async def test_a_change_is_read_by_all_and_a_fault_is_told_once(tmp_path: Path) -> None:
    bridge = Workers(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(AT_MOST)
        bridge.environment = {**bridge.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with bridge:
            assert await asyncio.to_thread(heard, systemd) == "READY=1"
            bridge.configure({"main": {"url": "ws://127.0.0.1:2/"}})
            await bridge.reload()
            await bridge.until(lambda: bridge.named("routes read again") == {"a-1", "a-2"})
            assert (await asyncio.to_thread(heard, systemd)).startswith("RELOADING=1")
            assert await asyncio.to_thread(heard, systemd) == "READY=1"
            bridge.more = "[limits]\nconnections = 5\n"
            text = bridge.file.read_text().replace("[limits]\n", "[limits]\nconnections = 5\n")
            bridge.file.write_text(text)
            await bridge.reload()
            changed = [line for line in bridge.lines if "changed, and holds from the next start on" in line]
            assert len(changed) == 1 and "key=limits.connections" in changed[0]
            bridge.file.write_text("no")
            bridge.told(signal.SIGHUP)
            await bridge.says("configuration not taken over")
            bridge.told(signal.SIGTERM)
            assert await bridge.ended() == 0
            assert len([line for line in bridge.lines if "configuration not taken over" in line]) == 1


async def test_a_port_that_is_taken_is_told_once(tmp_path: Path) -> None:
    bridge = Workers(tmp_path)
    with socket.socket() as taken:
        taken.bind(bridge.websocket_address)
        taken.listen()
        try:
            await super(Bridge, bridge).start()
            assert await bridge.ended() == 1
        finally:
            await bridge.close()
    assert len(bridge.lines) == 1
    assert "websocket.listen: cannot listen at 127.0.0.1" in bridge.lines[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[soap.tls]\ncertificate = 'x.pem'\nkey = 'x.pem'\n", "soap.tls"),
        ("[tracing]\nendpoint = 'x'\n", "tracing.endpoint"),
    ],
)
async def test_a_start_that_fails_is_told_once(tmp_path: Path, more: str, said: str) -> None:
    """Whether the supervisor finds the fault or the workers do."""

    bridge = Workers(tmp_path)
    (tmp_path / "x.pem").write_text("nothing")
    bridge.file.write_text(bridge.file.read_text() + more.replace("x.pem", f"{tmp_path}/x.pem"))
    try:
        await super(Bridge, bridge).start()
        assert await bridge.ended() == 2
    finally:
        await bridge.close()
    assert len([line for line in bridge.lines if said in line]) == 1, bridge.lines


async def test_a_store_of_a_single_process_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bridge.db").touch()
    bridge = Workers(tmp_path)
    try:
        await super(Bridge, bridge).start()
        assert await bridge.ended() == 2
    finally:
        await bridge.close()
    assert len(bridge.lines) == 1
    assert "store.url" in bridge.lines[0] and "has the records of a single process" in bridge.lines[0]
