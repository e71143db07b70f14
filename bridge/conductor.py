"""The hands of one Session: feeds it events, does what it commands. Decides nothing.

A Conductor owns a Charge Point's dialled Link, its timer and the futures of its HTTP requests. What an event leads to
is done at once and in order; an event that arises meanwhile waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from bridge import journal
from bridge.core.addresses import Callback, Refusal
from bridge.core.commands import (
    CloseLink,
    Command,
    Drop,
    OpenLink,
    Report,
    SendAnswer,
    SendCall,
    SetTimer,
)
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp, TimerFired
from bridge.core.session import Session, Status
from bridge.errors import BridgeError, MessageError, Unavailable
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import Answer, Call, CallError, Unanswered
from bridge.ocppj.client import Dialled, Target
from bridge.ocppj.link import Terms as LinkTerms
from bridge.ocpps.client import SoapClient, Undelivered
from bridge.tasks import Tasks

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class Traffic(Protocol):
    """What all Conductors share: how much is in progress, and whether more may come."""

    def begin(self) -> None:
        """A Call comes in. Raises Unavailable when it may not."""

    def end(self) -> None:
        """A Call has ended."""


class Placement(Struct, frozen=True, kw_only=True):
    """Where a Charge Point belongs: what its Route and the configuration say."""

    target: Target
    central_system: str
    strict: bool
    pinned: Callback | None


class Conductor:
    """One Charge Point's, by its ChargeBoxIdentity as it was first written."""

    def __init__(
        self,
        identity: str,
        session: Session,
        placement: Placement,
        *,
        soap: SoapClient,
        tasks: Tasks,
        traffic: Traffic,
        mint: Callable[[], str],
    ) -> None:
        self.identity = identity
        self.session = session
        self.placement = placement
        self.callback: Callback | None = placement.pinned
        self._no_callback = "it has not said yet where it can be called back (wsa:From)"
        self._soap = soap
        self._tasks = tasks
        self._traffic = traffic
        self._mint = mint
        self._loop = asyncio.get_running_loop()
        self._dialled: _Caller | None = None
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._events: deque[Event] = deque()
        self._busy = False
        self._closed = False
        if self.callback is not None:
            self._happen(LinkUp(at=self._now(), party=CHARGE_POINT))
        else:
            self._happen(LinkDown(at=self._now(), party=CHARGE_POINT, reason=self._no_callback))

    # What comes in.

    async def call(self, call: Call) -> Answer:
        """A Call from the SOAP Charge Point; the answer to it. Always one, by the Session's deadline."""
        try:
            self._traffic.begin()
        except Unavailable as error:
            journal.refused(self.identity, CHARGE_POINT.value, error, call.unique_id)
            return Unanswered(unique_id=call.unique_id, reason=error.description)
        key = self._mint()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[key] = answer
        self._happen(CallReceived(at=self._now(), party=CHARGE_POINT, key=key, call=call))
        try:
            return await answer
        finally:
            self._waiting.pop(key, None)

    def learn(self, learnt: Callback | Refusal | None) -> None:
        """Where the Charge Point's latest message says that it can be called back."""
        if self.placement.pinned is None:
            if isinstance(learnt, Refusal):
                self._refuse_callback(learnt)
            elif learnt is not None:
                self.callback = learnt
        if self.callback is not None and self.session.links[CHARGE_POINT].status is not Status.UP:
            self._happen(LinkUp(at=self._now(), party=CHARGE_POINT))

    def _refuse_callback(self, refusal: Refusal) -> None:
        reason = f"its callback address was not accepted: {refusal.reason}"
        if reason != self._no_callback:
            self._no_callback = reason
            journal.callback_refused(self.identity, refusal.reason)
            if self.callback is None:  # an earlier address stays in use
                self._happen(LinkDown(at=self._now(), party=CHARGE_POINT, reason=reason))

    def lost(self, losses: Sequence[Loss]) -> None:
        """Writing an answer cost something."""
        journal.lost(self.identity, losses)

    async def close(self) -> None:
        """The bridge goes away: whoever still waits is told so, the Link is closed with 1001 and not dialled again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(Unanswered(unique_id="", reason="the bridge is shutting down"))
        if self._dialled is not None:
            await self._dialled.dialled.hang_up("the bridge is shutting down", going_away=True)

    # The Session's events and commands.

    def _now(self) -> float:
        return self._loop.time()

    def _happen(self, event: Event) -> None:
        if self._closed:
            return
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                for command in self.session.handle(self._events.popleft()):
                    self._do(command)
        finally:
            self._busy = False

    def _do(self, command: Command) -> None:
        match command:
            case SendCall():
                self._send_call(command)
            case SendAnswer():
                self._send_answer(command)
            case SetTimer(at=at):
                self._set_timer(at)
            case OpenLink():
                self._open()
            case CloseLink(reason=reason):
                self._close(reason)
            case Drop():
                journal.dropped(self.identity, command)
            case Report():
                if not command.own:
                    self._traffic.end()
                journal.exchanged(self.identity, command)

    def _send_call(self, command: SendCall) -> None:
        if command.party is CHARGE_POINT:
            self._tasks.spawn(self._post(command), name=f"{command.call.action} to {self.identity}")
        elif self._dialled is not None:
            self._dialled.dialled.send(command.call)

    def _send_answer(self, command: SendAnswer) -> None:
        if command.party is CENTRAL_SYSTEM:
            if self._dialled is not None:
                self._dialled.dialled.send(command.answer)
            return
        waiting = self._waiting.get(command.key)
        if waiting is not None and not waiting.done():
            waiting.set_result(command.answer)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._timer_fired, at)

    def _timer_fired(self, at: float) -> None:
        self._timer = None
        # The loop may call a moment early; the Session was promised that the time has come.
        self._happen(TimerFired(at=max(at, self._now())))

    # The Link to the Central System.

    def _open(self) -> None:
        self._dialled = _Caller(self)
        terms = LinkTerms(peer=CENTRAL_SYSTEM, strict=self.placement.strict)
        self._dialled.dialled = Dialled(self.placement.target, self._dialled, terms)
        self._tasks.spawn(self._dialled.dialled.run(), name=f"link of {self.identity}")

    def _close(self, reason: str) -> None:
        if self._dialled is not None:
            closing, self._dialled = self._dialled, None
            self._tasks.spawn(closing.dialled.hang_up(reason), name=f"hanging up for {self.identity}")
            journal.link_closed(self.identity, self.placement.central_system, reason)

    def is_current(self, caller: _Caller) -> bool:
        """Whether `caller` is of the Link that counts: what an earlier one still says is of no interest."""
        return caller is self._dialled

    def link_up(self) -> None:
        """The Central System accepted the connection."""
        journal.link_up(self.identity, self.placement.central_system, self.placement.target.address)
        self._happen(LinkUp(at=self._now(), party=CENTRAL_SYSTEM))

    def link_down(self, reason: str) -> None:
        """The Central System is gone, or refused."""
        self._dialled = None
        journal.link_down(self.identity, self.placement.central_system, reason)
        self._happen(LinkDown(at=self._now(), party=CENTRAL_SYSTEM, reason=reason))

    def commanded(self, call: Call) -> None:
        """A Call from the Central System."""
        try:
            self._traffic.begin()
        except Unavailable as error:
            journal.refused(self.identity, CENTRAL_SYSTEM.value, error, call.unique_id)
            refusal = CallError.of(call.unique_id, error)
            self._send_answer(SendAnswer(party=CENTRAL_SYSTEM, key=call.unique_id, answer=refusal))
            return
        self._happen(CallReceived(at=self._now(), party=CENTRAL_SYSTEM, key=call.unique_id, call=call))

    def answered(self, party: Party, answer: Answer) -> None:
        """An answer from either side."""
        self._happen(AnswerReceived(at=self._now(), party=party, answer=answer))

    # The way to the Charge Point.

    async def _post(self, command: SendCall) -> None:
        call, callback, left = command.call, self.callback, command.deadline - self._now()
        if callback is None:
            self._undelivered(call, self._no_callback)
            return
        try:
            posted = await self._soap.call(callback, self.identity, call, within=left, strict=self.placement.strict)
        except Undelivered as error:
            self._undelivered(call, error.description)
        except MessageError as error:
            self.answered(CHARGE_POINT, CallError.of(call.unique_id, error))
        else:
            journal.lost(self.identity, posted.losses)
            self.answered(CHARGE_POINT, posted.answer)
            if posted.wrong_address and self.callback == callback:
                self._forget_callback()

    def _undelivered(self, call: Call, reason: str) -> None:
        self._happen(LinkDown(at=self._now(), party=CHARGE_POINT, reason=reason, undelivered=call.unique_id))

    def _forget_callback(self) -> None:
        """DESIGN section 5: IdentityMismatch means that our address for it is stale."""
        reason = "the address that it gave is another Charge Point's (IdentityMismatch)"
        if self.placement.pinned is None:
            self.callback, self._no_callback = None, reason
            self._happen(LinkDown(at=self._now(), party=CHARGE_POINT, reason=reason))


class _Caller:
    """Passes on what one dialled connection says, as long as that connection counts."""

    dialled: Dialled

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def on_up(self) -> None:
        if self._conductor.is_current(self):
            self._conductor.link_up()

    def on_down(self, reason: str) -> None:
        if self._conductor.is_current(self):
            self._conductor.link_down(reason)

    def on_call(self, call: Call) -> None:
        if self._conductor.is_current(self):
            self._conductor.commanded(call)

    def on_answer(self, answer: Answer) -> None:
        if self._conductor.is_current(self):
            self._conductor.answered(CENTRAL_SYSTEM, answer)

    def on_refused(self, error: BridgeError, unique_id: str | None) -> None:
        journal.refused(self._conductor.identity, "central_system", error, unique_id)
