"""What `make` does, seen in a folder of its own with a program that stands in for the installed one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import bridge

MAKEFILE = Path(bridge.__file__).resolve().parents[1] / "Makefile"

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or not MAKEFILE.is_file(), reason="needs make, and the Makefile of a checkout"
)


# The tests may run under a make, and what it tells its own children is not for this one.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def commands(target: str) -> str:
    """What make would run for `target` in a fresh checkout."""
    asked = ["make", "--dry-run", "--always-make", "-f", str(MAKEFILE), target]
    return subprocess.run(
        asked, capture_output=True, encoding="utf-8", check=True, cwd=MAKEFILE.parent, env=ENVIRONMENT
    ).stdout


def test_to_look_around_nothing_is_installed_for_tests_and_checks() -> None:
    assert "--editable .\n" in commands("run") and "[test" not in commands("run")
    assert "--editable '.[test,check]'" in commands("test")


def installed(folder: Path, program: str) -> Path:
    """The path of a program that make takes for an installed ocpp-bridge."""
    place = folder / ".venv" / "bin" / "ocpp-bridge"
    place.parent.mkdir(parents=True)
    place.write_text(f"#!/bin/sh\n{program}\n")
    place.chmod(0o755)
    (folder / "pyproject.toml").touch()
    (folder / ".venv" / ".runs").touch()
    return place


@pytest.mark.parametrize("code", [0, 1])
def test_at_its_end_it_says_where_the_program_is(tmp_path: Path, code: int) -> None:
    place = installed(tmp_path, f'echo "demo: $*"; exit {code}')
    command = ["make", "-f", str(MAKEFILE), "run", "ARGS=demo --fleet 50"]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, env=ENVIRONMENT)
    assert ran.stdout.splitlines()[-2:] == ["demo: demo demo --fleet 50", f"ocpp-bridge is here: {place}"]
    assert (ran.returncode == 0) == (code == 0)


def test_it_says_so_after_ctrl_c_too(tmp_path: Path) -> None:
    place = installed(tmp_path, "trap 'exit 0' INT; echo up; sleep 60 & wait")
    command = ["make", "-f", str(MAKEFILE), "run"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", cwd=tmp_path, env=ENVIRONMENT, start_new_session=True
    ) as make:
        assert make.stdout is not None
        try:
            assert make.stdout.readline() == "up\n"
            os.killpg(make.pid, signal.SIGINT)  # as a terminal does: to make, its shell and the program
            assert make.stdout.readline() == f"ocpp-bridge is here: {place}\n"
        finally:
            os.killpg(make.pid, signal.SIGKILL)
