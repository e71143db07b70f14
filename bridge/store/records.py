"""The records of a Charge Point. Times are unix seconds by the bridge's own clock, never by a Charge Point's clock.

To add a kind of record: write its class here and name it in `Record`, add a migration to `bridge.store.schema` that
creates its table (unless it is not IN_FILE), and give `StoredMemory` a field for it if a Session needs it. Everything
else is derived from the class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeVar, get_args

from msgspec import Struct, structs

# The most records of each kind per Charge Point, and the longest age in seconds. A Charge Point repeats messages that
# it could not deliver, possibly days later. A Charge Point that is silent for longer has lost its queue or is gone.
MOST = 1000
LONGEST = 7 * 24 * 3600.0
# The longest age of a record of the audit, in seconds by the bridge's clock. Their number has no limit.
LONGEST_AUDIT = 90 * 24 * 3600.0


class KeptRecord(Struct, frozen=True, kw_only=True):
    """The base class of all records. The columns of a table are `folded`, `sequence` and the fields of the record."""

    TABLE: ClassVar[str]
    # The fields that distinguish the records of one Charge Point. A record replaces an earlier one with equal values.
    KEYED_BY: ClassVar[tuple[str, ...]] = ()
    # True: the records of all Charge Points are one list, whose number has no limit.
    SHARED: ClassVar[bool] = False
    # True: the record stays when an operator removes its Charge Point.
    STAYS: ClassVar[bool] = False
    # False: only processes that share their records have such records. A single process has a file of another form.
    IN_FILE: ClassVar[bool] = True
    # False: who puts the records bounds their number.
    LIMITED: ClassVar[bool] = True
    # The fields, all of octets, that are read when they are needed, and not with the other records of a Charge Point.
    APART: ClassVar[tuple[str, ...]] = ()
    # True: what is put at once with such a record is written with it or not at all.
    TOGETHER: ClassVar[bool] = False
    # True: such a record is written with the others that are put at once for its Charge Point, or after them.
    LAST: ClassVar[bool] = False

    identity: str


class AgeingRecord(KeptRecord, frozen=True, kw_only=True):
    """A record that is deleted after KEPT_FOR.

    The age is running time, so that no change of the clock affects it: `kept_at` is the `Store.running_time` from which
    the record ages; that is when the record was put, unless its class says otherwise.
    """

    # The longest age in seconds.
    KEPT_FOR: ClassVar[float] = LONGEST

    kept_at: float


class ChargePointRecord(KeptRecord, frozen=True, kw_only=True):
    """A Charge Point and how to reach it.

    Two records are of the same Charge Point if their casefolded identities are equal. The caller keeps the spelling
    that came first. None means unknown: a record with None leaves the value of the earlier record (`successor`), so
    that a bridge which could not read its store loses nothing by writing to it.

    Attributes:
        last_seen: The time of the last message.
        transport: The transport of the Charge Point.
        version: The OCPP version.
        callback_url: The callback address.
        callback_networks: The networks to which the callback address may lead; None permits every network.
        boot: The last BootNotification.req, as JSON.
        interval: The heartbeat interval of the last Accepted BootNotification.conf, in seconds.
        central_system: The Central System to which an operator moved the Charge Point; "" after the move was undone.
        boot_status: The status of the last BootNotification.conf.
        boot_system: The name of the Central System that sent the last BootNotification.conf.
        configured: The last value of HeartbeatInterval that was accepted or reported, in seconds.
        pause: The longest time between two messages, in seconds.
        next_move: The move that waits until no transaction is open, as JSON; b"" after it took effect or was undone.
    """

    TABLE = "charge_point"

    last_seen: float
    transport: Literal["soap", "json"]
    version: str
    callback_url: str | None = None
    callback_networks: tuple[str, ...] | None = None
    boot: bytes | None = None
    interval: int | None = None
    central_system: str | None = None
    boot_status: str | None = None
    boot_system: str | None = None
    configured: int | None = None
    pause: float | None = None
    next_move: bytes | None = None

    @property
    def accepted(self) -> bool:
        """Return True if a Central System has ever accepted a BootNotification of the Charge Point."""
        return self.interval is not None or self.boot_status == "Accepted"


class AskedRecord(AgeingRecord, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that was sent to the Central System with the UniqueId `unique_id`.

    `fingerprint` is that of AnsweredRecord.
    """

    TABLE = "asked"
    KEYED_BY = ("fingerprint",)

    fingerprint: str
    unique_id: str
    central_system: str | None = None


class TransactionRecord(AgeingRecord, frozen=True, kw_only=True):
    """A transaction, and the Central System that named it (design/central-systems.md M1).

    The record is deleted 90 days after the start of the transaction, or 7 days after its end: `kept_at` of an ended
    transaction is 83 days before its end.

    Attributes:
        number: The transactionId that the Charge Point was told.
        central_system: The name of the Central System.
        named: The transactionId at the Central System.
        connector: The connectorId.
        id_tag: The idTag in the StartTransaction.
        meter_start: The meter value at the start, in Wh.
        started: The time stamp in the StartTransaction.
        state: "open", "closed" or "ended".
        meter_stop: The meter value in the StopTransaction, in Wh; None before it came. So are the next two.
        stopped: The time stamp in the StopTransaction.
        reason: The reason in the StopTransaction, None if it gives none.
    """

    TABLE = "transactions"
    KEYED_BY = ("number",)
    KEPT_FOR = 90 * 24 * 3600.0

    number: int
    central_system: str
    named: int
    connector: int
    id_tag: str
    meter_start: int
    started: str
    state: str
    meter_stop: int | None = None
    stopped: str | None = None
    reason: str | None = None


class StatusRecord(KeptRecord, frozen=True, kw_only=True):
    """The last StatusNotification.req of a connector as JSON, from the Charge Point or from the bridge in its name."""

    TABLE = "last_status"
    KEYED_BY = ("connector",)

    connector: int
    request: bytes


class AuthorizationRecord(AgeingRecord, frozen=True, kw_only=True):
    """The status of the last Authorize.conf for an idTag. `id_tag` is in lower case."""

    TABLE = "authorization"
    KEYED_BY = ("id_tag",)

    id_tag: str
    status: str


class AnsweredRecord(AgeingRecord, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that the Central System has answered.

    Attributes:
        action: The action.
        fingerprint: A value that distinguishes a repetition from another message.
        answer: The payload of the CALLRESULT as JSON.
        at: The time of the answer.
        body: The element in the Body of the answer, if the answer was forwarded unchanged.
        body_version: The OCPP version of `body`.
    """

    TABLE = "answered"
    KEYED_BY = ("action", "fingerprint")
    LAST = True  # a Charge Point whose message has an answer does not repeat it

    action: Literal["StartTransaction", "StopTransaction"]
    fingerprint: str
    answer: bytes
    at: float
    body: bytes | None = None
    body_version: str | None = None


class ObservedRecord(AgeingRecord, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that was answered, for further Central Systems of the Charge Point.

    It is written with the record of the answer, and is in their queue a moment later: a bridge that is killed in
    between finds it here.

    Attributes:
        key: The UniqueId towards the Central System that has answered.
        observers: The names of the further Central Systems.
        action: The action.
        request: The payload as JSON.
        answer: What the Charge Point was answered, as JSON.
        connector: The connectorId.
        number: The transactionId as the Charge Point knows it.
    """

    TABLE = "observed"
    KEYED_BY = ("key",)
    KEPT_FOR = 3600.0
    TOGETHER = True

    key: str
    observers: tuple[str, ...]
    action: str
    request: bytes
    answer: bytes
    connector: int | None = None
    number: int | None = None


class AliasRecord(KeptRecord, frozen=True, kw_only=True):
    """An `alias` (1 to 2**31 - 1) that replaces a `transaction_id` of more than 32 bits towards SOAP."""

    TABLE = "alias"
    KEYED_BY = ("alias",)

    alias: int
    transaction_id: int


class ConnectorRecord(KeptRecord, frozen=True, kw_only=True):
    """The last status of a connector, and its transaction. `ended`: the transaction stopped and no status followed."""

    TABLE = "connector"
    KEYED_BY = ("connector",)

    connector: int
    status: str | None
    transaction_id: int | None
    at: float
    ended: bool = False


class AuditRecord(KeptRecord, frozen=True, kw_only=True):
    """An action of an operator on a Charge Point. A record deletes those that are older by LONGEST_AUDIT.

    Attributes:
        id: The number of the action: the time in microseconds, or one more than the last number. With several
            processes, the next one that ends with the number of the process.
        at: The time of the action.
        who: The operator.
        what: The kind of action.
        detail: The details of the action.
        outcome: The outcome of the action.
    """

    TABLE = "audit"
    KEYED_BY = ("id",)
    SHARED = True
    STAYS = True

    id: int
    at: float
    who: str
    what: str
    detail: str
    outcome: str


class MoveRecord(KeptRecord, frozen=True, kw_only=True):
    """A move of several Charge Points to another Central System.

    The limit counts all moves together. `identity` is "".

    Attributes:
        id: The number of the move.
        content: The move as JSON.
    """

    TABLE = "move"
    KEYED_BY = ("id",)
    SHARED = True
    STAYS = True

    id: int
    content: bytes


class CredentialRecord(KeptRecord, frozen=True, kw_only=True):
    """An AuthorizationKey that replaced a configured password.

    Attributes:
        leg: The connection whose password was replaced.
        secrets: The valid secrets. On the Charge Point's leg they are scrypt hashes as text. Towards the Central System
            they are in clear, because the bridge has to send one of them. Without secrets, the configured password is
            valid again.
        fresh: The number of secrets, from the first, that are readings of the new key. The others are old.
        replaces: The hash of the configured password.
        at: The time of the change.
    """

    TABLE = "credential"
    STAYS = True  # the password in the configuration, which this record replaces, stays too
    KEYED_BY = ("leg",)

    leg: Literal["charge_point", "central_system"]
    secrets: tuple[bytes, ...]
    fresh: int
    replaces: str
    at: float

    def __repr__(self) -> str:
        return f"CredentialRecord({self.identity!r}, {self.leg!r})"


class ProvisionedRecord(KeptRecord, frozen=True, kw_only=True):
    """The settings of a Charge Point that an operator gave while the bridge ran.

    Attributes:
        settings: The keys of the Charge Point's table in the configuration, as JSON. Passwords from the Charge Point
            are scrypt hashes as text. What the bridge has to send or to find is in clear.
        at: The time of the change.
    """

    TABLE = "provisioned"

    settings: bytes
    at: float

    def __repr__(self) -> str:
        return f"ProvisionedRecord({self.identity!r})"


class ReadinessRecord(AgeingRecord, frozen=True, kw_only=True):
    """What the comparison of a shadow's answers has shown for a Charge Point.

    The record is deleted when no answer was compared for 90 days.

    Attributes:
        central_system: The name of the shadow.
        content: The history as JSON.
    """

    TABLE = "readiness"
    KEYED_BY = ("central_system",)
    KEPT_FOR = 90 * 24 * 3600.0

    central_system: str
    content: bytes


class ObserverMessageRecord(KeptRecord, frozen=True, kw_only=True):
    """A message of a Charge Point that waits for a further Central System.

    Attributes:
        observer: The name of the Central System.
        place: Distinguishes the messages that wait at the same time. The place of one that was deleted is used again.
        number: The place in the order of the messages. The next attributes are as in `core.observer_queue`.
        octets: The size of the content.
        request: The payload as JSON; b"" if it is in the stream only. So is the next one.
        answer: What the Charge Point was answered, as JSON.
    """

    TABLE = "observer_message"
    KEYED_BY = ("observer", "place")
    IN_FILE = False
    LIMITED = False
    APART = ("request", "answer")

    observer: str
    place: int
    number: int
    key: str
    action: str
    at: float
    octets: int
    connector: int | None = None
    transaction: int | None = None
    periodic: bool = False
    request: bytes = b""
    answer: bytes = b""


class ObserverIdRecord(AgeingRecord, frozen=True, kw_only=True):
    """A transactionId of a further Central System, as in `core.observer_ids`.

    The record is deleted 90 days after the transaction was named, or 7 days after its end: `kept_at` of an ended
    transaction is 83 days before its end.
    """

    TABLE = "observer_id"
    KEYED_BY = ("observer", "number")
    IN_FILE = False
    KEPT_FOR = 90 * 24 * 3600.0

    observer: str
    number: int
    named: int | None
    ended: bool


class ObserverLaneRecord(KeptRecord, frozen=True, kw_only=True):
    """What else is known of a further Central System of a Charge Point.

    Attributes:
        observer: The name of the Central System.
        entered: The key of the StartTransaction or StopTransaction that entered its queue last, None if none has.
        interval: Seconds between the periodic MeterValues that it wants, None if it wants all.
    """

    TABLE = "observer_lane"
    KEYED_BY = ("observer",)
    IN_FILE = False

    observer: str
    entered: str | None = None
    interval: int | None = None


class RecognisedRecord(KeptRecord, frozen=True, kw_only=True):
    """Eight bits of the last valid password or token, which are too few to guess the secret.

    After a restart, credentials with the same eight bits are checked first.
    """

    TABLE = "recognised"

    tag: int


Record = (
    RecognisedRecord
    | ChargePointRecord
    | AskedRecord
    | AnsweredRecord
    | AuthorizationRecord
    | AliasRecord
    | ObservedRecord
    | TransactionRecord
    | ConnectorRecord
    | StatusRecord
    | AuditRecord
    | MoveRecord
    | CredentialRecord
    | ProvisionedRecord
    | ReadinessRecord
    | ObserverMessageRecord
    | ObserverIdRecord
    | ObserverLaneRecord
)
Kind = type[Record]
# The kind, the Charge Point and the values of KEYED_BY. A record replaces an earlier record with the same Key.
Key = tuple[Kind, str, tuple[str | int, ...]]
ALL_KINDS: tuple[Kind, ...] = get_args(Record)
# The kinds that the file of a single process has.
KINDS: tuple[Kind, ...] = tuple(kind for kind in ALL_KINDS if kind.IN_FILE)
# The identity in the Key of a SHARED record. No Charge Point has this identity.
EVERY = ""
REMOVABLE: tuple[Kind, ...] = tuple(kind for kind in KINDS if not kind.STAYS)
AGEING: tuple[Kind, ...] = tuple(kind for kind in KINDS if issubclass(kind, AgeingRecord))


def key_of(record: Record) -> Key:
    """Return the Key of `record`."""
    folded = EVERY if record.SHARED else record.identity.casefold()
    return type(record), folded, tuple([getattr(record, name) for name in record.KEYED_BY])


def successor(older: Record | None, newer: Record) -> Record:
    """Return the record to store when `newer` replaces `older`, which has the same Key."""
    if not isinstance(newer, ChargePointRecord) or not isinstance(older, ChargePointRecord):
        return newer
    kept = {name for name in newer.__struct_fields__ if getattr(newer, name) is None} | {"identity"}
    if newer.callback_url is None:  # the networks belong to the callback address
        kept.add("callback_networks")
    else:
        kept.discard("callback_networks")
    return structs.replace(newer, **{name: getattr(older, name) for name in kept})


def latest(records: Iterable[Record]) -> dict[Key, Record]:
    """Return the records that remain when `records` are put in order, in the order in which they were put last."""
    found: dict[Key, Record] = {}
    for record in records:
        key = key_of(record)
        found[key] = successor(found.pop(key, None), record)
    return found


def is_too_old(record: KeptRecord, now: float) -> bool:
    """Return True if `record` must be deleted at the running time `now`."""
    return isinstance(record, AgeingRecord) and now - record.kept_at > record.KEPT_FOR


_R = TypeVar("_R", bound=Record)


class StoredMemory(Struct, frozen=True, kw_only=True):
    """All records of one Charge Point: at most 1000 of each kind, none that is too old, the newest last.

    `connectors` are by number.
    """

    charge_point: ChargePointRecord | None = None
    asked: tuple[AskedRecord, ...] = ()
    answered: tuple[AnsweredRecord, ...] = ()
    statuses: tuple[StatusRecord, ...] = ()
    authorizations: tuple[AuthorizationRecord, ...] = ()
    aliases: tuple[AliasRecord, ...] = ()
    transactions: tuple[TransactionRecord, ...] = ()
    connectors: tuple[ConnectorRecord, ...] = ()
    credentials: tuple[CredentialRecord, ...] = ()
    recognised: RecognisedRecord | None = None

    @classmethod
    def of(cls, records: Iterable[Record], *, now: float) -> StoredMemory:
        """Return the Memory of the records of one Charge Point.

        `records` are the oldest first; a later record replaces an earlier one. `now` is running time in seconds.
        """
        kept: dict[type, list[Any]] = {}
        for one in latest(records).values():
            if not is_too_old(one, now):
                kept.setdefault(type(one), []).append(one)

        def newest(kind: type[_R]) -> tuple[_R, ...]:
            return tuple(kept.get(kind, ())[-MOST:])

        charge_points = newest(ChargePointRecord)
        return cls(
            charge_point=charge_points[-1] if charge_points else None,
            asked=newest(AskedRecord),
            answered=newest(AnsweredRecord),
            statuses=newest(StatusRecord),
            authorizations=newest(AuthorizationRecord),
            aliases=newest(AliasRecord),
            transactions=newest(TransactionRecord),
            connectors=tuple(sorted(newest(ConnectorRecord), key=lambda one: one.connector)),
            credentials=newest(CredentialRecord),
            recognised=next(iter(newest(RecognisedRecord)), None),
        )
