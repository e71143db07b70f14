"""What every store offers: reading from records in memory or on disk, and writing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import ClassVar

from bridge.store.audit import AuditQuery, newest
from bridge.store.records import (
    EVERY,
    AuditRecord,
    ChargePointRecord,
    Kind,
    MoveRecord,
    ObservedRecord,
    ProvisionedRecord,
    ReadinessRecord,
    Record,
    StoredMemory,
    TransactionRecord,
    is_too_old,
    latest,
)
from bridge.store.transactions import TransactionPage, TransactionQuery, page_of


class RecordStore(ABC):
    """Stores Records and returns them.

    No method raises because of a disk or a network. Records that cannot be written are kept in memory, and written
    again. `trouble` gives the reason.
    """

    PATIENCE: ClassVar[float | None] = 1.0
    """Seconds after which a caller should go on without the outcome of `commit`; None for never.

    An answer that only memory holds is better than no answer, unless another process may give one as well.
    """

    def holds(self, identity: str) -> bool:
        """Return whether this store may write records of a Charge Point. In a cluster, one process may."""
        return True

    # Reading.

    def charge_points(self) -> list[ChargePointRecord]:
        """Return the record of every known Charge Point."""
        records = latest(self._of_kind(ChargePointRecord)).values()
        return [record for record in records if isinstance(record, ChargePointRecord)]

    def provisioned(self) -> list[ProvisionedRecord]:
        """Return the settings of every Charge Point that operators gave while a bridge ran."""
        records = latest(self._of_kind(ProvisionedRecord)).values()
        return [record for record in records if isinstance(record, ProvisionedRecord)]

    def observed(self) -> list[ObservedRecord]:
        """Return the newest transaction messages that further Central Systems get, the oldest first."""
        records = latest(self._of_kind(ObservedRecord)).values()
        return [record for record in records if isinstance(record, ObservedRecord)]

    def observed_of(self, identity: str) -> list[ObservedRecord]:
        """Return those of one Charge Point, as `observed` does."""
        records = latest(self._of(identity.casefold())).values()
        return [record for record in records if isinstance(record, ObservedRecord)]

    def readiness_of(self, identity: str) -> list[ReadinessRecord]:
        """Return what the comparison of shadows' answers has shown for one Charge Point."""
        records, now = latest(self._of(identity.casefold())).values(), self.running_time
        return [record for record in records if isinstance(record, ReadinessRecord) and not is_too_old(record, now)]

    def memory_of(self, identity: str) -> StoredMemory:
        """Return all records of one Charge Point, including those that are not written yet."""
        return StoredMemory.of(self._of(identity.casefold()), now=self.running_time)

    def audit(self, query: AuditQuery = AuditQuery(), limit: int = 1000) -> list[AuditRecord]:  # noqa: B008 (frozen)
        """Return the newest actions of operators that fit `query`, the newest first. Any thread may call this.

        Actions of the last 90 days are kept, whatever their number; in memory the last 100 000.
        """
        records = self._of(EVERY)
        return newest([one for one in records if isinstance(one, AuditRecord) and query.fits(one)], limit)

    def transactions(self, query: TransactionQuery = TransactionQuery(), limit: int = 100) -> TransactionPage:  # noqa: B008 (frozen)
        """Return the transactions that fit `query`, the one that changed last first. Any thread may call this.

        A transaction is kept for 7 days after its end, or 90 days after its start if it has not ended.
        """
        kept = [record for record in self._of_kind(TransactionRecord) if isinstance(record, TransactionRecord)]
        return page_of(zip(range(len(kept), 0, -1), reversed(kept), strict=True), query, limit)

    def moves(self) -> list[MoveRecord]:
        """Return the moves of several Charge Points, the one that changed last at the end, at most 1000."""
        return [record for record in latest(self._of(EVERY)).values() if isinstance(record, MoveRecord)]

    def readiness(self) -> list[ReadinessRecord]:
        """Return what the comparison of shadows' answers has shown, for every Charge Point."""
        records, now = latest(self._of_kind(ReadinessRecord)).values(), self.running_time
        return [record for record in records if isinstance(record, ReadinessRecord) and not is_too_old(record, now)]

    @abstractmethod
    def _of(self, folded: str) -> list[Record]:
        """Return the records of one Charge Point, or the shared ones for EVERY; in each kind the oldest first."""

    @abstractmethod
    def _of_kind(self, kind: Kind) -> list[Record]:
        """Return the records of one kind, the oldest first. The last one of a Key holds."""

    # Writing.

    @abstractmethod
    def put(self, *records: Record) -> None:
        """Store `records` soon, together with others. The caller is not notified.

        Written records survive the end of this process, and a little later also a power failure.
        """

    @abstractmethod
    def commit(self, *records: Record) -> Future[bool]:
        """Store `records` and return a Future of the outcome.

        The Future is True when the records are on disk, where they survive a power failure. It is False when the disk
        failed: the records are kept in memory and written again. A disk that hangs delays the Future, and the caller
        decides how long to wait. The Future cannot be cancelled.
        """

    @abstractmethod
    def remove(self, identity: str) -> Future[bool]:
        """Delete the records of a Charge Point and return a Future of the outcome.

        The Future is True when the records are deleted from the disk. It is False when the disk failed: the deletion is
        tried again. The audit and a managed password stay.
        """

    @abstractmethod
    def overdue(self, waited: float) -> None:
        """Report that a caller has waited `waited` seconds for a commit and has given up.

        If the disk is the reason, that is `trouble`: later commits are False at once, until the disk answers.
        """

    @abstractmethod
    def close(self) -> None:
        """End the writing. Records that are put later are lost."""

    @property
    @abstractmethod
    def running_time(self) -> float:
        """Return the time by which records age, in seconds."""

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """Return the reason why the store works from memory, as a text; None without trouble."""
