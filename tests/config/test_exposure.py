"""What stands open under a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import exposed
from bridge.config.exposure import secrets
from tests.config import Files

SYSTEM = '[central_systems.main]\nurl = "ws://cs"\n[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
SOAP_SYSTEM = SYSTEM.replace('"ws://cs"', '"http://cs"\nprotocol = "ocpp1.6s"')
OPEN = '[soap]\nlisten = "0.0.0.0:8080"\npublic_url = "http://gateway.example.com:8080"\n'
NO_AUTHENTICATION = "routes[0].authentication: soap.listen is open to others, and this route asks for no authentication"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", []),
        (SYSTEM, []),
        (OPEN + SYSTEM, [NO_AUTHENTICATION]),
        (OPEN + SYSTEM + 'authentication = "none"', [NO_AUTHENTICATION]),
        (OPEN + SYSTEM + 'authentication = "basic"', []),
        (OPEN + SYSTEM + 'accept = "listed"\n[charge_points.A]\npassword = "x"', []),
        (
            OPEN + SYSTEM + 'accept = "listed"\n[charge_points.A]\npassword = "x"\n[charge_points.B]',
            [NO_AUTHENTICATION],
        ),
        (OPEN + SYSTEM + '[charge_points.A]\npassword = "x"', [NO_AUTHENTICATION]),
        (OPEN + 'peers = ["10.0.0.0/8"]\n' + SYSTEM, []),
        (
            '[websocket]\nlisten = "[::]:9000"\n' + SYSTEM,
            ["routes[0].authentication: websocket.listen is open to others, and this route asks for no authentication"],
        ),
        (
            '[soap]\nlisten = "0.0.0.0:8080"\n' + SYSTEM + 'authentication = "basic"',
            ["soap.public_url: is an address of this machine only, and the listener is open to others"],
        ),
        (
            '[soap]\nlisten = "10.0.0.1:8080"\npublic_url = "http://localhost:8080"\n'
            + SYSTEM
            + 'authentication = "basic"',
            ["soap.public_url: is an address of this machine only"],
        ),
        (SOAP_SYSTEM, ["central_systems.main: whoever reaches the SOAP listener can command its Charge Points"]),
        (SOAP_SYSTEM.replace("[[", 'networks = ["10.0.0.0/8"]\n[['), []),
        ('[admin]\ntoken = "short"', ["admin.token: has fewer than 16 characters, and can be guessed"]),
        ('[admin]\ntoken = "long enough to be safe"', []),
    ],
)
def test_what_stands_open(files: Files, content: str, said: list[str]) -> None:
    if 'authentication = "basic"' in content:
        content += '\n[charge_points.A]\npassword = "x"'
    found = list(exposed(files.load(content)))
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_files_that_others_can_read(files: Files) -> None:
    """The owner's group may: a service often has the files of its secrets so."""
    files.write("a token that is long enough", "token")
    files.write("another one that is long enough", "bob")
    files.write("secret", "password")
    content = (
        f"[admin]\ntoken_file = '{files.folder}/token'\n[[admin.tokens]]\nname = 'bob'\nfile = '{files.folder}/bob'\n"
        + SYSTEM
        + f"[charge_points.'CP 1']\npassword_file = '{files.folder}/password'\n"
    )
    settings = files.load(content)
    conf = files.folder / "conf.toml"
    keys = ["admin.token_file", "admin.tokens[0].file", 'charge_points."CP 1".password_file']
    for mode, open_ in ((0o600, False), (0o640, False), (0o644, True)):
        for name in ("token", "bob", "password", "conf.toml"):
            (files.folder / name).chmod(mode)
        found = [line.partition(": ") for line in exposed(settings, [conf])]
        assert [key for key, _, _ in found] == (keys if open_ else [])
        assert {said for _, _, said in found} <= {"the file can be read by others than its owner: chmod o= it"}


def test_a_configuration_with_passwords_in_it(files: Files, tmp_path: Path) -> None:
    """What is of the environment is not in the file."""
    conf = files.folder / "conf.toml"
    with_one = files.load(SYSTEM + "[charge_points.A]\npassword = 'x'")
    conf.chmod(0o644)
    (line,) = exposed(with_one, [conf])
    assert line.startswith("the file can be read by others than its owner, and has secrets in it (charge_points.A.")
    conf.chmod(0o640)
    assert list(exposed(with_one, [conf])) == []
    environ = {"OCPP_BRIDGE__ADMIN__TOKEN": "a token that is long enough"}
    without = files.load(SYSTEM, environ)
    conf.chmod(0o644)
    assert list(exposed(files.load(SYSTEM, environ), [conf])) == []
    assert [path for path, _ in secrets(without)] == [("admin", "token")]
