"""The Debian package: installed in a root of Debian, started as its unit says, and removed without a trace."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import bridge
from bridge import config
from tests.lacking import lacking
from tests.packaging.containerfile import removed
from tests.packaging.roots import as_root, confined, debian, in_root, unpacked
from tests.packaging.served import InstalledBridge
from tests.packaging.source import COMMIT
from tests.test_deploy import unit_of

_NOBODY = "65534:65534"
_CREDENTIALS = "/run/credentials/ocpp-bridge.service"


@pytest.fixture(scope="module")
def package(source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make deb` builds for this machine."""
    if shutil.which("dpkg-deb") is None:
        lacking("dpkg-deb is not installed")
    folder = tmp_path_factory.mktemp("deb")
    build = [sys.executable, source / "deploy" / "debian" / "build.py", "--wheel", wheel, "--output", folder]
    subprocess.run(list(map(str, build)), check=True, timeout=600, stdout=subprocess.DEVNULL)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root of Debian."""
    where = tmp_path_factory.mktemp("debian")
    try:
        yield unpacked(debian("trixie"), where / "root")
    finally:
        removed(where)


def found(root: Path) -> set[str]:
    """Every file below the folders that the package has something in, but for what dpkg itself writes."""
    folders = (f"{root}/opt", f"{root}/etc", f"{root}/usr", f"{root}/var/lib/ocpp-bridge")
    listed = as_root("find", *(folder for folder in folders if Path(folder).exists()), "-not", "-type", "d")
    return {name.removeprefix(str(root)) for name in listed.splitlines()}


async def test_it_is_installed_started_and_removed(package: Path, root: Path, tmp_path: Path) -> None:
    before = found(root)
    as_root("cp", package, root / "ocpp-bridge.deb")
    said = in_root(root, "dpkg", "--install", "/ocpp-bridge.deb")
    assert "systemctl enable --now ocpp-bridge" in said  # not enabled by itself: nobody has said where to connect to
    assert in_root(root, "ocpp-bridge", "--version") == f"ocpp-bridge {bridge.__version__}, commit {COMMIT}\n"
    assert "ok, 1 central system, 1 route" in in_root(
        root, "ocpp-bridge", "check", "--config", "/etc/ocpp-bridge/bridge.toml"
    )
    assert as_root("stat", "-c", "%a %U", root / "etc/ocpp-bridge/admin-token").split() == ["600", "root"]
    installed = found(root)
    await serve_as_the_unit_says(root, tmp_path)
    assert found(root) == installed  # all that it has written is in its store

    in_root(root, "dpkg", "--remove", "ocpp-bridge")
    left = found(root) - before
    assert {name for name in left if not name.startswith("/etc/ocpp-bridge/")} == set()
    assert {"/etc/ocpp-bridge/bridge.toml", "/etc/ocpp-bridge/admin-token"} <= left  # a configuration survives that
    in_root(root, "dpkg", "--purge", "ocpp-bridge")
    assert found(root) == before
    assert not (root / "opt" / "ocpp-bridge").exists() and not (root / "etc" / "ocpp-bridge").exists()


async def serve_as_the_unit_says(root: Path, tmp_path: Path) -> None:
    """As a user without rights, in a tree that can only be read, with the credential and the variables of the unit."""
    keys = unit_of(root / "usr" / "lib" / "systemd" / "system" / "ocpp-bridge.service")
    store, (command,) = tmp_path / "store", keys["ExecStart"]
    as_root("install", "-d", "-m", "700", "-o", "65534", "-g", "65534", store)
    as_root("mkdir", "-p", f"{root}{_CREDENTIALS}", f"{root}/var/lib/ocpp-bridge")
    (credential,) = keys["LoadCredential"]
    name, _, file = credential.partition(":")
    as_root("install", "-m", "400", "-o", "65534", "-g", "65534", f"{root}{file}", f"{root}{_CREDENTIALS}/{name}")
    environment = dict(
        line.replace("%S", "/var/lib").replace("%d", _CREDENTIALS).split("=", 1) for line in keys["Environment"]
    )
    path = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def run(environment: Mapping[str, str]) -> list[str]:
        return confined(root, command.split(), environment, user=_NOBODY, volume=store, at="/var/lib/ocpp-bridge")

    serving = InstalledBridge(run, tmp_path, path | environment)
    about = await serving.boots(lambda: as_root("cat", f"{root}{file}").strip())
    assert (about["version"], about["commit"], about["python"][:4]) == (bridge.__version__, COMMIT, "3.13")
    assert "ocpp-bridge.db" in as_root("ls", store)
    as_root("rmdir", f"{root}/var/lib/ocpp-bridge")


def test_its_configuration_is_where_its_unit_reads_it(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    (command,) = unit_of(tmp_path / "usr" / "lib" / "systemd" / "system" / "ocpp-bridge.service")["ExecStart"]
    file = Path(f"{tmp_path}{command.split()[-1]}")
    file.write_text(file.read_text().replace("/etc/ocpp-bridge/quirks", f"{tmp_path}/etc/ocpp-bridge/quirks"))
    file.write_text(file.read_text().replace("/etc/ocpp-bridge/admin-token", "/dev/null"))
    settings = config.load(file, {"OCPP_BRIDGE__ADMIN__TOKEN": "x" * 40})
    assert settings.store.url == "sqlite:////var/lib/ocpp-bridge/ocpp-bridge.db"
    assert settings.packs


def test_what_a_package_is_for_is_in_its_control_file(package: Path) -> None:
    asked = ["dpkg-deb", "--field", str(package), "Version", "Depends", "Architecture"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [
        f"Version: {bridge.__version__}-1+python3.13",
        "Depends: python3 (>= 3.13~), python3 (<< 3.14~), ca-certificates",
        f"Architecture: {architecture.strip()}",
    ]
