"""Where two answers differ."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp.comparison import BY_SHAPE, Difference, PlainAnswer, answer_differences, differences
from bridge.ocpp.enums import AuthorizationStatus
from bridge.ocpp.messages import AuthorizeResponse, StartTransactionResponse
from bridge.ocpp.rpc import CallError, CallResult, UnopenedResponse
from bridge.ocpp.types import IdTagInfo

TIME = "2026-01-01T00:00:00Z"


def told(difference: Difference) -> str:
    return f"{difference.path}: {difference.expected}, {difference.found}"


@pytest.mark.parametrize(
    ("expected", "found", "lines"),
    [
        ({"status": "Accepted"}, {"status": "Accepted"}, []),
        ({"status": "Accepted"}, {"status": "Rejected"}, ["status: 'Accepted', 'Rejected'"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b[1]: 2, 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1], [1, 2]"]),
        ({"a": 1}, {}, ["a: 1, absent"]),
        ({}, {"a": "x"}, ["a: absent, 'x'"]),
        ({"transactionId": 1}, {"transactionId": 2}, []),
        ({"transactionId": 1}, {}, ["transactionId: 1, absent"]),
        ({"interval": 300}, {"interval": "soon"}, ["interval: 300, 'soon'"]),
        ({"currentTime": TIME}, {"currentTime": "2027-01-01T00:00:00+02:00"}, []),
        ({"currentTime": TIME}, {"currentTime": "noon"}, [f"currentTime: {TIME!r}, 'noon'"]),
        ({"idTagInfo": {"parentIdTag": "***"}}, {"idTagInfo": {"parentIdTag": "ANNA"}}, []),
        ([], {}, [": [], {}"]),
    ],
)
def test_differences(expected: Any, found: Any, lines: list[str]) -> None:
    assert list(map(told, differences(expected, found, any_value="***"))) == lines


def test_a_mask_is_a_value_like_others_where_nothing_is_masked() -> None:
    assert list(map(told, differences({"a": "***"}, {"a": "x"}))) == ["a: '***', 'x'"]


def test_a_field_is_counted_whatever_its_place_in_a_list() -> None:
    [difference] = differences({"a": [{"b": [1]}, {"b": [2]}]}, {"a": [{"b": [1]}, {"b": [3]}]})
    assert (difference.path, difference.field) == ("a[1].b[0]", "a[].b[]")


def test_of_two_errors_only_the_codes_count() -> None:
    one, other = (PlainAnswer(code="InternalError", description=text) for text in ("no database", "try later"))
    assert answer_differences(one, other) == []
    assert list(map(told, answer_differences(one, PlainAnswer(code="NotSupported")))) == [
        ": InternalError: no database, NotSupported"
    ]
    assert list(map(told, answer_differences(PlainAnswer(payload={}), one))) == [": {}, InternalError: no database"]


def of(text: bytes) -> PlainAnswer:
    return PlainAnswer.of(CallResult(unique_id="1", payload=UnopenedResponse(raw=msgspec.Raw(text))))


def test_an_answer_that_was_read_equals_the_same_one_that_was_passed_on() -> None:
    info = IdTagInfo(status=AuthorizationStatus.Accepted, expiryDate=TIME)
    read = PlainAnswer.of(CallResult(unique_id="1", payload=StartTransactionResponse(idTagInfo=info, transactionId=7)))
    assert answer_differences(read, of(b'{"transactionId": 9, "idTagInfo": {"status": "Accepted"}}')) == [
        Difference(path="idTagInfo.expiryDate", expected=repr(TIME), found="absent")
    ]
    passed_on = of(b'{"idTagInfo": {"expiryDate": "2027-01-01T00:00:00Z", "status": "Accepted"}, "transactionId": 9}')
    assert answer_differences(read, passed_on) == []


def test_an_answer_that_is_no_json_is_compared_as_a_text() -> None:
    read = PlainAnswer.of(
        CallResult(unique_id="1", payload=AuthorizeResponse(idTagInfo=IdTagInfo(status=AuthorizationStatus.Accepted)))
    )
    [difference] = answer_differences(read, of(b'{"idTagInfo": "\xff"}'))
    assert (difference.path, difference.found) == ("", repr('{"idTagInfo": "\\xff"}'))


def test_an_error_keeps_its_words() -> None:
    answer = CallError(unique_id="1", code="Busy", description="later")
    assert str(PlainAnswer.of(answer)) == "Busy: later"


_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_names = st.sampled_from([*sorted(BY_SHAPE), "status", "a"])
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4), max_leaves=10
)


@given(_values)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(differences(value, value)) == []


@given(_values, _values)
def test_both_sides_see_the_same_differences(one: Any, other: Any) -> None:
    there = {(each.path, each.expected, each.found) for each in differences(one, other)}
    back = {(each.path, each.found, each.expected) for each in differences(other, one)}
    assert there == back
