"""What a Session remembers beyond the Calls in progress, and across restarts: answers given, ids renamed.

What it knows of the connectors is a module of its own. All of it is bounded, whoever is out to fill it.

Pure records and rules. Whoever runs the Session puts the records away (commands Keep and Note) and hands them back at
the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from bridge.core.connectors import Connector
from bridge.ocpp.messages import (
    BootNotificationRequest,
    MeterValuesRequest,
    RemoteStartTransactionRequest,
    RemoteStopTransactionRequest,
    Response,
    SetChargingProfileRequest,
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
    StopTransactionResponse,
)

_MAX_INT = 2**31 - 1
_TRANSACTIONS = frozenset({StartTransactionRequest, StopTransactionRequest})
# Whatever has a transactionId in it.
WITH_IDS = frozenset(
    {
        MeterValuesRequest,
        RemoteStartTransactionRequest,
        RemoteStopTransactionRequest,
        SetChargingProfileRequest,
        StartTransactionResponse,
        StopTransactionRequest,
    }
)
# How many of them are names for others: a transaction every five minutes, for ten years.
_NAMES = 2**20
# As long, and as many, as the store keeps them: a Charge Point that is silent for longer has lost its queue or is gone.
_LONGEST = 7 * 24 * 3600.0
_MOST = 1000


class Answered(Struct, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that its Central System has answered, so that a retry is not sent twice.

    `age`: seconds since then, when it was handed to the Session.
    """

    fingerprint: str
    answer: StartTransactionResponse | StopTransactionResponse
    age: float = 0.0


class Alias(Struct, frozen=True, kw_only=True):
    """A transactionId beyond 32 bits, and what it is called towards SOAP."""

    transaction_id: int
    alias: int


Record = Answered | Alias | Connector


def fingerprint(payload: object) -> str | None:
    """What makes two of a Charge Point's messages the same one, sent twice (rule 68). None: retries do not matter.

    The identity, connector, idTag, time stamp and meter value; a StopTransaction's transactionId stands for its
    connector.
    """
    if type(payload) not in _TRANSACTIONS:
        return None
    match payload:
        case StartTransactionRequest(connectorId=where, idTag=tag, timestamp=when, meterStart=meter):
            parts: tuple[Any, ...] = ("Start", where, tag, when, meter)
        case StopTransactionRequest(transactionId=where, idTag=tag, timestamp=when, meterStop=meter):
            parts = ("Stop", where, tag, when, meter)
        case _:
            return None
    return msgspec.json.encode(parts).decode()


class Retries:
    """The answers that were given, newest last, `limit` at most and none for more than 7 days (DESIGN section 5)."""

    def __init__(self, answered: Iterable[Answered], limit: int = _MOST) -> None:
        self._limit = limit
        self._began: float | None = None  # the first event: what was given before, was so many seconds before that
        self._answers = {record.fingerprint: (record.answer, -record.age) for record in answered}

    def answer_to(self, mark: str | None, at: float) -> Response | None:
        """The answer that the same message got before."""
        known = None if mark is None else self._answers.get(mark)
        return None if known is None or self._since_beginning(at) - known[1] > _LONGEST else known[0]

    def add(self, record: Answered, at: float) -> None:
        """Remember an answer that is given now; those that are too old are forgotten, and the oldest of too many."""
        now = self._since_beginning(at)
        self._answers.pop(record.fingerprint, None)
        self._answers[record.fingerprint] = (record.answer, now)
        oldest = next(iter(self._answers))
        while len(self._answers) > self._limit or now - self._answers[oldest][1] > _LONGEST:
            del self._answers[oldest]
            oldest = next(iter(self._answers))

    def _since_beginning(self, at: float) -> float:
        if self._began is None:
            self._began = at
        return at - self._began


class Aliases:
    """transactionIds beyond 32 bits, under names that SOAP can carry (rule 61). The same id has one name for ever.

    Names are given from the top down: Central Systems count from the bottom up. An id that lies where the names do is
    put down under itself, so that it is nobody else's name; if it is one already, it gets another. The `limit` newest
    are known; a name that is forgotten is not given again.
    """

    def __init__(self, known: Iterable[Alias], limit: int = _MOST) -> None:
        self._limit = limit
        self._alias_of = {record.transaction_id: record.alias for record in known}
        self._id_of = {alias: transaction_id for transaction_id, alias in self._alias_of.items()}
        given = (alias for transaction_id, alias in self._alias_of.items() if alias != transaction_id)
        self._next = min(given, default=_MAX_INT + 1) - 1

    def outward(self, payload: Any) -> tuple[Any, list[Alias]]:
        """The payload for a party that knows 32 bits, and the names that it made necessary."""
        made: list[Alias] = []
        if type(payload) not in WITH_IDS:
            return payload, made
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
            self._forget()
        return self._alias_of[transaction_id]

    def _forget(self) -> None:
        if len(self._alias_of) > self._limit:
            oldest = next(iter(self._alias_of))
            del self._id_of[self._alias_of.pop(oldest)]

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


class Memory(Struct, kw_only=True):
    """All of it, as it is handed to a Session."""

    answered: tuple[Answered, ...] = ()
    aliases: tuple[Alias, ...] = ()
    connectors: tuple[Connector, ...] = ()
    # Of its last BootNotification: the request, and the seconds between heartbeats that the answer gave.
    boot: BootNotificationRequest | None = None
    heartbeat: int | None = None
