"""A Central System gives its Charge Point a new AuthorizationKey through us: who is told, and what holds then."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from bridge import config
from bridge.app import Gateway
from bridge.config import ChargePoint, Secret, Settings
from tests.e2e.stage import (
    CP,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    listening,
    logged,
    post,
    reachable,
    running,
    settings,
    soap_central_system,
)

OLD, FAR, KEY = b"the old one", b"the far one", bytes(range(236, 256))
QUICK = {"reconnect_min": 0.05, "reconnect_max": 0.2}
OWN = {"password": Secret(OLD), "central_system_password": Secret(FAR)}


def told(url: str, store: str = "memory:", *, manage: bool = True, own: Any = None, **tables: Any) -> Settings:
    found = settings(
        url,
        gateway={"manage_authorization_key": manage},
        charge_points={"CP 1": ChargePoint(**(OWN if own is None else own))},
        **tables,
    )
    return msgspec.structs.replace(found, store=config.Store(url=store))


def basic(password: bytes) -> list[tuple[str, str]]:
    return [("Authorization", f"Basic {b64encode(b'CP 1:' + password).decode()}")]


async def status(gateway: Gateway, password: bytes) -> int:
    try:
        async with dialled(gateway, headers=basic(password)):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def change(
    gateway: Gateway, central: RawCentralSystem, answer: dict[str, str], key: str = "authorizationKEY"
) -> None:
    """The Central System sets a key, and the Charge Point answers."""
    payload = {"key": key, "value": KEY.hex()}
    async with dialled(gateway, headers=basic(OLD)) as point:
        link = await central.connected()
        await link.send([2, "1", "ChangeConfiguration", payload])
        call = await point.receive()
        assert call[3] == payload
        await point.send([3, call[1], answer])
        assert await link.receive() == [3, "1", answer]


def shown_to(central: RawCentralSystem) -> bytes:
    """The password of the latest handshake with the Central System."""
    header = central.requests[-1].headers["Authorization"]
    return b64decode(header.removeprefix("Basic ")).partition(b":")[2]


def warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if "AuthorizationKey" in line]


async def test_the_operator_is_told_what_is_stale() -> None:
    async with RawCentralSystem() as central, running(told(central.url, manage=False)) as gateway:
        with logged() as lines:
            await change(gateway, central, {"status": "Accepted"})
        near, far = warnings(lines)
        assert 'charge_points."CP 1".password' in near.replace("\\", "")
        assert 'charge_points."CP 1".central_system_password' in far.replace("\\", "")
        assert not any(KEY.hex() in line for line in lines)
        # Nothing changes by itself.
        assert [await status(gateway, KEY), await status(gateway, OLD)] == [401, 101]
        assert shown_to(central) == FAR


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ({"status": "Rejected"}, "AuthorizationKey"),
        ({"status": "NotSupported"}, "AuthorizationKey"),
        ({"status": "Accepted"}, "HeartbeatInterval"),
    ],
)
async def test_nobody_is_told_where_nothing_changed(answer: dict[str, str], key: str) -> None:
    async with RawCentralSystem() as central, running(told(central.url)) as gateway:
        with logged() as lines:
            await change(gateway, central, answer, key)
        assert warnings(lines) == []
        assert [await status(gateway, KEY), await status(gateway, OLD)] == [401, 101]


async def test_passwords_that_are_only_passed_on_are_not_ours() -> None:
    async with RawCentralSystem() as central, running(told(central.url, own={})) as gateway:
        with logged() as lines:
            await change(gateway, central, {"status": "Accepted"})
        assert warnings(lines) == []
        assert [await status(gateway, KEY), shown_to(central)] == [101, KEY]


@pytest.mark.parametrize("reading", [KEY, KEY.hex().encode()], ids=["octets", "text"])
async def test_a_new_key_takes_the_place_of_both_passwords_for_good(tmp_path: Path, reading: bytes) -> None:
    store = f"sqlite:///{tmp_path}/a.db"
    async with RawCentralSystem() as central:
        async with running(told(central.url, store)) as gateway:
            with logged() as lines:
                await change(gateway, central, {"status": "Accepted"})
            assert len(warnings(lines)) == 2
            assert [await status(gateway, OLD), await status(gateway, reading)] == [401, 101]
            assert shown_to(central) == KEY
        async with running(told(central.url, store)) as gateway:
            assert [await status(gateway, OLD), await status(gateway, reading)] == [401, 101]
            assert shown_to(central) == KEY
            # It has shown which reading it has: the other will do no more.
            other = {KEY: KEY.hex().encode(), KEY.hex().encode(): KEY}[reading]
            assert await status(gateway, other) == 401
        assert (tmp_path / "a.db").stat().st_mode & 0o077 == 0
        # An operator who says something else is right.
        newer = {"password": Secret(b"newer"), "central_system_password": Secret(b"farther")}
        async with running(told(central.url, store, own=newer)) as gateway:
            assert [await status(gateway, reading), await status(gateway, b"newer")] == [401, 101]
            assert shown_to(central) == b"farther"


async def test_until_the_charge_point_has_started_again_the_old_key_serves() -> None:
    async with RawCentralSystem() as central, running(told(central.url)) as gateway:
        await change(gateway, central, {"status": "RebootRequired"})
        assert [await status(gateway, OLD), await status(gateway, KEY)] == [101, 101]
        assert await status(gateway, OLD) == 401


async def test_a_central_system_that_takes_the_text_for_the_key_gets_that() -> None:
    async with RawCentralSystem() as central, running(told(central.url)) as gateway:
        await change(gateway, central, {"status": "Accepted"})
        central.refuse = HTTPStatus.UNAUTHORIZED
        assert await status(gateway, KEY) == 401
        central.refuse = None
        assert await status(gateway, KEY) == 101
        assert shown_to(central) == KEY.hex().encode()


@pytest.mark.parametrize("manage", [True, False])
async def test_a_soap_charge_point_of_a_json_central_system_has_one_too(manage: bool) -> None:
    """A translated leg: what it shows us over HTTP, and what we show in its name."""

    async def beat(gateway: Gateway, password: bytes, source: str | None = None) -> int:
        shown = dict(basic(password))
        return (await post(gateway, envelope(source=source), headers=shown)).status

    accepted = f'<changeConfigurationResponse xmlns="{CP}"><status>Accepted</status></changeConfigurationResponse>'
    async with (
        RawCentralSystem() as central,
        listening(answering(accepted)) as point,
        running(told(central.url, manage=manage, central_system=QUICK)) as gateway,
    ):
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(beat(gateway, OLD, point.url))
            link = await central.connected()
            await link.serve()
        assert asked.result() == 200
        with logged() as lines:
            setting = {"key": "AuthorizationKey", "value": KEY.hex()}
            assert await link.ask([2, "1", "ChangeConfiguration", setting]) == [3, "1", {"status": "Accepted"}]
        assert len(warnings(lines)) == 2
        wrong, right = (OLD, KEY) if manage else (KEY, OLD)
        assert await beat(gateway, wrong) == 401
        await link.websocket.close()
        async with asyncio.TaskGroup() as group:
            again = group.create_task(beat(gateway, right))
            await (await central.connected()).serve()
        assert again.result() == 200
        assert shown_to(central) == (KEY if manage else FAR)


async def test_a_newer_password_wins_after_a_reload_too() -> None:
    newer = {"password": Secret(b"newer"), "central_system_password": Secret(b"farther")}
    async with RawCentralSystem() as central, running(told(central.url)) as gateway:
        await change(gateway, central, {"status": "Accepted"})
        # Nothing new in it: the key still holds.
        await gateway.reload(told(central.url))
        assert [await status(gateway, OLD), await status(gateway, KEY)] == [401, 101]
        assert shown_to(central) == KEY
        with logged() as lines:
            await gateway.reload(told(central.url, own=newer))
            assert [await status(gateway, KEY), await status(gateway, b"newer")] == [401, 101]
        assert shown_to(central) == b"farther"
        assert sum("the configuration has a newer password" in line for line in lines) == 2
        # Nor does it come back with the old configuration.
        await gateway.reload(told(central.url))
        assert [await status(gateway, KEY), await status(gateway, OLD)] == [401, 101]


async def test_a_soap_central_system_changes_what_the_charge_point_shows() -> None:
    async with soap_central_system() as central:
        found = told(
            central.url,
            own={"password": Secret(OLD)},
            soap=reachable(),
            central_system={"protocol": "ocpp1.6s"},
        )
        async with running(found) as gateway:
            async with dialled(gateway, headers=basic(OLD)) as point:
                await point.ask([2, "1", "Heartbeat", {}])
                async with asyncio.TaskGroup() as group:
                    payload = {"key": "AuthorizationKey", "value": "a text"}
                    group.create_task(central.call("CP 1", "ChangeConfiguration", payload))
                    call = await point.receive()
                    await point.send([3, call[1], {"status": "Accepted"}])
            assert [await status(gateway, OLD), await status(gateway, b"a text")] == [401, 101]
