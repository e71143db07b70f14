"""What is put comes back, from a file and from memory alike, and what is superfluous goes."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store import (
    ChargePointRecord,
    Record,
    Store,
    StoredMemory,
)
from bridge.store.records import latest
from tests.store.conftest import NOW, SOON, Log, Opened
from tests.store.examples import alias, answered, audited, charge_point, connector, credential, records

WEEK = 7 * 24 * 3600.0


def _rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


@pytest.mark.parametrize("url", ["", "memory", "sqlite:", "sqlite:///", "sqlite:////", "sqlite://a.db", "a.db"])
def test_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Store(url)


def test_relative_to_where_it_was_made(tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("sqlite:///a/b.db")
    monkeypatch.chdir("/")
    store.open()
    store.close()
    assert (tmp_path / "a" / "b.db").is_file()


def test_a_name_that_means_something_to_sqlite(tmp_path: Path, opened: Opened) -> None:
    for name in (":memory:", "file:x?mode=memory", "50% #1.db"):
        store = opened(f"sqlite:///{tmp_path}/{name}")
        assert store.trouble is None
        store.close()
        assert (tmp_path / name).is_file()


@settings(deadline=None, max_examples=40)
@given(put=st.lists(records, max_size=20), how=st.sampled_from(["put", "commit", "one by one"]))
def test_any_record_survives(put: list[Record], how: str) -> None:
    with TemporaryDirectory() as folder:
        stores = [Store(f"sqlite:///{folder}/a.db", clock=lambda: 0.0) for _ in range(2)]
        stores[0].open()
        if how == "put":
            stores[0].put(*put)
        elif how == "commit":
            assert stores[0].commit(*put).result(SOON)
        else:
            assert all(stores[0].commit(record).result(SOON) for record in put)
        before = [stores[0].memory_of(record.identity) for record in put]
        stores[0].close()
        stores[1].open()
        after = [stores[1].memory_of(record.identity) for record in put]
        charge_points, audit, given_settings = stores[1].charge_points(), stores[1].audit(), stores[1].provisioned()
        moves, readiness = stores[1].moves(), stores[1].readiness()
        stores[1].close()
    assert before == after
    left = latest(put).values()
    shared = {*audit, *given_settings, *moves, *readiness}
    assert {one for memory in after for one in _all(memory)} | shared == set(left)
    assert set(charge_points) == {record for record in left if isinstance(record, ChargePointRecord)}


def _all(memory: StoredMemory) -> list[Record]:
    kept = [getattr(memory, name) for name in memory.__struct_fields__]
    return [record for each in kept if each is not None for record in (each if isinstance(each, tuple) else [each])]


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, opened: Opened) -> Store:
    return opened() if request.param == "file" else opened("memory:")


def test_what_is_put_is_read_at_once(store: Store) -> None:
    for number in range(1, 200):
        store.put(alias(number), charge_point(last_seen=NOW + number), connector(number % 3))
        memory = store.memory_of("rdam 123")
        assert memory.aliases[-1] == alias(number)
        assert memory.charge_point == charge_point(last_seen=NOW + number)
        assert store.charge_points() == [charge_point(last_seen=NOW + number)]
    assert [one.connector for one in store.memory_of("RDAM 123").connectors] == [0, 1, 2]


def test_a_commit_is_kept(store: Store) -> None:
    assert store.commit(answered(1), alias(1)).result(SOON)
    assert store.commit().result(SOON)
    assert store.memory_of("RDAM 123") == StoredMemory(answered=(answered(1),), aliases=(alias(1),))
    assert store.trouble is None


def test_a_commit_cannot_be_cancelled(store: Store) -> None:
    future = store.commit(alias())
    assert not future.cancel()
    assert future.result(SOON)


def test_identities_are_one_that_casefold_alike(store: Store) -> None:
    store.put(charge_point("STRASSE"), alias(1, identity="Straße"), alias(2, identity="other"))
    memory = store.memory_of("straße")
    assert memory.charge_point == charge_point("STRASSE")
    assert memory.aliases == (alias(1, identity="Straße"),)


def test_a_later_record_takes_the_place_of_the_earlier(store: Store) -> None:
    for transaction_id in (5, 6):
        for number in (1, 2):
            assert store.commit(alias(number, transaction_id)).result(SOON)
    assert store.commit(alias(1, 7)).result(SOON)
    assert store.memory_of("RDAM 123").aliases == (alias(2, 6), alias(1, 7))


def test_one_that_is_removed_is_not_known_any_more(store: Store) -> None:
    """Nor is anything of it that was put a moment ago; what comes later is."""
    store.put(alias(1), audited(1, "RDAM 123"), credential())
    store.commit(charge_point(), answered(1)).result(SOON)
    store.put(charge_point("other"), connector(1))
    removed = store.remove("rdam 123")
    assert store.memory_of("RDAM 123") == StoredMemory(credentials=(credential(),))
    store.put(alias(2))
    assert removed.result(SOON)
    assert store.memory_of("RDAM 123") == StoredMemory(aliases=(alias(2),), credentials=(credential(),))
    assert store.charge_points() == [charge_point("other")]
    assert store.audit() == [audited(1, "RDAM 123")]


def test_who_was_removed_stays_so_after_a_restart(opened: Opened) -> None:
    store = opened()
    store.commit(charge_point(), charge_point("other"), alias(1)).result(SOON)
    assert store.remove("RDAM 123").result(SOON)
    store.put(connector(2))
    store.close()
    again = opened()
    assert again.charge_points() == [charge_point("other")]
    assert again.memory_of("RDAM 123") == StoredMemory(connectors=(connector(2),))


def test_of_an_unknown_charge_point_there_is_nothing(store: Store) -> None:
    assert store.memory_of("nobody") == StoredMemory()
    assert store.charge_points() == []


def test_at_most_a_thousand_of_each(store: Store) -> None:
    for number in range(1500):
        store.put(answered(number), alias(number + 1))
    assert store.commit().result(SOON)
    memory = store.memory_of("RDAM 123")
    assert [one.fingerprint for one in memory.answered] == [str(number) for number in range(500, 1500)]
    assert [one.alias for one in memory.aliases] == list(range(501, 1501))


def test_the_latest_answer_is_the_last(store: Store) -> None:
    for number in (5, 9, 1, 9):
        assert store.commit(answered(number)).result(SOON)
    assert [one.fingerprint for one in store.memory_of("RDAM 123").answered] == ["5", "1", "9"]


def test_the_file_is_pruned_by_number(opened: Opened, path: Path) -> None:
    store = opened()
    for number in range(1, 2500):
        store.put(alias(number), connector(number))
        if number % 10 == 0:
            assert store.commit(answered(number)).result(SOON)
    store.close()
    assert _rows(path, "answered") == 249
    assert 1000 <= _rows(path, "alias") <= 1100
    assert 1000 <= _rows(path, "connector") <= 1100


class Running:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("url", ["memory:", ""])
def test_an_answer_is_kept_for_a_week_in_which_the_bridge_ran(url: str, path: Path, opened: Opened) -> None:
    clock = Running()
    store = opened(url or f"sqlite:///{path}", clock=clock)
    store.put(answered("kept"), alias())
    clock.now = WEEK
    assert [one.fingerprint for one in store.memory_of("RDAM 123").answered] == ["kept"]
    clock.now = WEEK + 1
    memory = store.memory_of("RDAM 123")
    assert (memory.answered, memory.aliases) == ((), (alias(),))


def test_running_time_goes_on_where_the_last_process_ended(opened: Opened) -> None:
    for ran_before in (0.0, 2 * WEEK, 4 * WEEK):
        clock = Running()
        clock.now = 7e8  # wherever it begins to count
        store = opened(clock=clock)
        assert store.running_time == ran_before
        clock.now += 2 * WEEK
        assert store.running_time == ran_before + 2 * WEEK
        store.close()


def test_a_kill_loses_a_minute_of_running_time(opened: Opened, path: Path) -> None:
    clock = Running()
    store = opened(clock=clock)
    for _ in range(10):
        clock.now += 59
        assert store.commit(alias()).result(SOON)
    with closing(sqlite3.connect(path)) as connection:
        (seconds,) = connection.execute("SELECT seconds FROM running_time").fetchone()
    assert clock.now - 60 < seconds <= clock.now


def test_however_long_the_bridge_stood_still_its_answers_are_kept(opened: Opened) -> None:
    """Whether it was stopped for a month, or its clock was set forward by a month, looks the same from inside."""
    clock = Running()
    store = opened(clock=clock)
    clock.now = 5.0
    store.put(answered("before", kept_at=store.running_time))
    store.close()
    store = opened(clock=Running())
    assert store.memory_of("RDAM 123").answered == (answered("before", kept_at=5.0),)


def test_the_file_is_pruned_by_age(opened: Opened, path: Path) -> None:
    clock = Running()
    store = opened(clock=clock)
    store.put(*(answered(number, identity=f"CP-{number}") for number in range(2500)))
    store.close()
    assert _rows(path, "answered") == 2500
    store = opened(clock=clock)
    clock.now = WEEK + 1
    assert store.memory_of("CP-1") == StoredMemory()
    for number in range(3):  # a thousand with each transaction
        assert store.commit(charge_point(f"CP-{number}")).result(SOON)
    store.close()
    assert _rows(path, "answered") == 0


def test_a_record_that_no_database_holds_does_not_harm_the_others(opened: Opened, log: Log) -> None:
    store = opened()
    store.put(alias(7))
    futures = [store.commit(one) for one in (alias(1, identity="\ud800"), alias(2, 10**5000), alias(3))]
    assert [future.result(SOON) for future in futures] == [False, False, True]
    assert store.trouble is None
    assert store.memory_of("RDAM 123").aliases == (alias(7), alias(3))
    assert log.count("cannot be kept") == 2


def test_a_row_that_is_not_ours_is_passed_over(opened: Opened, path: Path, log: Log) -> None:
    store = opened()
    assert store.commit(alias(1), alias(2)).result(SOON)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alias SET transaction_id = 'mine' WHERE alias = '1'")
    assert store.memory_of("RDAM 123").aliases == (alias(2),)
    assert log.count("not one of ours") == 1


def test_from_many_threads(store: Store) -> None:
    def work(name: str) -> None:
        for number in range(1, 101):
            store.put(charge_point(name, NOW + number))
            done.append(store.commit(alias(number, identity=name)).result(SOON))
            assert len(store.memory_of(name).aliases) == number

    done: list[bool] = []
    threads = [Thread(target=work, args=(f"CP-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 800
    assert sorted(one.last_seen for one in store.charge_points()) == [NOW + 100] * 8


def test_a_store_that_was_never_opened_and_one_that_is_closed(path: Path) -> None:
    store = Store(f"sqlite:///{path}", clock=lambda: 0.0)
    store.put(alias(1))
    early = store.commit(alias(2))
    assert store.memory_of("RDAM 123").aliases == (alias(1), alias(2))
    store.open()
    assert early.result(SOON)
    store.close()
    store.close()
    store.put(alias(3))
    assert not store.commit(alias(4)).result(SOON)
    assert store.charge_points() == []
    unopened = Store(f"sqlite:///{path}")
    late = unopened.commit(alias(5))
    unopened.close()
    assert not late.result(SOON)


def test_memory_leaves_nothing_on_disk(tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = opened("memory:")
    store.put(*(record for number in range(1, 50) for record in (alias(number), answered(number), connector(number))))
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_ten_thousand_charge_points(opened: Opened) -> None:
    store = opened()
    for number in range(10_000):
        name = f"CP-{number:05}"
        store.put(charge_point(name), connector(1, identity=name), alias(1, identity=name), answered(identity=name))
    started = time.perf_counter()
    store.close()
    written = time.perf_counter()
    store = opened()
    assert len(store.charge_points()) == 10_000
    read = time.perf_counter()
    memories = [store.memory_of(f"CP-{number:05}") for number in range(10_000)]
    each = time.perf_counter()
    assert all(len(_all(memory)) == 4 for memory in memories)
    print(f"40 000 records written in {written - started:.2f} s, 10 000 Charge Points read in {read - written:.2f} s")
    print(f"and all that is kept of each in {each - read:.2f} s")


@pytest.mark.parametrize("url", ["memory:", ""])
def test_what_operators_did_is_one_list_for_all_charge_points(url: str, path: Path, opened: Opened) -> None:
    store = opened(url or f"sqlite:///{path}")
    done = [audited(number, f"CP {number % 3}") for number in range(1100)]
    for record in done:
        store.put(record)
    assert store.audit(limit=2000) == done[::-1]
    assert store.memory_of("CP 1") == StoredMemory()
    if not url:
        store.close()
        assert opened().audit(limit=2000) == done[::-1]
