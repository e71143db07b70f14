"""Each attack over real sockets: what the attacker got, and that who is well-behaved was served all the while.

The table is shown at the end of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.callbacks import CALLBACKS
from tests.attacks.connections import CONNECTIONS
from tests.attacks.identities import IDENTITIES
from tests.attacks.messages import MESSAGES
from tests.attacks.stage import Row, besieged
from tests.e2e.stage import run

ROWS = MESSAGES | CONNECTIONS | IDENTITIES | CALLBACKS


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[str, int]]]:
    """What each attacker got, and how many Heartbeats were answered beside; shown at the end, captured or not."""
    outcomes: dict[str, tuple[str, int]] = {}
    yield outcomes
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        served = sum(count for _, count in outcomes.values())
        reporter.write_line(f"Attacks: {len(outcomes)}; {served} Heartbeats of honest Charge Points answered meanwhile")
        for name, (got, _) in outcomes.items():
            reporter.write_line(f"  {name:<52} {got}")


@pytest.mark.parametrize("name", ROWS)
def test_an_attack_hurts_nobody(name: str, table: dict[str, tuple[str, int]], tmp_path: Path) -> None:
    row: Row = ROWS[name]

    async def walk() -> tuple[str, int]:
        async with besieged(row, tmp_path) as siege:
            got = await row.attack(siege)
        return got, sum(neighbour.answered for neighbour in siege.neighbours)

    table[name] = run(walk())
    assert table[name][0] == row.gets


def test_no_two_rows_have_one_name() -> None:
    assert len(ROWS) == sum(len(rows) for rows in (MESSAGES, CONNECTIONS, IDENTITIES, CALLBACKS))
