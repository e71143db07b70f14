"""Events at a real broker, mosquitto: what it takes, what it refuses, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend
from bridge.outgoing_events.mqtt import Mqtt, topic_of
from tests.outgoing_events.receivers import broker, eventually, mosquitto, subscribed
from tests.ports import free_port

TOPIC = "ocpp/{charge_point}/{type}"


def event(number: int = 1, charge_point: str = "CP 1", kind: str = "boot") -> EventToSend:
    return EventToSend(id=f"id-{number}", type=kind, charge_point=charge_point, content=b'{"n": %d}' % number)


@asynccontextmanager
async def sender(port: int, topic: str = TOPIC, within: float = 10, **options: Any) -> AsyncIterator[Mqtt]:
    told = {"username": "", "password": None, "tls": None} | options
    made = Mqtt("127.0.0.1", port, topic, timeout=within, **told)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def port() -> int:
    return free_port()


async def refused(mqtt: Mqtt, told: EventToSend) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await mqtt.send(told)
    return caught.value


async def test_events_arrive_under_their_topics(tmp_path: Path, port: int) -> None:
    with broker(tmp_path, port):
        async with subscribed(port) as taken, sender(port) as mqtt:
            await mqtt.send(event(1))
            await asyncio.gather(*(mqtt.send(event(number, f"CP {number}", "status")) for number in range(2, 20)))
            await eventually(lambda: len(taken) == 19)
            assert taken[0] == ("ocpp/CP 1/boot", {"n": 1})
            assert {topic for topic, _ in taken[1:]} == {f"ocpp/CP {number}/status" for number in range(2, 20)}


@given(st.text(min_size=1), st.sampled_from(["boot", "loss"]))
def test_an_identity_is_one_level_of_a_topic(identity: str, kind: str) -> None:
    topic = topic_of(TOPIC, event(charge_point=identity.encode("utf-8", "replace").decode(), kind=kind))
    assert topic.count("/") == 2 and not set(topic) & set("+#\0")
    assert topic.startswith("ocpp/") and topic.endswith(f"/{kind}")


def test_two_identities_have_two_topics() -> None:
    assert topic_of(TOPIC, event(charge_point="a/b")) == "ocpp/a%2Fb/boot"
    assert topic_of(TOPIC, event(charge_point="a%2Fb")) == "ocpp/a%252Fb/boot"
    assert topic_of("fixed", event()) == "fixed"


async def test_nobody_there_and_then_somebody(tmp_path: Path, port: int) -> None:
    async with sender(port) as mqtt:
        assert "refused" in str(await refused(mqtt, event())).lower()
        with broker(tmp_path, port):
            async with subscribed(port) as taken:
                await mqtt.send(event())
                await eventually(lambda: taken)


async def test_a_broker_that_goes_away_is_noticed_at_once(tmp_path: Path, port: int) -> None:
    """And found again."""
    async with sender(port, within=1000) as mqtt:
        with broker(tmp_path, port) as process:
            await mqtt.send(event(1))
            process.kill()
            process.wait()
            failed = await refused(mqtt, event(2))
            assert not failed.refused
        with broker(tmp_path, port):
            async with subscribed(port) as taken:
                await mqtt.send(event(3))
                await eventually(lambda: taken)
                assert taken == [("ocpp/CP 1/boot", {"n": 3})]


async def test_a_broker_that_hangs_is_noticed(tmp_path: Path, port: int) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", port), sender(port, within=0.2) as mqtt:
        assert "timed out" in str(await refused(mqtt, event())).lower()


async def test_what_answers_is_no_broker(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port), sender(port, within=0.5) as mqtt:
        assert not (await refused(mqtt, event())).refused


# Who may publish what.


def users(folder: Path, *names: str) -> str:
    """A file of passwords, which are the names backwards."""
    file = folder / "passwords"
    program = str(Path(mosquitto()).parent.parent / "bin" / "mosquitto_passwd")
    for number, name in enumerate(names):
        create = [] if number else ["-c"]
        subprocess.run([program, "-b", *create, str(file), name, name[::-1]], check=True, capture_output=True)
    file.chmod(0o644)
    return f"password_file {file}"


async def test_a_broker_that_does_not_know_the_bridge(tmp_path: Path, port: int) -> None:
    with broker(tmp_path, port, users(tmp_path, "bridge"), anonymous=False):
        async with sender(port) as mqtt:
            failed = await refused(mqtt, event())
            assert "Not authorized" in str(failed) and not failed.refused
        async with sender(port, username="bridge", password=b"wrong") as mqtt:
            assert "Not authorized" in str(await refused(mqtt, event()))
        async with sender(port, username="bridge", password=b"egdirb") as mqtt:
            await mqtt.send(event())


async def test_a_topic_that_the_bridge_may_not_publish_to_is_a_refusal(tmp_path: Path, port: int) -> None:
    """Not a success, as aiomqtt takes it for: nobody would ever get the event."""
    rules = tmp_path / "rules"
    rules.write_text("topic write ocpp/+/boot\ntopic read #\n")
    rules.chmod(0o644)
    with broker(tmp_path, port, f"acl_file {rules}"):
        async with subscribed(port) as taken, sender(port) as mqtt:
            failed = await refused(mqtt, event(1, kind="status"))
            assert failed.refused and "Not authorized" in str(failed)
            await mqtt.send(event(2))
            await eventually(lambda: taken)
            assert taken == [("ocpp/CP 1/boot", {"n": 2})]


async def test_a_topic_that_is_too_long_is_refused(tmp_path: Path, port: int) -> None:
    with broker(tmp_path, port):
        async with sender(port, "x" * 70_000) as mqtt:
            assert (await refused(mqtt, event())).refused


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
async def test_over_tls_the_certificate_is_checked(tmp_path: Path, port: int) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    (tmp_path / "both.pem").chmod(0o644)
    both = tmp_path / "both.pem"
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    contexts: list[tuple[Callable[[], ssl.SSLContext], bool]] = [
        (lambda: trusting, True),
        (ssl.create_default_context, False),
    ]
    with broker(tmp_path, port, f"certfile {both}", f"keyfile {both}"):
        for tls, known in contexts:
            async with sender(port, tls=tls) as mqtt:
                if known:
                    await mqtt.send(event())
                else:
                    assert "certificate verify failed" in str(await refused(mqtt, event()))
    gc.collect()  # paho leaves the socket of a handshake that failed to the collector


def test_the_library_is_one_that_the_sender_knows() -> None:
    """It overrides what aiomqtt does not document."""
    assert {"_on_publish", "_pending_call"} <= set(vars(aiomqtt.Client))
