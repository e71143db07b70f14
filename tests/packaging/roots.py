"""Trees of Debian that a test changes root into, made by debootstrap. What runs there runs as root, or through sudo."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.lacking import lacking
from tests.packaging.source import CHECKOUT

# What the packages and the image want of Debian. apt finds it there already, which takes no time.
_INCLUDED = ("python3", "python3-venv", "ca-certificates")
_CACHE = CHECKOUT / ".cache"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Variables that lead pip of this machine to its index, and files that they name.
_PASSED_ON = ("PIP_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


@cache
def root_command() -> tuple[str, ...]:
    """What runs a command as root: nothing, or sudo that asks for no password. Skips the test if there is neither."""
    if os.getuid() == 0:
        return ()
    if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode != 0:
        lacking("a root to change into needs root, or sudo without a password")
    return ("sudo", "-n", "--preserve-env")


def as_root(*command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command as root and return what it prints. The error of one that fails has the end of what it said."""
    full = [*root_command(), *map(str, command)]
    done = subprocess.run(full, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(full)[:300]}:\n{done.stdout[-3000:]}"
    return done.stdout


def debian(suite: str) -> Path:
    """Return an archive of a minimal Debian. It is made once, which takes a minute, and kept in the folder .cache."""
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        lacking("debootstrap is not installed")
    archive = _CACHE / f"debian-{suite}.tar"
    if not archive.exists():
        _CACHE.mkdir(exist_ok=True)
        made = _CACHE / f"debian-{suite}-{os.getpid()}"
        try:
            as_root(program, "--variant=minbase", f"--include={','.join(_INCLUDED)}", suite, made)
            partial = archive.with_suffix(f".{os.getpid()}")
            as_root("tar", "-cpf", partial, "-C", made, "--exclude=./var/cache/apt/archives/*.deb", ".")
            partial.rename(archive)
        finally:
            as_root("rm", "-rf", made)
    return archive


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack `archive` as a new root in `folder`."""
    as_root("mkdir", "-p", folder)
    as_root("tar", "-xpf", archive, "-C", folder)
    return folder


def in_root(root: Path, *command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command in `root` and return what it prints. pip in it finds the index that pip of this machine finds."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if (value := passed.get(name)) and Path(value).is_file():
            as_root("install", "-D", "-m", "644", value, f"{root}{value}")
    quiet = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return as_root(program("chroot"), root, *command, environment=quiet | passed | dict(environment or {}))


def program(name: str) -> str:
    """Return the path of a program of the system, which PATH of an ordinary user may not have."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        lacking(f"{name} is not installed")
    return found


# Arguments: the root, the folder that becomes `at` in it, `at`, the user, and the command.
_CONFINED = (
    'mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --bind "$1" "$0$2" &&'
    ' mount -o remount,ro,bind "$0" && root=$0 user=$3 && shift 3 && exec "$CHROOT" --userspec="$user" "$root" "$@"'
)


def confined(
    root: Path, command: Sequence[str], environment: Mapping[str, str], *, user: str, volume: Path, at: str
) -> list[str]:
    """The command that runs another as `user` in `root`, which is read-only but for the folder `volume`, there `at`."""
    return [
        *root_command(),
        *(program("unshare"), "--mount", "--propagation=private", program("env"), f"CHROOT={program('chroot')}"),
        *(program("sh"), "-c", _CONFINED, str(root), str(volume), at, user),
        # Not left to the caller: sudo has a PATH of its own.
        *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())),
        *command,
    ]
