"""Which role the claims of an ID token give, and under which name the audit has its owner."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.oidc.outcome import Identified
from bridge.oidc.roles import RoleRules, identified, name_of, role_of

READ, OPERATE = frozenset({"viewers", "ben@example.com"}), frozenset({"operators", "ann@example.com"})


def role(claim: str, **claims: Any) -> str | None:
    """The role that the claim gives."""
    return role_of(claims, RoleRules(claim=claim, read=READ, operate=OPERATE))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["operators"], "operate"),
        (["viewers", "operators", 7], "operate"),
        ("operators", "operate"),
        (["viewers"], "read"),
        ("viewers", "read"),
        (["Operators"], None),
        ("operators viewers", None),
        ([], None),
        (None, None),
        (True, None),
        ({"operators": True}, None),
        ([["operators"]], None),
    ],
)
def test_the_values_of_a_claim(value: object, expected: str | None) -> None:
    assert role("groups", groups=value) == expected


def test_where_a_claim_is() -> None:
    nested = {"realm_access": {"roles": ["viewers"]}}
    assert role("realm_access.roles", **nested) == "read"
    assert role("realm_access.roles.x", **nested) is None
    assert role("realm_access", **nested) is None
    assert role("https://example.com/roles", **{"https://example.com/roles": ["operators"]}) == "operate"
    assert role("groups") is None


def test_an_address_counts_if_the_provider_has_verified_it() -> None:
    """Otherwise anybody could give themselves the address of an operator."""
    assert role("email", email="ann@example.com", email_verified=True) == "operate"
    assert role("email", email="ben@example.com", email_verified=True) == "read"
    for verified in (False, None, "true", 1):
        assert role("email", email="ann@example.com", email_verified=verified) is None
    assert role("email", email="ann@example.com") is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "ann@example.com", "name": "Ann"}, "ann@example.com"),
        ({"preferred_username": "ann", "name": "Ann Example"}, "ann"),
        ({"name": "Ann Example"}, "Ann Example"),
        ({"email": " ", "name": 7}, "1"),
        ({"name": "Zoë 王"}, "Zoë 王"),
        ({"name": "x), 10.0.0.1 (night desk"}, "x\\u0029, 10.0.0.1 \\u0028night desk"),
        ({"name": "a\nb\x1b[2J\u202e\\u0029"}, "a\\u000ab\\u001b[2J\\u202e\\u005cu0029"),
        ({"name": "x" * 100}, "x" * 100),
        ({"name": "x" * 101}, "x" * 99 + "…"),
    ],
)
def test_the_name_in_the_audit(claims: dict[str, Any], name: str) -> None:
    told = identified(
        {"sub": "1", "groups": ["viewers"]} | claims, RoleRules(claim="groups", read=READ, operate=OPERATE)
    )
    assert told == Identified(subject="1", name=name, role="read")


@pytest.mark.parametrize(
    ("claim", "claims", "lacks"),
    [
        ("groups", {}, "the ID token has no such claim, or no text in it"),
        ("groups", {"groups": 7}, "the ID token has no such claim, or no text in it"),
        ("groups", {"groups": ["staff", "sales"]}, "2 values give no role"),
        ("email", {"email": "ann@example.com"}, "the provider has not verified the address"),
        ("groups", {"groups": ["operators"]}, ""),
    ],
)
def test_why_there_is_no_role(claim: str, claims: dict[str, Any], lacks: str) -> None:
    told = identified({"sub": "1"} | claims, RoleRules(claim=claim, read=READ, operate=OPERATE))
    assert (told.lacks, told.role is None) == (lacks, lacks != "")


@given(st.text(min_size=1, alphabet=st.characters(codec="utf-8")))
def test_whatever_the_name_it_is_one_short_line_without_brackets(name: str) -> None:
    told = name_of({"sub": "1", "name": name})
    assert told.isprintable() and 1 <= len(told) <= 100
    assert not set("()") & set(told)
