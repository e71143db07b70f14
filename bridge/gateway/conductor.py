"""The hands of one Session: feeds it events, does what it commands, through the Ways to its parties. Decides nothing.

What an event leads to is done at once and in order; an event that arises meanwhile waits for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

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
)
from bridge.core.events import (
    AnswerReceived,
    CallReceived,
    Event,
    Kept,
    LinkDown,
    LinkUp,
    Resumed,
    TimerFired,
)
from bridge.core.links import Status
from bridge.core.memory import Record
from bridge.core.session import Session
from bridge.errors import BridgeError, Unavailable, Why
from bridge.gateway.keeping import Keeping
from bridge.gateway.placement import Placement
from bridge.gateway.ways import NORMAL, SERVICE_RESTART, SHUTTING_DOWN, TRY_AGAIN_LATER, Way
from bridge.limits.bucket import Bucket
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Boot, Manners
from bridge.ocpp.messages import BootNotificationResponse
from bridge.ocpp.rpc import Answer, Call, CallResult, Unanswered, frame_of
from bridge.ocpp.wire import Tap


class Traffic(Protocol):
    """What all Conductors share: how much is in progress, and whether more may come."""

    def begin(self, waiting: int) -> None:
        """A Call comes in, to a party for which so many wait already. Raises Unavailable when it may not."""

    def end(self) -> None:
        """A Call has ended."""


@lru_cache
def _towards_central_system(manners: Manners) -> Manners:
    return msgspec.structs.replace(manners, connection_per_call=False, close_after_answer=False, fractions=True)


class Conductor:
    """One Charge Point's, by its ChargeBoxIdentity as it was first written."""

    def __init__(
        self, placement: Placement, session: Session, traffic: Traffic, keeping: Keeping, observer: Observer
    ) -> None:
        self.identity = placement.identity
        self.placement = placement
        self.session = session
        self.ways: dict[Party, Way] = {}
        self._boot: Boot | None = None
        self._treat(placement.manners(None))
        self.shown = ""  # the Authorization with which the Charge Point's connection came
        self._traffic = traffic
        self._keeping = keeping
        self._observer = observer
        self._taps = {party: observer.tap(self.identity, party) for party in Party}
        self._loop = asyncio.get_running_loop()
        limits = placement.limits
        # Of the Charge Point's messages, refused ones too, over all its connections.
        self.pace = Bucket(limits.messages_per_second, limits.messages_burst, self._loop.time)
        self._timer: asyncio.TimerHandle | None = None
        self._events: list[Event] = []
        self._busy = False
        self._closed = False
        self._quiet: asyncio.Event | None = None  # who retires waits for it
        self._commands: dict[str, asyncio.Future[Answer]] = {}  # the operators', by the key that the Session has

    async def close(self) -> None:
        """The bridge goes away: who still waits is told so, WebSockets are closed with 1001 and not dialled again."""
        self._stop()
        for call, answer in self._commands.items():
            if not answer.done():
                answer.set_result(Unanswered(unique_id=call, reason=SHUTTING_DOWN))
        await asyncio.gather(*(way.shut() for way in self.ways.values()))

    async def retire(self) -> None:
        """The Charge Point belongs elsewhere now: let what is in flight end here, then hang up."""
        while self.session.in_progress():
            self._quiet = self._quiet or asyncio.Event()
            self._quiet.clear()
            await self._quiet.wait()
        for party, way in self.ways.items():
            if self.session.links[party].status is not Status.DOWN:
                way.close("it belongs elsewhere now", SERVICE_RESTART)
        self._stop()

    def _stop(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def replace(self, code: int, reason: str) -> None:
        """The Charge Point has a new connection: the old one is closed, and the Central System's that belongs to it."""
        if self.session.links[Party.CHARGE_POINT].status is Status.UP:
            self.ways[Party.CHARGE_POINT].close(reason, code)
            self.link_down(Party.CHARGE_POINT, reason)

    def disconnect(self, reason: str) -> list[Party]:
        """Close what stays open between two Calls; the parties that it was open to. Who wants it opens it again."""
        closed: list[Party] = []
        for party in Party:
            way = self.ways.get(party)
            if way is None or not way.side.carries_answers:
                continue
            if self.session.links[party].status is not Status.DOWN:
                way.close(reason, SERVICE_RESTART)
                self.link_down(party, reason)
                closed.append(party)
        return closed

    def resume(self, last_heard: float) -> None:
        """The bridge has been started again; `last_heard` is on the event loop's clock."""
        self._happen(Resumed(at=self._loop.time(), last_heard=last_heard))

    def paced(self) -> None:
        """The Charge Point sends a message that can be refused. Raises Unavailable when it sends too many."""
        wait = self.pace.take()
        if wait:
            most = self.placement.limits.messages_per_second
            text = f"more than {most:g} messages a second (limits.messages_per_second)"
            raise Unavailable(text, why=Why.TOO_MANY_MESSAGES, retry_after=wait)

    def manners(self) -> Manners:
        """How the Charge Point is treated now."""
        return self._manners

    def towards_central_system(self) -> Manners:
        """The same, of a SOAP Central System: what only Charge Points need is left out."""
        return self._towards_central_system

    def met(self, boot: Boot) -> None:
        """The Charge Point has said what it is: quirk packs that fit it hold from now on."""
        if boot == self._boot:
            return
        self._boot = boot
        manners = self.placement.manners(boot)
        if manners != self._manners:
            self._treat(manners)
            self._observer.treated(self.identity, boot, manners)

    def _treat(self, manners: Manners) -> None:
        self._manners = manners
        self._towards_central_system = _towards_central_system(manners)

    async def command(self, call: Call) -> Answer:
        """Send an operator's `call` to the Charge Point, in the place of its Central System. Its one answer, in time.

        Raises Unavailable while the bridge drains or is busy, or the Session has ended.
        """
        if self._closed:
            raise Unavailable(SHUTTING_DOWN)
        self._traffic.begin(len(self.session.lanes[Party.CHARGE_POINT].waiting))
        key = f"operator:{call.unique_id}"
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._commands[key] = answer
        try:
            self._received(Party.CENTRAL_SYSTEM, key, call, operator=True)
            return await answer
        finally:
            del self._commands[key]

    # What the Ways report.

    def link_up(self, party: Party) -> None:
        """The way to `party` is open."""
        if self.session.links[party].status is not Status.UP:
            self._observer.link_up(self.identity, party, self.placement.central_system)
            self._happen(LinkUp(at=self._loop.time(), party=party))

    def no_way(self, party: Party, reason: str) -> None:
        """There is no way to `party` yet, and why."""
        self._happen(LinkDown(at=self._loop.time(), party=party, reason=reason))

    def link_down(self, party: Party, reason: str, undelivered: str | None = None) -> None:
        """The way to `party` is closed, or could not be opened."""
        self._observer.link_down(self.identity, party, self.placement.central_system, reason)
        self._happen(LinkDown(at=self._loop.time(), party=party, reason=reason, undelivered=undelivered))

    def called(self, party: Party, key: str, call: Call) -> None:
        """`party` sent a Call."""
        try:
            self._traffic.begin(len(self.session.lanes[party.other].waiting))
        except Unavailable as error:
            refusal = Unanswered(unique_id=call.unique_id, reason=error.description)
            self.ways[party].send_answer(key, refusal)
            self._observer.refused(self.identity, None, error, call.unique_id, party, frame_of(call))
            return
        if party is Party.CHARGE_POINT:
            self._keeping.heard(self.identity)
        self._received(party, key, call)

    def _received(self, party: Party, key: str, call: Call, *, operator: bool = False) -> None:
        way, now = self.ways.get(party.other), self._loop.time()
        instead = way is not None and way.lacks(call)
        self._happen(CallReceived(at=now, party=party, key=key, call=call, operator=operator, instead=instead))

    def answered(self, party: Party, answer: Answer, *, instead: bool = False) -> None:
        """`party` answered, or the bridge `instead`, since its version lacks what was asked."""
        self._happen(AnswerReceived(at=self._loop.time(), party=party, answer=answer, instead=instead))

    def refused(self, party: Party, error: BridgeError, unique_id: str | None) -> None:
        """What `party` sent was refused."""
        self._observer.refused(self.identity, None, error, unique_id, party)

    def lost(self, losses: Sequence[Loss]) -> None:
        """Writing a message cost something."""
        self._observer.lost(self.identity, losses)

    def callback_refused(self, reason: str) -> None:
        """The Charge Point gave an address to call it back that must not be used."""
        self._observer.callback_refused(self.identity, reason)

    def relayed(self, party: Party, data: bytes) -> None:
        """`party` sent a frame that is only passed on."""
        if party.other in self.ways:
            self.ways[party.other].send_frame(data)

    def tap(self, party: Party) -> Tap | None:
        """Who is told of all bytes to and from `party`, if anybody wants to know."""
        return self._taps[party]

    # The Session's events and commands.

    def _happen(self, event: Event) -> None:
        if self._closed:
            return
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                for command in self.session.handle(self._events.pop(0)):
                    self._do(command)
        finally:
            self._busy = False

    def _do(self, command: Command) -> None:
        match command:
            case SendCall(party=party, call=call, deadline=deadline):
                self.ways[party].send_call(call, deadline - self._loop.time())
            case SendAnswer(party=party, key=key, answer=answer):
                self._send_answer(party, key, answer)
            case Report():
                self._reported(command)
            case SetTimer(at=at):
                self._set_timer(at)
            case OpenLink(party=party):
                self.ways[party].open()
            case CloseLink(party=party, reason=reason, try_again=try_again):
                self._observer.link_closed(self.identity, party, self.placement.central_system, reason)
                self.ways[party].close(reason, TRY_AGAIN_LATER if try_again else NORMAL)
            case Keep(key=key, records=records):
                self._keep(key, records)
            case Note(records=records):
                self._keeping.note(self.identity, records)
            case Drop():
                self._observer.dropped(self.identity, command)

    def _send_answer(self, party: Party, key: str, answer: Answer) -> None:
        waiting = self._commands.get(key)
        if waiting is None:
            self.ways[party].send_answer(key, answer)
        elif not waiting.done():
            waiting.set_result(answer)

    def _reported(self, report: Report) -> None:
        if not report.own:
            self._traffic.end()
        if self._quiet is not None:
            self._quiet.set()
        if isinstance(report.answer, CallResult) and isinstance(report.answer.payload, BootNotificationResponse):
            self._keeping.heard(self.identity, boot=report.call.payload, interval=report.answer.payload.interval)
        self._observer.exchanged(self.identity, report)

    def _keep(self, key: str, records: Sequence[Record]) -> None:
        def kept(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(self._kept, key)

        self._keeping.keep(self.identity, records).add_done_callback(kept)

    def _kept(self, key: str) -> None:
        self._happen(Kept(at=self._loop.time(), key=key))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._timer_fired, at)

    def _timer_fired(self, at: float) -> None:
        self._timer = None
        # The loop may call a moment early; the Session was promised that the time has come.
        self._happen(TimerFired(at=max(at, self._loop.time())))
