"""What is kept of a shadow's answers: over restarts, without what must not be kept, and no longer than it may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cluster.slots import slot_of
from bridge.gateway.readiness import ShadowComparisons
from bridge.ocpp.rpc import Call, CallError, CallResult, UnopenedRequest, UnopenedResponse
from bridge.store import ReadinessRecord, Store
from bridge.watching.facts import ChargePointRemoved, ShadowAnswered

DAY = 86_400.0
TAG = {"idTag": "DEADBEEF"}
ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
REFUSED = {"idTagInfo": {"status": "Invalid", "parentIdTag": "CAFE"}}
AT_MOST = 60.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def raw(payload: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(payload))


def answered(
    action: str, request: object, main: object, shadow: object, identity: str = "CP 1", central_system: str = "new"
) -> ShadowAnswered:
    """The answers to a Call; a text stands for the code of a CALLERROR."""
    call = Call(unique_id="1", action=action, payload=UnopenedRequest(raw=raw(request)))
    both = (
        CallError(unique_id="1", code=each)
        if isinstance(each, str)
        else CallResult(unique_id="1", payload=UnopenedResponse(raw=raw(each)))
        for each in (main, shadow)
    )
    return ShadowAnswered.of(identity, central_system, call, *both)


def session(number: int, **where: str) -> list[ShadowAnswered]:
    started = ACCEPTED | {"transactionId": number}
    return [
        answered("StartTransaction", TAG, started, ACCEPTED | {"transactionId": 700 + number}, **where),
        answered("StopTransaction", {"transactionId": number}, {}, {}, **where),
    ]


@contextmanager
def comparisons(
    store: Store, *, clock: Clock | None = None, mask_id_tags: bool = True, max_age: float = 7 * DAY
) -> Iterator[ShadowComparisons]:
    made = ShadowComparisons(store, mask_id_tags=mask_id_tags, max_age=max_age, clock=clock or Clock())
    yield made
    made.close()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store("memory:")
    store.open()
    yield store
    store.close()


def test_one_authorize_in_a_hundred_is_found_with_its_example(store: Store) -> None:
    with comparisons(store) as seen:
        for number in range(100):
            seen.see(answered("Authorize", TAG, ACCEPTED, REFUSED if number == 40 else ACCEPTED))
            for fact in session(number):
                seen.see(fact)
        history = seen.of("new", "cp 1")
        assert history is not None
        assert (history.compared["Authorize"], history.differing) == (100, {"Authorize": 1})
        assert (history.sessions, history.clean) == (100, 60)
        assert history.felt is not None
        assert (history.felt.main, history.felt.shadow) == ("'Accepted'", "'Invalid'")
        assert "Authorize idTagInfo.status was 'Accepted' and here 'Invalid'" in history.lacks(61)


def test_id_tags_are_masked_in_examples_as_in_what_is_recorded(store: Store) -> None:
    others = {"idTagInfo": {"status": "Accepted", "parentIdTag": "B0B0"}}
    for masked, texts in ((True, {"***"}), (False, {"'B0B0'", "'CAFE'"})):
        with comparisons(store, mask_id_tags=masked) as seen:
            seen.see(answered("Authorize", TAG, others, REFUSED, central_system=f"new {masked}"))
            seen.see(answered("Authorize", TAG, others, "InternalError", central_system=f"new {masked}"))
            history = seen.of(f"new {masked}", "CP 1")
            assert history is not None
            by_field = {each.field: each for each in history.latest}
            parent = by_field["idTagInfo.parentIdTag"]
            assert {parent.main, parent.shadow} == texts
            for secret in ("DEADBEEF", "B0B0", "CAFE"):
                assert (secret in str(history.latest)) is not masked
            assert '"idTag"' in parent.request


def test_credentials_are_never_kept(store: Store) -> None:
    with comparisons(store, mask_id_tags=False) as seen:
        request = {"vendorId": "V", "data": "AuthorizationKey=s3cret"}
        seen.see(answered("DataTransfer", request, {"data": "ftp://u:s3cret@h/"}, {"data": '{"password": "s3cret"}'}))
        history = seen.of("new", "CP 1")
        assert history is not None and history.differing == {"DataTransfer": 1}
        assert "s3cret" not in str(history)


def test_what_is_large_or_invented_is_kept_short(store: Store) -> None:
    with comparisons(store) as seen:
        large = {f"{'n' * 500}{number}": "v" * 5000 for number in range(500)}
        seen.see(answered("Y" * 500, {"x": "r" * 5000}, ACCEPTED, large))
        history = seen.of("new", "CP 1")
        assert history is not None
        assert len(msgspec.json.encode(history)) < 6000


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bridge.db'}"


@contextmanager
def opened(path: str, **more: Any) -> Iterator[Store]:
    store = Store(path, **more)
    store.open()
    try:
        yield store
    finally:
        store.close()


def test_a_restart_between_start_and_stop_loses_nothing(path: str) -> None:
    begin, end = session(5)
    with opened(path) as store, comparisons(store) as seen:
        seen.see(answered("Authorize", TAG, ACCEPTED, REFUSED))
        seen.see(begin)
        seen.see(answered("Heartbeat", {}, {}, {}))
    with opened(path) as store, comparisons(store) as seen:
        seen.see(end)
        history = seen.of("new", "CP 1")
        assert history is not None
        assert (history.sessions, history.clean, history.compared["Heartbeat"]) == (1, 1, 1)
        assert history.felt is not None


def test_a_kill_loses_counts_of_equal_answers_at_most(path: str) -> None:
    begin, end = session(5)
    with opened(path) as store:
        seen = ShadowComparisons(store, mask_id_tags=True, max_age=DAY)  # which is never closed
        for fact in (begin, answered("Heartbeat", {}, {}, {}), end, answered("Heartbeat", {}, {}, {})):
            seen.see(fact)
    with opened(path) as store, comparisons(store) as seen:
        history = seen.of("new", "CP 1")
        assert history is not None
        assert (history.sessions, history.compared["Heartbeat"]) == (1, 1)


def test_who_is_removed_is_forgotten(path: str) -> None:
    with opened(path) as store, comparisons(store) as seen:
        for identity in ("CP 1", "CP 2"):
            for name in ("new", "other"):
                seen.see(answered("Heartbeat", {}, {}, "X", identity, name))
                seen.see(answered("Heartbeat", {}, {}, {}, identity, name))
        assert store.remove("CP 1").result(AT_MOST)
        seen.see(ChargePointRemoved("cp 1"))
        assert [seen.of(name, "CP 1") for name in ("new", "other")] == [None, None]
    with opened(path) as store, comparisons(store) as seen:
        assert [record.identity for record in store.readiness()] == ["CP 2", "CP 2"]


def test_an_answer_that_comes_after_the_removal_is_not_kept(store: Store) -> None:
    present = {"CP 1", "CP 2"}
    seen = ShadowComparisons(store, mask_id_tags=True, max_age=DAY, known=present.__contains__)
    seen.see(answered("Heartbeat", {}, {}, "X"))
    present.remove("CP 1")
    seen.see(ChargePointRemoved("CP 1"))
    for identity in ("CP 1", "CP 2"):
        seen.see(answered("Authorize", TAG, ACCEPTED, REFUSED, identity))
    assert (seen.of("new", "CP 1"), seen.of("new", "CP 2") is None) == (None, False)


async def test_examples_are_kept_as_long_as_messages_and_counts_longer(path: str) -> None:
    clock = Clock()

    async def forgotten(seen: ShadowComparisons) -> None:
        task = asyncio.ensure_future(seen.forget())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    with opened(path) as store, comparisons(store, clock=clock) as seen:
        seen.see(answered("Authorize", TAG, ACCEPTED, REFUSED))
        clock.now += 6 * DAY
        await forgotten(seen)
        assert b"Invalid" in store.readiness()[0].content
        clock.now += 2 * DAY
        await forgotten(seen)
        assert b"Invalid" not in store.readiness()[0].content
        history = seen.of("new", "CP 1")
        assert history is not None and history.differing == {"Authorize": 1}
        clock.now += 90 * DAY
        await forgotten(seen)
        assert seen.of("new", "CP 1") is None


def test_what_is_in_memory_holds_when_the_store_finds_its_file(store: Store) -> None:
    with comparisons(store) as before:
        for fact in [*session(1), *session(2), *session(3, identity="CP 2")]:
            before.see(fact)
    found = store.readiness()
    assert store.remove("CP 1").result(AT_MOST) and store.remove("CP 2").result(AT_MOST)
    with comparisons(store) as seen:
        for fact in session(4):
            seen.see(fact)
        store.put(*found)
        seen.read_again()
        histories = [seen.of("new", identity) for identity in ("CP 1", "CP 2")]
        assert [each and each.sessions for each in histories] == [1, 1]


_numbers = st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([10**30, -(10**30)])
_texts = st.text(max_size=5) | st.sampled_from(["\ud800", "***", "2026-01-01T00:00:00Z"])
_values = st.recursive(
    st.none() | st.booleans() | _numbers | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["idTagInfo", "status", "transactionId", "currentTime", "x"]), inner)
    ),
    max_leaves=8,
)
_transactions = st.builds(lambda number: {"transactionId": number, "idTagInfo": {"status": "Accepted"}}, _numbers)
_payloads = (_values | _transactions).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=10)


@given(
    st.lists(
        st.tuples(st.sampled_from(["Authorize", "StartTransaction", "StopTransaction", "X"]), *[_payloads] * 3),
        max_size=8,
    )
)
def test_whatever_two_central_systems_answer_is_kept(all_: list[tuple[str, bytes, bytes, bytes]]) -> None:
    store = Store("memory:")
    store.open()
    with comparisons(store) as seen:
        for action, request, main, shadow in all_:
            call = Call(unique_id="1", action=action, payload=UnopenedRequest(raw=msgspec.Raw(request)))
            one, other = (
                CallResult(unique_id="1", payload=UnopenedResponse(raw=msgspec.Raw(each))) for each in (main, shadow)
            )
            seen.see(ShadowAnswered.of("CP 1", "new", call, one, other))
    with comparisons(store) as again:
        before, after = seen.of("new", "CP 1"), again.of("new", "CP 1")
        assert before == after
        assert (after is None) is (all_ == [])


def test_a_record_of_another_version_is_passed_over(store: Store) -> None:
    for content in (b"", b"[]", b'{"first": "x"}'):
        store.put(ReadinessRecord(identity="CP 1", kept_at=0.0, central_system="new", content=content))
        with comparisons(store) as seen:
            assert seen.of("new", "CP 1") is None
            for fact in session(1):
                seen.see(fact)
            assert seen.of("new", "CP 1") is not None


def test_what_another_process_has_from_now_on_is_stored_and_forgotten(store: Store) -> None:
    """In a cluster, the store is read when a history is needed."""
    slots = {slot_of("CP 1")}
    made = ShadowComparisons(store, mask_id_tags=True, max_age=DAY, clock=Clock(), shared=True)
    for fact in [*session(1), *session(2)]:
        made.see(fact)
    made.release({slot_of("CP 1") + 1})
    before = made.of("new", "CP 1")
    assert before is not None and before.sessions == 2
    made.see(answered("StatusNotification", {}, {}, {}))  # an equal answer is not stored at once
    made.release(slots)
    assert made._histories["new"] == {}
    later = ShadowComparisons(store, mask_id_tags=True, max_age=DAY, clock=Clock(), shared=True)
    assert not later._histories
    for fact in session(3):
        later.see(fact)
    after = later.of("new", "cp 1")
    assert after is not None and (after.sessions, after.compared["StatusNotification"]) == (3, 1)
    # The first one gets the Charge Point back, with what is known of it by now.
    later.release(slots)
    again = made.of("new", "CP 1")
    assert again is not None and again.sessions == 3
