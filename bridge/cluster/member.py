"""Run the Ownership of this node: its timer, and its commands against the shared stream."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from bridge.cluster.assignment import Assignment
from bridge.cluster.cluster_map import Claim, ClusterMap
from bridge.cluster.ownership import (
    Assign,
    ClaimSlots,
    Command,
    Continued,
    HandOver,
    Owned,
    Ownership,
    ReadMap,
    ReleaseSlots,
    Renew,
    SlotsLost,
    Stop,
    Suspended,
)
from bridge.cluster.slots import slot_of
from bridge.errors import StartError
from bridge.net.tasks import Tasks
from bridge.watching import logs

_log = logging.getLogger("bridge.cluster")


class MapStore(Protocol):
    """Reads and writes the map of the cluster. Every method may raise OSError-like errors of the connection."""

    async def read_map(self) -> ClusterMap:
        """Return the map, not older than what this node has written."""

    async def renew(self, address: str, after: int, *, leaving: bool = False) -> int:
        """Write the presence of this process. Returns: its sequence number. Raises StartError if the name is taken."""

    async def assign(self, assignment: Assignment, after: int) -> int | None:
        """Write an assignment, if the last one has the sequence number `after`."""

    async def claim(self, epochs: Mapping[int, int]) -> dict[int, int]:
        """Claim slots. Returns: the epochs of those that this node holds now."""

    async def release(self, claims: Mapping[int, Claim]) -> dict[int, Claim]:
        """Replace each claim whose epoch one of `claims` has by that one. Returns: the claims that were written."""


class SlotUser(Protocol):
    """Uses the slots that this node holds."""

    def is_serving(self) -> bool:
        """Return whether this node uses slots as soon as it holds them."""

    def owned(self, epochs: Mapping[int, int]) -> None:
        """Begin to use slots, with the epochs given."""

    def hand_over(self, slots: Collection[int]) -> AsyncIterator[Collection[int]]:
        """Stop using slots, after writing what they have to keep. Yields: slots that are not used any more."""

    def lost(self, slots: Collection[int]) -> None:
        """Stop using slots at once: another node has them."""

    def suspended(self) -> None:
        """Stop acting for all slots until `continued` or `lost`."""

    def continued(self) -> None:
        """Act for the slots again."""

    def stopped(self, reason: str) -> None:
        """End the process, for `reason`."""


def running_time() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Member:
    """This node as a member of the cluster.

    Args:
        ownership: Decides.
        stream: Reads and writes the map.
        user: Uses the slots.
        address: Where other nodes reach this one.
        tell_others: Called when this node has written something that other nodes wait for, with the claims that it has
            written for them. What each node then says that it holds is reported with `taken`.
    """

    def __init__(
        self,
        ownership: Ownership,
        stream: MapStore,
        user: SlotUser,
        address: str,
        tell_others: Callable[[Mapping[int, Claim]], None],
    ) -> None:
        self.ownership = ownership
        self._tell_others = tell_others
        self._stream, self._user, self._address = stream, user, address
        self._tasks = Tasks()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def node(self) -> str:
        """Return the name of this node."""
        return self.ownership.node

    def may_act(self) -> bool:
        """Return whether this node may send and answer for its slots now."""
        return self.ownership.may_act(running_time())

    def holder_of(self, key: str) -> str | None:
        """Return the name of the living node that has a Charge Point, None if there is none."""
        return self.holder_of_slot(slot_of(key))

    def holder_of_slot(self, slot: int) -> str | None:
        """Return the name of the living node that has the Charge Points of a slot, None if there is none."""
        return self.ownership.holder(slot, running_time())

    def others(self) -> list[str]:
        """Return the names of the other living nodes, sorted."""
        return sorted(self.ownership.living(running_time()) - {self.node})

    async def changed(self, patience: float) -> None:
        """Wait until the map may have changed, at most `patience` seconds."""
        changed = self._changed
        with suppress(TimeoutError):
            # asyncio.wait_for of Python 3.11 forgets a cancellation that comes together with the change.
            async with asyncio.timeout(patience):
                await changed.wait()

    def ready(self) -> None:
        """Report that what `changed` waits for has happened here."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def begin(self) -> None:
        """Join the cluster, and follow its map."""
        self._carry_out(self.ownership.tick(running_time()))

    def news(self, claims: Mapping[int, Claim]) -> list[int]:
        """Take the slots of `claims`, which another node has written for this one, and read the map.

        Returns: Those of the slots that this node holds and uses now.
        """
        if self._closed:
            return []
        self._carry_out([*self.ownership.given(claims), *self.ownership.news(running_time())])
        if not self.may_act() or not self._user.is_serving():
            return []
        held = self.ownership.held
        return [slot for slot, claim in claims.items() if held.get(slot) == claim.epoch]

    def taken(self, claims: Mapping[int, Claim]) -> None:
        """Report that another node holds the slots of claims that were written for it."""
        if not self._closed:
            self._carry_out(self.ownership.taken(claims, running_time()))

    def fenced(self, slot: int, epoch: int) -> None:
        """Report that the store has refused a record, because `slot` was claimed by another node after `epoch`."""
        self._carry_out(self.ownership.fenced(slot, epoch))

    async def leave(self, within: float) -> None:
        """Hand over all slots, because this process stops, which it should do within so many seconds.

        Returns when the claims for other nodes are written, or that has failed.
        """
        self._carry_out(self.ownership.leave(running_time(), within))
        while self.ownership.has_slots():
            await self.changed(self.ownership.lease)

    async def close(self) -> None:
        """Stop following the map."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            self._do(command)
        self.ready()
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            wait = max(0.0, self.ownership.next_at() - running_time())
            self._timer = None if wait == float("inf") else self._loop.call_later(wait, self._due)

    def _due(self) -> None:
        self._carry_out(self.ownership.tick(running_time()))

    def _do(self, command: Command) -> None:
        match command:
            case Renew():
                self._tasks.spawn(self._renew(command), name="renewing the lease")
            case ReadMap():
                self._tasks.spawn(self._read_map(), name="reading the map of the cluster")
            case Assign(assignment=assignment, after=after):
                self._tasks.spawn(self._assign(assignment, after), name="assigning slots")
            case ClaimSlots(epochs=epochs):
                self._tasks.spawn(self._claim(epochs), name="claiming slots")
            case ReleaseSlots(claims=claims):
                self._tasks.spawn(self._release(claims), name="releasing slots")
            case Owned(epochs=epochs):
                logs.fields(_log, logging.INFO, "slots taken", slots=len(epochs), held=len(self.ownership.held))
                self._user.owned(epochs)
            case HandOver(slots=slots):
                logs.fields(_log, logging.INFO, "slots handed over", slots=len(slots))
                self._tasks.spawn(self._hand_over(slots), name="handing slots over")
            case SlotsLost(slots=slots):
                text = "another node has taken slots of this one"
                logs.fields(_log, logging.WARNING, text, slots=len(slots), held=len(self.ownership.held))
                self._user.lost(slots)
            case Suspended():
                logs.fields(_log, logging.WARNING, "the lease of this node is over: it waits for NATS")
                self._user.suspended()
            case Continued():
                logs.fields(_log, logging.INFO, "the lease of this node holds", slots=len(self.ownership.held))
                self._user.continued()
            case Stop(reason=reason):
                self._user.stopped(reason)

    async def _renew(self, command: Renew) -> None:
        sent_at = running_time()
        try:
            sequence = await self._stream.renew(self._address, command.after, leaving=command.leaving)
        except StartError:
            self._carry_out(self.ownership.refused())
        except Exception as error:
            self._not_done("the lease could not be renewed", error)
            self._carry_out(self.ownership.not_renewed(running_time()))
        else:
            self._carry_out(self.ownership.renewed(sequence, sent_at, running_time()))
            if command.leaving:
                self._tell_others({})

    async def _read_map(self) -> None:
        sent_at = running_time()
        try:
            read = await self._stream.read_map()
        except Exception as error:
            self._not_done("the map of the cluster could not be read", error)
            self._carry_out(self.ownership.not_read(running_time()))
        else:
            self._carry_out(self.ownership.map_read(read, sent_at, running_time()))

    async def _assign(self, assignment: Assignment, after: int) -> None:
        try:
            await self._stream.assign(assignment, after)
        except Exception as error:
            self._not_done("slots could not be assigned", error)
        else:
            self._tell_others({})
            self.news({})

    async def _claim(self, epochs: Mapping[int, int]) -> None:
        held: dict[int, int] = {}
        try:
            held = await self._stream.claim(epochs)
        except Exception as error:
            self._not_done("slots could not be claimed", error)
        self._carry_out(self.ownership.claimed(held, epochs.keys() - held.keys()))
        if held:
            self._tell_others({})

    async def _release(self, claims: Mapping[int, Claim]) -> None:
        written: Mapping[int, Claim] = {}
        try:
            written = await self._stream.release(claims)
        except Exception as error:
            self._not_done("slots could not be released", error)
        self._tell_others(written)
        self._carry_out(self.ownership.released(claims.keys(), written, running_time()))

    async def _hand_over(self, slots: Collection[int]) -> None:
        left = set(slots)
        try:
            async for done in self._user.hand_over(slots):
                left -= set(done)
                self._carry_out(self.ownership.handed_over(done, running_time()))
        except Exception as error:
            # This node serves them no more. What is in the stream is enough for the next one.
            left &= self.ownership.held.keys()
            _log.error("handing over %d slots has failed", len(left), exc_info=error)
            self._user.lost(left)
            self._carry_out(self.ownership.handed_over(left, running_time()))

    def _not_done(self, text: str, error: Exception) -> None:
        logs.fields(_log, logging.WARNING, text, node=self.node, reason=error)
