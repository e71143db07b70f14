"""What is checked before the stream is used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.cluster import stream_forms as form
from bridge.cluster.nats_connection import Login, OutgoingMessage, ServersAway, UnusableServers
from bridge.cluster.shared_stream import SharedStream
from tests.attacks.cluster_stage import Cable
from tests.cluster.servers import TOKEN, NatsServer, nats_at, node
from tests.outgoing_events.receivers import nats_client
from tests.ports import free_port


@asynccontextmanager
async def shared(url: str, password: str | None = TOKEN) -> AsyncIterator[SharedStream]:
    stream = SharedStream([url], "a", login=Login(password=password))
    try:
        yield stream
    finally:
        await stream.close()


async def complaint(url: str, password: str | None = TOKEN) -> str:
    """Why the servers cannot be used."""
    async with shared(url, password) as stream:
        with pytest.raises(UnusableServers) as caught:
            await stream.open(60)
    return str(caught.value)


async def test_an_older_server_is_refused() -> None:
    """Debian's: it would take the configuration of the stream, and leave out what it does not know."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1_048_576, "headers": True, "proto": 1}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        text = await complaint(f"nats://127.0.0.1:{port}")
    assert "is of version 2.9.10, and must be of 2.12 or newer" in text


@pytest.mark.parametrize("password", ["guess", None])
async def test_a_wrong_token_is_refused(tmp_path: Path, password: str | None) -> None:
    with nats_at(tmp_path) as server:
        assert "refuse the credentials" in await complaint(server.url, password)


async def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    with nats_at(tmp_path, jetstream=False) as server:
        assert "has no JetStream" in await complaint(server.url)


async def test_an_account_without_jetstream_is_refused(tmp_path: Path) -> None:
    accounts = "accounts { A { users: [ { user: u, password: p } ] }, B { jetstream: enabled } }"
    server = NatsServer(tmp_path, "one", accounts, authorization=False)
    server.start()
    try:
        stream = SharedStream([server.url], "a", login=Login(username="u", password="p"))
        with pytest.raises(UnusableServers, match="no JetStream for this account"):
            await stream.open(60)
        await stream.close()
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5 and must be 1"),
        ({"storage": "memory"}, 'storage is "memory" and must be "file"'),
        ({"allow_atomic": False}, "allow_atomic is null and must be true"),
        ({"subjects": ["ocppb.node.>"]}, "subjects is"),
        ({"max_age": 10**12}, "max_age is"),
    ],
)
async def test_a_stream_of_another_configuration_is_refused(tmp_path: Path, other: dict[str, Any], text: str) -> None:
    with nats_at(tmp_path) as server:
        async with nats_client(server.port, token=TOKEN) as client:
            wanted = {key: value for key, value in (form.CONFIGURATION | other).items() if value is not False}
            answer = await client.request(f"$JS.API.STREAM.CREATE.{form.STREAM}", msgspec.json.encode(wanted))
            assert b'"error"' not in answer.data
        assert text in await complaint(server.url)


async def test_several_nodes_create_the_stream_at_once(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        streams = [SharedStream([server.url], str(number), login=Login(password=TOKEN)) for number in range(5)]
        await asyncio.gather(*(stream.open(60) for stream in streams))
        assert all(stream.connections == 1 for stream in streams)
        for stream in streams:
            await stream.close()


async def test_servers_that_come_later_are_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    async with shared(server.url) as stream:
        with pytest.raises(UnusableServers, match=r"no NATS server can be reached .*, within 0.1 s"):
            await stream.open(0.1)
        opening = asyncio.ensure_future(stream.open(60))
        await asyncio.sleep(0.1)
        server.start()
        try:
            await opening
        finally:
            server.kill()


async def test_a_server_that_says_nothing_is_left_for_another(tmp_path: Path) -> None:
    """Also by requests that wait a shorter time than it takes to see that."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = free_port()
    async with await asyncio.start_server(hang, "127.0.0.1", silent):
        with nats_at(tmp_path) as server:
            stream = SharedStream([f"nats://127.0.0.1:{silent}", server.url], "a", login=Login(password=TOKEN))
            for _ in range(3):  # the order of the servers is by chance
                while True:
                    try:
                        reading = await stream.within(0.2, lambda: stream.last(["ocppb.node.x.head"]))
                        break
                    except ServersAway:
                        continue
                assert reading.status == "404"
                await stream._nats._drop(stream._nats._connection)
            await stream.close()


async def test_the_time_is_that_of_the_server(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            before = a.records.now
            assert before > 1_700_000_000 and a.records.now >= before


def test_passwords_are_not_shown() -> None:
    assert repr(Login(username="u", password="secret")) == "Login(username='u')"


async def test_who_tries_again_at_once_lets_the_connection_find_out_that_it_is_closed() -> None:
    stream, found_out = SharedStream(["nats://127.0.0.1:1"], "a"), asyncio.Event()

    async def away() -> None:
        raise ServersAway("the connection is closed")

    asyncio.get_running_loop().call_soon(found_out.set)
    for _ in range(3):
        with pytest.raises(ServersAway):
            await stream.within(10, away)
    assert found_out.is_set()


async def test_a_server_on_its_own_remembers_ids(tmp_path: Path) -> None:
    """One that was told to forget them earlier is used all the same."""
    short = f'jetstream {{ store_dir: "{tmp_path}/short", limits: {{ duplicate_window: "1m" }} }}'
    for lines, remembers in (([], True), ([short], False)):
        with nats_at(tmp_path, *lines, jetstream=not lines) as server:
            async with shared(server.url) as stream:
                await stream.open(60)
                assert stream.remembers_ids is remembers


async def test_a_connection_that_is_dropped_sends_nothing_any_more(tmp_path: Path) -> None:
    """Nothing comes through for a while. Nobody waits for what is still to be sent, and it does not come later."""
    with nats_at(tmp_path) as server:
        cable = Cable(server)
        async with cable.laid(), shared(cable.url) as stream:
            await stream.open(60)
            subjects = [f"ocppb.node.{number}.commit" for number in range(30)]
            cable.cut()
            async with asyncio.timeout(60):
                with pytest.raises(ServersAway):
                    large = [OutgoingMessage(subject=subject, body=bytes(900_000)) for subject in subjects]
                    await stream.within(3.0, lambda: stream.publish(large))
            cable.mend()
            await stream.within(60, stream.connect)
            assert stream.connections == 2
            assert await stream.within(60, lambda: stream.last_of(subjects[-1])) is None
