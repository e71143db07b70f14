"""Tenants in the configuration: what is wrong with them, and which tenant a peer is of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Soap, cautions, exposed
from bridge.config.access import route_of
from bridge.config.tenants import by_key, soap_url, tenant_at, urls_of
from bridge.ocpp.tenants import DEFAULT, key_of
from tests.config import Files

ACME = '[tenants.acme]\nhosts = ["acme.example"]\n'
SYSTEMS = """
[central_systems.main]
url = "ws://127.0.0.1:9100/ocpp"
[central_systems.acme]
url = "ws://127.0.0.1:9200/ocpp"
tenant = "acme"
[central_systems.all]
url = "ws://127.0.0.1:9300/ocpp"
tenant = "*"
"""
HOSTS = {"acme.example": "acme", "www.acme.example": "acme", "beta.example": "beta"}


def also(system: str) -> str:
    return f'[[routes.also]]\ncentral_system = "{system}"\n'


def route(system: str, tenant: str = "") -> str:
    return f'[[routes]]\ncharge_point = "*"\ncentral_system = "{system}"\ntenant = "{tenant}"\n'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[tenants.Acme]\nhosts = []", "tenants.Acme: expected a name of lower-case letters"),
        ('[tenants."a b"]\nhosts = ["a"]', 'tenants."a b": expected a name of lower-case letters'),
        ('[tenants.default]\nhosts = ["a"]', "tenants.default: is the tenant of everything that names no tenant"),
        ("[tenants.acme]\nhosts = []", "tenants.acme: has no way in: give it hosts, or a listener the key tenant"),
        (ACME + '[tenants.beta]\nhosts = ["ACME.example"]', 'a host of the tenant "acme" too'),
        ('[tenants.acme]\nhosts = ["acme.example:9000"]', "tenants.acme.hosts[0]: expected a host name without a port"),
        ('[tenants.acme]\nhosts = ["*.example"]', "tenants.acme.hosts[0]: expected a host name without a port"),
        ('[tenants.acme]\nhosts = [""]', "tenants.acme.hosts[0]: expected a host name without a port"),
        ("[tenants.acme]\nhost = []", "tenants.acme.host: unknown key, did you mean hosts?"),
        (ACME + '[soap]\ntenant = "acm"', 'soap.tenant: no tenant is called "acm", did you mean acme?'),
        (ACME + '[soap]\ntenant = "*"', 'soap.tenant: no tenant is called "*"'),
        (ACME + '[soap]\ntenant = "acme"\n[websocket]\ntenant = "default"\n' + SYSTEMS + route("main"), ""),
        (ACME + SYSTEMS + route("main", "beta"), 'routes[0].tenant: no tenant is called "beta"'),
        (ACME + SYSTEMS + route("main", "*"), 'routes[0].tenant: no tenant is called "*"'),
        (ACME + SYSTEMS + route("main", "acme"), 'routes[0].central_system: "main" is not for the tenant "acme"'),
        (ACME + SYSTEMS + route("acme"), 'routes[0].central_system: "acme" is not for the tenant "default"'),
        (
            SYSTEMS + route("main") + 'central_system_identity = "a\\u001f{identity}"\n',
            "routes[0].central_system_identity: has control characters",
        ),
        (ACME + SYSTEMS + route("all") + route("all", "acme") + route("acme", "acme"), ""),
        (ACME + SYSTEMS + route("main") + also("all") + route("acme", "acme") + also("all"), ""),
        (
            ACME + SYSTEMS + route("main") + also("acme"),
            'routes[0].also[0].central_system: "acme" is not for the tenant "default": see its tenant',
        ),
        (
            ACME + SYSTEMS + route("acme", "acme") + also("all") + also("main"),
            'routes[0].also[1].central_system: "main" is not for the tenant "acme": see its tenant',
        ),
        (ACME + SYSTEMS + route("main", "beta") + also("all"), 'routes[0].tenant: no tenant is called "beta"'),
        (
            '[soap]\ntenant = "default"\n[[websocket]]\ntenant = "acme"\n[tenants.acme]\n'
            '[central_systems.old]\nprotocol = "ocpp1.6s"\nurl = "http://127.0.0.1/"\ntenant = "acme"\n'
            + SYSTEMS
            + route("acme", "acme")
            + also("old"),
            'routes[0].also[0].central_system: the tenant "acme" has no SOAP address',
        ),
        (
            '[soap]\ntenant = "default"\n[[websocket]]\ntenant = "acme"\n[tenants.acme]\n'
            '[central_systems.old]\nprotocol = "ocpp1.6s"\nurl = "http://127.0.0.1/"\ntenant = "acme"\n'
            + route("old", "acme"),
            'routes[0].central_system: the tenant "acme" has no SOAP address',
        ),
        (
            ACME + '[tenants.acme.charge_points."CP 1"]\n[tenants.acme.charge_points."cp 1"]\n',
            'tenants.acme.charge_points."cp 1": is the same Charge Point as "CP 1"',
        ),
        (ACME + '[tenants.acme.charge_points."CP 1"]\n[charge_points."CP 1"]\n', ""),
        (
            ACME + '[tenants.acme.charge_points."CP 1"]\ncallback_url = "ftp://a/"\n',
            'tenants.acme.charge_points."CP 1".callback_url: ',
        ),
        (
            ACME + '[tenants.acme.charge_points."CP 1"]\ntoken = "short"\n',
            'tenants.acme.charge_points."CP 1".token: expected at least 24',
        ),
    ],
)
def test_what_is_wrong(files: Files, content: str, complaint: str) -> None:
    told = files.complaints(content)
    assert [line for line in told if complaint in line] if complaint else told == [], told


def test_charge_points_are_by_key_and_routes_by_tenant(files: Files) -> None:
    content = ACME + '[tenants.acme.charge_points."CP 1"]\n[charge_points."CP 1"]\ncertificate_name = "x"\n'
    settings = files.load(content + SYSTEMS + route("acme", "acme") + route("main"))
    found = by_key(settings)
    assert list(found) == ["CP 1", key_of("acme", "CP 1")]
    assert found["CP 1"].certificate_name == "x"
    first, second = settings.routes
    assert (route_of("CP 1", settings), route_of("CP 1", settings, "acme")) == (second, first)
    assert route_of("CP 1", settings, "beta") is None


def test_tables_of_tenants_are_in_several_files(files: Files) -> None:
    files.write('[tenants.beta]\nhosts = ["beta.example"]\n', "beta.toml")
    assert list(files.load('include = ["beta.toml"]\n' + ACME).tenants) == ["acme", "beta"]


def test_what_tenants_share_is_told(files: Files) -> None:
    settings = files.load(ACME + SYSTEMS + route("all") + route("all", "acme"))
    told = list(cautions(settings))
    assert [line for line in told if line.startswith("admin.open_metrics: ")]
    assert [line for line in told if line.startswith("central_systems.all: is shared by several tenants")]
    apart = route("all", "acme") + 'central_system_identity = "ACME-{identity}"\n'
    settings = files.load(ACME + SYSTEMS + route("all") + apart + "[admin]\nopen_metrics = false\n")
    assert [line for line in cautions(settings) if "tenants" in line or "open_metrics" in line] == []


def test_an_open_listener_is_told_with_the_routes_of_its_tenant(files: Files) -> None:
    listener = '[websocket]\nlisten = "0.0.0.0:9000"\ntenant = "acme"\n'
    told = list(exposed(files.load(ACME + listener + SYSTEMS + route("main") + route("acme", "acme"))))
    assert {line.partition(".")[0] for line in told if line.startswith("routes[")} == {"routes[1]"}


@pytest.mark.parametrize(
    ("own", "named", "tenant"),
    [
        ("", [], DEFAULT),
        ("", ["127.0.0.1:8080"], DEFAULT),
        ("", ["[::1]:8080"], DEFAULT),
        ("", ["acme.example"], "acme"),
        ("", ["ACME.Example.:8080"], "acme"),
        ("", ["acme.example", "www.acme.example:80"], "acme"),
        ("", ["acme.example", "beta.example"], None),
        ("", ["acme.example", "other.example"], None),
        ("", ["[acme.example"], DEFAULT),
        ("acme", [], "acme"),
        ("acme", ["other.example"], "acme"),
        ("acme", ["acme.example"], "acme"),
        ("acme", ["beta.example"], None),
        ("acme", ["acme.example", "beta.example"], None),
        ("default", ["other.example"], DEFAULT),
        ("default", ["acme.example"], None),
    ],
)
def test_the_tenant_of_a_peer(own: str, named: list[str], tenant: str | None) -> None:
    assert tenant_at(Soap(tenant=own), named, HOSTS) == tenant


@given(st.sampled_from(["", "default", "acme", "beta"]), st.lists(st.text(max_size=20) | st.sampled_from([*HOSTS])))
def test_a_listener_of_one_tenant_never_leads_to_another(own: str, named: list[str]) -> None:
    found = tenant_at(Soap(tenant=own), named, HOSTS)
    assert found in ((None, {"default": DEFAULT}.get(own, own)) if own else (None, DEFAULT, "acme", "beta"))


def test_addresses(files: Files) -> None:
    settings = files.load(
        '[[soap]]\npublic_url = "https://ocpp.example:8443/"\n[[soap]]\nlisten = "127.0.0.1:8082"\ntenant = "beta"\n'
        'public_url = "http://beta:8082"\n' + ACME + '[tenants.beta]\nhosts = ["beta.example"]\n'
    )
    shared, betas = settings.soap
    assert urls_of(shared, "https://ocpp.example:8443/a", "acme", settings) == ["https://acme.example:8443/a"]
    assert urls_of(shared, "https://ocpp.example/a", DEFAULT, settings) == ["https://ocpp.example/a"]
    assert urls_of(betas, "http://beta", "beta", settings) == ["http://beta"]
    assert urls_of(betas, "http://beta", "acme", settings) == urls_of(betas, "http://beta", DEFAULT, settings) == []
    assert soap_url(settings, DEFAULT) == "https://ocpp.example:8443"
    assert soap_url(settings, "acme") == "https://acme.example:8443"
    assert soap_url(settings, "beta") == "http://beta:8082"
    assert soap_url(settings, "gone") == ""
