"""Quirk packs: files of their own, complaints about which name the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Match, Pack, Quirks, load
from bridge.config.shapes import keys
from tests.config import Files

CONF = Path(__file__).parents[2] / "conf"
GOOD = 'evidence = "seen"\n[match]\nvendor = "V*"\n[set]\noverlong = "drop"\n'
PACK = Pack(evidence="seen", match=Match(vendor="V*"), set=Quirks(overlong="drop"))


def told(files: Files, pack: str | bytes) -> list[str]:
    """The complaints about a pack, without the file's name that each begins with."""
    files.write(pack, "pack.toml")
    lines = files.complaints("gateway.quirks = ['pack.toml']")
    assert all(line.startswith("pack.toml: ") for line in lines)
    return [line.removeprefix("pack.toml: ") for line in lines]


def test_a_pack(files: Files) -> None:
    files.write(GOOD, "pack.toml")
    assert files.load("gateway.quirks = ['pack.toml']").packs == (PACK,)
    assert files.load("", {"OCPP_BRIDGE__GATEWAY__QUIRKS": " pack.toml, "}).packs == (PACK,)
    assert files.load("").packs == ()


def test_a_folder_of_packs_is_read_by_name_and_other_files_are_not(files: Files) -> None:
    (files.folder / "packs" / "sub.toml.d").mkdir(parents=True)
    for name, vendor in (("b.toml", "B"), ("a.toml", "A"), ("notes.md", "C"), ("a.toml~", "D")):
        files.write(GOOD.replace("V*", vendor), f"packs/{name}")
    files.write(GOOD, "pack.toml")
    packs = files.load("gateway.quirks = ['pack.toml', 'packs']").packs
    assert [pack.match.vendor for pack in packs] == ["V*", "A", "B"]


@pytest.mark.parametrize(
    ("pack", "complaints"),
    [
        (
            GOOD.replace("overlong", "overlogn"),
            ["set.overlogn: unknown key, did you mean overlong?", "set: sets nothing"],
        ),
        (
            GOOD.replace('"drop"', '"cut"'),
            ['set.overlong: expected one of "truncate", "drop", "refuse", got text "cut"'],
        ),
        (GOOD.replace("vendor", "vender"), ["match.vender: unknown key, did you mean vendor?"]),
        (GOOD.replace('"V*"', "5"), ["match.vendor: expected text, got the integer 5"]),
        (GOOD.replace("V*", "*"), ["match: takes every Charge Point; what is for all of a route stands there"]),
        (GOOD.replace('overlong = "drop"', ""), ["set: sets nothing"]),
        (GOOD.replace("seen", " "), ["evidence: is empty: say how it is known"]),
        (GOOD.replace('evidence = "seen"', ""), ["evidence: missing"]),
        ("[set]\nassumed_zone = 'Mars'\n" + GOOD.partition("[set]")[0], None),
        ("x", ["line 1, column 2: Expected '=' after a key in a key/value pair"]),
        (b"\xff", ["line 1, column 1: not UTF-8"]),
    ],
)
def test_what_is_wrong_with_a_pack(files: Files, pack: str | bytes, complaints: list[str] | None) -> None:
    lines = told(files, pack)
    if complaints is None:
        assert any(line.startswith("set.assumed_zone: expected") for line in lines)
    else:
        assert lines[: len(complaints)] == complaints


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ("['nowhere.toml']", "gateway.quirks[0]: cannot be read: No such file or directory"),
        ("['pack.toml', '']", "gateway.quirks[1]: cannot be read: not a usable path"),
        ("['pack.toml']", None),
        ("[5]", "gateway.quirks[0]: expected text, got the integer 5"),
        ("'pack.toml'", "gateway.quirks: expected a list, got text"),
    ],
)
def test_what_is_wrong_with_where_packs_are(files: Files, named: str, complaint: str | None) -> None:
    files.write(GOOD, "pack.toml")
    lines = files.complaints(f"gateway.quirks = {named}")
    assert lines == ([] if complaint is None else [f"conf.toml: {complaint}"])


def test_a_pack_is_no_key_of_the_configuration(files: Files) -> None:
    (line,) = files.complaints("packs = []")
    assert line.startswith("conf.toml: packs: unknown key")


def test_the_packs_that_come_along_are_good(files: Files) -> None:
    packs = load(files.write(f"gateway.quirks = ['{CONF / 'quirks'}']"), {}).packs
    assert len(packs) == len([*(CONF / "quirks").iterdir()]) > 0
    for pack in packs:
        assert len(pack.evidence.split()) > 20
        assert set(keys(Quirks)) >= {name for name in Quirks.__struct_fields__ if getattr(pack.set, name) is not None}
