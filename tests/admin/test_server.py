"""The admin listener over loopback: is it alive, is it able to serve."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bridge.admin.health import CentralSystemHealth, Health, ListenerHealth, LoopHealth, ReceiverCounts, StoreHealth
from bridge.app import Gateway
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.processes import all_well
from tests.e2e.stage import AT, RawCentralSystem, envelope, post, running, settings

WELL = {"trouble": None}


async def get(gateway: Gateway, path: str) -> tuple[int, Any]:
    """Status and JSON of an admin page."""
    host, port = gateway.admin_address
    async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}{path}") as response:
        return response.status, await response.json() if response.status in (200, 503) else None


def told(answer: tuple[int, Any]) -> tuple[int, str, Any]:
    """Of what /readyz answers: the HTTP status, the word for it, and the Central Systems."""
    status, health = answer
    return status, health["status"], health["central_systems"]


async def test_it_is_alive() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway:
        assert await get(gateway, "/healthz") == (200, {"status": "alive"})
        assert (await get(gateway, "/health"))[0] == 401
        async with api_of(gateway) as api:
            assert (await api("GET", "//health")).status == 404


async def test_it_is_ready_before_anybody_came() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway:
        status, health = await get(gateway, "/readyz")
        assert health.pop("event_loop")["lag"] >= 0
        soap, websocket = gateway.soap_address, gateway.websocket_address
        listeners = {
            "soap": {"address": f"{soap[0]}:{soap[1]}", "listening": True},
            "websocket": {"address": f"{websocket[0]}:{websocket[1]}", "listening": True},
        }
        assert (status, health) == (
            200,
            {
                "status": "ready",
                "draining": False,
                "store": WELL,
                "listeners": listeners,
                "central_systems": {"main": all_well(0)},
                "certificates": {},
            },
        )


async def test_an_unreachable_central_system_degrades_it_and_it_serves_on() -> None:
    async with JsonCentralSystem() as central:
        quick = {"reconnect_min": 0.01, "reconnect_max": 0.02}
        async with running(settings(central.url, central_system=quick)) as gateway:
            for identity in ("1", "2"):
                assert (await post(gateway, envelope(identity=identity))).status == 200
            assert told(await get(gateway, "/readyz")) == (200, "ready", {"main": all_well(2)})
            await central.stop()
            for identity in ("1", "2"):
                assert (await post(gateway, envelope(identity=identity))).status == 503
            status, word, central_systems = told(await get(gateway, "/readyz"))
            assert (status, word) == (200, "degraded")
            since = datetime.fromisoformat(central_systems["main"].pop("since"))
            assert datetime.now(UTC) - since < timedelta(minutes=1)
            assert central_systems == {"main": {"connected": 0, "unreachable": 2, "down": 0, "degraded": True}}
            assert await get(gateway, "/healthz") == (200, {"status": "alive"})
            await central.start()
            for identity in ("1", "2"):
                await central.wait_for(identity)
                assert (await post(gateway, envelope(identity=identity))).status == 200
            assert told(await get(gateway, "/readyz")) == (200, "ready", {"main": all_well(2)})


async def test_a_central_system_that_speaks_soap_is_unreachable_since_a_post_failed() -> None:
    async with running(settings("http://127.0.0.1:1/", central_system={"protocol": "ocpp1.6s"})) as gateway:
        assert told(await get(gateway, "/readyz"))[1] == "ready"
        assert (await post(gateway, envelope())).status == 503
        status, word, central_systems = told(await get(gateway, "/readyz"))
        assert (status, word, central_systems["main"]["degraded"]) == (200, "degraded", True)
        assert central_systems["main"]["since"] is not None


async def test_it_is_not_ready_while_it_drains() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        waits = asyncio.ensure_future(post(gateway, envelope()))
        link = await central.connected()
        call = await link.receive()
        closing = asyncio.ensure_future(gateway.close())
        await asyncio.sleep(0)
        assert told(await get(gateway, "/readyz"))[:2] == (503, "unready")
        assert (await get(gateway, "/healthz"))[0] == 200
        await link.send([3, call[1], {"currentTime": AT}])
        assert (await waits).status == 200
        await closing


AWAY = ReceiverCounts(waiting=3, oldest=AT, trouble="HTTP 503", since=AT, delivered=0, dropped={"too_many": 1})


def test_a_receiver_of_events_that_is_away_degrades() -> None:
    told = Health(store=StoreHealth(), central_systems={}, events={"billing": AWAY}).told()
    assert told["status"] == "degraded"
    assert told["events"]["billing"] == {
        "waiting": 3,
        "oldest": AT,
        "trouble": "HTTP 503",
        "since": AT,
        "delivered": 0,
        "dropped": {"too_many": 1},
    }
    calm = Health(store=StoreHealth(), central_systems={}).told()
    assert calm["status"] == "ready" and "events" not in calm


@pytest.mark.parametrize(
    ("changes", "serves"),
    [
        ({}, True),
        ({"store": StoreHealth(trouble="the disk is full")}, True),
        ({"central_systems": {"main": CentralSystemHealth(unreachable=1)}}, True),
        ({"events": {"billing": AWAY}}, True),
        ({"draining": True}, False),
        ({"listeners": {"soap": ListenerHealth(address="h:1", listening=False)}}, False),
        ({"event_loop": LoopHealth(lag=1.0)}, True),
        ({"event_loop": LoopHealth(lag=30.0)}, False),
    ],
)
def test_only_what_keeps_the_bridge_itself_from_serving_makes_it_unready(changes: Any, serves: bool) -> None:
    assert Health(**({"store": StoreHealth(), "central_systems": {}} | changes)).serves is serves
