"""Keys, types and bounds; secrets and the files they are in."""

from __future__ import annotations

import copy
import pickle
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Listen, Secret
from tests.config import Files


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[sope]", "sope: unknown key, did you mean soap?"),
        ("[soap]\nlisen = 1", "soap.lisen: unknown key, did you mean listen?"),
        ("[soap]\nmax-body = 1", "soap.max-body: unknown key, did you mean max_body?"),
        ("[store]\nzzz = 1", "store.zzz: unknown key, known here are url"),
        ('[store]\n"a\\nb" = 1', 'store."a\\nb": unknown key, known here are url'),
        (
            '[charge_points."A 1"]\ncallback = 1',
            'charge_points."A 1".callback: unknown key, did you mean callback_url?',
        ),
        ("soap = 1", "soap: expected a table, got the integer 1"),
        ('soap = "a"', "soap: expected a table, got text"),
        ("[[gateway]]", "gateway: expected a table, got a list"),
        ("routes = 1", "routes: expected a list of tables, got the integer 1"),
        ("[routes]", "routes: expected a list of tables, got a table"),
        ("routes = [1]", "routes[0]: expected a table, got the integer 1"),
        ("charge_points = []", "charge_points: expected a table of tables, got a list"),
        ("[charge_points]\nA = true", "charge_points.A: expected a table, got true"),
        ("[soap]\nlisten = 8080", "soap.listen: expected text, got the integer 8080"),
        ("[soap]\npublic_url = 1.5", "soap.public_url: expected text, got the number 1.5"),
        ("[soap]\nmax_body = 1.0", "soap.max_body: expected an integer, got the number 1.0"),
        ("[soap]\nmax_body = true", "soap.max_body: expected an integer, got true"),
        ("[soap]\nmax_body = 2020-01-01", "soap.max_body: expected an integer, got a date or time"),
        ("[soap]\nmax_body = 0", "soap.max_body: expected 1 or more and at most 1000000000, got the integer 0"),
        (
            "[soap]\nmax_body = 0x1" + "0" * 5000,
            "soap.max_body: expected 1 or more and at most 1000000000, got an integer beyond all bounds",
        ),
        ("[soap]\nconnection_per_call = 1", "soap.connection_per_call: expected true or false, got the integer 1"),
        ('[gateway]\ncall_timeout = "30"', 'gateway.call_timeout: expected a number, got text "30"'),
        ("[gateway]\ncall_timeout = 0", "call_timeout: expected more than 0 and at most 1000000000, got the integer 0"),
        (
            "[gateway]\ndrain_timeout = nan",
            "drain_timeout: expected 0 or more and at most 1000000000, got the number nan",
        ),
        (
            "[gateway]\ndrain_timeout = inf",
            "drain_timeout: expected 0 or more and at most 1000000000, got the number inf",
        ),
        ("[gateway]\nmax_in_flight = {}", "gateway.max_in_flight: expected an integer, got a table"),
        ("[gateway]\nlog_level = []", '"debug", "info", "warning", "error", got a list'),
        ("[soap.tls]\nminimum_version = 1.2", '"1.0", "1.1", "1.2", "1.3", got the number 1.2'),
        ("[soap]\ncallback_networks = 'a'", "soap.callback_networks: expected a list, got text"),
        ("[soap]\ncallback_networks = [1]", "soap.callback_networks[0]: expected text, got the integer 1"),
        ("[soap]\ncallback_networks = ['10.0.0.0/8', '10.1.2.3/8']", "soap.callback_networks[1]: expected a network"),
        ("[soap.tls]\ncertificate = ''", "soap.tls.key: missing"),
        ("[[routes]]\ncharge_point = '*'", "routes[0].central_system: missing"),
        ("[central_systems.x]", "central_systems.x.url: missing"),
    ],
)
def test_what_does_not_fit_is_named(files: Files, content: str, complaint: str) -> None:
    told = [line for line in files.complaints(content) if line.endswith(complaint) or complaint in line]
    assert len(told) == 1
    assert told[0].startswith("conf.toml: ")


def test_values_are_quoted_on_one_line_and_shortened(files: Files) -> None:
    (told,) = files.complaints('[soap]\nmax_body = "a\\n\\u001b\\u2028\\"' + "x" * 500 + '"')
    assert told.startswith('conf.toml: soap.max_body: expected an integer, got text "a\\n\\x1b\\u2028\\"xxx')
    assert told.endswith('xxx…"')
    assert len(told) < 160


def test_seconds_may_be_whole(files: Files) -> None:
    timeout = files.load("[gateway]\ncall_timeout = 5").gateway.call_timeout
    assert (timeout, type(timeout)) == (5.0, float)


def test_networks(files: Files) -> None:
    soap = files.load('[soap]\ncallback_networks = ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]').soap[0]
    assert soap.callback_networks == tuple(map(ip_network, ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:8080", "::1", 8080),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("my_host.example:0", "my_host.example", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
    ],
)
def test_listen(text: str, host: str, port: int) -> None:
    listen = Listen.parse(text)
    assert listen == Listen(host, port)
    assert str(listen) == text


NO_LISTENS = [
    "=",
    ":",
    "8080",
    ":8080",
    "host",
    "host:",
    "::1:8080",
    "[::1]",
    "[::1:8080",
    "[host]:1",
    "h:65536",
    "h:-1",
    "http://h:1",
    "1.2:1",
    "h:1:2",
]


@pytest.mark.parametrize("text", [*NO_LISTENS, "", "h h:1", "h:1\n", "h:٣", "h:000001"])
def test_no_listen(files: Files, text: str) -> None:
    with pytest.raises(ValueError):
        Listen.parse(text)


def test_no_listen_is_told(files: Files) -> None:
    assert files.complaints("[soap]\nlisten = '8080'") == [
        'conf.toml: soap.listen: expected HOST:PORT or [IPV6]:PORT, got text "8080"'
    ]


# Secrets

SECRET = "hunter2-correct-horse"


def test_a_secret_is_text_or_octets(files: Files) -> None:
    assert files.load("[admin]\ntoken = 'é'").admin.token == Secret("é".encode())
    assert files.load("", {"OCPP_BRIDGE__ADMIN__TOKEN": "a\udcff,b"}).admin.token == Secret(b"a\xff,b")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret\n\n", b"secret\n"),
        (b" secret\r", b" secret\r"),
        (bytes(range(20)), bytes(range(20))),
        (b"\x00\xff:\xfe", b"\x00\xff:\xfe"),
    ],
)
def test_a_secret_in_a_file_is_its_octets_without_one_newline(files: Files, content: bytes, value: bytes) -> None:
    files.write(content, "secret")
    password = files.load("[charge_points.A]\npassword_file = 'secret'").charge_points["A"].password
    assert password is not None
    assert password.reveal() == value


def test_an_empty_file_name_is_none(files: Files) -> None:
    assert files.load("[admin]\ntoken_file = ''").admin.token is None
    assert files.load("[admin]\ntoken_file = ''\ntoken = 'x'").admin.token == Secret(b"x")
    assert files.load("[admin]\ntoken_file = 'gone'", {"OCPP_BRIDGE__ADMIN__TOKEN_FILE": ""}).admin.token is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f"token_file = '{SECRET}'", "token_file: the file cannot be read: No such file or directory"),
        ("token_file = '.'", "token_file: the file cannot be read: Is a directory"),
        ('token_file = "a\\u0000"', "token_file: the file cannot be read: not a usable path"),
        ("token_file = 5", "token_file: expected the name of a file"),
        ("token_file = 'empty'", "token_file: is empty"),
        ("token_file = 'large'", "token_file: the file is larger than 65536 octets"),
        ("token = ''", "token: is empty"),
        ("token = 12345", "token: expected text"),
        (f"token = ['{SECRET}']", "token: expected text"),
        (f"token = '{SECRET}'\ntoken_file = 'secret'", "token: token_file is given too, one of the two is enough"),
        (f"token = '{SECRET}'\ntoken_file = 5", "token: token_file is given too, one of the two is enough"),
        (f"tocken = '{SECRET}'", "tocken: unknown key, did you mean token?"),
    ],
)
def test_what_is_wrong_with_a_secret(files: Files, content: str, complaint: str) -> None:
    files.write("x", "secret")
    files.write("\n", "empty")
    files.write("x" * 70000, "large")
    assert files.complaints(f"[admin]\n{content}") == [f"conf.toml: admin.{complaint}"]


def test_the_environment_replaces_the_secret_of_the_file(files: Files) -> None:
    files.write("from a file", "secret")
    token = {"OCPP_BRIDGE__ADMIN__TOKEN": "mine"}
    file = {"OCPP_BRIDGE__ADMIN__TOKEN_FILE": "secret"}
    assert files.load("[admin]\ntoken_file = 'gone'", token).admin.token == Secret(b"mine")
    assert files.load("[admin]\ntoken = 'x'", file).admin.token == Secret(b"from a file")
    assert files.load("[admin]\ntoken = 'x'", token).admin.token == Secret(b"mine")
    assert files.complaints("", token | file) == [
        "environment: OCPP_BRIDGE__ADMIN__TOKEN: token_file is given too, one of the two is enough"
    ]
    assert files.complaints("", {"OCPP_BRIDGE__ADMIN__TOKEN": ""}) == [
        "environment: OCPP_BRIDGE__ADMIN__TOKEN: is empty"
    ]
    assert files.complaints("", {"OCPP_BRIDGE__ADMIN__TOKEN": "\ud800"}) == [
        "environment: OCPP_BRIDGE__ADMIN__TOKEN: not UTF-8"
    ]


@pytest.mark.parametrize(
    "content",
    [
        f"[admin]\ntoken = '{SECRET}'\nlistn = 1",
        f"[admin]\ntoken = {{ value = '{SECRET}' }}",
        f"admin = '{SECRET}'",
        f"[admin]\ntoken = '{SECRET}",
        f"[charge_points]\nA = '{SECRET}'",
        f"[charge_points]\nA = ['{SECRET}']",
        f"[charge_points.'a:b']\npassword = '{SECRET}'\ncentral_system_password = '{SECRET}'",
        f"[charge_points.A]\ncallback_url = 'http://me:{SECRET}@h/'",
        f"[charge_points.A]\ncallback_url = 'ftp://me:{SECRET}@h/'",
        f"[charge_points.A]\ncallback_url = 'http://me:{SECRET}@h:port/'",
        f"[charge_points.A]\ncallback_url = 'http://me:{SECRET} @h/'",
        f"[central_systems.A]\nurl = 'ws://h/?token={SECRET}'",
        f"[store]\nurl = 'postgres://me:{SECRET}@h'",
        f"[soap.tls]\ncertificate = '{SECRET}'\nkey = '{SECRET}'",
    ],
)
def test_no_complaint_shows_a_secret(files: Files, content: str) -> None:
    told = files.complaints(content)
    assert told
    assert SECRET not in "\n".join(told)


@given(st.binary(min_size=1))
def test_a_secret_does_not_show_itself(value: bytes) -> None:
    secret = Secret(value)
    assert repr(secret) == str(secret) == f"{secret}" == f"{secret!r}" == "Secret(***)"
    assert secret.reveal() == value
    assert secret == Secret(value)
    assert hash(secret) == hash(Secret(value))
    assert secret != Secret(value + b"x")
    assert secret != value


def test_a_secret_is_neither_copied_out_nor_shown_by_what_holds_it(files: Files) -> None:
    settings = files.load(f"[admin]\ntoken = '{SECRET}'\n[charge_points.A]\npassword = '{SECRET}'")
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match=r"^a secret is not copied"):
            attempt(settings.admin.token)
