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
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from bridge.store import (
    ChargePointRecord,
    CredentialRecord,
    Locked,
    Store,
    StoredMemory,
    UnusableStore,
    database,
    thread,
)
from tests.store.conftest import NOW, SOON, Log, Opened
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
    """The second does not serve from memory, and changes nothing; it can begin as soon as the first has ended."""
    with _other_process(path, 3) as (process, promised):
        with pytest.raises(Locked) as refused:
            opened()
        assert f"{path}: another ocpp-bridge has it open: process {process.pid} (python" in str(refused.value)
        assert process.poll() is None
    store = opened()
    assert store.trouble is None
    assert store.commit(alias(2**31 - 1)).result(SOON)
    kept = {one.alias for one in store.memory_of("RDAM 123").aliases}
    assert set(promised[-900:]) | {2**31 - 1} <= kept


def test_two_stores_in_one_process(opened: Opened) -> None:
    first = opened()
    with pytest.raises(Locked, match=f"process {os.getpid()}, which is this one"):
        opened()
    assert first.commit(alias()).result(SOON)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_another_program_has_it_locked_at_the_start(opened: Opened, path: Path, mode: str) -> None:
    """A backup, for instance. At 1eaf26e a start meanwhile lost every operator's move for good."""
    moved = msgspec.structs.replace(charge_point(), central_system="other", callback_url="http://192.0.2.7/")
    store = opened()
    store.put(moved)
    store.close()
    script = f"""
import sqlite3, sys
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("PRAGMA journal_mode = {mode}")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(Locked, match=f"it is locked by process {other.pid} "):
            opened()
        other.stdin.close()
    store = opened()
    assert store.charge_points() == [moved]
    store.put(charge_point(last_seen=NOW + 1))
    store.close()
    assert opened().charge_points() == [msgspec.structs.replace(moved, last_seen=NOW + 1)]


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
    """A real file system of 400 kB, where this machine lets us have one."""
    with tempfile.TemporaryDirectory() as name:
        mount = shutil.which("mount")
        made = mount and subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", name], capture_output=True, check=False
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


@pytest.mark.parametrize("written", [1, 2])
def test_a_checkpoint_that_was_stopped_halfway(opened: Opened, path: Path, tmp_path: Path, written: int) -> None:
    """A crash, or a full disk, when some pages had gone from the WAL into the file: the WAL still has all of them."""
    wal, kept = Path(f"{path}-wal"), tmp_path / "kept"
    store = opened()
    assert all(store.commit(alias(number)).result(SOON) for number in range(1, 4))
    subprocess.run(["cp", wal, kept], check=True)  # who closes the file in this process would drop SQLite's locks
    store.close()
    assert not wal.exists()
    with closing(sqlite3.connect(path)) as connection:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    assert path.stat().st_size > 2 * page_size
    os.truncate(path, written * page_size)
    kept.rename(wal)
    store = opened()
    assert store.trouble is None
    assert [one.alias for one in store.memory_of("RDAM 123").aliases] == [1, 2, 3]


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
    _forbid_writing(folder)
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
    assert store.memory_of("RDAM 123").aliases == (alias(1), alias(2))  # what can be read is
    (folder / "a.db").chmod(0o644)
    log.wait_for(WELL)
    assert store.memory_of("RDAM 123").aliases == (alias(1), alias(2))


def test_a_store_in_a_read_only_folder(folder: Path, opened: Opened, log: Log) -> None:
    """As on a disk that the system has mounted read-only after an error."""
    url = f"sqlite:///{folder}/a.db"
    store = opened(url)
    store.put(alias(1), msgspec.structs.replace(charge_point(), central_system="other"))
    store.close()
    (folder / "a.db.lock").unlink()
    (folder / "a.db").chmod(0o444)
    _forbid_writing(folder)
    store = opened(url)
    assert store.trouble is not None
    assert not store.commit(alias(2)).result(SOON)
    assert store.memory_of("RDAM 123").aliases == (alias(1), alias(2))
    assert [one.central_system for one in store.charge_points()] == ["other"]
    store.close()
    assert {file.name for file in folder.iterdir()} == {"a.db"}


def _forbid_writing(folder: Path) -> None:
    """Whoever owns it."""
    us = os.geteuid()
    if us != folder.stat().st_uid:
        os.seteuid(0)
    folder.chmod(0o555)
    os.seteuid(us)


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
    assert store.memory_of("RDAM 123") == StoredMemory(charge_point=charge_point(), aliases=(alias(),))


def test_a_path_that_is_a_folder(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match="it is not a file"):
        opened(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "header"])
def test_a_file_that_is_no_database(opened: Opened, path: Path, content: bytes) -> None:
    """It is never served from memory, nor without what it may hold: nothing is touched, and the start fails."""
    path.parent.mkdir()
    path.write_bytes(content)
    beside = path.with_name("bridge.db.bak-3")
    beside.write_bytes(b"")
    with pytest.raises(UnusableStore) as refused:
        opened()
    assert str(path) in str(refused.value) and "corrupt" in str(refused.value) and beside.name in str(refused.value)
    assert path.read_bytes() == content
    path.unlink()
    assert opened().commit(alias()).result(SOON)


def test_an_empty_file_is_begun_and_said(opened: Opened, path: Path, log: Log) -> None:
    """It may have been made so that it could be mounted, or have lost all that was in it."""
    path.parent.mkdir()
    path.touch(mode=0o644)
    store = opened()
    assert store.commit(alias()).result(SOON)
    assert log.count(f"{path} was there and empty") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()
    opened()
    assert log.count("empty") == 1


def test_what_a_crash_left_beside_the_file_is_its_owners_alone(opened: Opened, path: Path) -> None:
    """A part of the file's content is in there."""
    assert opened().commit(alias()).result(SOON)
    crashed = path.with_name("crashed.db")
    for suffix in ("", "-wal", "-shm"):
        copy = crashed.with_name(f"{crashed.name}{suffix}")
        copy.write_bytes(path.with_name(f"{path.name}{suffix}").read_bytes())
        copy.chmod(0o644)
    store = Store(f"sqlite:///{crashed}")
    store.open()
    try:
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.glob("crashed.db*")}
        assert modes.items() >= {"crashed.db": 0o600, "crashed.db-wal": 0o600, "crashed.db-shm": 0o600}.items()
        assert len(store.memory_of("RDAM 123").aliases) == 1
    finally:
        store.close()


def test_another_programs_database(opened: Opened, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (x)")
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(UnusableStore, match="another program's database"):
        opened()
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644


def _spoil(path: Path, first_page: int) -> bytes:
    """Overwrite all pages from `first_page`, counted from 1, of a file that nobody has open."""
    content = path.read_bytes()
    length = (first_page - 1) * 4096
    assert len(content) > length
    spoilt = content[:length] + b"\xa5" * (len(content) - length)
    path.write_bytes(spoilt)
    return spoilt


def _moved(number: int) -> ChargePointRecord:
    known = charge_point(f"CP-{number}")
    return msgspec.structs.replace(known, central_system=f"other {number}", callback_url=f"http://192.0.2.{number}/")


def _password(number: int) -> CredentialRecord:
    return CredentialRecord(
        identity=f"CP-{number}", leg="charge_point", secrets=(b"secret",), fresh=1, replaces=f"{number}", at=NOW
    )


def _two_hundred(store: Store) -> None:
    for number in range(200):
        store.put(_moved(number), _password(number), alias(1, identity=f"CP-{number}"))
    assert store.commit().result(SOON)


def test_a_file_that_is_corrupt_at_the_start(opened: Opened, path: Path) -> None:
    """Not at its beginning, where it is looked at first, but somewhere in what it holds."""
    store = opened()
    _two_hundred(store)
    store.close()
    spoilt = _spoil(path, 3)  # the first page holds the tables' names, from the second on it is their content
    with pytest.raises(UnusableStore, match="it is corrupt"):
        opened()
    assert path.read_bytes() == spoilt


@pytest.mark.parametrize("found_by", ["reading", "writing"])
def test_a_file_that_becomes_corrupt(opened: Opened, path: Path, log: Log, found_by: str) -> None:
    """It goes aside as it is, and what was decided and learnt goes on in a fresh one."""
    store = opened()
    _two_hundred(store)
    store.close()
    store = opened()
    first_page, script = 4096, "import sys; f = open(sys.argv[1], 'r+b'); f.seek(8192); f.write(b'\\xa5' * 200_000)"
    assert path.stat().st_size > 2 * first_page
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)  # not from here, for the locks' sake
    if found_by == "reading":
        store.memory_of("CP-7")
    else:
        assert store._file is not None
        store._file.writer.reconnect()  # it would write on from the pages that it has read already
    for number in range(20):
        assert store.commit(alias(2, identity=f"CP-{number}")).result(SOON)
    log.wait_for("is corrupt")
    assert store.commit(alias(3, identity="CP-7")).result(SOON)
    assert store.trouble is None
    assert [one.alias for one in store.memory_of("CP-7").aliases][-2:] == [2, 3]
    assert {*store.charge_points()} == {_moved(number) for number in range(200)}
    assert all(store.memory_of(f"CP-{number}").credentials == (_password(number),) for number in range(200))
    (aside,) = path.parent.glob("bridge.db.corrupt-*Z")
    assert b"\xa5" * 4096 in aside.read_bytes()
    store.close()
    assert {*opened().charge_points()} == {_moved(number) for number in range(200)}


@pytest.mark.parametrize("gone", [".lock", "-wal", "-shm", "", "all"])
def test_a_file_that_is_removed(opened: Opened, path: Path, log: Log, gone: str) -> None:
    """It is restored, with all that was in it."""
    store = opened()
    assert store.commit(alias(1)).result(SOON)
    for file in path.parent.iterdir():
        if gone in ("all", file.name.removeprefix("bridge.db")):
            file.unlink()
    assert store.commit(alias(2)).result(SOON)
    assert store.trouble is None
    assert log.count("was removed while it was in use") == (gone != ".lock")
    with pytest.raises(Locked):
        opened()  # it is still ours alone
    store.close()
    assert {file.name for file in path.parent.iterdir()} == {"bridge.db", "bridge.db.lock"}
    assert opened().memory_of("RDAM 123").aliases == (alias(1), alias(2))


def test_a_removed_file_is_noticed_without_a_write(
    opened: Opened, path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "LOOK", 0.01)
    store = opened()
    assert store.commit(alias(1)).result(SOON)
    shutil.rmtree(path.parent)
    log.wait_for("was removed while it was in use")
    assert store.memory_of("RDAM 123").aliases == (alias(1),)
    store.close()
    assert opened().memory_of("RDAM 123").aliases == (alias(1),)


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_is_replaced(opened: Opened, path: Path, log: Log, times: int) -> None:
    """What is found in its place is kept under another name."""
    foreign = path.parent.parent / "foreign.db"
    for number in range(1, times + 1):
        other = opened(f"sqlite:///{foreign}")
        other.put(alias(number, 77))
        other.close()
        store = opened()
        assert store.commit(charge_point(), alias(number, 1)).result(SOON)
        foreign.replace(path)
        assert store.commit(alias(10 + number, 1)).result(SOON)
        assert store.trouble is None
        assert log.count(f"is now {path}.found-{number}") == 1
        store.close()
    memory = opened().memory_of("RDAM 123")
    numbers = range(1, times + 1)
    assert {one.alias for one in memory.aliases} == {*numbers, *(10 + number for number in numbers)}
    for number in numbers:
        found = opened(f"sqlite:///{path}.found-{number}")
        assert found.memory_of("RDAM 123").aliases == (alias(number, 77),)


def test_a_file_that_was_made_to_take_a_lost_ones_place_does_so_at_the_next_start(opened: Opened, path: Path) -> None:
    """Killed between the two steps."""
    store = opened()
    store.put(alias())
    store.close()
    path.rename(f"{path}.restored")
    assert opened().memory_of("RDAM 123").aliases == (alias(),)
    assert not Path(f"{path}.restored").exists()


def test_a_file_that_turns_up_after_the_start(opened: Opened, tmp_path: Path, log: Log) -> None:
    """A disk that was mounted too late. What is in memory is merged into it; nothing that nobody has read is lost."""
    elsewhere = tmp_path / "elsewhere"
    moved = msgspec.structs.replace(
        charge_point(), central_system="other", callback_url="http://192.0.2.7/", callback_networks=("192.0.2.7/32",)
    )
    before = opened(f"sqlite:///{elsewhere}/bridge.db")
    before.put(moved, charge_point("CP 2"), alias(1), answered("before", kept_at=5.0))
    before.close()

    (tmp_path / "var").write_text("where a folder is expected")
    found = threading.Event()
    store = Store(f"sqlite:///{tmp_path}/var/bridge.db", retry=0.02, clock=lambda: 0.0, on_found=found.set)
    store.open()
    try:
        assert store.trouble is not None
        heard = msgspec.structs.replace(charge_point(last_seen=NOW + 9), interval=300)
        assert not store.commit(heard, alias(2), answered("meanwhile")).result(SOON)
        (tmp_path / "var").unlink()
        elsewhere.rename(tmp_path / "var")
        assert found.wait(SOON)
        assert store.trouble is None
        merged = msgspec.structs.replace(moved, last_seen=NOW + 9, interval=300)
        assert store.charge_points() == [merged, charge_point("CP 2")]
        memory = store.memory_of("RDAM 123")
        assert memory.charge_point == merged
        assert memory.aliases == (alias(1), alias(2))
        assert [one.fingerprint for one in memory.answered] == ["before", "meanwhile"]
    finally:
        store.close()


def test_a_folder_that_cannot_be_looked_into(folder: Path, opened: Opened) -> None:
    """There may be a store in it: the bridge does not begin without."""
    inner = folder / "inner"
    inner.mkdir()
    store = opened(f"sqlite:///{inner}/a.db")
    store.put(alias())
    store.close()
    inner.chmod(0)
    with pytest.raises(UnusableStore, match="it cannot be read"):
        opened(f"sqlite:///{inner}/a.db")
    inner.chmod(0o700)
    assert opened(f"sqlite:///{inner}/a.db").memory_of("RDAM 123").aliases == (alias(),)


def test_a_store_behind_a_link(opened: Opened, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    path.parent.mkdir()
    link.symlink_to(path)
    store = opened(f"sqlite:///{link}")
    assert store.commit(alias(1)).result(SOON)
    with pytest.raises(Locked):
        opened(f"sqlite:///{path}")
    path.unlink()
    assert store.commit(alias(2)).result(SOON)
    store.close()
    assert link.is_symlink()
    assert opened().memory_of("RDAM 123").aliases == (alias(1), alias(2))


def test_somebody_else_has_it_locked(opened: Opened, path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WRITE_PATIENCE", 0.01)
    store = opened()
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        assert not store.commit(alias()).result(SOON)
        assert store.trouble is not None and f"it is locked by process {os.getpid()}" in store.trouble
        assert store.memory_of("RDAM 123").aliases == (alias(),)
        shell.execute("ROLLBACK")
    log.wait_for(WELL)
    assert store.commit(alias(2)).result(SOON)
