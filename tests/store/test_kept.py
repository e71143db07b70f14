"""Memory is bounded, and the newest stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.store.kept import KeptRecords
from bridge.store.records import AliasRecord, AnsweredRecord, Record, key_of, latest
from tests.store.examples import alias, answered, charge_point, connector, records


@given(st.lists(records))
def test_the_latest_of_each_key_is_kept(put: list[Record]) -> None:
    kept = KeptRecords()
    assert all(kept.put(record) for record in put)
    assert {key_of(record): record for record in kept} == latest(put)
    assert len(kept) == len(list(kept))
    for record in kept:
        assert record in kept.of(key_of(record)[1])


def test_past_the_limit_the_oldest_of_the_same_kind_goes() -> None:
    kept = KeptRecords(limit=2)
    assert kept.put(alias(1, identity="A"))
    assert [kept.put(answered(number)) for number in range(3)] == [True, True, False]
    assert kept.of_kind(AnsweredRecord) == [answered(1), answered(2)]
    assert kept.of_kind(AliasRecord) == [alias(1, identity="A")]


def test_what_is_put_again_is_the_newest() -> None:
    kept = KeptRecords(limit=2)
    for number in (1, 2, 1, 3):
        kept.put(alias(number))
    assert kept.of_kind(AliasRecord) == [alias(1), alias(3)]


def test_at_most_a_thousand_of_a_charge_point() -> None:
    kept = KeptRecords()
    kept.put(alias(1, identity="other"))
    assert all(kept.put(alias(number)) for number in range(1, 1003))
    assert kept.of("rdam 123") == [alias(number) for number in range(3, 1003)]
    assert kept.of("other") == [alias(1, identity="other")]


def test_an_answer_makes_those_of_a_week_ago_superfluous() -> None:
    kept = KeptRecords()
    week = 7 * 24 * 3600.0
    for at in (0, 1, week + 1):
        assert kept.put(answered(at, kept_at=at))
    assert kept.of_kind(AnsweredRecord) == [answered(at, kept_at=at) for at in (1, week + 1)]


def test_absorbing() -> None:
    older, newer = KeptRecords(limit=2), KeptRecords(limit=2)
    put_first: list[Record] = [alias(1, 10), alias(2, 20), connector()]
    put_later: list[Record] = [alias(1, 11), charge_point()]
    for record in put_first:
        older.put(record)
    for record in put_later:
        newer.put(record)
    assert older.absorb(newer)
    assert older.of("rdam 123") == [charge_point(), alias(2, 20), alias(1, 11), connector()]
    newer.put(alias(3, 30))
    assert not older.absorb(newer)
    assert older.of_kind(AliasRecord) == [alias(1, 11), alias(3, 30)]


def test_nothing_is_left_of_what_is_dropped() -> None:
    kept = KeptRecords(limit=1)
    for number in range(100):
        kept.put(alias(1, identity=f"CP-{number}"))
    assert len(kept) == 1
    assert kept.of("cp-0") == []
    assert len(kept._of) == 1
