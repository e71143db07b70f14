"""The API says what a shadow's answers were like, who is ready, and why somebody is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import CentralSystem, FurtherCentralSystem, Route, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import Api, api_of
from tests.e2e.stage import envelope, json_charge_point, post, reachable, running, settings
from tests.gateway.test_readiness import ACCEPTED, REFUSED, TAG, answered, session

AFTER = 3
_NOBODY = "ws://127.0.0.1:1/"


def shadowed(url: str) -> Settings:
    """Charge Points whose identity begins with CP have a shadow, which nobody runs: the tests say what it answers."""
    systems = {
        "main": CentralSystem(url=url),
        "new": CentralSystem(url=_NOBODY, ready_after=AFTER),
        "ems": CentralSystem(url=_NOBODY),
    }
    also = (
        FurtherCentralSystem(central_system="new", role="shadow"),
        FurtherCentralSystem(central_system="ems", role="observer"),
    )
    routes = (
        Route(charge_point="CP*", central_system="main", also=also),
        Route(charge_point="*", central_system="main"),
    )
    return msgspec.structs.replace(settings(url, soap=reachable()), central_systems=systems, routes=routes)


@asynccontextmanager
async def compared(*identities: str) -> AsyncIterator[tuple[Gateway, Api]]:
    """A gateway that has heard of these Charge Points."""
    async with JsonCentralSystem() as central, running(shadowed(central.url)) as gateway, api_of(gateway) as api:
        for identity in identities:
            assert (await post(gateway, envelope(identity=identity))).status == 200
        yield gateway, api


def charge(gateway: Gateway, identity: str, *numbers: int, central_system: str = "new") -> None:
    """Sessions in which nothing differs."""
    for number in numbers:
        for fact in session(number, identity=identity, central_system=central_system):
            gateway._audience.see(fact)


def differ(gateway: Gateway, identity: str, central_system: str = "new") -> None:
    """A driver who would be refused."""
    gateway._audience.see(answered("Authorize", TAG, ACCEPTED, REFUSED, identity, central_system))


async def readiness(api: Api, query: str = "") -> Any:
    return await api.get(f"/central-systems/new/readiness{query}")


async def test_who_is_ready_and_why_somebody_is_not() -> None:
    async with compared("CP 1", "CP 2", "CP 3", "XY 1") as (gateway, api):
        charge(gateway, "CP 1", 1, 2, 3, 4)
        charge(gateway, "CP 2", 1, 2, 3)
        differ(gateway, "CP 2")
        charge(gateway, "CP 2", 4)
        told = await readiness(api)
        assert (told["ready"], told["why"]) == (False, "2 of 3 Charge Points are not ready")
        assert (told["charge_points"], told["ready_charge_points"], told["ready_after"]) == (3, 1, AFTER)
        assert (told["sessions"], told["days"]) == (8, 1)
        assert [(each["identity"], each["ready"], each["why"]) for each in told["items"]] == [
            ("CP 1", True, ""),
            (
                *("CP 2", False),
                "1 of 3 sessions without a difference that a driver feels, "
                "since Authorize idTagInfo.status was 'Accepted' and here 'Invalid'",
            ),
            ("CP 3", False, "no answer was compared yet"),
        ]
        one, two, three = told["items"]
        assert (one["clean_sessions"], one["last_difference"]) == (4, None)
        assert (two["sessions"], two["compared"], two["differing"]) == (4, 9, 1)
        assert (three["since"], three["days"]) == (None, 0)
        assert told["actions"] == [
            {
                "action": "Authorize",
                "compared": 1,
                "differing": 1,
                "fields": [
                    {"field": "idTagInfo.status", "count": 1},
                    {"field": "idTagInfo.parentIdTag", "count": 1},
                ],
            },
            {"action": "StartTransaction", "compared": 8, "differing": 0, "fields": []},
            {"action": "StopTransaction", "compared": 8, "differing": 0, "fields": []},
        ]
        example = next(each for each in told["examples"] if each["field"] == "idTagInfo.status")
        assert (example["identity"], example["main"], example["shadow"]) == ("CP 2", "'Accepted'", "'Invalid'")
        assert example["request"] == '{"idTag":"***"}'
        assert two["last_difference"] == example


async def test_only_those_that_fit_count() -> None:
    async with compared("CP 1", "CP 2", "CP 3") as (gateway, api):
        charge(gateway, "CP 1", 1, 2, 3)
        charge(gateway, "CP 2", 1)
        told = await readiness(api, "?identity=cp*1")
        assert (told["ready"], told["why"], told["charge_points"], told["sessions"]) == (True, "", 1, 3)
        told = await readiness(api, "?identity=XY*")
        assert (told["ready"], told["charge_points"]) == (False, 0)
        assert told["why"] == "no Charge Point whose Calls it gets was heard of, or none fits"
        told = await readiness(api, "?ready=false&limit=1")
        assert (told["charge_points"], told["total"]) == (3, 2)
        assert [each["identity"] for each in told["items"]] == ["CP 2"]
        told = await readiness(api, f"?ready=false&limit=1&cursor={quote(told['next'])}")
        assert [each["identity"] for each in told["items"]] == ["CP 3"] and told["next"] is None
        told = await readiness(api, "?ready=true")
        assert [each["identity"] for each in told["items"]] == ["CP 1"]


async def test_who_has_moved_there_does_not_count_any_more() -> None:
    async with compared("CP 1", "CP 2") as (gateway, api):
        charge(gateway, "CP 1", 1, 2, 3)
        assert (await api("PUT", "/charge-points/CP%202/route", {"central_system": "new"})).status == 200
        told = await readiness(api)
        assert (told["ready"], [each["identity"] for each in told["items"]]) == (True, ["CP 1"])
        assert (await api("DELETE", "/charge-points/CP%202")).status == 204
        assert (await api("DELETE", "/charge-points/CP%201")).status == 204
        told = await readiness(api)
        assert (told["charge_points"], told["sessions"], told["actions"], told["examples"]) == (0, 0, [], [])


async def test_more_is_expected_of_a_shadow_and_nobody_is_disconnected() -> None:
    async with compared() as (gateway, api), json_charge_point(gateway, "CP 1") as point:
        await point.call("Heartbeat", {})
        charge(gateway, "CP 1", 1, 2, 3)
        assert (await readiness(api))["ready"]
        told = gateway._settings
        more = msgspec.structs.replace(told.central_systems["new"], ready_after=AFTER + 1)
        await gateway.reload(msgspec.structs.replace(told, central_systems=told.central_systems | {"new": more}))
        assert (await readiness(api))["why"] == "1 of 1 Charge Points are not ready"
        main = msgspec.structs.replace(told.central_systems["main"], ready_after=1)
        before = gateway._sessions.get("CP 1")
        await gateway.reload(msgspec.structs.replace(told, central_systems=told.central_systems | {"main": main}))
        await point.call("Heartbeat", {})
        assert gateway._sessions.get("CP 1") is before


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("nowhere/readiness", 404, "no Central System of the configuration is called 'nowhere'"),
        ("main/readiness", 409, "the Central System 'main' is a shadow in no route: its answers are not compared"),
        ("ems/readiness", 409, "the Central System 'ems' is a shadow in no route"),
        ("new/readiness?ready=perhaps", 400, "Expected `bool | null`, got `str`"),
        ("new/readiness?limit=0", 400, "Expected `int` >= 1"),
        ("new/readiness?cursor=%21", 400, "this cursor is none of ours"),
    ],
)
async def test_what_cannot_be_told(path: str, status: int, detail: str) -> None:
    async with compared() as (_, api):
        answer = await api("GET", f"/central-systems/{path}")
        assert answer.status == status and detail in answer.data["detail"], answer


async def test_routes_say_who_is_a_shadow() -> None:
    async with compared() as (_, api):
        first, second = (await api.get("/routes"))["items"]
        assert first["also"] == [
            {"central_system": "new", "role": "shadow"},
            {"central_system": "ems", "role": "observer"},
        ]
        assert second["also"] == []
