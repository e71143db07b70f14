"""The further Central Systems of all Charge Points: who gets what, and what waits for them (docs/observers.md).

This watcher sees each message that a main Central System has answered, and puts it into the lane of each observer of
the Charge Point. The main Central System and the Charge Point wait for nothing here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count

from bridge.cluster.slots import slot_of
from bridge.core.links import Status
from bridge.core.observed import ENDS, Observed, observed, with_tag
from bridge.core.observer_ids import ObserverIds
from bridge.core.observer_lane import ObserverLane
from bridge.core.observer_queue import LostReason, ObserverQueue
from bridge.core.observers import ObserverTerms, Thinning, enters
from bridge.core.policies import PolicyRule, PolicyTable
from bridge.errors import UnknownIdentity
from bridge.gateway.held_charge_points import HeldChargePoints
from bridge.gateway.observer_commands import ObserverCommands
from bridge.gateway.observer_runner import ObserverPlace, ObserverRunner
from bridge.gateway.observer_state import ObserverLosses, ObserverState
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placements
from bridge.gateway.sessions import Sessions, mint
from bridge.gateway.transports import JSON_VERSION, Transport
from bridge.net.tasks import Tasks
from bridge.observer_queues import (
    LaneName,
    MessageContent,
    ObserverDatabase,
    ObserverQueues,
    ObserverWriter,
    QueueStore,
    SharedObserverWriter,
    StoredLane,
)
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import Request
from bridge.ocpp.rpc import Answer, Call
from bridge.ocpp.tenants import tenant_of
from bridge.store.files import database_beside
from bridge.store.thread import EXPECTED, described
from bridge.watching import logs
from bridge.watching.audience import Audience
from bridge.watching.facts import (
    AnswerKept,
    CallEnded,
    ChargePointMoved,
    ChargePointRemoved,
    Fact,
    LinkClosed,
    LinkLost,
    LinkOpened,
)
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.observers")
CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
# Seconds between two looks for Charge Points that are silent, and for messages that are too old.
_LOOK = 60.0
# Lanes that are examined, and Charge Points whose lanes are begun, before other work is served.
_SLICE, _RESUMED_AT_ONCE = 100, 20
# All queues together are made this much smaller than they may be, so that the largest are not sought for each message.
_TRIMMED = 0.95
# Seconds after which a file that could not be read is read again.
_READ_AGAIN = 2.0
_VERSIONS = (JSON_VERSION, "1.5", "1.2")


class Observers:
    """The lanes of all observers of all Charge Points.

    Without observers in the configuration it does nothing, and makes no file. In a cluster, it has the lanes of the
    Charge Points of this process's slots: `take` begins with them, and `leave` ends them.

    Args:
        url: The store's URL: of a file `X.db`, `X.observers.db` is beside it; `memory:` keeps messages in memory.
        shared: The records that the processes of a cluster share, which have the messages; None for a single process.
        may_act: Returns whether this process may send now.
        tasks: Owns the tasks of the lanes.
        persistence: The records of the Charge Points.
        sessions: Returns the table of Sessions.
        transport_of: Returns the transport to an observer.
        max_bytes: The most octets of all messages together.
        clock: Returns the time in unix seconds.

    Attributes:
        audience: Receives the facts about observers.
        writer: Writes the messages.
        tasks: Owns the tasks of the lanes.
        gate: Limits the lines of the log about what observers do.
        drained: Called with the identity of a Charge Point when an observer has got all that waited.
    """

    audience: Audience
    writer: ObserverQueues

    def __init__(
        self,
        url: str,
        *,
        tasks: Tasks,
        persistence: Persistence,
        sessions: Callable[[], Sessions],
        transport_of: Callable[[ObserverRunner], Transport],
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        shared: QueueStore | None = None,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self.tasks = tasks
        self.gate = RepeatLimiter(time.monotonic)
        self._url = url
        self._shared = None if shared is None else SharedObserverWriter(shared)
        self._held = HeldChargePoints(everyone=shared is None)
        self._may_act = may_act
        self._persistence = persistence
        self._sessions = sessions
        self._transport_of = transport_of
        self._max_bytes = max_bytes
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._placements: Placements | None = None
        self._policies = PolicyTable()
        self._runners: dict[LaneName, ObserverRunner] = {}
        self._stored: dict[LaneName, StoredLane] = {}  # what an earlier process left for lanes that have not begun
        self._of: dict[str, tuple[ObserverRunner, ...]] = {}  # the lanes of each Charge Point that has been looked up
        self._busy: dict[ObserverRunner, None] = {}  # the lanes with messages
        self._octets = 0
        self._losses = ObserverLosses()
        self._commands = ObserverCommands(lambda identity: self._sessions().get(identity))
        # The Charge Points of a cluster that may have lanes of another process, which have not begun here.
        self._unresumed: dict[str, None] = {}
        self._is_open = False
        self.drained: Callable[[str], None] = lambda identity: None
        self._numbers = count(int(clock() * 1000) * 1000)

    # The beginning, the end, and changes of the configuration.

    def take_over(self, placements: Placements, policies: PolicyTable) -> None:
        """Follow this configuration from now on.

        What waits for a Central System that is no observer of its Charge Point any more is deleted.
        """
        self._placements, self._policies = placements, policies
        if not self._is_open and not placements.observer_names:
            return
        if not self._is_open:
            self._open()
        self._of.clear()
        self.tasks.spawn(self._follow_configuration(), name="following the configuration of observers")

    def _open(self) -> None:
        """Begin when there is the first observer, with what an earlier process left."""
        self._is_open = True
        self.tasks.spawn(self._follow(), name="following observers")
        if self._shared is not None:
            self.writer = self._shared
            slots, self._held.slots = self._held.slots, set()
            self.take(slots)
            return
        at_once: list[dict[LaneName, StoredLane]] = []
        found = at_once.append
        database = ObserverDatabase(database_beside(self._url, "observers"))
        self.writer = ObserverWriter(database, lambda lanes: found(lanes))
        self.writer.open()
        found = self._on_found
        for lanes in at_once:
            self._resume(lanes, self._persistence.observed())

    def _on_found(self, lanes: dict[LaneName, StoredLane]) -> None:
        """Take what the thread has found in a file that could not be opened at the start."""
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(lambda: self._resume(lanes, self._persistence.observed()))

    async def _follow_configuration(self) -> None:
        """Begin, change and end lanes, and connect those of the Charge Points that are there.

        Other work is served in between.
        """
        for number, folded in enumerate(tuple({name[0] for name in self._runners})):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            self._look_up_again(folded)
        for number, runner in enumerate(tuple(self._sessions())):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            self._comes_or_goes(runner.identity)

    # Slots of a cluster.

    def take(self, slots: Collection[int]) -> None:
        """Go on with the lanes of the Charge Points of slots whose records are loaded."""
        before = self._held.take(slots)
        if self._is_open and self._shared is not None:
            resuming = self._shared.charge_points_in(slots) - before
            self._unresumed |= dict.fromkeys(resuming)
            self.tasks.spawn(self._resume_all(resuming), name="resuming the lanes of observers")

    def take_one(self, identity: str) -> None:
        """Go on with the lanes of a Charge Point whose records have come before the rest of its slot."""
        self._held.take_one(identity)
        if self._is_open:
            self._unresumed[identity.casefold()] = None
            self._resume_now(identity.casefold())

    async def _resume_all(self, charge_points: Iterable[str]) -> None:
        """Go on with the lanes of Charge Points of which nothing was heard so far. Other work is served in between."""
        for number, folded in enumerate(charge_points):
            if number % _RESUMED_AT_ONCE == 0:
                await asyncio.sleep(0)
            self._resume_now(folded)

    def _resume_now(self, folded: str) -> None:
        """Go on with the lanes of a Charge Point, unless that was done."""
        if self._shared is not None and folded in self._unresumed:
            del self._unresumed[folded]
            self._resume(self._shared.found(folded), self._persistence.observed_of(folded))

    def withdraw(self, slots: Collection[int]) -> list[ObserverRunner]:
        """Begin nothing new for the Charge Points of slots, which are about to be handed over.

        Returns: The lanes of which the observer has got a message and not answered it so far.
        """
        self._held.withdraw(slots)
        return [one for one in self._runners.values() if one.busy and slot_of(one.identity) in slots]

    def leave(self, slots: Collection[int]) -> None:
        """End the lanes of the Charge Points of slots, which another process has from now on. Nothing is deleted."""
        gone = frozenset(slots)
        self._held.release(gone)
        for name in [name for name in self._runners if slot_of(name[0]) in gone]:
            self._drop_runner(name, "another process has the Charge Point")
            self.writer.release(name)
        for name in [name for name in self._stored if slot_of(name[0]) in gone]:
            del self._stored[name]
            self.writer.release(name)
        for folded in [folded for folded in self._unresumed if slot_of(folded) in gone]:
            del self._unresumed[folded]
        for folded in [folded for folded in self._of if slot_of(folded) in gone]:
            del self._of[folded]
            self._commands.forget(folded)

    def go_on(self) -> None:
        """Go on with what has waited while this process might not send."""
        for runner in tuple(self._runners.values()):
            runner.go_on()

    def _resume(self, found: Mapping[LaneName, StoredLane], observed: Sequence[tuple[str, Observed]]) -> None:
        """Go on with the lanes of an earlier process, and with what it had kept and not put into them yet.

        A lane in which nothing waits begins with the next message of its Charge Point.

        Args:
            found: The lanes.
            observed: The newest transaction messages, each with the identity, in order.
        """
        last = max((message.number for lane in found.values() for message in lane.messages), default=0)
        self._numbers = count(max(next(self._numbers), last + 1))  # also if the clock was set back
        kept: dict[str, list[Observed]] = {}
        for identity, message in observed:
            kept.setdefault(identity.casefold(), []).append(message)
        identities = {name[0]: lane.identity for name, lane in found.items()}
        wanted: set[LaneName] = set()
        for folded in {*identities, *kept}:
            spelled = self._sessions().spelling(identities.get(folded, folded))
            for terms in self._terms_of(spelled):
                name = folded, terms.central_system
                wanted.add(name)
                lane = found.get(name)
                self._resume_lane(spelled, terms, lane, _not_entered(kept.get(folded, ()), name[1], lane))
            self._of.pop(folded, None)
        for name in found.keys() - wanted:
            self.writer.forget(name)
            self._losses.add(name[1], found[name].identity, LostReason.FORGOTTEN, len(found[name].messages))

    def _resume_lane(
        self, identity: str, terms: ObserverTerms, lane: StoredLane | None, missing: Sequence[Observed]
    ) -> None:
        name = identity.casefold(), terms.central_system
        runner = self._runners.get(name)
        if lane is not None:
            if runner is not None:
                runner.take_back(lane)
            else:
                self._stored[name] = lane
        if runner is None and (missing or (lane is not None and lane.messages)):
            runner = self._begin(identity, terms)
        if runner is not None:
            for message in missing:
                self._offer(runner, message)

    async def close(self) -> None:
        """Close all connections and write the rest. What waits is sent after the next start."""
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        if self._is_open:
            self.writer.close()

    def follow(self, identity: str) -> None:
        """Follow other settings of a Charge Point."""
        if self._is_open:
            self._look_up_again(identity.casefold())

    def _look_up_again(self, folded: str) -> None:
        """Begin and end lanes of a Charge Point after a change of the configuration or of its Central System."""
        self._resume_now(folded)
        self._of.pop(folded, None)
        mine = [runner for name, runner in self._runners.items() if name[0] == folded]
        if not mine:
            return
        identity = mine[0].identity
        wanted = {terms.central_system: self._place_of(identity, terms) for terms in self._terms_of(identity)}
        for runner in mine:
            place = wanted.get(runner.central_system)
            if place is None and self._is_awaited(runner):
                continue  # it gets what waits for it, and nothing else
            if place is None:
                self._end(runner)
            elif place != runner.place:
                runner.moves_to(place)

    def _is_awaited(self, runner: ObserverRunner) -> bool:
        """Return whether a Charge Point is moved to its observer when that has got all that it is owed."""
        waiting = self._persistence.waiting_move(runner.identity)
        if waiting is None or self._placements is None or not self.owes(runner.identity, runner.central_system):
            return False
        return runner.central_system == (waiting.central_system or self._placements.routed(runner.identity))

    def _drop_runner(self, name: LaneName, reason: str) -> None:
        runner = self._runners.pop(name)
        runner.leave(reason)
        self._busy.pop(runner, None)
        self._octets -= runner.lane.queue.octets

    def _end(self, runner: ObserverRunner) -> None:
        self._drop_runner(runner.name, "it is no observer of this Charge Point any more")
        self.writer.forget(runner.name)
        self._losses.add(runner.central_system, runner.identity, LostReason.FORGOTTEN, len(runner.lane.queue))

    # Lanes.

    def names_for(self, identity: str) -> tuple[str, ...]:
        """Return the names of the observers of a Charge Point, for the Session."""
        return tuple([runner.central_system for runner in self._lanes_of(identity)]) if self._is_open else ()

    def _terms_of(self, identity: str) -> tuple[ObserverTerms, ...]:
        return () if self._placements is None else self._placements.observers_of(identity)

    def _lanes_of(self, identity: str) -> tuple[ObserverRunner, ...]:
        folded = identity.casefold()
        lanes = self._of.get(folded)
        if lanes is None and not self._held.has(identity):
            return ()
        self._resume_now(folded)
        if lanes is None:
            found = (
                self._runners.get((folded, terms.central_system)) or self._begin(identity, terms)
                for terms in self._terms_of(identity)
            )
            lanes = self._of[folded] = tuple(runner for runner in found if runner is not None)
        return lanes

    def _place_of(self, identity: str, terms: ObserverTerms) -> ObserverPlace | None:
        assert self._placements is not None
        placement = self._placements.at(identity, terms.central_system)
        if placement is None:
            return None
        policies = self._policies.of(identity, terms.central_system)
        return ObserverPlace(terms=terms, placement=placement, policies=policies)

    def _begin(self, identity: str, terms: ObserverTerms) -> ObserverRunner | None:
        place = self._place_of(identity, terms)
        if place is None:
            return None
        lane = ObserverLane(
            place.placement.terms,
            posts=not place.placement.speaks_json,
            queue=ObserverQueue(),
            ids=ObserverIds(),
            introduction=lambda: self._last_said(runner),
            mint=mint,
            chance=random.random,
            may_send=lambda: self.may_send(identity),
        )
        runner = ObserverRunner(self, place, lane, Thinning(), self._transport_of)
        self._runners[runner.name] = runner
        if (stored := self._stored.pop(runner.name, None)) is not None:
            runner.take_back(stored)
        return runner

    def _last_said(self, runner: ObserverRunner) -> Sequence[Request]:
        """Return the last BootNotification and StatusNotifications of a Charge Point that the observer takes."""
        present, terms = self._sessions().get(runner.identity), runner.place.terms
        said: Iterable[Request] = (
            self._persistence.last_said(runner.identity) if present is None else present.session.last_said()
        )
        return [each for each in said if terms.takes(type(each).__name__.removesuffix("Request"))]

    # Facts.

    def see(self, fact: Fact) -> None:
        """Put what a main Central System has answered into the lanes, and follow the comings and goings."""
        if not self._is_open:
            return
        match fact:
            case CallEnded(identity=identity, report=report, central_system=named):
                self._commands.ended(identity)
                if enters(report) and (lanes := self._lanes_of(identity)):
                    assert report.hop_id is not None
                    names = tuple([runner.central_system for runner in lanes if runner.central_system != named])
                    compared = any(runner.place.terms.is_shadow for runner in lanes)
                    answer = report.answer if compared else None
                    self._offer_all(identity, observed(report.call, answer, report.hop_id, names))
            case AnswerKept(identity=identity, observed=message):
                self._offer_all(identity, message)
            case LinkOpened(identity=identity, party=party) if party is CHARGE_POINT:
                self._loop.call_soon(self._comes_or_goes, identity)
            case LinkLost(identity=identity, party=party) | LinkClosed(identity=identity, party=party) if (
                party is CHARGE_POINT
            ):
                self._loop.call_soon(self._comes_or_goes, identity)
            case ChargePointMoved(identity=identity):
                self._look_up_again(identity.casefold())
            case ChargePointRemoved(identity=identity):
                self._remove(identity.casefold())

    def _offer_all(self, identity: str, message: Observed) -> None:
        if not self._speaks_known_version(identity):
            return
        for runner in self._lanes_of(identity):
            if runner.central_system in message.observers:
                self._offer(runner, message)

    def _speaks_known_version(self, identity: str) -> bool:
        """Return whether a Charge Point speaks OCPP 1.6 or older. Two JSON parties may speak what nobody here reads."""
        runner = self._sessions().get(identity)
        transport = None if runner is None else runner.transports.get(CHARGE_POINT)
        return transport is None or transport.version in _VERSIONS

    def _offer(self, runner: ObserverRunner, message: Observed) -> None:
        """Put a message into a lane, if the observer takes it."""
        terms = runner.place.terms
        policy = runner.place.policies.get((CHARGE_POINT, message.action))
        if not terms.takes(message.action) or (policy is not None and not policy.passes):
            return
        if not runner.lane.present:
            runner.comes_or_goes(present=True)
        runner.put(with_tag(message, terms.id_tag), next(self._numbers))
        if self._octets > self._max_bytes:
            self._trim()

    def _remove(self, folded: str) -> None:
        for name in [name for name in self._runners if name[0] == folded]:
            self._drop_runner(name, "the Charge Point was removed")
        for name in [name for name in self._stored if name[0] == folded]:
            del self._stored[name]
        self._of.pop(folded, None)
        self._unresumed.pop(folded, None)
        self._commands.forget(folded)
        self.writer.remove(folded)

    # Presence.

    def _comes_or_goes(self, identity: str) -> None:
        present = self._is_present(identity)
        for runner in self._lanes_of(identity):
            runner.comes_or_goes(present=present)

    def _is_present(self, identity: str) -> bool:
        """Return whether a Charge Point is connected, or was heard of within the silence that it is allowed."""
        runner, record = self._sessions().get(identity), self._persistence.record_of(identity)
        if runner is None or record is None:
            return False
        if runner.charge_point.speaks_json:
            return runner.session.links[CHARGE_POINT].status is Status.UP
        return self._persistence.is_there(record)

    async def _follow(self) -> None:
        """Look now and then for silent Charge Points and for messages that are too old."""
        while True:
            await asyncio.sleep(_LOOK)
            for number, runner in enumerate(tuple(self._runners.values())):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                if runner.lane.present and not self._is_present(runner.identity):
                    runner.comes_or_goes(present=False)
                if runner in self._busy:
                    runner.expire()

    # What all ObserverRunners share.

    def now(self) -> float:
        """Return the time in unix seconds."""
        return self._clock()

    def may_send(self, identity: str) -> bool:
        """Return whether this process may send to the observers of a Charge Point now."""
        return self._held.may_begin(identity) and self._may_act()

    def mint(self) -> str:
        """Return a fresh UniqueId."""
        return mint()

    def changed(self, runner: ObserverRunner, octets: int) -> None:
        """Count a change of a queue by so many octets."""
        self._octets += octets
        if octets > 0:
            self._busy[runner] = None
        elif not len(runner.lane.queue):
            self._busy.pop(runner, None)
            self.drained(runner.identity)

    def lost(self, runner: ObserverRunner, reason: LostReason) -> None:
        """Count a message that an observer never gets."""
        self._losses.add(runner.central_system, runner.identity, reason)

    async def read(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message on disk, None if the file does not hold them.

        While the file cannot be read, it is tried again: a message is not lost for a disk that is full.
        """
        while True:
            try:
                return await self.writer.content(name, number)
            except EXPECTED as error:
                if self.gate.passes("unreadable") is not None:
                    text = "messages for observers cannot be read, and wait"
                    logs.fields(_log, logging.ERROR, text, reason=described(error))
            await asyncio.sleep(_READ_AGAIN)

    def _trim(self) -> None:
        """Drop messages from the largest queues, because all together are too large."""
        for runner in sorted(self._busy, key=lambda one: one.lane.queue.octets, reverse=True):
            while self._octets > self._max_bytes * _TRIMMED and runner.shrink():
                pass
            if self._octets <= self._max_bytes * _TRIMMED:
                return

    def owes(self, identity: str, central_system: str | None) -> bool:
        """Return whether a StartTransaction or StopTransaction of a Charge Point waits for an observer.

        Args:
            identity: The Charge Point.
            central_system: The name of the observer, None for none.
        """
        self._resume_now(identity.casefold())
        runner = None if central_system is None else self._runners.get((identity.casefold(), central_system))
        return runner is not None and any(message.action in ENDS for message in runner.lane.queue)

    # Commands.

    async def command(self, identity: str, call: Call, policy: PolicyRule | None) -> Answer:
        """Send a command of an observer to a Charge Point, after those of its Central System."""
        return await self._commands.send(identity, call, policy)

    def commanding(self, central_system: str, name: str) -> ObserverRunner | None:
        """Return the lane of an observer for the Charge Point that it calls `name`, None if there is none."""
        if self._placements is None:
            return None
        try:
            identity = self._placements.named(name).identity
        except UnknownIdentity:
            return None
        self._lanes_of(identity)
        return self._runners.get((identity.casefold(), central_system))

    # Health.

    def states(self, tenant: str | None = None) -> dict[str, ObserverState]:
        """Return the state of each observer, by name. Observers without lanes are left out.

        Args:
            tenant: The tenant whose messages count. None counts all, and tells what all tenants share: what was lost,
                and the trouble of the file.
        """
        if not self._is_open:
            return {}
        busy: dict[str, list[ObserverRunner]] = {name: [] for _, name in self._runners}
        for runner in self._busy:
            if tenant is None or tenant_of(runner.identity) == tenant:
                busy[runner.central_system].append(runner)
        names = dict.fromkeys((*busy, *self._losses.names()))
        return {name: self._state_of(name, busy.get(name, []), whole=tenant is None) for name in names}

    def _state_of(self, name: str, busy: Sequence[ObserverRunner], *, whole: bool) -> ObserverState:
        lanes = [runner.lane for runner in busy]
        firsts = [first.at for lane in lanes if (first := lane.queue.first) is not None]
        troubles = [lane.trouble for lane in lanes if lane.trouble is not None]
        return ObserverState(
            waiting=sum(len(lane.queue) for lane in lanes),
            octets=sum(lane.queue.octets for lane in lanes),
            oldest=min(firsts, default=None),
            halted=sum(lane.halted for lane in lanes),
            trouble=(whole and self.writer.trouble) or (troubles[0] if troubles else None),
            lost=self._losses.of(name) if whole else {},
        )


def _not_entered(messages: Sequence[Observed], observer: str, lane: StoredLane | None) -> list[Observed]:
    """Return the messages that were kept for an observer and are not in its queue, in their order.

    Args:
        messages: The messages that were kept, the oldest first.
        observer: The name of the observer.
        lane: The lane on disk, None if there is none.
    """
    mine = [message for message in messages if observer in message.observers]
    entered = None if lane is None else lane.entered
    waiting = set() if lane is None else {message.key for message in lane.messages}
    keys = [message.key for message in mine]
    missing = mine[keys.index(entered) + 1 :] if entered in keys else mine
    return [message for message in missing if message.key not in waiting]
