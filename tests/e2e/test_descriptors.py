"""The real program with few file descriptors: who takes them all, who is served meanwhile, and what the log says."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.processes import Bridge
from tests.e2e.stage import PATH, envelope

FEW = 250
LIMITED = ("sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh")


@asynccontextmanager
async def limited(folder: Path) -> AsyncIterator[Bridge]:
    async with JsonCentralSystem() as central:
        bridge = Bridge(folder, {"main": {"url": central.url}}, call_timeout=5)
        bridge.through = LIMITED
        async with bridge:
            yield bridge


async def heartbeat(bridge: Bridge, identity: str) -> int:
    reader, writer = await asyncio.open_connection(*bridge.soap_address)
    try:
        return await kept_heartbeat(reader, writer, identity)
    finally:
        writer.close()


async def kept_heartbeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: str) -> int:
    """The status of one on a connection that stays."""
    body = envelope(identity=identity)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    response = await reader.readuntil(b"\r\n\r\n")
    length = int(response.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(response.split()[1])


async def test_who_invents_identities_leaves_descriptors_for_all_others(tmp_path: Path) -> None:
    async with limited(tmp_path) as bridge:
        assert await heartbeat(bridge, "honest") == 200
        reader, writer = await asyncio.open_connection(*bridge.soap_address)
        statuses = [await kept_heartbeat(reader, writer, f"invented {number}") for number in range(FEW)]
        assert 503 in statuses
        assert await heartbeat(bridge, "honest") == 200
        assert (await bridge.asked("/readyz"))[0] == 200
        writer.close()
        assert await heartbeat(bridge, "honest") == 200
        assert not [line for line in bridge.lines if "Traceback" in line or "Errno 24" in line]


async def test_accepting_pauses_when_descriptors_are_gone_and_resumes(tmp_path: Path) -> None:
    async with limited(tmp_path) as bridge:
        assert await heartbeat(bridge, "honest") == 200
        idle = [await asyncio.open_connection(*bridge.soap_address) for _ in range(FEW)]
        await bridge.says("no file descriptor is left")
        assert (await bridge.asked("/readyz"))[0] == 200
        for _, writer in idle:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        assert await asyncio.wait_for(heartbeat(bridge, "honest"), 10) == 200
        assert len([line for line in bridge.lines if "no file descriptor" in line]) == 1
        assert not [line for line in bridge.lines if "Traceback" in line or "Errno 24" in line]


async def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        bridge = Bridge(tmp_path, {"main": {"url": central.url}})
        bridge.through = ("sh", "-c", f'ulimit -S -n {FEW} && ulimit -H -n {2 * FEW} && exec "$@"', "sh")
        async with bridge:
            assert resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE) == (2 * FEW, 2 * FEW)


async def test_a_start_says_that_descriptors_do_not_suffice_for_its_listeners(tmp_path: Path) -> None:
    async with limited(tmp_path) as bridge:
        assert "RLIMIT_NOFILE" in "".join(bridge.lines) or await bridge.says("limits.connections", "RLIMIT_NOFILE")
