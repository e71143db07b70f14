"""The console reads the API by names: each that it reads is there."""

from __future__ import annotations

import re
from pathlib import Path

import bridge
from bridge.admin.charge_points import ListQuery
from bridge.admin.facts import Details, Summary
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
