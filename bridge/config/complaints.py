"""How a complaint about the configuration is put, and the list they are collected in.

A key's path is a tuple, `("routes", 0, "central_system")`; people read `routes[0].central_system`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from bridge.errors import Complaint

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 80  # characters of a value or a name in a complaint
_HUGE = 10**20


def quote(text: str) -> str:
    """`text` in quotes, on one line, shortened: what is configured can hold anything, a complaint is one line."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return '"' + one_line(short.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def one_line(text: str) -> str:
    """`text` with everything escaped that would end a line or not be seen."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def dotted(path: Path) -> str:
    """The path as it would be written in TOML, with the number of a list's entry in brackets."""
    steps = (f"[{step}]" if isinstance(step, int) else "." + _bare_or_quoted(step) for step in path)
    return "".join(steps).removeprefix(".")


def _bare_or_quoted(name: str) -> str:
    return name if _BARE.fullmatch(name) and len(name) <= _LONGEST else quote(name)


def describe(value: object) -> str:
    """What was found, for "expected ..., got ...". Not for secrets."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"text {quote(value)}"
        case int():
            # Python refuses to write numbers of thousands of digits, which TOML's 0x... can hold.
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
    """The known name that `name` was probably meant to be."""
    spelled = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = difflib.get_close_matches(name[:_LONGEST].lower().replace("-", "_"), spelled, n=1)
    return spelled[found[0]] if found else None


def unknown_key(name: str, known: Iterable[str], prefix: str = "") -> str:
    """What to say about a key that nothing reads. `prefix` goes before the names that could have been meant."""
    names = list(known)
    guess = closest(name, names)
    if guess is not None:
        return f"unknown key, did you mean {prefix}{guess}?"
    return "unknown key, known here are " + ", ".join(prefix + known_name for known_name in names)


class Complaints:
    """Everything that is wrong, in the order it was found.

    About one key, or what is below a key already complained about, only the first complaint is kept: the others follow
    from it. `source` names the file.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._overrides: dict[Path, str] = {}
        self._about: set[Path] = set()
        self.found: list[Complaint] = []

    def add(self, path: Path, text: str) -> None:
        """Complain about the key at `path`."""
        if not self.about(path):
            self._about.add(path)
            self.found.append(self._complaint(path, text))

    def add_variable(self, name: str, text: str) -> None:
        """Complain about an environment variable that no key answers to."""
        self.found.append(_of_variable(name, text))

    def add_all(self, complaints: Iterable[Complaint]) -> None:
        """Take over what was complained about another file."""
        self.found += complaints

    def overridden(self, path: Path, name: str) -> None:
        """Remember that the environment variable `name` set the key at `path`."""
        self._overrides[path] = name

    def about(self, path: Path) -> bool:
        """Whether this key, or one above it, has been complained about."""
        return any(path[:length] in self._about for length in range(len(path) + 1))

    def _complaint(self, path: Path, text: str) -> Complaint:
        for length in range(len(path), 0, -1):
            if (name := self._overrides.get(path[:length])) is not None:
                return _of_variable(name, text)
        return Complaint(self._source, dotted(path), one_line(text))


def _of_variable(name: str, text: str) -> Complaint:
    return Complaint("environment", name if _BARE.fullmatch(name) else quote(name), one_line(text))
