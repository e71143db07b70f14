"""Operations on the file of a database as a whole: copy it, move it aside, detect another file of the same name."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

# A database in WAL mode has up to three files (https://www.sqlite.org/walformat.html). The WAL must be moved with the
# database: it holds a part of the content, and it corrupts another database of the same name.
SUFFIXES = ("", "-wal", "-shm")
Identity = tuple[int, int]


def beside(path: Path, suffix: str) -> Path:
    """Return `path` with `suffix` appended to its name."""
    return path.with_name(path.name + suffix)


def database_beside(url: str, name: str) -> Path | None:
    """Return the path of a further database of the store at `url`, such as X.messages.db beside X.db.

    Args:
        url: `store.url`.
        name: What the database holds.

    Returns: The path, or None for `memory:`.
    """
    if url == "memory:":
        return None
    path = Path(url.removeprefix("sqlite:///"))
    return path.with_name(f"{path.stem}.{name}{path.suffix or '.db'}")


def identity_of(path: Path) -> Identity | None:
    """Return device and inode, which distinguish files of the same name. None without a file or a readable status."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def identities_of(path: Path) -> tuple[Identity | None, ...]:
    """Return the identity of each file of the database at `path`, in the order of SUFFIXES."""
    return tuple(identity_of(beside(path, suffix)) for suffix in SUFFIXES)


def may_exist(path: Path) -> bool:
    """Return True if `path` exists, or if that is unknown because its folder cannot be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def make_private(path: Path) -> None:
    """Make the database readable for its owner only. Create the file if it does not exist.

    The database may hold keys that Central Systems gave their Charge Points. SQLite gives the mode of the database to
    new files beside it. Existing files are changed here.
    """
    with suppress(OSError):
        if not path.exists():
            path.touch(mode=0o600)
    for suffix in SUFFIXES:
        with suppress(OSError):
            if (mode := beside(path, suffix).stat().st_mode) & 0o077:
                beside(path, suffix).chmod(mode & 0o700)


def move_aside(path: Path, aside: Path, but: Collection[str] = ()) -> None:
    """Rename the files of the database at `path` to the name `aside`, except the files whose suffix is in `but`."""
    for suffix in [suffix for suffix in reversed(SUFFIXES) if suffix not in but]:
        with suppress(FileNotFoundError):
            beside(path, suffix).rename(beside(aside, suffix))


def free_name(path: Path, suffix: str) -> Path:
    """Return the first name of `path` with "suffix-1", "suffix-2", ... appended that no file has yet."""
    names = (beside(path, f"{suffix}-{number}") for number in count(1))
    return next(name for name in names if not any(may_exist(beside(name, each)) for each in SUFFIXES))


def copy(source: sqlite3.Connection, to: Path) -> None:
    """Copy everything that `source` reads to the database `to`. The copy has the state of one moment.

    Args:
        source: The connection. It may be in use, and its file may have been renamed or removed.
        to: The copy, which replaces an existing file. After an error, the existing file is unchanged.

    Raises:
        OSError: `to` cannot be written.
        sqlite3.Error: The database cannot be read, or the copy cannot be written.
    """
    part = beside(to, ".part")
    try:
        for suffix in SUFFIXES:
            beside(part, suffix).unlink(missing_ok=True)
        part.touch(mode=0o600)
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            source.backup(target)
            # In WAL mode, a reader of the copy would have to write files beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        part.replace(to)
    finally:
        for suffix in SUFFIXES:
            with suppress(OSError):
                beside(part, suffix).unlink(missing_ok=True)
