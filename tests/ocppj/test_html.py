"""Texts that were escaped for HTML, undone."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocppj import codec, html

_leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=9
)


def escaped(value: Any) -> Any:
    """`value` with each of its texts escaped once."""
    match value:
        case str():
            return escape(value)
        case dict():
            return {name: escaped(item) for name, item in value.items()}
        case list():
            return [escaped(item) for item in value]
    return value


def read(frame: list[Any]) -> Any:
    """The last part of `frame` after it was undone."""
    match html.undone(codec.read_frame(json.dumps(frame))):
        case codec.CallFrame(payload=raw) | codec.ResultFrame(payload=raw):
            return json.loads(bytes(raw))
        case codec.ErrorFrame(error=error):
            return error.description, error.details


@given(payload=st.dictionaries(st.text(max_size=5), _values))
def test_what_was_escaped_once_comes_back(payload: dict[str, Any]) -> None:
    assert read([2, "1", "DataTransfer", escaped(payload)]) == payload
    assert read([3, "1", escaped(payload)]) == payload
    assert read([4, "1", "GenericError", escape("a & b"), escaped(payload)]) == ("a & b", payload)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("&amp;amp;", "&amp;"),
        ("&quot;&apos;&#34;&#39;&#x27;&lt;&gt;", "\"'\"''<>"),
        ("caf&eacute;", "caf\u00e9"),
        ("?a=1&copy=2&b", "?a=1&copy=2&b"),
        ("&nosuchthing; &; &#; &#x; & ;", "&nosuchthing; &; &#; &#x; & ;"),
        ("&#0;&#xD800;&#1;", "&#0;&#xD800;&#1;"),
    ],
)
def test_references(written: str, meant: str) -> None:
    assert read([3, "1", {"data": written}]) == {"data": meant}


def test_what_has_none_stays_octet_for_octet() -> None:
    frame = codec.read_frame('[2,"1","DataTransfer",{ "data" : "x" , "n":1.50}]')
    assert html.undone(frame) is frame


def test_what_is_no_json_is_left_to_who_reads_it() -> None:
    frame = codec.read_frame('[2,"1","DataTransfer",{"data":"&amp;","n":1e999999999}]')
    assert isinstance(html.undone(frame), codec.CallFrame)
    other = codec.read_frame('[7,"1"]')
    assert html.undone(other) is other
