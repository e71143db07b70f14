"""Tests of bridge.config, and the one way they all read a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bridge.config import Settings, load
from bridge.errors import ConfigurationError


class Files:
    """A folder to write configurations in. Complaints are told without the folder's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, content: str | bytes, name: str = "conf.toml") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, content: str | bytes, environ: Mapping[str, str] | None = None) -> Settings:
        return load(self.write(content), environ or {})

    def complaints(self, content: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        """Every complaint about this configuration; none if it is taken."""
        try:
            self.load(content, environ)
        except ConfigurationError as error:
            assert str(error) == "\n".join(map(str, error.complaints))
            return [str(complaint).replace(f"{self.folder}/", "") for complaint in error.complaints]
        return []
