"""The slot of a Charge Point is the same in every node, version and spelling."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cluster.slots import SLOTS, slot_of
from bridge.ocpp.tenants import key_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [("EVLINK-0042", 955), ("CP1", 423), ("straße 7", 34), (key_of("north", "CP1"), 426)],
)
def test_the_slot_of_a_key_never_changes(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@given(st.text())
def test_the_spelling_of_an_identity_does_not_matter(key: str) -> None:
    assert 0 <= slot_of(key) < SLOTS
    assert slot_of(normalize("NFD", key)) == slot_of(key) == slot_of(normalize("NFC", key).casefold())
