"""Policies over real sockets: on every leg and for every version, tolerant and strict; after a move; at a reload."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.config import Policy
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.admin.asked import api_of
from tests.e2e.processes import Bridge
from tests.e2e.stage import (
    AT,
    COMMANDS,
    SAMPLES,
    Connection,
    Leg,
    RawCentralSystem,
    dialled,
    running,
    settings,
)
from tests.e2e.test_former_central_systems import LEGS as MOVES
from tests.e2e.test_former_central_systems import moving
from tests.e2e.test_legacy import JSON, leg

# A version of OCPP-S, or JSON: the Charge Point's, then the Central System's.
LEGS = [
    ("1.6", JSON),
    (JSON, "1.6"),
    ("1.6", "1.6"),
    (JSON, JSON),
    ("1.5", JSON),
    (JSON, "1.5"),
    ("1.5", "1.5"),
    ("1.2", JSON),
    ("1.2", "1.2"),
]
BLOCKED = {"idTagInfo": {"status": "Blocked"}}


def from_charge_point(action: str, do: str, **keys: Any) -> Policy:
    return Policy(sender="charge_point", action=action, do=do, **keys)  # type: ignore[arg-type]


def from_central_system(action: str, do: str, **keys: Any) -> Policy:
    return Policy(sender="central_system", action=action, do=do, **keys)  # type: ignore[arg-type]


@pytest.fixture(params=["tolerant", "strict"])
def tolerance(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def scene(near: str, far: str, tolerance: str, *policies: Policy) -> AsyncIterator[Leg]:
    """A leg on which the Central System can command the Charge Point."""
    async with leg(near, far, policies=policies, route={"tolerance": tolerance}) as made:
        await made.met()
        made.forget()
        yield made


async def losses(made: Leg) -> dict[tuple[str, str], int]:
    """The Losses that were counted, by message and field."""
    async with api_of(made.gateway) as api:
        text = (await api("GET", "//metrics")).data.decode()
    found: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        if line.startswith("ocpp_bridge_losses_total{"):
            labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split(","))
            found[labels["message"].strip('"'), labels["field"].strip('"')] = int(float(line.rsplit(" ", 1)[1]))
    return found


def names(spoken: str, error: CallRefused) -> str:
    """The code that a party reads."""
    return str(error.code if spoken == JSON else error.subcode)


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_an_answer_goes_to_the_sender_and_nothing_to_the_other_party(near: str, far: str, tolerance: str) -> None:
    policies = (
        from_charge_point("Authorize", "answer", answer=BLOCKED),
        from_central_system("Reset", "answer", answer={"status": "Rejected"}),
    )
    async with scene(near, far, tolerance, *policies) as made:
        told = await made.charge_point.call("Authorize", SAMPLES["Authorize"])
        assert told["idTagInfo"]["status"] == "Blocked"
        assert await made.central_system.call(made.identity, "Reset", COMMANDS["Reset"]) == {"status": "Rejected"}
        assert (made.central_system.received, made.charge_point.received) == ([], [])
        counted = await losses(made)
        assert counted[("AuthorizeRequest", "")] == counted[("ResetRequest", "")] == 1
        assert made.violations() == []


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_a_refusal_is_told_in_the_senders_protocol(near: str, far: str, tolerance: str) -> None:
    policies = (
        from_charge_point("Authorize", "refuse", code="SecurityError"),
        from_central_system("ClearCache", "refuse"),
    )
    async with scene(near, far, tolerance, *policies) as made:
        with pytest.raises(CallRefused) as by_charge_point:
            await made.charge_point.call("Authorize", SAMPLES["Authorize"])
        with pytest.raises(CallRefused) as by_central_system:
            await made.central_system.call(made.identity, "ClearCache", {})
        assert names(near, by_charge_point.value) == "SecurityError"
        assert names(far, by_central_system.value) == "NotSupported"
        assert "a policy of the gateway refuses this message" in by_charge_point.value.description
        assert (made.central_system.received, made.charge_point.received) == ([], [])
        counted = await losses(made)
        assert counted[("AuthorizeRequest", "")] == counted[("ClearCacheRequest", "")] == 1
        assert made.violations() == []


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_a_message_goes_on_without_an_optional_field(near: str, far: str, tolerance: str) -> None:
    policies = (
        from_charge_point("BootNotification", "drop_field", field="iccid"),
        from_central_system("RemoteStartTransaction", "drop_field", field="connectorId"),
    )
    boot = {"chargePointVendor": "v", "chargePointModel": "m", "iccid": "8931", "imsi": "2040"}
    async with scene(near, far, tolerance, *policies) as made:
        await made.charge_point.call("BootNotification", boot)
        start = {"connectorId": 1, "idTag": "DRIVER-1"}
        answered = await made.central_system.call(made.identity, "RemoteStartTransaction", start)
        assert answered == {"status": "Accepted"}
        [(_, _, told)] = made.central_system.received
        assert told == {name: value for name, value in boot.items() if name != "iccid"}
        assert made.charge_point.received == [("RemoteStartTransaction", {"idTag": "DRIVER-1"})]
        counted = await losses(made)
        assert counted[("BootNotificationRequest", "iccid")] == 1
        assert counted[("RemoteStartTransactionRequest", "connectorId")] == 1
        # A message without the field loses nothing.
        await made.charge_point.call("BootNotification", told)
        assert (await losses(made))[("BootNotificationRequest", "iccid")] == 1
        assert made.violations() == []


async def test_a_body_that_passes_unchanged_loses_a_field_of_its_list_and_nothing_else(tolerance: str) -> None:
    """OCPP 1.5 to 1.5 (quirk 72)."""
    policies = (
        from_charge_point("MeterValues", "drop_field", field="meterValue.sampledValue.context"),
        from_charge_point("StopTransaction", "drop_field", field="transactionData"),
    )
    samples: list[Payload] = [
        {"_value_1": "1.50", "unit": "kWh", "context": "Sample.Clock"},
        {"_value_1": "16", "unit": "Amp"},
    ]
    values = [{"timestamp": AT, "value": samples}]
    stop = {"transactionId": 1, "timestamp": AT, "meterStop": 3}
    async with scene("1.5", "1.5", tolerance, *policies) as made:
        await made.charge_point.call("MeterValues", {"connectorId": 1, "values": values})
        await made.charge_point.call("StopTransaction", stop | {"transactionData": [{"values": values}] * 2})
        samples[0].pop("context")
        assert made.central_system.received == [
            ("CP 1", "MeterValues", {"connectorId": 1, "values": values}),
            ("CP 1", "StopTransaction", stop),
        ]
        counted = await losses(made)
        assert counted["MeterValuesRequest", "meterValue.sampledValue.context"] == 1
        assert counted["StopTransactionRequest", "transactionData"] == 1
        assert made.violations() == []


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_a_delayed_message_arrives(near: str, far: str, tolerance: str) -> None:
    policies = (
        from_charge_point("Authorize", "delay", seconds=0.05),
        from_central_system("Reset", "delay", seconds=0.05),
    )
    async with scene(near, far, tolerance, *policies) as made:
        told, _ = await asyncio.gather(
            made.charge_point.call("Authorize", SAMPLES["Authorize"]),
            made.central_system.call(made.identity, "Reset", COMMANDS["Reset"]),
        )
        assert told["idTagInfo"]["status"] == "Accepted"
        assert [action for _, action, _ in made.central_system.received] == ["Authorize"]
        assert [action for action, _ in made.charge_point.received] == ["Reset"]
        counted = await losses(made)
        assert counted[("AuthorizeRequest", "")] == counted[("ResetRequest", "")] == 1
        assert made.violations() == []


# JSON to JSON.


@asynccontextmanager
async def relay(*policies: Policy, **tables: Any) -> AsyncIterator[tuple[Connection, Connection]]:
    """The two ends of a gateway between two JSON parties: the Charge Point's, and the Central System's."""
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, policies=policies, **tables)) as gateway,
        dialled(gateway) as point,
    ):
        yield point, await central.connected()


async def test_messages_of_one_sender_stay_in_order() -> None:
    async with relay(from_charge_point("Authorize", "delay", seconds=0.2)) as (point, central):
        for number, action in enumerate(("Authorize", "Heartbeat", "Authorize", "DataTransfer")):
            await point.send([2, str(number), action, {}])
        heard = [(await central.serve({}))[2] for _ in range(4)]
        assert heard == ["Authorize", "Heartbeat", "Authorize", "DataTransfer"]
        assert [(await point.receive())[1] for _ in range(4)] == ["0", "1", "2", "3"]


async def test_a_charge_point_that_hangs_up_takes_its_delayed_message_with_it() -> None:
    policy = from_charge_point("StopTransaction", "delay", seconds=25)
    async with RawCentralSystem() as central, running(settings(central.url, policies=[policy])) as gateway:
        async with dialled(gateway) as point:
            first = await central.connected()
            await point.send([2, "1", "StopTransaction", SAMPLES["StopTransaction"]])
            await point.websocket.ping()
        await first.ended()
        async with dialled(gateway) as point:
            second = await central.connected()
            await point.send([2, "2", "Heartbeat", {}])
            assert (await second.serve())[2] == "Heartbeat"  # it waits behind nothing


async def test_delayed_messages_count_among_those_that_wait() -> None:
    policy = from_charge_point("Authorize", "delay", seconds=25)
    async with relay(policy, limits={"waiting_per_charge_point": 2}) as (point, _):
        for number in range(3):
            await point.send([2, str(number), "Authorize", SAMPLES["Authorize"]])
        refused = await point.receive()
        assert refused[:3] == [4, "2", "InternalError"]
        assert "limits.waiting_per_charge_point" in refused[3]


async def test_only_what_a_policy_changes_is_opened() -> None:
    policies = (
        from_charge_point("MeterValues", "drop_field", field="meterValue.sampledValue.context"),
        from_charge_point("SignCertificate", "refuse"),
    )
    sample = '{ "value":"1", "context":"Other" , "x":1.50}'
    request = f'{{"connectorId" : 1,"meterValue":[{{"timestamp":"{AT}" , "sampledValue":[{sample}]}}]}}'
    changed = f'{{"connectorId":1,"meterValue":[{{"timestamp":"{AT}","sampledValue":[{{"value":"1","x":1.50}}]}}]}}'
    async with relay(*policies) as (point, central):
        for action, sent, arrived in (
            ("DataTransfer", request, request),
            ("MeterValues", request, changed),
            ("MeterValues", '{ "meterValue" : 7 }', '{ "meterValue" : 7 }'),
            ("MeterValues", "null", "null"),
        ):
            await point.send(f'[2,"1","{action}",{sent}]')
            text = await central.text()
            assert text.endswith(f',"{action}",{arrived}]')
            await central.send([3, json.loads(text)[1], {}])
            assert await point.receive() == [3, "1", {}]
        assert (await point.ask([2, "2", "SignCertificate", {"csr": "x"}]))[:3] == [4, "2", "NotSupported"]


async def test_the_time_in_an_answer_is_the_present_time() -> None:
    async with relay(from_charge_point("Heartbeat", "answer", answer={})) as (point, _):
        [_, _, first] = await point.ask([2, "1", "Heartbeat", {}])
        [_, _, second] = await point.ask([2, "2", "Heartbeat", {}])
        assert AT < first["currentTime"] <= second["currentTime"]


async def test_an_operators_command_is_not_subject_to_policies() -> None:
    async with (
        scene(JSON, JSON, "tolerant", from_central_system("Reset", "refuse")) as made,
        api_of(made.gateway) as api,
    ):
        told = await api("POST", "/charge-points/CP 1/calls", {"action": "Reset", "payload": COMMANDS["Reset"]})
        assert told.data["payload"] == {"status": "Accepted"}
        assert [action for action, _ in made.charge_point.received] == ["Reset"]


# After a move (design/central-systems.md M1).


@pytest.mark.parametrize(("near", "old", "new"), MOVES)
async def test_each_central_system_has_its_own_policies_after_a_move(near: str, old: str, new: str) -> None:
    policies = (
        from_charge_point("StopTransaction", "drop_field", central_system="main", field="reason"),
        from_charge_point("StatusNotification", "answer", central_system="main", answer={}),
        from_central_system("RemoteStopTransaction", "answer", central_system="main", answer={"status": "Rejected"}),
    )
    async with moving(near, old, new, policies=policies) as scene:
        first = await scene.start(1)
        await scene.move("new")
        second = await scene.start(2)
        if old == JSON:
            told = await scene.commanded("main", "RemoteStopTransaction", {"transactionId": first})
            assert told == {"status": "Rejected"}
            assert scene.point.received == []
        status = SAMPLES["StatusNotification"] | {"status": "Charging"}
        await scene.point.call("StatusNotification", status)
        for number in (first, second):
            stop = {"transactionId": number, "timestamp": AT, "meterStop": 12680, "reason": "Local"}
            await scene.point.call("StopTransaction", stop)
        [(_, told)] = scene.received("main", "StopTransaction", "StatusNotification")
        assert "reason" not in told
        assert scene.received("new", "StatusNotification")[-1][1]["status"] == "Charging"
        [(_, told)] = scene.received("new", "StopTransaction")
        assert told["reason"] == "Local"


# SIGHUP.


async def test_policies_are_taken_over_and_nobody_is_disconnected(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central, Bridge(tmp_path, {"main": {"url": central.url}}) as bridge:
        file = tmp_path / "bridge.toml"
        before = file.read_text()
        async with JsonChargePoint(url=bridge.websocket_url, identity="CP 1") as point:

            async def asked() -> Any:
                return (await point.call("Authorize", SAMPLES["Authorize"]))["idTagInfo"]["status"]

            assert await asked() == "Accepted"
            answer = 'answer = { idTagInfo = { status = "Blocked" } }'
            told = f'[[policies]]\nfrom = "charge_point"\naction = "Authorize"\ndo = "answer"\n{answer}\n'
            file.write_text(before + told)
            await bridge.reload()
            assert bridge.lines[-1].rstrip().endswith("moved=0")
            assert await asked() == "Blocked"
            file.write_text(before + told.replace("Blocked", "Nobody"))
            bridge.told(signal.SIGHUP)
            assert "policies[0].answer" in await bridge.says("configuration not taken over")
            assert await asked() == "Blocked"
            file.write_text(before)
            await bridge.reload()
            assert await asked() == "Accepted"
            assert point.close_code is None
            assert len(central.received) == 2
            assert not any("needs a restart" in line or "next start" in line for line in bridge.lines)
