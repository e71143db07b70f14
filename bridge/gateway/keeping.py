"""Between the Sessions and the store: the core's records to the store's, and back; who was heard of, and when."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from bridge import logs
from bridge.core import addresses
from bridge.core.addresses import Callback, Network
from bridge.core.connectors import Connector
from bridge.core.memory import Alias, Answered, Memory, Record
from bridge.errors import MessageError
from bridge.ocpp.messages import BootNotificationRequest, Request, StartTransactionResponse, StopTransactionResponse
from bridge.store import Store
from bridge.store.records import AliasRecord, AnsweredRecord, ChargePointRecord, ConnectorRecord
from bridge.store.records import Record as Stored

_log = logging.getLogger("bridge.store")
_encode = msgspec.json.Encoder(decimal_format="number").encode
_ANSWERS: dict[str, type[Any]] = {
    "StartTransaction": StartTransactionResponse,
    "StopTransaction": StopTransactionResponse,
}
# Seconds between two notes of when a Charge Point was last heard of: a restart needs to know it roughly.
_ROUGHLY = 60.0


class Keeping:
    """What is kept of every Charge Point. `clock` gives unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._known = {record.identity.casefold(): record for record in store.charge_points()}

    def charge_points(self) -> list[ChargePointRecord]:
        """All that are known of."""
        return list(self._known.values())

    def record_of(self, identity: str) -> ChargePointRecord | None:
        """What is known of a Charge Point itself."""
        return self._known.get(identity.casefold())

    def memory_of(self, identity: str) -> Memory:
        """What a Session of it must remember."""
        kept, known, now = self._store.memory_of(identity), self.record_of(identity), self._clock()
        return Memory(
            answered=tuple(filter(None, (_answered(record, now) for record in kept.answered))),
            aliases=tuple(Alias(transaction_id=a.transaction_id, alias=a.alias) for a in kept.aliases),
            connectors=tuple(
                Connector(number=c.connector, status=c.status, transaction_id=c.transaction_id, ended=c.ended)
                for c in kept.connectors
            ),
            heartbeat=None if known is None else known.interval,
            boot=_boot(known),
        )

    def callback_of(self, identity: str, networks: Iterable[Network]) -> Callback | None:
        """Where it could be called back before the restart, as far as `networks`, the operator's, still admit it."""
        known = self.record_of(identity)
        if known is None or known.callback_url is None:
            return None
        try:
            return addresses.known(known.callback_url, known.callback_networks).limited(networks)
        except ValueError as error:
            text = "a stored callback address cannot be read: it is learnt anew"
            logs.fields(_log, logging.WARNING, text, identity=identity, reason=error)
            return None

    def keep(self, identity: str, records: Sequence[Record]) -> Future[bool]:
        """Put `records` away for good; the future says when that is done, and whether the disk took them."""
        return self._store.commit(*(self._stored(identity, record) for record in records))

    def note(self, identity: str, records: Sequence[Record]) -> None:
        """Put `records` away some time soon."""
        self._store.put(*(self._stored(identity, record) for record in records))

    def moved_to(self, identity: str) -> str | None:
        """The Central System that an operator chose for it."""
        known = self.record_of(identity)
        return None if known is None else known.central_system

    def moved(self) -> dict[str, str]:
        """All that operators chose, by identity."""
        known = self._known.values()
        return {record.identity: record.central_system for record in known if record.central_system is not None}

    def move(self, identity: str, central_system: str | None) -> Future[bool]:
        """Keep what an operator chose, None for the Route's choice, of a Charge Point that is known; the future says
        when that is done, and whether the disk took it."""
        record = msgspec.structs.replace(self._known[identity.casefold()], central_system=central_system)
        self._known[identity.casefold()] = record
        return self._store.commit(record)

    def heard(
        self,
        identity: str,
        transport: str | None = None,
        version: str | None = None,
        *,
        callback: Callback | None = None,
        boot: Request | None = None,
        interval: int | None = None,
    ) -> None:
        """A Charge Point was heard of; what it said of itself. Written when something changed, or a minute passed, or a
        heartbeat's interval that is shorter."""
        folded, now = identity.casefold(), self._clock()
        known = self._known.get(folded)
        if known is None:
            known = ChargePointRecord(identity=identity, last_seen=0, transport="soap", version="1.6")
        changes: dict[str, Any] = {}
        if transport is not None and transport != known.transport:
            changes["transport"] = transport
        if version is not None and version != known.version:
            changes["version"] = version
        if interval is not None and interval != known.interval:
            changes["interval"] = interval
        if boot is not None and (encoded := _encode(boot)) != known.boot:
            changes["boot"] = encoded
        if callback is not None:
            changes |= _moved_to(callback, known)
        ago = now - known.last_seen
        if changes or ago >= _ROUGHLY or ago >= (known.interval or _ROUGHLY):
            record = self._known[folded] = msgspec.structs.replace(known, last_seen=now, **changes)
            self._store.put(record)

    def _stored(self, identity: str, record: Record) -> Stored:
        now = self._clock()
        match record:
            case Answered(fingerprint=mark, answer=answer):
                name = type(answer).__name__.removesuffix("Response")
                assert name in ("StartTransaction", "StopTransaction")
                return AnsweredRecord(
                    identity=identity,
                    action=name,  # type: ignore[arg-type]
                    fingerprint=mark,
                    answer=_encode(answer),
                    at=now,
                )
            case Alias(transaction_id=transaction_id, alias=alias):
                return AliasRecord(identity=identity, alias=alias, transaction_id=transaction_id)
            case Connector(number=number, status=status, transaction_id=transaction, ended=ended):
                return ConnectorRecord(
                    identity=identity, connector=number, status=status, transaction_id=transaction, ended=ended, at=now
                )


def _moved_to(callback: Callback, known: ChargePointRecord) -> dict[str, Any]:
    """Of a record where `callback` differs from what is known."""
    networks = None if callback.networks is None else tuple(str(network) for network in callback.networks)
    if (callback.url, networks) == (known.callback_url, known.callback_networks):
        return {}
    return {"callback_url": callback.url, "callback_networks": networks}


def _answered(record: AnsweredRecord, now: float) -> Answered | None:
    try:
        answer = msgspec.json.decode(record.answer, type=_ANSWERS[record.action])
    except (msgspec.MsgspecError, KeyError):
        return None  # written by a version of the bridge that thought differently
    return Answered(fingerprint=record.fingerprint, answer=answer, age=max(0.0, now - record.at))


def _boot(record: ChargePointRecord | None) -> BootNotificationRequest | None:
    if record is None or record.boot is None:
        return None
    try:
        return msgspec.json.decode(record.boot, type=BootNotificationRequest)
    except (msgspec.MsgspecError, MessageError):
        return None
