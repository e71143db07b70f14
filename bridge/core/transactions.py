"""The transactions of one Charge Point, and the Central System that each belongs to (design/central-systems.md M1).

A transaction belongs to the Central System that named it. Its MeterValues and its StopTransaction go there, also after
the Charge Point was moved to another Central System. If two Central Systems give the same number, the Charge Point is
told an alias for the second one.

This module is pure. The number of transactions is bounded, so that a hostile peer cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct, structs

from bridge.core.energy import register_of
from bridge.core.transaction_ids import commanded, commanded_number, number_of, renumbered
from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.messages import (
    Request,
    StartTransactionRequest,
    StatusNotificationRequest,
    StopTransactionRequest,
)
from bridge.ocpp.rpc import Call, UnopenedRequest

# The number of the row for the last transaction whose Central System gave no number above 0. Such a number names no
# transaction, so a StopTransaction with one goes where the last such StartTransaction went.
UNNAMED = 0
# Seconds without a message about a transaction after which the transaction counts as closed.
SILENT = 48 * 3600.0
# Seconds after the answer to its StopTransaction after which a transaction is forgotten.
_FORGOTTEN = 7 * 24 * 3600.0
_MOST = 1000


class TransactionState(StrEnum):
    """The state of a transaction.

    OPEN: The Charge Point is in the transaction.
    CLOSED: A later StartTransaction, or the status Available, says that the transaction is over. Its StopTransaction
        may still come.
    ENDED: Its Central System has answered its StopTransaction.
    """

    OPEN = "open"
    CLOSED = "closed"
    ENDED = "ended"


class KnownTransaction(Struct, frozen=True, kw_only=True):
    """A transaction that a Central System has named.

    Attributes:
        number: The transactionId that the Charge Point was told; UNNAMED for one without a number above 0.
        central_system: The name of the Central System.
        named: The transactionId at the Central System.
        connector: The connectorId.
        id_tag: The idTag in the StartTransaction.
        meter_start: The meter value at the start, in Wh.
        started: The time stamp in the StartTransaction.
        state: The state.
        meter_stop: The meter value in the StopTransaction, in Wh; None before it came. So are the next two.
        stopped: The time stamp in the StopTransaction.
        reason: The reason in the StopTransaction, None if it gives none.
    """

    number: int
    central_system: str
    named: int
    connector: int
    id_tag: str
    meter_start: int
    started: str
    state: TransactionState = TransactionState.OPEN
    meter_stop: int | None = None
    stopped: str | None = None
    reason: str | None = None


_METERS, _STOP = "MeterValues", "StopTransaction"
_WITH_NUMBER = frozenset({_METERS, _STOP})
# In so many seconds, as many MeterValues are read for their time and their energy as transactions are open.
_LOOKS = 60.0


class Transactions:
    """The transactions of one Charge Point, by the number that the Charge Point was told.

    Args:
        known: The stored transactions, the oldest first.
        home: The name of the Central System of the Charge Point's route.
        limit: The most transactions that are kept. The oldest is removed, among the ended ones if there are any.
    """

    def __init__(self, known: Iterable[KnownTransaction] = (), home: str = "", limit: int = _MOST) -> None:
        self._limit = limit
        self._rows = {row.number: row for row in known}
        # The time of the last message about each transaction, or of its end, on the clock of the events, in seconds.
        self._last: dict[int, float] = {}
        self._looked = float("-inf")  # when the present span of _LOOKS seconds began
        self._reads = 0  # the MeterValues that were read in that span
        self._registers: dict[int, float] = {}  # the energy register in the last MeterValues of each that was read
        self.move(home)

    def move(self, home: str) -> None:
        """Take `home` as the Central System of the Charge Point's route."""
        self._home = home
        self._look_at_rows()

    def _look_at_rows(self) -> None:
        # MeterValues are many. They are read only if one of them may have another receiver or another number.
        self._matters = any(row.central_system != self._home or row.number != row.named for row in self._rows.values())

    def of(self, number: int) -> KnownTransaction | None:
        """Return the transaction that the Charge Point knows as `number`, None if there is none."""
        return self._rows.get(number)

    def register_of(self, number: int) -> float | None:
        """Return the energy register that the last MeterValues of a transaction told, in Wh; None if none was read."""
        return self._registers.get(number)

    def open(self, at: float) -> list[KnownTransaction]:
        """Return the transactions that are open at the time `at`, in seconds, the oldest first."""
        return [
            row
            for row in self._rows.values()
            if row.state is TransactionState.OPEN
            and row.number != UNNAMED
            and at - self._last.setdefault(row.number, at) <= SILENT
        ]

    def owner_of(self, call: Call) -> str | None:
        """Return the name of the Central System that must get a Call of the Charge Point; None if the route decides."""
        number = self._number_of(call) if self._matters else None
        if number is None or (number <= 0 and call.action != _STOP):
            return None
        row = self._rows.get(max(number, UNNAMED))
        return None if row is None else row.central_system

    def holder_of(self, call: Call) -> str | None:
        """Return the Central System of the open transaction on the connector of a StatusNotification, or None."""
        read = _read(call.payload) if self._rows else None
        if not isinstance(read, StatusNotificationRequest):
            return None
        on_it = (row for row in self._rows.values() if row.connector == read.connectorId)
        return next((row.central_system for row in on_it if row.state is TransactionState.OPEN), None)

    # Numbers.

    def towards(self, central_system: str, call: Call) -> Request:
        """Return the payload of a Call of the Charge Point, with the transactionId that `central_system` gave."""
        row = self._rows.get(self._number_of(call) or UNNAMED) if self._matters else None
        if row is None or row.number in (UNNAMED, row.named) or row.central_system != central_system:
            return call.payload
        return renumbered(call.payload, row.named)

    def number_for(self, central_system: str, named: int) -> int | None:
        """Return the number that the Charge Point was told for a transaction of `central_system`, or None.

        Args:
            central_system: The name of the Central System.
            named: The transactionId there.
        """
        if named <= 0:
            return None
        rows = reversed(self._rows.values())
        return next((row.number for row in rows if (row.central_system, row.named) == (central_system, named)), None)

    # What happens.

    def started(
        self, central_system: str, request: StartTransactionRequest, named: int, spare: Callable[[], int], at: float
    ) -> tuple[int, list[KnownTransaction]]:
        """Add the transaction that the answer to a StartTransaction has named.

        Args:
            central_system: The name of the Central System that answers.
            request: The StartTransaction.
            named: The transactionId in the answer.
            spare: Returns a number that no Central System gives, for an alias.
            at: The time now, in seconds.

        Returns: The transactionId for the Charge Point, and the rows that have changed.
        """
        changed = [
            self._put(structs.replace(row, state=TransactionState.CLOSED))
            for row in tuple(self._rows.values())
            if row.connector == request.connectorId and row.state is TransactionState.OPEN
        ]
        number = named
        if named <= 0:
            key = UNNAMED
        else:
            known = self._rows.get(named)
            # A number that the same Central System gives again means the same to it, whichever transaction has it.
            if known is not None and known.state is not TransactionState.ENDED:
                number = named if known.central_system == central_system else spare()
            key = number
        row = KnownTransaction(
            number=key,
            central_system=central_system,
            named=named,
            connector=request.connectorId,
            id_tag=request.idTag,
            meter_start=request.meterStart,
            started=request.timestamp,
        )
        self._last[key] = at
        self._registers.pop(key, None)
        changed = [other for other in changed if other.number != key]
        self._forget(at)
        return number, [*changed, self._put(row)]

    def see(self, call: Call, at: float) -> list[KnownTransaction]:
        """Learn from a Call of the Charge Point that was answered. Return the rows that have changed.

        Args:
            call: The Call.
            at: The time now, in seconds.
        """
        if not self._rows:
            return []
        read = _read(call.payload)
        if isinstance(read, StatusNotificationRequest):
            if read.status is not ChargePointStatus.Available:
                return []
            return [
                self._put(structs.replace(row, state=TransactionState.CLOSED))
                for row in tuple(self._rows.values())
                if row.connector == read.connectorId and row.state is TransactionState.OPEN
            ]
        if call.action == _METERS and not self._is_read(at) and not self._matters:
            return []
        number = self._number_of(call)
        row = None if number is None else self._rows.get(max(number, UNNAMED))
        if row is None:
            return []
        self._last[row.number] = at
        if call.action == _METERS and (register := register_of(call)) is not None:
            self._registers[row.number] = register
        if call.action != _STOP or row.state is TransactionState.ENDED:
            return []
        return [self._put(_ended(row, read))]

    def _is_read(self, at: float) -> bool:
        """Return whether a MeterValues at the time `at`, in seconds, is to be read."""
        if at - self._looked >= _LOOKS:
            self._looked, self._reads = at, 0
        self._reads += 1
        return self._reads <= max(1, sum(row.state is TransactionState.OPEN for row in self._rows.values()))

    def _number_of(self, call: Call) -> int | None:
        return number_of(call) if call.action in _WITH_NUMBER else None

    def commanded(self, central_system: str, call: Call) -> Request:
        """Return the payload of a command of `central_system`, with the number that the Charge Point was told."""
        named = commanded_number(call) if self._matters else None
        number = None if named is None else self.number_for(central_system, named)
        return call.payload if number is None or number == named else commanded(call, number)

    def _put(self, row: KnownTransaction) -> KnownTransaction:
        self._rows.pop(row.number, None)
        self._rows[row.number] = row
        self._look_at_rows()
        return row

    def _forget(self, at: float) -> None:
        ended = [row.number for row in self._rows.values() if row.state is TransactionState.ENDED]
        too_many = len(self._rows) - self._limit
        for place, number in enumerate(ended):
            if place < too_many or at - self._last.setdefault(number, at) > _FORGOTTEN:
                self._drop(number)
        while len(self._rows) > self._limit:
            self._drop(next(iter(self._rows)))

    def _drop(self, number: int) -> None:
        del self._rows[number]
        self._last.pop(number, None)
        self._registers.pop(number, None)


def _ended(row: KnownTransaction, stop: Any) -> KnownTransaction:
    """Return `row` as its StopTransaction has ended it."""
    if not isinstance(stop, StopTransactionRequest):
        return structs.replace(row, state=TransactionState.ENDED)
    reason = None if stop.reason is None else stop.reason.value
    return structs.replace(
        row, state=TransactionState.ENDED, meter_stop=stop.meterStop, stopped=stop.timestamp, reason=reason
    )


def _read(payload: Any) -> Any:
    return payload.read if isinstance(payload, UnopenedRequest) else payload
