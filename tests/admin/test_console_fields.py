"""The console reads the API by names: each that it reads is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import bridge
from bridge.admin.charge_points import ListQuery
from bridge.admin.facts import CentralSystemFact, Details, Summary
from bridge.admin.fleet_facts import Alarm, Hour, LossFact, Overview
from bridge.admin.messages import OfAll
from bridge.admin.moves import MoveDetails, MoveMemberFact
from bridge.admin.transactions import TransactionFact, TransactionsQuery

CONSOLE = Path(bridge.__file__).parent / "admin" / "console"


def test_the_page_of_a_charge_point_reads_fields_that_are_there() -> None:
    read = set(re.findall(r"\bitem\.(\w+)", (CONSOLE / "charge-point.js").read_text(encoding="utf-8")))
    assert len(read) > 20
    assert read - set(Details.__struct_encode_fields__) == set()


def test_the_page_of_a_move_reads_fields_that_are_there() -> None:
    text = (CONSOLE / "moves.js").read_text(encoding="utf-8")
    read = set(re.findall(r"\bone\.(\w+)", text)) - {"identity", "open_transactions"}  # of what waits
    assert len(read) > 10
    assert read - set(MoveDetails.__struct_encode_fields__) == set()
    assert set(re.findall(r"\bmember\.(\w+)", text)) == set(MoveMemberFact.__struct_encode_fields__)


def test_the_lists_read_fields_that_are_there() -> None:
    for page, record in (("charge-points.js", Summary), ("transactions.js", TransactionFact)):
        read = set(re.findall(r"\bitem\.(\w+)", (CONSOLE / page).read_text(encoding="utf-8")))
        assert len(read) >= 10
        assert read - set(record.__struct_encode_fields__) == set()


def test_the_filters_of_the_lists_are_parameters_of_the_api() -> None:
    for page, name, record in (
        ("charge-points.js", "FILTERS", ListQuery),
        ("transactions.js", "FILTERS", TransactionsQuery),
        ("message-list.js", "MESSAGE_FILTERS", OfAll),
    ):
        found = re.search(rf"const {name} = \[([^\]]*)\]", (CONSOLE / page).read_text(encoding="utf-8"))
        assert found is not None
        names = set(re.findall(r'"(\w+)"', found[1]))
        assert len(names) >= 3 and names - set(record.__struct_encode_fields__) == set()


def test_the_pages_of_the_fleet_read_fields_that_are_there() -> None:
    for page, record in (("central-systems", CentralSystemFact), ("losses", LossFact)):
        read = set(re.findall(r"\bone\.(\w+)", (CONSOLE / f"{page}.js").read_text(encoding="utf-8")))
        assert len(read) > 5
        assert read - set(record.__struct_encode_fields__) == set()
    text = (CONSOLE / "overview.js").read_text(encoding="utf-8")
    assert set(re.findall(r"\banswer\.(\w+)", text)) <= set(Overview.__struct_encode_fields__)
    told = set(re.findall(r'\["[\w ]+", "(\w+)", "(?:ms)?"\]', text))
    assert told == set(Hour.__struct_encode_fields__) - {"first"}


def test_the_overview_knows_the_kinds_of_alarms_by_their_names() -> None:
    text = (CONSOLE / "overview.js").read_text(encoding="utf-8")
    known = {*get_args(get_type_hints(Alarm)["kind"])}
    assert set(re.findall(r'case "(\w+)":', text)) <= known
    counted = re.search(r"COUNTED_FIRST = new Set\(\[(.*)\]\)", text)
    assert counted is not None
    assert set(re.findall(r'"(\w+)"', counted[1])) <= known
