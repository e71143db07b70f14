"""The process of a soak: `ocpp-bridge`, which says at SIGUSR1 what it holds once its garbage is gone."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import signal
import sys
from pathlib import Path

from bridge.commands.cli import main

_SIZES = re.compile(r"Vm(HWM|RSS):\s+([0-9]+) kB")


def _tell(number: int, frame: object) -> None:
    gc.collect()
    # Memory that the allocator has free is not held. How much of it goes back to the system by itself depends on what
    # happens to lie at the end of the heap: that made steps of 8 MB in one run and none in the next.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # not with musl
        trim(0)
    sizes = dict(_SIZES.findall(Path("/proc/self/status").read_text()))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    print(f"holds {sizes['RSS']} kB and {files} files, most {sizes['HWM']} kB", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    sys.exit(main(sys.argv[1:]))
