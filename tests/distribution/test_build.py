"""The commit of a checkout and of what was built from it, and what is said of a Python that nobody tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bridge.commands import serve
from bridge.distribution import build, files
from bridge.distribution.build import commit_of, untested_python
from bridge.watching.lines import VALUES

GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert commit_of(tmp_path) is None  # without a commit
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v9")
    clean = commit_of(tmp_path)
    assert clean is not None and re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("b")
    assert commit_of(tmp_path) == f"{clean}-dirty"


def test_a_folder_inside_another_checkout_is_none_itself(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    assert commit_of(tmp_path / "inner") is None


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) is None


def test_what_was_built_holds_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "__file__", str(tmp_path / "bridge" / "distribution" / "build.py"))
    (tmp_path / "bridge").mkdir()
    file = tmp_path / "bridge" / build.COMMIT_FILE
    unknown = build.commit.__wrapped__()
    file.write_text("0123456789ab\n")
    held = build.commit.__wrapped__()
    assert (unknown, held) == (None, "0123456789ab")


def test_a_python_that_nobody_tested_is_named() -> None:
    assert untested_python(("3.11", "3.12"), (3, 12)) is None
    assert untested_python((), (3, 99)) is None
    said = untested_python(("3.11", "3.12"), (3, 99))
    assert said == "ocpp-bridge was not tested with Python 3.99, only with 3.11, 3.12"


def test_a_start_says_so_in_one_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "tested_pythons", lambda: ("3.9",))
    with caplog.at_level("INFO", "bridge.serve"):
        serve._introduce()
    start, warning = caplog.records
    assert (start.message, warning.levelname, warning.message) == ("started", "WARNING", "caution")
    about = vars(warning)[VALUES]["about"]
    assert re.fullmatch(r"ocpp-bridge was not tested with Python 3\.\d+, only with 3\.9", about)
    caplog.clear()
    monkeypatch.undo()
    with caplog.at_level("WARNING", "bridge.serve"):
        serve._introduce()
    assert caplog.records == []  # of a Python that CI tests


@pytest.mark.parametrize("name", ["conf", "deploy", "wsdl"])
def test_what_is_shipped_beside_the_code_is_found(name: str) -> None:
    assert any(files.folder(name).iterdir())
