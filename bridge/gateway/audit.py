"""What operators did to Charge Points: the last thousand of it, kept across restarts."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from bridge import logs
from bridge.admin.facts import Audited, Audits, moment
from bridge.store import AuditRecord, Store
from bridge.store.records import MOST

_log = logging.getLogger("bridge.audit")
_LONGEST = 500


class Audit:
    """The list. `clock` gives unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._records = deque(store.audit(), MOST)

    def add(self, identity: str, *, who: str, what: str, detail: str, outcome: str) -> int:
        """Write down what was done, in the log too; its id."""
        now = self._clock()
        last = self._records[-1].id if self._records else 0
        record = AuditRecord(
            identity=identity,
            id=max(int(now * 1e6), last + 1),
            at=now,
            who=who,
            what=what,
            detail=detail[:_LONGEST],
            outcome=outcome[:_LONGEST],
        )
        self._records.append(record)
        self._store.commit(record)
        logs.fields(_log, logging.INFO, what, identity=identity, who=who, detail=record.detail, outcome=record.outcome)
        return record.id

    def page(self, before: int | None, limit: int) -> Audits:
        """The newest first, from before the one with the id `before` on; `next` is the id of the last one, if there are
        more."""
        older = (record for record in reversed(self._records) if before is None or record.id < before)
        found = list(islice(older, limit + 1))
        items = [_told(record) for record in found[:limit]]
        return Audits(items=items, next=str(items[-1].id) if len(found) > limit else None)


def _told(record: AuditRecord) -> Audited:
    return Audited(
        id=record.id,
        at=moment(record.at),
        identity=record.identity,
        who=record.who,
        what=record.what,
        detail=record.detail,
        outcome=record.outcome,
    )
