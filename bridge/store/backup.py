"""Examine or copy a store from a process that does not serve with it. A bridge may use the store at the same time."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from bridge.store import database, files
from bridge.store.schema import UnusableStore


def examine(path: Path) -> None:
    """Check that `serve` could use the file at `path`, without changing anything.

    Raises:
        NewerSchema: A later ocpp-bridge has written the file.
        Unusable: Another program has written the file, or the file is corrupt.
        OSError: The file cannot be read, at least not by this user.
    """
    if not path.exists():
        return
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    try:
        database.version_at(path)
    except sqlite3.Error as error:
        if database.is_locked(error):
            return  # `serve` waits until the file is unlocked
        raise _named(UnusableStore(f"it cannot be read ({error})"), path) from error
    except UnusableStore as error:
        raise _named(error, path) from None


def backup(path: Path, to: Path) -> None:
    """Copy the store at `path` to the file `to`. The copy has the state of one moment.

    Args:
        path: The store. A bridge may be writing to it.
        to: The copy, which replaces an earlier copy. If this function raises, the file `to` is unchanged.

    Raises:
        Unusable: There is no store of ocpp-bridge to copy, or `to` is a file that must not be replaced.
        OSError: `to` cannot be written.
    """
    if not path.exists():
        raise _named(UnusableStore("there is no store to copy"), path)
    _check_place(path, to)
    try:
        database.copy_of(path, to)
    except sqlite3.Error as error:
        raise _named(UnusableStore(f"it cannot be copied to {to} ({error})"), path) from error
    except UnusableStore as error:
        raise _named(error, path) from None


def _check_place(path: Path, to: Path) -> None:
    """Raise Unusable if `to` exists and is not an earlier copy."""
    to = to.resolve()
    if to in [files.beside(path, suffix) for suffix in (*files.SUFFIXES, ".lock")]:
        raise _named(UnusableStore("that is the store itself; choose another name for the copy"), to)
    if not to.exists() or (to.is_file() and to.stat().st_size == 0):
        return
    try:
        version = database.version_at(to) if to.is_file() else 0
    except (sqlite3.Error, UnusableStore):
        version = 0
    if version == 0:
        raise _named(UnusableStore("that is no copy of a store, so it is not replaced; choose another name"), to)


def _named(error: UnusableStore, path: Path) -> UnusableStore:
    error.path = path
    return error
