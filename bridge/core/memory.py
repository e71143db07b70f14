"""What a Session remembers beyond the Calls in progress, and across restarts: answers given, ids renamed, connectors.

Pure records and rules. Whoever runs the Session puts the records away (commands Keep and Note) and hands them back at
the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.messages import (
    BootNotificationRequest,
    RemoteStartTransactionRequest,
    Request,
    Response,
    SetChargingProfileRequest,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
    StopTransactionResponse,
)

_MAX_INT = 2**31 - 1
# How many of them are names for others: a transaction every five minutes, for ten years.
_NAMES = 2**20


class Answered(Struct, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that its Central System has answered, so that a retry is not sent twice."""

    fingerprint: str
    answer: StartTransactionResponse | StopTransactionResponse


class Alias(Struct, frozen=True, kw_only=True):
    """A transactionId beyond 32 bits, and what it is called towards SOAP."""

    transaction_id: int
    alias: int


class Connector(Struct, frozen=True, kw_only=True):
    """The last known state of a connector. `ended`: its last transaction was stopped, and it was not free since."""

    number: int
    status: str | None = None
    transaction_id: int | None = None
    ended: bool = False


Record = Answered | Alias | Connector


def fingerprint(payload: object) -> str | None:
    """What makes two of a Charge Point's messages the same one, sent twice (rule 68). None: retries do not matter.

    The identity, connector, idTag, time stamp and meter value; a StopTransaction's transactionId stands for its
    connector.
    """
    match payload:
        case StartTransactionRequest(connectorId=where, idTag=tag, timestamp=when, meterStart=meter):
            parts: tuple[Any, ...] = ("Start", where, tag, when, meter)
        case StopTransactionRequest(transactionId=where, idTag=tag, timestamp=when, meterStop=meter):
            parts = ("Stop", where, tag, when, meter)
        case _:
            return None
    return msgspec.json.encode(parts).decode()


class Retries:
    """The answers that were given, newest last, `limit` at most (DESIGN section 5)."""

    def __init__(self, answered: Iterable[Answered], limit: int = 1000) -> None:
        self._limit = limit
        self._answers = {record.fingerprint: record.answer for record in answered}

    def answer_to(self, mark: str | None) -> Response | None:
        """The answer that the same message got before."""
        return None if mark is None else self._answers.get(mark)

    def add(self, record: Answered) -> None:
        """Remember an answer; the oldest is forgotten when there are too many."""
        self._answers[record.fingerprint] = record.answer
        if len(self._answers) > self._limit:
            del self._answers[next(iter(self._answers))]


class Aliases:
    """transactionIds beyond 32 bits, under names that SOAP can carry (rule 61). The same id has one name for ever.

    Names are given from the top down: Central Systems count from the bottom up. An id that lies where the names do is
    put down under itself, so that it is nobody else's name; if it is one already, it gets another.
    """

    def __init__(self, known: Iterable[Alias]) -> None:
        self._alias_of = {record.transaction_id: record.alias for record in known}
        self._id_of = {alias: transaction_id for transaction_id, alias in self._alias_of.items()}
        given = (alias for transaction_id, alias in self._alias_of.items() if alias != transaction_id)
        self._next = min(given, default=_MAX_INT + 1) - 1

    def outward(self, payload: Any) -> tuple[Any, list[Alias]]:
        """The payload for a party that knows 32 bits, and the names that it made necessary."""
        made: list[Alias] = []
        return _with_ids(payload, lambda wide: self._name(wide, made)), made

    def inward(self, payload: Any) -> Any:
        """The payload with the ids that the names stand for."""
        return _with_ids(payload, lambda alias: self._id_of.get(alias, alias)) if self._id_of else payload

    def _name(self, transaction_id: int, made: list[Alias]) -> int:
        fits = -(2**31) <= transaction_id <= _MAX_INT
        if fits and transaction_id <= _MAX_INT - _NAMES:
            return transaction_id
        if transaction_id not in self._alias_of:
            alias = transaction_id if fits and transaction_id not in self._id_of else self._free()
            self._alias_of[transaction_id], self._id_of[alias] = alias, transaction_id
            made.append(Alias(transaction_id=transaction_id, alias=alias))
        return self._alias_of[transaction_id]

    def _free(self) -> int:
        while self._next in self._id_of:
            self._next -= 1
        self._next -= 1
        return self._next + 1


def _with_ids(payload: Any, rename: Any) -> Any:
    """`payload` with its transactionId renamed, wherever OCPP 1.6 has one."""
    match payload:
        case SetChargingProfileRequest(csChargingProfiles=profile):
            return _replaced(payload, "csChargingProfiles", _renamed(profile, rename))
        case RemoteStartTransactionRequest(chargingProfile=profile) if profile is not None:
            return _replaced(payload, "chargingProfile", _renamed(profile, rename))
        case _:
            return _renamed(payload, rename)


def _renamed(record: Any, rename: Any) -> Any:
    current = getattr(record, "transactionId", None)
    return record if current is None else _replaced(record, "transactionId", rename(current))


def _replaced(record: Any, name: str, value: Any) -> Any:
    return record if getattr(record, name) == value else msgspec.structs.replace(record, **{name: value})


# A connector that says so has no vehicle, nor a transaction that was open there, whatever messages were missed before.
_WITHOUT_VEHICLE = frozenset({ChargePointStatus.Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable})


class Connectors:
    """What is known of each connector, from the messages that pass. It tells apart what OCPP 1.5 calls Occupied."""

    def __init__(self, known: Iterable[Connector]) -> None:
        self.by_number = {record.number: record for record in known}

    def see(self, request: Request | Any, response: Response | Any | None) -> Connector | None:
        """Learn from a Call and its CallResult; the record that changed, if one did."""
        match request, response:
            case StartTransactionRequest(connectorId=number), StartTransactionResponse(transactionId=transaction_id):
                return self._now(number, transaction_id=transaction_id, ended=False)
            case StopTransactionRequest(transactionId=transaction_id), StopTransactionResponse():
                where = self._of(transaction_id)
                return None if where is None else self._now(where, transaction_id=None, ended=True)
            case StatusNotificationRequest(connectorId=number, status=status), _ if status in _WITHOUT_VEHICLE:
                return self._now(number, status=status.value, transaction_id=None, ended=False)
            case StatusNotificationRequest(connectorId=number, status=status), _:
                # Preparing: the next driver is there.
                ended = self.of(number).ended and status is not ChargePointStatus.Preparing
                return self._now(number, status=status.value, ended=ended)
        return None

    def of(self, number: int) -> Connector:
        """The connector, known or not."""
        return self.by_number.get(number, Connector(number=number))

    def _of(self, transaction_id: int) -> int | None:
        return next((c.number for c in self.by_number.values() if c.transaction_id == transaction_id), None)

    def _now(self, number: int, **changes: Any) -> Connector | None:
        before = self.of(number)
        after = msgspec.structs.replace(before, **changes)
        self.by_number[number] = after
        return None if after == before else after


class Memory(Struct, kw_only=True):
    """All of it, as it is handed to a Session."""

    answered: tuple[Answered, ...] = ()
    aliases: tuple[Alias, ...] = ()
    connectors: tuple[Connector, ...] = ()
    # Of its last BootNotification: the request, and the seconds between heartbeats that the answer gave.
    boot: BootNotificationRequest | None = None
    heartbeat: int | None = None
