"""Who invents identities fills the table for nobody else; a whole fleet behind one address comes in at once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from bridge.config import ChargePoint, Store
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.store import Store as OpenStore
from bridge.store.records import ChargePointRecord
from tests.e2e.stage import CS, envelope, json_charge_point, post, running, settings

BOOT = (
    f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor>'
    "<chargePointModel>M</chargePointModel></bootNotificationRequest>"
)
STRANGER = "127.0.0.9"


async def test_of_one_address_only_so_many_that_nobody_accepted() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, limits={"new_identities_per_minute": 10})) as gateway,
    ):
        answers = [await post(gateway, envelope(identity=f"x{n}"), peer=STRANGER) for n in range(15)]
        assert [answer.status for answer in answers] == [200] * 10 + [503] * 5
        assert "new_identities_per_minute" in answers[-1].reason
        assert int(answers[-1].headers["Retry-After"]) > 0
        # Those that are known go on, and so do others.
        assert (await post(gateway, envelope(identity="x1"), peer=STRANGER)).status == 200
        assert (await post(gateway, envelope(identity="other"))).status == 200


async def test_a_fleet_behind_one_address_comes_in_at_once() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, limits={"new_identities_per_minute": 10})) as gateway,
    ):
        boots = [post(gateway, envelope(BOOT, identity=f"CP {number}"), peer=STRANGER) for number in range(100)]
        assert {answer.status for answer in await asyncio.gather(*boots)} == {200}
        for number in range(30):
            async with json_charge_point(gateway, f"J{number}") as point:
                answer = await point.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
                assert answer["status"] == "Accepted"


async def test_who_was_never_accepted_goes_first_when_the_table_is_full(tmp_path: Path) -> None:
    kept = Store(url=f"sqlite:///{tmp_path}/store.db")
    async with JsonCentralSystem() as central:
        told = msgspec.structs.replace(settings(central.url, limits={"charge_points": 20}), store=kept)
        async with running(told) as gateway:
            assert (await post(gateway, envelope(BOOT, identity="first"))).status == 200
            for number in range(40):
                assert (await post(gateway, envelope(identity=f"x{number}"), peer=STRANGER)).status == 200
            assert len(gateway._sessions) <= 20
            assert gateway._sessions.get("first") is not None
            assert gateway._sessions.get("x0") is None
            for number in range(19):
                answer = await post(gateway, envelope(BOOT, identity=f"CP {number}"))
                assert answer.status == 200
            # All have been accepted: there is nobody to go.
            assert (await post(gateway, envelope(identity="late"))).status == 503
        async with running(told) as gateway:  # and right after a restart, too
            await gateway.resumed
            assert gateway._persistence.count <= 20
            assert (await post(gateway, envelope(identity="CP 3"))).status == 200


async def test_who_went_is_gone_from_the_store_and_from_all_that_is_counted(tmp_path: Path) -> None:
    """As one that an operator removes."""
    file = tmp_path / "store.db"
    async with JsonCentralSystem() as central:
        told = settings(central.url, limits={"charge_points": 5})
        told = msgspec.structs.replace(told, store=Store(url=f"sqlite:///{file}"))
        async with running(told) as gateway:
            async with json_charge_point(gateway, "json stranger") as point:
                await point.call("Heartbeat", {})
                for number in range(30):
                    await post(gateway, envelope(identity=f"x{number}", source="http://127.0.0.1:1/"))
                await point.wait_closed()  # nobody is hung on that is not known
                assert point.close_code == 1012
            assert gateway._persistence.count == len(gateway._sessions) == 5
            assert len(gateway._call_counters._entries) <= 5
        with closing(sqlite3.connect(file)) as connection:
            rows = [identity for (identity,) in connection.execute("SELECT identity FROM charge_point")]
        assert sorted(rows) == [f"x{number}" for number in range(25, 30)]


async def test_the_limit_holds_before_anybody_is_served(tmp_path: Path) -> None:
    """Whatever an earlier bridge has left in the store. Whom the configuration names stays, and who was accepted."""
    kept = Store(url=f"sqlite:///{tmp_path}/store.db")
    store = OpenStore(kept.url)
    store.open()
    for number in range(100):
        identity = f"{('x', 'listed', 'moved', 'accepted')[number % 4 if number < 12 else 0]} {number}"
        record = ChargePointRecord(
            identity=identity,
            last_seen=number,
            transport="soap",
            version="1.6",
            central_system="main" if identity.startswith("moved") else None,
            boot_status="Accepted" if identity.startswith("accepted") else "Rejected",
        )
        store.put(record)
    store.close()
    async with JsonCentralSystem() as central:
        listed = {f"Listed {number}": ChargePoint() for number in range(100)}
        told = settings(central.url, limits={"charge_points": 20}, charge_points=listed)
        async with running(msgspec.structs.replace(told, store=kept)) as gateway:
            left = [record.identity for record in gateway._persistence.charge_points()]
            others = [identity for identity in left if not identity.startswith("x")]
            assert len(left) == 20 and len(others) == 9
            assert {f"x {number}" for number in range(89, 100)} == set(left) - set(others)
    async with JsonCentralSystem() as central:
        told = settings(central.url, limits={"charge_points": 3}, charge_points=listed)
        async with running(msgspec.structs.replace(told, store=kept)) as gateway:
            assert sorted(record.identity for record in gateway._persistence.charge_points()) == sorted(others)
            assert (await post(gateway, envelope(identity="x"))).status == 503
            assert (await post(gateway, envelope(identity="Listed 50"))).status == 200
