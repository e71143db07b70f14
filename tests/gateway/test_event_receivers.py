"""What the configuration says of receivers of events is what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec import structs

from bridge.config import ClientTLS, EventReceiver, Secret
from bridge.errors import ConfigurationError
from bridge.gateway import event_receivers
from bridge.gateway.event_receivers import receivers_of
from bridge.net.tls import ClientContexts
from bridge.ocpp.tenants import key_of
from bridge.outgoing_events import Receiver
from bridge.outgoing_events.delivery import EventToSend
from bridge.outgoing_events.mqtt import topic_of as mqtt_topic
from bridge.outgoing_events.nats import subject_of
from bridge.outgoing_events.queue import QueueBounds
from tests.outgoing_events.receivers import broker, eventually, http_receiver, nats, nats_client, subscribed
from tests.ports import free_port

EVENT = EventToSend(id="id-1", type="boot", charge_point="CP 1", content=b'{"id": "id-1"}')


def receiver(**keys: Any) -> Receiver:
    told: dict[str, Any] = {
        "name": "billing",
        "kind": "webhook",
        "url": "http://127.0.0.1:1/",
        "secret": Secret(b"s"),
    } | keys
    (made,) = receivers_of([EventReceiver(**told)], ClientContexts().of)
    return made


async def send(made: Receiver, event: EventToSend = EVENT) -> None:
    sender = made.open()
    try:
        await sender.send(event)
    finally:
        await sender.close()


def test_the_limits_are_those_of_the_table() -> None:
    made = receiver(timeout=3.0, max_events=4, max_bytes=5, max_age=6.0)
    assert (made.name, made.timeout, made.bounds) == ("billing", 3, QueueBounds(events=4, octets=5, age=6))


@pytest.mark.parametrize(
    ("types", "glob", "kind", "identity", "wanted"),
    [
        ((), "*", "boot", "cp 1", True),
        (("boot", "link"), "*", "boot", "cp 1", True),
        (("link",), "*", "boot", "cp 1", False),
        ((), "NL-*", "boot", "nl-7", True),
        ((), "NL-*", "boot", "be-7", False),
        ((), "STRASSE*", "boot", "straße 1".casefold(), True),
        (("boot",), "NL-*", "boot", "be-7", False),
    ],
)
def test_who_wants_what(types: tuple[str, ...], glob: str, kind: str, identity: str, wanted: bool) -> None:
    assert receiver(types=types, charge_point=glob).wants(kind, identity) is wanted


@pytest.mark.parametrize(
    ("tenant", "wanted"),
    [("", ["cp 1"]), ("default", ["cp 1"]), ("acme", ["acme"]), ("*", ["cp 1", "acme", "b"]), ("b", ["b"])],
)
def test_whose_events_it_gets(tenant: str, wanted: list[str]) -> None:
    made = receiver(tenant=tenant, charge_point="CP*")
    keys = {"cp 1": "cp 1", "acme": key_of("acme", "cp 1"), "b": key_of("b", "cp 1"), "other": key_of("b", "js 1")}
    assert [name for name, key in keys.items() if made.wants("boot", key)] == wanted


def test_topics_of_several_tenants_differ() -> None:
    events = [EVENT, structs.replace(EVENT, tenant="acme")]
    assert [mqtt_topic("ocpp/{tenant}/{charge_point}/{type}", event) for event in events] == [
        "ocpp/default/CP 1/boot",
        "ocpp/acme/CP 1/boot",
    ]
    assert subject_of("ocpp.{tenant}.{charge_point}.{type}", events[1]) == "ocpp.acme.CP%201.boot"
    assert event_receivers._SHARED_TOPICS["mqtt"].startswith("ocpp/{tenant}/")


def test_other_settings_are_told_from_the_same() -> None:
    assert receiver().settings == receiver().settings
    assert receiver(secret=Secret(b"other")).settings != receiver().settings


@pytest.mark.parametrize(("kind", "library"), [("mqtt", "aiomqtt"), ("nats", "nats")])
def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, kind: str, library: str) -> None:
    monkeypatch.setattr(event_receivers, "find_spec", lambda name: None if name == library else object())
    with pytest.raises(ConfigurationError) as caught:
        receiver(kind=kind, secret=None)
    (complaint,) = caught.value.complaints
    assert complaint.key == "events[0].kind"
    assert complaint.text == f"{library} is not installed here: pip install 'ocpp-bridge[{kind}]'"


async def test_a_webhook() -> None:
    async with http_receiver() as at:
        await send(receiver(url=at.url, secret=Secret(b"a secret of the webhook")))
        assert at.events == [{"id": "id-1"}]


@pytest.fixture
def issued(tmp_path: Path) -> dict[str, str]:
    """Files of a server's certificate, and of the authority of it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    return {name: str(tmp_path / f"{name}.pem") for name in ("ca", "key", "cert")}


@pytest.mark.parametrize("secure", [False, True])
async def test_a_broker(tmp_path: Path, issued: dict[str, str], secure: bool) -> None:
    port = free_port()
    own = free_port()
    lines = [f"listener {own} 127.0.0.1"]
    if secure:
        lines = [f"certfile {issued['cert']}", f"keyfile {issued['key']}", *lines]
    keys: dict[str, Any] = {"kind": "mqtt", "secret": None, "url": f"mqtt{'s' * secure}://127.0.0.1:{port}"}
    if secure:
        keys["tls"] = ClientTLS(ca=issued["ca"])
    with broker(tmp_path, port, *lines):
        async with subscribed(own) as taken:
            await send(receiver(**keys))
            await send(receiver(**keys, topic="fleet/{type}"))
            await eventually(lambda: len(taken) == 2)
            assert [topic for topic, _ in taken] == ["ocpp/CP 1/boot", "fleet/boot"]


@pytest.mark.parametrize("secure", [False, True])
async def test_a_stream(tmp_path: Path, issued: dict[str, str], secure: bool) -> None:
    port = free_port()
    arguments = ("--tls", "--tlscert", issued["cert"], "--tlskey", issued["key"]) if secure else ()
    keys: dict[str, Any] = {"kind": "nats", "secret": None, "url": f"nats://127.0.0.1:{port}"}
    if secure:
        keys |= {"url": f"tls://127.0.0.1:{port}", "tls": ClientTLS(ca=issued["ca"])}
    context = ClientContexts().of(ClientTLS(ca=issued["ca"])) if secure else None
    with nats(tmp_path, port, *arguments):
        async with nats_client(port, tls=context) as client:
            await client.jetstream().add_stream(name="events", subjects=["ocpp.>", "fleet.>"])
            await send(receiver(**keys))
            await send(receiver(**keys, topic="fleet.{type}"), structs.replace(EVENT, id="id-2"))
            messages = [await client.jetstream().get_msg("events", number) for number in (1, 2)]
            assert [message.subject for message in messages] == ["ocpp.CP%201.boot", "fleet.boot"]
