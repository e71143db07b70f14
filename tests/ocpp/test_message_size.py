"""Depth is that of the JSON that would be read, whatever stands in its texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.ocpp.message_size import has_more_members, is_deeper

TRICKY = st.text(st.sampled_from('[]{}"\\,:x\n\u00e9\U0001f50c'), max_size=12)
VALUES = st.recursive(
    TRICKY | st.integers() | st.none(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TRICKY, below, max_size=4),
    max_leaves=60,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(VALUES, st.integers(0, 12), st.booleans())
@example([["]" * 9, [["[" * 9]]], '"]"'], 3, True)
@example([{'\\"[': [{"}": "\\"}]}], 4, False)
def test_it_is_the_depth_of_what_is_read(value: Any, most: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert is_deeper(text, most) is is_deeper(text.encode(), most) is (depth_of(value) > most)


@pytest.mark.parametrize(
    ("text", "deeper"),
    [
        (b"[" * 1_000_000, True),
        (b"[" * 33 + b"]" * 33, True),
        (b"[" * 32 + b"]" * 32, False),
        (b'[{"a":' * 17 + b"1" + b"}]" * 17, True),
        (b"[]" * 500_000, False),
        (b'"' + b"[" * 1_000_000, False),
        (b'["' + b'\\"' * 500_000, False),
        (b"[" + b"]" * 1_000_000, False),
    ],
)
def test_an_attack_is_told_at_once(text: bytes, deeper: bool) -> None:
    assert is_deeper(text, 32) is deeper


def members_of(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(items) + sum(map(members_of, items))


@given(VALUES, st.integers(0, 30), st.booleans())
@example(["," * 9, [["{," * 9]]], 3, True)
@example([{'\\",': [{",": "\\"}], "": {}}, [], {}], 7, False)
def test_members_are_those_of_what_is_read(value: Any, most: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    expected = members_of(value) > most
    assert has_more_members(text, most) is has_more_members(text.encode(), most) is expected
    assert has_more_members(json.dumps(value, indent=1), most) is expected


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (b"[" + b"1," * 20_000 + b"1]", True),
        (b"[" + b"1," * 19_999 + b"1]", False),
        (b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}", True),
        (b'"' + b"[,{" * 1_000_000 + b'"', False),
        (b'["' + b'\\",' * 500_000 + b'"]', False),
        (b"[" + b"[]," * 20_000 + b"1]", True),
    ],
)
def test_how_many_there_are_is_told_at_once(text: bytes, more: bool) -> None:
    assert has_more_members(text, 20_000) is more
