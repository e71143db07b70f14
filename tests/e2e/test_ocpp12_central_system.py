"""A Central System that speaks OCPP 1.2: Charge Points of 1.2 are served, all others are told that they are not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from bridge.config import CentralSystem, Store
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.e2e.stage import AT, SAMPLES, address_of, dialled, running, settings
from tests.e2e.test_legacy import START, charge_point, leg, status, stop


async def test_a_charge_point_of_1_2_has_a_session_with_it() -> None:
    async with leg("1.2", "1.2") as scene:
        point, central = scene.charge_point, scene.central_system
        booted = await point.call("BootNotification", SAMPLES["BootNotification"])
        assert (booted["status"], booted["heartbeatInterval"]) == ("Accepted", 300)
        await point.call("StatusNotification", status("Occupied"))
        begun = await point.call("StartTransaction", START)
        values = [{"timestamp": AT, "value": 12500}]
        assert await point.call("MeterValues", {"connectorId": 1, "values": values}) == {}
        await point.call("StopTransaction", stop(begun["transactionId"]))
        assert [action for _, action, _ in central.received] == [
            "BootNotification",
            "StatusNotification",
            "StartTransaction",
            "MeterValues",
            "StopTransaction",
        ]
        assert await central.call("CP 1", "UnlockConnector", {"connectorId": 1}) == {"status": "Accepted"}
        assert point.received == [("UnlockConnector", {"connectorId": 1})]
        assert scene.violations() == []


async def test_quirk_73_its_answer_to_a_boot_notification_may_leave_out_the_time_and_the_interval() -> None:
    async with leg("1.2", "1.2") as scene:
        scene.central_system.behaviour["BootNotification"] = lambda _: {"status": "Accepted"}
        booted = await scene.charge_point.call("BootNotification", SAMPLES["BootNotification"])
        assert booted["status"] == "Accepted"
        assert scene.violations() == []


@pytest.mark.parametrize("version", ["1.6", "1.5"])
async def test_a_soap_charge_point_of_another_version_is_told_not_supported(version: str) -> None:
    async with leg("1.2", "1.2") as scene:
        async with charge_point(address_of(scene.gateway), version, "CP 2") as other:
            await refused(other, SAMPLES["BootNotification"])
        # Nor one that was updated since.
        await scene.charge_point.call("Heartbeat", {})
        async with charge_point(address_of(scene.gateway), version, scene.identity) as updated:
            await refused(updated, SAMPLES["BootNotification"])
        assert [(who, action) for who, action, _ in scene.central_system.received] == [("CP 1", "Heartbeat")]


async def refused(point: SoapChargePoint, boot: Payload) -> None:
    with pytest.raises(
        CallRefused, match=r"speaks OCPP 1\.2, and serves no Charge Point that speaks OCPP 1"
    ) as refusal:
        await point.call("BootNotification", boot)
    assert (refusal.value.code, refusal.value.subcode) == ("Receiver", "NotSupported")
    assert refusal.value.http_status == 500


async def test_a_json_charge_point_is_refused_at_the_handshake() -> None:
    async with leg("1.2", "1.2") as scene:
        with pytest.raises(InvalidStatus) as refusal:
            async with dialled(scene.gateway, "CP%202"):
                pass
        response = refusal.value.response
        assert response.status_code == 404
        assert b"speaks OCPP 1.2, and serves no Charge Point that speaks OCPP-J." in response.body
        assert scene.central_system.received == []


async def test_a_charge_point_of_another_version_is_not_taken_up_after_a_restart(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/"
    store = Store(url=f"sqlite:///{tmp_path}/b.db")
    before = msgspec.structs.replace(settings(url, central_system={"protocol": "ocpp1.5s"}), store=store)
    async with running(before) as gateway:
        for version in ("1.5", "1.2"):
            async with charge_point(address_of(gateway), version, f"CP {version}") as point:
                with pytest.raises(CallRefused):
                    await point.call("Heartbeat", {})
    systems = {"main": CentralSystem(url=url, protocol="ocpp1.2s")}
    async with running(msgspec.structs.replace(before, central_systems=systems)) as gateway:
        await gateway.resumed
        assert [runner.identity for runner in gateway._sessions] == ["CP 1.2"]
