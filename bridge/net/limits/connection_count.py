"""Connection counts, in total and per remote address."""

from __future__ import annotations


class ConnectionCount:
    """Count open connections. Addresses without an open connection take no memory.

    Args:
        most: The most open connections.
        most_of_one: The most open connections of one address.
    """

    def __init__(self, *, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._all = 0
        self._of: dict[str, int] = {}

    def __len__(self) -> int:
        return self._all

    def of(self, address: str) -> int:
        """Return the number of open connections of `address`."""
        return self._of.get(address, 0)

    def enter(self, address: str | None) -> str | None:
        """Count a new connection.

        Args:
            address: The remote address; None if the connection carries requests of many addresses.

        Returns:
            None, or the sentence that names the exceeded limit; then nothing was counted.
        """
        if address is not None and self.of(address) >= self._most_of_one:
            return self._full()
        if self._all >= self._most:
            return f"{self._most} connections are open (limits.connections)"
        self._all += 1
        return None if address is None else self.assign(address)

    def assign(self, address: str) -> str | None:
        """Count a connection, which was counted without an address, for `address` as well.

        Returns: None, or the sentence that names the exceeded limit; then nothing was counted.
        """
        here = self.of(address)
        if here >= self._most_of_one:
            return self._full()
        self._of[address] = here + 1
        return None

    def _full(self) -> str:
        return f"{self._most_of_one} connections of this address are open (limits.connections_per_address)"

    def leave(self, address: str | None) -> None:
        """Uncount a closed connection, which was counted for `address`; None if it was counted without an address."""
        self._all -= 1
        if address is not None:
            self.release(address)

    def release(self, address: str) -> None:
        """Undo `assign`."""
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]
