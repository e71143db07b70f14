"""Run one Session: pass events to the Session, and carry out its commands through the Transports.

The commands of an event are carried out at once and in order. An event that arises meanwhile waits until they are done.
Nothing here makes a decision about a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Protocol

import msgspec

from bridge.core.answers import is_kept_back
from bridge.core.charge_point import ChargePoint
from bridge.core.commands import (
    CloseLink,
    Command,
    Drop,
    Keep,
    Note,
    OpenLink,
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
from bridge.core.links import Status
from bridge.core.memory import Record
from bridge.core.observed import Observed
from bridge.core.policies import Policies, PolicyRule, PolicyTable
from bridge.core.session import Session
from bridge.errors import BridgeError, HeldElsewhere, Unavailable, Why
from bridge.gateway.former_commands import FormerCommands, read_for
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placement
from bridge.gateway.transports import (
    GOING_AWAY,
    NORMAL,
    SERVICE_RESTART,
    SHUTTING_DOWN,
    TRY_AGAIN_LATER,
    Transport,
    WebSocketTransport,
)
from bridge.net.limits.bucket import Bucket
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import PLAIN, Boot, DeviceProfile, for_soap
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import BootNotificationRequest
from bridge.ocpp.rpc import Answer, Call, CallError, Failure, Unanswered, UnopenedRequest
from bridge.ocpp.wire import Octets, Wires
from bridge.watching.audience import Audience
from bridge.watching.facts import (
    AnswerDropped,
    AnswerKept,
    CallAnswered,
    CallbackRefused,
    CallEnded,
    ContentLost,
    FrameRelayed,
    LinkClosed,
    LinkLost,
    LinkOpened,
    MessageRefused,
    ProfileApplied,
)

_log = logging.getLogger("bridge.gateway")

# The reason in the Close of a connection whose Charge Point was moved.
ELSEWHERE = "it belongs elsewhere now"


class CallLimits(Protocol):
    """The limits on Calls in progress, which all SessionRunners share."""

    def begin(self, waiting: int, sender: Party, source: str) -> None:
        """Count a Call that `sender` sends from `source`. Raises Unavailable if the limits do not allow it.

        Args:
            waiting: The number of Calls that wait already for the receiving party.
            sender: The party that sends the Call.
            source: The Central System's name, or the Charge Point's IP address.
        """

    def end(self, sender: Party, source: str) -> None:
        """Count the end of a Call."""


@lru_cache
def _towards_central_system(profile: DeviceProfile) -> DeviceProfile:
    return msgspec.structs.replace(
        profile, connection_per_call=False, close_after_answer=False, fractions=True, prefix=PLAIN.prefix
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The arguments of a SessionRunner.
RunnerParts = tuple[
    Placement,
    Session,
    CallLimits,
    Persistence,
    Audience,
    Callable[[str, str], None],
    PolicyTable,
    Callable[[], bool],
]


class Elsewhere(Protocol):
    """The Sessions of the Charge Point with Central Systems that it was moved away from."""

    def of(self, central_system: str) -> SessionRunner | None:
        """Return the SessionRunner for `central_system`, a new one if there is none. None if it is not configured."""

    def with_first_of(self, key: str, call: Call) -> SessionRunner | None:
        """Return the SessionRunner in which a first copy of `call` is in progress, None if there is none.

        It is one of those that the Charge Point has left and that end their Calls.
        """

    def copy(self, central_system: str, call: Call) -> None:
        """Send a copy of a StatusNotification to `central_system` as well."""

    def check(self) -> None:
        """End the Sessions whose transactions have ended."""

    def apply_policies(self, policies: PolicyTable) -> None:
        """Apply `policies` to later Calls."""

    def resume(self, at: float) -> None:
        """Begin the Sessions of the transactions that are open at the time `at`, in seconds."""

    async def close(self) -> None:
        """End all Sessions because the bridge stops."""

    def in_progress(self) -> int:
        """Return the number of Calls in progress in all Sessions."""

    def end(self) -> None:
        """Handle no message any more in any Session (`SessionRunner.end`)."""

    async def abandon(self) -> None:
        """Close the links of all Sessions (`SessionRunner.abandon`)."""

    def leave(self) -> None:
        """End all Sessions as soon as no Call is in progress."""


def _boot_in(call: Call) -> BootNotificationRequest | None:
    """Return the BootNotification that `call` is; None for any other Call."""
    payload = call.payload.read if isinstance(call.payload, UnopenedRequest) else call.payload
    return payload if isinstance(payload, BootNotificationRequest) else None


def always() -> bool:
    """Return True: a process without others may act at any time."""
    return True


class SessionRunner:
    """Runs the Session of one Charge Point. `identity` is its ChargeBoxIdentity as it was first written."""

    def __init__(
        self,
        placement: Placement,
        session: Session,
        traffic: CallLimits,
        persistence: Persistence,
        audience: Audience,
        wake: Callable[[str, str], None],
        policies: PolicyTable,
        may_act: Callable[[], bool],
    ) -> None:
        self._wake = wake
        self._may_act = may_act
        self.identity = placement.identity
        self.placement = placement
        self.policies: Policies = policies.of(placement.identity, placement.central_system)
        self.charge_point = ChargePoint(placement.identity, session)
        self.session = session
        self.transports: dict[Party, Transport] = {}
        self._treat(placement.profile(None))
        self._last_sign: float | None = None  # when the last sign of life of the Charge Point came
        self._traffic = traffic
        self._persistence = persistence
        self._audience = audience
        self.records = audience.records
        self._loop = asyncio.get_running_loop()
        limits = placement.limits
        # The rate of the Charge Point's messages over all its connections, including refused messages.
        self.pace = Bucket(limits.messages_per_second, limits.messages_burst, self._loop.time)
        self._timer: asyncio.TimerHandle | None = None
        self.on_standing: Callable[[], object] | None = None  # called when the state of a link has changed
        self._standing: tuple[object, ...] = ()
        self._events: list[Event] = []
        self._busy = False
        self._over: Callable[[], Unavailable] | None = None  # makes the reason why no message is handled any more
        self._draining = False
        self._quiet: asyncio.Event | None = None  # set when a Call has ended, for `retire`
        self._sources: dict[Party, list[str]] = {party: [] for party in Party}  # the sources of the Calls in progress
        self._commands: dict[str, asyncio.Future[Answer]] = {}  # the operators' Calls, by their key in the Session
        self.elsewhere: Elsewhere | None = None
        self.former_commands: FormerCommands | None = None  # of a Central System that the Charge Point was moved from
        self.accepted: WebSocketTransport | None = None  # the latest WebSocket of a JSON Charge Point
        self._successor: SessionRunner | None = None  # has the Charge Point's connection
        self._holds_turn = False  # what the successor was told last

    async def close(self) -> None:
        """End the Session because the bridge stops.

        Calls of operators that wait for an answer are answered as unanswered. WebSockets are closed with 1001 and not
        dialled again.
        """
        self._stop(partial(Unavailable, SHUTTING_DOWN))
        for call, answer in self._commands.items():
            if not answer.done():
                answer.set_result(Unanswered(unique_id=call, reason=SHUTTING_DOWN))
        if self.elsewhere is not None:
            await self.elsewhere.close()
        await asyncio.gather(*(transport.shut() for transport in self.transports.values()))

    def in_progress(self) -> int:
        """Return the number of Calls in progress, those with former Central Systems included."""
        return self.session.in_progress() + (0 if self.elsewhere is None else self.elsewhere.in_progress())

    def end(self) -> None:
        """Handle no message any more, because another process has the Charge Point now. `abandon` follows.

        Calls in progress get no answer here.
        """
        for party, sources in self._sources.items():
            for source in sources:
                self._traffic.end(party, source)
            sources.clear()
        self._stop(HeldElsewhere)
        if self.elsewhere is not None:
            self.elsewhere.end()

    async def abandon(self) -> None:
        """Close the links of a Session that another process has now (`end`)."""
        if self.elsewhere is not None:
            await self.elsewhere.abandon()
        await self.close()
        # These refer back to this object. Hundreds of such cycles would stop the process for 0.3 s when the garbage
        # collector finds them.
        self.transports.clear()
        self.elsewhere = self.on_standing = self.accepted = None
        if self._quiet is not None:
            self._quiet.set()

    async def retire(self, left: Callable[[], None]) -> None:
        """End the Session because the Charge Point has moved: wait for the Calls in progress, then close its links.

        After that, wait for the POSTs whose answers are for repetitions.

        Args:
            left: Called when the links are closed.
        """
        while self._is_in_use() and self._over is None:
            await self._something()
        for party, transport in self.transports.items():
            if self.session.links[party].status is not Status.DOWN:
                transport.close(ELSEWHERE, SERVICE_RESTART)
        if (central_system := self.transports.get(Party.CENTRAL_SYSTEM)) is not None:
            await central_system.gone()
        left()
        while not self.session.is_quiet and self._over is None:
            await self._something()
        self._stop(partial(Unavailable, "the Charge Point was moved to another Central System"))

    def _is_in_use(self) -> bool:
        """Return whether a Call is in progress, or the successor waits for its turn."""
        return self.session.in_progress() > 0 or (self._successor is not None and self.session.holds_turn)

    def leave_others(self) -> None:
        """Pass no further Calls to other Sessions. Those with former Central Systems end."""
        if self.elsewhere is not None:
            self.elsewhere.leave()
            self.elsewhere = None

    async def _something(self) -> None:
        """Wait for the next event."""
        self._quiet = self._quiet or asyncio.Event()
        self._quiet.clear()
        await self._quiet.wait()

    def _stop(self, why: Callable[[], Unavailable]) -> None:
        self._over = self._over or why
        if self._timer is not None:
            self._timer.cancel()
        self._tell_turn(holds=False)

    # The connection of a JSON Charge Point that is moved (rule 29).

    def hand_over_to(self, successor: SessionRunner) -> None:
        """Leave the Charge Point's connection, which is open, to `successor`. Calls in progress end here."""
        self._successor = successor
        self._happen(HandedOver(at=self._loop.time()))

    def _tell_turn(self, *, holds: bool) -> None:
        if self._successor is not None and holds != self._holds_turn:
            self._holds_turn = holds
            self._successor.take_turn(taken=holds)

    def take_turn(self, *, taken: bool) -> None:
        """Note whether an earlier Session has, or no longer has, Calls to end on the Charge Point's connection."""
        self._happen(TurnTaken(at=self._loop.time(), taken=taken))

    def replace(self, code: int, reason: str) -> None:
        """Close the Charge Point's older connection, and the Central System's that belongs to it.

        Called when the Charge Point has a newer connection. `code` is a WebSocket close code.
        """
        if self.session.links[Party.CHARGE_POINT].status is Status.UP:
            self.transports[Party.CHARGE_POINT].close(reason, code)
            self.link_down(Party.CHARGE_POINT, reason)

    def drain(self) -> None:
        """Close the Charge Point's WebSocket as soon as no Call is in progress, because the bridge stops."""
        self._draining = True
        self._hang_up_if_quiet()

    def _hang_up_if_quiet(self) -> None:
        transport = self.transports.get(Party.CHARGE_POINT)
        up = self.session.links[Party.CHARGE_POINT].status is Status.UP
        if transport is None or not transport.side.carries_answers or not up or self.session.in_progress():
            return
        transport.close(SHUTTING_DOWN, GOING_AWAY)
        self.link_down(Party.CHARGE_POINT, SHUTTING_DOWN)

    def disconnect(self, reason: str) -> list[Party]:
        """Close the WebSockets of both parties. The party that needs its WebSocket dials again.

        Returns: The parties whose WebSocket was open or was being opened.
        """
        closed: list[Party] = []
        for party in Party:
            transport = self.transports.get(party)
            if transport is None or not transport.side.carries_answers:
                continue
            if self.session.links[party].status is not Status.DOWN:
                transport.close(reason, SERVICE_RESTART)
                self.link_down(party, reason)
                closed.append(party)
        return closed

    def resume(self, last_heard: float, *, at_once: bool = False) -> None:
        """Tell the Session that the bridge has restarted, or that the Charge Point was moved.

        Args:
            last_heard: When the Charge Point was last heard of, in seconds of the event loop's clock.
            at_once: True dials its Central System without a pause.
        """
        self._happen(Resumed(at=self._loop.time(), last_heard=last_heard, at_once=at_once))

    def paced(self) -> None:
        """Count a SOAP request of the Charge Point. Raises Unavailable if it sends too many messages per second."""
        wait = self.pace.take()
        if wait:
            most = self.placement.limits.messages_per_second
            text = f"more than {most:g} messages a second (limits.messages_per_second)"
            raise Unavailable(text, why=Why.TOO_MANY_MESSAGES, retry_after=wait)

    def profile(self) -> DeviceProfile:
        """Return the DeviceProfile that applies to the Charge Point now."""
        return self._profile

    def towards_central_system(self) -> DeviceProfile:
        """Return the DeviceProfile for a SOAP Central System, without the settings that only Charge Points need."""
        return self._towards_central_system if self.charge_point.speaks_json else for_soap(self._towards_central_system)

    def met(self, boot: Boot) -> None:
        """Apply the quirk packs that match `boot`, which the Charge Point sent about itself."""
        if boot == self.charge_point.boot:
            return
        self.charge_point.boot = boot
        profile = self.placement.profile(boot)
        if profile != self._said:
            self._treat(profile)
            self._audience.see(ProfileApplied(self.identity, boot, profile))

    def apply_policies(self, policies: PolicyTable) -> None:
        """Apply `policies` to later Calls."""
        self.policies = policies.of(self.identity, self.placement.central_system)
        if self.elsewhere is not None:
            self.elsewhere.apply_policies(policies)

    def _treat(self, profile: DeviceProfile) -> None:
        self._said = profile
        self._profile = profile if self.placement.speaks_json else for_soap(profile)
        self._towards_central_system = _towards_central_system(profile)

    async def command(self, call: Call, policy: PolicyRule | None = None) -> Answer:
        """Send an operator's `call` to the Charge Point, in the place of its Central System.

        Args:
            call: The Call.
            policy: The policy for it. No policy of the configuration takes the Calls of operators.

        Returns:
            The answer, or Unanswered after the timeout.

        Raises:
            Unavailable: The bridge drains or is busy, or the Session has ended.
        """
        self.check_open()
        self._begin(Party.CENTRAL_SYSTEM, "operators")
        key = f"operator:{call.unique_id}"
        if self.records:
            call = msgspec.structs.replace(call, wires=Wires())
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._commands[key] = answer
        try:
            self._received(Party.CENTRAL_SYSTEM, key, call, policy, operator=True)
            return await answer
        finally:
            del self._commands[key]

    # The reports of the Transports.

    @property
    def last_heard(self) -> float | None:
        """Return when the Charge Point was last heard of, in seconds of the event loop's clock; None if never."""
        heard = (self.session.last_heard, self._last_sign)
        return max((at for at in heard if at is not None), default=None)

    def alive(self) -> None:
        """Report a sign of life of the Charge Point that is no message: its handshake, or a Ping or Pong."""
        self._last_sign = self._loop.time()
        self._persistence.heard(self.identity)

    def link_up(self, party: Party) -> None:
        """Report that the link to `party` is open."""
        if self.session.links[party].status is not Status.UP:
            self._audience.see(LinkOpened(self.identity, party, self.placement.central_system))
            self._happen(LinkUp(at=self._loop.time(), party=party))

    def no_way(self, party: Party, reason: str) -> None:
        """Report that `party` cannot be reached yet, for `reason`."""
        self._happen(LinkDown(at=self._loop.time(), party=party, reason=reason))

    def link_down(self, party: Party, reason: str, undelivered: str | None = None, code: int | None = None) -> None:
        """Report that the link to `party` was closed, or could not be opened.

        Args:
            party: The party at the other end.
            reason: Why, for the log.
            undelivered: The UniqueId of a Call that certainly did not arrive.
            code: The WebSocket close code that the party sent.
        """
        self._audience.see(LinkLost(self.identity, party, self.placement.central_system, reason))
        self._happen(LinkDown(at=self._loop.time(), party=party, reason=reason, undelivered=undelivered, code=code))

    def check_open(self) -> None:
        """Raise Unavailable if the Session handles no message any more: HeldElsewhere if another process does."""
        if self._over is not None:
            raise self._over()

    def called(self, party: Party, key: str, call: Call) -> None:
        """Report a Call by `party`, which waits for its answer under `key`.

        It gets none if the Session has ended: its connection is about to be closed.
        """
        if self._over is not None:
            return
        if party is Party.CENTRAL_SYSTEM and self.former_commands is not None:
            if not self.session.waits_under(party, key):  # one that came before the move
                self.former_commands.received(key, call)
                return
        elif isinstance(call.payload, UnopenedRequest) and not self.placement.speaks_json:  # of another Session
            opened = read_for(self.placement, call)
            if isinstance(opened, CallError):
                self.transports[party].send_answer(key, opened, call.wires)
                return
            call = opened
        try:
            self._begin(party, self._source(party))
        except Unavailable as error:
            self._refuse(party, key, call, error)
            refused = MessageRefused.of(self.identity, None, error, call.unique_id, party, wires=call.wires)
            self._audience.see(refused)
            return
        if party is Party.CHARGE_POINT:
            self._last_sign = self._loop.time()
            self._persistence.heard(self.identity, boot=_boot_in(call))
            if self.elsewhere is not None and self._is_for_another(key, call):
                return
        self._received(party, key, call, self.policy_for(party, call) if self.policies else None)

    def answer_command(self, key: str, answer: Answer, call: Call) -> None:
        """Answer a command of the Central System that did not pass through the Session."""
        if self._over is None:
            self.transports[Party.CENTRAL_SYSTEM].send_answer(key, answer, call.wires)

    def refused_command(self, report: Report) -> None:
        """Report a command of the Central System that was refused because the Charge Point was moved."""
        self._audience.see(CallEnded(self.identity, report, self.placement.central_system))

    def policy_for(self, sender: Party, call: Call) -> PolicyRule | None:
        """Return the policy for a Call by `sender`, with the present time in its answer; None if there is none."""
        policy = self.policies.get((sender, call.action))
        return None if policy is None else policy.told_at(_now())

    def copy(self, call: Call) -> None:
        """Send a copy of a StatusNotification, whose answer has no effect."""
        opened = read_for(self.placement, call)
        if isinstance(opened, Call):
            policy = self.policy_for(Party.CHARGE_POINT, opened)
            self._happen(CopyReceived(at=self._loop.time(), call=opened, policy=policy))

    def _is_for_another(self, key: str, call: Call) -> bool:
        """Pass a Call to the Session of the Central System that it belongs to (rule 26). Return whether it was passed.

        A repetition goes where its first copy is in progress. A StatusNotification is passed on here, and copied to the
        Central System of the connector's transaction.
        """
        assert self.elsewhere is not None
        if (first := self.elsewhere.with_first_of(key, call)) is not None:
            self._traffic.end(Party.CHARGE_POINT, self._sources[Party.CHARGE_POINT].pop())
            first.called(Party.CHARGE_POINT, key, call)
            return True
        holder = self.session.transactions.holder_of(call)
        if holder is not None and holder != self.placement.central_system:
            self.elsewhere.copy(holder, call)
        owner = self.session.owner_of(call, self._loop.time())
        if owner is None:
            return False
        source = self._sources[Party.CHARGE_POINT].pop()
        self._traffic.end(Party.CHARGE_POINT, source)
        other = self.elsewhere.of(owner)
        if other is None:
            error = Unavailable(
                f"the Central System {owner!r}, which named the transaction, is not configured any more"
            )
            self._refuse(Party.CHARGE_POINT, key, call, error)
            refused = MessageRefused.of(
                self.identity, None, error, call.unique_id, Party.CHARGE_POINT, wires=call.wires
            )
            self._audience.see(refused)
        else:
            other.called(Party.CHARGE_POINT, key, call)
        return True

    def _source(self, party: Party) -> str:
        """Return the source of a Call by `party`: its Central System's name, or the Charge Point's IP address."""
        return (
            self.placement.central_system if party is Party.CENTRAL_SYSTEM else self.transports[party].address_of_peer
        )

    def _begin(self, sender: Party, source: str) -> None:
        self._traffic.begin(self.session.waiting_for(sender.other), sender, source)
        self._sources[sender].append(source)

    def _refuse(self, party: Party, key: str, call: Call, error: Unavailable) -> None:
        """Answer a Call for which the bridge is busy or drains: not a verdict on the Call (design/delivery.md D2)."""
        side = self.transports[party].side
        silent = side.carries_answers and party is Party.CHARGE_POINT and self._draining
        if silent or is_kept_back(party, side, call.action):
            return
        refusal = Unanswered(
            unique_id=call.unique_id,
            reason=error.description,
            failure=Failure.REFUSED_HERE,
            retry_after=error.retry_after,
        )
        self.transports[party].send_answer(key, refusal, call.wires)

    def _received(
        self, party: Party, key: str, call: Call, policy: PolicyRule | None, *, operator: bool = False
    ) -> None:
        transport, now = self.transports.get(party.other), self._loop.time()
        instead = transport is not None and transport.lacks(call)
        self._happen(
            CallReceived(at=now, party=party, key=key, call=call, operator=operator, instead=instead, policy=policy)
        )

    def answered(self, party: Party, answer: Answer, *, instead: bool = False, came: Octets | None = None) -> None:
        """Report an answer by `party`.

        Args:
            party: The party to which the Call was sent.
            answer: The answer.
            instead: True if the bridge answered, because the party's OCPP version lacks the Call.
            came: The octets of the answer, if they are recorded.
        """
        if party is Party.CHARGE_POINT and not instead and not isinstance(answer, Unanswered):
            self._persistence.heard(self.identity)
        self._happen(AnswerReceived(at=self._loop.time(), party=party, answer=answer, instead=instead, came=came))

    def refused(self, party: Party, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        """Report that a message by `party` was refused."""
        self._audience.see(MessageRefused.of(self.identity, None, error, unique_id, party, wires=wires))

    def lost(self, losses: Sequence[Loss], wires: Wires | None) -> None:
        """Report the losses of writing a message. Most messages have none."""
        if losses:
            if wires is not None:
                wires.losses += tuple(losses)
            self._audience.see(ContentLost(self.identity, tuple(losses), self.placement.central_system))

    def callback_refused(self, reason: str) -> None:
        """Report that the Charge Point gave a callback address that must not be used."""
        self._audience.see(CallbackRefused(self.identity, reason))

    def relayed(self, party: Party, data: bytes) -> None:
        """Pass a frame by `party` on unread."""
        if party.other in self.transports and self._may_act():
            self.transports[party.other].send_frame(data)
        self._audience.see(FrameRelayed(self.identity, party, data))

    # The Session's events and commands.

    def _happen(self, event: Event) -> None:
        if self._over is not None:
            return
        self._events.append(event)
        if not self._busy:
            self.go_on()

    def go_on(self) -> None:
        """Give the Session the events that have come. They wait while this process may not act for the Charge Point."""
        self._busy = True
        try:
            while self._events and self._may_act():
                for command in self.session.handle(self._events.pop(0)):
                    try:
                        self._do(command)
                    except Exception as error:  # a fault of the bridge: the next commands must be carried out
                        self._failed(command, error)
        finally:
            self._busy = False
        if self._quiet is not None:
            self._quiet.set()
        if self._successor is not None:
            self._tell_turn(holds=self.session.holds_turn)
        near, far = self.session.links[Party.CHARGE_POINT], self.session.links[Party.CENTRAL_SYSTEM]
        standing = (near.status, far.status, far.failures)
        if standing != self._standing and self.on_standing is not None:
            self._standing = standing
            self.on_standing()

    def _failed(self, command: Command, error: Exception) -> None:
        """Log a command that could not be carried out, and give the Session the event for which it would wait in vain.

        A Call that could not be sent is a link failure, never a verdict on the message. So a transaction-related
        message stays in its Charge Point's queue.
        """
        name, now = type(command).__name__, self._loop.time()
        text = "a fault of ocpp-bridge itself, please report it: the command %s of Charge Point %r failed: %r"
        _log.error(text, name, self.identity, error, exc_info=error)
        if isinstance(command, SendCall):
            answer = Unanswered(unique_id=command.call.unique_id, reason="a fault of the bridge itself")
            self._events.append(AnswerReceived(at=now, party=command.party, answer=answer))
        elif isinstance(command, Keep):
            self._events.append(RecordsKept(at=now, key=command.key))

    def _do(self, command: Command) -> None:
        match command:
            case SendCall(party=party, call=call, deadline=deadline, give_up=give_up):
                now = self._loop.time()
                self.transports[party].send_call(call, deadline - now, give_up - now)
            case SendAnswer():
                self._send_answer(command)
            case Report():
                self._reported(command)
            case SetTimer(at=at):
                self._set_timer(at)
            case OpenLink(party=party):
                self.transports[party].open()
            case CloseLink(party=party, reason=reason, try_again=try_again):
                self._audience.see(LinkClosed(self.identity, party, self.placement.central_system, reason))
                self.transports[party].close(reason, TRY_AGAIN_LATER if try_again else NORMAL)
            case Keep():
                self._keep(command)
            case Note(records=records):
                self._persistence.note(self.identity, records)
            case Wake():
                self._wake(self.identity, self.placement.wake_url)
            case Drop():
                self._audience.see(AnswerDropped(self.identity, command))

    def _send_answer(self, command: SendAnswer) -> None:
        waiting = self._commands.get(command.key)
        if waiting is None:
            self.transports[command.party].send_answer(command.key, command.answer, command.wires)
        elif not waiting.done():
            waiting.set_result(command.answer)

    def _reported(self, report: Report) -> None:
        if not report.own:
            # Each Call of a party must end one count. Which of the party's sources ends first does not matter.
            self._traffic.end(report.sender, self._sources[report.sender].pop())
        self._audience.see(CallEnded(self.identity, report, self.placement.central_system))
        if self.elsewhere is not None:
            self.elsewhere.check()
        if self._draining:
            self._hang_up_if_quiet()

    def _keep(self, command: Keep) -> None:
        """Commit records, after the events about them. Tell the Session when that is done, or at the end of patience.

        In this order, a bridge that is killed in between loses no event: without the records, the Charge Point gets no
        answer and repeats its message, and the event is made again.
        """
        key, records = command.key, command.records
        patience = self._persistence.patience
        overdue = None if patience is None else self._loop.call_later(patience, self._overdue, key, patience)
        if command.exchange is not None:
            self._audience.see(CallAnswered(self.identity, self.placement.central_system, command.exchange))
        if (events := self._audience.on_disk()) is None:
            self._commit(key, records, overdue)
            return

        def told(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self._commit, key, records, overdue)

        events.add_done_callback(told)

    def _commit(self, key: str, records: Sequence[Record], overdue: asyncio.TimerHandle | None) -> None:
        def kept(written: Future[bool]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nothing waits any more
                self._loop.call_soon_threadsafe(self._kept, key, records, overdue, written.result())

        try:
            self._persistence.keep(self.identity, records).add_done_callback(kept)
        except BaseException:
            if overdue is not None:
                overdue.cancel()
            raise

    def _kept(self, key: str, records: Sequence[Record], overdue: asyncio.TimerHandle | None, written: bool) -> None:
        if overdue is not None:
            overdue.cancel()
        if not written and not self._persistence.holds(self.identity):
            return  # another process has the Charge Point, and goes on in its place
        for record in records:
            if isinstance(record, Observed):
                self._audience.see(AnswerKept(self.identity, record))
        self._happen(RecordsKept(at=self._loop.time(), key=key))  # the Session ignores a second event for the same key

    def _overdue(self, key: str, waited: float) -> None:
        self._persistence.overdue(waited)
        self._happen(RecordsKept(at=self._loop.time(), key=key))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._timer_fired, at)

    def _timer_fired(self, at: float) -> None:
        self._timer = None
        # The loop may call slightly too early, but a TimerFired must not be earlier than its timer.
        self._happen(TimerFired(at=max(at, self._loop.time())))
