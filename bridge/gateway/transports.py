"""The transports to a party: a WebSocket that the bridge dials, a WebSocket that was accepted, or HTTP POSTs.

All have the same interface. A Transport carries out commands and reports events. It makes no decision.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from time import time
from typing import Protocol

from msgspec import Struct

from bridge.core.addresses import CallbackTarget, port_of
from bridge.core.callback import CallbackAddress
from bridge.core.destinations import Destinations
from bridge.core.links import Side
from bridge.errors import BridgeError, MessageError
from bridge.net.json_channel import ChannelTerms, JsonChannel
from bridge.net.json_client import DialRefused, NoCommonSubprotocol, Target, dial
from bridge.net.message_socket import MessageSocket
from bridge.net.soap_client import SoapClient, Undelivered
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import DeviceProfile, plain_profile
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import MeterValuesResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpp.validation import refuse_losses
from bridge.ocpp.wire import Octets, Wires
from bridge.ocppj import codec

NORMAL, GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER, REPLACED = 1000, 1001, 1012, 1013, 4003
JSON_VERSION = "1.6"
_UNAUTHORIZED = 401
SHUTTING_DOWN = "the bridge is shutting down"


class TransportEvents(Protocol):
    """Receives the events of a Transport."""

    @property
    def records(self) -> bool:
        """Return whether messages must carry their octets on the wire, for the recorder."""

    def link_up(self, party: Party) -> None:
        """Report that the link to `party` is open."""

    def link_down(self, party: Party, reason: str, undelivered: str | None = None, code: int | None = None) -> None:
        """Report that the link to `party` was closed, or could not be opened.

        Args:
            party: The party at the other end.
            reason: Why, for the log.
            undelivered: The UniqueId of a Call that certainly did not arrive.
            code: The WebSocket close code that the party sent.
        """

    def called(self, party: Party, key: str, call: Call) -> None:
        """Report a Call by `party`, which waits for its answer under `key`."""

    def answered(self, party: Party, answer: Answer, *, instead: bool = False, came: Octets | None = None) -> None:
        """Report an answer by `party`.

        Args:
            party: The party to which the Call was sent.
            answer: The answer.
            instead: True if the bridge answered, because the party's OCPP version lacks the Call.
            came: The octets of the answer, if they are recorded.
        """

    def refused(self, party: Party, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        """Report that a message by `party` was refused."""

    def lost(self, losses: Sequence[Loss], wires: Wires | None) -> None:
        """Report the losses of writing a message. `wires` are those of its Call."""

    def relayed(self, party: Party, data: bytes) -> None:
        """Report a frame by `party` that is passed on unread."""


class Transport(Protocol):
    """The transport to one party."""

    side: Side

    @property
    def version(self) -> str:
        """Return the OCPP version that the party speaks; for other JSON than OCPP 1.6, the subprotocol."""

    @property
    def address_of_peer(self) -> str:
        """Return the IP address of the party, "" if it is not known."""

    @property
    def peer(self) -> str | None:
        """Return the other end of the party's open connection as HOST:PORT, None without one.

        It is HOST alone if a proxy has not given the port.
        """

    def open(self) -> None:
        """Begin to open the link. A report follows."""

    def close(self, reason: str, code: int) -> None:
        """Close the link. No report follows."""

    async def gone(self) -> None:
        """Wait until the link that was closed last has ended at both ends, if it is this transport's own."""

    def lacks(self, call: Call) -> bool:
        """Return whether the party's OCPP version lacks `call`.

        The bridge answers such a Call and needs no link for it.
        """

    def send_call(self, call: Call, within: float, give_up: float) -> None:
        """Send `call`.

        Args:
            call: The Call.
            within: The seconds after which the sender gets the answer of a timeout.
            give_up: The seconds after which an answer is of no use any more.
        """

    def send_answer(self, key: str, answer: Answer, wires: Wires | None) -> None:
        """Answer the Call with `key`. The octets that are sent are added to `wires`, those of the Call."""

    def send_frame(self, data: bytes) -> None:
        """Send a frame as it is."""

    async def shut(self) -> None:
        """Close the link because the bridge stops."""


def _is_answered_here(call: Call) -> bool:
    """Return whether `call` has no content to send. A Body that passes unchanged always has content."""
    return call.verbatim is None and nothing_left(call.payload)


def _empty_answer(call: Call) -> CallResult:
    """Return the answer to a MeterValues without a value.

    Such a Call is not sent. Yet its receiver must be reachable, because the answer tells the Charge Point that its
    Central System is.
    """
    return CallResult(unique_id=call.unique_id, payload=MeterValuesResponse())


class WebSocketTransport:
    """An open WebSocket, dialled or accepted, until it ends or is handed over and the Calls in progress have ended.

    Args:
        connection: The WebSocket.
        party: The party at the other end.
        reports: Receives the events.
        terms: The settings.
        before: The transport that has handed the WebSocket over, None if there is none.
    """

    side = Side(dialable=False, carries_answers=True)

    def __init__(
        self,
        connection: MessageSocket,
        party: Party,
        reports: TransportEvents,
        terms: ChannelTerms,
        *,
        before: WebSocketTransport | None = None,
    ) -> None:
        self._connection = connection
        self._party = party
        self._reports = reports
        self._terms = terms
        self._link: JsonChannel = JsonChannel(connection, self, terms) if before is None else before._link
        # The transports that the WebSocket has: one, and those that have Calls in progress and have handed it over.
        self._users: list[WebSocketTransport] = [] if before is None else before._users
        self._users.append(self)
        self._current = True

    def handed_over(self, reports: TransportEvents, terms: ChannelTerms) -> WebSocketTransport:
        """Return the transport for later Calls. This one carries the Calls in progress, and ends no WebSocket any more.

        Args:
            reports: Receives the events.
            terms: The settings.
        """
        later = WebSocketTransport(self._connection, self._party, reports, terms, before=self)
        self._link.hand_over(later, terms)
        return later

    def on_control(self, alive: Callable[[], None]) -> None:
        """Call `alive` for each Ping and Pong of the party from now on."""
        self._connection.on_control = alive

    @property
    def subprotocol(self) -> str:
        """Return the subprotocol of the WebSocket in lower case."""
        return (self._connection.subprotocol or "").lower()

    @property
    def _is_handed_over(self) -> bool:
        return self._link.owner is not self

    @property
    def version(self) -> str:
        subprotocol = self._connection.subprotocol or ""
        return JSON_VERSION if subprotocol.lower() in ("", codec.SUBPROTOCOL) else subprotocol

    @property
    def address_of_peer(self) -> str:
        address = self._connection.remote_address
        return str(address[0]) if address else ""

    @property
    def peer(self) -> str | None:
        if not self._current:
            return None
        address = self._connection.remote_address
        if not address:
            return None
        host, port = address[:2]
        if not port:
            return str(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run(self) -> None:
        """Carry the WebSocket's traffic until it ends. Report the end, unless `close` or `shut` was called."""
        reason, code = await self._link.run()
        for user in tuple(self._users):
            if user._current:
                user._leave()
                user._reports.link_down(self._party, reason, code=code)
        self._link.leave()

    def _leave(self) -> None:
        self._current = False
        if self in self._users:
            self._users.remove(self)

    def open(self) -> None:
        """Do nothing: the WebSocket is open already."""

    def close(self, reason: str, code: int) -> None:
        self._leave()
        if not self._is_handed_over:
            self._link.close(code, reason)
            for user in tuple(self._users):  # their party is gone as well
                user._leave()
                user._reports.link_down(self._party, reason)

    async def gone(self) -> None:
        if not self._is_handed_over:
            await self._connection.closed()

    async def shut(self) -> None:
        self._leave()
        if not self._is_handed_over:
            self._connection.close(GOING_AWAY, SHUTTING_DOWN)
            await self._connection.closed()

    def lacks(self, call: Call) -> bool:
        return False

    def send_call(self, call: Call, within: float, give_up: float) -> None:
        if _is_answered_here(call):
            self._reports.answered(self._party, _empty_answer(call), instead=True)
            return
        celsius = self._terms.profile().celsius
        if celsius != "Celsius" and not self._terms.relay:
            call, losses = codec.respelled(call, celsius)
            try:
                if self._terms.strict:
                    refuse_losses(losses)
            except MessageError as error:
                self._reports.answered(self._party, CallError.of(call.unique_id, error))
                return
            self._reports.lost(losses, call.wires)
        self._link.send(call, (self, self._terms))

    def send_answer(self, key: str, answer: Answer, wires: Wires | None) -> None:
        self._link.send_answer(answer, wires)

    def send_frame(self, data: bytes) -> None:
        self._link.send_frame(data)

    def on_call(self, call: Call) -> None:
        if self._current:
            self._reports.called(self._party, call.unique_id, call)

    def on_answer(self, answer: Answer, came: Octets | None) -> None:
        if self._current:
            self._reports.answered(self._party, answer, came=came)

    def on_refused(self, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        self._reports.refused(self._party, error, unique_id, wires)

    def on_other(self, data: bytes) -> None:
        if self._current:
            self._reports.relayed(self._party, data)


class DialledTransport:
    """A Central System's WebSocket, which is dialled each time that it is needed.

    Args:
        target: Returns the target for each dial.
        reports: Receives the events.
        strict: Whether the tolerance is strict.
        html_escaped: Whether the Central System escapes its texts for HTML.
        relay: Whether payloads are passed on as they came, because the Charge Point speaks JSON.
        tasks: Owns the task of the link.
        gate: Limits the handshakes with one Central System at the same time, so that its restart causes no storm.
        profile: Returns the DeviceProfile of the Charge Point.
        denied: Called when the Central System refuses the password.
        no_subprotocol: Called, in place of the report that the link is down, when the Central System speaks none of the
            subprotocols.
        alone: Returns what is to be waited for before each dial: the end of other connections in the Charge Point's
            name. None if there are none.
    """

    side = Side(dialable=True, carries_answers=True)

    def __init__(
        self,
        target: Callable[[], Target],
        reports: TransportEvents,
        *,
        strict: bool,
        html_escaped: bool = False,
        relay: bool = False,
        tasks: Tasks,
        gate: asyncio.Semaphore,
        profile: Callable[[], DeviceProfile] = plain_profile,
        denied: Callable[[], None] = lambda: None,
        no_subprotocol: Callable[[], object] | None = None,
        alone: Callable[[], Awaitable[object] | None] = lambda: None,
    ) -> None:
        self._target = target
        self._denied = denied
        self._no_subprotocol = no_subprotocol
        self._alone = alone
        self._reports = reports
        self._terms = ChannelTerms(
            peer=Party.CENTRAL_SYSTEM,
            strict=strict,
            html_escaped=html_escaped,
            relay=relay,
            profile=profile,
            records=reports.records,
            bounds=target().bounds,
        )
        self._tasks = tasks
        self._gate = gate
        self._dialling: asyncio.Task[None] | None = None
        self._socket: WebSocketTransport | None = None
        self._closed: WebSocketTransport | None = None  # the last one that this end has closed

    @property
    def version(self) -> str:
        return JSON_VERSION if self._socket is None else self._socket.version

    @property
    def address_of_peer(self) -> str:
        return "" if self._socket is None else self._socket.address_of_peer

    @property
    def peer(self) -> str | None:
        return None if self._socket is None else self._socket.peer

    def open(self) -> None:
        target = self._target()
        self._dialling = self._tasks.spawn(self._run(target), name=f"link of {target.identity}")

    async def _run(self, target: Target) -> None:
        try:
            if (others := self._alone()) is not None:
                await others
            async with self._gate:
                connection = await dial(target)
        except DialRefused as refused:
            self._dialling = None
            if isinstance(refused, NoCommonSubprotocol) and self._no_subprotocol is not None:
                self._no_subprotocol()
                return
            if refused.status == _UNAUTHORIZED:
                self._denied()
            self._reports.link_down(Party.CENTRAL_SYSTEM, refused.reason)
            return
        del target  # otherwise it would be kept as long as the connection
        self._socket = WebSocketTransport(connection, Party.CENTRAL_SYSTEM, self._reports, self._terms)
        self._dialling = None
        self._reports.link_up(Party.CENTRAL_SYSTEM)
        await self._socket.run()

    def close(self, reason: str, code: int) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
        elif self._socket is not None:
            self._socket.close(reason, code)
            self._socket, self._closed = None, self._socket

    async def gone(self) -> None:
        if self._closed is not None:
            await self._closed.gone()

    async def shut(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        if self._socket is not None:
            await self._socket.shut()

    def lacks(self, call: Call) -> bool:
        return False

    def send_call(self, call: Call, within: float, give_up: float) -> None:
        if self._socket is not None:
            self._socket.send_call(call, within, give_up)

    def send_answer(self, key: str, answer: Answer, wires: Wires | None) -> None:
        if self._socket is not None:
            self._socket.send_answer(key, answer, wires)

    def send_frame(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.send_frame(data)


class PostTarget(Struct, frozen=True, kw_only=True):
    """An address to POST to.

    Attributes:
        url: The address.
        destinations: The IP addresses to which connections may lead.
        told_by: The Charge Point that gave the address, "" for the operator.
    """

    url: str
    destinations: Destinations
    told_by: str = ""

    def admits(self, address: str) -> bool:
        """Return whether a connection to the IP `address` is allowed."""
        return self.destinations.why_not(address, port_of(self.url)) is None


def _as_learnt(callback: CallbackTarget) -> Destinations:
    return Destinations(networks=callback.networks)


class LatePosts:
    """POSTs whose Calls have timed out, and which may still bring a verdict (design/delivery.md D1).

    Each has a connection of its own, and none counts as a Call in progress. Above the limits the oldest POST is ended.
    """

    def __init__(self, most: int = 1000, most_of_one: int = 4) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._late: dict[tuple[SoapTransport, str], asyncio.Task[None]] = {}
        self._quiet: asyncio.Event | None = None  # set when no POST is late, for `drained`
        self.closed = 0  # the number of POSTs ended above the limits

    def __len__(self) -> int:
        return len(self._late)

    def expect(self, transport: SoapTransport, unique_id: str, post: asyncio.Task[None], within: float) -> None:
        """Count the task `post` as late after `within` seconds, unless it has ended by then."""

        def late() -> None:
            self._late[transport, unique_id] = post
            self._limit(transport)

        timer = asyncio.get_running_loop().call_later(within, late)

        def ended(_: object) -> None:
            timer.cancel()
            self._late.pop((transport, unique_id), None)
            if self._quiet is not None and not self._late:
                self._quiet.set()

        post.add_done_callback(ended)

    def _limit(self, transport: SoapTransport) -> None:
        of_one = [key for key in self._late if key[0] is transport]
        over = of_one[0] if len(of_one) > self._most_of_one else None
        if over is None and len(self._late) > self._most:
            over = next(iter(self._late))
        if over is not None:
            self.closed += 1
            self._late.pop(over).cancel()
            over[0].given_up(over[1], "too many answers are late")

    async def drained(self, within: float) -> None:
        """Wait until no POST is late, at most `within` seconds."""
        if self._late and within > 0:
            self._quiet = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), within)


class SoapTransport:
    """A party's SOAP service. Each Call in either direction is an HTTP POST, whose response carries the answer."""

    side = Side(dialable=False, carries_answers=False)

    def __init__(
        self,
        party: Party,
        callback: CallbackAddress,
        reports: TransportEvents,
        *,
        identity: str,
        strict: bool,
        clients: Mapping[str, SoapClient],
        tasks: Tasks,
        profile: Callable[[], DeviceProfile] = plain_profile,
        late: LatePosts,
        reply: Callable[[str, Answer], None],
        tls: ssl.SSLContext | None = None,
        destinations: Callable[[CallbackTarget], Destinations] = _as_learnt,
        fields: Callable[[], Sequence[tuple[str, str]]] = tuple,
        sent_from: str | None = None,
    ) -> None:
        self._callback = callback
        self._sent_from = sent_from  # the bridge's address before the party has sent to one
        self._destinations = destinations
        self._fields = fields  # of the head of each POST
        self._late = late
        self._tls = tls
        self._party = party
        self._reports = reports
        self._identity = identity
        self._strict = strict
        self._clients = clients
        self._tasks = tasks
        self._profile = profile
        self._reply = reply

    @property
    def version(self) -> str:
        return self._callback.version

    @property
    def _soap(self) -> SoapClient:
        return self._clients[self._callback.version]

    @property
    def address_of_peer(self) -> str:
        return self._callback.peer

    @property
    def peer(self) -> str | None:
        return None  # no connection stays open between two Calls

    def open(self) -> None:
        """Do nothing: each POST opens its own connection."""

    def close(self, reason: str, code: int) -> None:
        """Do nothing: no connection stays open between two Calls."""

    async def gone(self) -> None:
        """Do nothing: no connection stays open between two Calls."""

    async def shut(self) -> None:
        """Do nothing: the listener answers the requests that wait."""

    def lacks(self, call: Call) -> bool:
        return self._soap.instead(call, strict=self._strict) is not None

    def send_call(self, call: Call, within: float, give_up: float) -> None:
        post = self._tasks.spawn(self._post(call, give_up), name=f"{call.action} to {self._identity}")
        if give_up > within:
            self._late.expect(self, call.unique_id, post, within)

    def send_answer(self, key: str, answer: Answer, wires: Wires | None) -> None:
        # The request holds the wires of its Call, so `wires` is not needed.
        self._reply(key, answer)

    def send_frame(self, data: bytes) -> None:
        """Do nothing: OCPP-S has no frames."""

    def _reach(self, to: CallbackTarget) -> PostTarget:
        told_by = "" if to.networks is None else self._identity
        return PostTarget(url=to.url, destinations=self._destinations(to), told_by=told_by)

    def given_up(self, unique_id: str, reason: str) -> None:
        """Report that the late POST of a Call was ended by the bridge."""
        failed = Unanswered(unique_id=unique_id, reason=reason, failure=Failure.TIMEOUT)
        self._reports.answered(self._party, failed)

    async def _is_reachable(self) -> bool:
        to = self._callback.to
        return to is not None and await self._soap.reachable(self._reach(to), self._tls)

    async def _post(self, call: Call, within: float) -> None:
        if _is_answered_here(call):
            if await self._is_reachable():
                self._reports.answered(self._party, _empty_answer(call), instead=True)
            else:
                reason = self._callback.why_not or "it cannot be reached"
                self._reports.link_down(self._party, reason, call.unique_id)
            return
        if (instead := self._soap.instead(call, strict=self._strict)) is not None:
            self._reports.lost(instead.losses, call.wires)
            self._reports.answered(self._party, instead.answer, instead=True)
            return
        to = self._callback.to
        if to is None:
            self._reports.link_down(self._party, self._callback.why_not, call.unique_id)
            return
        try:
            posted = await self._soap.call(
                self._reach(to),
                self._identity,
                call,
                within=within,
                strict=self._strict,
                profile=self._profile(),
                sent_from=self._callback.sent_to or self._sent_from,
                tls=self._tls,
                fields=self._fields(),
            )
        except Undelivered as error:
            self._reports.link_down(self._party, error.description, undelivered=call.unique_id)
            return
        except MessageError as error:
            self._reports.answered(self._party, CallError.of(call.unique_id, error))
            return
        self._reports.lost(posted.losses, call.wires)
        came = Octets("soap", time(), posted.received) if call.wires is not None and posted.received else None
        self._reports.answered(self._party, posted.answer, came=came)
        if posted.wrong_address and (forgotten := self._callback.forget(to)) is not None:
            self._reports.link_down(self._party, forgotten)
