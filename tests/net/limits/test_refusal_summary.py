"""Each name is told once, with how often it came; nothing is told that did not come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bridge.net.limits.refusal_summary import RefusalSummary


@given(st.lists(st.sampled_from("abc") | st.none(), max_size=50))
def test_nothing_is_lost_and_nothing_told_twice(steps: list[str | None]) -> None:
    """None is a while."""
    due: list[Callable[[], None]] = []
    told: list[tuple[str, int]] = []
    sums = RefusalSummary(due.append, lambda name, times: told.append((name, times)))
    came: Counter[str] = Counter()
    for step in [*steps, None]:
        if step is not None:
            sums.add(step)
            came[step] += 1
            assert len(due) == 1
            continue
        for tell in due:
            tell()
        due.clear()
        assert dict(told) == came
        told.clear()
        came.clear()
    sums.tell()
    assert told == []
