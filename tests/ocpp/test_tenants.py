"""The key of a Charge Point: what no identity can be, and what comes out of it again."""

from __future__ import annotations

from contextlib import suppress
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bridge.ocpp import identity as identities
from bridge.ocpp.tenants import (
    ALL,
    DEFAULT,
    SEPARATOR,
    identity_of,
    is_name,
    key_of,
    name_of,
    named,
    renamed,
    takes,
    tenant_of,
    without_tenants,
)

NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)
TENANTS = st.just(DEFAULT) | NAMES


@st.composite
def valid(draw: st.DrawFn) -> str:
    """An identity that a peer may have."""
    while True:
        with suppress(ValueError):
            return identities.read(draw(st.text(min_size=1, max_size=20)))


@given(TENANTS, valid())
def test_a_key_is_taken_apart_into_what_it_was_made_of(tenant: str, identity: str) -> None:
    key = key_of(tenant, identity)
    assert (tenant_of(key), identity_of(key)) == (tenant, identity)
    assert renamed(key, "another") == key_of(tenant, "another")
    assert (key == identity) is (tenant == DEFAULT)


@given(TENANTS, valid(), TENANTS, valid())
def test_two_keys_are_the_same_only_for_one_charge_point(
    tenant: str, identity: str, other_tenant: str, other: str
) -> None:
    """Also where letter case does not count, and in normal form: so they are compared and kept."""
    one, two = key_of(tenant, identity).casefold(), key_of(other_tenant, other).casefold()
    assert (one == two) is ((tenant, identity.casefold()) == (other_tenant, other.casefold()))
    assert tenant_of(one) == tenant and tenant_of(normalize("NFC", key_of(tenant, identity))) == tenant


@given(NAMES, valid())
def test_no_peer_can_send_a_key(tenant: str, identity: str) -> None:
    key = key_of(tenant, identity)
    with pytest.raises(ValueError, match="control character"):
        identities.read(key)
    with pytest.raises(ValueError, match="control character"):
        key_of(DEFAULT, key)
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(f"<a>{SEPARATOR}</a>")


@given(NAMES, valid())
def test_a_sentence_is_told_without_the_tenant(tenant: str, identity: str) -> None:
    key = key_of(tenant, identity)
    assert without_tenants(f"no Charge Point {key!r} was ever here") == f"no Charge Point {identity!r} was ever here"
    assert without_tenants(f"it is {key}") == f"it is {identity}"


def test_names_in_the_configuration() -> None:
    assert [named(""), named("default"), named("acme")] == ["", "", "acme"]
    assert [name_of(""), name_of("acme")] == ["default", "acme"]
    assert takes("", "") and takes("default", "") and takes("acme", "acme")
    assert takes(ALL, "") and takes(ALL, "acme")
    assert not takes("", "acme") and not takes("acme", "") and not takes("acme", "beta")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "a_b", "ä", "a" * 64, "a/b", "a\x1fb", "*", "..", "a\n"])
def test_what_is_no_name_of_a_tenant(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a", "0", "acme", "acme-2", "a" * 63])
def test_names_of_tenants(name: str) -> None:
    assert is_name(name)
