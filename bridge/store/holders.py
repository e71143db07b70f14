"""Find the process that holds a lock on a file of SQLite, for the error text about a locked file."""

from __future__ import annotations

import os
from pathlib import Path

# proc(5): one line for each lock, "1: POSIX  ADVISORY  WRITE 4711 fe:00:9978041 1073741824 1073742335". To ask fcntl
# instead, this process would open a file of the database, and closing that file would release its own locks.
_LOCKS = Path("/proc/locks")


def holder_of(path: Path) -> str:
    """Return the process that has the database at `path` locked, as a text: "process 4711 (sqlite3)".

    Returns "an unknown process" if the system does not show it, as in a container that does not see the other process.
    """
    # In WAL mode a writer locks the shared memory, otherwise the file itself.
    for name in (path, Path(f"{path}-shm")):
        for process in _writers_of(name):
            return f"process {process}{_name_of(process)}"
    return "an unknown process"


def _writers_of(path: Path) -> list[int]:
    try:
        status = path.stat()
        lines = _LOCKS.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return []
    locks = [line.split() for line in lines]
    found = [
        (int(lock[4]), lock[5])
        for lock in locks
        if len(lock) == 8 and lock[3] == "WRITE" and lock[4].isdigit() and lock[5].endswith(f":{status.st_ino}")
    ]
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    # Some file systems (overlayfs, btrfs) report different device numbers in /proc/locks and in stat.
    exact = [process for process, where in found if where == device]
    return exact or [process for process, _ in found]


def _name_of(process: int) -> str:
    if process == os.getpid():
        return ", which is this one"
    try:
        return f" ({Path(f'/proc/{process}/comm').read_text('utf-8', 'replace').strip()})"
    except OSError:
        return ""
