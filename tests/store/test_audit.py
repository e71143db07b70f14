"""The audit in the store: without a bound in number, for 90 days, in pages and with a filter."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.store import AuditRecord, Store
from bridge.store.audit import AuditQuery, newest
from bridge.store.records import LONGEST_AUDIT
from tests.store.conftest import Opened

SOON = 30.0
MANY = 100_000
BEGAN = 1_790_000_000.0


def record(number: int, *, who: str = "10.0.0.1 desk", what: str = "move", at: float | None = None) -> AuditRecord:
    """The action of a second of its own."""
    moment = BEGAN + number if at is None else at
    return AuditRecord(
        identity=f"CP-{number % 10}",
        id=int((BEGAN + number) * 1e6),
        at=moment,
        who=who,
        what=what,
        detail=f"{number}",
        outcome="done",
    )


def numbers(records: list[AuditRecord]) -> list[int]:
    return [int(one.detail) for one in records]


def pages(store: Store, query: AuditQuery, limit: int) -> list[int]:
    """All that fits, page by page."""
    found: list[int] = []
    while page := store.audit(query, limit):
        assert len(page) <= limit
        found += numbers(page)
        query = structs.replace(query, before=page[-1].id)
    return found


def test_a_hundred_thousand_are_kept_and_read_page_by_page(path: Path, opened: Opened) -> None:
    store = opened()
    for first in range(0, MANY, 10_000):
        assert store.commit(*(record(number) for number in range(first, first + 10_000))).result(SOON)
    assert pages(store, AuditQuery(), 1000) == list(range(MANY))[::-1]
    assert numbers(store.audit(AuditQuery(identity="cp-3"), 3)) == [MANY - 7, MANY - 17, MANY - 27]
    store.close()
    again = opened()
    assert numbers(again.audit(AuditQuery(until=BEGAN + 2), 1000)) == [1, 0]
    assert again.memory_of("CP-3").charge_point is None


def test_those_that_are_not_written_yet_are_read_too(path: Path, opened: Opened) -> None:
    store = opened()
    store.commit(*(record(number) for number in range(5))).result(SOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(*(record(number) for number in range(5, 8)))
        assert numbers(store.audit(limit=4)) == [7, 6, 5, 4]
        assert pages(store, AuditQuery(), 2) == [7, 6, 5, 4, 3, 2, 1, 0]
        other.execute("ROLLBACK")


@pytest.mark.parametrize("url", ["memory:", ""])
def test_a_filter(url: str, path: Path, opened: Opened) -> None:
    store = opened(url or f"sqlite:///{path}")
    store.put(
        record(1), record(2, who="10.0.0.2 Zoë"), record(3, what="call Reset"), record(13, what="call ClearCache")
    )

    def found(**query: object) -> list[int]:
        return numbers(store.audit(AuditQuery(**query)))  # type: ignore[arg-type]

    assert found() == [13, 3, 2, 1]
    assert found(identity="cp-3") == [13, 3]
    assert found(identity="CP-[12]") == [2, 1]
    assert found(who="*ZOË") == [2]
    assert found(what="call *") == [13, 3]
    assert found(what="call") == []
    assert found(since=BEGAN + 2, until=BEGAN + 13) == [3, 2]
    assert found(what="call *", since=BEGAN + 4) == [13]
    assert found(before=record(3).id) == [2, 1]
    assert found(before=record(3).id - 1) == [2, 1], "an id that no record has"
    assert found(before=1) == []


def test_what_is_older_than_90_days_is_deleted(path: Path, opened: Opened) -> None:
    store = opened()
    old = [record(number) for number in range(250)]
    store.commit(*old).result(SOON)
    days = int(LONGEST_AUDIT)
    # Every hundredth record makes room: here the fifty-first, which is 90 days younger than number 150.
    store.commit(*(record(days + 100 + number) for number in range(100))).result(SOON)
    left = pages(store, AuditQuery(), 1000)
    assert left == [*range(days + 100, days + 200)][::-1] + [*range(150, 250)][::-1]


def test_a_clock_that_goes_back_hides_nothing(path: Path, opened: Opened) -> None:
    store = opened()
    store.commit(record(1), record(2, at=BEGAN - 5000), record(3, at=BEGAN - 4999)).result(SOON)
    assert numbers(store.audit(AuditQuery(since=BEGAN - 5000))) == [3, 2, 1]
    assert numbers(store.audit(AuditQuery(since=BEGAN - 4999))) == [3, 1]


def test_a_clock_that_begins_in_1970_hides_nothing(path: Path, opened: Opened) -> None:
    """Ids with fewer digits are lower, though their texts are not."""
    store = opened()
    first = structs.replace(record(0), id=9_000_000, at=9.0, detail="0")
    store.commit(first, record(1), record(2)).result(SOON)
    assert pages(store, AuditQuery(), 1) == [2, 1, 0]


_records = st.lists(
    st.builds(record, st.integers(0, 500), who=st.sampled_from("abc"), what=st.sampled_from("xyz")),
    unique_by=lambda one: one.id,
    max_size=40,
)
_queries = st.builds(
    AuditQuery,
    identity=st.none() | st.sampled_from(["CP-1", "cp-*"]),
    who=st.none() | st.sampled_from("ab"),
    what=st.none() | st.sampled_from("xy"),
    since=st.none() | st.integers(0, 500).map(lambda number: BEGAN + number),
    until=st.none() | st.integers(0, 500).map(lambda number: BEGAN + number),
)


@given(_records, _queries, st.integers(1, 10))
def test_pages_hold_each_record_that_fits_once(records: list[AuditRecord], query: AuditQuery, limit: int) -> None:
    store = Store("memory:")
    store.put(*records)
    wanted = [one for one in records if query.fits(one)]
    assert pages(store, query, limit) == numbers(sorted(wanted, key=lambda one: -one.id))
    assert all(not query.is_over(one) for one in wanted)


def test_each_id_is_there_once() -> None:
    """A record that is written while it is read is found twice."""
    assert newest([record(1), record(2), record(1)], 5) == [record(2), record(1)]
