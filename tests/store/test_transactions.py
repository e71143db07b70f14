"""Transactions in the store: the one that changed last first, by filters, in pages, written or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from bridge.ocpp.tenants import key_of
from bridge.store import Store
from bridge.store.records import TransactionRecord
from bridge.store.transactions import TransactionQuery
from tests.store.conftest import Opened

SOON = 30.0
MANY = 30_000


def transaction(
    number: int, state: str = "ended", *, identity: str = "", central_system: str = "main"
) -> TransactionRecord:
    return TransactionRecord(
        identity=identity or f"CP-{number % 100}",
        kept_at=0.0,
        number=number,
        central_system=central_system,
        named=number,
        connector=1,
        id_tag="ANNA",
        meter_start=0,
        started="2026-01-01T00:00:00Z",
        state=state,
        meter_stop=10 if state == "ended" else None,
        stopped="2026-01-01T01:00:00Z" if state == "ended" else None,
        reason="Local" if state == "ended" else None,
    )


def pages(store: Store, query: TransactionQuery, limit: int) -> list[int]:
    """All that fit, page by page."""
    found: list[int] = []
    while True:
        page = store.transactions(query, limit)
        assert len(page.records) <= limit
        found += [record.number for record in page.records]
        if page.next is None:
            return found
        query = structs.replace(query, before=page.next)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, opened: Opened) -> Store:
    return opened() if request.param == "file" else Store("memory:")


def test_the_one_that_changed_last_is_first(store: Store) -> None:
    records = [transaction(number, "open") for number in range(1, 8)]
    assert store.commit(*records, transaction(3)).result(SOON)
    assert pages(store, TransactionQuery(), 2) == [3, 7, 6, 5, 4, 2, 1]
    (ended,) = store.transactions(TransactionQuery(state="ended")).records
    assert (ended.number, ended.meter_stop, ended.stopped, ended.reason) == (3, 10, "2026-01-01T01:00:00Z", "Local")


def test_filters(store: Store) -> None:
    store.commit(
        transaction(1, "open", identity="Ams-1"),
        transaction(2, "closed", identity="AMS-2", central_system="other"),
        transaction(3, "ended", identity="rdam"),
        transaction(0, "open", identity="rdam"),  # the place of one without a number
    ).result(SOON)
    assert pages(store, TransactionQuery(identity="ams*"), 10) == [2, 1]
    assert pages(store, TransactionQuery(identity="ams-1"), 10) == [1]
    assert pages(store, TransactionQuery(identity="*M*"), 10) == [3, 2, 1]
    assert pages(store, TransactionQuery(central_system="other"), 10) == [2]
    assert pages(store, TransactionQuery(state="open"), 10) == [1]
    assert pages(store, TransactionQuery(state="ended", identity="ams*"), 10) == []


def test_a_tenant_has_its_own(store: Store) -> None:
    store.commit(
        transaction(1, "open", identity="CP 1"),
        transaction(1, "open", identity=key_of("acme", "CP 1")),
        transaction(2, "open", identity=key_of("acme", "CP 2")),
        transaction(3, "open", identity=key_of("acme-2", "CP 1")),
    ).result(SOON)

    def of(tenant: str | None, identity: str | None = None) -> list[tuple[str, int]]:
        records = store.transactions(TransactionQuery(tenant=tenant, identity=identity), 10).records
        return sorted((record.identity, record.number) for record in records)

    one, two = (key_of("acme", "CP 1"), 1), (key_of("acme", "CP 2"), 2)
    assert of("") == of("", "cp*") == of("", "cp 1") == [("CP 1", 1)]
    assert of("acme") == of("acme", "cp*") == [one, two]
    assert (of("acme", "cp 1"), of("acme", "CP 2"), of("acme-2", "*")) == (
        [one],
        [two],
        [(key_of("acme-2", "CP 1"), 3)],
    )
    assert len(of(None)) == 4
    for tenant in ("", "acme"):
        for identity in ("acme\x1fcp 1", "acme\x1f*", "\x1fcp 1", "acme*"):
            assert of(tenant, identity) == []


def test_many_are_looked_through_in_parts(opened: Opened) -> None:
    """A page may be empty although there are more."""
    store = opened()
    records = [transaction(number, "open" if number < 3 else "ended") for number in range(1, MANY)]
    for first in range(0, MANY, 10_000):
        assert store.commit(*records[first : first + 10_000]).result(SOON)
    query = TransactionQuery(central_system="other")
    page = store.transactions(query, 10)
    assert page.records == [] and page.next is not None
    assert pages(store, query, 10) == []
    kept = [number for number in range(MANY - 1, 0, -1) if number > MANY - 10_000]
    assert pages(store, TransactionQuery(), 1000)[: len(kept)] == kept
    assert store.transactions(TransactionQuery(identity="CP-7"), 1).records[0].number == MANY - 93


def test_those_that_are_not_written_yet_are_read_too(path: Path, opened: Opened) -> None:
    store = opened()
    store.commit(transaction(1, "open"), transaction(2, "open")).result(SOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(transaction(1), transaction(3, "open"))
        assert [one.number for one in store.transactions().records] == [3, 1, 2]
        assert [one.number for one in store.transactions(TransactionQuery(state="open")).records] == [3, 2]
        other.execute("ROLLBACK")


def test_those_of_a_removed_charge_point_are_not_shown(opened: Opened) -> None:
    store = opened()
    store.commit(transaction(1, identity="gone"), transaction(2, identity="here")).result(SOON)
    assert store.remove("gone").result(SOON)
    assert [one.number for one in store.transactions().records] == [2]


def test_a_closed_store_has_none(opened: Opened) -> None:
    store = opened()
    store.commit(transaction(1)).result(SOON)
    store.close()
    assert store.transactions().records == []
