"""The files under conf/: the one that shows every key, and the one that shows the fewest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config import Settings, load
from bridge.config.records import Table
from bridge.config.shapes import is_table, keys, listed, named
from tests.config import Files

CONF = Path(__file__).parents[2] / "conf"
SHOWN = (CONF / "bridge.toml").read_text(encoding="utf-8")

_HEADING = re.compile(r"(?:# )?\[+([a-z_.]+?)(?:\.\"[^\"]*\")?(\.tls)?\]+")
# Tables whose keys are shown once, in another that has the same.
_ELSEWHERE = {
    "websocket.tls": "soap.tls",
    "admin.tls": "soap.tls",
    "charge_points.tls": "central_systems.tls",
    "admin.oidc.tls": "central_systems.tls",
    "events.tls": "central_systems.tls",
    "tenants.charge_points": "charge_points",
    "tenants.charge_points.tls": "central_systems.tls",
}
_KEY = re.compile(r"(?:# )?([a-z_0-9]+) = \S")


def tables(table: type[Table], path: str = "") -> Iterator[tuple[str, type[Table]]]:
    """Every table of the records with keys that are no tables, by the dotted name that `bridge.toml` shows it under."""
    for name, key in keys(table).items():
        below = named(key.holds) or listed(key.holds) or key.holds
        if is_table(below):
            yield f"{path}{name}", below
            yield from tables(below, f"{path}{name}.")


def shown() -> dict[str, set[str]]:
    """The keys that `bridge.toml` shows, commented ones included, by the table they stand in."""
    found: dict[str, set[str]] = {}
    name = ""  # keys before the first table
    for line in SHOWN.splitlines():
        if heading := _HEADING.match(line):
            name = heading[1].removesuffix(".main").removesuffix(".old").removesuffix(".acme") + (heading[2] or "")
        elif key := _KEY.match(line):
            found.setdefault(name, set()).add(key[1])
    return found


@pytest.mark.parametrize("name", ["bridge.toml", "minimal.toml"])
def test_what_conf_says_is_what_is_built_in(files: Files, name: str) -> None:
    assert load(CONF / name, {}) == Settings()


def test_every_key_is_shown() -> None:
    for name, table in tables(Settings):
        plain = {
            key
            for key, what in keys(table).items()
            if not is_table(named(what.holds) or listed(what.holds) or what.holds)
        }
        described = _ELSEWHERE.get(name, name)
        assert shown()[described] == plain, name
    above = {
        key
        for key, what in keys(Settings).items()
        if not is_table(named(what.holds) or listed(what.holds) or what.holds)
    }
    assert shown()[""] == above


def test_every_key_says_what_it_is_for() -> None:
    described: set[tuple[str, str]] = set()
    name = ""
    for line in SHOWN.splitlines():
        if heading := _HEADING.match(line):
            name = heading[2] or heading[1].partition(".")[0]
        elif key := _KEY.match(line):
            assert re.search(r"\S +# \S", line) or (name, key[1]) in described, line
            described.add((name, key[1]))


def test_no_line_is_long() -> None:
    assert max(map(len, SHOWN.splitlines())) <= 120


def test_what_is_commented_can_be_uncommented(files: Files) -> None:
    """Every commented sample holds. A secret's two keys exclude each other: with its file unnamed, both may stand.

    The credentials of a cluster exclude its password."""
    (files.folder / "tls").mkdir()
    (files.folder / "secrets").mkdir()
    files.write("a token", "secrets/night-desk")
    for name in ("certificate", "key", "ca"):
        files.write("", f"tls/{name}.pem")
    settings = files.load(re.sub(r"(?m)^# (?=\[|(?!credentials = )[a-z_0-9]+ = )", "", SHOWN))
    assert set(settings.central_systems) == {"main", "old"}
    assert settings.websocket[0].tls is not None
    assert [each.role for each in settings.admin.tokens] == ["read"]
    assert settings.charge_points["RDAM 123"].password is not None
