"""A snapshot, taken at any time and read anywhere, goes on as the Session that it was taken of would have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import TestCase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from msgspec import msgpack, structs

from bridge.core import snapshots
from bridge.core.addresses import CallbackTarget, Learning
from bridge.core.callback import CallbackAddress
from bridge.core.charge_point import ChargePoint
from bridge.core.commands import Command, Keep, SendAnswer, SendCall, SetTimer
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkUp, RecordsKept, TimerFired
from bridge.core.links import SessionTerms, Side
from bridge.core.session import Session
from bridge.core.snapshots import SnapshotError
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.rpc import CallResult
from tests.core.playbook import CP, CS, LEGS, Stage, call_of
from tests.core.samples import start, start_conf
from tests.core.test_session_machine import SETTINGS, SessionMachine

TERMS = SessionTerms()
SOAP, JSON = LEGS["soap-json"]


def session(sides: dict[Any, Side], terms: SessionTerms = TERMS) -> Session:
    return Session(sides, terms, mint=lambda: "minted", chance=lambda: 0.0)


def without_timer(commands: list[Command]) -> list[Command]:
    """A restored Session sets its timer anew with its first event."""
    return [command for command in commands if not isinstance(command, SetTimer)]


class TwinStage(Stage):
    """A Stage whose Session has a twin for each event: one that was restored from a snapshot of the moment before."""

    def tell(self, event: Event) -> list[Command]:
        octets = ChargePoint("CP 1", self.session).snapshot(self.now)
        minted: list[str] = []
        mint = self.session._mint

        def noted() -> str:
            minted.append(mint())
            return minted[-1]

        self.session._mint = noted
        commands = super().tell(event)
        self.session._mint = mint
        again = iter(minted)

        def twin(sides: dict[Any, Side]) -> Session:
            return Session(sides, self.terms, mint=lambda: next(again), chance=self._chance)

        restored = ChargePoint.restore(octets, self.now, twin)
        # Of two equal Calls without fields the referee knows one from the other, so the twin gets the event itself.
        told = restored.session.handle(structs.replace(event, at=self.now))
        assert without_timer(told) == without_timer(commands)
        assert restored.session._due(self.now) == self.session._due(self.now)
        return commands


class SnapshotMachine(SessionMachine):
    """All that can happen to a Session, with a twin for each event."""

    @initialize(replay_boot=st.booleans(), chance=st.sampled_from([0.0, 0.5, 0.99]), heard=st.booleans())
    def begin(self, replay_boot: bool, chance: float, heard: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.core.referee.Stage", TwinStage)
            super().begin(replay_boot, chance, heard)
        assert isinstance(self.referee.stage, TwinStage)


def _machine(leg: str) -> type[TestCase]:
    charge_point, central_system = LEGS[leg]
    machine = type(leg, (SnapshotMachine,), {"charge_point": charge_point, "central_system": central_system})
    case: type[TestCase] = machine.TestCase  # type: ignore[attr-defined]
    case.settings = SETTINGS  # type: ignore[attr-defined]
    return case


TestSoapToJson = _machine("soap-json")
TestJsonToSoap = _machine("json-soap")
TestSoapToSoap = _machine("soap-soap")
TestJsonToJson = _machine("json-json")


def with_a_call_in_flight(at: float) -> tuple[ChargePoint, str]:
    """A SOAP Charge Point whose StartTransaction is out; and the UniqueId that it is out under."""
    point = ChargePoint("CP 1", session({CP: SOAP, CS: JSON}))
    point.callback = CallbackAddress(None, "1.5")
    point.callback.is_new("http://192.0.2.7:8080/", None, "192.0.2.7", "soap")
    point.callback.learn(Learning())
    point.boot, point.shown = Boot(vendor="V", model="M", firmware="1"), "Basic x"
    point.session.handle(LinkUp(at=at, party=CP))
    point.session.handle(LinkUp(at=at, party=CS))
    asked = point.session.handle(CallReceived(at=at + 1, party=CP, key="7/1", call=call_of("his", start())))
    (keep,) = (command for command in asked if isinstance(command, Keep))
    sent = point.session.handle(RecordsKept(at=at + 1, key=keep.key))
    (call,) = (command for command in sent if isinstance(command, SendCall))
    return point, call.call.unique_id


def test_a_call_in_flight_is_answered_by_another_clock() -> None:
    """The clock of the other process is 1024 s ahead: deadlines, and all other times, are moved by that."""
    point, unique_id = with_a_call_in_flight(at=100.0)
    restored = ChargePoint.restore(point.snapshot(102.0), 1126.0, session)
    (timer,) = (command for command in restored.session.handle(TimerFired(at=1126.0)) if isinstance(command, SetTimer))
    assert timer.at == 101.0 + TERMS.call_timeout + 1024.0
    assert restored.session.last_heard == 1125.0
    answer = CallResult(unique_id=unique_id, payload=start_conf(5))
    (keep,) = (
        c for c in restored.session.handle(AnswerReceived(at=1127.0, party=CS, answer=answer)) if isinstance(c, Keep)
    )
    (told,) = (c for c in restored.session.handle(RecordsKept(at=1127.0, key=keep.key)) if isinstance(c, SendAnswer))
    assert (told.party, told.key, told.answer.unique_id) == (CP, "7/1", "his")


def test_what_is_known_beside_the_session_is_there_too() -> None:
    point, _ = with_a_call_in_flight(at=0.0)
    restored = ChargePoint.restore(point.snapshot(2.0), 2.0, session)
    assert (restored.identity, restored.boot, restored.shown) == (point.identity, point.boot, point.shown)
    assert restored.callback is not None and point.callback is not None
    assert isinstance(restored.callback.to, CallbackTarget) and restored.callback.to == point.callback.to
    assert not restored.callback.is_new("http://192.0.2.7:8080/", None, "192.0.2.7", "soap")
    assert restored.snapshot(2.0) == point.snapshot(2.0)


OTHER_PROCESS = """
import sys
from bridge.core.charge_point import ChargePoint
from bridge.core.commands import Keep, SendAnswer
from bridge.core.events import AnswerReceived, RecordsKept
from bridge.core.links import SessionTerms
from bridge.core.session import Session
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import CallError

def session(sides):
    return Session(sides, SessionTerms(), mint=lambda: "minted", chance=lambda: 0.0)

point = ChargePoint.restore(open(sys.argv[1], "rb").read(), 0.0, session)
answer = CallError(unique_id=sys.argv[2], code="GenericError")
for command in point.session.handle(AnswerReceived(at=1.0, party=Party.CENTRAL_SYSTEM, answer=answer)):
    if isinstance(command, SendAnswer):
        print(command.party, command.key, command.answer.code)
"""


def test_another_process_goes_on_with_it(tmp_path: Path) -> None:
    point, unique_id = with_a_call_in_flight(at=50.0)
    (tmp_path / "snapshot").write_bytes(point.snapshot(52.0))
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "snapshot"), unique_id]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "charge_point 7/1 GenericError\n"


@given(st.binary(max_size=200))
def test_other_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(SnapshotError):
        ChargePoint.restore(octets, 0.0, session)


@pytest.mark.parametrize(
    "change",
    [
        {"format": snapshots.FORMAT + 1},
        {"state": ["dict"]},
        {"state": ["class", "Popen", {}]},
        {"state": ["enum", "Party", "nobody"]},
        {"state": ["magic", 1]},
        {"state": 7},
    ],
)
def test_a_snapshot_of_another_version_is_refused(change: dict[str, Any]) -> None:
    point, _ = with_a_call_in_flight(at=0.0)
    document = msgpack.decode(point.snapshot(2.0)) | change
    with pytest.raises(SnapshotError):
        ChargePoint.restore(msgpack.encode(document), 2.0, session)


def test_what_has_no_place_in_a_snapshot_is_not_written() -> None:
    with pytest.raises(TypeError, match="no place in a snapshot"):
        snapshots.write({"x": object()}, 0.0)
