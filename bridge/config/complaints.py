"""Write complaints about the configuration, and collect them.

The path of a key is a tuple, `("routes", 0, "central_system")`. A complaint shows it as `routes[0].central_system`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from bridge.errors import Complaint, ConfigurationError

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 80  # characters of a value or a name in a complaint
_HUGE = 10**20


def quote(text: str) -> str:
    """Return `text` in quotes, on one line and shortened. Values can hold any character; a complaint is one line."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return '"' + one_line(short.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def one_line(text: str) -> str:
    """Return `text` with line ends and invisible characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def dotted(path: Path) -> str:
    """Return the path as written in TOML, with the index of a list's entry in brackets."""
    steps = (f"[{step}]" if isinstance(step, int) else "." + _bare_or_quoted(step) for step in path)
    return "".join(steps).removeprefix(".")


def _bare_or_quoted(name: str) -> str:
    return name if _BARE.fullmatch(name) and len(name) <= _LONGEST else quote(name)


def describe(value: object) -> str:
    """Return the description of `value` for "expected ..., got ...". Do not call this with a secret."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"text {quote(value)}"
        case int():
            # Python refuses to format integers of thousands of digits, which TOML's 0x... can hold.
            return f"the integer {value}" if abs(value) < _HUGE else "an integer beyond all bounds"
        case float():
            return f"the number {value}"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, None if none is similar."""
    spelled = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(name[:_LONGEST].lower().replace("-", "_"), spelled, n=1)
    return spelled[found[0]] if found else None


def unknown_key(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the text of a complaint about an unknown key.

    Args:
        name: The unknown key.
        known: The keys that are valid in its place.
        prefix: Put before each valid key, such as the beginning of an environment variable.
    """
    names = list(known)
    guess = closest(name, names)
    if guess is not None:
        return f"unknown key, did you mean {prefix}{guess}?"
    return "unknown key, known here are " + ", ".join(prefix + known_name for known_name in names)


def unknown_central_system(name: str, known: Iterable[str]) -> str:
    """Return the text of a complaint about a Central System that has no table. `known` are those that have one."""
    guess = closest(name, known)
    hint = f", did you mean {guess}?" if guess else ""
    return f"no central system is called {quote(name)}{hint}"


class Complaints:
    """All complaints about a file, in the order in which they were found.

    Only the first complaint about a key and the keys below it is kept, because further complaints follow from the
    first. `source` is the name of the main file; a part of the tree may be from another file (`place`).
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._overrides: dict[Path, str] = {}
        self._about: set[Path] = set()
        self._places: dict[Path, tuple[str, Path]] = {}
        self.found: list[Complaint] = []

    def add(self, path: Path, text: str) -> None:
        """Complain about the key at `path`."""
        if not self.about(path):
            self._about.add(path)
            self.found.append(self._complaint(path, text))

    def add_variable(self, name: str, text: str) -> None:
        """Complain about an environment variable that belongs to no key."""
        self.found.append(_of_variable(name, text))

    def add_all(self, complaints: Iterable[Complaint]) -> None:
        """Append the complaints about another file."""
        self.found += complaints

    def stop(self) -> None:
        """Raise ConfigurationError if there is a complaint."""
        if self.found:
            raise ConfigurationError(self.found)

    def overridden(self, path: Path, name: str) -> None:
        """Remember that the environment variable `name` set the key at `path`."""
        self._overrides[path] = name

    def place(self, path: Path, source: str, local: Path) -> None:
        """Remember that the key at `path`, and the keys below it, are in the file `source`, at the path `local`."""
        self._places[path] = source, local

    def source_of(self, path: Path) -> str:
        """Return the name of the file that the key at `path` is from."""
        return self._place_of(path)[0]

    def _place_of(self, path: Path) -> tuple[str, Path]:
        for length in range(len(path), 0, -1):
            if (place := self._places.get(path[:length])) is not None:
                source, local = place
                return source, (*local, *path[length:])
        return self._source, path

    def about(self, path: Path) -> bool:
        """Return whether there is a complaint about the key at `path` or a key above it."""
        return any(path[:length] in self._about for length in range(len(path) + 1))

    def inside(self, path: Path) -> bool:
        """Return whether there is a complaint about the key at `path` or a key below it."""
        return any(known[: len(path)] == path for known in self._about)

    def _complaint(self, path: Path, text: str) -> Complaint:
        for length in range(len(path), 0, -1):
            if (name := self._overrides.get(path[:length])) is not None:
                return _of_variable(name, text)
        source, local = self._place_of(path)
        return Complaint(source, dotted(local), one_line(text))


def _of_variable(name: str, text: str) -> Complaint:
    return Complaint("environment", name if _BARE.fullmatch(name) else quote(name), one_line(text))
