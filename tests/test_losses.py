"""Every loss is shown by a conversion, in each place that docs/losses.md names."""

from __future__ import annotations

import pytest

from bridge.ocpp.losses import LossReason
from tests.losses import SOURCES, Conversion


def test_every_reason_comes_from_somewhere() -> None:
    assert list(SOURCES) == list(LossReason)
    assert all(SOURCES.values())


@pytest.mark.parametrize(
    ("reason", "conversion"),
    [
        pytest.param(reason, conversion, id=f"{reason.name}, {where}")
        for reason, places in SOURCES.items()
        for where, conversion in places.items()
    ],
)
def test_a_conversion_that_costs_it(reason: LossReason, conversion: Conversion) -> None:
    losses = conversion()
    assert reason in {loss.reason for loss in losses}
    assert all(loss.message and str(loss) for loss in losses)
