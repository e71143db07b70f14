"""What the gateway logs of losses, read from its log."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from bridge.lab.demo.ledger import kept
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss, LossReason
from bridge.watching.facts import ContentLost
from bridge.watching.traffic_log import TrafficLog

losses = st.lists(
    st.builds(
        Loss,
        message=st.sampled_from([f"{action}Request" for action in ACTIONS]),
        path=st.sampled_from(["", "idTag", "meterValue[0].timestamp"]),
        reason=st.sampled_from(LossReason),
        count=st.integers(1, 3),
    ),
    max_size=5,
)


@given(losses)
def test_every_loss_of_a_line_is_an_entry(told: list[Loss]) -> None:
    with kept() as ledger:
        TrafficLog().see(ContentLost("CP 1", tuple(told)))
    assert ledger.entries == [(loss.where, loss.reason.value) for loss in told]


def test_other_lines_are_none() -> None:
    with kept() as ledger:
        logging.getLogger("bridge.traffic").info("call")
    assert ledger.entries == []
