"""Command `check`: read the configuration as `serve` does, try the steps of a start, and print cautions.

With `--matrix` it prints who may send what to whom.
"""

from __future__ import annotations

import os
from pathlib import Path

from bridge import config
from bridge.commands import trial
from bridge.commands.matrix import lines_of
from bridge.config import Settings, sources
from bridge.config.cluster import link_tables
from bridge.config.listeners import places
from bridge.config.tls import client_tables
from bridge.errors import ConfigurationError
from bridge.net import tls


def run(path: Path | None, *, strict: bool = False, matrix: bool = False) -> int:
    """Check the configuration.

    Args:
        path: The file, None for the one that `serve` would read.
        strict: Whether something that stands open is a failure.
        matrix: Whether to print which party may send which actions.

    Returns:
        1 with `strict` if anything is exposed, else 0.

    Raises:
        ConfigurationError: Part of the configuration cannot be used. Holds every complaint.
    """
    settings, exposed = _checked(path)
    if matrix:
        for line in lines_of(settings):
            print(line)
    return 1 if strict and exposed else 0


def _checked(path: Path | None) -> tuple[Settings, list[str]]:
    """Check the configuration, print the results, and return the configuration and a line for each exposure."""
    settings = config.load(path, os.environ)
    found = sources.find(path, os.environ)
    name = "built-in defaults" if found is None else sources.name_of(found)
    _read_certificates(settings)
    if complaints := list(trial.complaints(settings, name)):
        raise ConfigurationError(complaints)
    parts = [_count(len(settings.central_systems), "central system"), _count(len(settings.routes), "route")]
    print(f"{name}: ok, {', '.join(parts)}")
    exposed = [*config.exposed(settings, config.files(path, os.environ)), *trial.exposed(settings)]
    for caution in exposed:
        print(f"{name}: caution: this stands open: {caution}")
    for caution in (*config.cautions(settings), *trial.cautions(settings)):
        print(f"{name}: caution: {caution}")
    return settings, exposed


def _read_certificates(settings: Settings) -> None:
    """Load all certificates as `serve` does. Raises ConfigurationError with every complaint."""
    listeners = [(f"{place.key}.tls", place.table.tls) for place in places(settings) if place.table.tls is not None]
    unusable = tls.complaints(listeners, [*client_tables(settings), *link_tables(settings)])
    if complaints := [*unusable, *tls.after_headers(places(settings))]:
        raise ConfigurationError(complaints)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
