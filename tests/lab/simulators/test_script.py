"""Scripts: what is read from a file, and what is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ocpp.messages import Call

import bridge
from bridge.lab.simulators import envelope, json_frame
from bridge.lab.simulators.answers import CentralSystemAnswers
from bridge.lab.simulators.script import DEFAULT_SCRIPT, ScriptError, Send, Step, Wait, read_script, run_script
from bridge.lab.simulators.wire import CallRefused, Payload, answer_of, now


class Recorder:
    """A Charge Point without a wire: what it is to send, answered at once."""

    def __init__(self, *failures: Exception) -> None:
        self.behaviour = CentralSystemAnswers().table()
        self.failures = list(failures)
        self.sent: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, action: str, payload: Mapping[str, Any], /) -> Payload:
        self.sent.append((action, payload))
        if self.failures:
            raise self.failures.pop(0)
        return await answer_of(self.behaviour[action], dict(payload))


def run(charge_point: Recorder, steps: list[Step]) -> tuple[bool, list[str]]:
    said: list[str] = []
    return asyncio.run(run_script(charge_point, steps, said.append)), said


def test_a_script_is_read_line_by_line() -> None:
    text = '# a session\n\n  Heartbeat\nwait 0.5\nAuthorize   {"idTag": "# é"}  \n'
    assert read_script(text, "x") == [
        Send(action="Heartbeat", payload={}),
        Wait(seconds=0.5),
        Send(action="Authorize", payload={"idTag": "# é"}),
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("heartbeat", "'heartbeat' is neither an Action nor wait"),
        ("[]", "neither an Action nor wait"),
        ('Authorize {"idTag": }', "the payload of Authorize is not JSON: Expecting value at character 11 of it"),
        ("Authorize []", "the payload of Authorize is not a JSON object"),
        ("wait", "wait needs a number of seconds, not ''"),
        ("wait long", "not 'long'"),
        ("wait -1", "not '-1'"),
        ("wait nan", "not 'nan'"),
        ("wait inf", "not 'inf'"),
    ],
)
def test_an_error_names_the_file_and_the_line(line: str, error: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read_script(f"Heartbeat\n# x\n{line}\n", "night.txt")
    assert str(caught.value).startswith("night.txt:3: ")
    assert error in str(caught.value)


def test_the_built_in_session_is_answered_and_fits_the_schemas() -> None:
    charge_point = Recorder()
    well, said = run(charge_point, read_script(DEFAULT_SCRIPT, "built in"))
    assert well
    assert len(said) == len(charge_point.sent)
    assert charge_point.sent[0][0] == "BootNotification"
    for action, payload in charge_point.sent:
        assert json_frame.complaint(Call("1", action, payload)) is None
    stop = next(payload for action, payload in charge_point.sent if action == "StopTransaction")
    assert stop["transactionId"] == 1
    assert stop["transactionData"][0]["timestamp"].endswith("Z")


def test_the_built_in_session_fits_the_wsdl() -> None:
    wsdl = Path(bridge.__file__).parents[1] / "wsdl" / "ocpp16" / "CentralSystemService.wsdl"
    service = envelope.load(wsdl)
    for step in read_script(DEFAULT_SCRIPT.replace('"$transactionId"', "7").replace("$now", now()), "built in"):
        assert isinstance(step, Send)
        written = service.encode(step.action, step.payload, envelope.EnvelopeHeaders(), is_request=True)
        assert service.decode(envelope.parsed(written)).action == step.action


START = Send(action="StartTransaction", payload={"connectorId": 1, "idTag": "a", "timestamp": "$now", "meterStart": 0})
METER = Send(action="MeterValues", payload={"transactionId": "$transactionId", "note": "costs $now"})


def test_the_last_transaction_is_meant() -> None:
    charge_point = Recorder()
    assert run(charge_point, [METER, START, METER, START, METER])[0]
    ids = [payload["transactionId"] for action, payload in charge_point.sent if action == "MeterValues"]
    assert ids == [-1, 1, 2]
    assert charge_point.sent[0][1]["note"] == "costs $now"


def test_a_start_without_an_answer_leaves_no_transaction() -> None:
    charge_point = Recorder()
    charge_point.behaviour["StartTransaction"] = lambda _: {"transactionId": 5}
    steps: list[Step] = [START, START, METER]

    def fail(_: Payload) -> Payload:
        raise CallRefused("InternalError")

    assert run(charge_point, steps[:1] + steps[2:])[0]
    charge_point.behaviour["StartTransaction"] = fail
    assert not run(charge_point, steps)[0]
    assert charge_point.sent[-1][1]["transactionId"] == -1


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (
            CallRefused("Receiver", "nobody there", subcode="InternalError"),
            "refused, Receiver/InternalError: nobody there",
        ),
        (ConnectionError("no way"), "no answer, no way"),
        (TimeoutError("too late"), "no answer, too late"),
        (ValueError("odd payload"), "no answer, odd payload"),
    ],
)
def test_a_step_that_fails_is_told_and_the_rest_is_done(failure: Exception, line: str) -> None:
    heartbeat = Send(action="Heartbeat", payload={})
    well, said = run(Recorder(failure), [heartbeat, Wait(seconds=0), heartbeat])
    assert not well
    assert said[:2] == [f"Heartbeat: {line}", "wait 0 s"]
    assert said[2].startswith('Heartbeat: {"currentTime": "')


def test_a_decimal_in_an_answer_can_be_told() -> None:
    charge_point = Recorder()
    charge_point.behaviour["Heartbeat"] = lambda _: {"limit": Decimal("6.1")}
    assert run(charge_point, [Send(action="Heartbeat", payload={})])[1] == ['Heartbeat: {"limit": 6.1}']
