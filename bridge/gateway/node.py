"""The Charge Points of the slots that this process holds: they begin with their records, and end with the slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Protocol

from bridge.cluster.member import Member
from bridge.cluster.slots import slot_of
from bridge.errors import StartError
from bridge.gateway.observer_runner import ObserverRunner
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.sessions import Sessions
from bridge.net.tasks import Background, Tasks
from bridge.ocpps.service import PendingRequests

# Seconds that Calls in progress have to end before their Charge Points are handed over. Their senders' requests are
# then sent to the next process, under the same UniqueIds.
_PATIENCE = 0.3
# The slots in which Calls are in progress are released in so many groups at most, after all others.
_GROUPS = 3
# The slots whose records are loaded before their Charge Points are served. Those that somebody has just asked for come
# first.
_AT_ONCE = 256


class SlotStore(Protocol):
    """The records of the slots that this process holds."""

    def take_slots(self, epochs: Mapping[int, int]) -> Awaitable[object]:
        """Load the records of slots, and write later ones with their epochs."""

    def load_charge_point(self, identity: str) -> Awaitable[object]:
        """Load the records of one Charge Point before the rest of its slot."""

    def is_loaded(self, identity: str) -> bool:
        """Return whether the records of a Charge Point are loaded."""

    async def flush_slots(self, slots: Collection[int], within: float) -> bool:
        """Write what was put into slots. Returns: whether all of it is written after `within` seconds."""

    def drop(self, slot: int) -> None:
        """Forget the records of a slot, which this process must not write any more."""


class SlotObservers(Protocol):
    """The further Central Systems of the Charge Points of slots (`bridge.gateway.observers.Observers`)."""

    def withdraw(self, slots: Collection[int]) -> list[ObserverRunner]:
        """Send them nothing more. Returns: the lanes that wait for an answer."""

    def leave(self, slots: Collection[int]) -> None:
        """End their lanes, and delete nothing."""

    def go_on(self) -> None:
        """Go on with what has waited while this process might not send."""


class Node:
    """This process as one of a cluster. `join` is called once, before any question.

    Args:
        node: The name of this process.
        sessions: The Sessions of this process.
        store: The records.
        pending: The SOAP requests that wait for an answer.
        observers: The further Central Systems.
        tasks: Owns the tasks.
        background: Shares the event loop.
        loaded: Called with the slots whose records have come, before their Charge Points are served.
        loaded_early: Called with the key of a Charge Point whose records have come before the rest of its slot.
        left: Called with slots that this process holds no more, before what was put for them is written.
        dropped: Called with the slots whose records are gone.
        stop: Called with the reason why the process has to end.
    """

    def __init__(
        self,
        *,
        node: str,
        sessions: Sessions,
        store: SlotStore,
        pending: PendingRequests,
        observers: SlotObservers,
        tasks: Tasks,
        background: Background,
        loaded: Callable[[Collection[int]], None],
        loaded_early: Callable[[str], None],
        left: Callable[[Collection[int]], None],
        dropped: Callable[[Collection[int]], None],
        stop: Callable[[str], None],
    ) -> None:
        self.node = node
        self._sessions, self._store, self._pending, self._tasks = sessions, store, pending, tasks
        self._observers, self._background = observers, background
        self._loaded, self._loaded_early, self._left, self._dropped = loaded, loaded_early, left, dropped
        self._stop = stop
        self._ready: set[int] = set()
        self._loading: dict[int, set[str]] = {}  # the Charge Points whose records have come before the rest of the slot
        self._taking = Tasks()
        self._serving = asyncio.Event()
        self._has_joined = False
        self._refused: str | None = None

    async def join(self, member: Member) -> None:
        """Follow the cluster as `member`. Returns when this process has a lease.

        Until then, requests that came to this process could not be passed on.

        Raises:
            StartError: This process cannot be in the cluster.
        """
        self._member = member
        member.begin()
        while not member.may_act() and self._refused is None:
            await member.changed(member.ownership.lease)
        if self._refused is not None:
            raise StartError(self._refused)
        self._has_joined = True

    def serve(self) -> None:
        """Begin to use the slots that this process holds: its listeners are open."""
        self._serving.set()

    def is_serving(self) -> bool:
        """Return whether this process uses slots as soon as it holds them."""
        return self._serving.is_set()

    # What the cluster looks like from here.

    @property
    def nodes(self) -> list[str]:
        """The names of all living nodes, this one included while it may act."""
        return sorted([*self.others, *([self.node] if self.may_act() else [])])

    @property
    def others(self) -> list[str]:
        """The names of the other living nodes, sorted."""
        return self._member.others()

    @property
    def lease(self) -> float:
        """The lease in seconds."""
        return self._member.ownership.lease

    @property
    def slots(self) -> int:
        """The number of slots whose Charge Points this process serves."""
        return len(self._ready)

    def serves(self, key: str) -> bool:
        """Return whether a Charge Point is in a slot of this process, which may be suspended."""
        slot = slot_of(key)
        return slot in self._ready or slot in self._loading

    def has(self, key: str) -> bool:
        """Return whether this process has a Charge Point and its records. It may be suspended."""
        slot = slot_of(key)
        return slot in self._ready or key.casefold() in self._loading.get(slot, ())

    def is_here(self, key: str) -> bool:
        """Return whether this process has a Charge Point, and may act for it now."""
        return self.has(key) and self._member.may_act()

    def is_loading(self, key: str) -> bool:
        """Return whether this process has the slot of a Charge Point, and not its records yet."""
        return slot_of(key) in self._loading and not self.is_here(key)

    async def load(self, key: str) -> None:
        """Load the records of a Charge Point that somebody waits for, before the rest of its slot."""
        slot = slot_of(key)
        await self._store.load_charge_point(key)
        if not self._store.is_loaded(key):
            return  # the slot is lost again, or it is not its turn yet
        if slot in self._loading and key.casefold() not in self._loading[slot]:
            self._loading[slot].add(key.casefold())
            self._loaded_early(key)

    def may_act(self) -> bool:
        """Return whether this process may send and answer for its Charge Points now."""
        return self._member.may_act()

    def holder_of(self, key: str) -> str | None:
        """Return the name of the living process that has a Charge Point, None if there is none."""
        return self._member.holder_of(key)

    def holder_of_slot(self, slot: int) -> str | None:
        """Return the name of the living process that has the Charge Points of a slot, None if there is none."""
        return self._member.holder_of_slot(slot)

    async def changed(self, patience: float) -> None:
        """Wait until the answers of the others may have changed, at most `patience` seconds."""
        await self._member.changed(patience)

    async def leave(self, within: float) -> None:
        """Hand over all Charge Points, because this process stops, which it should do within so many seconds.

        From now on, records are only loaded for who waits for them.
        """
        self._taking.cancel()
        await self._member.leave(within)

    async def close(self) -> None:
        """Leave the cluster."""
        await self._taking.close()
        await self._member.close()

    # What the membership asks for.

    def owned(self, epochs: Mapping[int, int]) -> None:
        """Load the records of slots, and serve their Charge Points."""
        self._background.hold()
        self._taking.spawn(self._take(epochs), name="loading slots")

    async def _take(self, epochs: Mapping[int, int]) -> None:
        await self._serving.wait()
        slots = sorted(self._still_held(epochs))
        parts = [slots[start : start + _AT_ONCE] for start in range(0, len(slots), _AT_ONCE)]
        await asyncio.gather(*(self._take_some({slot: epochs[slot] for slot in part}) for part in parts))

    async def _take_some(self, epochs: Mapping[int, int]) -> None:
        # At the same moment as in the store: the records of a single Charge Point can be loaded from now on.
        self._loading |= {slot: set() for slot in epochs}
        await self._store.take_slots(epochs)
        # One that was withdrawn meanwhile is about to be handed over.
        loaded = {slot for slot in self._still_held(epochs) if slot in self._loading}
        self._loaded(loaded)
        self._ready |= loaded
        for slot in loaded:
            del self._loading[slot]
        self._member.ready()

    async def hand_over(self, slots: Collection[int]) -> AsyncIterator[Collection[int]]:
        """Stop serving the Charge Points of slots, and write what is known of them.

        Yields: The slots that can be released, first those in which nothing is in progress.
        """
        self._background.hold()
        held = self._member.ownership.held
        epochs = {slot: held[slot] for slot in slots if slot in held}
        given = self._withdraw(slots)
        runners, lanes = self._runners_of(given), self._observers.withdraw(given)
        loop = asyncio.get_running_loop()
        next_at, until = loop.time(), loop.time() + _PATIENCE
        while left := self._still_held(epochs):  # less those that another process has claimed
            now = loop.time()
            busy = {slot_of(one.identity) for one in runners if one.in_progress()}
            busy |= {slot_of(one.identity) for one in lanes if one.busy}
            done = left if now >= until else left - busy
            if not done or (now < next_at and done != left):
                await asyncio.sleep(_PATIENCE / 20)
                continue
            next_at = now + _PATIENCE / _GROUPS
            await self._end(done)
            self._leave(done)
            await self._store.flush_slots(done, self.lease)
            done &= self._still_held(epochs)
            self._withdraw(done)  # their loading may have begun meanwhile
            self._forget(done)
            for slot in done:
                del epochs[slot]
            yield done

    def lost(self, slots: Collection[int]) -> None:
        """Stop serving the Charge Points of slots at once, because another process has them."""
        self._withdraw(slots)
        self._leave(slots)
        self._tasks.spawn(self._end(frozenset(slots)), name="ending Sessions")
        self._forget(slots)

    def suspended(self) -> None:
        """Do nothing: every Session asks whether this process may act."""

    def continued(self) -> None:
        """Go on with what has waited."""
        for runner in tuple(self._sessions):
            runner.go_on()
        self._observers.go_on()

    def stopped(self, reason: str) -> None:
        """End the process, or its start."""
        if self._has_joined:
            self._stop(reason)
        else:
            self._refused = reason
            self._member.ready()

    def _withdraw(self, slots: Collection[int]) -> frozenset[int]:
        """Take no more requests for the Charge Points of slots. Returns: the slots of which it took some until now."""
        given = frozenset(slot for slot in slots if slot in self._ready or slot in self._loading)
        self._ready -= given
        for slot in given:
            self._loading.pop(slot, None)
        return given

    def _still_held(self, epochs: Mapping[int, int]) -> frozenset[int]:
        """Return the slots that this process holds with these epochs."""
        held = self._member.ownership.held
        return frozenset(slot for slot, epoch in epochs.items() if held.get(slot) == epoch)

    def _leave(self, slots: Collection[int]) -> None:
        self._observers.leave(slots)
        self._left(slots)

    def _forget(self, slots: Collection[int]) -> None:
        for slot in slots:
            self._store.drop(slot)
        self._dropped(slots)

    def _runners_of(self, slots: Collection[int]) -> list[SessionRunner]:
        return [runner for runner in self._sessions if slot_of(runner.identity) in slots]

    async def _end(self, slots: Collection[int]) -> None:
        """End the Sessions of slots. Their requests get no answer here: they are sent to the next process."""
        if not slots:
            return
        runners = self._sessions.release(lambda key: slot_of(key) not in slots)
        for runner in runners:
            runner.end()
        self._pending.drop(lambda key: slot_of(key) in slots)
        await asyncio.gather(*(runner.abandon() for runner in runners))
