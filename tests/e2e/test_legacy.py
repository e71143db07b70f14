"""OCPP 1.5 and 1.2 over real sockets: every message, both ways, and what they say otherwise.

zeep reads and writes by the official WSDL of the version (ours where that is not at hand), the `ocpp` package by its
JSON schemas, and each objects to what does not fit. That the rules are right is shown message by message in
tests/dialects; here, that they are what crosses the wires, and nothing else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from lxml import etree

from bridge.config import Store
from bridge.dialects.versions import DIALECTS
from bridge.errors import MessageError
from bridge.lab.simulators import envelope
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party
from bridge.ocpp.rpc import CallError
from bridge.ocpp.shapes import TEXT
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpps import wsdl
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion
from tests.dialects import strategies
from tests.dialects.strategies import SERVICES, codec
from tests.e2e.stage import (
    AT,
    COMMANDS,
    PATH,
    SAMPLES,
    Backstage,
    Leg,
    address_of,
    answering,
    json_charge_point,
    listening,
    logged,
    post,
    reachable,
    running,
    settings,
    wire,
)
from tests.e2e.stage import envelope as soap_request
from tests.e2e.test_legs import told
from tests.ocpp.strategies import payloads
from tests.reference import OFFICIAL_WSDL

JSON = "json"
CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
PDU = tuple[Party, str, bool]
# The Charge Point's, then the Central System's: a version of OCPP-S, or JSON. How many examples of each message.
LEGS = {
    ("1.5", JSON): 8,
    ("1.2", JSON): 8,
    ("1.5", "1.6"): 3,
    ("1.2", "1.6"): 3,
    (JSON, "1.5"): 8,
    ("1.6", "1.5"): 2,
    ("1.5", "1.5"): 3,
    ("1.2", "1.5"): 2,
    ("1.2", "1.2"): 3,
}
# A StartTransaction or StopTransaction that is sent again is answered from memory (rule 68): no two are alike here.
_meter = count()


# The parties


def folder(version: str) -> Path:
    name = wsdl.folder_name(version)
    return OFFICIAL_WSDL / name if OFFICIAL_WSDL.is_dir() else wsdl.folder_of(version)


def charge_point(gateway_url: str, version: str, identity: str = "CP 1", **options: Any) -> SoapChargePoint:
    """On zeep."""
    return SoapChargePoint(
        url=gateway_url, identity=identity, wsdl=folder(version), protocol=f"ocpp{version}s", **options
    )


@asynccontextmanager
async def leg(near: str, far: str, identity: str = "CP 1", **tables: Any) -> AsyncIterator[Leg]:
    """A gateway between a Charge Point and a Central System."""
    central = JsonCentralSystem() if far == JSON else SoapCentralSystem(wsdl=folder(far), protocol=f"ocpp{far}s")
    async with AsyncExitStack() as held:
        await held.enter_async_context(central)
        protocol = {"protocol": "ocpp1.6j" if far == JSON else f"ocpp{far}s"}
        told_ = {"soap": reachable(), "central_system": protocol} | tables
        gateway = await held.enter_async_context(running(settings(central.url, **told_)))
        point: JsonChargePoint | SoapChargePoint
        if near == JSON:
            point = json_charge_point(gateway, identity)
        else:
            point = charge_point(address_of(gateway), near, identity)
        await held.enter_async_context(point)
        yield Leg(identity=identity, gateway=gateway, central_system=central, charge_point=point)


# Every message: what a party draws, how it is understood, and what another party hears of it


def drawn(spoken: str, pdu: PDU) -> SearchStrategy[Any]:
    """A message as a party that speaks `spoken` may send it."""
    action = ACTIONS[pdu[1]]
    if spoken in (JSON, "1.6"):
        return payloads(action.request if pdu[2] else action.response).map(fresh)
    return strategies.data(spoken, pdu).map(fresh)


def fresh(message: Any) -> Any:
    """As nobody has sent it yet."""
    for name in ("meterStart", "meterStop"):
        if isinstance(message, dict) and name in message:
            return message | {name: str(next(_meter))}
        if not isinstance(message, dict) and hasattr(message, name):
            return msgspec.structs.replace(message, **{name: next(_meter)})
    return message


def payload_of(message: Any) -> Payload:
    """For the simulators."""
    return for_zeep(message) if isinstance(message, dict) else wire(message)


def for_zeep(value: Any) -> Any:
    if isinstance(value, dict):
        return {"_value_1" if name == TEXT else name: for_zeep(inner) for name, inner in value.items()}
    return [for_zeep(inner) for inner in value] if isinstance(value, list) else value


def understood(spoken: str, pdu: PDU, message: Any) -> Any:
    """In the words of 1.6; None for what says nothing there."""
    if not isinstance(message, dict):
        return message
    caller, action, is_request = pdu
    body = strategies.body(spoken, pdu, message)
    opened = Envelope(soap=SoapVersion.V12, identity="", addressing=Addressing(), body=body)
    if is_request:
        payload = codec(spoken, caller).read_call(opened, "", strict=False).payload
        return None if nothing_left(payload) else payload
    answer = codec(spoken, caller).read_answer(opened, action, "", strict=False)
    assert not isinstance(answer, CallError)
    return answer.payload


def as_it_came(spoken: str, pdu: PDU, message: Any) -> Any:
    """What a simulator makes of the message itself: between two parties of one older version it passes."""
    caller = pdu[0]
    root = etree.Element(f"{{{envelope.ENV}}}Envelope")
    etree.SubElement(root, f"{{{envelope.ENV}}}Body").append(strategies.body(spoken, pdu, message))
    service = envelope.load(folder(spoken) / f"{SERVICES[caller]}.wsdl")
    return told(service.decode(root).payload, empty=False)


def heard(spoken: str, pdu: PDU, payload: Any) -> Any:
    """What a simulator that speaks `spoken` makes of it."""
    caller, action, is_request = pdu
    if spoken == JSON:
        return told(wire(payload))
    chosen = codec(spoken, caller)
    write: Any = chosen.write_call if is_request else chosen.write_result
    body, _ = write(payload, action)
    root = etree.Element(f"{{{envelope.ENV}}}Envelope")
    etree.SubElement(root, f"{{{envelope.ENV}}}Body").append(etree.fromstring(body))
    service = envelope.load(folder(spoken) / f"{SERVICES[caller]}.wsdl")
    return told(service.decode(root).payload, empty=False)


def walks() -> Iterator[Any]:
    for (near, far), many in LEGS.items():
        for action in ACTIONS.values():
            for party in sorted(action.senders):
                asker, asked = (near, far) if party is CP else (far, near)
                if asker == JSON or action.name in strategies.service(asker, party).operations:
                    name = f"{near} to {far}, {action.name} from the {party.value.replace('_', ' ')}"
                    yield pytest.param((near, far), party, action.name, asker, asked, many, id=name)


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as thread:
        yield thread


@pytest.fixture(scope="module")
def scenes(backstage: Backstage) -> Iterator[Any]:
    """A gateway for each leg, opened when it is first wanted."""
    held = AsyncExitStack()

    async def open_(near: str, far: str) -> Leg:
        # What is inferred has tests of its own: here it would come between the messages.
        scene = await held.enter_async_context(leg(near, far, "RDAM 123", route={"infer_status": False}))
        await scene.met()
        return scene

    yield cache(lambda near, far: backstage.run(open_(near, far)))
    backstage.run(held.aclose())


async def asked_for(scene: Leg, party: Party, action: str, request: Payload, answer: Payload | None) -> Any:
    """What came back; a refusal as its code."""
    await scene.met()  # its Link may have been closed: an arbitrary heartbeat interval
    scene.forget()
    table = (scene.central_system if party is CP else scene.charge_point).behaviour
    if answer is None:
        table.pop(action, None)
    else:
        table[action] = lambda _: answer
    try:
        if party is CP:
            return await scene.charge_point.call(action, request)
        return await scene.central_system.call(scene.identity, action, request)
    except CallRefused as refusal:
        return refusal.subcode or refusal.code


@pytest.mark.parametrize(("legs", "party", "action", "asker", "asked", "many"), [*walks()])
def test_what_arrives_is_what_was_sent_in_the_words_of_the_version(
    backstage: Backstage,
    scenes: Any,
    legs: tuple[str, str],
    party: Party,
    action: str,
    asker: str,
    asked: str,
    many: int,
) -> None:
    scene: Leg = scenes(*legs)
    request_pdu, answer_pdu = (party, action, True), (party, action, False)
    carried = asked == JSON or action in strategies.service(asked, party).operations
    passes = asker == asked and asker in ("1.5", "1.2")

    @examples(max_examples=many)
    @given(drawn(asker, request_pdu), drawn(asked, answer_pdu) if carried else st.none())
    def walk(request: Any, answer: Any) -> None:
        meant = understood(asker, request_pdu, request)
        instead = None if meant is None or asked == JSON or passes else DIALECTS[asked].instead(action, meant)
        sent = meant is not None and instead is None
        given_back = payload_of(answer) if sent else None
        got = backstage.run(asked_for(scene, party, action, payload_of(request), given_back))
        received = (scene.central_system if party is CP else scene.charge_point).received
        if sent:
            [(*_, name, payload)] = received
            assert name == action
            if passes:
                assert told(payload, empty=False) == as_it_came(asker, request_pdu, request)
                assert told(got, empty=False) == as_it_came(asked, answer_pdu, answer)
            else:
                compare(request, told(payload, empty=asked == JSON), heard(asked, request_pdu, meant))
                answered = understood(asked, answer_pdu, answer)
                assert told(got, empty=asker == JSON) == heard(asker, answer_pdu, answered)
        else:
            assert received == []
            if instead is None:
                assert got == {}
            else:
                assert not isinstance(instead.answer, MessageError)
                assert told(got, empty=asker == JSON) == heard(asker, answer_pdu, instead.answer)
        assert scene.violations() == []

    walk()


def compare(request: Any, received: Any, expected: Any) -> None:
    """What Occupied becomes depends on what was before."""
    if isinstance(request, dict) and request.get("status") == "Occupied" and request.get("connectorId") != "0":
        assert received.pop("status") in ("Preparing", "Charging", "Finishing", "Occupied")
        expected.pop("status")
    assert received == expected


def test_every_message_of_both_versions_walks() -> None:
    walked = {(legs[0], party, action) for legs, party, action, *_ in (param.values for param in walks())}
    for version in ("1.5", "1.2"):
        up = {action for near, party, action in walked if near == version and party is CP}
        assert up == set(strategies.service(version, CP).operations)
        down = {action for near, party, action in walked if near == version and party is CS}
        assert down == {name for name, action in ACTIONS.items() if CS in action.senders}
    counts = {
        version: [len(strategies.service(version, caller).operations) for caller in (CP, CS)] for version in LACKING
    }
    assert counts == {"1.5": [10, 15], "1.2": [9, 9]}


# A session


def status(word: str, connector: int = 1, **more: Any) -> Payload:
    return {"connectorId": connector, "status": word, "errorCode": "NoError"} | more


START: Payload = {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": AT, "meterStart": 1}


def stop(transaction: int, **more: Any) -> Payload:
    return {"transactionId": transaction, "timestamp": AT, "meterStop": 2} | more


async def said_of(scene: Leg, payload: Payload) -> str:
    """The status that the Central System is told."""
    await scene.charge_point.call("StatusNotification", payload)
    return str(scene.central_system.received[-1][2]["status"])


@pytest.mark.parametrize("far", [JSON, "1.6"])
@pytest.mark.parametrize("near", ["1.5", "1.2"])
async def test_occupied_is_told_apart_by_the_transactions_on_the_connector(near: str, far: str) -> None:
    async with leg(near, far) as scene:
        assert await said_of(scene, status("Available")) == "Available"
        assert await said_of(scene, status("Occupied")) == "Preparing"
        begun = await scene.charge_point.call("StartTransaction", START)
        assert await said_of(scene, status("Occupied")) == "Charging"
        assert await said_of(scene, status("Faulted")) == "Faulted"
        assert await said_of(scene, status("Occupied")) == "Charging"
        assert await said_of(scene, status("Occupied", connector=2)) == "Preparing"
        assert await said_of(scene, status("Occupied", connector=0)) == "Available"
        await scene.charge_point.call("StopTransaction", stop(begun["transactionId"]))
        assert await said_of(scene, status("Occupied")) == "Finishing"
        assert await said_of(scene, status("Occupied")) == "Finishing"
        assert await said_of(scene, status("Available")) == "Available"
        assert await said_of(scene, status("Occupied")) == "Preparing"
        # A stop that was missed is made up for.
        await scene.charge_point.call("StartTransaction", START | {"meterStart": 5})
        assert await said_of(scene, status("Occupied")) == "Charging"
        assert await said_of(scene, status("Unavailable")) == "Unavailable"
        assert await said_of(scene, status("Occupied")) == "Preparing"
        assert scene.violations() == []


@pytest.mark.parametrize("far", [JSON, "1.6"])
@pytest.mark.parametrize("near", ["1.5", "1.2"])
async def test_quirk_70_a_session_reads_available_preparing_charging_finishing_available(near: str, far: str) -> None:
    with logged() as lines:
        async with leg(near, far) as scene:
            point, central = scene.charge_point, scene.central_system
            await point.call("StatusNotification", status("Available", connector=0))
            await point.call("StatusNotification", status("Available"))
            await point.call("StatusNotification", status("Occupied"))
            begun = await point.call("StartTransaction", START)
            await point.call("Heartbeat", {})
            await point.call("StopTransaction", stop(begun["transactionId"]))
            await point.call("Heartbeat", {})
            await point.call("StatusNotification", status("Available"))
            assert [
                payload["status"] if action == "StatusNotification" else action
                for _, action, payload in central.received
                if payload.get("connectorId") != 0
            ] == [
                *("Available", "Preparing", "StartTransaction", "Charging", "Heartbeat"),
                *("StopTransaction", "Finishing", "Heartbeat", "Available"),
            ]
            inferred = {"connectorId": 1, "status": "Charging", "errorCode": "NoError", "timestamp": AT}
            assert [payload for *_, payload in central.received if payload.get("status") == "Charging"] == [inferred]
            assert scene.violations() == []
    sent = "Charging or Finishing is sent in the name of a Charge Point that only says Occupied"
    assert sum(sent in line and " loss " in line for line in lines) == 2


@pytest.mark.parametrize("answer", ["refused", "never"])
async def test_a_central_system_that_does_not_take_what_was_inferred_disturbs_nothing(answer: str) -> None:
    async def refuse(payload: Payload) -> Payload:
        if payload["status"] not in ("Charging", "Finishing"):
            return {}
        if answer == "never":
            await asyncio.Event().wait()
        raise CallRefused("NotSupported")

    async with leg("1.5", JSON) as scene:
        point = scene.charge_point
        scene.central_system.behaviour["StatusNotification"] = refuse
        await point.call("StatusNotification", status("Occupied"))
        begun = await point.call("StartTransaction", START)
        assert (await point.call("Heartbeat", {}))["currentTime"]
        assert await point.call("StopTransaction", stop(begun["transactionId"], idTag="DRIVER-1"))
        assert [action for _, action, _ in scene.central_system.received[:5]] == [
            *("StatusNotification", "StartTransaction", "StatusNotification", "Heartbeat", "StopTransaction"),
        ]


@pytest.mark.parametrize("route", [{"infer_status": False}, {}])
@pytest.mark.parametrize(("near", "far"), [("1.5", JSON), ("1.6", JSON), ("1.5", "1.5")])
async def test_nothing_is_inferred_where_it_is_off_or_of_no_use(near: str, far: str, route: Payload) -> None:
    if (near, far) == ("1.5", JSON) and not route:
        return  # the one that infers
    async with leg(near, far, route=route) as scene:
        point = scene.charge_point
        await point.call("StatusNotification", status("Preparing" if near == "1.6" else "Occupied"))
        begun = await point.call("StartTransaction", START)
        await point.call("StopTransaction", stop(begun["transactionId"]))
        await point.call("Heartbeat", {})
        assert [action for _, action, _ in scene.central_system.received] == [
            *("StatusNotification", "StartTransaction", "StopTransaction", "Heartbeat"),
        ]


async def test_a_restart_in_the_middle_of_a_transaction_forgets_no_connector(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        store = Store(url=f"sqlite:///{tmp_path}/b.db")
        told_ = msgspec.structs.replace(settings(central.url), store=store)
        for restarted in (False, True):
            async with running(told_) as gateway, charge_point(address_of(gateway), "1.5") as point:
                scene = Leg(identity="CP 1", gateway=gateway, central_system=central, charge_point=point)
                if not restarted:
                    second = START | {"connectorId": 2, "meterStart": 9}
                    transactions = [
                        (await point.call("StartTransaction", start))["transactionId"] for start in (START, second)
                    ]
                    await point.call("StopTransaction", stop(transactions[1]))
                assert await said_of(scene, status("Occupied")) == "Charging"
                assert await said_of(scene, status("Occupied", connector=2)) == "Finishing"
                assert await said_of(scene, status("Occupied", connector=3)) == "Preparing"
                if restarted:
                    await point.call("StopTransaction", stop(transactions[0], meterStop=99))
                    await point.call("Heartbeat", {})
                    assert [payload.get("status") for *_, payload in central.received][-2:] == ["Finishing", None]
                    assert await said_of(scene, status("Occupied")) == "Finishing"
        assert central.violations == []


async def test_meter_values_of_1_5_are_texts_with_attributes_and_arrive_as_sampled_values() -> None:
    values = [
        {"_value_1": "12500", "context": "Sample.Clock", "format": "Raw", "location": "Outlet", "unit": "Wh"},
        {"_value_1": "230.10", "measurand": "Voltage", "unit": "Volt"},
        {"_value_1": "-16.0", "measurand": "Current.Import", "unit": "Amp"},
    ]
    sampled = [
        {"value": "12500", "context": "Sample.Clock", "format": "Raw", "location": "Outlet", "unit": "Wh"},
        {"value": "230.10", "measurand": "Voltage", "unit": "V"},
        {"value": "-16.0", "measurand": "Current.Import", "unit": "A"},
    ]
    async with leg("1.5", JSON) as scene:
        point, central = scene.charge_point, scene.central_system
        await point.call(
            "MeterValues", {"connectorId": 1, "transactionId": 7, "values": [{"timestamp": AT, "value": values}]}
        )
        [(_, _, received)] = central.received
        assert received == {
            "connectorId": 1,
            "transactionId": 7,
            "meterValue": [{"timestamp": AT, "sampledValue": sampled}],
        }
        central.received.clear()
        one, two = ({"timestamp": AT, "value": [value]} for value in values[:2])
        await point.call("StopTransaction", stop(7, transactionData=[{"values": [one, two]}, {"values": [one]}]))
        [(_, _, received)] = central.received
        assert received["transactionData"] == [
            {"timestamp": AT, "sampledValue": [sample]} for sample in (sampled[0], sampled[1], sampled[0])
        ]
        # What says nothing has no form in 1.6, and is answered here.
        central.received.clear()
        assert await point.call("MeterValues", {"connectorId": 1, "values": []}) == {}
        assert central.received == []
        assert scene.violations() == []


async def test_meter_values_of_1_2_are_one_number_and_nothing_is_added_to_it() -> None:
    async with leg("1.2", JSON) as scene:
        await scene.charge_point.call("MeterValues", {"connectorId": 1, "values": [{"timestamp": AT, "value": 12500}]})
        assert scene.central_system.received[-1][2] == {
            "connectorId": 1,
            "meterValue": [{"timestamp": AT, "sampledValue": [{"value": "12500"}]}],
        }
        assert scene.violations() == []


async def test_the_readings_of_a_json_charge_point_that_1_5_has_no_words_for_are_dropped_and_told() -> None:
    samples = [
        {"value": "1.5", "unit": "kWh", "phase": "L1"},
        {"value": "80", "measurand": "SoC", "unit": "Percent", "location": "EV"},
        {"value": "16", "measurand": "Current.Import", "unit": "A"},
    ]
    readings = {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": samples}]}

    async def walk(lines: list[str]) -> None:
        async with leg(JSON, "1.5") as scene:
            await scene.charge_point.call("MeterValues", readings)
            [(_, _, payload)] = scene.central_system.received
            values = [{"_value_1": "1.5", "unit": "kWh"}, {"_value_1": "16", "unit": "Amp"}]
            [reading] = payload["values"]
            told_ = [{name: value[name] for name in ("_value_1", "unit")} for value in reading["value"]]
            assert told_ == values
            # Nothing is left of it: the Central System is not asked.
            scene.central_system.received.clear()
            only = {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": samples[1:2]}]}
            assert await scene.charge_point.call("MeterValues", only) == {}
            assert scene.central_system.received == []
            assert scene.violations() == []
        assert losses(lines) == [
            ("MeterValuesRequest.meterValue[0].sampledValue[0].phase", "a field, or a value of it"),
            ("MeterValuesRequest.meterValue[0].sampledValue[1].measurand", "a measured value that"),
            ("MeterValuesRequest", "a message that"),
        ]

    with logged() as lines:
        await walk(lines)


async def test_a_central_system_of_1_5_that_says_pending_or_has_no_reason_to_hear() -> None:
    """Both directions of the same dialect, in one session."""
    async with leg(JSON, "1.5") as scene:
        point, central = scene.charge_point, scene.central_system
        central.behaviour["BootNotification"] = lambda _: {
            "status": "Accepted",
            "currentTime": AT,
            "heartbeatInterval": 60,
        }
        booted = await point.call("BootNotification", SAMPLES["BootNotification"])
        assert booted == {"status": "Accepted", "currentTime": AT, "interval": 60}
        for word in ("Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"):
            assert await said_of(scene, status(word)) == "Occupied"
        begun = await point.call("StartTransaction", START)
        await point.call("StopTransaction", stop(begun["transactionId"], reason="EVDisconnected"))
        assert "reason" not in central.received[-1][2]
        central.received.clear()
        for word in ("Idle", "Downloading", "Installing"):
            assert await point.call("FirmwareStatusNotification", {"status": word}) == {}
        assert central.received == []
        await central.wait_for(scene.identity)
        unlocked = await central.call(scene.identity, "UnlockConnector", {"connectorId": 1})
        assert unlocked == {"status": "Accepted"}
        entries = [{"idTag": "A", "idTagInfo": {"status": "Accepted"}}]
        about = {"updateType": "Full", "listVersion": 4}
        await central.call(scene.identity, "SendLocalList", about | {"localAuthorisationList": entries})
        assert point.received[-1] == ("SendLocalList", about | {"localAuthorizationList": entries})
        assert scene.violations() == []


# Commands


# soap-wire 5.2: what a command to a Charge Point that lacks it is answered.
LACKING_IN_BOTH: dict[str, Payload] = {
    "ClearChargingProfile": {"status": "Unknown"},
    "GetCompositeSchedule": {"status": "Rejected"},
    "SetChargingProfile": {"status": "NotSupported"},
    "TriggerMessage": {"status": "NotImplemented"},
}
LACKING: dict[str, dict[str, Payload]] = {
    "1.5": LACKING_IN_BOTH,
    "1.2": LACKING_IN_BOTH
    | {
        "CancelReservation": {"status": "Rejected"},
        "DataTransfer": {"status": "Rejected"},
        "GetConfiguration": {},
        "GetLocalListVersion": {"listVersion": -1},
        "ReserveNow": {"status": "Rejected"},
        "SendLocalList": {"status": "NotSupported"},
    },
}


@pytest.mark.parametrize("far", [JSON, "1.6"])
@pytest.mark.parametrize("near", ["1.5", "1.2"])
async def test_a_command_that_the_version_lacks_is_answered_and_never_sent(near: str, far: str) -> None:
    async def walk(lines: list[str]) -> None:
        async with leg(near, far) as scene:
            await scene.met()
            scene.forget()
            for action, answer in LACKING[near].items():
                assert await scene.central_system.call(scene.identity, action, COMMANDS[action]) == answer
            if near == "1.2":
                asked = {"key": ["HeartbeatInterval", "other"]}
                answered = await scene.central_system.call(scene.identity, "GetConfiguration", asked)
                assert answered == {"unknownKey": asked["key"]}
            assert scene.charge_point.received == []
            for action in COMMANDS.keys() - LACKING[near].keys():
                await scene.central_system.call(scene.identity, action, COMMANDS[action])
            assert {action for action, _ in scene.charge_point.received} == COMMANDS.keys() - LACKING[near].keys()
            assert scene.violations() == []
        lacked = [field.removesuffix("Request") for field, reason in losses(lines) if reason == "a message that"]
        assert set(lacked) == LACKING[near].keys()

    with logged() as lines:
        await walk(lines)


async def test_an_action_of_the_security_extensions_is_not_supported() -> None:
    async with leg("1.5", JSON) as scene:
        await scene.met()
        assert "GetLog" in SECURITY_EXTENSIONS
        with pytest.raises(CallRefused, match="NotSupported"):
            await scene.central_system.call(scene.identity, "GetLog", {"logType": "DiagnosticsLog"})
        assert scene.charge_point.received == []


@pytest.mark.parametrize(
    ("action", "said", "told_"),
    [
        ("UnlockConnector", {"status": "Accepted"}, {"status": "Unlocked"}),
        ("UnlockConnector", {"status": "Rejected"}, {"status": "UnlockFailed"}),
        ("SendLocalList", {"status": "HashError", "hash": "x"}, {"status": "Failed"}),
    ],
)
async def test_answers_in_other_words(action: str, said: Payload, told_: Payload) -> None:
    async with leg("1.5", JSON) as scene:
        await scene.met()
        scene.charge_point.behaviour[action] = lambda _: said
        assert await scene.central_system.call(scene.identity, action, COMMANDS[action]) == told_
        assert scene.violations() == []


async def test_pending_is_rejected_and_keeps_its_interval() -> None:
    async with leg("1.5", JSON) as scene:
        answer = {"status": "Pending", "currentTime": AT, "interval": 20}
        scene.central_system.behaviour["BootNotification"] = lambda _: answer
        booted = await scene.charge_point.call("BootNotification", SAMPLES["BootNotification"])
        assert booted == {"status": "Rejected", "currentTime": AT, "heartbeatInterval": 20}
        assert scene.violations() == []


# One address


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", PATH.lower(), f"{PATH}/1.5"])
async def test_one_address_serves_all_versions(path: str) -> None:
    async with leg("1.6", JSON, "CP 1.6") as scene:
        host, port = scene.gateway.soap_address
        central = scene.central_system
        for version in ("1.6", "1.5", "1.2"):
            identity = f"CP {version}"
            async with charge_point(f"http://{host}:{port}{path}", version, identity) as point:
                booted = await point.call("BootNotification", SAMPLES["BootNotification"])
                assert booted["status"] == "Accepted"
                await central.wait_for(identity)
                await central.call(identity, "Reset", {"type": "Soft"})
                assert point.received == [("Reset", {"type": "Soft"})]
                assert point.violations == []
        assert [identity for identity, *_ in central.received] == ["CP 1.6", "CP 1.5", "CP 1.2"]
        assert central.violations == []


async def test_a_charge_point_that_is_updated_is_called_back_in_its_new_version() -> None:
    async with leg("1.5", JSON) as scene:
        await scene.met()
        async with charge_point(address_of(scene.gateway), "1.6") as updated:
            await updated.call("Heartbeat", {})
            trigger = {"requestedMessage": "Heartbeat"}
            answer = await scene.central_system.call(scene.identity, "TriggerMessage", trigger)
            assert answer == {"status": "Accepted"}
            assert updated.received == [("TriggerMessage", trigger)]
            assert updated.violations == scene.violations() == []


# The ledger


def losses(lines: list[str]) -> list[tuple[str, str]]:
    """Field and reason of every loss of CP 1 in the log, the reason by the words that it begins with.

    The gateways of other tests of this module run all the time, and may log something of their own.
    """
    found = []
    for line in lines:
        head, _, rest = line.partition(' loss identity="CP 1" field=')
        if rest:
            assert head.endswith("INFO ")
            first, _, more = rest.partition(' more="')
            field, _, reason = first.partition(' reason="')
            told_ = [(field, reason), *(tuple(other.split(": ", 1)) for other in more.split("; ") if other)]
            found += [(where, next((word for word in _REASONS if why.startswith(word)), why)) for where, why in told_]
    return found


_REASONS = (
    "a MeterValues without a value",
    "Occupied becomes",
    "a field, or a value of it",
    "a measured value that",
    "a message that",
    "a value that the other version does not have",
)


async def test_every_loss_is_in_the_log_with_its_message_path_and_reason() -> None:
    with logged() as lines:
        async with leg("1.5", JSON) as scene:
            await scene.met()
            await scene.charge_point.call("StatusNotification", status("Occupied"))
            await scene.charge_point.call("MeterValues", {"connectorId": 1, "values": []})
            pending = {"status": "Pending", "currentTime": AT, "interval": 20}
            scene.central_system.behaviour["BootNotification"] = lambda _: pending
            await scene.charge_point.call("BootNotification", SAMPLES["BootNotification"])
            profile = COMMANDS["SetChargingProfile"]["csChargingProfiles"]
            start = {"idTag": "A", "connectorId": 1, "chargingProfile": profile}
            await scene.central_system.call(scene.identity, "RemoteStartTransaction", start)
            assert scene.charge_point.received == [("RemoteStartTransaction", {"idTag": "A", "connectorId": 1})]
            scene.charge_point.behaviour["SendLocalList"] = lambda _: {"status": "HashError"}
            await scene.central_system.call(scene.identity, "SendLocalList", COMMANDS["SendLocalList"])
            assert scene.violations() == []
    assert losses(lines) == [
        ("StatusNotificationRequest.status", "Occupied becomes"),
        ("MeterValuesRequest.meterValue", "a MeterValues without a value"),
        ("BootNotificationResponse.status", "a value that the other version does not have"),
        ("RemoteStartTransactionRequest.chargingProfile", "a field, or a value of it"),
        ("SendLocalListResponse.status", "a value that the other version does not have"),
    ]


async def test_what_was_lost_of_a_command_is_told_whatever_comes_back() -> None:
    with logged() as lines:
        async with listening(answering("<nonsense/>")) as point, leg("1.5", JSON) as scene:
            body = f'<heartbeatRequest xmlns="{strategies.service("1.5", CP).namespace}"/>'
            assert (await post(scene.gateway, soap_request(body, source=point.url))).status == 200
            await scene.central_system.wait_for("CP 1")
            start = {"idTag": "A", "chargingProfile": COMMANDS["SetChargingProfile"]["csChargingProfiles"]}
            with pytest.raises(CallRefused, match="no answer to this Call in SOAP"):
                await scene.central_system.call("CP 1", "RemoteStartTransaction", start)
    assert losses(lines) == [("RemoteStartTransactionRequest.chargingProfile", "a field, or a value of it")]


STRICT: dict[str, Any] = {"route": {"tolerance": "strict"}}


async def test_strict_refuses_what_would_cost_something_on_its_way_up() -> None:
    async with leg("1.5", JSON, **STRICT) as scene:
        await scene.charge_point.call("Heartbeat", {})
        scene.central_system.received.clear()
        with pytest.raises(CallRefused, match=r"Occupied becomes .*strict"):
            await scene.charge_point.call("StatusNotification", status("Occupied"))
        with pytest.raises(CallRefused, match="MeterValues without a value"):
            await scene.charge_point.call("MeterValues", {"connectorId": 1, "values": []})
        assert scene.central_system.received == []
        await scene.charge_point.call("StatusNotification", status("Faulted"))
        assert [action for _, action, _ in scene.central_system.received] == ["StatusNotification"]


@pytest.mark.parametrize("far", [JSON, "1.6"])
async def test_strict_refuses_a_command_that_would_cost_something_and_sends_nothing(far: str) -> None:
    async with leg("1.5", far, **STRICT) as scene:
        await scene.met()
        central, profile = scene.central_system, COMMANDS["SetChargingProfile"]["csChargingProfiles"]
        start = {"idTag": "A", "connectorId": 1}
        with pytest.raises(CallRefused, match=r"does not have is dropped \(refused: strict\)"):
            await central.call(scene.identity, "RemoteStartTransaction", start | {"chargingProfile": profile})
        assert scene.charge_point.received == []
        await central.call(scene.identity, "RemoteStartTransaction", start)
        assert scene.charge_point.received == [("RemoteStartTransaction", start)]
        # What is lacking is answered as ever: nothing gets lost of a command that is answered with "no".
        triggered = await central.call(scene.identity, "TriggerMessage", COMMANDS["TriggerMessage"])
        assert triggered == {"status": "NotImplemented"}


async def test_strict_never_says_received_for_what_was_not_sent() -> None:
    async with leg(JSON, "1.5", **STRICT) as scene:
        point, central = scene.charge_point, scene.central_system
        sample = {"value": "80", "measurand": "SoC"}
        readings = {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [sample]}]}
        for action, payload in (
            ("FirmwareStatusNotification", {"status": "Idle"}),
            ("DiagnosticsStatusNotification", {"status": "Uploading"}),
            ("MeterValues", readings),
            ("StatusNotification", status("Charging")),
            ("StopTransaction", stop(7, reason="Local")),
        ):
            with pytest.raises(CallRefused, match="strict"):
                await point.call(action, payload)
        assert central.received == []
        await point.call("FirmwareStatusNotification", {"status": "Installed"})
        await point.call("StatusNotification", status("Faulted"))
        assert len(central.received) == 2


async def test_strict_tells_what_a_valid_answer_costs_and_gives_it() -> None:
    """What was asked has been done, whatever becomes of the answer: a refusal would say that it had not."""
    with logged() as lines:
        async with leg("1.5", JSON, **STRICT) as scene:
            await scene.met()
            pending = {"status": "Pending", "currentTime": AT, "interval": 20}
            scene.central_system.behaviour["BootNotification"] = lambda _: pending
            answer = await scene.charge_point.call("BootNotification", SAMPLES["BootNotification"])
            assert (answer["status"], answer["heartbeatInterval"]) == ("Rejected", 20)
            scene.charge_point.behaviour["SendLocalList"] = lambda _: {"status": "HashError"}
            told_ = await scene.central_system.call(scene.identity, "SendLocalList", COMMANDS["SendLocalList"])
            assert told_ == {"status": "Failed"}
            assert scene.violations() == []
        async with leg(JSON, "1.5", **STRICT) as scene:
            await scene.met()
            scene.charge_point.behaviour["UnlockConnector"] = lambda _: {"status": "NotSupported"}
            told_ = await scene.central_system.call(scene.identity, "UnlockConnector", {"connectorId": 1})
            assert told_ == {"status": "Rejected"}
            assert scene.violations() == []
    collapsed = "a value that the other version does not have"
    assert losses(lines) == [
        ("BootNotificationResponse.status", collapsed),
        ("SendLocalListResponse.status", collapsed),
        ("UnlockConnectorResponse.status", collapsed),
    ]


async def test_strict_refuses_an_answer_that_is_not_valid() -> None:
    name = "sendLocalListResponse"
    body = f'<{name} xmlns="{strategies.service("1.5", CS).namespace}"><status>HASHERROR</status></{name}>'
    async with listening(answering(body)) as point, leg("1.5", JSON, **STRICT) as scene:
        heartbeat = f'<heartbeatRequest xmlns="{strategies.service("1.5", CP).namespace}"/>'
        assert (await post(scene.gateway, soap_request(heartbeat, source=point.url))).status == 200
        await scene.central_system.wait_for("CP 1")
        with pytest.raises(CallRefused, match="no answer to this Call in SOAP"):
            await scene.central_system.call("CP 1", "SendLocalList", COMMANDS["SendLocalList"])


async def test_strict_refuses_to_respell_what_goes_to_a_json_central_system() -> None:
    """A quirk pack may say `celsius` for a route that is strict."""
    unit = {"_value_1": "21", "measurand": "Temperature", "unit": "Celsius"}
    readings = {"connectorId": 1, "values": [{"timestamp": AT, "value": [unit]}]}
    tables: dict[str, Any] = {"route": {"tolerance": "strict", "celsius": "Celcius"}}
    async with leg("1.5", JSON, **tables) as scene:
        await scene.met()
        scene.forget()
        with pytest.raises(CallRefused, match=r"unit.*respelled.*strict"):
            await scene.charge_point.call("MeterValues", readings)
        assert scene.central_system.received == []


async def test_quirk_71_the_key_that_both_versions_spell_otherwise_is_set_and_read_by_its_own_name() -> None:
    async with leg("1.5", JSON) as scene:
        point, central = scene.charge_point, scene.central_system
        await scene.met()
        change = {"key": "HeartbeatInterval", "value": "600"}
        assert await central.call(scene.identity, "ChangeConfiguration", change) == {"status": "Accepted"}
        assert point.answers.configuration["HeartBeatInterval"].value == "600"
        asked = {"key": ["HeartbeatInterval", "Unheard"]}
        answer = await central.call(scene.identity, "GetConfiguration", asked)
        assert answer == {
            "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "600"}],
            "unknownKey": ["Unheard"],
        }
        assert scene.violations() == []
