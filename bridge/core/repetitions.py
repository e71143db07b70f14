"""Repetitions of StartTransactions and StopTransactions: how they are recognised, and which answer they get.

A Charge Point repeats transaction-related messages until it gets a verdict (OCPP 1.6 edition 2, 3.7.1). The same
message must begin or end one transaction only, so a repetition gets the answer that the first copy got. While there is
no answer, a repetition is sent under the UniqueId of the first copy, so that a Central System can recognise it.

This module is pure. The number of records is bounded, so that a hostile peer cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from bridge.ocpp.messages import (
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import CallResult, UnopenedRequest, UnopenedResponse, Verbatim

_TRANSACTIONS = frozenset({StartTransactionRequest, StopTransactionRequest, UnopenedRequest})
# The store keeps the same number of records, for the same time in seconds. A Charge Point that is silent for longer has
# lost its queue or is gone.
_LONGEST = 7 * 24 * 3600.0
_MOST = 1000
_START, _STOP, _GIVEN = "Start", "Stop", "Given"
# Charge Points that do not know the transactionId write this number (rule 70).
_NO_TRANSACTION = -1
# A decoder is made once: for a type that is no class, that takes ten times as long as to decode.
_fingerprint = msgspec.json.Decoder(tuple[str, int, str | None, str, int])
_parts = msgspec.json.Decoder(list[Any])


class Answered(Struct, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that its Central System has answered.

    Attributes:
        fingerprint: The fingerprint that all copies of the message share.
        answer: The payload of the answer.
        raw: The JSON of the payload, as it came, if payloads are passed on unread; else empty.
        verbatim: The Body of the answer, as it came, if it is passed on unchanged.
        age: Seconds since the answer, at the start of the Session.
    """

    fingerprint: str
    answer: StartTransactionResponse | StopTransactionResponse
    raw: bytes = b""
    verbatim: Verbatim | None = None
    age: float = 0.0


class Asked(Struct, frozen=True, kw_only=True):
    """A StartTransaction or StopTransaction that is sent under `unique_id`, and has no answer yet.

    Attributes:
        fingerprint: The fingerprint that all copies of the message share.
        unique_id: The UniqueId towards the Central System.
        central_system: The name of the Central System.
        age: Seconds since the message was first sent, at the start of the Session.
    """

    fingerprint: str
    unique_id: str
    central_system: str = ""
    age: float = 0.0


def fingerprint(payload: object) -> str | None:
    """Return the fingerprint of a message. Two messages of a Charge Point with the same one are copies (rule 68).

    Args:
        payload: A request. If it is passed on unread, the bridge's own reading of it counts.

    Returns:
        The connector, idTag, time and meter value as a text; for a StopTransaction the transactionId in place of the
        connector. The letter case of the idTag and trailing zeros of the time do not count. None if repetitions of the
        message do not matter.
    """
    if type(payload) not in _TRANSACTIONS:
        return None
    if isinstance(payload, UnopenedRequest):
        return fingerprint(payload.read)
    match payload:
        case StartTransactionRequest(connectorId=where, idTag=tag, timestamp=when, meterStart=meter):
            return _joined(_START, where, tag, when, meter)
        case StopTransactionRequest(transactionId=where, idTag=tag, timestamp=when, meterStop=meter):
            return _joined(_STOP, where, tag, when, meter)
    return None


def renewed(stored: str) -> str:
    """Return a fingerprint that an earlier version of the bridge stored, in the form that this version makes."""
    try:
        parts = _fingerprint.decode(stored)
    except msgspec.MsgspecError:
        return stored
    return _joined(*parts)


def _joined(kind: str, where: int, tag: str | None, when: str, meter: int) -> str:
    moment, _, fraction = when.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    when = f"{moment}.{fraction}Z" if fraction else f"{moment}Z"
    parts: tuple[Any, ...] = (kind, where, None if tag is None else tag.casefold(), when, meter)
    return msgspec.json.encode(parts).decode()


def _kind_and_place(mark: str) -> tuple[str, int]:
    """Return "Start" or "Stop", and the connector or transactionId, of a fingerprint; "" and 0 if it is none."""
    try:
        kind, where, *_ = _parts.decode(mark)
    except (msgspec.MsgspecError, ValueError):
        return "", 0
    return str(kind), where if isinstance(where, int) else 0


class Repetitions:
    """Past answers, and UniqueIds of messages without an answer, for 7 days.

    The answer to a StartTransaction is kept until the StopTransaction of its transaction has been answered: a Charge
    Point without a clock sends the same values again, and then means a new transaction. A StopTransaction that names no
    known transaction ends none (rule 70); the next, different StartTransaction on the connector does. The answer to a
    StopTransaction is kept until the Central System gives its transactionId again.

    Args:
        answered: The stored answers, the oldest first.
        asked: The stored UniqueIds, the oldest first.
        limit: The most answers, and the most UniqueIds, that are kept; the oldest are removed.
    """

    def __init__(self, answered: Iterable[Answered] = (), asked: Iterable[Asked] = (), limit: int = _MOST) -> None:
        self._limit = limit
        self._began: float | None = None  # time of the first event; earlier answers have times below 0 relative to it
        self._answers: dict[str, tuple[Answered, float]] = {}
        # Their fingerprints by what ends them. To examine all for each new one took 0.4 s for a thousand at the start.
        self._ended_by: dict[tuple[str, int | None], dict[str, None]] = {}
        self._asked: dict[str, tuple[str, float, str]] = {}
        self._closed_starts: set[str] = set()  # the fingerprints of `close_starts`
        when_answered: dict[str, float] = {}  # includes answers that are over
        for record in answered:
            self._put(record, -record.age)
            when_answered[record.fingerprint] = -record.age
        for one in asked:
            if when_answered.get(one.fingerprint, float("-inf")) < -one.age:
                self._asked[one.fingerprint] = (one.unique_id, -one.age, one.central_system)

    def answer_to(self, mark: str | None, at: float) -> Answered | None:
        """Return the answer that an earlier copy of the message got; None if it got none, or the answer is over."""
        known = None if mark is None else self._answers.get(mark)
        return None if known is None or self._since_beginning(at) - known[1] > _LONGEST else known[0]

    def answered(self, record: Answered, at: float) -> None:
        """Keep an answer that is given now. Remove answers that are too old, and the oldest of too many."""
        now = self._since_beginning(at)
        self._asked.pop(record.fingerprint, None)
        self._put(record, now)
        for mark in self._overdue(now):
            self._forget(mark)

    def asked(self, mark: str, at: float) -> str | None:
        """Return the UniqueId of an earlier copy that got no answer; None if there is none within 7 days."""
        known = self._asked.get(mark)
        return None if known is None or self._since_beginning(at) - known[1] > _LONGEST else known[0]

    def asked_at(self, mark: str, at: float) -> str | None:
        """Return the Central System that got an earlier copy within 7 days and gave no answer, or None."""
        return self._asked[mark][2] or None if self.asked(mark, at) is not None else None

    def starts_asked(self, at: float, within: float) -> list[int]:
        """Return the connectors with a StartTransaction that has no answer, and may have begun a transaction.

        Args:
            at: The time now, in seconds.
            within: Seconds since the StartTransaction was first sent. An older one does not count.
        """
        now = self._since_beginning(at)
        recent = [mark for mark, (_, when, _) in self._asked.items() if now - when <= within]
        places = [_kind_and_place(mark) for mark in recent if mark not in self._closed_starts]
        return [place for kind, place in places if kind == _START]

    def close_starts(self, connector: int) -> None:
        """Note that a later message shows that no transaction goes on that an unanswered StartTransaction began.

        Args:
            connector: The connectorId of the StartTransactions.
        """
        if self._asked:
            self._closed_starts &= self._asked.keys()
            self._closed_starts.update(mark for mark in self._asked if _kind_and_place(mark) == (_START, connector))

    def ask(self, mark: str, unique_id: str, at: float, central_system: str = "") -> None:
        """Note that a message is sent, and has no answer yet.

        Args:
            mark: The fingerprint of the message.
            unique_id: The UniqueId towards the Central System.
            at: The time now, in seconds.
            central_system: The name of the Central System.
        """
        self._asked.pop(mark, None)
        self._asked[mark] = (unique_id, self._since_beginning(at), central_system)
        if len(self._asked) > self._limit:
            del self._asked[next(iter(self._asked))]

    def refused(self, mark: str | None) -> None:
        """Note that a message got a CALLERROR, which is not kept: a repetition gets a new UniqueId."""
        if mark is not None:
            self._asked.pop(mark, None)

    def _put(self, record: Answered, when: float) -> None:
        self._forget(record.fingerprint)
        kind, where = _kind_and_place(record.fingerprint)
        if kind == _START:
            over = [(_START, where), (_STOP, _transaction_of(record))]
        else:
            over = [(_GIVEN, where)] if kind == _STOP and where != _NO_TRANSACTION else []
        for end in over:
            for mark in tuple(self._ended_by.get(end, ())):
                self._forget(mark)
        for end in _ends_of(record):
            self._ended_by.setdefault(end, {})[record.fingerprint] = None
        self._answers[record.fingerprint] = (record, when)

    def _forget(self, mark: str) -> None:
        if (known := self._answers.pop(mark, None)) is None:
            return
        for end in _ends_of(known[0]):
            del self._ended_by[end][mark]
            if not self._ended_by[end]:
                del self._ended_by[end]

    def _overdue(self, now: float) -> Iterator[str]:
        too_many = len(self._answers) - self._limit
        for number, (mark, (_, when)) in enumerate(tuple(self._answers.items())):
            if number >= too_many and now - when <= _LONGEST:
                return
            yield mark

    def _since_beginning(self, at: float) -> float:
        if self._began is None:
            self._began = at
        return at - self._began


def _transaction_of(record: Answered) -> int | None:
    """Return the transactionId in the answer to a StartTransaction, None for another answer."""
    return record.answer.transactionId if isinstance(record.answer, StartTransactionResponse) else None


def _ends_of(record: Answered) -> list[tuple[str, int | None]]:
    """Return what a later answer ends an answer by: its connector, its transactionId, or the one that it gives."""
    kind, where = _kind_and_place(record.fingerprint)
    return [(_START, where), (_GIVEN, _transaction_of(record))] if kind == _START else [(kind, where)]


def record_of(mark: str | None, answer: CallResult) -> Answered | None:
    """Return the record that keeps `answer` for repetitions; None if repetitions of the message do not matter."""
    payload = answer.payload
    if isinstance(payload, UnopenedResponse):
        read: Any = payload.read
        raw = bytes(payload.raw)
    else:
        read, raw = payload, b""
    if mark is None or not isinstance(read, StartTransactionResponse | StopTransactionResponse):
        return None
    return Answered(fingerprint=mark, answer=read, raw=raw, verbatim=answer.verbatim)


def kept_answer(record: Answered, *, unread: bool) -> CallResult:
    """Return the kept answer for a repetition. `unread`: payloads are passed on unread between the parties."""
    if not unread:
        return CallResult(unique_id="", payload=record.answer, verbatim=record.verbatim)
    raw = Raw(record.raw or msgspec.json.encode(record.answer))
    return CallResult(unique_id="", payload=UnopenedResponse(raw=raw, read=record.answer))
