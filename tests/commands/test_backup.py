"""`ocpp-bridge backup`: a copy of a store that is in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.commands import cli
from bridge.store import Store
from tests.store.examples import alias, charge_point

SOON = 20.0


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    file = tmp_path / "bridge.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/bridge.db"\n')
    return file


def _backup(to: Path, configuration: Path) -> int:
    return cli.main(["backup", str(to), "--config", str(configuration)])


def _aliases(path: Path) -> list[int]:
    store = Store(f"sqlite:///{path}")
    store.open()
    try:
        assert store.trouble is None
        return [one.alias for one in store.memory_of("RDAM 123").aliases]
    finally:
        store.close()


def test_a_running_store_is_copied(configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another process does it; the store goes on."""
    store, to = Store(f"sqlite:///{tmp_path}/bridge.db"), tmp_path / "copy.db"
    store.open()
    try:
        for number in (1, 2):
            assert store.commit(alias(number)).result(SOON)
            command = [sys.executable, "-m", "bridge", "backup", str(to), "--config", str(configuration)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout == f"{tmp_path}/bridge.db: copied to {to}\n"
            assert store.commit(charge_point()).result(SOON)
            # One file, that nobody else may read, and whole.
            assert to.stat().st_mode & 0o777 == 0o600
            assert [file.name for file in tmp_path.glob("copy.db*")] == ["copy.db"]
    finally:
        store.close()
    assert _aliases(to) == [1, 2]
    assert _aliases(tmp_path / "bridge.db") == [1, 2]


def test_a_store_that_nobody_has_open_is_copied_without_a_trace(configuration: Path, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/bridge.db")
    store.open()
    store.put(alias())
    store.close()
    (tmp_path / "bridge.db.lock").unlink()
    to = tmp_path / "copy.db"
    to.touch()
    assert _backup(to, configuration) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"bridge.db", "bridge.toml", "copy.db"}
    assert _aliases(to) == [1]


def test_there_is_nothing_to_copy(configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _backup(tmp_path / "copy.db", configuration) == 1
    assert capsys.readouterr().err == f"ocpp-bridge: {tmp_path}/bridge.db: there is no store to copy\n"
    configuration.write_text('[store]\nurl = "memory:"\n')
    assert _backup(tmp_path / "copy.db", configuration) == 2
    assert 'store.url: "memory:"' in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("name", ["bridge.db", "bridge.toml", "bridge.db.lock", "link", "folder"])
def test_what_is_no_copy_is_not_replaced(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    store = Store(f"sqlite:///{tmp_path}/bridge.db")
    store.open()
    try:
        assert store.commit(alias()).result(SOON)
        (tmp_path / "link").symlink_to("bridge.db")
        (tmp_path / "folder").mkdir()
        before = {file: file.lstat().st_ino for file in tmp_path.iterdir()}
        command = [sys.executable, "-m", "bridge", "backup", str(tmp_path / name), "--config", str(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "choose another name" in done.stderr and "Traceback" not in done.stderr
        assert {file: file.lstat().st_ino for file in tmp_path.iterdir()} == before
    finally:
        store.close()


def test_a_place_that_is_not_there(configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(f"sqlite:///{tmp_path}/bridge.db")
    store.open()
    store.close()
    assert _backup(tmp_path / "nowhere" / "copy.db", configuration) == 1
    assert capsys.readouterr().err == f"ocpp-bridge: {tmp_path}/nowhere/copy.db.part: {os.strerror(2)}\n"


def test_another_programs_file_is_not_copied(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bridge.db").write_text("x" * 5000)
    assert _backup(tmp_path / "copy.db", configuration) == 1
    assert f"{tmp_path}/bridge.db: it cannot be copied to" in capsys.readouterr().err
    assert not list(tmp_path.glob("copy.db*"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[gateway]\nworkers = 2\n", "bridge.nats: stop the bridge and copy this folder"),
        ('[cluster]\nservers = ["nats://127.0.0.1:4222"]\n', "`nats stream backup ocpp-bridge FOLDER` copies them"),
    ],
)
def test_the_records_of_several_processes_are_elsewhere(
    configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str, said: str
) -> None:
    configuration.write_text(written + configuration.read_text())
    assert _backup(tmp_path / "copy.db", configuration) == 2
    told = capsys.readouterr().err
    assert "store.url: is not used by several processes: their records are in NATS" in told and said in told
