"""Which file is read, what holds without one, and how the environment overrides it."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from bridge.config import CentralSystem, ChargePoint, Listen, Route, Secret, Settings, load, shapes
from bridge.errors import ConfigurationError
from tests.config import Files

ROUTED = '[central_systems.main]\nurl = "ws://cs/ocpp"\n[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'


def test_without_a_file_the_built_in_defaults_hold(files: Files) -> None:
    settings = load(None, {"HOME": "/root"})
    assert settings == Settings()
    assert settings.central_systems == {"main": CentralSystem(protocol="ocpp1.6j", url="ws://127.0.0.1:9100/ocpp")}
    assert settings.routes == (Route(charge_point="*", central_system="main", tolerance="tolerant", accept="any"),)
    assert settings.soap[0].listen == Listen("127.0.0.1", 8080)


def test_an_empty_file_is_the_built_in_defaults(files: Files) -> None:
    assert files.load("") == Settings()


def test_the_usual_file_is_read_if_it_is_there(files: Files) -> None:
    (files.folder / "conf").mkdir()
    files.write("[soap]\nmax_body = 7\n", "conf/bridge.toml")
    assert load(None, {}).soap[0].max_body == 7


def test_the_variable_names_the_file(files: Files) -> None:
    (files.folder / "conf").mkdir()
    files.write("[soap]\nmax_body = 7\n", "conf/bridge.toml")
    path = files.write("[soap]\nmax_body = 8\n")
    assert load(None, {"OCPP_BRIDGE_CONFIG": str(path)}).soap[0].max_body == 8
    assert load(None, {"OCPP_BRIDGE_CONFIG": ""}).soap[0].max_body == 7


def test_an_argument_comes_before_the_variable(files: Files) -> None:
    path = files.write("[soap]\nmax_body = 9\n")
    assert load(path, {"OCPP_BRIDGE_CONFIG": "elsewhere.toml"}).soap[0].max_body == 9


@pytest.mark.parametrize("environ", [{}, {"OCPP_BRIDGE_CONFIG": "gone.toml"}])
def test_a_named_file_must_be_there(files: Files, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"^gone.toml: cannot be read: No such file or directory$"):
        load(None if environ else Path("gone.toml"), environ)


def test_a_folder_is_no_file(files: Files) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(files.folder, {})


def test_a_file_name_cannot_forge_a_complaint(files: Files) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(Path("a\nb\0.toml"), {})
    assert str(caught.value).splitlines() == ['"a\\nb\\x00.toml": cannot be read: not a usable path']


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a = 1\n[soap\n", "line 2, column 6: Expected ']' at the end of a table declaration"),
        ('a = "', "line 1, column 6: Unterminated string"),
        ("a = 1\nb = [\n", "line 3, column 1: Invalid value"),
        (b"a = 1\nb = '\xc3\xa9\xff'\n", "line 2, column 7: not UTF-8"),
        ("[" * 100000, "line 1, column 100001: "),
        ("a = " + "[" * 100000, "is nested too deeply"),
        ("a = " + "1" * 5000, "holds a number or date that is out of range"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(files: Files, content: str | bytes, complaint: str) -> None:
    (told,) = files.complaints(content)
    assert told.startswith("conf.toml: ")
    assert complaint in told or ("100001" in complaint and "line 1, column" in told)


def test_a_byte_order_mark_is_no_part_of_the_file(files: Files) -> None:
    assert files.load(b"\xef\xbb\xbf[soap]\r\nmax_body = 5\r\n").soap[0].max_body == 5


def test_every_complaint_is_told(files: Files) -> None:
    content = '[soap]\nlisen = 1\nmax_body = "a lot"\n[gateway]\ncall_timeout = -1\nlog_format = "xml"\n'
    assert files.complaints(content, {"OCPP_BRIDGE__SOAP__LISEN": "1"}) == [
        "environment: OCPP_BRIDGE__SOAP__LISEN: unknown key, did you mean OCPP_BRIDGE__SOAP__LISTEN?",
        "conf.toml: gateway.call_timeout: expected more than 0 and at most 1000000000, got the integer -1",
        'conf.toml: gateway.log_format: expected one of "text", "json", got text "xml"',
        "conf.toml: soap.lisen: unknown key, did you mean listen?",
        'conf.toml: soap.max_body: expected an integer, got text "a lot"',
    ]


# The environment


def test_the_environment_overrides_every_kind_of_key(files: Files) -> None:
    settings = files.load(
        "",
        {
            "OCPP_BRIDGE__SOAP__LISTEN": "[::1]:18080",
            "OCPP_BRIDGE__SOAP__MAX_BODY": "77",
            "OCPP_BRIDGE__SOAP__CONNECTION_PER_CALL": "False",
            "OCPP_BRIDGE__SOAP__CALLBACK_NETWORKS": "10.0.0.0/8, fd00::/8,",
            "OCPP_BRIDGE__GATEWAY__CALL_TIMEOUT": "2.5",
            "OCPP_BRIDGE__GATEWAY__LOG_FORMAT": "json",
            "OCPP_BRIDGE__STORE__URL": "memory:",
            "OCPP_BRIDGE__ADMIN__TOKEN": "t",
        },
    )
    assert settings.soap[0].listen == Listen("::1", 18080)
    assert settings.soap[0].max_body == 77
    assert settings.soap[0].connection_per_call is False
    assert settings.soap[0].callback_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.gateway.call_timeout == 2.5
    assert settings.gateway.log_format == "json"
    assert settings.store.url == "memory:"
    assert settings.admin.token == Secret(b"t")


def test_the_environment_alone_points_the_defaults_elsewhere(files: Files) -> None:
    settings = load(None, {"OCPP_BRIDGE__CENTRAL_SYSTEMS__MAIN__URL": "wss://csms.example.com/ocpp"})
    assert settings.central_systems == {"main": CentralSystem(url="wss://csms.example.com/ocpp")}
    assert settings.routes == Settings().routes


def test_names_match_those_of_the_file_whatever_their_case(files: Files) -> None:
    content = ROUTED + '[central_systems.Old]\nprotocol = "ocpp1.5s"\nurl = "http://a"\n[charge_points."EV-1"]\n'
    environ = {
        "OCPP_BRIDGE__CENTRAL_SYSTEMS__OLD__URL": "http://b",
        "OCPP_BRIDGE__CHARGE_POINTS__EV-1__CALLBACK_URL": "http://c",
        "OCPP_BRIDGE__CHARGE_POINTS__777__CALLBACK_URL": "http://d",
    }
    settings = files.load(content, environ)
    assert settings.central_systems["Old"].url == "http://b"
    assert settings.charge_points == {
        "EV-1": ChargePoint(callback_url="http://c"),
        "777": ChargePoint(callback_url="http://d"),
    }


def test_routes_are_counted(files: Files) -> None:
    environ = {f"OCPP_BRIDGE__ROUTES__{index}__CHARGE_POINT": f"P{index}" for index in range(12)}
    environ |= {f"OCPP_BRIDGE__ROUTES__{index}__CENTRAL_SYSTEM": "main" for index in range(12)}
    assert [route.charge_point for route in files.load(ROUTED, environ).routes] == [f"P{index}" for index in range(12)]


def test_routes_and_central_systems_may_come_from_the_environment_alone(files: Files) -> None:
    environ = {
        "OCPP_BRIDGE__ROUTES__0__CHARGE_POINT": "A*",
        "OCPP_BRIDGE__ROUTES__0__CENTRAL_SYSTEM": "one",
        "OCPP_BRIDGE__CENTRAL_SYSTEMS__ONE__URL": "ws://one",
    }
    settings = load(None, environ)
    assert set(settings.central_systems) == {"main", "one"}
    assert settings.routes == (Route(charge_point="A*", central_system="one"),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SOPA__LISTEN", "unknown key, did you mean OCPP_BRIDGE__SOAP?"),
        ("SOAP__LISTEN__X", "unknown key, OCPP_BRIDGE__SOAP__LISTEN has none below it"),
        ("SOAP", "is a table, a variable sets one key of it"),
        ("ROUTES", "is a table, a variable sets one key of it"),
        ("CENTRAL_SYSTEMS__MAIN", "is a table, a variable sets one key of it"),
        ("ROUTES__2__CHARGE_POINT", "OCPP_BRIDGE__ROUTES__ takes a number from 0 to 1"),
        ("ROUTES__-1__CHARGE_POINT", "OCPP_BRIDGE__ROUTES__ takes a number from 0 to 1"),
        ("ROUTES__0__CHARGEPOINT", "unknown key, did you mean OCPP_BRIDGE__ROUTES__0__CHARGE_POINT?"),
        ("STORE__ZZZZ", "unknown key, known here are OCPP_BRIDGE__STORE__URL"),
    ],
)
def test_a_variable_that_leads_nowhere(files: Files, name: str, text: str) -> None:
    assert files.complaints(ROUTED, {f"OCPP_BRIDGE__{name}": "x"}) == [f"environment: OCPP_BRIDGE__{name}: {text}"]


def test_a_variable_of_the_wrong_type_is_named(files: Files) -> None:
    environ = {
        "OCPP_BRIDGE__SOAP__MAX_BODY": "a lot",
        "OCPP_BRIDGE__SOAP__CALLBACK_NETWORKS": "10.0.0.0/8,here",
        "OCPP_BRIDGE__SOAP__CONNECTION_PER_CALL": "perhaps",
        "OCPP_BRIDGE__SOAP__WSDL": "\udcff",
        "OCPP_BRIDGE__ROUTES__0__CENTRAL_SYSTEM": "mian",
    }
    assert files.complaints("", environ) == [
        'environment: OCPP_BRIDGE__SOAP__MAX_BODY: expected an integer, got text "a lot"',
        'environment: OCPP_BRIDGE__SOAP__CONNECTION_PER_CALL: expected true or false, got text "perhaps"',
        "environment: OCPP_BRIDGE__SOAP__CALLBACK_NETWORKS: "
        'expected a network such as 10.1.0.0/16, its host bits zero, got text "here"',
        "environment: OCPP_BRIDGE__SOAP__WSDL: not UTF-8",
        'environment: OCPP_BRIDGE__ROUTES__0__CENTRAL_SYSTEM: no central system is called "mian", did you mean main?',
    ]


def test_a_variable_below_what_the_file_has_wrong_is_not_a_second_complaint(files: Files) -> None:
    assert files.complaints("soap = 5\n", {"OCPP_BRIDGE__SOAP__LISTEN": "127.0.0.1:1"}) == [
        "conf.toml: soap: expected a table, got the integer 5"
    ]


def test_other_variables_are_not_ours(files: Files) -> None:
    assert load(None, {"OCPP_BRIDGE_LISTEN": "x", "ocpp_bridge__soap__lisen": "x"}) == Settings()


def test_three_thousand_charge_points_are_read_in_no_time(tmp_path: Path) -> None:
    """Counted in calls of `msgspec.structs.fields`, which evaluates annotations: one a table."""
    told = "".join(
        f'[charge_points."CP-{number:05}"]\npassword = "s3cr3t-{number:05}"\ncallback_url = "http://10.0.0.1:8080/cp"\n'
        for number in range(3000)
    )
    path = tmp_path / "bridge.toml"
    path.write_text(told)
    shapes.fields.cache_clear()
    shapes.keys.cache_clear()
    with patch("msgspec.structs.fields", wraps=msgspec.structs.fields) as evaluated:
        assert len(load(path, {}).charge_points) == 3000
    assert evaluated.call_count < 50
