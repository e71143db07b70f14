"""A day of 200 Charge Points, on a fake clock and with seeded chance: everything goes wrong now and then.

Each Charge Point boots, beats, is commanded and charges cars. Links drop, Central Systems restart, addresses are dead
for a while; answers come late, twice, under a wrong UniqueId or not at all. tests.core.referee watches every step:
no Call is answered twice, too late or by the wrong party, nothing that was answered is sent again. Beside it, each
world keeps its own books of what transaction messages went in and came out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest
from msgspec import structs

from bridge.core.commands import CloseLink, Command, Keep, OpenLink, Outcome, Report, SendAnswer, SendCall
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp, RecordsKept
from bridge.core.links import SessionTerms, Side
from bridge.core.repetitions import fingerprint
from bridge.errors import ErrorCode
from bridge.ocpp.actions import TRANSACTION_RELATED, Party
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.messages import (
    AuthorizeRequest,
    BootNotificationRequest,
    GetLocalListVersionRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    MeterValuesRequest,
    RemoteStartTransactionRequest,
    Request,
    Response,
    StartTransactionRequest,
    StopTransactionRequest,
    TriggerMessageRequest,
)
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered
from bridge.ocpp.types import MeterValue, SampledValue
from tests.core.playbook import CP, CS, LEGS, call_of
from tests.core.referee import Referee, all_ended
from tests.core.samples import NOW, STOP_CONF, boot_conf, data, start, start_conf, stop

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
CHARGE_POINTS = 200
# When the Central System is away: a restart, a bad hour, and the last minutes of the day.
OUTAGES = [(3 * HOUR, 3 * HOUR + 40), (13 * HOUR, 14 * HOUR), (DAY - 3 * MINUTE, DAY)]
HEARTBEAT_INTERVAL = 900

COMMANDS: list[Callable[[], Request]] = [
    lambda: data("hello"),
    GetLocalListVersionRequest,
    lambda: RemoteStartTransactionRequest(idTag="TAG"),
    lambda: TriggerMessageRequest(requestedMessage=MessageTrigger.Heartbeat),
]


class World:
    """One Charge Point, its Central System and what lies between, but for the bridge."""

    def __init__(self, charge_point: Side, central_system: Side, seed: int) -> None:
        self.chance = Random(seed)
        self.referee = Referee(charge_point, central_system, SessionTerms(), chance=self.chance.random)
        self.sides = self.referee.stage.sides
        self.generation = {CP: 0, CS: 0}  # what is under way on a Link is lost with it
        self.to_come: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count()
        self.came_in: list[Request] = []
        self.went_out: list[Request] = []
        self.results: set[str] = set()  # the keys of the Calls that were told a CallResult
        self.outcomes: Counter[Outcome] = Counter()
        self.told: Counter[str] = Counter()

    # Time.

    def at(self, when: float, what: Callable[[], None]) -> None:
        heappush(self.to_come, (when, next(self.numbers), what))

    def later(self, least: float, most: float, what: Callable[[], None]) -> None:
        self.at(self.referee.now + self.chance.uniform(least, most), what)

    def run(self, until: float) -> None:
        while self.to_come and self.to_come[0][0] <= until:
            when, _, what = heappop(self.to_come)
            self.pass_time(when)
            what()
        self.pass_time(until)

    def pass_time(self, until: float) -> None:
        for commands in self.referee.wait(until - self.referee.now):
            self.carry_out(commands)

    # What the bridge does.

    def happen(self, event: Event) -> None:
        self.carry_out(self.referee.happen(event))

    def carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case OpenLink(party=party):
                    # An answer to the dialling cannot come before the bridge has done all that it wants.
                    self.later(0.01, 0.2, lambda party=party: self.dialled(party))  # type: ignore[misc]
                case CloseLink(party=party):
                    self.generation[party] += 1
                    if party is CP:
                        self.later(1, MINUTE, self.join)
                case Keep(key=key):
                    self.keep(key)
                case SendCall():
                    if command.call.action in TRANSACTION_RELATED:
                        self.went_out.append(command.call.payload)
                    self.called(command)
                case SendAnswer(key=key, answer=answer):
                    self.told[key] += 1
                    if isinstance(answer, CallResult):
                        self.results.add(key)
                case Report(outcome=outcome) if not command.own:
                    self.outcomes[outcome] += 1

    def keep(self, key: str) -> None:
        """A disk may be slow, and sometimes says nothing more."""
        luck = self.chance.random()
        if luck > 0.01:
            least, most = (0.001, 0.05) if luck > 0.03 else (1, MINUTE)
            self.later(least, most, lambda: self.happen(RecordsKept(at=0, key=key)))

    def dialled(self, party: Party) -> None:
        if self.away() or self.chance.random() < 0.05:
            self.happen(LinkDown(at=0, party=party, reason="connection refused"))
        else:
            self.generation[party] += 1
            self.happen(LinkUp(at=0, party=party))

    def called(self, command: SendCall) -> None:
        """The other party gets the Call, or not, and answers, or not."""
        party, hop_id = command.party, command.call.unique_id
        luck = self.chance.random()
        if luck < 0.02 or (party is CS and self.away()):
            undelivered = hop_id if self.chance.random() < 0.5 or not self.sides[party].carries_answers else None
            self.on_link(party, 0.01, 5, lambda: self.lose(party, undelivered))
        elif luck < 0.04:
            self.silent(party, hop_id)
        elif luck < 0.06:
            self.on_link(party, 0.1, 60, lambda: self.answer(party, self.result(command)))
        elif luck < 0.08:
            self.on_link(party, 0.1, 1, lambda: self.answer(party, self.result(command, wrong="h1")))
        elif luck < 0.12:
            error = CallError(unique_id=hop_id, code=ErrorCode.InternalError, description="overworked")
            self.on_link(party, 0.1, 1, lambda: self.answer(party, error))
        else:
            if luck < 0.13:
                self.on_link(party.other, 0, 0.5, lambda: self.lose(party.other))
            for _ in range(2 if luck > 0.99 else 1):
                self.on_link(party, 0.02, 2, lambda: self.answer(party, self.result(command)))

    def silent(self, party: Party, hop_id: str) -> None:
        if not self.sides[party].carries_answers:
            nothing = Unanswered(unique_id=hop_id, reason="HTTP 502")
            self.on_link(party, 0.1, 60, lambda: self.answer(party, nothing))

    def result(self, command: SendCall, wrong: str | None = None) -> Answer:
        payload: Response = HeartbeatResponse(currentTime=NOW)
        match command.call.payload:
            case BootNotificationRequest():
                payload = boot_conf(HEARTBEAT_INTERVAL)
            case StartTransactionRequest():
                payload = start_conf(next(self.numbers))
            case StopTransactionRequest():
                payload = STOP_CONF
        return CallResult(unique_id=wrong or command.call.unique_id, payload=payload)

    def answer(self, party: Party, answer: Answer) -> None:
        self.happen(AnswerReceived(at=0, party=party, answer=answer))

    # Links.

    def on_link(self, party: Party, least: float, most: float, what: Callable[[], None]) -> None:
        """What comes over the Link, if that is still there then. A POST is its own."""
        generation = self.generation[party]

        def arrive() -> None:
            if not self.sides[party].carries_answers or self.generation[party] == generation:
                what()

        self.later(least, most, arrive)

    def lose(self, party: Party, undelivered: str | None = None) -> None:
        if self.sides[party].carries_answers:
            if self.referee.link[party] != "up":
                return
            self.generation[party] += 1
            if party is CP or not self.sides[CS].dialable:
                self.later(1, 3 * MINUTE, self.join)
        self.happen(LinkDown(at=0, party=party, reason="gone", undelivered=undelivered))

    def join(self) -> None:
        """The Charge Point connects, or says where it can be called."""
        if self.referee.link[CP] == "up":
            return
        if self.sides[CP].carries_answers and self.referee.link[CS] != "up":
            if self.away():  # its handshake is refused
                self.later(30, MINUTE, self.join)
                return
            self.generation[CS] += 1
            self.happen(LinkUp(at=0, party=CS))
        self.generation[CP] += 1
        self.happen(LinkUp(at=0, party=CP))

    def away(self) -> bool:
        return any(begin <= self.referee.now < end for begin, end in OUTAGES)

    # What the parties do of themselves.

    def say(self, party: Party, payload: Request, key: str | None = None) -> None:
        if not self.referee.can_call(party) or (party is CS and self.away()):
            return
        if party is CP and not self.sides[CP].carries_answers:
            self.join()
        key = key or f"{party}-{next(self.numbers)}"
        call = call_of(key, payload)
        if call.action in TRANSACTION_RELATED:
            self.came_in.append(payload)
        self.happen(CallReceived(at=0, party=party, key=key, call=call))

    def say_until_heard(self, payload: Request, tries: int = 4) -> None:
        """As a Charge Point does with what is money. Sometimes it did not hear well."""
        key = f"{CP}-{next(self.numbers)}"
        self.say(CP, payload, key)

        def again() -> None:
            if tries > 1 and (key not in self.results or self.chance.random() < 0.05):
                self.say_until_heard(structs.replace(payload), tries - 1)

        least, most = (5.0, 40.0) if self.chance.random() < 0.3 else (MINUTE, 3 * MINUTE)
        self.later(least, most, again)

    def plan_day(self) -> None:
        """A boot, heartbeats, commands, a few cars, broken Links."""
        when = self.chance.uniform(0, 10 * MINUTE)
        if not self.sides[CS].carries_answers:
            self.at(0, lambda: self.happen(LinkUp(at=0, party=CS)))
        self.at(when, self.join)
        self.at(when + 1, lambda: self.say(CP, BootNotificationRequest(chargePointVendor="V", chargePointModel="M")))
        while (when := when + HEARTBEAT_INTERVAL) < DAY:
            self.at(when, lambda: self.say(CP, HeartbeatRequest()))
        for _ in range(60):
            command = self.chance.choice(COMMANDS)
            self.at(self.chance.uniform(HOUR, DAY), lambda command=command: self.say(CS, command()))  # type: ignore[misc]
        for hour in (1, 2, 3, 5, 7, 8, 11, 12.5, 13, 16, 17, 18, 20, 23.5):
            self.plan_car(hour * HOUR + self.chance.uniform(0, HOUR))
        for party in Party:
            for _ in range(8):
                self.at(self.chance.uniform(0, DAY), lambda party=party: self.lose(party))  # type: ignore[misc]
        for begin, _ in OUTAGES:
            self.at(begin, lambda: self.lose(CS))
        self.at(self.chance.uniform(0, DAY), self.say_twice)

    def plan_car(self, when: float) -> None:
        meter = next(self.numbers)
        said: list[Callable[[], None]] = [
            lambda: self.say(CP, AuthorizeRequest(idTag="TAG")),
            lambda: self.say_until_heard(start(meter=meter)),
        ]
        said += [lambda: self.say(CP, self.meter_values())] * self.chance.randrange(6)
        said.append(lambda: self.say_until_heard(stop(7, meter)))
        hasty = self.chance.random() < 0.3
        for what in said:
            self.at(when, what)
            when += self.chance.uniform(0, 1 if hasty else 5 * MINUTE)

    @staticmethod
    def meter_values() -> Request:
        return MeterValuesRequest(
            connectorId=1, meterValue=(MeterValue(timestamp=NOW, sampledValue=(SampledValue(value="230.1"),)),)
        )

    def say_twice(self) -> None:
        """Two Calls under one name."""
        for _ in range(2):
            self.say(CP, data("again"), key="twice")


def in_order(part: Iterable[object], whole: Iterable[object]) -> bool:
    """Whether `part` is `whole` with some left out."""
    rest = iter(whole)
    return all(any(item is other for other in rest) for item in part)


def without_repeats(requests: list[Request]) -> list[Request]:
    """A Call that did not arrive was sent again: as the next, nothing in between."""
    return [request for number, request in enumerate(requests) if number == 0 or request is not requests[number - 1]]


def repeated(requests: list[Request]) -> set[str | None]:
    """The fingerprints of what came more than once."""
    times = Counter(map(fingerprint, requests))
    return {mark for mark, number in times.items() if mark is not None and number > 1}


@pytest.mark.parametrize("leg", LEGS)
def test_a_day(leg: str) -> None:
    outcomes: Counter[Outcome] = Counter()
    came_in = went_out = 0
    for number in range([*LEGS].index(leg), CHARGE_POINTS, len(LEGS)):
        world = World(*LEGS[leg], seed=number)
        world.plan_day()
        world.run(DAY)
        assert world.referee.ended > 100
        world.run(DAY + 3 * HOUR)  # the last car has gone, and been billed
        assert all_ended(world.referee)
        assert world.referee.ended == world.outcomes.total()
        assert all(times == 1 for key, times in world.told.items() if key != "twice")
        assert world.told["twice"] <= 2
        # A repetition waits for a POST that is late; what came after it does not.
        late = set() if LEGS[leg][1].carries_answers else repeated(world.came_in)
        assert in_order([one for one in without_repeats(world.went_out) if fingerprint(one) not in late], world.came_in)
        outcomes += world.outcomes
        came_in, went_out = came_in + len(world.came_in), went_out + len(without_repeats(world.went_out))
    # The day was neither dead nor dull.
    assert outcomes[Outcome.RESULT] > 0.7 * outcomes.total()
    assert 0.6 * came_in < went_out < came_in  # some wait for a disk that hangs until their time is over
    assert min(outcomes[outcome] for outcome in (Outcome.ERROR, Outcome.UNANSWERED)) > 100
    assert min(outcomes[outcome] for outcome in (Outcome.REPEATED, Outcome.RETRANSMITTED)) > 20
    assert (outcomes[Outcome.ABANDONED] > 10) == any(side.carries_answers for side in LEGS[leg])


def test_the_books_would_notice() -> None:
    first, second = data("a"), data("a")
    assert in_order([first], [first, second]) and in_order([second], [first, second])
    assert not in_order([second, first], [first, second])
    assert not in_order([first, first], [first, second])
    assert without_repeats([first, first, second, first]) == [first, second, first]
