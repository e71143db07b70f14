"""A WebSocket that one process accepted and another one serves: what comes at one end is what comes at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.cluster.courier import Courier
from bridge.cluster.link_streams import NodeStream
from bridge.net.json_relayed import RelayedWebSocket, WebSocketRelay
from bridge.net.json_server import HandshakeRequest, JsonServer
from bridge.net.message_socket import MessageSocket
from tests.cluster.nodes import later, nodes, until

OCPP = "ocpp1.6"


class Guest:
    """What the accepting process does with a WebSocket."""

    subprotocol = OCPP
    relay: WebSocketRelay
    """The last one."""

    def __init__(self, stream: NodeStream, before: Callable[[], Awaitable[None]]) -> None:
        self._stream, self._before = stream, before

    async def serve(self, connection: MessageSocket) -> None:
        await self._before()
        Guest.relay = WebSocketRelay(connection, self._stream)
        await Guest.relay.run()

    def abandon(self) -> None:
        self._stream.close(1001, "abandoned")


class Served:
    """The WebSocket as the serving process has it."""

    def __init__(self, socket: RelayedWebSocket) -> None:
        self.socket = socket
        self.received: list[bytes] = []
        self.signs = 0
        self.slowly = False
        socket.receiver = self._receive
        socket.on_control = self._sign

    def _receive(self, data: bytes) -> bool:
        if self.slowly:
            return False
        self.received.append(data)
        return True

    def _sign(self) -> None:
        self.signs += 1


@asynccontextmanager
async def relayed(folder: Path, octets: int = 0) -> AsyncIterator[tuple[ClientConnection, Served, Courier]]:
    """A Charge Point at `front`, which is served by `owner`. So many octets wait for the link when it is connected."""
    served: asyncio.Queue[Served] = asyncio.Queue()

    def opened(node: str, payload: bytes, stream: NodeStream) -> None:
        served.put_nowait(Served(RelayedWebSocket(stream, OCPP, ("192.0.2.1", 0))))

    async with nodes(folder) as cluster:
        owner, front = await cluster.node("owner"), await cluster.node("front")
        owner.on_stream("websocket", opened)
        owner.on("large", lambda node, payload: b"")
        asks: list[asyncio.Future[bytes]] = []

        async def crowd() -> None:
            if octets:
                asks.append(asyncio.ensure_future(front.ask("owner", "large", bytes(octets), later())))
                await asyncio.sleep(0)

        async def admit(handshake: HandshakeRequest) -> Guest:
            return Guest(await front.open("owner", "websocket", b"", later()), crowd)

        server = JsonServer(
            admit, path="/ocpp", help_text="", ping_interval=None, open_timeout=60, refused=lambda *told: None
        )
        await server.start("127.0.0.1", 0, None)
        host, port = server.address
        try:
            address = f"ws://{host}:{port}/ocpp/CP1"
            async with connect(address, subprotocols=[Subprotocol(OCPP)], ping_interval=None) as client:
                yield client, await served.get(), owner
            await asyncio.gather(*asks)
        finally:
            await server.close()


async def test_messages_pass_both_ways_in_order(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        sent = [f'["{number}"]' for number in range(200)] + ["x" * 300_000, '["last"]']
        for text in sent:
            await client.send(text)
        await until(lambda: len(served.received) == len(sent))
        assert [data.decode() for data in served.received] == sent

        for text in sent:
            served.socket.send(text.encode())
        assert [await client.recv() for _ in sent] == sent


async def test_it_opens_although_a_large_message_is_on_its_way(tmp_path: Path) -> None:
    """The Charge Point would otherwise wait for an answer until it sends a Ping."""
    async with relayed(tmp_path, octets=8_000_000) as (client, served, _):
        await until(served.socket.opened.is_set)
        await client.send('["first"]')
        await until(lambda: served.received == [b'["first"]'])


async def test_one_that_is_slow_gets_all_the_same(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        served.slowly = True
        sent = [f"{number:0500}" for number in range(1000)]
        sending = asyncio.gather(*(client.send(text) for text in sent))

        received: list[str] = []
        while len(received) < len(sent):
            data = await served.socket.recv()
            assert data is not None
            received.append(data.decode())
            served.socket.one_read()
        await sending

        assert received == sent


async def test_a_close_of_the_charge_point_has_its_code(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        await client.close(4321, "enough")
        assert await served.socket.recv() is None

        assert served.socket.end.rcvd is not None
        assert (served.socket.end.rcvd.code, served.socket.end.rcvd.reason) == (4321, "enough")
        assert not served.socket.is_open


async def test_a_close_of_the_bridge_has_its_code(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        served.socket.send(b"[1]")
        served.socket.close(1012, "it belongs elsewhere now")

        assert await client.recv() == "[1]"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1012, "it belongs elsewhere now")
        await served.socket.closed()


async def test_a_charge_point_whose_process_is_gone_is_told_to_come_again(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, _, owner):
        await owner.close()

        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012


async def test_a_ping_is_a_sign_of_life_there_too(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        await (await client.ping())

        await until(lambda: served.signs)
        assert served.received == []


async def test_it_is_quiet_when_each_call_has_its_answer(tmp_path: Path) -> None:
    """A Call that is sent again has one answer, and an answer to nothing is none."""
    call, answer = '[2,"a \\" 1","Heartbeat",{}]', '[3,"a \\" 1",{}]'
    async with relayed(tmp_path) as (client, served, _):
        for text in (call, f" [ 2 , {call[3:]}", '[3,"never",{}]'):
            await client.send(text)
        await until(lambda: len(served.received) == 3)
        Guest.relay.close_if_quiet(1001, "it stops")
        served.socket.send(b'[2,"a \\" 1","Reset",{}]')
        served.socket.send(answer.encode())
        assert [await client.recv() for _ in range(2)] == ['[2,"a \\" 1","Reset",{}]', answer]
        Guest.relay.close_if_quiet(1001, "it stops")
        await client.send('[4,"a \\" 1","InternalError","",{}]')
        await until(lambda: len(served.received) == 4)
        Guest.relay.close_if_quiet(1001, "it stops")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ('[2,17,"Heartbeat",{}]', '[3,"17",{}]'),
        ('[2,"a\\/\\u00e9","Heartbeat",{}]', '[3,"a/é",{}]'),
        ('[2,"%s","Heartbeat",{}]' % ("x" * 60_000), None),  # nobody waits for it when this process stops
    ],
)
async def test_an_answer_may_spell_the_unique_id_otherwise(tmp_path: Path, call: str, answer: str | None) -> None:
    async with relayed(tmp_path) as (client, served, _):
        await client.send(call)
        await until(lambda: len(served.received) == 1)
        if answer is not None:
            Guest.relay.close_if_quiet(1001, "it stops")
            served.socket.send(answer.encode())
            assert await client.recv() == answer
        Guest.relay.close_if_quiet(1001, "it stops")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001


async def test_few_calls_without_an_answer_are_remembered(tmp_path: Path) -> None:
    async with relayed(tmp_path) as (client, served, _):
        for number in range(100):
            await client.send(f'[2,"{number}","Heartbeat",{{}}]')
        await until(lambda: len(served.received) == 100)
        assert list(Guest.relay._from_charge_point) == [str(number) for number in range(84, 100)]
