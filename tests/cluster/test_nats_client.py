"""What a message from the server says, and a nats-py that is another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.client import Client

from bridge.cluster import nats_client
from bridge.cluster.nats_client import NatsClient, ReceivedMessage
from bridge.errors import StartError
from tests.cluster.servers import nats_at, node
from tests.outgoing_events.receivers import nats_client as plain_client


@pytest.mark.parametrize(
    ("head", "status", "description"),
    [
        (b"", "", ""),
        (b"NATS/1.0\r\nNats-Sequence: 7\r\n\r\n", "", ""),
        (b"NATS/1.0 503\r\n\r\n", "503", ""),
        (b"NATS/1.0 404 Message Not Found\r\n\r\n", "404", "Message Not Found"),
        (b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n", "204", "EOB"),
    ],
)
def test_the_status(head: bytes, status: str, description: str) -> None:
    message = ReceivedMessage(subject=b"s", body=b"", head=head)
    assert (message.status, message.description) == (status, description)


def test_a_header() -> None:
    head = b"NATS/1.0\r\nX-Nats-Sequence: 1\r\nNats-Subject: a.b: c\r\nNats-Sequence:7\r\n\r\n"
    message = ReceivedMessage(subject=b"s", body=b"", head=head)
    assert message.header(b"Nats-Sequence") == "7"
    assert message.header(b"Nats-Subject") == "a.b: c"
    assert message.header(b"Nats-Stream") == "" == ReceivedMessage(subject=b"s", body=b"").header(b"Nats-Stream")


async def test_the_client_and_the_library_understand_a_message_alike(tmp_path: Path) -> None:
    received: list[ReceivedMessage] = []
    with nats_at(tmp_path, authorization=False) as server:
        async with plain_client(server.port) as plain:
            subscription = await plain.subscribe("a.>")
            ours = NatsClient(received.append)
            await ours.connect(server.url)
            await ours.subscribe("a.>")
            await ours.flush()
            for number in range(3):
                await plain.publish(f"a.{number}", b"x" * number, headers={"One": f"{number}", "Two": "a: b"})
            await plain.publish("a.plain", b"no headers")
            theirs = [await subscription.next_msg(timeout=20) for _ in range(4)]
            await ours.flush()
            await ours.close()
    assert [message.subject.decode() for message in received] == [message.subject for message in theirs]
    assert [message.body for message in received] == [message.data for message in theirs]
    for one, other in zip(received, theirs, strict=True):
        headers = other.headers or {}
        assert {name: one.header(name.encode()) for name in headers} == headers
        assert bool(one.head) == bool(headers) and not one.status


async def test_another_form_of_the_library_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(self: Client, message: object) -> None:
        """Another form of the method."""

    assert nats_client.missing() is None
    with nats_at(tmp_path) as server:
        monkeypatch.setattr(Client, "_process_msg", other)
        with pytest.raises(StartError, match=r"nats-py has no Client\._process_msg of the known form"):
            async with node(server.url):
                pass
        monkeypatch.delattr(Client, "_process_msg")
        assert nats_client.missing() is not None
