"""The transactionIds of one observer of one Charge Point, beside those that the Charge Point was told.

The Charge Point's number names the last transaction that was begun with it. A number of 0 or less names none: it passes
as it is. The number of the main Central System is never sent in place of one that the observer has not given.

This module is pure. The number of transactions is bounded, so that a hostile peer cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

_MOST = 1000


class ObserverId(Struct, frozen=True, kw_only=True):
    """A transaction as an observer named it.

    Attributes:
        number: The transactionId that the Charge Point was told.
        named: The transactionId of the observer, None if it refused the StartTransaction or never got it.
        ended: Whether the observer has answered the StopTransaction.
    """

    number: int
    named: int | None
    ended: bool = False


class ObserverIds:
    """The transactions of one observer of one Charge Point.

    Args:
        known: The stored transactions, the oldest first.
        limit: The most transactions that are kept. The oldest is removed, among the ended ones if there are any.
    """

    def __init__(self, known: Iterable[ObserverId] = (), limit: int = _MOST) -> None:
        self._limit = limit
        self._rows = {row.number: row for row in known}

    def take_back(self, known: Iterable[ObserverId]) -> None:
        """Add stored transactions, which are older than all others. A newer one with the same number stays."""
        newer = self._rows
        self._rows = {row.number: row for row in known if row.number not in newer} | newer

    def started(self, number: int | None, named: int | None) -> ObserverId | None:
        """Note the answer to a StartTransaction. Returns: the row to store, None if the number names no transaction.

        Args:
            number: The transactionId that the Charge Point was told.
            named: The transactionId of the observer, None if it has given none.
        """
        if number is None or number <= 0:
            return None
        row = ObserverId(number=number, named=named)
        self._rows.pop(number, None)
        self._rows[number] = row
        if len(self._rows) > self._limit:
            ended = next((one.number for one in self._rows.values() if one.ended), next(iter(self._rows)))
            del self._rows[ended]
        return row

    def ended(self, number: int | None) -> ObserverId | None:
        """Note that the observer has answered a StopTransaction. Returns: the row to store, None if none changed."""
        row = None if number is None else self._rows.get(number)
        if row is None or row.ended:
            return None
        self._rows[row.number] = ended = structs.replace(row, ended=True)
        return ended

    def named(self, number: int) -> int | None:
        """Return the transactionId of the observer for a number above 0 of the Charge Point; None if it gave none."""
        row = self._rows.get(number)
        return None if row is None else row.named

    def number_for(self, named: int) -> int | None:
        """Return the transactionId that the Charge Point knows for one of the observer; None if it gave none such."""
        if named <= 0:
            return None
        rows = [row for row in reversed(self._rows.values()) if row.named == named]
        return next((row.number for row in rows if not row.ended), rows[0].number if rows else None)

    @property
    def open(self) -> int:
        """The number of transactions that the observer has named, and whose StopTransaction it has not answered."""
        return sum(1 for row in self._rows.values() if row.named is not None and not row.ended)
