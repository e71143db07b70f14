"""The rules: a Charge Point's two Links, the Calls between them, and what is to be done when something happens.

`Session.handle(event)` returns the Commands that follow. It is the whole interface.

    1  Every Call gets exactly one answer, by its deadline (`call_timeout` after it arrived, waiting included).
    2  One Call is out per direction; others wait in the order of their arrival. The two directions never wait for
       each other.
    3  A UniqueId that names a Call in progress names no second one, but for a repetition of it (rule 12).
    4  An answer is matched by the UniqueId of its hop, and only while its Call is out. Any other goes nowhere.
    5  A Link that can be dialled is dialled when a Call needs it. Lost, it is dialled again after a pause that doubles,
       as long as its Charge Point is there.
    6  What waits for a Link is refused as soon as dialling failed; it is not refused while the next attempt is near.
    7  A Call that was out when its Link was lost is unanswered: it may have arrived. One that certainly did not arrive
       waits for the Link, first in its lane, until its deadline.
    8  A party whose answers travel on its Link gets none after the Link is lost.
    9  The Link to the Central System is closed when the Charge Point has not been heard of for three heartbeats.
   10  What a TriggerMessage triggers is passed on after the answer to the TriggerMessage, if that is near.
   11  An address that did not answer is tried again for the next Call, and when its Charge Point is heard of.
   12  A StartTransaction or StopTransaction that is sent again while the first is out waits for its answer; one whose
       first copy was answered gets that answer. Such an answer is kept before it is told.
   13  The two connections of a Charge Point that has one of its own end together. When its Central System cannot be
       reached it is disconnected, to be offline and queue; and its transaction-related messages that found no answer
       get none, so that it keeps them.
   14  A transactionId beyond 32 bits has an alias towards a SOAP Charge Point.
   15  An operator's Call is treated as the Central System's, but says nothing of its Link, and outlives it.
   16  With `emulate_trigger`, a TriggerMessage that a Charge Point's version lacks repeats what it said last.
   17  A Call that is answered in a party's place, since its version lacks it, waits for no Link to that party.
   18  An answer to a StartTransaction or StopTransaction that comes after the deadline is not told any more, but kept
       for the repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bridge.core.answers import outcome_of, readdressed, told_again
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
from bridge.core.connectors import Connectors
from bridge.core.events import AnswerReceived, CallReceived, Event, Kept, LinkDown, LinkUp, Resumed, TimerFired
from bridge.core.lanes import Lane, Pending
from bridge.core.late import LateAnswers
from bridge.core.links import Link, Side, Status, Terms
from bridge.core.memory import Alias, Aliases, Answered, Memory, Record, Retries, fingerprint
from bridge.core.triggers import LastSaid, accepted, said_again
from bridge.errors import ErrorCode
from bridge.ocpp.actions import TRANSACTION_RELATED, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import (
    BootNotificationRequest,
    BootNotificationResponse,
    Request,
    StartTransactionResponse,
    StopTransactionResponse,
    TriggerMessageRequest,
)
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, frame_of

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_PARTIES = (CHARGE_POINT, CENTRAL_SYSTEM)
_NEVER = float("inf")


class Session:
    """The Session of one Charge Point. `mint` gives a fresh UniqueId, `chance` a number in [0, 1)."""

    def __init__(
        self,
        sides: dict[Party, Side],
        terms: Terms,
        *,
        mint: Callable[[], str],
        chance: Callable[[], float],
        memory: Memory | None = None,
    ) -> None:
        self._sides = sides
        self._terms = terms
        self._mint = mint
        self._chance = chance
        self.links = {party: Link() for party in _PARTIES}
        self.lanes = {party: Lane() for party in _PARTIES}  # by the party that the Calls go to
        self._to_cp, self._to_cs = self.lanes[CHARGE_POINT], self.lanes[CENTRAL_SYSTEM]
        self._posted = [self.links[party] for party in _PARTIES if not sides[party].carries_answers]
        self.last_heard: float | None = None
        memory = Memory() if memory is None else memory
        self.heartbeat = memory.heartbeat
        self.connectors = Connectors(memory.connectors)
        self._boot = memory.boot
        self._said = LastSaid([memory.boot] if memory.boot else []) if terms.emulate_trigger else None
        self._retries = Retries(memory.answered)
        self._aliases = Aliases(memory.aliases)
        self._keeping: dict[str, tuple[Pending, CallResult]] = {}
        self._late = LateAnswers()
        self._alarm: float | None = None
        self._commands: list[Command] = []  # what the event that is handled leads to

    def handle(self, event: Event) -> list[Command]:
        """What is to be done now that `event` happened."""
        commands: list[Command] = []
        self._commands, at = commands, event.at
        self._react(event)
        # While a Call is in progress nothing is due before the alarm; when the last has ended, silence may be.
        if self._alarm is None or self._alarm <= at:
            self._on_time(at)
        elif not self._is_busy():
            self._on_silence(at)
        self._advance(at)
        self._set_alarm(at)
        return commands

    def in_progress(self) -> int:
        """How many Calls wait for an answer."""
        return sum(1 for party in _PARTIES for _ in self._in_progress_to(party))

    def _is_busy(self) -> bool:
        """Whether a Call is in progress: asked after every event."""
        to_cs, to_cp = self._to_cs, self._to_cp
        return bool(to_cs.out or to_cp.out or to_cs.waiting or to_cp.waiting or self._keeping)

    def _in_progress_to(self, party: Party) -> Iterator[Pending]:
        """The Calls for `party`, repetitions included."""
        for pending in self._firsts_to(party):
            yield pending
            yield from pending.followers

    def _firsts_to(self, party: Party) -> Iterator[Pending]:
        yield from self.lanes[party]
        yield from (pending for pending, _ in self._keeping.values() if pending.sender is not party)

    def _react(self, event: Event) -> None:
        match event:
            case CallReceived():
                self._on_call(event)
            case AnswerReceived():
                self._on_answer(event)
            case LinkUp():
                self._on_link_up(event)
            case LinkDown():
                self._on_link_down(event)
            case Kept(key=key):
                if key in self._keeping:
                    self._end_kept(key, event.at)
                elif (answered := self._late.kept(key)) is not None:
                    self._repeat(answered, event.at)
            case Resumed():
                self._on_resumed(event)
            case TimerFired():
                self._alarm = None

    # Calls and answers.

    def _on_call(self, event: CallReceived) -> None:
        if not event.operator:  # rule 15
            self._heard(event.party, event.at)
            self.links[event.party].confirmed_at = event.at
        for link in self._posted:  # rule 11: one is heard of, the other gets a Call
            if link.opened_before:
                link.status = Status.UP
        pending = Pending(
            sender=event.party,
            key=event.key,
            call=event.call,
            arrived=event.at,
            deadline=event.at + self._terms.call_timeout,
            own=False,
            operator=event.operator,
        )
        pending.mark, pending.instead = fingerprint(event.call.payload), event.instead
        lane = self.lanes[event.party.other]
        if (lane.out or lane.waiting or self._keeping) and any(
            map(pending.clashes_with, self._in_progress_to(event.party.other))
        ):  # rule 3
            description = f"a Call with the UniqueId {event.key!r} is in progress"
            error = CallError(unique_id=event.call.unique_id, code=ErrorCode.ProtocolError, description=description)
            self._end(pending, error, Outcome.REFUSED, event.at)
            return
        if isinstance(event.call.payload, BootNotificationRequest):
            self._boot = event.call.payload
        if self._said is not None and event.party is CHARGE_POINT:
            self._said.see(event.call.payload)
        if pending.mark is None or not self._repeated(pending, event.at):
            lane.waiting.append(pending)

    def _repeated(self, pending: Pending, at: float) -> bool:
        """Rule 12. Whether it is a repetition, and taken care of."""
        # An answer that is being put away is known already, but not told yet.
        firsts = self._firsts_to(pending.sender.other)
        first = next((first for first in firsts if first.mark == pending.mark), None)
        if first is not None:
            first.followers.append(pending)
            return True
        known = self._retries.answer_to(pending.mark, at)
        if known is not None:
            self._end(pending, CallResult(unique_id="", payload=known), Outcome.REPEATED, at)
        return known is not None

    def _on_answer(self, event: AnswerReceived) -> None:
        if not isinstance(event.answer, Unanswered):
            self._heard(event.party, event.at)
        lane = self.lanes[event.party]
        if lane.out is None or lane.out.hop_id != event.answer.unique_id:  # rule 4
            self._on_late_answer(event)
            return
        pending = lane.out
        lane.remove(pending)
        answer = event.answer
        triggered = self._triggered(event, pending) if event.instead else []
        if triggered:
            answer = accepted(answer.unique_id)
        if isinstance(answer, CallResult):
            answer, aliases = self._learn(pending, answer)
            if pending.mark is not None or aliases:
                self._keep(pending, answer, aliases, event.at)
                return
        if pending.abandoned:
            reason = f"the {pending.sender.value} that asked is gone"
            self._drop(event, reason)
        self._end(pending, answer, outcome_of(answer), event.at)
        if triggered:
            self._say_again(triggered, event.at)

    def _on_late_answer(self, event: AnswerReceived) -> None:
        """Rules 4 and 18. What the Charge Point was told nothing about, it sends again: it gets this answer then, not a
        second transaction."""
        reason = "it answers no Call that is out"
        late = self._late.asked(event.party, event.answer)
        if late is not None and not self._is_answered(late[0].mark, event.at):
            reason = "it comes too late, and is kept for the repetition"
            pending = late[0]
            answer, aliases = self._learn(*late)
            record = _answered(pending, answer)
            assert record is not None
            self._late.keep(answer.unique_id, record)
            self._commands.append(Keep(key=answer.unique_id, records=(*aliases, record)))
            self._note(pending, answer)
        self._drop(event, reason)

    def _drop(self, event: AnswerReceived, reason: str) -> None:
        unique_id, frame = event.answer.unique_id, frame_of(event.answer)
        self._commands.append(Drop(party=event.party, unique_id=unique_id, reason=reason, frame=frame))

    def _repeat(self, answered: Answered, at: float) -> None:
        """Rule 18. What has come again meanwhile, and is not sent again yet, need not be."""
        if self._is_answered(answered.fingerprint, at):
            return
        self._retries.add(answered, at)
        lane = self.lanes[CENTRAL_SYSTEM]
        for pending in [pending for pending in lane.waiting if pending.mark == answered.fingerprint]:
            lane.remove(pending)
            self._end(pending, CallResult(unique_id="", payload=answered.answer), Outcome.REPEATED, at)

    def _is_answered(self, mark: str | None, at: float) -> bool:
        """Whether an answer was given to such a message, or is being put away."""
        keeping = any(pending.mark == mark for pending, _ in self._keeping.values())
        return keeping or self._retries.answer_to(mark, at) is not None

    def _triggered(self, event: AnswerReceived, pending: Pending) -> list[Request]:
        """Rule 16. What is to be sent again; nothing if nobody is there any more who asked."""
        asked, said = pending.call.payload, self._said
        if said is None or pending.abandoned or not isinstance(asked, TriggerMessageRequest):
            return []
        return said.asked_for(asked)

    def _say_again(self, payloads: list[Request], at: float) -> None:
        """After the answer, as a Charge Point would (rule 10). What is on its way again already need not follow."""
        lane = self.lanes[CENTRAL_SYSTEM]
        under_way = [pending.call.payload for pending in lane if pending.own]
        lane.waiting.extend(
            self._own(payload, at, (said_again(payload),)) for payload in payloads if payload not in under_way
        )

    def _own(self, payload: Request, at: float, losses: tuple[Loss, ...] = ()) -> Pending:
        """A Call of the bridge itself, in the Charge Point's name."""
        action = type(payload).__name__.removesuffix("Request")
        call = Call(unique_id=self._mint(), action=action, payload=payload, losses=losses)
        deadline = at + self._terms.call_timeout
        return Pending(sender=CHARGE_POINT, key=call.unique_id, call=call, arrived=at, deadline=deadline, own=True)

    def _learn(self, pending: Pending, answer: CallResult) -> tuple[CallResult, list[Alias]]:
        """What the Session keeps of an answer, and the answer as it is to be told."""
        if isinstance(answer.payload, BootNotificationResponse) and not pending.own:
            self.heartbeat = answer.payload.interval
        made: list[Alias] = []
        if pending.sender is CHARGE_POINT and self._sides[CHARGE_POINT].narrow_ids:
            payload, made = self._aliases.outward(answer.payload)
            answer = CallResult(unique_id=answer.unique_id, payload=payload, losses=answer.losses)
        return answer, made

    def _keep(self, pending: Pending, answer: CallResult, aliases: list[Alias], at: float) -> None:
        """Rule 12: what a Charge Point has been told is never forgotten, so it is put away first."""
        records: list[Record] = list(aliases)
        if (kept := _answered(pending, answer)) is not None:
            self._retries.add(kept, at)
            records.append(kept)
        assert pending.hop_id is not None
        self._keeping[pending.hop_id] = (pending, answer)
        self._commands.append(Keep(key=pending.hop_id, records=tuple(records)))

    def _end_kept(self, key: str, at: float) -> None:
        pending, answer = self._keeping.pop(key)
        self._end(pending, answer, Outcome.RESULT, at)

    def _end(self, pending: Pending, answer: Answer, outcome: Outcome, at: float) -> None:
        """`pending` is over, and with it its repetitions: tell their sender, if it is still there to be told."""
        told = None
        if pending.abandoned:
            outcome = Outcome.ABANDONED
        elif not pending.own and not self._is_better_left_unanswered(pending, answer):
            told = readdressed(answer, pending.call.unique_id)
            self._commands.append(SendAnswer(party=pending.sender, key=pending.key, answer=told))
        report = Report(
            sender=pending.sender,
            call=pending.call,
            outcome=outcome,
            arrived=pending.arrived,
            ended=at,
            hop_id=pending.hop_id,
            sent=pending.sent,
            answer=told,
            own=pending.own,
            operator=pending.operator,
        )
        self._commands.append(report)
        if outcome in (Outcome.RESULT, Outcome.ABANDONED):
            self._note(pending, answer)
        for follower in pending.followers:
            repeated = Outcome.UNANSWERED if isinstance(answer, Unanswered) else Outcome.REPEATED
            answer = answer if told is None else told_again(answer)
            self._end(follower, answer, repeated, at)

    def _is_better_left_unanswered(self, pending: Pending, answer: Answer) -> bool:
        """Rule 13. OCPP-J has no way to say that it is the link that failed, not the message; a CALLERROR would let a
        Charge Point give up what is money (DESIGN section 1, promise 1)."""
        return (
            isinstance(answer, Unanswered)
            and pending.sender is CHARGE_POINT
            and self._sides[CHARGE_POINT].carries_answers
            and pending.call.action in TRANSACTION_RELATED
        )

    def _note(self, pending: Pending, answer: Answer) -> None:
        """What the messages that passed say of the connectors, whether or not anybody was there to be told."""
        if pending.sender is CHARGE_POINT and not pending.own and isinstance(answer, CallResult):
            record = self.connectors.see(pending.call.payload, answer.payload)
            if record is not None:
                self._commands.append(Note(records=(record,)))

    def _heard(self, party: Party, at: float) -> None:
        if party is CHARGE_POINT:
            self.last_heard = at
        if self.links[party].status is Status.UP:
            # Not LinkUp: a Central System that accepts and hangs up at once must not be dialled without a pause.
            self.links[party].failures = 0

    # Links.

    def _on_link_up(self, event: LinkUp) -> None:
        link = self.links[event.party]
        link.status, link.retry_at, link.reason, link.confirmed_at = Status.UP, None, "", event.at
        if event.party is CENTRAL_SYSTEM and self._sides[CENTRAL_SYSTEM].dialable and self._terms.replay_boot:
            self._replay_boot(event.at)
        link.opened_before = True

    def _replay_boot(self, at: float) -> None:
        """For a Central System that insists on a BootNotification on every connection (rule 22 forbids to invent one:
        this is the Charge Point's last, as it was)."""
        lane = self.lanes[CENTRAL_SYSTEM]
        if self._boot is None or any(isinstance(pending.call.payload, BootNotificationRequest) for pending in lane):
            return
        lane.waiting.insert(0, self._own(self._boot, at))

    def _on_link_down(self, event: LinkDown) -> None:
        link, lane, side = self.links[event.party], self.lanes[event.party], self._sides[event.party]
        failed_to_open = link.status is Status.OPENING
        link.status, link.reason = Status.DOWN, event.reason
        if side.carries_answers:
            self._abandon_calls_of(event.party, event.at)
        if self._sides[CHARGE_POINT].carries_answers:
            self._end_both(event)
        out = lane.out
        undelivered = out is not None and out.hop_id == event.undelivered
        if out is not None and undelivered and not out.abandoned:
            if not side.carries_answers and out.sent is not None and link.confirmed_at > out.sent:  # rule 11
                link.status = Status.UP
            lane.take_back()
        elif out is not None and (undelivered or side.carries_answers):
            self._fail(lane, out, event.reason, event.at)
        if side.dialable:
            link.retry_later(event.at, self._terms, self._chance(), lost=not failed_to_open)
        if event.party is CENTRAL_SYSTEM and (failed_to_open or not side.dialable):  # rule 6
            for pending in tuple(lane.waiting):
                self._fail(lane, pending, event.reason, event.at)

    def _end_both(self, event: LinkDown) -> None:
        """Rule 13. OCPP 1.6 edition 2, 3.7: an offline Charge Point queues what is transaction-related."""
        other = event.party.other
        if not self._sides[other].carries_answers or self.links[other].status is not Status.UP:
            return
        self.links[other].status, self.links[other].reason = Status.DOWN, event.reason
        self._abandon_calls_of(other, event.at)
        if (out := self.lanes[other].out) is not None:  # rule 7
            self._fail(self.lanes[other], out, event.reason, event.at)
        self._commands.append(CloseLink(party=other, reason=event.reason, try_again=other is CHARGE_POINT))

    def _abandon_calls_of(self, party: Party, at: float) -> None:
        """Rule 8. What has not been sent on need not be any more; what is out is left to end by itself."""
        lane = self.lanes[party.other]
        for pending, _ in self._keeping.values():
            pending.abandon_if_of(party)
        for pending in tuple(lane):
            if pending.abandon_if_of(party) and pending is not lane.out:
                lane.remove(pending)
                self._end(pending, pending.unanswered("it hung up"), Outcome.ABANDONED, at)

    def _on_resumed(self, event: Resumed) -> None:
        """Rule 5, for a Charge Point that is still there: its Link is opened again some time soon."""
        self.last_heard = event.last_heard
        link = self.links[CENTRAL_SYSTEM]
        if self._sides[CENTRAL_SYSTEM].dialable and link.status is Status.DOWN:
            link.retry_soon(event.at, self._terms, self._chance())

    def _fail(self, lane: Lane, pending: Pending, reason: str, at: float) -> None:
        lane.remove(pending)
        self._late.expect(pending)
        self._end(pending, pending.unanswered(reason), Outcome.UNANSWERED, at)

    # Time.

    def _on_time(self, at: float) -> None:
        """After any event, not only TimerFired: a timer may be late, and no Call is sent on whose time is over."""
        for lane in self.lanes.values():
            for pending in tuple(lane):
                if pending.deadline <= at:  # rule 1
                    self._fail(lane, pending, self._why_late(pending), at)
        for key, (pending, _) in tuple(self._keeping.items()):
            if pending.deadline <= at:  # it is known; a store that hangs does not keep it from who waits for it
                self._end_kept(key, at)
        self._on_silence(at)

    def _on_silence(self, at: float) -> None:
        """Rule 9."""
        link = self.links[CENTRAL_SYSTEM]
        if link.status is Status.UP and self._idle_at() <= at:
            link.status, link.reason, link.failures = Status.DOWN, "closed: the Charge Point is silent", 0
            reason = "the Charge Point has not been heard of"
            self._commands.append(CloseLink(party=CENTRAL_SYSTEM, reason=reason))

    def _why_late(self, pending: Pending) -> str:
        waited = f"within {self._terms.call_timeout:g} s"
        if pending.hop_id is not None:
            return waited
        link = self.links[pending.sender.other]
        if link.status is Status.UP:
            return f"{waited}: busy with an earlier Call"
        return f"{waited}: it cannot be reached, {link.reason}"

    def _idle_at(self) -> float:
        """When the virtual Link has outlived its use; never while a Call is in progress, or a connection of the Charge
        Point's own tells that it is there."""
        connected = self._sides[CHARGE_POINT].carries_answers and self.links[CHARGE_POINT].status is Status.UP
        if connected or self.last_heard is None or self._is_busy():
            return _NEVER
        interval = self.heartbeat
        return self.last_heard + (3 * interval if interval and interval > 0 else self._terms.idle_default)

    # What follows from any event.

    def _advance(self, at: float) -> None:
        for party, lane in self.lanes.items():
            if self._sides[party].dialable and self.links[party].status is Status.DOWN:
                self._dial(party, at)
            if lane.waiting and lane.out is None and (pending := self._next_to(party, at)) is not None:  # rule 2
                self._send(party, pending, at)

    def _send(self, party: Party, pending: Pending, at: float) -> None:
        hop_id, asked = self._mint(), pending.call
        self.lanes[party].send(pending, hop_id, at)
        payload, made = self._renamed(pending)
        if made:
            self._commands.append(Note(records=tuple(made)))
        call = Call(unique_id=hop_id, action=asked.action, payload=payload, losses=asked.losses)
        self._commands.append(SendCall(party=party, call=call, deadline=pending.deadline))

    def _next_to(self, party: Party, at: float) -> Pending | None:
        """The first that waits, if there is a Link; else the first that needs none (rule 17)."""
        waiting = self.lanes[party].waiting
        if self.links[party].status is Status.UP:
            return None if self._held(party, at) else waiting[0]
        return next((pending for pending in waiting if pending.instead), None)

    def _renamed(self, pending: Pending) -> tuple[Request, list[Alias]]:
        """Rule 14."""
        if not self._sides[CHARGE_POINT].narrow_ids:
            return pending.call.payload, []
        if pending.sender is CENTRAL_SYSTEM:
            return self._aliases.outward(pending.call.payload)
        return self._aliases.inward(pending.call.payload), []

    def _held(self, party: Party, at: float) -> bool:
        """Rule 10. OCPP 1.6 edition 2, 5.17: the Charge Point first answers, then sends what was asked for. In OCPP-S
        the two come on different connections, and may overtake each other (rule 90)."""
        until = self._held_until() if party is CENTRAL_SYSTEM else None
        return until is not None and until > at

    def _held_until(self) -> float | None:
        trigger, waiting = self._to_cp.out, self._to_cs.waiting
        if trigger is None or trigger.sent is None or not waiting or waiting[0].arrived < trigger.sent:
            return None
        request = trigger.call.payload
        if not isinstance(request, TriggerMessageRequest) or request.requestedMessage != waiting[0].call.action:
            return None
        return waiting[0].arrived + self._terms.trigger_grace

    def _dial(self, party: Party, at: float) -> None:
        """Rules 5 and 6."""
        link, lane = self.links[party], self.lanes[party]
        if link.retry_at is not None and link.retry_at > at and not (link.eager and lane.waiting):
            if link.retry_at - at > self._terms.patience:
                for pending in tuple(lane.waiting):
                    self._fail(lane, pending, link.reason, at)
            return
        if lane.waiting or (link.retry_at is not None and self._idle_at() > at):
            link.status, link.retry_at, link.eager = Status.OPENING, None, False
            self._commands.append(OpenLink(party=party))
        else:
            link.retry_at = None

    def _set_alarm(self, at: float) -> None:
        """One timer, for whatever comes first. It may fire early, when what it was set for is over."""
        due = self._due(at)
        if due < (_NEVER if self._alarm is None else self._alarm):
            self._alarm = due
            self._commands.append(SetTimer(at=due))

    def _due(self, at: float) -> float:
        """When something is to be done though nothing happens; _NEVER if nothing is."""
        link = self.links[CENTRAL_SYSTEM]
        due = self._idle_at() if link.status is Status.UP else _NEVER
        if link.status is Status.DOWN and link.retry_at is not None:
            due = link.retry_at
        for lane in (self._to_cs, self._to_cp):
            if (lane.out or lane.waiting) and (deadline := lane.next_deadline()) < due:
                due = deadline
        for pending, _ in self._keeping.values():
            due = min(due, pending.deadline)
        held = self._held_until()
        return due if held is None or held <= at else min(due, held)


def _answered(pending: Pending, answer: CallResult) -> Answered | None:
    """What is kept for the repetitions of `pending`, if they matter."""
    if pending.mark is None or not isinstance(answer.payload, StartTransactionResponse | StopTransactionResponse):
        return None
    return Answered(fingerprint=pending.mark, answer=answer.payload)
