"""Watches a Session from outside and says foul when a promise is broken. Knows the promises, not how they are kept.

What a Session was told and what it commanded is all that is looked at. Calls are recognised by their payload, which
must be an object of its own for each (a bridge that passes on an equal one would be as good; this one passes on it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from bridge.core.commands import CloseLink, Command, Drop, OpenLink, Outcome, Report, SendAnswer, SendCall, SetTimer
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp
from bridge.core.session import Side, Terms
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import BootNotificationRequest, Request
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered
from tests.core.playbook import CP, CS, Stage

_OUTCOMES = {
    CallResult: {Outcome.RESULT},
    CallError: {Outcome.ERROR, Outcome.REFUSED},
    Unanswered: {Outcome.UNANSWERED},
}


class Arrival:
    """A Call that came in, and what became of it."""

    def __init__(self, event: CallReceived, at: float, deadline: float, *, duplicate: bool) -> None:
        self.sender = event.party
        self.key = event.key
        self.call = event.call
        self.at = at
        self.deadline = deadline
        self.duplicate = duplicate  # its UniqueId names another Call in progress
        self.excused = False  # its sender's Link took the way back with it
        self.told: Answer | None = None


class Out:
    """The Call that is out to a party. `arrival` is None for one of the bridge itself."""

    def __init__(self, hop_id: str, arrival: Arrival | None, sent: float) -> None:
        self.hop_id = hop_id
        self.arrival = arrival
        self.sent = sent


class Referee:
    """A Stage under watch."""

    def __init__(
        self, charge_point: Side, central_system: Side, terms: Terms, *, chance: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.stage = Stage(charge_point, central_system, terms, chance=chance)
        self.progress: dict[Party, list[Arrival]] = {CP: [], CS: []}  # by sender, in the order of arrival
        self.out: dict[Party, Out | None] = {CP: None, CS: None}  # by the party that it went to
        self.link = {CP: "down", CS: "down"}
        self.known = {CP: False, CS: False}  # an address to POST to was told once
        self.confirmed = {CP: float("-inf"), CS: float("-inf")}  # when the party was last heard of on its own account
        self.hop_ids: set[str] = set()
        self.ended = 0
        self._event: Event | None = None

    @property
    def now(self) -> float:
        return self.stage.now

    def happen(self, event: Event) -> list[Command]:
        """`event` happens now. Gives the commands, each of which was in order."""
        self._event = event
        self._note(event)
        commands = self.stage.tell(event)
        self._watch(commands)
        if isinstance(event, CallReceived):
            last = self.progress[event.party][-1:]
            assert not (last and last[0].duplicate), "the second Call of a name was not refused at once"
        if isinstance(event, LinkDown) and self.stage.sides[event.party].carries_answers:
            assert self.out[event.party] is None, "no answer can come any more"
        return commands

    def wait(self, seconds: float) -> Iterator[list[Command]]:
        """Time goes by; the commands of each waking."""
        for commands in self.stage.wait(seconds):
            self._event = None
            self._watch(commands)
            yield commands

    def can_call(self, party: Party) -> bool:
        """Whether a Call of `party` can come in at all."""
        return not self.stage.sides[party].carries_answers or self.link[party] == "up"

    # What happens.

    def _note(self, event: Event) -> None:
        match event:
            case CallReceived(party=party):
                self._note_call(event)
                self.confirmed[party] = self.now
                for other in Party:
                    if self.known[other] and not self.stage.sides[other].carries_answers:
                        self.link[other] = "up"
            case LinkUp(party=party):
                self.link[party], self.known[party], self.confirmed[party] = "up", True, self.now
            case LinkDown(party=party):
                self._note_down(event)
                if self.stage.sides[party].carries_answers:
                    for arrival in self.progress[party]:
                        arrival.excused = True

    def _note_call(self, event: CallReceived) -> None:
        named = [arrival for arrival in self.progress[event.party] if arrival.key == event.key and not arrival.excused]
        deadline = self.now + self.stage.terms.call_timeout
        self.progress[event.party].append(Arrival(event, self.now, deadline, duplicate=bool(named)))

    def _note_down(self, event: LinkDown) -> None:
        self.link[event.party] = "down"
        out = self.out[event.party]
        if out is None or out.hop_id != event.undelivered:
            return
        self.out[event.party] = None
        if not self.stage.sides[event.party].carries_answers and self.confirmed[event.party] > out.sent:
            self.link[event.party] = "up"

    # What comes of it.

    def _watch(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case OpenLink(party=party):
                    assert self.stage.sides[party].dialable, f"{party} cannot be dialled"
                    assert self.link[party] == "down", f"the Link is {self.link[party]} already"
                    self.link[party] = "opening"
                case CloseLink(party=party):
                    assert self.link[party] == "up", f"the Link is {self.link[party]}"
                    assert not any(self.progress.values()), "somebody needs the Link"
                    self.link[party] = "down"
                case SendCall():
                    self._watch_call(command)
                case SendAnswer():
                    self._watch_answer(command)
                case Report():
                    self._watch_end(command)
                case Drop(party=party, unique_id=unique_id):
                    assert isinstance(self._event, AnswerReceived), "no answer came that could be dropped"
                    assert (self._event.party, self._event.answer.unique_id) == (party, unique_id)
                case SetTimer():
                    pass
        self._watch_time()

    def _watch_call(self, command: SendCall) -> None:
        party = command.party
        assert self.link[party] == "up", f"there is no way to {party}"
        assert self.out[party] is None, f"another Call is out to {party}"
        assert command.call.unique_id not in self.hop_ids, "the UniqueId was used before"
        self.hop_ids.add(command.call.unique_id)
        assert command.deadline > self.now, "its time is over"
        arrival = self._arrival_of(command.call.payload, party.other)
        if arrival is None:
            assert self.stage.terms.replay_boot and isinstance(command.call.payload, BootNotificationRequest)
        else:
            assert arrival is self.progress[party.other][0], "another arrived earlier"
            assert not arrival.excused, "nobody waits for its answer"
            assert command.call.action == arrival.call.action
            assert command.deadline == arrival.deadline
        self.out[party] = Out(command.call.unique_id, arrival, self.now)

    def _arrival_of(self, payload: Request, sender: Party) -> Arrival | None:
        found = [arrival for arrival in self.progress[sender] if arrival.call.payload is payload]
        return found[0] if found else None

    def _watch_answer(self, command: SendAnswer) -> None:
        waiting = [
            arrival
            for arrival in self.progress[command.party]
            if arrival.key == command.key and arrival.told is None and not arrival.excused
        ]
        assert waiting, f"{command.party} does not wait for an answer to {command.key}"
        arrival = next((item for item in waiting if item.duplicate), waiting[0])
        assert command.answer.unique_id == arrival.call.unique_id
        assert self.now <= arrival.deadline, "it is too late"
        assert self.can_call(command.party), f"the Link to {command.party} is down"
        if arrival.duplicate:
            assert isinstance(command.answer, CallError) and command.answer.code == ErrorCode.ProtocolError
        elif not isinstance(command.answer, Unanswered) or isinstance(self._event, AnswerReceived):
            self._watch_origin(arrival, command.answer)
        arrival.told = command.answer

    def _watch_origin(self, arrival: Arrival, told: Answer) -> None:
        """What is told is what was answered to just this Call."""
        assert isinstance(self._event, AnswerReceived), "nobody answered that"
        out = self.out[arrival.sender.other]
        assert self._event.party is arrival.sender.other
        assert out is not None and out.arrival is arrival and out.hop_id == self._event.answer.unique_id
        given = self._event.answer
        match told:
            case CallResult(payload=payload):
                assert isinstance(given, CallResult) and given.payload is payload
            case CallError(code=code, description=description):
                assert isinstance(given, CallError) and (given.code, given.description) == (code, description)
            case Unanswered(reason=reason):
                assert isinstance(given, Unanswered) and given.reason == reason

    def _watch_end(self, report: Report) -> None:
        out = self.out[report.sender.other]
        if out is not None and out.hop_id == report.hop_id:
            self.out[report.sender.other] = None
        if report.own:
            assert report.answer is None
            return
        found = [arrival for arrival in self.progress[report.sender] if arrival.call is report.call]
        assert len(found) == 1, "it is no Call in progress: it never came, or its end was reported"
        arrival = found[0]
        self.progress[report.sender].remove(arrival)
        self.ended += 1
        assert report.answer is arrival.told
        assert (report.arrived, report.ended) == (arrival.at, self.now)
        if arrival.told is None:
            assert arrival.excused, "nobody was told"
            assert report.outcome is Outcome.ABANDONED
        else:
            assert report.outcome in _OUTCOMES[type(arrival.told)]

    def _watch_time(self) -> None:
        """Nobody waits past the deadline, and the Session will be woken by the next one."""
        arrivals = [arrival for arrivals in self.progress.values() for arrival in arrivals]
        assert len(arrivals) <= self.stage.session.in_progress() <= len(arrivals) + 1
        if not arrivals:
            return
        first = min(arrivals, key=attrgetter("deadline")).deadline
        assert first > self.now, "a Call outlived its deadline"
        assert self.stage.alarm is not None and self.stage.alarm <= first, "nothing would wake the Session in time"


def all_ended(referee: Referee) -> bool:
    """Whether nothing is in progress, as seen from outside and from inside."""
    return not any(referee.progress.values()) and referee.stage.session.in_progress() == 0
