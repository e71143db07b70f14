"""Events at a real nats-server with JetStream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.js.api import StreamConfig

from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend
from bridge.outgoing_events.nats import Nats, subject_of
from tests.outgoing_events.receivers import nats, nats_client
from tests.ports import free_port

SUBJECT = "ocpp.{charge_point}.{type}"


def event(number: int = 1, charge_point: str = "CP 1", kind: str = "boot", size: int = 0) -> EventToSend:
    content = json.dumps({"n": number, "more": "x" * size}).encode()
    return EventToSend(id=f"id-{number}", type=kind, charge_point=charge_point, content=content)


@asynccontextmanager
async def sender(port: int, subject: str = SUBJECT, within: float = 10, **options: Any) -> AsyncIterator[Nats]:
    told = {"username": "", "password": None, "tls": None} | options
    made = Nats(f"nats://127.0.0.1:{port}", subject, timeout=within, **told)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def port() -> int:
    return free_port()


async def refused(to: Nats, told: EventToSend) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await to.send(told)
    return caught.value


async def stream(client: Client, **more: Any) -> None:
    await client.jetstream().add_stream(StreamConfig(name="events", subjects=["ocpp.>"], **more))


async def stored(client: Client) -> list[tuple[str, int, str]]:
    """Subject, number and Nats-Msg-Id of each event in the stream."""
    js = client.jetstream()
    state = (await js.stream_info("events")).state
    messages = [await js.get_msg("events", sequence) for sequence in range(1, state.last_seq + 1)]
    return [(m.subject or "", json.loads(m.data or b"")["n"], (m.headers or {})["Nats-Msg-Id"]) for m in messages]


async def test_events_are_in_the_stream(tmp_path: Path, port: int) -> None:
    with nats(tmp_path, port):
        async with nats_client(port) as client, sender(port) as to:
            await stream(client)
            for number in (1, 2):
                await to.send(event(number, "CP.1 *"))
            assert await stored(client) == [
                ("ocpp.CP%2E1%20%2A.boot", 1, "id-1"),
                ("ocpp.CP%2E1%20%2A.boot", 2, "id-2"),
            ]
            await asyncio.gather(*(to.send(event(number, f"CP {number}")) for number in range(3, 20)))
            assert len(await stored(client)) == 19


async def test_the_stream_drops_what_comes_twice(tmp_path: Path, port: int) -> None:
    with nats(tmp_path, port):
        async with nats_client(port) as client, sender(port) as to:
            await stream(client)
            await to.send(event())
            await to.send(event())
            assert len(await stored(client)) == 1


@given(st.text(min_size=1))
def test_an_identity_is_one_word_of_a_subject(identity: str) -> None:
    subject = subject_of(SUBJECT, event(charge_point=identity.encode("utf-8", "replace").decode()))
    words = subject.split(".")
    assert len(words) == 3 and all(words) and not set(subject) & set("*> \t\r\n")


async def test_without_a_stream_events_wait(tmp_path: Path, port: int) -> None:
    """A server without one takes them and forgets them."""
    with nats(tmp_path, port):
        async with nats_client(port) as client, sender(port) as to:
            failed = await refused(to, event())
            assert str(failed).startswith("no stream takes the subject ocpp.CP%201.boot") and not failed.refused
            await stream(client)
            await to.send(event())


async def test_a_stream_that_is_full_is_told(tmp_path: Path, port: int) -> None:
    with nats(tmp_path, port):
        async with nats_client(port) as client, sender(port) as to:
            await stream(client, max_msgs=1, discard="new")
            await to.send(event(1))
            failed = await refused(to, event(2))
            assert "maximum messages exceeded" in str(failed) and not failed.refused


async def test_nobody_there_and_then_somebody_and_then_nobody(tmp_path: Path, port: int) -> None:
    async with sender(port, within=2) as to:
        assert "Connect call failed" in str(await refused(to, event(1)))
        with nats(tmp_path, port) as process:
            async with nats_client(port) as client:
                await stream(client)
            await to.send(event(2))
            process.kill()
            process.wait()
            assert not (await refused(to, event(3))).refused
        with nats(tmp_path, port):
            await to.send(event(4))
            async with nats_client(port) as client:
                assert [number for _, number, _ in await stored(client)] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "right", "wrong"),
    [
        (("--user", "bridge", "--pass", "s3cret"), {"username": "bridge", "password": b"s3cret"}, {}),
        (("--auth", "t0ken"), {"password": b"t0ken"}, {"password": b"guess"}),
    ],
)
async def test_a_server_that_wants_to_know_who_it_is(
    tmp_path: Path, port: int, arguments: tuple[str, ...], right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with nats(tmp_path, port, *arguments):
        async with sender(port, within=5, **wrong) as to:
            assert "uthorization" in str(await refused(to, event()))
        options = {"user": right.get("username"), "password": right["password"].decode()}
        if options["user"] is None:
            options = {"token": options["password"]}
        async with nats_client(port, **options) as client, sender(port, **right) as to:
            await stream(client)
            await to.send(event())
            assert len(await stored(client)) == 1


async def test_what_is_too_large_is_refused(tmp_path: Path, port: int) -> None:
    with nats(tmp_path, port):
        async with nats_client(port) as client, sender(port) as to:
            await stream(client)
            assert (await refused(to, event(size=2_000_000))).refused
            await to.send(event())


async def test_what_answers_is_no_server(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port), sender(port, within=2) as to:
        assert not (await refused(to, event())).refused
