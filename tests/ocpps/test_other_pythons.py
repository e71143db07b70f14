"""Spyne's newest release does not import on Python 3.12 and 3.13 without help: the tests of this folder, run on those.

An environment for each is made once, at the top of the checkout. Where there is no such interpreter, or nowhere to get
the packages from, this is skipped; with OCPP_BRIDGE_NO_SKIP=1 it fails instead.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bridge
from tests.lacking import lacking

CHECKOUT = Path(bridge.__file__).resolve().parents[1]
HERE = Path("tests", "ocpps")
RUNNING = "{}.{}".format(*sys.version_info)
VERSIONS = [version for version in ("3.12", "3.13") if version != RUNNING]


def run(*command: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """`command`, in the checkout and without what this run's environment would tell another Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [*map(str, command)],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def interpreter(version: str) -> Path | None:
    """The first Python of that version that runs: on PATH, or one of pyenv's."""
    return next((found for found in candidates(version) if is_version(found, version)), None)


def candidates(version: str) -> Iterator[Path]:
    for folder in os.get_exec_path():
        if (found := shutil.which(f"python{version}", path=folder)) is not None:
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)


def is_version(python: Path, version: str) -> bool:
    """Whether it runs, and is what its name says: pyenv's shims do not run unless their version is chosen."""
    try:
        said = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and said.stdout.strip() == version


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While nobody else makes the environment in `folder`."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_complete(folder: Path) -> bool:
    """Whether what the project needs has not changed since its packages were installed there."""
    ready = folder / ".ready"
    return ready.exists() and ready.stat().st_mtime >= (CHECKOUT / "pyproject.toml").stat().st_mtime


def environment(version: str) -> Path:
    """The Python of the environment for `version`, made if it is not there, completed if something is missing."""
    folder = CHECKOUT / f".venv-{version}"
    python = folder / "bin" / "python"
    with alone(folder):
        if not is_version(python, version):
            base = interpreter(version)
            if base is None:
                lacking(f"there is no Python {version} on this machine")
            else:
                made = run(base, "-m", "venv", folder, timeout=300)
                assert made.returncode == 0, made.stdout
        if not is_complete(folder):
            pip = run(python, "-m", "pip", "install", "--quiet", "-e", ".[test]", timeout=900)
            if pip.returncode != 0:
                lacking(f"the packages for Python {version} cannot be installed: {pip.stdout[-1000:]}")
            (folder / ".ready").touch()
    return python


@pytest.mark.parametrize("version", VERSIONS)
def test_the_soap_side_on_another_python(version: str) -> None:
    if not (CHECKOUT / "pyproject.toml").is_file():
        lacking("not run from a checkout")
    python = environment(version)
    tests = [HERE / f"test_{name}.py" for name in ("service", "wsdl", "envelope", "codec")]
    tests += [Path("tests", "net", f"test_{name}.py") for name in ("soap_client", "http_server")]
    ran = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, timeout=900)
    assert ran.returncode == 0, ran.stdout[-10_000:]
    assert " passed" in ran.stdout.splitlines()[-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_spyne_needs_its_help_there(version: str) -> None:
    """When this fails, Spyne has learnt to do without, and `spyne_on_new_pythons` can go."""
    assert run(environment(version), "-c", "import spyne").returncode != 0
    assert run(environment(version), "-W", "error", "-c", "import bridge.ocpps.service").returncode == 0


@pytest.mark.parametrize("wanted", ["0", "1"])
def test_nothing_is_skipped_where_nothing_may_be(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCPP_BRIDGE_NO_SKIP", wanted)
    outcome = pytest.fail.Exception if wanted == "1" else pytest.skip.Exception
    with pytest.raises(outcome, match=r"there is no Python 3\.99"):
        lacking("there is no Python 3.99")


def test_an_interpreter_is_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreter("3.99") is None
    kept = tmp_path / "versions" / "3.99.1" / "bin" / "python3.99"
    kept.parent.mkdir(parents=True)
    kept.write_text("#!/bin/sh\necho 3.99\n")
    kept.chmod(0o755)
    assert interpreter("3.99") == kept
