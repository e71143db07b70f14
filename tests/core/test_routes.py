"""Which Central System a Charge Point belongs to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.routes import RouteRule, RouteTable
from bridge.errors import ErrorCode, FaultCode, UnknownIdentity
from bridge.ocpp.tenants import SEPARATOR

# What stands between a tenant and an identity is in no identity.
texts = st.text(st.characters(exclude_characters=SEPARATOR), max_size=12)


def routes(*patterns: str) -> RouteTable:
    """Each to the Central System of its own name."""
    return RouteTable([RouteRule(charge_point=pattern, central_system=pattern) for pattern in patterns])


def test_the_first_that_fits_decides() -> None:
    table = routes("EVLINK-7", "EVLINK-*", "*")
    assert table.find("EVLINK-7").central_system == "EVLINK-7"
    assert table.find("EVLINK-77").central_system == "EVLINK-*"
    assert table.find("RDAM 123").central_system == "*"


def test_the_route_is_given_as_it_is() -> None:
    route = RouteRule(charge_point="A*", central_system="main", strict=True)
    assert RouteTable([route]).find("abc") is route


@pytest.mark.parametrize(
    ("pattern", "identity"),
    [
        ("EVLINK-*", "evlink-1"),
        ("evlink-*", "EVLink-1"),
        ("straße", "STRASSE"),
        ("RDAM ???", "Rdam 123"),
        ("CP[0-9]", "cp7"),
        ("CP[A-C]", "cpb"),
        ("CP[!0-9]", "CPX"),
        ("*", ""),
        ("*", "line\nbreak"),
        ("A.B", "a.b"),
        ("(x|y)+$", "(X|Y)+$"),
    ],
)
def test_it_fits(pattern: str, identity: str) -> None:
    assert routes(pattern).find(identity).central_system == pattern


@pytest.mark.parametrize(
    ("pattern", "identity"),
    [
        ("EVLINK-*", "XEVLINK-1"),
        ("EVLINK", "EVLINK-1"),
        ("EVLINK", "EVLINK\n"),
        ("RDAM ???", "RDAM 1234"),
        ("CP[0-9]", "CPX"),
        ("A.B", "AXB"),
        ("CP1", " CP1"),
    ],
)
def test_it_does_not_fit(pattern: str, identity: str) -> None:
    with pytest.raises(UnknownIdentity):
        routes(pattern).find(identity)


def test_no_match_is_a_refusal_that_names_the_identity() -> None:
    with pytest.raises(UnknownIdentity, match=re.escape("'RDAM 123'")) as caught:
        routes("EVLINK-*").find("RDAM 123")
    assert caught.value.identity == "RDAM 123"
    assert caught.value.fault is FaultCode.IdentityMismatch
    assert caught.value.code is ErrorCode.SecurityError


def test_no_routes_take_nobody() -> None:
    with pytest.raises(UnknownIdentity):
        RouteTable([]).find("RDAM 123")


class TestListedOnly:
    TABLE = RouteTable(
        [
            RouteRule(charge_point="NL-*", central_system="main", listed_only=True),
            RouteRule(charge_point="*", central_system="other"),
        ],
        listed={"nl-rdam-1": object(), "de-1": object()},
    )

    @pytest.mark.parametrize("identity", ["NL-Rdam-1", "nl-rdam-1", "NL-RDAM-1"])
    def test_who_is_listed_is_taken(self, identity: str) -> None:
        assert self.TABLE.find(identity).central_system == "main"

    def test_who_is_not_is_refused_and_does_not_fall_through(self) -> None:
        with pytest.raises(UnknownIdentity):
            self.TABLE.find("NL-RDAM-2")

    def test_the_list_opens_no_route_of_its_own(self) -> None:
        assert self.TABLE.find("DE-1").central_system == "other"

    def test_the_list_is_of_identities_not_of_patterns(self) -> None:
        table = RouteTable([RouteRule(charge_point="*", central_system="main", listed_only=True)], listed=["nl-*"])
        with pytest.raises(UnknownIdentity):
            table.find("NL-1")


@given(pattern=texts, identity=texts)
def test_any_text_fits_or_does_not(pattern: str, identity: str) -> None:
    try:
        assert routes(pattern).find(identity).central_system == pattern
    except UnknownIdentity as error:
        assert error.identity == identity


@given(identity=texts)
def test_letter_case_never_matters(identity: str) -> None:
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in identity)
    for spelling in (identity, identity.casefold()):
        assert routes(literal).find(spelling).charge_point == literal
