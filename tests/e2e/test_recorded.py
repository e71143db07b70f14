"""What is recorded of a message is what was on the wires, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from bridge import config
from bridge.app import Gateway
from bridge.recorder import Form, Recorded
from tests.admin.asked import api_of
from tests.e2e.stage import (
    CS,
    Connection,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    listening,
    post,
    running,
    settings,
)

# With spaces, a number and a text that would be written in another way, and fields that OCPP does not have.
REQUEST = '[ 2, "asked", "Heartbeat", {"a" : 1.50, "b":"\\u00e9é", "c": [ ] } ]'
PAYLOAD = '{"a" : 1.50, "b":"\\u00e9é", "c": [ ] }'


@asynccontextmanager
async def json_to_json(**options: Any) -> AsyncIterator[tuple[Gateway, Connection, Connection]]:
    """A gateway with these `options` of its table, its Charge Point and its Central System."""
    async with (
        RawCentralSystem() as far,
        running(settings(far.url, gateway=options)) as gateway,
        dialled(gateway) as point,
    ):
        yield gateway, point, await far.connected()


async def recorded(gateway: Gateway, number: int = 0) -> Recorded:
    """The newest message, or one before it."""
    recorder = gateway._recorder
    await recorder.flush()
    found = await recorder.message((await recorder.messages()).items[number].id)
    assert found is not None
    return found


def texts(message: Recorded) -> list[str | None]:
    """On the four wires."""
    return [None if form is None else form.text for form in forms(message)]


def forms(message: Recorded) -> list[Form | None]:
    halves = (message.request, message.response)
    return [form for half in halves for form in (half.received, half.sent)]


def name_in(frame: str) -> str:
    """Its UniqueId."""
    return frame.split('"')[1]


@pytest.mark.parametrize("from_charge_point", [True, False])
async def test_between_two_json_parties(from_charge_point: bool) -> None:
    async with json_to_json() as (gateway, *ends):
        asking, asked = ends if from_charge_point else reversed(ends)
        await asking.send(REQUEST)
        sent = await asked.text()
        name = name_in(sent)
        answer = f' [3, "{name}" , {PAYLOAD}]'
        await asked.send(answer)
        told = await asking.text()

        message = await recorded(gateway)
        assert texts(message) == [REQUEST, sent, answer, told]
        assert (sent, told) == (f'[2,"{name}","Heartbeat",{PAYLOAD}]', f'[3,"asked",{PAYLOAD}]')
        assert [bytes(half.model).decode() for half in (message.request, message.response)] == [PAYLOAD] * 2
        came, went, answered, told_at = [form.at for form in forms(message) if form is not None]
        assert came <= went <= told_at and came <= answered <= told_at


async def test_an_error_is_no_result() -> None:
    async with json_to_json() as (gateway, point, central):
        await point.send(REQUEST)
        sent = await central.text()
        answer = f'[4,"{name_in(sent)}", "NotSupported", "no", {{}}]'
        await central.send(answer)
        told = await point.text()
        assert texts(await recorded(gateway)) == [REQUEST, sent, answer, told]


async def test_who_goes_was_told_nothing() -> None:
    async with json_to_json() as (gateway, point, central):
        await point.send(REQUEST)
        sent = await central.text()
        await point.websocket.close()
        await central.ended()
        assert texts(await recorded(gateway)) == [REQUEST, sent, None, None]


async def test_an_answer_that_comes_too_late() -> None:
    async with json_to_json(call_timeout=0.05) as (gateway, point, central):
        await point.send(REQUEST)
        sent = await central.text()
        refusal = await point.text()
        late = f'[3,"{name_in(sent)}",  {PAYLOAD}]'
        await central.send(late)
        # It was taken when what came behind it was.
        await central.send([2, "next", "ClearCache", {}])
        await point.text()
        assert texts(await recorded(gateway)) == [None, None, late, None]
        assert texts(await recorded(gateway, 1)) == [REQUEST, sent, None, refusal]


async def test_two_under_one_name_of_which_one_is_refused() -> None:
    """Some Charge Points use a UniqueId again before it is answered: each message has the frame that it came in."""
    async with json_to_json(max_in_flight=1) as (gateway, point, central):
        await point.send(REQUEST)
        sent = await central.text()
        other = REQUEST.replace("1.50", "2.50")
        await point.send(other)
        refusal = await point.text()
        answer = f'[3,"{name_in(sent)}",{{}}]'
        await central.send(answer)
        told = await point.text()
        assert texts(await recorded(gateway)) == [REQUEST, sent, answer, told]
        assert texts(await recorded(gateway, 1)) == [other, None, None, refusal]


async def test_a_command_of_an_operator_is_on_one_hop_alone() -> None:
    async with json_to_json() as (gateway, point, _), api_of(gateway) as api:
        command = {"action": "ClearCache", "payload": {}}
        asked = asyncio.ensure_future(api("POST", "/charge-points/CP%201/calls", command))
        sent = await point.text()
        answer = f'[3, "{name_in(sent)}", {{"status":"Accepted"}}]'
        await point.send(answer)
        assert (await asked).status == 200
        message = await recorded(gateway)
        assert message.sender == "operator"
        assert texts(message) == [None, sent, answer, None]


CURRENT_TIME = "<currentTime>2026-01-02T03:04:05Z</currentTime>"


async def test_from_a_soap_charge_point() -> None:
    async with RawCentralSystem() as far, running(settings(far.url)) as gateway:
        request = envelope()
        answered = asyncio.ensure_future(post(gateway, request))
        central = await far.connected()
        sent = await central.text()
        answer = f'[3, "{name_in(sent)}", {{"currentTime": "2026-01-02T03:04:05Z"}}]'
        await central.send(answer)
        told = await answered
        message = await recorded(gateway)
        assert texts(message) == [request.decode(), sent, answer, told.text]
        assert [form.transport for form in forms(message) if form is not None] == ["soap", "json", "json", "soap"]
        assert (message.action, message.outcome, message.identity) == ("Heartbeat", "result", "CP 1")


async def test_to_a_soap_central_system() -> None:
    respond = answering(f'<heartbeatResponse xmlns="{CS}">{CURRENT_TIME}</heartbeatResponse>')
    async with (
        listening(respond) as far,
        running(settings(far.url, central_system={"protocol": "ocpp1.6s"})) as gateway,
        dialled(gateway) as point,
    ):
        request = '[2, "asked", "Heartbeat", {}]'
        await point.send(request)
        told = await point.text()
        message = await recorded(gateway)
        received = (await respond(b"")).body
        assert isinstance(received, bytes)
        assert texts(message) == [request, far.received[0].decode(), received.decode(), told]
        assert [form.transport for form in forms(message) if form is not None] == ["json", "soap", "soap", "json"]


async def test_one_that_is_refused_has_its_refusal() -> None:
    async with RawCentralSystem() as far, running(settings(far.url)) as gateway:
        request = envelope(f'<authorizeRequest xmlns="{CS}"/>')
        told = await post(gateway, request)
        message = await recorded(gateway)
        assert texts(message) == [request.decode(), None, None, told.text]
        assert (message.action, message.outcome, message.unique_id) == ("Authorize", "refused", "urn:uuid:1")


async def test_what_writing_it_cost_is_recorded_with_it_alone() -> None:
    """Of two messages of one action, the second can be written as it is."""
    respond = answering('<statusNotificationResponse xmlns="urn://Ocpp/Cs/2012/06/"/>')
    async with (
        listening(respond) as far,
        running(settings(far.url, central_system={"protocol": "ocpp1.5s"})) as gateway,
        dialled(gateway) as point,
    ):
        for status in ("Preparing", "Available"):
            status_notification = {"connectorId": 1, "errorCode": "NoError", "status": status}
            await point.send([2, status, "StatusNotification", status_notification])
            await point.text()
        losses = (await recorded(gateway)).losses, (await recorded(gateway, 1)).losses
        assert [[loss.path for loss in of_one] for of_one in losses] == [[], ["status"]]


@pytest.mark.parametrize("near", ["soap", "json"])
async def test_where_nobody_records_no_octets_are_kept(near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("octets are kept")

    for module in ("net.json_channel", "net.soap_server", "net.soap_client", "gateway.transports", "gateway.sessions"):
        monkeypatch.setattr(f"bridge.{module}.Wires", never)
        monkeypatch.setattr(f"bridge.{module}.Octets", never, raising=False)
    respond = answering(f'<heartbeatResponse xmlns="{CS}">{CURRENT_TIME}</heartbeatResponse>')
    async with listening(respond) as far:
        told = settings(far.url, central_system={"protocol": "ocpp1.6s"})
        told = structs.replace(told, recorder=config.Recorder(enabled=False))
        async with running(told) as gateway:
            if near == "soap":
                assert (await post(gateway, envelope())).status == 200
            else:
                async with dialled(gateway) as point:
                    assert (await point.ask([2, "1", "Heartbeat", {}]))[0] == 3
                    assert (await point.ask([2, "2", "Authorize", {}]))[0] == 4
            assert (await gateway._recorder.messages()).items == []
