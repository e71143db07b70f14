"""Read the file and the files that it includes, and join them into one tree of raw values.

Each table is in one file. The tables under `central_systems` and `charge_points` may be in several files. So may the
entries of a list of tables, such as `[[routes]]`: those of an included file follow those of the files before it.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bridge.config import sources
from bridge.config.complaints import Complaints, dotted
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import is_listener, path_of
from bridge.config.records import Settings
from bridge.config.shapes import is_table, keys, listed, named
from bridge.errors import Complaint, ConfigurationError

KEY = "include"
_VARIABLE = sources.PREFIX + KEY.upper()


class ReadFiles(Struct, frozen=True, kw_only=True):
    """The content of all files of a configuration.

    Attributes:
        contents: The octets of each file, by its name in complaints. The main file is first.
        tree: The raw values of all files together.
    """

    contents: Mapping[str, bytes]
    tree: dict[str, Any]


def files_of(main: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the paths of all files of a configuration, the main file first.

    Raises ConfigurationError if the main file cannot be read.
    """
    if main is None:
        return []
    tree = sources.parsed(main, sources.content(main))
    return [main, *_included(main, _patterns(tree, environ), Complaints(""))]


def read(main: Path | None, environ: Mapping[str, str], complaints: Complaints) -> ReadFiles:
    """Read the main file and the files that it includes.

    Args:
        main: The main file, None if there is none.
        environ: Environment variables.
        complaints: Receives the complaints about included files, and about tables that are in several files.

    Raises:
        ConfigurationError: The main file cannot be read.
    """
    if main is None:
        if environ.get(_VARIABLE):
            complaints.add_variable(_VARIABLE, "there is no file that it could be relative to")
        return ReadFiles(contents={}, tree={})
    octets = sources.content(main)
    contents, tree = {sources.name_of(main): octets}, sources.parsed(main, octets)
    joined = _Joined(tree, complaints)
    for path in _included(main, _patterns(tree, environ), complaints):
        name = sources.name_of(path)
        try:
            octets = contents[name] = sources.content(path)
            joined.add(sources.parsed(path, octets), name)
        except ConfigurationError as error:
            complaints.add_all(error.complaints)
    return ReadFiles(contents=contents, tree=tree)


def _patterns(tree: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Return the patterns of the files to include. `reading` complains about a value of another type."""
    if _VARIABLE in environ:
        return [part.strip() for part in environ[_VARIABLE].split(",") if part.strip()]
    patterns = tree.get(KEY, [])
    return [each for each in patterns if isinstance(each, str)] if isinstance(patterns, list) else []


def _included(main: Path, patterns: list[str], complaints: Complaints) -> list[Path]:
    """Return the files that match the patterns: for each pattern sorted by path, each file once."""
    found: dict[Path, None] = {}
    for index, pattern in enumerate(patterns):
        path: KeyPath = (KEY, index)
        try:
            # Path.glob would find hidden files, such as those that editors make, and takes no absolute pattern.
            matches = sorted(glob.glob(pattern, root_dir=main.parent))  # noqa: PTH207
            if not matches and not _may_be_empty(main.parent, pattern):
                complaints.add(path, "there is no such file, and no such folder")
            for match in matches:
                file = main.parent / match
                if file.resolve() == main.resolve():
                    complaints.add(path, "the file would include itself")
                else:
                    found[file] = None
        except (OSError, ValueError) as error:
            complaints.add(path, f"cannot be read: {sources.reason(error)}")
    return list(found)


def _may_be_empty(folder: Path, pattern: str) -> bool:
    """Return whether `pattern`, which no file matches, has a wildcard, in a folder that exists.

    Raises OSError if the folder cannot be read: `glob` then finds nothing, and the tables in it would be lost silently.
    """
    named_folder, _, last = pattern.rpartition("/")
    if glob.has_magic(named_folder):
        return True
    if not glob.has_magic(last) or not (folder / named_folder).is_dir():
        return False
    list((folder / named_folder).iterdir())
    return True


class _Joined:
    """The tree of the files that were joined so far. Remembers which file each part of it is from."""

    def __init__(self, tree: dict[str, Any], complaints: Complaints) -> None:
        self._tree = tree
        self._complaints = complaints

    def add(self, tree: Mapping[str, Any], source: str) -> None:
        """Add the content of an included file."""
        known = keys(Settings)
        for key, value in tree.items():
            present = self._tree.get(key)
            if key == KEY:
                self._say(source, (key,), "an included file includes no others")
            elif key not in self._tree:
                self._tree[key] = value
                self._complaints.place((key,), source, (key,))
            elif key not in known:
                self._doubled((key,), source)
            elif named(known[key].holds) is not None and isinstance(present, dict) and isinstance(value, dict):
                self._add_tables(key, present, value, source)
            elif _is_list(known[key].holds) and isinstance(present, list) and isinstance(value, list):
                self._add_entries(key, present, value, source)
            else:
                self._doubled((key,), source)

    def _add_tables(self, key: str, present: dict[str, Any], more: dict[str, Any], source: str) -> None:
        for name, table in more.items():
            if name in present:
                self._doubled((key, name), source)
            else:
                present[name] = table
                self._complaints.place((key, name), source, (key, name))

    def _add_entries(self, key: str, present: list[Any], more: list[Any], source: str) -> None:
        for index, entry in enumerate(more):
            local = path_of(key, index, len(more)) if key in _listener_keys() else (key, index)
            self._complaints.place((key, len(present)), source, local)
            present.append(entry)

    def _doubled(self, path: KeyPath, source: str) -> None:
        first = self._complaints.source_of(path)
        self._say(source, path, f"is in {first} too; a table is in one file")

    def _say(self, source: str, path: KeyPath, text: str) -> None:
        self._complaints.add_all([Complaint(source, dotted(path), text)])


def _is_list(holds: Any) -> bool:
    """Return whether the key holds a list of tables."""
    return is_table(listed(holds))


def _listener_keys() -> Iterator[str]:
    return (key for key, known in keys(Settings).items() if is_listener(listed(known.holds)))
