"""Command `backup`: copy the store that the configuration names. A bridge may use the store meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from bridge import config
from bridge.cluster.embedded_server import folder_beside
from bridge.cluster.stream_forms import STREAM
from bridge.config import Settings, sources
from bridge.config.cluster import is_cluster
from bridge.errors import Complaint, ConfigurationError
from bridge.store import backup, path_of


def run(to: Path, configuration: Path | None) -> int:
    """Copy the store to the file `to`. Returns exit code 0.

    Raises:
        ConfigurationError: The configuration is at fault, or its records are in memory or in NATS.
        StartError: There is nothing to copy, or `to` must not be replaced.
        OSError: `to` cannot be written.
    """
    settings = config.load(configuration, os.environ)
    path = path_of(settings.store.url)
    if path is None or is_cluster(settings):
        found = sources.find(configuration, os.environ)
        source = "built-in defaults" if found is None else sources.name_of(found)
        raise ConfigurationError([Complaint(source, "store.url", _nothing_in(path, settings))])
    backup(path, to)
    print(f"{path}: copied to {to}")
    return 0


def _nothing_in(path: Path | None, settings: Settings) -> str:
    """Return why the store that the configuration names has no records to copy."""
    if not is_cluster(settings):
        return '"memory:" leaves nothing that could be copied'
    text = "is not used by several processes: their records are in NATS, "
    if settings.cluster.servers or path is None:
        return f"{text}and `nats stream backup {STREAM} FOLDER` copies them"
    return f"{text}in {folder_beside(path)}: stop the bridge and copy this folder"
