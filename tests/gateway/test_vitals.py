"""Since when a Central System cannot be reached: what is heard, in order."""

from __future__ import annotations

from bridge.core.commands import Outcome
from bridge.gateway.vitals import Outages
from bridge.ocpp.actions import Party
from tests.admin.test_metrics import report

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


def failing() -> Outages:
    """One that heard of two failures, a second apart."""
    times = iter((1.0, 2.0, 3.0))
    outages = Outages(clock=lambda: next(times))
    outages.link_down("CP 1", CENTRAL_SYSTEM, "main", "refused")
    outages.link_down("CP 1", CENTRAL_SYSTEM, "main", "refused again")
    outages.link_down("CP 1", CHARGE_POINT, "main", "it hung up")
    return outages


def test_an_outage_begins_with_the_first_failure() -> None:
    assert failing().since == {"CP 1": 1.0}


def test_it_ends_when_the_way_is_open_or_not_wanted_any_more() -> None:
    outages = failing()
    outages.link_up("CP 1", CHARGE_POINT, "main")
    outages.link_closed("CP 1", CHARGE_POINT, "main", "why")
    assert outages.since
    outages.link_up("CP 1", CENTRAL_SYSTEM, "main")
    assert not outages.since
    outages = failing()
    outages.link_closed("CP 1", CENTRAL_SYSTEM, "main", "the Charge Point is silent")
    assert not outages.since


def test_it_ends_when_the_central_system_answers() -> None:
    """POSTs open no way of their own."""
    outages = failing()
    outages.exchanged("CP 1", report(outcome=Outcome.UNANSWERED))
    outages.exchanged("CP 1", report("Reset", sender=CENTRAL_SYSTEM))
    outages.exchanged("CP 2", report())
    assert outages.since
    outages.exchanged("CP 1", report(outcome=Outcome.ERROR))
    assert not outages.since
