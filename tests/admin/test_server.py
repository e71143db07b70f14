"""The admin listener over loopback: is it alive, is it able to serve."""

from __future__ import annotations

from typing import Any

import aiohttp

from bridge.gateway import Gateway
from bridge.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import envelope, post, run, running, settings

WELL = {"trouble": None}


async def get(gateway: Gateway, path: str) -> tuple[int, Any]:
    """Status and JSON of an admin page."""
    host, port = gateway.admin_address
    async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}{path}") as response:
        return response.status, await response.json() if response.status == 200 else None


def test_it_is_alive() -> None:
    async def walk() -> None:
        async with running(settings("ws://127.0.0.1:1/")) as gateway:
            assert await get(gateway, "/healthz") == (200, {"status": "alive"})
            assert (await get(gateway, "/health"))[0] == 404

    run(walk())


def test_it_is_ready_before_anybody_came() -> None:
    async def walk() -> None:
        async with running(settings("ws://127.0.0.1:1/")) as gateway:
            central_systems = {"main": {"connected": 0, "unreachable": 0}}
            ready = {"status": "ready", "store": WELL, "central_systems": central_systems}
            assert await get(gateway, "/readyz") == (200, ready)

    run(walk())


def test_an_unreachable_central_system_degrades_it_and_it_serves_on() -> None:
    async def walk() -> None:
        async with JsonCentralSystem() as central:
            quick = {"reconnect_min": 0.01, "reconnect_max": 0.02}
            async with running(settings(central.url, central_system=quick)) as gateway:
                for identity in ("1", "2"):
                    assert (await post(gateway, envelope(identity=identity))).status == 200
                central_systems = {"main": {"connected": 2, "unreachable": 0}}
                ready = {"status": "ready", "store": WELL, "central_systems": central_systems}
                assert await get(gateway, "/readyz") == (200, ready)
                await central.stop()
                for identity in ("1", "2"):
                    assert (await post(gateway, envelope(identity=identity))).status == 503
                central_systems = {"main": {"connected": 0, "unreachable": 2}}
                degraded = {"status": "degraded", "store": WELL, "central_systems": central_systems}
                assert await get(gateway, "/readyz") == (200, degraded)
                assert await get(gateway, "/healthz") == (200, {"status": "alive"})
                await central.start()
                for identity in ("1", "2"):
                    await central.wait_for(identity)
                    assert (await post(gateway, envelope(identity=identity))).status == 200
                assert (await get(gateway, "/readyz"))[1]["status"] == "ready"

    run(walk())
