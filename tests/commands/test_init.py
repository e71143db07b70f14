"""`ocpp-bridge init DIR`: what it writes can be used as it is, and it writes over nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge import config
from bridge.commands import init
from bridge.commands.cli import main
from bridge.config import Settings
from bridge.distribution import files
from tests.test_deploy import unit_of

FILES = ["admin-token", "bridge.toml", "ocpp-bridge.service", "quirks", "var"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def loaded(folder: Path, environ: Mapping[str, str] | None = None) -> Settings:
    return config.load(folder / "bridge.toml", environ or {})


@pytest.mark.parametrize("name", ["here", "a place/100% 'quoted' \"so\"\\$HOME", "Zürich/東京"])
def test_what_it_writes_is_good_as_it_is(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = tmp_path / name
    assert main(["init", str(here)]) == 0
    assert names(here) == FILES
    assert main(["check", "--strict", "--config", str(here / "bridge.toml")]) == 0
    settings = loaded(here)
    assert settings.store.url == f"sqlite:///{here}/var/ocpp-bridge.db"
    assert settings.gateway.quirks == (str(here / "quirks"),)
    assert {pack.evidence for pack in settings.packs}
    token = (here / "admin-token").read_text().strip()
    assert len(token) >= 43
    capsys.readouterr()
    assert main(["token", "--config", str(here / "bridge.toml")]) == 0
    assert capsys.readouterr().out == f"{token}\n"


def test_the_configuration_is_the_shipped_one_with_absolute_paths(tmp_path: Path) -> None:
    """Every key with its default and its comment is there, and no path depends on where the bridge is started."""
    assert main(["init", str(tmp_path / "here")]) == 0
    ours = (tmp_path / "here" / "bridge.toml").read_text().splitlines()
    shipped_one = (files.folder("conf") / "bridge.toml").read_text("utf-8").splitlines()
    assert len(ours) == len(shipped_one)
    changed = {
        before.split(" = ")[0]: line
        for line, before in zip(ours, shipped_one, strict=True)
        if line != before and not line.startswith("# ")
    }
    assert sorted(changed) == ["outgoing_headers", "quirks", "token_file", "url"]
    assert all(str(tmp_path) in line and re.search(r"\S # \S|\S {2,}# \S", line) for line in changed.values())
    assert [line for line in ours if re.search(r'= "(?:tls|secrets|var|conf)/', line)] == []
    assert any(line.startswith(f'# certificate = "{tmp_path}/here/tls/') for line in ours)


def test_others_can_read_neither_the_token_nor_the_configuration(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert main(["init", str(tmp_path / "here")]) == 0
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "here" / name).stat().st_mode) for name in FILES}
    assert (modes["admin-token"], modes["bridge.toml"], modes["var"]) == (0o600, 0o600, 0o700)
    assert stat.S_IMODE((tmp_path / "here").stat().st_mode) == 0o700


def test_two_folders_have_two_tokens(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["init", str(tmp_path / name)]) == 0
    assert (tmp_path / "a" / "admin-token").read_text() != (tmp_path / "b" / "admin-token").read_text()


# Bad input


def test_a_folder_that_has_files_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bridge.toml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"ocpp-bridge: {tmp_path}: has files (bridge.toml); name a folder that is empty or not there yet\n"
    )
    assert (tmp_path / "bridge.toml").read_text() == "mine"
    assert names(tmp_path) == ["bridge.toml"]


def test_an_empty_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "."]) == 0
    assert names(tmp_path) == FILES
    assert loaded(tmp_path).store.url == f"sqlite:///{tmp_path}/var/ocpp-bridge.db"


@pytest.mark.parametrize(
    ("name", "why"),
    [("file", "is no folder; name one that"), ("file/below", "is no folder"), ("a\nb", "cannot be written in a")],
)
def test_what_is_no_folder_is_refused(name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["init", str(tmp_path / name)]) == 2
    assert why in capsys.readouterr().err
    assert names(tmp_path) == ["file"]


def test_when_the_disk_is_full_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    really = os.open

    def full(path: Any, *arguments: Any) -> int:
        if str(path).endswith(".service"):
            raise OSError(28, "No space left on device", str(path))
        return really(path, *arguments)

    monkeypatch.setattr(os, "open", full)
    assert main(["init", str(tmp_path / "here")]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert names(tmp_path) == []


# The unit


def test_the_unit_runs_this_program_with_this_configuration(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "here")]) == 0
    keys = unit_of(tmp_path / "here" / "ocpp-bridge.service")
    (command,) = keys["ExecStart"]
    program, *arguments = command.split()
    assert os.access(program, os.X_OK)
    assert arguments[-3:] == ["serve", "--config", f"{tmp_path}/here/bridge.toml"]
    assert keys["ReadWritePaths"] == [f"{tmp_path}/here/var"]
    assert not {"DynamicUser", "StateDirectory", "LoadCredential", "Environment"} & keys.keys()
    assert len(keys["User"]) == 1 and keys["User"] != ["root"]
    hardened = unit_of(files.folder("deploy") / "systemd" / "ocpp-bridge.service")
    own = {"ExecStart", "User", "WorkingDirectory", "ProtectHome", "PrivateTmp", "ReadWritePaths"}
    theirs = {"DynamicUser", "StateDirectory", "StateDirectoryMode", "LoadCredential", "Environment"}
    assert {key: keys[key] for key in keys if key not in own} == {
        key: hardened[key] for key in hardened if key not in own | theirs
    }


def test_the_unit_escapes_what_systemd_expands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "_program", lambda: ("/opt/ocpp-bridge/bin/ocpp-bridge",))  # wherever the tests lie
    shipped_one = (files.folder("deploy") / "systemd" / "ocpp-bridge.service").read_text("utf-8")
    unit = init.unit_in(Path('/srv/100% a"b$c'), shipped_one)
    assert 'serve --config "/srv/100%% a\\"b$$c/bridge.toml"\n' in unit
    assert 'ReadWritePaths="/srv/100%% a\\"b$c/var"\n' in unit
    assert 'WorkingDirectory=/srv/100%% a"b$c\n' in unit
    assert "PrivateTmp=yes\n" in unit and "PrivateTmp=no\n" in init.unit_in(Path("/tmp/x"), shipped_one)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Where there is no systemd to ask, the tests above have read it."""
    assert main(["init", str(tmp_path / "here")]) == 0
    unit = tmp_path / "here" / "ocpp-bridge.service"
    if shutil.which("systemd-analyze") is not None:
        command = ["systemd-analyze", "verify", "--man=no", str(unit)]
        checked = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_it_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "a place")]) == 0
    said = capsys.readouterr().out
    assert json.dumps(str(tmp_path))[1:-1] in said
    assert f"serve --config '{tmp_path}/a place/bridge.toml'\n" in said
