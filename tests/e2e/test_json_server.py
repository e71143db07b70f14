"""The door for JSON Charge Points: who is let in, what they speak, whose refusal they hear, and who commands them."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.utils import accept_key

from bridge.app import Gateway
from bridge.config import ChargePoint, Listen, Secret
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.wire import Payload
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CP,
    CS,
    SAMPLES,
    SOAP12,
    Answer,
    Connection,
    RawCentralSystem,
    answering,
    charge_point,
    dialled,
    envelope,
    leg,
    listening,
    logged,
    post,
    reachable,
    running,
    settings,
    soap_central_system,
)
from tests.ports import free_port

CHARGE_POINT_SERVICE = "/services/ChargePointService"
RESET = f'<resetRequest xmlns="{CP}"><type>Soft</type></resetRequest>'
# OCPP-J 1.6 section 6.2.2: 20 raw bytes; these are no text, and hold what separates user and password.
KEY = b"\x00:\xff\xfe\x80key\r\n\x1b4567890:"


def basic(user: str, password: bytes) -> tuple[str, str]:
    return "Authorization", f"Basic {b64encode(user.encode() + b':' + password).decode()}"


def known(**options: Any) -> dict[str, ChargePoint]:
    return {"CP 1": ChargePoint(**options)}


@asynccontextmanager
async def towards_soap(**tables: Any) -> AsyncIterator[tuple[Gateway, SoapCentralSystem]]:
    async with soap_central_system() as central:
        told = {"soap": reachable(), "central_system": {"protocol": "ocpp1.6s"}} | tables
        async with running(settings(central.url, **told)) as gateway:
            yield gateway, central


@asynccontextmanager
async def towards_json(**tables: Any) -> AsyncIterator[tuple[Gateway, RawCentralSystem]]:
    async with RawCentralSystem() as central, running(settings(central.url, **tables)) as gateway:
        yield gateway, central


async def refused(gateway: Gateway, segment: str = "CP%201", **options: Any) -> tuple[int, Any, str]:
    """Status, headers and body of a handshake that is turned away."""
    with pytest.raises(InvalidStatus) as caught:
        async with dialled(gateway, segment, **options):
            pass
    response = caught.value.response
    return response.status_code, response.headers, (response.body or b"").decode()


async def works(point: Connection) -> None:
    """A Heartbeat is answered."""
    answer = await point.ask([2, "still", "Heartbeat", {}])
    assert answer[:2] == [3, "still"]


# What they speak.


@pytest.mark.parametrize("offered", [["ocpp1.6"], ["ocpp2.0.1", "ocpp1.6"], ["OCPP1.6"], ["Ocpp1.6", "ocpp1.6"]])
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_the_subprotocol_is_answered_in_the_spelling_that_it_was_offered_in(far: str, offered: list[str]) -> None:
    async with leg("json", far, "somebody") as scene:
        async with dialled(scene.gateway, subprotocols=offered) as point:
            assert point.websocket.subprotocol == next(name for name in offered if name.lower() == "ocpp1.6")
            await works(point)
        assert scene.violations() == []


@pytest.mark.parametrize("far", ["soap", "json"])
async def test_subprotocols_may_come_in_several_headers(far: str) -> None:
    async with leg("json", far) as scene, upgraded(scene.gateway, "ocpp2.0.1", "ocpp1.6") as (head, _, _):
        assert head.startswith("HTTP/1.1 101 ")
        assert "\r\nSec-WebSocket-Protocol: ocpp1.6\r\n" in head


@asynccontextmanager
async def upgraded(
    gateway: Gateway, *subprotocols: str
) -> AsyncIterator[tuple[str, asyncio.StreamReader, asyncio.StreamWriter]]:
    """The head of the response to a handshake with a header for each of `subprotocols`; then a client that does
    nothing by itself, not even answer a ping."""
    reader, writer = await asyncio.open_connection(*gateway.websocket_address)
    lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"Sec-WebSocket-Protocol: {name}" for name in subprotocols]
    writer.write("\r\n".join(("GET /ocpp/CP%201 HTTP/1.1", "Host: x", *lines, "", "")).encode())
    try:
        yield (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("offered", [None, ["ocpp2.0.1"], ["ocpp1.5", "xmpp"]])
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_without_a_common_subprotocol_the_handshake_is_completed_and_the_connection_closed(
    far: str, offered: list[str] | None
) -> None:
    towards: Any = towards_soap if far == "soap" else towards_json
    async with towards() as (gateway, central), dialled(gateway, subprotocols=offered) as point:
        assert point.websocket.subprotocol is None
        assert await point.ended() == (1002, "no common subprotocol")
        assert (central.received if far == "soap" else central.requests) == []


RELAYED: dict[str, tuple[list[str], str | None, list[str], str | None]] = {
    "the first that both speak": (
        ["ocpp2.1", "ocpp2.0.1", "ocpp1.6"],
        "ocpp2.0.1",
        ["ocpp2.0.1", "ocpp1.6"],
        "ocpp2.0.1",
    ),
    "another one": (["ocpp2.0.1", "ocpp1.6"], "ocpp1.6", ["ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
    "in the Charge Point's order": (["ocpp1.6", "ocpp2.0.1"], "ocpp1.6", ["ocpp1.6", "ocpp2.0.1"], "ocpp1.6"),
    "in lower case there": (["OCPP1.6", "Ocpp2.0.1"], "ocpp2.0.1", ["ocpp1.6", "ocpp2.0.1"], "Ocpp2.0.1"),
    "none that is configured": (["ocpp2.1"], "ocpp2.1", [], None),
    "none that is spoken there": (["ocpp2.0.1"], "ocpp1.6", ["ocpp2.0.1"], None),
}


@pytest.mark.parametrize(("offered", "spoken", "passed_on", "agreed"), RELAYED.values(), ids=RELAYED)
async def test_any_subprotocol_that_both_ends_speak_is_relayed(
    offered: list[str], spoken: str, passed_on: list[str], agreed: str | None
) -> None:
    subprotocols = {"subprotocols": ("ocpp2.0.1", "ocpp1.6")}
    async with (
        RawCentralSystem(subprotocol=spoken) as central,
        running(settings(central.url, central_system=subprotocols)) as gateway,
        dialled(gateway, subprotocols=offered) as point,
    ):
        said = [request.headers["Sec-WebSocket-Protocol"].split(", ") for request in central.requests]
        assert said == ([passed_on] if passed_on else [])
        assert point.websocket.subprotocol == agreed
        if agreed is None:
            assert (await point.ended())[0] == 1002
            return
        link = await central.connected()
        await point.send('[2,"1","NotifyEvent",{"eventData": [{"trigger":"Delta"}]}]')
        call = await link.receive()
        assert call[2:] == ["NotifyEvent", {"eventData": [{"trigger": "Delta"}]}]
        await link.send([3, call[1], {}])
        assert await point.receive() == [3, "1", {}]


# Who they are.

IDENTITIES = {
    "CP1": ("CP1", "CP1"),
    "RDAM%20123": ("RDAM 123", "RDAM%20123"),
    "a%2Fb": ("a/b", "a%2Fb"),
    "100%25": ("100%", "100%25"),
    "%2541": ("%41", "%2541"),
    "00%3A90:0B": ("00:90:0B", "00:90:0B"),
    "Z%C3%BCrich%20%E4%B8%AD": ("Zürich 中", "Z%C3%BCrich%20%E4%B8%AD"),
}


@pytest.mark.parametrize(("segment", "identity", "passed_on"), [(k, *v) for k, v in IDENTITIES.items()], ids=IDENTITIES)
async def test_the_identity_is_decoded_once(segment: str, identity: str, passed_on: str) -> None:
    async with towards_json() as (gateway, central), dialled(gateway, segment):
        await central.connected()
        assert central.requests[0].path == f"/ocpp/{passed_on}"
    async with towards_soap() as (gateway, soap), dialled(gateway, segment) as point:
        await works(point)
        assert soap.received == [(identity, "Heartbeat", {})]
        # And back: the commands for it come to it.
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(soap.call(identity, "ClearCache", {}))
            call = await point.receive()
            await point.send([3, call[1], {"status": "Accepted"}])
        assert answer.result() == {"status": "Accepted"}
        assert soap.violations == []


@pytest.mark.parametrize("far", ["soap", "json"])
async def test_who_is_not_routed_is_not_found(far: str) -> None:
    towards: Any = towards_soap if far == "soap" else towards_json
    async with towards(route={"charge_point": "CP *"}) as (gateway, central):
        with logged() as lines:
            status, _, body = await refused(gateway, "else")
        assert (status, "'else'" in body) == (404, True)
        assert (central.received if far == "soap" else central.requests) == []
        [line] = lines
        assert "handshake refused" in line
        assert "identity=else" in line
        assert "peer=127.0.0.1" in line
        async with dialled(gateway, "cp%207"):
            pass


CREDENTIALS: dict[str, tuple[bytes, list[tuple[str, str]], bool]] = {
    "right": (b"secret", [basic("CP 1", b"secret")], True),
    "raw bytes": (KEY, [basic("CP 1", KEY)], True),
    "another spelling of Basic": (KEY, [("Authorization", basic("CP 1", KEY)[1].replace("Basic", "basic"))], True),
    "wrong": (b"secret", [basic("CP 1", b"Secret")], False),
    "longer": (b"secret", [basic("CP 1", b"secret1")], False),
    "empty": (b"secret", [basic("CP 1", b"")], False),
    "missing": (b"secret", [], False),
    "another user's": (b"secret", [basic("CP 2", b"secret")], False),
    "nobody's": (b"secret", [basic("", b"secret")], False),
    "the encoded user's": (b"secret", [basic("CP%201", b"secret")], False),
    "no Basic": (b"secret", [("Authorization", "Bearer secret")], False),
    "no base64": (b"secret", [("Authorization", "Basic %%%")], False),
}


@pytest.mark.parametrize(("password", "headers", "right"), CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_a_password_that_is_configured_is_asked_for(
    far: str, password: bytes, headers: list[tuple[str, str]], right: bool
) -> None:
    towards: Any = towards_soap if far == "soap" else towards_json
    async with towards(charge_points=known(password=Secret(password))) as (gateway, central):
        with logged() as lines:
            if right:
                async with dialled(gateway, headers=headers) as point:
                    assert point.websocket.subprotocol == "ocpp1.6"
            else:
                status, told, body = await refused(gateway, headers=headers)
                assert status == 401
                assert told["WWW-Authenticate"].startswith('Basic realm="')
                assert "secret" not in body.lower()
                assert far == "soap" or central.requests == []
        assert not any(word in line.lower() for line in lines for word in ("secret", "basic "))
        # Of another Charge Point none is asked.
        async with dialled(gateway, "CP%202"):
            pass


# Whose refusal they hear.

REFUSALS = {
    HTTPStatus.UNAUTHORIZED: 401,
    HTTPStatus.FORBIDDEN: 403,
    HTTPStatus.NOT_FOUND: 404,
    HTTPStatus.TOO_MANY_REQUESTS: 429,
    HTTPStatus.SERVICE_UNAVAILABLE: 503,
    HTTPStatus.INTERNAL_SERVER_ERROR: 503,
    HTTPStatus.BAD_GATEWAY: 503,
    HTTPStatus.FOUND: 503,
    HTTPStatus.OK: 503,
}


@pytest.mark.parametrize(("there", "here"), REFUSALS.items(), ids=lambda status: str(int(status)))
async def test_a_refusal_of_the_central_system_is_the_answer_here(there: HTTPStatus, here: int) -> None:
    async with towards_json() as (gateway, central):
        central.refuse = there
        with logged() as lines:
            status, headers, body = await refused(gateway)
        assert status == here
        assert ("WWW-Authenticate" in headers) == (here == 401)
        assert f"HTTP {int(there)}" in body
        assert len([line for line in lines if f'"HTTP {here}: ' in line]) == 1
        central.refuse = None
        async with dialled(gateway) as point:
            link = await central.connected()
            await point.send([2, "1", "Heartbeat", {}])
            await link.serve()
            assert (await point.receive())[:2] == [3, "1"]


async def test_a_central_system_that_is_not_there_is_503() -> None:
    async with running(settings(f"ws://127.0.0.1:{free_port()}/ocpp")) as gateway:
        status, _, body = await refused(gateway)
        assert (status, "cannot be reached" in body) == (503, True)
    async with (
        listening(answering(b"<html>", content_type="text/html")) as page,
        running(settings(page.url.replace("http", "ws"))) as gateway,
    ):
        assert (await refused(gateway))[0] == 503


async def test_a_handshake_that_comes_to_nothing_leaves_no_connection_behind() -> None:
    async with towards_json() as (gateway, central):
        reader, writer = await asyncio.open_connection(*gateway.websocket_address)
        lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"
        writer.write(f"GET /ocpp/CP%201 HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())  # no Sec-WebSocket-Key
        link = await central.connected()
        assert b" 400 " in await reader.readline()
        assert (await link.ended())[0] == 1000
        writer.close()
        await writer.wait_closed()
        async with dialled(gateway):
            await central.connected()


AUTHORIZATIONS: dict[str, tuple[dict[str, Any], list[tuple[str, str]], list[str]]] = {
    "none": ({}, [], []),
    "the Charge Point's": ({}, [basic("CP 1", KEY)], [basic("CP 1", KEY)[1]]),
    "whatever it is": ({}, [("Authorization", "Bearer a.b")], ["Bearer a.b"]),
    "checked here": ({"password": Secret(KEY)}, [basic("CP 1", KEY)], [basic("CP 1", KEY)[1]]),
    "of the configuration": ({"central_system_password": Secret(KEY)}, [], [basic("CP 1", KEY)[1]]),
    "of the configuration before its own": (
        {"password": Secret(b"near"), "central_system_password": Secret(KEY)},
        [basic("CP 1", b"near")],
        [basic("CP 1", KEY)[1]],
    ),
    "of the configuration under another name": (
        {"central_system_identity": "NL-1", "central_system_password": Secret(KEY)},
        [basic("CP 1", b"x")],
        [basic("NL-1", KEY)[1]],
    ),
}


@pytest.mark.parametrize(("own", "headers", "passed_on"), AUTHORIZATIONS.values(), ids=AUTHORIZATIONS)
async def test_the_authorization_is_passed_on_unless_the_configuration_has_one(
    own: dict[str, Any], headers: list[tuple[str, str]], passed_on: list[str]
) -> None:
    async with (
        towards_json(charge_points=known(**own)) as (gateway, central),
        dialled(gateway, headers=headers),
    ):
        await central.connected()
        assert central.requests[0].headers.get_all("Authorization") == passed_on


# One connection each.


@pytest.mark.parametrize("headers", [[], [basic("CP 1", b"x")]], ids=["without credentials", "with credentials"])
async def test_the_newest_connection_replaces_the_older_one_between_two_json_parties(
    headers: list[tuple[str, str]],
) -> None:
    async with towards_json() as (gateway, central), dialled(gateway, headers=headers) as older:
        old_link = await central.connected()
        await older.send([2, "lost", "Heartbeat", {}])
        await old_link.receive()
        async with dialled(gateway, "cp%201", headers=headers) as newer:
            link = await central.connected()
            assert await older.ended() == (4003, "replaced by a newer connection of the same Charge Point")
            await old_link.ended()
            await newer.send([2, "1", "Authorize", {"idTag": "A"}])
            assert (await link.serve())[2] == "Authorize"
            assert (await newer.receive())[:2] == [3, "1"]
            await link.send([2, "2", "Reset", {"type": "Soft"}])
            call = await newer.receive()
            await newer.send([3, call[1], {}])
            assert await link.receive() == [3, "2", {}]


async def test_the_newest_connection_replaces_the_older_one_towards_soap() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(_: Payload) -> Payload:
        entered.set()
        await leave.wait()
        return {"idTagInfo": {"status": "Accepted"}}

    async with towards_soap() as (gateway, central), dialled(gateway) as older:
        central.behaviour["Authorize"] = hold
        await older.send([2, "lost", "Authorize", {"idTag": "A"}])
        await entered.wait()
        async with dialled(gateway) as newer:
            assert await older.ended() == (4003, "replaced by a newer connection of the same Charge Point")
            leave.set()
            # What the older one asked is not answered on the newer one.
            await works(newer)
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(central.call("CP 1", "ClearCache", {}))
                call = await newer.receive()
                assert call[2] == "ClearCache"
                await newer.send([3, call[1], {"status": "Accepted"}])
            assert answer.result() == {"status": "Accepted"}


@pytest.mark.parametrize(
    ("first", "second"),
    [([basic("CP 1", b"x")], [basic("CP 1", b"y")]), ([basic("CP 1", b"x")], []), ([], [basic("CP 1", b"x")])],
    ids=["others", "none", "some"],
)
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_with_other_credentials_it_is_replaced_by_nobody(
    far: str, first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    async with leg("json", far, "somebody") as scene, dialled(scene.gateway, headers=first) as older:
        status, _, body = await refused(scene.gateway, headers=second)
        assert (status, "other credentials" in body) == (403, True)
        await works(older)
        await older.websocket.close()
        # Then the place is free; that it is so may come to be known a moment later.
        while True:
            try:
                async with dialled(scene.gateway, headers=second) as newer:
                    await works(newer)
                    break
            except InvalidStatus as error:
                assert error.response.status_code == 403


@pytest.mark.parametrize("far", ["soap", "json"])
async def test_a_charge_point_may_come_again(far: str) -> None:
    async with leg("json", far) as scene:
        for _ in range(3):
            await scene.met()
            answer = await scene.central_system.call("CP 1", "ClearCache", {})
            assert answer == {"status": "Accepted"}
            await scene.charge_point.stop()
            if isinstance(scene.central_system, JsonCentralSystem):
                await scene.central_system.wait_gone("CP 1")
            await scene.charge_point.start()
        assert scene.violations() == []


async def test_a_charge_point_that_comes_to_speak_json_leaves_its_soap_session_behind() -> None:
    quick = {"reconnect_min": 0.01, "reconnect_max": 0.02}
    async with towards_json(central_system=quick) as (gateway, central):
        async with charge_point(gateway) as before, asyncio.TaskGroup() as group:
            group.create_task(before.call("Heartbeat", {}))
            old = await central.connected()
            await old.serve()
        async with dialled(gateway) as point:
            link = await central.connected()
            await old.ended()
            # It would be dialled again by now, and again: nobody but the new one is left.
            for number in range(20):
                await point.send([2, str(number), "Heartbeat", {}])
                await link.serve()
                assert (await point.receive())[:2] == [3, str(number)]
            assert len(central.requests) == 2


async def test_a_charge_point_that_comes_to_speak_soap_leaves_its_json_session_behind() -> None:
    async with towards_json() as (gateway, central), dialled(gateway) as before:
        old = await central.connected()
        async with charge_point(gateway) as point:
            async with asyncio.TaskGroup() as group:
                group.create_task(point.call("Heartbeat", {}))
                link = await central.connected()
                await link.serve()
            assert (await before.ended())[0] == 1012
            await old.ended()
            assert await link.ask([2, "1", "ClearCache", {}]) == [3, "1", {"status": "Accepted"}]


# Connections that are dead.


async def test_a_charge_point_that_stops_answering_pings_is_given_up() -> None:
    async with towards_json(websocket={"ping_interval": 0.05}) as (gateway, central):
        with logged() as lines:
            async with upgraded(gateway, "ocpp1.6") as (head, _, _):
                assert " 101 " in head
                link = await central.connected()
                await link.ended()
        assert any("link down" in line and "ping timeout" in line for line in lines)
        # The next one is let in, whatever its credentials.
        async with dialled(gateway, headers=[basic("CP 1", b"x")]):
            await central.connected()


@asynccontextmanager
async def half_open(pinged: asyncio.Queue[None] | None = None) -> AsyncIterator[str]:
    """A Central System that completes the handshake, and is not heard of again. With `pinged` it answers each Ping with
    a message, never with a Pong, and says so there."""
    gone = asyncio.Event()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: asyncio.Queue[None]) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                first, length = await reader.readexactly(2)
                await reader.readexactly(4 + (length & 0x7F))
                if first == 0x89:
                    text = b'[3,"nothing",{}]'
                    writer.write(bytes([0x81, len(text)]) + text)
                    told.put_nowait(None)

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.lower().partition("sec-websocket-key:")[2].split()[0]
        key = head[head.lower().index(key) :][: len(key)]
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )
        await (gone.wait() if pinged is None else say(reader, writer, pinged))
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
    gone.set()
    server.close()


async def test_a_central_system_that_stops_answering_pings_is_given_up() -> None:
    async with (
        half_open() as url,
        running(settings(url, central_system={"ping_interval": 0.05})) as gateway,
        dialled(gateway) as point,
    ):
        code, reason = await point.ended()
        assert code == 1013
        assert "ping timeout" in (reason or "")


async def test_any_frame_of_a_charge_point_counts_as_life() -> None:
    """Rule 76. This one answers each Ping with a message, and never with a Pong."""
    async with (
        towards_json(websocket={"ping_interval": 1}) as (gateway, central),
        upgraded(gateway, "ocpp1.6") as (head, reader, writer),
    ):
        assert " 101 " in head
        link = await central.connected()
        for number in range(3):
            await until_ping(reader)
            writer.write(frame_of(f'[2,"{number}","Heartbeat",{{}}]'))
            assert (await link.serve())[2] == "Heartbeat"


async def test_any_frame_of_a_central_system_counts_as_life() -> None:
    pinged: asyncio.Queue[None] = asyncio.Queue()
    async with (
        half_open(pinged) as url,
        running(settings(url, central_system={"ping_interval": 1})) as gateway,
        dialled(gateway) as point,
    ):
        for _ in range(3):
            await asyncio.wait_for(pinged.get(), AT_MOST)
        assert point.websocket.close_code is None


async def until_ping(reader: asyncio.StreamReader) -> None:
    """Read frames until one is a Ping; the others are the answers."""
    while True:
        first, length = await asyncio.wait_for(reader.readexactly(2), AT_MOST)
        await reader.readexactly(length)
        if first == 0x89:
            return


def frame_of(text: str) -> bytes:
    """A short text of a client: its mask changes nothing."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


async def test_pings_of_either_end_are_answered() -> None:
    async with (
        towards_json(central_system={"ping_interval": 0.05}, websocket={"ping_interval": 0.05}) as (
            gateway,
            central,
        ),
        dialled(gateway) as point,
    ):
        link = await central.connected()
        for _ in range(4):
            await (await point.websocket.ping())
            await (await link.websocket.ping())
        await point.send([2, "1", "Heartbeat", {}])
        await link.serve()
        assert (await point.receive())[:2] == [3, "1"]


# A frame that is just small enough here may be too long there: the id that it is passed on with is 36 characters.
@pytest.mark.parametrize("size", [1_048_500, 1_048_577])
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_a_frame_over_the_limit_is_refused(far: str, size: int) -> None:
    async with leg("json", far, "somebody") as scene, dialled(scene.gateway) as point:
        head, tail = '[2,"1","DataTransfer",{"vendorId":"v","data":"', '"}]'
        await point.send(head + "x" * (size - len(head) - len(tail)) + tail)
        if size > 1_048_576:
            assert (await point.ended())[0] == 1009
            assert scene.central_system.received == []
        else:
            assert (await point.receive())[1] == "1"


async def test_a_frame_over_the_limit_from_the_central_system_ends_both_connections() -> None:
    async with towards_json() as (gateway, central), dialled(gateway) as point:
        link = await central.connected()
        with contextlib.suppress(ConnectionClosed):
            await link.send("x" * 1_048_577)
        assert (await link.ended())[0] == 1009
        assert (await point.ended())[0] == 1013


# Wrong doors.


@dataclass(frozen=True, slots=True)
class Door:
    """The WebSocket port, for `post`."""

    soap_address: tuple[str, int]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/services/CentralSystemService", 405),
        ("POST", "/ocpp/CP%201", 405),
        ("GET", "/ocpp/CP%201", 426),
        ("GET", "/", 404),
        ("GET", "/services", 404),
    ],
)
async def test_the_wrong_door_says_which_is_the_right_one(method: str, path: str, status: int) -> None:
    port = free_port()
    tables: dict[str, Any] = {
        "soap": {"public_url": "http://bridge.example:8080/"},
        "websocket": {"listen": Listen("127.0.0.1", port)},
    }
    async with towards_json(**tables) as (gateway, _):
        with logged() as lines:
            door, posted = Door(gateway.websocket_address), method == "POST"
            length = {} if posted else {"Content-Length": None}
            body = envelope() if posted else b""
            answer = await post(door, body, method=method, path=path, headers=length)
        assert answer.status == status
        assert f"ws://127.0.0.1:{port}/ocpp/{{identity}}\n" in answer.text
        assert "POST http://bridge.example:8080/services/CentralSystemService\n" in answer.text
        [line] = lines
        assert f"HTTP {status}" in line


# Other names.

NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "of the Charge Point": ({"charge_points": known(central_system_identity="NL-RDAM-123")}, "NL-RDAM-123"),
    "by the template": ({"route": {"central_system_identity": "NL*{identity}"}}, "NL*CP 1"),
    "of the Charge Point before the template": (
        {
            "route": {"central_system_identity": "NL*{identity}"},
            "charge_points": known(central_system_identity="A/B"),
        },
        "A/B",
    ),
    "with the template's own": (
        {"charge_points": known(central_system_identity="{identity}@home")},
        "CP 1@home",
    ),
}


@pytest.mark.parametrize(("tables", "name"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize(("near", "far"), [("soap", "json"), ("json", "soap"), ("soap", "soap"), ("json", "json")])
async def test_a_charge_point_may_have_another_name_there(
    near: str, far: str, tables: dict[str, Any], name: str
) -> None:
    async with leg(near, far, "CP 1", **tables) as scene:
        await scene.charge_point.call("Heartbeat", {})
        await scene.central_system.wait_for(name)
        assert [(who, action) for who, action, _ in scene.central_system.received] == [(name, "Heartbeat")]
        # A command by that name comes to it, under its own.
        assert await scene.central_system.call(name, "ClearCache", {}) == {"status": "Accepted"}
        assert scene.charge_point.received == [("ClearCache", {})]
        assert scene.violations() == []


# Commands of a SOAP Central System.


async def commanded(gateway: Gateway, identity: str | None = "CP 1", *, tail: str = "", body: str = RESET) -> Answer:
    return await post(gateway, envelope(body, identity=identity), path=CHARGE_POINT_SERVICE + tail)


def fault_of(side: str, subcode: str) -> tuple[str, str]:
    return f"{{{SOAP12}}}{side}", f"{{{CP}}}{subcode}"


async def carried_out(gateway: Gateway, point: Connection, identity: str | None, tail: str = "") -> Answer:
    """What answers a command that gets through to `point`."""
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(commanded(gateway, identity, tail=tail))
        call = await point.receive()
        assert call[2:] == ["Reset", {"type": "Soft"}]
        await point.send([3, call[1], {"status": "Accepted"}])
    return answer.result()


@pytest.mark.parametrize(
    ("identity", "tail"),
    [("CP 1", ""), ("cp 1", ""), ("CP 1", "/CP%202"), (None, "/CP%201"), (None, "/cp%201/"), (None, "/x/CP%201")],
)
async def test_a_command_goes_where_the_charge_box_identity_says(identity: str | None, tail: str) -> None:
    async with towards_soap() as (gateway, _), dialled(gateway) as point, dialled(gateway, "CP%202"):
        answer = await carried_out(gateway, point, identity, tail)
        assert (answer.status, answer.fault) == (200, None)
        assert etree_text(answer) == "Accepted"


def etree_text(answer: Answer) -> str:
    return "".join(str(text) for text in answer.content.itertext())


async def test_a_command_for_nobody_is_an_identity_mismatch() -> None:
    async with towards_soap(route={"charge_point": "CP *"}) as (gateway, _):
        answer = await commanded(gateway, "else")
        assert (answer.status, answer.fault) == (500, fault_of("Sender", "IdentityMismatch"))
        answer = await commanded(gateway, None)
        assert (answer.status, answer.fault) == (500, fault_of("Sender", "ProtocolError"))


RENAMED: dict[str, dict[str, Any]] = {
    "NL-1": {"route": {"charge_point": "CP *"}, "charge_points": known(central_system_identity="NL-1")},
    "NL*CP 1": {"route": {"charge_point": "CP *", "central_system_identity": "NL*{identity}"}},
}


@pytest.mark.parametrize(("name", "tables"), RENAMED.items(), ids=RENAMED)
async def test_a_charge_point_with_another_name_is_known_by_that_alone(name: str, tables: dict[str, Any]) -> None:
    async with towards_soap(**tables) as (gateway, _):
        # It has not been here yet; that is not the command's fault.
        answer = await commanded(gateway, name)
        assert (answer.status, answer.fault) == (500, fault_of("Receiver", "InternalError"))
        assert "has not connected yet" in answer.reason
        async with dialled(gateway) as point:
            assert (await carried_out(gateway, point, name.lower())).status == 200
            answer = await commanded(gateway, "CP 1")
            assert (answer.status, answer.fault) == (500, fault_of("Sender", "IdentityMismatch"))


async def test_a_command_for_a_charge_point_that_is_not_there_waits_for_it() -> None:
    async with towards_soap() as (gateway, _):
        answer = await commanded(gateway)
        assert (answer.status, answer.fault) == (500, fault_of("Receiver", "InternalError"))
        assert "has not connected yet" in answer.reason
        async with dialled(gateway) as point:
            await works(point)
        with logged() as lines:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(commanded(gateway))
                async with dialled(gateway) as point:
                    call = await point.receive()
                    await point.send([3, call[1], {"status": "Accepted"}])
                    assert (await waiting).status == 200
        assert any("outcome=result" in line for line in lines)


async def test_a_command_that_nobody_comes_for_is_an_internal_error_in_time() -> None:
    async with towards_soap(gateway={"call_timeout": 0.3}) as (gateway, _):
        async with dialled(gateway) as point:
            await works(point)
            answer = await commanded(gateway)  # it is there, and says nothing
            assert (answer.status, answer.fault) == (500, fault_of("Receiver", "InternalError"))
            assert "within 0.3 s" in answer.reason
        answer = await commanded(gateway)
        assert (answer.status, answer.fault) == (500, fault_of("Receiver", "InternalError"))
        assert "did not answer" in answer.reason


CALLERRORS = {
    "SecurityError": (500, "Sender", "SecurityError"),
    "FormationViolation": (500, "Sender", "ProtocolError"),
    "PropertyConstraintViolation": (500, "Sender", "ProtocolError"),
    "OccurenceConstraintViolation": (500, "Sender", "ProtocolError"),
    "NotImplemented": (500, "Receiver", "NotSupported"),
    "NotSupported": (500, "Receiver", "NotSupported"),
    "InternalError": (500, "Receiver", "InternalError"),
    "GenericError": (500, "Receiver", "InternalError"),
    "x-vendor": (500, "Receiver", "InternalError"),
}


@pytest.mark.parametrize(("code", "told"), CALLERRORS.items(), ids=CALLERRORS)
async def test_a_callerror_of_the_charge_point_is_the_fault_of_the_table(code: str, told: tuple[int, str, str]) -> None:
    async with towards_soap() as (gateway, _), dialled(gateway) as point:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(commanded(gateway))
            call = await point.receive()
            await point.send([4, call[1], code, "not now", {"until": "noon"}])
        status, side, subcode = told
        assert (answer.result().status, answer.result().fault) == (status, fault_of(side, subcode))
        assert answer.result().reason == f"{code}: not now"
        assert "noon" in answer.result().text


async def test_a_command_for_a_charge_point_of_another_central_system_is_refused() -> None:
    async with towards_json() as (gateway, central), dialled(gateway):
        await central.connected()
        answer = await commanded(gateway)
        assert (answer.status, answer.fault) == (500, fault_of("Sender", "SecurityError"))


async def test_every_message_has_the_headers_that_a_soap_central_system_needs() -> None:
    """Rule 44: From names our ChargePointService, with which zeep finds the way back."""
    async with leg("json", "soap") as scene:
        for action, payload in SAMPLES.items():
            await scene.charge_point.call(action, payload)
        assert isinstance(scene.central_system, SoapCentralSystem)
        host, port = scene.gateway.soap_address
        assert scene.central_system.addresses == {"CP 1": f"http://{host}:{port}{CHARGE_POINT_SERVICE}"}
        assert scene.violations() == []


async def test_connections_to_a_soap_central_system_are_pooled() -> None:
    peers = set[object]()

    async def answer(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        body = f'<heartbeatResponse xmlns="{CS}"><currentTime>{AT}</currentTime></heartbeatResponse>'
        return web.Response(body=envelope(body, identity=None), content_type="application/soap+xml")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with running(settings(url, central_system={"protocol": "ocpp1.6s"})) as gateway:
        async with dialled(gateway) as one, dialled(gateway, "CP%202") as two:
            for point in (one, two) * 5:
                await works(point)
        assert len(peers) == 1
    await runner.cleanup()
