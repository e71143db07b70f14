"""Quirk packs at work: from the BootNotification that one fits on, that message included, and after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bridge
from bridge.app import Gateway
from bridge.config import Match, Pack, Quirks, Settings, Store, load
from bridge.gateway.quirks import fitting, profile_of
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.ocpp.device_profile import Boot, DeviceProfile, Overlong
from tests.e2e.stage import (
    AT,
    CS,
    RawCentralSystem,
    answering,
    command,
    dialled,
    envelope,
    listening,
    logged,
    post,
    running,
    settings,
)

CONF = Path(bridge.__file__).parents[1] / "conf"
SHIPPED = load(CONF / "minimal.toml", {"OCPP_BRIDGE__GATEWAY__QUIRKS": str(CONF / "quirks")}).packs
LONG = {"chargePointSerialNumber": "3" * 26, "chargeBoxSerialNumber": "E" * 33}
EVLINK = {"chargePointVendor": "Schneider Electric", "chargePointModel": "EVlink Smart Wallbox"}


def boot(vendor: str = "Schneider Electric", model: str = "EVlink Smart Wallbox", space: str = CS) -> bytes:
    fields = {"chargePointVendor": vendor, "chargePointModel": model, **LONG, "firmwareVersion": "3.2.0.12"}
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
    return envelope(f'<bootNotificationRequest xmlns="{space}">{inside}</bootNotificationRequest>')


STATUS = envelope(
    f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId><status>Faulted</status>'
    f"<errorCode>OtherError</errorCode><info>{'i' * 51}</info></statusNotificationRequest>"
)


def with_packs(told: Settings, packs: tuple[Pack, ...] = SHIPPED, **tables: Any) -> Settings:
    return msgspec.structs.replace(told, packs=packs, **tables)


@asynccontextmanager
async def site(packs: tuple[Pack, ...] = SHIPPED, **tables: Any) -> AsyncIterator[tuple[JsonCentralSystem, Gateway]]:
    async with JsonCentralSystem() as central, running(with_packs(settings(central.url, **tables), packs)) as gateway:
        yield central, gateway
        assert central.violations == []


@pytest.mark.parametrize("space", [CS, "urn://Ocpp/Cs/2012/06/", "urn://Ocpp/Cs/2010/08/"])
async def test_schneider_evlink_serial_numbers_are_left_out_of_the_very_first_message(space: str) -> None:
    with logged() as lines:
        async with site() as (central, gateway):
            assert (await post(gateway, boot(space=space))).fault is None
            said = central.received[-1][2]
            assert said == {**EVLINK, "firmwareVersion": "3.2.0.12"}
            # ... and what follows is treated alike.
            await post(gateway, STATUS)
            assert "info" not in central.received[-1][2]
    assert any("treated" in line and "Schneider" in line and "overlong=drop" in line for line in lines)


async def test_who_is_something_else_is_treated_as_all() -> None:
    async with site() as (central, gateway):
        await post(gateway, STATUS)
        assert central.received[-1][2]["info"] == "i" * 50
        await post(gateway, boot(vendor="Somebody"))
        assert central.received[-1][2]["chargeBoxSerialNumber"] == "E" * 25
        # A new controller in an old box.
        await post(gateway, boot())
        assert "chargeBoxSerialNumber" not in central.received[-1][2]
        await post(gateway, boot(model="Another"))
        assert central.received[-1][2]["chargeBoxSerialNumber"] == "E" * 25


async def test_what_the_route_says_itself_counts_more() -> None:
    async with site(route={"overlong": "truncate"}) as (central, gateway):
        await post(gateway, boot())
        assert central.received[-1][2]["chargeBoxSerialNumber"] == "E" * 25


async def test_a_pack_holds_after_a_restart_and_when_the_configuration_is_read_again(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        store = Store(url=f"sqlite:///{tmp_path}/bridge.db")
        told = with_packs(settings(central.url), store=store)
        async with running(told) as gateway:
            await post(gateway, boot())
        async with running(told) as gateway:
            await post(gateway, STATUS)
            assert "info" not in central.received[-1][2]
            await gateway.reload(with_packs(told, ()))
            await post(gateway, STATUS)
            assert central.received[-1][2]["info"] == "i" * 50
            await gateway.reload(told)
            await post(gateway, STATUS)
            assert "info" not in central.received[-1][2]


@pytest.mark.parametrize(("packs", "left"), [(SHIPPED, {}), ((), {name: text[:25] for name, text in LONG.items()})])
async def test_a_json_charge_point_towards_a_soap_central_system(packs: tuple[Pack, ...], left: dict[str, str]) -> None:
    answer = f"<status>Accepted</status><currentTime>{AT}</currentTime><interval>300</interval>"
    respond = answering(f'<bootNotificationResponse xmlns="{CS}">{answer}</bootNotificationResponse>')
    async with listening(respond) as central:
        told = with_packs(settings(central.url, central_system={"protocol": "ocpp1.6s"}), packs)
        async with running(told) as gateway, dialled(gateway, "CP1") as point:
            result = await point.ask(command("BootNotification", {**EVLINK, **LONG}))
            assert result[0] == 3, result
        body = central.received[-1].decode()
        for name in LONG:
            assert (f"<c:{name}>{left[name]}</c:{name}>" in body) if name in left else (name not in body)


async def test_between_two_json_parties_nothing_is_touched() -> None:
    async with (
        RawCentralSystem() as central,
        running(with_packs(settings(central.url))) as gateway,
        dialled(gateway, "CP1") as point,
    ):
        far = await central.connected()
        await point.send(command("BootNotification", {**EVLINK, **LONG}))
        assert (await far.receive())[3] == {**EVLINK, **LONG}


# --- Which pack, and which of its keys ---


def pack(overlong: Any = None, celsius: Any = None, **match: str) -> Pack:
    return Pack(evidence="e", match=Match(**match), set=Quirks(overlong=overlong, celsius=celsius))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"vendor": "ACME*"}, True),
        ({"vendor": "acme"}, False),
        ({"vendor": "*gmbh", "model": "box-?"}, True),
        ({"vendor": "*gmbh", "model": "box"}, False),
        ({"firmware": "1.[0-4]*"}, True),
        ({"firmware": "2.*"}, False),
    ],
)
def test_a_pack_fits_by_all_its_globs(match: dict[str, str], fits: bool) -> None:
    said = Boot(vendor=" Acme GmbH", model="BOX-1", firmware="1.2.3")
    assert bool(fitting([pack("drop", **match)], said)) is fits
    assert fitting([pack("drop", **match)], None) == []


def test_of_each_key_the_first_that_says_something_counts() -> None:
    said = [Quirks(soap11="refuse"), Quirks(overlong="refuse"), Quirks(overlong="drop", celsius="Celcius")]
    assert profile_of(said) == DeviceProfile(overlong=Overlong.REFUSE, celsius="Celcius", answers_soap11=False)
    assert profile_of([]) == DeviceProfile()


def test_every_key_is_obeyed_by_a_field_of_the_profile() -> None:
    values = Quirks(
        overlong="drop",
        unknown_values="refuse",
        celsius="Celcius",
        assumed_zone="+01:00",
        must_understand=False,
        connection_per_call=False,
        close_after_answer=True,
        soap11="refuse",
        fractions=False,
        heartbeat_interval=True,
        prefix="ns1",
    )
    changed, plain = profile_of([values]), DeviceProfile()
    assert None not in (getattr(values, name) for name in Quirks.__struct_fields__)
    assert all(getattr(changed, name) != getattr(plain, name) for name in DeviceProfile.__struct_fields__)
    assert len(Quirks.__struct_fields__) == len(DeviceProfile.__struct_fields__)
