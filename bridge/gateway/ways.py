"""The ways to a party: a WebSocket that we dial, one that was accepted, or POSTs. All alike to who conducts.

A Way does what it is told and reports what happens. It decides nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from bridge.core.addresses import Callback
from bridge.core.links import Side
from bridge.errors import BridgeError, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Manners, plain_manners
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpp.validation import refuse_losses
from bridge.ocpp.wire import SEEN, Kind, Tap
from bridge.ocppj import codec
from bridge.ocppj.bounds import Bounded
from bridge.ocppj.client import DialRefused, Target, dial
from bridge.ocppj.link import Link, Terms
from bridge.ocpps.client import Posted, SoapClient, Undelivered
from bridge.tasks import Tasks

NORMAL, GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER, REPLACED = 1000, 1001, 1012, 1013, 4003
_UNAUTHORIZED = 401
SHUTTING_DOWN = "the bridge is shutting down"


class Reports(Protocol):
    """Who is told what happens on a Way."""

    def link_up(self, party: Party) -> None:
        """It is open."""

    def link_down(self, party: Party, reason: str, undelivered: str | None = None) -> None:
        """It is closed; the Call with the UniqueId `undelivered` certainly did not arrive."""

    def called(self, party: Party, key: str, call: Call) -> None:
        """`party` sent a Call, and waits for its answer under `key`."""

    def answered(self, party: Party, answer: Answer, *, instead: bool = False) -> None:
        """`party` answered; `instead`: the bridge did, since its version lacks what was asked."""

    def refused(self, party: Party, error: BridgeError, unique_id: str | None) -> None:
        """What `party` sent was refused."""

    def lost(self, losses: Sequence[Loss]) -> None:
        """Writing a message cost something."""

    def relayed(self, party: Party, data: bytes) -> None:
        """`party` sent a frame that is only passed on."""

    def tap(self, party: Party) -> Tap | None:
        """Who is told of all bytes to and from `party`, if anybody wants to know."""


class Way(Protocol):
    """To one party."""

    side: Side

    def open(self) -> None:
        """Begin to open it; a report follows."""

    def close(self, reason: str, code: int) -> None:
        """Close it; no report follows."""

    def lacks(self, call: Call) -> bool:
        """Whether the party's OCPP version has no such `call`: it is answered here, and needs no way there."""

    def send_call(self, call: Call, within: float) -> None:
        """Send `call`; an answer later than `within` seconds is of no use."""

    def send_answer(self, key: str, answer: Answer) -> None:
        """Answer what came with `key`."""

    def send_frame(self, data: bytes) -> None:
        """Pass a frame on."""

    async def shut(self) -> None:
        """The bridge goes away."""


class WebSocketWay:
    """An open WebSocket, whoever dialled, for as long as it lasts."""

    side = Side(dialable=False, carries_answers=True)

    def __init__(self, connection: Bounded, party: Party, reports: Reports, terms: Terms) -> None:
        self._connection = connection
        self._party = party
        self._reports = reports
        self._terms = terms
        self._link = Link(connection, self, terms)
        self._current = True

    @property
    def subprotocol(self) -> str:
        """What was agreed on in the handshake, "" for nothing."""
        return self._connection.subprotocol or ""

    @property
    def peer(self) -> str | None:
        """The other end, HOST:PORT."""
        address = self._connection.remote_address
        if not address:
            return None
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run(self) -> None:
        """Carry its traffic until it ends, and report the end, unless it was closed from here."""
        reason = await self._link.run()
        if self._current:
            self._current = False
            self._reports.link_down(self._party, reason)

    def open(self) -> None:
        """It is."""

    def close(self, reason: str, code: int) -> None:
        self._current = False
        self._link.close(code, reason)

    async def shut(self) -> None:
        self._current = False
        await self._connection.close(GOING_AWAY, SHUTTING_DOWN)

    def lacks(self, call: Call) -> bool:
        return False

    def send_call(self, call: Call, within: float) -> None:
        celsius = self._terms.manners().celsius
        if celsius != "Celsius" and not self._terms.relay:
            call, losses = codec.respelled(call, celsius)
            try:
                if self._terms.strict:
                    refuse_losses(losses)
            except MessageError as error:
                self._reports.answered(self._party, CallError.of(call.unique_id, error))
                return
            self._reports.lost(losses)
        self._link.send(call)

    def send_answer(self, key: str, answer: Answer) -> None:
        self._link.send(answer)

    def send_frame(self, data: bytes) -> None:
        if (tap := self._terms.tap) is not None:
            tap.tell((SEEN, tap.end, tap.clock(), False, "json", "other", "", None, data))
            tap.settle()
        self._link.send_frame(data)

    def on_call(self, call: Call) -> None:
        if self._current:
            self._reports.called(self._party, call.unique_id, call)

    def on_answer(self, answer: Answer) -> None:
        if self._current:
            self._reports.answered(self._party, answer)

    def on_refused(self, error: BridgeError, unique_id: str | None) -> None:
        self._reports.refused(self._party, error, unique_id)

    def on_other(self, data: bytes) -> None:
        if self._current:
            self._reports.relayed(self._party, data)


class DialledWay:
    """A Central System's WebSocket, dialled when it is wanted, again and again. `gate` bounds how many handshakes with
    one Central System are under way at once, so that its restart is not followed by a storm. `target` is asked each
    time; `denied` is told when the Central System takes its password for wrong."""

    side = Side(dialable=True, carries_answers=True)

    def __init__(
        self,
        target: Callable[[], Target],
        reports: Reports,
        *,
        strict: bool,
        tasks: Tasks,
        gate: asyncio.Semaphore,
        manners: Callable[[], Manners] = plain_manners,
        denied: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._denied = denied
        self._reports = reports
        tap = reports.tap(Party.CENTRAL_SYSTEM)
        self._terms = Terms(peer=Party.CENTRAL_SYSTEM, strict=strict, manners=manners, tap=tap, bounds=target().bounds)
        self._tasks = tasks
        self._gate = gate
        self._dialling: asyncio.Task[None] | None = None
        self._socket: WebSocketWay | None = None

    def open(self) -> None:
        target = self._target()
        self._dialling = self._tasks.spawn(self._run(target), name=f"link of {target.identity}")

    async def _run(self, target: Target) -> None:
        try:
            async with self._gate:
                connection = await dial(target)
        except DialRefused as refused:
            self._dialling = None
            if refused.status == _UNAUTHORIZED:
                self._denied()
            self._reports.link_down(Party.CENTRAL_SYSTEM, refused.reason)
            return
        del target  # it would be kept as long as the connection
        self._socket = WebSocketWay(connection, Party.CENTRAL_SYSTEM, self._reports, self._terms)
        self._dialling = None
        self._reports.link_up(Party.CENTRAL_SYSTEM)
        await self._socket.run()

    def close(self, reason: str, code: int) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
        elif self._socket is not None:
            self._socket.close(reason, code)
            self._socket = None

    async def shut(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        if self._socket is not None:
            await self._socket.shut()

    def lacks(self, call: Call) -> bool:
        return False

    def send_call(self, call: Call, within: float) -> None:
        if self._socket is not None:
            self._socket.send_call(call, within)

    def send_answer(self, key: str, answer: Answer) -> None:
        if self._socket is not None:
            self._socket.send_answer(key, answer)

    def send_frame(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.send_frame(data)


class Address(Struct, kw_only=True):
    """Where POSTs go, and why there is nowhere if there is not. `fixed`: the operator configured it."""

    to: Callback | None
    why_not: str = ""
    fixed: bool = False


class PostedWay:
    """A party's SOAP service: every Call is a POST, and so is every Call from there, with its own way back."""

    side = Side(dialable=False, carries_answers=False)

    def __init__(
        self,
        party: Party,
        address: Address,
        reports: Reports,
        *,
        identity: str,
        strict: bool,
        soap: SoapClient,
        tasks: Tasks,
        manners: Callable[[], Manners] = plain_manners,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        # Our own address as the party knows it; None where it has not said.
        self.sent_from: str | None = None
        self._tls = tls
        self._party = party
        self._reports = reports
        self._identity = identity
        self._strict = strict
        self.soap = soap
        self._tasks = tasks
        self._manners = manners
        self._waiting: dict[str, Callable[[Answer], None]] = {}
        self._received = 0
        # What the latest message of the party said about where it can be called back, and where that came from.
        self.said: tuple[str | None, str | None, str, str] | None = None

    def receive(self, call: Call, answered: Callable[[Answer], None]) -> None:
        """A Call that was POSTed to us, and who is to be told its answer: the Session sees to it that there is one."""
        self._received += 1
        key = f"{self._received}"
        self._waiting[key] = answered
        self._reports.called(self._party, key, call)

    def open(self) -> None:
        """Every POST opens its own."""

    def close(self, reason: str, code: int) -> None:
        """There is nothing that stays open."""

    async def shut(self) -> None:
        for key in tuple(self._waiting):
            self.send_answer(key, Unanswered(unique_id="", reason=SHUTTING_DOWN))

    def lacks(self, call: Call) -> bool:
        return self.soap.instead(call, strict=self._strict) is not None

    def send_call(self, call: Call, within: float) -> None:
        self._tasks.spawn(self._post(call, within), name=f"{call.action} to {self._identity}")

    def send_answer(self, key: str, answer: Answer) -> None:
        answered = self._waiting.pop(key, None)
        if answered is not None:
            answered(answer)

    def send_frame(self, data: bytes) -> None:
        """OCPP-S has no frames."""

    async def reachable(self) -> bool:
        """Whether something listens there now."""
        return self.address.to is not None and await self.soap.reachable(self.address.to)

    async def _post(self, call: Call, within: float) -> None:
        if (instead := self.soap.instead(call, strict=self._strict)) is not None:
            self._reports.lost(instead.losses)
            self._reports.answered(self._party, instead.answer, instead=True)
            return
        to = self.address.to
        if to is None:
            self._reports.link_down(self._party, self.address.why_not, call.unique_id)
            return
        try:
            posted = await self.soap.call(
                to,
                self._identity,
                call,
                within=within,
                strict=self._strict,
                manners=self._manners(),
                sent_from=self.sent_from,
                tls=self._tls,
            )
        except Undelivered as error:
            self._reports.link_down(self._party, error.description, call.unique_id)
            return
        except MessageError as error:
            self._reports.answered(self._party, CallError.of(call.unique_id, error))
            return
        self._reports.lost(posted.losses)
        self._tapped(call, posted)
        self._reports.answered(self._party, posted.answer)
        if posted.wrong_address and not self.address.fixed and self.address.to == to:
            self._forget()

    def _tapped(self, call: Call, posted: Posted) -> None:
        tap = self._reports.tap(self._party)
        if tap is None or not posted.sent:
            return
        unique_id = call.unique_id
        tap.tell((SEEN, tap.end, tap.clock(), False, "soap", "call", unique_id, None, posted.sent))
        if posted.received:
            kind: Kind = "result" if isinstance(posted.answer, CallResult) else "error"
            tap.tell((SEEN, tap.end, tap.clock(), True, "soap", kind, unique_id, None, posted.received))

    def _forget(self) -> None:
        """DESIGN section 5: IdentityMismatch means that our address for it is stale."""
        reason = "the address that it gave is another Charge Point's (IdentityMismatch)"
        self.address, self.said = Address(to=None, why_not=reason), None
        self._reports.link_down(self._party, reason)
