"""A simulated Charge Point over loopback: its own calls, and a real zeep client's commands to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zeep
import zeep.exceptions
from aiohttp import web
from lxml import etree
from zeep.transports import Transport

import bridge
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload, WireMessage

WSDL = Path(bridge.__file__).parents[1] / "wsdl" / "ocpp16"
CS = "urn://Ocpp/Cs/2015/10/"
CP = "urn://Ocpp/Cp/2015/10/"
NS = {"s": "http://www.w3.org/2003/05/soap-envelope", "a": "http://www.w3.org/2005/08/addressing", "cs": CS, "cp": CP}

Respond = Callable[[etree._Element], tuple[int, str]]


def envelope(body: str, action: str, relates_to: str, namespace: str = CS) -> str:
    return (
        f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:a="{NS["a"]}" xmlns:o="{namespace}"><s:Header>'
        f"<a:Action>{action}</a:Action><a:MessageID>urn:uuid:1</a:MessageID><a:RelatesTo>{relates_to}</a:RelatesTo>"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def message_id(request: etree._Element) -> str:
    return request.findtext(".//a:MessageID", namespaces=NS) or ""


def heartbeat(request: etree._Element) -> tuple[int, str]:
    body = "<o:heartbeatResponse><o:currentTime>2026-01-02T04:04:05+01:00</o:currentTime></o:heartbeatResponse>"
    return 200, envelope(body, "/HeartbeatResponse", message_id(request))


@asynccontextmanager
async def central_system(respond: Respond) -> AsyncIterator[str]:
    """A handler that knows only text; gives its URL."""

    async def serve(request: web.BaseRequest) -> web.Response:
        status, text = respond(etree.fromstring(await request.read()))
        return web.Response(status=status, text=text, content_type="application/soap+xml")

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/services/CentralSystemService"
    finally:
        await runner.cleanup()


async def calling(respond: Respond, action: str, payload: Payload) -> tuple[Payload, SoapChargePoint]:
    async with central_system(respond) as url, SoapChargePoint(url=url, identity="CP 1", wsdl=WSDL) as charge_point:
        return await charge_point.call(action, payload), charge_point


async def test_a_call_carries_every_header_and_gives_the_answer_as_plain_data() -> None:
    seen: list[etree._Element] = []

    def respond(request: etree._Element) -> tuple[int, str]:
        seen.append(request)
        return heartbeat(request)

    answer, charge_point = await calling(respond, "Heartbeat", {})
    assert answer == {"currentTime": "2026-01-02T03:04:05Z"}
    assert charge_point.violations == []
    [request] = seen
    header = request.find("s:Header", NS)
    assert header is not None
    assert header.findtext("cs:chargeBoxIdentity", namespaces=NS) == "CP 1"
    assert header.find("cs:chargeBoxIdentity", NS).get(f"{{{NS['s']}}}mustUnderstand") == "true"  # type: ignore[union-attr]
    assert header.findtext("a:Action", namespaces=NS) == "/Heartbeat"
    assert (header.findtext("a:MessageID", namespaces=NS) or "").startswith("urn:uuid:")
    assert header.findtext("a:From/a:Address", namespaces=NS) == charge_point.callback_url
    assert header.findtext("a:ReplyTo/a:Address", namespaces=NS) == f"{NS['a']}/anonymous"
    assert header.findtext("a:To", namespaces=NS) == charge_point.url
    assert request.find("s:Body/cs:heartbeatRequest", NS) is not None


async def test_a_reply_with_one_field_or_none_is_not_unwrapped() -> None:
    body = "<o:authorizeResponse><o:idTagInfo><o:status>Blocked</o:status></o:idTagInfo></o:authorizeResponse>"
    authorise = calling(
        lambda request: (200, envelope(body, "/AuthorizeResponse", message_id(request))), "Authorize", {"idTag": "é&<"}
    )
    assert (await authorise)[0] == {"idTagInfo": {"status": "Blocked"}}
    empty = calling(
        lambda request: (200, envelope("<o:meterValuesResponse/>", "/MeterValuesResponse", message_id(request))),
        "MeterValues",
        {
            "connectorId": 1,
            "meterValue": [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "230.10"}]}],
        },
    )
    assert (await empty)[0] == {}


FAULT = (
    '<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value xmlns:x="urn:x">x:InternalError</s:Value>'
    '</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">nobody there</s:Text></s:Reason>'
    "<s:Detail><o:code>GenericError</o:code></s:Detail></s:Fault>"
)


@pytest.mark.parametrize("status", [200, 500, 503])
async def test_a_fault_is_refused_whatever_the_status(status: int) -> None:
    with pytest.raises(CallRefused) as caught:
        await calling(lambda _: (status, envelope(FAULT, "/fault", "")), "Heartbeat", {})
    refused = caught.value
    assert (refused.code, refused.subcode, refused.description) == ("Receiver", "InternalError", "nobody there")
    assert (refused.http_status, refused.details) == (status, {"code": "GenericError"})
    assert "nobody there" in refused.body


async def test_an_http_error_without_a_fault_is_refused() -> None:
    with pytest.raises(CallRefused, match="HTTP: status 503") as caught:
        await calling(lambda _: (503, "come back later"), "Heartbeat", {})
    assert caught.value.body == "come back later"


async def test_what_does_not_fit_the_wsdl_is_an_error() -> None:
    with pytest.raises(ValueError, match="idTag"):
        await calling(heartbeat, "Authorize", {})
    with pytest.raises(ValueError, match="Reset"):
        await calling(heartbeat, "Reset", {"type": "Soft"})
    body = "<o:authorizeResponse><o:idTagInfo><o:status>Perhaps</o:status></o:idTagInfo></o:authorizeResponse>"
    with pytest.raises(ValueError, match="Perhaps"):
        await calling(lambda _: (200, envelope(body, "", "")), "Authorize", {"idTag": "A"})


async def test_an_answer_to_something_else_is_written_down() -> None:
    unrelated = heartbeat(etree.Element("nothing"))
    _, charge_point = await calling(lambda _: unrelated, "Heartbeat", {})
    [violation] = charge_point.violations
    assert violation.startswith("answer to Heartbeat: RelatesTo is ''")


async def test_nobody_at_the_url_is_a_connection_error() -> None:
    async with central_system(heartbeat) as url:
        pass
    async with SoapChargePoint(url=url, identity="CP1", wsdl=WSDL) as charge_point:
        with pytest.raises(ConnectionError):
            await charge_point.call("Heartbeat", {})


async def test_a_slow_answer_is_a_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, SoapChargePoint(url=url, identity="CP1", wsdl=WSDL, timeout=0.01) as charge_point:
        with pytest.raises(TimeoutError, match="Heartbeat"):
            await charge_point.call("Heartbeat", {})


async def commanding(
    talk: Callable[[Callable[..., Coroutine[Any, Any, Any]]], Coroutine[Any, Any, None]],
    prepare: Callable[[SoapChargePoint], None] = lambda _: None,
    identity: str = "CP1",
    url: str = "http://127.0.0.1:9/",
) -> SoapChargePoint:
    """Run `talk` with a function that has a zeep client send a command; gives the Charge Point afterwards."""
    charge_point = SoapChargePoint(url=url, identity="CP1", wsdl=WSDL)
    prepare(charge_point)
    transport: Any = Transport(operation_timeout=10)  # type: ignore[no-untyped-call]
    transport.session.trust_env = False  # no proxy on the way to loopback
    client: Any = zeep.Client(str(WSDL / "ChargePointService.wsdl"), transport=transport)  # type: ignore[no-untyped-call]
    header = etree.Element(f"{{{CP}}}chargeBoxIdentity")
    header.text = identity

    async def send(action: str, **payload: Any) -> Any:
        service = client.create_service(next(iter(client.wsdl.bindings)), charge_point.callback_url)
        return await asyncio.to_thread(service[action], **payload, _soapheaders=[header])

    async with charge_point:
        try:
            await talk(send)
        finally:
            transport.session.close()
    return charge_point


async def test_every_command_has_an_answer_that_zeep_can_read() -> None:
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.1}]},
    }

    async def talk(send: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        assert await send("ChangeAvailability", connectorId=0, type="Operative") == "Accepted"
        assert await send("ChangeConfiguration", key="HeartbeatInterval", value="60") == "Accepted"
        assert await send("ChangeConfiguration", key="NumberOfConnectors", value="9") == "Rejected"
        assert await send("ChangeConfiguration", key="Nonsense", value="9") == "NotSupported"
        answer = await send("GetConfiguration", key=["HeartbeatInterval", "Nonsense"])
        assert [(key.key, key.readonly, key.value) for key in answer.configurationKey] == [
            ("HeartbeatInterval", False, "60")
        ]
        assert answer.unknownKey == ["Nonsense"]
        assert len((await send("GetConfiguration")).configurationKey) > 5
        assert await send("ClearCache") == "Accepted"
        assert await send("SetChargingProfile", connectorId=1, csChargingProfiles=profile) == "Accepted"
        assert await send("ClearChargingProfile", stackLevel=4) == "Unknown"
        assert await send("ClearChargingProfile", stackLevel=0) == "Accepted"
        answer = await send("DataTransfer", vendorId="v", data="<&>")
        assert (answer.status, answer.data) == ("Accepted", "<&>")
        schedule = (await send("GetCompositeSchedule", connectorId=1, duration=60)).chargingSchedule
        assert schedule.chargingSchedulePeriod[0].limit == Decimal(11000)
        assert await send("GetDiagnostics", location="ftp://a/b") == "diagnostics.log"
        await send("SendLocalList", listVersion=4, updateType="Full")
        assert await send("SendLocalList", listVersion=3, updateType="Differential") == "VersionMismatch"
        assert await send("GetLocalListVersion") == 4
        assert await send("RemoteStartTransaction", connectorId=1, idTag="A") == "Accepted"
        assert await send("RemoteStopTransaction", transactionId=1) == "Accepted"
        expiry = "2026-01-02T03:04:05Z"
        assert await send("CancelReservation", reservationId=7) == "Rejected"
        assert await send("ReserveNow", connectorId=1, expiryDate=expiry, idTag="A", reservationId=7) == "Accepted"
        assert await send("CancelReservation", reservationId=7) == "Accepted"
        assert await send("Reset", type="Soft") == "Accepted"
        assert await send("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
        assert await send("UnlockConnector", connectorId=1) == "Unlocked"
        assert await send("UpdateFirmware", retrieveDate=expiry, location="ftp://a/b") is None

    charge_point = await commanding(talk)
    assert {action for action, _ in charge_point.received} == set(charge_point.behaviour)
    assert len(charge_point.behaviour) == 19
    # zeep's client sends neither From nor ReplyTo: exactly that is objected to.
    assert len(charge_point.violations) == 2 * len(charge_point.received)
    assert all("a From" in violation or "ReplyTo" in violation for violation in charge_point.violations)


async def test_commands_arrive_as_plain_data_and_hooks_stand_before_and_after_the_answer() -> None:
    story: list[str] = []
    finished = asyncio.Event()

    async def before(action: str, payload: Payload) -> None:
        story.append(f"before {action} {payload['idTag']}")

    async def after(action: str, payload: Payload) -> None:
        await asyncio.sleep(0)
        story.append(f"after {action} {payload['idTag']}")
        finished.set()

    async def start(payload: Payload) -> Payload:
        story.append("behaviour")
        return {"status": "Rejected"}

    def prepare(charge_point: SoapChargePoint) -> None:
        charge_point.on_command, charge_point.after_command = before, after
        charge_point.behaviour["RemoteStartTransaction"] = start

    async def talk(send: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        assert await send("RemoteStartTransaction", idTag="A") == "Rejected"
        await finished.wait()

    charge_point = await commanding(talk, prepare)
    assert charge_point.received == [("RemoteStartTransaction", {"idTag": "A"})]
    assert story == ["before RemoteStartTransaction A", "behaviour", "after RemoteStartTransaction A"]


async def test_a_call_inside_a_command_is_answered_before_the_command() -> None:
    async with (
        central_system(heartbeat) as url,
        SoapChargePoint(url=url, identity="CP1", wsdl=WSDL) as charge_point,
    ):
        answers: list[Payload] = []

        async def before(action: str, payload: Payload) -> None:
            answers.append(await charge_point.call("Heartbeat", {}))

        charge_point.on_command = before
        async with aiohttp.ClientSession() as http:
            body = envelope("<o:clearCacheRequest/>", "/ClearCache", "", CP).replace(
                "<a:Action>", "<o:chargeBoxIdentity>CP1</o:chargeBoxIdentity><a:Action>"
            )
            async with http.post(charge_point.callback_url + "any/path", data=body.encode()) as response:
                reply = etree.fromstring(await response.read())
        assert len(answers) == 1
        assert reply.findtext("s:Header/a:Action", namespaces=NS) == "/ClearCacheResponse"
        assert reply.findtext("s:Header/a:RelatesTo", namespaces=NS) == "urn:uuid:1"
        assert reply.findtext("s:Header/a:To", namespaces=NS) == f"{NS['a']}/anonymous"
        assert reply.findtext("s:Body/cp:clearCacheResponse/cp:status", namespaces=NS) == "Accepted"


async def test_a_refusing_behaviour_is_answered_with_a_fault() -> None:
    def refuse(_: Payload) -> Payload:
        raise CallRefused("Receiver", "not today", {"when": "tomorrow"}, subcode="NotSupported")

    def fail(_: Payload) -> Payload:
        raise KeyError("oops")

    def prepare(charge_point: SoapChargePoint) -> None:
        charge_point.behaviour |= {"Reset": refuse, "ClearCache": fail, "UnlockConnector": lambda _: {"state": "odd"}}
        del charge_point.behaviour["TriggerMessage"]

    async def talk(send: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        with pytest.raises(zeep.exceptions.Fault, match="not today") as caught:
            await send("Reset", type="Soft")
        assert caught.value.subcodes == [etree.QName(CP, "NotSupported")]
        assert "tomorrow" in etree.tostring(caught.value.detail).decode()
        for action, payload in (("ClearCache", {}), ("UnlockConnector", {"connectorId": 1})):
            with pytest.raises(zeep.exceptions.Fault) as caught:
                await send(action, **payload)
            assert caught.value.subcodes == [etree.QName(CP, "InternalError")]
        with pytest.raises(zeep.exceptions.Fault, match="TriggerMessage"):
            await send("TriggerMessage", requestedMessage="Heartbeat")

    charge_point = await commanding(talk, prepare)
    assert any("KeyError('oops')" in violation for violation in charge_point.violations)


async def test_a_command_for_another_is_an_identity_mismatch() -> None:
    async def talk(send: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        with pytest.raises(zeep.exceptions.Fault) as caught:
            await send("ClearCache")
        assert caught.value.subcodes == [etree.QName(CP, "IdentityMismatch")]

    charge_point = await commanding(talk, identity="CP2")
    assert charge_point.received == []
    assert charge_point.violations == ["command ClearCache: this is CP1, not CP2"]


async def test_a_command_that_zeep_lets_pass_but_the_schema_does_not_is_a_protocol_error() -> None:
    async def talk(send: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        with pytest.raises(zeep.exceptions.Fault, match="Medium") as caught:
            await send("Reset", type="Medium")
        assert caught.value.subcodes == [etree.QName(CP, "ProtocolError")]

    assert (await commanding(talk)).received == []


@pytest.mark.parametrize("body", [b"", b"junk", b"<a/>", envelope("", "/Reset", "").encode()])
async def test_what_is_no_command_is_a_protocol_error(body: bytes) -> None:
    async with (
        SoapChargePoint(url="http://127.0.0.1:9/", identity="CP1", wsdl=WSDL) as charge_point,
        aiohttp.ClientSession() as http,
        http.post(charge_point.callback_url, data=body) as response,
    ):
        status, text = response.status, await response.text()
    assert status == 400
    assert "ocpp:ProtocolError" in text


async def test_the_observer_is_told_of_both_directions() -> None:
    told: list[WireMessage] = []
    async with (
        central_system(heartbeat) as url,
        SoapChargePoint(url=url, identity="CP1", wsdl=WSDL, observe=told.append) as charge_point,
    ):
        await charge_point.call("Heartbeat", {})
        async with aiohttp.ClientSession() as http, http.post(charge_point.callback_url, data=b"junk"):
            pass
    assert [(message.direction, message.kind, message.action) for message in told] == [
        ("sent", "call", "Heartbeat"),
        ("received", "result", "Heartbeat"),
        ("received", "call", ""),
        ("sent", "error", ""),
    ]
    assert told[0].unique_id == told[1].unique_id
    assert told[0].elapsed is None and told[1].elapsed is not None
    assert told[2].text == "junk"


async def test_a_charge_point_may_come_back_elsewhere() -> None:
    async with central_system(heartbeat) as url:
        charge_point = SoapChargePoint(url=url, identity="CP1", wsdl=WSDL)
        for _ in range(2):
            async with charge_point:
                await charge_point.call("Heartbeat", {})


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with SoapChargePoint(url="http://127.0.0.1:9/", identity="CP1", wsdl=WSDL) as first:
        port = int(first.callback_url.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            await SoapChargePoint(url="http://127.0.0.1:9/", identity="CP2", wsdl=WSDL, port=port).start()
