"""Where a SOAP Charge Point is called back, as that changes: its address, the operator's networks, or nothing known."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from bridge.config import Listen, Settings, Store
from bridge.store import Store as OpenStore
from bridge.store.audit import AuditQuery
from bridge.store.records import ChargePointRecord
from tests.e2e.stage import (
    AT,
    CP,
    RawCentralSystem,
    answering,
    envelope,
    listening,
    logged,
    post,
    running,
    settings,
)
from tests.e2e.test_restart import opened, through
from tests.names import stand_for

ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
BEAT = {"currentTime": AT}
SOFT = [2, "id", "Reset", {"type": "Soft"}]
# Nobody is kept waiting by chance: what has to wait here, waits longer than the test does.
PATIENT = {"call_timeout": 300}


def persistence(told: Settings, folder: Path) -> Settings:
    return msgspec.structs.replace(told, store=Store(url=f"sqlite:///{folder}/bridge.db"))


def kept(folder: Path) -> str | None:
    """The callback address in the store."""
    store = OpenStore(f"sqlite:///{folder}/bridge.db")
    store.open()
    try:
        (record,) = store.charge_points()
        return record.callback_url
    finally:
        store.close()


async def test_a_guess_gives_way_to_a_newer_guess_and_nothing_else_does(tmp_path: Path) -> None:
    """A Charge Point that gets its address by DHCP, and says nothing of it."""

    async def walk(*said: tuple[str, str]) -> None:
        async with RawCentralSystem() as central, running(persistence(settings(central.url), tmp_path)) as gateway:
            _, link, _ = await opened(central, gateway, envelope(), BEAT)
            for source, peer in said:
                async with asyncio.TaskGroup() as group:
                    group.create_task(post(gateway, envelope(source=source), peer=peer))
                    await link.serve(BEAT)

    learnt = "http://127.0.0.3:8080/"
    for said, known in (
        ([(ANONYMOUS, "127.0.0.2")], "http://127.0.0.2/"),
        ([(ANONYMOUS, "127.0.0.3")], "http://127.0.0.3/"),
        ([(learnt, "127.0.0.3"), (ANONYMOUS, "127.0.0.2")], learnt),
        ([(ANONYMOUS, "127.0.0.2")], learnt),
    ):
        await walk(*said)
        assert kept(tmp_path) == known


async def test_an_address_is_used_only_where_the_operator_still_admits_it(tmp_path: Path) -> None:
    def limits(*networks: str) -> Settings:
        admitted = {"callback_networks": tuple(map(ip_network, networks))}
        return persistence(settings(central.url, soap=admitted, gateway={"call_timeout": 1}), tmp_path)

    async with RawCentralSystem() as central, listening(answering(RESET), host="127.0.0.3") as point:
        async with running(limits("127.0.0.0/8")) as gateway:
            _, link, _ = await opened(central, gateway, envelope(source=point.url), BEAT)
            assert await link.ask(SOFT) == [3, "id", {"status": "Accepted"}]
            await gateway.reload(limits("127.0.0.4/32"))
            assert (await link.ask(SOFT))[:3] == [4, "id", "InternalError"]
            await gateway.reload(limits("127.0.0.0/8"))
            # It is not wider again before the Charge Point says it again.
            assert (await link.ask(SOFT))[:3] == [4, "id", "InternalError"]
            await through(link, gateway, envelope(source=point.url), BEAT)
            assert await link.ask(SOFT) == [3, "id", {"status": "Accepted"}]
        for networks, reached in (("127.0.0.0/8", True), ("127.0.0.4/32", False)):
            async with running(limits(networks)) as gateway:
                _, link, _ = await opened(central, gateway, envelope(), BEAT)
                assert ((await link.ask(SOFT))[0] == 3) is reached
        assert len(point.received) == 3


async def test_a_stored_address_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    record = ChargePointRecord(
        identity="CP 1",
        last_seen=time.time(),
        transport="soap",
        version="1.6",
        callback_url="http://127.0.0.1:1/",
        callback_networks=("anywhere",),
    )
    store = OpenStore(f"sqlite:///{tmp_path}/bridge.db")
    store.open()
    store.put(record)
    store.close()
    with logged() as lines:
        async with (
            RawCentralSystem() as central,
            listening(answering(RESET)) as point,
            running(persistence(settings(central.url), tmp_path)) as gateway,
        ):
            _, link, _ = await opened(central, gateway, envelope(source=point.url), BEAT)
            assert await link.ask(SOFT) == [3, "id", {"status": "Accepted"}]
    assert sum("a stored callback address cannot be read" in line for line in lines) == 1


LACKED = {"key": ["HeartbeatInterval"]}
HEARTBEAT_1_2 = '<heartbeatRequest xmlns="urn://Ocpp/Cs/2010/08/"/>'


def of_1_2(source: str | None = None) -> bytes:
    return envelope(HEARTBEAT_1_2, source=source).replace(b"urn://Ocpp/Cs/2015/10/", b"urn://Ocpp/Cs/2010/08/")


async def test_what_the_version_lacks_is_answered_though_there_is_no_callback_address() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway=PATIENT)) as gateway,
        listening(answering(RESET.replace(CP, "urn://Ocpp/Cp/2010/08/"))) as point,
    ):
        _, link, _ = await opened(central, gateway, of_1_2(), BEAT)
        await link.send([2, "waits", "Reset", {"type": "Soft"}])
        answer = await link.ask([2, "id", "GetConfiguration", LACKED])
        assert answer == [3, "id", {"unknownKey": LACKED["key"]}]
        assert (await link.ask([2, "id 2", "GetLog", {"logType": "DiagnosticsLog"}]))[:3] == [
            4,
            "id 2",
            "NotSupported",
        ]
        async with asyncio.TaskGroup() as group:
            group.create_task(post(gateway, of_1_2(point.url)))
            await link.serve(BEAT)
        assert await link.receive() == [3, "waits", {"status": "Accepted"}]


async def test_loopback_is_called_back_only_through_a_listener_that_is_on_loopback() -> None:
    """Through any other, who comes from there may be a proxy's stranger. The operator can say otherwise."""
    async with RawCentralSystem() as central, listening(answering(RESET)) as point:
        for soap, reached in (
            ({"listen": Listen("0.0.0.0", 0)}, False),
            (
                {"listen": Listen("127.0.0.1", 0), "proxies": (ip_network("127.0.0.1"),), "proxy": "forwarded"},
                False,
            ),
            ({"listen": Listen("0.0.0.0", 0), "callback_networks": (ip_network("127.0.0.0/8"),)}, True),
            ({"listen": Listen("127.0.0.1", 0)}, True),
        ):
            async with running(settings(central.url, soap=soap, gateway={"call_timeout": 1})) as gateway:
                _, link, _ = await opened(central, gateway, envelope(source=point.url), BEAT)
                assert ((await link.ask(SOFT))[0] == 3) is reached
        assert len(point.received) == 2


async def test_an_address_that_changes_is_a_line_in_the_log_and_in_the_audit() -> None:
    with logged() as lines:
        async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
            _, link, _ = await opened(central, gateway, envelope(source="http://127.0.0.1:8082/"), BEAT)
            for source, peer in (("http://127.0.0.3:1/", "127.0.0.3"), ("http://127.0.0.3:2/", "127.0.0.3")) * 20:
                async with asyncio.TaskGroup() as group:
                    group.create_task(post(gateway, envelope(source=source), peer=peer))
                    await link.serve(BEAT)
            (line,) = [line for line in lines if "callback changed" in line]
            detail = "http://127.0.0.1:8082/ -> http://127.0.0.3:1/"
            assert detail in line and "Charge Point at 127.0.0.3" in line
            (audited,) = (await gateway._audit.page(AuditQuery(), 10)).items
            assert (audited.identity, audited.what, audited.detail) == ("CP 1", "callback changed", detail)
            assert audited.who == "Charge Point at 127.0.0.3"


async def test_where_the_public_name_leads_nobody_is_called_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind an address of its own, which a load balancer has: by that name, by the address, by another name."""
    stand_for(monkeypatch, "gateway.example", "127.0.0.5")
    stand_for(monkeypatch, "other.example", "127.0.0.5")
    async with RawCentralSystem() as central, listening(answering(RESET), host="127.0.0.5") as balancer:
        port = urlsplit(balancer.url).port
        soap = {
            "listen": Listen("127.0.0.1", 0),
            "public_url": f"http://gateway.example:{port}",
            "callback_networks": (ip_network("127.0.0.0/8"),),
        }
        async with running(settings(central.url, soap=soap, gateway={"call_timeout": 1})) as gateway:
            for number, host in enumerate(("gateway.example", "127.0.0.5", "[::ffff:127.0.0.5]", "other.example")):
                body = envelope(identity=f"CP {number}", source=f"http://{host}:{port}/")
                _, link, _ = await opened(central, gateway, body, BEAT)
                assert (await link.ask(SOFT))[:3] == [4, "id", "InternalError"]
            assert balancer.received == []
            # Another port there is none of ours.
            async with listening(answering(RESET), host="127.0.0.5") as point:
                body = envelope(identity="CP 9", source=point.url)
                _, link, _ = await opened(central, gateway, body, BEAT)
                assert await link.ask(SOFT) == [3, "id", {"status": "Accepted"}]
            # A name may lead elsewhere by and by; one that nobody knows any more leads where it did.
            monkeypatch.undo()
            await gateway._listeners.look_up()
            body = envelope(identity="CP 5", source=balancer.url)
            _, link, _ = await opened(central, gateway, body, BEAT)
            assert (await link.ask(SOFT))[:3] == [4, "id", "InternalError"]
