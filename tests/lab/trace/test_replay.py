"""A trace is sent again: at a Central System that answers as then, and at one that does not."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from bridge.app import Gateway
from bridge.lab.demo import stage
from bridge.lab.demo.ports import Ports
from bridge.lab.demo.run import SCENARIOS, Demo
from bridge.lab.demo.run import run as run_demo
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.lab.trace.plan import plan
from bridge.lab.trace.replay import Result, replay
from bridge.ocpps.wsdl import folder_of
from bridge.recorder import Recorder
from bridge.recorder.trace_export import exported
from bridge.recorder.trace_records import Record, write
from tests.lab.trace.samples import call, error, result


async def recorded_demo(protocol: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Record, ...]:
    """The Charge Point's side of the demo's session, as the gateway's recorder has it."""
    told: list[Record] = []
    close = Gateway.close

    async def read_and_close(gateway: Gateway) -> None:
        recorder: Recorder = gateway._recorder
        await recorder.flush()
        items = (await recorder.messages(limit=1000)).items
        whole = [await recorder.message(item.id) for item in reversed(items)]
        told.extend(exported(message for message in whole if message is not None).records)
        await close(gateway)

    monkeypatch.setattr(Gateway, "close", read_and_close)
    demo = Demo(say=lambda _: None, protocol=protocol, ports=Ports().free())
    assert await run_demo(demo, once=True) == 0
    return tuple(told)


def as_in_the_demo(protocol: str, central_system: JsonCentralSystem) -> None:
    """One step of the demo is refused on purpose."""
    for step in SCENARIOS[protocol].steps:
        if step.upwards and step.refusal is not None:
            behaviour = central_system.behaviour[step.action]
            central_system.behaviour[step.action] = stage._refusing(step.payload, step.refusal.raised, behaviour)


async def command(*arguments: str) -> tuple[int, str, str]:
    """`ocpp-bridge` with `arguments`: its exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", *arguments, stdout=PIPE, stderr=PIPE, env=dict(os.environ)
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("protocol", ["ocpp1.6s"])
async def test_the_demo_s_trace_at_a_fresh_central_system(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = await recorded_demo(protocol, monkeypatch)
    assert all(record.transport == "soap" for record in trace)
    file = tmp_path / "demo.jsonl"
    file.write_bytes(b"".join(write(record) + b"\n" for record in trace))
    central_system = JsonCentralSystem()
    as_in_the_demo(protocol, central_system)
    async with central_system:
        code, out, err = await command("replay", str(file), "--to", central_system.url, "--fast")
        assert (code, err) == (0, ""), out
        assert "answers compared: no difference" in out
        assert not central_system.violations
        sent = [action for _, action, _ in central_system.received]
        assert sent == [step.action for step in SCENARIOS[protocol].steps if step.upwards]
        central_system.behaviour["Heartbeat"] = lambda _: {"currentTime": "noon"}
        central_system.behaviour["Authorize"] = lambda _: {"idTagInfo": {"status": "Blocked"}}
        code, out, err = await command("replay", str(file), "--to", central_system.url, "--fast")
        assert code == 1
        assert "    idTagInfo.status: was 'Accepted', is 'Blocked'" in out.splitlines()
        assert "2 differ" in out


TRACE = [
    call(
        "1",
        "StartTransaction",
        {"connectorId": 1, "idTag": "***", "meterStart": 1, "timestamp": "2026-01-01T00:00:00Z"},
    ),
    result("1", {"transactionId": 1000, "idTagInfo": {"status": "Accepted"}}),
    call("2", "MeterValues", {"connectorId": 1, "transactionId": 1000, "meterValue": []}, second=1),
    result("2", second=1),
    call("c", "RemoteStopTransaction", {"transactionId": 1000}, second=2, up=False),
    result("c", {"status": "Rejected"}, second=2, up=False),
    call("d", "Reset", {"type": "Hard"}, second=2, up=False),
    error("d", "NotSupported", second=2, up=False),
    call(
        "3", "StopTransaction", {"transactionId": 1000, "meterStop": 2, "timestamp": "2026-01-01T00:00:09Z"}, second=3
    ),
    result("3", second=3),
    call("4", "Heartbeat", second=4),
]


class Script:
    """A Charge Point without a wire: what it is to be answered, by the action, and what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.behaviour: dict[str, Any] = {}
        self.sent: list[tuple[str, Payload]] = []
        self._answers = answers

    async def call(self, action: str, payload: Any) -> Payload:
        self.sent.append((action, payload))
        answer = self._answers.get(action, {})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


async def replayed(script: Script, trace: list[Record]) -> tuple[Result, list[str]]:
    said: list[str] = []
    return await replay(plan(trace), script, said.append, speed=None), said


async def test_transaction_ids_are_those_of_now() -> None:
    script = Script(StartTransaction={"transactionId": 7, "idTagInfo": {"status": "Accepted"}})
    told, said = await replayed(script, TRACE)
    assert [payload.get("transactionId") for _, payload in script.sent] == [None, 7, 7, None]
    assert (told.same, told.different, told.without) == (3, 0, 1)
    assert said[-1] == "Heartbeat: {} (it was not answered then)"


async def test_what_is_answered_otherwise_is_said() -> None:
    script = Script(
        StartTransaction={"transactionId": 7, "idTagInfo": {"status": "Invalid"}},
        MeterValues=CallRefused("NotSupported", "no"),
        StopTransaction=ConnectionError("gone"),
    )
    told, said = await replayed(script, TRACE)
    assert (told.same, told.different) == (0, 3)
    assert said[:6] == [
        "StartTransaction: answered otherwise",
        "    idTagInfo.status: was 'Accepted', is 'Invalid'",
        "MeterValues: answered otherwise",
        "    the answer: was {}, is NotSupported: no",
        "StopTransaction: answered otherwise",
        "    the answer: was {}, is no answer: gone",
    ]


async def test_a_refusal_by_the_same_code_is_the_same() -> None:
    trace = [call("1", "Heartbeat"), error("1", "GenericError")]
    told, _ = await replayed(Script(Heartbeat=CallRefused("GenericError", "another text")), trace)
    assert (told.same, told.different) == (1, 0)


async def test_commands_are_answered_as_recorded() -> None:
    async with JsonCentralSystem() as central_system:
        charge_point = JsonChargePoint(url=central_system.url, identity="CP 1")
        async with charge_point:
            told = await replay(plan(TRACE[4:]), charge_point, lambda _: None, speed=None)
            stop = await central_system.call("CP 1", "RemoteStopTransaction", {"transactionId": 5})
            assert stop == {"status": "Rejected"}
            with pytest.raises(CallRefused, match="NotSupported"):
                await central_system.call("CP 1", "Reset", {"type": "Hard"})
            assert told.commands == 2


async def test_the_time_between_calls_is_kept() -> None:
    waited: list[float] = []
    original = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(round(seconds * 100))
        await original(0)

    asyncio.sleep = sleep  # type: ignore[assignment]
    try:
        await replay(plan(TRACE), Script(), lambda _: None, speed=100.0)
    finally:
        asyncio.sleep = original
    assert waited == [0, 1, 3, 4]


async def test_over_soap(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    trace = [call("1", "Heartbeat"), result("1", {"currentTime": "2026-01-01T00:00:00Z"})]
    file.write_bytes(b"".join(write(record) + b"\n" for record in trace))
    async with SoapCentralSystem(wsdl=folder_of("1.6")) as central_system:
        code, out, err = await command("replay", str(file), "--to", central_system.url, "--identity", "CP 9")
        assert (code, err) == (0, ""), out
        assert out.splitlines() == ["Heartbeat: as then", "1 answers compared: no difference"]


@pytest.mark.parametrize(
    ("text", "to", "complaint"),
    [
        ("{", "ws://127.0.0.1:9", "1: "),
        ("", "ws://127.0.0.1:9", "it holds no CALL to be sent"),
        ("", "ftp://h", "expected ws://, wss://, http:// or https:// and a host"),
    ],
)
async def test_bad_usage(text: str, to: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(text)
    code, _, err = await command("replay", str(file), "--to", to)
    assert code == 2 and complaint in err
