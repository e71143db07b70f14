"""`check`: reads the configuration as `serve` would, and says what is in it."""

from __future__ import annotations

import os
from pathlib import Path

from bridge import config
from bridge.config import sources


def run(path: Path | None) -> int:
    """Raises ConfigurationError with every complaint."""
    settings = config.load(path, os.environ)
    found = sources.find(path, os.environ)
    name = "built-in defaults" if found is None else sources.name_of(found)
    parts = [_count(len(settings.central_systems), "central system"), _count(len(settings.routes), "route")]
    print(f"{name}: ok, {', '.join(parts)}")
    for caution in config.cautions(settings):
        print(f"{name}: caution: {caution}")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
