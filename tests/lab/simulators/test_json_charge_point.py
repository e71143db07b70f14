"""A simulated Charge Point over loopback: the simulated Central System, both ways, and raw frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.script import DEFAULT_SCRIPT, read_script, run_script
from bridge.lab.simulators.wire import CallRefused, Payload, WireMessage
from tests.lab.simulators.samples import COMMANDS, NOON

Talk = Callable[[JsonCentralSystem, JsonChargePoint], Coroutine[Any, Any, None]]


async def connected(talk: Talk, prepare: Callable[[JsonChargePoint], None] = lambda _: None) -> JsonChargePoint:
    """Run `talk` with a Central System and the Charge Point "CP 1/a" connected to it; gives the latter afterwards."""
    async with JsonCentralSystem() as central:
        charge_point = JsonChargePoint(url=central.url, identity="CP 1/a")
        prepare(charge_point)
        async with charge_point:
            await central.wait_for("CP 1/a")
            await talk(central, charge_point)
        assert central.violations == []
    return charge_point


async def test_the_built_in_session_is_carried() -> None:
    said: list[str] = []

    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        assert await run_script(charge_point, read_script(DEFAULT_SCRIPT, "built in"), said.append), said
        assert {action for _, action, _ in central.received} == set(central.behaviour) - {
            "DiagnosticsStatusNotification",
            "FirmwareStatusNotification",
        }
        assert {identity for identity, _, _ in central.received} == {"CP 1/a"}
        assert central.answers.transactions[1]["idTag"] == "DRIVER-1"

    assert (await connected(talk)).violations == []


async def test_every_command_has_an_answer_that_fits_its_schema() -> None:
    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        for action, (payload, answer) in COMMANDS.items():
            assert await central.call("CP 1/a", action, payload) == answer
        schedule = await central.call("CP 1/a", "GetCompositeSchedule", {"connectorId": 1, "duration": 60})
        assert schedule["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 11000.0}]

    charge_point = await connected(talk)
    assert charge_point.violations == []
    assert {action for action, _ in charge_point.received} == set(charge_point.behaviour)
    assert charge_point.received[0] == ("CancelReservation", {"reservationId": 7})
    assert len(charge_point.behaviour) == 19


async def test_hooks_stand_before_and_after_the_answer() -> None:
    story: list[str] = []
    finished = asyncio.Event()

    async def before(action: str, payload: Payload) -> None:
        story.append(f"before {action} {payload['idTag']}")

    async def after(action: str, payload: Payload) -> None:
        story.append(f"after {action} {payload['idTag']}")
        finished.set()

    async def start(_: Payload) -> Payload:
        story.append("behaviour")
        return {"status": "Rejected"}

    def prepare(charge_point: JsonChargePoint) -> None:
        charge_point.on_command, charge_point.after_command = before, after
        charge_point.behaviour["RemoteStartTransaction"] = start
        # The observer is told before a frame is sent: the hook has to come after that.
        charge_point._observe = lambda message: story.append(f"{message.direction} {message.kind}")

    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        assert await central.call("CP 1/a", "RemoteStartTransaction", {"idTag": "A"}) == {"status": "Rejected"}
        await finished.wait()

    await connected(talk, prepare)
    wanted = ["before RemoteStartTransaction A", "behaviour", "sent result", "after RemoteStartTransaction A"]
    assert story == ["received call", *wanted]


async def test_a_call_may_stand_inside_a_command_and_follow_it() -> None:
    finished = asyncio.Event()

    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        async def before(action: str, payload: Payload) -> None:
            await charge_point.call("Authorize", {"idTag": payload["idTag"]})

        async def after(action: str, payload: Payload) -> None:
            start = {"connectorId": 1, "idTag": payload["idTag"], "meterStart": 0, "timestamp": NOON}
            await charge_point.call("StartTransaction", start)
            finished.set()

        charge_point.on_command, charge_point.after_command = before, after
        await central.call("CP 1/a", "RemoteStartTransaction", {"idTag": "A"})
        await finished.wait()
        assert [action for _, action, _ in central.received] == ["Authorize", "StartTransaction"]

    assert (await connected(talk)).violations == []


async def test_refusals_and_failures_are_call_errors_that_nothing_follows() -> None:
    followed: list[str] = []

    async def after(action: str, payload: Payload) -> None:
        followed.append(action)

    def refuse(_: Payload) -> Payload:
        raise CallRefused("NotSupported", "no", {"why": "so"})

    async def fail(_: Payload) -> Payload:
        raise KeyError("oops")

    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        charge_point.after_command = after
        charge_point.behaviour |= {"Reset": refuse, "ClearCache": fail}
        del charge_point.behaviour["TriggerMessage"]
        with pytest.raises(CallRefused) as caught:
            await central.call("CP 1/a", "Reset", {"type": "Soft"})
        assert (str(caught.value), caught.value.details) == ("NotSupported: no", {"why": "so"})
        with pytest.raises(CallRefused, match="InternalError"):
            await central.call("CP 1/a", "ClearCache", {})
        with pytest.raises(CallRefused, match="NotImplemented"):
            await central.call("CP 1/a", "TriggerMessage", {"requestedMessage": "Heartbeat"})
        await charge_point.call("Heartbeat", {})

    assert (await connected(talk)).violations == ["our own answer to ClearCache: KeyError('oops')"]
    assert followed == []


async def test_a_call_that_gets_no_result_raises() -> None:
    def refuse(_: Payload) -> Payload:
        raise CallRefused("SecurityError", "no")

    async def hang(_: Payload) -> Payload:
        await asyncio.Event().wait()
        return {}

    async with (
        JsonCentralSystem() as central,
        JsonChargePoint(url=central.url, identity="CP1") as charge_point,
    ):
        central.behaviour |= {"Heartbeat": refuse, "Authorize": hang}
        with pytest.raises(CallRefused, match="SecurityError: no"):
            await charge_point.call("Heartbeat", {})
        charge_point.timeout = 0.01
        with pytest.raises(TimeoutError, match="Authorize"):
            await charge_point.call("Authorize", {"idTag": "a"})
        await charge_point.stop()
        assert (charge_point.close_code, charge_point.close_reason) == (1000, "")
        with pytest.raises(ConnectionError):
            await charge_point.call("Heartbeat", {})
    with pytest.raises(ConnectionError, match="CP2 is not connected"):
        await JsonChargePoint(url=central.url, identity="CP2").call("Heartbeat", {})


# The end of a connection.


@pytest.mark.parametrize(("code", "reason"), [(1013, "try again later"), (4003, "go away"), (1001, "")])
async def test_the_code_of_a_close_can_be_seen(code: int, reason: str) -> None:
    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        assert (charge_point.close_code, charge_point.close_reason) == (None, None)
        with pytest.raises(TimeoutError, match="is still connected"):
            await charge_point.wait_closed(timeout=0)
        await central.connections["CP 1/a"].websocket.close(code, reason)
        await charge_point.wait_closed()
        assert (charge_point.close_code, charge_point.close_reason) == (code, reason)
        await charge_point.start()
        assert charge_point.close_code is None
        await charge_point.call("Heartbeat", {})

    await connected(talk)


async def test_a_call_ends_with_the_connection() -> None:
    async def talk(central: JsonCentralSystem, charge_point: JsonChargePoint) -> None:
        async def cut(_: Payload) -> Payload:
            central.connections["CP 1/a"].websocket.transport.abort()
            return {"currentTime": NOON}

        central.behaviour["Heartbeat"] = cut
        with pytest.raises(ConnectionError):
            await charge_point.call("Heartbeat", {})
        await charge_point.wait_closed()
        assert charge_point.close_code == 1006

    await connected(talk)


async def test_before_the_first_connection_there_is_nothing_to_see() -> None:
    charge_point = JsonChargePoint(url="ws://127.0.0.1:1", identity="CP1")
    await charge_point.wait_closed()
    await charge_point.stop()
    assert (charge_point.close_code, charge_point.close_reason, charge_point.subprotocol) == (None, None, None)


# The handshake.


async def refusing(central: JsonCentralSystem, identity: str, password: bytes | None = None) -> ConnectionRefused:
    async with central:
        with pytest.raises(ConnectionRefused) as caught:
            await JsonChargePoint(url=central.url, identity=identity, password=password).start()
        return caught.value


async def test_a_refused_handshake_has_its_status() -> None:
    refused = await refusing(JsonCentralSystem(known=["CP1"]), "CP2")
    assert (refused.status, refused.body) == (404, "no such Charge Point here\n")
    assert str(refused) == "the handshake was refused: HTTP 404, no such Charge Point here"
    refused = await refusing(JsonCentralSystem(passwords={"CP1": "secret"}), "CP1")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert (await refusing(JsonCentralSystem(passwords={"CP1": "secret"}), "CP1", b"wrong")).status == 401


@pytest.mark.parametrize("identity", ["CP1", "RDAM 1", "a/b?c#d%e", "é", "a:b"])
async def test_any_identity_gets_through_with_its_password(identity: str) -> None:
    async with (
        JsonCentralSystem(passwords={identity: "se:cret"}) as central,
        JsonChargePoint(url=central.url + "/", identity=identity, password=b"se:cret") as charge_point,
    ):
        assert charge_point.subprotocol == "ocpp1.6"
        await charge_point.call("Heartbeat", {})
        assert central.received == [(identity, "Heartbeat", {})]


@pytest.mark.parametrize("subprotocols", [(), ("ocpp2.0.1", "ocpp1.5")])
async def test_without_a_subprotocol_in_common_the_connection_is_made_and_closed(subprotocols: tuple[str, ...]) -> None:
    async with (
        JsonCentralSystem() as central,
        JsonChargePoint(url=central.url, identity="CP1", subprotocols=subprotocols) as charge_point,
    ):
        assert charge_point.subprotocol is None
        await charge_point.wait_closed()
        assert charge_point.close_code == 1002


async def test_nobody_at_the_url_is_an_os_error() -> None:
    async with JsonCentralSystem() as central:
        url = central.url
    with pytest.raises(OSError, match="Connect"):
        await JsonChargePoint(url=url, identity="CP1").start()


async def handshake(answer: bytes | None) -> None:
    """With a server that says `answer`, or nothing and waits."""
    done = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        if answer is None:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            await JsonChargePoint(url=url, identity="CP1", timeout=0.05 if answer is None else 10).start()
        finally:
            await done.wait()


@pytest.mark.parametrize("answer", [b"", b"junk\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_what_is_no_handshake_is_a_connection_error(answer: bytes) -> None:
    with pytest.raises(ConnectionError, match="the handshake failed"):
        await handshake(answer)


async def test_a_handshake_without_an_answer_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await handshake(None)


# Raw frames.


async def test_what_a_central_system_does_wrong_is_written_down() -> None:
    answers: list[Any] = []
    told: list[WireMessage] = []

    async def misbehave(websocket: ServerConnection) -> None:
        for text in ("junk", '[2,"1","Reset",{"type":"Medium"}]', '[3,"nobody asked",{}]', '[2,"2","ClearCache",{}]'):
            await websocket.send(text)
        answers.extend([json.loads(await websocket.recv()) for _ in range(2)])

    def seen(_: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/x/CP1"
        assert "Authorization" not in request.headers
        return None

    ocpp = [Subprotocol("ocpp1.6")]
    async with serve(misbehave, "127.0.0.1", 0, process_request=seen, subprotocols=ocpp) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/x"
        async with JsonChargePoint(url=url, identity="CP1", observe=told.append) as charge_point:
            await charge_point.wait_closed()
    assert sorted(answer[:3] for answer in answers)[0] == [3, "2", {"status": "Accepted"}]
    assert sorted(answer[:3] for answer in answers)[1] == [4, "1", "PropertyConstraintViolation"]
    assert charge_point.received == [("ClearCache", {})]
    assert len(charge_point.violations) == 4  # the last: a Call before the one before it was answered
    assert {message.party for message in told} == {"charge_point"}
    assert [message.kind for message in told if message.direction == "received"] == ["call", "result", "call"]
