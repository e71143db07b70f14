"""Ports for those who are told beforehand where to listen: a process, or who has to be found there again."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below those that systems give to connections and to who asks for any port (Linux: from 32768, others: from 49152).
# One of those is free now and taken by a connection a moment later, and then nobody can listen there.
_ALL = range(16_384, 32_768)
# The tests of one run may be in several processes (pytest-xdist), and each of them has ports of its own.
_WORKER, _WORKERS = (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]),
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"),
)
_PORTS = _ALL[_WORKER :: int(_WORKERS)]
_turns = itertools.count(random.SystemRandom().randrange(len(_PORTS)))  # not where another process of tests began


def free_port() -> int:
    """A port where nobody listens, at any address. It is not given again to this process."""
    return next(port for turn in _turns if _is_free(port := _PORTS[turn % len(_PORTS)]))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
