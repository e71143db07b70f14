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
from bridge.core.events import AnswerReceived, CallReceived, LinkDown, LinkUp, RecordsKept, Resumed
from bridge.core.links import SessionTerms, Side
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.messages import (
    BootNotificationRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    MeterValuesRequest,
    RemoteStopTransactionRequest,
    Request,
    Response,
    StartTransactionRequest,
    StopTransactionRequest,
    TriggerMessageRequest,
)
from bridge.ocpp.rpc import Answer, CallError, CallResult, Failure, Unanswered
from tests.core.playbook import CP, CS, LEGS, call_of
from tests.core.referee import Referee, all_ended
from tests.core.samples import NOW, STOP_CONF, boot_conf, data, start, start_conf, stop

PARTIES = st.sampled_from(Party)
NARROW, WIDE, WIDER = 7, 2**31, -(2**40)
# So few that they clash.
KEYS = st.sampled_from(["a", "b", "c"])
SECONDS = st.sampled_from([0.0, 0.3, 0.7, 1.0, 3.0, 10.0, 29.0, 30.0, 100.0, 1000.0])
REQUESTS: dict[Party, dict[str, Callable[[], Request]]] = {
    CP: {
        "Heartbeat": HeartbeatRequest,
        "BootNotification": lambda: BootNotificationRequest(chargePointVendor="Vendor", chargePointModel="Model"),
        "other": lambda: data("from the Charge Point"),
        "start": start,
        "another": lambda: start(connector=2),
        "stop": lambda: stop(NARROW),
        "meter values": lambda: MeterValuesRequest(connectorId=1, meterValue=()),
    },
    CS: {
        "Heartbeat": lambda: TriggerMessageRequest(requestedMessage=MessageTrigger.Heartbeat),
        "BootNotification": lambda: TriggerMessageRequest(requestedMessage=MessageTrigger.BootNotification),
        "other": lambda: data("from the Central System"),
        "start": lambda: RemoteStopTransactionRequest(transactionId=WIDE),
        "another": lambda: RemoteStopTransactionRequest(transactionId=WIDER),
        "stop": lambda: RemoteStopTransactionRequest(transactionId=NARROW),
        "meter values": lambda: data("from the Central System, too"),
    },
}
KINDS = st.sampled_from([*REQUESTS[CP]])
ANSWERS = st.sampled_from(["result", "error", "nothing", "away"])
TRANSACTION_IDS = st.sampled_from([NARROW, WIDE, WIDER])


def answer_to(request: Request | None, kind: str, unique_id: str, transaction_id: int) -> Answer:
    """As the codecs give it: a CallResult is of the Call's own kind."""
    if kind == "error":
        return CallError(unique_id=unique_id, code=ErrorCode.GenericError, description="no")
    if kind in ("nothing", "away"):
        failure = Failure.UNREACHABLE if kind == "away" else Failure.MISCONFIGURED
        return Unanswered(unique_id=unique_id, reason=kind, failure=failure)
    payload: Response = HeartbeatResponse(currentTime=NOW)
    match request:
        case BootNotificationRequest():
            payload = boot_conf(10)
        case StartTransactionRequest():
            payload = start_conf(transaction_id)
        case StopTransactionRequest():
            payload = STOP_CONF
    return CallResult(unique_id=unique_id, payload=payload)


class SessionMachine(RuleBasedStateMachine):
    """What can happen to a Session: anything that can, at any time."""

    charge_point: Side
    central_system: Side

    @initialize(replay_boot=st.booleans(), chance=st.sampled_from([0.0, 0.5, 0.99]), heard=st.booleans())
    def begin(self, replay_boot: bool, chance: float, heard: bool) -> None:
        terms = SessionTerms(replay_boot=replay_boot, idle_default=200.0)
        self.referee = Referee(self.charge_point, self.central_system, terms, chance=lambda: chance)
        for party, side in self.referee.stage.sides.items():
            if heard and not side.dialable:
                self.referee.happen(LinkUp(at=0, party=party))

    @rule(party=PARTIES, key=KEYS, kind=KINDS, instead=st.booleans())
    def a_call(self, party: Party, key: str, kind: str, instead: bool = False) -> None:
        """What a version lacks is only known of one that speaks SOAP."""
        if self.referee.can_call(party):
            call = call_of(f"{party}-{key}", REQUESTS[party][kind]())
            instead = instead and not self.referee.stage.sides[party.other].carries_answers
            self.referee.happen(CallReceived(at=0, party=party, key=key, call=call, instead=instead))

    @rule(name=st.integers(0, 3), key=KEYS)
    def a_transaction_of_another_name_is_stopped(self, name: int, key: str) -> None:
        """The Charge Point knows it by what it was told."""
        names = [*self.referee.names.values()]
        if names and self.referee.can_call(CP):
            call = call_of(f"{CP}-{key}", stop(names[name % len(names)]))
            self.referee.happen(CallReceived(at=0, party=CP, key=key, call=call))

    @rule(party=PARTIES, kind=ANSWERS, transaction_id=TRANSACTION_IDS)
    def the_answer(self, party: Party, kind: str, transaction_id: int) -> None:
        out = self.referee.out[party]
        if out is not None:
            self.answered(party, kind, out.hop_id, transaction_id)

    @rule(party=PARTIES, number=st.integers(0, 12), kind=ANSWERS, transaction_id=TRANSACTION_IDS)
    def an_answer(self, party: Party, number: int, kind: str, transaction_id: int) -> None:
        """Late, twice, to nothing, from the wrong party; or by chance the right one."""
        self.answered(party, kind, f"h{number}", transaction_id)

    def answered(self, party: Party, kind: str, unique_id: str, transaction_id: int) -> None:
        out = self.referee.out[party]
        asked = None if out is None or out.hop_id != unique_id or out.arrival is None else out.arrival.call.payload
        lost = (self.referee.lost | self.referee.posts).get(unique_id) if party is CS else None
        answer = answer_to(asked if lost is None else lost.call.payload, kind, unique_id, transaction_id)
        carried = self.referee.stage.sides[party].carries_answers
        if carried and (self.referee.link[party] != "up" or isinstance(answer, Unanswered)):
            return
        before = {sender: len(arrivals) for sender, arrivals in self.referee.progress.items()}
        self.referee.happen(AnswerReceived(at=0, party=party, answer=answer))
        after = {sender: len(arrivals) for sender, arrivals in self.referee.progress.items()}
        if kind != "away":  # then its own Calls end with the connection of the Charge Point
            assert after[party] == before[party], "an answer ended a Call of the party that gave it"
        if not isinstance(answer, CallResult) or asked is None:
            return
        gone = before[party.other] - after[party.other]
        kept = (StartTransactionRequest, StopTransactionRequest, BootNotificationRequest)
        assert gone == (0 if isinstance(asked, kept) else 1)

    @rule(number=st.integers(0, 5), kind=ANSWERS, transaction_id=TRANSACTION_IDS)
    def a_late_answer(self, number: int, kind: str, transaction_id: int) -> None:
        lost = [*self.referee.lost, *self.referee.posts]
        if lost:
            self.answered(CS, kind, lost[number % len(lost)], transaction_id)

    @rule(number=st.integers(0, 5))
    def an_answer_is_put_away(self, number: int) -> None:
        keys = [*self.referee.persistence, *self.referee.late, *self.referee.asking]
        self.referee.happen(RecordsKept(at=0, key=keys[number % len(keys)] if keys else "h1"))

    @rule(power_cut=st.booleans(), ago=SECONDS, seldom=st.integers(0, 3))
    def the_bridge_is_started_again(self, power_cut: bool, ago: float, seldom: int) -> None:
        if seldom:
            return
        known = dict(self.referee.known)
        self.referee.restart(power_cut=power_cut)
        for party, side in self.referee.stage.sides.items():
            if known[party] and not side.carries_answers:
                self.referee.happen(LinkUp(at=0, party=party))
        if not self.charge_point.carries_answers:
            self.referee.happen(Resumed(at=0, last_heard=self.referee.now - ago))

    @rule(party=PARTIES)
    def a_link_comes(self, party: Party) -> None:
        side, link = self.referee.stage.sides[party], self.referee.link[party]
        comes = link == "opening" if side.dialable else link == "down" or not side.carries_answers
        if comes:
            self.referee.happen(LinkUp(at=0, party=party))

    @rule()
    def everybody_is_there(self) -> None:
        self.a_link_comes(CS)
        self.a_link_comes(CP)

    @rule(key=KEYS, transaction_id=TRANSACTION_IDS)
    def a_transaction_is_started(self, key: str, transaction_id: int) -> None:
        """All the way to where its answer is put away."""
        self.everybody_is_there()
        self.a_call(CP, key, "start")
        self.everybody_is_there()
        for asked in tuple(self.referee.asking):
            self.referee.happen(RecordsKept(at=0, key=asked))
        self.the_answer(CS, "result", transaction_id)

    @rule(party=PARTIES, kind=st.sampled_from(["lost", "undelivered", "stale"]))
    def a_link_goes(self, party: Party, kind: str) -> None:
        if self.referee.link[party] == "down":
            return
        out = self.referee.out[party]
        if out is not None and out.arrival is not None and out.arrival.instead:
            out = None  # what is answered in the place of the party is never on the way to it
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
        for _ in range(10_000):  # the longest pause is dialled over, once a minute
            if self.referee.stage.alarm is None:
                break
            self.until_the_timer_in_vain()
        else:
            raise AssertionError("the Session never comes to rest")
        assert all_ended(self.referee)


# A step costs little, and the corners are deep.
SETTINGS = settings(max_examples=4 * settings().max_examples, stateful_step_count=40)


def _machine(leg: str) -> type[TestCase]:
    charge_point, central_system = LEGS[leg]
    machine = type(leg, (SessionMachine,), {"charge_point": charge_point, "central_system": central_system})
    case: type[TestCase] = machine.TestCase  # type: ignore[attr-defined]
    case.settings = SETTINGS  # type: ignore[attr-defined]
    return case


TestSoapToJson = _machine("soap-json")
TestJsonToSoap = _machine("json-soap")
TestSoapToSoap = _machine("soap-soap")
TestJsonToJson = _machine("json-json")
