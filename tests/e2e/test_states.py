"""One state for each Charge Point: API, metric, console and command line say the same, through all states and restarts.

The clock is moved: that of the event loop, which all timers go by, and with it that of the gateway. The rest is real.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, expect
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.app import Gateway
from bridge.commands.cli import main
from bridge.config import CentralSystem, ChargePoint, Listen, Route, Store
from bridge.core.state import STATES
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from tests.admin.asked import api_of
from tests.console.browser import AT_MOST, console, started
from tests.e2e.stage import SAMPLES, WSDL, address_of, reachable, settings, soap_central_system, websocket_of
from tests.ports import free_port

SOAP, JSON = "RDAM", "LYON"
TRANSPORTS = {SOAP: "soap", JSON: "json"}
# Turns of ten milliseconds. What is waited for comes long before.
_TURNS = 3000
# Words of states in the console that are wider than their place.
_CLIPPED = """[...document.querySelectorAll(".rows .c-state, .count")]
    .filter((place) => place.scrollWidth > place.clientWidth).map((place) => place.textContent)"""
expect.set_options(timeout=AT_MOST)


class MovedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is `ahead` of the machine's, in seconds."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class DemoFleet:
    """A SOAP Charge Point with a JSON Central System, and the reverse; the gateway can be stopped and started."""

    def __init__(self, folder: Path, loop: MovedLoop, browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._loop = loop
        self._browser = browser
        self._capsys = capsys
        self.over_json = JsonCentralSystem(port=free_port())
        self.over_soap = soap_central_system(port=free_port())
        self._wires: dict[str, Any] = {
            "soap": reachable(),
            "websocket": {"listen": Listen("127.0.0.1", free_port()), "ping_interval": 0},
        }
        self.gateway: Gateway
        self.soap: SoapChargePoint
        self.json: ClientConnection

    async def start(self) -> None:
        """Start the gateway."""
        told = settings("", **self._wires)
        systems = {
            "json": CentralSystem(url=self.over_json.url, ping_interval=0),
            "soap": CentralSystem(url=self.over_soap.url, protocol="ocpp1.6s"),
        }
        routes = (
            Route(charge_point=SOAP, central_system="json"),
            Route(charge_point=JSON, central_system="soap"),
        )
        self.gateway = Gateway(
            replace(
                told,
                central_systems=systems,
                routes=routes,
                charge_points={SOAP: ChargePoint(), JSON: ChargePoint()},
                store=Store(url=f"sqlite:///{self._folder}/bridge.db"),
            ),
            clock=lambda: time.time() + self._loop.ahead,
        )
        await self.gateway.start()
        await self.gateway.resumed

    async def restart(self) -> None:
        await self.gateway.close()
        await self.start()

    def moved(self, seconds: float) -> None:
        """Move all clocks."""
        self._loop.ahead += seconds

    async def connect(self) -> None:
        """Connect the JSON Charge Point, which sends no Pings by itself."""
        url = f"{websocket_of(self.gateway)}/{JSON}"
        self.json = await connect(url, subprotocols=[Subprotocol("ocpp1.6")], ping_interval=None, proxy=None)

    async def says(self, action: str = "Heartbeat", payload: dict[str, Any] | None = None) -> None:
        """The JSON Charge Point sends a Call. What comes back is the answer, or the end of the connection."""
        await self.json.send(json.dumps([2, f"{time.monotonic_ns()}", action, payload or {}]))
        assert json.loads(await self.json.recv())[0] == 3

    # What each says.

    async def are(self, soap: str, json_: str) -> None:
        """Wait until the states are these, and compare all that show them."""
        wanted = {SOAP: soap, JSON: json_}
        await self._until(lambda: self._in_the_api(), wanted)
        counts = dict.fromkeys(STATES, 0) | Counter(wanted.values())
        async with api_of(self.gateway) as api:
            for state in STATES:
                page = await api.get(f"/charge-points?state={state}")
                assert {each["identity"] for each in page["items"]} == {one for one in wanted if wanted[one] == state}
                assert (page["total"], page["states"]) == (counts[state], counts)
            for identity, said in wanted.items():
                assert (await api.get(f"/charge-points/{identity}"))["state"] == said
        assert await self._in_the_metric() == {
            ("unknown" if state == "never_seen" else TRANSPORTS[identity], state) for identity, state in wanted.items()
        }
        assert await self._on_the_command_line() == wanted
        await self._in_the_console(wanted, counts)

    async def _until(self, look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
        for _ in range(_TURNS):
            if (found := await look()) == wanted:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{found} and not {wanted}")

    async def _in_the_api(self) -> dict[str, str]:
        async with api_of(self.gateway) as api:
            return {each["identity"]: each["state"] for each in (await api.get("/charge-points"))["items"]}

    async def _in_the_metric(self) -> set[tuple[str, str]]:
        host, port = self.gateway.admin_address
        async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        samples = next(family.samples for family in families if family.name == "ocpp_bridge_sessions")
        assert sum(sample.value for sample in samples) == 2
        assert {sample.labels["state"] for sample in samples} == set(STATES)
        return {(each.labels["transport"], each.labels["state"]) for each in samples if each.value}

    async def _on_the_command_line(self) -> dict[str, str]:
        host, port = self.gateway.admin_address
        config = self._folder / "cli.toml"
        config.write_text(f"[admin]\nlisten = '{host}:{port}'\n[store]\nurl = 'sqlite:///{self._folder}/bridge.db'\n")
        self._capsys.readouterr()
        assert await asyncio.to_thread(main, ["sessions", "--config", str(config)]) == 0
        _, *rows = self._capsys.readouterr().out.splitlines()
        return {identity: state for identity, state, *_ in map(str.split, rows)}

    async def _in_the_console(self, wanted: dict[str, str], counts: dict[str, int]) -> None:
        host, port = self.gateway.admin_address
        async with console(self._browser, f"http://{host}:{port}", self.gateway.admin_token) as somebody:
            await somebody.open("#/charge-points")
            shown: dict[str, dict[str, str]] = await somebody.page.evaluate(
                "async () => (await import('/console/words.js')).STATES"
            )
            assert list(shown) == list(STATES)
            await expect(somebody.page.locator(".count.all b")).to_have_text("2")
            for state, number in counts.items():
                await expect(somebody.page.locator(f".count.{shown[state]['kind']} b")).to_have_text(str(number))
            for identity, state in wanted.items():
                badge = somebody.page.locator(".rows [role=row]").filter(has_text=identity).locator(".badge")
                await expect(badge).to_have_text(shown[state]["word"])
            for width in (1440, 1000, 390):
                await somebody.page.set_viewport_size({"width": width, "height": 900})
                await expect(somebody.page.locator(".rows .badge")).to_have_count(len(wanted))
                assert await somebody.page.evaluate(_CLIPPED) == []


def test_all_say_the_same_of_each_through_all_states_and_restarts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def walk() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MovedLoop)
        async with AsyncExitStack() as held:
            fleet = DemoFleet(tmp_path, loop, await held.enter_async_context(started()), capsys)
            await fleet.over_json.start()
            await fleet.over_soap.start()
            await fleet.start()
            held.push_async_callback(lambda: fleet.gateway.close())
            held.push_async_callback(fleet.over_json.stop)
            held.push_async_callback(fleet.over_soap.stop)
            fleet.soap = SoapChargePoint(url=address_of(fleet.gateway), identity=SOAP, wsdl=WSDL)
            await held.enter_async_context(fleet.soap)
            await they_are_listed(fleet)
            await they_come(fleet)
            await their_central_systems_go_away_and_come_back(fleet)
            await they_fall_silent(fleet)
            await they_are_gone(fleet)

    async def they_are_listed(fleet: DemoFleet) -> None:
        await fleet.are("never_seen", "never_seen")
        await fleet.restart()
        await fleet.are("never_seen", "never_seen")

    async def they_come(fleet: DemoFleet) -> None:
        await fleet.soap.call("BootNotification", SAMPLES["BootNotification"])
        await fleet.are("up", "never_seen")
        await fleet.connect()
        await fleet.says("BootNotification", dict(SAMPLES["BootNotification"]))
        await fleet.are("up", "up")
        await fleet.restart()
        await fleet.are("up", "down")
        await fleet.connect()
        await fleet.are("up", "up")

    async def their_central_systems_go_away_and_come_back(fleet: DemoFleet) -> None:
        await fleet.over_json.stop()
        await fleet.over_soap.stop()
        await fleet.are("no_central_system", "up")  # nothing was sent to the second since
        with pytest.raises(ConnectionClosed):
            await fleet.says()
        await fleet.are("no_central_system", "down")
        fleet.moved(61)
        await fleet.connect()  # after the pause, one attempt is admitted
        await fleet.are("no_central_system", "no_central_system")
        await fleet.over_soap.start()
        await fleet.says()
        await fleet.are("no_central_system", "up")
        await fleet.restart()
        fleet.moved(10)  # past the pause before the first attempt to connect again
        await fleet.are("no_central_system", "down")
        await fleet.over_json.start()
        fleet.moved(61)
        await fleet.are("up", "down")
        await fleet.connect()
        await fleet.are("up", "up")

    async def they_fall_silent(fleet: DemoFleet) -> None:
        await fleet.soap.call("Heartbeat", {})
        await fleet.says()
        fleet.moved(200)
        await fleet.are("up", "up")
        fleet.moved(260)
        await fleet.are("stale", "stale")
        await (await fleet.json.ping())
        await fleet.are("stale", "up")
        fleet.moved(451)
        await fleet.are("down", "stale")
        await fleet.json.pong()  # of its own accord, as RFC 6455 section 5.5.3 allows
        await fleet.are("down", "up")
        await fleet.soap.call("Heartbeat", {})
        await fleet.are("up", "up")
        fleet.moved(460)
        await fleet.are("stale", "stale")
        await fleet.restart()
        await fleet.are("stale", "down")

    async def they_are_gone(fleet: DemoFleet) -> None:
        fleet.moved(2500)  # it paused for 911 s before, so three times as long is allowed now
        await fleet.are("down", "down")
        await fleet.restart()
        await fleet.are("down", "down")
        await fleet.soap.call("Heartbeat", {})
        await fleet.are("up", "down")
        async with api_of(fleet.gateway) as api:
            assert (await api("DELETE", f"/charge-points/{SOAP}")).status == 204
        await fleet.are("never_seen", "down")

    with asyncio.Runner(loop_factory=MovedLoop) as runner:
        runner.run(walk())
