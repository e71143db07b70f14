"""A TriggerMessage to a Charge Point whose OCPP version has none: what it said last, said again (`emulate_trigger`).

The `ocpp` package is the Central System and judges the frames; zeep is the Charge Point, on the WSDL of its version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.config import Store
from bridge.lab.simulators.wire import Payload
from tests.e2e.stage import AT, AT_MOST, SAMPLES, Leg, address_of, logged, running, settings, wire
from tests.e2e.test_legacy import JSON, STRICT, charge_point, leg, losses, status
from tests.e2e.test_legs import told

ON: dict[str, Any] = {"route": {"emulate_trigger": True}}
NOT_IMPLEMENTED = {"status": "NotImplemented"}
ACCEPTED = {"status": "Accepted"}
READINGS: Payload = {"1.5": [{"_value_1": "17.5", "unit": "kWh"}], "1.2": 17}


async def heard(scene: Leg, action: str, times: int) -> Callable[[], Any]:
    """Waits until the Central System has had so many more of `action`."""
    semaphore = asyncio.Semaphore(0)
    answer: Payload = {"currentTime": AT} if action == "Heartbeat" else {}
    if action == "BootNotification":
        answer = {"status": "Accepted", "currentTime": AT, "interval": 20}

    def told_again(_: Payload) -> Payload:
        semaphore.release()
        return answer

    scene.central_system.behaviour[action] = told_again

    async def waiting() -> list[Payload]:
        for _ in range(times):
            await asyncio.wait_for(semaphore.acquire(), AT_MOST)
        return [payload for _, name, payload in scene.central_system.received if name == action]

    return waiting


async def trigger(scene: Leg, what: str, **more: Any) -> Payload:
    answer: Payload = await scene.central_system.call(
        scene.identity, "TriggerMessage", {"requestedMessage": what} | more
    )
    return answer


@pytest.mark.parametrize("far", [JSON, "1.6"])
@pytest.mark.parametrize("near", ["1.5", "1.2"])
async def test_what_was_said_last_is_said_again(near: str, far: str) -> None:
    with logged() as lines:
        async with leg(near, far, **ON) as scene:
            point = scene.charge_point
            await scene.met()
            readings = {"connectorId": 2, "values": [{"timestamp": AT, "value": READINGS[near]}]}
            for action, payload in (
                ("BootNotification", SAMPLES["BootNotification"]),
                ("StatusNotification", status("Available")),
                ("StatusNotification", status("Unavailable", 2)),
                ("StatusNotification", status("Occupied")),
                ("FirmwareStatusNotification", {"status": "Installed"}),
                ("DiagnosticsStatusNotification", {"status": "Uploaded"}),
                ("MeterValues", readings),
            ):
                await point.call(action, payload)
            said = [(action, told(payload)) for _, action, payload in scene.central_system.received]
            point.received.clear()
            for action, times in (
                ("BootNotification", 1),
                ("Heartbeat", 1),
                ("FirmwareStatusNotification", 1),
                ("DiagnosticsStatusNotification", 1),
                ("MeterValues", 1),
                ("StatusNotification", 2),
            ):
                scene.central_system.received.clear()
                waiting = await heard(scene, action, times)
                assert await trigger(scene, action) == ACCEPTED
                last = [payload for name, payload in said if name == action][-times:]
                if times == 2:
                    assert [payload["connectorId"] for payload in last] in (["2", "1"], [2, 1])
                    last.reverse()  # the lowest connector first
                assert [told(payload) for payload in await waiting()] == last
            waiting = await heard(scene, "StatusNotification", 1)
            scene.central_system.received.clear()
            assert await trigger(scene, "StatusNotification", connectorId=2) == ACCEPTED
            assert [payload["status"] for payload in await waiting()] == ["Unavailable"]
            assert await trigger(scene, "MeterValues", connectorId=1) == NOT_IMPLEMENTED
            assert point.received == []
            assert scene.violations() == []
    again = [field for field, reason in losses(lines) if "last said is sent again" in reason]
    assert again == [
        "BootNotificationRequest",
        "HeartbeatRequest",
        "FirmwareStatusNotificationRequest",
        "DiagnosticsStatusNotificationRequest",
        "MeterValuesRequest",
        *["StatusNotificationRequest"] * 3,
    ]


@pytest.mark.parametrize("tables", [{}, STRICT])
async def test_it_is_off_by_default(tables: dict[str, Any]) -> None:
    async with leg("1.5", JSON, **tables) as scene:
        await scene.met()
        await scene.charge_point.call("StatusNotification", status("Available"))
        scene.forget()
        for what in ("StatusNotification", "Heartbeat"):
            assert await trigger(scene, what) == NOT_IMPLEMENTED
        await scene.charge_point.call("Heartbeat", {})
        assert [action for _, action, _ in scene.central_system.received] == ["Heartbeat"]


async def test_a_charge_point_of_1_6_is_asked_itself() -> None:
    async with leg("1.6", JSON, **ON) as scene:
        await scene.met()
        scene.forget()
        scene.charge_point.behaviour["TriggerMessage"] = lambda _: NOT_IMPLEMENTED
        assert await trigger(scene, "Heartbeat") == NOT_IMPLEMENTED
        assert scene.charge_point.received == [("TriggerMessage", {"requestedMessage": "Heartbeat"})]
        await scene.charge_point.call("Authorize", wire_of("Authorize"))
        assert [action for _, action, _ in scene.central_system.received] == ["Authorize"]


def wire_of(action: str) -> Payload:
    sample: Any = SAMPLES[action]
    return wire(sample) if isinstance(sample, msgspec.Struct) else sample


async def test_after_a_restart_only_the_last_boot_notification_is_known(tmp_path: Path) -> None:
    async with leg("1.5", JSON, **ON) as scene:
        central = scene.central_system
        told_ = msgspec.structs.replace(
            settings(central.url, **ON),
            store=Store(url=f"sqlite:///{tmp_path}/b.db"),
        )
        for restarted in (False, True):
            async with (
                running(told_) as gateway,
                charge_point(address_of(gateway), "1.5", "CP 2") as point,
            ):
                again = Leg(identity="CP 2", gateway=gateway, central_system=central, charge_point=point)
                if not restarted:
                    await point.call("BootNotification", SAMPLES["BootNotification"])
                    await point.call("StatusNotification", status("Available"))
                    continue
                await again.met()
                central.received.clear()
                waiting = await heard(again, "BootNotification", 1)
                assert await trigger(again, "StatusNotification") == NOT_IMPLEMENTED
                assert await trigger(again, "BootNotification") == ACCEPTED
                assert [told(payload) for payload in await waiting()] == [told(wire_of("BootNotification"))]
        assert scene.violations() == []
