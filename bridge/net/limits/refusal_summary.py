"""Summaries of refusals that are too frequent to report each one. No I/O."""

from __future__ import annotations

from collections.abc import Callable


class RefusalSummary:
    """The number of refusals for each name since the last report.

    Args:
        later: Calls its argument after a while.
        told: Called with each name and its count.
    """

    def __init__(self, later: Callable[[Callable[[], None]], object], told: Callable[[str, int], None]) -> None:
        self._later = later
        self._told = told
        self._refusal_summary: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Count one refusal for `name`."""
        refusal_summary = self._refusal_summary
        is_first = not refusal_summary
        refusal_summary[name] = refusal_summary.get(name, 0) + 1
        if is_first:
            self._later(self.tell)

    def tell(self) -> None:
        """Report all counts, and reset them."""
        refusal_summary, self._refusal_summary = self._refusal_summary, {}
        for name, times in refusal_summary.items():
            self._told(name, times)
