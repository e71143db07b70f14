"""The ways to both parties: missing, refused, slow, lost, found again, and what each side is told meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web

from bridge.config import ChargePoint, Secret
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.e2e.stage import (
    AT,
    CP,
    CS,
    SAMPLES,
    SOAP11,
    WSDL,
    Answer,
    Connection,
    RawCentralSystem,
    Respond,
    answering,
    charge_point,
    command,
    envelope,
    fault,
    listening,
    logged,
    post,
    receiver,
    running,
    sender,
    settings,
    stage,
)
from tests.ports import free_port

# Long enough for a message to be answered on a busy machine, short enough to wait for the end of.
BRIEF = {"call_timeout": 1}
QUICK = {"reconnect_min": 0.01, "reconnect_max": 0.02}
RESET = '<resetResponse xmlns="urn://Ocpp/Cp/2015/10/"><status>Accepted</status></resetResponse>'


def heartbeat(source: str | None = None, identity: str = "CP 1") -> bytes:
    return envelope(source=source, identity=identity)


async def linked(central: RawCentralSystem, first: Any) -> Connection:
    """The Link that the Charge Point's `first` message opens, once that is answered."""
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(first)
        link = await central.connected()
        await link.serve()
        await answer
    return link


# Towards the Central System.


class Nobody:
    """A Central System that is not there."""

    def __init__(self) -> None:
        self.url = f"ws://127.0.0.1:{free_port()}/ocpp"

    async def __aenter__(self) -> Nobody:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@asynccontextmanager
async def mute() -> AsyncIterator[Any]:
    """Takes TCP connections and says nothing, not even to a handshake."""
    gone = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    central = Nobody()
    central.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
    yield central
    gone.set()
    server.close()


@asynccontextmanager
async def web_page() -> AsyncIterator[Any]:
    """Something else altogether."""
    async with listening(answering(b"<html>Log in</html>", content_type="text/html")) as page:
        central = Nobody()
        central.url = page.url.replace("http:", "ws:")
        yield central


TROUBLES: dict[str, tuple[Callable[[], AbstractAsyncContextManager[Any]], str]] = {
    "nobody listens": (Nobody, "cannot be reached: "),
    "401": (lambda: RawCentralSystem(refuse=HTTPStatus.UNAUTHORIZED), "refused the Charge Point: HTTP 401"),
    "404": (lambda: RawCentralSystem(refuse=HTTPStatus.NOT_FOUND), "refused the Charge Point: HTTP 404"),
    "503": (lambda: RawCentralSystem(refuse=HTTPStatus.SERVICE_UNAVAILABLE), "refused the Charge Point: HTTP 503"),
    "no subprotocol": (lambda: RawCentralSystem(subprotocol=None), "does not speak ocpp1.6"),
    "a web page": (web_page, "refused the Charge Point: HTTP 200"),
    "no handshake": (mute, "within 0.3 s"),
    "silence": (RawCentralSystem, "within 0.3 s"),
}


@pytest.mark.parametrize(("party", "reason"), TROUBLES.values(), ids=TROUBLES)
async def test_trouble_with_the_central_system_is_503_and_a_receiver_fault_for_every_action(
    party: Callable[[], AbstractAsyncContextManager[Any]], reason: str
) -> None:
    async def asked(point: Any, action: str, payload: Payload) -> tuple[int, str, str, bool]:
        with pytest.raises(CallRefused) as caught:
            await point.call(action, payload)
        refused = caught.value
        return refused.http_status, refused.code, refused.subcode, reason in refused.description

    async with (
        party() as central,
        running(settings(central.url, gateway={"call_timeout": 0.3}, central_system=QUICK)) as gateway,
        charge_point(gateway) as point,
    ):
        with logged() as lines:
            told = await asyncio.gather(*(asked(point, action, payload) for action, payload in SAMPLES.items()))
    assert told == [(503, "Receiver", "InternalError", True)] * 10
    calls = [line for line in lines if "outcome=unanswered" in line]
    assert sorted(line.split("action=")[1].split()[0] for line in calls) == sorted(SAMPLES)
    assert all(reason in line and 'identity="CP 1"' in line for line in calls)
    assert point.violations == []


async def test_a_central_system_that_answers_neither_with_another_subprotocol_nor_a_redirect_is_followed() -> None:
    async with RawCentralSystem() as elsewhere:
        target = elsewhere.url.replace("ws:", "http:")
        moved = answering(b"", status=302, headers={"Location": target})
        async with (
            listening(moved) as central,
            running(settings(central.url.replace("http:", "ws:"))) as gateway,
        ):
            answer = await post(gateway, heartbeat())
        assert (answer.status, answer.fault) == (503, receiver("InternalError"))
        assert "HTTP 302" in answer.reason
        assert elsewhere.requests == []


async def test_a_central_system_that_comes_back_is_found_again() -> None:
    port = free_port()
    async with running(settings(f"ws://127.0.0.1:{port}/ocpp", central_system=QUICK)) as gateway:
        assert (await post(gateway, heartbeat())).status == 503
        async with RawCentralSystem(port=port) as central:
            # Without a word from the Charge Point: it was heard of a moment ago.
            link = await central.connected()
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(post(gateway, heartbeat()))
                await link.serve()
            assert answer.result().status == 200
            await link.websocket.close(1000)
            link = await central.connected()
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(post(gateway, heartbeat()))
                await link.serve()
            assert answer.result().status == 200
        assert (await post(gateway, heartbeat())).status == 503
        async with JsonCentralSystem(port=port) as json_central:
            await json_central.wait_for("CP 1")
            assert (await post(gateway, heartbeat())).status == 200
            assert json_central.violations == []


@pytest.mark.parametrize("broken", ["closed", "aborted", "not UTF-8", "too much"])
async def test_a_call_that_was_out_when_the_link_broke_is_unanswered_and_the_next_one_waits(broken: str) -> None:
    async def cut(link: Connection) -> None:
        match broken:
            case "closed":
                await link.websocket.close(1011, "oops")
            case "aborted":
                link.websocket.transport.abort()
            case "not UTF-8":
                await link.websocket.send(b"\xff", text=True)
            case "too much":
                with contextlib.suppress(Exception):
                    await link.send("x" * 2_000_000)

    async with (
        RawCentralSystem() as central,
        running(settings(central.url, central_system=QUICK)) as gateway,
    ):
        link = await linked(central, post(gateway, heartbeat()))
        async with asyncio.TaskGroup() as group:
            out = group.create_task(post(gateway, heartbeat()))
            assert (await link.receive())[2] == "Heartbeat"
            authorize = envelope(f'<authorizeRequest xmlns="{CS}"><idTag>a</idTag></authorizeRequest>')
            waiting = group.create_task(post(gateway, authorize))
            group.create_task(cut(link))
            again = await central.connected()
            # What was out may have arrived: it is not sent again.
            call = await again.serve({"idTagInfo": {"status": "Accepted"}})
            assert call[2] == "Authorize"
        assert (out.result().status, out.result().fault) == (503, receiver("InternalError"))
        assert "did not answer" in out.result().reason
        assert waiting.result().status == 200


IDENTITIES = {
    "CP1": "CP1",
    "RDAM 123": "RDAM%20123",
    "00:90:0B:9C:79:42": "00:90:0B:9C:79:42",
    "a/b": "a%2Fb",
    "%41": "%2541",
    "a?b#c": "a%3Fb%23c",
    "a+b": "a+b",
    "Zürich 中 \N{ELECTRIC PLUG}": "Z%C3%BCrich%20%E4%B8%AD%20%F0%9F%94%8C",
}


@pytest.mark.parametrize(("identity", "encoded"), IDENTITIES.items(), ids=IDENTITIES)
@pytest.mark.parametrize("where", ["header", "URL"])
async def test_an_identity_comes_through_as_it_is(identity: str, encoded: str, where: str) -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url + "?tenant=a%20b")) as gateway,
    ):
        if where == "header":
            asked = post(gateway, heartbeat(identity=f"\n {identity} \n"))
        else:
            asked = post(gateway, envelope(identity=None), path=f"/services/CentralSystemService/{encoded}/")
        await linked(central, asked)
        assert [request.path for request in central.requests] == [f"/ocpp/{encoded}?tenant=a%20b"]


@pytest.mark.parametrize("identity", IDENTITIES)
async def test_the_simulated_parties_know_each_other_by_any_identity(identity: str) -> None:
    async with stage(identity) as scene:
        await scene.charge_point.call("Heartbeat", {})
        assert scene.central_system.received == [(identity, "Heartbeat", {})]
        assert await scene.central_system.call(identity, "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        assert scene.violations() == []


async def test_an_identity_is_matched_without_regard_to_case_and_passed_on_as_first_written() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        for identity in ("Rdam 1", "RDAM 1", "rdam 1"):
            assert (await post(gateway, heartbeat(identity=identity))).status == 200
        assert [identity for identity, *_ in central.received] == ["Rdam 1"] * 3
        assert list(central.connections) == ["Rdam 1"]


async def test_credentials_are_sent_raw_and_the_central_system_may_know_it_by_another_name() -> None:
    password = b"\x00\xff:\r\n raw \xc3"
    told = {
        "rdam 123": ChargePoint(central_system_password=Secret(password), central_system_identity="NL RDAM 123"),
        "plain": ChargePoint(central_system_password=Secret(password)),
    }
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, charge_points=told)) as gateway,
    ):
        for identity in ("RDAM 123", "plain", "other"):
            await linked(central, post(gateway, heartbeat(identity=identity)))
    assert [(request.path, request.headers.get("Authorization")) for request in central.requests] == [
        ("/ocpp/NL%20RDAM%20123", f"Basic {b64encode(b'NL RDAM 123:' + password).decode()}"),
        ("/ocpp/plain", f"Basic {b64encode(b'plain:' + password).decode()}"),
        ("/ocpp/other", None),
    ]


async def test_what_the_handshake_offers() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        await linked(central, post(gateway, heartbeat()))
        [request] = central.requests
        assert request.headers["Sec-WebSocket-Protocol"] == "ocpp1.6"
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_a_late_answer_goes_nowhere() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=BRIEF)) as gateway,
    ):
        with logged() as lines:
            async with asyncio.TaskGroup() as group:
                slow = group.create_task(post(gateway, heartbeat()))
                link = await central.connected()
                missed = await link.receive()
            assert (slow.result().status, slow.result().fault) == (503, receiver("InternalError"))
            async with asyncio.TaskGroup() as group:
                next_one = group.create_task(post(gateway, heartbeat()))
                call = await link.receive()
                assert call[1] != missed[1]
                await link.send([3, missed[1], {"currentTime": "2000-01-01T00:00:00Z"}])
                await link.send([3, call[1], {"currentTime": AT}])
                await link.send([3, call[1], {"currentTime": "2000-01-01T00:00:00Z"}])  # and once too often
            assert AT in next_one.result().text
            third = await linked_again(link, post(gateway, heartbeat()))
            assert AT in third.text
        dropped = [line for line in lines if "answer dropped" in line]
        assert [f"hop_id={lost[1]}" in line for lost, line in zip((missed, call), dropped, strict=True)] == [True] * 2


async def linked_again(link: Connection, asked: Any) -> Answer:
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(asked)
        await link.serve()
    told: Answer = answer.result()
    return told


async def test_the_last_boot_notification_is_replayed_for_those_that_insist() -> None:
    options = QUICK | {"replay_boot": True}
    async with stage(central_system=options) as scene:
        central = scene.central_system
        await scene.charge_point.call("BootNotification", SAMPLES["BootNotification"])
        link = await central.wait_for("CP 1")
        await link.websocket.close(1000)
        await central.wait_gone("CP 1")
        await scene.charge_point.call("Heartbeat", {})
        actions = [action for _, action, _ in central.received]
        assert actions == ["BootNotification", "BootNotification", "Heartbeat"]
        assert central.received[0] == central.received[1]
        assert scene.violations() == []


# Towards the Charge Point.


@asynccontextmanager
async def hanging_up(when: str) -> AsyncIterator[str]:
    """The address of something that ends every connection, at once or when it has heard enough."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if when != "at once":
            await reader.readuntil(b"</s:Envelope>")
        if when == "after garbage":
            writer.write(b"Hello, who is there?\r\n\r\n")
        if when == "in the middle":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n<s:Envelope")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def reached_from(central: RawCentralSystem, source: str, **tables: Any) -> AsyncIterator[Connection]:
    """The Link of a Charge Point that says to be found at `source`."""
    async with running(settings(central.url, **tables)) as gateway:
        yield await linked(central, post(gateway, heartbeat(source)))


async def answer_to_reset(source: str, **tables: Any) -> tuple[list[Any], list[str]]:
    """What the Central System is told about a Reset, and the log."""
    async with RawCentralSystem() as central:
        with logged() as lines:
            async with reached_from(central, source, **tables) as link:
                answer = await link.ask([2, "id", "Reset", {"type": "Soft"}])
    # What came back instead of an answer is for operators only: their line stands before that of the Call.
    return answer, [line for line in lines if "action=Reset" in line or " link failure " in line]


def broken_gzip() -> Respond:
    return answering(RESET.encode(), headers={"Content-Encoding": "gzip"})


ANSWERS: dict[str, tuple[Respond, str, str]] = {
    "an HTML page": (
        answering(b"<html><title>Log in</title><br>", content_type="text/html"),
        "InternalError",
        "'<html><title>Log in</title>",
    ),
    "404": (answering(b"not here", status=404, content_type="text/plain"), "InternalError", "HTTP 404, text/plain"),
    "500 without a body": (answering(b"", status=500), "InternalError", "HTTP 500"),
    "204": (answering(b"", status=204), "InternalError", "HTTP 204"),
    "JSON": (answering(b'{"status":"Accepted"}', content_type="application/json"), "InternalError", "application/json"),
    "an empty Body": (answering(""), "InternalError", "no Body, or nothing in it"),
    "the answer to something else": (
        answering(RESET.replace("reset", "clearCache")),
        "InternalError",
        "does not answe",
    ),
    "a request": (answering(RESET.replace("Response", "Request")), "InternalError", "does not answer Reset"),
    "an answer without its field": (
        answering(f'<resetResponse xmlns="{CP}"/>'),
        "InternalError",
        "status: required, and missing",
    ),
    "an answer out of its enumeration": (answering(RESET.replace("Accepted", "Maybe")), "InternalError", "status"),
    "a DTD": (answering(b"<!DOCTYPE x>" + envelope(RESET)), "InternalError", "document type declaration"),
    "broken gzip": (broken_gzip(), "InternalError", ""),
    "NotSupported": (answering(fault("NotSupported"), status=500), "NotSupported", "because"),
    "NotSupported with 200": (answering(fault("NotSupported")), "NotSupported", "because"),
    "SecurityError": (answering(fault("SecurityError", side="Sender"), status=400), "SecurityError", "because"),
    "ProtocolError": (answering(fault("ProtocolError", side="Sender"), status=400), "ProtocolError", "because"),
    "a JSON code": (
        answering(fault("occurrenceConstraintViolation"), status=400),
        "OccurenceConstraintViola",
        "because",
    ),
    "InternalError": (answering(fault("InternalError"), status=500), "InternalError", "because"),
    "an unknown subcode": (answering(fault("Strange"), status=500), "InternalError", "because"),
    "an unknown subcode, and it was us": (
        answering(fault("Odd", side="Sender"), status=400),
        "ProtocolError",
        "because",
    ),
    "IdentityMismatch": (answering(fault("IdentityMismatch", side="Sender"), status=400), "InternalError", "because"),
    "a SOAP 1.1 Fault": (
        answering(
            envelope(
                f'<s:Fault xmlns:s="{SOAP11}"><faultcode>s:Client</faultcode>'
                "<faultstring>because</faultstring></s:Fault>",
                soap=SOAP11,
                identity=None,
            ),
            status=500,
            content_type="text/xml",
        ),
        "ProtocolError",
        "because",
    ),
}


@pytest.mark.parametrize(("respond", "code", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_what_a_charge_point_answers_instead(respond: Respond, code: str, reason: str) -> None:
    async with listening(respond) as point:
        answer, lines = await answer_to_reset(point.url)
        posts = len(point.received)
    assert (answer[:2], posts) == ([4, "id"], 1)
    assert answer[2].startswith(code)
    assert answer[3]
    *operators, line = lines
    assert reason in answer[3] or any(reason in said for said in operators)
    wanted = ('identity="CP 1"', "id=id", "from=central_system", answer[3][:60].split("'")[0].split('"')[0])
    assert [words for words in wanted if words not in line] == []


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("at once", "hung up without a response"),
        ("after the request", "hung up without a response"),
        ("after garbage", "no HTTP: no answer to this Call in SOAP"),
        ("in the middle", "HTTP 200, no content type: no answer to this Call in SOAP"),
    ],
)
async def test_a_charge_point_that_hangs_up(when: str, reason: str) -> None:
    async with hanging_up(when) as url:
        answer, [*_, line] = await answer_to_reset(url)
    assert answer[:3] == [4, "id", "InternalError"]
    assert reason in answer[3]
    assert "outcome=unanswered" in line


async def test_a_charge_point_that_cannot_be_reached_has_until_the_deadline() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    answer, [line] = await answer_to_reset(url, gateway=BRIEF)
    assert answer[:3] == [4, "id", "InternalError"]
    assert "within 1 s" in answer[3]
    assert f"{url} cannot be reached" in answer[3]
    assert "outcome=unanswered" in line


async def test_a_charge_point_that_never_answers_has_until_the_deadline_and_a_late_answer_goes_nowhere() -> None:
    go = asyncio.Event()

    async def hold(body: bytes) -> web.Response:
        if b"resetRequest" in body:
            await go.wait()
            return await answering(RESET)(body)
        return await answering(RESET.replace("reset", "clearCache"))(body)

    async with (
        RawCentralSystem() as central,
        listening(hold) as point,
        reached_from(central, point.url, gateway=BRIEF) as link,
    ):
        answer = await link.ask([2, "id", "Reset", {"type": "Soft"}])
        assert answer[:3] == [4, "id", "InternalError"]
        assert "did not answer" in answer[3]
        go.set()
        # Nothing else came of the first.
        assert await link.ask([2, "next", "ClearCache", {}]) == [3, "next", {"status": "Accepted"}]


async def test_a_redirect_is_not_followed() -> None:
    async with listening(answering(RESET)) as elsewhere:
        for status in (301, 302, 307, 308):
            async with listening(answering(b"", status=status, headers={"Location": elsewhere.url})) as point:
                answer, _ = await answer_to_reset(point.url)
            assert answer[:3] == [4, "id", "InternalError"]
            assert f"HTTP {status}" in answer[3]
        assert elsewhere.received == []


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_response_over_the_limit_is_not_read_to_its_end(compressed: bool) -> None:
    async def respond(_: bytes) -> web.Response:
        response = web.Response(body=envelope(RESET) + b" " * 5_000_000, content_type="application/soap+xml")
        if compressed:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async with listening(respond) as point:
        answer, lines = await answer_to_reset(point.url, soap={"max_body": 10_000})
    assert answer[:3] == [4, "id", "InternalError"]
    assert "more than 10000 bytes" in lines[0]


async def test_a_call_waits_for_the_next_message_which_brings_a_new_address() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        old = f"http://127.0.0.1:{free_port()}/"
        link = await linked(central, post(gateway, heartbeat(old)))
        await link.send([2, "id", "Reset", {"type": "Soft"}])
        async with listening(answering(RESET)) as point, asyncio.TaskGroup() as group:
            group.create_task(post(gateway, heartbeat(point.url)))
            frames = [await link.receive(), await link.receive()]
            [beat] = [frame for frame in frames if frame[0] == 2]
            await link.send([3, beat[1], {"currentTime": AT}])
            assert [3, "id", {"status": "Accepted"}] in frames
            assert len(point.received) == 1


async def test_an_earlier_address_outlives_one_that_is_refused() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        listening(answering(RESET)) as point,
    ):
        link = await linked(central, post(gateway, heartbeat(point.url)))
        await linked_again(link, post(gateway, heartbeat("http://192.0.2.1/")))
        assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", {"status": "Accepted"}]


async def test_a_call_to_a_charge_point_that_never_said_where_it_is() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=BRIEF)) as gateway,
    ):
        link = await linked(central, post(gateway, heartbeat()))
        answer = await link.ask([2, "id", "Reset", {"type": "Soft"}])
        assert answer[:3] == [4, "id", "InternalError"]
        assert "it has not said yet where it can be called back" in answer[3]


@pytest.mark.parametrize("subcode", ["IdentityMismatch", "identitymismatch"])
async def test_an_identity_mismatch_makes_the_bridge_forget_the_address(subcode: str) -> None:
    mismatch = answering(fault(subcode, side="Sender"), status=400)
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        listening(mismatch) as other,
        listening(answering(RESET)) as point,
    ):
        link = await linked(central, post(gateway, heartbeat(other.url)))
        assert (await link.ask([2, "1", "Reset", {"type": "Soft"}]))[:3] == [4, "1", "InternalError"]
        await link.send([2, "2", "Reset", {"type": "Soft"}])
        async with asyncio.TaskGroup() as group:
            group.create_task(post(gateway, heartbeat(point.url)))
            frames = [await link.receive(), await link.receive()]
            [beat] = [frame for frame in frames if frame[0] == 2]
            await link.send([3, beat[1], {"currentTime": AT}])
        assert [3, "2", {"status": "Accepted"}] in frames
        assert (len(other.received), len(point.received)) == (1, 1)


async def test_an_address_learnt_while_the_old_one_answered_with_a_mismatch_is_kept() -> None:
    go = asyncio.Event()

    async def mismatch(body: bytes) -> web.Response:
        await go.wait()
        return await answering(fault("IdentityMismatch", side="Sender"), status=400)(body)

    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        listening(mismatch) as other,
        listening(answering(RESET)) as point,
    ):
        link = await linked(central, post(gateway, heartbeat(other.url)))
        await link.send([2, "1", "Reset", {"type": "Soft"}])
        await asyncio.wait_for(other.arrived.wait(), 10)
        await linked_again(link, post(gateway, heartbeat(point.url)))
        go.set()
        assert (await link.receive())[:3] == [4, "1", "InternalError"]
        assert await link.ask([2, "2", "Reset", {"type": "Soft"}]) == [3, "2", {"status": "Accepted"}]


REFUSED = [
    ("http://192.0.2.1:8080/", "neither the peer 127.0.0.1 nor in soap.callback_networks"),
    ("http://127.0.0.2:8080/", "is link-local or loopback"),
    ("http://[::1]:8080/", "is link-local or loopback"),
    ("file:///etc/passwd", "is not an http address"),
    ("ftp://127.0.0.1/", "is not an http address"),
    ("http://u:p@127.0.0.1/", "is not an http address"),
    ("http://127.0.0.1:99999/", "is not an http address"),
    ("nonsense", "is not an http address"),
]


async def test_an_address_that_is_not_the_peers_is_not_called() -> None:
    async with RawCentralSystem() as central, running(settings(central.url, gateway=BRIEF)) as gateway:
        links = []
        with logged() as lines:
            for number, (source, _) in enumerate(REFUSED):
                link = await linked(central, post(gateway, heartbeat(source, f"CP {number}")))
                await linked_again(link, post(gateway, heartbeat(source, f"CP {number}")))
                links.append(link)
            answers = await asyncio.gather(*(link.ask([2, "id", "Reset", {"type": "Soft"}]) for link in links))
    assert [answer[:3] for answer in answers] == [[4, "id", "InternalError"]] * len(REFUSED)
    assert [reason for (_, reason), answer in zip(REFUSED, answers, strict=True) if reason not in answer[3]] == []
    # Said once for each, not at every message.
    refusals = [line for line in lines if "callback address refused" in line]
    assert [f'identity="CP {number}"' in line for number, line in enumerate(refusals)] == [True] * len(REFUSED)
    assert not any("u:p@" in line for line in lines)


async def test_a_name_is_judged_by_where_it_leads() -> None:
    # Some resolvers take a number for an address: this one is 127.0.0.2.
    answer, _ = await answer_to_reset("http://2130706434:8081/", gateway=BRIEF)
    assert answer[:3] == [4, "id", "InternalError"]
    assert "leads to 127.0.0.2, which is not allowed" in answer[3]


async def test_an_address_in_the_networks_of_the_configuration_is_called() -> None:
    from ipaddress import ip_network

    soap = {"callback_networks": (ip_network("127.0.0.2/31"),)}
    async with listening(answering(RESET), host="127.0.0.2") as point:
        answer, _ = await answer_to_reset(point.url, soap=soap)
    assert answer == [3, "id", {"status": "Accepted"}]


@pytest.mark.parametrize("source", ["http://:{port}/x?y=1", "http://localhost:{port}/", "http://127.0.0.1:{port}"])
async def test_an_address_that_leads_to_the_peer_is_called(source: str) -> None:
    async with listening(answering(RESET)) as point:
        port = point.url.rstrip("/").rpartition(":")[2]
        answer, _ = await answer_to_reset(source.format(port=port))
    assert answer == [3, "id", {"status": "Accepted"}]
    [body] = point.received
    for words in ("chargeBoxIdentity", ">CP 1<", "/Reset<", "From", "ReplyTo", "anonymous", "MessageID"):
        assert words.encode() in body


async def test_a_pinned_address_is_called_whatever_the_charge_point_says() -> None:
    async with listening(answering(RESET), host="127.0.0.2") as pinned, listening(answering(RESET)) as said:
        told = {"cp 1": ChargePoint(callback_url=pinned.url)}
        answer, _ = await answer_to_reset(said.url, charge_points=told)
        assert answer == [3, "id", {"status": "Accepted"}]
        assert (len(pinned.received), len(said.received)) == (1, 0)


async def test_an_answer_to_a_call_of_a_link_that_is_gone_goes_nowhere() -> None:
    go = asyncio.Event()

    async def hold(body: bytes) -> web.Response:
        if b"resetRequest" in body:
            await go.wait()
        return await answering(RESET)(body)

    async with (
        RawCentralSystem() as central,
        running(settings(central.url, central_system=QUICK)) as gateway,
        listening(hold) as point,
    ):
        link = await linked(central, post(gateway, heartbeat(point.url)))
        with logged() as lines:
            await link.send([2, "id", "Reset", {"type": "Soft"}])
            await link.send([2, "waiting", "ClearCache", {}])
            await asyncio.wait_for(point.arrived.wait(), 10)
            await link.websocket.close(1000)
            again = await central.connected()
            # The new connection may use the same UniqueId, for another Call.
            await again.send([2, "id", "Reset", {"type": "Hard"}])
            go.set()
            assert await again.receive() == [3, "id", {"status": "Accepted"}]
        assert [b"Hard" in body for body in point.received] == [False, True]
        assert [line.count("outcome=abandoned") for line in lines if "action=ClearCache" in line] == [1]
        resets = [line for line in lines if "action=Reset" in line]
        assert ["outcome=abandoned" in line for line in resets] == [True, False]


# Both at once.


async def test_remote_start_answered_only_after_the_charge_points_own_authorize() -> None:
    async with stage() as scene:
        point, central = scene.charge_point, scene.central_system

        async def authorise_first(action: str, payload: Payload) -> None:
            await point.call("Authorize", {"idTag": payload["idTag"]})
            await point.call("StartTransaction", SAMPLES["StartTransaction"])

        point.on_command = authorise_first
        await point.call("Heartbeat", {})
        answer = await central.call("CP 1", "RemoteStartTransaction", {"idTag": "DRIVER-1", "connectorId": 1})
        assert answer == {"status": "Accepted"}
        assert [action for _, action, _ in central.received] == ["Heartbeat", "Authorize", "StartTransaction"]
        assert scene.violations() == []


async def test_a_central_system_that_commands_from_inside_its_answer() -> None:
    async with stage() as scene:
        point, central = scene.charge_point, scene.central_system
        await point.call("Heartbeat", {})

        async def ask_back(request: Payload) -> Payload:
            await central.call("CP 1", "GetConfiguration", {"key": ["HeartbeatInterval"]})
            return {"idTagInfo": {"status": "Accepted"}}

        central.behaviour["Authorize"] = ask_back
        assert await point.call("Authorize", {"idTag": "a"}) == {"idTagInfo": {"status": "Accepted"}}
        assert scene.violations() == []


async def test_both_directions_at_once_many_times() -> None:
    def reservation(number: int) -> Payload:
        return {"connectorId": 1, "expiryDate": AT, "idTag": "a", "reservationId": number}

    async with stage() as scene:
        await scene.charge_point.call("Heartbeat", {})
        await asyncio.gather(
            *(scene.charge_point.call("Authorize", {"idTag": str(number)}) for number in range(40)),
            *(scene.central_system.call("CP 1", "ReserveNow", reservation(number)) for number in range(40)),
        )
        asked = [payload["idTag"] for _, action, payload in scene.central_system.received if action == "Authorize"]
        reserved = [payload["reservationId"] for _, payload in scene.charge_point.received]
        # In JSON one connection keeps the order; SOAP's many arrive as they arrive, and none twice.
        assert reserved == list(range(40))
        assert sorted(asked, key=int) == [str(number) for number in range(40)]
        # The simulators object to a second Call while one is out (rule 9).
        assert scene.violations() == []


async def test_what_was_triggered_follows_the_answer_to_the_trigger() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        beats: list[asyncio.Task[Answer]] = []

        async def heartbeat_first(body: bytes) -> web.Response:
            beats.append(asyncio.ensure_future(post(gateway, heartbeat())))
            # By the time a later request has been answered, the Heartbeat has come in.
            assert (await post(gateway, b"", method="GET", path="/services")).status == 200
            assert (await post(gateway, b"", method="GET", path="/services")).status == 200
            return await answering(RESET.replace("reset", "triggerMessage"))(body)

        async with listening(heartbeat_first) as point:
            link = await linked(central, post(gateway, heartbeat(point.url)))
            trigger = command("TriggerMessage", {"requestedMessage": "Heartbeat"})
            assert await link.ask(trigger) == [3, trigger[1], {"status": "Accepted"}]
            assert (await link.serve())[2] == "Heartbeat"
            assert (await beats[0]).status == 200


async def test_what_is_too_much_is_refused_at_once_in_both_directions() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway={"max_in_flight": 1})) as gateway,
    ):
        link = await linked(central, post(gateway, heartbeat("http://127.0.0.1:1/")))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(post(gateway, heartbeat()))
            call = await link.receive()
            with logged() as lines:
                second = await post(gateway, heartbeat())
                assert (second.status, second.fault) == (503, receiver("InternalError"))
                assert "max_in_flight" in second.reason
                answer = await link.ask([2, "id", "Reset", {"type": "Soft"}])
                assert answer[:3] == [4, "id", "InternalError"]
                assert "max_in_flight" in answer[3]
            await link.send([3, call[1], {"currentTime": AT}])
        assert first.result().status == 200
        assert [("refused" in line, 'identity="CP 1"' in line) for line in lines] == [(True, True)] * 2
        # Room again.
        assert (await linked_again(link, post(gateway, heartbeat()))).status == 200


# Strict.

OUT_OF_ORDER = envelope(
    f'<startTransactionRequest xmlns="{CS}"><idTag>a</idTag><connectorId>1</connectorId>'
    "<meterStart>1</meterStart><timestamp>2026-01-02T03:04:05+01:00</timestamp></startTransactionRequest>"
)
FORGIVEN = {
    "another order": OUT_OF_ORDER,
    "letter case": envelope(
        f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId><status>available</status>'
        "<errorCode>NoError</errorCode></statusNotificationRequest>"
    ),
    "an unknown element": envelope(f'<heartbeatRequest xmlns="{CS}"><mood>good</mood></heartbeatRequest>'),
    "no zone": envelope(
        f'<startTransactionRequest xmlns="{CS}"><connectorId>1</connectorId><idTag>a</idTag>'
        "<timestamp>2026-01-02T03:04:05</timestamp><meterStart>1</meterStart></startTransactionRequest>"
    ),
}


@pytest.mark.parametrize("body", FORGIVEN.values(), ids=FORGIVEN)
async def test_what_a_tolerant_route_forgives_a_strict_one_refuses(body: bytes) -> None:
    async def walk(tolerance: str) -> tuple[int, tuple[str, str] | None, int]:
        async with (
            JsonCentralSystem() as central,
            running(settings(central.url, route={"tolerance": tolerance})) as gateway,
        ):
            answer = await post(gateway, body)
            assert central.violations == []
            return answer.status, answer.fault, len(central.received)

    assert await walk("tolerant") == (200, None, 1)
    assert await walk("strict") == (400, sender("ProtocolError"), 0)


async def test_a_strict_route_refuses_the_central_systems_mistakes_too() -> None:
    async with (
        RawCentralSystem() as central,
        listening(answering(RESET.replace("Accepted", "accepted"))) as point,
        reached_from(central, point.url, route={"tolerance": "strict"}) as link,
    ):
        assert (await link.ask([2, "1", "Reset", {"type": "Soft", "x": 1}]))[:3] == [4, "1", "FormationViolation"]
        assert (await link.ask([2, "2", "Reset", {"type": "soft"}]))[:3] == [4, "2", "PropertyConstraintViolation"]
        assert point.received == []
        # And the Charge Point's answers: who asked is told.
        assert (await link.ask([2, "3", "Reset", {"type": "Soft"}]))[:3] == [4, "3", "InternalError"]


async def test_the_official_files_may_be_dropped_in() -> None:
    async with stage(soap={"wsdl": str(WSDL)}) as scene:
        await scene.charge_point.call("Heartbeat", {})
        assert await scene.central_system.call("CP 1", "ClearCache", {}) == {"status": "Accepted"}
        assert scene.violations() == []
