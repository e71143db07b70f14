"""The form of what is in the stream."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.cluster import stream_forms as form
from bridge.cluster.cluster_map import Claim, NodePresence
from bridge.cluster.slots import SLOTS
from bridge.cluster.stream_forms import StoredMessage
from bridge.store.records import (
    ALL_KINDS,
    AgeingRecord,
    Kind,
    ObservedRecord,
    ObserverIdRecord,
    ObserverLaneRecord,
    ObserverMessageRecord,
    Record,
    TransactionRecord,
    key_of,
)
from tests.store.examples import audited, integers, records, texts, times

observed = st.builds(
    ObservedRecord,
    identity=texts,
    kept_at=times,
    key=texts,
    observers=st.lists(texts).map(tuple),
    action=texts,
    request=st.binary(),
    answer=st.binary(),
    connector=st.none() | integers,
    number=st.none() | integers,
)
transactions = st.builds(
    TransactionRecord,
    identity=texts,
    kept_at=times,
    number=integers,
    central_system=texts,
    named=integers,
    connector=integers,
    id_tag=texts,
    meter_start=integers,
    started=texts,
    state=texts,
    meter_stop=st.none() | integers,
    stopped=st.none() | texts,
    reason=st.none() | texts,
)
observer_messages = st.builds(
    ObserverMessageRecord,
    identity=texts,
    observer=texts,
    place=st.integers(0, 9999),
    number=integers,
    key=texts,
    action=texts,
    at=times,
    octets=st.integers(0, 10**9),
    connector=st.none() | integers,
    transaction=st.none() | integers,
    periodic=st.booleans(),
    request=st.binary(),
    answer=st.binary(),
)
observer_ids = st.builds(
    ObserverIdRecord,
    identity=texts,
    kept_at=times,
    observer=texts,
    number=integers,
    named=st.none() | integers,
    ended=st.booleans(),
)
observer_lanes = st.builds(
    ObserverLaneRecord,
    identity=texts,
    observer=texts,
    entered=st.none() | texts,
    interval=st.none() | st.integers(0, 10**9),
)
every_record = records | observed | transactions | observer_messages | observer_ids | observer_lanes


def message(body: bytes, subject: str = "ocppb.slot.7.head") -> StoredMessage:
    return StoredMessage(subject=subject, sequence=12, body=body)


@given(every_record, st.none() | st.integers(0, SLOTS - 1))
def test_a_record_is_read_as_it_was_written(record: Record, slot: int | None) -> None:
    change = form.written(slot, key_of(record), record, 0.0)
    assert form.record_of(change.subject, change.body) == form.without_content(record)
    words = change.subject.split(".")
    assert len(words) == 10 and all(words) and not set(change.subject) & set("*> \t\r\n")
    assert form.removed(slot, key_of(record)).subject == change.subject
    assert change.lives is None or change.lives >= 3600


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_is_tried(kind: Kind) -> None:
    quick = settings(phases=[Phase.generate], max_examples=2000, database=None)
    assert isinstance(find(every_record, lambda record: isinstance(record, kind), settings=quick), kind)


@given(observer_messages, st.integers(0, SLOTS - 1))
def test_what_is_apart_of_a_record_is_read_as_it_was_written(record: ObserverMessageRecord, slot: int) -> None:
    """Not with the records of the slot."""
    change = form.content_written(slot, key_of(record), record)
    assert form.content_of(change.body) == (record.request, record.answer)
    assert change.subject == form.content_removed(slot, key_of(record)).subject
    assert not change.subject.startswith(f"{form.place_of_slot(slot)}.") and change.lives is None
    assert change.subject.split(".")[3:] == form.subject_of_record(slot, key_of(record)).split(".")[3:]


@pytest.mark.parametrize("body", [b"", b"?", b"\n", b"1 x\nab", b"1 2\nab", b"1 1\nabc"])
def test_what_is_apart_and_cannot_be_read_is_none(body: bytes) -> None:
    assert form.content_of(body) is None


@given(every_record, every_record)
def test_two_records_have_one_subject_if_they_have_one_key(one: Record, other: Record) -> None:
    subjects = {form.subject_of_record(7, key_of(record)) for record in (one, other)}
    assert len(subjects) == len({key_of(one), key_of(other)})


@given(every_record)
def test_a_record_lives_as_long_as_the_bridge_uses_it(record: Record) -> None:
    now = 2_000_000_000.0
    if isinstance(record, AgeingRecord):
        record = msgspec.structs.replace(record, kept_at=now - 5)
        lives = form.written(7, key_of(record), record, now).lives
        assert lives == record.KEPT_FOR - 5 + 3600


def test_an_entry_of_the_audit_lives_for_ninety_days() -> None:
    assert form.written(None, key_of(audited()), audited(), 0.0).lives == 90 * 24 * 3600 + 3600


@pytest.mark.parametrize(
    "subject",
    [
        "ocppb.slot.7.head",
        "ocppb.everyone.all.head",
        "ocppb.slot.7.a.a.aa.new_kind.b.b.bb",
        "ocppb.slot.7.a.a.aa.alias.b.b.bb",
    ],
)
def test_what_another_version_wrote_is_passed_over(subject: str) -> None:
    assert form.record_of(subject, b'{"identity": "cp"}') is None
    assert form.record_of(subject, b"") is None and form.record_of(subject, b"\xff") is None


@given(texts, texts)
def test_a_claim_is_read_as_it_was_written(node: str, incarnation: str) -> None:
    claim = Claim(node=node, incarnation=incarnation, epoch=12)
    assert form.claim_of(message(form.claim_body(replace(claim, epoch=3)))) == claim
    assert form.claim_of(message(b"?")) == form.claim_of(message(form.claim_body(Claim()))) == Claim(epoch=12)


@given(texts, texts, texts, st.booleans())
def test_a_presence_is_read_as_it_was_written(node: str, incarnation: str, address: str, leaving: bool) -> None:
    body = form.presence_body(node, incarnation, address, leaving=leaving)
    read = NodePresence(incarnation=incarnation, sequence=12, address=address, leaving=leaving)
    assert form.presence_of(message(body)) == (node, read)
    subject = form.head_of_node(node)
    assert subject.count(".") == 3 and not set(subject) & set("*> \t\r\n")
    assert form.slot_of_head(subject) is None
    assert form.presence_of(message(b"?")) is None


@given(st.lists(texts, min_size=1, max_size=9))
def test_an_assignment_is_read_as_it_was_written(nodes: list[str]) -> None:
    assignment = tuple(nodes[slot % len(nodes)] for slot in range(SLOTS))
    assert form.assignment_of(message(form.assignment_body(assignment))) == assignment


def test_an_assignment_that_cannot_be_read_is_none() -> None:
    assert form.assignment_of(message(b"?")) == form.assignment_of(message(form.assignment_body(("a",)))) == ()
    assert form.assignment_of(message(b'{"nodes": ["a"], "slots": [' + b",".join([b"1"] * SLOTS) + b"]}")) == ()


@pytest.mark.parametrize("slot", [0, 7, SLOTS - 1])
def test_the_slot_of_a_head(slot: int) -> None:
    assert form.slot_of_head(form.head_of_slot(slot)) == slot
    assert form.slot_of_head("ocppb.slot.1024.head") is form.slot_of_head(form.HEAD_OF_EVERYONE) is None


@given(every_record, st.none() | st.integers(0, SLOTS - 1), st.integers(0, 4))
def test_a_record_is_in_one_part_of_its_place(record: Record, slot: int | None, digits: int) -> None:
    """Whatever number of digits divides the place, its subject fits one part, and no record fits another place."""
    subject = form.subject_of_record(slot, key_of(record))
    place = form.EVERYONE if slot is None else form.place_of_slot(slot)
    words = subject.split(".")
    own = "".join((words[3], words[4], words[7], words[8]))[:digits]
    pattern = re.compile(re.escape(form.divided(place, own)).replace(r"\*", "[^.]+").replace(">", ".+"))
    assert pattern.fullmatch(subject)
    assert words[8] == words[9][1] and words[7] == words[9][0]
    if slot is not None:
        part = form.divided_charge_point(slot, key_of(record)[1], own[2:])
        assert re.fullmatch(re.escape(part).replace(r"\*", "[^.]+").replace(">", ".+"), subject)


def test_differences_of_a_configuration_are_told() -> None:
    assert form.differences(form.CONFIGURATION | {"num_replicas": 3, "created": "now"}) == []
    found = {key: value for key, value in form.CONFIGURATION.items() if key != "allow_atomic"}
    assert form.differences(found | {"max_age": 5}) == [
        "max_age is 5 and must be 0",
        "allow_atomic is null and must be true",
    ]
