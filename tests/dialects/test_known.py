"""What an Occupied connector does, by what is known of it. How it comes to be known: tests/core/test_connectors.py."""

from __future__ import annotations

import pytest

from bridge.dialects.known import Known


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (Known(), "Preparing"),
        (Known(charging=frozenset({2}), finishing=frozenset({3})), "Preparing"),
        (Known(charging=frozenset({1})), "Charging"),
        (Known(finishing=frozenset({1})), "Finishing"),
        # What is open counts, whatever ended before.
        (Known(charging=frozenset({1}), finishing=frozenset({1})), "Charging"),
    ],
)
def test_occupied_is_told_apart(known: Known, status: str) -> None:
    assert known.occupied(1) == status


def test_a_connector_without_a_number_is_none_that_is_known() -> None:
    assert Known(charging=frozenset({0}), finishing=frozenset({0})).occupied(None) == "Preparing"
