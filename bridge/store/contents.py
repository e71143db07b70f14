"""All records of a store that no bridge has open, to bring them elsewhere."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bridge.store import files
from bridge.store.database import Database
from bridge.store.records import KINDS, Record
from bridge.store.schema import UnusableStore

_ASIDE = ".imported"


class StoreContents:
    """The records of the store at `path`, from `open` to `close`. No bridge can open the store meanwhile.

    A store of an earlier version is brought up to date, as a bridge does at its start.

    Attributes:
        unreadable: For each table and identity, the number of rows that `records` could not read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path)
        self.unreadable: Counter[tuple[str, str]] = Counter()

    def open(self) -> None:
        """Open the file, and lock it.

        Raises:
            Locked: A bridge, or another program, has the file.
            NewerSchema: A later ocpp-bridge has written the file.
            UnusableStore: There is no store, or it cannot be read.
        """
        try:
            if not self._path.exists():
                raise UnusableStore("there is no store to import")
            self._database.connect()
        except UnusableStore as error:
            self._database.close()
            error.path = self._path
            raise
        except (OSError, sqlite3.Error) as error:
            self._database.close()
            unusable = UnusableStore(f"it cannot be read ({error})")
            unusable.path = self._path
            raise unusable from error

    @property
    def running_time(self) -> float:
        """Return the running time by which the records age."""
        return self._database.running_time

    def records(self) -> Iterator[Record]:
        """Yield all records; within each kind, the one that was written first is first. Raises UnusableStore."""
        for kind in KINDS:
            place = kind.__struct_fields__.index("identity")
            try:
                for row, record in self._database.rows_of(kind):
                    if record is None:
                        self.unreadable[kind.TABLE, str(row[place])] += 1
                    else:
                        yield record
            except sqlite3.Error as error:
                unusable = UnusableStore(f"it cannot be read ({error})")
                unusable.path = self._path
                raise unusable from error

    def set_aside(self) -> Path:
        """Close the store and rename the file, so that no bridge serves with it. Returns: its new path."""
        self.close()
        aside = files.free_name(self._path, _ASIDE)
        files.move_aside(self._path, aside)
        return aside

    def close(self) -> None:
        """Close the file, and release the lock."""
        self._database.close()


def set_aside_before(path: Path) -> Path | None:
    """Return the path to which the store at `path` was renamed last, None if it was not."""
    found = sorted(path.parent.glob(f"{path.name}{_ASIDE}-*"), key=lambda one: one.stat().st_mtime)
    found = [one for one in found if not one.name.endswith(files.SUFFIXES[1:])]
    return found[-1] if found and not os.path.lexists(path) else None
