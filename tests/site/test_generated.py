"""The parts of pages that are made from the code are current."""

from __future__ import annotations

import re

import pytest

from bridge.commands.arguments import parser
from bridge.config import Settings
from bridge.config.shapes import fields
from bridge.core.commands import Outcome
from tests.admin.test_metrics import meter_of_a_cluster
from tests.site import command_line, glossary, keys, metrics
from tests.site.generated import PAGES, PARTS, framed, parts_of, rewritten
from tests.site.pages import PAGES as ALL_PAGES
from tests.site.pages import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    """`python -m tests.site` writes it."""
    parts = parts_of((ROOT / name).read_text("utf-8"))
    assert parts
    assert parts == {part: framed(PARTS[part]()) for part in parts}


def test_each_part_stands_on_one_page_and_each_such_page_is_listed() -> None:
    found = {str(page.relative_to(ROOT)): [*parts_of(page.read_text("utf-8"))] for page in ALL_PAGES}
    assert sorted(part for parts in found.values() for part in parts) == sorted(PARTS)
    assert {name for name, parts in found.items() if parts} == {*PAGES}


def test_a_part_is_written_between_its_marks() -> None:
    text = "a\n<!-- losses: x -->\nold\n<!-- end of losses -->\nb\n"
    assert rewritten(text) == text.replace("old\n", framed(PARTS["losses"]()))
    assert rewritten(rewritten(text)) == rewritten(text)


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="no-such-part"):
        rewritten("<!-- no-such-part: x -->\n<!-- end of no-such-part -->")


def test_every_table_of_the_configuration_has_a_section_with_its_keys() -> None:
    above, *sections = keys.reference().split("## ")[1:]
    assert above.startswith("Before the first table\n") and "| `include` |" in above
    headings = [section.partition("\n")[0].strip("`[]") for section in sections]
    assert headings == [path for path, _, _ in keys.tables(Settings)]
    for section, (path, record, _) in zip(sections, keys.tables(Settings), strict=True):
        described = keys.described(record)
        plain = [field.name for field in fields(record) if f"| `{field.encode_name}` |" in section]
        assert {*plain} >= {*record.__struct_fields__} - {"tls", "tokens", "also", "oidc", "charge_points"}, path
        assert all(described[field].endswith(".") for field in plain), path


@pytest.mark.parametrize(
    ("section", "row"),
    [
        ("[gateway]", '| `log_format` | `"text"` or `"json"` | `"text"` |'),
        ("[soap]", "| `peers` | a list of networks, such as `10.1.0.0/16` | `[]` | Networks whose peers may connect;"),
        ("[limits]", "| `xml_depth` | an integer from 8 to 256 | `32` |"),
        ("[recorder]", "| `max_age` | a number above 0 | `604800` |"),
        ("[central_systems.NAME]", "| `url` | text | required |"),
        ("[[routes]]", '| `soap11` | `"answer"` or `"refuse"` | `"answer"` |'),
        (
            '[charge_points."IDENTITY"]',
            "| `password_file` | path of a file | none | File with the value of `password`. |",
        ),
    ],
)
def test_a_key_says_what_it_takes(section: str, row: str) -> None:
    assert row in keys.reference().partition(f"## `{section}`\n")[2].partition("\n## ")[0]


def test_a_key_says_what_its_change_needs() -> None:
    """It is what the reload itself says, `bridge.config.changes`."""
    needs = {
        (section.partition("`\n")[0].strip("`"), row.split("`")[1]): row.rsplit("|", 2)[1].strip()
        for section in keys.reference().split("## ")[1:]
        for row in section.splitlines()
        if row.startswith("| `")
    }
    assert needs["[soap]", "listen"] == needs["[limits]", "connections"] == needs["[gateway]", "call_timeout"]
    assert needs["[soap]", "listen"] == "a restart"
    assert needs["[soap]", "peers"] == needs["[soap.tls]", "certificate"] == needs["[[routes]]", "accept"] == "SIGHUP"
    assert needs["[admin]", "token_file"] == needs["[[admin.tokens]]", "role"] == "SIGHUP"


def test_every_command_has_a_section() -> None:
    names = [name for name, _ in command_line.commands(parser())]
    assert "simulate charge-point" in names and "simulate" not in names
    assert [line[4:-1] for line in command_line.reference().splitlines() if line.startswith("## ")] == names


def test_every_outcome_is_explained() -> None:
    assert {*metrics.OUTCOMES} == {*Outcome}


def test_every_label_is_explained() -> None:
    used = {label for family in meter_of_a_cluster().collect() for label in getattr(family, "_labelnames", ())}
    explained = {name for row in metrics.labels().splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert used == explained


def test_the_glossary_has_every_term_of_the_package() -> None:
    terms = glossary.terms()
    assert len(terms) > 10
    assert terms["Call"] == "a request; it gets exactly one answer"
