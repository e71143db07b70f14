"""A copy of the checkout, from which packages are built: nothing of an earlier build gets into them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import bridge

CHECKOUT = Path(bridge.__file__).resolve().parents[1]
COMMIT = "0123456789ab"


def copied(folder: Path) -> Path:
    """Copy what git tracks, and what it would, into `folder`, with the changes that are not committed."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not run from a checkout")
    listed = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, encoding="utf-8", check=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = CHECKOUT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder
