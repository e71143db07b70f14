"""How Central Systems are addressed and what they are shown: what cannot be sent is refused, by the name of its key."""

from __future__ import annotations

import pytest

from bridge.config import Secret
from tests.config import Files

ROUTE = '\n[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
NAMED = "expected a value of printable ASCII, without blanks around it"


def table(lines: str, url: str = "ws://cs/ocpp") -> str:
    return f'[central_systems.main]\nurl = "{url}"\n{lines}\n{ROUTE}'


def test_what_may_be_sent(files: Files) -> None:
    files.write("common\n", "password")
    files.write("k 1\n", "key")
    lines = f"""outgoing_username = "bridge"
outgoing_password_file = "{files.folder}/password"
outgoing_headers = {{ "X-Api-Key_file" = "{files.folder}/key", "X-Site" = "north" }}"""
    main = files.load(table(lines)).central_systems["main"]
    assert main.outgoing_username == "bridge"
    assert main.outgoing_password == Secret(b"common")
    assert main.outgoing_headers == {"X-Api-Key": Secret(b"k 1"), "X-Site": Secret(b"north")}
    assert "k 1" not in repr(main) and "north" not in repr(main)


@pytest.mark.parametrize(
    ("lines", "key", "text"),
    [
        ('outgoing_username = "u"', "outgoing_username", "needs outgoing_password"),
        (
            'outgoing_username = "u:v"\noutgoing_password = "p"',
            "outgoing_username",
            "holds a colon or a control character, which Basic cannot carry",
        ),
        ('outgoing_password = "scrypt$x"', "outgoing_password", "is a hash, but it has to be sent"),
        ('outgoing_headers = "X: y"', "outgoing_headers", "expected a table, got text"),
        ('outgoing_headers = { "X" = 1 }', "outgoing_headers.X", "expected text"),
        ('outgoing_headers = { "X" = "" }', "outgoing_headers.X", "is empty"),
        ('outgoing_headers = { "X" = "a\\r\\nY: b" }', "outgoing_headers.X", NAMED),
        ('outgoing_headers = { "X" = "ü" }', "outgoing_headers.X", NAMED),
        ('outgoing_headers = { "X" = " a" }', "outgoing_headers.X", NAMED),
        (
            'outgoing_headers = { "X" = "a", "x" = "b" }',
            "outgoing_headers.x",
            "is there twice, letter case aside",
        ),
        (
            'outgoing_headers = { "X Y" = "a" }',
            'outgoing_headers."X Y"',
            "expected the name of a header, such as X-Api-Key",
        ),
        ('outgoing_headers = { "host" = "a" }', "outgoing_headers.host", "is a header that the bridge itself writes"),
        (
            'outgoing_headers = { "Sec-WebSocket-Key" = "a" }',
            "outgoing_headers.Sec-WebSocket-Key",
            "is a header that the bridge itself writes",
        ),
        (
            'outgoing_password = "p"\noutgoing_headers = { "authorization" = "Bearer t" }',
            "outgoing_headers.authorization",
            "is made from outgoing_password already, one of the two is enough",
        ),
        (
            'outgoing_headers = { "X" = "a", "X_file" = "b" }',
            "outgoing_headers.X",
            "X_file is given too, one of the two is enough",
        ),
        (
            'outgoing_headers = { "X_file" = "missing" }',
            "outgoing_headers.X_file",
            "the file cannot be read: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_sent(files: Files, lines: str, key: str, text: str) -> None:
    assert files.complaints(table(lines)) == [f"conf.toml: central_systems.main.{key}: {text}"]


def test_the_environment_sets_one_header_and_displaces_that_of_the_file(files: Files) -> None:
    name = "OCPP_BRIDGE__CENTRAL_SYSTEMS__MAIN__OUTGOING_HEADERS__X-API-KEY"
    files.write("file", "key")
    lines = f'outgoing_headers = {{ "X-Api-Key" = "k", "X-Site_file" = "{files.folder}/key" }}'
    main = files.load(table(lines), {name: "from the environment"}).central_systems["main"]
    assert main.outgoing_headers == {"X-Api-Key": Secret(b"from the environment"), "X-Site": Secret(b"file")}
    name = "OCPP_BRIDGE__CENTRAL_SYSTEMS__MAIN__OUTGOING_HEADERS__X-SITE"
    main = files.load(table(lines), {name: "south"}).central_systems["main"]
    assert main.outgoing_headers == {"X-Api-Key": Secret(b"k"), "x-site": Secret(b"south")}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ws://cs/{identity}", None),
        ("ws://cs/ocpp?id={identity}&v=1", None),
        ("ws://{identity}.example/ocpp", "{identity} belongs in the path or in the query of the address"),
        ("ws://cs/{id}", 'expected {identity}, got "{id}"'),
        ("ws://cs/{identity}/{", 'expected {identity}, got "{"'),
        ("ws://cs/identity}", 'expected {identity}, got "}"'),
        ("ws://cs/{{identity}}", 'expected {identity}, got "{"'),
        ("ws://cs/{Identity}?a", "the address has a query, which nothing can be appended to"),
    ],
)
def test_the_place_of_the_identity(files: Files, url: str, text: str | None) -> None:
    told = [] if text is None else [f"conf.toml: central_systems.main.url: {text}"]
    assert files.complaints(table("", url)) == told
