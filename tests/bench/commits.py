"""What it costs that a StartTransaction is on disk before it is sent, and its answer before it is told.

Milliseconds until a commit of the store is safe: of one Charge Point alone, and of a hundred at once, which share a
transaction. The reference is the disk alone: one page is written to a file and synchronised.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bridge.store import Store
from bridge.store.records import AskedRecord
from tests.bench.figures import Figure, Plan, figure, table

_AT_ONCE = 100
_PAGE = b"\0" * 4096
_ROUNDS = 20


class Commit(Struct, frozen=True, kw_only=True):
    """How long something took until it was safe: milliseconds."""

    name: str
    ms: Figure


def measure(plan: Plan) -> list[Commit]:
    """The reference, one commit and a hundred, in turn."""
    runs: dict[str, list[float]] = {"disk alone": [], "one commit": [], f"{_AT_ONCE} at once, each": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        store.open()
        try:
            _committed(store, 0, 1)  # a warm-up
            for number in range(1, _ROUNDS * plan.repetitions + 1):
                runs["disk alone"].append(_synchronised(Path(folder) / "page"))
                runs["one commit"].append(_committed(store, number, 1))
                runs[f"{_AT_ONCE} at once, each"].append(_committed(store, number, _AT_ONCE))
        finally:
            store.close()
    return [Commit(name=name, ms=figure(each)) for name, each in runs.items()]


def report(commits: list[Commit]) -> str:
    """For a person."""
    return table(("until it is safe", "ms (spread)"), [(commit.name, commit.ms.text(2)) for commit in commits])


def _synchronised(file: Path) -> float:
    begun = time.perf_counter()
    with file.open("ab") as page:
        page.write(_PAGE)
        page.flush()
        os.fsync(page.fileno())
    return 1000 * (time.perf_counter() - begun)


def _committed(store: Store, number: int, at_once: int) -> float:
    """Milliseconds until the last of `at_once` records is safe."""
    records = [
        AskedRecord(identity=f"CP {index}", fingerprint=f"{number}", unique_id=f"{number}-{index}", kept_at=0.0)
        for index in range(at_once)
    ]
    begun = time.perf_counter()
    for future in [store.commit(record) for record in records]:
        future.result(60)
    return 1000 * (time.perf_counter() - begun)
