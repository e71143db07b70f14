"""Find the folders that are shipped beside the code: WSDLs, samples of the configuration, what a deployment takes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bridge.errors import Complaint, ConfigurationError


def folder(name: str) -> Path:
    """Return the shipped folder `name`, in the installed package or at the top of a checkout.

    Raises ConfigurationError if the program was installed without it.
    """
    package = Path(str(files("bridge")))
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return place
    raise ConfigurationError([Complaint(source=str(package), key="", text=f"comes without its folder {name}")])
