"""Refuse a truncated or emptied configuration file when a running bridge reads the file again.

Editors and copy programs write a file in steps, and the signal to reload may come between two steps. The partial file
can be valid, and would connect every Charge Point to the built-in default address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.config.complaints import Complaints
from bridge.errors import Complaint

_EMPTY = "is empty: it held a configuration when it was last read"
# Matches blank lines and comments.
_NOTHING = re.compile(rb"(?:[ \t\r\n]|#[^\n]*(?:\n|\Z))*")


class Seen:
    """Content of all files when their configuration was last applied, and when the files were last read."""

    def __init__(self) -> None:
        self._in_force: dict[str, bytes] = {}
        self._now: dict[str, bytes] = {}
        self._tables, self._tables_now = frozenset[str](), frozenset[str]()

    def look(self, contents: Mapping[str, bytes], tree: Mapping[str, object], complaints: Complaints) -> None:
        """Compare the files with the content that was last applied.

        Complains if a file was truncated or emptied, or if there is no Central System any more.

        Args:
            contents: Content of each file, by its name. The main file is first.
            tree: The parsed content of all files.
            complaints: Receives the complaint.
        """
        self._now, self._tables_now = dict(contents), frozenset(tree)
        if self._now == self._in_force:
            return
        if self._tables and not tree:
            complaints.add((), _EMPTY)
            return
        faults = {name: fault for name in contents if (fault := self._fault(name))}
        complaints.add_all(Complaint(name, "", fault) for name, fault in faults.items())
        if not faults and "central_systems" in self._tables and not tree.get("central_systems"):
            complaints.add(("central_systems",), "there is none any more, and the built-in one is nobody's")

    def _fault(self, name: str) -> str:
        """Return what may have happened to a file that holds less than it did, "" if nothing."""
        before, octets = self._in_force.get(name, b""), self._now[name]
        if name != next(iter(self._now)) and _NOTHING.fullmatch(octets) and not _NOTHING.fullmatch(before):
            return _EMPTY
        if before.startswith(octets) and _in_the_middle(before, len(octets)):
            return "ends in the middle of what it held when it was last read: it was cut off, or is being written"
        return ""

    def take_over(self) -> None:
        """Remember that the content of the last `look` was applied."""
        self._in_force, self._tables = self._now, self._tables_now


def _in_the_middle(content: bytes, at: int) -> bool:
    """Return whether offset `at` of `content` is within a line or a table.

    An offset where the next table begins is not: an operator may have deleted everything from there on.
    """
    rest = content[at:]
    skipped = _NOTHING.match(rest)
    assert skipped is not None
    following = rest[skipped.end() :]
    within_a_line = at > 0 and not content[:at].endswith(b"\n")
    return bool(following) and (within_a_line or not following.startswith(b"["))
