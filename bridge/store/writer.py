"""The one thread that writes: it takes all that waits as one group, writes it as one transaction, then says so.

In trouble, what cannot be written stays in memory, bounded, and is tried again every `retry` seconds. Nobody waits for
that: a commit is answered at once, with False.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from bridge.store.database import Database
from bridge.store.kept import LIMIT, Kept
from bridge.store.records import Key, Kind, Record, key_of
from bridge.store.schema import Unusable

_log = logging.getLogger("bridge.store")

# Seconds that a put waits for company. A commit waits for nothing, and takes along what waits.
LINGER = 0.05
# Seconds that `close` waits for a disk that does not answer.
_CLOSE_PATIENCE = 10.0

Commit = tuple["Future[bool]", frozenset[Key]]
# What a disk can do to us. Anything else is a fault of ours, and is logged with its traceback.
_EXPECTED = (OSError, sqlite3.Error, Unusable)


class Group:
    """What is written in one transaction."""

    def __init__(self, limit: int) -> None:
        self.records = Kept(limit)
        self.commits: list[Commit] = []
        self.overflowed = False

    def resolve(self, *, written: bool, refused: frozenset[Key] | set[Key] = frozenset()) -> None:
        """Answer everybody who waits. One record pushed out, and none can be sure that it was not its own."""
        for future, keys in self.commits:
            future.set_result(written and not self.overflowed and keys.isdisjoint(refused))
        self.commits = []


class Writer:
    """Writes to `database`, which it owns from `start` to `close`."""

    def __init__(
        self, database: Database, *, retry: float, limit: int = LIMIT, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._retry = retry
        self._limit = limit
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting = Group(limit)
        self._writing = Group(limit)
        self._trouble: str | None = None
        self._overflow_told = False
        self._stale = False  # something is wrong with the connections
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="bridge.store", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why nothing is written, for a person; None if all is well."""
        return self._trouble

    def start(self) -> None:
        """Connect, or say why not, and write from here on."""
        self._stale = True
        self._write(self._take())
        self._thread.start()

    def close(self) -> None:
        """Write what waits, once more if in trouble, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is None:
            self._take().resolve(written=False)
            return
        self._thread.join(_CLOSE_PATIENCE)
        if self._thread.is_alive():
            _log.error("%s: the disk does not answer; what was not written is lost", self._database.path)

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
                self._changed.notify()

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

    def of(self, folded: str) -> list[Record]:
        """What is not written yet of one Charge Point; the oldest first."""
        with self._changed:
            return self._writing.records.of(folded) + self._waiting.records.of(folded)

    def of_kind(self, kind: Kind) -> list[Record]:
        """What is not written yet of one kind; the oldest first."""
        with self._changed:
            return self._writing.records.of_kind(kind) + self._waiting.records.of_kind(kind)

    # The thread.

    def _run(self) -> None:
        last = False
        while not last:
            last = self._wait()
            self._write(self._take())
        if left := len(self._waiting.records):
            _log.error("%s: %d records were not written, and are lost", self._database.path, left)
        self._database.close()

    def _wait(self) -> bool:
        """Until there is something to do. True: for the last time."""
        with self._changed:
            if self._trouble is not None:
                self._changed.wait_for(lambda: self._closing, self._retry)
            else:
                self._changed.wait_for(lambda: self._urgent() or len(self._waiting.records))
                self._changed.wait_for(self._urgent, LINGER)
            return self._closing

    def _urgent(self) -> bool:
        return self._closing or self._stale or bool(self._waiting.commits)

    def _take(self) -> Group:
        with self._changed:
            self._writing, self._waiting = self._waiting, Group(self._limit)
            return self._writing

    def _write(self, group: Group) -> None:
        """A connection may have gone bad for a reason that is over: before there is trouble, try with a fresh one."""
        for _ in range(2):
            try:
                refused = self._try(group)
            except Exception as error:  # whatever it is: this thread must go on, and somebody must hear of it
                self._stale, failure = True, error
                if self._trouble is not None:
                    break
            else:
                self._done(group, refused)
                return
        self._failed(group, failure)

    def _try(self, group: Group) -> set[Key]:
        if self._stale:
            self._stale = False
            self._database.connect()
        # What was kept through trouble may hold what was to be committed.
        durable = bool(group.commits) or self._trouble is not None
        return self._database.write(group.records, durable=durable, now=self._clock())

    def _done(self, group: Group, refused: set[Key]) -> None:
        with self._changed:
            self._writing = Group(self._limit)
            was, self._trouble, self._overflow_told = self._trouble, None, False
        if was is not None:
            _log.warning("all is well again with the store, %s", self._database.path)
        group.resolve(written=True, refused=refused)

    def _failed(self, group: Group, error: Exception) -> None:
        with self._changed:
            newer, self._waiting, self._writing = self._waiting, group, Group(self._limit)
            if not group.records.absorb(newer.records):
                self._overflow()
            was, self._trouble = self._trouble, f"{self._database.path}: {_described(error)}"
            group.commits += newer.commits
        if was != self._trouble:
            surprise = None if isinstance(error, _EXPECTED) else error
            text = "nothing is written to the store, what it should keep is in memory only: %s"
            _log.error(text, self._trouble, exc_info=surprise)
        group.resolve(written=False)


def _described(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror} ({error.filename})"
    return str(error) if isinstance(error, _EXPECTED) else repr(error)
