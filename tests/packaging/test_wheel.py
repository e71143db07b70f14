"""The wheel in an empty environment and an empty folder: it has all that it needs, and serves."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import bridge
from bridge import config
from tests.packaging.served import InstalledBridge, bare
from tests.packaging.source import CHECKOUT, COMMIT


def ran(command: Sequence[str | Path], cwd: Path) -> str:
    """What a command of the installed program prints."""
    done = subprocess.run(command, cwd=cwd, env=bare(), capture_output=True, encoding="utf-8", timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ocpp-bridge` of an environment that nothing but the wheel was installed into."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=300)
    constraints = ("--constraint", str(CHECKOUT / "constraints.txt"))
    pip = (
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
    )
    subprocess.run([*pip, *constraints, str(wheel)], check=True, timeout=600)
    return folder / "bin" / "ocpp-bridge"


async def test_init_and_serve_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    ran([program, "init", "here"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    command = [str(program), "serve", "--config", "here/bridge.toml"]
    serving = InstalledBridge(lambda _: command, tmp_path, bare())
    about = await serving.boots(lambda: (tmp_path / "here" / "admin-token").read_text().strip())
    assert (about["version"], about["commit"]) == (bridge.__version__, COMMIT)
    assert (tmp_path / "here" / "var" / "ocpp-bridge.db").exists()
    # The quirk packs are those of the wheel.
    settings = config.load(tmp_path / "here" / "bridge.toml", {})
    shipped = sorted((CHECKOUT / "conf" / "quirks").glob("*.toml"))
    assert len(settings.packs) == len(shipped) > 0
    assert sorted(path.name for path in (tmp_path / "here" / "quirks").iterdir()) == [path.name for path in shipped]


def test_it_says_its_version_and_its_commit(program: Path, tmp_path: Path) -> None:
    assert ran([program, "--version"], tmp_path) == f"ocpp-bridge {bridge.__version__}, commit {COMMIT}\n"


def test_the_demo_needs_nothing_else(program: Path, tmp_path: Path) -> None:
    assert "all answered as expected" in ran([program, "demo", "--once"], tmp_path)


def test_what_lies_beside_the_code_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    for folder in ("conf", "deploy", "wsdl"):
        files = {f"bridge/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / folder).rglob("*") if path.is_file()}
        assert files and files - names == set()
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "__pycache__" in name]


def test_a_source_distribution_builds_the_same_and_keeps_its_commit(source: Path, wheel: Path, tmp_path: Path) -> None:
    """Who builds from it has no checkout to ask."""
    # Without a build environment of its own, for the second time: pip makes one for each build.
    builder = tmp_path / "builder"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--target", str(builder), *requires()], check=True, timeout=300)

    def built(kind: str, folder: Path, commit: str) -> Path:
        program = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
        environment = os.environ | {"PYTHONPATH": str(builder), "OCPP_BRIDGE_COMMIT": commit}
        command = [sys.executable, "-c", program, str(tmp_path / kind)]
        (tmp_path / kind).mkdir()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=300)
        (made,) = (tmp_path / kind).iterdir()
        return made

    with tarfile.open(built("sdist", source, COMMIT)) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(built("wheel", unpacked, "")) as again, zipfile.ZipFile(wheel) as first:
        assert {*again.namelist()} == {*first.namelist()}
        assert again.read("bridge/commit.txt") == f"{COMMIT}\n".encode()


def requires() -> list[str]:
    """What the build needs."""
    needed: list[str] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    return needed
