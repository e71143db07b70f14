"""Carry out the lane of one observer of one Charge Point: its connection, its messages and its commands.

Nothing here makes a decision about a message, and nothing that happens here reaches the Charge Point, except a command
that the configuration lists.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from msgspec import Raw, Struct, structs

from bridge.core.answers import readdressed
from bridge.core.links import Status
from bridge.core.observed import Observed, read_answer
from bridge.core.observer_lane import (
    PATIENCE,
    Delivered,
    DialObserver,
    LaneCommand,
    LeaveObserver,
    NotDelivered,
    ObserverLane,
    SendIntroduction,
    SendQueued,
)
from bridge.core.observer_queue import LostReason, QueuedMessage
from bridge.core.observers import ObserverTerms, Thinning, judged, unnamed, wanted_interval
from bridge.core.policies import Policies, PolicyRule
from bridge.core.session import replayed
from bridge.core.transaction_ids import renumbered
from bridge.errors import BridgeError, MessageError
from bridge.gateway.placement import Placement
from bridge.gateway.transports import NORMAL, Transport
from bridge.net.large import aside
from bridge.net.tasks import Tasks
from bridge.observer_queues import LaneName, MessageContent, MessageRow, ObserverQueues, StoredLane
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.message_size import takes_long
from bridge.ocpp.messages import Request
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import Octets, Wires
from bridge.ocppj.codec import CallFrame, ResultFrame, decode_call, decode_result
from bridge.watching import logs
from bridge.watching.audience import Audience
from bridge.watching.facts import ContentLost, ShadowAnswered
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.observers")
CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class ObserverOwner(Protocol):
    """What all ObserverRunners share."""

    audience: Audience
    writer: ObserverQueues
    tasks: Tasks
    gate: RepeatLimiter

    def now(self) -> float:
        """Return the time in unix seconds."""

    def mint(self) -> str:
        """Return a fresh UniqueId."""

    def changed(self, runner: ObserverRunner, octets: int) -> None:
        """Count a change of a queue by so many octets."""

    def lost(self, runner: ObserverRunner, reason: LostReason) -> None:
        """Count a message that an observer never gets."""

    async def read(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message on disk, None if they are gone."""

    def may_send(self, identity: str) -> bool:
        """Return whether this process may send to the observers of a Charge Point now."""

    async def command(self, identity: str, call: Call, policy: PolicyRule | None) -> Answer:
        """Send a command of an observer to a Charge Point, after those of its Central System."""


class ObserverPlace(Struct, frozen=True, kw_only=True):
    """Where the messages of a Charge Point go for one observer.

    Attributes:
        terms: The settings of the observer.
        placement: The Placement of the Charge Point at the observer.
        policies: The policies for the Charge Point and the observer.
    """

    terms: ObserverTerms
    placement: Placement
    policies: Policies


class ObserverRunner:
    """Runs the lane of one observer of one Charge Point.

    Args:
        owner: What all ObserverRunners share.
        place: Where the messages go.
        lane: The lane.
        thinning: Leaves out MeterValues.
        transport: Returns the transport to the observer, which reports to the ObserverRunner.
    """

    def __init__(
        self,
        owner: ObserverOwner,
        place: ObserverPlace,
        lane: ObserverLane,
        thinning: Thinning,
        transport: Callable[[ObserverRunner], Transport],
    ) -> None:
        self._owner = owner
        self.place = place
        self.lane = lane
        self._thinning = thinning
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None  # the time of the timer
        self._fresh: dict[int, tuple[bytes, bytes]] = {}  # the content of messages that are sent when they are on disk
        self._attempt = 0  # counts the messages that were to be sent, a message that is sent again once more
        self._passed_on: set[str] = set()  # the keys of the commands that wait for the Charge Point
        self._comparing = 0  # the messages whose answers are being compared, before they are deleted
        self._closed = False
        self._transport_of = transport
        self._transport = transport(self)

    @property
    def identity(self) -> str:
        """Return the identity of the Charge Point as it was first written."""
        return self.place.placement.identity

    @property
    def central_system(self) -> str:
        """Return the name of the observer."""
        return self.place.terms.central_system

    @property
    def name(self) -> LaneName:
        """Return the name of the lane."""
        return self.identity.casefold(), self.central_system

    @property
    def records(self) -> bool:
        """Return False: the recorder has the messages of the Charge Point and its Central System."""
        return False

    # Messages.

    def take_back(self, stored: StoredLane) -> None:
        """Go on with what an earlier process has left on disk, which is older than everything that waits."""
        if stored.interval is not None:
            self._thinning.interval = stored.interval
        self._owner.changed(self, sum(message.octets for message in stored.messages))
        self._do(self.lane.take_back(stored.messages, stored.ids, self._loop.time()))

    def moves_to(self, place: ObserverPlace) -> None:
        """Follow other settings of the observer, with a new connection if it is reached otherwise."""
        before, self.place = self.place, place
        if before.placement != place.placement:
            self._transport.close("the configuration has changed", NORMAL)
            self._transport = self._transport_of(self)
            self._do(self.lane.moved(self._loop.time(), posts=not place.placement.speaks_json))

    def put(self, message: Observed, number: int) -> None:
        """Add a message that the main Central System has answered, under a number that grows.

        The content is written by a thread. A StartTransaction or StopTransaction is sent when it is on disk.
        """
        terms = self.place.terms
        if message.periodic and not self._thinning.keeps(message.connector, self._loop.time()):
            return
        answer = message.answer if terms.is_shadow else b""
        row = MessageRow(
            number=number,
            folded=self.identity.casefold(),
            observer=terms.central_system,
            identity=self.identity,
            key=message.key,
            action=message.action,
            at=self._owner.now(),
            connector=None if message.connector is None else str(message.connector),
            transaction_id=None if message.number is None else str(message.number),
            periodic=int(message.periodic),
            request=message.request,
            answer=answer,
        )
        ends = message.ends
        self._owner.writer.put(row, ends=ends)
        queued = row.queued()
        self._owner.changed(self, queued.octets)
        if ends:
            self._fresh[number] = (message.request, answer)
            written = self._owner.writer.flush(self.name)
            written.add_done_callback(lambda _: self._from_thread(self._ready, number))
        self._do(self.lane.put(queued, self._loop.time(), on_disk=not ends))

    def _from_thread(self, call: Callable[[int], None], number: int) -> None:
        try:
            self._loop.call_soon_threadsafe(call, number)
        except RuntimeError:  # the event loop is closed: the message is sent after the next start
            return

    def _ready(self, number: int) -> None:
        self._do(self.lane.ready(number, self._loop.time()))

    def go_on(self) -> None:
        """Note that this process may send again."""
        self._do(self.lane.go_on(self._loop.time()))

    @property
    def busy(self) -> bool:
        """Whether an answer of the observer is awaited, or is not on disk yet."""
        return self.lane.busy or self._comparing > 0

    def comes_or_goes(self, *, present: bool) -> None:
        """Note whether the Charge Point is there."""
        if present != self.lane.present or present:
            self._do(self.lane.comes_or_goes(self._loop.time(), present=present))

    def expire(self) -> None:
        """Drop the messages that are too old."""
        self._do(self.lane.expire(self._owner.now()))

    def shrink(self) -> bool:
        """Drop one message, because all queues together are too large. Returns whether there was one to drop."""
        commands = self.lane.shrink()
        self._do(commands)
        return bool(commands)

    # The reports of the Transport.

    def link_up(self, party: Party) -> None:
        """Report that the connection to the observer is open."""
        text = "an observer is connected"
        logs.fields(_log, logging.DEBUG, text, identity=self.identity, central_system=self.central_system)
        self._do(self.lane.link_up(self._loop.time()))

    def link_down(self, party: Party, reason: str, undelivered: str | None = None, code: int | None = None) -> None:
        """Report that the connection was closed, or could not be opened. The arguments are as in SessionRunner."""
        if self.lane.trouble is None:
            text = "link to an observer down"
            named = self.central_system
            logs.fields(_log, logging.INFO, text, identity=self.identity, central_system=named, reason=reason)
        self._do(self.lane.link_down(reason, self._loop.time()))

    def answered(self, party: Party, answer: Answer, *, instead: bool = False, came: Octets | None = None) -> None:
        """Report an answer of the observer. The arguments are as in SessionRunner."""
        self._do(self.lane.answered(answer, self._loop.time()))

    def refused(self, party: Party, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        """Report that a message of the observer was refused."""
        self._say("a message of an observer is refused", reason=error.description)

    def _say(self, text: str, **values: str) -> None:
        """Write a line of the log about what the observer did, once a minute for each kind."""
        held = self._owner.gate.passes((self.name, text, *values.values()))
        if held is not None:
            named = self.central_system
            logs.fields(
                _log, logging.INFO, text, identity=self.identity, central_system=named, held=held or None, **values
            )

    def lost(self, losses: Sequence[Loss], wires: Wires | None = None) -> None:
        """Report the losses of writing a message for the observer. Most messages have none."""
        if losses:
            self._owner.audience.see(ContentLost(self.identity, tuple(losses), self.central_system))

    def relayed(self, party: Party, data: bytes) -> None:
        """Ignore a frame that is neither a Call nor an answer."""

    def called(self, party: Party, key: str, call: Call) -> None:
        """Report a command of the observer. It is passed on only if the configuration lists its action."""
        verdict = judged(call, self.place.terms, self.lane.ids.number_for)
        self.lost(call.losses)
        if not isinstance(verdict, Call):
            if (interval := wanted_interval(call)) is not None and self.place.terms.may_send(call.action):
                self._thinning.interval = interval
                self._owner.writer.thin(self.name, self.identity, interval)
            self._say("a command of an observer is answered here", action=call.action)
            self._answer(key, verdict, call)
        elif len(self._passed_on) >= self.place.placement.limits.waiting_per_charge_point:
            busy = Unanswered(unique_id=call.unique_id, reason="too many commands wait", failure=Failure.REFUSED_HERE)
            self._answer(key, busy, call)
        elif key not in self._passed_on:  # one answer serves a frame and its repetitions
            self._passed_on.add(key)
            self._owner.tasks.spawn(self._pass_on(key, call, verdict), name=f"{call.action} to {self.identity}")

    async def _pass_on(self, key: str, call: Call, allowed: Call) -> None:
        # Another Central System may use the same UniqueId at this moment.
        renamed = structs.replace(allowed, unique_id=self._owner.mint(), losses=(), wires=None)
        policy = self.place.policies.get((CENTRAL_SYSTEM, renamed.action))
        try:
            answer = await self._owner.command(self.identity, renamed, policy)
        finally:
            self._passed_on.discard(key)
        self._answer(key, self._opened(readdressed(answer, call.unique_id), call.action), call)

    def _answer(self, key: str, answer: Answer, call: Call) -> None:
        """Answer a command of the observer, unless another process may have the Charge Point by now."""
        if not self._closed and self._owner.may_send(self.identity):
            self._transport.send_answer(key, answer, call.wires)

    def _opened(self, answer: Answer, action: str) -> Answer:
        """Return an answer of the Charge Point as the observer can be told it.

        A payload that passes unread between two JSON parties is read for an observer that speaks SOAP.
        """
        if self.place.placement.speaks_json or not isinstance(answer, CallResult):
            return answer
        if not isinstance(answer.payload, UnopenedResponse):
            return answer
        try:
            return decode_result(ResultFrame(answer.unique_id, answer.payload.raw), action, strict=False)
        except MessageError as error:
            return CallError.of(answer.unique_id, error)

    # The commands of the lane.

    def _do(self, commands: Sequence[LaneCommand]) -> None:
        for command in () if self._closed else commands:
            match command:
                case DialObserver():
                    self._transport.open()
                case LeaveObserver(reason=reason):
                    self._transport.close(reason, NORMAL)
                case SendQueued(message=message, named=named):
                    self._send(message, named)
                case SendIntroduction(request=request, unique_id=unique_id):
                    self._introduce(request, unique_id)
                case Delivered():
                    self._delivered(command)
                case NotDelivered():
                    self._not_delivered(command)
        self._set_timer()

    def _set_timer(self) -> None:
        due = None if self._closed else self.lane.due(self._loop.time())
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._tick, due)
        self._due = due

    def _tick(self, due: float) -> None:
        self._timer = self._due = None
        # The loop may call slightly too early.
        self._do(self.lane.tick(max(due, self._loop.time())))

    def _send(self, message: QueuedMessage, named: int | None) -> None:
        self._attempt += 1
        found = self._fresh.get(message.number) or self._owner.writer.waiting(self.name, message.number)
        if found is not None and not takes_long(found[0]):
            self._loop.call_soon(self._send_call, message, self._attempt, self._call_of(message, named, found[0]))
        else:
            later = self._send_later(message, self._attempt, named)
            self._owner.tasks.spawn(later, name=f"observed message {message.number}")

    async def _send_later(self, message: QueuedMessage, attempt: int, named: int | None) -> None:
        """Send a message that is on disk or large. A thread reads it."""
        found = self._fresh.get(message.number) or await self._owner.read(self.name, message.number)
        if found is None:
            self._send_call(message, attempt, None)
            return
        request = found[0]
        make = partial(self._call_of, message, named, request)
        self._send_call(message, attempt, await aside(make) if takes_long(request) else make())

    def _send_call(self, message: QueuedMessage, attempt: int, call: Call | None) -> None:
        """Send a message if it is still the one that is out. `call` is None if it cannot be sent."""
        if self._closed or self.lane.queue.out != message.number or self.lane.link.status is not Status.UP:
            return
        if attempt != self._attempt:  # the connection was lost meanwhile, and the message is read once more
            return
        if not self._owner.may_send(self.identity):
            self.lane.withheld(message.number)
            self._set_timer()
            return
        if call is None:
            self._do(self.lane.unreadable(message.number, self._loop.time()))
            return
        self.lost(call.losses)
        self._transport.send_call(call, PATIENCE, PATIENCE)

    def _call_of(self, message: QueuedMessage, named: int | None, request: bytes) -> Call | None:
        """Return a message as it is sent, None if a Central System that speaks SOAP cannot be told it."""
        payload: Request = UnopenedRequest(raw=Raw(request))
        if named is not None and named != message.transaction:
            payload = renumbered(payload, named)
        call = Call(unique_id=message.key, action=message.action, payload=payload)
        if not self.place.placement.speaks_json:
            assert isinstance(payload, UnopenedRequest)
            profile = self.place.placement.profile(None)
            try:
                frame = CallFrame(message.key, message.action, payload.raw)
                call = decode_call(frame, CHARGE_POINT, strict=False, profile=profile)
            except MessageError as error:
                text, where = "a message cannot be sent to an observer", self.central_system
                logs.fields(
                    _log, logging.WARNING, text, identity=self.identity, central_system=where, reason=error.description
                )
                return None
        policy = self.place.policies.get((CHARGE_POINT, message.action))
        return call if policy is None else policy.applied(call)

    def _introduce(self, request: Request, unique_id: str) -> None:
        losses = (replayed(type(request)),)
        call = Call(
            unique_id=unique_id,
            action=type(request).__name__.removesuffix("Request"),
            payload=request,
            losses=losses,
        )
        self.lost(losses)
        self._loop.call_soon(self._send_introduction, call)

    def _send_introduction(self, call: Call) -> None:
        if not self._closed:  # the lane has asked whether it may be sent, a moment ago
            self._transport.send_call(call, PATIENCE, PATIENCE)

    def _delivered(self, command: Delivered) -> None:
        message, owner = command.message, self._owner
        content = self._fresh.pop(message.number, None) or owner.writer.waiting(self.name, message.number)
        if command.row is not None:  # before the message is deleted: a bridge that is killed in between sends it again
            owner.writer.keep(self.name, command.row, owner.now())
        if self.place.terms.is_shadow:
            self._comparing += 1
            owner.tasks.spawn(self._compare(message, command.answer, content), name=f"comparing {message.key}")
        else:
            owner.writer.delete(self.name, message.number)
        owner.changed(self, -message.octets)
        if isinstance(command.answer, CallError):
            owner.lost(self, LostReason.REFUSED)
        if command.wait:
            kept = owner.writer.flush(self.name)
            kept.add_done_callback(lambda _: self._from_thread(self._kept, message.number))

    def _kept(self, number: int) -> None:
        self._do(self.lane.kept(self._loop.time()))

    async def _compare(
        self, message: QueuedMessage, shadow: CallResult | CallError, content: tuple[bytes, bytes] | None
    ) -> None:
        """Report the answers of the main Central System and of the shadow, then delete the message."""
        try:
            content = content or await self._owner.read(self.name, message.number)
        finally:
            self._comparing -= 1
        self._owner.writer.delete(self.name, message.number)
        main = None if content is None else read_answer(message.action, content[1])
        if content is None or main is None:
            return
        call = Call(unique_id=message.key, action=message.action, payload=UnopenedRequest(raw=Raw(content[0])))
        self._owner.audience.see(ShadowAnswered.of(self.identity, self.central_system, call, main, shadow))

    def _not_delivered(self, command: NotDelivered) -> None:
        message, owner = command.message, self._owner
        self._fresh.pop(message.number, None)
        owner.writer.delete(self.name, message.number)
        owner.changed(self, -message.octets)
        owner.lost(self, command.reason)
        if command.row is not None:
            owner.writer.keep(self.name, command.row, owner.now())
        if command.reason is LostReason.NO_TRANSACTION_THERE:
            self.lost((unnamed(message.action),))

    # The end.

    def leave(self, reason: str) -> None:
        """Close the connection: the Central System is no observer of the Charge Point any more, or has moved."""
        self._stop()
        self._transport.close(reason, NORMAL)

    async def close(self) -> None:
        """Close the connection because the bridge stops. What waits is sent after the next start."""
        self._stop()
        await self._transport.shut()

    def _stop(self) -> None:
        self._closed = True
        self._set_timer()
