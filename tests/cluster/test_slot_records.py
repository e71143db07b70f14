"""What is loaded of a slot, and what waits to be written. Without a server."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.cluster import stream_forms as form
from bridge.cluster.slot_records import SlotRecords, StoreCommit
from bridge.cluster.stream_forms import StoredMessage
from bridge.store.records import MOST, Record, key_of
from tests.store.examples import (
    alias,
    answered,
    audited,
    charge_point,
    connector,
    credential,
    observer_message,
    provisioned,
)


def message(record: Record, sequence: int = 1, *, removed: bool = False) -> StoredMessage:
    change = form.written(7, key_of(record), record, 0.0)
    return StoredMessage(subject=change.subject, sequence=sequence, body=b"" if removed else change.body)


def commit() -> StoreCommit:
    return StoreCommit(frozenset([7]), 0.0)


def part(*found: Record) -> SlotRecords:
    """A slot that is loaded."""
    made = SlotRecords(7, 5)
    made.load({str(number): record for number, record in enumerate(found)})
    return made


def bodies(of: SlotRecords, most: int = 1000) -> list[tuple[int | None, bool]]:
    """The place of each change that is written next, and whether it removes a record."""
    return [(place, not change.body) for _, changes in of.changes(of.take(most), 0.0) for place, change in changes]


def test_what_is_put_before_it_was_loaded_completes_what_is_loaded() -> None:
    of, waiting = SlotRecords(7, 5), commit()
    old = structs.replace(charge_point(), callback_url="http://cp/", interval=300)
    of.put(structs.replace(charge_point(), last_seen=9.0), waiting)
    of.put(connector(1, "Available"))
    assert not len(of) and of.records.of("rdam 123") == [] and not waiting.future.done()
    of.load({"x": old, "y": connector(1, "Charging"), "z": connector(2)})
    assert of.records.of("rdam 123") == [
        structs.replace(old, last_seen=9.0),
        connector(2),
        connector(1, "Available"),
    ]
    keys = of.take(10)
    assert set(keys) == {key_of(charge_point()), key_of(connector(1))}
    assert waiting.written(keys) and waiting.future.result()


def test_one_charge_point_is_loaded_before_the_rest() -> None:
    of = SlotRecords(7, 5)
    of.put(alias(2, identity="RDAM 123"))
    of.put(alias(1, identity="other"))
    assert of.load_charge_point("rdam 123", [message(alias(1)), message(connector(1))]) == []
    assert of.has("rdam 123") and not of.has("other") and len(of) == 1
    of.put(connector(1, None))
    # What is read of it later is older.
    of.load({"a": connector(1), "b": connector(2), "c": alias(9, identity="other")})
    assert of.records.of("rdam 123") == [alias(1), alias(2), connector(1, None)]
    assert of.records.of("other") == [alias(9, identity="other"), alias(1, identity="other")]
    assert of.load_charge_point("rdam 123", [message(alias(3))]) == []
    assert alias(3) not in of.records.of("rdam 123")


def test_what_was_removed_is_not_loaded() -> None:
    of = SlotRecords(7, 5)
    of.load_charge_point("rdam 123", [message(alias(2)), message(alias(1), 2, removed=True)])
    assert of.records.of("rdam 123") == [alias(2)]


def test_a_charge_point_is_removed_with_all_but_what_stays() -> None:
    of, waiting = (
        part(charge_point(), connector(1), credential(), provisioned(), connector(1, identity="other")),
        commit(),
    )
    of.remove("rdam 123", waiting)
    assert of.records.of("rdam 123") == [credential()] and of.records.of("other")
    assert sorted(bodies(of), key=str) == [(7, True), (7, True), (7, True), (None, True)]


def test_a_charge_point_that_is_removed_before_it_was_loaded() -> None:
    of, waiting, nothing = SlotRecords(7, 5), commit(), commit()
    of.put(connector(3), commit())
    of.remove("rdam 123", waiting)
    of.put(connector(2))
    of.remove("unknown", nothing)
    assert of.load({"a": connector(1), "b": alias(1)}) == [nothing]
    assert of.records.of("rdam 123") == [connector(2)]
    keys = of.take(10)
    assert set(keys) == {key_of(one) for one in (connector(1), connector(2), connector(3), alias(1))}
    assert waiting.written(keys)


def test_what_every_node_has_is_written_in_two_places() -> None:
    of = part()
    of.put(provisioned())
    of.put(connector(1))
    assert sorted(bodies(of), key=str) == [(7, False), (7, False), (None, False)]
    everyone = SlotRecords(None)
    everyone.put(audited())
    assert bodies(everyone) == [(None, False)]


def test_what_is_forgotten_because_there_is_too_much_is_removed() -> None:
    of = part(*(alias(number) for number in range(1, MOST + 1)))
    assert not len(of)
    of.put(alias(MOST + 1))
    assert sorted(bodies(of)) == [(7, False), (7, True)]
    loaded = part(*(alias(number) for number in range(1, MOST + 3)))
    assert bodies(loaded) == [(7, True)] * 2


def test_a_record_that_no_json_can_hold_is_not_written() -> None:
    of = part()
    of.put(connector(1, "\ud800"))
    of.put(connector(2))
    assert [len(changes) for _, changes in of.changes(of.take(10), 0.0)] == [0, 1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30)), max_size=60), st.integers(1, 20))
def test_all_that_waits_is_taken_once(put: list[tuple[int, int]], most: int) -> None:
    """And what is put for one Charge Point at once is taken at once, if a batch can hold it."""
    of = part()
    for number, connector_id in put:
        of.put(connector(connector_id, identity=f"cp {number}"))
    expected = {(f"cp {number}", connector_id) for number, connector_id in put}
    sizes = {identity: sum(one[0] == identity for one in expected) for identity, _ in expected}
    taken: list[tuple[str, int]] = []
    while keys := of.take(most):
        assert len(keys) <= most or len(keys) == max(sizes.values())
        batch = [(key[1], int(key[2][0])) for key in keys]
        taken += batch
        for identity, size in sizes.items():
            assert size > most or sum(one[0] == identity for one in batch) in (0, size)
    assert not len(of) and len(taken) == len(set(taken)) and set(taken) == expected


def test_an_answer_is_written_after_what_it_counts_on() -> None:
    """Whatever of the two was put again meanwhile: the Charge Point does not repeat what has an answer."""
    of = part()
    for record in (alias(1), answered(1), alias(1), connector(1), alias(2, identity="other"), answered(2)):
        of.put(record)
    assert of.take(3, divide=False) == []
    kinds = [key[0].TABLE for _ in range(3) for key in of.take(2)]
    assert kinds == ["alias", "connector", "answered", "answered", "alias"]


def test_what_belongs_together() -> None:
    of = part(alias(1), connector(1))
    for record in (alias(1), answered(1), connector(1)):
        of.put(record)
    assert not of.belong_together(of.take(10))
    # A removal counts on no order, and a message of an observer on what is apart of it.
    of.put(alias(1))
    of.discard(key_of(connector(1)))
    assert of.belong_together(of.take(10))
    of.put(observer_message(3))
    assert of.belong_together(of.take(10))


def test_what_was_not_written_is_written_as_it_is_then() -> None:
    of = part()
    of.put(connector(1, "Charging"))
    keys = of.take(10)
    assert not of.waits(keys[0])
    of.put(connector(1, "Available"))
    of.give_back(keys)
    assert of.waits(keys[0])
    ((_, ((_, change),)),) = list(of.changes(of.take(10), 0.0))
    assert form.record_of(change.subject, change.body) == connector(1, "Available")


def test_a_commit_is_told_once() -> None:
    waiting = commit()
    keys: Iterable[Record] = (connector(1), connector(2))
    waiting.keys.update(map(key_of, keys))
    assert not waiting.future.cancel()
    assert not waiting.written([key_of(connector(1))]) and not waiting.future.done()
    assert waiting.written([key_of(connector(2)), key_of(connector(3))])
    waiting.resolve(written=False)
    assert waiting.future.result() is True


def test_what_is_apart_is_kept_in_memory_until_it_is_written() -> None:
    of, message_ = part(), observer_message(3)
    of.put(message_)
    keys = of.take(10)
    ((_, changes),) = of.changes(keys, 0.0)
    assert [(place, form.content_of(change.body)) for place, change in changes][1] == (7, (b"{}", b"[3,{}]"))
    assert of.records.get(key_of(message_)) == message_
    of.written(keys)
    assert of.records.get(key_of(message_)) == form.without_content(message_) != message_


def test_what_is_removed_before_it_was_written_is_never_written() -> None:
    of = part(observer_message(1))
    of.put(observer_message(2))
    assert not of.discard(key_of(observer_message(2))) and not len(of)
    assert of.discard(key_of(observer_message(1))) and bodies(of) == [(7, True), (7, True)]
    # One that is being written may be there afterwards.
    of.put(observer_message(3))
    of.take(10)
    assert of.discard(key_of(observer_message(3))) and bodies(of) == [(7, True), (7, True)]
    of.written([key_of(observer_message(3))])
    of.put(observer_message(3))
    assert not of.discard(key_of(observer_message(3)))


def test_what_was_not_written_comes_before_what_was_put_meanwhile() -> None:
    """So that a record may say that an earlier one is there."""
    of = part()
    for record in (observer_message(1), connector(1)):
        of.put(record)
    taken = of.take(10)
    for record in (observer_message(2), connector(1, "Available")):
        of.put(record)
    of.give_back(taken)
    wanted: list[Record] = [observer_message(1), observer_message(2), connector(1)]
    assert list(of.waiting("rdam 123")) == [key_of(record) for record in wanted]
    of.put(observer_message(1))
    assert of.waiting("rdam 123")[-1] == key_of(observer_message(1))


def test_the_messages_of_observers_are_bounded_by_who_puts_them() -> None:
    of = part(*(observer_message(place) for place in range(MOST + 1)))
    of.put(observer_message(MOST + 1))
    assert len(of.records.of("rdam 123")) == MOST + 2
