"""The rules for a Charge Point's two Links, one to each party, and for the Calls between the parties.

`Session.handle(event)` returns the Commands that follow from an event. No other method changes the Session.

    1  Every Call gets exactly one answer, by its deadline (`call_timeout` after its arrival, waiting included).
    2  One Call is out per direction; other Calls wait in the order of their arrival. The two directions never wait for
       each other.
    3  A UniqueId that names a Call in progress names no second Call.
    4  An answer is matched by the UniqueId of its hop, and only while its Call is out. Other answers are dropped.
    5  A Link that can be dialled is dialled when a Call needs it. A lost Link is dialled again after a pause that
       doubles, as long as its Charge Point is there.
    6  A Call that waits for a Link is refused as soon as dialling failed, but not while the next attempt is near.
    7  A Call that was out when its Link was lost is unanswered: it may have arrived. A Call that certainly did not
       arrive waits for the Link, first in its lane, until its deadline.
    8  A party whose answers travel on its Link gets no answer after the Link is lost.
    9  The Link to the Central System is closed when the Charge Point is silent for too long (`silence`).
   10  A message that a TriggerMessage triggers is passed on after the answer to the TriggerMessage, if that is near.
   11  An address that did not answer is tried again for the next Call, and when a message of its Charge Point comes.
   12  A repetition of a StartTransaction or StopTransaction waits for the answer to the first copy while that is out,
       and gets the answer of a first copy that was answered. Such an answer is kept before it is sent, and the UniqueId
       of such a message before the message is sent. Without an answer, the message is repeated under that UniqueId.
   13  A JSON Charge Point's own connection and its connection to the Central System end together. When its Central
       System cannot be reached, the Charge Point is disconnected, so that it is offline and queues. Its
       transaction-related messages without an answer from the Central System get none, so that it keeps them.
   14  A transactionId beyond 32 bits has an alias towards a SOAP Charge Point.
   15  An operator's Call is treated as the Central System's, but has no effect on the Central System's Link, and
       outlives that Link.
   16  With `emulate_trigger`, a TriggerMessage that a Charge Point's version lacks repeats its last such message.
   17  A Call that is answered in a party's place, because its version lacks the action, needs no Link to that party.
   18  An answer to a StartTransaction or StopTransaction that comes after the deadline is not sent any more, but kept
       for the repetition. While the POST of the first copy goes on, a repetition waits for its end.
   19  A frame that repeats a Call in progress (UniqueId, action and payload) gets no answer of its own: the one answer
       serves both.
   20  A link failure ends one Call. The Link counts as lost only when the other party cannot be reached. A party that
       asks for a pause (Retry-After) gets it.
   21  A BootNotification is answered after the records that follow from it are kept.
   22  The bridge sends a SOAP Charge Point's last BootNotification to a Central System that has not received it or asks
       for it (`boots`). Until it is accepted, every other Call of the Charge Point ends with a link failure.
   23  While a JSON Charge Point is connected and nothing is sent to its SOAP Central System for one heartbeat interval,
       the bridge sends a Heartbeat: the Charge Point may send Pings in place of Heartbeats (OCPP-J 1.6 section 5.3).
   24  With `infer_status`, if a connector only reports Occupied, the bridge sends the status Charging after the
       StartTransaction was accepted, and Finishing after the StopTransaction, before any other Call. The Central System
       has 5 s to answer; the answer has no effect (`inference`).
   25  With `wake_url`, the bridge asks for a SOAP Charge Point to be woken if a command waits and the Charge Point
       cannot be reached, once in five minutes.
   26  A transaction belongs to the Central System that named it (`transactions`). If its number names another
       transaction of the Charge Point already, the Charge Point is told an alias. A Charge Point that was moved has a
       former Session with the Central System of a transaction that goes on (`former`).
   27  A policy applies to a Call before the rules on repetitions and lanes (`policies`). A Call that a policy answers
       or refuses is not passed on. A Call that a policy delays counts as in progress, and later Calls of the same
       sender do not overtake it.
   28  A StartTransaction or StopTransaction that was answered is kept with its answer for the further Central Systems
       of the Charge Point (`observers`).
   29  A JSON Charge Point that is moved keeps its connection, which another Session is given. The earlier Session ends
       its Calls in progress and no longer obeys rule 13; the other one sends the Charge Point nothing before that. It
       dials its Central System at once, and sends the last BootNotification and StatusNotifications there first. If
       the BootNotification is not accepted, the StatusNotifications are not sent.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import structs

from bridge.core.answers import is_kept_back, outcome_of, readdressed, without_losses
from bridge.core.boots import NEVER, Booted, Boots
from bridge.core.commands import (
    CloseLink,
    Command,
    Drop,
    Exchange,
    Keep,
    Note,
    OpenLink,
    Outcome,
    Report,
    SendAnswer,
    SendCall,
    SetTimer,
    Wake,
)
from bridge.core.events import (
    AnswerReceived,
    CallReceived,
    CopyReceived,
    Event,
    HandedOver,
    LinkDown,
    LinkUp,
    RecordsKept,
    Resumed,
    TimerFired,
    TurnTaken,
)
from bridge.core.former import permitted
from bridge.core.inference import INFERRED, WITHIN, InferredStatuses, is_inferred
from bridge.core.lanes import Lane, Pending
from bridge.core.late import LateAnswers
from bridge.core.links import Link, SessionTerms, SessionTimes, Side, Status
from bridge.core.memory import Alias, ChargePointRecords, Record, SessionMemory
from bridge.core.observed import observed
from bridge.core.policies import PolicyRule
from bridge.core.repetitions import Asked, fingerprint, kept_answer, record_of
from bridge.core.silence import Silence
from bridge.core.transaction_ids import renumbered
from bridge.core.triggers import LastSaid, accepted, said_again
from bridge.errors import ErrorCode, known_code
from bridge.ocpp.actions import TRANSACTION_RELATED, Party
from bridge.ocpp.enums import ChargePointStatus, RegistrationStatus, RemoteStartStopStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    BootNotificationRequest,
    BootNotificationResponse,
    HeartbeatRequest,
    RemoteStartTransactionRequest,
    RemoteStartTransactionResponse,
    RemoteStopTransactionRequest,
    RemoteStopTransactionResponse,
    Request,
    Response,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    TriggerMessageRequest,
)
from bridge.ocpp.rpc import (
    UNOPENED,
    Answer,
    Call,
    CallError,
    CallResult,
    Failure,
    Unanswered,
    UnopenedRequest,
    is_same,
)
from bridge.ocpp.wire import Wires

HEARTBEAT_SENT = Loss(message="HeartbeatRequest", path="", reason=LossReason.HEARTBEAT)
CAPPED = Loss(message="BootNotificationResponse", path="interval", reason=LossReason.CAPPED_INTERVAL)
CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_PARTIES = (CHARGE_POINT, CENTRAL_SYSTEM)
_NEVER = float("inf")
# How a Link ended that took the other one with it (rule 13).
_ENDED = {CHARGE_POINT: "the Charge Point is gone", CENTRAL_SYSTEM: "the Central System is gone"}
# Seconds between two requests to wake a Charge Point.
_WAKE_PAUSE = 300.0
# A Charge Point that sends its own Heartbeats may be late by a tenth of the interval.
_HEARTBEAT_LATE = 1.1
_METER_VALUES, _MOST_METERS = "MeterValues", 100
_NO_CALL = "it answers no Call that is out"
_ASKED = "asked:"  # prefix, in the keys of Keep, of the UniqueId of a Call that is not sent yet
# The attributes of a Session that its creator gives, and those that follow from others.
_GIVEN = frozenset(
    {
        "sides",
        "_terms",
        "_mint",
        "_mint_for",
        "_observers",
        "_chance",
        "_wires",
        "_to_cp",
        "_to_cs",
        "_posted",
        "_commands",
        "_speaks_soap",
        "_alarm",
    }
)
_START = "StartTransaction"
_ENDS = frozenset({_START, "StopTransaction"})
_NOT_BOOTED = "the Central System has not accepted a BootNotification of this Charge Point"


class Session:
    """The Session of one Charge Point.

    Args:
        sides: The properties of each party's transport.
        terms: The settings of the route and the gateway.
        mint: Returns a fresh UniqueId.
        mint_for: Returns the UniqueId for a Call by its key: always the same for the key of a request that another
            process gets again if this one dies (design/cluster.md C2), else a fresh one. None is `mint` for all keys.
        chance: Returns a random number in [0, 1).
        memory: The stored records of the Charge Point.
        records: Those records that do not depend on the Central System, if another Session of the Charge Point has them
            already.
        wires: Returns the Wires that a Call of the bridge itself carries, None if nobody records them.
        observers: Returns the names of the further Central Systems of the Charge Point (rule 28).
    """

    def __init__(
        self,
        sides: dict[Party, Side],
        terms: SessionTerms,
        *,
        mint: Callable[[], str],
        chance: Callable[[], float],
        memory: SessionMemory | None = None,
        records: ChargePointRecords | None = None,
        wires: Callable[[], Wires | None] = lambda: None,
        observers: Callable[[], tuple[str, ...]] = tuple,
        mint_for: Callable[[str], str] | None = None,
    ) -> None:
        self.sides = sides
        self._terms = terms
        self._mint = mint
        self._mint_for = mint_for
        self._chance = chance
        self._wires = wires
        self._observers = observers
        self.links = {party: Link() for party in _PARTIES}
        self.lanes = {party: Lane() for party in _PARTIES}  # each under the party that the Calls go to
        self._to_cp, self._to_cs = self.lanes[CHARGE_POINT], self.lanes[CENTRAL_SYSTEM]
        self._posted = [self.links[party] for party in _PARTIES if not sides[party].carries_answers]
        memory = SessionMemory() if memory is None else memory
        self.silence = Silence(memory.presence, terms.idle_default)
        records = ChargePointRecords(memory, terms.central_system) if records is None else records
        self.connectors, self._statuses = records.connectors, records.statuses
        self.transactions, self._aliases = records.transactions, records.aliases
        self._repetitions, self._authorizations = records.repetitions, records.authorizations
        self._speaks_soap = not sides[CHARGE_POINT].carries_answers
        self.boots = Boots(terms.replay_boot if self._speaks_soap else NEVER, memory.boot, introduce=memory.introduce)
        self._said = LastSaid([memory.boot] if memory.boot else []) if terms.emulate_trigger else None
        # Whether the bridge tells the Central System who comes: a JSON Charge Point that connects does so itself.
        self._introduces = self._speaks_soap
        self._is_handed_over = self._turn_taken = False  # rule 29: of the earlier and of the later Session
        self._inferred = InferredStatuses(memory) if terms.infer_status and self._speaks_soap else None
        self._unkept: set[str] = set()  # UniqueIds of rule 12 that are not kept yet
        self._failed_meters: dict[object, str] = {}  # MeterValues without a verdict, and their UniqueIds
        self._times = SessionTimes()
        self._persistence: dict[str, tuple[Pending, CallResult]] = {}
        self._delayed: list[Pending] = []  # rule 27, of both senders
        self._late = LateAnswers()
        self._alarm: float | None = None
        self._commands: list[Command] = []  # the commands that follow from the current event

    @property
    def records(self) -> ChargePointRecords:
        """The records of the Charge Point that do not depend on the Central System."""
        records = ChargePointRecords.__new__(ChargePointRecords)
        records.connectors, records.statuses = self.connectors, self._statuses
        records.transactions, records.aliases = self.transactions, self._aliases
        records.repetitions, records.authorizations = self._repetitions, self._authorizations
        return records

    def state(self) -> dict[str, Any]:
        """Return all that changes in a Session, by name, for a snapshot. Calls in flight are part of it."""
        return {name: value for name, value in vars(self).items() if name not in _GIVEN}

    def take_over(self, state: dict[str, Any]) -> None:
        """Replace the state of this Session, which has handled no event, by that of a snapshot.

        The next event sets the timer. Called with an event TimerFired, a Session goes on at once.

        Args:
            state: What `state` returned, in this process or another one, with times on the clock of this process.
        """
        vars(self).update(state)
        self._to_cp, self._to_cs = self.lanes[CHARGE_POINT], self.lanes[CENTRAL_SYSTEM]
        self._posted = [self.links[party] for party in _PARTIES if not self.sides[party].carries_answers]

    def handle(self, event: Event) -> list[Command]:
        """Return the commands that follow from `event`, in the order of their execution."""
        commands: list[Command] = []
        self._commands, at = commands, event.at
        self._react(event)
        # While a Call is in progress nothing is due before the alarm. After the last Call, the silence may be too long.
        if self._alarm is None or self._alarm <= at:
            self._on_time(at)
        elif not self._is_busy():
            self._on_silence(at)
        self._advance(at)
        self._set_alarm(at)
        return commands

    @property
    def last_heard(self) -> float | None:
        """Return when the Charge Point was last heard of, on the clock of the events in seconds; None if it was not."""
        return self._times.heard

    @property
    def command_patience(self) -> float:
        """Seconds that a command to the Charge Point may take."""
        return self._timeout_of(CHARGE_POINT)

    def last_said(self) -> list[Request]:
        """Return the last BootNotification and StatusNotifications of the Charge Point that have been answered.

        Returns nothing while the Charge Point boots: what it says anew follows.
        """
        boot = self.boots.request
        coming = [_read(pending.call.payload) for pending in self._in_progress_to(CENTRAL_SYSTEM) if not pending.own]
        if any(isinstance(request, BootNotificationRequest) for request in coming):
            return []
        said = [*([] if boot is None else [boot]), *self._statuses.requests()]
        return [request for request in said if request not in coming]

    @property
    def introduces(self) -> bool:
        """Return whether the Central System is yet to get the BootNotification of a Charge Point that was moved."""
        return self._introduces and self.boots.introduce

    @property
    def holds_turn(self) -> bool:
        """Return whether Calls to the Charge Point are in progress, here or in an earlier Session (rule 29)."""
        return self._turn_taken or bool(len(self._to_cp))

    @property
    def is_quiet(self) -> bool:
        """Return whether no Call is in progress and no POST goes on whose answer is for a repetition."""
        return not self._is_busy()

    def has_first_of(self, key: str, call: Call) -> bool:
        """Return whether a Call of the Charge Point repeats one that is in progress here (rules 12, 18 and 19).

        Args:
            key: The name under which the Charge Point waits for the answer to `call`.
            call: The Call.
        """
        mark = fingerprint(call.payload)
        if mark is not None and any(first.mark == mark for first in self._firsts_to(CENTRAL_SYSTEM)):
            return True
        return self.waits_under(CHARGE_POINT, key)

    def waits_under(self, sender: Party, key: str) -> bool:
        """Return whether a Call of `sender` is in progress under this key."""
        return any(each.key == key and not each.abandoned for each in self._in_progress_to(sender.other))

    @property
    def relays(self) -> bool:
        """Return whether both parties speak JSON, so that payloads are passed on unread."""
        return all(side.carries_answers and not side.dialable for side in self.sides.values())

    @property
    def heartbeat(self) -> int | None:
        """Seconds between heartbeats, None if not known."""
        return self.silence.interval

    def permitted(self, call: Call) -> Call | None:
        """Return a command of a Central System that the Charge Point was moved away from, as the Charge Point gets it.

        Returns None for a command that is refused.
        """
        if self.sides[CHARGE_POINT].narrow_ids:
            payload, made = self._aliases.outward(call.payload)
            if made:  # the number is new, so it names no transaction
                return None
            call = structs.replace(call, payload=payload)
        return permitted(call, self._terms.central_system, self.transactions)

    def owner_of(self, call: Call, at: float) -> str | None:
        """Return the other Central System that a Call of the Charge Point belongs to, or None (rule 26).

        Args:
            call: The Call. A StartTransaction belongs to the Central System that got an earlier copy of it.
            at: The time now, in seconds.
        """
        owner = self.transactions.owner_of(call)
        if owner is None and call.action == _START and (mark := fingerprint(call.payload)) is not None:
            owner = self._repetitions.asked_at(mark, at)
        return None if not owner or owner == self._terms.central_system else owner

    def waiting_for(self, party: Party) -> int:
        """Return the number of Calls for `party` that are not sent yet."""
        delayed = [each for each in self._delayed if each.sender is not party] if self._delayed else ()
        return len(self.lanes[party].waiting) + len(delayed)

    def open_transactions(self, at: float) -> int:
        """Return the number of open transactions. Every StartTransaction in progress counts as one.

        Args:
            at: The time now, in seconds.
        """
        in_progress = sum(pending.call.action == _START for pending in self._to_cs)
        return max(in_progress, self.records.open_transactions(at))

    def in_progress(self) -> int:
        """Return the number of Calls that wait for an answer."""
        return sum(1 for party in _PARTIES for _ in self._in_progress_to(party))

    def _is_busy(self) -> bool:
        """Return whether a Call is in progress. Called after every event, so it does not count the Calls."""
        to_cs, to_cp = self._to_cs, self._to_cp
        waiting = to_cs.out or to_cp.out or to_cs.waiting or to_cp.waiting or self._persistence
        return bool(waiting or self._late.posts or self._delayed)

    def _in_progress_to(self, party: Party) -> Iterator[Pending]:
        """Yield the Calls for `party` that wait for an answer, repetitions included."""
        for pending in self._firsts_to(party):
            if not pending.over:
                yield pending
            yield from pending.followers
        yield from (pending for pending in self._delayed if pending.sender is not party)

    def _firsts_to(self, party: Party) -> Iterator[Pending]:
        """Yield the Calls for `party` that are not repetitions, and ended Calls whose repetitions wait."""
        yield from self.lanes[party]
        yield from (pending for pending, _ in self._persistence.values() if pending.sender is not party)
        if party is CENTRAL_SYSTEM and self._late.posts:
            yield from self._late.posts.values()

    def _react(self, event: Event) -> None:
        match event:
            case CallReceived():
                self._on_call(event)
            case AnswerReceived():
                self._on_answer(event)
            case CopyReceived():
                self._on_copy(event)
            case LinkUp():
                self._on_link_up(event)
            case LinkDown():
                self._on_link_down(event)
            case RecordsKept(key=key):
                if key in self._persistence:
                    self._end_kept(key, event.at)
                else:
                    self._on_asked(key, event.at)
            case Resumed():
                self._on_resumed(event)
            case HandedOver():
                self._is_handed_over = True
            case TurnTaken(taken=taken):
                self._turn_taken = taken
            case TimerFired():
                self._alarm = None

    # Calls and answers.

    def _on_call(self, event: CallReceived) -> None:
        if not event.operator:  # rule 15
            self._heard(event.party, event.at, event.call.payload)
            self.links[event.party].confirmed_at = event.at
        for link in self._posted:  # rule 11, for the sender and for the receiver of the Call
            if link.opened_before:
                link.status = Status.UP
        pending = Pending(
            sender=event.party,
            key=event.key,
            call=event.call if event.policy is None else event.policy.applied(event.call),
            arrived=event.at,
            deadline=event.at + self._timeout_of(event.party.other),
            own=False,
            operator=event.operator,
        )
        pending.instead = event.instead
        lane = self.lanes[event.party.other]
        busy = lane.out or lane.waiting or self._persistence or self._late.posts or self._delayed
        if busy and self._is_taken(pending, event.at):
            return
        if event.policy is None and not self._delayed:
            self._admit(pending, event.at)
        else:
            self._apply_policy(pending, event.policy, event.at)

    def _on_copy(self, event: CopyReceived) -> None:
        call, policy = structs.replace(event.call, losses=()), event.policy
        if policy is None:
            self._apply_policy(self._own(call.payload, event.at, action=call.action), None, event.at)
        elif policy.passes:
            call = policy.applied(call)
            self._apply_policy(self._own(call.payload, event.at, call.losses, action=call.action), policy, event.at)

    def _apply_policy(self, pending: Pending, policy: PolicyRule | None, at: float) -> None:
        """Answer, delay or admit a Call as its policy says (rule 27).

        A Call without a policy waits behind the delayed Calls of its sender.
        """
        answer = None if policy is None else policy.reply()
        if isinstance(answer, CallError):
            self._end(pending, answer, Outcome.REFUSED, at)
            return
        if answer is not None:
            # The answer to a BootNotification gives the heartbeat interval.
            learns = pending.sender is CHARGE_POINT
            if learns and self.silence.see(_read(pending.call.payload), answer.payload):
                self._commands.append(Note(records=(self.silence.known,)))
            self._end(pending, answer, Outcome.RESULT, at)
            return
        mine = (pending.sender, pending.operator)
        before = [other.not_before for other in self._delayed if (other.sender, other.operator) == mine]
        ready = at + (0.0 if policy is None else policy.seconds)
        pending.not_before = max([min(ready, pending.deadline), *before])  # rule 1, whatever the policy says
        if pending.not_before > at or before:
            self._delayed.append(pending)
        else:
            self._admit(pending, at)

    def _release(self, at: float) -> None:
        """Admit the Calls whose delay is over, in the order of their arrival (rule 27)."""
        due = [pending for pending in self._delayed if pending.not_before <= at]
        if due:
            self._delayed = [pending for pending in self._delayed if pending.not_before > at]
            for pending in due:
                self._admit(pending, at)

    def _admit(self, pending: Pending, at: float) -> None:
        """Put a Call into its lane, unless it can be answered without being sent."""
        lane = self.lanes[pending.sender.other]
        if pending.own:
            lane.waiting.append(pending)
            return
        pending.mark = fingerprint(pending.call.payload)
        request = _read(pending.call.payload)
        if pending.sender is CHARGE_POINT:
            self._take_note(request)
        elif self.boots.pending and (answer := _not_while_pending(request)) is not None:  # rule 22
            self._end(pending, CallResult(unique_id="", payload=answer), Outcome.RESULT, at)
            return
        if pending.mark is None or not self._repeated(pending, pending.mark, at):
            lane.waiting.append(pending)
            if self.boots.introduce and self._is_posted_to(CENTRAL_SYSTEM):  # the first attempt failed
                self._begin_with_boot(at)

    def _timeout_of(self, party: Party) -> float:
        """Return the seconds that a Call to `party` may take."""
        to_charge_point = party is CHARGE_POINT and self._terms.command_timeout is not None
        return self._terms.command_timeout or 0.0 if to_charge_point else self._terms.call_timeout

    def _is_taken(self, pending: Pending, at: float) -> bool:
        """End a Call whose UniqueId names a Call in progress (rules 3 and 19). Return whether it was ended."""
        others = self._in_progress_to(pending.sender.other)
        first = next((other for other in others if other.key == pending.key and not other.abandoned), None)
        if first is None:
            return False
        if is_same(first.call, pending.call):
            self._report(pending, Outcome.RETRANSMITTED, None, at)
            return True
        description = f"a Call with the UniqueId {pending.key!r} is in progress"
        error = CallError(unique_id=pending.call.unique_id, code=ErrorCode.ProtocolError, description=description)
        self._end(pending, error, Outcome.REFUSED, at)
        return True

    def _take_note(self, request: Request | None) -> None:
        """Keep a request of the Charge Point, or of the bridge in its name, for a later replay or TriggerMessage."""
        if isinstance(request, BootNotificationRequest):
            self.boots.request = request
        if self._said is not None and request is not None:
            self._said.see(request)
        if (record := self._statuses.see(request)) is not None:
            self._commands.append(Note(records=(record,)))

    def _repeated(self, pending: Pending, mark: str, at: float) -> bool:
        """Answer a repetition, or let it wait for the answer to its first copy (rules 12 and 18).

        Returns: whether `pending` is a repetition that needs no sending.
        """
        # An answer that the store is writing counts as known already, but is not sent yet.
        firsts = self._firsts_to(pending.sender.other)
        first = next((first for first in firsts if first.mark == mark), None)
        if first is not None:
            first.followers.append(pending)
            if first.over:
                first.deadline = min(first.deadline, pending.deadline)
            return True
        if (known := self._repetitions.answer_to(mark, at)) is not None:
            answer = kept_answer(known, unread=isinstance(pending.call.payload, UnopenedRequest))
            self._end(pending, answer, Outcome.REPEATED, at)
        elif (error := self._late.error_for(mark)) is not None:
            self._end(pending, error, Outcome.REPEATED, at)
        else:
            return False
        return True

    def _on_answer(self, event: AnswerReceived) -> None:
        answered_here = event.instead and event.party is CHARGE_POINT  # the Charge Point itself said nothing
        if not isinstance(event.answer, Unanswered) and not answered_here:
            self._heard(event.party, event.at)
        lane, answer = self.lanes[event.party], event.answer
        pending = lane.out
        if pending is None or pending.sent is None or pending.hop_id != answer.unique_id:  # rule 4
            self._on_late_answer(event)
            return
        if isinstance(answer, Unanswered):
            self._on_link_failure(lane, pending, answer, event.at)
            return
        if isinstance(answer, CallError) and self._wants_boot(lane, pending, answer, event.at):
            return
        lane.remove(pending)
        if (wires := pending.call.wires) is not None and not pending.abandoned:
            wires.answer_received = event.came
        triggered = self._triggered(event, pending) if event.instead else []
        if triggered:
            answer = accepted(answer.unique_id)
        if isinstance(answer, CallResult):
            answer, records = self._learn(pending, answer, event.at)
            if records:
                self._keep(pending, answer, records, event.at)
                return
        else:
            self._repetitions.refused(pending.mark)
        if pending.abandoned:
            self._drop(event, f"the {pending.sender.value} that asked is gone")
        self._end(pending, answer, outcome_of(answer), event.at)
        if triggered:
            self._say_again(triggered, event.at)

    def _on_link_failure(self, lane: Lane, pending: Pending, failed: Unanswered, at: float) -> None:
        """End the Call that is out: its transport reports that it gets no verdict (rule 20)."""
        party = pending.sender.other
        link = self.links[party]
        if failed.failure is Failure.OVERLOADED and failed.retry_after:
            link.not_before = at + failed.retry_after
        if failed.failure is Failure.UNREACHABLE and self._is_posted_to(party):
            self._lose(party, failed.reason, at)
        self._fail(lane, pending, failed, at)

    def _is_posted_to(self, party: Party) -> bool:
        """Return whether `party` is a Central System that gets POSTs. Only a POST shows whether it can be reached."""
        return party is CENTRAL_SYSTEM and not self.sides[CENTRAL_SYSTEM].carries_answers

    def _lose(self, party: Party, reason: str, at: float) -> None:
        """Count the Link to a Central System that gets POSTs as lost, and end the Calls that wait for it.

        Rules 13 and 20: a JSON Charge Point is disconnected as well.
        """
        link, lane = self.links[party], self.lanes[party]
        link.status, link.reason = Status.DOWN, reason
        link.retry_later(at, self._terms, self._chance(), lost=False)
        if not self._speaks_soap:
            self._end_both(party, reason, at)
        for pending in tuple(lane.waiting):
            self._fail(lane, pending, pending.unanswered(reason, Failure.UNREACHABLE), at)

    def _wants_boot(self, lane: Lane, pending: Pending, error: CallError, at: float) -> bool:
        """Replay the BootNotification after a SecurityError that asks for one, or fail the Call (rule 22).

        Returns: False if the SecurityError has to be passed on.
        """
        boots = self.boots
        if (
            pending.sender is not CHARGE_POINT
            or known_code(error.code) is not ErrorCode.SecurityError
            or not self.sides[CENTRAL_SYSTEM].dialable
            or not boots.is_asked_for()
        ):
            return False
        if isinstance(pending.call.payload, BootNotificationRequest):
            return False
        if boots.may_replay(at) and not pending.abandoned:
            self._repetitions.refused(pending.mark)  # the UniqueId has an answer, so the Call is sent under a new one
            lane.take_back()
            self._replay_boot(at)
        elif pending.call.action in TRANSACTION_RELATED:
            text = f"{error.code}: {error.description}" if error.description else error.code
            self._fail(lane, pending, pending.unanswered(f"{_NOT_BOOTED}; {text}", Failure.NOT_BOOTED), at)
        else:
            return False
        return True

    def _on_late_answer(self, event: AnswerReceived) -> None:
        """Drop an answer whose Call is not out, or keep it for the repetition (rules 4 and 18).

        The Charge Point repeats a message without an answer. The repetition gets this answer, so that it does not begin
        a second transaction.
        """
        unique_id = event.answer.unique_id
        if isinstance(event.answer, Unanswered) and unique_id in self._late.posts:
            self._send_repetitions(unique_id)
            return
        reason = _NO_CALL
        pending = self._late.answered(event.party, event.answer)
        if pending is not None and self._repetitions.answer_to(pending.mark, event.at) is None:
            reason = "it comes too late, and is kept for the repetition"
            self._keep_late_answer(pending, event.answer, event.at)
        self._drop(event, reason, kept=pending is not None and reason != _NO_CALL)

    def _keep_late_answer(self, pending: Pending, answer: Answer, at: float) -> None:
        """Keep a late answer. Repetitions of its Call that still wait are not sent: they get the answer."""
        lane = self.lanes[CENTRAL_SYSTEM]
        for again in [again for again in lane.waiting if again.mark == pending.mark]:
            lane.remove(again)
            pending.followers += [again, *again.followers]
            again.followers = []
        if isinstance(answer, CallResult):
            answer, records = self._learn(pending, answer, at)
            self._keep(pending, answer, records, at)
            return
        assert isinstance(answer, CallError)
        assert pending.mark is not None
        self._repetitions.refused(pending.mark)
        if pending.followers:
            self._end(pending, answer, Outcome.ERROR, at)
        else:
            self._late.remember_error(pending.mark, answer)

    def _send_repetitions(self, unique_id: str) -> None:
        """Queue the repetitions that waited for a POST, as one Call: the POST ended without a verdict (rule 18)."""
        post = self._late.posts.pop(unique_id)
        if post.followers:
            first, *others = post.followers
            first.followers += others
            waiting = self.lanes[CENTRAL_SYSTEM].waiting
            waiting.insert(bisect([each.arrived for each in waiting], first.arrived), first)

    def _drop(self, event: AnswerReceived, reason: str, *, kept: bool = False) -> None:
        unique_id, came = event.answer.unique_id, event.came
        self._commands.append(Drop(party=event.party, unique_id=unique_id, reason=reason, came=came, kept=kept))

    def _triggered(self, event: AnswerReceived, pending: Pending) -> list[Request]:
        """Return the messages to send again (rule 16); none if the Link of the party that asked is gone."""
        asked, said = pending.call.payload, self._said
        if said is None or pending.abandoned or not isinstance(asked, TriggerMessageRequest):
            return []
        return said.asked_for(asked)

    def _say_again(self, payloads: list[Request], at: float) -> None:
        """Queue `payloads` after the answer to the TriggerMessage, as a Charge Point would (rule 10).

        A payload that the bridge is already sending again is left out.
        """
        lane = self.lanes[CENTRAL_SYSTEM]
        under_way = [pending.call.payload for pending in lane if pending.own]
        lane.waiting.extend(
            self._own(payload, at, (said_again(payload),)) for payload in payloads if payload not in under_way
        )

    def _own(
        self,
        payload: Request,
        at: float,
        losses: tuple[Loss, ...] = (),
        *,
        within: float | None = None,
        action: str = "",
    ) -> Pending:
        """Return a Call of the bridge itself, in the Charge Point's name.

        Args:
            payload: The request.
            at: The time now, in seconds.
            losses: The marks that say why the bridge sends the Call.
            within: The seconds that the Call may take, if that is less than `call_timeout`.
            action: The action, if the payload does not tell.
        """
        action = action or type(payload).__name__.removesuffix("Request")
        call = Call(unique_id=self._mint(), action=action, payload=payload, losses=losses, wires=self._wires())
        deadline = at + min(self._terms.call_timeout, self._terms.call_timeout if within is None else within)
        return Pending(sender=CHARGE_POINT, key=call.unique_id, call=call, arrived=at, deadline=deadline, own=True)

    def _learn(self, pending: Pending, answer: CallResult, at: float) -> tuple[CallResult, list[Record]]:
        """Learn from an answer.

        Returns: the answer for the sender of the Call, and the records that have to be kept before it is sent.
        """
        records: list[Record] = []
        from_charge_point = pending.sender is CHARGE_POINT
        if from_charge_point and isinstance(_read(answer.payload), BootNotificationResponse):
            answer, kept = self._learn_of_boot(pending, answer, at)
            records += kept
        elif not from_charge_point and self.silence.see(pending.call.payload, answer.payload):
            self._commands.append(Note(records=(self.silence.known,)))
        if from_charge_point:
            authorized = self._authorizations.see(pending.call.payload, answer.payload)
            if authorized is not None:
                self._commands.append(Note(records=(authorized,)))
            elif answer.verbatim is None:  # an answer that passes unchanged is not repaired
                answer = self._authorizations.completed(pending.call.payload, answer)
        if from_charge_point and self.sides[CHARGE_POINT].narrow_ids:
            payload, aliases = self._aliases.outward(answer.payload)
            answer = structs.replace(answer, payload=payload)
            records += aliases
        if from_charge_point and not pending.own:
            answer, rows = self._learn_of_transaction(pending, answer, at)
            records += rows
        if from_charge_point and (answered := record_of(pending.mark, answer)) is not None:
            self._repetitions.answered(answered, at)
            records.append(answered)
            further = tuple([name for name in self._observers() if name != self._terms.central_system])
            if further:  # rule 28
                assert pending.hop_id is not None
                records.append(observed(pending.call, answer, pending.hop_id, further))
        return answer, records

    def _learn_of_transaction(
        self, pending: Pending, answer: CallResult, at: float
    ) -> tuple[CallResult, Sequence[Record]]:
        """Learn which Central System a transaction belongs to (rule 26).

        Returns: the answer, with an alias if the number names another transaction, and the records to keep.
        """
        request, told = _read(pending.call.payload), _read(answer.payload)
        if not isinstance(request, StartTransactionRequest) or not isinstance(told, StartTransactionResponse):
            rows = self.transactions.see(pending.call, at)
            if isinstance(request, StatusNotificationRequest) and request.status is ChargePointStatus.Available:
                self._repetitions.close_starts(request.connectorId)
            if pending.call.action in _ENDS:
                return answer, rows
            if rows:
                self._commands.append(Note(records=tuple(rows)))
            return answer, ()
        self._repetitions.close_starts(request.connectorId)
        made: list[Alias] = []
        number, rows = self.transactions.started(
            self._terms.central_system, request, told.transactionId, lambda: self._aliases.spare(made), at
        )
        if number != told.transactionId:
            answer = structs.replace(answer, payload=renumbered(answer.payload, number))
        return answer, (*made, *rows)

    def _learn_of_boot(self, pending: Pending, answer: CallResult, at: float) -> tuple[CallResult, list[Record]]:
        """Learn from the answer to a BootNotification (rules 21 and 22).

        Returns: the answer, its interval capped to the route's `heartbeat_max`, and the records that have to be kept.
        """
        request, told = _read(pending.call.payload), _read(answer.payload)
        assert isinstance(told, BootNotificationResponse)
        self.boots.answered(told, at, own=pending.own)
        if pending.own:
            if self.boots.waits:
                self._fail_unbooted(at)
            records: list[Record] = []
        else:
            most = self._terms.heartbeat_max
            accepted_ = told.status is RegistrationStatus.Accepted
            if self._speaks_soap and most is not None and accepted_ and told.interval > most:
                told = structs.replace(told, interval=most)
                answer = structs.replace(answer, payload=told, losses=(*answer.losses, CAPPED))
            self.silence.see(request, told)
            records = [self.silence.known]
        if isinstance(request, BootNotificationRequest) and not self._terms.former:
            named = self._terms.central_system
            records.append(
                Booted(request=request, status=told.status.value, interval=told.interval, central_system=named)
            )
        return answer, records

    def _keep(self, pending: Pending, answer: CallResult, records: list[Record], at: float) -> None:
        """Keep `records` before the answer is sent, so that no answer to a Charge Point is forgotten (rules 12, 21)."""
        assert pending.hop_id is not None
        if pending.over:  # only the repetitions wait
            pending.deadline = min([again.deadline for again in pending.followers], default=_NEVER)
        self._persistence[pending.hop_id] = (pending, answer)
        exchange = self._exchange(pending, answer)
        self._commands.append(Keep(key=pending.hop_id, records=tuple(records), exchange=exchange))

    def _exchange(self, pending: Pending, answer: CallResult) -> Exchange:
        """Return a Call and its answer with the transactionIds of the Central System (rule 14)."""
        request, response = _read(pending.call.payload), _read(answer.payload)
        if self.sides[CHARGE_POINT].narrow_ids:
            request, response = self._aliases.inward(request), self._aliases.inward(response)
        return Exchange(request=request, response=response, own=pending.own)

    def _end_kept(self, key: str, at: float) -> None:
        pending, answer = self._persistence.pop(key)
        self._end(pending, answer, Outcome.RESULT, at)

    def _end(self, pending: Pending, answer: Answer, outcome: Outcome, at: float) -> None:
        """End `pending` and its repetitions. Answer the sender of each, if it still waits.

        Args:
            pending: The Call.
            answer: The answer, under any UniqueId.
            outcome: How the Call ends, unless it was abandoned.
            at: The time now, in seconds.
        """
        told = None
        if pending.over:  # the sender knows since the deadline that there is no answer
            pass
        else:
            if pending.abandoned:
                outcome = Outcome.ABANDONED
            elif not pending.own and not self._is_kept_back(pending, answer):
                told = readdressed(answer, pending.call.unique_id)
                self._commands.append(
                    SendAnswer(party=pending.sender, key=pending.key, answer=told, wires=pending.call.wires)
                )
            self._report(pending, outcome, told, at, answer if isinstance(answer, Unanswered) else None)
        if outcome in (Outcome.RESULT, Outcome.ABANDONED):
            self._note(pending, answer, at)
        followers, pending.followers = pending.followers, []
        for follower in followers:
            repeated = Outcome.UNANSWERED if isinstance(answer, Unanswered) else Outcome.REPEATED
            answer = answer if told is None else without_losses(answer)
            self._end(follower, answer, repeated, at)

    def _report(
        self, pending: Pending, outcome: Outcome, told: Answer | None, at: float, failed: Unanswered | None = None
    ) -> None:
        self._commands.append(
            Report(
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
                failed=failed,
                instead=pending.instead,
            )
        )

    def _is_kept_back(self, pending: Pending, answer: Answer) -> bool:
        """Return whether the Charge Point gets no answer, so that it keeps its message (rule 13)."""
        if not isinstance(answer, Unanswered) or pending.operator:
            return False
        return is_kept_back(pending.sender, self.sides[pending.sender], pending.call.action)

    def _note(self, pending: Pending, answer: Answer, at: float) -> None:
        """Learn the state of the connectors from an answered Call, even if its sender does not wait any more."""
        inferred = pending.own and is_inferred(pending.call)
        if pending.sender is not CHARGE_POINT or not isinstance(answer, CallResult) or (pending.own and not inferred):
            return
        record = self.connectors.see(_read(pending.call.payload), _read(answer.payload))
        if record is not None:
            self._commands.append(Note(records=(record,)))
        if self._inferred is None:
            return
        if inferred and isinstance(pending.call.payload, StatusNotificationRequest):
            self._inferred.told(pending.call.payload)
            return
        status = self._inferred.see(pending.call, answer.payload, record)
        if status is not None:  # rule 24
            self._take_note(status)  # before the next message of the Charge Point
            own = self._own(status, at, (INFERRED,), within=WITHIN)
            self.lanes[CENTRAL_SYSTEM].waiting.insert(0, own)

    def _heard(self, party: Party, at: float, request: object = None) -> None:
        if party is CHARGE_POINT:
            self._heard_of_charge_point(at, request)
        if self.links[party].status is Status.UP:
            # LinkUp does not reset this: a Central System that accepts and closes at once must not be dialled without
            # a pause.
            self.links[party].failures = 0

    def _heard_of_charge_point(self, at: float, request: object) -> None:
        if self._speaks_soap and self._times.heard is not None:
            booted = isinstance(request, BootNotificationRequest)
            if self.silence.paused(at - self._times.heard, booted=booted):
                self._commands.append(Note(records=(self.silence.known,)))
        self._times.heard = at

    # Links.

    def _on_link_up(self, event: LinkUp) -> None:
        link = self.links[event.party]
        link.status, link.retry_at, link.reason, link.confirmed_at = Status.UP, None, "", event.at
        self._times.sent = max(self._times.sent, event.at)
        if event.party is CENTRAL_SYSTEM:
            self.boots.connected()
            self._begin_with_boot(event.at)
        link.opened_before = True

    def _begin_with_boot(self, at: float) -> None:
        """Send the BootNotification first on a new connection, if it is due (rule 22)."""
        if not self._introduces or not self.boots.comes_first(at):
            return
        if not self.sides[CENTRAL_SYSTEM].dialable and not self.boots.introduce:
            return  # POSTs have no lasting connection, so none is new
        statuses = self._statuses.requests() if self.boots.introduce else []
        self._replay_boot(at, *statuses)

    def _replay_boot(self, at: float, *statuses: Request) -> None:
        """Queue the Charge Point's last BootNotification, and `statuses` after it, before all other Calls.

        Nothing is queued if a BootNotification is queued or out already.
        """
        lane, boot = self.lanes[CENTRAL_SYSTEM], self.boots.request
        if boot is None or any(isinstance(_read(pending.call.payload), BootNotificationRequest) for pending in lane):
            return
        for stale in [pending for pending in lane.waiting if _is_introduction(pending)]:
            self._fail(lane, stale, stale.unanswered(_NOT_BOOTED, Failure.NOT_BOOTED), at)
        lane.waiting[:0] = [self._own(said, at, (replayed(type(said)),)) for said in (boot, *statuses)]
        self.boots.replayed(at)

    def _fail_unbooted(self, at: float) -> None:
        """End the waiting Calls other than BootNotifications (rule 22).

        OCPP 1.6 edition 2, 4.2: until it is accepted, a Charge Point sends BootNotifications only.
        """
        lane = self.lanes[CENTRAL_SYSTEM]
        for pending in tuple(lane.waiting):
            if not isinstance(_read(pending.call.payload), BootNotificationRequest):
                self._fail(lane, pending, pending.unanswered(_NOT_BOOTED, Failure.NOT_BOOTED), at)

    def _on_link_down(self, event: LinkDown) -> None:
        if event.undelivered in self._late.posts:
            self._send_repetitions(event.undelivered)
            return
        link, lane, side = self.links[event.party], self.lanes[event.party], self.sides[event.party]
        failed_to_open = link.status is Status.OPENING
        link.status, link.reason = Status.DOWN, event.reason
        if event.party is CENTRAL_SYSTEM and not failed_to_open and side.carries_answers:
            self.boots.disconnected(event.at, event.code)
        if event.party is CHARGE_POINT and side.carries_answers:
            self._introduces = self._turn_taken = False  # on its next connection it says itself who comes
        if failed_to_open and not side.dialable:
            link.failures += 1
        if side.carries_answers:
            self._abandon_calls_of(event.party, event.at)
        if not self._speaks_soap:
            self._end_both(event.party, event.reason, event.at)
        out = lane.out
        undelivered = out is not None and (out.hop_id == event.undelivered or out.sent is None)
        if out is not None and undelivered and not out.abandoned:
            if not side.carries_answers and out.sent is not None and link.confirmed_at > out.sent:  # rule 11
                link.status = Status.UP
            lane.take_back()
        elif out is not None and (undelivered or side.carries_answers):
            self._fail(lane, out, out.unanswered(event.reason, Failure.CONNECTION_LOST), event.at)
        if side.dialable:
            link.retry_later(event.at, self._terms, self._chance(), lost=not failed_to_open)
        if self._is_posted_to(event.party) and link.status is Status.DOWN:
            self._lose(event.party, event.reason, event.at)
        elif event.party is CENTRAL_SYSTEM and (failed_to_open or not side.dialable):  # rule 6
            for pending in tuple(lane.waiting):
                self._fail(lane, pending, pending.unanswered(event.reason, Failure.UNREACHABLE), event.at)

    def _end_both(self, party: Party, reason: str, at: float) -> None:
        """Close the Link to the other party, because the Link to `party` is lost (rule 13).

        OCPP 1.6 edition 2, 3.7: an offline Charge Point queues transaction-related messages.
        """
        other = party.other
        if not self.sides[other].carries_answers or self.links[other].status is Status.DOWN:
            return
        if self._is_handed_over and other is CHARGE_POINT:  # rule 29
            return
        reason = f"{_ENDED[party]}: {reason}"  # whoever reads it sees the other end of this Link
        self.links[other].status, self.links[other].reason = Status.DOWN, reason
        self._abandon_calls_of(other, at)
        if (out := self.lanes[other].out) is not None:  # rule 7
            self._fail(self.lanes[other], out, out.unanswered(reason, Failure.CONNECTION_LOST), at)
        self._commands.append(CloseLink(party=other, reason=reason, try_again=other is CHARGE_POINT))

    def _abandon_calls_of(self, party: Party, at: float) -> None:
        """End the waiting Calls of `party`, whose Link is lost (rule 8). A Call that is out ends later by itself."""
        lane = self.lanes[party.other]
        for pending, _ in self._persistence.values():
            pending.abandon_if_of(party)
        for post in self._late.posts.values():
            for again in [again for again in post.followers if again.abandon_if_of(party)]:
                post.followers.remove(again)
                self._end(again, again.unanswered("it hung up", Failure.CONNECTION_LOST), Outcome.ABANDONED, at)
        for pending in [pending for pending in self._delayed if pending.abandon_if_of(party)]:
            self._delayed.remove(pending)
            self._end(pending, pending.unanswered("it hung up", Failure.CONNECTION_LOST), Outcome.ABANDONED, at)
        for pending in tuple(lane):
            if pending.abandon_if_of(party) and pending is not lane.out:
                lane.remove(pending)
                self._end(pending, pending.unanswered("it hung up", Failure.CONNECTION_LOST), Outcome.ABANDONED, at)

    def _on_resumed(self, event: Resumed) -> None:
        """Open the Link to the Central System again soon: the Charge Point is still there (rule 5)."""
        self._times.heard = event.last_heard
        link = self.links[CENTRAL_SYSTEM]
        if self.sides[CENTRAL_SYSTEM].dialable and link.status is Status.DOWN:
            link.retry_soon(event.at, self._terms, 0.0 if event.at_once else self._chance())
        if not self._speaks_soap and self.links[CHARGE_POINT].status is Status.UP:  # rule 29
            self._introduces = True
            if link.status is Status.UP:
                self._begin_with_boot(event.at)
            elif self.sides[CENTRAL_SYSTEM].carries_answers:
                link.status = Status.OPENING
                self._commands.append(OpenLink(party=CENTRAL_SYSTEM))

    def _fail(self, lane: Lane, pending: Pending, failed: Unanswered, at: float, *, posted: bool = False) -> None:
        """End a Call without a verdict.

        Args:
            lane: The lane of the Call.
            pending: The Call.
            failed: Why there is no verdict.
            at: The time now, in seconds.
            posted: Whether the POST of the Call goes on.
        """
        sent = pending.sent is not None
        lane.remove(pending)
        self._end(pending, failed, Outcome.UNANSWERED, at)
        if sent:
            self._late.expect(pending, posted=posted)
            self._expect_meters_again(pending)

    def _expect_meters_again(self, pending: Pending) -> None:
        """Remember the UniqueId of MeterValues without a verdict.

        The Charge Point repeats them, and the repetition is sent under the same UniqueId, so that a Central System can
        recognise it. The UniqueId is not stored: MeterValues are many, and begin and end no transaction.
        """
        if pending.call.action == _METER_VALUES and pending.sender is CHARGE_POINT and pending.hop_id is not None:
            self._failed_meters[_content(pending.call.payload)] = pending.hop_id
            if len(self._failed_meters) > _MOST_METERS:
                del self._failed_meters[next(iter(self._failed_meters))]

    # Time.

    def _on_time(self, at: float) -> None:
        """Admit the Calls whose delay is over, and end the Calls whose deadline has passed.

        Called after any event, not only TimerFired: a timer may be late, and a Call past its deadline must not be sent.
        """
        if self._delayed:
            self._release(at)
        for lane in self.lanes.values():
            for pending in tuple(lane):
                if pending.deadline <= at:  # rule 1
                    posted = pending is lane.out and self._goes_on(pending)
                    if pending is lane.out:  # so that a store that hangs does not delay the repetition
                        self._unkept.discard(pending.hop_id or "")
                    failed = pending.unanswered(self._why_late(pending), Failure.TIMEOUT)
                    self._fail(lane, pending, failed, at, posted=posted)
                else:
                    self._time_out_followers(pending, at)
        for key, (pending, _) in tuple(self._persistence.items()):
            if pending.deadline <= at:  # the answer is known, so a store that hangs does not delay it any longer
                self._end_kept(key, at)
        for post in self._late.posts.values():
            self._time_out_followers(post, at)
        self._on_silence(at)
        self._beat(at)

    def _time_out_followers(self, pending: Pending, at: float) -> None:
        """End the repetitions of `pending` whose deadline has passed (rule 1)."""
        for again in [again for again in pending.followers if again.deadline <= at]:
            pending.followers.remove(again)
            failed = again.unanswered(f"within {self._terms.call_timeout:g} s", Failure.TIMEOUT)
            self._end(again, failed, Outcome.UNANSWERED, at)

    def _goes_on(self, pending: Pending) -> bool:
        """Return whether the POST of a Call goes on after the deadline of the Call (rule 18)."""
        return pending.mark is not None and pending.sent is not None and self._is_posted_to(pending.sender.other)

    def _beat(self, at: float) -> None:
        """Send the Heartbeat of the bridge if it is due (rule 23)."""
        lane = self.lanes[CENTRAL_SYSTEM]
        if self._beat_at() <= at and not lane.waiting and lane.out is None:
            beat = HeartbeatRequest()
            lane.waiting.append(self._own(beat, at, (HEARTBEAT_SENT,)))

    def _beat_at(self) -> float:
        """Return when the bridge sends the next Heartbeat for a JSON Charge Point; infinity for never."""
        if self._speaks_soap or not self._is_posted_to(CENTRAL_SYSTEM) or self._is_handed_over:
            return _NEVER
        up = all(self.links[party].status is Status.UP for party in _PARTIES)
        interval = self.silence.interval
        return self._times.sent + interval * _HEARTBEAT_LATE if up and interval and interval > 0 else _NEVER

    def _on_silence(self, at: float) -> None:
        """Close the Link to the Central System if the Charge Point is silent for too long (rule 9)."""
        link = self.links[CENTRAL_SYSTEM]
        if link.status is Status.UP and self._idle_at() <= at:
            link.status, link.reason, link.failures = Status.DOWN, "closed: the Charge Point is silent", 0
            reason = "the Charge Point has not been heard of"
            self._commands.append(CloseLink(party=CENTRAL_SYSTEM, reason=reason))

    def _why_late(self, pending: Pending) -> str:
        waited = f"within {self._timeout_of(pending.sender.other):g} s"
        if pending.hop_id is not None:
            return waited
        link = self.links[pending.sender.other]
        if link.status is Status.UP:
            return f"{waited}: busy with an earlier Call"
        return f"{waited}: it cannot be reached, {link.reason}"

    def _idle_at(self) -> float:
        """Return when the silence of the Charge Point is too long.

        Returns infinity while a Call is in progress, or while the Charge Point's own connection is open; for a former
        Central System always, since most messages of the Charge Point go to another one.
        """
        if self._terms.former:
            return _NEVER
        connected = self.sides[CHARGE_POINT].carries_answers and self.links[CHARGE_POINT].status is Status.UP
        if connected or self._times.heard is None or self._is_busy():
            return _NEVER
        return self._times.heard + self.silence.allowed()

    # Steps that may be due after any event.

    def _advance(self, at: float) -> None:
        for party, lane in self.lanes.items():
            if self.sides[party].dialable and self.links[party].status is Status.DOWN:
                self._dial(party, at)
            if lane.waiting:
                self._refuse_until_later(party, at)
                self._wake(party, at)
            while lane.waiting and lane.out is None and (pending := self._next_to(party, at)) is not None:  # rule 2
                if not self._needs_no_sending(pending, at):
                    self._send(party, pending, at)

    def _wake(self, party: Party, at: float) -> None:
        """Emit Wake if a command waits and the Charge Point cannot be reached (rule 25).

        OCPP-S 1.6 section 5: a Charge Point may be reachable only for some time after it has sent a message.
        """
        if self._terms.wakes and party is CHARGE_POINT and self._speaks_soap:
            unreachable = self.links[CHARGE_POINT].status is not Status.UP
            if unreachable and at - self._times.woken >= _WAKE_PAUSE:
                self._times.woken = at
                self._commands.append(Wake())

    def _refuse_until_later(self, party: Party, at: float) -> None:
        """End the Calls that would wait for too long (rules 20 and 22)."""
        link, lane = self.links[party], self.lanes[party]
        if link.not_before - at > self._terms.patience:
            text = f"it asked to wait {link.not_before - at:.0f} s longer (Retry-After)"
            for pending in tuple(lane.waiting):
                self._fail(lane, pending, pending.unanswered(text, Failure.OVERLOADED), at)
        if party is CENTRAL_SYSTEM and self.boots.waits:
            if self.boots.may_replay(at):
                self._replay_boot(at)
            elif lane.out is None or not isinstance(_read(lane.out.call.payload), BootNotificationRequest):
                self._fail_unbooted(at)

    def _needs_no_sending(self, pending: Pending, at: float) -> bool:
        """End a Call that is next, if what happened while it waited makes its sending wrong. Return whether it has.

        Rule 12: another Session got the answer to the first copy of this repetition. Rule 29: the BootNotification
        before this StatusNotification was not accepted.
        """
        if pending.own and self.boots.introduce and _is_introduction(pending):
            self._fail(self._to_cs, pending, pending.unanswered(_NOT_BOOTED, Failure.NOT_BOOTED), at)
            return True
        if pending.mark is None or (known := self._repetitions.answer_to(pending.mark, at)) is None:
            return False
        self._to_cs.remove(pending)
        answer = kept_answer(known, unread=isinstance(pending.call.payload, UnopenedRequest))
        self._end(pending, answer, Outcome.REPEATED, at)
        return True

    def _send(self, party: Party, pending: Pending, at: float) -> None:
        mark = pending.mark if party is CENTRAL_SYSTEM else None
        known = None if mark is None else self._repetitions.asked(mark, at)
        if party is CENTRAL_SYSTEM and self._failed_meters and pending.call.action == _METER_VALUES:
            known = self._failed_meters.pop(_content(pending.call.payload), None)
        hop_id = known or (self._mint() if self._mint_for is None else self._mint_for(pending.key))
        self.lanes[party].send(pending, hop_id, None)
        if mark is None or (known is not None and known not in self._unkept):
            self._transmit(party, pending, at)
        elif known is None:  # rule 12: it is kept before it is sent
            named = self._terms.central_system
            self._repetitions.ask(mark, hop_id, at, named)
            self._unkept.add(hop_id)
            asked = Asked(fingerprint=mark, unique_id=hop_id, central_system=named)
            self._commands.append(Keep(key=_ASKED + hop_id, records=(asked,)))

    def _on_asked(self, key: str, at: float) -> None:
        """Send the Call that is next, now that its UniqueId is kept (rule 12)."""
        self._unkept.discard(key.removeprefix(_ASKED))
        lane = self.lanes[CENTRAL_SYSTEM]
        pending = lane.out
        if pending is None or pending.sent is not None or key != f"{_ASKED}{pending.hop_id}":
            return
        if pending.abandoned:  # the party that closed its connection will send the Call again
            lane.remove(pending)
            failed = pending.unanswered("it hung up", Failure.CONNECTION_LOST)
            self._end(pending, failed, Outcome.ABANDONED, at)
        elif pending.instead or self.links[CENTRAL_SYSTEM].status is Status.UP:  # rule 17
            self._transmit(CENTRAL_SYSTEM, pending, at)
        else:
            lane.take_back()

    def _transmit(self, party: Party, pending: Pending, at: float) -> None:
        """Send the Call that is next."""
        assert pending.hop_id is not None
        pending.sent = at
        payload, made = self._renamed(pending)
        if made:
            self._commands.append(Note(records=tuple(made)))
        asked = pending.call
        call = structs.replace(asked, unique_id=pending.hop_id, payload=payload)
        late = self._terms.late_answers if self._goes_on(pending) else 0.0
        self._commands.append(
            SendCall(party=party, call=call, deadline=pending.deadline, give_up=pending.deadline + late)
        )
        if party is CENTRAL_SYSTEM:
            self._times.sent = at
            self.boots.sent(at)

    def _next_to(self, party: Party, at: float) -> Pending | None:
        """Return the first Call that waits, if the Link is up; else the first Call that needs no Link (rule 17)."""
        waiting = self.lanes[party].waiting
        link = self.links[party]
        if link.status is Status.UP:
            held = self._held(party, at) or link.not_before > at or (party is CHARGE_POINT and self._turn_taken)
            return None if held else waiting[0]
        return next((pending for pending in waiting if pending.instead), None)

    def _renamed(self, pending: Pending) -> tuple[Request, list[Alias]]:
        """Return the payload with transactionIds that its receiver knows, and the new aliases (rules 14 and 26)."""
        narrow, named = self.sides[CHARGE_POINT].narrow_ids, self._terms.central_system
        if pending.sender is CENTRAL_SYSTEM:
            if pending.operator:  # operators name a transaction as the Charge Point does
                return self._aliases.outward(pending.call.payload, told=True) if narrow else (pending.call.payload, [])
            payload, made = self._aliases.outward(pending.call.payload) if narrow else (pending.call.payload, [])
            return self.transactions.commanded(named, structs.replace(pending.call, payload=payload)), made
        payload = self.transactions.towards(named, pending.call)
        return self._aliases.inward(payload) if narrow else payload, []

    def _held(self, party: Party, at: float) -> bool:
        """Return whether the next Call to `party` waits for the answer to a TriggerMessage (rule 10).

        OCPP 1.6 edition 2, 5.17: the Charge Point first answers, then sends the message that was asked for. In OCPP-S
        the two come on different connections, and may overtake each other (rule 90).
        """
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
        """Dial `party` if it is time, or refuse the waiting Calls if the next attempt is far off (rules 5 and 6)."""
        link, lane = self.links[party], self.lanes[party]
        if link.retry_at is not None and link.retry_at > at and not (link.eager and lane.waiting):
            if link.retry_at - at > self._terms.patience:
                for pending in tuple(lane.waiting):
                    self._fail(lane, pending, pending.unanswered(link.reason, Failure.UNREACHABLE), at)
            return
        if lane.waiting or (link.retry_at is not None and self._idle_at() > at):
            link.status, link.retry_at, link.eager = Status.OPENING, None, False
            self._commands.append(OpenLink(party=party))
        else:
            link.retry_at = None

    def _set_alarm(self, at: float) -> None:
        """Set the one timer to the earliest time at which something is due.

        The timer may fire early, if the reason for its time no longer holds.
        """
        due = self._due(at)
        if due < (_NEVER if self._alarm is None else self._alarm):
            self._alarm = due
            self._commands.append(SetTimer(at=due))

    def _due(self, at: float) -> float:
        """Return when something is due without a further event; _NEVER if nothing is."""
        link = self.links[CENTRAL_SYSTEM]
        due = self._idle_at() if link.status is Status.UP else _NEVER
        if link.status is Status.DOWN and link.retry_at is not None and self.sides[CENTRAL_SYSTEM].dialable:
            due = link.retry_at
        for party, lane in self.lanes.items():
            if (lane.out or lane.waiting) and (deadline := lane.next_deadline()) < due:
                due = deadline
            if lane.waiting and at < self.links[party].not_before < due:
                due = self.links[party].not_before
        for pending, _ in self._persistence.values():
            due = min(due, pending.deadline)
        if self._late.posts:
            due = min([due, *(again.deadline for again in self._late.repetitions())])
        for pending in self._delayed:
            due = min(due, pending.not_before)
        if self._to_cs.out is None and not self._to_cs.waiting:
            due = min(due, self._beat_at())
        held = self._held_until()
        return due if held is None or held <= at else min(due, held)


def _read(payload: Any) -> Any:
    """Return the payload itself, or the bridge's reading of a payload that is passed on as it came."""
    return payload.read if isinstance(payload, UNOPENED) else payload


def _content(payload: Any) -> object:
    """Return a value that is equal for equal payloads."""
    return bytes(payload.raw) if isinstance(payload, UNOPENED) else payload


def replayed(request: type[Request]) -> Loss:
    """Return the Loss that marks a replay: a request that the bridge sends in the Charge Point's name."""
    return Loss(message=request.__name__, path="", reason=LossReason.REPLAYED)


def _is_introduction(pending: Pending) -> bool:
    """Return whether this is a StatusNotification that the bridge sends after a BootNotification that it sends."""
    replays = any(loss.reason is LossReason.REPLAYED for loss in pending.call.losses)
    return pending.own and replays and isinstance(pending.call.payload, StatusNotificationRequest)


def _not_while_pending(request: Any) -> Response | None:
    """Return the refusal of a request that a Central System may not send yet; None for any other request.

    OCPP 1.6 edition 2, 4.2: it may not start or stop a transaction before it has accepted the Charge Point.
    """
    match request:
        case RemoteStartTransactionRequest():
            return RemoteStartTransactionResponse(status=RemoteStartStopStatus.Rejected)
        case RemoteStopTransactionRequest():
            return RemoteStopTransactionResponse(status=RemoteStartStopStatus.Rejected)
    return None
