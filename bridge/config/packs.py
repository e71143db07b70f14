"""Read the files of quirk packs, each for one kind of Charge Point. A complaint names the file and its key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bridge.config import sources
from bridge.config.checking import check_quirks
from bridge.config.complaints import Complaints
from bridge.config.reading import read_table
from bridge.config.records import Match, Pack, Quirks
from bridge.errors import ConfigurationError


def read(named: Sequence[str], complaints: Complaints) -> tuple[Pack, ...]:
    """Return the packs in the files and folders `named`, in that order. The files of a folder are sorted by name."""
    packs = []
    for index, name in enumerate(named):
        try:
            paths = [*_files(name)]
        except (OSError, ValueError) as error:
            complaints.add(("gateway", "quirks", index), f"cannot be read: {sources.reason(error)}")
            continue
        packs += [_read(path, complaints) for path in paths]
    return tuple(packs)


def _files(name: str) -> Iterator[Path]:
    if not name:
        raise ValueError("no name")
    path = Path(name)
    if not path.is_dir():
        path.stat()  # raises OSError if there is no such file
        yield path
        return
    yield from sorted(file for file in path.iterdir() if file.suffix == ".toml")


def _read(path: Path, complaints: Complaints) -> Pack:
    own = Complaints(sources.name_of(path))
    try:
        pack = read_table(Pack, sources.parsed(path, sources.content(path)), (), own)
    except ConfigurationError as error:
        complaints.add_all(error.complaints)
        return Pack(evidence="")
    check_quirks(("set",), pack.set, own)
    if pack.match == Match():
        own.add(("match",), "takes every Charge Point; what is for all of a route stands there")
    if pack.set == Quirks():
        own.add(("set",), "sets nothing")
    if not pack.evidence.strip():
        own.add(("evidence",), "is empty: say how it is known")
    complaints.add_all(own.found)
    return pack
