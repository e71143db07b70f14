"""The transactions as the API shows them: what the store keeps of each, and what its last MeterValues said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bridge.admin.transactions import (
    FoundTransactions,
    State,
    TransactionFact,
    TransactionFilter,
    masked_tag,
)
from bridge.core.transactions import TransactionState
from bridge.gateway.sessions import Sessions
from bridge.net.tasks import Threads
from bridge.store import RecordStore
from bridge.store.records import TransactionRecord
from bridge.store.transactions import TransactionQuery

_STATES: dict[str, State] = {"open": "open", "closed": "closed", "ended": "ended"}


class TransactionViews:
    """Implements `bridge.admin.transactions.TransactionReader`.

    Args:
        store: Keeps the transactions.
        sessions: The Sessions, which know the last meter values of open transactions.
        clock: Returns the time in unix seconds.
    """

    def __init__(self, store: RecordStore, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._threads = Threads(1, name="queries of transactions")

    def close(self) -> None:
        """End the thread of queries."""
        self._threads.close()

    async def page(
        self, wanted: TransactionFilter, before: int | None, limit: int, *, tenant: str
    ) -> FoundTransactions:
        """Return a page of a tenant's transactions, the one that changed last first.

        Args:
            wanted: The filter.
            before: `next` of the page before, None for the first page.
            limit: The most items of the page.
            tenant: The tenant.
        """
        query = TransactionQuery(
            tenant=tenant,
            identity=wanted.identity,
            central_system=wanted.central_system,
            state=wanted.state,
            before=before,
        )
        page = await self._threads.run(lambda: self._store.transactions(query, limit))
        now = self._clock()
        items = [self._fact(record, now) for record in page.records]
        return FoundTransactions(items=items, places=page.places, next=page.next)

    def _fact(self, record: TransactionRecord, now: float) -> TransactionFact:
        meter = record.meter_stop if record.state == TransactionState.ENDED else self._register(record)
        energy = None if meter is None else meter - record.meter_start
        return TransactionFact(
            identity=record.identity,
            connector=record.connector,
            transaction_id=record.number,
            central_system=record.central_system,
            central_system_id=None if record.named == record.number else record.named,
            id_tag=masked_tag(record.id_tag),
            state=_STATES.get(record.state, "closed"),
            started=record.started,
            stopped=record.stopped,
            duration=_duration(record, now),
            meter_start=record.meter_start,
            meter_stop=record.meter_stop,
            # A meter that was replaced, or that begins anew, says nothing of the energy.
            energy=energy if energy is None or energy >= 0 else None,
            reason=record.reason,
        )

    def _register(self, record: TransactionRecord) -> float | None:
        runner = self._sessions.get(record.identity)
        return None if runner is None else runner.session.transactions.register_of(record.number)


def _duration(record: TransactionRecord, now: float) -> float | None:
    """Return the seconds that a transaction took, so far if it is open; None if that is not known."""
    end = _seconds(record.stopped) if record.stopped else now if record.state == TransactionState.OPEN else None
    begin = _seconds(record.started)
    return None if begin is None or end is None else max(0.0, round(end - begin, 1))


def _seconds(moment: str) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
