"""The door for JSON Charge Points: who is let in, what they speak, whose refusal they hear, and who commands them."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.config import ChargePoint, Secret
from bridge.gateway import Gateway, gateway as gateway_module
from bridge.simulators.json_central_system import JsonCentralSystem
from bridge.simulators.json_charge_point import HandshakeRefused
from bridge.simulators.soap_central_system import SoapCentralSystem
from bridge.simulators.wire import Payload, Refused
from tests.e2e.stage import (
    CP,
    SAMPLES,
    SOAP12,
    Answer,
    Connection,
    RawCentralSystem,
    answering,
    charge_point,
    dialled,
    envelope,
    free_port,
    json_charge_point,
    leg,
    listening,
    logged,
    post,
    reachable,
    run,
    running,
    settings,
    soap_central_system,
)

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
def test_the_subprotocol_is_agreed_on_in_the_charge_points_own_spelling(far: str, offered: list[str]) -> None:
    async def walk() -> None:
        async with leg("json", far, "somebody") as scene:
            async with dialled(scene.gateway, subprotocols=offered) as point:
                assert point.websocket.subprotocol == next(name for name in offered if name.lower() == "ocpp1.6")
                await works(point)
            # Two headers, as some clients send them.
            async with dialled(
                scene.gateway, subprotocols=None, headers=[("Sec-WebSocket-Protocol", name) for name in offered]
            ) as point:
                pass  # the client of this test does not read an answer to a header that it knows nothing of
            assert scene.violations() == []

    if offered[0] == "ocpp1.6":
        with contextlib.suppress(Exception):
            pass
    run(walk())
