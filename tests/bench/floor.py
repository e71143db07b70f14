"""What the transports cost by themselves: the hops of each leg on bare aiohttp and `websockets`, with nothing parsed.

Where the two wires differ, what comes in is answered for by bytes of the size that a translation has: they are looked
up by the length of what came.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import aiohttp
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.gateway.memory import keep_what_is_freed
from bridge.net.tasks import Tasks
from tests.bench import messages

PROTOCOLS = [Subprotocol("ocpp1.6")]
_UNIQUE_ID = b"0" * 36
MEMORY_KEPT = "memory kept"
"""The last argument for a floor whose allocator is told to keep what is freed, as the bridge tells its own. As it
comes, it happens to do so in some processes, and is half as fast again in them."""
CONTENT_TYPE = {"Content-Type": "application/soap+xml; charset=utf-8"}


def _json_call(action: str) -> bytes:
    return b'[2,"%s"%s' % (_UNIQUE_ID, messages.call(action))


# By the length of an envelope: the Call in JSON, and the envelope of its answer; by that of a Call, the same.
IDENTITY = "B0000"
AS_JSON = {
    len(messages.envelope(action, IDENTITY)): (_json_call(action), messages.soap_answer(action))
    for action in messages.ACTIONS
}
AS_SOAP = {
    len(_json_call(action)): (
        messages.soap_command(IDENTITY) if action in messages.COMMANDS else messages.envelope(action, IDENTITY),
        b'[3,"%s",%s]' % (_UNIQUE_ID, messages.json_answer(action)),
    )
    for action in (*messages.ACTIONS, *messages.COMMANDS)
}


async def dial(url: str) -> ClientConnection:
    return await connect(url, subprotocols=PROTOCOLS, compression=None, ping_interval=None)


async def soap_json(central_system: str) -> int:
    """A POST, one WebSocket for each path, the response."""
    sockets: dict[str, ClientConnection] = {}
    locks: dict[str, asyncio.Lock] = {}

    async def answer(request: web.Request) -> web.Response:
        frame, envelope = AS_JSON[len(await request.read())]
        async with locks.setdefault(request.path, asyncio.Lock()):
            if request.path not in sockets:
                sockets[request.path] = await dial(central_system + request.path)
            await sockets[request.path].send(frame, text=True)
            await sockets[request.path].recv(decode=False)
        return web.Response(body=envelope, headers=CONTENT_TYPE)

    return await listening(answer)


async def soap_soap(central_system: str) -> int:
    """A POST, a POST, the response."""
    http = aiohttp.ClientSession()

    async def answer(request: web.Request) -> web.Response:
        async with http.post(central_system, data=await request.read(), headers=CONTENT_TYPE) as response:
            return web.Response(body=await response.read(), headers=CONTENT_TYPE)

    return await listening(answer)


async def listening(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
    application = web.Application(client_max_size=2**20)
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


async def json_json(central_system: str) -> int:
    """A relay: frames both ways, so that it is that of commands too."""

    async def relay(near: ServerConnection) -> None:
        assert near.request is not None
        tasks = Tasks()
        async with await dial(central_system + near.request.path) as far:
            tasks.spawn(_copy(far, near), name="copy")
            await _copy(near, far)
        await tasks.close()

    return await accepting(relay)


async def _copy(source: Connection, to: Connection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await to.send(await source.recv(decode=False), text=True)


async def json_soap(central_system: str) -> int:
    """A frame, a POST on a connection that is kept open, a frame."""
    http = aiohttp.ClientSession()

    async def carry(near: ServerConnection) -> None:
        await _posting(near, http, central_system)

    return await accepting(carry)


async def commands(central_systems: str, charge_points: str, count: int, *, per_call: bool) -> None:
    """The other way round: one WebSocket for each Charge Point, dialled at once; what comes is POSTed."""
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=per_call))
    tasks = Tasks()
    for number in range(count):
        far = await dial(f"{central_systems}/B{number:04}")
        tasks.spawn(_posting(far, http, charge_points), name="commands")


async def _posting(near: Connection, http: aiohttp.ClientSession, url: str) -> None:
    with suppress(ConnectionClosed):
        while True:
            envelope, frame = AS_SOAP[len(await near.recv(decode=False))]
            async with http.post(url, data=envelope, headers=CONTENT_TYPE) as response:
                await response.read()
            await near.send(frame, text=True)


async def accepting(carry: Callable[[ServerConnection], Awaitable[None]]) -> int:
    server = await serve(
        carry,
        "127.0.0.1",
        0,
        subprotocols=PROTOCOLS,
        compression=None,
        ping_interval=None,
    )
    return int(next(iter(server.sockets)).getsockname()[1])


async def until_killed(said: object) -> None:
    """Say where it listens, and go on until the parent is gone."""
    gc.freeze()
    print(said, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _main(leg: str, url: str, rest: Iterable[str]) -> None:
    match leg, *rest:
        case "soap-json", *_:
            said: object = await soap_json(url)
        case "soap-soap", *_:
            said = await soap_soap(url)
        case "json-json", *_:
            said = await json_json(url)
        case "json-soap", *_:
            said = await json_soap(url)
        case "commands", charge_points, count, per_call:
            await commands(url, charge_points, int(count), per_call=per_call == "per-call")
            said = "up"
        case _:
            raise SystemExit(f"{leg} is no leg")
    if MEMORY_KEPT in rest:
        keep_what_is_freed()
    await until_killed(said)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3:]))
