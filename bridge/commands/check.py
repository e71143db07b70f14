"""`check`: reads the configuration as `serve` would, and says what is in it."""

from __future__ import annotations

import os
from pathlib import Path

from bridge import config, tls
from bridge.config import Settings, sources
from bridge.config.listeners import places
from bridge.config.tls import client_tables
from bridge.errors import ConfigurationError


def run(path: Path | None) -> int:
    """Raises ConfigurationError with every complaint."""
    settings = config.load(path, os.environ)
    found = sources.find(path, os.environ)
    name = "built-in defaults" if found is None else sources.name_of(found)
    _read_certificates(settings)
    parts = [_count(len(settings.central_systems), "central system"), _count(len(settings.routes), "route")]
    print(f"{name}: ok, {', '.join(parts)}")
    for caution in config.cautions(settings):
        print(f"{name}: caution: {caution}")
    return 0


def _read_certificates(settings: Settings) -> None:
    """As `serve` would. Raises ConfigurationError with what is wrong with each."""
    listeners = [(f"{place.key}.tls", place.table.tls) for place in places(settings) if place.table.tls is not None]
    if complaints := list(tls.complaints(listeners, client_tables(settings))):
        raise ConfigurationError(complaints)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
