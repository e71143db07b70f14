"""The targets of `make fuzz`, with what Hypothesis makes of their seeds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.mutations import mutated

EACH = pytest.mark.parametrize("name", TARGETS)


@EACH
def test_every_seed(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) > 10
    for seed in seeds:
        target.run(seed)


@EACH
def test_any_bytes(name: str) -> None:
    target = TARGETS[name]

    @given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
    def survives(data: bytes) -> None:
        target.run(data)

    survives()


@EACH
def test_a_seed_that_was_damaged(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=300, deadline=None)
    @given(mutated(st.sampled_from(list(target.seeds())), target.words))
    def survives(data: bytes) -> None:
        target.run(data)

    survives()
