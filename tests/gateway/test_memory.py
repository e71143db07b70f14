"""What is freed is kept for the next message."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from bridge.gateway import memory

# Reads as asyncio does, and prints how many pages the system had to make for it, before and after.
_READS = """
import resource, socket
from bridge.gateway import memory

def faults():
    near, far = socket.socketpair()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(1000):
        near.send(b"x" * 5000)
        far.recv(262_144)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
memory.keep_what_is_freed()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is the GNU allocator's habit")
def test_no_read_needs_new_memory_of_the_system() -> None:
    printed = subprocess.run([sys.executable, "-c", _READS], capture_output=True, text=True, check=True, timeout=60)
    before, after = map(int, printed.stdout.split())
    assert before >= 1000 > 100 > after


def test_what_the_start_has_made_is_not_looked_at_again() -> None:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        memory.settle()
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold() > thresholds
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
