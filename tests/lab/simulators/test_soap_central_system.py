"""A simulated Central System over loopback: the simulated Charge Point, both ways, and raw POSTs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zeep
from aiohttp import web
from lxml import etree
from zeep.transports import Transport

import bridge
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload, WireMessage
from tests.lab.simulators.samples import COMMANDS, NOON

WSDL = Path(bridge.__file__).parents[1] / "wsdl" / "ocpp16"
CS = "urn://Ocpp/Cs/2015/10/"
NS = {"s": "http://www.w3.org/2003/05/soap-envelope", "a": "http://www.w3.org/2005/08/addressing", "c": CS}
Talk = Callable[[SoapCentralSystem, SoapChargePoint], Coroutine[Any, Any, None]]


async def connected(talk: Talk, central: SoapCentralSystem | None = None) -> SoapCentralSystem:
    """Run `talk` with a Central System and the Charge Point "CP 1" that knows its URL; gives the former afterwards."""
    central = central or SoapCentralSystem(wsdl=WSDL)
    async with central, SoapChargePoint(url=central.url, identity="CP 1", wsdl=WSDL) as charge_point:
        await talk(central, charge_point)
        assert charge_point.violations == []
    return central


async def test_every_request_of_a_charge_point_has_an_answer() -> None:
    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        central.blocked.add("thief")
        ask = charge_point.call
        boot = await ask("BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"})
        assert (boot["status"], boot["interval"]) == ("Accepted", 42)
        assert (await ask("Heartbeat", {}))["currentTime"].endswith("Z")
        assert await ask("Authorize", {"idTag": "driver"}) == {"idTagInfo": {"status": "Accepted"}}
        assert await ask("Authorize", {"idTag": "THIEF"}) == {"idTagInfo": {"status": "Invalid"}}
        started = {"connectorId": 1, "idTag": "driver", "meterStart": 0, "timestamp": NOON}
        assert [(await ask("StartTransaction", started))["transactionId"] for _ in range(2)] == [1, 2]
        stopped = {"transactionId": 1, "meterStop": 1, "timestamp": NOON}
        assert await ask("StopTransaction", stopped) == {}
        assert await ask("StopTransaction", stopped | {"idTag": "a"}) == {"idTagInfo": {"status": "Accepted"}}
        values = [{"timestamp": NOON, "sampledValue": [{"value": "230.10"}]}]
        assert await ask("MeterValues", {"connectorId": 1, "meterValue": values}) == {}
        assert central.received[-1] == ("CP 1", "MeterValues", {"connectorId": 1, "meterValue": values})
        status = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
        assert await ask("StatusNotification", status) == {}
        assert await ask("DiagnosticsStatusNotification", {"status": "Idle"}) == {}
        assert await ask("FirmwareStatusNotification", {"status": "Idle"}) == {}
        ours = {"vendorId": "ocpp-bridge.demo", "data": "<&>"}
        assert await ask("DataTransfer", ours) == {"status": "Accepted", "data": "<&>"}
        assert await ask("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}

    central = await connected(talk, SoapCentralSystem(wsdl=WSDL, interval=42))
    assert central.violations == []
    assert {action for _, action, _ in central.received} == set(central.behaviour)
    assert len(central.behaviour) == 10


async def test_every_command_reaches_the_address_that_a_charge_point_told() -> None:
    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        with pytest.raises(ConnectionError, match="CP 1 has not told its address"):
            await central.call("CP 1", "ClearCache", {})
        with pytest.raises(TimeoutError):
            await central.wait_for("CP 1", timeout=0)
        async with asyncio.TaskGroup() as group:
            waits = group.create_task(central.wait_for("CP 1"))
            await charge_point.call("Heartbeat", {})
            assert await waits == charge_point.callback_url == central.addresses["CP 1"]
        for action, (payload, answer) in COMMANDS.items():
            assert await central.call("CP 1", action, payload) == answer
        schedule = await central.call("CP 1", "GetCompositeSchedule", {"connectorId": 1, "duration": 60})
        assert schedule["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == Decimal(11000)
        assert {action for action, _ in charge_point.received} == set(charge_point.behaviour)

    assert (await connected(talk)).violations == []


async def test_zeep_alone_agrees() -> None:
    """The simulated parties share their envelopes; this one's are zeep's own."""

    def boot(url: str) -> Any:
        transport: Any = Transport(operation_timeout=10)  # type: ignore[no-untyped-call]
        transport.session.trust_env = False  # no proxy on the way to loopback
        try:
            client: Any = zeep.Client(str(WSDL / "CentralSystemService.wsdl"), transport=transport)  # type: ignore[no-untyped-call]
            service = client.create_service(next(iter(client.wsdl.bindings)), url)
            header = etree.Element(f"{{{CS}}}chargeBoxIdentity")
            header.text = "CP1"
            return service.BootNotification(chargePointVendor="v", chargePointModel="é&<", _soapheaders=[header])
        finally:
            transport.session.close()

    async with SoapCentralSystem(wsdl=WSDL) as central:
        answer = await asyncio.to_thread(boot, central.url)
    assert (answer.status, answer.interval) == ("Accepted", 300)
    assert central.received == [("CP1", "BootNotification", {"chargePointVendor": "v", "chargePointModel": "é&<"})]
    # zeep's client sends neither ReplyTo nor From: exactly that is objected to.
    assert len(central.violations) == 2


async def test_requests_and_commands_may_cross() -> None:
    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        async def authorise(action: str, payload: Payload) -> None:
            assert await charge_point.call("Authorize", {"idTag": payload["idTag"]}) == {
                "idTagInfo": {"status": "Accepted"}
            }

        async def trigger(_: Payload) -> Payload:
            started = await central.call("CP 1", "RemoteStartTransaction", {"idTag": "A"})
            return {"status": "Accepted", "data": started["status"]}

        central.behaviour["DataTransfer"] = trigger
        charge_point.on_command = authorise
        answer = await charge_point.call("DataTransfer", {"vendorId": "v"})
        assert answer == {"status": "Accepted", "data": "Accepted"}

    assert (await connected(talk)).violations == []


async def test_a_command_that_is_refused_or_unfit_raises() -> None:
    def refuse(_: Payload) -> Payload:
        raise CallRefused("Receiver", "not today", {"when": "tomorrow"}, subcode="NotSupported")

    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        await charge_point.call("Heartbeat", {})
        charge_point.behaviour["Reset"] = refuse
        with pytest.raises(CallRefused, match="not today") as caught:
            await central.call("CP 1", "Reset", {"type": "Soft"})
        assert (caught.value.code, caught.value.subcode, caught.value.http_status) == ("Receiver", "NotSupported", 500)
        assert "tomorrow" in caught.value.details["details"]
        with pytest.raises(ValueError, match="type"):
            await central.call("CP 1", "Reset", {})
        central.addresses["CP 2"] = central.addresses["CP 1"]
        with pytest.raises(CallRefused, match="IdentityMismatch"):
            await central.call("CP 2", "ClearCache", {})
        assert charge_point.violations.pop() == "command ClearCache: this is CP 1, not CP 2"
        await charge_point.stop()
        with pytest.raises(ConnectionError, match="ClearCache"):
            await central.call("CP 1", "ClearCache", {})
        central.addresses["CP 1"] = "http://"
        with pytest.raises(ConnectionError, match="ClearCache"):
            await central.call("CP 1", "ClearCache", {})
        await charge_point.start()

    assert (await connected(talk)).violations == []


async def test_a_charge_point_that_is_slow_is_a_timeout() -> None:
    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        go = asyncio.Event()

        async def wait(_: Payload) -> Payload:
            await go.wait()
            return {"status": "Accepted"}

        charge_point.behaviour["ClearCache"] = wait
        await charge_point.call("Heartbeat", {})
        for seconds in (0, 0.01):
            with pytest.raises(TimeoutError, match="/ClearCache: no answer within"):
                await central.call("CP 1", "ClearCache", {}, timeout=seconds)
        go.set()

    await connected(talk)


async def answering(
    answer: Callable[[etree._Element], tuple[int, str]], *, sends_from: bool = True
) -> tuple[SoapCentralSystem, Payload | Exception, etree._Element]:
    """A ClearCache to a Charge Point that knows only text: what came of it, and the command that it saw."""
    seen: list[etree._Element] = []

    async def serve(request: web.BaseRequest) -> web.Response:
        seen.append(etree.fromstring(await request.read()))
        assert request.headers["Content-Type"] == 'application/soap+xml; charset=utf-8; action="/ClearCache"'
        status, text = answer(seen[0])
        return web.Response(status=status, text=text, content_type="application/soap+xml")

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with SoapCentralSystem(wsdl=WSDL, sends_from=sends_from) as central:
            central.addresses["CP1"] = f"http://127.0.0.1:{runner.addresses[0][1]}/cp"
            try:
                return central, await central.call("CP1", "ClearCache", {}), seen[0]
            except (CallRefused, ValueError) as error:
                return central, error, seen[0]
    finally:
        await runner.cleanup()


def cleared(request: etree._Element) -> tuple[int, str]:
    relates_to = request.findtext(".//a:MessageID", namespaces=NS)
    return 200, (
        f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:a="{NS["a"]}"><s:Header><a:Action>/ClearCacheResponse</a:Action>'
        f"<a:RelatesTo>{relates_to}</a:RelatesTo></s:Header><s:Body>"
        '<clearCacheResponse xmlns="urn://Ocpp/Cp/2015/10/"><status>Accepted</status></clearCacheResponse>'
        "</s:Body></s:Envelope>"
    )


@pytest.mark.parametrize("sends_from", [True, False])
async def test_a_command_carries_its_headers(sends_from: bool) -> None:
    central, answer, request = await answering(cleared, sends_from=sends_from)
    assert answer == {"status": "Accepted"}
    assert central.violations == []
    header = request.find("s:Header", NS)
    assert header is not None
    identity = header.find("{urn://Ocpp/Cp/2015/10/}chargeBoxIdentity")
    assert identity is not None
    assert (identity.text, identity.get(f"{{{NS['s']}}}mustUnderstand")) == ("CP1", "true")
    assert header.findtext("a:Action", namespaces=NS) == "/ClearCache"
    assert (header.findtext("a:MessageID", namespaces=NS) or "").startswith("urn:uuid:")
    assert (header.findtext("a:To", namespaces=NS) or "").endswith("/cp")
    assert header.findtext("a:From/a:Address", namespaces=NS) == (central.url if sends_from else None)
    anonymous = f"{NS['a']}/anonymous"
    assert header.findtext("a:ReplyTo/a:Address", namespaces=NS) == (anonymous if sends_from else None)


async def test_an_answer_that_is_none() -> None:
    def unrelated(request: etree._Element) -> tuple[int, str]:
        status, text = cleared(request)
        return status, text.replace("urn:uuid:", "urn:other:")

    def garbled(request: etree._Element) -> tuple[int, str]:
        return 200, cleared(request)[1].replace("Accepted", "Perhaps")

    central, answer, _ = await answering(unrelated)
    assert answer == {"status": "Accepted"}
    assert central.violations[0].startswith("CP1: answer to ClearCache: RelatesTo is 'urn:other:")
    central, answer, _ = await answering(garbled)
    assert isinstance(answer, ValueError)
    assert "Perhaps" in central.violations[0]
    central, answer, _ = await answering(lambda _: (502, "bad gateway"))
    assert isinstance(answer, CallRefused)
    assert (answer.code, answer.http_status, answer.body) == ("HTTP", 502, "bad gateway")
    assert central.violations == []


# What a Charge Point may do wrong, and a Central System to it.


def heartbeat(**changes: str) -> bytes:
    """A Heartbeat of CP1 with `changes` in its headers; an empty one is left out."""
    headers = {
        "o:chargeBoxIdentity": "CP1",
        "a:Action": "/Heartbeat",
        "a:MessageID": "urn:uuid:1",
        "a:From": "<a:Address>http://127.0.0.1:9/cp</a:Address>",
        "a:ReplyTo": f"<a:Address>{NS['a']}/anonymous</a:Address>",
    } | {f"{'o' if name == 'chargeBoxIdentity' else 'a'}:{name}": text for name, text in changes.items()}
    header = "".join(f"<{name}>{text}</{name}>" for name, text in headers.items() if text)
    return (
        f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:a="{NS["a"]}" xmlns:o="{CS}"><s:Header>{header}</s:Header>'
        "<s:Body><o:heartbeatRequest/></s:Body></s:Envelope>"
    ).encode()


async def post(url: str, body: bytes, method: str = "POST") -> tuple[int, str]:
    headers = {"Content-Type": "application/soap+xml"}
    async with aiohttp.ClientSession() as http, http.request(method, url, data=body, headers=headers) as response:
        return response.status, await response.text()


async def posted(
    body: bytes, central: SoapCentralSystem | None = None, method: str = "POST", path: str = ""
) -> tuple[int, str, SoapCentralSystem]:
    central = central or SoapCentralSystem(wsdl=WSDL)
    async with central:
        url = central.url if not path else central.url.replace("/services/CentralSystemService", path)
        return *await post(url, body.replace(b"URL", url.encode()), method), central


@pytest.mark.parametrize("path", ["", "/", "/steve/services/CentralSystemService", "/a%20b?c=d"])
async def test_any_path_is_served(path: str) -> None:
    status, text, central = await posted(heartbeat(To="URL"), path=path)
    assert status == 200
    answer = etree.fromstring(text.encode())
    assert answer.findtext("s:Header/a:Action", namespaces=NS) == "/HeartbeatResponse"
    assert answer.findtext("s:Header/a:RelatesTo", namespaces=NS) == "urn:uuid:1"
    assert answer.findtext("s:Header/a:To", namespaces=NS) == f"{NS['a']}/anonymous"
    assert answer.findtext("s:Body/c:heartbeatResponse/c:currentTime", namespaces=NS)
    assert central.violations == []
    assert central.addresses == {"CP1": "http://127.0.0.1:9/cp"}


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"Action": "/Authorize"}, "CP1: Heartbeat: Action is '/Authorize', not '/Heartbeat'"),
        ({"MessageID": ""}, "CP1: Heartbeat: a MessageID is False, not True"),
        ({"ReplyTo": ""}, f"CP1: Heartbeat: ReplyTo is '', not '{NS['a']}/anonymous'"),
        ({"From": ""}, "CP1: From is '', where nobody can be called"),
        (
            {"From": f"<a:Address>{NS['a']}/anonymous</a:Address>"},
            f"CP1: From is '{NS['a']}/anonymous', where nobody can be called",
        ),
    ],
)
async def test_wrong_headers_are_written_down(changes: dict[str, str], violation: str) -> None:
    status, _, central = await posted(heartbeat(**{"To": "URL"} | changes))
    assert status == 200
    assert central.violations == [violation]
    assert central.addresses == ({} if "From" in changes else {"CP1": "http://127.0.0.1:9/cp"})


@pytest.mark.parametrize(
    ("body", "subcode"),
    [
        (b"", "ProtocolError"),
        (b"junk", "ProtocolError"),
        (b"<a/>", "ProtocolError"),
        (heartbeat().replace(b"<o:heartbeatRequest/>", b""), "ProtocolError"),
        (heartbeat().replace(b"heartbeatRequest", b"signCertificateRequest"), "ProtocolError"),
        (heartbeat().replace(b"<o:heartbeatRequest/>", b"<o:meterValuesResponse/>"), "ProtocolError"),
        (heartbeat().replace(b"<o:heartbeatRequest/>", b"<o:authorizeRequest/>"), "ProtocolError"),
        (heartbeat(chargeBoxIdentity=""), "ProtocolError"),
        (heartbeat(chargeBoxIdentity="CP2"), "IdentityMismatch"),
    ],
)
async def test_what_is_no_request_is_refused_and_written_down(body: bytes, subcode: str) -> None:
    status, text, central = await posted(body, SoapCentralSystem(wsdl=WSDL, known=["CP1"]))
    assert status == 400
    assert f"ocpp:{subcode}" in text
    assert central.received == []
    assert central.addresses == {}
    assert len(central.violations) == 1


async def test_only_post_is_served() -> None:
    assert (await posted(b"", method="GET"))[0] == 405


async def test_a_behaviour_may_refuse_fail_or_answer_with_anything() -> None:
    def raising(error: Exception) -> Callable[[Payload], Payload]:
        def refuse(_: Payload) -> Payload:
            raise error

        return refuse

    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        async def refused(behaviour: Callable[[Payload], Payload] | None) -> CallRefused:
            central.behaviour.pop("Heartbeat", None)
            central.behaviour |= {"Heartbeat": behaviour} if behaviour else {}
            with pytest.raises(CallRefused) as caught:
                await charge_point.call("Heartbeat", {})
            return caught.value

        fault = await refused(raising(CallRefused("Sender", "no", subcode="SecurityError")))
        assert (str(fault), fault.http_status) == ("Sender/SecurityError: no", 400)
        fault = await refused(raising(CallRefused("Receiver", "later", subcode="InternalError", http_status=503)))
        assert (str(fault), fault.http_status) == ("Receiver/InternalError: later", 503)
        fault = await refused(raising(CallRefused("HTTP", http_status=502, body="<html>")))
        assert (fault.code, fault.http_status, fault.body) == ("HTTP", 502, "<html>")
        assert (await refused(None)).subcode == "NotSupported"
        assert central.violations == []
        assert (await refused(raising(KeyError("oops")))).subcode == "InternalError"
        assert (await refused(lambda _: {"odd": 1})).subcode == "InternalError"

    failed, odd = (await connected(talk)).violations
    assert failed == "CP 1: our own answer to Heartbeat: KeyError('oops')"
    assert odd.startswith("CP 1: our own answer to Heartbeat: ValueError")


async def test_it_goes_down_and_comes_up_at_the_same_port() -> None:
    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        asked = asyncio.Event()

        async def hang(_: Payload) -> Payload:
            asked.set()
            await asyncio.Event().wait()
            return {}

        central.behaviour["MeterValues"] = hang
        values = {"connectorId": 1, "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": "1"}]}]}

        async def unanswered() -> None:
            with pytest.raises(ConnectionError):
                await charge_point.call("MeterValues", values)

        async with asyncio.TaskGroup() as group:
            group.create_task(unanswered())
            await asked.wait()
            await central.down()
        with pytest.raises(ConnectionError):
            await charge_point.call("Heartbeat", {})
        url = central.url
        await central.up()
        assert central.url == url
        await charge_point.call("Heartbeat", {})
        # Nor does being down keep it from commanding.
        await central.down()
        assert await central.call("CP 1", "ClearCache", {}) == {"status": "Accepted"}

    await connected(talk)


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with SoapCentralSystem(wsdl=WSDL) as first:
        port = int(first.url.partition("127.0.0.1:")[2].partition("/")[0])
        with pytest.raises(OSError, match="address"):
            await SoapCentralSystem(wsdl=WSDL, port=port).start()


async def test_the_observer_is_told_of_both_directions() -> None:
    told: list[WireMessage] = []

    async def talk(central: SoapCentralSystem, charge_point: SoapChargePoint) -> None:
        await charge_point.call("Heartbeat", {})
        await central.call("CP 1", "ClearCache", {})
        del charge_point.behaviour["ClearCache"], central.behaviour["Heartbeat"]
        with pytest.raises(CallRefused):
            await central.call("CP 1", "ClearCache", {})
        with pytest.raises(CallRefused):
            await charge_point.call("Heartbeat", {})

    await connected(talk, SoapCentralSystem(wsdl=WSDL, observe=told.append))
    assert [(message.direction, message.kind, message.action) for message in told] == [
        ("received", "call", "Heartbeat"),
        ("sent", "result", "Heartbeat"),
        ("sent", "call", "ClearCache"),
        ("received", "result", "ClearCache"),
        ("sent", "call", "ClearCache"),
        ("received", "error", "ClearCache"),
        ("received", "call", "Heartbeat"),
        ("sent", "error", "Heartbeat"),
    ]
    assert [message.unique_id for message in told[::2]] == [message.unique_id for message in told[1::2]]
    assert {message.party for message in told} == {"central_system"}
    assert [message.elapsed is not None for message in told] == [False, False, False, True, False, True, False, False]
    assert "heartbeatRequest" in told[0].text
