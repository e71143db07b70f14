"""Messages from public field reports, each through a gateway and over sockets, with the outcome that is right for it.

Whoever takes care of a case in another test names that test in `ELSEWHERE`: the last test here wants every file to have
one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.app import Gateway
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import Payload
from bridge.ocpp.losses import LossReason
from bridge.ocpps.xml import local_name
from tests.e2e.stage import (
    AT,
    CP,
    CS,
    Answer,
    Connection,
    RawCentralSystem,
    dialled,
    envelope,
    logged,
    post,
    running,
    settings,
    soap_central_system,
)
from tests.reference import CASES, needs_cases

STRICT: Mapping[str, Any] = {"tolerance": "strict"}
SOAP: Mapping[str, Any] = {"protocol": "ocpp1.6s"}


def octets(case: str) -> bytes:
    (path,) = CASES.glob(f"{case}-*")
    return path.read_bytes()


def stop(**more: Any) -> Payload:
    return {"transactionId": 13, "timestamp": "2026-08-27T08:00:00Z", "meterStop": 1200, **more}


def readings(*samples: Payload, at: str = "2026-08-27T08:00:00Z", **more: Any) -> Payload:
    return {
        "connectorId": 2,
        "transactionId": 77,
        "meterValue": [{"timestamp": at, "sampledValue": [*samples]}],
        **more,
    }


def status(**more: Any) -> Payload:
    return {"connectorId": 1, "status": "Available", "errorCode": "NoError", **more}


# --- SOAP Charge Point, JSON Central System ---

# What arrives, and what that cost.
FROM_SOAP: dict[str, tuple[Payload, set[LossReason]]] = {
    "001": (
        readings(
            {"value": "41.384", "measurand": "Current.Import", "unit": "A"},
            {"value": "226.0", "measurand": "Voltage", "unit": "V"},
            {"value": "7018", "measurand": "Power.Active.Import", "unit": "W"},
            {"value": "2.662", "measurand": "Energy.Active.Import.Register", "unit": "kWh"},
        ),
        {LossReason.MISNAMED},
    ),
    "002": (
        readings({"value": "1234", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}),
        {LossReason.SIBLING_SHAPE},
    ),
    "007": (stop(), {LossReason.EMPTY_OPTIONAL}),
    "009": (stop(reason="Other"), {LossReason.UNKNOWN_AS_OTHER}),
    "010": (stop(), {LossReason.UNKNOWN_VALUE}),
    "012": (status(timestamp="2024-04-26T12:35:02Z"), {LossReason.RESPELLED_TIME}),
    "013": (stop(), {LossReason.UNREADABLE}),
    "014": ({}, set()),
    "015": ({"idTag": "TAG1"}, set()),
    "017": (
        stop(transactionData=[{"timestamp": "2026-08-27T08:00:00Z", "sampledValue": [{"value": "1"}]}]),
        {LossReason.SIBLING_SHAPE},
    ),
    "019": (status(), set()),
    "020": ({"idTag": "TAG1"}, set()),
}


async def posted(data: bytes, **tables: Any) -> tuple[Answer, list[Payload]]:
    """The answer to a SOAP Charge Point, and what its JSON Central System has received."""
    async with JsonCentralSystem() as central, running(settings(central.url, **tables)) as gateway:
        answer = await post(gateway, data)
        assert central.violations == []
        return answer, [payload for _, _, payload in central.received]


def told(lines: list[str]) -> set[LossReason]:
    """The reasons of the Losses that the log tells."""
    return {reason for reason in LossReason for line in lines if " loss " in line and reason in line}


@needs_cases
@pytest.mark.parametrize("case", FROM_SOAP)
async def test_what_a_soap_charge_point_sends_arrives(case: str) -> None:
    expected, reasons = FROM_SOAP[case]
    with logged() as lines:
        answer, received = await posted(octets(case))
    assert (answer.status, answer.fault, received) == (200, None, [expected])
    assert told(lines) == reasons


@needs_cases
@pytest.mark.parametrize("case", [case for case, (_, reasons) in FROM_SOAP.items() if reasons])
async def test_a_strict_route_refuses_it_of_a_soap_charge_point(case: str) -> None:
    answer, received = await posted(octets(case), route=STRICT)
    assert (answer.status, received) == (400, [])
    assert answer.fault is not None and answer.fault[1].endswith("}ProtocolError")
    fields = {
        "001": "value",
        "002": "meterValue",
        "007": "transactionData",
        "009": "reason",
        "010": "measurand",
        "012": "timestamp",
        "013": "idTag",
        "017": "timestamp",
    }
    assert fields[case] in answer.text


async def test_quirk_51_an_id_tag_that_is_too_long() -> None:
    stopped = stop(idTag="t" * 21)
    assert (await called(json.dumps([2, "m1", "StopTransaction", stopped]).encode()))[1] == [stop()]
    answer, received = await called(json.dumps([2, "m1", "Authorize", {"idTag": "t" * 21}]).encode())
    assert (answer[:3], received) == ([4, "m1", "PropertyConstraintViolation"], [])


@needs_cases
async def test_a_field_that_must_be_there_is_named() -> None:
    answer, received = await posted(octets("016"))
    assert (answer.status, received) == (400, [])
    assert "chargePointVendor: required, and missing" in answer.text


# --- JSON Charge Point, SOAP Central System ---

ENERGY = {"value": "1234", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
FROM_JSON: dict[str, tuple[Payload, set[LossReason]]] = {
    "031": (
        {
            "meterStop": 792981,
            "timestamp": "2025-11-30T13:14:01Z",
            "transactionId": 1764506865,
            "reason": "Local",
            "idTag": "0123abcd",
        },
        {LossReason.EMPTY_OPTIONAL},
    ),
    "034": (
        {"meterStop": 12, "timestamp": "2025-11-10T10:25:59Z", "transactionId": 5},
        {LossReason.EMPTY_OPTIONAL},
    ),
    "035": ({"connectorId": 2, "errorCode": "NoError", "status": "Preparing"}, {LossReason.EMPTY_OPTIONAL}),
    "037": (
        {"connectorId": 2, "errorCode": "NoError", "status": "Preparing", "timestamp": "2024-04-26T12:35:02Z"},
        {LossReason.RESPELLED_TIME},
    ),
    "038": (
        {"connectorId": 1, "meterValue": [{"timestamp": "2025-03-12T13:35:45Z", "sampledValue": [ENERGY]}]},
        {LossReason.UNKNOWN_VALUE},
    ),
    "040": (
        {"meterStop": 250390, "timestamp": "2025-11-10T10:23:58Z", "transactionId": 1762770182},
        {LossReason.UNREADABLE},
    ),
    "041": (
        {
            "connectorId": 1,
            "idTag": "TAG",
            "meterStart": 0,
            "reservationId": 0,
            "timestamp": "2023-10-19T15:28:07Z",
        },
        {LossReason.ASSUMED_ZONE},
    ),
    "042": ({"idTag": "0000"}, {LossReason.UNKNOWN_FIELD}),
    "043": (
        {
            "connectorId": 1,
            "meterValue": [
                {
                    "timestamp": "2021-11-22T20:38:32Z",  # as the simulator reads it
                    "sampledValue": [
                        {"value": "604.213", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
                        {"value": "0", "measurand": "Power.Active.Import", "unit": "W"},
                    ],
                }
            ],
        },
        {LossReason.NOT_TEXT},
    ),
    "044": (
        {
            "connectorId": 1,
            "transactionId": 7,
            "meterValue": [{"timestamp": "2024-12-20T16:02:16Z", "sampledValue": [{"value": "50"}]}],
        },
        {LossReason.CONVERTED},
    ),
}


async def called(frame: bytes, **tables: Any) -> tuple[list[Any], list[Payload]]:
    """The answer to a JSON Charge Point, and what its SOAP Central System has received."""
    async with (
        soap_central_system() as central,
        running(settings(central.url, central_system=SOAP, **tables)) as gateway,
        dialled(gateway) as point,
    ):
        await point.send(frame.decode())
        answer = await point.receive()
        return answer, [payload for _, _, payload in central.received]


@needs_cases
@pytest.mark.parametrize("case", FROM_JSON)
async def test_what_a_json_charge_point_sends_arrives(case: str) -> None:
    expected, reasons = FROM_JSON[case]
    with logged() as lines:
        answer, received = await called(octets(case))
    assert (answer[:2], received) == ([3, "m1"], [expected])
    assert told(lines) == reasons


@needs_cases
@pytest.mark.parametrize("case", FROM_JSON)
async def test_a_strict_route_refuses_it_of_a_json_charge_point(case: str) -> None:
    answer, received = await called(octets(case), route=STRICT)
    assert (answer[:2], received) == ([4, "m1"], [])
    fields = {"031": "sampledValue", "034": "reason", "038": "unit", "040": "idTag", "042": "connectorId"}
    wanted = fields.get(case, "value" if case == "043" else "connectorId" if case == "044" else "timestamp")
    assert wanted in answer[3]


@needs_cases
async def test_a_meter_values_without_a_value_is_answered_here() -> None:
    with logged() as lines:
        assert await called(octets("032")) == ([3, "m1", {}], [])
    assert LossReason.NO_READINGS in told(lines)


@needs_cases
async def test_a_meter_values_without_a_value_is_a_link_failure_while_the_central_system_is_away() -> None:
    """The Charge Point keeps it, as it does any other."""
    async with soap_central_system() as central:
        url = central.url
    async with running(settings(url, central_system=SOAP)) as gateway:
        async with dialled(gateway) as point:
            await point.send(octets("032").decode())
            assert (await point.ended())[0] == 1013
        assert (await post(gateway, envelope(EMPTY))).status == 503


EMPTY = f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId></meterValuesRequest>'


# --- Answers ---

START = (
    f'<startTransactionRequest xmlns="{CS}"><connectorId>1</connectorId><idTag>TAG</idTag><timestamp>{AT}</timestamp>'
    f"<meterStart>0</meterStart></startTransactionRequest>"
)


async def asked(gateway: Gateway, central: RawCentralSystem, link: Connection | None, body: str, told: Payload) -> Told:
    """What a SOAP Charge Point is told when its JSON Central System answers with `told`; and the connection."""
    async with asyncio.TaskGroup() as group:
        reply = group.create_task(post(gateway, envelope(body)))
        link = link or await central.connected()
        await link.serve(told)
    return reply.result(), link


Told = tuple[Answer, Connection]


def texts(answer: Answer) -> dict[str, str | None]:
    return {local_name(element): element.text for element in answer.content.iter() if not len(element)}


@needs_cases
@pytest.mark.parametrize(
    ("case", "body", "content"),
    [
        ("055", START, {"transactionId": "5", "status": "Accepted"}),
        ("057", START, {"transactionId": "112200", "status": "Accepted"}),
        ("060", f'<heartbeatRequest xmlns="{CS}"/>', {"currentTime": "2021-06-13T12:16:34.207573Z"}),
    ],
)
async def test_a_good_answer_of_a_json_central_system_stays_one(
    case: str, body: str, content: Mapping[str, str]
) -> None:
    frame = json.loads(octets(case).decode().splitlines()[-1].replace("@ID@", "1"))
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        answer, _ = await asked(gateway, central, None, body, frame[2])
        assert (answer.status, answer.fault, texts(answer)) == (200, None, content)


@pytest.mark.parametrize("info", [{}, None, [], "", " ", {"status": ""}, {"status": " "}, {"parentIdTag": ""}])
@pytest.mark.parametrize(
    ("driver", "said", "status"),
    [("tag", "Accepted", "Accepted"), ("TAG", "Blocked", "Blocked"), ("other", "Accepted", "Invalid")],
)
async def test_quirk_50_a_start_without_a_status_has_that_of_the_last_authorize(
    info: Any, driver: str, said: str, status: str
) -> None:
    authorize = f'<authorizeRequest xmlns="{CS}"><idTag>{driver}</idTag></authorizeRequest>'
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        _, link = await asked(gateway, central, None, authorize, {"idTagInfo": {"status": said}})
        answer, _ = await asked(gateway, central, link, START, {"transactionId": 5, "idTagInfo": info})
        assert texts(answer) == {"transactionId": "5", "status": status}


@needs_cases
async def test_a_sloppy_configuration_reaches_a_soap_central_system() -> None:
    frame = octets("051").decode().splitlines()[-1]
    async with (
        soap_central_system() as central,
        running(settings(central.url, central_system=SOAP)) as gateway,
        dialled(gateway) as point,
    ):
        async with asyncio.TaskGroup() as group:
            request = f'<getConfigurationRequest xmlns="{CP}"/>'
            reply = group.create_task(post(gateway, envelope(request), path="/services/ChargePointService"))
            call = await point.receive()
            await point.send(frame.replace("@ID@", call[1]))
        answer = reply.result()
        assert (answer.status, answer.fault) == (200, None)
        keys = [[leaf.text for leaf in key] for key in answer.content]
        assert keys == [
            ["AuthorizeRemoteTxRequests", "true", "false"],
            ["ChargeProfileMaxStackLevel", "true", "5"],
        ]


async def test_a_long_transaction_fits_into_the_defaults() -> None:
    group = (
        f"<transactionData><timestamp>{AT}</timestamp><sampledValue><value>1</value><context>Sample.Periodic</context>"
    )
    group += "<measurand>Energy.Active.Import.Register</measurand><location>Outlet</location><unit>Wh</unit>"
    group += "</sampledValue></transactionData>"
    stopped = f"<transactionId>1</transactionId><timestamp>{AT}</timestamp><meterStop>1</meterStop>{group * 1500}"
    body = envelope(f'<stopTransactionRequest xmlns="{CS}">{stopped}</stopTransactionRequest>')
    assert len(body) > 2**18  # what was the limit once
    answer, received = await posted(body)
    assert answer.fault is None and len(received[0]["transactionData"]) == 1500
    # What is larger than a JSON frame may be is too large here, too.
    answer, received = await posted(body.replace(b"</transactionId>", b"</transactionId>" + b" " * 2**20))
    assert (answer.status, received) == (413, []) and answer.fault is not None


# --- The kinds, as `docs/quirks.md` numbers them ---


async def arrives(action: str, payload: Payload, **tables: Any) -> Payload:
    """The payload that a SOAP Central System is told of a JSON Charge Point's message."""
    answer, received = await called(json.dumps([2, "m1", action, payload]).encode(), **tables)
    assert answer == [3, "m1", answer[2]]
    (payload,) = received
    return payload


def sample(**parts: Any) -> Payload:
    return {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [{"value": "1"}, parts]}]}


async def test_quirk_44_times_in_other_forms() -> None:
    told = await arrives("StatusNotification", status(timestamp="2026-11-29T08:15+01:00[Europe/Paris]"))
    assert told["timestamp"] == "2026-11-29T07:15:00Z"


@pytest.mark.parametrize("policy", ["drop", "pass", "refuse"])
@pytest.mark.parametrize("name", ["measurand", "unit", "phase", "location", "format"])
async def test_quirk_45_words_that_nobody_knows(name: str, policy: str) -> None:
    body = (
        f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId><meterValue><timestamp>{AT}</timestamp>'
        f"<sampledValue><value>1</value></sampledValue><sampledValue><value>7018</value><{name}>Furlong</{name}>"
        "</sampledValue></meterValue></meterValuesRequest>"
    )
    async with RawCentralSystem() as central:
        told = settings(central.url, route={"unknown_values": policy})
        async with running(told) as gateway, asyncio.TaskGroup() as group:
            reply = group.create_task(post(gateway, envelope(body)))
            received = []
            if policy != "refuse":
                link = await central.connected()
                received.append((await link.serve({}))[3])
            answer = await reply
    if policy == "refuse":
        assert (answer.status, received) == (400, []) and f"sampledValue[1].{name}" in answer.text
        return
    (message,) = received
    left = message["meterValue"][0]["sampledValue"]
    assert left == [{"value": "1"}, *([{"value": "7018", name: "Furlong"}] if policy == "pass" else [])]


@pytest.mark.parametrize("policy", ["drop", "pass"])
async def test_quirk_45_towards_soap_no_unknown_word_is_passed_on(policy: str) -> None:
    told = await arrives("MeterValues", sample(value="7018", unit="Furlong"), route={"unknown_values": policy})
    assert told["meterValue"][0]["sampledValue"] == [{"value": "1"}]


async def test_quirk_45_an_error_that_nobody_knows_is_another_error() -> None:
    told = await arrives("StatusNotification", status(errorCode="Mode4Error"))
    assert (told["errorCode"], told["vendorErrorCode"]) == ("OtherError", "Mode4Error")
    told = await arrives("StatusNotification", status(errorCode="Mode4Error", vendorErrorCode="E7"))
    assert (told["errorCode"], told["vendorErrorCode"]) == ("OtherError", "E7")
    told = await arrives("StatusNotification", status(errorCode=42))
    assert (told["errorCode"], told["vendorErrorCode"]) == ("OtherError", "42")
    answer, received = await called(json.dumps([2, "m1", "StatusNotification", status(status="Busy")]).encode())
    assert (answer[:3], received) == ([4, "m1", "PropertyConstraintViolation"], []) and "status" in answer[3]


async def test_quirk_45_a_signed_value_is_never_dropped() -> None:
    signed = {"value": "AB", "format": "SignedData", "measurand": "X", "unit": "Y", "context": "Z", "location": "Q"}
    (_, left) = (await arrives("MeterValues", sample(**signed)))["meterValue"][0]["sampledValue"]
    assert left == {"value": "AB", "format": "SignedData"}


async def test_quirk_46_values_of_another_type() -> None:
    start = {"connectorId": "1", "idTag": 4711, "timestamp": AT, "meterStart": 7018.9, "reservationId": 2**31}
    assert await arrives("StartTransaction", start) == {
        "connectorId": 1,
        "idTag": "4711",
        "timestamp": AT,
        "meterStart": 7018,
    }
    one = {"connectorId": 1, "meterValue": {"timestamp": AT, "sampledValue": {"value": 1}}}
    assert (await arrives("MeterValues", one))["meterValue"] == [{"timestamp": AT, "sampledValue": [{"value": "1"}]}]


@pytest.mark.parametrize(
    "value",
    [
        '<value x:unit="W" measurand="Power.Active.Import" xmlns:x="urn:x">7018</value>',
        '<value UNIT="W" Measurand="Power.Active.Import">7018</value>',
        "<value><value>7018</value><unit>W</unit><measurand>Power.Active.Import</measurand></value>",
        "<sampledValue><value>7018</value><Unit>W</Unit><measurand>Power.Active.Import</measurand></sampledValue>",
        '<sampledValue unit="W" measurand="Power.Active.Import">7018</sampledValue>',
        '<sampledValue><value unit="W">7018</value><measurand>Power.Active.Import</measurand></sampledValue>',
    ],
)
@pytest.mark.parametrize("version", ["2012/06", "2015/10"])
async def test_quirk_47_a_qualifier_is_read_wherever_it_stands(version: str, value: str) -> None:
    group = f"<values><timestamp>{AT}</timestamp>{value}</values>"
    if version == "2015/10":
        group = group.replace("values>", "meterValue>")
    space = f"urn://Ocpp/Cs/{version}/"
    body = f'<meterValuesRequest xmlns="{space}"><connectorId>1</connectorId>{group}</meterValuesRequest>'
    answer, received = await posted(envelope(body))
    assert answer.fault is None
    assert received[0]["meterValue"] == [
        {
            "timestamp": AT,
            "sampledValue": [{"value": "7018", "measurand": "Power.Active.Import", "unit": "W"}],
        }
    ]


@pytest.mark.parametrize(
    "more", [{"unti": "W"}, {"multiplier": 3}, {"unitOfMeasure": {"unit": "kWh", "multiplier": 0}}]
)
async def test_quirk_47_what_may_say_what_a_value_is_takes_it_along(more: Payload) -> None:
    assert (await arrives("MeterValues", sample(value="7018", **more)))["meterValue"][0]["sampledValue"] == [
        {"value": "1"}
    ]
    kept = (await arrives("MeterValues", sample(value="7018", unit="W", note="x")))["meterValue"][0]["sampledValue"]
    assert kept == [{"value": "1"}, {"value": "7018", "unit": "W"}]


@pytest.mark.parametrize(
    "values",
    [
        {"values": [{"timestamp": AT, "value": [{"value": "1", "unit": "kWh"}]}]},
        {"values": {"timestamp": AT, "value": {"value": 1, "unit": "kWh"}}},
        {"meterValue": [{"timestamp": AT, "value": "1", "unit": "kWh"}]},
        {"meterValue": [{"timestamp": AT, "sampledValue": [{"value": {"value": "1", "unit": "kWh"}}]}]},
        {"transactionData": [{"values": [{"timestamp": AT, "sampledValue": [{"value": "1", "unit": "kWh"}]}]}]},
    ],
)
async def test_quirk_48_meter_values_as_another_version_writes_them(values: Payload) -> None:
    told = await arrives("MeterValues", {"connectorId": 1, **values})
    assert told["meterValue"] == [{"timestamp": AT, "sampledValue": [{"value": "1", "unit": "kWh"}]}]


@pytest.mark.parametrize("more", [{"multiplier": 3}, {"unit": "Furlong"}, {"scale": "10"}])
async def test_quirk_48_what_stands_beside_all_values_goes_for_each(more: Payload) -> None:
    """Without it each would be a number of Wh."""
    values = {"connectorId": 1, **more, "meterValue": [{"timestamp": AT, "sampledValue": [{"value": "1"}]}]}
    assert await called(json.dumps([2, "m1", "MeterValues", values]).encode()) == ([3, "m1", {}], [])


@pytest.mark.parametrize("values", [{"readings": [{"at": AT, "kWh": 1}]}, {"meterValue": [{"time": AT, "kWh": 1}]}])
async def test_quirk_48_what_nobody_understands_is_refused(values: Payload) -> None:
    answer, received = await called(json.dumps([2, "m1", "MeterValues", {"connectorId": 1, **values}]).encode())
    assert (answer[:2], received) == ([4, "m1"], []) and "meterValue" in answer[3]


@pytest.mark.parametrize(
    "values",
    [
        {"timestamp": AT, "value": "1", "unit": "kWh"},
        {"timestamp": AT, "sampledValue": [{"value": 1, "unit": "kWh"}]},
        {"TimeStamp": AT, "Value": {"value": "1", "unit": "kWh"}},
        {"unit": "kWh", "meterValue": [{"timestamp": AT, "sampledValue": [{"value": "1"}]}]},
        {"Unit": "kWh", "values": {"timestamp": AT, "value": 1}},
        {"meterValue": [{"timestamp": AT, "sampledValue": [{"value": ["1"], "unit": "kWh"}]}]},
    ],
)
async def test_quirk_48_one_group_in_the_message_itself(values: Payload) -> None:
    told = await arrives("MeterValues", {"connectorId": 1, **values})
    assert told["meterValue"] == [{"timestamp": AT, "sampledValue": [{"value": "1", "unit": "kWh"}]}]


STRANGE: tuple[Payload, ...] = (
    {"value": "1"},
    {"value": [{"timestamp": AT, "value": "1"}]},
    {"meterValue": [{"timestamp": AT, "sampledValue": [{"value": {"kWh": 1}}]}]},
    {"meterValue": [{"timestamp": AT, "sampledValue": [{"value": ["1", "2"]}]}]},
)


@pytest.mark.parametrize("values", STRANGE)
async def test_quirk_48_a_value_that_nobody_understands_is_refused(values: Payload) -> None:
    answer, received = await called(json.dumps([2, "m1", "MeterValues", {"connectorId": 1, **values}]).encode())
    assert (answer[:2], received) == ([4, "m1"], []) and "meterValue" in answer[3]


@pytest.mark.parametrize("version", ["2010/08", "2012/06", "2015/10"])
@pytest.mark.parametrize(
    "inside",
    [
        "<values><timestamp>{at}</timestamp><value><reading>1</reading></value></values>",
        "<values><timestamp>{at}</timestamp><sampledValue><value><kWh>1</kWh></value></sampledValue></values>",
        "<value>1</value>",
    ],
)
async def test_quirk_48_nor_is_one_made_of_unknown_elements(version: str, inside: str) -> None:
    """The same in every version: none arrives as the markup that it was written in."""
    body = f'<meterValuesRequest xmlns="urn://Ocpp/Cs/{version}/"><connectorId>1</connectorId>{inside.format(at=AT)}'
    answer, received = await posted(envelope(f"{body}</meterValuesRequest>"))
    assert (answer.status, received) == (400, []) and "meterValue" in answer.text


@pytest.mark.parametrize("version", ["2010/08", "2012/06", "2015/10"])
async def test_quirk_48_one_group_in_the_message_itself_in_soap(version: str) -> None:
    group = f"<timestamp>{AT}</timestamp><sampledValue><value>7018</value><unit>W</unit></sampledValue><value>5</value>"
    body = f'<meterValuesRequest xmlns="urn://Ocpp/Cs/{version}/"><connectorId>1</connectorId>{group}'
    answer, received = await posted(envelope(f"{body}</meterValuesRequest>"))
    assert answer.fault is None
    samples = [{"value": "7018", "unit": "W"}, {"value": "5"}]
    assert received[0]["meterValue"] == [{"timestamp": AT, "sampledValue": samples}]


async def test_quirk_45_a_signed_value_may_be_xml_and_its_format_a_list_of_one() -> None:
    signed = "<sampledValue><value><ocmf>1</ocmf></value><format>SignedData</format></sampledValue>"
    group = f"<meterValue><timestamp>{AT}</timestamp>{signed}</meterValue>"
    body = f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId>{group}</meterValuesRequest>'
    _, received = await posted(envelope(body))
    (left,) = received[0]["meterValue"][0]["sampledValue"]
    assert left == {"value": f'<ocmf xmlns="{CS}">1</ocmf>', "format": "SignedData"}
    (_, left) = (await arrives("MeterValues", sample(value="AB", format=["SignedData"], unit="Y")))["meterValue"][0][
        "sampledValue"
    ]
    assert left == {"value": "AB", "format": "SignedData"}


async def test_quirk_49_a_soap_charge_point_is_answered_here_too_while_its_central_system_is_there() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        with logged() as lines:
            answer = await post(gateway, envelope(EMPTY))
        assert (answer.status, answer.fault, central.received) == (200, None, [])
        assert LossReason.NO_READINGS in told(lines)
        url = central.url
    async with running(settings(url)) as gateway:
        assert (await post(gateway, envelope(EMPTY))).status == 503


# --- Every file has its test ---

ELSEWHERE = {
    "046": "tests/e2e/test_reported_octets.py",
    "054": "tests/e2e/test_reported_octets.py",
    "058": "tests/ocppj/test_codec.py",
    "061": "tests/e2e/test_json_server.py",
    "062": "tests/ocppj/test_codec.py",
    "071": "tests/e2e/test_forms.py",
    "073": "tests/e2e/test_forms.py",
    "074": "tests/e2e/test_forms.py",
    "075": "tests/e2e/test_forms.py",
    "076": "tests/e2e/test_forms.py",
    "077": "tests/e2e/test_forms.py",
    "081": "tests/e2e/test_forms.py",
    "083": "tests/e2e/test_forms.py",
    "084": "tests/e2e/test_forms.py",
    "091": "tests/e2e/test_reported_octets.py",
}


@needs_cases
def test_every_case_has_a_test() -> None:
    here = {*FROM_SOAP, *FROM_JSON, "016", "032", "051", "055", "057", "060"}
    assert {path.name[:3] for path in CASES.iterdir()} - {"REA"} == here | set(ELSEWHERE)
