"""One normal form, one Charge Point; nothing that leads out of a folder or ends a line."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp import identity as identities


@pytest.mark.parametrize("text", ["CP 1", "00:90:0B", "a/b", "/", "Z\u00fcrich", "...", "x" * 255, "*", "%2F"])
def test_identities(text: str) -> None:
    assert identities.read(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 256, "a\0b", "a\r\nb", "a\n", ".\n", "\x7f", "a\u200db", "\u202eb"),
        *(".", "..", "../a", "a/../b", "a\\..", "\uff23P", "\ufb01", "\u017f"),
    ],
)
def test_no_identities(text: str) -> None:
    with pytest.raises(ValueError, match="identity"):
        identities.read(text)


@given(st.text())
def test_any_text_is_an_identity_in_its_normal_form_or_none(text: str) -> None:
    try:
        identity = identities.read(text)
    except ValueError:
        return
    assert identity == normalize("NFC", text) == identities.normal(normalize("NFD", text))
    assert identities.same(identity, normalize("NFD", text))
