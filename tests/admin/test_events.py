"""The live stream: what happens, in order; what was missed; and an end when the bridge goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from bridge.admin import events
from bridge.admin.events import Stream, Subscription
from bridge.admin.facts import Happening
from bridge.admin.problems import Refused
from bridge.gateway import Gateway
from bridge.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.stage import charge_point, json_charge_point, run, running, settings


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


def test_events_come_in_their_order_to_who_wants_them() -> None:
    async def walk() -> None:
        stream = made()
        everybody, some = stream.subscribe(None, None), stream.subscribe("evlink-*", None)
        for identity in ("CP 1", "EVLINK-7"):
            stream.publish("link", identity, happening(identity))
        stream.publish("refused", None, happening(what="stranger"))
        assert await heard(everybody) == ["1000001 up", "1000002 up", "1000003 stranger"]
        assert await heard(some) == ["1000002 up"]

    run(walk())


def test_nothing_is_made_while_nobody_listens() -> None:
    told: list[bool] = []

    async def walk() -> None:
        stream = made(told.append)
        stream.publish("link", "CP 1", happening())
        client = stream.subscribe(None, None)
        stream.subscribe(None, None)
        assert (told, stream.live) == ([True], True)
        assert await heard(client) == []
        stream.close()
        assert not stream.live

    run(walk())


def test_who_comes_back_soon_has_missed_nothing() -> None:
    async def walk() -> None:
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

    run(walk())


@pytest.mark.parametrize("last", [0, 999_999, 2_000_000])
def test_who_missed_something_is_told_so(last: int) -> None:
    async def walk() -> None:
        stream = made()
        stream.subscribe(None, None)
        stream.publish("link", "CP 1", happening())
        assert await heard(stream.subscribe(None, last)) == ["gap"]
        stream.close()

    run(walk())


def test_the_ring_has_an_end() -> None:
    async def walk() -> None:
        stream = made()
        stream.subscribe(None, None)
        for _ in range(events.RING + 5):
            stream.publish("link", "CP 1", happening())
        first = 1_000_000 + 6
        assert len(await heard(stream.subscribe(None, first - 1))) == events.RING
        assert await heard(stream.subscribe(None, first - 2)) == ["gap"]
        stream.close()

    run(walk())


def test_it_falls_silent_some_time_after_the_last_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LINGER", 0.001)
    told: list[bool] = []

    async def walk() -> None:
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

    run(walk())


def test_who_cannot_follow_is_let_go() -> None:
    async def walk() -> None:
        client = Subscription(None, most=3)
        stream = made()
        stream.subscribe(None, None)
        for number in range(5):
            client.offer(events.Event(number, "cp 1", b"event: link\nid: 1\ndata: {}\n\n"))
        assert client.ended
        assert await heard(client) == ["gap"]
        stream.close()

    run(walk())


def test_there_is_an_end_to_how_many_listen() -> None:
    async def walk() -> None:
        stream = made()
        for _ in range(events.CLIENTS):
            stream.subscribe(None, None)
        with pytest.raises(Refused, match="100 clients"):
            stream.subscribe(None, None)
        stream.close()
        with pytest.raises(Refused, match="shutting down"):
            stream.subscribe(None, None)

    run(walk())


def test_a_sign_of_life_on_a_quiet_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.001)

    async def walk() -> None:
        async for chunk in Subscription(None).chunks():
            assert chunk.startswith(b":") and chunk.endswith(b"\n\n")
            break

    run(walk())


# Over a socket.


def test_what_happens_to_a_charge_point() -> None:
    async def walk() -> None:
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

    run(walk())


def test_a_stranger_is_seen_knocking() -> None:
    async def walk() -> None:
        told = settings("ws://127.0.0.1:1/", route={"charge_point": "EVLINK-*"})
        async with running(told) as gateway, api_of(gateway) as api, api.events() as stream:
            with pytest.raises(Exception):  # noqa: B017 (the simulator's own)
                async with json_charge_point(gateway, "STRANGER"):
                    pass
            _, _, refusal = await stream.next("refused")
            assert (refusal["identity"], refusal["status"], refusal["why"]) == ("STRANGER", 404, "no_route")

    run(walk())


def test_a_stream_does_not_keep_the_bridge_from_going() -> None:
    async def walk() -> None:
        gateway = Gateway(settings("ws://127.0.0.1:1/"))
        await gateway.start()
        async with api_of(gateway) as api, api.events() as stream:
            await gateway.close()
            with pytest.raises(EOFError):
                await stream.next()

    run(walk())
