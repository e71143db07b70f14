"""What the README says is what the code does."""

from __future__ import annotations

import pytest

from bridge.ocpp.losses import Reason
from tests.losses import SOURCES, Conversion
from tests.readme import README, rewritten, shown, table


def test_every_loss_is_in_the_readme_in_its_own_words() -> None:
    """`python -m tests.readme` writes it."""
    assert shown(README.read_text("utf-8")) == table()


def test_the_table_is_written_between_its_marks() -> None:
    text = "a\n<!-- losses: x -->\nold\n<!-- end of losses -->\nb\n"
    assert rewritten(text) == text.replace("old\n", table())
    assert shown(rewritten(text)) == table()
    assert rewritten(rewritten(text)) == rewritten(text)


def test_every_reason_comes_from_somewhere() -> None:
    assert list(SOURCES) == list(Reason)
    assert all(SOURCES.values())


@pytest.mark.parametrize(
    ("reason", "conversion"),
    [
        pytest.param(reason, conversion, id=f"{reason.name}, {where}")
        for reason, places in SOURCES.items()
        for where, conversion in places.items()
    ],
)
def test_a_conversion_that_costs_it(reason: Reason, conversion: Conversion) -> None:
    losses = conversion()
    assert reason in {loss.reason for loss in losses}
    assert all(loss.message and str(loss) for loss in losses)
