"""The head of an HTTP request as it comes in, piece by piece: is it longer than it may be?

Both ports are held to the same numbers, whatever their libraries have of their own.
"""

from __future__ import annotations

_END = b"\r\n\r\n"


def is_whole(data: bytes, most_octets: int, most_lines: int) -> bool:
    """Whether `data` begins with a head that is complete and breaks no limit: most come in one piece."""
    end = data.find(_END)
    return 0 <= end <= most_octets and data.count(b"\n", 0, end) <= most_lines


class Head:
    """One head. It ends with an empty line; what follows is not looked at."""

    __slots__ = ("_data", "_most_lines", "_most_octets", "complete")

    def __init__(self, *, most_octets: int, most_lines: int) -> None:
        self._most_octets = most_octets
        self._most_lines = most_lines
        self._data = b""
        self.complete = False

    def feed(self, data: bytes) -> str | None:
        """Take what came. The limit that it breaks, with its number, if it does."""
        if self.complete:
            return None
        head = self._data + data if self._data else data
        end = head.find(_END)
        size = len(head) if end < 0 else end
        if size > self._most_octets:
            return f"the head of the request has more than {self._most_octets} octets (limits.header_bytes)"
        # The line before the headers has the first; the last has none but where what ends the head is still to come.
        if head.count(b"\n", 0, size) > self._most_lines + (end < 0):
            return f"the request has more than {self._most_lines} headers (limits.header_count)"
        self.complete = end >= 0
        self._data = b"" if self.complete else head
        return None
