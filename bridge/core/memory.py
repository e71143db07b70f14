"""Records of a Session that outlive a restart of the bridge, and the aliases of transactionIds.

The number of records is bounded, so that a hostile peer cannot fill the memory.

This module is pure. The gateway stores the records (commands Keep and Note) and passes them to the Session at the
start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from bridge.core.authorizations import Authorizations, Authorized
from bridge.core.boots import Booted
from bridge.core.connectors import Connectors, ConnectorState, LastStatus, LastStatuses
from bridge.core.observed import Observed
from bridge.core.repetitions import Answered, Asked, Repetitions
from bridge.core.silence import Presence
from bridge.core.transaction_ids import WITH_IDS, with_ids
from bridge.core.transactions import SILENT, KnownTransaction, Transactions
from bridge.ocpp.messages import BootNotificationRequest

_MAX_INT = 2**31 - 1
# Number of ids of 32 bits that are reserved as aliases: enough for a transaction every five minutes, for ten years.
_NAMES = 2**20
# The store keeps the same number of records.
_MOST = 1000


class Alias(Struct, frozen=True, kw_only=True):
    """A transactionId beyond 32 bits, and its alias towards a SOAP Charge Point."""

    transaction_id: int
    alias: int


Record = (
    Answered
    | Asked
    | Alias
    | Authorized
    | Booted
    | ConnectorState
    | LastStatus
    | Presence
    | KnownTransaction
    | Observed
)


class Aliases:
    """Aliases of 32 bits for transactionIds beyond 32 bits, which SOAP cannot carry (rule 61).

    An id keeps its alias for ever. Aliases are given from the highest number down, because Central Systems count from
    the lowest up. An id that lies in the range of the aliases becomes its own alias, so that no other id gets it; if
    it is the alias of another id already, it gets a new alias. A forgotten alias is not given again.

    Args:
        known: The stored aliases, the oldest first.
        limit: The most aliases that are kept; the oldest is removed.
    """

    def __init__(self, known: Iterable[Alias], limit: int = _MOST) -> None:
        self._limit = limit
        self._alias_of = {record.transaction_id: record.alias for record in known}
        self._id_of = {alias: transaction_id for transaction_id, alias in self._alias_of.items()}
        given = (alias for transaction_id, alias in self._alias_of.items() if alias != transaction_id)
        self._next = min(given, default=_MAX_INT + 1) - 1

    def outward(self, payload: Any, *, told: bool = False) -> tuple[Any, list[Alias]]:
        """Return the payload for a party that knows only 32 bits, and the new aliases in it.

        Args:
            payload: The payload.
            told: Whether a number of 32 bits in it is one that the party was told, an alias perhaps.
        """
        made: list[Alias] = []
        if type(payload) not in WITH_IDS:
            return payload, made
        return with_ids(payload, lambda wide: wide if told and _fits(wide) else self._name(wide, made)), made

    def inward(self, payload: Any) -> Any:
        """Return the payload with the ids that its aliases stand for."""
        return with_ids(payload, lambda alias: self._id_of.get(alias, alias)) if self._id_of else payload

    def spare(self, made: list[Alias]) -> int:
        """Return a number that names no transaction, and add its record to `made`."""
        number = self._free()
        self._alias_of[number], self._id_of[number] = number, number
        made.append(Alias(transaction_id=number, alias=number))
        self._forget()
        return number

    def _name(self, transaction_id: int, made: list[Alias]) -> int:
        fits = _fits(transaction_id)
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


def _fits(transaction_id: int) -> bool:
    return -(2**31) <= transaction_id <= _MAX_INT


class SessionMemory(Struct, kw_only=True):
    """The stored records of a Charge Point, which a Session gets at its start.

    Attributes:
        boot: The last BootNotification.
        introduce: Whether the Central System has not received that BootNotification, because the Charge Point was moved
            to it.
        older_version: Whether the last message of the Charge Point was one of OCPP 1.5 or 1.2.
    """

    answered: tuple[Answered, ...] = ()
    asked: tuple[Asked, ...] = ()
    aliases: tuple[Alias, ...] = ()
    transactions: tuple[KnownTransaction, ...] = ()
    connectors: tuple[ConnectorState, ...] = ()
    statuses: tuple[LastStatus, ...] = ()
    authorizations: tuple[Authorized, ...] = ()
    presence: Presence = Presence()
    boot: BootNotificationRequest | None = None
    introduce: bool = False
    older_version: bool = False


class ChargePointRecords:
    """The records of one Charge Point that do not depend on its Central System.

    All Sessions of the Charge Point share them: the Session with the Central System of its route, and the Sessions with
    Central Systems that it was moved away from.

    Args:
        memory: The stored records.
        central_system: The name of the Central System of the route.
    """

    __slots__ = ("aliases", "authorizations", "connectors", "repetitions", "statuses", "transactions")

    def __init__(self, memory: SessionMemory, central_system: str) -> None:
        self.connectors = Connectors(memory.connectors)
        self.statuses = LastStatuses(memory.statuses)
        self.repetitions = Repetitions(memory.answered, memory.asked)
        self.aliases = Aliases(memory.aliases)
        self.authorizations = Authorizations(memory.authorizations)
        self.transactions = Transactions(memory.transactions, central_system)

    def open_transactions(self, at: float) -> int:
        """Return the number of transactions that are open (design/central-systems.md M2).

        A StartTransaction without an answer counts: it may have begun one.

        Args:
            at: The time now, on the clock of the events, in seconds.
        """
        return len(self.transactions.open(at)) + len(self.repetitions.starts_asked(at, SILENT))
