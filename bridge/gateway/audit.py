"""Record the actions of operators on Charge Points, and the changes of callback addresses.

The store keeps the records of the last 90 days.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from bridge.admin.facts import Audited, Audits, moment
from bridge.cluster.stream_forms import NUMBERS
from bridge.net.tasks import Threads
from bridge.store import AuditRecord, RecordStore
from bridge.store.audit import AuditQuery
from bridge.store.records import LONGEST_AUDIT
from bridge.watching import logs
from bridge.watching.facts import CallbackChanged, Fact

_log = logging.getLogger("bridge.audit")
# The most characters of a detail or outcome, and of a URL. Two URLs fit into a detail.
_LONGEST, _LONGEST_URL = 500, 240


class Audit:
    """The audit records.

    Args:
        store: Keeps the records.
        clock: Returns the time in unix seconds.
        number: The number that no other process has, None for a single process. The ids of this process end with it, so
            that no two processes give the same one.
    """

    def __init__(
        self, store: RecordStore, clock: Callable[[], float] = time.time, *, number: int | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._number = number
        self._threads = Threads(1, name="queries of the audit")
        self._last = self._changes = 0
        self.read_again()

    def read_again(self) -> None:
        """Read the highest id again, after the store has found its file or another process has written records."""
        self._changes += 1
        self._last = max([self._last, *(record.id for record in self._store.audit(limit=1))])

    @property
    def changes(self) -> int:
        """Return a number that grows whenever there may be another record, which need not have the highest id."""
        return self._changes

    def close(self) -> None:
        """End the thread of queries."""
        self._threads.close()

    def add(self, identity: str, *, who: str, what: str, detail: str, outcome: str) -> int:
        """Add a record, and write it to the log.

        Args:
            identity: The identity of the Charge Point.
            who: The operator, or the Charge Point and its IP address.
            what: The action.
            detail: The parameters of the action.
            outcome: The outcome of the action.

        Returns: The id of the record.
        """
        now = self._clock()
        self._last = self._next_id(max(int(now * 1e6), self._last + 1))
        record = AuditRecord(
            identity=identity,
            id=self._last,
            at=now,
            who=who,
            what=what,
            detail=detail[:_LONGEST],
            outcome=outcome[:_LONGEST],
        )
        self._store.commit(record)
        self._changes += 1
        logs.fields(_log, logging.INFO, what, identity=identity, who=who, detail=record.detail, outcome=record.outcome)
        return record.id

    def _next_id(self, least: int) -> int:
        """Return the lowest id of this process that is at least `least`."""
        return least if self._number is None else least + (self._number - least) % NUMBERS

    async def page(self, query: AuditQuery, limit: int) -> Audits:
        """Return a page of records, the newest first.

        Args:
            query: The records that are wanted. Records of more than 90 days ago are left out.
            limit: The most records of the page.

        Returns: The page. Its `next` is the id of its last record if there are more records.
        """
        oldest = self._clock() - LONGEST_AUDIT
        since = oldest if query.since is None else max(query.since, oldest)
        wanted = msgspec.structs.replace(query, since=since)
        found = await self._threads.run(lambda: self._store.audit(wanted, limit + 1))
        items = [_told(record) for record in found[:limit]]
        return Audits(items=items, next=str(items[-1].id) if len(found) > limit else None)


class _Changes(Struct):
    """The changes of one callback address that are not recorded yet.

    Attributes:
        before: The address before the first change.
        after: The address after the last change.
        peer: The IP address of the sender of the last change.
        times: The number of changes.
    """

    before: str = ""
    after: str = ""
    peer: str = ""
    times: int = 0


class CallbackChanges:
    """Records who changed the callback address of a Charge Point, because commands are sent to that address.

    A Charge Point that gives another address with each message gets one record every `every` seconds, which sums up its
    changes.
    """

    def __init__(self, audit: Audit, every: float = 60.0) -> None:
        self._audit = audit
        self._every = every
        self._held: dict[str, _Changes] = {}

    def see(self, fact: Fact) -> None:
        """Record a change of a callback address."""
        if isinstance(fact, CallbackChanged):
            self._changed(fact.identity, fact.before, fact.after, fact.peer)

    def _changed(self, identity: str, before: str, after: str, peer: str) -> None:
        held = self._held.get(identity)
        if held is None:
            self._write(identity, _Changes(before, after, peer, 1))
            return
        if not held.times:
            held.before = before
        held.after, held.peer, held.times = after, peer, held.times + 1

    def settle(self) -> None:
        """Record the changes that are held back."""
        for identity, held in self._held.items():
            if held.times:
                self._add(identity, held)
        self._held.clear()

    def _write(self, identity: str, changes: _Changes) -> None:
        self._add(identity, changes)
        self._held[identity] = _Changes()
        asyncio.get_running_loop().call_later(self._every, self._due, identity)

    def _due(self, identity: str) -> None:
        held = self._held.pop(identity, None)
        if held is not None and held.times:
            self._write(identity, held)

    def _add(self, identity: str, changes: _Changes) -> None:
        outcome = "taken over" if changes.times == 1 else f"taken over, the last of {changes.times} changes"
        detail = f"{changes.before[:_LONGEST_URL]} -> {changes.after[:_LONGEST_URL]}"
        who = f"Charge Point at {changes.peer}"
        self._audit.add(identity, who=who, what="callback changed", detail=detail, outcome=outcome)


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
