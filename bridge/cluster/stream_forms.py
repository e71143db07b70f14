"""The stream that all nodes share: its configuration, its subjects, and the form of its messages. No I/O.

One stream of NATS JetStream holds everything. It keeps the last message of each subject, so that a subject is a place
for one value:

    ocppb.slot.<n>.head           the claim of a slot. Its sequence number is the epoch of the slot
    ocppb.slot.<n>.<record>       a record of a Charge Point of the slot
    ocppb.content.<n>.<record>    what is apart of such a record, and is not read with the slot
    ocppb.node.<name>.head        the presence of a node
    ocppb.node.<name>.commit      the last batch of records that the node has written
    ocppb.assignment.all.head     the node that should hold each slot
    ocppb.everyone.all.<record>   a record that every node has: the audit, moves, and a copy of others
    ocppb.everyone.all.head       written with each record that every node has
    ocppb.number.<number>.value   the name of the node that has the number
    ocppb.session.<name>.value    the session of an operator; empty once it was ended

`ocppb.*.*.head` is the map of the cluster, and `ocppb.slot.7.>` is a slot with its records. The map shows whether there
is something new for every node, so that nobody asks for it in vain.

A record is `<a>.<b>.<charge point>.<kind>.<c>.<d>.<key>`. A server gives few messages at once: the digits a, b, c and d
divide many of them (`divided`).

A record is removed by a message without a body. That message, and records that age, have a time to live, after which
the server deletes them. It is longer than a server may lag behind the others and then be asked for records.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bridge.cluster.assignment import Assignment
from bridge.cluster.cluster_map import Claim, NodePresence
from bridge.cluster.slots import SLOTS
from bridge.store.records import ALL_KINDS, LONGEST_AUDIT, AgeingRecord, AuditRecord, Key, Kind, Record

STREAM = "ocpp-bridge"
_PREFIX = "ocppb"
ALL_HEADS = f"{_PREFIX}.*.*.head"
ALL_NODES = f"{_PREFIX}.node.*.head"
ASSIGNMENT = f"{_PREFIX}.assignment.all.head"
EVERYONE = f"{_PREFIX}.everyone.all"
HEAD_OF_EVERYONE = f"{EVERYONE}.head"
ALL_NUMBERS = f"{_PREFIX}.number.*.value"
# The numbers of nodes are below this.
NUMBERS = 1000
ALL_SESSIONS = f"{_PREFIX}.session.*.value"
# The most messages of an atomic batch, by the default of the server.
MOST_IN_BATCH = 1000
# Seconds after which the server forgets that a record was removed.
_REMOVAL_KEPT_FOR = 24 * 3600
# Seconds after which the server forgets that a session was ended.
END_OF_SESSION_KEPT_FOR = 3600
# Added to the time to live of a record, so that the server deletes nothing that a node still uses.
_MARGIN = 3600

# What the configuration of the stream must be. A server that does not know a key leaves it out of its answer.
CONFIGURATION: dict[str, Any] = {
    "name": STREAM,
    "subjects": [f"{_PREFIX}.>"],
    "retention": "limits",
    "storage": "file",
    "discard": "new",
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "allow_atomic": True,
    "allow_msg_ttl": True,
}


def differences(found: Mapping[str, Any]) -> list[str]:
    """Return how the configuration of a stream differs from CONFIGURATION, one text for each key."""
    return [
        f"{key} is {msgspec.json.encode(found.get(key)).decode()} and must be {msgspec.json.encode(value).decode()}"
        for key, value in CONFIGURATION.items()
        if found.get(key) != value
    ]


# Subjects.


def _word(text: str) -> str:
    """Return `text` as one word of a subject."""
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def place_of_slot(slot: int) -> str:
    """Return what the subjects of a slot begin with."""
    return f"{_PREFIX}.slot.{slot}"


def head_of_slot(slot: int) -> str:
    """Return the subject of the claim of a slot."""
    return f"{place_of_slot(slot)}.head"


def all_of_slot(slot: int) -> str:
    """Return the subjects of the records of a slot."""
    return divided(place_of_slot(slot), "")


def slot_of_record(subject: str) -> int:
    """Return the slot in the subject of a record that has one."""
    return int(subject.split(".", 3)[2])


def head_of_node(node: str) -> str:
    """Return the subject of the presence of a node."""
    return f"{_PREFIX}.node.{_word(node)}.head"


def commit_of(node: str) -> str:
    """Return the subject of the number of a node's last batch."""
    return f"{_PREFIX}.node.{_word(node)}.commit"


def divided_charge_point(slot: int, folded: str, digits: str) -> str:
    """Return the subjects of the records of one Charge Point that have the digits `digits` as c and d, at most two.

    `folded` is its identity without letter case.
    """
    word = _hash(folded)
    return ".".join([place_of_slot(slot), word[0], word[1], word, *(["*", *digits] if digits else []), ">"])


def subject_of_record(slot: int | None, key: Key) -> str:
    """Return the subject of a record.

    Args:
        slot: The slot of the Charge Point, None for the place that every node reads.
        key: The Key of the record (`bridge.store.records.key_of`).
    """
    return _subject(EVERYONE if slot is None else place_of_slot(slot), key, of_all=slot is None)


def subject_of_content(slot: int, key: Key) -> str:
    """Return the subject of what is apart of a record (`KeptRecord.APART`)."""
    return _subject(f"{_PREFIX}.content.{slot}", key, of_all=False)


def _subject(place: str, key: Key, *, of_all: bool) -> str:
    kind, folded, values = key
    charge_point, last = _hash(folded), _hash(kind.TABLE, *map(str, values))
    # What every node has is mostly of no Charge Point: the digits of its key divide it.
    digits = last[2:4] if of_all else charge_point[:2]
    return f"{place}.{digits[0]}.{digits[1]}.{charge_point}.{kind.TABLE}.{last[0]}.{last[1]}.{last}"


def divided(place: str, digits: str) -> str:
    """Return the subjects of the records of a place that have the digits `digits`, at most four."""
    first, second = digits[:2], digits[2:]
    words = [place, *first, *(["*", "*", *second] if second else []), ">"]
    return ".".join(words)


def _hash(*values: str) -> str:
    """Return a word for `values`. Two that differ never have the same word, but by a chance of 1 in 2**96."""
    return blake2b(msgspec.json.encode(values), digest_size=12).hexdigest()


# Messages.


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message in the stream.

    Attributes:
        subject: Its subject.
        sequence: Its sequence number.
        body: Its body; empty if the record of the subject was removed.
    """

    subject: str
    sequence: int
    body: bytes


class StoredSession(Struct, frozen=True, kw_only=True):
    """The last message of the session of an operator.

    Attributes:
        name: The name of the session.
        sequence: Its sequence number.
        body: What was written; empty if the session was ended.
    """

    name: str
    sequence: int
    body: bytes


def subject_of_number(number: int) -> str:
    """Return the subject of the node that has a number."""
    return f"{_PREFIX}.number.{number}.value"


def number_in(subject: str) -> int:
    """Return the number in a subject of ALL_NUMBERS."""
    return int(subject.split(".")[2])


def subject_of_session(name: str) -> str:
    """Return the subject of a session. `name` is of letters and digits."""
    return f"{_PREFIX}.session.{name}.value"


def session_of(message: StoredMessage) -> StoredSession:
    """Return the session in a message at a subject of ALL_SESSIONS."""
    return StoredSession(name=message.subject.split(".")[2], sequence=message.sequence, body=message.body)


class _ClaimBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    node: str = ""
    incarnation: str = ""


class _PresenceBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    node: str
    incarnation: str
    address: str = ""
    leaving: bool = False


class _AssignmentBody(Struct, frozen=True, kw_only=True):
    """The names once, and for each slot the place of its node among them."""

    nodes: tuple[str, ...]
    slots: tuple[int, ...]


def claim_body(claim: Claim) -> bytes:
    """Return the body of the claim of a slot. The epoch is not in it: it will be the sequence number."""
    return msgspec.json.encode(_ClaimBody(node=claim.node, incarnation=claim.incarnation))


def presence_body(node: str, incarnation: str, address: str, *, leaving: bool) -> bytes:
    """Return the body of a presence."""
    return msgspec.json.encode(_PresenceBody(node=node, incarnation=incarnation, address=address, leaving=leaving))


def assignment_body(assignment: Assignment) -> bytes:
    """Return the body of an assignment."""
    nodes = tuple(sorted(set(assignment)))
    places = {node: place for place, node in enumerate(nodes)}
    return msgspec.json.encode(_AssignmentBody(nodes=nodes, slots=tuple(places[node] for node in assignment)))


def claim_of(message: StoredMessage) -> Claim:
    """Return the claim in a message. One that cannot be read is of a node that is not there."""
    try:
        body = msgspec.json.decode(message.body, type=_ClaimBody)
    except msgspec.MsgspecError:
        body = _ClaimBody()
    return Claim(node=body.node, incarnation=body.incarnation, epoch=message.sequence)


def presence_of(message: StoredMessage) -> tuple[str, NodePresence] | None:
    """Return the name of a node and its presence, None if there is none in the message."""
    try:
        body = msgspec.json.decode(message.body, type=_PresenceBody)
    except msgspec.MsgspecError:
        return None
    return body.node, NodePresence(
        incarnation=body.incarnation, sequence=message.sequence, address=body.address, leaving=body.leaving
    )


def assignment_of(message: StoredMessage) -> Assignment:
    """Return the assignment in a message; none if it cannot be read."""
    try:
        body = msgspec.json.decode(message.body, type=_AssignmentBody)
        return tuple(body.nodes[place] for place in body.slots) if len(body.slots) == SLOTS else ()
    except (msgspec.MsgspecError, IndexError):
        return ()


def slot_of_head(subject: str) -> int | None:
    """Return the slot of a subject that is the head of a slot, else None."""
    words = subject.split(".")
    return int(words[2]) if words[1] == "slot" and words[2].isdecimal() and int(words[2]) < SLOTS else None


# Records. JSON, because the integers of OCPP have no limit.

_KIND_OF: dict[str, Kind] = {kind.TABLE: kind for kind in ALL_KINDS}
_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in ALL_KINDS}
_encoder = msgspec.json.Encoder()


class RecordChange(Struct, frozen=True, kw_only=True):
    """One record that is to be written or removed.

    Attributes:
        subject: The subject of the record.
        body: The record, b"" to remove it.
        lives: Seconds after which the server deletes the message, None for never.
    """

    subject: str
    body: bytes = b""
    lives: int | None = _REMOVAL_KEPT_FOR


def written(slot: int | None, key: Key, record: Record, now: float) -> RecordChange:
    """Return the change that writes `record`.

    Args:
        slot: The slot of the Charge Point, None for the place that every node reads.
        key: The Key of the record.
        record: The record.
        now: The running time (`RecordStore.running_time`).

    Raises:
        ValueError: The record holds what no JSON can hold.
    """
    lives: float | None = None
    if isinstance(record, AgeingRecord):
        lives = record.kept_at + record.KEPT_FOR - now
    elif isinstance(record, AuditRecord):
        lives = LONGEST_AUDIT
    return RecordChange(
        subject=subject_of_record(slot, key),
        body=_encoder.encode(without_content(record)),
        lives=None if lives is None else max(0, int(lives)) + _MARGIN,
    )


def without_content(record: Record) -> Record:
    """Return a record without what is apart of it."""
    return replace(record, **dict.fromkeys(record.APART, b"")) if record.APART else record


def content_written(slot: int, key: Key, record: Record) -> RecordChange:
    """Return the change that writes what is apart of `record`, which has the Key `key`."""
    fields: list[bytes] = [getattr(record, name) for name in record.APART]
    sizes = " ".join(str(len(each)) for each in fields).encode()
    return RecordChange(subject=subject_of_content(slot, key), body=b"\n".join([sizes, b"".join(fields)]), lives=None)


def content_removed(slot: int, key: Key) -> RecordChange:
    """Return the change that removes what is apart of the record with the Key `key`."""
    return RecordChange(subject=subject_of_content(slot, key))


def content_of(body: bytes) -> tuple[bytes, ...] | None:
    """Return the fields in a message that holds what is apart of a record; None if it holds none."""
    sizes, _, rest = body.partition(b"\n")
    try:
        ends = [0, *accumulate(int(size) for size in sizes.split())]
    except ValueError:
        return None
    if len(ends) == 1 or ends[-1] != len(rest):
        return None
    return tuple(rest[start:end] for start, end in pairwise(ends))


def removed(slot: int | None, key: Key) -> RecordChange:
    """Return the change that removes the record with the Key `key`."""
    return RecordChange(subject=subject_of_record(slot, key))


def record_of(subject: str, body: bytes) -> Record | None:
    """Return the record in a message, None if another version of the bridge wrote it and it cannot be read."""
    words = subject.split(".")
    kind = _KIND_OF.get(words[6]) if len(words) == 10 else None
    if kind is None or not body:
        return None
    try:
        return _DECODERS[kind].decode(body)
    except msgspec.MsgspecError:
        return None
