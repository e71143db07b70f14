"""Combinations that cannot work, and addresses looked at closely."""

from __future__ import annotations

import pytest

from bridge.config import Settings
from bridge.config.complaints import dotted
from bridge.config.listeners import places
from tests.config import Files

ROUTE = '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
MAIN = '[central_systems.main]\nurl = "ws://cs/ocpp"\n'
WS = "expected an address that begins with ws:// or wss://"
PROXY = "proxies = ['10.0.0.0/8']\nproxy = 'forwarded'\n"
CERTIFICATE = "proxy_certificate_header = 'X-C'\nproxy_certificate_format = 'pem'\n"
HTTP = "expected an address that begins with http:// or https://"


def told(files: Files, content: str) -> list[str]:
    return [line.removeprefix("conf.toml: ") for line in files.complaints(content)]


# Proxies


@pytest.mark.parametrize("table", ["soap", "websocket", "admin"])
@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("proxies = ['10.0.0.0/8']\nproxy = 'protocol'", None),
        ("proxies = ['10.0.0.0/8', 'fd00::1']\nproxy = 'forwarded'", None),
        ("proxies = []", None),
        ("proxies = ['10.0.0.0/8']", "proxies: needs proxy, which says how"),
        ("proxy = 'forwarded'", "proxy: needs proxies"),
        ("proxy = 'none'", 'proxy: expected one of "protocol", "forwarded"'),
        ("proxies = '10.0.0.0/8'\nproxy = 'forwarded'", "proxies: expected a list"),
        ("proxies = ['proxy']\nproxy = 'forwarded'", "proxies[0]: expected a network"),
        ("proxy_certificate_header = 'X'\nproxy_certificate_format = 'pem'", "proxy_certificate_header: needs proxies"),
        (PROXY + "proxy_certificate_header = 'X'", "proxy_certificate_header: needs proxy_certificate_format"),
        (PROXY + "proxy_certificate_format = 'der'", "proxy_certificate_format: needs proxy_certificate_header"),
        (PROXY + CERTIFICATE.replace("pem", "p12"), "proxy_certificate_format: expected one of"),
        (PROXY + CERTIFICATE.replace("X-C", "X: C"), "proxy_certificate_header: expected the name of a header"),
        (PROXY + CERTIFICATE, None),
    ],
)
def test_proxies(files: Files, table: str, keys: str, complaint: str | None) -> None:
    if complaint is None:
        files.load(f"[{table}]\n{keys}")
        return
    [line] = told(files, f"[{table}]\n{keys}")
    assert line.startswith(f"{table}.{complaint}")


# Routes


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (MAIN, "routes: nothing is routed"),
        (MAIN + "[central_systems.b]\nurl = 'ws://b'", "routes: nothing is routed"),
        ("routes = []", "routes: nothing is routed"),
        ("central_systems = {}", "routes: nothing is routed"),
        (ROUTE, 'routes[0].central_system: no central system is called "main"'),
        (
            MAIN + ROUTE.replace("main", "mian"),
            'routes[0].central_system: no central system is called "mian", did you mean main?',
        ),
        (MAIN + ROUTE + ROUTE.replace("*", ""), "routes[1].charge_point: is empty, a * takes every Charge Point"),
        (MAIN + ROUTE.replace("*", " "), "routes[0].charge_point: is empty, a * takes every Charge Point"),
    ],
)
def test_routes(files: Files, content: str, complaint: str) -> None:
    assert told(files, content) == [complaint]


@pytest.mark.parametrize("prefix", ["", "1a", "s", "a", "xml", "XMLa", "n:s", "\u00e9", "a b", "x" * 33])
def test_a_prefix_that_cannot_be_written(files: Files, prefix: str) -> None:
    [line] = told(files, MAIN + ROUTE + f"prefix = '{prefix}'")
    assert line.startswith("routes[0].prefix: expected a namespace prefix of ASCII letters")


def test_only_json_is_escaped_for_html(files: Files) -> None:
    table = "[central_systems.main]\nprotocol = 'ocpp1.6s'\nurl = 'http://a.example/'\nhtml_escaped = true\n"
    text = "central_systems.main.html_escaped: is for Central Systems that speak JSON"
    assert told(files, table + ROUTE) == [text]


def test_a_strict_route_answers_no_soap_1_1(files: Files) -> None:
    route = MAIN + ROUTE
    assert files.load(route + "soap11 = 'refuse'\ntolerance = 'strict'").routes[0].soap11 == "refuse"
    text = 'routes[0].soap11: answers SOAP 1.1, which tolerance = "strict" refuses'
    assert told(files, route + "soap11 = 'answer'\ntolerance = 'strict'") == [text]


@pytest.mark.parametrize("key", ["emulate_trigger = true", "celsius = 'Celcius'"])
def test_a_strict_route_alters_nothing(files: Files, key: str) -> None:
    route = MAIN + ROUTE + key + "\n"
    # Alone it is as good as any.
    assert files.load(route).routes[0].tolerance == "tolerant"
    name = key.partition(" ")[0]
    text = f'routes[0].{name}: alters what is sent, which tolerance = "strict" refuses'
    assert told(files, route + "tolerance = 'strict'") == [text]


def test_a_central_system_that_is_wrong_is_known_to_the_routes(files: Files) -> None:
    assert told(files, "[central_systems.main]\nurl = 5\n" + ROUTE) == [
        "central_systems.main.url: expected text, got the integer 5"
    ]
    assert told(files, "central_systems = 5\n" + ROUTE) == [
        "central_systems: expected a table of tables, got the integer 5"
    ]


@pytest.mark.parametrize("zone", ["UTC", "+01:00", "-05:30", "+00:00", "Europe/Paris"])
def test_an_assumed_zone(files: Files, zone: str) -> None:
    assert told(files, MAIN + ROUTE + f"assumed_zone = '{zone}'") == []


@pytest.mark.parametrize("zone", ["", "Z", "+1:00", "+24:00", "+01:60", "CEST?", "Europe", "../etc/passwd", "a\\u0000"])
def test_no_zone(files: Files, zone: str) -> None:
    (line,) = told(files, MAIN + ROUTE + f'assumed_zone = "{zone}"')
    assert line.startswith('routes[0].assumed_zone: expected "UTC", an offset such as "+01:00" or a time zone')


# Addresses


@pytest.mark.parametrize(
    ("protocol", "url", "complaint"),
    [
        ("ocpp1.6j", "ws://cs", None),
        ("ocpp1.6j", "WSS://cs:443/a%20b", None),
        ("ocpp1.6j", "ws://[::1]:9000/ocpp/", None),
        ("ocpp1.6s", "http://cs/a?b=c", None),
        ("ocpp1.5s", "https://cs/", None),
        ("ocpp1.2s", "http://cs/", None),
        ("ocpp1.6j", "http://cs", WS),
        ("ocpp1.6s", "ws://cs", HTTP),
        ("ocpp1.5s", "wss://cs", HTTP),
        ("ocpp1.2s", "ws://cs", HTTP),
        ("ocpp1.6j", "", WS),
        ("ocpp1.6j", "cs:9000", WS),
        ("ocpp1.6j", "ws:", "the address has no host"),
        ("ocpp1.6j", "ws:///ocpp", "the address has no host"),
        ("ocpp1.6j", "ws://:9000", "the address has no host"),
        ("ocpp1.6j", "ws://cs:0", "the address has port 0"),
        ("ocpp1.6j", "ws://cs:99999", f"{WS}, got one whose host or port is not valid"),
        ("ocpp1.6j", "ws://cs:http", f"{WS}, got one whose host or port is not valid"),
        ("ocpp1.6j", "ws://[::1", f"{WS}, got one whose host or port is not valid"),
        ("ocpp1.6j", "ws://a b", f"{WS}, got one with blanks or control characters"),
        ("ocpp1.6j", "ws://cs\\n", f"{WS}, got one with blanks or control characters"),
        ("ocpp1.6j", "ws://cs#a", "the address has a fragment"),
        ("ocpp1.6j", "ws://cs#", "the address has a fragment"),
        ("ocpp1.6j", "ws://cs?a", "the address has a query, which nothing can be appended to"),
        ("ocpp1.6j", "ws://u:p@cs", "an address holds no credentials, they are configured under charge_points"),
    ],
)
def test_the_url_of_a_central_system(files: Files, protocol: str, url: str, complaint: str | None) -> None:
    content = f'[central_systems.main]\nprotocol = "{protocol}"\nurl = "{url}"\n' + ROUTE
    assert told(files, content) == ([] if complaint is None else [f"central_systems.main.url: {complaint}"])


def test_a_protocol_that_is_unknown_says_nothing_about_the_url(files: Files) -> None:
    (line,) = told(files, '[central_systems.main]\nprotocol = "ocpp2.0.1"\nurl = "http://x"\n' + ROUTE)
    assert line.startswith("central_systems.main.protocol: expected one of")


def test_a_public_url_is_appended_to(files: Files) -> None:
    assert told(files, "[soap]\npublic_url = 'ws://x'") == [f"soap.public_url: {HTTP}"]
    (line,) = told(files, "[soap]\npublic_url = 'https://x/?a'")
    assert line.startswith("soap.public_url: the address has a query")
    assert told(files, "[soap]\npublic_url = 'https://x/prefix'") == []


def test_a_callback_url(files: Files) -> None:
    assert told(files, "[charge_points.A]\ncallback_url = 'http://10.1.2.3:8081/a?b'") == []
    assert told(files, "[charge_points.A]\ncallback_url = '10.1.2.3'") == [f"charge_points.A.callback_url: {HTTP}"]


@pytest.mark.parametrize("path", ["/", "/ocpp", "/a/b-c_d.e~"])
def test_a_path(files: Files, path: str) -> None:
    assert told(files, f"[websocket]\npath = '{path}'") == []


@pytest.mark.parametrize("path", ["", "ocpp", "/ocpp/", "//", "/a//b", "/a?b", "/a#b", "/a b", "/%20", "/é", "/{id}"])
def test_no_path(files: Files, path: str) -> None:
    (line,) = told(files, f"[websocket]\npath = '{path}'")
    assert line.startswith("websocket.path: expected a path such as /ocpp")


@pytest.mark.parametrize("url", ["memory:", "sqlite:///a.db", "sqlite:////var/lib/a.db"])
def test_a_store(files: Files, url: str) -> None:
    assert told(files, f"[store]\nurl = '{url}'") == []


@pytest.mark.parametrize("url", ["", "memory", "sqlite:", "sqlite:///", "sqlite:////", "sqlite://a.db", "a.db"])
def test_no_store(files: Files, url: str) -> None:
    assert told(files, f"[store]\nurl = '{url}'") == ['store.url: expected "memory:" or "sqlite:///" and a path']


def test_reconnecting(files: Files) -> None:
    assert told(files, MAIN + "reconnect_min = 5\nreconnect_max = 4\n" + ROUTE) == [
        "central_systems.main.reconnect_max: is less than reconnect_min"
    ]
    (line,) = told(files, MAIN + "reconnect_min = 0\nreconnect_max = 0.5\n" + ROUTE)
    assert line.startswith("central_systems.main.reconnect_min: expected more than 0")
    assert told(files, MAIN + "ping_interval = 0\n" + ROUTE) == []


# Listeners


def test_every_listener_is_looked_at() -> None:
    assert [dotted(place.path) for place in places(Settings())] == ["soap", "websocket", "admin"]


@pytest.mark.parametrize(
    ("soap", "admin", "collide"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("[::]:1", "127.0.0.1:1", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("127.0.0.1:1", "127.0.0.1:2", False),
    ],
)
def test_two_listeners_on_a_port(files: Files, soap: str, admin: str, collide: bool) -> None:
    lines = told(files, f"[soap]\nlisten = '{soap}'\n[admin]\nlisten = '{admin}'")
    assert lines == (["admin.listen: port 1 is taken by soap.listen"] if collide else [])


def test_a_listen_that_is_wrong_collides_with_nothing(files: Files) -> None:
    (line,) = told(files, "[soap]\nlisten = 'x'\n[admin]\nlisten = '127.0.0.1:8080'")
    assert line.startswith("soap.listen")


def test_the_variable_that_makes_listeners_collide_is_named(files: Files) -> None:
    assert files.complaints("", {"OCPP_BRIDGE__ADMIN__LISTEN": "0.0.0.0:9000"}) == [
        "environment: OCPP_BRIDGE__ADMIN__LISTEN: port 9000 is taken by websocket.listen"
    ]


@pytest.mark.parametrize("listener", ["soap", "websocket", "admin"])
def test_tls(files: Files, listener: str) -> None:
    files.write("", "a.pem")
    both = f"[{listener}.tls]\ncertificate = 'a.pem'\nkey = 'a.pem'\n"
    assert told(files, both + "client_ca = 'a.pem'\nciphers = 'HIGH'\nminimum_version = '1.3'") == []
    assert told(files, f"[{listener}.tls]\ncertificate = 'a.pem'") == [f"{listener}.tls.key: missing"]
    assert told(files, f"[{listener}.tls]\nkey = 'a.pem'") == [f"{listener}.tls.certificate: missing"]
    assert told(files, both.replace("key = 'a.pem'", "key = ''")) == [f"{listener}.tls.key: there is no such file"]
    assert told(files, both.replace("key = 'a.pem'", "key = '.'")) == [f"{listener}.tls.key: there is no such file"]
    assert told(files, both + "client_ca = 'b.pem'") == [f"{listener}.tls.client_ca: there is no such file"]
    assert told(files, both + 'client_ca = "\\u0000"') == [f"{listener}.tls.client_ca: there is no such file"]
    assert told(files, both + "ciphers = 'none such'") == [f'{listener}.tls.ciphers: OpenSSL knows none of "none such"']


def test_the_wsdl_folder(files: Files) -> None:
    (files.folder / "official").mkdir()
    assert told(files, "[soap]\nwsdl = 'official'") == []
    assert told(files, "[soap]\nwsdl = 'conf.toml'") == ["soap.wsdl: there is no such folder"]
    assert told(files, "[soap]\nwsdl = 'gone'") == ["soap.wsdl: there is no such folder"]


# Charge Points


def test_one_charge_point_has_one_table(files: Files) -> None:
    assert told(files, "[charge_points.EV1]\n[charge_points.ev1]\n[charge_points.EV2]\n") == [
        'charge_points.ev1: is the same Charge Point as "EV1"'
    ]


@pytest.mark.parametrize("identity", ["", " A", "A ", "a\\nb", "\\u0000"])
def test_no_identity(files: Files, identity: str) -> None:
    (line,) = told(files, f'[charge_points."{identity}"]')
    assert line.startswith(f'charge_points."{identity}"'.replace("\\u00", "\\x"))
    assert told(files, f'[charge_points.A]\ncentral_system_identity = "{identity}"') == (
        []
        if identity == ""
        else ["charge_points.A.central_system_identity: has blanks around it or control characters"]
    )


def test_basic_authentication_cannot_carry_a_colon(files: Files) -> None:
    fault = 'the identity "a:b" holds a colon, which Basic authentication cannot carry'
    assert told(files, "[charge_points.'a:b']") == []
    assert told(files, "[charge_points.'a:b']\npassword = 'x'") == [f'charge_points."a:b".password: {fault}']
    assert told(files, "[charge_points.'a:b']\ncentral_system_password = 'x'") == [
        f'charge_points."a:b".central_system_password: {fault}'
    ]
    other = "central_system_password = 'x'\ncentral_system_identity = "
    assert told(files, f"[charge_points.'a:b']\n{other}'c'") == []
    assert told(files, f"[charge_points.c]\n{other}'a:b'") == [f"charge_points.c.central_system_password: {fault}"]


@pytest.mark.parametrize("origin", ["https://ocpp.example.com", "http://10.0.0.1:8081", "https://[::1]:1"])
def test_an_origin(files: Files, origin: str) -> None:
    assert told(files, f"[admin]\nallowed_origins = ['{origin}']") == []


@pytest.mark.parametrize(
    "origin", ["ocpp.example.com", "https://a/", "https://A", "*", "null", "https://u@a", "ws://a"]
)
def test_no_origin(files: Files, origin: str) -> None:
    (line,) = told(files, f"[admin]\nallowed_origins = ['https://a', '{origin}']")
    assert line.startswith("admin.allowed_origins[1]: ")
