"""Several processes: what is refused before any of them is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.commands import workers
from bridge.config import Gateway, Settings, Store


def test_the_number_of_cpus_is_that_which_the_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "cpu.max"
    monkeypatch.setattr(workers, "_CPU_SHARE", share)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {*range(8)})
    auto = Settings(gateway=Gateway(workers="auto"))
    assert workers.count_of(auto) == 8
    for text, count in (("max 100000\n", 8), ("150000 100000\n", 2), ("5000 100000\n", 1), ("9900000 100000\n", 8)):
        share.write_text(text)
        assert workers.count_of(auto) == count
    assert workers.count_of(Settings(gateway=Gateway(workers=3))) == 3


def test_the_store_of_a_single_process_is_not_passed_over(tmp_path: Path) -> None:
    settings = Settings(gateway=Gateway(workers=2), store=Store(url=f"sqlite:///{tmp_path}/x.db"))
    assert [*workers.complaints(settings, "x")] == []
    (tmp_path / "x.db").touch()
    (complaint,) = workers.complaints(settings, "x")
    assert complaint.key == "store.url" and f"{tmp_path}/x.db has the records of a single process" in complaint.text


def test_queues_of_workers_that_are_gone_are_told(tmp_path: Path) -> None:
    settings = Settings(store=Store(url=f"sqlite:///{tmp_path}/x.db"))
    for name in (
        "x.events.db",
        "x-1.events.db",
        "x-3.observers.db",
        "y-3.events.db",
        "x-3.messages.db",
        "x-y.events.db",
    ):
        (tmp_path / name).touch()

    def told(count: int) -> list[str]:
        return [each.split()[1].rpartition("/")[2] for each in workers.cautions(settings, count)]

    assert told(0) == ["x-1.events.db", "x-3.observers.db"]
    assert told(2) == ["x.events.db", "x-3.observers.db"]
    assert told(3) == ["x.events.db"]
    assert [*workers.cautions(Settings(store=Store(url="memory:")), 2)] == []
