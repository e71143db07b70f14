"""One event is one line, whatever is in it; and the short way to a line leads to the same one."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.ocpp.actions import Party
from bridge.ocpp.tenants import key_of
from bridge.watching import lines
from bridge.watching.lines import VALUES, Lines, Sentence

LOG = logging.getLogger("bridge.here")
FORMATS = ["text", "json"]
# What a reader may take for the end of a line, for the start of a field or for something unseen.
HOSTILE = 'a"b\\c=d\r\n2026-01-01T00:00:00.000Z INFO  forged\x1b[2J\x00\x7f\x85\u2028\u2029\u202e\ud800 é 😀'


def line_of(
    message: str,
    values: dict[str, object],
    log_format: str,
    level: int = logging.INFO,
    at: float = 1767225600.123,
    **settings: Any,
) -> str:
    record = LOG.makeRecord(LOG.name, level, "", 0, message, (), None, extra={"bridge_fields": values})
    record.created = at
    return Lines(log_format, **settings).format(record)


def value_of(line: str, key: str) -> str:
    """The text of a field, read back from a text line."""
    match = re.search(rf' {key}=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line)
    assert match is not None
    if match[2] is not None:
        return match[2]
    return re.sub(r"\\(u[0-9a-f]{4}|U[0-9a-f]{8}|x[0-9a-f]{2}|.)", _unescaped, match[1])


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else {"n": "\n", "r": "\r", "t": "\t"}.get(escape, escape)


# The two formats


def test_a_line_of_text() -> None:
    values: dict[str, object] = {"identity": "RDAM 123", "action": "Heartbeat", "seconds": 0.25, "ok": True, "n": 3}
    assert line_of("call answered", values, "text") == (
        '2026-01-01T00:00:00.123Z INFO  call answered identity="RDAM 123" action=Heartbeat seconds=0.25 ok=true n=3'
    )


def test_a_line_of_json() -> None:
    values: dict[str, object] = {"identity": "RDAM 123", "seconds": 0.25, "ok": True, "n": 3}
    line = json.loads(line_of("call answered", values, "json", logging.WARNING))
    assert line == {"time": "2026-01-01T00:00:00.123Z", "level": "warning", "msg": "call answered"} | values


def test_the_name_of_one_process_among_several_is_the_last_field() -> None:
    record = logging.makeLogRecord({"msg": "x", "levelno": logging.INFO, "levelname": "INFO", VALUES: {"a": "b" * 500}})
    text = Lines("text", longest=400, worker="a-1").format(record)
    assert text.endswith(" cut=true worker=a-1") and len(text) <= 400
    as_json = Lines("json", longest=400, worker="a-1").format(record)
    assert [*json.loads(as_json)][-1] == "worker" and json.loads(as_json)["worker"] == "a-1" and len(as_json) <= 400
    sentence = Sentence(logging.INFO, "said", ("a",), "ms", lambda text: text)
    assert Lines("text", worker="a-1").of(sentence, 0.0, ("b",), 1.5).endswith("said a=b ms=1.5 worker=a-1")


def test_the_time_is_that_of_the_record_in_utc() -> None:
    assert line_of("x", {}, "text", at=1767225600.123) == "2026-01-01T00:00:00.123Z INFO  x"
    assert line_of("x", {}, "text", at=1767225600.0) == "2026-01-01T00:00:00.000Z INFO  x"


@pytest.mark.parametrize(("level", "shown"), [(10, "DEBUG"), (30, "WARN "), (40, "ERROR"), (50, "FATAL")])
def test_messages_stand_in_one_column(level: int, shown: str) -> None:
    assert line_of("x", {}, "text", level)[25:] == f"{shown} x"


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_key_is_told_as_tenant_and_identity(log_format: str) -> None:
    told = [line_of("said", {"identity": key_of("acme", name), "n": 1}, log_format) for name in ("RDAM 123", "")]
    if log_format == "text":
        assert [line.partition("said ")[2] for line in told] == [
            'tenant=acme identity="RDAM 123" n=1',
            "tenant=acme n=1",
        ]
    else:
        first, second = map(json.loads, told)
        assert (first["tenant"], first["identity"], second["tenant"]) == ("acme", "RDAM 123", "acme")
        assert "identity" not in second


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("identity", ["CP-1", "RDAM 123", "é"])
def test_a_frequent_line_tells_a_key_likewise(log_format: str, identity: str) -> None:
    sentence = Sentence(logging.INFO, "call", ("identity", "action"), "ms", lambda text: text)
    texts = (key_of("acme", identity), "Heartbeat")
    values: dict[str, object] = {"identity": texts[0], "action": "Heartbeat", "ms": 0.5}
    found = Lines(log_format).of(sentence, 1767225600.123, texts, 0.5)
    assert found == line_of("call", values, log_format) and "x1f" not in found and "u001f" not in found


def test_what_is_none_is_left_out() -> None:
    for log_format in FORMATS:
        assert "error" not in line_of("x", {"error": None}, log_format)


def test_a_field_cannot_take_the_place_of_the_time_the_level_or_the_message() -> None:
    line = json.loads(line_of("x", {"time": 1, "level": 2, "msg": 3, "logger": 4}, "json"))
    assert (line["level"], line["msg"]) == ("info", "x")
    assert (line["time_"], line["level_"], line["msg_"], line["logger"]) == (1, 2, 3, 4)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**63, 10**30, b"\xff", ["a"], object, "", "é"])
def test_any_value_is_json(value: object) -> None:
    line = line_of("x", {"value": value}, "json")
    assert "value" in json.loads(line, parse_constant=lambda name: pytest.fail(name))


# Strangers' text


@pytest.mark.parametrize("log_format", FORMATS)
def test_nothing_forges_a_line(log_format: str) -> None:
    line = line_of(HOSTILE, {"value": HOSTILE, HOSTILE: "key", "bare": "\x1b"}, log_format)
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_no_field_forges_another() -> None:
    line = line_of("x", {"a": '" b=c d="', "e": "f g=h", "i": 'j"', "k": "\\", "l": "", "m": "n=o"}, "text")
    assert line[25:] == 'INFO  x a="\\" b=c d=\\"" e="f g=h" i="j\\"" k="\\\\" l="" m="n=o"'


@given(value=st.text())
@example(value=HOSTILE)
@example(value="\\n")
def test_every_value_can_be_read_back(value: str) -> None:
    assert json.loads(line_of("x", {"value": value, "next": 1}, "json"))["value"] == value.encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16", "surrogatepass")
    line = line_of("x", {"value": value, "next": 1}, "text")
    assert value_of(line, "value") == value
    assert line.endswith(" next=1")


@given(
    message=st.text(),
    values=st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    ),
    log_format=st.sampled_from(FORMATS),
    longest=st.integers(300, 1000),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]),
)
def test_any_event_is_one_line(
    message: str, values: dict[str, object], log_format: str, longest: int, encoding: str
) -> None:
    line = line_of(message, values, log_format, longest=longest, encoding=encoding)
    assert line.isprintable()
    assert len(line) <= longest
    line.encode(encoding)
    if log_format == "json":
        assert json.loads(line)["level"] == "info"


# Length


@pytest.mark.parametrize("payload", ["x" * 100_000, "\n" * 100_000, "😀" * 100_000, b"\xff" * 100_000])
@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("longest", [300, 1000, 4096])
def test_a_long_value_is_cut_and_the_short_ones_stay(log_format: str, payload: object, longest: int) -> None:
    values: dict[str, object] = {"payload": payload, "identity": "RDAM 123", "unique_id": "9f"}
    line = line_of("received", values, log_format, longest=longest)
    assert longest / 6 < len(line) <= longest
    if log_format == "json":
        told = json.loads(line)
        assert told["payload"].endswith("…")
        assert (told["identity"], told["unique_id"], told["cut"]) == ("RDAM 123", "9f", True)
    else:
        assert line.endswith('… identity="RDAM 123" unique_id=9f cut=true') or '…" identity="RDAM 123"' in line


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_long_message_and_many_values_are_cut(log_format: str) -> None:
    for message, values in [("m" * 10_000, {}), ("😀" * 10_000, {f"k{n}": "v" for n in range(1000)})]:
        line = line_of(message, dict[str, object](values), log_format, longest=300)
        assert len(line) <= 300
        assert "cut" in line
        assert message[:8] in line or "\\ud83d" in line


def test_a_line_that_fits_is_whole() -> None:
    line = line_of("x", {"value": "v" * 100}, "text", longest=300)
    assert line.endswith("=" + "v" * 100)
    assert line == line_of("x", {"value": "v" * 100}, "text", longest=len(line))
    assert "cut=true" in line_of("x", {"value": "v" * 100}, "text", longest=len(line) - 1)


# The time, and what led to an exception


@given(st.floats(min_value=0, max_value=4e9))
@example(1_800_000_000.9999996)
@example(1_800_000_000.9989999)
def test_the_time_is_that_of_datetime(created: float) -> None:
    expected = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert lines._time(created) == expected


def test_the_calls_that_led_to_an_exception_are_told_innermost_first() -> None:
    def deeper(left: int) -> None:
        if left == 0:
            raise KeyError("x")
        deeper(left - 1)

    try:
        deeper(20)
    except KeyError:
        record = LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = json.loads(Lines("json").format(record))
    assert line["error"] == "KeyError: 'x'"
    assert line["at"].count(" < ") == 7
    assert line["at"].startswith("test_lines.py:")


# The short way


def clean(text: str) -> str:
    return text.replace("s3cr3t", "***") if "s3cr3t" in text else text


CALL = Sentence(logging.INFO, "100 % of it, [said]", ("identity", "from", "level"), "ms", clean)
_words = st.text('aA0 -=%"\\\n\x7f\x85é\u2028😀\ud800{}~', max_size=12) | st.text(max_size=400) | st.just("a s3cr3t")
_texts = st.tuples(_words, st.sampled_from(Party), st.uuids().map(str) | _words)
_ordinary = st.tuples(st.sampled_from(["CP 1", "CP1"]), st.sampled_from(Party), st.uuids().map(str))


@given(
    texts=_texts | _ordinary,
    number=st.floats() | st.floats(0, 1e5).map(lambda ms: round(ms, 1)),
    log_format=st.sampled_from(FORMATS),
    longest=st.integers(60, 300),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]),
    at=st.floats(0, 4e9),
)
@example(("", Party.CHARGE_POINT, ""), 0.0, "text", 300, "utf-8", 0.0)
@example(("~text~", Party.CHARGE_POINT, "~time~"), 1e300, "text", 300, "utf-8", 0.0)
@example(("a from=b", Party.CHARGE_POINT, '" level="x'), 0.1, "text", 300, "utf-8", 0.0)
@example(("a", Party.CHARGE_POINT, '","level":"x'), float("nan"), "json", 300, "utf-8", 0.0)
@example(("s3cr3t", Party.CHARGE_POINT, "plain"), 0.1, "text", 300, "utf-8", 0.0)
def test_the_short_way_leads_to_the_same_line(
    texts: tuple[str, ...], number: float, log_format: str, longest: int, encoding: str, at: float
) -> None:
    settings: dict[str, Any] = {"encoding": encoding, "longest": longest}
    values: dict[str, object] = dict(zip(CALL.keys, (*map(clean, texts), number), strict=True))
    expected = line_of(CALL.message, values, log_format, at=at, **settings)
    assert Lines(log_format, **settings).of(CALL, at, texts, number) == expected


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("identity", ["CP1", "RDAM 123"])
def test_what_is_ordinary_goes_the_short_way(log_format: str, identity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "_made", None)
    texts = (identity, Party.CHARGE_POINT, "urn:uuid:0d0b6a54-0f2e-4b1c-a5a7-77f0e1a1b2c3")
    assert identity in Lines(log_format).of(CALL, 0.0, texts, 7.1)
