"""Command `backup`: copy the store that the configuration names. A bridge may use the store meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from bridge import config
from bridge.config import sources
from bridge.errors import Complaint, ConfigurationError
from bridge.store import backup, path_of


def run(to: Path, configuration: Path | None) -> int:
    """Copy the store to the file `to`. Returns exit code 0.

    Raises:
        ConfigurationError: The configuration is at fault, or its store is in memory.
        StartError: There is nothing to copy, or `to` must not be replaced.
        OSError: `to` cannot be written.
    """
    settings = config.load(configuration, os.environ)
    path = path_of(settings.store.url)
    if path is None:
        found = sources.find(configuration, os.environ)
        source = "built-in defaults" if found is None else sources.name_of(found)
        text = '"memory:" leaves nothing that could be copied'
        raise ConfigurationError([Complaint(source, "store.url", text)])
    backup(path, to)
    print(f"{path}: copied to {to}")
    return 0
