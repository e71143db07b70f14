"""The role and the name of an operator, from the claims of a verified ID token. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bridge.oidc.outcome import Identified, OperatorRole

# The most characters of a name in the audit. The claims that hold a name, the best first.
_LONGEST = 100
_NAMES = ("email", "preferred_username", "name")
_ADDRESS = "email"


class RoleRules(Struct, frozen=True, kw_only=True):
    """Which values of a claim give which role.

    Attributes:
        claim: The name of the claim. Dots lead into nested claims.
        read: The values that give the role "read".
        operate: The values that give the role "operate", which goes first.
    """

    claim: str
    read: frozenset[str]
    operate: frozenset[str]


def identified(claims: Mapping[str, Any], rules: RoleRules) -> Identified:
    """Return the operator that the claims of an ID token describe."""
    role = role_of(claims, rules)
    lacks = "" if role is not None else _lack(claims, rules.claim)
    return Identified(subject=claims["sub"], name=name_of(claims), role=role, lacks=lacks)


def role_of(claims: Mapping[str, Any], rules: RoleRules) -> OperatorRole | None:
    """Return the role that the claims give, or None."""
    values = _values(claims, rules.claim)
    if values & rules.operate:
        return "operate"
    return "read" if values & rules.read else None


def _lack(claims: Mapping[str, Any], name: str) -> str:
    """Return why a claim gives no role."""
    if name == _ADDRESS and claims.get("email_verified") is not True:
        return "the provider has not verified the address"
    count = len(_values(claims, name))
    return f"{count} values give no role" if count else "the ID token has no such claim, or no text in it"


def _values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the texts in a claim, which is a text or a list. An address that was not verified could be anybody's."""
    if name == _ADDRESS and claims.get("email_verified") is not True:
        return frozenset()
    found = claims[name] if name in claims else _nested(claims, name.split("."))
    return frozenset(each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str))


def _nested(claims: Any, names: list[str]) -> Any:
    for name in names:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def name_of(claims: Mapping[str, Any]) -> str:
    """Return the name for the audit: an e-mail address, a user name, a name, or else the subject.

    Characters that could disguise the name or forge an entry of the audit are escaped.
    """
    told = (claims.get(name) for name in _NAMES)
    name = next((text for text in told if isinstance(text, str) and text.strip()), claims["sub"])
    text = "".join(map(_escaped, name[: _LONGEST + 1]))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _escaped(char: str) -> str:
    if char.isprintable() and char not in "()\\":
        return char
    return f"\\u{ord(char):04x}"
