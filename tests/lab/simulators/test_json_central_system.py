"""A simulated Central System over loopback: raw frames from a websockets client, and the `ocpp` library."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused, Payload, WireMessage
from bridge.net.tasks import Tasks

OCPP16 = [Subprotocol("ocpp1.6")]
METER_VALUES = {
    "connectorId": 1,
    "meterValue": [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "230.10"}]}],
}


async def ask(websocket: ClientConnection, unique_id: str, action: str, payload: Any) -> list[Any]:
    await websocket.send(json.dumps([2, unique_id, action, payload]))
    answer: list[Any] = json.loads(await websocket.recv())
    assert answer[1] == unique_id
    return answer


async def connected(
    talk: Callable[[JsonCentralSystem, ClientConnection], Coroutine[Any, Any, None]],
    central: JsonCentralSystem | None = None,
) -> JsonCentralSystem:
    """Run `talk` with a Central System and a raw client, CP1, connected to it; gives the former afterwards."""
    central = central or JsonCentralSystem()
    async with central, connect(f"{central.url}/CP1", subprotocols=OCPP16, proxy=None) as websocket:
        await talk(central, websocket)
    return central


async def test_every_action_of_a_charge_point_has_an_answer_that_fits_its_schema() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        central.blocked.add("thief")

        async def answer(action: str, payload: Payload) -> Payload:
            kind, _, result = await ask(websocket, action, action, payload)
            assert kind == 3
            assert isinstance(result, dict)
            return result

        boot = await answer("BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"})
        assert (boot["status"], boot["interval"]) == ("Accepted", 300)
        assert (await answer("Heartbeat", {}))["currentTime"].endswith("Z")
        assert await answer("Authorize", {"idTag": "driver"}) == {"idTagInfo": {"status": "Accepted"}}
        assert await answer("Authorize", {"idTag": "THIEF"}) == {"idTagInfo": {"status": "Invalid"}}
        started = {"connectorId": 1, "idTag": "driver", "meterStart": 0, "timestamp": "2026-01-02T03:04:05Z"}
        assert [(await answer("StartTransaction", started))["transactionId"] for _ in range(2)] == [1, 2]
        stopped = {"transactionId": 1, "meterStop": 1, "timestamp": "2026-01-02T03:04:05Z"}
        assert await answer("StopTransaction", stopped) == {}
        assert await answer("StopTransaction", stopped | {"idTag": "a"}) == {"idTagInfo": {"status": "Accepted"}}
        assert await answer("MeterValues", METER_VALUES) == {}
        status = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
        assert await answer("StatusNotification", status) == {}
        assert await answer("DiagnosticsStatusNotification", {"status": "Idle"}) == {}
        assert await answer("FirmwareStatusNotification", {"status": "Idle"}) == {}
        ours = {"vendorId": "ocpp-bridge.demo", "data": "x"}
        assert await answer("DataTransfer", ours) == {"status": "Accepted", "data": "x"}
        assert await answer("DataTransfer", {"vendorId": "x", "data": "x"}) == {"status": "UnknownVendorId"}

    central = await connected(talk)
    assert central.violations == []
    assert {action for _, action, _ in central.received} == set(central.behaviour)
    assert central.received[0][:2] == ("CP1", "BootNotification")


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Authorize", {}, "ProtocolError"),
        ("Authorize", {"idTag": 5}, "TypeConstraintViolation"),
        ("Authorize", None, "TypeConstraintViolation"),
        ("Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("Authorize", {"idTag": "x", "extra": 1}, "FormationViolation"),
        ("FirmwareStatusNotification", {"status": "Fine"}, "PropertyConstraintViolation"),
        (
            "StatusNotification",
            {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "2026-01-02T03:04:05"},
            "PropertyConstraintViolation",
        ),
    ],
)
async def test_a_call_against_its_schema_is_refused_and_written_down(action: str, payload: Any, code: str) -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        kind, _, found, _, details = await ask(websocket, "1", action, payload)
        assert (kind, found, details) == (4, code, {})

    central = await connected(talk)
    assert len(central.violations) == 1
    assert central.violations[0].startswith(f"CP1: {action}: {code}: $")
    assert central.received == []


async def test_an_action_without_a_behaviour_is_not_implemented() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        for action in ("LogStatusNotification", "VendorThing", "../Authorize"):
            kind, _, code, *_ = await ask(websocket, "1", action, {"status": "Idle"})
            assert (kind, code) == (4, "NotImplemented")
        central.behaviour["VendorThing"] = lambda request: request
        assert await ask(websocket, "1", "VendorThing", {"a": 1}) == [3, "1", {"a": 1}]

    assert (await connected(talk)).violations == []


async def test_refusals_and_failures_of_a_behaviour_are_call_errors() -> None:
    def refuse(_: Payload) -> Payload:
        raise CallRefused("SecurityError", "no", {"why": "so"})

    async def fail(_: Payload) -> Payload:
        raise KeyError("oops")

    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        central.behaviour |= {"Heartbeat": refuse, "Authorize": fail, "StopTransaction": lambda _: {"odd": 1}}
        assert await ask(websocket, "1", "Heartbeat", {}) == [4, "1", "SecurityError", "no", {"why": "so"}]
        assert (await ask(websocket, "2", "Authorize", {"idTag": "a"}))[2] == "InternalError"
        stop = {"transactionId": 1, "meterStop": 1, "timestamp": "2026-01-02T03:04:05Z"}
        assert await ask(websocket, "3", "StopTransaction", stop) == [3, "3", {"odd": 1}]

    failed, odd = (await connected(talk)).violations
    assert failed == "CP1: our own answer to Authorize: KeyError('oops')"
    assert odd.startswith("CP1: our own StopTransaction: FormationViolation")


async def test_what_is_no_frame_is_written_down_and_a_broken_call_is_refused() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        for text in ("junk", "{}", "[]", "[9]", '[3,"unknown",{}]', '[2,5,"Heartbeat",{}]', b"\x00"):
            await websocket.send(text)
        await websocket.send('[2,"short","Heartbeat"]')
        assert json.loads(await websocket.recv())[:3] == [4, "short", "FormationViolation"]
        assert (await ask(websocket, "1", "Heartbeat", {}))[0] == 3

    assert len((await connected(talk)).violations) == 8


async def test_a_second_call_before_the_answer_is_served_but_written_down() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        go = asyncio.Event()

        async def wait(_: Payload) -> Payload:
            await go.wait()
            return {"idTagInfo": {"status": "Accepted"}}

        central.behaviour["Authorize"] = wait
        await websocket.send('[2,"1","Authorize",{"idTag":"a"}]')
        assert (await ask(websocket, "2", "Heartbeat", {}))[0] == 3
        assert (await ask(websocket, "1", "Heartbeat", {}))[:3] == [4, "1", "GenericError"]
        go.set()
        assert json.loads(await websocket.recv())[:2] == [3, "1"]

    early, twice = (await connected(talk)).violations
    assert early == "CP1: Heartbeat was sent while another Call is unanswered"
    assert "UniqueId 1 is in progress" in twice


async def test_a_call_is_served_while_a_command_is_unanswered() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        await central.wait_for("CP1")
        async with asyncio.TaskGroup() as group:
            command = group.create_task(central.call("CP1", "RemoteStartTransaction", {"idTag": "a"}))
            _, unique_id, action, payload = json.loads(await websocket.recv())
            assert (len(unique_id), action, payload) == (36, "RemoteStartTransaction", {"idTag": "a"})
            assert (await ask(websocket, "1", "Authorize", {"idTag": "a"}))[0] == 3
            await websocket.send(json.dumps([3, unique_id, {"status": "Accepted"}]))
            assert await command == {"status": "Accepted"}

    assert (await connected(talk)).violations == []


async def test_a_command_that_gets_no_result_raises() -> None:
    async def answering(central: JsonCentralSystem, websocket: ClientConnection, answer: list[Any]) -> Payload:
        async with asyncio.TaskGroup() as group:
            command = group.create_task(central.call("CP1", "Reset", {"type": "Soft"}))
            _, unique_id, *_ = json.loads(await websocket.recv())
            await websocket.send(json.dumps([answer[0], unique_id, *answer[1:]]))
            await asyncio.wait([command])
        return command.result()

    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        await central.wait_for("CP1")
        with pytest.raises(ExceptionGroup) as group:
            await answering(central, websocket, [4, "NotSupported", "no", {"a": "b"}])
        [refused] = group.value.exceptions
        assert isinstance(refused, CallRefused)
        assert (refused.code, refused.description, refused.details) == ("NotSupported", "no", {"a": "b"})
        assert central.violations == []
        assert await answering(central, websocket, [3, {"status": "Perhaps"}]) == {"status": "Perhaps"}
        with pytest.raises(TimeoutError, match="Reset"):
            await central.call("CP1", "Reset", {"type": "Soft"}, timeout=0)
        with pytest.raises(ConnectionError):
            await central.call("CP2", "Reset", {"type": "Soft"})

    [violation] = (await connected(talk)).violations
    assert violation.startswith("CP1: answer to Reset: PropertyConstraintViolation")


async def test_a_command_ends_with_its_connection() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        await central.wait_for("CP1")
        async with asyncio.TaskGroup() as group:
            command = group.create_task(refused_connection(central))
            await websocket.recv()
            await websocket.close()
            assert await command
        await central.wait_gone("CP1")

    async def refused_connection(central: JsonCentralSystem) -> bool:
        with pytest.raises(ConnectionError):
            await central.call("CP1", "ClearCache", {})
        return True

    await connected(talk)


async def test_limits_with_one_digit_fit_and_those_with_two_do_not() -> None:
    def profile(limit: float) -> Payload:
        periods = [{"startPeriod": 0, "limit": limit}]
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": periods}
        return {
            "connectorId": 1,
            "csChargingProfiles": {
                "chargingProfileId": 1,
                "stackLevel": 0,
                "chargingProfilePurpose": "TxDefaultProfile",
                "chargingProfileKind": "Absolute",
                "chargingSchedule": schedule,
            },
        }

    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        await central.wait_for("CP1")
        for limit in (21.4, 6.55):
            with pytest.raises(TimeoutError):
                await central.call("CP1", "SetChargingProfile", profile(limit), timeout=0.01)
            assert f'"limit":{limit}' in await websocket.recv()

    [violation] = (await connected(talk)).violations
    assert "6.55" in violation


async def test_a_newer_connection_replaces_the_older() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        async with connect(f"{central.url}/CP1", subprotocols=OCPP16, proxy=None) as newer:
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000
            assert (await ask(newer, "1", "Heartbeat", {}))[0] == 3
            assert "CP1" in central.connections
        await central.wait_gone("CP1")

    await connected(talk)


async def status_of(central: JsonCentralSystem, path: str, authorization: bytes | None = None) -> int:
    """The HTTP status of a handshake."""
    headers = {} if authorization is None else {"Authorization": "Basic " + base64.b64encode(authorization).decode()}
    async with central:
        url = central.url.removesuffix("/ocpp") + path
        try:
            async with connect(url, subprotocols=OCPP16, additional_headers=headers, proxy=None):
                return 101
        except InvalidStatus as refused:
            if refused.response.status_code == 401:
                assert refused.response.headers["WWW-Authenticate"].startswith("Basic")
            return refused.response.status_code


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ocpp/CP1", 101),
        ("/ocpp/CP1?a=b", 101),
        ("/ocpp/RDAM%20%31", 101),
        ("/ocpp/RDAM%2520%31", 404),
        ("/ocpp/CP2", 404),
        ("/ocpp/%ff", 404),
        ("/ocpp/a/CP1", 404),
        ("/ocpp/", 404),
        ("/ocpp", 404),
        ("/CP1", 404),
    ],
)
async def test_only_known_identities_are_let_in(path: str, status: int) -> None:
    assert await status_of(JsonCentralSystem(known=["CP1", "RDAM 1"]), path) == status


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(b"a:b:se:cret", 101), (b"a:b:secret", 401), (b"CP1:se:cret", 401), (b"", 401), (None, 401)],
)
async def test_a_password_is_asked_for(authorization: bytes | None, status: int) -> None:
    assert await status_of(JsonCentralSystem(passwords={"a:b": "se:cret"}), "/ocpp/a:b", authorization) == status
    assert await status_of(JsonCentralSystem(passwords={"a:b": "se:cret"}), "/ocpp/CP1", b"CP1:se:cret") == 401


async def test_without_the_subprotocol_the_connection_is_made_and_closed() -> None:
    async with (
        JsonCentralSystem() as central,
        connect(f"{central.url}/CP1", subprotocols=[Subprotocol("ocpp1.5")], proxy=None) as websocket,
    ):
        assert websocket.subprotocol is None
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert central.connections == {}
        assert central.violations == ["CP1: does not offer ocpp1.6"]


async def test_the_observer_is_told_of_both_directions() -> None:
    told: list[WireMessage] = []

    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        await ask(websocket, "7", "Heartbeat", {})
        async with asyncio.TaskGroup() as group:
            command = group.create_task(central.call("CP1", "ClearCache", {}))
            _, unique_id, *_ = json.loads(await websocket.recv())
            await websocket.send(f'[3, "{unique_id}", {{"status": "Accepted"}}]')
            await command

    await connected(talk, JsonCentralSystem(observe=told.append))
    assert [(message.direction, message.kind, message.action) for message in told] == [
        ("received", "call", "Heartbeat"),
        ("sent", "result", "Heartbeat"),
        ("sent", "call", "ClearCache"),
        ("received", "result", "ClearCache"),
    ]
    assert told[0].text == '[2, "7", "Heartbeat", {}]'
    assert {message.party for message in told} == {"central_system"}
    assert [message.elapsed is None for message in told] == [True, True, True, False]


class LibraryChargePoint(ChargePoint):  # type: ignore[misc]
    """The `ocpp` library's own idea of a Charge Point."""

    @on(Action.reset)  # type: ignore[untyped-decorator]
    def on_reset(self, type: str) -> Any:
        return call_result.Reset(status="Accepted" if type == "Soft" else "Rejected")


async def test_the_ocpp_library_agrees() -> None:
    async def talk(central: JsonCentralSystem, websocket: ClientConnection) -> None:
        charge_point = LibraryChargePoint("CP1", websocket)
        tasks = Tasks()
        tasks.spawn(charge_point.start(), name="library")
        boot = await charge_point.call(call.BootNotification(charge_point_model="m", charge_point_vendor="v"))
        assert (boot.status, boot.interval) == ("Accepted", 42)
        start = call.StartTransaction(connector_id=1, id_tag="a", meter_start=0, timestamp="2026-01-02T03:04:05Z")
        assert (await charge_point.call(start)).transaction_id == 1
        await charge_point.call(call.MeterValues(connector_id=1, meter_value=METER_VALUES["meterValue"]))
        assert await central.call("CP1", "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        with pytest.raises(CallRefused, match=r"NotSupported|NotImplemented"):
            await central.call("CP1", "ClearCache", {})
        await tasks.close()

    central = await connected(talk, JsonCentralSystem(interval=42))
    assert central.violations == []
    assert central.received[2] == ("CP1", "MeterValues", METER_VALUES)
