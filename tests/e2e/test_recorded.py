"""What is recorded of a message is what was on the wires, byte for byte: of what two JSON parties say to each other,
the frames that pass it on are made again when it is recorded, and must be those that were sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.gateway import Gateway
from bridge.recorder import Form, Recorded
from tests.admin.asked import api_of
from tests.e2e.stage import Connection, RawCentralSystem, dialled, run, running, settings

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
def test_between_two_json_parties(from_charge_point: bool) -> None:
    async def walk() -> None:
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

    run(walk())


def test_an_error_is_no_result() -> None:
    async def walk() -> None:
        async with json_to_json() as (gateway, point, central):
            await point.send(REQUEST)
            sent = await central.text()
            answer = f'[4,"{name_in(sent)}", "NotSupported", "no", {{}}]'
            await central.send(answer)
            told = await point.text()
            assert texts(await recorded(gateway)) == [REQUEST, sent, answer, told]

    run(walk())


def test_who_goes_was_told_nothing() -> None:
    async def walk() -> None:
        async with json_to_json() as (gateway, point, central):
            await point.send(REQUEST)
            sent = await central.text()
            await point.websocket.close()
            await central.ended()
            assert texts(await recorded(gateway)) == [REQUEST, sent, None, None]

    run(walk())


def test_an_answer_that_comes_too_late() -> None:
    async def walk() -> None:
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

    run(walk())


def test_two_under_one_name_of_which_one_is_refused() -> None:
    """Some Charge Points use a UniqueId again before it is answered: each message has the frame that it came in."""

    async def walk() -> None:
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

    run(walk())


def test_a_command_of_an_operator_is_on_one_hop_alone() -> None:
    async def walk() -> None:
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

    run(walk())
