"""The session table: one SessionRunner per Charge Point.

A SessionRunner is created when the bridge first needs one for the Charge Point, by SOAP or by JSON.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct, structs

from bridge.core import addresses
from bridge.core.addresses import CallbackTarget, Learning
from bridge.core.callback import CallbackAddress
from bridge.core.destinations import Destinations
from bridge.core.links import SessionTerms, Side, Status
from bridge.core.memory import ChargePointRecords, SessionMemory
from bridge.core.policies import PolicyTable
from bridge.core.session import Session
from bridge.core.transactions import SILENT, KnownTransaction
from bridge.errors import HeldElsewhere, Unavailable, Why
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.former_commands import FormerCommands
from bridge.gateway.former_sessions import FormerRunner, FormerSessions
from bridge.gateway.health import SessionCounts
from bridge.gateway.limits import frame_bounds
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placement
from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE, command_address
from bridge.gateway.session_runner import ELSEWHERE, CallLimits, RunnerParts, SessionRunner, always
from bridge.gateway.transports import (
    NORMAL,
    REPLACED,
    DialledTransport,
    LatePosts,
    SoapTransport,
    WebSocketTransport,
)
from bridge.net.forwarding import is_shared_key
from bridge.net.json_channel import ChannelTerms
from bridge.net.message_socket import MessageSocket
from bridge.net.soap_client import SoapClient
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.messages import BootNotificationRequest
from bridge.ocpp.rpc import Answer
from bridge.ocpp.wire import Wires
from bridge.ocpps.envelope import Addressing
from bridge.store.records import ChargePointRecord
from bridge.watching.audience import Audience
from bridge.watching.facts import CallbackChanged, ChargePointRemoved

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_SOAP_CHARGE_POINT = Side(dialable=False, carries_answers=False, narrow_ids=True)
# The most handshakes with one Central System at the same time.
_HANDSHAKES = 32
# The most Charge Points that are examined to find one that may be removed. It takes about a millisecond.
_LOOKED_AT = 1000


def mint() -> str:
    """Return a new UniqueId of 36 characters, the most that OCPP-J 1.6 section 4.1.4 allows.

    It is a UUID of version 4. Its text is made directly, without a `uuid.UUID`, because every message needs three
    UniqueIds.
    """
    return _uuid(f"{random.getrandbits(128):032x}")


def mint_for(key: str) -> str:
    """Return the UniqueId for a Call by its key: the same in all processes for a SOAP request that they share."""
    return _uuid(blake2b(key.encode(), digest_size=16).hexdigest()) if is_shared_key(key) else mint()


def _uuid(bits: str) -> str:
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def said(boot: BootNotificationRequest) -> Boot:
    """Return what a Charge Point says about itself in a BootNotification."""
    return Boot(vendor=boot.chargePointVendor, model=boot.chargePointModel, firmware=boot.firmwareVersion or "")


class Clients(Struct, frozen=True, kw_only=True):
    """The SOAP clients.

    Attributes:
        charge_point: The clients that POST to Charge Points, by the OCPP version of the Charge Point.
        central_system: The clients that POST to Central Systems, by the protocol of the Central System.
    """

    charge_point: Mapping[str, SoapClient]
    central_system: Mapping[str, SoapClient]

    def all(self) -> tuple[SoapClient, ...]:
        """Return all clients."""
        return (*self.charge_point.values(), *self.central_system.values())


class Callbacks(Protocol):
    """The operator's rules for the callback addresses of Charge Points."""

    def learning(self, name: str, peer: str) -> Learning:
        """Return how to learn a callback address from the IP address `peer` at the listener `name`."""

    def limited(self, callback: CallbackTarget) -> CallbackTarget:
        """Return `callback`, which was learnt before, restricted to what the operator admits now."""

    def destinations(self, callback: CallbackTarget) -> Destinations:
        """Return the IP addresses to which a connection to `callback` may lead, once its host is resolved."""


def _anywhere(callback: CallbackTarget) -> Destinations:
    """Return the destinations of a Central System, whose address the operator configured."""
    return Destinations(networks=callback.networks)


def _terms_of(runner: SessionRunner) -> ChannelTerms:
    """Return the settings of a JSON Charge Point's connection."""
    return ChannelTerms(
        peer=CHARGE_POINT,
        strict=runner.placement.strict,
        relay=runner.placement.speaks_json,
        profile=runner.profile,
        booted=runner.met,
        records=runner.records,
        bounds=frame_bounds(runner.placement.limits),
        pace=runner.pace.take,
    )


def _address(placement: Placement, party: Party) -> str | None:
    """Return the bridge's address for a SOAP party that has sent nothing yet; None for that of the client."""
    if not placement.public_url:
        return None
    if party is CHARGE_POINT:
        return placement.public_url + CENTRAL_SYSTEM_SERVICE
    return command_address(placement.public_url, placement.central_system)


class Sessions:
    """The table of SessionRunners. Identities are matched case-insensitively and kept as they were first written.

    Args:
        clients: The SOAP clients.
        tasks: Owns the tasks of the Sessions.
        traffic: The limits on Calls in progress, which all SessionRunners share.
        persistence: The records of the Charge Points.
        audience: Receives the facts.
        keys: The passwords of Charge Points and towards Central Systems.
        callbacks: Restricts callback addresses, those that were learnt before included, to what the operator admits
            now.
        reply: Answers the SOAP request with a key.
        wake: Requests `wake_url` for an identity.
        is_listed: Returns whether the configuration names the Charge Point.
        placed_at: Returns the Placement of an identity at a Central System by name; None if that is not configured.
        drain_for: Seconds for which a Central System that a Charge Point was moved away from keeps its transactions.
        given_up: Called with an identity, a Central System and its transactions that have not ended there in time.
        policies: The policies of new Sessions. Assign the attribute to replace them.
        observers_of: Returns the names of the further Central Systems of an identity.
        may_act: Returns whether this process may act for its Charge Points now.
        has: Returns whether this process has the Charge Point with a key, and is not about to hand it over.
    """

    def __init__(
        self,
        clients: Clients,
        tasks: Tasks,
        traffic: CallLimits,
        persistence: Persistence,
        audience: Audience,
        keys: AuthorizationKeys,
        callbacks: Callbacks,
        reply: Callable[[str, Answer], None],
        wake: Callable[[str, str], None],
        is_listed: Callable[[str], bool],
        *,
        placed_at: Callable[[str, str], Placement | None],
        drain_for: float,
        given_up: Callable[[str, str, Sequence[KnownTransaction]], None],
        policies: PolicyTable,
        observers_of: Callable[[str], tuple[str, ...]],
        may_act: Callable[[], bool] = always,
        has: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self._may_act = may_act
        self.has = has
        self.policies = policies
        self._observers_of = observers_of
        self._placed_at = placed_at
        self._drain_for = drain_for
        self._given_up = given_up
        self._reply = reply
        self._wake = wake
        self._is_listed = is_listed
        self._clients = clients
        self._callbacks = callbacks
        self._tasks = tasks
        self._traffic = traffic
        self._persistence = persistence
        self._audience = audience
        self._keys = keys
        self._table: dict[str, SessionRunner] = {}
        self.counts = SessionCounts()
        # The records of Charge Points that were moved and have no Session at their new Central System yet.
        self._left: dict[str, ChargePointRecords] = {}
        self._by_name: dict[str, SessionRunner] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}
        # The Sessions that each Charge Point has left and that end their Calls, by its casefolded identity. The event
        # of each is set when its links are closed.
        self._ending: dict[str, dict[SessionRunner, asyncio.Event]] = {}
        self.late_posts = LatePosts()

    def gate_of(self, central_system: str) -> asyncio.Semaphore:
        """Return what limits the handshakes with a Central System at the same time."""
        return self._gates.setdefault(central_system, asyncio.Semaphore(_HANDSHAKES))

    def __iter__(self) -> Iterator[SessionRunner]:
        return iter(self._table.values())

    def __len__(self) -> int:
        return len(self._table)

    def get(self, identity: str) -> SessionRunner | None:
        """Return the SessionRunner of the Charge Point, or None."""
        return self._table.get(identity.casefold())

    def is_new(self, placement: Placement) -> bool:
        """Return whether the Charge Point is not listed and is not known yet. Anybody can invent such an identity."""
        identity = placement.identity
        return not placement.listed and self.get(identity) is None and self._persistence.record_of(identity) is None

    def check_room(self, placement: Placement) -> None:
        """Make room for a new Charge Point if the limit is reached.

        The Charge Point that was heard of longest ago is removed, among those that are not listed, that no operator has
        moved and whose BootNotification no Central System has accepted.

        Raises:
            Unavailable: No Charge Point may be removed.
        """
        most = placement.limits.charge_points
        if max(len(self._table), self._persistence.count) < most or not self.is_new(placement):
            return
        while max(len(self._table), self._persistence.count) >= most:
            if not self._remove_stranger(_LOOKED_AT):
                raise Unavailable(f"{most} Charge Points are known already (limits.charge_points)", why=Why.BUSY)

    def trim(self, most: int) -> None:
        """Remove Charge Points from the store until at most `most` are left, before any message is served.

        Only the Charge Points that `check_room` may remove are removed.
        """
        while self._persistence.count > most and self._remove_stranger(self._persistence.count):
            pass

    def _remove_stranger(self, among: int) -> bool:
        identity = self._persistence.stranger(self._is_listed, among)
        if identity is None:
            return False
        self.remove(identity, "too many Charge Points are known (limits.charge_points)")
        return True

    def remove(self, identity: str, reason: str) -> Future[bool]:
        """Disconnect a Charge Point and delete all that is known of it. Its next message makes it known again.

        Calls in flight end on their present route.

        Returns: A future that is done when the store is. It is True if the disk has the change.
        """
        runner = self.get(identity)
        if runner is not None:
            self.forget(runner)
            runner.disconnect(reason)
            self.retire(runner, moved=True)
        self._left.pop(identity.casefold(), None)
        self._audience.see(ChargePointRemoved(identity))
        return self._persistence.remove(identity)

    def spelling(self, identity: str) -> str:
        """Return the identity as it was first written, also before the last restart."""
        record = self._persistence.record_of(identity)
        return identity if record is None else record.identity

    def named_by_soap(self, name: str) -> SessionRunner | None:
        """Return the SessionRunner of the Charge Point that a SOAP Central System calls `name`, a key; or None."""
        return self._by_name.get(name.casefold())

    def forget(self, runner: SessionRunner) -> None:
        """Remove `runner` from the table, because its Charge Point has moved.

        The next message creates a new SessionRunner.
        """
        self._table.pop(runner.identity.casefold(), None)
        self._left[runner.identity.casefold()] = runner.session.records
        self.counts.end(runner)
        self._by_name.pop(runner.placement.name_key.casefold(), None)

    def release(self, held: Callable[[str], bool]) -> list[SessionRunner]:
        """Forget the Charge Points that another process has from now on: those for whose key `held` returns False.

        Returns: Their SessionRunners, those at former Central Systems included.
        """
        released = [runner for runner in self if not held(runner.identity)]
        for runner in released:
            del self._table[runner.identity.casefold()]
            self.counts.end(runner)
            self._by_name.pop(runner.placement.name_key.casefold(), None)
        for folded in [folded for folded in self._left if not held(folded)]:
            del self._left[folded]
        return released + [runner for folded, ending in self._ending.items() if not held(folded) for runner in ending]

    def retire(self, runner: SessionRunner, *, moved: bool) -> None:
        """End a SessionRunner that is not the Charge Point's any more as soon as no Call is in progress.

        Args:
            runner: The SessionRunner.
            moved: Whether the Charge Point belongs to another Central System now, or to none.
        """
        runner.leave_others()
        if moved and runner.former_commands is None:
            runner.former_commands = self._commands_of(runner)
        left = self._ending.setdefault(runner.identity.casefold(), {})[runner] = asyncio.Event()
        self._tasks.spawn(self._retire(runner, left), name=f"retiring {runner.identity}")

    async def _retire(self, runner: SessionRunner, left: asyncio.Event) -> None:
        folded = runner.identity.casefold()

        def closed() -> None:
            left.set()
            # A transaction may have begun there since the Charge Point was moved.
            present = self.get(runner.identity)
            if present is not None and present.elsewhere is not None:
                present.elsewhere.resume(asyncio.get_running_loop().time())

        try:
            await runner.retire(closed)
        finally:
            left.set()
            del self._ending[folded][runner]
            if not self._ending[folded]:
                del self._ending[folded]

    def _commands_of(self, runner: SessionRunner) -> FormerCommands:
        return FormerCommands(
            runner.placement,
            present=lambda: self.get(runner.identity),
            permitted=runner.session.permitted,
            policy_for=partial(runner.policy_for, CENTRAL_SYSTEM),
            tasks=self._tasks,
            mint=mint,
            answer=runner.answer_command,
            refused=runner.refused_command,
            now=asyncio.get_running_loop().time,
        )

    def _others_at(self, placement: Placement) -> Awaitable[object] | None:
        """Return what to wait for until the Charge Point has no earlier connection to a Central System; None if so.

        A Central System that knows a Charge Point by its connection would close the earlier one, with the Calls on it.
        """
        ending = self._ending.get(placement.identity.casefold(), {})
        at_it = [
            left.wait()
            for runner, left in ending.items()
            if runner.placement.central_system == placement.central_system and not left.is_set()
        ]
        return asyncio.gather(*at_it) if at_it else None

    def soap(self, placement: Placement, version: str) -> SessionRunner:
        """Return the SessionRunner of a SOAP Charge Point that speaks OCPP `version`, a new one if it has none.

        Raises HeldElsewhere.
        """
        known = self.get(placement.identity)
        if known is not None and not known.charge_point.speaks_json:
            return known
        runner = self._new(placement, _SOAP_CHARGE_POINT)
        pinned = placement.pinned
        kept = self._persistence.callback_of(placement.identity)
        learnt = None if kept is None else self._callbacks.limited(kept)
        runner.charge_point.callback = callback = CallbackAddress(pinned or learnt, version, fixed=pinned is not None)
        runner.transports[CHARGE_POINT] = self._posted(
            runner, CHARGE_POINT, callback, self._clients.charge_point, placement.charge_box_identity
        )
        if callback.to is None:
            runner.no_way(CHARGE_POINT, callback.why_not)
        else:
            runner.link_up(CHARGE_POINT)
        self.counts.update(runner)
        return runner

    def json(self, placement: Placement) -> SessionRunner:
        """Return the SessionRunner of a JSON Charge Point, a new one if it has none.

        Its WebSocket is not connected yet. Raises HeldElsewhere.
        """
        known = self.get(placement.identity)
        if known is not None and known.charge_point.speaks_json:
            return known
        return self._new(placement, WebSocketTransport.side)

    def open_transactions(self, identity: str) -> int:
        """Return the number of open transactions of a Charge Point, whether or not it has a Session."""
        runner, at = self.get(identity), asyncio.get_running_loop().time()
        if runner is not None:
            return runner.session.open_transactions(at)
        left = self._left.get(identity.casefold())
        if left is not None:
            return left.open_transactions(at)
        known = self._persistence.record_of(identity)
        if known is None or self._persistence.silent_for(known) > SILENT:
            return 0
        return ChargePointRecords(self._persistence.memory_of(identity, ""), "").open_transactions(at)

    def _new(self, placement: Placement, side: Side) -> SessionRunner:
        if not self.has(placement.identity):  # it went to another process while a message or a handshake was admitted
            raise HeldElsewhere
        relays = side.carries_answers and placement.speaks_json
        central_side = (
            WebSocketTransport.side if relays else (DialledTransport if placement.speaks_json else SoapTransport).side
        )
        memory = self._persistence.memory_of(placement.identity, placement.central_system)
        folded = placement.identity.casefold()
        known = self.get(placement.identity)
        records = self._left.pop(folded, None) if known is None else known.session.records
        sides = {CHARGE_POINT: side, CENTRAL_SYSTEM: central_side}
        session = self._session(placement.identity, sides, placement.terms, memory, records)
        runner = SessionRunner(*self._parts(placement, session))
        session.transactions.move(placement.central_system)
        runner.elsewhere = elsewhere = FormerSessions(runner, self._begin_former, lambda: self._ending.get(folded, ()))
        if (former := self.get(placement.identity)) is not None:  # the Charge Point has changed its transport
            self.counts.end(former)
            self.retire(former, moved=former.placement.central_system != placement.central_system)
        if memory.boot is not None:
            runner.met(said(memory.boot))
        self._table[placement.identity.casefold()] = runner
        if not placement.speaks_json:
            self._by_name[placement.name_key.casefold()] = runner
        if not relays:
            self._add_central_system(runner)
        self.counts.begin(runner)
        runner.on_standing = partial(self.counts.update, runner)
        loop = asyncio.get_running_loop()
        loop.call_soon(elsewhere.resume, loop.time())  # when the Charge Point's transport is there
        return runner

    def _session(
        self,
        identity: str,
        sides: dict[Party, Side],
        terms: SessionTerms,
        memory: SessionMemory,
        records: ChargePointRecords | None,
    ) -> Session:
        return Session(
            sides,
            terms,
            mint=mint,
            mint_for=mint_for,
            chance=random.random,
            memory=memory,
            records=records,
            wires=Wires if self._audience.records else lambda: None,
            observers=partial(self._observers_of, identity),
        )

    def _parts(self, placement: Placement, session: Session) -> RunnerParts:
        return (
            *(placement, session, self._traffic, self._persistence, self._audience, self._wake, self.policies),
            self._may_act,
        )

    def _begin_former(self, present: SessionRunner, central_system: str) -> FormerRunner | None:
        """Return a FormerRunner for a Central System that the Charge Point was moved away from."""
        placement = self._placed_at(present.identity, central_system)
        if placement is None:
            return None
        near = Side(dialable=False, carries_answers=False, narrow_ids=present.session.sides[CHARGE_POINT].narrow_ids)
        far = (DialledTransport if placement.speaks_json else SoapTransport).side
        terms = structs.replace(placement.terms, emulate_trigger=False, infer_status=False, wakes=False, former=True)
        memory = self._persistence.memory_of(present.identity, central_system)
        memory.introduce = False  # it knows the Charge Point, which must not seem to have started anew
        sides, shared = {CHARGE_POINT: near, CENTRAL_SYSTEM: far}, present.session.records
        session = self._session(present.identity, sides, terms, memory, shared)
        runner = FormerRunner(self._parts(placement, session), present, self._drain_for, self._former_ended)
        runner.former_commands = self._commands_of(runner)
        runner.charge_point.shown = present.charge_point.shown
        if not placement.speaks_json:
            self._by_name.setdefault(placement.name_key.casefold(), runner)
        self._add_central_system(runner)
        return runner

    def _former_ended(self, former: FormerRunner, given_up: Sequence[KnownTransaction]) -> None:
        name = former.placement.name_key.casefold()
        if self._by_name.get(name) is former:
            del self._by_name[name]
        self._given_up(former.identity, former.placement.central_system, given_up)
        self.retire(former, moved=True)

    def _add_central_system(self, runner: SessionRunner) -> None:
        placement = runner.placement
        if placement.speaks_json:
            relays = runner.session.relays
            runner.transports[CENTRAL_SYSTEM] = DialledTransport(
                lambda: self._keys.target(placement, runner.charge_point.shown),
                runner,
                strict=placement.strict,
                html_escaped=placement.system.html_escaped,
                relay=relays,
                tasks=self._tasks,
                gate=self.gate_of(placement.central_system),
                profile=runner.profile,
                denied=lambda: self._keys.denied(placement),
                no_subprotocol=partial(runner.disconnect, ELSEWHERE) if relays else None,
                alone=partial(self._others_at, placement),
            )
            return
        client = self._clients.central_system[placement.system.protocol]
        address = CallbackAddress(addresses.pinned(placement.url), client.version, fixed=True)
        clients = {client.version: client}
        runner.transports[CENTRAL_SYSTEM] = self._posted(runner, CENTRAL_SYSTEM, address, clients, placement.name)
        runner.link_up(CENTRAL_SYSTEM)

    def _posted(
        self,
        runner: SessionRunner,
        party: Party,
        callback: CallbackAddress,
        clients: Mapping[str, SoapClient],
        identity: str,
    ) -> SoapTransport:
        return SoapTransport(
            party,
            callback,
            runner,
            identity=identity,
            strict=runner.placement.strict,
            clients=clients,
            tasks=self._tasks,
            late=self.late_posts,
            reply=self._reply,
            profile=runner.profile if party is CHARGE_POINT else runner.towards_central_system,
            tls=runner.placement.callback_tls if party is CHARGE_POINT else runner.placement.tls,
            destinations=self._callbacks.destinations if party is CHARGE_POINT else _anywhere,
            fields=tuple if party is CHARGE_POINT else partial(self._fields, runner),
            sent_from=_address(runner.placement, party),
        )

    def _fields(self, runner: SessionRunner) -> tuple[tuple[str, str], ...]:
        return self._keys.fields(runner.placement, runner.charge_point.shown)

    def spoke(self, runner: SessionRunner, version: str, sent_to: str) -> None:
        """Take the OCPP version of the Charge Point's latest message, and the bridge's address to which it was sent.

        Commands to the Charge Point use the same version and give the same address as their sender.
        """
        callback = runner.charge_point.callback
        assert callback is not None
        if callback.sent_to == sent_to and callback.version == version:
            return
        callback.version, callback.sent_to = version, sent_to
        self._persistence.heard(runner.identity, "soap", version)

    def learn(self, runner: SessionRunner, addressing: Addressing, peer: str, listener: str) -> None:
        """Learn the callback address from the Charge Point's latest message, which came through `listener`.

        Most messages repeat the same address, which is then not examined again.
        """
        callback = runner.charge_point.callback
        assert callback is not None
        if callback.is_new(addressing.sent_from, addressing.reply_to, peer, listener):
            change = callback.learn(self._callbacks.learning(listener, peer))
            if change.refused:
                runner.callback_refused(change.refused)
                runner.no_way(CHARGE_POINT, callback.why_not)
            if change.before and callback.to is not None:
                self._audience.see(CallbackChanged(runner.identity, change.before, callback.to.url, peer))
            if change.learnt is not None:
                self._persistence.heard(runner.placement.identity, "soap", callback=change.learnt)
        if callback.to is not None:
            runner.link_up(CHARGE_POINT)

    def limit_callbacks(self) -> None:
        """Apply the operator's present rules for callback addresses to the addresses that are known already."""
        for runner in self:
            if (callback := runner.charge_point.callback) is not None:
                callback.limit(None if callback.to is None else self._callbacks.limited(callback.to))

    async def connect(self, runner: SessionRunner, near: MessageSocket, far: MessageSocket | None) -> None:
        """Carry the traffic of a JSON Charge Point's WebSocket until the WebSocket ends.

        Args:
            runner: The SessionRunner of the Charge Point.
            near: The WebSocket of the Charge Point.
            far: The WebSocket of its Central System, None for a Central System that speaks SOAP.
        """
        near_way = WebSocketTransport(near, CHARGE_POINT, runner, _terms_of(runner))
        runner.accepted = near_way
        if CHARGE_POINT in runner.transports:
            runner.replace(REPLACED, "replaced by a newer connection of the same Charge Point")
        if far is not None:
            far_terms = ChannelTerms(
                peer=CENTRAL_SYSTEM,
                relay=True,
                html_escaped=runner.placement.system.html_escaped,
                records=runner.records,
                bounds=frame_bounds(runner.placement.limits),
            )
            far_way = WebSocketTransport(far, CENTRAL_SYSTEM, runner, far_terms)
            runner.transports[CENTRAL_SYSTEM] = far_way
            self._tasks.spawn(far_way.run(), name=f"central system of {runner.identity}")
            runner.link_up(CENTRAL_SYSTEM)
        runner.transports[CHARGE_POINT] = near_way
        runner.link_up(CHARGE_POINT)
        self._persistence.heard(runner.placement.identity, "json")
        runner.alive()
        near.on_control = runner.alive
        await near_way.run()
        near.on_control = None  # breaks the reference cycle, which would wait for the garbage collector

    def hand_over(self, placement: Placement, moved: SessionRunner) -> bool:
        """Give the open connection of a JSON Charge Point to its Session at another Central System (rule 29).

        Args:
            placement: Its Central System and settings now.
            moved: The SessionRunner that it had, which is not in the table any more.

        Returns: False if there is no open connection, or if the Charge Point has to connect again.
        """
        near = moved.accepted
        if near is None or moved.session.links[CHARGE_POINT].status is not Status.UP:
            return False
        if not placement.may_keep_connection(moved.placement, near.subprotocol):
            return False
        runner = self.json(placement)
        runner.charge_point.shown = moved.charge_point.shown
        if placement.speaks_json:
            self._add_central_system(runner)
        runner.transports[CHARGE_POINT] = runner.accepted = near.handed_over(runner, _terms_of(runner))
        near.on_control(runner.alive)
        runner.link_up(CHARGE_POINT)
        moved.hand_over_to(runner)
        now = asyncio.get_running_loop().time()
        runner.resume(now if moved.last_heard is None else moved.last_heard)
        return True

    def hang_up(self, connection: MessageSocket) -> None:
        """Close a connection that is not needed."""
        connection.close(NORMAL, "")

    def resume(self, placement: Placement, record: ChargePointRecord, ago: float, *, at_once: bool = False) -> None:
        """Continue the Session of a SOAP Charge Point after a restart of the bridge, or after the Charge Point moved.

        Args:
            placement: Its Central System and settings now.
            record: The stored record of the Charge Point.
            ago: Seconds since its last message.
            at_once: True dials its Central System without a pause.
        """
        runner = self.soap(placement, record.version if record.version in self._clients.charge_point else "1.6")
        runner.resume(asyncio.get_running_loop().time() - ago, at_once=at_once)
