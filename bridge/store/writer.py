"""What the store's thread writes: it takes all that waits as one group, writes it as one transaction, then says so.

In trouble, what cannot be written stays in memory, bounded, and is tried again every `retry` seconds. Nobody waits for
that: a commit is answered at once, with False. A disk that does not answer is trouble too, once somebody says that he
has waited too long (`overdue`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from bridge.store.database import Database
from bridge.store.kept import LIMIT, KeptRecords
from bridge.store.records import Key, Kind, Record, key_of
from bridge.store.thread import EXPECTED, WriterThread, described

_log = logging.getLogger("bridge.store")

_TROUBLE = (
    "nothing is written to the store, what it should keep is in memory only: %s. If the bridge ends before the store "
    "is well again, it loses what it learns from now on: answers to StartTransaction and StopTransaction (what a "
    "Charge Point repeats is sent twice), aliases of transactionIds, callback addresses, moves, passwords"
)

Commit = tuple["Future[bool]", frozenset[Key]]


class Group:
    """What is written in one transaction."""

    def __init__(self, limit: int) -> None:
        self.records = KeptRecords(limit)
        self.removed: set[str] = set()  # Charge Points, removed before `records` were put
        self.commits: list[Commit] = []
        self.overflowed = False
        self.since: float | None = None  # when the first commit came, by time.monotonic

    def remove(self, folded: str) -> None:
        """Remove a Charge Point, by its identity casefolded, with all of it that waits."""
        self.records.remove(folded)
        self.removed.add(folded)

    def resolve(self, *, written: bool, refused: frozenset[Key] | set[Key] = frozenset()) -> None:
        """Answer everybody who waits. One record pushed out, and none can be sure that it was not its own."""
        for future, keys in self.commits:
            future.set_result(written and not self.overflowed and keys.isdisjoint(refused))
        self.commits = []


class RecordWriter(WriterThread[Group, set[Key]]):
    """Writes to `database`, which it owns from `start` to `close`. `on_found`: see Store."""

    def __init__(
        self,
        database: Database,
        *,
        retry: float,
        limit: int = LIMIT,
        on_found: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__("bridge.store", retry)
        self._database = database
        self._on_found = on_found
        self._limit = limit
        self._waiting = Group(limit)
        self._writing = Group(limit)
        self._overflow_told = False
        self._found = False  # the file has been read for the first time just now

    def close(self) -> bool:
        ended = super().close()
        if self._thread.ident is None:
            self._take().resolve(written=False)
        elif not ended:
            _log.error("%s: the disk does not answer; what was not written is lost", self._database.path)
        return ended

    # What comes in, from any thread.

    def put(self, records: tuple[Record, ...], future: Future[bool] | None = None) -> None:
        """Have `records` written, and `future`, if there is one, told whether they are."""
        with self._changed:
            idle = not len(self._waiting.records)
            for record in records:
                self._keep(record)
            if future is None:
                if idle:
                    self._changed.notify()
            elif self._closing or self._trouble is not None:
                future.set_result(False)
            else:
                self._waiting.commits.append((future, frozenset(map(key_of, records))))
                self._waiting.since = self._waiting.since or time.monotonic()
                self._changed.notify()

    def remove(self, folded: str, future: Future[bool]) -> None:
        """Have a Charge Point removed, by its identity casefolded, and `future` told whether it is."""
        with self._changed:
            self._waiting.remove(folded)
            if self._closing or self._trouble is not None:
                future.set_result(False)
                return
            self._waiting.commits.append((future, frozenset()))
            self._waiting.since = self._waiting.since or time.monotonic()
            self._changed.notify()

    def removed(self) -> set[str]:
        """The Charge Points that are removed, and perhaps not yet from the file."""
        with self._changed:
            return self._writing.removed | self._waiting.removed

    def _keep(self, record: Record) -> None:
        if not self._waiting.records.put(record):
            self._overflow()

    def _overflow(self) -> None:
        self._waiting.overflowed = True
        if not self._overflow_told:
            self._overflow_told = True
            _log.error("%s: more than %d records wait; the oldest are forgotten", self._database.path, self._limit)

    def reconnect(self) -> None:
        """The connections are not to be trusted any more; soon."""
        with self._changed:
            self._stale = True
            self._changed.notify()

    def overdue(self, waited: float) -> None:
        """Take the disk for hanging if it has not answered a commit for about `waited` seconds."""
        with self._changed:
            since = self._writing.since or self._waiting.since
            if self._trouble is not None or since is None or time.monotonic() - since < waited * 0.9:
                return
            self._trouble = f"{self._database.path}: the disk has not answered for {waited:g} s"
        _log.error(_TROUBLE, self._trouble)

    def of(self, folded: str) -> list[Record]:
        """What is not written yet of one Charge Point; the oldest first."""
        with self._changed:
            return self._writing.records.of(folded) + self._waiting.records.of(folded)

    def of_kind(self, kind: Kind) -> list[Record]:
        """What is not written yet of one kind; the oldest first."""
        with self._changed:
            return self._writing.records.of_kind(kind) + self._waiting.records.of_kind(kind)

    # The thread.

    def _has_some(self) -> bool:
        return len(self._waiting.records) > 0

    def _is_asked(self) -> bool:
        return bool(self._waiting.commits)

    def _take(self) -> Group:
        with self._changed:
            self._writing, self._waiting = self._waiting, Group(self._limit)
            return self._writing

    def _try(self, group: Group) -> set[Key]:
        if self._stale:
            self._stale = False
            self._found |= self._database.connect()
        # What was kept through trouble may hold what was to be committed.
        durable = bool(group.commits) or self._trouble is not None
        if group.removed:
            self._database.remove(group.removed)
        return self._database.write(group.records, durable=durable)

    def _done(self, group: Group, refused: set[Key]) -> None:
        with self._changed:
            self._writing = Group(self._limit)
            was, self._trouble, self._overflow_told = self._trouble, None, False
        if was is not None:
            _log.warning("all is well again with the store, %s", self._database.path)
        group.resolve(written=True, refused=refused)
        if self._found:
            self._found = False
            self._on_found()

    def _failed(self, group: Group, error: Exception) -> None:
        with self._changed:
            newer, self._waiting, self._writing = self._waiting, group, Group(self._limit)
            for folded in newer.removed:
                group.remove(folded)
            if not group.records.absorb(newer.records):
                self._overflow()
            was, self._trouble = self._trouble, f"{self._database.path}: {described(error)}"
            group.commits += newer.commits
        if was != self._trouble:
            surprise = None if isinstance(error, EXPECTED) else error
            _log.error(_TROUBLE, self._trouble, exc_info=surprise)
        group.resolve(written=False)

    def _ended(self) -> None:
        if left := len(self._waiting.records):
            _log.error("%s: %d records were not written, and are lost", self._database.path, left)
        self._database.close()
