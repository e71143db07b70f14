"""Who watches the traffic: all are told the same facts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from bridge.core.commands import Drop, Exchange, Outcome, Report
from bridge.core.observed import Observed
from bridge.errors import BridgeError, ErrorCode, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot, DeviceProfile
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.wire import Octets, Wires
from bridge.watching.audience import Audience
from bridge.watching.facts import (
    AnswerDropped,
    AnswerKept,
    CallAnswered,
    CallbackChanged,
    CallbackRefused,
    CallEnded,
    ChargePointMoved,
    ChargePointRemoved,
    ContentLost,
    Fact,
    FrameRelayed,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
    MessageRefused,
    ProfileApplied,
    ProxyFieldsIgnored,
    RequestsUnread,
    ShadowAnswered,
)

FRAME = Octets("json", 1.0, b"[]")
CS = Party.CENTRAL_SYSTEM
BUSY = BridgeError(ErrorCode.InternalError, "the bridge is busy", why=Why.BUSY)
HEARTBEAT_CONF = HeartbeatResponse(currentTime="2026-11-29T08:15:00Z")
ANSWER = CallResult(unique_id="1", payload=HEARTBEAT_CONF)
REPORT = Report(
    sender=Party.CHARGE_POINT,
    call=Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest(), wires=Wires(FRAME)),
    outcome=Outcome.RESULT,
    arrived=1.0,
    ended=2.0,
    answer=ANSWER,
)
FACTS: tuple[Fact, ...] = (
    CallEnded("CP 1", REPORT),
    AnswerKept("CP 1", Observed(key="7", observers=("ems",), action="Heartbeat", request=b"{}", answer=b"")),
    CallAnswered("CP 1", "main", Exchange(request=REPORT.call.payload, response=HEARTBEAT_CONF)),
    ContentLost("CP 1", (Loss(message="HeartbeatResponse", path="x", reason=LossReason.FRACTION),)),
    AnswerDropped("CP 1", Drop(party=CS, unique_id="1", reason="late", came=FRAME)),
    MessageRefused.of("CP 1", "192.0.2.1", BUSY, "1", CS, b"[]", Wires(FRAME)),
    FrameRelayed("CP 1", CS, b"[9]"),
    RequestsUnread.of("192.0.2.1", BUSY, 7),
    HandshakeRefused(None, "192.0.2.1", 404, "no route", Why.NO_ROUTE),
    ProxyFieldsIgnored("192.0.2.1", "Forwarded"),
    LinkOpened("CP 1", CS, "main"),
    LinkLost("CP 1", CS, "main", "it hung up"),
    LinkClosed("CP 1", CS, "main", "silent"),
    CallbackRefused("CP 1", "not there"),
    CallbackChanged("CP 1", "http://192.0.2.1/", "http://192.0.2.2/", "192.0.2.1"),
    ChargePointRemoved("CP 1"),
    ChargePointMoved("CP 1", "main", "other", "night desk"),
    ShadowAnswered.of("CP 1", "ems", REPORT.call, ANSWER, CallError(unique_id="7", code="InternalError")),
    ProfileApplied("CP 1", Boot(vendor="V", model="M"), DeviceProfile()),
)


def named(fact: Fact) -> str:
    return type(fact).__name__


class Ear:
    """Writes down all that it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def see(self, fact: Fact) -> None:
        self.heard.append(fact)


class Broken:
    """Has a fault wherever it is told something."""

    def see(self, fact: Fact) -> None:
        raise KeyError(f"a counter of {named(fact)}")


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_kind_of_fact_is_tried_here() -> None:
    assert {type(fact) for fact in FACTS} == set(Fact.__args__)


@pytest.mark.parametrize("fact", FACTS, ids=named)
def test_what_one_is_told_all_are_told(fact: Fact) -> None:
    first, second = Ear(), Ear()
    Audience([first, second]).see(fact)
    assert first.heard == second.heard == [fact]


@pytest.mark.parametrize("fact", FACTS, ids=named)
def test_a_fact_can_go_to_another_process(fact: Fact) -> None:
    assert pickle.loads(pickle.dumps(fact)) == fact


@pytest.mark.parametrize("fact", FACTS, ids=named)
def test_one_that_raises_is_left_out_of_that_fact(fact: Fact, caplog: pytest.LogCaptureFixture) -> None:
    before, after, clock = Ear(), Ear(), Clock()
    audience = Audience([before, Broken(), after], clock=clock)
    for _ in range(3):
        audience.see(fact)
    assert before.heard == after.heard == [fact] * 3
    # The log says which, and why, and does not become a flood of it.
    [line] = [record for record in caplog.records if record.name == "bridge.watching"]
    assert f"Broken at a {named(fact)} failed" in line.getMessage()
    assert line.exc_info is not None and isinstance(line.exc_info[1], KeyError)
    clock.now = 60.0
    audience.see(fact)
    assert "2 more since" in caplog.records[-1].getMessage()
