"""Several Charge Points move to another Central System, in waves, and come back.

Both Central Systems count their transactions from 1, so that their numbers collide.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge import config
from bridge.app import Gateway
from bridge.config import CentralSystem, Settings
from bridge.core.moves import MemberState, Move
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.wire import Payload
from bridge.store import Store
from tests.admin.asked import Answer, Api, api_of
from tests.admin.test_metrics import samples
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CS,
    SAMPLES,
    envelope,
    json_charge_point,
    post,
    reachable,
    running,
    settings,
)
from tests.e2e.test_restart import start, stop, told

BOOT = (
    f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor>'
    "<chargePointModel>M</chargePointModel></bootNotificationRequest>"
)
STATUS = (
    f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId><status>Available</status>'
    "<errorCode>NoError</errorCode></statusNotificationRequest>"
)
HOUR = 3600.0
# Charge Points that say something at the same time.
_AT_ONCE = 20


@dataclass
class Fleet:
    """A gateway between two Central Systems."""

    gateway: Gateway
    api: Api
    main: JsonCentralSystem
    new: JsonCentralSystem
    json: dict[str, JsonChargePoint] = field(default_factory=dict)

    async def move(self, charge_points: str | list[str] = "CP-*", **more: Any) -> Answer:
        wanted = {"charge_points": charge_points, "central_system": "new"} | more
        return await self.api("POST", "/moves", wanted)

    async def moved(self, charge_points: str | list[str] = "CP-*", **more: Any) -> int:
        """The number of a move that was begun."""
        answer = await self.move(charge_points, **more)
        assert answer.status == 200, answer
        number = answer.data["id"]
        assert isinstance(number, int)
        return number

    async def tell(self, number: int, what: str) -> Answer:
        return await self.api("POST", f"/moves/{number}/{what}")

    async def until(self, number: int, state: str, within: float = AT_MOST) -> dict[str, Any]:
        """The move, as soon as it has a state."""
        async with asyncio.timeout(within):
            while (move := await self.api.get(f"/moves/{number}"))["state"] != state:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.02)
        return dict(move)

    async def until_members(self, number: int, **counts: int) -> dict[str, Any]:
        """The move, as soon as so many of its Charge Points are in each of these states."""
        async with asyncio.timeout(AT_MOST):
            while True:
                move = await self.api.get(f"/moves/{number}")
                if counts.items() <= move["counts"].items():
                    return dict(move)
                await asyncio.sleep(0.02)

    async def boot(self, *identities: str) -> None:
        for identity in identities:
            assert (await post(self.gateway, envelope(BOOT, identity=identity))).status == 200

    async def places(self, *identities: str) -> list[str]:
        return [(await self.api.get(f"/charge-points/{identity}"))["central_system"] for identity in identities]


def two(main: JsonCentralSystem, new: JsonCentralSystem, store: str = "memory:") -> Settings:
    systems = {"main": CentralSystem(url=main.url), "new": CentralSystem(url=new.url)}
    systems["old"] = CentralSystem(url="http://127.0.0.1:1/", protocol="ocpp1.2s")
    made = settings("ws://127.0.0.1:1/", soap=reachable())
    return msgspec.structs.replace(made, central_systems=systems, store=config.Store(url=store))


@asynccontextmanager
async def fleet(store: str = "memory:") -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as held:
        main, new = [await held.enter_async_context(JsonCentralSystem()) for _ in range(2)]
        gateway = await held.enter_async_context(running(two(main, new, store)))
        yield Fleet(gateway, await held.enter_async_context(api_of(gateway)), main, new)


# Waves.


async def test_a_move_in_waves_and_back() -> None:
    async with fleet() as all_:
        names = [f"CP-{number}" for number in range(5)]
        await all_.boot(*names)
        number = await all_.moved(wave=2)
        move = await all_.until(number, "done")
        assert move["counts"]["done"] == move["total"] == 5
        assert await all_.places(*names) == ["new"] * 5
        # Each Central System is first told who comes.
        first: dict[str, str] = {}
        for identity, action, _ in all_.new.received:
            first.setdefault(identity, action)
        assert first == dict.fromkeys(names, "BootNotification")
        assert (await all_.tell(number, "rollback")).status == 200
        assert (await all_.until(number, "rolled_back"))["counts"]["rolled_back"] == 5
        assert await all_.places(*names) == ["main"] * 5
        one = await all_.api.get("/charge-points/CP-0")
        assert (one["moved"], one["waiting_move"]) == (False, None)
        entries = [(each["detail"], each["outcome"]) for each in (await all_.api.get("/audit"))["items"]]
        assert entries == [
            ("move 1: CP-* -> new", "rolled_back: 5 rolled_back"),
            ("move 1: CP-* -> new", "rollback begun"),
            ("move 1: CP-* -> new", "done: 5 done"),
            ("move 1: CP-* -> new", "begun, 5 Charge Points"),
        ]


async def test_a_paused_move_goes_on_when_it_is_resumed() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0", "CP-1", "CP-2")
        number = await all_.moved(wave=1, pause=HOUR)
        await all_.until_members(number, done=1)
        assert (await all_.tell(number, "pause")).data["state"] == "paused"
        assert (await all_.tell(number, "pause")).status == 409
        assert (await all_.tell(number, "resume")).data["state"] == "running"
        assert (await all_.until_members(number, done=2))["counts"]["queued"] == 1


async def test_what_has_an_open_transaction_waits_and_a_pause_takes_it_back() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0", "CP-1")
        _, transaction = told(await post(all_.gateway, start(identity="CP-0")))
        number = await all_.moved()
        await all_.until_members(number, done=1, waits_for_idle=1)
        (waiting,) = (await all_.api.get("/moves"))["waiting"]
        assert (waiting["identity"], waiting["open_transactions"], waiting["move"]) == ("CP-0", 1, number)
        page = (await all_.api("GET", "//metrics")).data.decode()
        assert samples(page, "moves") == {(("state", "running"),): 1}
        assert samples(page, "transactions_open") == {(("central_system", "main"),): 1}
        await all_.tell(number, "pause")
        await all_.until_members(number, done=1, queued=1)
        assert (await all_.api.get("/charge-points/CP-0"))["waiting_move"] is None
        await all_.tell(number, "resume")
        await all_.until_members(number, waits_for_idle=1)
        assert (await post(all_.gateway, stop(int(transaction), identity="CP-0"))).status == 200
        assert (await all_.until(number, "done"))["counts"]["done"] == 2


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
async def test_who_is_not_accepted_has_failed_and_stops_the_move(status: str) -> None:
    async with fleet() as all_:
        await all_.boot("CP-0", "CP-1", "CP-2")
        all_.new.behaviour["BootNotification"] = lambda payload: {
            "status": status,
            "currentTime": AT,
            "interval": 300,
        }
        number = await all_.moved(wave=1, stop_if="errors>0")
        move = await all_.until(number, "stopped")
        assert move["reason"] == "errors>0: 1 of 3 Charge Points have failed"
        assert [(one["state"], one["reason"]) for one in move["members"]] == [
            ("failed", f"its BootNotification was answered {status}"),
            ("queued", ""),
            ("queued", ""),
        ]
        await all_.tell(number, "rollback")
        await all_.until(number, "rolled_back")
        assert await all_.places("CP-0", "CP-1", "CP-2") == ["main"] * 3


async def test_a_central_system_that_cannot_be_reached_fails_the_move() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0")
        await all_.new.stop()
        number = await all_.moved()
        (member,) = (await all_.until(number, "done"))["members"]
        assert member["state"] == "failed" and member["reason"]


async def test_an_error_to_the_boot_notification_fails_the_move() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0")
        del all_.new.behaviour["BootNotification"]
        number = await all_.moved()
        (member,) = (await all_.until(number, "done"))["members"]
        assert (member["state"], member["reason"]) == ("failed", "its BootNotification was answered with an error")


async def test_a_json_charge_point_that_is_refused_when_it_comes_back_has_failed() -> None:
    async with fleet() as all_:
        async with json_charge_point(all_.gateway, "CP-0") as point:
            await point.call("Heartbeat", {})
            await all_.new.stop()
            number = await all_.moved()
            await point.wait_closed()
        with pytest.raises(ConnectionRefused):
            await json_charge_point(all_.gateway, "CP-0").start()
        (member,) = (await all_.until(number, "done"))["members"]
        assert member["state"] == "failed" and member["reason"]


async def test_who_is_not_connected_goes_there_when_it_comes() -> None:
    async with fleet() as all_:
        number = await all_.moved(["CP-7", "cp-7", "CP-8"])
        move = await all_.until(number, "done")
        assert [one["identity"] for one in move["members"]] == ["cp-7", "CP-8"]
        assert {one["reason"] for one in move["members"]} == {
            "it is not connected now, and goes to its Central System when it comes"
        }
        await all_.boot("CP-8")
        assert [identity for identity, *_ in all_.new.received] == ["CP-8"]


async def test_a_part_of_the_fleet() -> None:
    async with fleet() as all_:
        names = [f"CP-{number}" for number in range(40)]
        small = (await all_.move(names, percent=20, dry_run=True)).data
        large = (await all_.move(names, percent=60, dry_run=True)).data
        assert small["id"] is None and (await all_.api.get("/moves"))["items"] == []
        assert small["selection"] == "20 % of a list of 40"
        few, more = ({one["identity"] for one in move["members"]} for move in (small, large))
        assert few < more < set(names)


async def test_a_move_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'bridge.db'}"
    async with fleet(store) as all_:
        await all_.boot("CP-0", "CP-1", "CP-2")
        _, transaction = told(await post(all_.gateway, start(identity="CP-0")))
        number = await all_.moved(wave=2, pause=HOUR)
        await all_.until_members(number, waits_for_idle=1, done=1)
        await all_.gateway.close()
        async with running(two(all_.main, all_.new, store)) as gateway, api_of(gateway) as api:
            again = Fleet(gateway, api, all_.main, all_.new)
            move = await again.until_members(number, waits_for_idle=1, done=1, queued=1)
            assert (move["state"], move["who"]) == ("running", "127.0.0.1 (token)")
            assert (await post(gateway, stop(int(transaction), identity="CP-0"))).status == 200
            await again.until_members(number, done=2, queued=1)
            await again.tell(number, "rollback")
            await again.until(number, "rolled_back")
            assert await again.places("CP-0", "CP-1", "CP-2") == ["main"] * 3


async def test_a_kill_before_the_record_of_a_move_loses_nobody(tmp_path: Path) -> None:
    """What is stored of each Charge Point is newer then than what is stored of the move."""
    store = f"sqlite:///{tmp_path / 'bridge.db'}"
    async with fleet(store) as all_:
        await all_.boot("CP-0", "CP-1", "CP-2")
        await post(all_.gateway, start(identity="CP-1"))
        number = await all_.moved(wave=2, pause=HOUR)
        await all_.until_members(number, waits_for_idle=1, done=1)
        await all_.gateway.close()
        kept = Store(store)
        kept.open()
        (record,) = kept.moves()
        move = msgspec.json.decode(record.content, type=Move)
        for member in move.members:
            member.state, member.moved = MemberState.QUEUED, False
        assert kept.commit(msgspec.structs.replace(record, content=msgspec.json.encode(move))).result(AT_MOST)
        kept.close()
        async with running(two(all_.main, all_.new, store)) as gateway, api_of(gateway) as api:
            again = Fleet(gateway, api, all_.main, all_.new)
            await again.until_members(number, waits_for_idle=1, done=1, queued=1)
            await again.tell(number, "rollback")
            await again.until(number, "rolled_back")
            assert await again.places("CP-0", "CP-1", "CP-2") == ["main"] * 3


async def test_a_manual_move_goes_before() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0")
        _, transaction = told(await post(all_.gateway, start(identity="CP-0")))
        number = await all_.moved()
        await all_.until_members(number, waits_for_idle=1)
        assert (await all_.api("DELETE", "/charge-points/CP-0/route")).status == 200
        (member,) = (await all_.until(number, "done"))["members"]
        assert (member["state"], "elsewhere" in member["reason"]) == ("failed", True)
        assert (await post(all_.gateway, stop(int(transaction), identity="CP-0"))).status == 200
        assert await all_.places("CP-0") == ["main"]


# What cannot be.


@pytest.mark.parametrize(
    ("wanted", "status", "detail"),
    [
        ({"central_system": "nowhere"}, 400, "no Central System of the configuration is called 'nowhere'"),
        ({"central_system": "main"}, 409, "all that fit are at 'main' already"),
        ({"charge_points": "XY-*"}, 409, "no Charge Point fits"),
        ({"charge_points": []}, 400, "Expected `array` of length >= 1"),
        ({"charge_points": ["CP-0"], "percent": 0}, 400, "Expected `float` > 0.0"),
        ({"stop_if": "errors"}, 400, 'expected "errors>N" or "errors>N%"'),
        ({"central_system": "old"}, 409, "1 of 1 Charge Points cannot be moved: cp-0: old: its Central System speaks"),
        ({"wave": 0}, 400, "Expected `int` >= 1"),
        ({"when": "later"}, 400, "Invalid enum value 'later'"),
    ],
)
async def test_a_move_that_cannot_be(wanted: dict[str, Any], status: int, detail: str) -> None:
    async with fleet() as all_:
        await all_.boot("CP-0")
        answer = await all_.move(**({"charge_points": "CP-*"} | wanted))
        assert answer.status == status and detail in answer.data["detail"], answer
        assert (await all_.api.get("/moves"))["items"] == []
        assert await all_.places("CP-0") == ["main"]


async def test_a_charge_point_belongs_to_one_move_at_a_time() -> None:
    async with fleet() as all_:
        await all_.boot("CP-0", "CP-1")
        number = await all_.moved("CP-*", wave=1, pause=HOUR)
        answer = await all_.move(["CP-1"])
        assert answer.status == 409
        assert answer.data["detail"] == f"move {number}, which is not over, has the Charge Point 'CP-1' already"
        assert (await all_.tell(99, "pause")).status == (await all_.api("GET", "/moves/x")).status == 404


# Transactions.


class JsonFleet:
    """JSON Charge Points that connect again whenever they are disconnected."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._points: dict[str, JsonChargePoint] = {}

    async def stay(self, identity: str) -> None:
        """Be connected, until this is cancelled."""
        while True:
            async with json_charge_point(self._gateway, identity) as point:
                self._points[identity] = point
                await point.wait_closed(10 * AT_MOST)

    async def call(self, identity: str, action: str, payload: Payload) -> Payload:
        """A Call, on the next connection if there is none now."""
        while identity not in self._points or self._points[identity].close_code is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return await self._points[identity].call(action, payload)


async def each(identities: Sequence[str], does: Callable[[str], Awaitable[None]]) -> None:
    """Do something for every Charge Point, for some of them at the same time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(identity: str) -> None:
        async with gate:
            await does(identity)

    await asyncio.gather(*map(one, identities))


async def test_a_fleet_with_open_transactions_moves_in_waves_and_back_and_every_transaction_stays_whole() -> None:
    soap, json = [f"CP-S{number}" for number in range(220)], [f"CP-J{number}" for number in range(80)]
    everybody = [*soap, *json]
    async with fleet() as all_:
        points = JsonFleet(all_.gateway)
        staying = [asyncio.ensure_future(points.stay(identity)) for identity in json]
        numbers: dict[tuple[str, int], int] = {}

        async def booted(identity: str) -> None:
            if identity in json:
                await points.call(identity, "BootNotification", SAMPLES["BootNotification"])
                await points.call(identity, "StatusNotification", SAMPLES["StatusNotification"])
                return
            await all_.boot(identity)
            assert (await post(all_.gateway, envelope(STATUS, identity=identity))).status == 200

        async def begin(identity: str, connector: int) -> None:
            if identity in json:
                said = SAMPLES["StartTransaction"] | {"connectorId": connector}
                number = (await points.call(identity, "StartTransaction", said))["transactionId"]
            else:
                _, number = told(await post(all_.gateway, start(connector=connector, identity=identity)))
            numbers[identity, connector] = int(number)

        async def meter(identity: str, connector: int) -> None:
            number = numbers[identity, connector]
            if identity in json:
                said = {"connectorId": connector, "transactionId": number}
                await points.call(identity, "MeterValues", SAMPLES["MeterValues"] | said)
                return
            body = (
                f'<meterValuesRequest xmlns="{CS}"><connectorId>{connector}</connectorId>'
                f"<transactionId>{number}</transactionId><meterValue><timestamp>{AT}</timestamp>"
                "<sampledValue><value>12680</value></sampledValue></meterValue></meterValuesRequest>"
            )
            assert (await post(all_.gateway, envelope(body, identity=identity))).status == 200

        async def end(identity: str, connector: int) -> None:
            number = numbers[identity, connector]
            if identity in json:
                said = {"transactionId": number, "timestamp": AT, "meterStop": 12680}
                await points.call(identity, "StopTransaction", said)
                return
            assert (await post(all_.gateway, stop(number, identity=identity))).status == 200

        async def meter_both(identity: str) -> None:
            await meter(identity, 1)
            await meter(identity, 2)

        async def end_both(identity: str) -> None:
            await meter_both(identity)
            await end(identity, 1)
            await end(identity, 2)

        await each(everybody, booted)
        await each(everybody, lambda identity: begin(identity, 1))
        number = await all_.moved("CP-*", when="now", wave=20)
        done = await all_.until(number, "done", 4 * AT_MOST)
        assert done["counts"]["done"] == len(everybody)
        # Who comes is told first, and how its connectors are.
        first: dict[str, list[str]] = defaultdict(list)
        for identity, action, _ in tuple(all_.new.received):
            first[identity].append(action)
        assert {tuple(first[identity][:2]) for identity in soap} == {("BootNotification", "StatusNotification")}
        await each(everybody, lambda identity: begin(identity, 2))
        await each(everybody, meter_both)
        await all_.tell(number, "rollback")
        back = await all_.until(number, "rolled_back", 4 * AT_MOST)
        assert back["counts"]["rolled_back"] == len(everybody)
        await each(everybody, end_both)
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)
        # Each transaction is whole, at the Central System that named it, under the number that it gave there.
        for central, connector in ((all_.main, 1), (all_.new, 2)):
            assert _sessions(central) == {identity: [connector, 2, 1] for identity in everybody}
        for identity in everybody:
            counters = (await all_.api.get(f"/charge-points/{identity}"))["counters"]
            assert (counters["errors"], counters["refused"], counters["unanswered"]) == (0, 0, 0), identity


def _sessions(central: JsonCentralSystem) -> dict[str, list[int]]:
    """For each Charge Point: the connector of its one transaction, and how many MeterValues and Stops belong to it."""
    found: dict[str, list[int]] = {}
    numbers: dict[str, set[int]] = defaultdict(set)
    for identity, action, payload in central.received:
        if action == "StartTransaction":
            assert identity not in found, "a second StartTransaction"
            found[identity] = [payload["connectorId"], 0, 0]
        elif action in ("MeterValues", "StopTransaction"):
            found[identity][1 if action == "MeterValues" else 2] += 1
            numbers[identity].add(payload["transactionId"])
    assert all(len(each) == 1 for each in numbers.values())
    assert len({number for each in numbers.values() for number in each}) == len(numbers)
    return found
