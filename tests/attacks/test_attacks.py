"""Each attack over real sockets: what the attacker got, and that who is well-behaved was served all the while.

The table is shown at the end of the tests, and stands in docs/attacks.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.rows import IN_SUM, ROWS, SECTIONS, Made, documented, made
from tests.attacks.stage import Row


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, Made]]:
    """What each attacker got, and how many Heartbeats were answered beside; shown at the end, captured or not."""
    outcomes: dict[str, Made] = {}
    yield outcomes
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        served = sum(one.answered for one in outcomes.values())
        reporter.write_line(f"Attacks: {len(outcomes)}; {served} Heartbeats of honest Charge Points answered meanwhile")
        for name, one in outcomes.items():
            reporter.write_line(f"  {name:<64} {one.outcome.tries:>5} times  {one.outcome.gets}")


@pytest.mark.parametrize("name", ROWS)
def test_an_attack_hurts_nobody(name: str, table: dict[str, Made], tmp_path: Path) -> None:
    row: Row = ROWS[name]
    table[name] = made(row, tmp_path)
    assert table[name].outcome.gets == row.gets
    assert documented()[name] == table[name].outcome


def test_the_document_has_every_attack_in_its_order() -> None:
    """`python -m tests.attacks.rows` writes it."""
    assert [*documented()] == [*ROWS]


def test_no_two_rows_have_one_name() -> None:
    assert len(ROWS) == sum(len(rows) for rows in SECTIONS.values())


def test_each_section_has_its_sum() -> None:
    assert [*IN_SUM] == [*SECTIONS]
