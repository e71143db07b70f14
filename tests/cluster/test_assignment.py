"""Which node should hold which slot: equal shares, and as few moves as possible."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.cluster.assignment import assigned
from bridge.cluster.slots import SLOTS

NODES = st.sets(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1)


@given(NODES, NODES)
def test_shares_are_equal_and_only_what_must_move_moves(before: set[str], after: set[str]) -> None:
    first = assigned((), before)
    second = assigned(first, after)

    counted = Counter(second)
    assert set(second) == after
    assert max(counted.values()) - min(counted.values()) <= 1
    kept = sum(one == other for one, other in zip(first, second, strict=True))
    shares, owned = sorted(counted.values(), reverse=True), Counter(first)
    stay = sorted((owned[node] for node in after), reverse=True)
    assert kept == sum(min(had, share) for had, share in zip(stay, shares, strict=True))
    assert len(second) == SLOTS


@given(NODES)
def test_nothing_moves_while_the_nodes_are_the_same(nodes: set[str]) -> None:
    first = assigned((), nodes)

    assert assigned(first, nodes) == first
