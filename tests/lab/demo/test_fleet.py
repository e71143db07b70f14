"""The fleet of the demo: it charges over every protocol, says what went wrong, and comes back."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bridge.commands.cli import main
from bridge.commands.demo import _command
from bridge.lab.demo.fleet import DemoFleet, FleetAddresses
from bridge.lab.demo.run import Demo, run
from bridge.lab.demo.stage import Prepare
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.net.tasks import Tasks
from tests.e2e.processes import Bridge, Program
from tests.lab.demo.test_demo import once
from tests.ports import free_port


async def played(fleet: int, prepare: Prepare | None = None) -> tuple[int, list[str]]:
    """The exit code and the lines of a demo with a fleet, in which everybody charges once."""
    said: list[str] = []
    code = await run(Demo(say=said.append, prepare=prepare, fleet=fleet), once=True)
    return code, [line for line in said if line.lower().startswith("fleet")]


def test_each_charge_point_charges_once_over_its_protocol() -> None:
    result = once("--fleet", "10")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "fleet of 10: 0 charge, 160 messages were answered, 0 were not"


async def test_who_charges_with_what_arrives_whole() -> None:
    arrived: Counter[str] = Counter()
    readings: list[Payload] = []

    def prepare(central_system: JsonCentralSystem, _: SoapChargePoint) -> None:
        models = central_system.behaviour["BootNotification"]
        meters = central_system.behaviour["MeterValues"]

        def boot(request: Payload) -> Any:
            arrived[request["chargePointModel"]] += 1
            return models(request)

        def meter(request: Payload) -> Any:
            readings.append(request)
            return meters(request)

        central_system.behaviour |= {"BootNotification": boot, "MeterValues": meter}

    assert (await played(10, prepare))[0] == 0
    simulators = {"1.6s simulator": 5, "1.5s simulator": 2, "1.2s simulator": 1, "1.6j simulator": 2}
    assert arrived == Counter(simulators | {"demo": 1})
    of_the_fleet = [request for request in readings if request["connectorId"] == 1][-60:]
    energies = [
        int(float(value["value"])) for request in of_the_fleet for value in request["meterValue"][0]["sampledValue"]
    ]
    assert len(of_the_fleet) == 60
    assert max(energies) > 10_000  # the tenth counts from 10 kWh


async def test_a_call_that_fails_is_told_and_the_exit_code_is_1() -> None:
    def prepare(central_system: JsonCentralSystem, _: SoapChargePoint) -> None:
        answer = central_system.behaviour["StartTransaction"]

        def start(request: Payload) -> Any:
            if request["idTag"] == "DRIVER-14":  # the second Charge Point's
                raise CallRefused("InternalError", "out of order")
            return answer(request)

        central_system.behaviour["StartTransaction"] = start

    code, said = await played(3, prepare)
    assert code == 1
    assert said[0].startswith("FLEET-002: StartTransaction: a refusal, ") and said[0].endswith("out of order")
    assert said[1:] == ["fleet of 3: 0 charge, 38 messages were answered, 1 were not"]


async def test_the_fleet_goes_on_charging() -> None:
    said: list[str] = []
    enough, tasks = asyncio.Event(), Tasks()
    remote: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        counts = re.search(r"fleet of 5: \d+ charge, (\d+) messages were answered, 0 were not", line)
        if counts is not None and int(counts[1]) > 150:
            enough.set()

    def prepare(central_system: JsonCentralSystem, _: SoapChargePoint) -> None:
        call = central_system.call

        async def calling(identity: str, action: str, payload: Payload, timeout: float = 30) -> Payload:  # noqa: ASYNC109
            if identity.startswith("FLEET-"):
                remote.append(f"{identity} {action}")
            return await call(identity, action, payload, timeout)

        central_system.call = calling  # type: ignore[method-assign,assignment]

    tasks.spawn(run(Demo(say=say, prepare=prepare, every=0.01, fleet=5), once=False), name="demo")
    async with asyncio.timeout(60):
        await enough.wait()
    await tasks.close()
    assert set(remote) <= {f"FLEET-00{number} RemoteStartTransaction" for number in range(1, 6)}
    assert remote
    assert "5 more Charge Points, FLEET-001 and so on, charge from now on." in said
    assert [line for line in said if line.startswith("FLEET-")] == []


async def test_a_charge_point_that_finds_no_gateway_tries_again() -> None:
    said: list[str] = []
    nobody = free_port()
    addresses = FleetAddresses(soap=f"http://127.0.0.1:{nobody}/", websocket=f"ws://127.0.0.1:{nobody}/ocpp")
    twice = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        times = Counter(line.partition(":")[0] for line in said)
        if len(times) == 3 and min(times.values()) >= 2:
            twice.set()

    fleet = DemoFleet(3, addresses, JsonCentralSystem(), say=say, every=0.001)
    async with asyncio.timeout(30), fleet.alive():
        await twice.wait()
    assert all(re.match(r"FLEET-00[123]: connection: Connection\w*Error: ", line) for line in said)


@pytest.mark.parametrize("number", ["0", "501", "-1", "many", "9" * 5000])
def test_a_fleet_is_of_1_to_500(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", f"--fleet={number}"]) == 2
    assert "argument --fleet: a number from 1 to 500 is expected, not '" in capsys.readouterr().err


# On its own


async def test_a_fleet_of_its_own_charges_at_a_bridge_and_takes_commands(tmp_path: Path) -> None:
    """As the containers of deploy/compose.yaml have it: each party is a process."""
    async with JsonCentralSystem() as central, Bridge(tmp_path, {"main": {"url": central.url}}) as bridge:
        soap = "http://127.0.0.1:{1}/services/CentralSystemService".format(*bridge.soap_address)
        urls = ("--url", soap, "--websocket-url", bridge.websocket_url)
        async with Program("bridge", "simulate", "fleet", "--size", "5", *urls) as fleet:
            for number in range(1, 6):
                await central.wait_for(f"FLEET-00{number}")
            for number in (1, 2, 3, 5):  # of 1.6, 1.5 and 1.2 over SOAP, and of 1.6 over JSON
                assert await central.call(f"FLEET-00{number}", "Reset", {"type": "Soft"}) == {"status": "Accepted"}
            fleet.told(signal.SIGTERM)
            assert (await fleet.ended(), fleet.lines) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--url", "ws://x/", "--websocket-url", "ws://x"], "argument --url: expected http://HOST[:PORT]/PATH"),
        (["--url", "http://x/", "--websocket-url", "http://x"], "argument --websocket-url: expected ws://"),
        (["--url", "http://x/", "--websocket-url", "ws://x", "--host", "0.0.0.0"], "0.0.0.0 is no address"),
        (["--url", "http://x/"], "required: --websocket-url"),
    ],
)
def test_what_a_fleet_cannot_use_is_named(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "fleet", *arguments]) == 2
    assert sentence in capsys.readouterr().err


# The command in the advice


def test_the_advice_names_a_program_that_the_shell_does_not_find_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "a place" / "ocpp-bridge"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.defpath)
    assert shutil.which("ocpp-bridge") is None
    assert _command(program) == f"'{program}'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert _command(program) == "ocpp-bridge"
    assert _command(Path("bridge/__main__.py")) == "ocpp-bridge"
