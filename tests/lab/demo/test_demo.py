"""The whole demo: it goes well, it says what did not, it stays up, and it finds its ports."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import astuple, replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.lab.demo.checks import CheckFailure, Played, Taken, failure_of, normal
from bridge.lab.demo.lines import columns
from bridge.lab.demo.ports import HOST, Ports
from bridge.lab.demo.run import SCENARIOS, Demo, run
from bridge.lab.demo.scenario import ExpectedRefusal, Later, ScenarioStep, filled
from bridge.lab.demo.screen import WIDTH
from bridge.lab.demo.stage import Prepare, settings_for
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Behaviour, CallRefused, Payload, WireMessage
from bridge.net.tasks import Tasks
from tests.e2e.stage import AT_MOST
from tests.processes import running

COMMAND = [sys.executable, "-m", "bridge", "demo"]


def once(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--once", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8")


async def played(prepare: Prepare | None = None, protocol: str = "ocpp1.6s") -> tuple[int, list[str]]:
    """The exit code and the lines of a demo in this process."""
    said: list[str] = []
    code = await run(Demo(say=said.append, prepare=prepare, protocol=protocol), once=True)
    return code, said


def refusing(_: Payload) -> Payload:
    raise CallRefused("InternalError", "out of order")


def in_central_system(action: str, behaviour: Behaviour) -> Prepare:
    return lambda central_system, _: central_system.behaviour.update({action: behaviour})


def in_charge_point(action: str, behaviour: Behaviour) -> Prepare:
    return lambda _, charge_point: charge_point.behaviour.update({action: behaviour})


# The command


def test_the_session_goes_well_within_a_hundred_columns() -> None:
    result = once()
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line for line in lines if columns(line) > WIDTH] == []
    assert "14 messages CP -> CS, 9 messages CS -> CP: all answered as expected" in lines[-1]
    assert "\x1b" not in result.stdout


def test_each_message_is_shown_on_both_sides() -> None:
    text = once().stdout
    for number, step in enumerate(SCENARIOS["ocpp1.6s"].steps, start=1):
        assert f"{number:>2}  {step.name} ..." in text
    for words, count in (("SOAP request", 23), ("JSON request", 23), ("SOAP answer", 21), ("JSON answer", 21)):
        assert text.count(words) == count
    assert (text.count("SOAP Fault"), text.count("JSON error")) == (2, 2)


def hold(port: int) -> socket.socket | None:
    """Listen at the port. Another test may do so, and not for long: None if somebody else does, which is as good."""
    until = time.monotonic() + AT_MOST
    while time.monotonic() < until:
        with suppress(OSError):
            return socket.create_server((HOST, port))
        time.sleep(0.1)
    return None


def test_ports_that_are_taken_are_replaced_and_named() -> None:
    with ExitStack() as held:
        for port in astuple(Ports()):
            if (listening := hold(port)) is not None:
                held.enter_context(listening)
        result = once()
    assert (result.returncode, result.stderr) == (0, "")
    for port in astuple(Ports()):
        assert f"port {port} is taken, " in result.stdout


def test_it_stays_up_until_ctrl_c() -> None:
    with running(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as demo:
        assert demo.stdout is not None
        said = []
        for line in demo.stdout:
            said.append(line)
            if "One on the network" in line:
                break
        demo.send_signal(signal.SIGINT)
        _, complaints = demo.communicate(timeout=30)
    assert (demo.returncode, complaints) == (0, "")
    assert re.fullmatch(r"The console: http://127\.0\.0\.1:\d+/#token=[\w-]{43}", said[0].rstrip("\n"))
    console = said[0].split()[-1]
    advice = "".join(said).partition("The demo stays up; Ctrl-C ends it.")[2]
    assert f"  {console}\n" in advice
    assert "curl http://127.0.0.1:" in advice
    assert "/services/CentralSystemService" in advice


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = [*COMMAND, "--once"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        demo.stdout.close()
        assert demo.stderr.read() == ""
        assert demo.wait(timeout=30) == 1


# Older Charge Points


@pytest.mark.parametrize(("protocol", "up", "down"), [("ocpp1.5s", 16, 13), ("ocpp1.2s", 15, 15)])
def test_the_session_of_an_older_charge_point_goes_well_too(protocol: str, up: int, down: int) -> None:
    result = once("--protocol", protocol)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line for line in lines if columns(line) > WIDTH] == []
    assert f"{up} messages CP -> CS, {down} messages CS -> CP: all answered as expected" in lines[-1]
    assert f"OCPP-S {protocol[4:7]}, takes commands" in lines[1]


@pytest.mark.parametrize("protocol", ["ocpp1.5s", "ocpp1.2s"])
async def test_the_losses_that_the_gateway_logged_are_shown_at_the_end(protocol: str) -> None:
    code, said = await played(protocol=protocol)
    assert code == 0
    at = next(number for number, line in enumerate(said) if line.startswith("Loss"))
    ending = said[at:]
    assert [line for line in ending[:-2] if not line.startswith(("Loss  ", "      "))] == []
    assert ending[-2] == ""
    losses = " ".join(line.strip() for line in ending)
    steps = SCENARIOS[protocol].steps
    for field in {field for step in steps for field in step.losses}:
        times = sum(list(step.losses).count(field) for step in steps)
        assert f"Loss  {field}{f' ({times} times)' if times > 1 else ''}: " in losses
    assert "Loss" not in "".join((await played())[1])


@pytest.mark.parametrize(
    ("protocol", "prepare", "expected"),
    [
        (
            "ocpp1.5s",
            in_charge_point("UnlockConnector", lambda _: {"status": "Rejected"}),
            'answer given.status = "Accepted"',
        ),
        ("ocpp1.2s", in_central_system("MeterValues", refusing), "an answer"),
    ],
)
async def test_a_broken_step_of_an_older_session_is_named(protocol: str, prepare: Prepare, expected: str) -> None:
    code, said = await played(prepare, protocol)
    assert code == 1
    failure = next(number for number, line in enumerate(said) if line.startswith("FAILED"))
    assert said[failure + 1] == f"  expected  {expected}"


async def test_what_it_shows_of_the_log_gets_into_no_other(caplog: pytest.LogCaptureFixture) -> None:
    traffic = logging.getLogger("bridge.traffic")
    before = (traffic.level, list(traffic.filters))
    with caplog.at_level(logging.ERROR, "bridge"):
        assert (await played(protocol="ocpp1.5s"))[0] == 0
    assert caplog.records == []
    assert (traffic.level, list(traffic.filters)) == before


# Staying up


async def test_the_charge_point_goes_on_living() -> None:
    said: list[str] = []
    enough, tasks = asyncio.Event(), Tasks()

    def say(line: str) -> None:
        said.append(line)
        if "MeterValues, " in line and "  CP -> CS  " in line:
            enough.set()

    tasks.spawn(run(Demo(say=say, every=0.0), once=False), name="demo")
    async with asyncio.timeout(30):
        await enough.wait()
    await tasks.close()
    life = [line.split("  ")[1:] for line in said[said.index("") :] if line[2:3] == ":"]
    assert [(way, what.partition(",")[0]) for way, what in life[:2]] == [
        ("CP -> CS", "Heartbeat"),
        ("CP -> CS", "MeterValues"),
    ]


async def test_a_sign_of_life_that_fails_is_told() -> None:
    said: list[str] = []

    def prepare(central_system: JsonCentralSystem, _: SoapChargePoint) -> None:
        beats = iter([{"currentTime": "2026-01-02T03:04:05Z"}])

        def beat(_: Payload) -> Payload:
            for answer in beats:
                return answer
            raise CallRefused("InternalError", "once is enough")

        central_system.behaviour["Heartbeat"] = beat

    told, tasks = asyncio.Event(), Tasks()

    def say(line: str) -> None:
        said.append(line)
        if "once is enough" in line and line.startswith("  a refusal"):
            told.set()

    tasks.spawn(run(Demo(say=say, prepare=prepare, every=0.0), once=False), name="demo")
    async with asyncio.timeout(30):
        await told.wait()
    await tasks.close()
    assert "  a refusal, Receiver/InternalError: InternalError: once is enough" in said


# Broken steps


@pytest.mark.parametrize(
    ("prepare", "step", "expected", "came"),
    [
        (in_central_system("Authorize", refusing), "step 6 of 23, Authorize", "an answer", "out of order"),
        (
            in_central_system("Authorize", lambda _: {"idTagInfo": {"status": "Blocked"}}),
            "step 6 of 23, Authorize",
            'answer.idTagInfo.status = "Accepted"',
            'answer.idTagInfo.status = "Blocked"',
        ),
        (
            lambda central_system, _: central_system.behaviour.pop("MeterValues"),
            "step 11 of 23, MeterValues, reading 1 (CP -> CS)",
            "an answer",
            "NotImplemented",
        ),
        (
            in_charge_point("ChangeConfiguration", lambda _: {"status": "Rejected"}),
            "step 8 of 23, ChangeConfiguration (CS -> CP)",
            'answer.status = "Accepted"',
            'answer.status = "Rejected"',
        ),
        (
            in_charge_point("TriggerMessage", lambda _: {"status": "Nonsense"}),
            "step 16 of 23, TriggerMessage",
            "an answer",
            "no answer to this Call in SOAP",
        ),
        (
            in_central_system("FirmwareStatusNotification", lambda _: {}),
            "step 22 of 23",
            "a refusal, Receiver/NotSupported",
            "{}",
        ),
        (
            in_central_system("FirmwareStatusNotification", refusing),
            "step 22 of 23",
            "Receiver/NotSupported",
            "Receiver/InternalError",
        ),
    ],
)
async def test_a_broken_step_is_named_and_the_exit_code_is_1(
    prepare: Prepare, step: str, expected: str, came: str
) -> None:
    code, said = await played(prepare)
    assert code == 1
    at = next(number for number, line in enumerate(said) if line.startswith("FAILED"))
    failure = said[at:]
    assert step in failure[0]
    assert failure[1].startswith(f"  expected  {expected}")
    assert failure[2].startswith("  came      ")
    assert came in " ".join(failure[2:])


async def test_what_the_specification_does_not_allow_is_a_failure() -> None:
    def prepare(central_system: JsonCentralSystem, _: SoapChargePoint) -> None:
        central_system.violations.append("a frame of two kinds")

    code, said = await played(prepare)
    assert (code, said[-1]) == (1, "  came      a frame of two kinds")


# What is checked


def message(at: float = 1.0) -> WireMessage:
    return WireMessage(
        direction="received", party="central_system", text="[]", action="X", unique_id="1", kind="call", at=at
    )


STEP = ScenarioStep(action="X", upwards=True, answer={"status": "Accepted"})
WELL = Played(
    arrives={"a": ["x", 16.0], "t": "2026-01-02T03:04:05Z"},
    outcome={"status": "Accepted", "n": Decimal("1.0")},
    taken=[
        Taken(
            request={"a": ["x", Decimal("16.0")], "t": "2026-01-02T04:04:05.000+01:00"},
            answer={"status": "Accepted", "n": 1},
        )
    ],
    messages=[message()] * 4,
)


def test_equal_values_may_be_written_differently() -> None:
    assert failure_of(STEP, WELL) is None


@pytest.mark.parametrize(
    ("change", "expected", "came"),
    [
        ({"arrives": {"a": ["y", 16], "t": WELL.arrives["t"]}}, 'request.a[0] = "y"', 'request.a[0] = "x"'),
        ({"arrives": {**WELL.arrives, "b": "230.10"}}, 'request.b = "230.10"', "request.b = nothing"),
        ({"arrives": {"a": ["x"], "t": WELL.arrives["t"]}}, 'request.a = ["x"]', 'request.a = ["x", "16.0"]'),
        ({"outcome": {"status": "Accepted", "n": 2}}, "answer.n = 1", "answer.n = 2"),
        ({"outcome": TimeoutError("too long")}, "an answer", "TimeoutError: too long"),
        ({"taken": []}, "the request, once, at the far side", "0 of it"),
        (
            {"taken": [Taken(request=WELL.arrives, answer=CallRefused("E", "no"))]},
            "the refusal, E: no",
            '{"status": "Accepted", "n": "1.0"}',
        ),
        ({"messages": []}, "a request and an answer on both sides", "0 messages"),
        ({"not_before": 2.0}, "the answer to the command, then what it triggers", "them the other way round"),
        ({"violations": ["v"]}, "messages that the specification allows", "v"),
        ({"losses": ["XRequest.b", "XRequest.a"]}, "losses: none", "XRequest.a, XRequest.b"),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], expected: str, came: str) -> None:
    assert failure_of(STEP, replace(WELL, **change)) == CheckFailure(expected=expected, came=came)


def test_a_refusal_is_compared_with_its_details() -> None:
    refusal = ExpectedRefusal(raised=CallRefused("E"), arrives="E: no", holds={"a": 1})
    step = replace(STEP, refusal=refusal)
    refused = replace(WELL, outcome=CallRefused("E", "no", {"a": 1}))
    assert failure_of(step, refused) is None
    other = replace(WELL, outcome=CallRefused("E", "no", {"a": 2}))
    assert failure_of(step, other) == CheckFailure(expected="details.a = 1", came="details.a = 2")


def test_a_step_that_is_not_sent_ends_at_the_gateway() -> None:
    step = replace(STEP, upwards=False, unsent=True, losses=["XRequest"])
    unsent = replace(WELL, taken=[], messages=[message()] * 2, losses=["XRequest"])
    assert failure_of(step, unsent) is None
    assert failure_of(step, replace(unsent, taken=WELL.taken)) == CheckFailure(
        expected="no request at the far side", came="1 of it"
    )
    assert failure_of(step, replace(unsent, messages=[message()] * 4)) == CheckFailure(
        expected="a request and an answer", came="4 messages"
    )
    assert failure_of(step, replace(unsent, losses=[])) == CheckFailure(expected="losses: XRequest", came="none")


def test_an_answer_may_be_given_in_other_words_than_it_is_told_in() -> None:
    step = replace(STEP, answer={"status": "Unlocked"}, given={"status": "Accepted"})
    told = replace(WELL, outcome={"status": "Unlocked"})
    assert failure_of(step, told) is None
    other = replace(step, given={"status": "Rejected"})
    expected = CheckFailure(expected='answer given.status = "Rejected"', came='answer given.status = "Accepted"')
    assert failure_of(other, told) == expected


def test_text_is_no_number_and_true_is_not_1() -> None:
    assert normal("1.0") != normal("1.00")
    assert normal("2026-13-02T03:04:05Z") == "2026-13-02T03:04:05Z"
    assert normal(True) != normal(1)
    assert normal(1) == normal(1.0) == normal(Decimal("1.00"))


# Data


def test_later_is_filled_in() -> None:
    template = {"id": Later.TRANSACTION, "list": [{"at": Later.NOW}], "text": "Later.NOW"}
    noon = "2026-01-02T12:00:00Z"
    assert filled(template, 7, noon) == {"id": 7, "list": [{"at": noon}], "text": "Later.NOW"}


def test_the_settings_are_the_defaults_but_for_the_ports() -> None:
    settings = settings_for(Ports(soap=1, admin=2, websocket=3, central_system=4))
    assert (str(settings.soap[0].listen), settings.soap[0].public_url) == ("127.0.0.1:1", "http://127.0.0.1:1")
    assert (settings.admin.listen.port, settings.websocket[0].listen.port, settings.store.url) == (2, 3, "memory:")
    assert settings.central_systems["main"].url == "ws://127.0.0.1:4/ocpp"


def test_free_ports_differ() -> None:
    ports = Ports(soap=0, admin=0, websocket=0, central_system=0, charge_point=0).free()
    assert len(set(astuple(ports))) == 5
    assert list(ports.moved(ports)) == []
