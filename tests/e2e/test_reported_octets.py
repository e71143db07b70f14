"""Octets of public field reports, played as they are: a frame twice, half an answer, a proxy's error page."""

from __future__ import annotations

import asyncio
import json

import pytest

from bridge.gateway.public_addresses import CHARGE_POINT_SERVICE
from tests.e2e.raw_peer import RawPeer, Reply
from tests.e2e.stage import CP, RawCentralSystem, dialled, envelope, post, running, settings
from tests.e2e.test_delivery import bridged, call, link_failed, request
from tests.reference import CASES, needs_cases

SLOW = {"call_timeout": 600}


def octets(case: str) -> bytes:
    (path,) = CASES.glob(f"{case}-*")
    return path.read_bytes()


@needs_cases
async def test_046_a_call_that_is_sent_twice_gets_one_answer() -> None:
    _, first, second = octets("046").decode().splitlines()
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as point,
    ):
        link = await central.connected()
        await point.send(first)
        passed = await link.receive()
        await point.send(second)
        await point.send([2, "after", "DataTransfer", {"vendorId": "v"}])
        answer = {"transactionId": 5, "idTagInfo": {"status": "Accepted"}}
        await link.send([3, passed[1], answer])
        assert await point.receive() == [3, json.loads(first)[1], answer]
        assert (await link.serve({"status": "Accepted"}))[2] == "DataTransfer"
        assert (await point.receive())[1] == "after"


@needs_cases
async def test_054_half_an_answer_is_told_to_a_json_central_system_at_once() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=SLOW)) as gateway,
        dialled(gateway) as point,
    ):
        link = await central.connected()
        await link.send([2, "get", "GetConfiguration", {}])
        unique_id = (await point.receive())[1]
        await point.send(octets("054").decode().replace("@ID@", unique_id))
        answer = await link.receive()
        assert answer[:3] == [4, "get", "InternalError"]
        assert "malformed answer" in answer[3]


@needs_cases
async def test_054_half_an_answer_is_told_to_a_soap_central_system_at_once() -> None:
    body = f'<getConfigurationRequest xmlns="{CP}"/>'
    async with RawPeer(lambda asked: Reply()) as peer, bridged(peer, gateway=SLOW) as gateway:
        async with dialled(gateway) as point, asyncio.TaskGroup() as group:
            asked = group.create_task(post(gateway, envelope(body), path=CHARGE_POINT_SERVICE))
            unique_id = (await point.receive())[1]
            await point.send(octets("054").decode().replace("@ID@", unique_id))
        answer = asked.result()
        assert (answer.status, answer.fault is None) == (500, False)
        assert "malformed answer" in answer.reason


@needs_cases
async def test_091_a_proxys_error_page_is_a_link_failure_for_a_soap_charge_point() -> None:
    async with (
        RawPeer(lambda asked: Reply(octets=octets("091"), then="close")) as peer,
        bridged(peer) as gateway,
    ):
        answer = await post(gateway, request("StartTransaction"))
        assert link_failed(answer)
        assert "502" in answer.reason


@needs_cases
@pytest.mark.parametrize("action", ["StartTransaction", "Heartbeat"])
async def test_091_a_proxys_error_page_ends_the_connection_of_a_json_charge_point(action: str) -> None:
    """A CALLERROR would make it give up a StartTransaction."""
    async with (
        RawPeer(lambda asked: Reply(octets=octets("091"), then="close")) as peer,
        bridged(peer) as gateway,
        dialled(gateway) as point,
    ):
        await point.send(call(action))
        assert (await point.ended())[0] == 1013
