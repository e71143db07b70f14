"""What real devices do, row by row of the reference's list, through a gateway and over sockets.

A test carries the number of its row; `docs/quirks.md` has a line for each, held to these tests by the last one here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from gzip import compress
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import bridge
from bridge.app import Gateway
from bridge.config import ChargePoint, Store
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.ocpp.actions import Party
from bridge.ocpp.shapes import plain
from bridge.ocpps.envelope import WSA_2004
from tests.dialects import strategies
from tests.e2e.raw_peer import NAMESPACES
from tests.e2e.stage import (
    AT,
    CP,
    CS,
    PATH,
    SOAP11,
    SOAP12,
    WSA,
    Answer,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    leg,
    listening,
    logged,
    post,
    reachable,
    receiver,
    running,
    sender,
    settings,
    soap_central_system,
)
from tests.ocpps.test_verbatim import opened

OF_15 = {"cs": "urn://Ocpp/Cs/2012/06/", "cp": "urn://Ocpp/Cp/2012/06/"}
OF_12 = {"cs": "urn://Ocpp/Cs/2010/08/", "cp": "urn://Ocpp/Cp/2010/08/"}
ANONYMOUS = f"{WSA}/anonymous"
HEARTBEAT = f'<heartbeatRequest xmlns="{CS}"/>'
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'


class Site:
    """A JSON Central System and a gateway before it."""

    def __init__(self, central: JsonCentralSystem, gateway: Gateway) -> None:
        self.central = central
        self.gateway = gateway

    async def post(self, data: bytes, **how: Any) -> Answer:
        return await post(self.gateway, data, **how)

    async def send(self, body: str = HEARTBEAT, **how: Any) -> Answer:
        return await self.post(envelope(body, **how))

    async def told(self, body: str, **how: Any) -> Payload:
        """What the Central System is told by a message that is answered as it should be."""
        answer = await self.send(body, **how)
        assert answer.fault is None, answer.text
        return self.central.received[-1][2]

    async def command(self, action: str = "Reset", payload: Payload | None = None) -> Payload:
        await self.central.wait_for("CP 1")
        return await self.central.call("CP 1", action, {"type": "Soft"} if payload is None else payload)


@asynccontextmanager
async def site(**tables: Any) -> AsyncIterator[Site]:
    async with JsonCentralSystem() as central, running(settings(central.url, **tables)) as gateway:
        yield Site(central, gateway)
        assert central.violations == []


def bare(headers: str, body: str = HEARTBEAT, soap: str = SOAP12) -> bytes:
    """An envelope with these headers only; without any, without a Header."""
    header = f"<s:Header>{headers}</s:Header>" if headers else ""
    declared = f'xmlns:s="{soap}" xmlns:a="{WSA}" xmlns:c="{CS}"'
    return f"<s:Envelope {declared}>{header}<s:Body>{body}</s:Body></s:Envelope>".encode()


ME = "<c:chargeBoxIdentity>CP 1</c:chargeBoxIdentity>"


def headers(data: bytes) -> dict[str, str]:
    header = etree.fromstring(data).find("{*}Header")
    assert header is not None
    return {etree.QName(child).localname: "".join(child.itertext()) for child in header}


async def answered(data: bytes, **tables: Any) -> Answer:
    async with site(**tables) as here:
        return await here.post(data)


async def commanded(response: str | bytes, action: str = "Reset", payload: Payload | None = None) -> Payload:
    """What the Central System gets when the Charge Point answers its command with `response`."""
    async with site() as here, listening(answering(response)) as point:
        await here.send(source=point.url)
        return await here.command(action, payload)


async def called_back(header: Callable[[str], str]) -> None:
    """A Charge Point that says where it is by `header` is called there."""
    async with site() as here, listening(answering(RESET)) as point:
        assert (await here.post(bare(ME + header(point.url)))).status == 200
        assert await here.command() == {"status": "Accepted"}


# --- The envelope and its headers ---


async def test_quirk_01_no_addressing_headers_at_all() -> None:
    async with site(gateway={"call_timeout": 0.4}) as here:
        answer = await here.post(bare(ME))
        assert (answer.status, answer.fault) == (200, None)
        with pytest.raises(CallRefused, match="not said yet where it can be called back"):
            await here.command()


@pytest.mark.parametrize("given", ["", "<a:MessageID/>", "<a:MessageID> \n</a:MessageID>"])
async def test_quirk_02_no_message_id(given: str) -> None:
    answer = await answered(bare(ME + given))
    assert (answer.status, answer.fault) == (200, None)
    assert "RelatesTo" not in headers(answer.body)
    assert headers(answer.body)["MessageID"].startswith("urn:uuid:")


async def test_quirk_03_no_message_id_in_a_response() -> None:
    assert await commanded(bare("<a:Action>/ResetResponse</a:Action>", RESET)) == {"status": "Accepted"}


async def test_quirk_04_no_header_in_a_response() -> None:
    assert await commanded(bare("", RESET)) == {"status": "Accepted"}


async def test_quirk_05_neither_from_nor_to() -> None:
    answer = await answered(bare(ME + "<a:Action>/Heartbeat</a:Action><a:MessageID>1</a:MessageID>"))
    assert (answer.fault, headers(answer.body)["RelatesTo"], headers(answer.body)["To"]) == (None, "1", ANONYMOUS)


async def test_quirk_06_a_central_system_without_from() -> None:
    beat = f'<heartbeatResponse xmlns="{CS}"><currentTime>{AT}</currentTime></heartbeatResponse>'
    async with listening(answering(beat)) as central, listening(answering(RESET)) as point:
        told = settings(central.url, central_system={"protocol": "ocpp1.6s"})
        async with running(told) as gateway:
            assert (await post(gateway, envelope(source=point.url))).fault is None
            reset = bare(ME.replace("c:", "a:"), f'<resetRequest xmlns="{CP}"><type>Soft</type></resetRequest>')
            answer = await post(gateway, reset, path="/services/ChargePointService")
    assert etree.QName(answer.content).localname == "resetResponse"
    # We always say where we are.
    assert headers(point.received[0])["From"].endswith("/services/CentralSystemService")
    assert headers(central.received[0])["From"].endswith("/services/ChargePointService/main")


async def test_quirk_07_constant_message_id() -> None:
    async with site() as here:
        tags = ["A", "B", "A"]
        bodies = [f'<authorizeRequest xmlns="{CS}"><idTag>{tag}</idTag></authorizeRequest>' for tag in tags]
        answers = await asyncio.gather(*(here.send(body, message_id="7230") for body in bodies))
        assert [answer.fault for answer in answers] == [None] * 3
        assert sorted(payload["idTag"] for _, _, payload in here.central.received) == ["A", "A", "B"]
        assert {headers(answer.body)["RelatesTo"] for answer in answers} == {"7230"}


@pytest.mark.parametrize("wsa", [WSA, WSA_2004])
async def test_quirk_08_either_addressing_namespace(wsa: str) -> None:
    must = 's:mustUnderstand="true"'
    data = bare(ME + f"<a:Action {must}>/Heartbeat</a:Action><a:MessageID {must}>1</a:MessageID>")
    answer = await answered(data.replace(WSA.encode(), wsa.encode()))
    assert answer.fault is None
    header = etree.fromstring(answer.body).find("{*}Header")
    assert header is not None
    # The answer is in the one that the question was in.
    assert {etree.QName(child).namespace for child in header} == {wsa}


@pytest.mark.parametrize("form", ["<a:From>{}</a:From>", "<a:From>\n <a:Address> {} </a:Address>\n</a:From>"])
async def test_quirk_09_from_with_and_without_address(form: str) -> None:
    await called_back(form.format)


@pytest.mark.parametrize("source", ["", f"<a:From><a:Address>{ANONYMOUS}</a:Address></a:From>"])
async def test_quirk_10_the_address_in_reply_to(source: str) -> None:
    # The answer itself comes back on the connection, whatever ReplyTo says: `called_back` waits for it there.
    await called_back(lambda url: f"{source}<a:ReplyTo><a:Address>{url}</a:Address></a:ReplyTo>")


@pytest.mark.parametrize("name", ["chargeBoxIdentity", "ChargeBoxIdentity", "CHARGEBOXIDENTITY"])
@pytest.mark.parametrize("space", [CS, CP, OF_15["cp"], WSA, ""])
async def test_quirk_11_the_identity_in_any_namespace_and_case(name: str, space: str) -> None:
    async with site() as here:
        answer = await here.post(bare(f'<{name} xmlns="{space}">\n CP 1 </{name}>'))
        assert answer.fault is None
        assert here.central.received[0][0] == "CP 1"


async def test_quirk_12_a_response_whose_header_is_of_the_other_service() -> None:
    wrong = f'<chargeBoxIdentity xmlns="{CS}" s:mustUnderstand="true">CP 1</chargeBoxIdentity>'
    assert await commanded(bare(wrong, RESET)) == {"status": "Accepted"}


@pytest.mark.parametrize("space", [CS, OF_15["cp"], OF_15["cs"], "urn:x", ""])
async def test_quirk_13_a_response_in_another_namespace(space: str) -> None:
    assert await commanded(RESET.replace(CP, space)) == {"status": "Accepted"}


@pytest.mark.parametrize(
    "action",
    ["/Heartbeat", "/heartbeat", "Heartbeat", f"{CS}CentralSystemService/Heartbeat", "/Authorize", "", "nonsense"],
)
async def test_quirk_14_the_action_header_decides_nothing(action: str) -> None:
    assert (await answered(bare(ME + f"<a:Action>{action}</a:Action>"))).fault is None
    response = bare(f"<a:Action>{CP}ChargePointService/ResetResponse</a:Action>", RESET)
    assert await commanded(response) == {"status": "Accepted"}


# --- Versions and namespaces ---


@pytest.mark.parametrize("space", [CS, OF_15["cs"], OF_12["cs"]])
async def test_quirk_15_all_versions_at_one_address(space: str) -> None:
    answer = await answered(envelope(HEARTBEAT.replace(CS, space)))
    assert etree.QName(answer.content).namespace == space


@pytest.mark.parametrize("version", ["1.6", "1.5", "1.2"])
@pytest.mark.parametrize("space", [CS, OF_15["cs"], OF_12["cs"]])
async def test_quirk_16_a_version_at_the_address_of_another(version: str, space: str) -> None:
    with logged() as lines:
        async with site() as here:
            answer = await here.post(envelope(HEARTBEAT.replace(CS, space)), path=f"{PATH}/{version}")
    assert etree.QName(answer.content).namespace == space
    right = {"1.6": CS, "1.5": OF_15["cs"], "1.2": OF_12["cs"]}[version] == space
    assert any("another version than the address says" in line for line in lines) is not right


@pytest.mark.parametrize("space", [CS, OF_15["cs"], OF_12["cs"]])
@pytest.mark.parametrize("written", [lambda space: space.rstrip("/"), str.upper, str.lower, lambda space: space + "/"])
async def test_quirk_17_the_namespace_without_its_slash_and_in_another_case(
    space: str, written: Callable[[str], str]
) -> None:
    answer = await answered(envelope(HEARTBEAT.replace(CS, written(space))))
    # Strict out: the answer is in the namespace of the WSDL.
    assert etree.QName(answer.content) == etree.QName(space, "heartbeatResponse")


async def test_quirk_18_soap_1_1_is_answered_in_soap_1_1() -> None:
    async with site() as here:
        answer = await here.send(soap=SOAP11)
        assert (answer.status, answer.fault) == (200, None)
        assert etree.QName(etree.fromstring(answer.body)).namespace == SOAP11
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        refused = await here.send(f'<authorizeRequest xmlns="{CS}"/>', soap=SOAP11)
        assert refused.fault == (f"{{{SOAP11}}}Client.ProtocolError", "")


async def test_quirk_18_soap_1_1_is_refused_where_the_route_says_so() -> None:
    async with site(route={"soap11": "refuse"}) as here:
        refused = await here.send(soap=SOAP11)
        assert (refused.status, refused.fault) == (500, (f"{{{SOAP11}}}VersionMismatch", ""))
        assert refused.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert here.central.received == []
        assert (await here.send()).fault is None


# --- HTTP and bytes ---


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/xml", "application/xml", "application/soap+xml", "text/plain", "application/json", "nonsense;"],
)
async def test_quirk_19_any_content_type(content_type: str | None) -> None:
    async with site() as here:
        answer = await here.post(envelope(), headers={"Content-Type": content_type})
    assert answer.fault is None
    assert answer.headers["Content-Type"] == "application/soap+xml; charset=utf-8"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + envelope(),
        b" \r\n\t" + b'<?xml version="1.0" encoding="UTF-8"?>' + envelope(),
        b"\xef\xbb\xbf \n" + envelope(),
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + envelope(identity="S\xfcd").decode().encode("latin-1"),
        b'<?xml version="1.0" encoding="UTF-16"?>'.decode().encode("utf-16") + envelope().decode().encode("utf-16-le"),
    ],
    ids=["mark", "blanks", "mark and blanks", "latin-1", "utf-16"],
)
@pytest.mark.parametrize("charset", ["", "; charset=us-ascii", "; charset=no-such-thing", "; charset=utf-8"])
async def test_quirk_20_marks_blanks_and_charsets(data: bytes, charset: str) -> None:
    """The document says in what it is written; HTTP is not believed."""
    async with site() as here:
        answer = await here.post(data, headers={"Content-Type": f"text/xml{charset}"})
        assert answer.fault is None, answer.text
        assert here.central.received[0][0] in ("CP 1", "S\xfcd")


@pytest.mark.parametrize("data", [envelope()[:-20], b"<a", b"", b"\x00\x01", b"not XML at all"])
async def test_quirk_21_broken_xml(data: bytes) -> None:
    with logged(logging.DEBUG) as lines:
        answer = await answered(data)
    assert (answer.status, answer.fault) == (400, sender("ProtocolError"))
    assert "not well-formed XML" in answer.reason
    # Whoever wonders what it was can see it.
    shown = [line for line in lines if " unreadable " in line]
    assert len(shown) == bool(data)
    assert all(f"octets={len(data)}" in line for line in shown)


async def test_quirk_22_a_websocket_at_the_soap_port_and_the_reverse() -> None:
    async with site() as here:
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Content-Length": None}
        there = await here.post(b"", path="/CP1", method="GET", headers=upgrade)
        assert there.status == 426
        assert "ws://" in there.text

        host, port = here.gateway.websocket_address
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        assert PATH in text.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("status", [200, 403, 502])
async def test_quirk_23_a_login_page_instead_of_an_answer(status: int) -> None:
    page = b"<!doctype html><html><title>Sign in</title>"
    with logged() as lines:
        respond = answering(page, status=status, content_type="text/html")
        async with site() as here, listening(respond) as point:
            await here.send(source=point.url)
            with pytest.raises(CallRefused) as caught:
                await here.command()
            assert caught.value.code == "InternalError"
            assert f"HTTP {status}, text/html" in caught.value.description
            assert "Sign in" not in caught.value.description
    # What came instead is for operators.
    wanted = (" link failure ", f"HTTP {status}, text/html", "Sign in")
    assert [line for line in lines if all(words in line for words in wanted)]


# --- What messages hold ---


def boot(**fields: str) -> str:
    fields = {"chargePointVendor": "v", "chargePointModel": "m"} | fields
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
    return f'<bootNotificationRequest xmlns="{CS}">{inside}</bootNotificationRequest>'


async def told(body: str, **tables: Any) -> Payload:
    async with site(**tables) as here:
        return await here.told(body)


async def test_quirk_24_empty_optional_elements() -> None:
    said = await told(boot(chargePointModel="", iccid="", imsi="", firmwareVersion=" "))
    # What must stand stays, and a blank is a text.
    assert said == {"chargePointVendor": "v", "chargePointModel": "", "firmwareVersion": " "}


async def test_quirk_25_empty_times_and_numbers() -> None:
    status = "<connectorId>1</connectorId><status>Available</status><errorCode>NoError</errorCode><timestamp/>"
    said = await told(f'<statusNotificationRequest xmlns="{CS}">{status}</statusNotificationRequest>')
    assert said == {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
    number = f'<statusNotificationRequest xmlns="{CS}">{status.replace(">1<", "><")}</statusNotificationRequest>'
    answer = await answered(envelope(number))
    assert answer.fault == sender("ProtocolError")
    assert "connectorId" in answer.reason


def configuration(*keys: str) -> str:
    inside = "".join(f"<configurationKey>{key}</configurationKey>" for key in keys)
    return f'<getConfigurationResponse xmlns="{CP}">{inside}</getConfigurationResponse>'


async def test_quirk_26_an_empty_value_is_not_an_absent_one() -> None:
    keys = configuration("<key>a</key><readonly>true</readonly><value/>", "<key>b</key><readonly>true</readonly>")
    assert await commanded(keys, "GetConfiguration", {}) == {
        "configurationKey": [{"key": "a", "readonly": True, "value": ""}, {"key": "b", "readonly": True}]
    }


async def test_quirk_27_a_required_field_that_is_missing_is_not_made_up() -> None:
    answer = await answered(envelope(boot().replace("<chargePointModel>m</chargePointModel>", "")))
    assert (answer.status, answer.fault) == (400, sender("ProtocolError"))
    assert "chargePointModel: required, and missing" in answer.reason


@pytest.mark.parametrize(("written", "meant"), [("1", True), ("True", True), (" true ", True), ("0", False)])
async def test_quirk_28_truth_values(written: str, meant: bool) -> None:
    keys = configuration(f"<key>a</key><readonly>{written}</readonly>")
    said = await commanded(keys, "GetConfiguration", {})
    assert said == {"configurationKey": [{"key": "a", "readonly": meant}]}


async def test_quirk_29_enumerations_in_any_case() -> None:
    assert await commanded(RESET.replace("Accepted", " ACCEPTED\n")) == {"status": "Accepted"}


async def test_quirk_30_unknown_elements() -> None:
    with logged() as lines:
        assert await told(boot(colour="red")) == {"chargePointVendor": "v", "chargePointModel": "m"}
    assert any("BootNotificationRequest.colour" in line for line in lines)


def readings(unit: str, count: int = 1, context: str = "") -> str:
    context = f"<context>{context}</context>" if context else ""
    sample = f"<sampledValue><value>1</value>{context}<unit>{unit}</unit></sampledValue>"
    value = f"<meterValue><timestamp>{AT}</timestamp>{sample}</meterValue>"
    return f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId>{value * count}</meterValuesRequest>'


@pytest.mark.parametrize("count", [1, 2])
async def test_quirk_31_a_list_of_one_is_a_list(count: int) -> None:
    values = (await told(readings("Wh", count)))["meterValue"]
    assert [[sample["value"] for sample in value["sampledValue"]] for value in values] == [["1"]] * count


@pytest.mark.parametrize(("written", "meant"), [("Amp", "A"), ("Volt", "V"), ("amp", "A")])
async def test_quirk_32_units_of_1_5(written: str, meant: str) -> None:
    value = f'<values><timestamp>{AT}</timestamp><value unit="{written}">1</value></values>'
    body = f'<meterValuesRequest xmlns="{OF_15["cs"]}"><connectorId>1</connectorId>{value}</meterValuesRequest>'
    assert (await told(body))["meterValue"][0]["sampledValue"] == [{"value": "1", "unit": meant}]


@pytest.mark.parametrize(
    ("written", "route", "meant"),
    [
        ("Celsius", {}, "Celsius"),
        ("Celcius", {}, "Celcius"),
        ("Celsius", {"celsius": "Celcius"}, "Celcius"),
        ("Celcius", {"celsius": "Celcius"}, "Celcius"),
    ],
)
async def test_quirk_33_celcius(written: str, route: Payload, meant: str) -> None:
    """Both are right in JSON, as its schemas are now; the first of them had only the misspelling."""
    with logged() as lines:
        said = await told(readings(written), route=route)
    assert said["meterValue"][0]["sampledValue"][0]["unit"] == meant
    assert any("sampledValue[0].unit" in line for line in lines) is (written != meant)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("space", [CS, OF_15["cs"]])
async def test_quirk_34_heartbeat_interval_beside_interval(on: bool, space: str) -> None:
    answer = await answered(envelope(boot().replace(CS, space)), route={"heartbeat_interval": on})
    said = {etree.QName(child).localname: child.text for child in answer.content}
    names = {"interval"} if space == CS else set()
    names |= {"heartbeatInterval"} if on or space != CS else set()
    assert {name: said[name] for name in said if "nterval" in name} == dict.fromkeys(names, "300")
    assert {etree.QName(child).namespace for child in answer.content} == {space}


def status(moment: str) -> str:
    fields = f"<connectorId>1</connectorId><status>Available</status><errorCode>NoError</errorCode>{moment}"
    return f'<statusNotificationRequest xmlns="{CS}">{fields}</statusNotificationRequest>'


@pytest.mark.parametrize(
    ("zone", "written", "meant"),
    [
        ("UTC", "2026-07-01T12:00:00", "2026-07-01T12:00:00Z"),
        ("+01:00", "2026-07-01T12:00:00", "2026-07-01T11:00:00Z"),
        ("-05:30", "2026-07-01T12:00:00.25", "2026-07-01T17:30:00.25Z"),
        ("Europe/Paris", "2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("Europe/Paris", "2026-01-01T12:00:00", "2026-01-01T11:00:00Z"),
        # One that says its zone means it, and one from before the clock was set is told as it is.
        ("+01:00", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("UTC", "1970-01-01T00:00:07Z", "1970-01-01T00:00:07Z"),
    ],
)
async def test_quirk_35_times_without_a_zone(zone: str, written: str, meant: str) -> None:
    said = await told(status(f"<timestamp>{written}</timestamp>"), route={"assumed_zone": zone})
    assert said["timestamp"] == meant


@pytest.mark.parametrize("written", ["2022-05-17T15:42:03Z:", "17.05.2022 15:42", "1652802123"])
async def test_quirk_35_times_that_are_none(written: str) -> None:
    # Left out where the message can do without, refused where it cannot.
    assert "timestamp" not in await told(status(f"<timestamp>{written}</timestamp>"))
    start = f"<connectorId>1</connectorId><idTag>a</idTag><timestamp>{written}</timestamp><meterStart>1</meterStart>"
    answer = await answered(envelope(f'<startTransactionRequest xmlns="{CS}">{start}</startTransactionRequest>'))
    assert answer.fault == sender("ProtocolError")
    assert "timestamp: not a point in time" in answer.reason
    # ... but what a vendor tells itself is its own.
    data = f'<dataTransferRequest xmlns="{CS}"><vendorId>v</vendorId><data>{written}</data></dataTransferRequest>'
    assert await told(data) == {"vendorId": "v", "data": written}


@pytest.mark.parametrize(("fractions", "meant"), [(True, "2026-01-02T02:04:05.123Z"), (False, "2026-01-02T02:04:05Z")])
async def test_quirk_36_the_time_is_always_in_utc(fractions: bool, meant: str) -> None:
    with logged() as lines:
        async with site(route={"fractions": fractions}) as here:
            here.central.behaviour["Heartbeat"] = lambda _: {"currentTime": "2026-01-02T03:04:05.123+01:00"}
            assert (await here.send()).content[0].text == meant
    assert any("fractions of a second" in line for line in lines) is not fractions


@pytest.mark.parametrize("tolerance", ["tolerant", "strict"])
async def test_quirk_37_blanks_around_times_and_numbers(tolerance: str) -> None:
    """XML Schema allows them: a strict route has nothing against them either."""
    body = (
        f'<startTransactionRequest xmlns="{CS}"><connectorId> 1\n</connectorId><idTag>a</idTag>'
        f"<timestamp>\n {AT} </timestamp><meterStart>\t12 </meterStart></startTransactionRequest>"
    )
    said = await told(body, route={"tolerance": tolerance})
    assert said == {"connectorId": 1, "idTag": "a", "timestamp": AT, "meterStart": 12}


@pytest.mark.parametrize("context", ["Sample.Clock", "Sample.Periodic", "Transaction.Begin"])
async def test_quirk_38_no_context_is_filtered(context: str) -> None:
    values = (await told(readings("Wh", context=context)))["meterValue"]
    assert values[0]["sampledValue"][0]["context"] == context


# --- Identities ---


@pytest.mark.parametrize("identity", ["00:90:0B:1C:2D:3E", "RDAM|123", "a#b?c", "NL 1/2", "Â1", "50%", "+1", "a&b"])
async def test_quirk_39_strange_identities(identity: str) -> None:
    async with site() as here:
        assert (await here.send(identity=identity)).fault is None
        assert here.central.received[0][0] == identity


@pytest.mark.parametrize("listed", [True, False])
async def test_quirk_40_the_identity_in_another_case(listed: bool) -> None:
    """It is passed on as it was first written: by the operator, else by the Charge Point."""
    charge_points = {"evlink-A": ChargePoint()} if listed else {}
    async with site(charge_points=charge_points) as here:
        for identity in ("EVLINK-a", "evlink-a", "Evlink-A"):
            assert (await here.send(identity=identity)).fault is None
        assert {name for name, _, _ in here.central.received} == {"evlink-A" if listed else "EVLINK-a"}


async def test_quirk_40_the_identity_in_another_case_after_a_restart(tmp_path: Path) -> None:
    store = Store(url=f"sqlite:///{tmp_path}/bridge.db")
    async with JsonCentralSystem() as central:
        table = settings(central.url)
        table = type(table)(**{name: getattr(table, name) for name in table.__struct_fields__} | {"store": store})
        for identity in ("EVLINK-a", "evlink-A"):
            async with running(table) as gateway:
                assert (await post(gateway, envelope(identity=identity))).fault is None
        assert {name for name, _, _ in central.received} == {"EVLINK-a"}


# --- HTTP ---


@pytest.mark.parametrize(("coding", "packed"), [("gzip", compress), ("deflate", zlib.compress)])
async def test_quirk_41_compressed_bodies(coding: str, packed: Callable[[bytes], bytes]) -> None:
    async with site() as here:
        encoded = {"Content-Encoding": coding}
        plain = await here.post(packed(envelope()), headers=encoded)
        assert "Content-Encoding" not in plain.headers
        assert plain.fault is None
        answer = await here.post(packed(envelope()), headers=encoded | {"Accept-Encoding": coding})
        assert answer.headers["Content-Encoding"] == coding
        assert answer.headers["Content-Length"] == str(len(answer.body))
        # No more is inflated than may come.
        bomb = await here.post(packed(b" " * 10_000_000 + envelope()), headers=encoded)
        assert (bomb.status, bomb.fault) == (413, sender("ProtocolError"))


@pytest.mark.parametrize("name", ["x-gzip", "X-GZip "])
async def test_gzip_by_its_old_name(name: str) -> None:
    """RFC 9110 section 8.4.1.3."""
    async with site() as here:
        encoded, packed = {"Content-Encoding": name}, compress(envelope())
        assert (await here.post(packed, headers=encoded)).fault is None
        assert (await here.post(compress(envelope()[:99]) + compress(envelope()[99:]), headers=encoded)).fault is None
        answer = await here.post(packed, headers=encoded | {"Accept-Encoding": "x-gzip;q=0.5"})
        assert answer.headers["Content-Encoding"] == "gzip"
        for refused in (packed[:-9], b"<a/>", b"", compress(b" " * 10_000_000 + envelope())):
            answer = await here.post(refused, headers=encoded)
            assert answer.fault == sender("ProtocolError")


@pytest.mark.parametrize("header", ["gzip;q=0", "gzip; q=0.000, deflate;q=0", "identity", "br", "*;q=0", "gzipped"])
async def test_what_is_not_accepted_is_not_sent(header: str) -> None:
    async with site() as here:
        packed = compress(envelope())
        answer = await here.post(packed, headers={"Content-Encoding": "gzip", "Accept-Encoding": header})
        assert "Content-Encoding" not in answer.headers and answer.fault is None


async def raw(gateway: Gateway, data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """The status line, the headers and the body of what comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(*gateway.soap_address)
    writer.write(data)
    head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.split(b"\r\n")
    return first, dict(line.decode().split(": ", 1) for line in lines), body


@pytest.mark.parametrize("body", [envelope(), envelope("<x/>"), b"<a"])
async def test_quirk_42_chunks_http_1_0_and_content_length(body: bytes) -> None:
    async with site() as here:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:2], body[2:]) if part)
        chunked = b"Host: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        sized = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        for version, rest in ((b"1.1", chunked), (b"1.0", sized)):
            status_line, said, data = await raw(here.gateway, b"POST %b HTTP/%b\r\n%b" % (PATH.encode(), version, rest))
            assert status_line.split()[1] in (b"200", b"400", b"500")
            assert (int(said["Content-Length"]), "Transfer-Encoding" in said) == (len(data), False)
            assert (status_line.split()[1] == b"200") is (body == envelope())
            etree.fromstring(data)


@pytest.mark.parametrize(("route", "heartbeats"), [({}, 2), ({"close_after_answer": True}, 1)])
async def test_quirk_42_a_connection_is_kept_or_closed_after_the_answer(route: Payload, heartbeats: int) -> None:
    """Two Heartbeats, one behind the other, on one connection that the sender leaves open after the first answer."""
    one = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (PATH.encode(), len(envelope()), envelope())
    last = one.replace(b"Host: x", b"Host: x\r\nConnection: close")
    async with site(route=route) as here:
        reader, writer = await asyncio.open_connection(*here.gateway.soap_address)
        writer.write(one + last)
        received = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert received.count(b"HTTP/1.1 200 OK") == received.count(b"heartbeatResponse>") == heartbeats
        head = received.partition(b"\r\n\r\n")[0].lower()
        assert (b"\r\nconnection: close" in head) is bool(route)
        assert len(here.central.received) == heartbeats


@asynccontextmanager
async def tiny_stack(response: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers the first request of each connection and leaves it open: its URL, and what came in."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        seen.append(head + (await reader.readexactly(int(length[1])) if length else b""))
        writer.write(response)
        rest = await reader.read()  # until the other side hangs up, or a second request
        seen.extend([rest] if rest else [])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp", seen
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(("soap", "route"), [({}, {}), ({"connection_per_call": False}, {"connection_per_call": True})])
async def test_quirk_43_plain_http_towards_a_tiny_stack(soap: Payload, route: Payload) -> None:
    data = envelope(RESET, identity=None)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
    async with site(soap=soap, route=route) as here, tiny_stack(response) as (url, seen):
        await here.send(source=url)
        for _ in range(2):
            assert await here.command() == {"status": "Accepted"}
        # One connection for each, hung up on by us.
        assert len(seen) == 2
        for request in seen:
            head, _, body = request.partition(b"\r\n\r\n")
            assert head.startswith(b"POST /ocpp HTTP/1.1\r\n")
            names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
            assert b"content-length" in names
            assert not names & {b"expect", b"transfer-encoding", b"content-encoding"}
            assert headers(body)["Action"] == "/Reset"


async def test_quirk_43_a_redirect_is_not_followed() -> None:
    async with (
        site() as here,
        tiny_stack(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") as (
            url,
            seen,
        ),
    ):
        await here.send(source=url)
        with pytest.raises(CallRefused, match="HTTP 302"):
            await here.command()
        assert len(seen) == 1


# --- Keys of the route that no row has for itself ---

EVLINK = {"chargePointSerialNumber": "3" * 26, "chargeBoxSerialNumber": "E" * 33}


async def test_rule_112a_over_long_serial_numbers_are_cut() -> None:
    said = await told(boot(**EVLINK))
    assert (said["chargePointSerialNumber"], said["chargeBoxSerialNumber"]) == ("3" * 25, "E" * 25)
    said = await told(boot(**EVLINK).replace(CS, OF_15["cs"]))
    assert (said["chargePointSerialNumber"], said["chargeBoxSerialNumber"]) == ("3" * 25, "E" * 25)


@pytest.mark.parametrize("space", [CS, OF_15["cs"], OF_12["cs"]])
async def test_rule_112a_over_long_serial_numbers_are_dropped(space: str) -> None:
    said = await told(boot(**EVLINK).replace(CS, space), route={"overlong": "drop"})
    assert said == {"chargePointVendor": "v", "chargePointModel": "m"}


@pytest.mark.parametrize("space", [CS, OF_15["cs"], OF_12["cs"]])
@pytest.mark.parametrize("route", [{"overlong": "refuse"}, {"tolerance": "strict"}])
async def test_rule_112a_over_long_serial_numbers_are_refused(route: Payload, space: str) -> None:
    answer = await answered(envelope(boot(**EVLINK).replace(CS, space)), route=route)
    assert answer.fault is not None
    assert answer.fault[1].endswith("}ProtocolError")


@pytest.mark.parametrize("overlong", ["truncate", "drop"])
async def test_rule_112a_an_id_tag_is_never_cut(overlong: str) -> None:
    body = f'<authorizeRequest xmlns="{CS}"><idTag>{"t" * 21}</idTag></authorizeRequest>'
    answer = await answered(envelope(body), route={"overlong": overlong})
    assert answer.fault == sender("ProtocolError")
    assert "idTag" in answer.reason


@pytest.mark.parametrize("on", [True, False])
async def test_must_understand_on_what_goes_out(on: bool) -> None:
    async with site(route={"must_understand": on}) as here, listening(answering(RESET)) as point:
        answer = await here.send(source=point.url)
        await here.command()
        refused = await here.send("<x/>")
        assert refused.fault == receiver("NotSupported")
        assert (b"mustUnderstand" in answer.body) is on
        assert (b"mustUnderstand" in point.received[0]) is on


# --- Known programs ---


@pytest.mark.parametrize(
    ("own", "sibling"), [(CS, CP), (OF_15["cs"], OF_15["cp"]), (OF_12["cs"], OF_12["cp"])], ids=["1.6", "1.5", "1.2"]
)
async def test_quirk_88_a_request_in_the_namespace_of_its_sender(own: str, sibling: str) -> None:
    async with site() as here:
        with logged() as lines:
            answer = await here.send(f'<authorizeRequest xmlns="{sibling}"><idTag>A</idTag></authorizeRequest>')
        assert answer.fault is None
        assert etree.QName(answer.content) == etree.QName(own, "authorizeResponse")
        assert here.central.received[-1][1:] == ("Authorize", {"idTag": "A"})
        [lost] = [line for line in lines if " loss " in line and "namespace of its sender" in line]
        assert "CP 1" in lost


async def test_a_command_in_the_namespace_of_the_central_system() -> None:
    async with soap_central_system() as central:
        tables: dict[str, Any] = {"soap": reachable(), "central_system": {"protocol": "ocpp1.6s"}}
        async with (
            running(settings(central.url, **tables)) as gateway,
            listening(answering(RESET)) as point,
        ):
            assert (await post(gateway, envelope(source=point.url))).fault is None
            body = f'<resetRequest xmlns="{CS}"><type>Soft</type></resetRequest>'
            answer = await post(gateway, envelope(body), path="/services/ChargePointService")
            assert answer.fault is None
            assert etree.QName(answer.content) == etree.QName(CP, "resetResponse")


async def test_a_strict_route_refuses_the_namespace_of_the_sender() -> None:
    async with site(route={"tolerance": "strict"}) as here:
        answer = await here.send(f'<heartbeatRequest xmlns="{CP}"/>')
        assert answer.fault == sender("ProtocolError") and CP in answer.reason


@pytest.mark.parametrize("body", [HEARTBEAT, f'<authorizeRequest xmlns="{CS}"/>'], ids=["result", "Fault"])
async def test_quirk_89_an_answer_that_is_addressed_to_its_reader(body: str) -> None:
    url = "http://127.0.0.1:8890/"
    said = f'<b:MessageID xmlns:b="{WSA_2004}">1</b:MessageID><b:From xmlns:b="{WSA_2004}">{url}</b:From>'
    answer = await answered(bare(ME + said, body))
    assert (headers(answer.body)["To"], headers(answer.body)["chargeBoxIdentity"]) == (url, "CP 1")
    header = etree.fromstring(answer.body).find("{*}Header")
    assert header is not None and header.find(f"{{{CS}}}chargeBoxIdentity") is not None


async def test_an_answer_in_ws_addressing_of_2004_to_nobody_in_particular() -> None:
    answer = await answered(bare(ME + f'<b:MessageID xmlns:b="{WSA_2004}">1</b:MessageID>'))
    assert headers(answer.body)["To"] == f"{WSA_2004}/role/anonymous"


@pytest.mark.parametrize("prefix", ["ns1", "c", "ocpp-1.6_x"])
async def test_quirk_90_the_prefix_of_what_it_is_sent(prefix: str) -> None:
    text = 'a<c:b></c:b> xmlns:c="d"'
    done = "changeConfigurationResponse"
    done = f'<{done} xmlns="{CP}"><status>Accepted</status></{done}>'
    async with site(route={"prefix": prefix}) as here, listening(answering(done)) as point:
        answer = await here.send(source=point.url)
        assert f"<{prefix}:heartbeatResponse xmlns:{prefix}=".encode() in answer.body
        assert etree.QName(answer.content) == etree.QName(CS, "heartbeatResponse")
        refused = await here.send(f'<x xmlns="{CS}"/>')
        assert refused.fault == receiver("NotSupported")
        assert f"<s:Value>{prefix}:NotSupported</s:Value>".encode() in refused.body
        await here.command("ChangeConfiguration", {"key": "k", "value": text})
        assert f"<{prefix}:changeConfigurationRequest ".encode() in point.received[0]
        assert f"<{prefix}:chargeBoxIdentity ".encode() in point.received[0]
        [value] = etree.fromstring(point.received[0]).iter(f"{{{CP}}}value")
        assert value.text == text  # texts are no markup


@pytest.mark.parametrize("near", ["json", "soap"])
async def test_quirk_91_texts_that_were_escaped_for_html(near: str) -> None:
    async with leg(near, "json", central_system={"html_escaped": True}) as scene:
        await scene.met()
        location = "ftp://u:p&amp;w@host/&#39;a&#x27;?b=1&amp;copy=2&amp;amp;c"
        assert isinstance(scene.central_system, JsonCentralSystem)
        await scene.central_system.call("CP 1", "GetDiagnostics", {"location": location})
        told = scene.charge_point.received[-1][1]
        assert told["location"] == "ftp://u:p&w@host/'a'?b=1&copy=2&amp;c"
        # What goes to it is as it was.
        await scene.charge_point.call("DataTransfer", {"vendorId": "v", "data": "a&amp;b & c"})
        assert scene.central_system.received[-1][2]["data"] == "a&amp;b & c"


async def test_quirk_53_names_in_another_letter_case() -> None:
    """An entry of a local list without idTagInfo deletes its driver; here it has one."""
    entry = "<idTag>A</idTag><IdTagInfo><Status>Accepted</Status></IdTagInfo>"
    parts = f"<ListVersion>1</ListVersion><updateType>Full</updateType><LocalAuthorizationList>{entry}"
    body = f'<sendLocalListRequest xmlns="{CP}">{parts}</LocalAuthorizationList></sendLocalListRequest>'
    async with soap_central_system() as central:
        told = settings(central.url, central_system={"protocol": "ocpp1.6s"})
        async with running(told) as gateway, dialled(gateway) as point, asyncio.TaskGroup() as group:
            reply = group.create_task(post(gateway, envelope(body), path="/services/ChargePointService"))
            call = await point.serve({"STATUS": "Accepted"})
            assert call[3]["localAuthorizationList"] == [{"idTag": "A", "idTagInfo": {"status": "Accepted"}}]
            assert (await reply).content.findtext("{*}status") == "Accepted"


@pytest.mark.parametrize("name", ["interval", "heartbeatInterval", "HeartbeatInterval"])
@pytest.mark.parametrize("protocol", ["ocpp1.6s", "ocpp1.5s"])
async def test_quirk_92_an_interval_under_the_name_of_another_version(protocol: str, name: str) -> None:
    space = NAMESPACES[protocol]
    parts = f"<status>Accepted</status><currentTime>{AT}</currentTime><{name}>77</{name}>"
    told = f'<bootNotificationResponse xmlns="{space}">{parts}</bootNotificationResponse>'
    body = "<chargePointVendor>v</chargePointVendor><chargePointModel>m</chargePointModel>"
    async with listening(answering(told)) as central:
        system = settings(central.url, central_system={"protocol": protocol})
        async with running(system) as gateway:
            request = f'<bootNotificationRequest xmlns="{CS}">{body}</bootNotificationRequest>'
            answer = await post(gateway, envelope(request))
            assert answer.content.findtext(f"{{{CS}}}interval") == "77"


@pytest.mark.parametrize("version", ["1.6", "1.5"])
@pytest.mark.parametrize("name", ["localAuthorizationList", "localAuthorisationList"])
def test_a_local_list_under_the_name_of_another_version_clears_nothing(version: str, name: str) -> None:
    element = f"<listVersion>1</listVersion><updateType>Full</updateType><{name}><idTag>A</idTag></{name}>"
    space = strategies.service(version, Party.CENTRAL_SYSTEM).namespace
    body = etree.fromstring(f'<sendLocalListRequest xmlns="{space}">{element}</sendLocalListRequest>')
    call = strategies.codec(version, Party.CENTRAL_SYSTEM).read_call(opened(body), "1", strict=False)
    assert plain(call.payload)["localAuthorizationList"] == ({"idTag": "A"},)


async def test_quirk_92_a_heartbeat_interval_in_json() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        with logged() as lines:
            async with asyncio.TaskGroup() as group:
                body = f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>v</chargePointVendor>'
                body += "<chargePointModel>m</chargePointModel></bootNotificationRequest>"
                answer = group.create_task(post(gateway, envelope(body)))
                link = await central.connected()
                await link.serve({"status": "Accepted", "currentTime": AT, "heartbeatInterval": 300})
        assert answer.result().content.findtext(f"{{{CS}}}interval") == "300"
        assert [line for line in lines if " loss " in line and "heartbeatInterval" in line]


# --- Addresses ---


@pytest.mark.parametrize("path", [f"{PATH}/", "/SERVICES/centralsystemservice", "/Services/CentralSystemService//"])
async def test_an_address_in_any_case_and_with_slashes_behind_it(path: str) -> None:
    async with site() as here:
        assert (await here.post(envelope(), path=path)).fault is None
        assert b"definitions" in (await here.post(b"", path=f"{path}?wsdl", method="GET")).body


@pytest.mark.parametrize(("version", "space"), [("1.6", CS), ("1.5", OF_15["cs"]), ("1.2", OF_12["cs"])])
@pytest.mark.parametrize("path", [f"{PATH}/", f"{PATH.lower()}/"])
async def test_an_address_for_each_version(path: str, version: str, space: str) -> None:
    async with site() as here:
        description = await here.post(b"", path=f"{path}{version}?wsdl", method="GET")
        assert f'targetNamespace="{space}"' in description.text
        assert f"{PATH}/{version}" in description.text
        other = await here.post(b"", path=f"{path}{version}/?wsdl&version=1.2", method="GET")
        assert f'targetNamespace="{OF_12["cs"]}"' in other.text
        # It is no identity ...
        nobody = await here.post(envelope(identity=None), path=path + version)
        assert nobody.fault == sender("ProtocolError")
        # ... which may stand behind it.
        body = envelope(HEARTBEAT.replace(CS, space), identity=None)
        answer = await here.post(body, path=f"{path}{version}/CP%201")
        assert etree.QName(answer.content) == etree.QName(space, "heartbeatResponse")
        assert here.central.received[0][0] == "CP 1"


# --- All rows ---

TABLE = Path(bridge.__file__).parents[1] / "docs" / "quirks.md"


def test_every_row_has_a_test_and_a_line() -> None:
    """A test that carries the number of a row may stand in the file of what it tests."""
    files = Path(__file__).parents[1].rglob("test_*.py")
    tested = {int(found) for file in files for found in re.findall(r"def test_quirk_(\d+)_", file.read_text("utf-8"))}
    rows = [int(row) for row in re.findall(r"^\| *(\d+) *\|", TABLE.read_text("utf-8"), re.MULTILINE)]
    assert rows == sorted(set(rows))
    assert tested == {*rows}
