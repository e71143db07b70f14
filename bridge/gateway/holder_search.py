"""Ask the process that has a Charge Point, which may change meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeAway, NodeRefused, NodeTimedOut
from bridge.cluster.slots import slot_of
from bridge.errors import Unavailable
from bridge.net.tasks import Tasks

# Seconds that a node may take to answer a request. Its Sessions answer earlier, with a Fault if need be.
_LONGEST = 900.0
# The leases for which a request is held while no process has its Charge Point. After a death, the others need one to be
# sure of it, and some time to take over.
_LEASES = 2.0
# Seconds for a link to a node.
_LINK_TIMEOUT = 30.0
# Seconds until a node that could not be reached is asked again, unless the map changes earlier.
_PAUSE = 0.1


class Membership(Protocol):
    """What this process knows of the cluster."""

    @property
    def node(self) -> str:
        """The name of this process."""

    @property
    def lease(self) -> float:
        """The lease in seconds."""

    def is_here(self, key: str) -> bool:
        """Return whether this process has a Charge Point, and may act for it now."""

    def holder_of(self, key: str) -> str | None:
        """Return the name of the living node that has a Charge Point, None if there is none."""

    def is_loading(self, key: str) -> bool:
        """Return whether this process has the slot of a Charge Point, and not its records yet."""

    async def load(self, key: str) -> None:
        """Load the records of a Charge Point that somebody waits for."""

    def holder_of_slot(self, slot: int) -> str | None:
        """Return the name of the living node that has the Charge Points of a slot, None if there is none."""

    async def changed(self, patience: float) -> None:
        """Wait until the answers of the others may have changed, at most `patience` seconds."""


class HolderSearch:
    """Finds the process that has a Charge Point.

    Args:
        cluster: What this process knows of the cluster.
        courier: The links to other processes.
    """

    def __init__(self, cluster: Membership, courier: Courier) -> None:
        self._cluster, self._courier = cluster, courier
        self._tasks = Tasks()
        # What is passed on, by slot and node: what to do when another node has the slot.
        self._passed: dict[tuple[int, str], dict[object, Callable[[], object]]] = {}
        self._follower: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the search."""
        await self._tasks.close()

    def is_here(self, key: str) -> bool:
        """Return whether this process has the Charge Point, and may act for it now."""
        return self._cluster.is_here(key)

    async def is_here_when_loaded(self, key: str) -> bool:
        """Return whether this process has the Charge Point, after its records are loaded if that is under way.

        That is waited for as long as a lease: NATS may be away.
        """
        if self._cluster.is_loading(key):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._cluster.lease):
                    await self._cluster.load(key)
        return self._cluster.is_here(key)

    def other(self, key: str) -> str | None:
        """Return the name of the other process that has a Charge Point, None if there is none."""
        node = self._cluster.holder_of(key)
        return None if node == self._cluster.node else node

    def patience(self) -> Patience:
        """Return the time for which a request is held while nobody has its Charge Point."""
        return Patience(self._cluster.lease * _LEASES)

    async def next(self, key: str, patience: Patience) -> None:
        """Wait until a process may have the Charge Point. Raises Unavailable."""
        if await self.is_here_when_loaded(key):
            return
        if patience.is_over():
            text = f"no process of the bridge has had this Charge Point for {patience.seconds:g} seconds"
            raise Unavailable(text, retry_after=self._cluster.lease)
        await self._cluster.changed(_PAUSE)

    @contextmanager
    def passed_on(self, key: str, node: str, moved: Callable[[], object]) -> Iterator[None]:
        """Call `moved` if another node gets the Charge Point meanwhile.

        The former one may live, without NATS: then it neither answers nor ends its links.
        """
        if self._follower is None:
            self._follower = self._tasks.spawn(self._follow(), name="looking for slots that have moved")
        place, token = (slot_of(key), node), object()
        self._passed.setdefault(place, {})[token] = moved
        try:
            yield
        finally:
            if (group := self._passed.get(place)) is not None:
                group.pop(token, None)
                if not group:
                    del self._passed[place]

    async def _follow(self) -> None:
        while True:
            await self._cluster.changed(self._cluster.lease)
            for place in tuple(self._passed):
                slot, node = place
                if self._cluster.holder_of_slot(slot) not in (None, node):
                    for moved in self._passed.pop(place).values():
                        moved()

    async def is_reached(self, node: str, key: str) -> bool:
        """Have a link to a node.

        A node that stands still accepts connections and says nothing. Nobody waits for it longer than it has the Charge
        Point.

        Returns: False if there is no link, or another node has the Charge Point meanwhile.
        """
        if self._courier.has_link(node):
            return True
        dialling = self._tasks.spawn(self._dial(node), name=f"dial the node {node}")
        while not dialling.done() and self.other(key) == node:
            await asyncio.wait((dialling,), timeout=_PAUSE)
        return self._courier.has_link(node)

    async def _dial(self, node: str) -> None:
        with suppress(NodeAway, NodeTimedOut):
            await self._courier.reach(node, asyncio.get_running_loop().time() + _LINK_TIMEOUT)

    async def ask(self, key: str, kind: str, payload: Callable[[], bytes], *, repeatable: bool = True) -> bytes | None:
        """Ask the process that has a Charge Point, which answers with no octets if it does not have it.

        A process that dies before it has answered is replaced: the next one is asked.

        Args:
            key: The key of the Charge Point.
            kind: The kind of the question.
            payload: Returns the question, unless this process has the Charge Point.
            repeatable: Whether the next process may be asked what a dead one may have carried out.

        Returns:
            The answer; None if this process has the Charge Point by now.

        Raises:
            Unavailable: No process has had the Charge Point for two leases, or it failed.
        """
        if self.is_here(key):
            return None
        octets, patience = payload(), self.patience()
        while not self.is_here(key):
            if (node := self.other(key)) is not None and await self.is_reached(node, key):
                began = asyncio.get_running_loop().time()
                try:
                    if answer := await self._ask(node, key, kind, octets):
                        return answer
                    if asyncio.get_running_loop().time() - began > _PAUSE:  # it had the Charge Point until now
                        patience.renew()
                except NodeTimedOut:
                    raise
                except TimeoutError as error:  # another node has the Charge Point
                    if not repeatable:
                        raise Unavailable(f"another node has taken it from the node {node!r} meanwhile") from error
                    patience.renew()
                except NodeAway as away:
                    if away.written:
                        if not repeatable:
                            raise
                        patience.renew()
                except NodeRefused as refused:
                    raise Unavailable(f"the node {node!r} failed: {refused.text}") from refused
            await self.next(key, patience)
        return None

    async def ask_once(self, key: str, kind: str, payload: Callable[[], bytes]) -> bytes | None:
        """Ask the process that seems to have a Charge Point, if there is a link to it.

        Returns: The answer; None if there is none, or that process does not have the Charge Point.
        """
        node = self.other(key)
        if node is None or not self._courier.has_link(node):
            return None
        with suppress(Unavailable, NodeRefused, TimeoutError):
            return await self._ask(node, key, kind, payload()) or None
        return None

    async def _ask(self, node: str, key: str, kind: str, octets: bytes) -> bytes:
        """Ask a node. Raises TimeoutError if another node gets the Charge Point meanwhile."""
        async with asyncio.timeout(None) as scope:
            with self.passed_on(key, node, partial(scope.reschedule, 0.0)):
                until = asyncio.get_running_loop().time() + _LONGEST
                return await self._courier.ask(node, kind, octets, until)
        raise AssertionError("a time-out is not suppressed")


class Patience:
    """The time for which a request is held while nobody has its Charge Point."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin anew: a process had the Charge Point until now."""
        self._until = asyncio.get_running_loop().time() + self.seconds

    def is_over(self) -> bool:
        """Return whether the time has passed."""
        return asyncio.get_running_loop().time() >= self._until
