"""Who is in: connections in all, and of each address."""

from __future__ import annotations


class Crowd:
    """Counts. Holds an entry for each address that is in, and none for one that is not."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._all = 0
        self._of: dict[str, int] = {}

    def __len__(self) -> int:
        return self._all

    def enter(self, address: str) -> str | None:
        """Let one in. If that would be too many, none comes in: the limit that says so, with its number."""
        here = self._of.get(address, 0)
        if here >= self._most_of_one:
            return f"{self._most_of_one} connections of this address are open (limits.connections_per_address)"
        if self._all >= self._most:
            return f"{self._most} connections are open (limits.connections)"
        self._of[address] = here + 1
        self._all += 1
        return None

    def leave(self, address: str) -> None:
        """One that came in goes."""
        self._all -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]
