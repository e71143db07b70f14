"""All that waits for observers in the file of a process that does not run, to bring it elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bridge.observer_queues.database import ObserverDatabase
from bridge.observer_queues.shared_writer import lane_records
from bridge.store import files
from bridge.store.records import Record
from bridge.store.schema import UnusableStore

_ASIDE = ".imported"


class ObserverContents:
    """What is in the file at `path`, from `open` to `close`: nothing if there is no file.

    No bridge can open the file meanwhile.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path if path is not None and path.exists() else None
        self._database = ObserverDatabase(self._path)

    def open(self) -> None:
        """Open the file, and lock it.

        Raises:
            UnusableStore: It cannot be read, or another program has it.
        """
        try:
            self._lanes = self._database.connect()
        except (OSError, sqlite3.Error, UnusableStore) as error:
            self._database.close()
            raise self._unusable(error) from error

    def records(self, running_time: float) -> Iterator[Record]:
        """Yield the records of all lanes, as processes share them; the messages of each in order.

        Args:
            running_time: The running time, from which the transactionIds age.

        Raises:
            UnusableStore: The file cannot be read.
        """
        try:
            for name, lane in self._lanes.items():
                yield from lane_records(name, lane, self._database.rows_of(name), running_time)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def set_aside(self) -> Path | None:
        """Close the file and rename it. Returns: its new path, None if there was no file."""
        self.close()
        if self._path is None:
            return None
        aside = files.free_name(self._path, _ASIDE)
        files.move_aside(self._path, aside)
        return aside

    def close(self) -> None:
        """Close the file, and release the lock."""
        self._database.close()

    def _unusable(self, error: Exception) -> UnusableStore:
        unusable = error if isinstance(error, UnusableStore) else UnusableStore(f"it cannot be read ({error})")
        unusable.path = self._path
        return unusable
