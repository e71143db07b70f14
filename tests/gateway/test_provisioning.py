"""Charge Points that are given settings are served by them at once, after a restart, and beside those of the file."""

from __future__ import annotations

import asyncio
import sqlite3
from base64 import b64encode
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import ChargePoint, Settings, Store
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused
from tests.admin.asked import Api, api_of
from tests.e2e.stage import (
    AT_MOST,
    RawCentralSystem,
    dialled,
    envelope,
    json_charge_point,
    logged,
    post,
    running,
    sender,
    settings,
)

ONE = "/charge-points/CP%201"
LISTED = {"accept": "listed"}


def basic(password: str, user: str = "CP 1") -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


async def beat(gateway: Gateway, password: str | None = None, identity: str = "CP 1") -> int:
    """The status of a Heartbeat over SOAP."""
    headers = {} if password is None else basic(password, identity)
    return (await post(gateway, envelope(identity=identity), headers=headers)).status


async def given(api: Api, body: dict[str, Any], path: str = ONE) -> None:
    assert (await api("PUT", path, body)).status == 200


def kept(folder: Path, table: Settings) -> Settings:
    return msgspec.structs.replace(table, store=Store(url=f"sqlite:///{folder}/bridge.db"))


async def test_one_that_nobody_listed_is_served_from_then_on_and_no_more_once_it_is_removed() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, route=LISTED)) as gateway,
        api_of(gateway) as api,
    ):
        refused = await post(gateway, envelope())
        assert refused.fault == sender("IdentityMismatch")
        with pytest.raises(ConnectionRefused) as refusal:
            await json_charge_point(gateway, "CP 1").start()
        assert refusal.value.status == HTTPStatus.NOT_FOUND
        await given(api, {})
        assert await beat(gateway) == 200
        async with json_charge_point(gateway, "cp 1") as point:
            await point.call("Heartbeat", {})
            assert (await api("DELETE", ONE)).status == 204
            await point.wait_closed()
        assert (await post(gateway, envelope())).fault == sender("IdentityMismatch")


async def test_a_password_is_asked_for_at_once_and_a_new_one_replaces_it() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        assert await beat(gateway) == 200
        await given(api, {"password": "one"})
        assert [await beat(gateway), await beat(gateway, "two"), await beat(gateway, "one")] == [401, 401, 200]
        async with dialled(gateway, headers=[*basic("one").items()]) as point:
            assert (await api("PATCH", ONE, {"password": "two"})).status == 200
            assert await point.ended() == (1012, "it belongs elsewhere now")
        assert await beat(gateway, "two") == 200
        assert (await api("PATCH", ONE, {"password": None})).status == 200
        assert await beat(gateway) == 200


async def test_settings_that_are_the_same_disturb_nobody() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        await given(api, {"password": "one"})
        async with dialled(gateway, headers=[*basic("one").items()]) as point:
            await given(api, {"password": "one"})
            await given(api, {"password": "x"}, "/charge-points/OTHER")
            octets = b"identity,password\nCP 1,one\n"
            answer = await api("POST", "/charge-points:import", octets, {"Content-Type": "text/csv"})
            assert answer.data["unchanged"] == 1
            assert (await point.ask([2, "1", "Heartbeat", {}]))[0] == 3


async def test_its_name_and_password_at_the_central_system() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        await given(api, {"central_system_identity": "NL 1", "central_system_password": "far"})
        async with dialled(gateway):
            await central.connected()
        (request,) = central.requests
        assert request.path == "/ocpp/NL%201"
        assert request.headers["Authorization"] == basic("far", "NL 1")["Authorization"]


async def test_a_token_in_the_address() -> None:
    token = "0123456789-0123456789-abc"
    table = settings("", route={"authentication": "token"})
    async with JsonCentralSystem() as central:
        main = msgspec.structs.replace(table.central_systems["main"], url=central.url)
        table = msgspec.structs.replace(table, central_systems={"main": main})
        async with running(table) as gateway, api_of(gateway) as api:
            await given(api, {"token": token})
            async with dialled(gateway, f"{token}/CP%201") as point:
                assert (await point.ask([2, "1", "Heartbeat", {}]))[0] == 3
            with pytest.raises(Exception, match="404"):
                async with dialled(gateway, token):  # in the place of an identity
                    pass


async def test_all_of_it_survives_a_restart(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        table = kept(tmp_path, settings(central.url, route=LISTED))
        async with running(table) as gateway, api_of(gateway) as api:
            await given(api, {"password": "one", "callback_url": "http://127.0.0.1:1/"})
            octets = b"identity,password\nCP 2,two\nCP 3,three\n"
            answer = await api("POST", "/charge-points:import", octets, {"Content-Type": "text/csv"})
            assert answer.data["kept"] is True
            assert (await api("DELETE", "/charge-points/CP%203")).status == 204
            before = (await api("GET", "/charge-points:export")).data
        async with running(table) as gateway, api_of(gateway) as api:
            assert [await beat(gateway, "one"), await beat(gateway)] == [200, 401]
            assert await beat(gateway, "two", "CP 2") == 200
            assert (await post(gateway, envelope(identity="CP 3"))).fault == sender("IdentityMismatch")
            assert (await api("GET", "/charge-points:export")).data == before


async def test_a_disk_that_takes_nothing_is_told_and_what_was_given_is_written_later(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        table = kept(tmp_path, settings(central.url, route=LISTED))
        async with running(table) as gateway, api_of(gateway) as api:
            with closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                octets = b"identity,password\nCP 1,one\nCP 2,two\n"
                answer = await api("POST", "/charge-points:import", octets, {"Content-Type": "text/csv"})
                assert (answer.status, answer.data["kept"]) == (200, False)
                assert await beat(gateway, "one") == 200
                other.execute("ROLLBACK")
        async with running(table) as gateway:
            assert [await beat(gateway, "one"), await beat(gateway, "two", "CP 2")] == [200, 200]


async def test_the_files_settings_hold_and_those_that_were_given_come_back_without_them(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        table = kept(tmp_path, settings(central.url, charge_points={"OTHER": ChargePoint()}))
        own = {"CP 1": msgspec.structs.replace(ChargePoint(), certificate_name="file")}
        with_own = msgspec.structs.replace(table, charge_points=own)
        async with running(table) as gateway, api_of(gateway) as api:
            assert await beat(gateway) == 200
            assert (await api.get(ONE))["settings"] is None
            await given(api, {"password": "one"})
            assert (await api.get(ONE))["settings"] == "api"
            assert await beat(gateway) == 401
            with logged() as lines:
                await gateway.reload(with_own)
            assert any("the configuration file has settings of it" in line and "CP 1" in line for line in lines)
            assert await beat(gateway) == 200
            assert (await api.get(f"{ONE}/settings"))["source"] == (await api.get(ONE))["settings"] == "file"
            assert (await api("PATCH", ONE, {})).status == 409
            await gateway.reload(table)
            assert [await beat(gateway), await beat(gateway, "one")] == [401, 200]
        async with running(with_own) as gateway, api_of(gateway) as api:
            assert await beat(gateway) == 200
            # What was given is removed with the Charge Point; what is in the file stays.
            assert (await api("DELETE", ONE)).status == 204
            assert (await api.get(f"{ONE}/settings"))["source"] == "file"
        async with running(table) as gateway:
            assert await beat(gateway) == 200


async def test_a_reload_keeps_what_was_given() -> None:
    async with JsonCentralSystem() as central:
        table = settings(central.url, route=LISTED)
        async with running(table) as gateway, api_of(gateway) as api:
            await given(api, {"password": "one"})
            assert await beat(gateway, "one") == 200
            async with dialled(gateway, headers=[*basic("one").items()]) as point:
                await gateway.reload(table)
                assert (await point.ask([2, "1", "Heartbeat", {}]))[0] == 3


async def test_each_of_an_imported_fleet_is_served_at_once() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, route=LISTED)) as gateway,
        api_of(gateway) as api,
    ):
        fleet = {f"CP {number:03}": "" if number % 10 else f"password {number}" for number in range(300)}
        rows = "".join(f"{identity},{password}\n" for identity, password in fleet.items())
        octets = f"identity,password\n{rows}".encode()
        answer = await api("POST", "/charge-points:import", octets, {"Content-Type": "text/csv"})
        assert answer.data["created"] == len(fleet)
        for identity, password in fleet.items():
            assert await beat(gateway, password or None, identity) == 200


async def test_changes_at_the_same_time_are_made_one_after_the_other() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        await given(api, {})
        rows = "".join(f"CP {number},x\n" for number in range(20))
        octets = f"identity,password\n{rows}".encode()
        answers = await asyncio.wait_for(
            asyncio.gather(
                api("POST", "/charge-points:import", octets, {"Content-Type": "text/csv"}),
                *(api("PATCH", ONE, {"networks": [f"10.0.{number}.0/24"]}) for number in range(5)),
                api("PATCH", ONE, {"certificate_name": "x"}),
                api("DELETE", "/charge-points/CP%202"),
            ),
            AT_MOST,
        )
        assert [answer.status for answer in answers[:-1]] == [200] * 7
        one = await api.get(f"{ONE}/settings")
        # Each change found the one before it.
        assert one["certificate_name"] == "x" and one["secrets"] == ["password"] and len(one["networks"]) == 1
