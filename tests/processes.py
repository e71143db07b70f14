"""Processes that a test starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running(command: Sequence[str | Path], **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """One that a test that fails does not wait for. `pipes` are those of Popen."""
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
