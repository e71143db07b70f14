"""Each fault of a cluster twice: nothing is lost, doubled or told twice. `make bench` measures how long it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks.cluster_faults import FAULTS, measured, report
from tests.attacks.cluster_ledger import Arrival, Connected, FaultCounts, counted
from tests.attacks.siege_ledger import Recorded, Sent, Told, Verdict, transaction_of


@pytest.mark.parametrize("servers", [1, 3])
async def test_each_fault_twice(servers: int, tmp_path: Path) -> None:
    faults = [name for name, (number, _) in FAULTS.items() if number == servers]
    outcomes = await measured(tmp_path, 2, faults, past=50)
    assert [one.fault for one in outcomes] == faults
    assert all(one.holds and one.counts.delivered > 100 for one in outcomes), report(outcomes)


# The counting. A Charge Point starts a transaction and sends a meter value, and all goes well.

ACTIONS = ("StartTransaction", "MeterValues")
SENT = [
    Sent(identity="J 7", number=number, action=action, unique_id=f"id {number}")
    for number, action in enumerate(ACTIONS, 1)
]
TOLD = [
    Told(
        identity="J 7",
        number=number,
        action=action,
        unique_id=f"id {number}",
        verdict=Verdict.DELIVERED,
        transaction=transaction_of("J 7", 1) if number == 1 else None,
    )
    for number, action in enumerate(ACTIONS, 1)
]
ARRIVED = [
    Arrival(recorded=Recorded(identity="J 7", number=number, action=action, unique_id=f"hop {number}"), sender="a.1")
    for number, action in enumerate(ACTIONS, 1)
]
START, VALUES = range(2)


def renamed(arrival: Arrival) -> Arrival:
    return replace(arrival, recorded=replace(arrival.recorded, unique_id="another"))


def test_when_all_goes_well_nothing_is_counted_against_it() -> None:
    counts = counted(SENT, TOLD, ARRIVED)
    assert counts == FaultCounts(delivered=2) and not counts.faults


@pytest.mark.parametrize("which", [START, VALUES])
def test_a_message_that_did_not_arrive_or_was_never_told_is_lost(which: int) -> None:
    assert counted(SENT, TOLD, [one for one in ARRIVED if one is not ARRIVED[which]]).faults == {"lost": 1}
    assert counted(SENT, [one for one in TOLD if one is not TOLD[which]], ARRIVED).faults == {"lost": 1}


def test_a_second_unique_id_is_a_second_transaction() -> None:
    arrived = [*ARRIVED, replace(renamed(ARRIVED[START]), sender="b.1")]
    assert counted(SENT, TOLD, arrived).faults == {"doubled": 1}


def test_meter_values_have_another_unique_id_in_another_attempt_only() -> None:
    arrived = [*ARRIVED, renamed(ARRIVED[VALUES])]
    assert counted(SENT, TOLD, arrived).faults == {"renamed": 1}
    sent = [*SENT, replace(SENT[VALUES], unique_id="again")]
    assert counted(sent, TOLD, arrived) == FaultCounts(delivered=2)


def test_a_copy_of_another_process_under_the_same_unique_id_is_no_fault() -> None:
    counts = counted(SENT, TOLD, [*ARRIVED, replace(ARRIVED[START], sender="b.1")])
    assert counts == FaultCounts(copies=1, delivered=2) and not counts.faults


def test_a_process_sends_a_transaction_message_no_more_often_than_the_charge_point() -> None:
    twice = [*ARRIVED, ARRIVED[START]]
    assert counted(SENT, TOLD, twice).faults == {"sent_twice": 1}
    assert not counted([*SENT, replace(SENT[START], unique_id="again")], TOLD, twice).faults


@pytest.mark.parametrize(
    ("connected", "faults"),
    [
        ("a.1 b.1 a.1", {}),
        ("a.1 b.1", {"sent_twice": 1}),
        ("a.1 a.1", {"sent_twice": 1}),
        ("a.1", {"sent_twice": 1}),
        ("a.1=1001 a.1", {}),
        ("a.1=1006 a.1", {"sent_twice": 1}),
    ],
)
def test_unless_another_process_had_the_charge_point_in_between(connected: str, faults: dict[str, int]) -> None:
    """It need not have connected: whoever loses a Charge Point closes its connection, and says so."""
    told = [each.partition("=") for each in connected.split()]
    made = [
        Connected(identity="J 7", sender=name, at=at, code=int(code) if code else None)
        for at, (name, _, code) in enumerate(told)
    ]
    sent = [replace(ARRIVED[START], at=0.5), ARRIVED[VALUES], replace(ARRIVED[START], at=2.5)]
    assert counted(SENT, TOLD, sent, made).faults == faults


def test_two_answers_to_one_message_and_a_refusal() -> None:
    assert counted(SENT, [*TOLD, TOLD[VALUES]], ARRIVED).faults == {"answered_twice": 1}
    assert counted(SENT, [TOLD[START], replace(TOLD[VALUES], verdict=Verdict.REFUSED)], ARRIVED).faults == {"misled": 1}
