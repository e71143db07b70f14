"""Killed, full, read-only, corrupt, taken: what was promised is kept, and what is wrong is said once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bridge.store import Memory, database
from tests.store.conftest import SOON, Log, Opened
from tests.store.examples import alias, answered, charge_point

TROUBLE, WELL = "in memory only", "all is well again"
ROOT = Path(__file__).parents[2]


@contextmanager
def _other_process(path: Path, told: int) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that commits to `path`, when it has said `told` times that a record is safe; killed at the end."""
    command = [sys.executable, "-m", "tests.store.child", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        numbers = [int(process.stdout.readline()) for _ in range(told)]
        try:
            yield process, numbers
        finally:
            process.send_signal(signal.SIGKILL)
            # What it could still say before it died was promised, too; a last line may be cut.
            *whole, _ = process.stdout.read().split("\n")
            numbers += map(int, whole)


@pytest.mark.parametrize("told", [1, 7, 250])
def test_killed_while_writing(opened: Opened, path: Path, told: int) -> None:
    with _other_process(path, told) as (_, promised):
        pass
    assert len(promised) >= told
    store = opened()
    assert store.trouble is None
    kept = {one.alias for one in store.memory_of("RDAM 123").aliases}
    assert set(promised[-1000:]) <= kept
    assert store.commit(alias(1, 2)).result(SOON)


def test_two_processes(opened: Opened, path: Path, log: Log) -> None:
    with _other_process(path, 3) as (process, promised):
        store = opened()
        assert store.trouble is not None and "another ocpp-bridge has it open" in store.trouble
        store.put(alias(2**31 - 1))
        assert not store.commit(answered("ours")).result(SOON)
        assert store.memory_of("RDAM 123") == Memory(aliases=(alias(2**31 - 1),), answered=(answered("ours"),))
        assert store.charge_points() == []
        assert process.poll() is None
    log.wait_for(WELL)
    assert store.trouble is None
    assert (log.count(TROUBLE), log.count(WELL)) == (1, 1)
    store.close()
    memory = opened().memory_of("RDAM 123")
    assert set(promised[-900:]) | {2**31 - 1} <= {one.alias for one in memory.aliases}
    assert memory.answered == (answered("ours"),)


def test_two_stores_in_one_process(opened: Opened) -> None:
    first, second = opened(), opened()
    assert first.trouble is None
    assert second.trouble is not None
    assert first.commit(alias()).result(SOON)


@contextmanager
def _no_file_longer_than(length: int) -> Iterator[None]:
    """No write beyond `length` bytes of any file succeeds in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_disk_takes_no_more(opened: Opened, log: Log) -> None:
    store = opened()
    assert store.commit(alias(1)).result(SOON)
    with _no_file_longer_than(100_000):
        number = 2
        while store.commit(alias(number), answered(number)).result(SOON):
            number += 1
        assert store.trouble is not None
        store.put(charge_point())
        assert not store.commit(answered("in trouble")).result(SOON)
        memory = store.memory_of("RDAM 123")
        assert [one.alias for one in memory.aliases] == list(range(1, number + 1))  # on disk and in memory alike
        assert memory.answered[-1] == answered("in trouble")
        assert store.charge_points() == [charge_point()]
        assert (log.count(TROUBLE), log.count(WELL)) == (1, 0)
    log.wait_for(WELL)
    assert store.trouble is None
    assert store.commit(alias(number + 1)).result(SOON)
    assert store.memory_of("RDAM 123").answered[-1] == answered("in trouble")
    store.close()
    after = opened().memory_of("RDAM 123")
    assert after.answered == memory.answered
    assert after.aliases == (*memory.aliases, alias(number + 1))
    assert after.charge_point == charge_point()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A real file system of 300 kB, where this machine lets us have one."""
    with tempfile.TemporaryDirectory() as name:
        mount = shutil.which("mount")
        made = mount and subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", name], capture_output=True, check=False
        )
        if not made or made.returncode:
            pytest.skip("mounting is not permitted here")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def test_a_full_disk(small_disk: Path, opened: Opened, log: Log) -> None:
    store = opened(f"sqlite:///{small_disk}/a.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 100_000)
    number = 1
    while store.commit(alias(number)).result(SOON):
        number += 1
    assert store.trouble is not None and "disk" in store.trouble
    assert len(store.memory_of("RDAM 123").aliases) == min(number, 1000)
    ballast.unlink()
    log.wait_for(WELL)
    store.close()
    assert opened(f"sqlite:///{small_disk}/a.db").memory_of("RDAM 123").aliases[-1] == alias(number)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that somebody without privileges, who we are for the test, can reach; after tmp_path, who made that."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if privileged:
            os.seteuid(0)
        folder.chmod(0o777)
        shutil.rmtree(folder)


def test_a_read_only_folder(folder: Path, opened: Opened, log: Log) -> None:
    if os.geteuid() == folder.stat().st_uid:
        folder.chmod(0o555)
    else:
        os.seteuid(0)
        folder.chmod(0o555)
        os.seteuid(65534)
    store = opened(f"sqlite:///{folder}/a.db")
    assert store.trouble is not None and str(folder) in store.trouble
    assert not store.commit(alias()).result(SOON)
    assert store.memory_of("RDAM 123").aliases == (alias(),)
    store.close()
    assert list(folder.iterdir()) == []
    assert (log.count(TROUBLE), log.count("1 records were not written")) == (1, 1)


def test_a_read_only_file(folder: Path, opened: Opened, log: Log) -> None:
    url = f"sqlite:///{folder}/a.db"
    store = opened(url)
    store.put(alias(1))
    store.close()
    (folder / "a.db").chmod(0o444)
    store = opened(url)
    assert store.trouble is not None and "readonly" in store.trouble
    assert not store.commit(alias(2)).result(SOON)
    assert store.memory_of("RDAM 123").aliases[-1] == alias(2)
    (folder / "a.db").chmod(0o644)
    log.wait_for(WELL)
    assert store.memory_of("RDAM 123").aliases == (alias(1), alias(2))


def test_a_path_that_leads_through_a_file(opened: Opened, tmp_path: Path, log: Log) -> None:
    (tmp_path / "file").write_text("")
    store = opened(f"sqlite:///{tmp_path}/file/a.db")
    assert store.trouble is not None and "(" + str(tmp_path / "file") + ")" in store.trouble
    store.put(charge_point())
    assert not store.commit(alias()).result(SOON)
    assert store.charge_points() == [charge_point()]
    (tmp_path / "file").unlink()
    log.wait_for(WELL)
    assert (tmp_path / "file" / "a.db").is_file()
    assert store.memory_of("RDAM 123") == Memory(charge_point=charge_point(), aliases=(alias(),))


def test_a_path_that_is_a_folder(opened: Opened, tmp_path: Path) -> None:
    store = opened(f"sqlite:///{tmp_path}")
    assert store.trouble is not None and "not a file" in store.trouble


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "header"])
def test_a_file_that_is_no_database(opened: Opened, path: Path, log: Log, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = opened()
    assert store.trouble is None
    assert store.commit(alias()).result(SOON)
    (aside,) = path.parent.glob("bridge.db.corrupt-*")
    assert aside.read_bytes() == content
    assert log.count(str(aside)) == 1


def _spoil(path: Path, first_page: int) -> bytes:
    """Overwrite all pages from `first_page`, counted from 1, of a file that nobody has open."""
    content = path.read_bytes()
    length = (first_page - 1) * 4096
    assert len(content) > length
    spoilt = content[:length] + b"\xa5" * (len(content) - length)
    path.write_bytes(spoilt)
    return spoilt


@pytest.mark.parametrize("found_by", ["reading", "writing"])
def test_a_file_that_turns_out_to_be_corrupt(opened: Opened, path: Path, log: Log, found_by: str) -> None:
    store = opened()
    for number in range(200):
        store.put(charge_point(f"CP-{number}"), alias(1, identity=f"CP-{number}"))
    store.close()
    spoilt = _spoil(path, 3)  # the first holds the tables' names, from the second on it is their content
    store = opened()
    if found_by == "reading":
        assert store.memory_of("CP-7") == Memory()
    assert store.commit(alias(2, identity="CP-7")).result(SOON)
    log.wait_for("is corrupt")
    assert store.commit(alias(3, identity="CP-7")).result(SOON)
    assert store.trouble is None
    assert [one.alias for one in store.memory_of("CP-7").aliases] == [2, 3]
    (aside,) = path.parent.glob("bridge.db.corrupt-*Z")
    assert aside.read_bytes() == spoilt


def test_a_file_that_is_removed(opened: Opened, path: Path, log: Log) -> None:
    store = opened()
    assert store.commit(alias(1)).result(SOON)
    for file in path.parent.iterdir():
        file.unlink()
    assert store.commit(alias(2)).result(SOON)
    assert store.trouble is None
    store.close()
    assert opened().memory_of("RDAM 123").aliases == (alias(2),)


def test_somebody_else_has_it_locked(opened: Opened, path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WRITE_PATIENCE", 0.01)
    store = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        assert not store.commit(alias()).result(SOON)
        assert store.trouble is not None and "locked" in store.trouble
        assert store.memory_of("RDAM 123").aliases == (alias(),)
        shell.execute("ROLLBACK")
    log.wait_for(WELL)
    assert store.commit(alias(2)).result(SOON)
