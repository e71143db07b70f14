"""Where a Charge Point belongs, what it is called there, and what is dialled for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import CentralSystem, ChargePoint, Gateway, Quirks, Route, Settings
from bridge.core.addresses import CallbackTarget
from bridge.core.links import SessionTerms
from bridge.errors import UnknownIdentity
from bridge.gateway.placement import Placement, Placements

_LETTERS = st.one_of(st.characters(codec="ascii", exclude_categories=["Cc"]), st.sampled_from("ßİÄẞﬃ"))
MAIN = CentralSystem(url="ws://main.example/ocpp")
SOAP = CentralSystem(protocol="ocpp1.6s", url="http://soap.example/services/CentralSystemService")


def placements(*routes: Route, charge_points: dict[str, ChargePoint] | None = None, **tables: Any) -> Placements:
    """Of two Central Systems, main and soap; without routes, all to main."""
    return Placements(
        Settings(
            central_systems={"main": MAIN, "soap": SOAP} | tables.pop("central_systems", {}),
            routes=routes or (Route(charge_point="*", central_system="main"),),
            charge_points=charge_points or {},
            **tables,
        )
    )


def placed(identity: str = "RDAM 123", *routes: Route, **tables: Any) -> Placement:
    return placements(*routes, **tables).of(identity)


class TestRoutes:
    """First match wins; no match is a refusal."""

    def test_the_first_that_fits_decides(self) -> None:
        all_of_them = placements(
            Route(charge_point="EVLINK-*", central_system="soap", tolerance="strict"),
            Route(charge_point="*", central_system="main"),
        )
        first, second = all_of_them.of("evlink-7"), all_of_them.of("RDAM 123")
        assert (first.central_system, first.system, first.strict, first.speaks_json) == ("soap", SOAP, True, False)
        assert (second.central_system, second.system, second.strict, second.speaks_json) == ("main", MAIN, False, True)

    def test_none_is_a_refusal(self) -> None:
        with pytest.raises(UnknownIdentity):
            placed("RDAM 123", Route(charge_point="EVLINK-*", central_system="main"))

    def test_accept_listed_wants_it_among_the_charge_points(self) -> None:
        route = Route(charge_point="*", central_system="main", accept="listed")
        some = placements(route, charge_points={"RDAM 123": ChargePoint()})
        assert some.of("rdam 123").central_system == "main"
        with pytest.raises(UnknownIdentity):
            some.of("RDAM 124")

    def test_each_routes_quirks_are_its_own(self) -> None:
        some = placements(
            Route(charge_point="A*", central_system="main", assumed_zone="+01:00"),
            Route(charge_point="*", central_system="main"),
        )
        assert some.of("A1").quirks == Quirks(assumed_zone="+01:00")
        assert some.of("B1").quirks == Quirks()

    def test_of_two_alike_the_first_counts(self) -> None:
        some = placements(
            Route(charge_point="*", central_system="main", assumed_zone="+01:00"),
            Route(charge_point="*", central_system="main", assumed_zone="+02:00"),
        )
        assert some.of("A1").quirks.assumed_zone == "+01:00"


def test_the_terms_are_the_gateways_and_the_central_systems() -> None:
    slow = CentralSystem(url="ws://slow.example/", reconnect_min=3, reconnect_max=9, replay_boot=True)
    route = Route(charge_point="*", central_system="slow")
    placement = placed("CP", route, central_systems={"slow": slow}, gateway=Gateway(call_timeout=7))
    assert placement.terms == SessionTerms(
        call_timeout=7,
        reconnect_min=3,
        reconnect_max=9,
        replay_boot=True,
        infer_status=True,
        central_system="slow",
    )
    assert placed("CP").terms == SessionTerms(replay_boot="auto", infer_status=True, central_system="main")


def test_the_terms_of_a_route_are_its_own() -> None:
    patient = Route(
        charge_point="A*", central_system="main", heartbeat_max=300, command_timeout=90, wake_url="http://w/"
    )
    some = placements(patient, Route(charge_point="*", central_system="main"))
    terms = some.of("A1").terms
    assert (terms.heartbeat_max, terms.command_timeout, some.of("A1").wake_url) == (300, 90, "http://w/")
    terms = some.of("B1").terms
    assert (terms.heartbeat_max, terms.command_timeout, some.of("B1").wake_url) == (None, None, "")


@pytest.mark.parametrize(
    ("protocol", "route", "infers"),
    [
        ("ocpp1.6j", {}, True),
        ("ocpp1.6s", {}, True),
        ("ocpp1.6j", {"infer_status": False}, False),
        ("ocpp1.6j", {"tolerance": "strict"}, False),
        ("ocpp1.5s", {}, False),
        ("ocpp1.2s", {}, False),
    ],
)
def test_a_status_is_inferred_for_central_systems_of_1_6(protocol: Any, route: dict[str, Any], infers: bool) -> None:
    system = CentralSystem(url="http://cs.example/", protocol=protocol)
    placement = placed("CP", Route(charge_point="*", central_system="x", **route), central_systems={"x": system})
    assert placement.terms.infer_status is infers


class TestNames:
    """What it is called by its Central System."""

    @pytest.mark.parametrize(
        ("template", "name"),
        [
            ("", "RDAM 123"),
            ("NL*{identity}", "NL*RDAM 123"),
            ("{identity}-{identity}", "RDAM 123-RDAM 123"),
            ("x", "x"),
        ],
    )
    def test_a_route_may_have_a_template(self, template: str, name: str) -> None:
        route = Route(charge_point="*", central_system="main", central_system_identity=template)
        placement = placed("RDAM 123", route)
        assert (placement.identity, placement.name) == ("RDAM 123", name)

    def test_an_identity_is_no_template(self) -> None:
        route = Route(charge_point="*", central_system="main", central_system_identity="NL*{identity}")
        assert placed("{identity}{0}%s", route).name == "NL*{identity}{0}%s"

    def test_its_own_name_comes_before_the_routes(self) -> None:
        route = Route(charge_point="*", central_system="main", central_system_identity="NL*{identity}")
        own = {"RDAM 123": ChargePoint(central_system_identity="NL-RDAM-123"), "other": ChargePoint()}
        some = placements(route, charge_points=own)
        assert some.of("RDAM 123").name == "NL-RDAM-123"
        assert some.of("rdam 123").name == "NL-RDAM-123"
        assert some.of("other").name == "NL*other"

    def test_the_spelling_of_the_configuration_counts(self) -> None:
        """Who is named there was first written there."""
        some = placements(charge_points={"RDAM 123": ChargePoint()})
        assert (some.of("rdam 123").identity, some.of("rdam 123").name) == ("RDAM 123", "RDAM 123")
        assert some.of("rdam 124").identity == "rdam 124"


class TestNamed:
    """A SOAP Central System names who it commands, in its own words."""

    NL = Route(charge_point="*", central_system="soap", central_system_identity="NL*{identity}*x")

    def test_it_is_found_by_the_name_that_is_its_own(self) -> None:
        own = {
            "RDAM 123": ChargePoint(central_system_identity="NL-RDAM-123"),
            "RDAM 124": ChargePoint(central_system_identity="{identity}!"),
        }
        some = placements(self.NL, charge_points=own)
        assert some.named("nl-rdam-123") == some.of("RDAM 123")
        assert some.named("RDAM 124!") == some.of("RDAM 124")

    def test_and_by_what_a_routes_template_makes_of_its_identity(self) -> None:
        some = placements(
            Route(charge_point="BE*", central_system="soap", central_system_identity="BE-{identity}"), self.NL
        )
        assert some.named("nl*RDAM 123*X").identity == "RDAM 123"
        assert some.named("BE-BE 1") == some.of("BE 1")

    def test_and_by_its_identity_if_it_has_no_other_name(self) -> None:
        assert placements().named("RDAM 123") == placed("RDAM 123")
        assert placements(charge_points={"RDAM 123": ChargePoint()}).named("rdam 123").identity == "RDAM 123"

    @pytest.mark.parametrize("name", ["RDAM 123", "NL-RDAM-123", "NL*RDAM 123*x", "NL**x", "NL*x", "", "*x"])
    def test_not_by_a_name_that_it_does_not_have(self, name: str) -> None:
        """Else a command would reach a Charge Point that its sender does not mean."""
        own = {"RDAM 123": ChargePoint(central_system_identity="BE-RDAM-123")}
        with pytest.raises(UnknownIdentity):
            placements(self.NL, charge_points=own).named(name)

    def test_not_where_no_route_leads(self) -> None:
        with pytest.raises(UnknownIdentity):
            placements(Route(charge_point="A*", central_system="soap")).named("B1")

    @pytest.mark.parametrize(
        ("template", "identity"), [("Straße-{identity}", "A"), ("İ{identity}İ", "ß"), ("{identity}-ßß", "İ")]
    )
    def test_in_letters_that_are_longer_when_case_is_folded(self, template: str, identity: str) -> None:
        some = placements(Route(charge_point="*", central_system="soap", central_system_identity=template))
        name = some.of(identity).name
        for said in (name, name.casefold()):
            assert some.named(said).identity.casefold() == identity.casefold()

    def test_a_part_of_a_folded_letter_is_no_prefix(self) -> None:
        some = placements(Route(charge_point="*", central_system="soap", central_system_identity="s{identity}"))
        with pytest.raises(UnknownIdentity):
            some.named("ßA")

    @given(st.text(_LETTERS, min_size=1), st.text(_LETTERS), st.text(_LETTERS))
    def test_whoever_has_a_name_is_found_by_it(self, identity: str, before: str, after: str) -> None:
        template = f"{before}{{identity}}{after}"
        some = placements(Route(charge_point="*", central_system="soap", central_system_identity=template))
        assert some.named(some.of(identity).name) == some.of(identity)


def test_a_configured_callback_address_is_pinned() -> None:
    own = {"RDAM 123": ChargePoint(callback_url="http://10.1.2.3:8081/")}
    assert placed("rdam 123", charge_points=own).pinned == CallbackTarget(url="http://10.1.2.3:8081/")
    assert placed("RDAM 124", charge_points=own).pinned is None


class TestTargets:
    """What is dialled."""

    @pytest.mark.parametrize(
        ("url", "identity", "address"),
        [
            ("ws://h/ocpp", "CP1", "ws://h/ocpp/CP1"),
            ("ws://h/ocpp/", "CP1", "ws://h/ocpp/CP1"),
            ("wss://h:8443", "CP1", "wss://h:8443/CP1"),
            ("ws://h/ocpp", "RDAM 123", "ws://h/ocpp/RDAM%20123"),
            ("ws://h/ocpp", "a/b?c#d%e", "ws://h/ocpp/a%2Fb%3Fc%23d%25e"),
            ("ws://h/ocpp", "NL*RDAM:1", "ws://h/ocpp/NL*RDAM:1"),
            ("ws://h/ocpp", "Köln", "ws://h/ocpp/K%C3%B6ln"),
            ("ws://h/ocpp?token=a%20b", "CP 1", "ws://h/ocpp/CP%201?token=a%20b"),
            ("ws://h/{identity}/ocpp", "a/b&c", "ws://h/a%2Fb&c/ocpp"),
            ("ws://h/ocpp?cp={identity}&v=1", "a/b&c=d+e", "ws://h/ocpp?cp=a%2Fb%26c%3Dd%2Be&v=1"),
            ("ws://h/x-{identity}?cp={identity}", "Köln", "ws://h/x-K%C3%B6ln?cp=K%C3%B6ln"),
        ],
    )
    def test_the_identity_has_its_place_percent_encoded(self, url: str, identity: str, address: str) -> None:
        system = {"main": CentralSystem(url=url)}
        assert placed(identity, central_systems=system).target().address == address

    def test_it_is_the_name_there(self) -> None:
        route = Route(charge_point="*", central_system="main", central_system_identity="NL*{identity}")
        assert placed("A B", route).target().address == "ws://main.example/ocpp/NL*A%20B"

    def test_a_soap_address_is_used_as_it_is_or_with_the_identity_in_it(self) -> None:
        def of(url: str) -> str:
            route = Route(charge_point="*", central_system="soap", central_system_identity="NL {identity}")
            system = {"soap": CentralSystem(protocol="ocpp1.6s", url=url)}
            return placed("A?B", route, central_systems=system).url

        assert of("http://h/services") == "http://h/services"
        assert of("http://h/{identity}/services?cp={identity}") == "http://h/NL%20A%3FB/services?cp=NL%20A%3FB"

    def test_the_rest_of_the_handshake(self) -> None:
        system = {"main": CentralSystem(url="ws://h/", ping_interval=0)}
        assert placed().target().ping_interval == 30.0
        assert placed(central_systems=system).target().ping_interval is None
        assert placed().target().subprotocols == ("ocpp1.6",)
        assert placed().target(subprotocols=("ocpp2.0.1",)).subprotocols == ("ocpp2.0.1",)
