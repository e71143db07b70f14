"""Write files that only their owner can read: they hold who did what, and what was said."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path


def write_private(to: Path, content: Iterable[bytes]) -> None:
    """Write `content` to the file `to`, which only its owner can read. Raises OSError."""
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fchmod(file.fileno(), 0o600)
        file.writelines(content)
