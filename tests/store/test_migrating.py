"""An older store is brought up to date by a process that is killed on its way, has no room, or is not alone."""

from __future__ import annotations

import selectors
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store import Locked, Store, UnusableStore, files, schema
from tests.store.conftest import SOON, Opened
from tests.store.examples import alias

ROOT = Path(__file__).parents[2]
# A process that opens the store, and is killed when it comes to the place that `argv[2]` names.
KILLED = """
import os, signal, sys
from bridge.store import Store, files, schema

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[2]
if place == "before the copy":
    files.copy = die
elif place == "before the copy has its name":
    files.Path.replace = die
elif place == "after the copy":
    copy = files.copy
    def copy_and_die(*arguments):
        copy(*arguments)
        die()
    files.copy = copy_and_die
else:
    prepare = schema.prepare
    def traced(connection, keep_copy):
        connection.set_trace_callback(lambda statement: die() if statement.startswith(place) else None)
        prepare(connection, keep_copy)
    schema.prepare = traced
store = Store(f"sqlite:///{sys.argv[1]}")
store.open()
print("not killed")
"""


@pytest.fixture
def version_3(path: Path) -> Path:
    """A store as the commit 1eaf26e left it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("version_3.sql").read_text("utf-8"))
    return path


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize(
    "place",
    [
        "before the copy",
        "before the copy has its name",
        "after the copy",
        "CREATE TABLE running_time",
        "ALTER TABLE answered",
        "CREATE INDEX answered_kept_at",
        "PRAGMA user_version =",
        "COMMIT",
    ],
)
def test_a_kill_while_it_is_brought_up_to_date(version_3: Path, opened: Opened, place: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(version_3), place], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    store = opened()
    assert store.trouble is None
    assert [one.central_system for one in store.charge_points()] == ["other", None]
    assert len(store.memory_of("RDAM 123").answered) == 1
    assert store.commit(alias(5)).result(SOON)
    store.close()
    assert _version(version_3) == len(schema.MIGRATIONS)
    assert _version(version_3.with_name("bridge.db.bak-3")) == 3
    left = {file.name for file in version_3.parent.iterdir()}
    assert left == {"bridge.db", "bridge.db.bak-3", "bridge.db.lock"}


def test_without_room_for_the_copy_nothing_is_begun(
    version_3: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "bridge.db.bak-3.part")

    before = version_3.read_bytes()
    monkeypatch.setattr(files, "copy", full)
    with pytest.raises(UnusableStore) as refused:
        opened()
    assert "from version 3 to version" in str(refused.value) and "No space left" in str(refused.value)
    monkeypatch.undo()
    assert _version(version_3) == 3
    assert version_3.read_bytes()[100:] == before[100:]  # but for the header, which says that it has a WAL now
    assert len(opened().charge_points()) == 2


def test_several_processes_that_begin_at_once(version_3: Path, opened: Opened) -> None:
    """One has the store; the others are told who. None of them breaks it."""
    command = [sys.executable, "-m", "tests.store.child", str(version_3)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    try:
        # The one that has it writes on for ever: whichever ends was refused.
        for _ in range(3):
            process = _first_to_end(processes)
            processes.remove(process)
            _, said = process.communicate()
            assert "Locked" in said and "another ocpp-bridge has it open" in said, said
        (alone,) = processes
        assert alone.stdout is not None
        assert alone.stdout.readline() == "1\n"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    store = opened()
    assert [one.central_system for one in store.charge_points() if one.identity.startswith("RDAM")] == ["other", None]


def _first_to_end(processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Waits for one of them; the pipe of what it says on standard error ends with it."""
    with selectors.DefaultSelector() as selector:
        for process in processes:
            assert process.stderr is not None
            selector.register(process.stderr, selectors.EVENT_READ, process)
        [(key, _), *_] = selector.select(SOON)
    ended: subprocess.Popen[str] = key.data
    return ended


def test_a_copy_put_back_is_brought_up_to_date_again(version_3: Path, opened: Opened) -> None:
    """As an operator does who went back to the earlier version for a while."""
    opened().close()
    shutil.copy(version_3.with_name("bridge.db.bak-3"), version_3)
    store: Store = opened()
    assert [one.central_system for one in store.charge_points()] == ["other", None]
    with pytest.raises(Locked):
        opened()
