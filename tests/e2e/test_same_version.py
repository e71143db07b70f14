"""OCPP 1.5 to 1.5 and 1.2 to 1.2 on the wire: the Body passes as it came, the headers are new.

That this holds for every message is shown in tests/ocpps/test_verbatim.py and tests/e2e/test_legacy.py; here are
Bodies that come out changed where they go through OCPP 1.6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from lxml import etree
from msgspec.structs import replace

from bridge.config import Store
from bridge.gateway.public_addresses import CHARGE_POINT_SERVICE
from bridge.ocpp.actions import Party
from tests.dialects import strategies
from tests.e2e.stage import AT, Answer, RawChargePoint, envelope, listening, logged, post, running, settings
from tests.ocpps.test_verbatim import canonical
from tests.reference import CASES, needs_cases

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_ANSWERS = {
    "bootNotification": (
        f"<status>Accepted</status><currentTime>{AT}</currentTime><heartbeatInterval>9</heartbeatInterval>"
    ),
    "startTransaction": "<transactionId>1</transactionId><idTagInfo><status>Accepted</status></idTagInfo>",
    "authorize": "<idTagInfo><status>Accepted</status></idTagInfo>",
    "heartbeat": f"<currentTime>{AT}</currentTime>",
}
BEAT = f"<currentTime>{AT}</currentTime>"


def said(version: str, caller: Party, name: str, inside: str) -> str:
    """A Body's element as a peer writes it, with a comment and a prefix of its own."""
    namespace = strategies.service(version, caller).namespace
    spaced = f"\n {inside}\n" if inside else ""
    return f'<p:{name} xmlns:p="{namespace}" xmlns="{namespace}"><!-- {name} -->{spaced}</p:{name}>'


class Peer:
    """A service that answers what it is told to. `at` is where it listens."""

    def __init__(self) -> None:
        self.answer = ""
        self.at = RawChargePoint()

    async def respond(self, _: bytes) -> web.Response:
        return web.Response(body=envelope(self.answer, identity=None), content_type="application/soap+xml")

    @property
    def heard(self) -> etree._Element:
        """The element in the Body of the last request."""
        body = etree.fromstring(self.at.received[-1]).find("{*}Body")
        assert body is not None
        return body[0]


class Scene:
    """A gateway between a raw Charge Point and a raw Central System of one version."""

    def __init__(self, gateway: Any, version: str, central: Peer, point: Peer) -> None:
        self.gateway = gateway
        self.version = version
        self.central = central
        self.point = point

    async def asks(self, caller: Party, body: str) -> Answer:
        """Post `body` to the gateway."""
        if caller is CS:
            return await post(self.gateway, envelope(body), path=CHARGE_POINT_SERVICE)
        return await post(self.gateway, envelope(body, source=self.point.at.url))

    async def passes(self, caller: Party, action: str, request: str, answer: str) -> None:
        """The two Bodies arrive as they were sent."""
        lower = action[:1].lower() + action[1:]
        asked = said(self.version, caller, f"{lower}Request", request)
        peer = self.central if caller is CP else self.point
        peer.answer = said(self.version, caller, f"{lower}Response", answer)
        answered = await self.asks(caller, asked)
        assert answered.status == 200, answered.text
        assert canonical(peer.heard) == canonical(asked.encode())
        assert canonical(answered.content) == canonical(peer.answer.encode())


@asynccontextmanager
async def scene(version: str, *, store: Store | None = None, **route: Any) -> AsyncIterator[Scene]:
    central, point = Peer(), Peer()
    async with listening(central.respond) as central.at, listening(point.respond) as point.at:
        told = settings(central.at.url, central_system={"protocol": f"ocpp{version}s"}, route=route)
        if store is not None:
            told = replace(told, store=store)
        async with running(told) as gateway:
            made = Scene(gateway, version, central, point)
            await made.passes(CP, "Heartbeat", "", BEAT)
            yield made


_READING = f'<values><timestamp>{AT}</timestamp><value unit="Amp" context="Sample.Clock">1.50</value></values>'
_STOP = f"<transactionId>7</transactionId><idTag>A</idTag><timestamp>{AT}</timestamp><meterStop>1</meterStop>"
_STATUS = "<connectorId>{}</connectorId><status>{}</status><errorCode>{}</errorCode>"


@pytest.mark.parametrize(
    ("caller", "action", "request_", "answer"),
    [
        (CP, "StatusNotification", _STATUS.format(0, "Reserved", "NoError"), ""),
        (CP, "StatusNotification", _STATUS.format(1, "Occupied", "Mode3Error"), ""),
        (CP, "StatusNotification", _STATUS.format(1, "Faulted", "OtherError") + f"<info>{'i' * 80}</info>", ""),
        (
            CP,
            "StopTransaction",
            f"{_STOP}<transactionData>{_READING}</transactionData><transactionData>{_READING * 2}</transactionData>",
            "<idTagInfo><status>Accepted</status></idTagInfo>",
        ),
        (CP, "DataTransfer", "<vendorId>v</vendorId><data>5 &lt; 6 é</data>", "<status>Accepted</status>"),
        (
            CS,
            "SendLocalList",
            "<updateType>Full</updateType><listVersion>1</listVersion><localAuthorisationList><idTag>A</idTag>"
            "</localAuthorisationList><hash>0a1b</hash>",
            "<status>HashError</status><hash>0a1c</hash>",
        ),
        (CS, "ChangeConfiguration", "<key>HeartBeatInterval</key><value>60</value>", "<status>Rejected</status>"),
        (CS, "UnlockConnector", "<connectorId>1</connectorId>", "<status>Accepted</status>"),
    ],
)
async def test_quirk_72_what_1_6_would_change_passes_from_1_5_to_1_5(
    caller: Party, action: str, request_: str, answer: str
) -> None:
    with logged() as lines:
        async with scene("1.5") as stage:
            await stage.passes(caller, action, request_, answer)
        async with scene("1.5", tolerance="strict") as stage:
            await stage.passes(caller, action, request_, answer)
    assert [line for line in lines if " loss " in line] == []


@pytest.mark.parametrize(
    ("caller", "action", "request_", "answer"),
    [
        (CP, "BootNotification", f"<chargePointVendor>{'v' * 60}</chargePointVendor>", "<status>Accepted</status>"),
        (CP, "StatusNotification", _STATUS.format(0, "Occupied", "ReaderFailure"), ""),
        (
            CP,
            "MeterValues",
            f"<connectorId>1</connectorId><values><timestamp>{AT}</timestamp><value>9</value></values>",
            "",
        ),
        (CS, "ChangeConfiguration", "<key>HeartBeatInterval</key><value>60</value>", "<status>Accepted</status>"),
    ],
)
async def test_what_1_6_would_change_passes_from_1_2_to_1_2(
    caller: Party, action: str, request_: str, answer: str
) -> None:
    async with scene("1.2") as stage:
        model = "<chargePointModel>m</chargePointModel>" if action == "BootNotification" else ""
        await stage.passes(caller, action, request_ + model, answer)


_FROM_THE_FIELD = (
    "001-soap15-prefixed-attributes",
    "002-soap15-sixteen-shape-silent",
    "014-soap15-identity-DN-wsse",
    "015-soap15-to-with-address",
    "017-soap15-stop-data-in-sixteen-shape",
    "020-soap15-ns1-prefix",
)


@needs_cases
@pytest.mark.parametrize("case", _FROM_THE_FIELD)
async def test_what_devices_really_send_reaches_a_central_system_of_their_version_as_it_is(case: str) -> None:
    data = (CASES / f"{case}.xml").read_bytes()
    body = etree.fromstring(data).find("{*}Body")
    assert body is not None
    sent = next(body.iterchildren("*"))
    name = etree.QName(sent).localname.removesuffix("Request")
    async with scene("1.5") as stage:
        stage.central.answer = said("1.5", CP, f"{name}Response", _ANSWERS.get(name, ""))
        answer = await post(stage.gateway, data)
        assert answer.status == 200, answer.text
        assert canonical(stage.central.heard) == canonical(sent)


async def test_what_tolerance_would_repair_is_told_and_passes() -> None:
    start = f"<connectorId>1</connectorId><idTag>A</idTag><meterStart>1</meterStart><timestamp>{AT[:-1]}</timestamp>"
    answer = "<transactionId>1</transactionId><idTagInfo><status>Accepted</status></idTagInfo>"
    with logged() as lines:
        async with scene("1.5") as stage:
            await stage.passes(CP, "StartTransaction", f"{start}<colour>red</colour>", answer)
    [line] = [line for line in lines if " loss " in line]
    assert "field=StartTransactionRequest.colour" in line
    assert "StartTransactionRequest.timestamp: a time stamp without a zone" in line


_LIST = (
    "<updateType>Differential</updateType><listVersion>1</listVersion>"
    "<localAuthorisationList><idTag>A</idTag>{}</localAuthorisationList>"
)
_SPOILT = (
    ("SendLocalList", _LIST.format("<idTagInfo/>"), "<status>Accepted</status>", "idTagInfo: an empty optional part"),
    (
        "SendLocalList",
        _LIST.format("<idTagInfo><status>Welcome</status></idTagInfo>"),
        "<status>Accepted</status>",
        "idTagInfo.status: a word outside its enumeration",
    ),
    (
        "GetDiagnostics",
        "<location>ftp://x</location><startTime>soon</startTime>",
        "",
        "startTime: an optional part that cannot be read",
    ),
    ("RemoteStartTransaction", "<idTag>A</idTag><connectorId/>", "<status>Accepted</status>", "connectorId: an empty"),
)


@pytest.mark.parametrize(("action", "request_", "answer", "told"), _SPOILT)
async def test_a_spoilt_command_passes_and_strict_refuses_it(
    action: str, request_: str, answer: str, told: str
) -> None:
    """Absence has a meaning in a command. Nothing is made absent in what passes, so nothing is refused."""

    async def walk(tolerance: str) -> None:
        async with scene("1.5", tolerance=tolerance) as stage:
            if tolerance == "tolerant":
                await stage.passes(CS, action, request_, answer)
                return
            heard = len(stage.point.at.received)
            name = f"{action[:1].lower()}{action[1:]}Request"
            refused = await stage.asks(CS, said("1.5", CS, name, request_))
            assert refused.status in (400, 500), refused.text
            assert len(stage.point.at.received) == heard

    with logged() as lines:
        await walk("tolerant")
    [line] = [line for line in lines if " loss " in line]
    [head, rest] = told.split(": ")
    assert head in line and rest in line
    await walk("strict")


async def test_strict_refuses_what_tolerance_would_repair() -> None:
    async with scene("1.5", tolerance="strict") as stage:
        heard = len(stage.central.at.received)
        start = "<connectorId>1</connectorId><idTag>A</idTag><timestamp>{}</timestamp><meterStart>1</meterStart>"
        body = said("1.5", CP, "startTransactionRequest", start.format(AT[:-1]))
        refused = await stage.asks(CP, body)
        assert refused.status == 400
        assert "timestamp" in refused.reason and "strict" in refused.reason
        assert len(stage.central.at.received) == heard


@pytest.mark.parametrize("version", ["1.5", "1.2"])
@pytest.mark.parametrize(("said_", "told"), [(900, 60), (60, 60), (30, 30)])
async def test_an_interval_over_heartbeat_max_is_capped_and_nothing_else_changes(
    version: str, said_: int, told: int
) -> None:
    boot = "<chargePointVendor>v</chargePointVendor><chargePointModel>m</chargePointModel>"
    answer = f"<status>Accepted</status><currentTime>{AT}</currentTime><heartbeatInterval>{{}}</heartbeatInterval>"
    with logged() as lines:
        async with scene(version, heartbeat_max=60) as stage:
            stage.central.answer = said(version, CP, "bootNotificationResponse", answer.format(said_))
            got = await stage.asks(CP, said(version, CP, "bootNotificationRequest", boot))
            expected = said(version, CP, "bootNotificationResponse", answer.format(told))
            assert canonical(got.content) == canonical(expected.encode())
    capped = [line for line in lines if " loss " in line and "heartbeat_max" in line]
    assert len(capped) == (said_ != told)


_STARTED = "<transactionId>7</transactionId><idTagInfo><status>Accepted</status></idTagInfo><own>x</own>"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_repetition_gets_the_body_that_the_first_copy_got(restarted: bool, tmp_path: Path) -> None:
    start = f"<connectorId>1</connectorId><idTag>A</idTag><timestamp>{AT}</timestamp><meterStart>1</meterStart>"
    store = Store(url=f"sqlite:///{tmp_path}/bridge.db")

    async def repeated(stage: Scene) -> None:
        heard = len(stage.central.at.received)
        again = await stage.asks(CP, said("1.5", CP, "startTransactionRequest", start))
        expected = said("1.5", CP, "startTransactionResponse", _STARTED)
        assert canonical(again.content) == canonical(expected.encode())
        assert len(stage.central.at.received) == heard

    async with scene("1.5", store=store) as stage:
        await stage.passes(CP, "StartTransaction", start, _STARTED)
        if not restarted:
            await repeated(stage)
    if restarted:
        async with scene("1.5", store=store) as stage:
            await repeated(stage)


async def test_an_alias_takes_the_place_of_a_transaction_id_beyond_32_bits_both_ways() -> None:
    start = f"<connectorId>1</connectorId><idTag>A</idTag><timestamp>{AT}</timestamp><meterStart>1</meterStart>"
    started = "<transactionId>{}</transactionId><idTagInfo><status>Accepted</status></idTagInfo>"
    values = f"<connectorId>1</connectorId><transactionId>{{}}</transactionId>{_READING}"
    vast = 9_999_999_999
    async with scene("1.5") as stage:
        stage.central.answer = said("1.5", CP, "startTransactionResponse", started.format(vast))
        answer = await stage.asks(CP, said("1.5", CP, "startTransactionRequest", start))
        alias = answer.content.findtext("{*}transactionId")
        assert alias is not None and int(alias) < 2**31
        expected = said("1.5", CP, "startTransactionResponse", started.format(alias))
        assert canonical(answer.content) == canonical(expected.encode())
        for name, inside in (("meterValues", values), ("stopTransaction", _STOP.replace(">7<", ">{}<"))):
            stage.central.answer = said("1.5", CP, f"{name}Response", "")
            await stage.asks(CP, said("1.5", CP, f"{name}Request", inside.format(alias)))
            expected = said("1.5", CP, f"{name}Request", inside.format(vast))
            assert canonical(stage.central.heard) == canonical(expected.encode())


async def test_a_charge_point_of_another_version_is_translated() -> None:
    async with scene("1.5") as stage:
        stage.central.answer = said("1.5", CP, "heartbeatResponse", BEAT)
        stage.version = "1.2"
        answer = await stage.asks(CP, said("1.2", CP, "heartbeatRequest", ""))
        assert answer.content.tag == etree.fromstring(said("1.2", CP, "heartbeatResponse", "")).tag
        assert answer.content.findtext("{*}currentTime") == AT
