"""Remove messages when all together are too large: the oldest of the Charge Points that have most, but not the last.

Pure, but for the connection that it is given.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

# So many messages of each Charge Point stay as long as there are others to remove.
_LAST = 5
# A message that is larger than this has pages of its own, each of _PAGE octets.
_PAGE, _OWN_PAGES = 32_768, 8_000
_OVERHEAD = 200
_SIZES = f"""
SELECT folded, sum(CASE WHEN length(told) > {_OWN_PAGES}
    THEN (length(told) / {_PAGE} + 1) * {_PAGE} ELSE length(told) + {_OVERHEAD} END)
FROM messages GROUP BY folded
"""  # noqa: S608


def size_of(octets: int) -> int:
    """Return the octets that a message with `octets` takes in the file."""
    return (octets // _PAGE + 1) * _PAGE if octets > _OWN_PAGES else octets + _OVERHEAD


def level(sizes: Iterable[int], surplus: int) -> int:
    """The size to which all that are larger have to shrink, so that they lose `surplus` together."""
    descending = sorted(sizes, reverse=True)
    above = 0
    for count, size in enumerate(descending, 1):
        above += size
        below = descending[count] if count < len(descending) else 0
        if above - count * below >= surplus:
            return max(0, (above - surplus) // count)
    return 0


def make_room(writer: sqlite3.Connection, surplus: int) -> int:
    """Take out messages of at least `surplus` octets, if there are. Returns how many. Raises sqlite3.Error."""
    dropped = 0
    sizes: Mapping[str, int] = dict(writer.execute(_SIZES))
    most = level(sizes.values(), surplus)
    for folded, size in sizes.items():
        if size > most and surplus > 0:
            messages, octets = _shrink(writer, folded, min(surplus, size - most))
            dropped += messages
            surplus -= octets
    if surplus > 0:  # the last messages of all are too large
        dropped += _take_out(writer, writer.execute("SELECT id, length(told) FROM messages ORDER BY id"), surplus)[0]
    return dropped


def _shrink(writer: sqlite3.Connection, folded: str, surplus: int) -> tuple[int, int]:
    """Take out the oldest of one Charge Point, but not its last: how many, and their octets."""
    select = "SELECT id, length(told) FROM messages WHERE folded = ? ORDER BY id"
    return _take_out(writer, writer.execute(select, (folded,)).fetchall()[:-_LAST], surplus)


def _take_out(writer: sqlite3.Connection, oldest: Iterable[tuple[int, int]], surplus: int) -> tuple[int, int]:
    numbers, octets = [], 0
    for number, length in oldest:
        numbers.append((number,))
        octets += size_of(length)
        if octets >= surplus:
            break
    writer.executemany("DELETE FROM messages WHERE id = ?", numbers)
    return len(numbers), octets
