"""A JSON Charge Point keeps its WebSocket when it is moved, and each Call in flight then gets one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import CentralSystem, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from tests.admin.asked import Api, api_of
from tests.e2e.stage import (
    AT,
    AT_MOST,
    SAMPLES,
    Connection,
    RawCentralSystem,
    dialled,
    json_charge_point,
    reachable,
    running,
    settings,
    soap_central_system,
)

ONE = "/charge-points/CP 1"
BOOTED = {"status": "Accepted", "currentTime": AT, "interval": 300}
STARTED = {"transactionId": 1, "idTagInfo": {"status": "Accepted"}}
HOUR = 3600.0


def told(main: str, new: str, *, soap: Sequence[str] = (), **gateway: Any) -> Settings:
    """Settings under which no attempt to connect is made twice within a test."""
    systems = {
        name: CentralSystem(
            url=url,
            protocol="ocpp1.6s" if name in soap else "ocpp1.6j",
            reconnect_min=HOUR,
            reconnect_max=HOUR,
        )
        for name, url in (("main", main), ("new", new))
    }
    made = settings("ws://127.0.0.1:1/", soap=reachable(), gateway={"call_timeout": 2 * AT_MOST} | gateway)
    return msgspec.structs.replace(made, central_systems=systems)


@dataclass
class Raw:
    """A Charge Point with an open connection to `main`, and all parties under control."""

    gateway: Gateway
    api: Api
    main: RawCentralSystem
    new: RawCentralSystem
    point: Connection
    link: Connection

    async def move(self, central_system: str = "new") -> None:
        answer = await self.api("PUT", f"{ONE}/route", {"central_system": central_system, "when": "now"})
        assert answer.status == 200, answer

    async def exchange(self, frame: list[Any], link: Connection, answer: dict[str, Any]) -> None:
        """A Call of the Charge Point, and its answer."""
        await self.point.send(frame)
        assert (await link.serve(answer))[2:] == frame[2:]
        assert await self.point.receive() == [3, frame[1], answer]

    async def booted(self) -> None:
        await self.exchange([2, "boot", "BootNotification", SAMPLES["BootNotification"]], self.link, BOOTED)
        await self.exchange([2, "status", "StatusNotification", SAMPLES["StatusNotification"]], self.link, {})


@asynccontextmanager
async def raw(**gateway: Any) -> AsyncIterator[Raw]:
    async with AsyncExitStack() as held:
        main, new = [await held.enter_async_context(RawCentralSystem()) for _ in range(2)]
        gate = await held.enter_async_context(running(told(main.url, new.url, **gateway)))
        point = await held.enter_async_context(dialled(gate))
        api = await held.enter_async_context(api_of(gate))
        yield Raw(gate, api, main, new, point, await main.connected())


@pytest.mark.parametrize("to", ["json", "soap"])
@pytest.mark.parametrize("from_", ["json", "soap"])
async def test_the_new_central_system_gets_boot_and_statuses_at_once_and_then_the_traffic(from_: str, to: str) -> None:
    """No attempt is repeated here, so the connection is made by the move itself."""
    central: dict[str, JsonCentralSystem | SoapCentralSystem] = {}
    async with AsyncExitStack() as held:
        for name, kind in (("main", from_), ("new", to)):
            central[name] = await held.enter_async_context(
                JsonCentralSystem() if kind == "json" else soap_central_system()
            )
        soap = [name for name, kind in (("main", from_), ("new", to)) if kind == "soap"]
        made = told(central["main"].url, central["new"].url, soap=soap)
        gateway = await held.enter_async_context(running(made))
        api = await held.enter_async_context(api_of(gateway))
        point = json_charge_point(gateway)
        async with point:
            await point.call("BootNotification", SAMPLES["BootNotification"])
            for connector in (2, 1):
                said = SAMPLES["StatusNotification"] | {"connectorId": connector}
                await point.call("StatusNotification", said)
            wanted = {"charge_points": ["CP 1"], "central_system": "new", "when": "now"}
            number = (await api("POST", "/moves", wanted)).data["id"]
            async with asyncio.timeout(AT_MOST):
                while (move := await api.get(f"/moves/{number}"))["state"] != "done":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert move["counts"]["done"] == 1, move
            await point.call("Heartbeat", {})
            came = [(action, payload.get("connectorId")) for _, action, payload in central["new"].received]
            assert came == [
                ("BootNotification", None),
                ("StatusNotification", 1),
                ("StatusNotification", 2),
                ("Heartbeat", None),
            ]
            # Commands come through the same connection.
            await central["new"].wait_for("CP 1")
            assert await central["new"].call("CP 1", "Reset", {"type": "Soft"}) == {"status": "Accepted"}
            assert point.close_code is None
        assert point.violations == central["new"].violations == central["main"].violations == []


async def test_calls_in_flight_in_both_directions_each_get_one_answer() -> None:
    async with raw() as all_:
        await all_.booted()
        await all_.point.send([2, "beat", "Heartbeat", {}])
        beat = await all_.link.receive()
        await all_.link.send([2, "same", "ClearCache", {}])
        await all_.link.send([2, "waits", "Reset", {"type": "Soft"}])
        cache = await all_.point.receive()
        await all_.move()
        new = await all_.new.connected()
        boot = await new.receive()
        assert boot[2] == "BootNotification"
        # A command of the new one waits for those that came before, and may have the same UniqueId.
        await new.send([3, boot[1], BOOTED])
        status = await new.receive()
        assert status[2:] == ["StatusNotification", SAMPLES["StatusNotification"]]
        await new.send([2, "same", "GetLocalListVersion", {}])
        # What the former Central System asks from now on is refused, and not passed on.
        await all_.link.send([2, "later", "Reset", {"type": "Hard"}])
        assert await all_.link.receive() == [3, "later", {"status": "Rejected"}]
        await all_.point.send([3, cache[1], {"status": "Accepted"}])
        assert await all_.link.receive() == [3, "same", {"status": "Accepted"}]
        reset = await all_.point.receive()
        assert reset[2:] == ["Reset", {"type": "Soft"}]
        await all_.point.send([3, reset[1], {"status": "Rejected"}])
        assert await all_.link.receive() == [3, "waits", {"status": "Rejected"}]
        version = await all_.point.receive()
        assert version[2] == "GetLocalListVersion"
        await all_.point.send([3, version[1], {"listVersion": 7}])
        assert await new.receive() == [3, "same", {"listVersion": 7}]
        # The Call of the Charge Point is answered by the one that it was sent to, which is then left.
        await all_.link.send([3, beat[1], {"currentTime": "2026-01-02T03:04:59Z"}])
        assert await all_.point.receive() == [3, "beat", {"currentTime": "2026-01-02T03:04:59Z"}]
        assert (await all_.link.ended())[0] == 1012
        await new.send([3, status[1], {}])
        await all_.exchange([2, "beat", "Heartbeat", {}], new, {"currentTime": AT})


async def test_a_repeated_frame_goes_where_the_first_one_is_in_flight() -> None:
    async with raw() as all_:
        start = [2, "start", "StartTransaction", SAMPLES["StartTransaction"]]
        await all_.point.send(start)
        call = await all_.link.receive()
        await all_.move()
        new = await all_.new.connected()
        await all_.point.send(start)  # the same frame
        await all_.point.send([2, "again", *start[2:]])  # the same message
        await all_.point.send([2, "beat", "Heartbeat", {}])
        await new.serve()
        assert (await all_.point.receive())[1] == "beat"
        await all_.link.send([3, call[1], STARTED])
        answers = [await all_.point.receive() for _ in range(2)]
        assert sorted(answers) == [[3, "again", STARTED], [3, "start", STARTED]]
        # The transaction is the former one's. Its connection is opened again when the earlier one is closed.
        assert (await all_.link.ended())[0] == 1012
        former = await all_.main.connected()
        stop = {"transactionId": 1, "timestamp": AT, "meterStop": 12680}
        await all_.exchange([2, "stop", "StopTransaction", stop], former, {})


async def test_a_former_central_system_that_goes_away_ends_its_calls_and_not_the_connection() -> None:
    async with raw() as all_:
        await all_.point.send([2, "data", "DataTransfer", {"vendorId": "v"}])
        await all_.link.receive()
        await all_.move()
        new = await all_.new.connected()
        await all_.link.websocket.close()
        answer = await all_.point.receive()
        assert answer[:3] == [4, "data", "InternalError"]
        await all_.exchange([2, "beat", "Heartbeat", {}], new, {"currentTime": AT})


async def test_a_charge_point_that_goes_away_after_a_move_ends_what_is_left() -> None:
    async with raw() as all_:
        await all_.booted()
        await all_.point.send([2, "beat", "Heartbeat", {}])
        await all_.link.receive()
        await all_.move()
        new = await all_.new.connected()
        await all_.point.websocket.close()
        assert (await all_.link.ended())[0] is not None and (await new.ended())[0] is not None
        async with dialled(all_.gateway) as again:
            # It says itself who comes.
            new = await all_.new.connected()
            await again.send([2, "x", "Heartbeat", {}])
            assert (await new.serve())[2] == "Heartbeat"
            assert (await again.receive())[1] == "x"


async def test_who_cannot_reach_the_new_central_system_is_disconnected_like_anybody_whose_central_system_is_away() -> (
    None
):
    async with raw() as all_:
        await all_.booted()
        all_.new.refuse = HTTPStatus.SERVICE_UNAVAILABLE
        wanted = {"charge_points": ["CP 1"], "central_system": "new", "when": "now", "stop_if": "errors>0"}
        number = (await all_.api("POST", "/moves", wanted)).data["id"]
        assert (await all_.point.ended())[0] == 1013
        async with asyncio.timeout(AT_MOST):
            while (move := await all_.api.get(f"/moves/{number}"))["state"] != "stopped":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        (member,) = move["members"]
        assert member["state"] == "failed" and "503" in member["reason"]
        # Given back, it is where it was.
        assert (await all_.api("POST", f"/moves/{number}/rollback")).status == 200
        async with dialled(all_.gateway) as again:
            link = await all_.main.connected()
            await again.send([2, "x", "Heartbeat", {}])
            assert (await link.serve())[2] == "Heartbeat"


async def test_another_subprotocol_is_agreed_on_anew() -> None:
    async with raw() as all_:
        all_.new.subprotocol = None
        await all_.move()
        assert await all_.point.ended() == (1012, "it belongs elsewhere now")


@pytest.mark.parametrize("status", ["Pending", "Rejected", None])
async def test_who_is_not_accepted_has_failed_and_no_status_is_sent(status: str | None) -> None:
    async with raw() as all_:
        await all_.booted()
        wanted = {"charge_points": ["CP 1"], "central_system": "new", "when": "now", "stop_if": "errors>0"}
        number = (await all_.api("POST", "/moves", wanted)).data["id"]
        new = await all_.new.connected()
        boot = await new.receive()
        answer: list[Any] = [3, boot[1], BOOTED | {"status": status, "interval": 3600}]
        await new.send(answer if status else [4, boot[1], "InternalError", "", {}])
        async with asyncio.timeout(AT_MOST):
            while (move := await all_.api.get(f"/moves/{number}"))["state"] != "stopped":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert move["members"][0]["state"] == "failed"
        if status is not None:  # until it is accepted, nothing else is sent
            assert (await all_.point.ask([2, "beat", "Heartbeat", {}]))[:3] == [4, "beat", "InternalError"]
        assert (await all_.api("POST", f"/moves/{number}/rollback")).status == 200
        link = await all_.main.connected()
        if status is not None:  # the last answer to its BootNotification was another one's
            assert (await link.serve(BOOTED))[2] == "BootNotification"
            assert (await link.serve({}))[2] == "StatusNotification"
        await all_.exchange([2, "beat", "Heartbeat", {}], link, {"currentTime": AT})
        assert all_.point.websocket.close_code is None


async def test_back_and_forth_in_quick_succession_no_connection_takes_the_place_of_another() -> None:
    """A Central System that knows a Charge Point by its connection would close the earlier one."""
    async with raw() as all_:
        await all_.exchange([2, "s", "StartTransaction", SAMPLES["StartTransaction"]], all_.link, STARTED)
        await all_.point.send([2, "slow", "DataTransfer", {"vendorId": "v"}])
        slow = await all_.link.receive()
        for name in ("new", "main", "new", "main"):
            await all_.move(name)
        await all_.point.send([2, "beat", "Heartbeat", {}])
        assert len(all_.main.requests) == 1
        await all_.link.send([3, slow[1], {"status": "Accepted"}])
        assert await all_.point.receive() == [3, "slow", {"status": "Accepted"}]
        assert (await all_.link.ended())[0] == 1012
        link = await all_.main.connected()
        assert (await link.serve())[2] == "Heartbeat"
        assert (await all_.point.receive())[1] == "beat"
        stop = {"transactionId": 1, "timestamp": AT, "meterStop": 12680}
        await all_.exchange([2, "stop", "StopTransaction", stop], link, {})


async def test_commands_of_three_sessions_come_one_after_the_other() -> None:
    """The Session in the middle, which has nothing in progress, ends no turn that is not its own."""
    async with raw() as all_:
        await all_.link.send([2, "first", "ClearCache", {}])
        cache = await all_.point.receive()
        await all_.move()
        await all_.new.connected()
        await all_.move("main")
        wanted = {"action": "Reset", "payload": {"type": "Soft"}}
        operator = asyncio.ensure_future(all_.api("POST", f"{ONE}/calls", wanted))
        await all_.point.send([2, "beat", "Heartbeat", {}])  # waits for the connection, which waits for the first Call
        await asyncio.sleep(0.2)
        await all_.point.send([3, cache[1], {"status": "Accepted"}])
        assert await all_.link.receive() == [3, "first", {"status": "Accepted"}]
        asked = await all_.point.receive()
        assert asked[2] == "Reset"
        await all_.point.send([3, asked[1], {"status": "Accepted"}])
        assert (await operator).data["payload"] == {"status": "Accepted"}
        link = await all_.main.connected()
        assert (await link.serve())[2] == "Heartbeat"
        assert (await all_.point.receive())[1] == "beat"
