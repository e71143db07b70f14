"""What is kept of a Charge Point. Times are unix seconds by the bridge's own clock, never a Charge Point's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

# Per Charge Point, of each kind; and in seconds. A Charge Point repeats what it could not deliver, which may be days
# old; one that is silent for longer has lost its queue or is gone.
MOST = 1000
LONGEST = 7 * 24 * 3600.0


class ChargePointRecord(Struct, frozen=True, kw_only=True):
    """Who it is and how it is reached. Two records are of the same Charge Point if their identities casefold alike;
    the caller keeps the spelling that came first.

    `callback_networks` None lets the callback address lead anywhere. `boot` is its last BootNotification.req as JSON,
    `interval` the seconds of the answer. `central_system` is where an operator moved it, None: where its Route says.
    """

    identity: str
    last_seen: float
    transport: Literal["soap", "json"]
    version: str
    callback_url: str | None = None
    callback_networks: tuple[str, ...] | None = None
    boot: bytes | None = None
    interval: int | None = None
    central_system: str | None = None


class AnsweredRecord(Struct, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that the Central System has answered. `fingerprint` tells a repetition from
    another message; `answer` is the CallResult's payload as JSON.
    """

    identity: str
    action: Literal["StartTransaction", "StopTransaction"]
    fingerprint: str
    answer: bytes
    at: float


class AliasRecord(Struct, frozen=True, kw_only=True):
    """`alias` (1 to 2**31 - 1) stands towards SOAP for a `transaction_id` that its 32 bits cannot hold."""

    identity: str
    alias: int
    transaction_id: int


class ConnectorRecord(Struct, frozen=True, kw_only=True):
    """What a connector last said of itself, and its transaction. `ended`: it was stopped, and no status came since."""

    identity: str
    connector: int
    status: str | None
    transaction_id: int | None
    at: float
    ended: bool = False


class AuditRecord(Struct, frozen=True, kw_only=True):
    """What an operator did to a Charge Point: `who` asked, `what` for, `detail` of it, and how it ended. The last of
    all Charge Points together are kept, not the last of each.
    """

    identity: str
    id: int
    at: float
    who: str
    what: str
    detail: str
    outcome: str


class CredentialRecord(Struct, frozen=True, kw_only=True):
    """An AuthorizationKey that took the place of a configured password: that of `leg`. Any of `secrets` may be shown to
    us, as text of scrypt hashes; towards the Central System they are in clear, since one of them has to be sent. The
    first `fresh` are readings of the new key, the others are old. `replaces` is the hash of the configured password;
    no `secrets`: that one holds again.
    """

    identity: str
    leg: Literal["charge_point", "central_system"]
    secrets: tuple[bytes, ...]
    fresh: int
    replaces: str
    at: float

    def __repr__(self) -> str:
        return f"CredentialRecord({self.identity!r}, {self.leg!r})"


Record = ChargePointRecord | AnsweredRecord | AliasRecord | ConnectorRecord | AuditRecord | CredentialRecord
Kind = (
    type[ChargePointRecord]
    | type[AnsweredRecord]
    | type[AliasRecord]
    | type[ConnectorRecord]
    | type[AuditRecord]
    | type[CredentialRecord]
)
# Kind, Charge Point, and what tells it from its others. A later record takes the place of an earlier one of its Key.
Key = tuple[Kind, str, tuple[str | int, ...]]
KINDS: tuple[Kind, ...] = (
    *(ChargePointRecord, AnsweredRecord, AliasRecord, ConnectorRecord),
    *(AuditRecord, CredentialRecord),
)
# The Charge Point of a Key whose records are in one list for all: no Charge Point has this identity.
EVERY = ""


def key_of(record: Record) -> Key:
    """What `record` is kept under."""
    folded = record.identity.casefold()
    match record:
        case ChargePointRecord():
            return ChargePointRecord, folded, ()
        case AnsweredRecord():
            return AnsweredRecord, folded, (record.action, record.fingerprint)
        case AliasRecord():
            return AliasRecord, folded, (record.alias,)
        case ConnectorRecord():
            return ConnectorRecord, folded, (record.connector,)
        case AuditRecord():
            return AuditRecord, EVERY, (record.id,)
        case CredentialRecord():
            return CredentialRecord, folded, (record.leg,)


class Memory(Struct, frozen=True, kw_only=True):
    """All that is kept of one Charge Point: `answered` and `aliases` with the newest last, at most 1000 of each and no
    `answered` older than 7 days; `connectors` by number.
    """

    charge_point: ChargePointRecord | None = None
    answered: tuple[AnsweredRecord, ...] = ()
    aliases: tuple[AliasRecord, ...] = ()
    connectors: tuple[ConnectorRecord, ...] = ()
    credentials: tuple[CredentialRecord, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Record], *, now: float) -> Memory:
        """From the records of one Charge Point, oldest first, of which the later ones count."""
        latest: dict[Key, Record] = {}
        for record in records:
            key = key_of(record)
            latest.pop(key, None)
            latest[key] = record
        charge_points = [record for record in latest.values() if isinstance(record, ChargePointRecord)]
        answered = [one for one in latest.values() if isinstance(one, AnsweredRecord) and one.at >= now - LONGEST]
        aliases = [record for record in latest.values() if isinstance(record, AliasRecord)]
        connectors = [record for record in latest.values() if isinstance(record, ConnectorRecord)]
        return cls(
            charge_point=charge_points[-1] if charge_points else None,
            answered=tuple(sorted(answered, key=lambda one: one.at)[-MOST:]),
            aliases=tuple(aliases[-MOST:]),
            connectors=tuple(sorted(connectors[-MOST:], key=lambda one: one.connector)),
            credentials=tuple(record for record in latest.values() if isinstance(record, CredentialRecord)),
        )
