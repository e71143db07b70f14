"""The processes that are measured: `gateway`, and `floor`, the same hops with nothing parsed. Run on one core."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bridge.config import Admin, CentralSystem, Listen, Settings, Soap, Store, WebSocket
from bridge.gateway import Gateway as TheGateway


async def _gateway(central_system: str) -> int:
    gateway = TheGateway(
        Settings(
            soap=Soap(listen=Listen("127.0.0.1", 0)),
            websocket=WebSocket(listen=Listen("127.0.0.1", 0)),
            admin=Admin(listen=Listen("127.0.0.1", 0)),
            store=Store(url="memory:"),
            central_systems={"main": CentralSystem(url=central_system, ping_interval=0)},
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
    port = await (_gateway if kind == "gateway" else _floor)(central_system)
    gc.freeze()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent closes our input


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
