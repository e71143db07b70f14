"""The file `admin-token`: who makes it, who finds it, and what is in its place."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from bridge.admin.token_file import Unwritable, beside, found, found_or_made
from bridge.errors import ConfigurationError


def test_it_lies_beside_the_store() -> None:
    assert beside("sqlite:///var/ocpp-bridge.db") == Path("var/admin-token")
    assert beside("sqlite:////srv/data/x.db") == Path("/srv/data/admin-token")
    assert beside("sqlite:///x.db") == Path("admin-token")
    assert beside("memory:") is None


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "admin-token"
    assert found(path) is None
    token = found_or_made(path)
    assert len(token) >= 40 and token.isascii()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert found_or_made(path) == found(path) == token
    assert [each.name for each in path.parent.iterdir()] == ["admin-token"]


def test_what_an_operator_put_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    path.write_text("  my own token\r\n")
    assert found_or_made(path) == b"my own token"


def test_of_many_who_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    together, tokens = threading.Barrier(8), list[bytes]()

    def make() -> None:
        together.wait()
        tokens.append(found_or_made(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8 and len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is blank: delete it, and the bridge makes a new one"),
        (b" \n\n", "is blank: delete it, and the bridge makes a new one"),
        (b"x" * 5000, "is larger than 4096 octets"),
    ],
)
def test_a_file_that_holds_no_token(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "admin-token"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        found_or_made(path)
    assert [str(complaint) for complaint in raised.value.complaints] == [f"{path}: {fault}"]


def test_something_else_in_its_place(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(ConfigurationError, match="is not a file"):
            found_or_made(path)


def test_a_folder_that_takes_no_file(tmp_path: Path) -> None:
    """A file where the folder should be fails for everybody, root included."""
    (tmp_path / "var").write_text("")
    with pytest.raises(Unwritable, match="admin-token cannot be made: "):
        found_or_made(tmp_path / "var" / "admin-token")


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bridge.admin.token_file.os.fsync", full)
    with pytest.raises(Unwritable, match="No space left on device"):
        found_or_made(tmp_path / "admin-token")
    assert list(tmp_path.iterdir()) == []
