"""Write the commit into what is built. All else about the package stands in pyproject.toml."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
# The package cannot be imported here: what it depends on is not installed while it is built.
INFO = runpy.run_path(str(HERE / "bridge" / "distribution" / "build.py"))


def write_commit(package: Path) -> None:
    """Write the commit into the folder `package`: what OCPP_BRIDGE_COMMIT says, else that of the checkout.

    The package of a source distribution holds it already.
    """
    if commit := os.environ.get("OCPP_BRIDGE_COMMIT") or INFO["commit_of"](HERE):
        (package / INFO["COMMIT_FILE"]).write_text(f"{commit}\n", "ascii")


class BuildWithCommit(build_py):
    """Builds the package. An editable installation is a checkout, which git can be asked about at any time."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_commit(Path(self.build_lib, "bridge"))


class SdistWithCommit(sdist):
    """Makes the source distribution."""

    def make_release_tree(self, base_dir: str, files: Any) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir, "bridge"))


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit})
