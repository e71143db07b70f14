"""When a Charge Point is ready for a Central System whose answers were compared, and why it is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.readiness import (
    MOST_EXAMPLES,
    MOST_FIELDS,
    MOST_RUNNING,
    OTHER,
    ComparedAnswers,
    ComparisonHistory,
    ComparisonSum,
    DifferenceExample,
    days_between,
    is_felt,
    newest_examples,
)
from bridge.ocpp.comparison import PlainAnswer, answer_differences

DAY = 86_400.0
AFTER = 3


def compared(action: str, main: PlainAnswer, shadow: PlainAnswer, request: Any = None, at: float = 0.0) -> Any:
    """Two answers, with the examples that the gateway makes."""
    examples = [
        DifferenceExample(at=at, action=action, field=each.field, main=each.expected, shadow=each.found, request="{}")
        for each in answer_differences(main, shadow)
    ]
    return ComparedAnswers(at=at, action=action, request=request, main=main, shadow=shadow, examples=examples)


def info(status: str = "Accepted", **more: Any) -> PlainAnswer:
    return PlainAnswer(payload={"idTagInfo": {"status": status}, **more})


def error(code: str = "InternalError") -> PlainAnswer:
    return PlainAnswer(code=code)


def authorize(shadow: PlainAnswer | None = None, at: float = 0.0) -> Any:
    return compared("Authorize", info(), shadow or info(), at=at)


def start(number: int, shadow: PlainAnswer | None = None, at: float = 0.0) -> Any:
    there = shadow or info(transactionId=1000 + number)
    return compared("StartTransaction", info(transactionId=number), there, at=at)


def stop(number: Any, main: PlainAnswer | None = None, shadow: PlainAnswer | None = None, at: float = 0.0) -> Any:
    request = {"transactionId": number}
    return compared("StopTransaction", main or PlainAnswer(payload={}), shadow or PlainAnswer(payload={}), request, at)


def charged(history: ComparisonHistory, *numbers: int) -> None:
    for number in numbers:
        for answers in (authorize(), start(number), stop(number)):
            history.take(answers)


@pytest.fixture
def history() -> ComparisonHistory:
    return ComparisonHistory.beginning(0.0)


def test_it_is_ready_after_some_sessions_that_a_driver_would_not_tell_apart(history: ComparisonHistory) -> None:
    charged(history, 1, 2)
    assert history.lacks(AFTER) == "2 of 3 sessions without a difference that a driver feels"
    charged(history, 3)
    assert (history.lacks(AFTER), history.sessions, history.clean) == ("", 3, 3)


def test_another_status_sets_it_back_and_says_so(history: ComparisonHistory) -> None:
    charged(history, *range(1, 6))
    assert history.take(authorize(info("Invalid"), at=7.0))
    assert history.lacks(AFTER) == (
        "0 of 3 sessions without a difference that a driver feels, "
        "since Authorize idTagInfo.status was 'Accepted' and here 'Invalid'"
    )
    assert history.felt is not None and history.felt.at == 7.0
    charged(history, 6, 7, 8)
    assert (history.lacks(AFTER), history.sessions, history.clean) == ("", 8, 3)


def test_a_session_with_a_difference_in_it_does_not_count(history: ComparisonHistory) -> None:
    history.take(start(1))
    history.take(authorize(error()))
    history.take(stop(1))
    assert (history.sessions, history.clean) == (1, 0)
    history.take(start(2, info("Blocked", transactionId=7)))
    history.take(stop(2))
    assert (history.sessions, history.clean) == (2, 0)
    charged(history, 3)
    assert (history.sessions, history.clean) == (3, 1)


@pytest.mark.parametrize(
    ("answers", "felt"),
    [
        (compared("Authorize", info(), info()), False),
        (compared("Authorize", info(), info("Expired")), True),
        (compared("Authorize", info("Expired"), info()), True),
        (compared("Authorize", info(), error()), True),
        (compared("Authorize", info(), PlainAnswer(payload={})), True),
        (compared("Authorize", info(), PlainAnswer(payload="no JSON")), True),
        # Nobody charges here or there.
        (compared("Authorize", error(), error("NotSupported")), False),
        (start(1, info("Invalid", transactionId=2)), True),
        (start(1, info(transactionId=2, note="hello")), False),
        (compared("StopTransaction", info(), info("Invalid")), False),
        (compared("DataTransfer", PlainAnswer(payload={"status": "Accepted"}), error()), False),
    ],
)
def test_what_a_driver_feels(answers: ComparedAnswers, felt: bool) -> None:
    assert is_felt(answers) is felt
    history = ComparisonHistory.beginning(0.0)
    charged(history, *range(AFTER))
    history.take(answers)
    assert (history.clean == 0) is felt
    assert (history.felt is not None) is felt


def test_a_session_is_from_the_start_that_both_named_to_the_stop_that_main_answered(
    history: ComparisonHistory,
) -> None:
    assert not history.take(stop(1))  # the shadow had not seen its start
    assert not history.take(compared("StartTransaction", error(), error()))
    history.take(compared("StartTransaction", info(transactionId=2), info()))
    assert not history.take(stop(2))
    assert history.take(start(3))
    history.take(stop(3, main=error()))  # it comes again
    assert not history.take(stop(True)) and not history.take(stop("3"))
    assert (history.sessions, list(history.running)) == (0, [3])
    assert history.take(stop(3, shadow=error()))
    assert (history.sessions, history.clean) == (1, 1)


def test_counts_by_action_and_field(history: ComparisonHistory) -> None:
    main = PlainAnswer(payload={"currentTime": "2026-01-01T00:00:00Z", "list": [{"a": 1}, {"a": 2}]})
    other = PlainAnswer(payload={"currentTime": "2026-02-01T00:00:00Z", "list": [{"a": 5}, {"a": 6}], "b": 1})
    assert history.take(compared("Heartbeat", main, other))
    assert not history.take(compared("Heartbeat", main, other))  # it is known: to be stored with the next session
    assert not history.take(compared("Heartbeat", main, main))
    history.take(compared("VendorsOwn", main, error()))
    assert history.compared == {"Heartbeat": 3, OTHER: 1}
    assert history.differing == {"Heartbeat": 2, OTHER: 1}
    assert history.fields == {"Heartbeat": {"list[].a": 2, "b": 2}, OTHER: {"": 1}}


def test_what_a_shadow_invents_takes_little_room(history: ComparisonHistory) -> None:
    for number in range(1000):
        names = {f"n{number}-{each}": 1 for each in range(3)}
        history.take(compared("Heartbeat", PlainAnswer(payload={}), PlainAnswer(payload=names), at=float(number)))
        history.take(start(number))
    assert sum(map(len, history.fields.values())) <= MOST_FIELDS + 1
    assert sum(history.fields["Heartbeat"].values()) == history.fields["Heartbeat"][OTHER] + MOST_FIELDS
    assert len(history.latest) == MOST_EXAMPLES
    assert list(history.running) == list(range(1000 - MOST_RUNNING, 1000))


def test_the_newest_examples_are_of_different_fields(history: ComparisonHistory) -> None:
    nothing = PlainAnswer(payload={})
    for at, name in enumerate("abaca"):
        history.take(compared("Heartbeat", nothing, PlainAnswer(payload={name: 1}), at=float(at)))
    assert [(each.field, each.at) for each in history.latest] == [("a", 4.0), ("c", 3.0), ("b", 1.0)]


def test_examples_are_forgotten_and_the_counts_stay(history: ComparisonHistory) -> None:
    history.take(authorize(info("Invalid"), at=10.0))
    assert not history.forget_examples(10.0)
    assert history.forget_examples(10.5)
    assert (history.latest, history.felt) == ([], None)
    assert history.differing == {"Authorize": 1}
    assert history.lacks(AFTER) == "0 of 3 sessions without a difference that a driver feels"


def test_the_sum_of_several() -> None:
    total, one, other = ComparisonSum(), ComparisonHistory.beginning(DAY), ComparisonHistory.beginning(0.0)
    charged(one, 1)
    one.take(compared("Heartbeat", PlainAnswer(payload={}), PlainAnswer(payload={"a": 1}), at=4 * DAY))
    other.take(authorize(info("Invalid"), at=2 * DAY))
    total.add("A", one)
    total.add("B", other)
    assert (total.first, total.last, total.sessions) == (0.0, 4 * DAY, 1)
    assert total.compared == {"Authorize": 2, "StartTransaction": 1, "StopTransaction": 1, "Heartbeat": 1}
    assert total.differing == {"Authorize": 1, "Heartbeat": 1}
    assert total.fields == {"Authorize": {"idTagInfo.status": 1}, "Heartbeat": {"a": 1}}
    # What a driver feels comes first, however long ago it was.
    assert [(identity, each.action) for identity, each in newest_examples(total.all_examples(), 5)] == [
        ("B", "Authorize"),
        ("A", "Heartbeat"),
    ]
    assert [identity for identity, _ in newest_examples(total.all_examples(), 1)] == ["B"]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [(None, None, 0), (5.0, 5.0, 1), (0.0, DAY - 1, 1), (0.0, DAY, 2), (DAY / 2, 10 * DAY, 10)],
)
def test_days_that_have_begun(first: float | None, last: float | None, days: int) -> None:
    assert days_between(first, last) == days


# Whatever comes.

_statuses = st.sampled_from(["Accepted", "Invalid", "Blocked"])
_numbers = st.integers(-1, 4)
_answers = st.one_of(
    st.builds(info, _statuses),
    st.builds(lambda status, number: info(status, transactionId=number), _statuses, _numbers),
    st.builds(error, st.sampled_from(["InternalError", "NotSupported"])),
    st.just(PlainAnswer(payload={})),
    st.just(PlainAnswer(payload="x")),
)
_compared = st.builds(
    compared,
    st.sampled_from(["Authorize", "StartTransaction", "StopTransaction", "Heartbeat", "X"]),
    _answers,
    _answers,
    st.builds(lambda number: {"transactionId": number}, _numbers) | st.just("x"),
    st.floats(0, 1e9),
)


@given(st.lists(_compared, max_size=60))
def test_whatever_is_compared(all_: list[ComparedAnswers]) -> None:
    history = ComparisonHistory.beginning(0.0)
    stored = msgspec.json.encode(history)
    for answers in all_:
        before = (history.sessions, history.clean, history.running.copy(), history.felt)
        if history.take(answers):
            stored = msgspec.json.encode(history)
        else:  # what a kill loses is counts of answers, never a session or what a driver feels
            assert (history.sessions, history.clean, history.running, history.felt) == before
    assert 0 <= history.clean <= history.sessions
    assert sum(history.compared.values()) == len(all_)
    assert sum(history.differing.values()) == sum(bool(answers.examples) for answers in all_)
    for action, fields in history.fields.items():
        assert sum(fields.values()) >= history.differing[action]
    assert history.lacks(0) == ""
    again = msgspec.json.decode(stored, type=ComparisonHistory)
    assert (again.sessions, again.clean, again.running, again.felt) == (
        *(history.sessions, history.clean, history.running, history.felt),
    )
    felt = [number for number, answers in enumerate(all_) if is_felt(answers)]
    after = all_[felt[-1] + 1 :] if felt else all_
    assert history.clean <= sum(answers.action == "StopTransaction" for answers in after)
