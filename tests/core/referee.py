"""Watches a Session from outside and says foul when a promise is broken. Knows the promises, not how they are kept.

What a Session was told and what it commanded is all that is looked at. Calls are recognised by their payload, which
must be an object of its own for each (a bridge that passes on an equal one would be as good; this one passes on it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from msgspec import structs

from bridge.core.commands import (
    CloseLink,
    Command,
    Drop,
    Keep,
    Note,
    OpenLink,
    Outcome,
    Report,
    SendAnswer,
    SendCall,
    SetTimer,
)
from bridge.core.connectors import ConnectorState
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp, RecordsKept
from bridge.core.links import SessionTerms, Side
from bridge.core.memory import Alias, Record, SessionMemory
from bridge.core.repetitions import Answered, Asked
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import (
    BootNotificationRequest,
    HeartbeatRequest,
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
)
from bridge.ocpp.rpc import Answer, CallError, CallResult, Failure, Unanswered
from tests.core.playbook import CP, CS, Stage

# Rule 13, spelled out again: what a JSON Charge Point must not be told is at fault when the link is.
_MONEY = {"StartTransaction", "StopTransaction", "MeterValues"}
_OUTCOMES = {
    CallResult: {Outcome.RESULT, Outcome.REPEATED},
    CallError: {Outcome.ERROR, Outcome.REFUSED, Outcome.REPEATED},
    Unanswered: {Outcome.UNANSWERED},
}


Mark = tuple[object, ...]


class Arrival:
    """A Call that came in, and what became of it."""

    def __init__(self, event: CallReceived, at: float, deadline: float) -> None:
        self.sender = event.party
        self.key = event.key
        self.call = event.call
        self.at = at
        self.deadline = deadline
        self.mark = _mark(event)  # what its repetitions have in common with it
        self.instead = event.instead  # the bridge answers it itself
        self.duplicate = False  # its UniqueId names another Call in progress
        self.again = False  # it is the frame of a Call in progress, once more
        self.first: Arrival | None = None  # it repeats that one, which is in progress, or whose POST goes on
        self.known: CallResult | CallError | None = None  # it repeats one that was answered so
        self.given: Answer | None = None  # what the other party answered
        self.safe = False  # and that was put away
        self.excused = False  # its sender's Link took the way back with it
        self.told: Answer | None = None

    @property
    def waits(self) -> bool:
        """Whether it is to be sent, or was and is not answered."""
        free = self.first is None and self.known is None and self.given is None
        return free and not self.duplicate and not self.again


def _mark(event: CallReceived) -> tuple[object, ...] | None:
    """Rule 68 of the field: the identity, connector, idTag, time stamp and meter value."""
    request: Any = event.call.payload
    match request:
        case StartTransactionRequest():
            return "Start", request.connectorId, request.idTag, request.timestamp, request.meterStart
        case StopTransactionRequest():
            return "Stop", request.transactionId, request.idTag, request.timestamp, request.meterStop
    return None


class Out:
    """The Call that is out to a party. `arrival` is None for one of the bridge itself."""

    def __init__(self, hop_id: str, arrival: Arrival | None, sent: float) -> None:
        self.hop_id = hop_id
        self.arrival = arrival
        self.sent = sent


class Referee:
    """A Stage under watch."""

    def __init__(
        self,
        charge_point: Side,
        central_system: Side,
        terms: SessionTerms,
        *,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stage = Stage(charge_point, central_system, terms, chance=chance)
        self.hop_ids: set[str] = set()
        self.ended = 0
        self.marks: dict[str, Mark] = {}  # by the fingerprints in records
        self.answered: dict[Mark, Answered] = {}  # what repetitions will be told
        self.asked: dict[Mark, str] = {}  # the UniqueIds of what has no answer
        self.names: dict[int, int] = {}  # transactionIds beyond 32 bits, and what they are called towards SOAP
        self.safe: list[Record] = []  # what a power cut does not reach
        self.noted: list[Record] = []  # what it may
        self._begin()

    def _begin(self) -> None:
        self.progress: dict[Party, list[Arrival]] = {CP: [], CS: []}  # by sender, in the order of arrival
        self.out: dict[Party, Out | None] = {CP: None, CS: None}  # by the party that it went to
        self.link = {CP: "down", CS: "down"}
        self.known = {CP: False, CS: False}  # an address to POST to was told once
        self.confirmed = {CP: float("-inf"), CS: float("-inf")}  # when the party was last heard of on its own account
        self.persistence: dict[str, tuple[Arrival, tuple[Record, ...]]] = {}
        self.lost: dict[str, Arrival] = {}  # by the UniqueId of the hop: what was out when its time was over
        self.asking: dict[str, tuple[Mark, tuple[Record, ...]]] = {}  # UniqueIds that are being put away
        self.posts: dict[str, Arrival] = {}  # what was out when its time was over, whose POST goes on
        self.refused: dict[Mark, CallError] = {}  # what was refused after its time
        self.late: dict[str, tuple[Arrival, Answered, tuple[Record, ...]]] = {}  # what was answered then, all the same
        self.noted_before: dict[str, int] = {}  # what is written before the records of that key, or with them
        self._event: Event | None = None

    @property
    def now(self) -> float:
        return self.stage.now

    def happen(self, event: Event) -> list[Command]:
        """`event` happens now. Gives the commands, each of which was in order."""
        self._event = event
        was = dict(self.link)
        self._note(event)
        commands = self.stage.tell(event)
        self._watch(commands)
        match event:
            case CallReceived(party=party):
                at_once = [one for one in self.progress[party] if one.duplicate or one.again or one.known]
                assert not at_once, "the second Call of a name, or what was answered before, was not answered at once"
            case RecordsKept(key=key):
                assert key not in self.persistence, "it is put away, and not told"
                assert not any(arrival.known for arrival in self.progress[CP]), "nor is what repeats it"
            case AnswerReceived():
                assert not any(arrival.known for arrival in self.progress[CP]), "a repetition has an answer, untold"
            case LinkDown(party=party) if self.link[party] != "up":
                self._watch_loss(party, was)
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

    def restart(self, *, power_cut: bool) -> None:
        """The bridge ends and is started again. Nobody who waited is told; what was put away is there, what was only
        noted is not after a power cut."""
        records = self.safe if power_cut else [*self.safe, *self.noted]
        # What was written later is younger.
        aged = [
            structs.replace(one, age=float(len(records) - number)) if isinstance(one, Answered | Asked) else one
            for number, one in enumerate(records)
        ]
        kept = {record.fingerprint: record for record in aged if isinstance(record, Answered)}
        asked = {record.fingerprint: record for record in aged if isinstance(record, Asked)}
        marks = self.marks
        self.answered, self.asked = {}, {}
        for record in aged:
            if isinstance(record, Answered):
                self._now_answered(marks[record.fingerprint], structs.replace(record, age=0.0))
            elif isinstance(record, Asked):
                self.asked[marks[record.fingerprint]] = record.unique_id
        self.names = {record.transaction_id: record.alias for record in records if isinstance(record, Alias)}
        connectors = {record.number: record for record in records if isinstance(record, ConnectorState)}
        self.stage.restart(
            SessionMemory(
                answered=tuple(sorted(kept.values(), key=lambda record: -record.age)),
                asked=tuple(asked.values()),
                aliases=tuple(record for record in records if isinstance(record, Alias)),
                connectors=tuple(connectors.values()),
            )
        )
        self.safe = list(records)
        self.noted = []
        self._begin()

    # What happens.

    def _note(self, event: Event) -> None:
        match event:
            case CallReceived(party=party):
                self._note_call(event)
                self.confirmed[party] = self.now
                for other in Party:
                    if self.known[other] and not self.stage.sides[other].carries_answers:
                        self.link[other] = "up"
            case AnswerReceived(party=party, answer=answer):
                out = self.out[party]
                if out is not None and out.hop_id == answer.unique_id:
                    if out.arrival is not None:
                        out.arrival.given = answer
                    self._note_failure(party, answer)
                elif party is CS:
                    self._note_late_answer(answer)
            case RecordsKept(key=key) if key in self.asking:
                _, records = self.asking.pop(key)
                self.safe += [*self.noted[: self.noted_before[key]], *records]
                self._forget_noted(self.noted_before[key])
            case RecordsKept(key=key) if key in self.persistence:
                arrival, records = self.persistence[key]
                arrival.safe = True
                self.safe += [*self.noted[: self.noted_before[key]], *records]
                self._forget_noted(self.noted_before[key])
            case RecordsKept(key=key) if key in self.late:
                arrival, record, records = self.late.pop(key)
                self.safe += [*self.noted[: self.noted_before[key]], *records]
                self._forget_noted(self.noted_before[key])
                self._note_late(arrival, record)
            case LinkUp(party=party):
                self.link[party], self.known[party], self.confirmed[party] = "up", True, self.now
            case LinkDown(party=party, undelivered=undelivered):
                of_post = undelivered in self.posts
                self._note_down(event)
                if of_post:
                    return
                ended = {party, party.other} if self._ends_both(party) else {party}
                for gone in ended:
                    if self.stage.sides[gone].carries_answers:
                        for arrival in self.progress[gone]:
                            arrival.excused = True

    def _note_failure(self, party: Party, answer: Answer) -> None:
        """A POST says that a Central System cannot be reached."""
        away = isinstance(answer, Unanswered) and answer.failure is Failure.UNREACHABLE
        if not away or party is CP or self.stage.sides[CS].carries_answers:
            return
        ends_both = self._ends_both(CS)
        self.link[CS] = "down"
        if ends_both:
            for arrival in self.progress[CP]:
                arrival.excused = True

    def _note_late_answer(self, answer: Answer) -> None:
        """A POST ended whose Call was over, or a late refusal came."""
        lost = self.posts.get(answer.unique_id) or self.lost.get(answer.unique_id)
        if isinstance(answer, Unanswered):
            self._end_post(answer.unique_id)
        elif isinstance(answer, CallError) and lost is not None and lost.mark not in self.answered:
            assert lost.mark is not None
            self.lost.pop(answer.unique_id, None)
            self.posts.pop(answer.unique_id, None)
            self.asked.pop(lost.mark, None)
            waiting = [again for again in self.progress[CP] if self._repeats(again, lost)]
            for again in waiting:
                again.first, again.known = None, answer
            if not waiting:
                self.refused[lost.mark] = answer

    def _repeats(self, again: Arrival, lost: Arrival) -> bool:
        """Whether it waits for the answer to `lost`, or need not be sent any more once that is there."""
        return again.mark == lost.mark and not again.again and not again.duplicate and not self._is_out(again)

    def _end_post(self, unique_id: str) -> None:
        """What waited for a POST is sent, as one."""
        post = self.posts.pop(unique_id, None)
        waiting = [again for again in self.progress[CP] if post is not None and again.first is post]
        for again in waiting:
            again.first = None if again is waiting[0] else waiting[0]

    def _now_answered(self, mark: Mark, record: Answered) -> None:
        """What is answered now, and what is over by that: a Start by its Stop or by the next on its connector, a Stop
        by the Start that gives its number again."""
        for other, known in tuple(self.answered.items()):
            given = known.answer.transactionId if isinstance(known.answer, StartTransactionResponse) else None
            if mark[0] == "Stop":
                over = other[0] == "Start" and given == mark[1]
            elif other[0] == "Start":
                over = other[1] == mark[1]
            else:
                assert isinstance(record.answer, StartTransactionResponse)
                over = other[1] == record.answer.transactionId
            if over and other != mark:
                del self.answered[other]
        self.answered[mark] = record
        self.asked.pop(mark, None)

    def _forget_noted(self, number: int) -> None:
        """It is safe now."""
        del self.noted[:number]
        self.noted_before = {key: max(0, before - number) for key, before in self.noted_before.items()}

    def _note_late(self, lost: Arrival, record: Answered) -> None:
        """It answers those that repeat it and are still here."""
        for again in self.progress[CP]:
            if again.first is lost:
                again.first, again.known = None, CallResult(unique_id="", payload=record.answer)

    def _note_call(self, event: CallReceived) -> None:
        arrival = Arrival(event, self.now, self.now + self.stage.terms.call_timeout)
        others = self.progress[event.party]
        same = [other for other in others if arrival.mark is not None and other.mark == arrival.mark]
        named = [other for other in others if other.key == event.key and not other.excused]
        ended = [*self.posts.values(), *(late for late, _, _ in self.late.values())]
        posts = [post for post in ended if arrival.mark is not None and post.mark == arrival.mark]
        if named and named[0].call.payload == event.call.payload:
            arrival.again = True
        elif named:
            arrival.duplicate = True
        elif same:
            arrival.first = same[0].first or same[0]
        elif posts:
            arrival.first = posts[0]
        elif arrival.mark is not None and (record := self.answered.get(arrival.mark)) is not None:
            arrival.known = CallResult(unique_id="", payload=record.answer)
        elif arrival.mark is not None:
            arrival.known = self.refused.pop(arrival.mark, None)
        others.append(arrival)

    def _note_down(self, event: LinkDown) -> None:
        if event.undelivered in self.posts:
            self._end_post(event.undelivered)
            return
        self.link[event.party] = "down"
        out = self.out[event.party]
        if out is None or out.hop_id != event.undelivered:
            return
        self.out[event.party] = None
        if out.arrival is not None:
            out.arrival.instead = False
        ends_both = self.stage.sides[CP].carries_answers
        if (
            not ends_both
            and not self.stage.sides[event.party].carries_answers
            and self.confirmed[event.party] > out.sent
        ):
            self.link[event.party] = "up"

    def _ends_both(self, lost: Party) -> bool:
        """Rule 13: whether the other connection ends as well."""
        other = lost.other
        return (
            self.stage.sides[CP].carries_answers
            and self.stage.sides[other].carries_answers
            and self.link[other] == "up"
        )

    # What comes of it.

    def _watch(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case OpenLink(party=party):
                    assert self.stage.sides[party].dialable, f"{party} cannot be dialled"
                    assert self.link[party] == "down", f"the Link is {self.link[party]} already"
                    self.link[party] = "opening"
                case CloseLink():
                    self._watch_close(command)
                case SendCall():
                    self._watch_call(command)
                case SendAnswer():
                    self._watch_answer(command)
                case Keep():
                    self._watch_keep(command)
                case Note(records=records):
                    self.noted += records
                case Report():
                    self._watch_end(command)
                case Drop(party=party, unique_id=unique_id):
                    assert isinstance(self._event, AnswerReceived), "no answer came that could be dropped"
                    assert (self._event.party, self._event.answer.unique_id) == (party, unique_id)
                case SetTimer():
                    pass
        self._watch_time()
        for party, out in self.out.items():
            waiting = [arrival for arrival in self.progress[party.other] if arrival.waits and arrival.instead]
            asking = party is CS and self.asking
            assert out is not None or asking or self.link[party] == "up" or not waiting, "it waits for nothing"

    def _watch_close(self, command: CloseLink) -> None:
        party = command.party
        assert self.link[party] == "up", f"the Link is {self.link[party]}"
        if isinstance(self._event, LinkDown | AnswerReceived) and self._ends_both(party.other):
            assert command.try_again == (party is CP), "who is not at fault shall come again, and only they"
        else:
            assert party is CS and not command.try_again
            assert not any(self.progress.values()), "somebody needs the Link"
        self.link[party] = "down"

    def _watch_loss(self, party: Party, was: dict[Party, str]) -> None:
        """The Link to `party` went."""
        sides, other = self.stage.sides, party.other
        assert not sides[party].carries_answers or self.out[party] is None, "no answer can come any more"
        if sides[CP].carries_answers and sides[other].carries_answers and was[other] == "up":
            assert self.link[other] == "down", "the two connections end together"
            assert self.out[other] is None, "nor here"
        if party is CS and not sides[CS].dialable:  # rule 6
            waiting = [arrival for arrival in self.progress[CP] if arrival.waits and not self._is_out(arrival)]
            assert not waiting, "it cannot be reached, and they are left to wait"

    def _is_out(self, arrival: Arrival) -> bool:
        return any(out is not None and out.arrival is arrival for out in self.out.values())

    def _watch_call(self, command: SendCall) -> None:
        party = command.party
        linked = self.link[party] == "up"
        assert self.out[party] is None, f"another Call is out to {party}"
        assert command.deadline > self.now, "its time is over"
        waiting = [arrival for arrival in self.progress[party.other] if arrival.waits]
        arrival = next((arrival for arrival in waiting if linked or arrival.instead), None)
        assert linked or arrival is not None, f"there is no way to {party}"
        if arrival is None or not self._is_same(arrival, command):
            self._watch_own(command)
            arrival = None
        else:
            assert not arrival.excused, "nobody waits for its answer"
            assert arrival.mark not in self.answered, "it is sent a second time"
            assert command.call.action == arrival.call.action
            assert command.deadline == arrival.deadline
        used = command.call.unique_id in self.hop_ids
        if arrival is None or arrival.mark is None:
            again = arrival is not None and arrival.call.action == "MeterValues"
            assert not used or again, "the UniqueId was used before"
        else:
            assert self.asked.get(arrival.mark) == command.call.unique_id, "it is not the one that was put away"
            assert all(mark != arrival.mark for mark, _ in self.asking.values()), "it is sent before that is put away"
        self.hop_ids.add(command.call.unique_id)
        self.out[party] = Out(command.call.unique_id, arrival, self.now)

    def _watch_own(self, command: SendCall) -> None:
        """Of the bridge itself: the last BootNotification, or a Heartbeat where Pings take its place."""
        sides, payload = self.stage.sides, command.call.payload
        assert command.party is CS and command.call.losses
        # What is answered and not put away yet may be said again on another connection.
        assert not any(arrival.call.payload is payload and arrival.given is None for arrival in self.progress[CP])
        if isinstance(payload, HeartbeatRequest):
            assert sides[CP].carries_answers and not sides[CS].carries_answers
        else:
            assert self.stage.terms.replay_boot and isinstance(payload, BootNotificationRequest)
            assert sides[CS].dialable

    def _is_same(self, arrival: Arrival, command: SendCall) -> bool:
        """Whether it is that Call which is sent on, but for the name of a transaction (rule 14)."""
        came, goes = arrival.call.payload, command.call.payload
        if command.party is CP:
            return self._renamed(came, goes)
        if came is goes:
            return getattr(came, "transactionId", None) not in self.names.values()
        return self.stage.sides[CP].narrow_ids and self._is_name_of(goes, came)

    def _renamed(self, wide: Any, narrow: Any, persistence: tuple[Record, ...] = ()) -> bool:
        """Whether `narrow` is `wide` as the Charge Point is to see it, and what the name means has been put down."""
        narrow_ids, transaction_id = self.stage.sides[CP].narrow_ids, getattr(wide, "transactionId", None)
        if not narrow_ids or _fits(transaction_id):
            return narrow is wide
        put_down = [
            *self.safe,
            *self.noted,
            *persistence,
            *(record for _, kept in self.persistence.values() for record in kept),
            *(record for _, _, kept in self.late.values() for record in kept),
        ]
        return self._is_name_of(wide, narrow) and any(
            isinstance(record, Alias)
            and (record.transaction_id, record.alias) == (transaction_id, narrow.transactionId)
            for record in put_down
        )

    def _is_name_of(self, wide: Any, narrow: Any) -> bool:
        transaction_id, name = getattr(wide, "transactionId", None), getattr(narrow, "transactionId", None)
        if transaction_id is None or name is None or structs.replace(narrow, transactionId=transaction_id) != wide:
            return False
        if transaction_id not in self.names:
            assert 0 < name < 2**31, "it has to fit"
            assert name not in self.names.values(), "it is the name of another"
            self.names[transaction_id] = name
        return bool(self.names[transaction_id] == name)

    def _watch_keep(self, command: Keep) -> None:
        if command.key.startswith("asked:"):
            (asked,) = command.records
            assert isinstance(asked, Asked) and command.key == f"asked:{asked.unique_id}"
            assert asked.unique_id not in self.hop_ids, "the UniqueId was used before"
            linked = self.link[CS] == "up"
            waiting = [arrival for arrival in self.progress[CP] if arrival.waits and (linked or arrival.instead)]
            mark = waiting[0].mark
            assert mark is not None and mark not in self.asked, "it has a UniqueId already"
            self.marks[asked.fingerprint] = mark
            self.asked[mark] = asked.unique_id
            self.asking[command.key] = (mark, command.records)
            self.noted_before[command.key] = len(self.noted)
            return
        assert isinstance(self._event, AnswerReceived) and self._event.answer.unique_id == command.key
        out = self.out[self._event.party]
        if out is None or out.hop_id != command.key:
            self._watch_late(command, self._event.answer)
            return
        arrival, self.out[self._event.party] = out.arrival, None
        if arrival is None:  # the bridge's own BootNotification
            self.noted += command.records
            return
        assert arrival.sender is CP and isinstance(arrival.given, CallResult), "only what was answered is kept"
        if arrival.mark is not None:
            (record,) = (record for record in command.records if isinstance(record, Answered))
            assert self._renamed(arrival.given.payload, record.answer, command.records)
            self.marks[record.fingerprint] = arrival.mark
            self._now_answered(arrival.mark, record)
        self.persistence[command.key] = (arrival, command.records)
        self.noted_before[command.key] = len(self.noted)

    def _watch_late(self, command: Keep, answer: Answer) -> None:
        arrival = self.lost.pop(command.key, None) or self.posts.pop(command.key)
        assert isinstance(answer, CallResult), "only what was answered is kept"
        (record,) = (record for record in command.records if isinstance(record, Answered))
        assert self._renamed(answer.payload, record.answer, command.records)
        assert arrival.mark is not None and arrival.mark not in self.answered, "there is an answer that was told"
        arrival.given = answer
        self._now_answered(arrival.mark, record)
        for again in self.progress[CP]:
            if self._repeats(again, arrival) and again.first is not arrival:
                again.first = arrival
        self.late[command.key] = (arrival, record, command.records)
        self.noted_before[command.key] = len(self.noted)

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
        assert not (isinstance(command.answer, Unanswered) and self._must_not_be_told(arrival)), "it is money"
        if arrival.duplicate:
            assert isinstance(command.answer, CallError) and command.answer.code == ErrorCode.ProtocolError
        elif arrival.known is not None:
            assert structs.replace(arrival.known, unique_id=command.answer.unique_id) == command.answer
        else:
            self._watch_origin(arrival.first or arrival, command.answer)
        arrival.told = command.answer

    def _must_not_be_told(self, arrival: Arrival) -> bool:
        """The one exception of promise 1."""
        return self.stage.sides[CP].carries_answers and arrival.sender is CP and arrival.call.action in _MONEY

    def _watch_origin(self, arrival: Arrival, told: Answer) -> None:
        """What is told is what was answered to just this Call, or to the one that it repeats."""
        given = arrival.given
        match told:
            case CallResult(payload=payload) if arrival.mark is not None:
                assert isinstance(given, CallResult) and self._renamed(given.payload, payload)
                assert arrival.safe or self.now >= arrival.deadline, "it is told, and not put away"
            case CallResult(payload=payload):
                assert isinstance(given, CallResult) and given.payload is payload
                assert arrival.safe or command_is_free(arrival) or self.now >= arrival.deadline
            case CallError(code=code, description=description):
                assert isinstance(given, CallError) and (given.code, given.description) == (code, description)
            case Unanswered(reason=reason):
                assert given is None or (isinstance(given, Unanswered) and given.reason in reason)

    def _watch_end(self, report: Report) -> None:
        out = self.out[report.sender.other]
        if out is not None and out.hop_id == report.hop_id:
            self.out[report.sender.other] = None
            if out.arrival is not None and report.sender is CP and out.arrival.mark:
                self._note_lost(out.hop_id, out.arrival, report)
        if report.own:
            assert report.answer is None
            return
        found = [arrival for arrival in self.progress[report.sender] if arrival.call is report.call]
        assert len(found) == 1, "it is no Call in progress: it never came, or its end was reported"
        arrival = found[0]
        self.progress[report.sender].remove(arrival)
        if self.now >= arrival.deadline and arrival.first is None:  # its repetition does not wait for the disk
            self.asking = {key: one for key, one in self.asking.items() if one[0] != arrival.mark}
        if arrival.again:
            assert (report.outcome, report.answer) == (Outcome.RETRANSMITTED, None)
            self.ended += 1
            return
        for key in [key for key, kept in self.persistence.items() if kept[0] is arrival]:
            records = self.persistence.pop(key)[1]
            self.noted += () if arrival.safe else records
        self.ended += 1
        assert report.answer is arrival.told
        assert (report.arrived, report.ended) == (arrival.at, self.now)
        if arrival.excused:
            assert arrival.told is not None or report.outcome is Outcome.ABANDONED
        if arrival.told is not None:
            assert report.outcome in _OUTCOMES[type(arrival.told)]
            repeats = arrival.first is not None or arrival.known is not None
            assert (report.outcome is Outcome.REPEATED) == (repeats and not isinstance(arrival.told, Unanswered))
        elif not arrival.excused:
            assert self._must_not_be_told(arrival), "nobody was told"
            assert report.outcome is Outcome.UNANSWERED
            given = (arrival.first or arrival).given
            assert given is None or isinstance(given, Unanswered), "there is an answer, and it was not told"

    def _note_lost(self, hop_id: str, arrival: Arrival, report: Report) -> None:
        """A Call ended without a verdict: its answer may still come. That of a refusal came."""
        assert arrival.mark is not None
        if isinstance(arrival.given, CallError):
            self.asked.pop(arrival.mark, None)
        elif arrival.given is None and not self.stage.sides[CS].carries_answers and self.now >= arrival.deadline:
            self.posts[hop_id] = arrival
        else:
            self.lost[hop_id] = arrival

    def _watch_time(self) -> None:
        """Nobody waits past the deadline, and the Session will be woken by the next one."""
        arrivals = [arrival for arrivals in self.progress.values() for arrival in arrivals]
        assert len(arrivals) <= self.stage.session.in_progress() <= len(arrivals) + 1
        if not arrivals:
            return
        first = min(arrivals, key=attrgetter("deadline")).deadline
        assert first > self.now, "a Call outlived its deadline"
        assert self.stage.alarm is not None and self.stage.alarm <= first, "nothing would wake the Session in time"


def command_is_free(arrival: Arrival) -> bool:
    """Whether an answer teaches nothing that has to be put away before it is told."""
    return not isinstance(arrival.call.payload, BootNotificationRequest)


def _fits(transaction_id: int | None) -> bool:
    return transaction_id is None or -(2**31) <= transaction_id < 2**31


def all_ended(referee: Referee) -> bool:
    """Whether nothing is in progress, as seen from outside and from inside."""
    inside = [pending for lane in referee.stage.session.lanes.values() for pending in lane if not pending.own]
    return not any(referee.progress.values()) and not inside
