"""The processes that are measured: `gateway`, `idle`, which pings too, and `floor`, the same hops with nothing parsed.

Run on one core.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bridge.config import Admin, CentralSystem, Listen, Settings, Soap, Store, WebSocket
from bridge.gateway import Gateway as TheGateway

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def allow_files(count: int) -> str:
    """Let this process, and those that it starts, open `count` files. Returns why not, if that is so."""
    if resource is None:
        return ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return f"the system allows {hard} open files, and {count} are needed (ulimit -n)"
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return ""


@asynccontextmanager
async def subject(kind: str, central_system: str) -> AsyncIterator[tuple[str, int]]:
    """A process that is measured: the URL of its CentralSystemService, and its pid."""
    command = [sys.executable, "-m", "tests.bench.subject", kind, central_system]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        port = (await process.stdout.readline()).decode().strip()
        yield f"http://127.0.0.1:{port}/services/CentralSystemService", process.pid
    finally:
        process.terminate()
        await process.wait()


async def _gateway(central_system: str, ping_interval: float) -> int:
    gateway = TheGateway(
        Settings(
            soap=Soap(listen=Listen("127.0.0.1", 0)),
            websocket=WebSocket(listen=Listen("127.0.0.1", 0)),
            admin=Admin(listen=Listen("127.0.0.1", 0)),
            store=Store(url="memory:"),
            central_systems={"main": CentralSystem(url=central_system, ping_interval=ping_interval)},
        )
    )
    await gateway.start()
    return gateway.soap_address[1]


async def _floor(central_system: str) -> int:
    """POST body -> one WebSocket per path -> response body: what aiohttp and websockets cost by themselves."""
    sockets: dict[str, ClientConnection] = {}
    locks: dict[str, asyncio.Lock] = {}

    async def serve(request: web.Request) -> web.Response:
        body = await request.read()
        async with locks.setdefault(request.path, asyncio.Lock()):
            if request.path not in sockets:
                sockets[request.path] = await connect(
                    central_system + request.path,
                    subprotocols=[Subprotocol("ocpp1.6")],
                    compression=None,
                    ping_interval=None,
                )
            await sockets[request.path].send(body, text=True)
            return web.Response(body=await sockets[request.path].recv(decode=False))

    application = web.Application(client_max_size=2**20)
    application.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


async def _main(kind: str, central_system: str) -> None:
    match kind:
        case "gateway":
            port = await _gateway(central_system, ping_interval=0)
        case "idle":
            port = await _gateway(central_system, ping_interval=30)
        case _:
            port = await _floor(central_system)
    gc.freeze()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent closes our input


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
