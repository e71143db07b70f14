"""Read the file and the environment, and join both into one tree of raw values.

Values from the environment are marked `Override`: they are text for every type of key, and complaints about them name
the variable. The module `reading` converts the values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bridge.config.complaints import Complaints, quote, unknown_key
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import is_listener
from bridge.config.records import Secret, Settings
from bridge.config.shapes import Hint, is_table, keys, listed, named, other_key, without_file
from bridge.errors import Complaint, ConfigurationError

PATH_VARIABLE = "OCPP_BRIDGE_CONFIG"
PREFIX = "OCPP_BRIDGE__"
DEFAULT_PATH = Path("conf/bridge.toml")

_NESTS = "__"
_POSITION = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Override:
    """A value from the environment."""

    text: str


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: `path`, else the file that the environment names, else the default file if it exists.

    Returns None if there is none.
    """
    if path is not None:
        return path
    if environ.get(PATH_VARIABLE):
        return Path(environ[PATH_VARIABLE])
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def name_of(path: Path | None) -> str:
    """Return the name of the file for complaints. Without a file, only the environment can be at fault."""
    if path is None:
        return "environment"
    return str(path) if str(path).isprintable() else quote(str(path))


def content(path: Path) -> bytes:
    """Return the octets of the file. Raises ConfigurationError if the file cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read: {reason(error)}") from None


def parsed(path: Path, octets: bytes) -> dict[str, Any]:
    """Return the parsed content of the file. Raises ConfigurationError if the content is not TOML."""
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(path, f"{_position(error.object, error.start)}: not UTF-8") from None
    return _parse(path, text)


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, _syntax(str(error), text)) from None
    except RecursionError:
        raise _unusable(path, "is nested too deeply") from None
    except ValueError:
        # tomllib passes on Python's ValueError for an integer of thousands of digits or an invalid date.
        raise _unusable(path, "holds a number or date that is out of range") from None


def _unusable(path: Path, text: str) -> ConfigurationError:
    return ConfigurationError([Complaint(name_of(path), "", text)])


def _syntax(message: str, text: str) -> str:
    match = _POSITION.search(message)
    if match is None:
        return message
    where = f"line {match['line']}, column {match['column']}" if match["line"] else _position(text.encode(), None)
    return f"{where}: {message[: match.start()]}"


def _position(content: bytes, offset: int | None) -> str:
    """Return line and column of the octet at `offset`; for None, of the end of the file."""
    lines = content[:offset].split(b"\n")
    return f"line {len(lines)}, column {len(lines[-1].decode(errors='replace')) + 1}"


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be read, without its name: an operator may have pasted the secret in place of a name."""
    return (isinstance(error, OSError) and error.strerror) or "not a usable path"


def with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree, with the built-in Central System and route if it has neither.

    If the tree has one of the two, the built-in other one would be a guess.
    """
    if "central_systems" in tree or "routes" in tree:
        return {"central_systems": {}, "routes": []} | tree
    defaults = Settings()
    return tree | {
        "central_systems": msgspec.to_builtins(defaults.central_systems),
        "routes": [msgspec.to_builtins(route) for route in defaults.routes],
    }


def override(tree: dict[str, Any], environ: Mapping[str, str], complaints: Complaints) -> None:
    """Put every variable `OCPP_BRIDGE__...` into the tree.

    Args:
        tree: The raw values of the file, which are changed in place.
        environ: Environment variables.
        complaints: Receives complaints about variables that belong to no key.
    """
    for name in sorted(environ, key=_numerically):
        if name.startswith(PREFIX):
            _Placing(name, complaints).place(tree, Settings, Override(environ[name]))


def _numerically(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts ROUTES__2 before ROUTES__10: a route can only be added after the one before it."""
    return [(len(step) if step.isdecimal() else 0, step) for step in name.split(_NESTS)]


def _has_keys(hint: Hint) -> bool:
    return is_table(hint) or named(hint) is not None or is_table(listed(hint))


class _Misfit(Exception):
    """The name of a variable belongs to no key."""


class _Placing:
    """Puts the value of a variable into the tree. `_done` counts the steps of the name that were followed so far."""

    def __init__(self, name: str, complaints: Complaints) -> None:
        self._name = name
        self._steps = name[len(PREFIX) :].lower().split(_NESTS)
        self._done = 0
        self._complaints = complaints

    def place(self, tree: dict[str, Any], hint: Hint, value: Override) -> None:
        try:
            self._descend(tree, hint, value)
        except _Misfit as misfit:
            self._complaints.add_variable(self._name, str(misfit))

    def _descend(self, node: Any, hint: Hint, value: Override) -> None:
        path: KeyPath = ()
        # The loop ends early if the file holds another type here. `reading` complains about that.
        while isinstance(node, dict if listed(hint) is None else list):
            key, holds = self._step(node, hint)
            path = (*path, key)
            self._done += 1
            if self._done == len(self._steps):
                self._set(node, hint, path, holds, value)
                return
            node, hint = self._entered(node, key, holds)

    def _entered(self, node: Any, key: str | int, holds: Hint) -> tuple[Any, Hint]:
        """Return the node and type for the next step.

        That is the value of the key. If the value is a listener's table and no index follows in the name, the node is
        the table of the only listener.
        """
        below = self._below(node, key, holds)
        if not is_listener(listed(holds)):
            return below, holds
        if self._steps[self._done].isdecimal():
            if isinstance(below, dict):
                below = node[key] = [below]
            return below, holds
        if isinstance(below, list) and len(below) > 1:
            raise _Misfit(f"{self._prefix()} takes a number from 0 to {len(below)}")
        if isinstance(below, list):
            below = node[key] = below[0] if below else {}
        return below, listed(holds)

    def _below(self, node: Any, key: str | int, holds: Hint) -> Any:
        """Return the table or list under the key. Make an empty one if the file has none."""
        if not _has_keys(holds):
            raise _Misfit(f"unknown key, {self._prefix().removesuffix(_NESTS)} has none below it")
        if key not in node and isinstance(node, dict):
            node[key] = {} if listed(holds) is None else []
        return node[key]

    def _step(self, node: Any, hint: Hint) -> tuple[str | int, Hint]:
        step = self._steps[self._done]
        if is_table(hint):
            return self._known(step, hint)
        if (holds := named(hint)) is not None:
            return next((name for name in node if name.lower() == step), step), holds
        return self._index(step, node), listed(hint)

    def _known(self, step: str, hint: Hint) -> tuple[str, Hint]:
        known = keys(hint)
        if step not in known:
            raise _Misfit(unknown_key(step, map(str.upper, known), self._prefix()))
        return step, known[step].holds

    def _index(self, step: str, entries: list[Any]) -> int:
        if not (step.isascii() and step.isdecimal() and len(step) <= 4 and int(step) <= len(entries)):
            raise _Misfit(f"{self._prefix()} takes a number from 0 to {len(entries)}")
        if int(step) == len(entries):
            entries.append({})
        return int(step)

    def _set(self, node: Any, table: Hint, path: KeyPath, holds: Hint, value: Override) -> None:
        if _has_keys(holds):
            raise _Misfit("is a table, a variable sets one key of it")
        node[path[-1]] = value
        # A listener with index 0 may turn out to be the only one, whose path has no index, and the reverse.
        for spelled in {path, (*path[:1], *path[2:]) if path[1:2] == (0,) else (*path[:1], 0, *path[1:])}:
            self._complaints.overridden(spelled, self._name)
        self._displace(node, table, path[-1])

    def _displace(self, node: Any, table: Hint, key: Any) -> None:
        """Remove the file's value of a secret that the environment sets, even if the two use different keys."""
        if named(table) is Secret:
            same = [name for name in node if without_file(name).lower() == without_file(key).lower()]
            for name in same:
                if not isinstance(node[name], Override):
                    del node[name]
            return
        known = keys(table)
        field = known[key].field
        other = other_key(key, field)
        if known[field].holds is Secret and not isinstance(node.get(other), Override):
            node.pop(other, None)

    def _prefix(self) -> str:
        return PREFIX + "".join(step.upper() + _NESTS for step in self._steps[: self._done])
