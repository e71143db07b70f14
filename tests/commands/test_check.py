"""`ocpp-bridge check`: what a start would fail for, and what stands open."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.commands import trial
from bridge.commands.cli import main
from bridge.config import Settings, Store
from bridge.store import Store as OpenStore
from bridge.store.schema import MIGRATIONS

OPEN = '[soap]\nlisten = "0.0.0.0:8080"\npublic_url = "http://gateway.example.com:8080"\n'


class Checked:
    """A configuration in a folder of its own, and what `check` says of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, content: str = "", *options: str, store: str = "var/bridge.db") -> tuple[int, str]:
        path = self.folder / "bridge.toml"
        path.write_text(f"[store]\nurl = 'sqlite:///{self.folder}/{store}'\n{content}")
        path.chmod(0o600)
        code = main(["check", "--config", str(path), *options])
        out, err = self._capsys.readouterr()
        return code, (out + err).replace(f"{self.folder}/", "")


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    return Checked(tmp_path, capsys)


OK = "bridge.toml: ok, 1 central system, 1 route\n"


def test_the_folder_of_the_store(check: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "caution: store.url: the folder var is missing, and made at the start\n"
    assert check() == (0, f"{OK}bridge.toml: {missing}")
    assert check(store="file") == (0, OK)
    assert check(store="bridge.toml/x.db")[0] == 2
    (check.folder / "var").mkdir()
    assert check() == (0, OK)
    assert list((check.folder / "var").iterdir()) == []
    for number in (28, 30):  # no space left, a file system that can only be read
        monkeypatch.setattr("bridge.commands.trial.tempfile.TemporaryFile", refusing(number))
        fault = f"store.url: the folder var takes no file: {os.strerror(number)}"
        assert check() == (2, f"bridge.toml: {fault}\n")
        fault = f"store.url: the folder deep/er is missing and cannot be made: {os.strerror(number)}"
        assert check(store="deep/er/x.db") == (2, f"bridge.toml: {fault}\n")


def refusing(number: int) -> object:
    """In place of what makes a file."""

    def make(**_: object) -> object:
        raise OSError(number, os.strerror(number))

    return make


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(check: Checked) -> None:
    (check.folder / "var").mkdir(mode=0o500)
    assert check() == (2, "bridge.toml: store.url: the folder var takes no file: Permission denied\n")


def test_a_store_that_is_no_file(check: Checked) -> None:
    (check.folder / "var" / "bridge.db").mkdir(parents=True)
    assert check() == (2, "bridge.toml: store.url: var/bridge.db is a folder, and no file that a store can be in\n")
    os.mkfifo(check.folder / "var" / "pipe")
    assert check(store="var/pipe")[0] == 2


def test_the_token_that_the_bridge_keeps(check: Checked) -> None:
    var = check.folder / "var"
    var.mkdir()
    token = var / "admin-token"
    for content in ("", " \n"):
        token.write_text(content)
        assert check() == (2, "var/admin-token: is blank: delete it, and the bridge makes a new one\n")
    token.write_text("a token that is long enough")
    token.chmod(0o644)
    said = "caution: this stands open: var/admin-token: the file can be read by others than its owner: chmod o= it\n"
    assert check() == (0, f"{OK}bridge.toml: {said}")
    assert check("", "--strict")[0] == 1
    token.chmod(0o600)
    assert check("", "--strict") == (0, OK)
    configured = "[admin]\ntoken = 'a token that is long enough'\n"
    token.write_text("")
    assert check(configured, "--strict") == (0, OK)


def test_files_of_tokens(check: Checked) -> None:
    (check.folder / "var").mkdir()
    file = check.folder / "token"
    configured = f"[admin]\ntoken_file = '{file}'\n"
    for content, fault in (("", "is empty"), ("\n\n", "is blank"), ("  ", "is blank")):
        file.write_text(content)
        assert check(configured) == (2, f"bridge.toml: admin.token_file: {fault}\n")
    file.write_text("x")
    file.chmod(0o600)
    assert "admin.token_file: has fewer than 16 characters, and can be guessed" in check(configured)[1]
    assert (check(configured)[0], check(configured, "--strict")[0]) == (0, 1)
    people = "".join(f"[[admin.tokens]]\nname = '{name}'\nfile = '{file}'\n" for name in ("bob", "Bob", "token", " "))
    assert check(people) == (
        2,
        'bridge.toml: admin.tokens[1].name: "Bob" is taken: the audit could not tell who it was\n'
        "bridge.toml: admin.tokens[1].file: the file holds the token of somebody else\n"
        'bridge.toml: admin.tokens[2].name: "token" is taken: the audit could not tell who it was\n'
        "bridge.toml: admin.tokens[2].file: the file holds the token of somebody else\n"
        "bridge.toml: admin.tokens[3].name: expected a name without blanks around it or control characters\n"
        "bridge.toml: admin.tokens[3].file: the file holds the token of somebody else\n",
    )


def test_what_stands_open_is_said_and_with_strict_it_fails(check: Checked) -> None:
    (check.folder / "var").mkdir()
    code, said = check(OPEN)
    assert code == 0 and "caution: this stands open: routes[0].authentication: soap.listen is open to others" in said
    assert check(OPEN, "--strict") == (1, said)
    assert check("", "--strict") == (0, OK)


def test_a_database_of_somebody_else_is_left_as_it_is(check: Checked) -> None:
    var = check.folder / "var"
    var.mkdir()
    with sqlite3.connect(var / "bridge.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    (var / "bridge.db").chmod(0o644)
    before = (var / "bridge.db").read_bytes()
    assert check() == (2, "bridge.toml: store.url: var/bridge.db: it is another program's database\n")
    assert (var / "bridge.db").read_bytes() == before
    assert (var / "bridge.db").stat().st_mode & 0o777 == 0o644
    assert [each.name for each in var.iterdir()] == ["bridge.db"]


def stored(check: Checked) -> Path:
    """A store that a bridge has left."""
    path = check.folder / "var" / "bridge.db"
    store = OpenStore(f"sqlite:///{path}")
    store.open()
    store.close()
    return path


def test_a_store_of_the_future_is_reported(check: Checked) -> None:
    path, known = stored(check), len(MIGRATIONS)
    assert check() == (0, OK)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {known + 1}")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    code, said = check()
    assert (code, said.count("\n")) == (2, 1)
    assert "bridge.toml: store.url: var/bridge.db: a later ocpp-bridge wrote it" in said
    assert f"version {known + 1}," in said and f"version {known}." in said
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_store_that_is_broken_is_reported(check: Checked) -> None:
    stored(check).write_bytes(b"x" * 5000)
    code, said = check()
    assert (code, "var/bridge.db: it cannot be read (file is not a database)" in said) == (2, True)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_store_that_somebody_has_locked_is_no_fault(check: Checked, mode: str) -> None:
    path = stored(check)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("BEGIN EXCLUSIVE")
        assert check() == (0, OK)


def test_a_store_in_memory_has_no_folder() -> None:
    settings = Settings(store=Store(url="memory:"))
    assert [*trial.complaints(settings, ""), *trial.cautions(settings), *trial.exposed(settings)] == []
