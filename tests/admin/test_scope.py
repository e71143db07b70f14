"""What an answer about one tenant may hold."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from bridge.admin.scope import ForeignTenant, with_identities
from bridge.ocpp.tenants import DEFAULT, key_of


class Inner(Struct, frozen=True):
    identity: str | None
    text: str = "acme\x1f stays here"


class Outer(Struct, frozen=True):
    items: list[Inner]
    one: Inner
    pair: tuple[Inner, ...] = ()
    number: int = 1
    rest: Any = None


def answer(*keys: str | None) -> Outer:
    return Outer([Inner(key) for key in keys], Inner(keys[0]), (Inner(keys[-1]),), 2, {"identity": "left alone"})


def test_keys_become_identities_wherever_they_are() -> None:
    keys = [key_of("acme", "CP 1"), key_of("acme", "")]
    assert with_identities(answer(*keys), "acme") == answer("CP 1", "")


def test_an_answer_of_the_default_tenant_stays_the_same_object() -> None:
    given = answer("CP 1", "", None)
    assert with_identities(given, DEFAULT) is given


@pytest.mark.parametrize(
    ("tenant", "key"),
    [
        (DEFAULT, key_of("acme", "CP 1")),
        (DEFAULT, key_of("acme", "")),
        ("acme", "CP 1"),
        ("acme", key_of("acm", "CP 1")),
        ("acm", key_of("acme", "CP 1")),
    ],
)
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [Inner(None), one], lambda one: Outer([], one)])
def test_the_key_of_another_tenant_is_never_sent(tenant: str, key: str, wrap: Any) -> None:
    with pytest.raises(ForeignTenant):
        with_identities(wrap(Inner(key)), tenant)
