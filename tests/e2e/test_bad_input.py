"""What strangers send. Each gets the error that the table in DESIGN section 5 names, the next good message is served,
and the log says what was wrong, where, and who sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.app import Gateway
from bridge.config import Listen
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import (
    CP,
    CS,
    SAMPLES,
    SOAP11,
    SOAP12,
    Connection,
    RawCentralSystem,
    answering,
    charge_point,
    command,
    envelope,
    listening,
    logged,
    post,
    receiver,
    running,
    sender,
    settings,
)
from tests.ports import free_port

LIMIT = 20_000
HEARTBEAT = f'<heartbeatRequest xmlns="{CS}"/>'
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;'
    '&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]>'
)


def request(name: str, fields: str, namespace: str = CS) -> bytes:
    """An envelope with a request of these fields."""
    return envelope(f'<{name} xmlns="{namespace}">{fields}</{name}>')


def authorize(id_tag: str) -> bytes:
    return request("authorizeRequest", f"<idTag>{id_tag}</idTag>")


def status(name: str) -> bytes:
    fields = f"<connectorId>1</connectorId><status>{name}</status><errorCode>NoError</errorCode>"
    return request("statusNotificationRequest", fields)


def start(meter: str) -> bytes:
    fields = f"<connectorId>1</connectorId><idTag>a</idTag><timestamp>2026-01-02T03:04:05Z</timestamp>{meter}"
    return request("startTransactionRequest", fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A POST, the Fault that answers it, and what the log says beside the peer."""

    body: bytes
    fault: tuple[str, str]
    status: int = 400
    log: tuple[str, ...]
    headers: Mapping[str, str | None] = field(default_factory=dict)


POSTS = {
    "nothing": Post(body=b"", fault=sender("ProtocolError"), log=("FormationViolation",)),
    "not XML": Post(body=b"hello", fault=sender("ProtocolError"), log=("FormationViolation", "not well-formed")),
    "HTML": Post(body=b"<html><br></html>", fault=sender("ProtocolError"), log=("not well-formed",)),
    "XML, but no envelope": Post(body=b"<a/>", fault=sender("ProtocolError"), log=("not a SOAP envelope, but <a>",)),
    "JSON": Post(body=b'[2,"1","Heartbeat",{}]', fault=sender("ProtocolError"), log=("not well-formed",)),
    "not UTF-8": Post(body=authorize("?").replace(b"?", b"\xff"), fault=sender("ProtocolError"), log=("not well-fo",)),
    "an unknown SOAP version": Post(
        body=envelope(soap="http://www.w3.org/2099/soap"),
        fault=(f"{{{SOAP12}}}VersionMismatch", ""),
        status=500,
        log=("unknown SOAP version", "2099"),
    ),
    "a DTD": Post(body=b"<!DOCTYPE x>" + envelope(), fault=sender("ProtocolError"), log=("document type declaration",)),
    "an entity bomb": Post(
        body=BOMB.encode() + authorize("&e;&e;&e;&e;&e;&e;"), fault=sender("ProtocolError"), log=("FormationViol",)
    ),
    "an external entity": Post(
        body=b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + authorize("&e;"),
        fault=sender("ProtocolError"),
        log=("FormationViolation",),
    ),
    "an undeclared entity": Post(body=authorize("&e;"), fault=sender("ProtocolError"), log=("FormationViolation",)),
    "deep": Post(body=authorize("<a>" * 999 + "</a>" * 999), fault=sender("ProtocolError"), log=("FormationViolat",)),
    "an empty Body": Post(body=envelope(""), fault=sender("ProtocolError"), log=("no Body, or nothing in it",)),
    "no Body": Post(
        body=f'<s:Envelope xmlns:s="{SOAP12}"><s:Header/></s:Envelope>'.encode(),
        fault=sender("ProtocolError"),
        log=("no Body",),
    ),
    "no chargeBoxIdentity": Post(
        body=envelope(identity=None), fault=sender("ProtocolError"), log=("no chargeBoxIdentity in the Header",)
    ),
    "an empty chargeBoxIdentity": Post(
        body=envelope(identity=" "), fault=sender("ProtocolError"), log=("no chargeBoxIdentity in the Header",)
    ),
    "an endless chargeBoxIdentity": Post(
        body=envelope(identity="CP " + "x" * 253), fault=sender("ProtocolError"), log=("255 characters",)
    ),
    "a line in the chargeBoxIdentity": Post(
        body=envelope(identity="CP 1\n2026 WARN forged"), fault=sender("ProtocolError"), log=("1\\n2026", "control")
    ),
    "an unknown identity": Post(
        body=envelope(identity="Mallory"),
        fault=sender("IdentityMismatch"),
        log=("identity=Mallory", "SecurityError", "no route takes"),
    ),
    "an unknown operation": Post(
        body=request("fryRequest", ""),
        status=500,
        fault=receiver("NotSupported"),
        log=('identity="CP 1"', "NotImplemented", "<fryRequest>"),
    ),
    "a response": Post(
        body=request("heartbeatResponse", ""),
        status=500,
        fault=receiver("NotSupported"),
        log=('identity="CP 1"', "NotImplemented", "<heartbeatResponse>"),
    ),
    "an unknown namespace": Post(
        body=request("heartbeatRequest", "", "urn:x"),
        status=500,
        fault=receiver("NotSupported"),
        log=("NotSupported", "urn:x"),
    ),
    "a command": Post(
        body=request("clearCacheRequest", "", CP), status=500, fault=receiver("NotSupported"), log=(CP, "clearCache")
    ),
    "a missing field": Post(
        body=start(""),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "code=ProtocolError", "meterStart: required, and missing"),
    ),
    "a number that is none": Post(
        body=start("<meterStart>much</meterStart>"),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "TypeConstraintViolation", "meterStart"),
    ),
    "a number beyond 32 bits": Post(
        body=start("<meterStart>2147483648</meterStart>"),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "PropertyConstraintViolation", "meterStart"),
    ),
    "no point in time": Post(
        body=start("<meterStart>1</meterStart>").replace(b"2026-01-02T", b"2026-02-30T"),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "PropertyConstraintViolation", "timestamp"),
    ),
    "a value out of its enumeration": Post(
        body=status("Exploded"),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "PropertyConstraintViolation", "status"),
    ),
    "a value over its length": Post(
        body=authorize("x" * 21),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "PropertyConstraintViolation", "idTag"),
    ),
    "MeterValues that nobody understands": Post(
        body=request("meterValuesRequest", "<connectorId>1</connectorId><reading><at>1</at></reading>"),
        fault=sender("ProtocolError"),
        log=('identity="CP 1"', "meterValue"),
    ),
    "a body over the limit": Post(
        body=authorize("x" * LIMIT),
        status=413,
        fault=sender("ProtocolError"),
        log=("FormationViolation", f"than {LIMIT} bytes"),
    ),
    "gzip that inflates past the limit": Post(
        body=gzip.compress(authorize("x" * 10_000_000)),
        status=413,
        fault=sender("ProtocolError"),
        log=("FormationViolation", f"than {LIMIT} bytes"),
        headers={"Content-Encoding": "gzip"},
    ),
    "deflate that inflates past the limit": Post(
        body=zlib.compress(authorize("x" * 10_000_000)),
        status=413,
        fault=sender("ProtocolError"),
        log=("FormationViolation", f"than {LIMIT} bytes"),
        headers={"Content-Encoding": "deflate"},
    ),
    "broken gzip": Post(
        body=gzip.compress(envelope())[:-30] + b"x" * 30,
        fault=sender("ProtocolError"),
        log=("FormationViolation",),
        headers={"Content-Encoding": "gzip"},
    ),
    "gzip that is none": Post(
        body=envelope(),
        fault=sender("ProtocolError"),
        log=("FormationViolation",),
        headers={"Content-Encoding": "gzip"},
    ),
    "half of a gzip": Post(
        body=gzip.compress(authorize("a"))[:60],
        fault=sender("ProtocolError"),
        log=("FormationViolation",),
        headers={"Content-Encoding": "gzip"},
    ),
    "an unknown encoding": Post(
        body=b"\x00\x01",
        fault=sender("ProtocolError"),
        log=("FormationViolation",),
        headers={"Content-Encoding": "rot13"},
    ),
}


@asynccontextmanager
async def guarded(**tables: Any) -> AsyncIterator[tuple[Gateway, JsonCentralSystem]]:
    """A gateway that takes Charge Points called "CP ..." and at most LIMIT bytes."""
    told: dict[str, Any] = {"soap": {"max_body": LIMIT}, "route": {"charge_point": "CP *"}} | tables
    async with JsonCentralSystem() as central, running(settings(central.url, **told)) as gateway:
        yield gateway, central


async def serves(gateway: Gateway) -> bool:
    """Whether the next good message is served."""
    answer = await post(gateway, envelope())
    return answer.status == 200 and answer.fault is None


@pytest.mark.parametrize("row", POSTS.values(), ids=POSTS)
async def test_a_bad_request_gets_its_fault(row: Post) -> None:
    async with guarded() as (gateway, central):
        with logged() as lines:
            answer = await post(gateway, row.body, headers=row.headers)
        assert await serves(gateway)
        assert [action for _, action, _ in central.received] == ["Heartbeat"]
    assert (answer.status, answer.fault) == (row.status, row.fault)
    assert answer.headers["Content-Type"].startswith("application/soap+xml")
    [line] = lines
    assert "refused" in line
    assert "peer=127.0.0.1" in line
    assert [words for words in row.log if words not in line] == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_compressed_request_is_read(encoding: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(authorize("a")),
        "deflate": zlib.compress(authorize("a")),
        "raw deflate": raw.compress(authorize("a")) + raw.flush(),
    }[encoding]
    async with guarded() as (gateway, central):
        headers = {"Content-Encoding": encoding.removeprefix("raw "), "Accept-Encoding": "gzip"}
        answer = await post(gateway, body, headers=headers)
        assert answer.status == 200
        assert answer.headers["Content-Encoding"] == "gzip"
        assert b"authorizeResponse" in gzip.decompress(answer.body)
        assert central.received == [("CP 1", "Authorize", {"idTag": "a"})]


async def test_an_external_entity_is_not_fetched() -> None:
    async with guarded() as (gateway, _), listening(answering(b"secret")) as elsewhere:
        for kind in (f'<!ENTITY e SYSTEM "{elsewhere.url}">', f'<!ENTITY % e SYSTEM "{elsewhere.url}">%e;'):
            answer = await post(gateway, f"<!DOCTYPE x [{kind}]>".encode() + authorize("&e;"))
            assert answer.fault == sender("ProtocolError")
        assert (await post(gateway, f'<!DOCTYPE x SYSTEM "{elsewhere.url}">'.encode() + envelope())).status == 400
        assert await serves(gateway)
        assert elsewhere.received == []


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with guarded(limits={"body_timeout": 1}) as (gateway, _):
        with logged() as lines:
            answer = await post(gateway, envelope()[:-9], headers={"Content-Length": "999"})
        assert (answer.status, answer.fault) == (400, sender("ProtocolError"))
        assert await serves(gateway)
    [line] = [line for line in lines if "refused" in line]
    assert "did not arrive within 1 s" in line


async def test_a_sender_that_hangs_up_in_the_middle_hurts_nobody() -> None:
    async with guarded() as (gateway, central):
        reader, writer = await asyncio.open_connection(*gateway.soap_address)
        writer.write(b"POST /services/CentralSystemService HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n<s:En")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await reader.read()
        assert await serves(gateway)
        assert len(central.received) == 1


async def test_what_is_no_http_is_refused() -> None:
    async with guarded() as (gateway, _):
        reader, writer = await asyncio.open_connection(*gateway.soap_address)
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n")
        assert b" 400 " in (await reader.read()).split(b"\r\n")[0]
        writer.close()
        await writer.wait_closed()
        assert await serves(gateway)


DOORS: dict[str, tuple[str, str, dict[str, str | None], int, str]] = {
    "GET": ("GET", "/services/CentralSystemService", {}, 405, "Allow"),
    "PUT": ("PUT", "/services/CentralSystemService", {}, 405, "Allow"),
    "a WebSocket": (
        "GET",
        "/services/CentralSystemService/CP%201",
        {"Connection": "close, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "ocpp1.6"},
        426,
        "Upgrade",
    ),
    "an unknown path": ("POST", "/ocpp/CP%201", {}, 404, ""),
    "the root": ("GET", "/", {}, 404, ""),
    "a path that climbs": ("GET", "/services/../../etc/passwd", {}, 404, ""),
}


@pytest.mark.parametrize(("method", "path", "headers", "status", "header"), DOORS.values(), ids=DOORS)
async def test_the_wrong_door_says_which_is_the_right_one(
    method: str, path: str, headers: dict[str, str], status: int, header: str
) -> None:
    port = free_port()
    tables = {
        "soap": {"public_url": "http://bridge.example:8080/"},
        "websocket": {"listen": Listen("0.0.0.0", port), "path": "/json"},
    }
    async with guarded(**tables) as (gateway, central):
        with logged() as lines:
            answer = await post(gateway, envelope(), method=method, path=path, headers=headers)
        assert answer.status == status
        assert "POST http://bridge.example:8080/services/CentralSystemService\n" in answer.text
        assert "POST http://bridge.example:8080/services/ChargePointService\n" in answer.text
        assert f"ws://bridge.example:{port}/json/{{identity}}\n" in answer.text
        assert not header or header in answer.headers
        assert central.received == []
        assert await serves(gateway)
    [line] = lines
    assert [words for words in ("wrong door", "peer=127.0.0.1", method, str(status)) if words not in line] == []


async def test_soap_11_is_read_and_answered_in_kind() -> None:
    async with guarded() as (gateway, _):
        headers = {"Content-Type": "text/xml", "SOAPAction": '"/Heartbeat"'}
        answer = await post(gateway, envelope(soap=SOAP11), headers=headers)
        assert (answer.status, answer.fault) == (200, None)
        assert answer.headers["Content-Type"].startswith("text/xml")
        assert SOAP11.encode() in answer.body
        refused = await post(gateway, envelope("<a/>", soap=SOAP11), headers=headers)
        assert (refused.status, refused.fault) == (500, (f"{{{SOAP11}}}Server.NotSupported", ""))


# From the Central System.


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame, the CALLERROR that answers it (its id and code; None: it has no answer), and what the log says."""

    frame: Any
    error: tuple[str, str] | None
    log: tuple[str, ...]


def call(action: str, payload: Any) -> list[Any]:
    return [2, "id", action, payload]


RESERVE = {"connectorId": 1, "expiryDate": "2026-01-02T03:04:05Z", "idTag": "a", "reservationId": 1}
FRAMES = {
    "not JSON": Frame(frame="hello", error=("-1", "FormationViolation"), log=("not a JSON array",)),
    "an object": Frame(frame={"action": "Reset"}, error=("-1", "FormationViolation"), log=("not a JSON array",)),
    "half a Call": Frame(
        frame='[2,"id","Reset",{"type":', error=("id", "FormationViolation"), log=("id=id", "not a JSON array")
    ),
    "nothing in it": Frame(frame="[]", error=None, log=("message type None",)),
    "no UniqueId": Frame(frame=[2], error=("-1", "FormationViolation"), log=("no UniqueId",)),
    "an empty UniqueId": Frame(frame=[2, "", "Reset", {}], error=("-1", "FormationViolation"), log=("no UniqueId",)),
    "an object for a UniqueId": Frame(
        frame=[2, {}, "Reset", {}], error=("-1", "FormationViolation"), log=("no UniqueId",)
    ),
    "a UniqueId that is too long": Frame(
        frame=[2, "x" * 37, "Reset", {"type": "Soft"}],
        error=("x" * 37, "FormationViolation"),
        log=("more than 36 characters",),
    ),
    "no payload": Frame(frame=[2, "id", "Reset"], error=("id", "FormationViolation"), log=("a CALL is",)),
    "too much": Frame(frame=[*call("ClearCache", {}), 1], error=("id", "FormationViolation"), log=("a CALL is",)),
    "no text for an action": Frame(frame=[2, "id", 5, {}], error=("id", "FormationViolation"), log=("a CALL is",)),
    "a list for a payload": Frame(frame=call("Reset", []), error=("id", "FormationViolation"), log=("not a JSON obj",)),
    "an unknown action": Frame(frame=call("Fry", {}), error=("id", "NotImplemented"), log=("'Fry'",)),
    "an action in the wrong case": Frame(frame=call("reset", {}), error=("id", "NotImplemented"), log=("'reset'",)),
    "a Charge Point's action": Frame(
        frame=call("BootNotification", SAMPLES["BootNotification"]),
        error=("id", "NotSupported"),
        log=("BootNotification is not for a central system",),
    ),
    "a security extension": Frame(frame=call("GetLog", {}), error=("id", "NotSupported"), log=("GetLog has no SOAP",)),
    "a missing field": Frame(frame=call("Reset", {}), error=("id", "ProtocolError"), log=("type: required",)),
    "a wrong type": Frame(
        frame=call("ReserveNow", RESERVE | {"connectorId": "one"}),
        error=("id", "TypeConstraintViolation"),
        log=("connectorId",),
    ),
    "a null": Frame(frame=call("Reset", {"type": None}), error=("id", "TypeConstraintViolation"), log=("type",)),
    "a value out of its enumeration": Frame(
        frame=call("Reset", {"type": "Medium"}), error=("id", "PropertyConstraintViolation"), log=("type",)
    ),
    "a value over its length": Frame(
        frame=call("ReserveNow", RESERVE | {"idTag": "x" * 21}),
        error=("id", "PropertyConstraintViolation"),
        log=("idTag",),
    ),
    "a number beyond 32 bits": Frame(
        frame=call("ReserveNow", RESERVE | {"reservationId": 2**31}),
        error=("id", "PropertyConstraintViolation"),
        log=("reservationId",),
    ),
    "a number beyond all bounds": Frame(
        frame='[2,"id","ReserveNow",{"connectorId":1e999999999}]',
        error=("id", "PropertyConstraintViolation"),
        log=("1e999999999",),
    ),
    "no point in time": Frame(
        frame=call("ReserveNow", RESERVE | {"expiryDate": "tomorrow"}),
        error=("id", "PropertyConstraintViolation"),
        log=("expiryDate",),
    ),
    "a list without an item": Frame(
        frame=call(
            "SetChargingProfile",
            {
                "connectorId": 1,
                "csChargingProfiles": {
                    "chargingProfileId": 1,
                    "stackLevel": 0,
                    "chargingProfilePurpose": "TxProfile",
                    "chargingProfileKind": "Relative",
                    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": []},
                },
            },
        ),
        error=("id", "OccurenceConstraintViolation"),
        log=("csChargingProfiles.chargingSchedule.chargingSchedulePeriod",),
    ),
    "what XML cannot carry": Frame(
        frame=call("ReserveNow", RESERVE | {"idTag": "\x00"}),
        error=("id", "PropertyConstraintViolation"),
        log=("idTag", "XML"),
    ),
    "half of a character": Frame(
        frame='[2,"id","DataTransfer",{"vendorId":"\\ud800"}]', error=("id", "FormationViolation"), log=()
    ),
    "deep": Frame(
        frame='[2,"id","DataTransfer",{"vendorId":"a","data":' + "[" * 9999 + "]" * 9999 + "}]",
        error=("id", "FormationViolation"),
        log=(),
    ),
    "an unknown message type": Frame(frame=[9, "id", {}], error=None, log=("message type 9",)),
    "an answer nobody waits for": Frame(
        frame=[3, "id", {}], error=None, log=("answer dropped", "hop_id=id", "answers no Call")
    ),
    "an error nobody waits for": Frame(
        frame=[4, "id", "GenericError", "", {}], error=None, log=("answer dropped", "hop_id=id")
    ),
    "an error that says nothing": Frame(frame=[4, "id"], error=None, log=("answer dropped", "hop_id=id")),
    "an answer without a UniqueId": Frame(frame=[3], error=None, log=("no UniqueId",)),
    "bytes": Frame(frame=b"\x00\xff", error=("-1", "FormationViolation"), log=("not a JSON array",)),
}


@pytest.mark.parametrize("row", FRAMES.values(), ids=FRAMES)
async def test_a_bad_frame_gets_its_call_error(row: Frame) -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        charge_point(gateway) as point,
    ):
        link = await linked(central, point.call("Heartbeat", {}))
        with logged() as lines:
            await link.send(row.frame)
            if row.error is not None:
                answer = await link.receive()
                assert (answer[0], answer[1], answer[2]) == (4, *row.error)
                assert answer[3]
                assert answer[4] == {}
            # Nothing else came, and it serves on.
            assert await link.ask([2, "next", "Reset", {"type": "Soft"}]) == [3, "next", {"status": "Accepted"}]
        assert point.received == [("Reset", {"type": "Soft"})]
        assert point.violations == []
    first, *_ = lines
    who = ('identity="CP 1"', "central_system")
    code = () if row.error is None else (row.error[1],)
    assert [words for words in (*who, *code, *row.log) if words not in first] == []


async def linked(central: RawCentralSystem, first: Any) -> Connection:
    """The Link that the Charge Point's `first` message opens, once that is answered."""
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(first)
        link = await central.connected()
        await link.serve()
        await answer
    return link


async def test_a_second_call_with_an_id_in_progress_is_refused_and_the_first_goes_on() -> None:
    go = asyncio.Event()

    async def hold(*_: Any) -> None:
        await go.wait()

    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        charge_point(gateway) as point,
    ):
        point.on_command = hold
        link = await linked(central, point.call("Heartbeat", {}))
        with logged() as lines:
            await link.send([2, "twin", "Reset", {"type": "Soft"}])
            refused = await link.ask([2, "twin", "ClearCache", {}])
            assert refused[:3] == [4, "twin", "ProtocolError"]
            assert "in progress" in refused[3]
            go.set()
            assert await link.receive() == [3, "twin", {"status": "Accepted"}]
        assert [action for action, _ in point.received] == ["Reset"]
        # Once answered it names no Call any more (rule 13: a retry may reuse it).
        assert await link.ask([2, "twin", "ClearCache", {}]) == [3, "twin", {"status": "Accepted"}]
    [second, _first] = lines
    assert [words for words in ('identity="CP 1"', "ClearCache", "id=twin", "refused") if words not in second] == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([3, "*", {}], "currentTime"),
        ([3, "*", []], "not a JSON object"),
        ([3, "*", {"currentTime": 5}], "currentTime"),
        ([3, "*"], "currentTime"),
        ([4, "*"], "GenericError"),
        ([4, "*", "Strange", "so strange", {"a": 1}], "Strange: so strange"),
        ([4, "*", "InternalError", "why", "text"], "InternalError: why"),
        ([4, "*", None, None, None], "GenericError"),
    ],
)
async def test_an_answer_that_is_none_is_an_internal_error_to_the_charge_point(answer: list[Any], words: str) -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        with logged() as lines:
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(post(gateway, envelope()))
                link = await central.connected()
                heartbeat = await link.receive()
                await link.send(json.dumps(answer).replace("*", heartbeat[1]))
            told = asked.result()
        # An answer that cannot be read is no verdict on the message: the Charge Point keeps it.
        status, outcome = (500, "error") if answer[0] == 4 else (503, "unanswered")
        assert (told.status, told.fault) == (status, receiver("InternalError"))
        assert words in told.reason
        [line] = [line for line in lines if "outcome" in line]
        wanted = ('identity="CP 1"', "Heartbeat", f"hop_id={heartbeat[1]}", f"outcome={outcome}", words)
        assert [words for words in wanted if words not in line] == []
        # An answer is never answered (rule 18): what comes next is the next Call.
        async with asyncio.TaskGroup() as group:
            group.create_task(post(gateway, envelope()))
            assert (await link.serve())[2] == "Heartbeat"


async def test_the_code_of_a_call_error_comes_through() -> None:
    table = {
        "SecurityError": (400, sender("SecurityError")),
        "FormationViolation": (400, sender("ProtocolError")),
        "FormatViolation": (400, sender("ProtocolError")),
        "ProtocolError": (400, sender("ProtocolError")),
        "PropertyConstraintViolation": (400, sender("ProtocolError")),
        "OccurenceConstraintViolation": (400, sender("ProtocolError")),
        "OccurrenceConstraintViolation": (400, sender("ProtocolError")),
        "TypeConstraintViolation": (400, sender("ProtocolError")),
        "NotImplemented": (500, receiver("NotSupported")),
        "NotSupported": (500, receiver("NotSupported")),
        "InternalError": (500, receiver("InternalError")),
        "GenericError": (500, receiver("InternalError")),
        "Vendor\x00Error": (500, receiver("InternalError")),
    }
    told: dict[str, Any] = {}
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        link = await linked(central, post(gateway, envelope()))
        for code in table:
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(post(gateway, envelope()))
                await link.send([4, (await link.receive())[1], code, "why <&>\x01", {"a": [1.5]}])
            told[code] = (asked.result().status, asked.result().fault)
            assert "why <&>\N{REPLACEMENT CHARACTER}" in asked.result().reason
    assert told == table


async def test_a_stream_of_bad_frames_does_not_hold_up_the_good_ones() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        link = await linked(central, post(gateway, envelope()))
        for _ in range(200):
            await link.send("junk")
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(post(gateway, envelope()))
            for _ in range(200):
                assert (await link.receive())[:3] == [4, "-1", "FormationViolation"]
            await link.serve()
        assert asked.result().status == 200


async def test_a_good_call_among_all_that() -> None:
    """The helper itself: a command in its usual form is served."""
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        charge_point(gateway) as point,
    ):
        link = await linked(central, point.call("Heartbeat", {}))
        clear = command("ClearCache", None)  # type: ignore[arg-type]
        assert await link.ask(clear) == [3, clear[1], {"status": "Accepted"}]
        # An unknown field is dropped, with a line about it; the Call is served.
        with logged() as lines:
            extra = command("Reset", {"type": "hard ", "why": "x"})
            assert await link.ask(extra) == [3, extra[1], {"status": "Accepted"}]
        assert point.received == [("ClearCache", {}), ("Reset", {"type": "Hard"})]
        assert any("loss" in line and "ResetRequest.why" in line for line in lines)
