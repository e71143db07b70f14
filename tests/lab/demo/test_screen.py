"""What went over the wires fits a terminal, and says what was said."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.lab.demo.lines import columns, joined, wrapped
from bridge.lab.demo.screen import (
    WIDTH,
    ShownExchange,
    coloured,
    exchange_lines,
    failure_lines,
    life_lines,
    message_lines,
    plain,
    summary,
)
from bridge.lab.simulators.wire import Kind, WireMessage

ENV, WSA, CS = (
    "http://www.w3.org/2003/05/soap-envelope",
    "http://www.w3.org/2005/08/addressing",
    "urn://Ocpp/Cs/2015/10/",
)
ID = "4d6c1f5e-8a8e-4d0b-9f3a-0c5d1d7a9b11"


def wire(text: str, kind: Kind = "call", elapsed: float | None = None) -> WireMessage:
    return WireMessage(
        direction="sent", party="charge_point", text=text, action="X", unique_id="1", kind=kind, elapsed=elapsed
    )


def envelope(body: str, headers: str = "") -> str:
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>\n"
        f'<s:Envelope xmlns:s="{ENV}" xmlns:a="{WSA}" xmlns:o="{CS}"><s:Header>{headers}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


def shown(text: str, kind: Kind = "call") -> list[str]:
    """The lines of one message without their margin."""
    lines = message_lines(wire(text, kind), plain)
    assert all(columns(line) <= WIDTH for line in lines)
    assert not any(line[:16].strip() for line in lines[1:])
    return [line[16:] for line in lines]


# Frames


def test_a_short_frame_is_one_line_with_the_digits_of_the_wire() -> None:
    text = '[2,"1","X",{"a":16.0,"b":1e3,"c":null,"d":[true,12345678901234567890]}]'
    assert shown(text) == ['[2, "1", "X", {"a": 16.0, "b": 1e3, "c": null, "d": [true, 12345678901234567890]}]']


def test_a_long_frame_has_its_payload_on_lines_of_its_own() -> None:
    text = json.dumps([2, ID, "Authorize", {"idTag": "A" * 20, "more": [{"x": "y" * 30, "z": "w" * 50}] * 2}])
    assert shown(text) == [
        f'[2, "{ID}", "Authorize", {{',
        f'  "idTag": "{"A" * 20}",',
        '  "more": [',
        "    {",
        f'      "x": "{"y" * 30}",',
        f'      "z": "{"w" * 50}"',
        "    },",
        "    {",
        f'      "x": "{"y" * 30}",',
        f'      "z": "{"w" * 50}"',
        "    }",
        "  ]",
        "}]",
    ]


def test_text_is_written_as_itself_where_it_prints() -> None:
    assert shown(json.dumps([3, "1", {"data": 'Zürich "x"\n\x1b[2J\u202e\U000e0001'}])) == [
        r'[3, "1", {"data": "Zürich \"x\"\n\u001b[2J\u202e\udb40\udc01"}]'
    ]


# Envelopes


def test_an_envelope_is_its_headers_and_its_body() -> None:
    headers = (
        "<o:chargeBoxIdentity>CP 1</o:chargeBoxIdentity><a:Action>/X</a:Action>"
        f"<a:MessageID>urn:uuid:{ID}</a:MessageID><a:From><a:Address>http://127.0.0.1/</a:Address></a:From>"
    )
    assert shown(envelope("<o:x><o:y>1 &lt; 2\n</o:y></o:x>", headers)) == [
        "identity CP 1, MessageID urn:uuid:4d6c1f5e..., From http://127.0.0.1/",
        f'<o:x xmlns:o="{CS}"><o:y>1 &lt; 2&#10;</o:y></o:x>',
    ]


def test_a_long_body_has_an_element_a_line_and_its_records_side_by_side() -> None:
    record = "<o:record><o:one>1</o:one><o:two>2</o:two><o:three>" + "3" * 60 + "</o:three></o:record>"
    assert shown(envelope(f"<o:x><o:y>{'z' * 50}</o:y>{record}</o:x>")) == [
        f'<o:x xmlns:o="{CS}">',
        f"  <o:y>{'z' * 50}</o:y>",
        "  <o:record>",
        "    <o:one>1</o:one> <o:two>2</o:two>",
        f"    <o:three>{'3' * 60}</o:three>",
        "  </o:record>",
        "</o:x>",
    ]


def test_the_prefix_of_a_subcode_is_declared() -> None:
    fault = (
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>o:X</s:Value></s:Subcode></s:Code></s:Fault>"
    )
    text = "".join(shown(envelope(fault), "error"))
    assert f'xmlns:o="{CS}"' in text
    assert "xmlns:a=" not in text


def test_attributes_are_shown() -> None:
    body = '<o:x xml:lang="en" b="&quot;&lt;"/>'
    assert shown(envelope(body)) == [f'<o:x xmlns:o="{CS}" xml:lang="en" b="&quot;&lt;"/>']


# Whatever comes

ANYTHING = st.text() | st.text("\u4e2d\u6587 &<>\"'\\\n\U0001f50cAb", max_size=300)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner),
)


@given(JSON | st.lists(JSON))
def test_any_json_fits(value: Any) -> None:
    assert shown(json.dumps(value)) or value == ""


@given(ANYTHING)
def test_any_text_fits(text: str) -> None:
    shown(text)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=400))
def test_any_envelope_fits(text: str) -> None:
    inner = f"<o:x><o:y><o:z>{escape(text)}</o:z><o:z/></o:y></o:x>"
    shown(envelope(inner, f"<a:To>{escape(text)}</a:To><a:From>{escape(text)}</a:From>"))


@pytest.mark.parametrize("depth", [10, 100, 200])
def test_however_deep_it_fits(depth: int) -> None:
    shown(envelope("<o:x>" * depth + "y" * 200 + "</o:x>" * depth))
    shown(f'[3, "1", {{"a": {"[" * depth}"{"y" * 200}"{"]" * depth}}}]')


@given(ANYTHING, st.integers(20, 100))
def test_wrapped_text_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(columns(line) <= width for line in lines)


@given(st.lists(st.text("ab, ", max_size=50)), st.integers(20, 100))
def test_joined_items_keep_to_the_width(items: list[str], width: int) -> None:
    lines = joined(items, width, between=", ")
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(lines).split()).replace(",", "") == "".join("".join(items).split()).replace(",", "")


# What is around the messages


def exchange(kind: Kind = "result") -> ShownExchange:
    messages = [
        wire(envelope("<o:heartbeatRequest/>")),
        wire('[2, "1", "Heartbeat", {}]'),
        wire('[3, "1", {}]' if kind == "result" else '[4, "1", "InternalError", "", {}]', kind),
        wire(envelope("<o:heartbeatResponse/>"), kind, elapsed=0.0123),
    ]
    return ShownExchange(number=5, name="Heartbeat", upwards=True, messages=messages)


def test_an_exchange_has_a_title_and_names_each_message() -> None:
    title, *lines = exchange_lines(exchange(), plain)
    assert title.startswith(" 5  Heartbeat ...")
    assert title.endswith(". CP -> CS    12.3 ms")
    assert columns(title) == WIDTH
    assert [line[:14] for line in lines if line[:14].strip()] == [
        "  SOAP request",
        "  JSON request",
        "  JSON answer ",
        "  SOAP answer ",
    ]


def test_a_refusal_is_named_as_each_wire_names_it() -> None:
    lines = exchange_lines(exchange("error"), plain)
    assert [line[2:12] for line in lines[-2:]] == ["JSON error", "SOAP Fault"]


def test_an_exchange_without_an_answer_says_so() -> None:
    unanswered = ShownExchange(number=12, name="X", upwards=False, messages=[])
    assert exchange_lines(unanswered, plain)[0].endswith("CS -> CP  no answer")


def test_colour_changes_nothing_but_colour() -> None:
    painted = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in exchange_lines(exchange(), coloured)]
    assert painted == exchange_lines(exchange(), plain)
    assert "\x1b[" in exchange_lines(exchange(), coloured)[0]


def test_a_failure_says_what_was_expected_and_what_came() -> None:
    lines = failure_lines("step 6 of 23, Authorize", "a", "b\x1b " * 60, plain)
    assert lines[:2] == ["FAILED: step 6 of 23, Authorize", "  expected  a"]
    assert lines[2].startswith("  came      b\\u001b ")
    assert all(columns(line) <= WIDTH for line in lines)


def test_the_last_line_counts() -> None:
    assert summary(14, 9, 0.26, plain) == [
        "14 messages CP -> CS, 9 messages CS -> CP: all answered as expected, in 0.3 s"
    ]


def test_a_sign_of_life_is_one_line_unless_it_failed() -> None:
    assert life_lines("12:00:00", "Heartbeat", 0.0031, "", plain) == ["12:00:00  CP -> CS  Heartbeat, 3.1 ms"]
    assert life_lines("12:00:00", "Heartbeat", 0.0031, "nobody there", plain)[1:] == ["  nobody there"]
