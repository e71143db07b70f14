"""Further Central Systems see what the main one has answered, and have no say unless they are given one.

Each party names its transactions in an order of its own, so that the same numbers mean different transactions.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sqlite3
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge import config
from bridge.app import Gateway
from bridge.config import (
    CentralSystem,
    ChargePoint,
    FurtherCentralSystem,
    Observers,
    Policy,
    Protocol,
    Route,
    Secret,
    Settings,
)
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.observer_queues import ObserverDatabase
from bridge.ocpp.rpc import CallResult
from bridge.watching.audience import Audience
from bridge.watching.facts import ShadowAnswered
from tests.admin.asked import api_of
from tests.admin.test_metrics import samples
from tests.e2e.stage import (
    AT,
    AT_MOST,
    OUR_WSDL,
    SAMPLES,
    WSDL,
    RawCentralSystem,
    address_of,
    charge_point,
    dialled,
    json_charge_point,
    logged,
    reachable,
    running,
    settings,
    wire,
)

KINDS = ("json", "soap", "soap15")
PROTOCOLS: dict[str, Protocol] = {"json": "ocpp1.6j", "soap": "ocpp1.6s", "soap15": "ocpp1.5s"}
Party = JsonCentralSystem | SoapCentralSystem
SESSION = ("StartTransaction", "MeterValues", "StopTransaction")
ONE = "CP 1"


def central(kind: str, named: Iterable[int] = ()) -> Party:
    """A Central System that gives these transactionIds, one after the other."""
    if kind == "json":
        made: Party = JsonCentralSystem()
    else:
        folder = WSDL if kind == "soap" else OUR_WSDL.parent / "ocpp15"
        made = SoapCentralSystem(wsdl=folder, protocol=PROTOCOLS[kind])
    if numbers := list(named):
        made.behaviour["StartTransaction"] = lambda _: {
            "transactionId": numbers.pop(0),
            "idTagInfo": {"status": "Accepted"},
        }
    return made


@dataclass
class Watched:
    """A Charge Point with its main Central System and observers."""

    gateway: Gateway
    main: Party
    observers: Mapping[str, Party]
    point: JsonChargePoint | SoapChargePoint

    async def boots(self) -> None:
        await self.point.call("BootNotification", SAMPLES["BootNotification"])

    async def start(self, connector: int = 1, tag: str = "DRIVER-1") -> int:
        told = await self.point.call(
            "StartTransaction", SAMPLES["StartTransaction"] | {"connectorId": connector, "idTag": tag}
        )
        number = told["transactionId"]
        assert isinstance(number, int)
        return number

    async def meter(self, number: int, connector: int = 1) -> None:
        await self.point.call(
            "MeterValues", SAMPLES["MeterValues"] | {"connectorId": connector, "transactionId": number}
        )

    async def stop(self, number: int, meter: int = 12680) -> None:
        told = {"transactionId": number, "timestamp": AT, "meterStop": meter, "idTag": "DRIVER-1"}
        await self.point.call("StopTransaction", told)

    def of(self, name: str, *actions: str) -> list[tuple[str, Payload]]:
        """What a Central System got of these actions, of all without any."""
        party = self.main if name == "main" else self.observers[name]
        return [(action, told) for _, action, told in party.received if not actions or action in actions]

    def ids(self, name: str) -> list[tuple[str, int | None]]:
        """The messages of transactions that a Central System got, and the transactionIds in them."""
        return [(action, told.get("transactionId")) for action, told in self.of(name, *SESSION)]

    def actions(self, name: str) -> list[str]:
        return [action for action, _ in self.of(name)]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what an observer is told after the Charge Point has its answer."""
        async with asyncio.timeout(2 * AT_MOST):
            while not holds():  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.01)

    async def until_got(self, name: str, *actions: str) -> None:
        """Wait until a Central System has got exactly these messages."""
        try:
            await self.until(lambda: len(self.of(name)) >= len(actions))
        except TimeoutError:
            raise AssertionError(self.actions(name)) from None
        assert self.actions(name) == list(actions)

    async def lost(self) -> dict[str, int]:
        """How many messages the observer never gets, by why."""
        reasons = (await self.health())["lost"]
        return {reason: times for reason, times in reasons.items() if times}

    async def health(self, name: str = "ems") -> Any:
        """What /readyz says of an observer."""
        async with api_of(self.gateway) as api:
            ready = await api("GET", "//readyz")
            return ready.data["observers"][name]

    async def until_healthy(self, holds: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(2 * AT_MOST):
            while not holds(health := await self.health()):  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.02)
        return health


def told(
    main: tuple[str, Party], observers: Mapping[str, tuple[str, Party]], also: Mapping[str, Any], **more: Any
) -> Settings:
    systems = {
        name: CentralSystem(url=party.url, protocol=PROTOCOLS[kind], reconnect_min=0.05, reconnect_max=0.2)
        for name, (kind, party) in {"main": main, **observers}.items()
    }
    further = tuple(FurtherCentralSystem(**({"central_system": name} | also.get(name, {}))) for name in observers)
    route = Route(charge_point="*", central_system="main", also=further)
    store = config.Store(url=more.pop("store", "memory:"))
    bounds = Observers(max_bytes=more.pop("max_bytes", 1_000_000))
    made = settings("ws://127.0.0.1:1/", soap=reachable(), **more)
    return msgspec.structs.replace(made, central_systems=systems, routes=(route,), store=store, observers=bounds)


@asynccontextmanager
async def watched(
    near: str = "json", far: str = "json", *, ems: str = "json", also: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[Watched]:
    """A Charge Point, `main`, and one observer called `ems`."""
    async with AsyncExitStack() as held:
        main, other = central(far, more.pop("main_names", (1, 2, 3))), central(ems, more.pop("ems_names", (2, 1, 5)))
        await held.enter_async_context(main)
        await held.enter_async_context(other)
        made = told((far, main), {"ems": (ems, other)}, {"ems": also or {}}, **more)
        gateway = await held.enter_async_context(running(made))
        point: JsonChargePoint | SoapChargePoint
        point = json_charge_point(gateway, ONE) if near == "json" else charge_point(gateway, ONE)
        await held.enter_async_context(point)
        yield Watched(gateway, main, {"ems": other}, point)


@pytest.mark.parametrize("ems", KINDS)
@pytest.mark.parametrize("far", ["json", "soap"])
@pytest.mark.parametrize("near", ["json", "soap"])
async def test_a_session_is_told_to_both_each_with_its_own_numbers(near: str, far: str, ems: str) -> None:
    async with watched(near, far, ems=ems) as all_:
        await all_.boots()
        await all_.point.call("StatusNotification", SAMPLES["StatusNotification"])
        first, second = await all_.start(1), await all_.start(2)
        assert (first, second) == (1, 2)
        await all_.meter(second, 2)
        await all_.meter(first)
        await all_.stop(first)
        await all_.stop(second, 13000)
        await all_.point.call("Heartbeat", {})
        await all_.until_got(
            "ems",
            "BootNotification",
            "StatusNotification",
            *("StartTransaction", "StartTransaction", "MeterValues", "MeterValues"),
            *("StopTransaction", "StopTransaction", "Heartbeat"),
        )
        starts = [("StartTransaction", None)] * 2
        meters, stops = ("MeterValues", "StopTransaction")
        assert all_.ids("main") == [*starts, (meters, 2), (meters, 1), (stops, 1), (stops, 2)]
        assert all_.ids("ems") == [*starts, (meters, 1), (meters, 2), (stops, 2), (stops, 1)]
        violations = [*all_.main.violations, *all_.observers["ems"].violations, *all_.point.violations]
        assert violations == []


@pytest.mark.parametrize("ems", ["json", "soap15"])
@pytest.mark.parametrize(("version", "folder"), [("ocpp1.5s", "ocpp15"), ("ocpp1.2s", "ocpp12")])
async def test_an_older_charge_point_is_observed_too(version: str, folder: str, ems: str) -> None:
    async with central("json", (1, 2)) as main, central(ems, (5, 6)) as other:
        made = told(("json", main), {"ems": (ems, other)}, {})
        async with running(made) as gateway:
            wsdl = OUR_WSDL.parent / folder
            older = SoapChargePoint(url=address_of(gateway), identity=ONE, wsdl=wsdl, protocol=version)
            async with older as point:
                all_ = Watched(gateway, main, {"ems": other}, point)
                await all_.boots()
                number = await all_.start()
                occupied = {"connectorId": 1, "status": "Occupied", "errorCode": "NoError"}
                await point.call("StatusNotification", occupied)
                if version == "ocpp1.5s":
                    values = [{"timestamp": AT, "value": [{"_value_1": "230"}]}]
                    await point.call("MeterValues", {"connectorId": 1, "transactionId": number, "values": values})
                await all_.stop(number)
                # The status that the bridge infers for the main Central System is one for the observer, too.
                last = ["StopTransaction", "StatusNotification"]
                await all_.until(lambda: all_.actions("ems")[-2:] == all_.actions("main")[-2:] == last)
                assert [told_id for _, told_id in all_.ids("ems") if told_id is not None] == [
                    5 for _, told_id in all_.ids("main") if told_id is not None
                ]
                assert all_.actions("ems") == all_.actions("main")
                assert await all_.lost() == {}


@pytest.mark.parametrize("near", ["json", "soap"])
async def test_what_the_main_central_system_has_not_answered_is_told_to_nobody(near: str) -> None:
    """Nor what the bridge answers itself, nor a repetition, nor an Authorize."""
    refusing = Policy(sender="charge_point", action="DataTransfer", do="refuse")
    async with watched(near, "soap", policies=[refusing], gateway={"call_timeout": 5.0}) as all_:
        await all_.boots()
        first = await all_.start()
        assert await all_.start() == first
        await all_.point.call("Authorize", SAMPLES["Authorize"])
        with pytest.raises(CallRefused):
            await all_.point.call("DataTransfer", SAMPLES["DataTransfer"])
        all_.main.behaviour["Heartbeat"] = refused("InternalError")
        with pytest.raises(CallRefused):  # which is a verdict
            await all_.point.call("Heartbeat", {})
        await all_.point.call("StatusNotification", SAMPLES["StatusNotification"])
        await all_.until_got("ems", "BootNotification", "StartTransaction", "Heartbeat", "StatusNotification")
        assert isinstance(all_.main, SoapCentralSystem)
        await all_.main.down()
        with pytest.raises((CallRefused, ConnectionError, TimeoutError)):
            await all_.point.call("StatusNotification", SAMPLES["StatusNotification"])
        await all_.main.up()
        assert all_.actions("ems")[4:] == [] and await all_.lost() == {}


def refused(code: str) -> Callable[[Payload], Payload]:
    def behaviour(_: Payload) -> Payload:
        raise CallRefused("Receiver" if code == "soap" else code, "because", subcode="InternalError")

    return behaviour


async def test_a_transaction_that_the_observer_refuses_is_not_told_to_it_under_another_number() -> None:
    async with watched() as all_:
        await all_.boots()
        all_.observers["ems"].behaviour["StartTransaction"] = refused("InternalError")
        with logged() as lines:
            number = await all_.start()
            await all_.meter(number)
            await all_.stop(number)
            await all_.point.call("Heartbeat", {})
            await all_.until_got("ems", "BootNotification", "StartTransaction", "Heartbeat")
        assert await all_.lost() == {"refused": 1, "no_transaction_there": 2}
        assert [line for line in lines if "a further Central System has not named" in line], lines
        # The number of a later transaction is not taken for that of the one before.
        del all_.observers["ems"].behaviour["StartTransaction"]


@pytest.mark.parametrize("ems", ["json", "soap"])
async def test_after_an_outage_it_is_told_the_state_and_then_all_that_it_missed(ems: str) -> None:
    async with watched("soap", ems=ems, ems_names=(7, 8)) as all_:
        other = all_.observers["ems"]
        await all_.boots()
        await all_.point.call("StatusNotification", SAMPLES["StatusNotification"])
        number = await all_.start()
        await all_.until(lambda: len(all_.of("ems")) == 3)
        await (other.down() if isinstance(other, SoapCentralSystem) else other.stop())
        await all_.meter(number)
        await all_.stop(number)
        second = await all_.start(2)
        await all_.meter(second, 2)
        health = await all_.until_healthy(lambda seen: seen["trouble"] is not None and seen["waiting"] == 4)
        assert health["oldest"] is not None and health["halted"] == 0
        async with api_of(all_.gateway) as api:
            ready = await api("GET", "//readyz")
            page = (await api("GET", "//metrics")).data.decode()
        assert (ready.status, ready.data["status"]) == (200, "degraded")
        assert samples(page, "observer_queue") == {(("central_system", "ems"),): 4.0}
        other.received.clear()
        await (other.up() if isinstance(other, SoapCentralSystem) else other.start())
        await all_.until_got(
            "ems",
            "BootNotification",
            "StatusNotification",
            *("MeterValues", "StopTransaction", "StartTransaction", "MeterValues"),
        )
        assert [told_id for _, told_id in all_.ids("ems")] == [7, 7, None, 8]
        health = await all_.until_healthy(lambda seen: seen["waiting"] == 0)
        assert health["trouble"] is None and await all_.lost() == {}


async def test_an_observer_that_hangs_delays_nobody() -> None:
    async with watched() as all_:
        never = asyncio.Event()

        async def hang(_: Payload) -> Payload:
            await never.wait()
            return {}

        all_.observers["ems"].behaviour["BootNotification"] = hang
        await all_.boots()
        for _ in range(20):
            await all_.point.call("Heartbeat", {})
        number = await all_.start()
        await all_.stop(number)
        assert all_.actions("main") == [
            "BootNotification",
            *["Heartbeat"] * 20,
            "StartTransaction",
            "StopTransaction",
        ]
        health = await all_.until_healthy(lambda seen: seen["waiting"] == 23)
        assert health["trouble"] is None  # it has two minutes
        never.set()
        await all_.until(lambda: "StopTransaction" in all_.actions("ems"))


# Commands.


@pytest.mark.parametrize("ems", KINDS)
@pytest.mark.parametrize("far", ["json", "soap"])
@pytest.mark.parametrize("near", ["json", "soap"])
async def test_only_listed_commands_reach_the_charge_point(near: str, far: str, ems: str) -> None:
    listed = ("RemoteStopTransaction", "ChangeConfiguration", "ClearCache")
    async with watched(near, far, ems=ems, also={"commands": listed}) as all_:
        other, point = all_.observers["ems"], all_.point
        await all_.boots()
        first, second = await all_.start(1), await all_.start(2)
        await all_.until(lambda: len(all_.of("ems")) == 3)
        await other.wait_for(ONE)
        assert await other.call(ONE, "Reset", {"type": "Soft"}) == {"status": "Rejected"}
        assert await other.call(ONE, "ClearCache", {}) == {"status": "Accepted"}
        with pytest.raises(CallRefused) as unknown:
            await other.call(ONE, "GetLocalListVersion", {})
        assert "NotSupported" in (unknown.value.code, unknown.value.subcode)
        # The observer names the first transaction 2 and the second 1.
        assert await other.call(ONE, "RemoteStopTransaction", {"transactionId": 2}) == {"status": "Accepted"}
        assert await other.call(ONE, "RemoteStopTransaction", {"transactionId": 77}) == {"status": "Rejected"}
        for key, status in (("MeterValueSampleInterval", "Accepted"), ("HeartbeatInterval", "Rejected")):
            asked = {"key": key, "value": "900"}
            assert await other.call(ONE, "ChangeConfiguration", asked) == {"status": status}
        commands = [(action, told) for _, action, told in received(point)]
        assert commands == [("ClearCache", {}), ("RemoteStopTransaction", {"transactionId": first})]
        for _ in range(3):
            await all_.meter(second, 2)
        await all_.stop(second)
        await all_.until(lambda: "StopTransaction" in all_.actions("ems"))
        assert all_.actions("ems").count("MeterValues") == 1 and all_.actions("main").count("MeterValues") == 3
        assert await all_.lost() == {}
        # The main Central System has the rights that it always had.
        await all_.main.wait_for(ONE)
        assert await all_.main.call(ONE, "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        assert (await all_.main.call(ONE, "RemoteStopTransaction", {"transactionId": 2})) == {"status": "Accepted"}
        assert received(point)[-1][2] == {"transactionId": 2}


def received(point: JsonChargePoint | SoapChargePoint) -> list[tuple[str, str, Payload]]:
    """The commands that a Charge Point got."""
    return [("", action, told) for *_, action, told in point.received]


async def test_a_command_of_an_observer_waits_behind_those_of_the_main_central_system() -> None:
    async with watched(also={"commands": ("ClearCache",)}) as all_:
        await all_.boots()
        await all_.observers["ems"].wait_for(ONE)
        go_on, order = asyncio.Event(), list[str]()

        async def slow(_: Payload) -> Payload:
            order.append("Reset")
            await go_on.wait()
            return {"status": "Accepted"}

        def cleared(_: Payload) -> Payload:
            order.append("ClearCache")
            return {"status": "Accepted"}

        all_.point.behaviour["Reset"] = slow
        all_.point.behaviour["ClearCache"] = cleared
        resets = [asyncio.ensure_future(all_.main.call(ONE, "Reset", {"type": "Soft"}))]
        await all_.until(lambda: order == ["Reset"])
        clearing = asyncio.ensure_future(all_.observers["ems"].call(ONE, "ClearCache", {}))
        await asyncio.sleep(0.2)
        resets.append(asyncio.ensure_future(all_.main.call(ONE, "Reset", {"type": "Hard"})))
        await asyncio.sleep(0.2)
        go_on.set()
        assert [await reset for reset in resets] == [{"status": "Accepted"}] * 2
        assert await clearing == {"status": "Accepted"}
        assert order == ["Reset", "Reset", "ClearCache"]


# What it may know.


@pytest.mark.parametrize("ems", ["json", "soap"])
async def test_no_credential_of_the_charge_point_and_no_token_of_a_driver(ems: str) -> None:
    point = {ONE: ChargePoint(central_system_password=Secret(b"own"))}
    also = {"id_tag": "FLEET", "actions": ("BootNotification", "StartTransaction", "StopTransaction")}
    async with watched("soap", ems=ems, also=also, charge_points=point) as all_:
        seen: list[str] = []
        all_.observers["ems"].observe = lambda message: seen.append(repr(message))
        await all_.boots()
        number = await all_.start(tag="DRIVER-1")
        await all_.meter(number)
        await all_.stop(number)
        await all_.until_got("ems", "BootNotification", "StartTransaction", "StopTransaction")
        assert [payload.get("idTag") for _, payload in all_.of("ems")] == [None, "FLEET", "FLEET"]
        assert [payload.get("idTag") for _, payload in all_.of("main", "StartTransaction")] == ["DRIVER-1"]
        assert not [text for text in seen if "DRIVER" in text]


async def test_the_handshake_with_an_observer_shows_its_own_credentials_only() -> None:
    async with RawCentralSystem() as raw, JsonCentralSystem() as main:
        own = {ONE: ChargePoint(central_system_password=Secret(b"own"))}
        made = told(("json", main), {"ems": ("json", main)}, {}, charge_points=own)
        systems = made.central_systems | {"ems": CentralSystem(url=raw.url)}
        async with running(msgspec.structs.replace(made, central_systems=systems)) as gateway:
            shown = {"Authorization": f"Basic {b64encode(b'CP 1:shown').decode()}"}
            async with dialled(gateway, headers=list(shown.items())) as point:
                await point.ask([2, "1", "Heartbeat", {}])
                await raw.connected()
                assert "Authorization" not in raw.requests[0].headers


# Shadows.


@pytest.mark.parametrize("near", ["json", "soap"])
async def test_a_shadow_is_asked_too_and_both_answers_are_told(near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[ShadowAnswered] = []
    see = Audience.see

    def seen(self: Audience, fact: Any) -> None:
        if isinstance(fact, ShadowAnswered):
            found.append(fact)
        see(self, fact)

    monkeypatch.setattr(Audience, "see", seen)
    async with watched(near, also={"role": "shadow"}) as all_:
        all_.observers["ems"].blocked.add("DRIVER-1")
        await all_.boots()
        told_main = await all_.point.call("Authorize", SAMPLES["Authorize"])
        assert told_main == {"idTagInfo": {"status": "Accepted"}}
        number = await all_.start()
        await all_.stop(number)
        await all_.until(lambda: len(found) == 4)
        actions = ["BootNotification", "Authorize", "StartTransaction", "StopTransaction"]
        assert [fact.action for fact in found] == actions
        assert {(fact.identity, fact.central_system) for fact in found} == {(ONE, "ems")}
        differing = [fact.action for fact in found if fact.differences]
        assert differing == ["Authorize", "StopTransaction"]
        main, shadow = found[1].main, found[1].shadow
        assert isinstance(main, CallResult) and isinstance(shadow, CallResult)
        assert wire(shadow.payload) == {"idTagInfo": {"status": "Invalid"}}
        health = await all_.until_healthy(lambda seen: seen["waiting"] == 0)
        assert not any(health["lost"].values())


# The queue outlives the bridge, and not the Charge Point.


@pytest.mark.parametrize("near", ["json", "soap"])
async def test_what_waits_and_what_was_named_survive_a_restart(near: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/bridge.db"
    async with central("json", (1, 2)) as main, central("json", (5, 6)) as other:
        made = told(("json", main), {"ems": ("json", other)}, {}, store=store)
        async with running(made) as gateway, party(near, gateway) as point:
            all_ = Watched(gateway, main, {"ems": other}, point)
            await all_.boots()
            first = await all_.start()
            await all_.until(lambda: len(all_.of("ems")) == 2)
            await all_.until_healthy(lambda seen: seen["waiting"] == 0)
            await other.stop()
            await all_.meter(first)
            await all_.start(2)
            await all_.until_healthy(lambda seen: seen["waiting"] == 2)
        other.received.clear()
        await other.start()
        async with running(made) as gateway:
            # Nobody has connected yet: what waits is sent all the same.
            all_ = Watched(gateway, main, {"ems": other}, point)
            await all_.until(lambda: len(all_.ids("ems")) == 2)
            async with party(near, gateway) as all_.point:
                await all_.stop(first)
                await all_.stop(2)
                await all_.until(lambda: len(all_.ids("ems")) == 4)
            assert all_.ids("ems") == [
                ("MeterValues", 5),
                ("StartTransaction", None),
                ("StopTransaction", 5),
                ("StopTransaction", 6),
            ]


async def test_a_start_that_was_kept_and_not_put_into_the_queue_is_told_after_the_next_start(tmp_path: Path) -> None:
    """As if the bridge had been killed after the answer was on disk, and before the thread had written the queue."""
    async with central("json", (1, 2)) as main, central("json", (5, 6)) as other:
        made = told(("json", main), {"ems": ("json", other)}, {}, store=f"sqlite:///{tmp_path}/bridge.db")
        await other.stop()
        async with running(made) as gateway, party("soap", gateway) as point:
            all_ = Watched(gateway, main, {"ems": other}, point)
            first = await all_.start()
            second = await all_.start(2)
            await all_.until_healthy(lambda seen: seen["waiting"] == 2)
        with closing(sqlite3.connect(tmp_path / "bridge.observers.db", isolation_level=None)) as file:
            (entered,) = file.execute("SELECT key FROM message WHERE connector = '1'").fetchone()
            file.execute("DELETE FROM message WHERE connector = '2'")
            file.execute("UPDATE lane SET entered = ?", (entered,))
        await other.start()
        async with running(made) as gateway, party("soap", gateway) as point:
            all_ = Watched(gateway, main, {"ems": other}, point)
            await all_.until(lambda: len(all_.ids("ems")) == 2)
            await all_.stop(second)
            await all_.stop(first, 13000)
            await all_.until(lambda: len(all_.ids("ems")) == 4)
            assert [told_id for _, told_id in all_.ids("ems")] == [None, None, 6, 5]


def party(near: str, gateway: Gateway) -> JsonChargePoint | SoapChargePoint:
    return json_charge_point(gateway, ONE) if near == "json" else charge_point(gateway, ONE)


async def test_with_the_charge_point_goes_what_waits(tmp_path: Path) -> None:
    async with watched("soap", store=f"sqlite:///{tmp_path}/bridge.db") as all_:
        other = all_.observers["ems"]
        assert isinstance(other, JsonCentralSystem)
        await other.stop()
        await all_.boots()
        await all_.start()
        await all_.until_healthy(lambda seen: seen["waiting"] == 2)
        async with api_of(all_.gateway) as api:
            assert (await api("DELETE", f"/charge-points/{ONE}")).status < 300
            ready = await api("GET", "//readyz")
        assert ready.data.get("observers", {}).get("ems", {}).get("waiting", 0) == 0
    with closing(sqlite3.connect(tmp_path / "bridge.observers.db")) as file:
        rows = [file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]
    assert rows == [0, 0, 0]


TABLES = ("message", "named", "lane")


async def test_what_is_too_much_is_dropped_and_counted() -> None:
    async with watched("json", "json", max_bytes=2000) as all_:
        other = all_.observers["ems"]
        assert isinstance(other, JsonCentralSystem)
        await other.stop()
        await all_.boots()
        number = await all_.start()
        for _ in range(100):
            await all_.meter(number)
        await all_.stop(number)
        health = await all_.health()
        assert health["octets"] <= 2000 and health["lost"]["too_many"] > 50
        other.received.clear()
        await other.start()
        await all_.until(lambda: "StopTransaction" in all_.actions("ems"))
        assert all_.actions("ems").count("StartTransaction") == all_.actions("ems").count("StopTransaction") == 1
        assert all_.actions("main").count("MeterValues") == 100


# Moves.


async def test_an_observer_that_becomes_the_main_one_is_no_observer_any_more() -> None:
    async with watched("soap") as all_:
        await all_.boots()
        await all_.until_got("ems", "BootNotification")
        async with api_of(all_.gateway) as api:
            moved = {"central_system": "ems", "when": "now"}
            assert (await api("PUT", f"/charge-points/{ONE}/route", moved)).status == 200
        await all_.until(lambda: all_.actions("ems") == ["BootNotification"] * 2)  # it is introduced
        await all_.point.call("Heartbeat", {})
        number = await all_.start()
        await all_.stop(number)
        assert all_.actions("ems")[2:] == ["Heartbeat", "StartTransaction", "StopTransaction"]
        assert all_.actions("main") == ["BootNotification"]
        # And back: it is one again.
        async with api_of(all_.gateway) as api:
            assert (await api("DELETE", f"/charge-points/{ONE}/route")).status == 200
        await all_.until(lambda: "Heartbeat" not in all_.actions("main"))
        await all_.point.call("Heartbeat", {})
        await all_.until(lambda: all_.actions("ems").count("Heartbeat") == 2)
        assert all_.actions("main").count("Heartbeat") == 1


async def test_a_move_to_an_observer_waits_until_it_has_the_stop_that_it_is_owed() -> None:
    async with watched("soap") as all_:
        await all_.boots()
        number = await all_.start()
        await all_.until(lambda: len(all_.of("ems")) == 2)
        go_on, held = asyncio.Event(), asyncio.Event()

        async def slow(_: Payload) -> Payload:
            held.set()
            await go_on.wait()
            return {}

        all_.observers["ems"].behaviour["StopTransaction"] = slow
        async with api_of(all_.gateway) as api:
            moved = await api("PUT", f"/charge-points/{ONE}/route", {"central_system": "ems"})
            assert moved.status == 200 and moved.data["waits"]
            await all_.stop(number)
            await held.wait()
            await all_.point.call("Heartbeat", {})  # it is idle at its main Central System
            assert (await api.get(f"/charge-points/{ONE}"))["central_system"] == "main"
            go_on.set()
            await all_.until(lambda: all_.actions("ems").count("BootNotification") == 2)
            assert (await api.get(f"/charge-points/{ONE}"))["central_system"] == "ems"
            assert "observers" not in (await api("GET", "//readyz")).data  # nothing waits, and nothing was lost
        stops = [told_id for action, told_id in all_.ids("ems") if action == "StopTransaction"]
        assert stops == [2]


@pytest.mark.parametrize("by", ["operator", "several", "route"])
async def test_a_move_now_to_an_observer_waits_for_what_that_is_owed_and_for_no_transaction(by: str) -> None:
    async with watched("soap") as all_:
        await all_.boots()
        go_on, held = asyncio.Event(), asyncio.Event()
        ems = all_.observers["ems"]
        answer = ems.behaviour["StartTransaction"]

        async def slow(payload: Payload) -> Payload:
            held.set()
            await go_on.wait()
            assert callable(answer)
            told = answer(payload)
            return await told if inspect.isawaitable(told) else told

        ems.behaviour["StartTransaction"] = slow
        number = await all_.start()
        await held.wait()
        async with api_of(all_.gateway) as api:
            if by == "operator":
                moved = await api("PUT", f"/charge-points/{ONE}/route", {"central_system": "ems", "when": "now"})
                assert moved.status == 200 and moved.data["waits"]
            elif by == "several":
                wanted = {"charge_points": [ONE], "central_system": "ems", "when": "now"}
                move = (await api("POST", "/moves", wanted)).data["id"]
            else:
                before = all_.gateway._settings
                (route,) = before.routes
                route = msgspec.structs.replace(route, central_system="ems", also=())
                await all_.gateway.reload(msgspec.structs.replace(before, routes=(route,)))
            async with asyncio.timeout(AT_MOST):
                while (waiting := (await api.get(f"/charge-points/{ONE}"))["waiting_move"]) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (waiting["when"], waiting["open_transactions"]) == ("now", 1)
            await all_.point.call("Heartbeat", {})
            assert (await api.get(f"/charge-points/{ONE}"))["central_system"] == "main"
            go_on.set()
            await all_.until(lambda: all_.actions("ems").count("BootNotification") == 2)
            assert (await api.get(f"/charge-points/{ONE}"))["central_system"] == "ems"
            if by == "several":
                async with asyncio.timeout(AT_MOST):
                    while (await api.get(f"/moves/{move}"))["state"] != "done":  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
        assert all_.actions("ems").count("StartTransaction") == 1
        await all_.stop(number)
        assert all_.actions("main").count("StopTransaction") == 1


async def test_observers_come_and_go_with_the_configuration() -> None:
    async with watched() as all_:
        await all_.boots()
        await all_.until_got("ems", "BootNotification")
        before = all_.gateway._settings
        (route,) = before.routes
        bare = msgspec.structs.replace(before, routes=(msgspec.structs.replace(route, also=()),))
        await all_.gateway.reload(bare)
        await all_.point.call("Heartbeat", {})  # over the connection that it had
        other = all_.observers["ems"]
        assert isinstance(other, JsonCentralSystem)
        await other.wait_gone(ONE)
        assert all_.actions("ems") == ["BootNotification"]
        await all_.gateway.reload(before)
        await other.wait_for(ONE)  # at once
        await all_.point.call("StatusNotification", SAMPLES["StatusNotification"])
        await all_.until_got("ems", "BootNotification", "BootNotification", "StatusNotification")


async def test_the_main_central_system_is_served_while_the_disk_of_the_queues_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with watched("soap", store=f"sqlite:///{tmp_path}/bridge.db") as all_:
        await all_.boots()
        await all_.until_got("ems", "BootNotification")

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        # The error in the log is meant.
        monkeypatch.setattr(logging.getLogger("bridge.observers"), "disabled", True)
        monkeypatch.setattr(ObserverDatabase, "write", full)
        number = await all_.start()
        health = await all_.until_healthy(lambda seen: seen["trouble"] is not None)
        assert "disk is full" in health["trouble"]
        await all_.meter(number)
        await all_.stop(number)
        # And so is the observer, from memory.
        await all_.until_got("ems", "BootNotification", "StartTransaction", "MeterValues", "StopTransaction")
        assert [told_id for _, told_id in all_.ids("ems")] == [None, 2, 2]
        assert [told_id for _, told_id in all_.ids("main")] == [None, 1, 1]
        monkeypatch.undo()
        await all_.until_healthy(lambda seen: seen["trouble"] is None)  # it is tried again every few seconds


async def test_what_waits_on_disk_is_not_lost_while_the_file_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The thread that writes closes the file to open it again, which a full disk does not allow."""
    monkeypatch.setattr("bridge.gateway.observers._READ_AGAIN", 0.05)
    async with watched("soap", store=f"sqlite:///{tmp_path}/bridge.db", ems_names=(5, 6)) as all_:
        other = all_.observers["ems"]
        assert isinstance(other, JsonCentralSystem)
        await all_.boots()
        await all_.until_got("ems", "BootNotification")
        await other.stop()
        number = await all_.start()
        await all_.meter(number)
        await all_.stop(number)
        await all_.until_healthy(lambda seen: seen["waiting"] == 3 and seen["trouble"] is not None)
        other.received.clear()

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        reads: list[int] = []
        content = ObserverDatabase.content

        def counted(database: ObserverDatabase, number: int) -> tuple[bytes, bytes] | None:
            reads.append(number)
            return content(database, number)

        with monkeypatch.context() as disk:
            # The errors in the log are meant.
            disk.setattr(logging.getLogger("bridge.observers"), "disabled", True)
            disk.setattr(ObserverDatabase, "content", counted)
            disk.setattr(ObserverDatabase, "write", full)
            disk.setattr(ObserverDatabase, "_connect", full)
            await all_.start(2)
            await all_.until_healthy(lambda seen: "disk is full" in (seen["trouble"] or ""))
            await other.start()
            # What is in memory is sent, and the MeterValues is not passed over.
            await all_.until(lambda: len(all_.ids("ems")) == 1)
            await all_.until(lambda: len(reads) > 1)
            assert all_.ids("ems") == [("StartTransaction", None)]
        await all_.until(lambda: len(all_.ids("ems")) == 4)
        assert all_.ids("ems") == [
            ("StartTransaction", None),
            ("MeterValues", 5),
            ("StopTransaction", 5),
            ("StartTransaction", None),
        ]
        assert await all_.lost() == {}


async def test_an_observer_that_talks_nonsense_harms_nobody() -> None:
    """Broken frames, answers that are none, commands that do not exist, and answers to what was never asked."""
    async with RawCentralSystem() as raw, JsonCentralSystem() as main:
        made = told(("json", main), {"ems": ("json", main)}, {"ems": {"commands": ("*",)}})
        systems = made.central_systems | {"ems": CentralSystem(url=raw.url, reconnect_min=0.05)}
        async with running(msgspec.structs.replace(made, central_systems=systems)) as gateway:
            async with charge_point(gateway, ONE) as point:
                all_ = Watched(gateway, main, {}, point)
                await all_.boots()
                ems = await raw.connected()
                boot = await ems.receive()
                for frame in ("{", "[]", '[2,"1","NoSuchAction",{}]', '[2,"2","Reset",{"type":7}]', '[3,"x",{}]'):
                    await ems.send(frame)
                answers = [await ems.receive() for _ in range(3)]
                assert {answer[0] for answer in answers} == {4}
                await ems.send([3, boot[1], {"status": "Accepted", "currentTime": "yesterday", "interval": "soon"}])
                again = await ems.receive()
                assert again == boot  # once more, under the same UniqueId
                await ems.send([3, boot[1], {"status": "Accepted", "currentTime": AT, "interval": 300}])
                number = await all_.start()
                began = await ems.receive()
                await ems.send([3, began[1], {"transactionId": "none"}])
                began = await ems.receive()
                await ems.send([3, began[1], {"transactionId": 2**40, "idTagInfo": {"status": "Accepted"}}])
                await all_.stop(number)
                ended = await ems.receive()
                assert (ended[2], ended[3]["transactionId"]) == ("StopTransaction", 2**40)
                await ems.websocket.close()
                ems = await raw.connected()
                assert (await ems.receive())[2] == "BootNotification"
            assert all_.actions("main") == ["BootNotification", "StartTransaction", "StopTransaction"]
