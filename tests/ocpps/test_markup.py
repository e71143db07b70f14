"""XML written as text: whatever is in a value, a parser finds just that in it, or it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.losses import LossReason
from bridge.ocpps import markup
from bridge.ocpps.markup import MarkupForm, Writing, allowed, escaped
from bridge.ocpps.wsdl import Attribute, ComplexType, Element, SimpleType

TEXT = SimpleType(name="string", base="string")
ODD = st.sampled_from(
    ["&", "<", ">", '"', "'", "\r", "\n", "\t", "]]>", "&amp;", "\x00", "\x1b", "\ud800", "￾", "é", "💡"]
)
TEXTS = st.text() | st.lists(ODD | st.text(max_size=3)).map("".join)


def leaf(name: str, kind: SimpleType = TEXT, *, many: bool = False) -> Element:
    return Element(name=name, type=kind, min_occurs=0, max_occurs=None if many else 1)


def form(*elements: Element) -> MarkupForm:
    return MarkupForm(Element(name="r", type=ComplexType(name="r", elements=elements), min_occurs=1, max_occurs=1))


def write(what: MarkupForm, data: dict[str, object], *, fractions: bool = True) -> tuple[etree._Element, list[object]]:
    lost: list[object] = []
    body = Writing(lambda path, reason: lost.append((path, reason)), fractions=fractions).body(what, data, "urn:x")
    return etree.fromstring(body), lost


@given(TEXTS)
def test_a_text_is_read_as_it_was_or_cannot_be_written(text: str) -> None:
    if all(map(allowed, text)):
        assert (etree.fromstring(f"<a>{escaped(text)}</a>").text or "") == text
    else:
        with pytest.raises(ValueError, match="cannot carry"):
            escaped(text)


@given(TEXTS)
def test_what_is_allowed_is_what_a_parser_takes(text: str) -> None:
    try:
        etree.Element("a").text = text
    except ValueError:
        assert not all(map(allowed, text))
    else:
        assert all(map(allowed, text))


@given(st.text(st.characters(codec="utf-8").filter(allowed)))
def test_so_is_what_stands_in_an_attribute(text: str) -> None:
    kind = ComplexType(
        name="v", attributes=(Attribute(name="unit", type=TEXT, required=False, default=None),), text=TEXT
    )
    value = Element(name="v", type=kind, min_occurs=1, max_occurs=1)
    root, lost = write(form(value), {"v": {"#text": text, "unit": text}})
    assert (root[0].text or "", root[0].get("unit"), lost) == (text, text, [])


def test_in_the_order_of_the_wsdl_and_with_a_namespace_of_its_own() -> None:
    root, _ = write(form(leaf("a"), leaf("b", many=True), leaf("c")), {"c": "3", "b": ("2", "2.5"), "a": "1"})
    assert [(child.tag, child.text) for child in root] == [
        ("{urn:x}a", "1"),
        ("{urn:x}b", "2"),
        ("{urn:x}b", "2.5"),
        ("{urn:x}c", "3"),
    ]


def test_an_empty_list_has_no_element_and_is_a_loss() -> None:
    root, lost = write(form(leaf("b", many=True)), {"b": ()})
    assert (len(root), lost) == (0, [("b", LossReason.EMPTY_LIST)])


def test_what_is_wrong_is_said_with_its_place() -> None:
    inner = Element(name="i", type=ComplexType(name="i", elements=(leaf("a"),)), min_occurs=0, max_occurs=None)
    with pytest.raises(MessageError, match=r"i\[1\]\.a: holds a character") as caught:
        write(form(inner), {"i": ({"a": "x"}, {"a": "\x00"})})
    assert caught.value.code is ErrorCode.PropertyConstraintViolation


def test_fractions_are_left_out_where_they_cannot_be_read() -> None:
    time = SimpleType(name="dateTime", base="dateTime")
    data: dict[str, object] = {"a": "2026-11-22T12:00:00.123Z"}
    root, lost = write(form(leaf("a", time)), data, fractions=False)
    assert (root[0].text, lost) == ("2026-11-22T12:00:00Z", [("a", LossReason.FRACTION)])
    root, lost = write(form(leaf("a", time)), data)
    assert (root[0].text, lost) == ("2026-11-22T12:00:00.123Z", [])


@given(st.text(st.sampled_from("a&<\r\x01"), min_size=1, max_size=20))
def test_a_long_text_is_escaped_in_slices_as_at_once(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markup, "_SLICE", 3)
        if "\x01" in text:
            with pytest.raises(ValueError, match="cannot carry"):
                escaped(text)
        else:
            assert (etree.fromstring(f"<a>{escaped(text)}</a>").text or "") == text
