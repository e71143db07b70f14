"""Faults towards a SOAP Central System have HTTP 500, so that CXF shows an operator their reason ("Delivery", D4)."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from ipaddress import ip_network
from typing import Any

import pytest

from bridge.config import Secret
from tests.e2e.raw_peer import RawPeer, answering_well
from tests.e2e.stage import CP, CS, Answer, answering, dialled, envelope, fault, listening, post, reachable
from tests.e2e.test_delivery import bridged
from tests.e2e.test_json_server import CHARGE_POINT_SERVICE
from tests.e2e.test_one_answer import MALFORMED

RESET = f'<resetRequest xmlns="{CP}"><type>Soft</type></resetRequest>'


def command(body: str = RESET, identity: str | None = "CP 1") -> bytes:
    """What a SOAP Central System POSTs. The identity stands in the namespace of its own service."""
    header = f'<p:chargeBoxIdentity xmlns:p="{CP}">{identity}</p:chargeBoxIdentity>' if identity else ""
    return envelope(body, identity=None, headers=header)


async def commanded(gateway: Any, body: bytes) -> Answer:
    return await post(gateway, body, path=CHARGE_POINT_SERVICE)


REFUSED = {
    "an unknown action": command(f'<danceRequest xmlns="{CP}"/>'),
    "a value that is none": command(RESET.replace("Soft", "Gentle")),
    "a part that is missing": command(f'<resetRequest xmlns="{CP}"/>'),
    "a Charge Point that nobody knows": command(identity="nobody"),
    "no identity": command(identity=None),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_a_fault_of_the_sender_has_500(body: bytes) -> None:
    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway, dialled(gateway):
        answer = await commanded(gateway, body)
        assert answer.fault is not None
        assert answer.status == 500, answer.fault


async def test_a_charge_point_that_cannot_be_reached() -> None:
    async with RawPeer(answering_well()) as peer, bridged(peer, gateway={"call_timeout": 1}) as gateway:
        assert (await post(gateway, envelope())).status == 200
        answer = await commanded(gateway, command())
        assert answer.fault is not None
        assert answer.status == 500
        assert answer.reason


@pytest.mark.parametrize("code", ["NotSupported", "FormationViolation", "SecurityError", "InternalError"])
async def test_what_a_json_charge_point_refuses(code: str) -> None:
    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway, dialled(gateway) as point:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(commanded(gateway, command()))
            passed = await point.receive()
            await point.send([4, passed[1], code, "not today", {}])
        answer = asked.result()
        assert answer.fault is not None
        assert (answer.status, "not today" in answer.reason) == (500, True)


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_answer_of_a_json_charge_point(frame: str) -> None:
    """It ends the command at once. call_timeout is longer than the test may take."""
    slow = {"call_timeout": 600}
    async with RawPeer(answering_well()) as peer, bridged(peer, gateway=slow) as gateway, dialled(gateway) as point:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(commanded(gateway, command()))
            await point.send(frame.replace("ID", (await point.receive())[1]))
        answer = asked.result()
        assert (answer.status, "malformed answer" in answer.reason) == (500, True)


@pytest.mark.parametrize("side", ["Sender", "Receiver"])
async def test_what_a_soap_charge_point_refuses(side: str) -> None:
    refusing = answering(fault("SecurityError", "not today", side=side), status=400)
    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway, listening(refusing) as point:
        assert (await post(gateway, envelope(source=point.url))).status == 200
        answer = await commanded(gateway, command())
        assert answer.fault is not None
        assert (answer.status, "not today" in answer.reason) == (500, True)


async def test_the_central_system_service_keeps_its_statuses() -> None:
    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway:
        assert (await post(gateway, envelope(f'<authorizeRequest xmlns="{CS}"/>'))).status == 400
        assert (await post(gateway, envelope(f'<danceRequest xmlns="{CS}"/>'))).status == 500
        await peer.down()
        assert (await post(gateway, envelope())).status == 503
        await peer.up()


def _basic(password: str) -> dict[str, str | None]:
    return {"Authorization": f"Basic {b64encode(f'main:{password}'.encode()).decode()}"}


UNREAD: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "no password": (401, {"central_system": {"password": Secret(b"right")}}, {}),
    "another network": (403, {"central_system": {"networks": (ip_network("192.0.2.0/24"),)}}, {}),
    "another place": (404, {}, {"path": "/services/NoSuchService"}),
    "too large": (413, {"soap": {"max_body": 1024} | reachable()}, {"body": command(RESET + " " * 2000)}),
}
"""The status, the tables of the configuration, and what is POSTed."""


@pytest.mark.parametrize(("status", "tables", "posted"), UNREAD.values(), ids=UNREAD)
async def test_what_is_refused_before_it_is_read_keeps_its_status(
    status: int, tables: dict[str, Any], posted: dict[str, Any]
) -> None:
    what = {"body": command(), "path": CHARGE_POINT_SERVICE} | posted
    async with RawPeer(answering_well()) as peer, bridged(peer, **tables) as gateway, dialled(gateway):
        assert (await post(gateway, what.pop("body"), **what)).status == status


async def test_too_many_guesses_at_once_have_401_and_429() -> None:
    system = {"password": Secret(b"right")}
    async with RawPeer(answering_well()) as peer, bridged(peer, central_system=system) as gateway:
        answers = await asyncio.gather(
            *(
                post(gateway, command(), path=CHARGE_POINT_SERVICE, headers=_basic(f"wrong {number}"))
                for number in range(40)
            )
        )
        assert {answer.status for answer in answers} == {401, 429}


async def test_what_is_refused_unread_keeps_its_status() -> None:
    """The bridge is busy with another command."""
    one = {"max_in_flight": 1}
    async with (
        RawPeer(answering_well()) as peer,
        bridged(peer, gateway=one) as gateway,
        dialled(gateway) as point,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(commanded(gateway, command()))
        passed = await point.receive()
        refused = await commanded(gateway, command())
        assert (refused.status, refused.headers["Retry-After"].isdecimal()) == (503, True)
        await point.send([3, passed[1], {"status": "Accepted"}])
        assert (await first).status == 200
