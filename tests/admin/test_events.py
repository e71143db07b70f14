"""The live stream: what happens, in order; what was missed; and an end when the bridge goes."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bridge.admin import event_ring, events
from bridge.admin.events import Stream, Subscription
from bridge.admin.facts import Happening
from bridge.admin.problems import RequestRefused
from bridge.app import Gateway
from bridge.config import Admin, AdminToken, Listen, Secret, Settings
from bridge.config.records import SecretFile
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.stage import charge_point, json_charge_point, running, settings


def happening(identity: str = "CP 1", what: str = "up") -> Happening:
    return Happening(identity=identity, at="", what=what)


def made(listened: Callable[[bool], None] = lambda listens: None) -> Stream:
    return Stream(listened, clock=lambda: 1.0)


async def heard(client: Subscription) -> list[str]:
    """What the client is told of by now: `id what`, or the kind of what has no id."""
    client.end()
    text = b"".join([chunk async for chunk in client.chunks()]).decode()
    found = []
    for event in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in event.splitlines())
        if "id" in fields:
            found.append(f"{fields['id']} {msgspec.json.decode(fields['data'])['what']}")
        elif "event" in fields:
            found.append(fields["event"])
    return found


async def test_events_come_in_their_order_to_who_wants_them() -> None:
    stream = made()
    everybody, some = stream.subscribe(None, None), stream.subscribe("evlink-*", None)
    for identity in ("CP 1", "EVLINK-7"):
        stream.publish("link", identity, happening(identity))
    stream.publish("refused", None, happening(what="stranger"))
    assert await heard(everybody) == ["1000001 up", "1000002 up", "1000003 stranger"]
    assert await heard(some) == ["1000002 up"]


async def test_nothing_is_made_while_nobody_listens() -> None:
    told: list[bool] = []
    stream = made(told.append)
    stream.publish("link", "CP 1", happening())
    client = stream.subscribe(None, None)
    stream.subscribe(None, None)
    assert (told, stream.live) == ([True], True)
    assert await heard(client) == []
    stream.close()
    assert not stream.live


async def test_who_comes_back_soon_has_missed_nothing() -> None:
    stream = made()
    client = stream.subscribe(None, None)
    for what in ("a", "b", "c"):
        stream.publish("link", "CP 1", happening(what=what))
    stream.leave(client)
    stream.publish("link", "CP 1", happening(what="d"))
    assert await heard(stream.subscribe(None, 1_000_002)) == ["1000003 c", "1000004 d"]
    assert await heard(stream.subscribe(None, 1_000_004)) == []
    assert await heard(stream.subscribe("X", 1_000_002)) == []
    stream.close()


@pytest.mark.parametrize("last", [0, 999_999, 2_000_000])
async def test_who_missed_something_is_told_so(last: int) -> None:
    stream = made()
    stream.subscribe(None, None)
    stream.publish("link", "CP 1", happening())
    assert await heard(stream.subscribe(None, last)) == ["gap"]
    stream.close()


async def test_ten_minutes_at_a_hundred_messages_a_second_are_resumed_whole() -> None:
    """By who wants all, and by who wants one Charge Point of many."""
    stream = made()
    stream.leave(stream.subscribe(None, None))
    count = 10 * 60 * 100
    for number in range(count):
        stream.publish("message", f"CP {number % 3000}", happening(f"CP {number % 3000}", str(number)))
    assert await resumed(stream.subscribe(None, 1_000_000)) == list(range(count))
    assert await resumed(stream.subscribe("cp 7", 1_000_000)) == list(range(7, count, 3000))
    assert await resumed(stream.subscribe(None, 1_000_000 + count - 5)) == list(range(count - 5, count))
    stream.close()


async def resumed(client: Subscription) -> list[int]:
    """The numbers in all events that the client is told of until it has caught up."""
    found: list[int] = []
    chunks = client.chunks()
    while client._after < client._ring.last:
        chunk = await anext(chunks)
        found += [int(number) for number in re.findall(rb'"what":"([0-9]+)"', chunk)]
    await chunks.aclose()
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that is soon full."""
    monkeypatch.setattr(event_ring, "RING", 1000)


@pytest.mark.usefixtures("small")
async def test_the_ring_has_an_end() -> None:
    stream = made()
    stream.leave(stream.subscribe(None, None))
    count = 5000
    for number in range(count):
        stream.publish("link", "CP 1", happening(what=str(number)))
    for missed in (1, 999, 1000):
        assert await resumed(stream.subscribe(None, 1_000_000 + count - missed)) == list(range(count - missed, count))
    assert await heard(stream.subscribe(None, 1_000_000 + count - 1000 - 2 * event_ring.BLOCK)) == ["gap"]
    stream.close()


def test_the_ring_has_an_end_in_octets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_ring, "RING_OCTETS", 10_000)
    ring = event_ring.EventRing(0)
    for number in range(1, 10_000):
        ring.add(event_ring.Event(number, "cp", secrets.token_bytes(50)))
    assert ring.last - ring.since <= 10_000 // 50 + event_ring.BLOCK


async def test_it_falls_silent_some_time_after_the_last_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LINGER", 0.001)
    told: list[bool] = []
    silent = asyncio.Event()

    def listened(listens: bool) -> None:
        told.append(listens)
        if not listens:
            silent.set()

    stream = made(listened)
    stream.leave(stream.subscribe(None, None))
    await silent.wait()
    stream.publish("link", "CP 1", happening())
    assert await heard(stream.subscribe(None, 1_000_000)) == ["gap"]
    assert told == [True, False, True]
    stream.close()


@pytest.mark.usefixtures("small")
async def test_who_cannot_follow_is_told_so_and_goes_on() -> None:
    stream = made()
    client = stream.subscribe(None, None)
    stream.publish("link", "CP 1", happening(what="1"))
    chunks = client.chunks()
    assert b'"what":"1"' in await anext(chunks)
    for number in range(2, 3000):
        stream.publish("link", "CP 1", happening(what=str(number)))
    assert (await anext(chunks)).startswith(b"event: gap")
    stream.publish("link", "CP 1", happening(what="later"))
    assert b'"what":"later"' in await anext(chunks)
    await chunks.aclose()
    stream.close()


@pytest.mark.usefixtures("small")
async def test_who_wants_something_else_misses_nothing_by_it() -> None:
    """However many events of others go by."""
    stream = made()
    client = stream.subscribe("cp 1", None)
    for _ in range(3000):
        stream.publish("link", "CP 2", happening("CP 2"))
    stream.publish("link", "CP 1", happening(what="mine"))
    assert [told.split()[-1] for told in await heard(client)] == ["mine"]
    stream.close()


async def test_whose_token_was_replaced_is_told_nothing_more() -> None:
    stream, admitted = made(), [True]
    client = stream.subscribe(None, None, lambda: admitted[0])
    stream.publish("link", "CP 1", happening())
    admitted[0] = False
    stream.check()
    assert client.ended and [chunk async for chunk in client.chunks()] == []


async def test_there_is_an_end_to_how_many_listen() -> None:
    stream = made()
    for _ in range(events.CLIENTS):
        stream.subscribe(None, None)
    with pytest.raises(RequestRefused, match="100 clients"):
        stream.subscribe(None, None)
    stream.close()
    with pytest.raises(RequestRefused, match="shutting down"):
        stream.subscribe(None, None)


async def test_a_sign_of_life_on_a_quiet_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.001)
    async for chunk in Subscription(event_ring.EventRing(0), None, 0).chunks():
        assert chunk.startswith(b":") and chunk.endswith(b"\n\n")
        break


# Over a socket.


async def test_what_happens_to_a_charge_point() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with api.events("?identity=cp*") as stream, charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
            _, number, link = await stream.next("link")
            assert (link["identity"], link["what"], link["party"]) == ("CP 1", "up", "charge_point")
            _, later, message = await stream.next("message")
            assert (message["action"], message["from"], message["outcome"]) == (
                "Heartbeat",
                "charge_point",
                "result",
            )
            assert int(later or 0) > int(number or 0)
            whole = await api.get(f"/messages/{message['id']}")
            assert whole["request"]["received"]["transport"] == "soap"
            assert whole["request"]["sent"]["transport"] == "json"
        async with api.events(last=later) as stream, json_charge_point(gateway, "CP 2") as other:
            await other.call("Heartbeat", {})
            assert (await stream.next("message"))[2]["identity"] == "CP 2"


async def test_a_stranger_is_seen_knocking() -> None:
    told = settings("ws://127.0.0.1:1/", route={"charge_point": "EVLINK-*"})
    async with running(told) as gateway, api_of(gateway) as api, api.events() as stream:
        with pytest.raises(Exception):  # noqa: B017 (the simulator's own)
            async with json_charge_point(gateway, "STRANGER"):
                pass
        _, _, refusal = await stream.next("refused")
        assert (refusal["identity"], refusal["status"], refusal["why"]) == ("STRANGER", 404, "no_route")


async def test_a_stream_ends_with_the_token_that_it_was_opened_with(tmp_path: Path) -> None:
    """And those of others go on. What was not sent yet is not sent."""
    file, own = tmp_path / "ann", tmp_path / "own"
    own.write_text("the bridge's own token\n")

    def told(token: str) -> Settings:
        file.write_text(f"{token}\n")
        admin = Admin(
            listen=Listen("127.0.0.1", 0),
            token=Secret(own.read_bytes().strip()),
            tokens=(AdminToken(name="ann", file=SecretFile(token.encode(), str(file))),),
        )
        return msgspec.structs.replace(settings(central.url), admin=admin)

    async with (
        JsonCentralSystem() as central,
        running(told("ann's first token")) as gateway,
        api_of(gateway) as api,
    ):
        everybody, ann = (api.with_token(token) for token in ("the bridge's own token", "ann's first token"))
        async with everybody.events() as kept, ann.events() as ended, charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
            assert (await ended.next("link"))[2]["identity"] == "CP 1"
            await gateway.reload(told("ann's first token"))
            await point.call("Heartbeat", {})
            await ended.next("message")
            await gateway.reload(told("ann's other token"))
            await point.call("Authorize", {"idTag": "x"})
            with pytest.raises(EOFError):
                while (await ended.next("message"))[2]["action"] != "Authorize":
                    pass
            while (await kept.next("message"))[2]["action"] != "Authorize":
                pass
        assert (await ann("GET", "/events")).status == 401


async def test_a_stream_does_not_keep_the_bridge_from_going() -> None:
    gateway = Gateway(settings("ws://127.0.0.1:1/"))
    await gateway.start()
    async with api_of(gateway) as api, api.events() as stream:
        await gateway.close()
        with pytest.raises(EOFError):
            await stream.next()
