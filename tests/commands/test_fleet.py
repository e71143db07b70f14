"""`simulate charge-point --count`: a fleet through a real gateway, how it tells of itself, and what it shows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.app import Gateway
from bridge.commands.fleet import FleetCounts, SimulatedFleet
from bridge.commands.simulate import identities
from bridge.config import TLS, ChargePoint, Listen, Route, Secret, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.script import read_script
from bridge.lab.simulators.wire import CallRefused
from tests.admin.asked import Api, api_of
from tests.authority import Authority
from tests.e2e.stage import (
    AT_MOST,
    address_of,
    charge_point,
    json_charge_point,
    running,
    settings,
    websocket_of,
)
from tests.ports import free_port

BOOT = read_script('BootNotification {"chargePointVendor": "v", "chargePointModel": "m"}\nHeartbeat', "")
SIMULATE = [sys.executable, "-m", "bridge", "simulate", "charge-point"]


def test_the_identities_of_a_fleet_are_in_order() -> None:
    assert identities("A", 3) == ["A-1", "A-2", "A-3"]
    assert identities("A", 10)[8:] == ["A-09", "A-10"]
    assert len(set(identities("A", 1000))) == 1000


@pytest.mark.parametrize("make", [charge_point, json_charge_point])
async def test_a_fleet_does_what_one_does(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        fleet = SimulatedFleet([make(gateway, name) for name in identities("F", 12)], BOOT, stay=False)
        assert await fleet.run() == 0
        assert capsys.readouterr().out.endswith(" 12 of 12 up, Calls: 24 answered, 0 refused, 0 unanswered\n"), (
            "no line for each message"
        )
        assert (await api.get("/charge-points"))["total"] == 12
        heard = [(identity, action) for identity, action, _ in central.received]
        assert sorted(heard) == sorted(
            (name, action) for name in identities("F", 12) for action in ("BootNotification", "Heartbeat")
        )


async def test_what_goes_wrong_is_counted_and_told() -> None:
    def refused(_: object) -> dict[str, object]:
        raise CallRefused("InternalError", "not\nnow")

    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        central.behaviour["Heartbeat"] = refused
        fleet = SimulatedFleet([charge_point(gateway, name) for name in identities("F", 3)], BOOT, stay=False)
        assert await fleet.run() == 1
        counts = fleet.counts
        assert (len(counts.up), counts.answered, counts.refused, counts.unanswered) == (3, 3, 3, 0)
        assert "Heartbeat was refused" in counts.line() and "\n" not in counts.line()
    nobody = SimulatedFleet([json_charge_point(gateway, "F-1")], BOOT, stay=False)
    assert await nobody.run() == 1
    assert nobody.counts.line().startswith("0 of 1 up, Calls: 0 answered, 0 refused, 0 unanswered; last: F-1: ")


async def test_one_that_stays_comes_back_and_is_ended_from_outside() -> None:
    async with JsonCentralSystem() as central:
        gateway = Gateway(told := settings(central.url, websocket={"listen": Listen("127.0.0.1", free_port())}))
        fleet = SimulatedFleet(
            [JsonChargePoint(url=f"ws://{told.websocket[0].listen}/ocpp", identity="F-1")],
            BOOT,
            stay=True,
            pause=0.01,
        )
        work = asyncio.ensure_future(fleet.run())
        await until(lambda: fleet.counts.trouble != "")  # it tries before anybody listens
        await gateway.start()
        await central.wait_for("F-1")
        await until(lambda: fleet.counts.answered >= 2)
        await gateway.close()
        async with running(told):
            await central.wait_for("F-1")
            await until(lambda: "F-1" in fleet.counts.up)  # it sends a Heartbeat at once
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it does, which it comes to long before the test is given up."""
    for _ in range(AT_MOST * 100):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that")


async def test_on_a_terminal_one_line_tells_of_all() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        ours, theirs = os.openpty()
        with os.fdopen(theirs, "w") as terminal:
            members = [charge_point(gateway, name) for name in identities("F", 2)]
            assert await SimulatedFleet(members, BOOT, stay=False, out=terminal).run() == 0
            told = b""
            while not told.endswith(b"\n"):  # a terminal gives what was written in any pieces
                told += os.read(ours, 65536)
        os.close(ours)
        assert told.startswith(b"\r") and told.count(b"\n") == 1
        assert told.endswith(b"2 of 2 up, Calls: 4 answered, 0 refused, 0 unanswered\x1b[K\r\n")


def test_text_of_others_cannot_control_the_terminal() -> None:
    counts = FleetCounts(1)
    counts.trouble = "\x1b]0;mine\x07\n"
    assert counts.line().isprintable()


# What is shown to the gateway.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secured(url: str, authority: Authority) -> Settings:
    """Listeners with TLS. "P-1" and "P-2" have a password, the certificate of "C" lets it in."""
    tls = TLS(**authority.issue("gateway", "127.0.0.1"), client_ca=authority.file, client_certificate="asked")
    points = {name: ChargePoint(password=Secret(b"open sesame")) for name in ("P-1", "P-2")}
    routes = (
        Route(charge_point="C", central_system="main", authentication="certificate"),
        Route(charge_point="P-*", central_system="main", accept="listed"),
    )
    return replace(settings(url, soap={"tls": tls}, websocket={"tls": tls}, charge_points=points), routes=routes)


async def simulated(gateway: Gateway, folder: Path, protocol: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command against `gateway`, which boots and sends a Heartbeat."""
    script = folder / "script"
    script.write_text('BootNotification {"chargePointVendor": "v", "chargePointModel": "m"}\nHeartbeat\n')
    url = address_of(gateway) if protocol == "ocpp1.6s" else websocket_of(gateway)
    url = url.replace("http:", "https:").replace("ws:", "wss:")
    command = [*SIMULATE, "--protocol", protocol, "--url", url, "--script", str(script), *options]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, encoding="utf-8", timeout=60)


@pytest.mark.parametrize("protocol", ["ocpp1.6s", "ocpp1.6j"])
async def test_it_shows_a_password_or_a_certificate_over_tls(
    protocol: str, authority: Authority, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    files = authority.issue("charge-point", common_name="C")
    both = tmp_path / "both.pem"
    both.write_text(Path(files["certificate"]).read_text() + Path(files["key"]).read_text())
    trusts = ("--ca", authority.file)
    async with JsonCentralSystem() as central, running(secured(central.url, authority)) as gateway:
        known = ("--password-file", str(password))
        fleet = await simulated(gateway, tmp_path, protocol, *trusts, *known, "--identity", "P", "--count", "2")
        assert (fleet.returncode, fleet.stderr) == (0, "")
        assert " 2 of 2 up, Calls: 4 answered" in fleet.stdout
        named = await simulated(gateway, tmp_path, protocol, *trusts, "--certificate", str(both), "--identity", "C")
        assert (named.returncode, named.stderr) == (0, ""), named.stdout
        stranger = await simulated(gateway, tmp_path, protocol, *trusts, "--identity", "P-1")
        assert stranger.returncode == 1
        unknown = await simulated(gateway, tmp_path, protocol, *known, "--identity", "P-1")
        assert unknown.returncode == 1
        assert "Traceback" not in stranger.stderr + unknown.stderr
        async with api_of(gateway) as api:
            assert await accepted(api) == {"P-1", "P-2", "C"}


async def accepted(api: Api) -> set[str]:
    return {each["identity"] for each in (await api.get("/charge-points?accepted=true"))["items"]}


@pytest.mark.parametrize(
    ("option", "content", "sentence"),
    [
        ("--ca", "no certificate", "--ca: {file}: not the certificate and its key as text (PEM)"),
        ("--certificate", "nothing", "--certificate: {file}: not the certificate and its key as text (PEM)"),
        ("--ca", None, "--ca: {file}: No such file or directory"),
        ("--certificate", None, "--certificate: {file}: No such file or directory"),
        ("--password-file", None, "{file}"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    option: str, content: str | None, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    command = [*SIMULATE, "--protocol", "ocpp1.6j", "--url", "wss://127.0.0.1:1/", "--identity", "A", option, str(file)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ocpp-bridge: ") and done.stderr.count("\n") == 1
    assert sentence.format(file=file) in done.stderr
