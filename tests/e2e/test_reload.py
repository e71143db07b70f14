"""SIGHUP: the routes are read again. Who belongs elsewhere now moves there, and nobody else notices."""

from __future__ import annotations

import asyncio
import signal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.wire import Payload
from tests.e2e.processes import Bridge, all_well
from tests.e2e.stage import (
    AT,
    AT_MOST,
    SAMPLES,
    Connection,
    RawCentralSystem,
    answering,
    envelope,
    listening,
    post,
    sender,
    soap_central_system,
)
from tests.e2e.test_restart import ACCEPTED, RESET, opened, start, started, stop, through, told

NOW = {"currentTime": AT}
JSON: dict[str, Any] = {"protocol": "ocpp1.6j"}
SOAP: dict[str, Any] = {"protocol": "ocpp1.6s"}


def tables(**systems: str) -> dict[str, dict[str, Any]]:
    """central_systems, by name, from their URLs."""
    return {name: {"url": url, **(JSON if url.startswith("ws") else SOAP)} for name, url in systems.items()}


async def closed(link: Connection) -> tuple[int | None, str | None]:
    """Code and reason, once it is."""
    await asyncio.wait_for(link.websocket.wait_closed(), AT_MOST)
    return link.websocket.close_code, link.websocket.close_reason


def connected(point: JsonChargePoint) -> bool:
    return point.close_code is None


# SOAP Charge Points.


async def test_the_next_message_goes_to_the_new_central_system_and_what_is_in_flight_ends_at_the_old(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()

    async def hold(body: bytes) -> web.Response:
        await go.wait()
        return await answering(RESET)(body)

    async with (
        RawCentralSystem() as old,
        RawCentralSystem() as new,
        listening(hold) as point,
        # The new one is not in the file yet.
        Bridge(tmp_path, tables(old=old.url)) as bridge,
    ):
        _, stays, _ = await opened(old, bridge, envelope(identity="B 1"), NOW)
        _, link, _ = await opened(old, bridge, start(identity="A 1", source=point.url), started())
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(post(bridge, envelope(identity="A 1")))
            call = await link.receive()
            await link.send([2, "id", "Reset", {"type": "Soft"}])
            await asyncio.wait_for(point.arrived.wait(), AT_MOST)

            bridge.configure(tables(old=old.url, new=new.url), {"A *": "new", "*": "old"})
            await bridge.reload()
            assert any(line.rstrip().endswith("moved=1") for line in bridge.lines)
            # What is sent from now on does not wait for what was sent before.
            _, moved, first = await opened(new, bridge, envelope(identity="A 1"), NOW)
            assert first[2] == "Heartbeat"
            assert moved.websocket.request is not None
            assert moved.websocket.request.path == "/ocpp/A%201"

            assert not beat.done()
            await link.send([3, call[1], {"currentTime": "2026-01-02T03:04:59Z"}])
            assert "2026-01-02T03:04:59Z" in (await beat).text
            assert link.websocket.close_code is None
            go.set()
            assert await link.receive() == [3, "id", ACCEPTED]
            assert await closed(link) == (1012, "it belongs elsewhere now")
        # The new one may command it, without having heard where it is.
        assert await moved.ask([2, "new", "Reset", {"type": "Soft"}]) == [3, "new", ACCEPTED]
        # What was answered before it moved is still known.
        assert told(await post(bridge, start(identity="A 1"))) == ("Accepted", "4711")

        _, call = await through(stays, bridge, envelope(identity="B 1"), NOW)
        assert call[2] == "Heartbeat"
        # The old one was dialled once more, for the transaction that goes on there.
        assert (len(old.requests), len(new.requests)) == (3, 1)
        _, health = await bridge.ready()
        assert health["central_systems"] == {"old": all_well(1), "new": all_well(1)}


async def test_one_that_has_nothing_in_flight_is_hung_up_on_at_once(tmp_path: Path) -> None:
    async with (
        RawCentralSystem() as old,
        soap_central_system() as new,
        Bridge(tmp_path, tables(old=old.url)) as bridge,
    ):
        _, link, _ = await opened(old, bridge, envelope(), NOW)
        bridge.configure(tables(new=new.url))
        await bridge.reload()
        assert await closed(link) == (1012, "it belongs elsewhere now")
        assert told(await post(bridge, start())) == ("Accepted", "1")
        assert [action for _, action, _ in new.received] == ["StartTransaction"]
        assert (await bridge.ready())[1]["central_systems"] == {"new": all_well(1)}
        # And back: a Central System that speaks SOAP has nothing to hang up.
        bridge.configure(tables(old=old.url))
        await bridge.reload()
        _, _, call = await opened(old, bridge, envelope(), NOW)
        assert call[2] == "Heartbeat"
        assert len(new.received) == 1


async def test_one_that_is_not_routed_any_more_is_a_stranger(tmp_path: Path) -> None:
    async with RawCentralSystem() as central, Bridge(tmp_path, tables(main=central.url)) as bridge:
        _, link, _ = await opened(central, bridge, envelope(), NOW)
        await opened(central, bridge, envelope(identity="other 1"), NOW)
        bridge.configure(tables(main=central.url), {"other *": "main"})
        await bridge.reload()
        assert await closed(link) == (1012, "it belongs elsewhere now")
        refused = await post(bridge, envelope())
        assert (refused.status, refused.fault) == (400, sender("IdentityMismatch"))


async def test_what_else_the_file_says_waits_for_a_restart_and_disturbs_nobody(tmp_path: Path) -> None:
    async with RawCentralSystem() as central:
        bridge = Bridge(tmp_path, tables(main=central.url))
        file = tmp_path / "bridge.toml"
        async with bridge:
            _, link, _ = await opened(central, bridge, envelope(), NOW)
            file.write_text(file.read_text().replace("call_timeout = 20", "call_timeout = 21"))
            await bridge.reload()
            assert bridge.lines[-1].rstrip().endswith("moved=0")
            await through(link, bridge, envelope(), NOW)
            assert len(central.requests) == 1


async def test_included_files_are_read_again_too(tmp_path: Path) -> None:
    async with RawCentralSystem() as old, RawCentralSystem() as new:
        bridge = Bridge(tmp_path, tables(old=old.url), {"B *": "old"})
        file, routes = tmp_path / "bridge.toml", tmp_path / "routes.d"
        file.write_text(f'include = ["routes.d/*.toml"]\n{file.read_text()}')
        routes.mkdir()
        (routes / "a.toml").write_text('[[routes]]\ncharge_point = "A *"\ncentral_system = "old"\n')
        async with bridge:
            _, link, _ = await opened(old, bridge, envelope(identity="A 1"), NOW)
            (routes / "a.toml").write_text('[[routes]]\ncharge_point = "A *"\ncentral_system = "new"\n')
            bridge.told(signal.SIGHUP)
            assert "no central system is called" in await bridge.says("not taken over", "routes.d/a.toml")
            (routes / "b.toml").write_text(f'[central_systems.new]\nurl = "{new.url}"\n')
            await bridge.reload()
            assert await closed(link) == (1012, "it belongs elsewhere now")
            await opened(new, bridge, envelope(identity="A 1"), NOW)


async def test_with_move_when_idle_an_open_transaction_is_waited_for(tmp_path: Path) -> None:
    async with (
        RawCentralSystem() as old,
        RawCentralSystem() as new,
        Bridge(tmp_path, tables(old=old.url)) as bridge,
    ):
        _, link, _ = await opened(old, bridge, start(identity="A 1"), started())
        bridge.configure(tables(old=old.url, new=new.url), {"A *": "new", "*": "old"})
        text = bridge.file.read_text()
        assert "[gateway]\n" in text
        bridge.file.write_text(text.replace("[gateway]\n", '[gateway]\nmove_when = "idle"\n'))
        await bridge.reload()
        assert any(line.rstrip().endswith("waiting=1 moved=0") for line in bridge.lines)
        assert not any("holds from the next start on" in line for line in bridge.lines)
        _, call = await through(link, bridge, stop(identity="A 1"), {})
        assert call[2] == "StopTransaction"
        _, _, first = await opened(new, bridge, envelope(identity="A 1"), NOW)
        assert first[2] == "Heartbeat"


# JSON Charge Points.


@pytest.mark.parametrize(("from_", "to"), [("json", "json"), ("soap", "json"), ("json", "soap"), ("soap", "soap")])
async def test_a_json_charge_point_keeps_its_connection(tmp_path: Path, from_: str, to: str) -> None:
    go, held = asyncio.Event(), asyncio.Event()

    async def hold(_: Payload) -> Payload:
        held.set()
        await go.wait()
        return {"status": "Accepted", "data": "from the old one"}

    async with (
        JsonCentralSystem() if from_ == "json" else soap_central_system() as old,
        JsonCentralSystem() if to == "json" else soap_central_system() as new,
        Bridge(tmp_path, tables(old=old.url)) as bridge,
    ):
        old.behaviour["DataTransfer"] = hold
        point = JsonChargePoint(url=bridge.websocket_url, identity="A 1")
        other = JsonChargePoint(url=bridge.websocket_url, identity="B 1")
        async with other:
            async with point:
                await other.call("Heartbeat", {})
                await point.call("Heartbeat", {})
                async with asyncio.TaskGroup() as group:
                    transfer = group.create_task(point.call("DataTransfer", SAMPLES["DataTransfer"]))
                    await asyncio.wait_for(held.wait(), AT_MOST)
                    bridge.configure(tables(old=old.url, new=new.url), {"A *": "new", "*": "old"})
                    await bridge.reload()
                    assert any(line.rstrip().endswith("moved=1") for line in bridge.lines)
                    assert connected(point)
                    go.set()
                    assert (await transfer)["data"] == "from the old one"
                if isinstance(old, JsonCentralSystem):
                    await old.wait_gone("A 1")
                await point.call("StartTransaction", SAMPLES["StartTransaction"])
                await new.wait_for("A 1")
                assert await new.call("A 1", "Reset", {"type": "Soft"}) == ACCEPTED
            assert await other.call("Heartbeat", {})
        assert point.close_code == other.close_code == 1000  # as they wished, at the end
        assert [(who, action) for who, action, _ in old.received] == [
            ("B 1", "Heartbeat"),
            ("A 1", "Heartbeat"),
            ("A 1", "DataTransfer"),
            ("B 1", "Heartbeat"),
        ]
        assert [(who, action) for who, action, _ in new.received] == [("A 1", "StartTransaction")]
        assert point.violations == other.violations == old.violations == new.violations == []


async def test_a_json_charge_point_that_is_not_routed_any_more_is_not_let_in_again(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central, Bridge(tmp_path, tables(main=central.url)) as bridge:
        point = JsonChargePoint(url=bridge.websocket_url, identity="A 1")
        async with point, JsonChargePoint(url=bridge.websocket_url, identity="B 1"):
            bridge.configure(tables(main=central.url), {"B *": "main"})
            await bridge.reload()
            await point.wait_closed()
            assert point.close_code == 1012
        with pytest.raises(ConnectionRefused) as refusal:
            await point.start()
        assert refusal.value.status == HTTPStatus.NOT_FOUND


# A file that is bad.

BAD = {
    "not TOML": "[[routes]",
    "a key that there is not": "[gatevay]\n",
    "a route that leads nowhere": '[central_systems.main]\nurl = "ws://127.0.0.1:1/"\n'
    '[[routes]]\ncharge_point = "*"\ncentral_system = "nobody"\n',
    "nothing": None,
    "an empty file": "",
    "one without a Central System": "[gateway]\ncall_timeout = 7\n",
    "one that leaves nobody a route": '[central_systems.main]\nurl = "ws://127.0.0.1:1/"\n',
}


async def told_of_the_configuration(bridge: Bridge) -> list[str]:
    """What the overview says of a file that is not what the bridge runs with."""
    _, overview = await bridge.asked("/api/v1/overview")
    return [alarm["text"] for alarm in overview["alarms"] if alarm["kind"] == "configuration"]


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
async def test_a_bad_file_keeps_the_last_good_one(tmp_path: Path, content: str | None) -> None:
    async with RawCentralSystem() as central, Bridge(tmp_path, tables(main=central.url)) as bridge:
        _, link, _ = await opened(central, bridge, envelope(), NOW)
        file = tmp_path / "bridge.toml"
        file.unlink()
        if content is not None:
            file.write_text(content)
        bridge.told(signal.SIGHUP)
        assert " ERROR " in await bridge.says("configuration not taken over")
        (told,) = await told_of_the_configuration(bridge)
        assert told.startswith("The configuration file was not taken over, and the former one holds: ")
        # Who was there, and who comes now.
        await through(link, bridge, envelope(), NOW)
        await opened(central, bridge, envelope(identity="another"), NOW)

        bridge.configure(tables(main=central.url), {"CP *": "main"})
        await bridge.reload()
        assert await told_of_the_configuration(bridge) == []
        assert (await post(bridge, envelope(identity="another"))).fault == sender("IdentityMismatch")
        await through(link, bridge, envelope(), NOW)
        assert not any("Traceback" in line for line in bridge.lines)
        bridge.told(signal.SIGTERM)
        assert await bridge.ended() == 0


async def test_a_file_that_was_cut_off_changes_nothing(tmp_path: Path) -> None:
    """At the end of a line, so that it still is TOML."""
    async with RawCentralSystem() as central, Bridge(tmp_path, tables(main=central.url)) as bridge:
        _, link, _ = await opened(central, bridge, envelope(), NOW)
        file = tmp_path / "bridge.toml"
        whole = file.read_text()
        for cut in (whole.index("[[routes]]"), whole.index("[central_systems"), whole.index("[soap]"), 0):
            file.write_text(whole[:cut])
            bridge.told(signal.SIGHUP)
            await bridge.says("configuration not taken over")
            await through(link, bridge, envelope(), NOW)
        file.write_text(whole)
        await bridge.reload()
        await through(link, bridge, envelope(), NOW)


async def test_more_than_half_of_the_fleet_is_not_turned_away_by_a_file(tmp_path: Path) -> None:
    """Also of those that are in the store only; half of it is, and a restart does what the file says."""
    async with RawCentralSystem() as central, Bridge(tmp_path, tables(main=central.url)) as bridge:
        for identity in ("A 1", "A 2", "B 1", "C 1"):
            await opened(central, bridge, envelope(identity=identity), NOW)
        bridge.configure(tables(main=central.url), {"B *": "main"})
        bridge.told(signal.SIGHUP)
        assert "3 of 4 known Charge Points would have no route any more" in await bridge.says("not taken over")
        bridge.configure(tables(main=central.url), {"[BC] *": "main"})
        await bridge.reload()
        assert (await post(bridge, envelope(identity="A 1"))).fault == sender("IdentityMismatch")
