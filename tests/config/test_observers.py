"""Which further Central Systems a route may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load
from bridge.errors import ConfigurationError

SYSTEMS = """
[central_systems.main]
url = "ws://main.example/ocpp"
[central_systems.ems]
url = "ws://ems.example/ocpp"
[central_systems.old]
protocol = "ocpp1.2s"
url = "http://old.example/"
[[routes]]
charge_point = "*"
central_system = "main"
"""


def complaints(tmp_path: Path, *also: str) -> list[str]:
    file = tmp_path / "bridge.toml"
    file.write_text(SYSTEMS + "".join(f"[[routes.also]]\n{table}\n" for table in also))
    try:
        load(file, {})
    except ConfigurationError as error:
        return [f"{each.key}: {each.text}" for each in error.complaints]
    return []


@pytest.mark.parametrize(
    "table",
    [
        'central_system = "ems"',
        'central_system = "ems"\nrole = "shadow"\ncommands = ["*"]\nactions = ["StartTransaction", "Authorize"]',
        'central_system = "ems"\ncommands = ["Reset", "DataTransfer"]\nid_tag = "FLEET"\nactions = []',
    ],
)
def test_what_works(table: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, table) == []


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "routes[0].also[0].central_system: missing"),
        (
            'central_system = "main"',
            'routes[0].also[0].central_system: "main" is the route\'s own Central System, which gets every message '
            "already",
        ),
        (
            'central_system = "esm"',
            'routes[0].also[0].central_system: no central system is called "esm", did you mean ems?',
        ),
        (
            'central_system = "old"',
            'routes[0].also[0].central_system: "old" speaks OCPP 1.2, and a further Central System speaks 1.6 or 1.5',
        ),
        (
            'central_system = "ems"\nrole = "spy"',
            'routes[0].also[0].role: expected one of "observer", "shadow", got text "spy"',
        ),
        (
            'central_system = "ems"\nactions = ["*", "MeterValue"]',
            'routes[0].also[0].actions[1]: OCPP 1.6 has no action "MeterValue", did you mean MeterValues?',
        ),
        (
            'central_system = "ems"\nactions = ["Reset"]',
            "routes[0].also[0].actions[0]: no Charge Point sends Reset",
        ),
        (
            'central_system = "ems"\ncommands = ["StartTransaction"]',
            "routes[0].also[0].commands[0]: no Central System sends StartTransaction",
        ),
        (
            'central_system = "ems"\nid_tag = "A-TOKEN-OF-21-LETTERS"',
            "routes[0].also[0].id_tag: expected at most 20 characters, none of them unprintable",
        ),
        (
            'central_system = "ems"\nrol = "shadow"',
            "routes[0].also[0].rol: unknown key, did you mean role?",
        ),
    ],
)
def test_what_cannot_work(table: str, complaint: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, table) == [complaint]


def test_one_that_is_named_twice(tmp_path: Path) -> None:
    table = 'central_system = "ems"'
    text = '"ems" is named twice in this route'
    assert complaints(tmp_path, table, table) == [f"routes[0].also[1].central_system: {text}"]
