"""One Call gets one answer: retransmitted frames, malformed answers, Faults that are POSTed ("Delivery", D3)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.admin.asked import api_of
from tests.e2e.raw_peer import RawPeer, Reply, answered
from tests.e2e.stage import (
    CP,
    CS,
    SAMPLES,
    Connection,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    fault,
    listening,
    logged,
    post,
    running,
    settings,
)
from tests.e2e.test_delivery import ACTIONS, TRANSACTION_RELATED, bridged, call, link_failed, request
from tests.e2e.test_json_server import CHARGE_POINT_SERVICE

RESET = [2, "reset", "Reset", {"type": "Soft"}]
_ANSWERS = {"StartTransaction": {"transactionId": 4711, "idTagInfo": {"status": "Accepted"}}}
_ANSWERS["Heartbeat"] = {"currentTime": "2026-01-02T03:04:05Z"}


# Retransmissions.


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_frame_that_comes_again_gets_one_answer_from_a_soap_central_system(action: str) -> None:
    gate = asyncio.Event()
    peer = RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))
    async with peer, bridged(peer) as gateway, dialled(gateway) as connection:
        await connection.send(call(action))
        await peer.asked(action)
        await connection.send(call(action))
        await connection.send(call(action))
        gate.set()
        assert (await connection.receive())[:2] == [3, f"{action} 1"]
        # Nothing more: the next frame answers the next Call.
        assert (await connection.ask([2, "after", "DataTransfer", {"vendorId": "v"}]))[1] == "after"
        assert len(peer.of(action)) == 1


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_frame_that_comes_again_gets_one_answer_from_a_json_central_system(action: str) -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as connection,
    ):
        link = await central.connected()
        await connection.send(call(action))
        passed = await link.receive()
        await connection.send(call(action))
        await connection.send(call(action))
        await connection.send([2, "after", "DataTransfer", {"vendorId": "v"}])
        await link.send([3, passed[1], _ANSWERS.get(action, {})])
        assert (await connection.receive())[:2] == [3, f"{action} 1"]
        assert (await link.serve({"status": "Accepted"}))[2] == "DataTransfer"
        assert (await connection.receive())[1] == "after"


async def test_a_retransmission_is_logged_and_what_only_bears_its_name_is_counted_apart() -> None:
    gate = asyncio.Event()
    peer = RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))
    async with peer, bridged(peer) as gateway, dialled(gateway) as connection, api_of(gateway) as admin:
        with logged() as lines:
            await connection.send(call("StartTransaction"))
            await peer.asked("StartTransaction")
            await connection.send(call("StartTransaction"))
            other = [2, "StartTransaction 1", "Heartbeat", {}]
            assert (await connection.ask(other))[:3] == [4, "StartTransaction 1", "ProtocolError"]
            gate.set()
            assert (await connection.receive())[:2] == [3, "StartTransaction 1"]
        said = [line for line in lines if " call " in line]
        assert [re.findall(r"outcome=(\w+)", line)[0] for line in said if 'id="StartTransaction 1"' in line] == [
            "retransmitted",
            "refused",
            "result",
        ]
        counted = {line for line in (await admin.get("//metrics")).decode().splitlines() if "calls_total{" in line}
        for action, outcome in (
            ("StartTransaction", "retransmitted"),
            ("Heartbeat", "refused"),
            ("StartTransaction", "result"),
        ):
            labels = f'action="{action}",from="charge_point",outcome="{outcome}",transport="json"'
            assert any(all(label in line for label in labels.split(",")) for line in counted), counted


@asynccontextmanager
async def commanded() -> AsyncIterator[tuple[Connection, Connection]]:
    """A JSON Central System and a JSON Charge Point, as each sees the bridge."""
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway, dialled(gateway) as point:
        yield await central.connected(), point


async def test_a_command_that_comes_again_gets_one_answer_from_a_json_charge_point() -> None:
    async with commanded() as (link, point):
        await link.send(RESET)
        passed = await point.receive()
        await link.send(RESET)
        await link.send([2, "after", "ClearCache", {}])
        await point.send([3, passed[1], {"status": "Accepted"}])
        assert await link.receive() == [3, "reset", {"status": "Accepted"}]
        assert (await point.serve({"status": "Accepted"}))[2] == "ClearCache"
        assert await link.receive() == [3, "after", {"status": "Accepted"}]


async def test_a_command_that_comes_again_gets_one_answer_from_a_soap_charge_point() -> None:
    gate = asyncio.Event()
    good = answering(f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>')

    async def respond(body: bytes) -> web.Response:
        if b"resetRequest" in body:
            await gate.wait()
            return await good(body)
        cleared = f'<clearCacheResponse xmlns="{CP}"><status>Accepted</status></clearCacheResponse>'
        return await answering(cleared)(body)

    async with (
        RawCentralSystem() as central,
        listening(respond) as point,
        running(settings(central.url)) as gateway,
        asyncio.TaskGroup() as group,
    ):
        beat = group.create_task(post(gateway, envelope(source=point.url)))
        link = await central.connected()
        await link.serve()
        await beat
        await link.send(RESET)
        await asyncio.wait_for(point.arrived.wait(), 30)
        await link.send(RESET)
        await link.send([2, "after", "ClearCache", {}])
        gate.set()
        assert await link.receive() == [3, "reset", {"status": "Accepted"}]
        assert await link.receive() == [3, "after", {"status": "Accepted"}]
        assert sum(b"resetRequest" in body for body in point.received) == 1


@pytest.mark.parametrize(
    "other",
    [
        [2, "StartTransaction 1", "Heartbeat", {}],
        [2, "StartTransaction 1", "StartTransaction", SAMPLES["StartTransaction"] | {"meterStart": 1}],
    ],
    ids=["another action", "another payload"],
)
async def test_a_unique_id_in_progress_with_something_else_is_a_protocol_error(other: list[Any]) -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as connection,
    ):
        link = await central.connected()
        await connection.send(call("StartTransaction"))
        passed = await link.receive()
        assert (await connection.ask(other))[:3] == [4, "StartTransaction 1", "ProtocolError"]
        await link.send([3, passed[1], _ANSWERS["StartTransaction"]])
        assert (await connection.receive())[:2] == [3, "StartTransaction 1"]


# Malformed answers.

MALFORMED = {
    "half a frame": '[3, "ID", {"status": "Accep',
    "no end": '[3, "ID", {"status": "Accepted"}',
    "a comma too many": '[3, "ID", {"status": "Accepted",}]',
    "a comma too few": '[3, "ID" {"status": "Accepted"}]',
    "quotes of another kind": """[3, "ID", {'status': 'Accepted'}]""",
    "too deep": '[3, "ID", ' + '{"a":' * 40 + "1" + "}" * 40 + "]",
    "half an error": '[4, "ID", "Internal',
    "a message type that is a text": '["3", "ID", {"status": "Accepted"}]',
    "a UniqueId in quotes of another kind": "[3, 'ID', {}]",
    "a UniqueId without quotes": "[3, ID, {}]",
    "no array": '{"3": "ID"}',
    "something before it": ', [3, "ID", {}]',
}
"""ID stands for the UniqueId of the Call."""


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_malformed_answer_of_a_central_system_ends_its_call(action: str, frame: str) -> None:
    """Towards a Charge Point: a link failure of this Call. call_timeout is longer than the test may take."""
    slow = {"call_timeout": 600}
    async with RawCentralSystem() as central, running(settings(central.url, gateway=slow)) as gateway:
        async with dialled(gateway, "J") as point:
            link = await central.connected()
            await point.send(call(action))
            await link.send(frame.replace("ID", (await link.receive())[1]))
            if action not in TRANSACTION_RELATED:
                assert (await point.receive())[:3] == [4, f"{action} 1", "InternalError"]
            await point.send(call(action, 2))
            await link.serve(_ANSWERS.get(action, {}))
            assert (await point.receive())[:2] == [3, f"{action} 2"]
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(post(gateway, request(action, "S")))
            link = await central.connected()
            await link.send(frame.replace("ID", (await link.receive())[1]))
        assert link_failed(asked.result())


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_answer_of_a_charge_point_ends_its_call(frame: str) -> None:
    """Towards a Central System: InternalError, "malformed answer"."""
    slow = {"call_timeout": 600}
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=slow)) as gateway,
        dialled(gateway) as point,
    ):
        link = await central.connected()
        await link.send(RESET)
        await point.send(frame.replace("ID", (await point.receive())[1]))
        answer = await link.receive()
        assert answer[:3] == [4, "reset", "InternalError"]
        assert "malformed answer" in answer[3]


@pytest.mark.parametrize(
    "payload",
    [{}, {"idTagInfo": {"status": "Accepted"}}, {"transactionId": "many", "idTagInfo": {"status": "Accepted"}}, "ok"],
    ids=["nothing", "no transactionId", "a transactionId that is none", "no object"],
)
async def test_a_result_that_cannot_be_told_to_a_soap_charge_point_is_a_link_failure(payload: Any) -> None:
    slow = {"call_timeout": 600}
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=slow)) as gateway,
        asyncio.TaskGroup() as group,
    ):
        asked = group.create_task(post(gateway, request("StartTransaction")))
        await (link := await central.connected()).send([3, (await link.receive())[1], payload])
        assert link_failed(await asked)


async def test_a_result_without_its_transaction_id_passes_between_two_that_speak_json() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as connection,
    ):
        link = await central.connected()
        for number in (1, 2):  # it is not kept for the repetition
            await connection.send(call("StartTransaction", number))
            assert (await link.serve({"idTagInfo": {"status": "Accepted"}}))[2] == "StartTransaction"
            answer = [3, f"StartTransaction {number}", {"idTagInfo": {"status": "Accepted"}}]
            assert await connection.receive() == answer


async def test_a_security_error_passes_between_two_that_speak_json() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as connection,
    ):
        link = await central.connected()
        await connection.send(call("StartTransaction"))
        passed = await link.receive()
        await link.send([4, passed[1], "SecurityError", "no BootNotification yet", {}])
        answer = [4, "StartTransaction 1", "SecurityError", "no BootNotification yet", {}]
        assert await connection.receive() == answer


# Faults that are POSTed.


@pytest.mark.parametrize("path", ["/services/CentralSystemService", CHARGE_POINT_SERVICE])
@pytest.mark.parametrize("namespace", [CS, CP])
async def test_a_posted_fault_is_not_answered_with_a_fault(path: str, namespace: str) -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        with logged() as lines:
            body = envelope(fault("InternalError", "seen elsewhere", namespace=namespace))
            answer = await post(gateway, body, path=path)
        assert (answer.status, answer.body) == (202, b"")
        assert any("Fault" in line and "seen elsewhere" in line for line in lines), lines
