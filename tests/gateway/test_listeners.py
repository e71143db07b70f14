"""Several listeners, each with rules of its own; and what a reload takes over of them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from bridge.app import Gateway
from bridge.config import Listen, Network, Settings, Soap, WebSocket
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CP,
    PATH,
    Connection,
    RawCentralSystem,
    RawChargePoint,
    answering,
    envelope,
    listening,
    logged,
    running,
    settings,
)
from tests.names import stand_for
from tests.ports import free_port

NOWHERE = "ws://127.0.0.1:1/ocpp"
ANYWHERE = Listen("127.0.0.1", 0)
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
TEST_NET: tuple[Network, ...] = (ip_network("192.0.2.0/24"),)
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)


def told(url: str, *soap: Soap, websocket: tuple[WebSocket, ...] = ()) -> Settings:
    plain = settings(url)
    return changed(plain, soap=soap or plain.soap, websocket=websocket or plain.websocket)


def changed(record: Settings, **changes: Any) -> Settings:
    return msgspec.structs.replace(record, **changes)


async def post(gateway: Gateway, name: str, body: bytes) -> tuple[int, str]:
    """A message of a Charge Point through the listener of that name."""
    host, port = gateway.addresses[name]
    headers: Mapping[str, str] = {"Content-Type": "application/soap+xml; charset=utf-8"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{host}:{port}{PATH}", data=body, headers=headers) as response,
    ):
        return response.status, await response.text()


async def knock(gateway: Gateway, name: str, path: str) -> int:
    """The status of a handshake that is not let in."""
    host, port = gateway.addresses[name]
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{host}:{port}{path}/CP1", subprotocols=[Subprotocol("ocpp1.6")], proxy=None)
    return refused.value.response.status_code


async def test_each_serves_and_is_named_in_the_log() -> None:
    two = (Soap(listen=ANYWHERE, name="north"), Soap(listen=ANYWHERE, max_body=100))
    others = (WebSocket(listen=ANYWHERE), WebSocket(listen=ANYWHERE, path="/old"))
    async with RawCentralSystem() as central:
        with logged() as lines:
            async with running(told(central.url, *two, websocket=others)) as gateway:
                assert list(gateway.addresses) == ["north", "soap-2", "websocket", "websocket-2", "admin"]
                assert gateway.soap_address == gateway.addresses["north"]
                assert (await post(gateway, "soap-2", envelope()))[0] == 413  # it is over 100 octets
                beat = asyncio.ensure_future(post(gateway, "north", envelope()))
                await (await central.connected()).serve()
                assert (await beat)[0] == 200
                assert await knock(gateway, "websocket-2", "/ocpp") == 404
                host, port = gateway.addresses["websocket-2"]
                url = f"ws://{host}:{port}/old/CP2"
                async with connect(url, subprotocols=[Subprotocol("ocpp1.6")], proxy=None) as point:
                    far = await central.connected()
                    await point.send('[2,"1","Heartbeat",{}]')
                    await far.serve()
                    assert await Connection(point).receive() == [3, "1", {"currentTime": AT}]
        opened = [line for line in lines if " listening " in line]
        assert [name in line for name, line in zip(gateway.addresses, opened, strict=True)] == [True] * 5


async def test_who_may_use_it() -> None:
    soap = (Soap(listen=ANYWHERE, peers=LOOPBACK), Soap(listen=ANYWHERE, peers=TEST_NET))
    websocket = (WebSocket(listen=ANYWHERE, peers=TEST_NET),)
    async with RawCentralSystem() as central, running(told(central.url, *soap, websocket=websocket)) as gateway:
        with logged() as lines:
            status, text = await post(gateway, "soap-2", envelope())
            assert (status, text) == (403, "This listener is not for your network.\n")
            assert await knock(gateway, "websocket", "/ocpp") == 403
        assert [line for line in lines if "why=wrong_address" in line and "127.0.0.1" in line]
        beat = asyncio.ensure_future(post(gateway, "soap", envelope()))
        await (await central.connected()).serve()
        assert (await beat)[0] == 200


async def test_a_charge_point_is_called_back_from_where_it_last_came() -> None:
    """wsa:From of a command is the address of ours that the Charge Point itself used."""
    two = (
        Soap(listen=ANYWHERE, public_url="http://one.example/"),
        Soap(listen=ANYWHERE, public_url="http://two.example/bridge"),
    )
    async with (
        RawCentralSystem() as central,
        listening(answering(RESET)) as point,
        running(told(central.url, *two)) as gateway,
    ):
        link = await heartbeat(central, gateway, "soap-2", point)
        assert await commanded(link, point) == "http://two.example/bridge/services/CentralSystemService"
        beat = asyncio.ensure_future(post(gateway, "soap", envelope(source=point.url)))
        await link.serve()
        assert (await beat)[0] == 200
        assert await commanded(link, point) == "http://one.example/services/CentralSystemService"


async def heartbeat(central: RawCentralSystem, gateway: Gateway, name: str, point: RawChargePoint) -> Connection:
    beat = asyncio.ensure_future(post(gateway, name, envelope(source=point.url)))
    link = await central.connected()
    await link.serve()
    assert (await beat)[0] == 200
    return link


async def commanded(link: Connection, point: RawChargePoint) -> str:
    """wsa:From of a Reset."""
    assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", {"status": "Accepted"}]
    text = point.received[-1].decode()
    return text.partition("From>")[2].partition("Address>")[2].partition("<")[0]


async def test_callback_networks_are_those_of_the_listener() -> None:
    two = (Soap(listen=ANYWHERE), Soap(listen=ANYWHERE, callback_networks=TEST_NET))
    async with RawCentralSystem() as central, running(told(central.url, *two)) as gateway:
        point = RawChargePoint(url="http://192.0.2.7:8081/")
        with logged() as lines:
            link = await heartbeat(central, gateway, "soap", point)
            assert any("192.0.2.7" in line and "is neither the peer" in line for line in lines)
            lines.clear()
            beat = asyncio.ensure_future(post(gateway, "soap-2", envelope(source=point.url)))
            await link.serve()
            assert (await beat)[0] == 200
            assert not any("192.0.2.7" in line and "is neither the peer" in line for line in lines)


async def test_a_reload_takes_over_who_may_use_it() -> None:
    before = told(NOWHERE, Soap(listen=ANYWHERE), websocket=(WebSocket(listen=ANYWHERE),))
    async with running(before) as gateway:
        assert (await post(gateway, "soap", b""))[0] == 400
        closed = (Soap(listen=ANYWHERE, peers=TEST_NET),)
        await gateway.reload(changed(before, soap=closed, websocket=(WebSocket(listen=ANYWHERE, peers=TEST_NET),)))
        assert (await post(gateway, "soap", b""))[0] == 403
        assert await knock(gateway, "websocket", "/ocpp") == 403
        await gateway.reload(before)
        assert (await post(gateway, "soap", b""))[0] == 400


async def test_a_reload_says_what_it_does_not_take_over() -> None:
    before = told(NOWHERE, Soap(listen=ANYWHERE))
    async with running(before) as gateway:
        address = gateway.soap_address
        moved = changed(before, soap=(Soap(listen=Listen("127.0.0.1", 7), max_body=5),))
        with logged() as lines:
            await gateway.reload(moved)
        warnings = [line for line in lines if "changed, and holds from the next start on" in line]
        assert [line.partition("key=")[2] for line in warnings] == ["soap.listen", "soap.max_body"]
        assert gateway.soap_address == address and (await post(gateway, "soap", b""))[0] == 400
        with logged() as lines:
            await gateway.reload(before)
        assert not any("changed, and holds" in line for line in lines)


async def test_a_name_is_listened_at_with_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["127.0.0.2", "127.0.0.3"]
    stand_for(monkeypatch, "here.example", *addresses)
    soap, json, admin = (Listen("here.example", free_port()) for _ in range(3))
    asked = told(NOWHERE, Soap(listen=soap), websocket=(WebSocket(listen=json),))
    everywhere = [(address, port) for address in addresses for port in (soap.port, json.port, admin.port)]
    async with running(changed(asked, admin=msgspec.structs.replace(asked.admin, listen=admin))):
        for address, port in everywhere:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://{address}:{port}/healthz") as response,
            ):
                assert response.status < 500
    for address, port in everywhere:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, port)


async def test_every_address_of_a_name_is_in_the_line_that_says_where_it_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_for(monkeypatch, "here.example", "127.0.0.1", "127.0.0.2", "::1")
    with logged() as lines:
        async with running(told(NOWHERE, Soap(listen=Listen("here.example", 0)))):
            pass
    (line,) = [line for line in lines if " listening listener=soap " in line]
    assert re.search(r" address=127\.0\.0\.1:[0-9]+,127\.0\.0\.2:[0-9]+,\[::1\]:[0-9]+$", line)


async def test_a_name_that_stands_for_nothing_is_told_in_the_resolvers_words() -> None:
    gateway = Gateway(told(NOWHERE, Soap(listen=Listen("nowhere.invalid", 0))))
    with pytest.raises(OSError, match=r"soap\.listen: cannot listen at nowhere\.invalid:0: ") as refused:
        await asyncio.wait_for(gateway.start(), AT_MOST)
    assert "Unknown error" not in str(refused.value)
    with pytest.raises(socket.gaierror) as resolved:
        socket.getaddrinfo("nowhere.invalid", 0)
    assert str(refused.value).endswith(str(resolved.value.strerror))


async def test_a_port_that_is_taken_is_told_with_its_key() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = Listen("127.0.0.1", taken.getsockname()[1])
        gateway = Gateway(told(NOWHERE, Soap(listen=ANYWHERE), Soap(listen=listen)))
        with pytest.raises(OSError, match=r"soap\[1\]\.listen: cannot listen at 127\.0\.0\.1:[0-9]+: "):
            await asyncio.wait_for(gateway.start(), AT_MOST)
