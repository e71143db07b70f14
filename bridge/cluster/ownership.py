"""Decide which slots this node holds, and when it may use them (design/cluster.md C2).

Each slot has a claim in the shared stream: the node that holds the slot. The sequence number of the claim in the stream
is the epoch of the slot. A claim is written only if the last one is still that which the node has read, so that two
nodes never get the same epoch. Every record of a Charge Point is written with the epoch of its slot, and refused after
a later claim: that is what makes a wrong belief harmless.

A node that hands a slot over writes the claim for the next node, which needs no request of its own then. A node that
does not know such claims claims the slot itself.

A lease limits how long a wrong belief lasts. A node renews its presence every quarter of the lease. It uses its slots
for 80 % of a lease, counted from before the renewal was sent. Other nodes take its slots when they have seen no renewal
for a whole lease, each by its own clock: clocks are never compared.

This module does no I/O. It gets what happened with its time, in seconds of a clock that goes on while the machine
sleeps, and returns what is to be done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from bridge.cluster.assignment import Assignment, assigned
from bridge.cluster.cluster_map import Claim, ClusterMap, NodePresence, unclaimed
from bridge.cluster.slots import SLOTS

# The part of a lease after which its node stops using its slots.
_USABLE = 0.8
# The renewals, and the readings of the map, in one lease.
_PER_LEASE = 4
# This node hands over at most so many slots before the other nodes say that they hold them: their Charge Points wait
# meanwhile. Neighbouring slots often go to the same node. Every eighth slot is handed over first, so that all of these
# nodes load at the same time.
_ON_THEIR_WAY, _STRIDE = 32, 8


class Renew(Struct, frozen=True, kw_only=True):
    """Write the presence of this node. `after` is the sequence number of its last one, 0 for none."""

    after: int
    leaving: bool = False


class ReadMap(Struct, frozen=True):
    """Read the ClusterMap."""


class Assign(Struct, frozen=True, kw_only=True):
    """Write an assignment, if the last one has the sequence number `after`."""

    assignment: Assignment
    after: int


class ClaimSlots(Struct, frozen=True, kw_only=True):
    """Claim each slot whose last claim still has the epoch given here."""

    epochs: Mapping[int, int]


class ReleaseSlots(Struct, frozen=True, kw_only=True):
    """Write for each slot a claim for the next process, or for none.

    Each claim has the epoch of the claim that it replaces. It is written only if that one is still the last.
    """

    claims: Mapping[int, Claim]


class Owned(Struct, frozen=True, kw_only=True):
    """This node holds more slots: load their Charge Points."""

    epochs: Mapping[int, int]


class HandOver(Struct, frozen=True, kw_only=True):
    """Stop using the slots, write what they have to keep, and call `handed_over`."""

    slots: tuple[int, ...]


class SlotsLost(Struct, frozen=True, kw_only=True):
    """Another node holds the slots now: close the connections of their Charge Points and answer nothing."""

    slots: tuple[int, ...]


class Suspended(Struct, frozen=True):
    """The lease is over: send nothing and answer nothing, and keep what there is."""


class Continued(Struct, frozen=True):
    """The lease holds again: go on with the slots that are still held."""


class Stop(Struct, frozen=True):
    """End the process. `reason` is a sentence for the operator."""

    reason: str


Command = (
    Renew | ReadMap | Assign | ClaimSlots | ReleaseSlots | Owned | HandOver | SlotsLost | Suspended | Continued | Stop
)


@dataclass(slots=True)
class _Seen:
    """A presence, and the time at which it was first read."""

    presence: NodePresence
    at: float


@dataclass(slots=True)
class _Given:
    """A slot that this node has handed over and that no other node holds, as far as this one knows.

    Attributes:
        epoch: The epoch of the claim that was written for the next node, or for none; 0 if it is not known to be
            written.
        at: When the writing of that claim ended, infinite before.
    """

    epoch: int = 0
    at: float = float("inf")


@dataclass(slots=True)
class Ownership:
    """The slots of one node.

    Args:
        node: The name of the node.
        incarnation: Distinguishes this process from others of the same name.
        lease: The lease in seconds.
    """

    node: str
    incarnation: str
    lease: float
    map: ClusterMap = field(default_factory=ClusterMap)
    held: dict[int, int] = field(default_factory=dict)
    """The epoch of each slot that this node holds."""
    leaving: bool = False
    """Whether this node hands over its slots, because its process stops."""
    has_stopped: bool = False
    """Whether the process has to end, because another one has its name."""
    sequence: int = 0
    """The sequence number of the last presence of this process, 0 before the first."""
    _joined: bool = False
    _usable_until: float = float("-inf")
    _active: bool = False
    _confirm_from: float = float("inf")
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _renew_at: float = float("-inf")
    _read_at: float = float("-inf")
    _news_at: float = float("-inf")
    _looked_at: float = float("-inf")
    _renewing: bool = False
    _said_leaving: bool = False
    """What the last Renew says of `leaving`."""
    _hurry_at: float = float("inf")
    """When the slots that are left are handed over all at once, because the process has to end."""
    _reading: bool = False
    _claiming: set[int] = field(default_factory=set)
    _handing_over: set[int] = field(default_factory=set)
    _given: dict[int, _Given] = field(default_factory=dict)
    _ended: dict[int, int] = field(default_factory=dict)
    """The epoch with which this process has last held a slot. It takes no claim with this epoch, or a lower one."""
    _releasing: dict[int, float] = field(default_factory=dict)
    """When slots were released, until the map shows it; infinite while that is not known."""

    # Questions.

    def has_slots(self) -> bool:
        """Return whether this node holds slots, or has not released them so far."""
        return bool(self.held) or float("inf") in self._releasing.values()

    def may_act(self, at: float) -> bool:
        """Return whether this node may send and answer for its slots at the time `at`."""
        return self._active and at < self._usable_until

    def next_at(self) -> float:
        """Return the time at which `tick` is to be called."""
        times = [self._usable_until] if self._active else []
        times += [self._renew_at] if self._joined and not self._renewing else []
        times += [] if self._reading else [self._read_at]
        return min(times, default=float("inf"))

    def living(self, at: float) -> set[str]:
        """Return the names of the nodes whose presence has changed within a lease, this one included while it may act.

        A node that is leaving lives as long as it renews its presence.
        """
        living = {node for node, seen in self._seen.items() if at - seen.at < self.lease and node != self.node}
        return living | {self.node} if self.may_act(at) else living

    def holder(self, slot: int, at: float) -> str | None:
        """Return the name of the living node that holds `slot`, None if there is none."""
        if slot in self.held:
            return self.node if self.may_act(at) and slot not in self._handing_over else None
        claim = self.map.claims.get(slot)
        if claim is None or claim.node in ("", self.node):
            return None
        seen = self._seen.get(claim.node)
        is_there = seen is not None and at - seen.at < self.lease and seen.presence.incarnation == claim.incarnation
        return claim.node if is_there else None

    # Events.

    def tick(self, at: float) -> list[Command]:
        """Return what is due at the time `at`."""
        commands: list[Command] = self._suspended(at)
        if self._joined and at >= self._renew_at and not self._renewing:
            self._renewing, self._said_leaving = True, self.leaving
            commands.append(Renew(after=self.sequence, leaving=self.leaving))
        if at >= self._read_at and not self._reading:
            self._reading = True
            commands.append(ReadMap())
        return commands

    def renewed(self, sequence: int, sent_at: float, at: float) -> list[Command]:
        """Take the outcome of Renew.

        Args:
            sequence: The sequence number of the presence in the stream.
            sent_at: The time before it was sent.
            at: The time now.
        """
        commands = self._suspended(at)
        self._renewing, self.sequence = False, sequence
        self._renew_at = sent_at + self.lease / _PER_LEASE if self._said_leaving == self.leaving else at
        self._usable_until = max(self._usable_until, sent_at + _USABLE * self.lease)
        if not self._active and at < self._usable_until:
            # The claims may have changed meanwhile: a map that is read from now on shows what is still held.
            self._confirm_from = min(self._confirm_from, at)
            self._read_at = at
            if not self._reading:
                self._reading = True
                commands.append(ReadMap())
        return commands

    def not_renewed(self, at: float) -> list[Command]:
        """Take note that Renew has failed, or that its outcome is not known."""
        self._renewing, self._renew_at = False, at + self.lease / (2 * _PER_LEASE)
        return self._suspended(at)

    def refused(self) -> list[Command]:
        """Take note that Renew was refused, because another process has written a presence of this node's name."""
        self._active, self._usable_until = False, float("-inf")
        self._renewing = self._reading = self.has_stopped = True  # nothing is due any more
        return [Stop(f"another process is in the cluster as {self.node!r}: each node needs a name of its own")]

    def not_read(self, at: float) -> list[Command]:
        """Take note that ReadMap has failed."""
        self._reading, self._read_at = False, at + self.lease / (2 * _PER_LEASE)
        return self._suspended(at)

    def map_read(self, read: ClusterMap, sent_at: float, at: float) -> list[Command]:
        """Take the outcome of ReadMap.

        Args:
            read: The map.
            sent_at: The time before it was asked for.
            at: The time now.
        """
        commands = self._suspended(at)
        self._reading = False
        self.map = read
        if not self._joined and (last := self._seen.get(self.node)) is not None:
            now = read.presences.get(self.node)
            if now is not None and now.sequence != last.presence.sequence:
                return [*commands, *self.refused()]
        self._see(read, at)
        self._releasing = {slot: since for slot, since in self._releasing.items() if since > sent_at}
        self._given = {slot: given for slot, given in self._given.items() if self._is_on_its_way(slot, given)}
        self._read_at = at if self._news_at >= sent_at else min(sent_at + self.lease / _PER_LEASE, self._expiry(at))
        if not self._joined:
            return commands + self._join(at)
        commands += self._lose([slot for slot, epoch in self.held.items() if self._epoch_of(slot) > epoch])
        if not self._active and at < self._usable_until:
            if sent_at < self._confirm_from:  # it was asked for before the renewal: it may be too old
                self._reading = True
                return [*commands, ReadMap()]
            self._active, self._confirm_from = True, float("inf")
            commands.append(Continued())
        return commands + (self._steps(at) if self.may_act(at) else [])

    def claimed(self, epochs: Mapping[int, int], refused: Collection[int] = ()) -> list[Command]:
        """Take the outcome of ClaimSlots: the epochs of the slots that are held now, and the slots that are not."""
        self._claiming -= {*epochs, *refused}
        claims = {
            slot: Claim(node=self.node, incarnation=self.incarnation, epoch=epoch) for slot, epoch in epochs.items()
        }
        self._know(claims)
        # Another node may have given meanwhile what this one could not claim.
        return self._hold(epochs) + self.given(
            {slot: self.map.claims[slot] for slot in refused if slot in self.map.claims}
        )

    def given(self, claims: Mapping[int, Claim]) -> list[Command]:
        """Take note of claims that another node says it has written for this process."""
        if self.leaving or self.has_stopped:
            return []  # the next map shows these claims: then `_unheld` finds them
        claims = {slot: claim for slot, claim in claims.items() if claim.epoch >= self._epoch_of(slot)}
        self._know(claims)
        return self._take(claims)

    def handed_over(self, slots: Collection[int], at: float) -> list[Command]:
        """Take note that the slots of a HandOver are not used any more."""
        epochs = {slot: self.held.pop(slot) for slot in slots if slot in self.held}
        self._handing_over -= set(slots)
        self._given |= {slot: _Given() for slot in epochs}
        self._know(unclaimed(epochs))
        return self._release(epochs, at)

    def released(self, slots: Collection[int], claims: Mapping[int, Claim], at: float) -> list[Command]:
        """Take note that ReleaseSlots for `slots` has ended.

        `claims` are those that were written. A later map shows what has become of the others.
        """
        self._releasing |= dict.fromkeys(slots, at)
        self._news_at = at  # a map that is being read may be older
        self._know(claims)
        for slot in self._given.keys() & slots:
            self._given[slot] = _Given(claims[slot].epoch if slot in claims else 0, at)
        return []

    def taken(self, claims: Mapping[int, Claim], at: float) -> list[Command]:
        """Take note that another node holds the slots of claims written for it. Returns: the next HandOver."""
        for slot, claim in claims.items():
            if slot in self._given and self._given[slot].epoch == claim.epoch:
                del self._given[slot]
        return self._hand_over(self._staying(at), at) if self.may_act(at) else []

    def fenced(self, slot: int, epoch: int) -> list[Command]:
        """Take note that a record was refused, because another node has claimed `slot` after `epoch`."""
        return self._lose([slot]) if self.held.get(slot) == epoch else []

    def news(self, at: float) -> list[Command]:
        """Take note that another node has changed the map."""
        self._news_at, self._read_at = at, min(self._read_at, at)
        return self.tick(at)

    def leave(self, at: float, within: float) -> list[Command]:
        """Begin to hand over all slots, because the process stops. Returns: what is to be done at once.

        A slot is used until another node is there that should have it. What is left after half of `within` seconds is
        handed over all the same.
        """
        self.leaving, self._renew_at, self._hurry_at = True, at, at + within / 2
        return [*self.tick(at), *(self._hand_over(self._staying(at), at) if self.may_act(at) else [])]

    # Decisions.

    def _epoch_of(self, slot: int) -> int:
        claim = self.map.claims.get(slot)
        return 0 if claim is None else claim.epoch

    def _know(self, claims: Mapping[int, Claim]) -> None:
        """Note claims that were written after the map was read."""
        newer = {slot: claim for slot, claim in claims.items() if claim.epoch >= self._epoch_of(slot)}
        self.map = replace(self.map, claims={**self.map.claims, **newer})

    def _suspended(self, at: float) -> list[Command]:
        if not self._active or at < self._usable_until:
            return []
        self._active = False
        return [Suspended()]

    def _join(self, at: float) -> list[Command]:
        """Write the first presence, if no other process of this node's name has renewed its own for a lease."""
        last = self._seen.get(self.node)
        if last is not None and at - last.at < self.lease:
            return []
        self._joined, self.sequence = True, 0 if last is None else last.presence.sequence
        return self.tick(at)

    def _lose(self, slots: Collection[int]) -> list[Command]:
        for slot in slots:
            self._ended[slot] = self.held.pop(slot)
        self._handing_over -= set(slots)
        return [SlotsLost(slots=tuple(slots))] if slots else []

    def _see(self, read: ClusterMap, at: float) -> None:
        # A node that could not read the map for a lease has seen no renewal, whether or not there were some. Without
        # this rule, all nodes would take each other's slots after an outage of NATS.
        was_blind, self._looked_at = at - self._looked_at > self.lease, at
        for node, presence in read.presences.items():
            seen = self._seen.get(node)
            if seen is None or seen.presence.sequence != presence.sequence or was_blind:
                self._seen[node] = _Seen(presence, at)
        for node in [node for node in self._seen if node not in read.presences]:
            del self._seen[node]

    def _expiry(self, at: float) -> float:
        """Return the next time at which another node is unseen for a lease."""
        expiries = [seen.at + self.lease for node, seen in self._seen.items() if node != self.node]
        return min((expiry for expiry in expiries if expiry > at), default=float("inf"))

    def _steps(self, at: float) -> list[Command]:
        """Return the changes to the slots that follow from the map."""
        commands: list[Command] = []
        living, staying = self.living(at), self._staying(at)
        if staying and self.node == min(staying):
            wanted = assigned(self.map.assignment, staying)
            if wanted != self.map.assignment:
                commands.append(Assign(assignment=wanted, after=self.map.assignment_sequence))
        if not self.map.assignment:
            return commands
        wanted_here = {slot for slot, node in enumerate(self.map.assignment) if node == self.node and not self.leaving}
        commands += self._take({slot: claim for slot, claim in self.map.claims.items() if slot in wanted_here})
        epochs = {
            slot: self._epoch_of(slot)
            for slot in sorted(wanted_here - self.held.keys() - self._claiming)
            if self._is_free(slot, living)
        }
        if epochs:
            self._claiming |= epochs.keys()
            commands.append(ClaimSlots(epochs=epochs))
        commands += self._release(self._unheld(wanted_here), at)
        return commands + self._hand_over(staying, at)

    def _hand_over(self, staying: Collection[str], at: float) -> list[Command]:
        """Hand over slots that nodes of `staying` should have, some of them at a time."""
        room, given = SLOTS, self.held.keys() - self._handing_over
        # If all nodes stop, the slots are handed over all the same: the next process claims them at once.
        if staying and at < self._hurry_at:
            room = _ON_THEIR_WAY - len(self._handing_over) - len(self._given)
            if room < _ON_THEIR_WAY // 2:
                return []  # more of them with one request to the servers, instead of a few with each of many
            others = {*staying} - {self.node}
            given = {slot for slot in given if self.map.assignment and self.map.assignment[slot] in others}
        giving = tuple(sorted(given, key=lambda slot: (slot % _STRIDE, slot))[:room])
        self._handing_over |= set(giving)
        return [HandOver(slots=giving)] if giving else []

    def _take(self, claims: Mapping[int, Claim]) -> list[Command]:
        """Hold the slots of claims that were written for this process, or by it if the answer was lost."""
        epochs = {
            slot: claim.epoch
            for slot, claim in claims.items()
            if self._is_own(claim)
            and slot not in self.held
            and slot not in self._claiming
            and claim.epoch > self._ended.get(slot, 0)
        }
        return self._hold(epochs)

    def _hold(self, epochs: Mapping[int, int]) -> list[Command]:
        for slot in epochs:
            self._given.pop(slot, None)
        self.held |= epochs
        return [Owned(epochs=epochs)] if epochs else []

    def _release(self, epochs: Mapping[int, int], at: float) -> list[Command]:
        """Write claims for the nodes that should have slots, or for none if they do not live."""
        if not epochs:
            return []
        self._ended |= epochs
        self._releasing |= dict.fromkeys(epochs, float("inf"))
        incarnations = {node: self._seen[node].presence.incarnation for node in self._staying(at) - {self.node}}
        claims = {}
        for slot, epoch in epochs.items():
            node = self.map.assignment[slot] if self.map.assignment else ""
            incarnation = incarnations.get(node, "")
            claims[slot] = Claim(node=node if incarnation else "", incarnation=incarnation, epoch=epoch)
        return [ReleaseSlots(claims=claims)]

    def _unheld(self, wanted_here: Collection[int]) -> dict[int, int]:
        """Return the epochs of slots that other nodes should have and that only the map says this process holds."""
        return {
            slot: claim.epoch
            for slot, claim in self.map.claims.items()
            if self._is_own(claim)
            and slot not in self.held
            and slot not in self._claiming
            and slot not in self._releasing
            and slot not in wanted_here
        }

    def _is_on_its_way(self, slot: int, given: _Given) -> bool:
        """Return whether a slot that was handed over counts as not taken so far."""
        claim = self.map.claims.get(slot)
        if claim is None or not claim.node or self._is_own(claim) or given.at == float("inf"):
            return True
        seen = self._seen.get(claim.node)
        if claim.epoch != given.epoch or seen is None:
            return False
        # A node reads the map as often as it renews its presence. So the next node has probably read the claim if this
        # one has seen a renewal so long after it.
        return seen.at < given.at + 2 * self.lease / _PER_LEASE

    def _is_own(self, claim: Claim) -> bool:
        """Return whether a claim is for this process."""
        return (claim.node, claim.incarnation) == (self.node, self.incarnation)

    def _staying(self, at: float) -> set[str]:
        """Return the names of the living nodes that should have slots."""
        return {node for node in self.living(at) if not self._is_leaving(node)}

    def _is_leaving(self, node: str) -> bool:
        return self.leaving if node == self.node else self._seen[node].presence.leaving

    def _is_free(self, slot: int, living: Collection[str]) -> bool:
        """Return whether the node of the last claim has released `slot`, or cannot use it any more."""
        claim = self.map.claims.get(slot)
        if claim is None or not claim.node or claim.node not in living:
            return True
        if self._is_own(claim):
            return True  # this process may have given the slot away meanwhile: then the server refuses the claim
        # A later process of that name has joined, a lease after the last renewal of the one that claimed.
        return self._seen[claim.node].presence.incarnation != claim.incarnation
