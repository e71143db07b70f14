"""One table or several: what a file and the environment may say of listeners, and what is said of them."""

from __future__ import annotations

import pytest

from bridge.config import Listen, Settings, Soap, WebSocket
from bridge.config.listeners import places
from tests.config import Files

TWO = "[[soap]]\nlisten = '127.0.0.1:1'\n[[soap]]\nlisten = '127.0.0.1:2'\n"


def ports(settings: Settings) -> list[int]:
    return [soap.listen.port for soap in settings.soap]


def test_one_table_is_a_list_of_one(files: Files) -> None:
    one = files.load("[soap]\nmax_body = 7\n[websocket]\npath = '/x'")
    assert (one.soap, one.websocket) == ((Soap(max_body=7),), (WebSocket(path="/x"),))
    assert files.load("[[soap]]\nmax_body = 7\n[[websocket]]\npath = '/x'") == one


def test_a_list_of_tables(files: Files) -> None:
    websockets = "[[websocket]]\npeers = ['10.0.0.0/8']\n[[websocket]]\nlisten = '127.0.0.1:3'\npath = '/old'"
    settings = files.load(TWO + websockets)
    assert ports(settings) == [1, 2]
    assert [str(network) for network in settings.websocket[0].peers] == ["10.0.0.0/8"]
    assert settings.websocket[1] == WebSocket(listen=Listen("127.0.0.1", 3), path="/old")


def test_they_have_names(files: Files) -> None:
    third = "[[soap]]\nlisten = '127.0.0.1:3'\nname = 'old fleet'"
    assert [place.name for place in places(files.load(TWO + third))] == [
        *("soap", "soap-2", "old fleet", "websocket", "admin")
    ]
    assert [place.key for place in places(files.load(TWO))] == ["soap[0]", "soap[1]", "websocket", "admin"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (TWO + "name = 'soap'", 'soap[1].name: another listener is called "soap" too'),
        ("[soap]\nname = 'admin'", 'admin.name: another listener is called "admin" too'),
        ("[soap]\nname = ' a'", "soap.name: has blanks around it or control characters"),
        ('[soap]\nname = "a\\nb"', "soap.name: has blanks around it or control characters"),
        (TWO.replace(":2", ":1"), "soap[1].listen: port 1 is taken by soap[0].listen"),
        (TWO + "[websocket]\nlisten = '0.0.0.0:2'", "websocket.listen: port 2 is taken by soap[1].listen"),
        (TWO + "wsdl = 'official'", "soap[1].wsdl: is one for the whole bridge: it belongs in the first [[soap]]"),
        (
            TWO + "connection_per_call = true",
            "soap[1].connection_per_call: is one for the whole bridge: it belongs in the first [[soap]]",
        ),
        (TWO + "max_body = 'x'", 'soap[1].max_body: expected an integer, got text "x"'),
        (TWO + "lisen = 1", "soap[1].lisen: unknown key, did you mean listen?"),
        (TWO + "public_url = 'x'", "soap[1].public_url: expected an address that begins with http:// or https://"),
        (TWO + "peers = ['10.1.2.3/8']", "soap[1].peers[0]: expected a network such as 10.1.0.0/16"),
        ("[[soap]]\nlisten = 'x'", "soap.listen: expected HOST:PORT"),
        ("soap = []", "soap: is empty: there is at least one"),
        ("websocket = []", "websocket: is empty: there is at least one"),
        ("soap = 5", "soap: expected a table, got the integer 5"),
        ("soap = [5]", "soap: expected a table, got the integer 5"),
        ("websocket = [{}, 5]", "websocket[1]: expected a table, got the integer 5"),
        ("[[admin]]", "admin: expected a table, got a list"),
    ],
)
def test_what_does_not_fit(files: Files, content: str, complaint: str) -> None:
    (told,) = files.complaints(content)
    assert told.removeprefix("conf.toml: ").startswith(complaint)


# The environment


@pytest.mark.parametrize("content", ["", "[soap]\nmax_body = 7", "[[soap]]\nmax_body = 7"])
def test_the_environment_sets_the_only_one(files: Files, content: str) -> None:
    environ = {"OCPP_BRIDGE__SOAP__LISTEN": "127.0.0.1:5", "OCPP_BRIDGE__WEBSOCKET__PATH": "/x"}
    settings = files.load(content, environ)
    assert (ports(settings), settings.websocket[0].path) == ([5], "/x")
    assert files.load(content, {"OCPP_BRIDGE__SOAP__0__LISTEN": "127.0.0.1:5"}).soap == settings.soap


@pytest.mark.parametrize("content", ["", "[soap]\nlisten = '127.0.0.1:1'", "[[soap]]\nlisten = '127.0.0.1:1'"])
def test_the_environment_adds_one(files: Files, content: str) -> None:
    environ = {"OCPP_BRIDGE__SOAP__1__LISTEN": "127.0.0.1:6", "OCPP_BRIDGE__SOAP__LISTEN": "127.0.0.1:5"}
    assert ports(files.load(content, environ)) == [5, 6]


def test_the_environment_sets_one_of_several(files: Files) -> None:
    assert ports(files.load(TWO, {"OCPP_BRIDGE__SOAP__1__LISTEN": "127.0.0.1:6"})) == [1, 6]
    assert files.complaints(TWO, {"OCPP_BRIDGE__SOAP__LISTEN": "127.0.0.1:6"}) == [
        "environment: OCPP_BRIDGE__SOAP__LISTEN: OCPP_BRIDGE__SOAP__ takes a number from 0 to 2"
    ]
    assert files.complaints(TWO, {"OCPP_BRIDGE__SOAP__3__LISTEN": "127.0.0.1:6"}) == [
        "environment: OCPP_BRIDGE__SOAP__3__LISTEN: OCPP_BRIDGE__SOAP__ takes a number from 0 to 2"
    ]


def test_the_environment_sets_tls(files: Files) -> None:
    files.write("", "a.pem")
    paths = {f"OCPP_BRIDGE__SOAP__1__TLS__{key}": "a.pem" for key in ("CERTIFICATE", "KEY")}
    tls = files.load(TWO, paths).soap[1].tls
    assert tls is not None and (tls.certificate, tls.key) == ("a.pem", "a.pem")


@pytest.mark.parametrize(
    "environ", [{"OCPP_BRIDGE__SOAP__LISTEN": "x"}, {"OCPP_BRIDGE__SOAP__0__LISTEN": "x"}], ids=["alone", "number"]
)
def test_the_variable_is_named(files: Files, environ: dict[str, str]) -> None:
    (name,) = environ
    (told,) = files.complaints("", environ)
    assert told.startswith(f"environment: {name}: expected HOST:PORT")
    (told,) = files.complaints("", environ | {"OCPP_BRIDGE__SOAP__1__LISTEN": "127.0.0.1:6"})
    assert told.startswith(f"environment: {name}: expected HOST:PORT")


@pytest.mark.parametrize("content", ["soap = 5", "soap = 'x'", "soap = [5]"])
def test_the_environment_does_not_hide_what_is_wrong(files: Files, content: str) -> None:
    assert any("expected a table" in line for line in files.complaints(content, {"OCPP_BRIDGE__SOAP__LISTEN": "h:1"}))
