"""The records in the shared stream: writes that are refused if a slot is not held any more, and the loading of slots.

Changes are written in their order: whoever finds a change finds those before it in its slot, too, unless the server has
refused them. After a refusal there are only batches, until one is written.

Many changes are written as a batch. A batch has the condition that the claims of its slots are still those of its node,
and another that the last batch of its node is the expected one. So a batch that is sent twice, because its outcome was
not known, is written once, and one that arrives late is refused.

A server on its own makes files for each batch, and needs an eighth of the time for a message without a batch. Such a
server gets a few changes as messages, one behind the other. Each has the condition of its slot, and an id by which the
server knows it again for two minutes. If the outcome of one is not known, it is sent again before anything else, so
that a copy that arrives late is one that the server knows. Several servers get batches only: a copy may stay between
them for longer.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from msgspec import Struct, structs

from bridge.cluster import stream_forms as form
from bridge.cluster.nats_connection import TOO_LARGE, OutgoingMessage, PublishRefused
from bridge.cluster.shared_stream import EXPECTED, EXPECTED_OF, FEW, SHORTLY, SharedStream, messages_of
from bridge.cluster.stream_forms import RecordChange, StoredMessage
from bridge.store.records import Key

# Messages that are read at once.
_PAGE = 1000


class Fenced(Exception):
    """Changes were refused, because other nodes have claimed some of their slots.

    Attributes:
        slots: The slots that this node holds no more.
    """

    def __init__(self, slots: Collection[int]) -> None:
        super().__init__(f"the slots {sorted(slots)} were claimed by other nodes")
        self.slots = frozenset(slots)


class SlotChanges(Struct, frozen=True, kw_only=True):
    """The changes to the records of one slot, at least one, in order.

    Attributes:
        slot: The slot, None for what every node has.
        epoch: The epoch with which this node holds the slot.
        changes: The changes.
        together: Whether none of them may be written without the others.
    """

    slot: int | None
    epoch: int = 0
    changes: tuple[RecordChange, ...]
    together: bool = False


class _Alone(Struct, frozen=True, kw_only=True):
    """A change that is written without a batch, and the id of its message."""

    change: SlotChanges
    id: str


class RecordStream:
    """Reads and writes records. The methods raise ServersAway if no server answers in time.

    Args:
        stream: The shared stream.
        node: The name of this node.
        incarnation: Distinguishes this process from others of the same name.
        timeout: The seconds that a request may take.
    """

    def __init__(self, stream: SharedStream, node: str, incarnation: str, *, timeout: float = 5.0) -> None:
        self._stream, self._timeout = stream, timeout
        self._committing = asyncio.Lock()
        self._mark, self._numbers = form.commit_of(node), itertools.count(1)
        self._node, self._incarnation = node, incarnation
        self._doubted_batch = False  # whether the outcome of the last batch is not known
        self._is_full = False  # whether the server has refused to write, and has written no batch since
        self._doubted: tuple[_Alone, ...] = ()  # the changes without a batch whose outcome is not known, in order
        self._last: int | None = None  # the sequence number of the mark of the last batch
        self._connection = 0  # the connection on which `_last` was learnt

    @property
    def now(self) -> float:
        """Return the time in unix seconds by the clock of the servers."""
        return self._stream.server_time

    async def commit(self, parts: Sequence[SlotChanges]) -> None:
        """Write changes to the records of slots that this node holds.

        After an exception, some may be written: of each slot the first ones, if the server has not refused some. Write
        all of them again, with what was changed meanwhile.

        Args:
            parts: The changes, at most 998 together.

        Raises:
            Fenced: Other nodes have claimed some of the slots. After the claim nothing is written to those.
            PublishRefused: The server cannot write some changes.
        """
        async with self._committing:
            await self._stream.within(self._timeout, lambda: self._commit(parts))

    async def _commit(self, parts: Sequence[SlotChanges]) -> None:
        with suppress(Fenced):
            await self._write_each(are_new=False)
        await self._stream.connect()
        if self._stream.remembers_ids and not self._doubted_batch and not self._is_full and _may_be_apart(parts):
            self._doubted = tuple(
                _Alone(change=structs.replace(part, changes=(change,)), id=f"{self._node} {self._next_number()}")
                for part in parts
                for change in part.changes
            )
            await self._write_each(are_new=True)
        else:
            await self._write_batch(parts)

    def _next_number(self) -> str:
        return f"{self._incarnation} {next(self._numbers)}"

    async def _write_each(self, *, are_new: bool) -> None:
        """Write the changes whose outcome is not known, or learn that they were written before.

        Args:
            are_new: Whether they were not sent before.

        Raises:
            Fenced: Some are stale, of which each copy is refused. The others are written.
            PublishRefused: The server cannot write some. They stay in doubt if there may be another copy.
        """
        stale = set[int]()
        while self._doubted:
            outcomes = await self._stream.publish_each([_known(alone) for alone in self._doubted])
            refused = [outcome for outcome in outcomes if isinstance(outcome, PublishRefused)]
            self._doubted = tuple(
                alone
                for alone, outcome in zip(self._doubted, outcomes, strict=True)
                if not (isinstance(outcome, int) or (refused and are_new) or _is_too_large(outcome))
            )
            if refused:
                self._is_full = True
                raise refused[0]
            try:
                await self._check_claims([alone.change for alone in self._doubted])
            except Fenced as error:
                stale |= error.slots
                self._doubted = tuple(alone for alone in self._doubted if alone.change.slot not in error.slots)
            if self._doubted:
                await asyncio.sleep(SHORTLY)
        if stale:
            raise Fenced(stale)

    async def _write_batch(self, parts: Sequence[SlotChanges]) -> None:
        doubted, self._doubted_batch = self._doubted_batch, True
        try:
            await self._write_until_known(parts, self._next_number().encode())
        except (Fenced, PublishRefused) as error:
            self._doubted_batch = doubted  # the mark is as before, so that an earlier batch may still be written
            self._is_full |= isinstance(error, PublishRefused)
            raise
        self._doubted_batch = self._is_full = False

    async def _write_until_known(self, parts: Sequence[SlotChanges], number: bytes) -> None:
        messages = [message for part in parts for message in _fenced(part)]
        if any(part.slot is None for part in parts):
            messages.append(OutgoingMessage(subject=form.HEAD_OF_EVERYONE))
        while True:
            await self._stream.connect()
            if self._last is None or self._connection != self._stream.connections:
                self._connection = self._stream.connections
                if await self._is_written(number):
                    return
            mark = OutgoingMessage(subject=self._mark, body=number, headers={EXPECTED: str(self._last)})
            written = await self._stream.publish([*messages, mark])
            if written is not None:
                self._last = written
                return
            if await self._is_written(number):
                return
            await self._check_claims(parts)
            await asyncio.sleep(SHORTLY)

    async def _is_written(self, number: bytes) -> bool:
        """Read the mark of the last batch of this node. Returns: whether it is that of the batch `number`."""
        last = await self._stream.last_of(self._mark)
        self._last = 0 if last is None else last.sequence
        return last is not None and last.body == number

    async def _check_claims(self, parts: Sequence[SlotChanges]) -> None:
        """Raise Fenced if slots have later claims than those with which they are to be changed."""
        epochs = {part.slot: part.epoch for part in parts if part.slot is not None}
        if not epochs:
            return
        # An answer without any message does not tell how far the server is. The presence of this node is always there.
        asked = [form.head_of_node(self._node), *map(form.head_of_slot, epochs)]
        reading = await self._stream.last(asked)
        claims = {message.subject: message.sequence for message in messages_of(reading)}
        # A server that lags behind shows an earlier claim, or none.
        stale = {
            slot
            for slot, epoch in epochs.items()
            if claims.get(form.head_of_slot(slot), 0) != epoch and (reading.up_to >= epoch or self._stream.lost)
        }
        if stale:
            raise Fenced(stale)

    # Reading.

    async def load(self, slot: int, epoch: int) -> list[StoredMessage]:
        """Return all records of a slot, the one that was written first at first.

        Args:
            slot: The slot.
            epoch: The epoch with which this node holds the slot.
        """
        return (await self._load(partial(form.divided, form.place_of_slot(slot)), form.head_of_slot(slot), epoch))[0]

    async def load_slots(self, epochs: Mapping[int, int]) -> dict[int, list[StoredMessage]] | None:
        """Return all records of several slots, as `load` does, with one request. `epochs` has the epoch of each slot.

        Returns: The records by slot. None if they are too many to be read so.
        """
        heads = [form.head_of_slot(slot) for slot in epochs]
        asked = [*heads, *map(form.all_of_slot, epochs)]
        found = await self._stream.within(self._timeout, partial(self._fresh, asked, max(epochs.values())))
        if found is None:
            return None
        records: dict[int, list[StoredMessage]] = {slot: [] for slot in epochs}
        left_out = frozenset(heads)
        for message in sorted(found[0], key=lambda message: message.sequence):
            if message.subject not in left_out:
                records[form.slot_of_record(message.subject)].append(message)
        return records

    async def load_everyone(self) -> tuple[list[StoredMessage], int]:
        """Return the records that every node has, in order, and the sequence number after which `follow` goes on."""
        return await self._load(partial(form.divided, form.EVERYONE), form.HEAD_OF_EVERYONE, 0)

    async def _load(self, subjects: Callable[[str], str], head: str, at_least: int) -> tuple[list[StoredMessage], int]:
        """Read all records of a place, in parts if a server does not give them at once.

        Reading the last messages of subjects is some ten times faster than reading one message after the other.

        Args:
            subjects: Returns the subjects of those records whose subjects have some digits, "" for all.
            head: The subject of the claim of the place.
            at_least: The lowest sequence number that the server must have.

        Returns:
            The records, in order, and a sequence number up to which all of them were read.
        """
        messages: list[StoredMessage] = []
        up_to: list[int] = []
        waiting = [""]
        while waiting:
            digits = waiting.pop()
            asked = [head, subjects(digits)]
            found = await self._stream.within(self._timeout, partial(self._fresh, asked, at_least))
            if found is None:
                waiting += [digits + digit for digit in "0123456789abcdef"]
                continue
            messages += found[0]
            up_to.append(found[1])
        messages.sort(key=lambda message: message.sequence)
        return [message for message in messages if message.subject != head], min(up_to)

    async def _fresh(self, subjects: Sequence[str], at_least: int) -> tuple[list[StoredMessage], int] | None:
        """Read the last messages of subjects, from a server that has the message with the number `at_least`.

        Returns: The messages, and the sequence number up to which there is no other. None if there are too many.
        """
        messages: list[StoredMessage] = []
        up_to: int | None = None
        after = 0
        while True:
            reading = await self._stream.last(subjects, after)
            if reading.status == "413":
                return None
            if reading.up_to < max(at_least, up_to or 0):
                await asyncio.sleep(SHORTLY)
                continue
            up_to = reading.up_to if up_to is None else up_to
            messages += messages_of(reading)
            if not reading.pending:
                return messages, up_to
            after = messages[-1].sequence

    async def load_charge_point(self, slot: int, epoch: int, folded: str) -> list[StoredMessage]:
        """Return the records of one Charge Point, the one that was written first at first.

        Args:
            slot: The slot.
            epoch: The epoch with which this node holds the slot.
            folded: The identity without letter case.
        """
        subjects = partial(form.divided_charge_point, slot, folded)
        return (await self._load(subjects, form.head_of_slot(slot), epoch))[0]

    async def content(self, slot: int, epoch: int, key: Key) -> tuple[bytes, ...] | None:
        """Read what is apart of a record, as this node has written it last or has found it.

        Args:
            slot: The slot.
            epoch: The epoch with which this node holds the slot.
            key: The Key of the record.

        Returns: The fields; None if the stream has none of the record.
        """
        asked = [form.head_of_slot(slot), form.subject_of_content(slot, key)]
        at_least = max(epoch, self._stream.written)
        found = await self._stream.within(self._timeout, partial(self._fresh, asked, at_least))
        bodies = [message.body for message in (found or ([], 0))[0] if message.subject == asked[1]]
        return form.content_of(bodies[0]) if bodies else None

    async def follow(self, after: int, at_least: int = 0) -> AsyncIterator[list[StoredMessage]]:
        """Read what is new among the records that every node has.

        Args:
            after: The sequence number above which messages are read.
            at_least: The lowest sequence number that the last message may have (`MapStream.news_for_everyone`).
        """
        while True:
            reading = await self._stream.within(
                self._timeout, partial(self._stream.next, f"{form.EVERYONE}.>", after, _PAGE)
            )
            messages = messages_of(reading)
            if messages:
                after = messages[-1].sequence
                yield messages
            if not reading.pending:
                if after >= at_least:
                    return
                await asyncio.sleep(SHORTLY)


def _may_be_apart(parts: Sequence[SlotChanges]) -> bool:
    """Return whether changes are few, and none of them needs to be written with another one."""
    number = sum(len(part.changes) for part in parts)
    if any(part.slot is None for part in parts):  # another message is written with it
        return False
    return number == 1 or (number <= FEW and not any(part.together for part in parts))


def _is_too_large(outcome: object) -> bool:
    """Return whether a message was not sent because of its size, so that there is no copy of it."""
    return isinstance(outcome, PublishRefused) and outcome.code == TOO_LARGE


def _known(alone: _Alone) -> OutgoingMessage:
    """Return the message of a change without a batch, which the server knows again."""
    (message,) = _fenced(alone.change)
    return structs.replace(message, headers=message.headers | {"Nats-Msg-Id": alone.id})


def _fenced(part: SlotChanges) -> list[OutgoingMessage]:
    """Return the messages of the changes to a slot, the first one with the condition of the slot, for all of them."""
    messages = [
        OutgoingMessage(
            subject=change.subject,
            body=change.body,
            headers={} if change.lives is None else {"Nats-TTL": f"{change.lives}s"},
        )
        for change in part.changes
    ]
    if part.slot is not None:
        fence = {EXPECTED: str(part.epoch), EXPECTED_OF: form.head_of_slot(part.slot)}
        messages[0] = structs.replace(messages[0], headers=messages[0].headers | fence)
    return messages
