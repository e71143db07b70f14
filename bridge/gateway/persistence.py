"""Convert between the records of `core` and those of the store, and record when each Charge Point was last heard of."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec
from msgspec import structs

from bridge.core import addresses
from bridge.core.addresses import CallbackTarget
from bridge.core.authorizations import Authorized
from bridge.core.boots import Booted
from bridge.core.connectors import ConnectorState, LastStatus
from bridge.core.links import SessionTerms
from bridge.core.memory import Alias, Record, SessionMemory
from bridge.core.moves import WaitingMove
from bridge.core.observed import Observed
from bridge.core.repetitions import Answered, Asked, renewed
from bridge.core.silence import Presence, Silence
from bridge.core.transactions import KnownTransaction, TransactionState
from bridge.errors import MessageError
from bridge.ocpp.enums import AuthorizationStatus, RegistrationStatus
from bridge.ocpp.messages import (
    BootNotificationRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import Verbatim
from bridge.store import RecordStore
from bridge.store.records import (
    LONGEST,
    AliasRecord,
    AnsweredRecord,
    AskedRecord,
    AuthorizationRecord,
    ChargePointRecord,
    ConnectorRecord,
    ObservedRecord,
    StatusRecord,
    TransactionRecord,
)
from bridge.store.records import Record as Stored
from bridge.watching import logs

_log = logging.getLogger("bridge.store")
_encode = msgspec.json.Encoder(decimal_format="number").encode
_ANSWERS: dict[str, msgspec.json.Decoder[StartTransactionResponse | StopTransactionResponse]] = {
    "StartTransaction": msgspec.json.Decoder(StartTransactionResponse),
    "StopTransaction": msgspec.json.Decoder(StopTransactionResponse),
}
# Seconds between two records of when a Charge Point was last heard of. After a restart, this precision is enough.
_ROUGHLY = 60.0


class Persistence:
    """The stored records of all Charge Points.

    Args:
        store: Holds the records.
        clock: Returns the time in unix seconds.
        accepted: Called with the identity of each Charge Point whose BootNotification a Central System accepts for the
            first time.
        changed: Called with the identity of each Charge Point whose record was written or removed.
    """

    def __init__(
        self,
        store: RecordStore,
        clock: Callable[[], float] = time.time,
        accepted: Callable[[str], None] = lambda identity: None,
        changed: Callable[[str], None] = lambda identity: None,
    ) -> None:
        self._changed_record = changed
        self._store = store
        self._clock = clock
        self._accepted = accepted
        # The keys are casefolded identities. The sorted order, the moved Charge Points, and the Charge Points that no
        # Central System has accepted (heard of longest ago first) are kept up to date, so that a query about all Charge
        # Points does not read all records.
        self._known: dict[str, ChargePointRecord] = {}
        self._sorted: list[str] = []
        self._moved: dict[str, str] = {}
        self._waiting: dict[str, WaitingMove] = {}
        self._strangers: OrderedDict[str, None] = OrderedDict()
        # The last commit of each record that has not changed since, but for the time.
        self._kept: dict[str, Future[bool]] = {}
        self.read_again()

    def read_again(self) -> None:
        """Read the records again.

        The store has found its file after the start, and has merged the changes since the start into it.
        """
        self._kept.clear()
        for record in self._store.charge_points():
            self._known[record.identity.casefold()] = record
            self._file(record)
        self._sorted = sorted(self._known)

    def take(self, records: Iterable[ChargePointRecord]) -> None:
        """Take over the records of Charge Points that another process had until now."""
        for record in records:
            self._know(record)

    def _know(self, record: ChargePointRecord) -> None:
        """Take `record` as the present record of its Charge Point."""
        folded = record.identity.casefold()
        before = self._known.get(folded)
        if before is None or record != structs.replace(before, last_seen=record.last_seen):
            self._kept.pop(folded, None)
        if before is None:
            insort(self._sorted, folded)
        self._known[folded] = record
        self._file(record)
        if record.accepted and (before is None or not before.accepted):
            self._accepted(record.identity)
        self._changed_record(record.identity)

    def _file(self, record: ChargePointRecord) -> None:
        folded = record.identity.casefold()
        if record.central_system:
            self._moved[record.identity] = record.central_system
        else:
            self._moved.pop(record.identity, None)
        if (waiting := _waiting_move(record)) is not None:
            self._waiting[record.identity] = waiting
        else:
            self._waiting.pop(record.identity, None)
        if record.accepted or record.central_system or record.next_move:
            self._strangers.pop(folded, None)
        else:
            self._strangers[folded] = None
            self._strangers.move_to_end(folded)

    def keys(self) -> Sequence[str]:
        """Return the casefolded identities of all known Charge Points, sorted.

        The list changes when Charge Points are added or removed.
        """
        return self._sorted

    def charge_points(self) -> list[ChargePointRecord]:
        """Return the records of all known Charge Points."""
        return list(self._known.values())

    @property
    def count(self) -> int:
        """Return the number of known Charge Points."""
        return len(self._known)

    def stranger(self, spared: Callable[[str], bool], among: int) -> str | None:
        """Return the identity of a Charge Point that no Central System has accepted and no operator has moved.

        Args:
            spared: Returns True for the casefolded identity of a Charge Point that must not be returned.
            among: The most Charge Points to examine.

        Returns: The one that was heard of longest ago, or None if there is none among those examined.
        """
        for _ in range(min(among, len(self._strangers))):
            folded = next(iter(self._strangers))
            if not spared(folded):
                return self._known[folded].identity
            self._strangers.move_to_end(folded)
        return None

    def record_of(self, identity: str) -> ChargePointRecord | None:
        """Return the record of a Charge Point, or None."""
        return self._known.get(identity.casefold())

    def is_there(self, record: ChargePointRecord) -> bool:
        """Return whether a SOAP Charge Point was heard of within the silence that its heartbeat interval allows."""
        return self.silent_for(record) <= silence_of(record).allowed()

    def silent_for(self, record: ChargePointRecord) -> float:
        """Return the seconds since a Charge Point was last heard of."""
        return self._clock() - record.last_seen

    def memory_of(self, identity: str, central_system: str) -> SessionMemory:
        """Return the stored state for a new Session of a Charge Point whose Central System is `central_system`."""
        kept, known, now = self._store.memory_of(identity), self.record_of(identity), self._store.running_time
        return SessionMemory(
            answered=tuple(filter(None, (_answered(record, now) for record in kept.answered))),
            aliases=tuple(Alias(transaction_id=a.transaction_id, alias=a.alias) for a in kept.aliases),
            transactions=tuple(filter(None, map(_transaction, kept.transactions))),
            connectors=tuple(
                ConnectorState(number=c.connector, status=c.status, transaction_id=c.transaction_id, ended=c.ended)
                for c in kept.connectors
            ),
            asked=tuple(
                Asked(
                    fingerprint=renewed(a.fingerprint),
                    unique_id=a.unique_id,
                    central_system=a.central_system or "",
                    age=max(0.0, now - a.kept_at),
                )
                for a in kept.asked
            ),
            statuses=tuple(filter(None, map(_status, kept.statuses))),
            authorizations=tuple(filter(None, map(_authorized, kept.authorizations))),
            presence=_presence(known),
            boot=_boot(known),
            introduce=known is not None and known.boot_system not in (None, central_system),
            older_version=known is not None and known.transport == "soap" and known.version in ("1.5", "1.2"),
        )

    def observed(self) -> list[tuple[str, Observed]]:
        """Return the newest transaction messages for further Central Systems, each with the identity, in order."""
        return [(one.identity, _observed(one)) for one in self._store.observed()]

    def observed_of(self, identity: str) -> list[tuple[str, Observed]]:
        """Return those of one Charge Point, as `observed` does."""
        return [(one.identity, _observed(one)) for one in self._store.observed_of(identity)]

    def last_said(self, identity: str) -> list[BootNotificationRequest | StatusNotificationRequest]:
        """Return the last BootNotification and StatusNotifications of a Charge Point without a Session."""
        memory = self.memory_of(identity, "")
        boot = [] if memory.boot is None else [memory.boot]
        return [*boot, *(status.request for status in memory.statuses)]

    def callback_of(self, identity: str) -> CallbackTarget | None:
        """Return the callback address from before the restart, or None."""
        known = self.record_of(identity)
        if known is None or known.callback_url is None:
            return None
        try:
            return addresses.known(known.callback_url, known.callback_networks)
        except ValueError as error:
            text = "a stored callback address cannot be read: it is learnt anew"
            logs.fields(_log, logging.WARNING, text, identity=identity, reason=error)
            return None

    def keep(self, identity: str, records: Sequence[Record]) -> Future[bool]:
        """Commit `records` to the store, unless that was done with the same ones, as after most BootNotifications.

        Returns: a future that is True if the disk has the records.
        """
        stored = [self._stored(identity, record) for record in records]
        if not all(isinstance(record, ChargePointRecord) for record in stored):
            return self._store.commit(*stored)
        folded = identity.casefold()
        kept = self._kept.get(folded)
        if kept is None or (kept.done() and not kept.result()):
            kept = self._kept[folded] = self._store.commit(self._known[folded])
        return kept

    @property
    def patience(self) -> float | None:
        """Return the seconds after which a caller of `keep` should go on without the outcome; None for never."""
        return self._store.PATIENCE

    def holds(self, identity: str) -> bool:
        """Return whether this process may still write records of a Charge Point."""
        return self._store.holds(identity)

    def overdue(self, waited: float) -> None:
        """Report to the store that a caller of `keep` has given up after `waited` seconds."""
        self._store.overdue(waited)

    def note(self, identity: str, records: Sequence[Record]) -> None:
        """Write `records` to the store at some later time."""
        self._store.put(*(self._stored(identity, record) for record in records))

    def release(self, held: Callable[[str], bool]) -> None:
        """Forget the Charge Points that another process has from now on: those for whose key `held` returns False."""
        for folded in [folded for folded in self._sorted if not held(folded)]:
            self._drop(folded)

    def _drop(self, folded: str) -> str | None:
        """Forget a Charge Point. Returns: its identity as it was first written, None if it was not known."""
        record = self._known.pop(folded, None)
        self._kept.pop(folded, None)
        if record is not None:
            del self._sorted[bisect_left(self._sorted, folded)]
            self._strangers.pop(folded, None)
            self._moved.pop(record.identity, None)
            self._waiting.pop(record.identity, None)
            self._changed_record(record.identity)
        return None if record is None else record.identity

    def moved_to(self, identity: str) -> str | None:
        """Return the Central System that an operator chose for the Charge Point, or None."""
        known = self.record_of(identity)
        return (known.central_system or None) if known is not None else None

    def moved(self) -> dict[str, str]:
        """Return the Central Systems that operators chose, by the identity of the Charge Point."""
        return dict(self._moved)

    def waiting_moves(self) -> dict[str, WaitingMove]:
        """Return the moves that wait until no transaction is open, by the identity of the Charge Point."""
        return dict(self._waiting)

    def waiting_move(self, identity: str) -> WaitingMove | None:
        """Return the move of a Charge Point that waits until no transaction is open, or None."""
        known = self.record_of(identity)
        return None if known is None else self._waiting.get(known.identity)

    def move(self, identity: str, central_system: str | None) -> Future[bool]:
        """Store an operator's choice of Central System for a Charge Point, which need not have been heard of.

        A move that waits is dropped.

        Args:
            identity: The identity of the Charge Point.
            central_system: The name of the Central System, None for the Route's.

        Returns: A future that is True if the disk has the change.
        """
        return self._store.commit(self._changed(identity, central_system=central_system or "", next_move=b""))

    def move_later(self, identity: str, move: WaitingMove | None, *, stays_at: str | None = None) -> Future[bool]:
        """Store a move that waits until no transaction is open.

        Args:
            identity: The identity of the Charge Point.
            move: The move, None to drop the one that waits.
            stays_at: The Central System until then, None for the present one.

        Returns: A future that is True if the disk has the change.
        """
        changes: dict[str, Any] = {"next_move": b"" if move is None else _encode(move)}
        if stays_at is not None:
            changes["central_system"] = stays_at
        return self._store.commit(self._changed(identity, **changes))

    def remove(self, identity: str) -> Future[bool]:
        """Delete all records of a Charge Point. Its next message makes it known again.

        Returns: A future that is True if the disk has the change.
        """
        if self._drop(identity.casefold()) is None:
            self._changed_record(identity)
        return self._store.remove(identity)

    def heard(
        self,
        identity: str,
        transport: str | None = None,
        version: str | None = None,
        *,
        callback: CallbackTarget | None = None,
        boot: BootNotificationRequest | None = None,
    ) -> None:
        """Record that a Charge Point was heard of, and what has changed about it.

        The record is written when something changed, or when the last one is older than a minute or than the heartbeat
        interval, whichever is shorter.

        Args:
            identity: The identity of the Charge Point.
            transport: `soap` or `json`, None if unchanged.
            version: The OCPP version of its messages, None if unchanged.
            callback: Its callback address, None if unchanged.
            boot: The BootNotification that it sent, which may still be refused; None if it sent something else.
        """
        now, known = self._clock(), self._known_or_new(identity)
        changes: dict[str, Any] = {}
        if transport is not None and transport != known.transport:
            changes["transport"] = transport
        if version is not None and version != known.version:
            changes["version"] = version
        if callback is not None:
            changes |= _moved_to(callback, known)
        if boot is not None and (said := _encode(boot)) != known.boot:
            changes["boot"] = said
        ago = now - known.last_seen
        # `ago` is negative after the clock was set back.
        if changes or not 0 <= ago < min(_ROUGHLY, known.interval or _ROUGHLY):
            self._store.put(self._changed(identity, last_seen=now, **changes))

    def _known_or_new(self, identity: str) -> ChargePointRecord:
        known = self._known.get(identity.casefold())
        return known or ChargePointRecord(identity=identity, last_seen=0, transport="soap", version="1.6")

    def _changed(self, identity: str, **changes: Any) -> ChargePointRecord:
        """Apply `changes` to the record of a Charge Point, take the result as the present record and return it."""
        record = msgspec.structs.replace(self._known_or_new(identity), **changes)
        if record != self._known.get(identity.casefold()):
            self._know(record)
        return record

    def _stored(self, identity: str, record: Record) -> Stored:
        now = self._clock()
        match record:
            case Answered(fingerprint=mark, answer=answer, raw=raw, verbatim=verbatim):
                # An answer that was changed on its way, by an alias, is encoded again after a restart.
                kept = verbatim if verbatim is not None and verbatim.read == answer else None
                name = type(answer).__name__.removesuffix("Response")
                assert name in ("StartTransaction", "StopTransaction")
                return AnsweredRecord(
                    identity=identity,
                    action=name,  # type: ignore[arg-type]
                    fingerprint=mark,
                    answer=raw or _encode(answer),
                    body=None if kept is None else kept.body,
                    body_version=None if kept is None else kept.version,
                    at=now,
                    kept_at=self._store.running_time,
                )
            case Asked(fingerprint=mark, unique_id=unique_id, central_system=named):
                running = self._store.running_time
                return AskedRecord(
                    identity=identity, fingerprint=mark, unique_id=unique_id, central_system=named, kept_at=running
                )
            case KnownTransaction():
                running = self._store.running_time
                ended = record.state is TransactionState.ENDED
                return TransactionRecord(
                    identity=identity,
                    kept_at=running - (TransactionRecord.KEPT_FOR - LONGEST if ended else 0.0),
                    **structs.asdict(record),
                )
            case Observed():
                fields = {name: getattr(record, name) for name in ObservedRecord.__struct_fields__[2:]}
                return ObservedRecord(identity=identity, kept_at=self._store.running_time, **fields)
            case Authorized(id_tag=tag, status=status):
                running = self._store.running_time
                return AuthorizationRecord(identity=identity, id_tag=tag, status=status.value, kept_at=running)
            case LastStatus(request=request):
                return StatusRecord(identity=identity, connector=request.connectorId, request=_encode(request))
            case Booted(request=request, status=status, central_system=named):
                return self._changed(identity, boot=_encode(request), boot_status=status, boot_system=named)
            case Presence(interval=interval, configured=configured, pause=pause):
                return self._changed(identity, interval=interval, configured=configured, pause=pause)
            case Alias(transaction_id=transaction_id, alias=alias):
                return AliasRecord(identity=identity, alias=alias, transaction_id=transaction_id)
            case ConnectorState(number=number, status=status, transaction_id=transaction, ended=ended):
                return ConnectorRecord(
                    identity=identity, connector=number, status=status, transaction_id=transaction, ended=ended, at=now
                )


def _moved_to(callback: CallbackTarget, known: ChargePointRecord) -> dict[str, Any]:
    """Return the fields of a record to change so that it holds `callback`; none if it holds `callback` already."""
    networks = None if callback.networks is None else tuple(str(network) for network in callback.networks)
    if (callback.url, networks) == (known.callback_url, known.callback_networks):
        return {}
    return {"callback_url": callback.url, "callback_networks": networks}


def _observed(record: ObservedRecord) -> Observed:
    return Observed(**{name: getattr(record, name) for name in ObservedRecord.__struct_fields__[2:]})


def _transaction(record: TransactionRecord) -> KnownTransaction | None:
    try:
        return msgspec.convert(record, KnownTransaction, from_attributes=True)
    except msgspec.ValidationError:
        return None


def _answered(record: AnsweredRecord, now: float) -> Answered | None:
    try:
        answer = _ANSWERS[record.action].decode(record.answer)
    except (msgspec.MsgspecError, KeyError):
        return None  # written by a version of the bridge with other types
    came = None
    if record.body is not None and record.body_version is not None:
        came = Verbatim(version=record.body_version, body=record.body, read=answer)
    return Answered(
        fingerprint=renewed(record.fingerprint),
        answer=answer,
        raw=record.answer,
        verbatim=came,
        age=max(0.0, now - record.kept_at),
    )


def _authorized(record: AuthorizationRecord) -> Authorized | None:
    try:
        return Authorized(id_tag=record.id_tag, status=AuthorizationStatus(record.status))
    except ValueError:
        return None


def _status(record: StatusRecord) -> LastStatus | None:
    try:
        return LastStatus(request=msgspec.json.decode(record.request, type=StatusNotificationRequest))
    except (msgspec.MsgspecError, MessageError):
        return None


def silence_of(record: ChargePointRecord) -> Silence:
    """Return the stored intervals between messages of a Charge Point, and the silence that they allow."""
    return Silence(_presence(record), SessionTerms().idle_default)


def _presence(record: ChargePointRecord | None) -> Presence:
    if record is None:
        return Presence()
    return Presence(
        interval=record.interval,
        configured=record.configured,
        pause=record.pause,
        pending=record.boot_status == RegistrationStatus.Pending,
    )


def _waiting_move(record: ChargePointRecord) -> WaitingMove | None:
    try:
        return msgspec.json.decode(record.next_move, type=WaitingMove) if record.next_move else None
    except msgspec.MsgspecError:
        return None


def _boot(record: ChargePointRecord | None) -> BootNotificationRequest | None:
    if record is None or record.boot is None:
        return None
    try:
        return msgspec.json.decode(record.boot, type=BootNotificationRequest)
    except (msgspec.MsgspecError, MessageError):
        return None
