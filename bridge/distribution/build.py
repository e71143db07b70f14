"""The version and the commit of this program, and the versions of Python that it was tested with."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

# The file of the package `bridge` that `setup.py` writes into what it builds. A checkout has none.
COMMIT_FILE = "commit.txt"
_CLASSIFIER = "Programming Language :: Python :: 3."
_GIT_PATIENCE = 10  # seconds


@cache
def commit() -> str | None:
    """Return the commit that this program was built from, or is a checkout of; None if nobody knows.

    `-dirty` at its end says that files of the checkout were changed.
    """
    try:
        return (Path(__file__).resolve().parents[1] / COMMIT_FILE).read_text("ascii").strip() or None
    except (OSError, ValueError):
        return commit_of(Path(__file__).resolve().parents[2])


def commit_of(checkout: Path) -> str | None:
    """Return the commit of the checkout in the folder `checkout`, None if it is no checkout or git cannot say."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, encoding="ascii", timeout=_GIT_PATIENCE, check=True)  # noqa: S603
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def tested_pythons() -> tuple[str, ...]:
    """Return the versions of Python that CI tests, such as 3.11. Empty if the program is not installed."""
    try:
        classifiers = metadata.metadata("ocpp-bridge").get_all("Classifier") or []
    except metadata.PackageNotFoundError:
        return ()
    start = len(_CLASSIFIER) - len("3.")
    return tuple(line[start:] for line in classifiers if line.startswith(_CLASSIFIER))


def untested_python(tested: tuple[str, ...], running: tuple[int, int] = sys.version_info[:2]) -> str | None:
    """Return a sentence if the Python that runs is not among `tested`, else None. An empty `tested` says nothing."""
    version = "{}.{}".format(*running)
    if not tested or version in tested:
        return None
    return f"ocpp-bridge was not tested with Python {version}, only with {', '.join(tested)}"
