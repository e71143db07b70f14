"""Promise 1 under every order of events, for each combination of sides (DESIGN section 9).

Hypothesis makes things happen; tests.core.referee says foul. Frozen records without fields are equal but not the same:
every payload here is made anew, because that is how the Referee knows one Call from another.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import TestCase

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.core.commands import OpenLink
from bridge.core.events import AnswerReceived, CallReceived, LinkDown, LinkUp
from bridge.core.session import Side, Terms
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.messages import (
    BootNotificationRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    Request,
    TriggerMessageRequest,
)
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered
from tests.core.playbook import (
    CP,
    CS,
    JSON_CENTRAL_SYSTEM,
    JSON_CHARGE_POINT,
    SOAP_CENTRAL_SYSTEM,
    SOAP_CHARGE_POINT,
    call_of,
)
from tests.core.referee import Referee, all_ended
from tests.core.samples import NOW, boot_conf, data

PARTIES = st.sampled_from(Party)
# So few that they clash.
KEYS = st.sampled_from(["a", "b", "c"])
SECONDS = st.sampled_from([0.0, 0.3, 0.7, 1.0, 3.0, 10.0, 29.0, 30.0, 100.0, 1000.0])
REQUESTS: dict[Party, dict[str, Callable[[], Request]]] = {
    CP: {
        "Heartbeat": HeartbeatRequest,
        "BootNotification": lambda: BootNotificationRequest(chargePointVendor="Vendor", chargePointModel="Model"),
        "other": lambda: data("from the Charge Point"),
    },
    CS: {
        "Heartbeat": lambda: TriggerMessageRequest(requestedMessage=MessageTrigger.Heartbeat),
        "BootNotification": lambda: TriggerMessageRequest(requestedMessage=MessageTrigger.BootNotification),
        "other": lambda: data("from the Central System"),
    },
}
ANSWERS: dict[str, Callable[[str], Answer]] = {
    "result": lambda unique_id: CallResult(unique_id=unique_id, payload=HeartbeatResponse(currentTime=NOW)),
    "interval": lambda unique_id: CallResult(unique_id=unique_id, payload=boot_conf(10)),
    "error": lambda unique_id: CallError(unique_id=unique_id, code=ErrorCode.GenericError, description="no"),
    "nothing": lambda unique_id: Unanswered(unique_id=unique_id, reason="HTTP 502"),
}
KINDS = st.sampled_from(["Heartbeat", "BootNotification", "other"])


class SessionMachine(RuleBasedStateMachine):
    """What can happen to a Session: anything that can, at any time."""

    charge_point: Side
    central_system: Side

    @initialize(replay_boot=st.booleans(), chance=st.sampled_from([0.0, 0.5, 0.99]), heard=st.booleans())
    def begin(self, replay_boot: bool, chance: float, heard: bool) -> None:
        terms = Terms(replay_boot=replay_boot, idle_default=200.0)
        self.referee = Referee(self.charge_point, self.central_system, terms, chance=lambda: chance)
        for party, side in self.referee.stage.sides.items():
            if heard and not side.dialable:
                self.referee.happen(LinkUp(at=0, party=party))

    @rule(party=PARTIES, key=KEYS, kind=KINDS)
    def a_call(self, party: Party, key: str, kind: str) -> None:
        if self.referee.can_call(party):
            call = call_of(f"{party}-{key}", REQUESTS[party][kind]())
            self.referee.happen(CallReceived(at=0, party=party, key=key, call=call))

    @rule(party=PARTIES, kind=st.sampled_from([*ANSWERS]))
    def the_answer(self, party: Party, kind: str) -> None:
        out = self.referee.out[party]
        if out is not None:
            self.answered(party, ANSWERS[kind](out.hop_id))

    @rule(party=PARTIES, number=st.integers(0, 12), kind=st.sampled_from([*ANSWERS]))
    def an_answer(self, party: Party, number: int, kind: str) -> None:
        """Late, twice, to nothing, from the wrong party; or by chance the right one."""
        self.answered(party, ANSWERS[kind](f"h{number}"))

    def answered(self, party: Party, answer: Answer) -> None:
        carried = self.referee.stage.sides[party].carries_answers
        if carried and (self.referee.link[party] != "up" or isinstance(answer, Unanswered)):
            return
        before = {sender: len(arrivals) for sender, arrivals in self.referee.progress.items()}
        self.referee.happen(AnswerReceived(at=0, party=party, answer=answer))
        after = {sender: len(arrivals) for sender, arrivals in self.referee.progress.items()}
        assert after[party] == before[party], "an answer ended a Call of the party that gave it"
        assert before[party.other] - after[party.other] in (0, 1)

    @rule(party=PARTIES)
    def a_link_comes(self, party: Party) -> None:
        side, link = self.referee.stage.sides[party], self.referee.link[party]
        comes = link == "opening" if side.dialable else link == "down" or not side.carries_answers
        if comes:
            self.referee.happen(LinkUp(at=0, party=party))

    @rule(party=PARTIES, kind=st.sampled_from(["lost", "undelivered", "stale"]))
    def a_link_goes(self, party: Party, kind: str) -> None:
        if self.referee.link[party] == "down":
            return
        out = self.referee.out[party]
        undelivered = out.hop_id if kind == "undelivered" and out is not None else "h1" if kind == "stale" else None
        self.referee.happen(LinkDown(at=0, party=party, reason="gone", undelivered=undelivered))

    @rule(seconds=SECONDS)
    def time_goes_by(self, seconds: float) -> None:
        for _ in self.referee.wait(seconds):
            pass

    @rule(seconds=st.sampled_from([3.0, 10.0, 40.0]))
    def an_outage(self, seconds: float) -> None:
        """Whoever is dialled does not answer."""
        end = self.referee.now + seconds
        for party, side in self.referee.stage.sides.items():
            if side.dialable and self.referee.link[party] != "down":
                self.referee.happen(LinkDown(at=0, party=party, reason="gone"))
        while self.referee.stage.alarm is not None and self.referee.stage.alarm <= end:
            self.until_the_timer_in_vain()
        self.time_goes_by(end - self.referee.now)

    def until_the_timer_in_vain(self) -> None:
        """Whoever is dialled then does not answer."""
        assert self.referee.stage.alarm is not None
        for commands in self.referee.wait(self.referee.stage.alarm - self.referee.now):
            if OpenLink(party=CS) in commands:
                self.referee.happen(LinkDown(at=0, party=CS, reason="nobody there"))

    @rule()
    def until_the_timer(self) -> None:
        if self.referee.stage.alarm is not None:
            self.time_goes_by(self.referee.stage.alarm - self.referee.now)

    @invariant()
    def who_waits_can_be_answered(self) -> None:
        for party, arrivals in self.referee.progress.items():
            assert all(arrival.excused or self.referee.can_call(party) for arrival in arrivals)

    def teardown(self) -> None:
        """Everybody leaves. When all timers ran out nothing is in progress, nor will anything happen any more."""
        if not hasattr(self, "referee"):
            return
        self.time_goes_by(self.referee.stage.terms.call_timeout)
        assert all_ended(self.referee)
        for party, side in self.referee.stage.sides.items():
            if self.referee.link[party] == "opening" or (side.carries_answers and self.referee.link[party] == "up"):
                self.referee.happen(LinkDown(at=0, party=party, reason="the end"))
        for _ in range(100):
            if self.referee.stage.alarm is None:
                break
            self.until_the_timer_in_vain()
        else:
            raise AssertionError("the Session never comes to rest")
        assert all_ended(self.referee)


# A step costs little, and the corners are deep.
SETTINGS = settings(max_examples=4 * settings().max_examples, stateful_step_count=40)


def _machine(name: str, charge_point: Side, central_system: Side) -> type[TestCase]:
    machine = type(name, (SessionMachine,), {"charge_point": charge_point, "central_system": central_system})
    case: type[TestCase] = machine.TestCase  # type: ignore[attr-defined]
    case.settings = SETTINGS  # type: ignore[attr-defined]
    return case


TestSoapToJson = _machine("SoapToJson", SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
TestJsonToSoap = _machine("JsonToSoap", JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
TestSoapToSoap = _machine("SoapToSoap", SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
TestJsonToJson = _machine("JsonToJson", JSON_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
