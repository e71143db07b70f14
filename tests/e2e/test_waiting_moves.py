"""A move waits until its Charge Point has no open transaction, and can be undone until then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import ChargePoint, Route, Settings
from bridge.core.moves import MoveTime
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.admin.asked import api_of
from tests.e2e.stage import AT_MOST, SAMPLES
from tests.e2e.test_former_central_systems import KINDS, ONE, Moving, moving, restarted

AVAILABLE = SAMPLES["StatusNotification"] | {"connectorId": 1, "status": "Available", "errorCode": "NoError"}


async def asked(stage: Moving, central_system: str = "new", **more: str) -> dict[str, Any]:
    """The answer to a move without a word on when: it waits."""
    async with api_of(stage.gateway) as api:
        answer = await api("PUT", f"{ONE}/route", {"central_system": central_system, **more})
        assert answer.status == 200, answer
        return dict(answer.data)


async def details(stage: Moving) -> dict[str, Any]:
    async with api_of(stage.gateway) as api:
        return dict(await api.get(ONE))


async def at(stage: Moving, central_system: str) -> None:
    """Wait until the Charge Point belongs to a Central System."""
    async with asyncio.timeout(AT_MOST), api_of(stage.gateway) as api:
        while (await api.get(ONE))["central_system"] != central_system:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)


async def came_back(stage: Moving) -> None:
    if stage.near == "json":
        await stage.comes_back()


@pytest.mark.parametrize("near", KINDS)
@pytest.mark.parametrize("old", KINDS)
async def test_a_move_waits_for_the_end_of_the_transaction(near: str, old: str) -> None:
    async with moving(near, old, "json") as stage:
        await stage.point.call("BootNotification", SAMPLES["BootNotification"])
        number = await stage.start(1)
        answer = await asked(stage)
        assert (answer["from"], answer["to"], answer["waits"]) == ("main", "new", True)
        one = await details(stage)
        assert (one["central_system"], one["moved"]) == ("main", False)
        waiting = one["waiting_move"]
        assert (waiting["central_system"], waiting["open_transactions"]) == ("new", 1)
        assert waiting["who"] == "127.0.0.1 (token)"
        await stage.meter(1, number)
        await stage.point.call("Authorize", SAMPLES["Authorize"])
        await stage.stop(number)
        await at(stage, "new")
        await came_back(stage)
        await stage.start(1)
        assert stage.ids("main") == [("MeterValues", 1), ("StopTransaction", 1)]
        assert len(stage.received("main", "Authorize")) == 1
        assert len(stage.received("new", "StartTransaction")) == 1
        assert (await details(stage))["waiting_move"] is None
        async with api_of(stage.gateway) as api:
            entries = [(each["what"], each["outcome"]) for each in (await api.get("/audit"))["items"]]
        assert entries == [
            ("move", "done: no transaction is open any more"),
            ("move", "waits until no transaction is open"),
        ]


async def test_available_on_the_connector_ends_the_wait() -> None:
    async with moving("soap", "json", "json") as stage:
        await stage.start(1)
        assert (await asked(stage))["waits"]
        await stage.point.call("StatusNotification", AVAILABLE | {"connectorId": 2})
        assert (await details(stage))["central_system"] == "main"
        await stage.point.call("StatusNotification", AVAILABLE)
        await at(stage, "new")


async def test_a_start_without_an_answer_is_waited_for() -> None:
    """The Central System may have begun a transaction for it."""
    async with moving("soap", "json", "json") as stage:
        out = asyncio.Event()

        async def silent(payload: Payload) -> Payload:
            out.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

        stage.systems["main"].behaviour["StartTransaction"] = silent
        async with asyncio.TaskGroup() as group:
            start = group.create_task(refused(stage.start(1)))
            await asyncio.wait_for(out.wait(), AT_MOST)
            assert (await asked(stage))["waits"]
            await stage.systems["main"].stop()
            await start
        one = await details(stage)
        assert (one["central_system"], one["waiting_move"]["open_transactions"]) == ("main", 1)


async def refused(call: Awaitable[object]) -> None:
    with pytest.raises(CallRefused):
        await call


async def test_nothing_is_waited_for_without_a_transaction_or_if_it_is_to_be_now() -> None:
    async with moving("soap", "json", "json") as stage:
        await stage.point.call("Heartbeat", {})
        assert not (await asked(stage))["waits"]
        assert (await details(stage))["central_system"] == "new"
        await stage.start(1)
        assert not (await asked(stage, "main", when="now"))["waits"]
        assert (await details(stage))["central_system"] == "main"


async def test_what_waits_is_undone_by_delete() -> None:
    async with moving("soap", "json", "json") as stage, api_of(stage.gateway) as api:
        number = await stage.start(1)
        await asked(stage)
        assert (await api("DELETE", f"{ONE}/route")).data["to"] == "main"
        assert (await details(stage))["waiting_move"] is None
        await stage.stop(number)
        await stage.point.call("Heartbeat", {})
        assert (await details(stage))["central_system"] == "main"


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    async with moving("soap", "json", "json", store=f"sqlite:///{tmp_path / 'bridge.db'}") as stage:
        await stage.point.call("BootNotification", SAMPLES["BootNotification"])
        number = await stage.start(1)
        await asked(stage)
        async with restarted(stage, stage.gateway._settings):
            assert (await details(stage))["waiting_move"]["open_transactions"] == 1
            await stage.stop(number)
            await at(stage, "new")
        async with restarted(stage, stage.gateway._settings):
            one = await details(stage)
            assert (one["central_system"], one["waiting_move"]) == ("new", None)


async def test_an_identity_that_was_never_seen_is_moved_before_it_comes() -> None:
    async with moving("soap", "json", "json") as stage:
        async with api_of(stage.gateway) as api:
            assert not (await api("PUT", f"{ONE}/route", {"central_system": "new"})).data["waits"]
            one = await api.get(ONE)
            assert (one["central_system"], one["last_seen"], one["moved"]) == ("new", None, True)
        await stage.point.call("Heartbeat", {})
        assert stage.received("new", "Heartbeat") and not stage.received("main", "Heartbeat")


async def test_no_route_takes_a_stranger() -> None:
    async with moving("soap", "json", "json") as stage:
        told = stage.gateway._settings
        routes = tuple(msgspec.structs.replace(route, accept="listed") for route in told.routes)
        listed = {"CP 1": ChargePoint()}
        await stage.gateway.reload(msgspec.structs.replace(told, routes=routes, charge_points=listed))
        async with api_of(stage.gateway) as api:
            answer = await api("PUT", "/charge-points/stranger/route", {"central_system": "new"})
            assert (answer.status, answer.data["detail"]) == (409, "no Route takes 'stranger'")
            assert (await api("DELETE", "/charge-points/stranger/route")).status == 404


def rerouted(gateway: Gateway, when: MoveTime) -> Settings:
    """The settings of the gateway, with a route to the other Central System."""
    told = gateway._settings
    return msgspec.structs.replace(
        told,
        routes=(Route(charge_point="*", central_system="new"),),
        gateway=msgspec.structs.replace(told.gateway, move_when=when),
    )


@pytest.mark.parametrize("near", KINDS)
async def test_a_changed_route_waits_as_well_if_that_is_configured(near: str) -> None:
    async with moving(near, "json", "json") as stage:
        number = await stage.start(1)
        await stage.gateway.reload(rerouted(stage.gateway, "idle"))
        one = await details(stage)
        assert (one["central_system"], one["waiting_move"]["central_system"]) == ("main", "new")
        assert one["waiting_move"]["who"] == "configuration"
        await stage.stop(number)
        await at(stage, "new")
        one = await details(stage)
        assert (one["moved"], one["waiting_move"]) == (False, None)


async def test_a_changed_route_holds_at_once_otherwise() -> None:
    async with moving("soap", "json", "json") as stage:
        await stage.start(1)
        await stage.gateway.reload(rerouted(stage.gateway, "now"))
        assert (await details(stage))["central_system"] == "new"
