"""Where the configuration comes from: the file and the environment, joined into one tree of raw values.

The environment's values are marked `Override`: they are text whatever the key holds, and complaints about them name
the variable. This room reads the file and knows the records' shape; what the values mean is for `reading`.
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
from bridge.config.shapes import Hint, is_table, keys, listed, named, other_key
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
    """The file to read: the one that is named, else the one in the usual place if it is there, else none."""
    if path is not None:
        return path
    if environ.get(PATH_VARIABLE):
        return Path(environ[PATH_VARIABLE])
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def name_of(path: Path | None) -> str:
    """What complaints call the file. Without one, only the environment can be at fault."""
    if path is None:
        return "environment"
    return str(path) if str(path).isprintable() else quote(str(path))


def read(path: Path) -> dict[str, Any]:
    """The file as TOML has it. Raises ConfigurationError if it cannot be read or is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(path, f"{_position(error.object, error.start)}: not UTF-8") from None
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read: {reason(error)}") from None
    return _parse(path, text)


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, _syntax(str(error), text)) from None
    except RecursionError:
        raise _unusable(path, "is nested too deeply") from None
    except ValueError:
        # tomllib lets through what Python says about an integer of thousands of digits or a date that is none.
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
    """Line and column of an octet of the file; of its end without `offset`."""
    lines = content[:offset].split(b"\n")
    return f"line {len(lines)}, column {len(lines[-1].decode(errors='replace')) + 1}"


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, without its name: what stands where a file's name belongs may be the secret itself."""
    return (isinstance(error, OSError) and error.strerror) or "not a usable path"


def with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree, with the built-in Central System and route if it has neither; half of them would be a guess."""
    if "central_systems" in tree or "routes" in tree:
        return {"central_systems": {}, "routes": []} | tree
    defaults = Settings()
    return tree | {
        "central_systems": msgspec.to_builtins(defaults.central_systems),
        "routes": [msgspec.to_builtins(route) for route in defaults.routes],
    }


def override(tree: dict[str, Any], environ: Mapping[str, str], complaints: Complaints) -> None:
    """Put every `OCPP_BRIDGE__...` of the environment into the tree, and complain about those that fit nowhere."""
    for name in sorted(environ, key=_numerically):
        if name.startswith(PREFIX):
            _Placing(name, complaints).place(tree, Settings, Override(environ[name]))


def _numerically(name: str) -> list[tuple[int, str]]:
    """Sort ROUTES__2 before ROUTES__10: a route can only follow the one before it."""
    return [(len(step) if step.isdecimal() else 0, step) for step in name.split(_NESTS)]


def _has_keys(hint: Hint) -> bool:
    return is_table(hint) or named(hint) is not None or is_table(listed(hint))


class _Misfit(Exception):
    """The variable's name leads nowhere."""


class _Placing:
    """One variable on its way down the tree. `done` of its steps have been taken."""

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
        # If the file has something else here than it ought to, that is complained about when it is read.
        while isinstance(node, dict if listed(hint) is None else list):
            key, holds = self._step(node, hint)
            path = (*path, key)
            self._done += 1
            if self._done == len(self._steps):
                self._set(node, hint, path, holds, value)
                return
            node, hint = self._entered(node, key, holds)

    def _entered(self, node: Any, key: str | int, holds: Hint) -> tuple[Any, Hint]:
        """What the next step starts from: below the key, and of listeners in the only one, unless a number follows."""
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
        """The table or list under the key, made if the file has none."""
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
        # The first of several listeners may turn out to be the only one, and the reverse.
        for spelled in {path, (*path[:1], *path[2:]) if path[1:2] == (0,) else (*path[:1], 0, *path[1:])}:
            self._complaints.overridden(spelled, self._name)
        self._displace(node, table, path[-1])

    def _displace(self, node: Any, table: Hint, key: Any) -> None:
        """A secret from the environment replaces the file's, whichever of its two keys each of them uses."""
        known = keys(table)
        field = known[key].field
        other = other_key(key, field)
        if known[field].holds is Secret and not isinstance(node.get(other), Override):
            node.pop(other, None)

    def _prefix(self) -> str:
        return PREFIX + "".join(step.upper() + _NESTS for step in self._steps[: self._done])
