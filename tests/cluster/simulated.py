"""A cluster without sockets: the real Ownership of each node, a stream in memory, and a clock that jumps.

Every event is in one queue, ordered by its time, and all chance comes from one seed, so that a run can be repeated.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from random import Random
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from bridge.cluster.assignment import Assignment
from bridge.cluster.cluster_map import Claim, ClusterMap, NodePresence, unclaimed
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

LEASE = 2.5
PATIENCE = 10.0
"""Seconds within which a process that stops hands its slots over."""


class Stream:
    """The shared stream: it numbers what is written, and refuses what was decided on something older."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.presences: dict[str, NodePresence] = {}
        self.claims: dict[int, Claim] = {}
        self.assignment: Assignment = ()
        self.assignment_sequence = 0
        self.records: list[tuple[int, int, str]] = []
        """The slot, the epoch and the writing node of each record, in order."""

    def read(self) -> ClusterMap:
        return ClusterMap(
            presences=dict(self.presences),
            claims=dict(self.claims),
            assignment=self.assignment,
            assignment_sequence=self.assignment_sequence,
        )

    def renew(self, node: str, incarnation: str, asked: Renew) -> int | None:
        """Return the sequence number of a presence, None if another process has written the last one."""
        last = self.presences.get(node)
        known = last is None or asked.after == last.sequence
        if not known and last is not None and last.incarnation != incarnation:
            return None
        sequence = next(self._numbers)
        self.presences[node] = NodePresence(incarnation=incarnation, sequence=sequence, leaving=asked.leaving)
        return sequence

    def assign(self, asked: Assign) -> None:
        if self.assignment_sequence == asked.after:
            self.assignment, self.assignment_sequence = asked.assignment, next(self._numbers)

    def claim(self, slot: int, epoch: int, node: str, incarnation: str) -> int | None:
        """Write a claim, or a release if `node` is "". Return its epoch, None if it is refused."""
        if self.epoch(slot) != epoch:
            return None
        self.claims[slot] = Claim(node=node, incarnation=incarnation, epoch=next(self._numbers))
        return self.claims[slot].epoch

    def release(self, claims: Mapping[int, Claim]) -> dict[int, Claim]:
        """Write claims in place of those whose epochs they have. Return those that were written."""
        written = {slot: self.claim(slot, claim.epoch, claim.node, claim.incarnation) for slot, claim in claims.items()}
        return {slot: replace(claims[slot], epoch=epoch) for slot, epoch in written.items() if epoch}

    def epoch(self, slot: int) -> int:
        return self.claims[slot].epoch if slot in self.claims else 0

    def write(self, slot: int, epoch: int, node: str) -> bool:
        """Write a record. Return False if a later claim refuses it."""
        if self.epoch(slot) != epoch:
            return False
        self.records.append((slot, epoch, node))
        return True


class FormerOwnership(Ownership):
    """That of an earlier version: it releases slots to nobody, and claims those that were given to it once more."""

    __slots__ = ()

    def given(self, claims: Mapping[int, Claim]) -> list[Command]:
        return []

    def _take(self, claims: Mapping[int, Claim]) -> list[Command]:
        return []

    def _release(self, epochs: Mapping[int, int], at: float) -> list[Command]:
        super()._release(epochs, at)
        return [ReleaseSlots(claims=unclaimed(epochs))] if epochs else []


class Node:
    """A process: its Ownership, its own clock, and what has become of it."""

    def __init__(self, cluster: Cluster, name: str, skew: float, version: type[Ownership]) -> None:
        self.cluster, self.name, self._skew = cluster, name, skew
        self.ownership = version(name, f"{name}/{next(cluster.incarnations)}", LEASE)
        self.is_dead = self.has_stopped = False
        self.thaws_at = 0.0
        self.cut_until = 0.0
        self.ready: dict[int, int] = {}
        self._owned: dict[int, int] = {}  # the last epoch of each slot
        self.claims = 0
        """The slots that this process has claimed by itself."""
        self.on_gone: Callable[[tuple[int, ...]], None] = lambda slots: None
        self._next: object = None
        self._ends_at: float | None = None

    def time(self) -> float:
        return self.cluster.now + self._skew

    def may_use(self, slot: int) -> bool:
        """Return whether the node would answer for `slot` now."""
        mine = self.ownership.holder(slot, self.time()) == self.name
        return mine and not self.is_dead and not self.has_stopped and not self.is_frozen

    @property
    def is_frozen(self) -> bool:
        return self.cluster.now < self.thaws_at

    @property
    def runs(self) -> bool:
        """Whether the process is there, and not about to end."""
        return not self.is_dead and not self.has_stopped and not self.ownership.leaving

    def run(self, act: Callable[[], list[Command]]) -> None:
        """Run `act` in this process, as soon as the process runs."""
        if self.is_dead or self.has_stopped:
            return
        if self.is_frozen:
            self.cluster.at(self.thaws_at, lambda: self.run(act))
            return
        for command in act():
            self._do(command)
        self._plan()

    def tick(self) -> None:
        self.run(lambda: self.ownership.tick(self.time()))

    def hear(self, teller: Node, claims: Mapping[int, Claim]) -> None:
        """Hear that the map has changed, and answer."""
        self.run(lambda: self._heard(teller, claims))

    def _heard(self, teller: Node, claims: Mapping[int, Claim]) -> list[Command]:
        cluster, own = self.cluster, self.ownership
        commands = [*own.given(claims), *own.news(self.time())]
        taken = {slot: claim for slot, claim in claims.items() if own.held.get(slot) == claim.epoch}
        if taken and own.may_act(self.time()) and cluster.chance.random() >= cluster.losses:
            answer = partial(teller.ownership.taken, taken)
            cluster.later(
                cluster.chance.expovariate(1 / cluster.delay), lambda: teller.run(lambda: answer(teller.time()))
            )
        return commands

    def _plan(self) -> None:
        token = self._next = object()
        at = self.ownership.next_at() - self._skew + 1e-6  # the sum of two times is not exact

        def due() -> None:
            if self._next is token:
                self.tick()

        self.cluster.at(max(at, self.cluster.now), due)

    def _do(self, command: Command) -> None:
        stream, own, sent = self.cluster.stream, self.ownership, self.time()
        match command:
            case Renew():
                self._ask(
                    lambda: stream.renew(self.name, own.incarnation, command),
                    lambda got: self._renewed(command, got, sent),
                    lambda: own.not_renewed(self.time()),
                )
            case ReadMap():
                self._ask(
                    stream.read,
                    lambda read: own.map_read(read, sent, self.time()),
                    lambda: own.not_read(self.time()),
                )
            case Assign():
                self._ask(lambda: stream.assign(command), lambda _: self._told(own.news(self.time())), list)
            case ClaimSlots(epochs=epochs):
                self.claims += len(epochs)
                self._ask(
                    lambda: {
                        slot: stream.claim(slot, epoch, self.name, own.incarnation) for slot, epoch in epochs.items()
                    },
                    lambda got: self._told(
                        own.claimed(
                            {slot: epoch for slot, epoch in got.items() if epoch},
                            [slot for slot, epoch in got.items() if not epoch],
                        )
                    ),
                    lambda: own.claimed({}, epochs.keys()),
                )
            case ReleaseSlots(claims=claims):
                self._ask(
                    lambda: stream.release(claims),
                    lambda got: self._told(own.released(claims.keys(), got, self.time()), got),
                    lambda: own.released(claims.keys(), {}, self.time()),
                )
            case Owned(epochs=epochs):
                assert all(epoch > self._owned.get(slot, 0) for slot, epoch in epochs.items()), "an epoch came again"
                self._owned |= epochs
                self.ready |= epochs
            case HandOver(slots=slots):
                self.cluster.later(self.cluster.chance.uniform(0, 0.2), lambda: self.run(lambda: self._let_go(slots)))
            case SlotsLost(slots=slots):
                for slot in slots:
                    self.ready.pop(slot, None)
                self.on_gone(slots)
            case Stop():
                self.has_stopped = True
            case Suspended() | Continued():
                pass

    def _renewed(self, asked: Renew, sequence: int | None, sent: float) -> list[Command]:
        if sequence is None:
            return self.ownership.refused()
        commands = self.ownership.renewed(sequence, sent, self.time())
        return self._told(commands) if asked.leaving else commands

    def _told(self, commands: list[Command], claims: Mapping[int, Claim] = MappingProxyType({})) -> list[Command]:
        """Tell the other nodes that the map has changed, and of the claims that were written for them."""
        self.cluster.tell(self, claims)
        return commands

    def _let_go(self, slots: tuple[int, ...]) -> list[Command]:
        for slot in slots:
            self.ready.pop(slot, None)
        self.on_gone(slots)
        if self.ownership.leaving and self._ends_at is None:
            self._ends_at = self.cluster.now + PATIENCE
            self.cluster.later(1.0, self._end)
        return self.ownership.handed_over(slots, self.time())

    def _end(self) -> None:
        """End the process as it should: its slots are handed over, and nothing is left of its presence."""
        assert self._ends_at is not None
        if self.ownership.has_slots() and self.cluster.now < self._ends_at:
            self.cluster.later(0.1, self._end)
            return
        if not self.is_dead and self.cluster.nodes.get(self.name) is self:
            self.cluster.stream.presences.pop(self.name, None)
        self.is_dead = True

    def _ask(
        self,
        do: Callable[[], Any],
        heard: Callable[[Any], list[Command]],
        failed: Callable[[], list[Command]],
    ) -> None:
        """Ask the stream, over a network that is slow, or loses the request or its answer."""
        cluster, chance, done = self.cluster, self.cluster.chance, False

        def arrive() -> None:
            if cluster.now < self.cut_until or chance.random() < cluster.losses:
                return
            got = do()
            if cluster.now < self.cut_until or chance.random() < cluster.losses:
                return
            cluster.later(chance.expovariate(1 / cluster.delay), lambda: self.run(lambda: once(lambda: heard(got))))

        def once(act: Callable[[], list[Command]]) -> list[Command]:
            nonlocal done
            if done:
                return []
            done = True
            return act()

        cluster.later(chance.expovariate(1 / cluster.delay), arrive)
        cluster.later(LEASE / 4, lambda: self.run(lambda: once(failed)))


class Cluster:
    """Nodes, their stream, and the time.

    Args:
        seed: Of all chance.
        delay: The mean time that a message to or from the stream takes, in seconds.
        losses: The share of these messages that is lost.
    """

    def __init__(self, seed: int, *, delay: float = 0.002, losses: float = 0.0) -> None:
        self.chance = Random(seed)
        self.delay, self.losses = delay, losses
        self.now = 1000.0
        self.stream = Stream()
        self.nodes: dict[str, Node] = {}
        self.incarnations = count(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), do))

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.now + seconds, do)

    def tell(self, teller: Node, claims: Mapping[int, Claim]) -> None:
        """Let the other nodes hear from `teller` that the map has changed, if the news is not lost."""
        for node in self.nodes.values():
            if node is not teller and self.chance.random() >= self.losses:
                theirs = {slot: claim for slot, claim in claims.items() if claim.node == node.name}
                self.later(self.chance.expovariate(1 / self.delay), partial(node.hear, teller, theirs))

    def start(self, name: str, version: type[Ownership] = Ownership) -> Node:
        """Start a process with a clock of its own, in the place of an earlier one of the same name."""
        node = self.nodes[name] = Node(self, name, self.chance.uniform(-1e6, 1e6), version)
        node.tick()
        return node

    def run(self, seconds: float, each: Callable[[], object] = lambda: None) -> None:
        """Let time pass. Call `each` after every event."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()
            each()
        self.now = until

    def users_of(self, slot: int) -> list[Node]:
        """Return the nodes that would answer for `slot` now."""
        return [node for node in self.nodes.values() if node.may_use(slot)]


def inflict(cluster: Cluster, fault: str, name: str, version: type[Ownership] = Ownership) -> None:
    """Let something happen to the process `name`, if it is there. One that starts has the version `version`."""
    node = cluster.nodes.get(name)
    if fault == "start":
        if node is None or not node.runs:
            cluster.start(name, version)
    elif node is not None:
        match fault:
            case "kill":
                node.is_dead = True
            case "freeze":
                node.thaws_at = max(node.thaws_at, cluster.now + cluster.chance.uniform(0, 3 * LEASE))
            case "cut":
                node.cut_until = max(node.cut_until, cluster.now + cluster.chance.uniform(0, 3 * LEASE))
            case "leave":
                node.run(lambda: node.ownership.leave(node.time(), PATIENCE))
