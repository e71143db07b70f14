"""Nothing lost, nothing doubled, nobody misled: two short sieges, and that their counting finds what it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks.siege import siege
from tests.attacks.siege_ledger import (
    Counts,
    Journal,
    Recorded,
    Sent,
    Told,
    Verdict,
    count,
    read_journal,
    transaction_of,
)
from tests.e2e.stage import run


@pytest.mark.timeout(6000)
@pytest.mark.parametrize("seed", [2, 8])
def test_a_short_siege(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The two break everything between them. `python -m tests.attacks.siege --seed N --events 4 --minutes 0` is one."""
    result = run(siege(tmp_path, seed=seed, events=4), within=5000)
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        reporter.write_line(str(result))
    assert len(result.events) >= 4
    assert result.counts.delivered > 400
    assert result.trouble == ()
    assert result.counts.faults == {}


# The counting. A Charge Point starts a transaction, sends a meter value and stops, and all goes well.

NUMBERS = {"StartTransaction": 1, "MeterValues": 2, "StopTransaction": 3}
SENT = [
    Sent(identity="J 7", number=number, action=action, unique_id=f"id {number}") for action, number in NUMBERS.items()
]
TOLD = [
    Told(
        identity="J 7",
        number=number,
        action=action,
        unique_id=f"id {number}",
        verdict=Verdict.DELIVERED,
        transaction=transaction_of("J 7", number) if number == 1 else None,
    )
    for action, number in NUMBERS.items()
]
RECORDED = [
    Recorded(identity="J 7", number=number, action=action, unique_id=f"hop {number}")
    for action, number in NUMBERS.items()
]
START, VALUES, STOP = range(3)
RESENT = [replace(attempt, unique_id=f"again {attempt.number}") for attempt in SENT]


def test_when_all_goes_well_nothing_is_counted_against_it() -> None:
    counts = count(SENT, TOLD, RECORDED)
    assert counts == Counts(attempts=3, delivered=3)
    assert counts.faults == {}


@pytest.mark.parametrize("which", [START, VALUES, STOP])
def test_what_was_told_delivered_and_is_in_no_journal_is_lost(which: int) -> None:
    traffic_log = [entry for entry in RECORDED if entry is not RECORDED[which]]
    assert count(SENT, TOLD, traffic_log).faults == {"lost": 1}


@pytest.mark.parametrize("which", [START, STOP])
def test_a_start_or_stop_under_two_unique_ids_is_doubled(which: int) -> None:
    traffic_log = [*RECORDED, replace(RECORDED[which], unique_id="another")]
    assert count([*SENT, RESENT[which]], TOLD, traffic_log).faults == {"doubled": 1}


def test_meter_values_that_were_sent_again_come_again_under_another_unique_id() -> None:
    traffic_log = [*RECORDED, replace(RECORDED[VALUES], unique_id="another")]
    counts = count([*SENT, RESENT[VALUES]], TOLD, traffic_log)
    assert (counts.faults, counts.again_renamed) == ({}, 1)


@pytest.mark.parametrize("which", [START, VALUES, STOP])
def test_what_comes_again_under_its_unique_id_is_counted_by_itself(which: int) -> None:
    counts = count([*SENT, RESENT[which]], TOLD, [*RECORDED, RECORDED[which]])
    assert (counts.faults, counts.again) == ({}, 1)


@pytest.mark.parametrize("which", [START, VALUES, STOP])
def test_what_is_recorded_more_often_than_it_was_sent_is_multiplied(which: int) -> None:
    assert count(SENT, TOLD, [*RECORDED, RECORDED[which]]).faults == {"multiplied": 1}


def test_a_unique_id_that_is_answered_twice() -> None:
    assert count(SENT, [*TOLD, TOLD[VALUES]], RECORDED).faults == {"answered_twice": 1}


def test_two_attempts_that_are_both_answered_are_not() -> None:
    told = [*TOLD, replace(TOLD[START], unique_id="again 1")]
    assert count([*SENT, RESENT[START]], told, RECORDED).faults == {}


@pytest.mark.parametrize("which", [START, VALUES, STOP])
def test_who_is_told_that_a_message_is_refused_is_misled(which: int) -> None:
    told = [replace(answer, verdict=Verdict.REFUSED) if answer is TOLD[which] else answer for answer in TOLD]
    assert count(SENT, told, RECORDED).faults == {"misled": 1}


def test_the_transaction_id_of_another() -> None:
    told = [replace(TOLD[START], transaction=transaction_of("J 8", 1)), *TOLD[1:]]
    assert count(SENT, told, RECORDED).faults == {"strangers": 1}


def test_a_message_that_is_never_told_is_unsettled() -> None:
    failed = replace(TOLD[STOP], verdict=Verdict.FAILED)
    counts = count(SENT, [*TOLD[:2], failed], RECORDED)
    assert (counts.faults, counts.failures) == ({"unsettled": 1}, 1)


def test_transaction_ids_are_those_of_one_message() -> None:
    messages = [(f"{kind} {index}", number) for kind in "SJ" for index in range(100) for number in (0, 1, 9999)]
    assert len({transaction_of(*message) for message in messages}) == len(messages)


def test_a_journal_outlives_the_process_that_kept_it(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    assert read_journal(file) == []
    for entry in RECORDED:
        Journal(file).record(entry)
    assert read_journal(file) == RECORDED
