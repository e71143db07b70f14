"""The process as an operator has it: started, told to stop, told to read its routes again, refused its port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bridge.app import Gateway
from bridge.config import Admin, Listen, Soap
from tests.e2e.stage import (
    AT,
    AT_MOST,
    RawCentralSystem,
    answering,
    envelope,
    listening,
    post,
    receiver,
    running,
    sender,
    settings,
)
from tests.ports import free_port

CONFIGURATION = """
[gateway]
drain_timeout = {drain}
call_timeout = 60
[soap]
listen = "127.0.0.1:{port}"
[websocket]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[store]
url = "memory:"
[central_systems.main]
url = "{url}"
[[routes]]
charge_point = "{route}"
central_system = "main"
"""
RESET = '<resetResponse xmlns="urn://Ocpp/Cp/2015/10/"><status>Accepted</status></resetResponse>'


class Process:
    """`python -m bridge serve`, and what it logs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.soap_address = ("", 0)
        self.lines: list[str] = []

    async def says(self, words: str) -> str:
        """The next line of the log with `words` in it."""
        assert self._process.stderr is not None
        async with asyncio.timeout(AT_MOST):
            while line := (await self._process.stderr.readline()).decode():
                self.lines.append(line)
                if words in line:
                    return line
        raise AssertionError(f"{words!r} is not in:\n{''.join(self.lines)}")

    def told(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        assert self._process.stderr is not None
        async with asyncio.timeout(AT_MOST):
            self.lines += (await self._process.stderr.read()).decode().splitlines(keepends=True)
            return await self._process.wait()


@asynccontextmanager
async def process(file: Path) -> AsyncIterator[Process]:
    """The process, which is gone afterwards whatever happened."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCPP_BRIDGE")}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "serve", "--config", str(file)),
        stderr=asyncio.subprocess.PIPE,
        cwd=file.parent,
        env=environment,
    )
    try:
        yield Process(started)
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


@asynccontextmanager
async def serving(folder: Path, url: str, *, drain: float = 20, route: str = "*") -> AsyncIterator[Process]:
    """The process, once it listens."""
    file = folder / "bridge.toml"
    file.write_text(CONFIGURATION.format(drain=drain, port=0, url=url, route=route))
    async with process(file) as served:
        line = await served.says("listener=soap")
        served.soap_address = ("127.0.0.1", int(line.rstrip().rpartition(":")[2]))
        await served.says("listener=admin")
        yield served


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_work_in_flight_is_answered_before_it_goes(tmp_path: Path, number: signal.Signals) -> None:
    go = asyncio.Event()

    async def hold(body: bytes) -> web.Response:
        await go.wait()
        return await answering(RESET)(body)

    async with (
        RawCentralSystem() as central,
        listening(hold) as point,
        serving(tmp_path, central.url) as bridge,
        asyncio.TaskGroup() as group,
    ):
        beat = group.create_task(post(bridge, envelope(source=point.url)))
        link = await central.connected()
        call = await link.receive()
        await link.send([2, "id", "Reset", {"type": "Soft"}])
        await asyncio.wait_for(point.arrived.wait(), AT_MOST)

        bridge.told(number)
        await bridge.says("draining")
        late = await post(bridge, envelope(identity="another"))
        assert (late.status, late.fault) == (503, receiver("InternalError"))
        refused = await link.ask([2, "late", "ClearCache", {}])
        assert refused[:3] == [4, "late", "InternalError"]
        assert "shutting down" in refused[3]

        await link.send([3, call[1], {"currentTime": AT}])
        answer = await beat
        assert (answer.status, answer.fault) == (200, None)
        go.set()
        assert await link.receive() == [3, "id", {"status": "Accepted"}]
        await asyncio.wait_for(link.websocket.wait_closed(), AT_MOST)
        assert link.websocket.close_code == 1001
        assert await bridge.ended() == 0
        assert any("stopping drained=true" in line for line in bridge.lines)
        assert len(central.requests) == 1


async def test_work_that_does_not_end_is_given_up_after_the_drain_timeout(tmp_path: Path) -> None:
    async with (
        RawCentralSystem() as central,
        serving(tmp_path, central.url, drain=0.2) as bridge,
        asyncio.TaskGroup() as group,
    ):
        beat = group.create_task(post(bridge, envelope()))
        link = await central.connected()
        await link.receive()
        bridge.told(signal.SIGTERM)
        answer = await beat
        assert (answer.status, answer.fault) == (503, receiver("InternalError"))
        assert "shutting down" in answer.reason
        await asyncio.wait_for(link.websocket.wait_closed(), AT_MOST)
        assert link.websocket.close_code == 1001
        assert await bridge.ended() == 0
        assert any("stopping drained=false" in line for line in bridge.lines)
        assert not any("Traceback" in line or "ERROR" in line for line in bridge.lines)


async def test_routes_are_read_again_and_the_last_good_ones_kept(tmp_path: Path) -> None:
    async with (
        RawCentralSystem() as central,
        serving(tmp_path, central.url, route="CP *") as bridge,
    ):
        file = tmp_path / "bridge.toml"
        good = file.read_text()
        stranger = envelope(identity="stranger")
        assert (await post(bridge, stranger)).fault == sender("IdentityMismatch")

        file.write_text(good.replace("charge_point", "charge_pint"))
        bridge.told(signal.SIGHUP)
        assert "charge_pint" in await bridge.says("configuration not taken over")
        assert (await post(bridge, stranger)).fault == sender("IdentityMismatch")
        async with asyncio.TaskGroup() as group:
            known = group.create_task(post(bridge, envelope()))
            link = await central.connected()
            await link.serve()
        assert known.result().status == 200

        file.write_text(good.replace('"CP *"', '"[cs]*"'))  # the known one keeps its route
        bridge.told(signal.SIGHUP)
        await bridge.says("routes read again")
        async with asyncio.TaskGroup() as group:
            known = group.create_task(post(bridge, stranger))
            await (await central.connected()).serve()
        assert known.result().status == 200

        bridge.told(signal.SIGTERM)
        assert await bridge.ended() == 0


async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    async def walk(port: int) -> tuple[int, list[str]]:
        file = tmp_path / "bridge.toml"
        file.write_text(CONFIGURATION.format(drain=1, port=port, url="ws://127.0.0.1:1/", route="*"))
        async with process(file) as refused:
            return await refused.ended(), refused.lines

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines = await walk(port)
    assert code == 1
    [line] = lines
    assert f"soap.listen: cannot listen at 127.0.0.1:{port}: " in line
    assert "in use" in line


# In this process.


async def test_a_gateway_that_cannot_start_leaves_nothing_behind() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as first:
        told = settings(central.url)
        host, port = first.admin_address
        free = free_port()
        soap = Soap(listen=Listen("127.0.0.1", free))
        taken = type(told)(soap=(soap,), admin=Admin(listen=Listen(host, port)))
        with pytest.raises(OSError, match=rf"admin\.listen: cannot listen at 127\.0\.0\.1:{port}: "):
            await Gateway(taken).start()
        # The port that it had taken is free again.
        async with running(settings(central.url, soap={"listen": Listen("127.0.0.1", free)})) as second:
            assert second.soap_address == ("127.0.0.1", free)


async def test_a_gateway_that_has_closed_dials_no_more() -> None:
    quick = {"reconnect_min": 0.001, "reconnect_max": 0.001}
    async with RawCentralSystem() as central:
        for _ in range(20):
            async with (
                running(settings(central.url, central_system=quick)) as gateway,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(post(gateway, envelope()))
                await (await central.connected()).serve()
        # Had a closed one dialled again, it would have done so while the next ones came and went.
        assert len(central.requests) == 20


async def test_a_gateway_may_close_while_it_dials() -> None:
    gone = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
    async with asyncio.TaskGroup() as group:
        async with running(settings(url, gateway={"drain_timeout": 0.05})) as gateway:
            asked = group.create_task(post(gateway, envelope()))
            # Once a later request has been answered, the first has come in.
            assert (await post(gateway, b"", method="GET", path="/services")).status == 200
        assert (await asked).status == 503
    gone.set()
    server.close()
    await server.wait_closed()
