"""The process of a soak: `ocpp-bridge`, which says at SIGUSR1 what it holds once its garbage is gone."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from pathlib import Path

from bridge.cli import main

_RESIDENT = re.compile(r"VmRSS:\s+([0-9]+) kB")


def _tell(number: int, frame: object) -> None:
    gc.collect()
    resident = _RESIDENT.search(Path("/proc/self/status").read_text())
    assert resident is not None
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    print(f"holds {resident[1]} kB and {files} files", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    sys.exit(main(sys.argv[1:]))
