"""What happens too often to be told each time: it is told in sums, soon. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Sums:
    """How often each name was added since they were told last. `later` calls in a while, `told` gets a name and its
    sum."""

    def __init__(self, later: Callable[[Callable[[], None]], object], told: Callable[[str, int], None]) -> None:
        self._later = later
        self._told = told
        self._sums: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Once more."""
        sums = self._sums
        is_first = not sums
        sums[name] = sums.get(name, 0) + 1
        if is_first:
            self._later(self.tell)

    def tell(self) -> None:
        """What there is."""
        sums, self._sums = self._sums, {}
        for name, times in sums.items():
            self._told(name, times)
