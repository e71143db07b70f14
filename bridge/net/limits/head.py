"""Size limits of the head of an HTTP request, checked while its octets come in.

Both ports have the same limits, in place of the different limits of their libraries. The texts of the refusals are
here.
"""

from __future__ import annotations

_END = b"\r\n\r\n"


def too_many_octets(most: int) -> str:
    """Return the sentence for a head of more than `most` octets."""
    return f"the head of the request has more than {most} octets (limits.header_bytes)"


def too_many_lines(most: int) -> str:
    """Return the sentence for a head of more than `most` headers."""
    return f"the request has more than {most} headers (limits.header_count)"


class HeadLimits:
    """The head of one request. An empty line ends it; octets after that are ignored.

    Args:
        most_octets: The most octets of the head.
        most_lines: The most headers.
    """

    __slots__ = ("_data", "_most_lines", "_most_octets", "complete")

    def __init__(self, *, most_octets: int, most_lines: int) -> None:
        self._most_octets = most_octets
        self._most_lines = most_lines
        self._data = b""
        self.complete = False

    def feed(self, data: bytes) -> str | None:
        """Add received octets. Return the sentence that names the exceeded limit, None if there is none."""
        if self.complete:
            return None
        head = self._data + data if self._data else data
        end = head.find(_END)
        size = len(head) if end < 0 else end
        if size > self._most_octets:
            return too_many_octets(self._most_octets)
        # The request line has a line feed too. The last header's line feed is in `size` only if more is to come.
        if head.count(b"\n", 0, size) > self._most_lines + (end < 0):
            return too_many_lines(self._most_lines)
        self.complete = end >= 0
        self._data = b"" if self.complete else head
        return None
