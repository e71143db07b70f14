"""The map of the cluster in the shared stream: which nodes there are, which slots they claim, and which they should.

Each message is written only if the last one of its subject is the expected one, so that it is safe to write it again
when the outcome is not known, and harmless if it arrives late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from bridge.cluster import stream_forms as form
from bridge.cluster.assignment import Assignment
from bridge.cluster.cluster_map import Claim, ClusterMap, NodePresence
from bridge.cluster.nats_connection import OutgoingMessage, PublishRefused, ServersAway
from bridge.cluster.shared_stream import EXPECTED, FEW, SHORTLY, SharedStream, messages_of
from bridge.cluster.slots import SLOTS
from bridge.cluster.stream_forms import StoredMessage
from bridge.errors import StartError

_log = logging.getLogger("bridge.cluster")
# Claims that are written as one batch, and messages that are read at once: few, so that a reading gets further even if
# it is broken off.
_CLAIMS, _PAGE = 500, 250
# Seconds that the writing of claims may take at least. A lease does not depend on it.
_CLAIMING = 5.0


class NameTaken(StartError):
    """Another process has the name of this node."""


class MapStream:
    """Reads and writes the map. The methods raise ServersAway if no server answers in time.

    Args:
        stream: The shared stream.
        node: The name of this node.
        incarnation: Distinguishes this process from others of the same name.
        timeout: The seconds that a request may take.
    """

    def __init__(self, stream: SharedStream, node: str, incarnation: str, *, timeout: float) -> None:
        self._stream, self._node, self._incarnation, self._timeout = stream, node, incarnation, timeout
        self._reading = asyncio.Lock()
        self._written = 0  # the highest sequence number of what this node has written to the map
        self._read = 0  # the highest sequence number in the map that was read
        self._connection = 0  # the connection on which the map was read
        self._sequences: dict[str, int] = {}  # by subject
        self._presences: dict[str, NodePresence] = {}
        self._claims: dict[int, Claim] = {}
        self._assignment: tuple[Assignment, int] = ((), 0)
        self.news_for_everyone = 0
        """The sequence number of the last change to the records that every node has."""
        self.news = asyncio.Event()
        """Set when `news_for_everyone` grows."""

    # Presences.

    async def join(self, address: str, lease: float) -> int:
        """Write the first presence of this process.

        An earlier process of the same name may still live. If it has not said that it ends, this method waits a lease,
        and looks whether it has renewed its presence meanwhile.

        Args:
            address: Where other nodes reach this one.
            lease: The lease in seconds.

        Returns: The sequence number of the presence.

        Raises:
            NameTaken: Another process with the name lives.
            PublishRefused: The server cannot write.
        """
        before = await self._presence()
        if before is not None and before.incarnation not in ("", self._incarnation):
            await asyncio.sleep(lease)
            now = await self._presence()
            if now is not None and now.sequence != before.sequence:
                raise self._taken()
        return await self.renew(address, 0 if before is None else before.sequence)

    async def renew(self, address: str, after: int, *, leaving: bool = False) -> int:
        """Write the presence of this process.

        Args:
            address: Where other nodes reach this one.
            after: The sequence number of the last presence with this name, 0 for none.
            leaving: Whether this node hands over its slots.

        Returns: The sequence number of the presence.

        Raises:
            NameTaken: Another process has written a presence with this name.
            PublishRefused: The server cannot write.
        """
        body = form.presence_body(self._node, self._incarnation, address, leaving=leaving)
        return await self._stream.within(self._timeout, lambda: self._renew(body, after))

    async def depart(self, after: int) -> None:
        """Write that this process ends, so that the next one with its name does not wait.

        `after` is the sequence number of its last presence. Raises NameTaken or PublishRefused.
        """
        body = form.presence_body(self._node, "", "", leaving=True)
        await self._stream.within(self._timeout, lambda: self._renew(body, after))

    async def _renew(self, body: bytes, after: int) -> int:
        subject = form.head_of_node(self._node)
        while (sequence := await self._write(subject, body, after)) is None:
            last = await self._stream.last_of(subject)
            found = None if last is None else form.presence_of(last)
            # A renewal of this process whose outcome was not known is no reason to stop.
            ours = found is None or found[1].incarnation in (self._incarnation, "")
            if last is not None and last.sequence != after and not ours:
                raise self._taken()
            after = 0 if last is None else last.sequence
            await asyncio.sleep(SHORTLY)
        return sequence

    async def _presence(self) -> NodePresence | None:
        subject = form.head_of_node(self._node)
        last = await self._stream.within(self._timeout, lambda: self._stream.last_of(subject))
        found = None if last is None else form.presence_of(last)
        return None if found is None else found[1]

    def _taken(self) -> NameTaken:
        return NameTaken(f"another process has the name {self._node!r} in the cluster: each node needs one of its own")

    # Reading.

    async def read_map(self) -> ClusterMap:
        """Return what the stream says about all nodes and slots.

        The map is not older than the last presence, claim or assignment that this node has written before.
        """
        async with self._reading:
            return await self._stream.within(self._timeout, self._read_map)

    async def _read_map(self) -> ClusterMap:
        at_least = self._written
        while True:
            await self._stream.connect()
            if self._stream.connections != self._connection:
                # The stream may be another one now: it was restored from a copy, or made anew.
                self._forget(self._stream.connections)
                at_least = min(at_least, self._stream.written)
                await self._read_all()
            reading = await self._stream.next(form.ALL_HEADS, self._read, _PAGE)
            if self._stream.connections != self._connection:
                continue
            for message in messages_of(reading):
                self._take(message)
            if not reading.pending and self._read >= at_least:
                break
            if not reading.pending:
                await asyncio.sleep(SHORTLY)
        assignment, sequence = self._assignment
        return ClusterMap(
            presences={node: presence for node, presence in self._presences.items() if presence.incarnation},
            claims=dict(self._claims),
            assignment=assignment,
            assignment_sequence=sequence,
        )

    async def _read_all(self) -> None:
        """Read the whole map, which is faster than to read one message after the other."""
        slots = [form.head_of_slot(slot) for slot in range(SLOTS)]
        half = SLOTS // 2
        others = [form.ALL_NODES, form.ASSIGNMENT, form.HEAD_OF_EVERYONE]
        # A server gives 1024 messages at most.
        readings = [await self._stream.last(asked) for asked in (slots[:half], slots[half:], others)]
        if self._stream.connections == self._connection:
            for reading in readings:
                for message in messages_of(reading):
                    self._take(message)
            # What was written between the readings is read again. A server that found nothing does not say how far.
            self._read = min(reading.up_to for reading in readings)

    def _forget(self, connection: int) -> None:
        self._connection, self._read = connection, 0
        self._written = min(self._written, self._stream.written)
        self._presences, self._claims, self._assignment, self._sequences = {}, {}, ((), 0), {}

    def _take(self, message: StoredMessage) -> None:
        self._read = max(self._read, message.sequence)
        if message.sequence <= self._sequences.get(message.subject, 0):
            return  # from a server that lags behind the one that was asked before
        self._sequences[message.subject] = message.sequence
        if message.subject == form.ASSIGNMENT:
            self._assignment = form.assignment_of(message), message.sequence
        elif message.subject == form.HEAD_OF_EVERYONE:
            if message.sequence != self.news_for_everyone:
                self.news_for_everyone = message.sequence
                self.news.set()
        elif (slot := form.slot_of_head(message.subject)) is not None:
            self._claims[slot] = form.claim_of(message)
        elif (found := form.presence_of(message)) is not None:
            self._presences[found[0]] = found[1]

    # Claims and assignments.

    async def assign(self, assignment: Assignment, after: int) -> int | None:
        """Write an assignment, if the last one has the sequence number `after`.

        Returns: Its sequence number, None if there is a later one.

        Raises:
            PublishRefused: The server cannot write.
        """
        body = form.assignment_body(assignment)
        return await self._stream.within(self._timeout, lambda: self._write(form.ASSIGNMENT, body, after))

    async def claim(self, epochs: Mapping[int, int]) -> dict[int, int]:
        """Claim each slot whose last claim has the epoch given here, 0 if there is none.

        Returns: The epochs of the slots that this node holds now. The others were claimed before, or the outcome is not
            known: the map shows it.
        """
        claims = {
            slot: Claim(node=self._node, incarnation=self._incarnation, epoch=epoch) for slot, epoch in epochs.items()
        }
        return await self._write_claims(claims)

    async def release(self, claims: Mapping[int, Claim]) -> dict[int, Claim]:
        """Write a claim of each slot for another process, or for none.

        Args:
            claims: Each has the epoch of the claim that it replaces: it is written if that is the last one.

        Returns: The claims that were written, with their own epochs. The outcome of the others is not known, or other
            nodes had claimed their slots: the map shows it.
        """
        return {slot: replace(claims[slot], epoch=epoch) for slot, epoch in (await self._write_claims(claims)).items()}

    async def _write_claims(self, claims: Mapping[int, Claim]) -> dict[int, int]:
        slots, done = sorted(claims), dict[int, int]()
        for start in range(0, len(slots), _CLAIMS):
            part = {slot: claims[slot] for slot in slots[start : start + _CLAIMS]}
            try:
                await self._stream.within(max(self._timeout, _CLAIMING), partial(self._claim, part, done))
            except (ServersAway, PublishRefused) as error:
                _log.warning("it is not known which of %d slots were claimed or released: %s", len(part), error)
        return done

    async def _claim(self, claims: Mapping[int, Claim], done: dict[int, int]) -> None:
        """Write claims.

        Many are a batch. It is refused as a whole if one claim is: then each half of it is tried. A server on its own
        takes longer for a batch than for a few messages, so that it gets a few claims without one.
        """
        slots = list(claims)
        messages = [
            OutgoingMessage(
                subject=form.head_of_slot(slot), body=form.claim_body(claim), headers={EXPECTED: str(claim.epoch)}
            )
            for slot, claim in claims.items()
        ]
        if self._stream.remembers_ids and len(slots) <= FEW:
            outcomes = await self._stream.publish_each(messages)
            written = {slot: one for slot, one in zip(slots, outcomes, strict=True) if isinstance(one, int)}
            self._written = max([self._written, *written.values()])
            done |= written
            for one in outcomes:
                if isinstance(one, PublishRefused):
                    raise one
        elif (last := await self._stream.publish(messages)) is not None:
            self._written = max(self._written, last)
            done |= {slot: last - len(slots) + number for number, slot in enumerate(slots, 1)}
        elif len(slots) > 1:
            half = len(slots) // 2
            await self._claim({slot: claims[slot] for slot in slots[:half]}, done)
            await self._claim({slot: claims[slot] for slot in slots[half:]}, done)

    async def _write(self, subject: str, body: bytes, after: int) -> int | None:
        message = OutgoingMessage(subject=subject, body=body, headers={EXPECTED: str(after)})
        if (sequence := await self._stream.publish([message])) is not None:
            self._written = max(self._written, sequence)
        return sequence
