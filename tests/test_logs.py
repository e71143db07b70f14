"""One event is one line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import logs
from bridge.logs import Lines, fields, setup

LOG = logging.getLogger("bridge.here")
FORMATS = ["text", "json"]
# What a reader may take for the end of a line, for the start of a field or for something unseen.
HOSTILE = 'a"b\\c=d\r\n2026-01-01T00:00:00.000Z INFO  forged\x1b[2J\x00\x7f\x85\u2028\u2029\u202e\ud800 é 😀'


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("bridge", *logs._OTHERS)]
    before = [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def started(log_format: str, level: str = "info", longest: int = 4096) -> io.StringIO:
    stream = io.StringIO()
    setup(log_format, level, stream, longest=longest)
    return stream


def line_of(message: str, values: dict[str, object], log_format: str, **settings: Any) -> str:
    record = LOG.makeRecord(LOG.name, logging.INFO, "", 0, message, (), None, extra={"bridge_fields": values})
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
    stream = started("text")
    fields(LOG, logging.INFO, "call answered", identity="RDAM 123", action="Heartbeat", seconds=0.25, ok=True, n=3)
    time, rest = stream.getvalue().split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == 'INFO  call answered identity="RDAM 123" action=Heartbeat seconds=0.25 ok=true n=3\n'


def test_a_line_of_json() -> None:
    stream = started("json")
    fields(LOG, logging.WARNING, "call answered", identity="RDAM 123", seconds=0.25, ok=True, n=3)
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "msg": "call answered",
        "identity": "RDAM 123",
        "seconds": 0.25,
        "ok": True,
        "n": 3,
    }


def test_the_time_is_that_of_the_record_in_utc() -> None:
    record = LOG.makeRecord(LOG.name, logging.INFO, "", 0, "x", (), None)
    record.created = 1767225600.123
    assert Lines("text").format(record) == "2026-01-01T00:00:00.123Z INFO  x"
    record.created = 1767225600.0
    assert Lines("text").format(record) == "2026-01-01T00:00:00.000Z INFO  x"


@pytest.mark.parametrize(("level", "shown"), [(10, "DEBUG"), (30, "WARN "), (40, "ERROR"), (50, "FATAL")])
def test_messages_stand_in_one_column(level: int, shown: str) -> None:
    stream = started("text", "debug")
    fields(LOG, level, "x")
    assert stream.getvalue()[25:] == f"{shown} x\n"


def test_what_is_none_is_left_out() -> None:
    for log_format in FORMATS:
        assert "error" not in line_of("x", {"error": None}, log_format)


def test_a_field_cannot_take_the_place_of_the_time_the_level_or_the_message() -> None:
    stream = started("json")
    fields(LOG, logging.INFO, "x", time=1, level=2, msg=3, logger=4)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["msg"]) == ("info", "x")
    assert (line["time_"], line["level_"], line["msg_"], line["logger"]) == (1, 2, 3, 4)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**63, 10**30, b"\xff", ["a"], object, "", "é"])
def test_any_value_is_json(value: object) -> None:
    line = line_of("x", {"value": value}, "json")
    assert "value" in json.loads(line, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_log_never_fails_for_what_is_logged(log_format: str) -> None:
    class Unshowable:
        def __str__(self) -> str:
            raise RuntimeError

    stream = started(log_format)
    fields(LOG, logging.INFO, "x", value=Unshowable(), huge=1 << 20000)
    assert "<Unshowable that cannot be shown>" in stream.getvalue()
    assert "<int that cannot be shown>" in stream.getvalue()
    LOG.info("%d of %s", "one")
    assert "%d of %s" in stream.getvalue()


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
    stream = started(log_format, longest=longest)
    fields(LOG, logging.INFO, "received", payload=payload, identity="RDAM 123", unique_id="9f")
    line = stream.getvalue().removesuffix("\n")
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
    behind_the_time = slice(len("2026-01-01T00:00:00.000Z"), None)
    assert line[behind_the_time] == line_of("x", {"value": "v" * 100}, "text", longest=len(line))[behind_the_time]
    assert "cut=true" in line_of("x", {"value": "v" * 100}, "text", longest=len(line) - 1)


# Levels and loggers


def test_no_work_is_done_for_a_level_that_is_off() -> None:
    class Watched:
        def __str__(self) -> str:
            raise AssertionError("shown")

    stream = started("text", "warning")
    fields(LOG, logging.INFO, "x", value=Watched())
    assert stream.getvalue() == ""


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_that_of_our_own_messages(level: str) -> None:
    stream = started("text", level)
    names = ["debug", "info", "warning", "error"]
    for name in names:
        fields(LOG, logging.getLevelNamesMapping()[name.upper()], name)
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == names[names.index(level) :]


def test_setting_up_again_replaces() -> None:
    first = started("text")
    second = started("json")
    fields(LOG, logging.INFO, "x")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["msg"] == "x"


def test_lines_below_a_warning_wait_for_it() -> None:
    stream = io.StringIO()
    setup("text", "info", stream, linger=3600)
    fields(LOG, logging.INFO, "first")
    assert stream.getvalue() == ""
    fields(LOG, logging.WARNING, "second")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["first", "second"]
    fields(LOG, logging.INFO, "third")
    setup("text", "info", io.StringIO())  # who takes its place lets it end
    assert stream.getvalue().endswith(" third\n")


def test_lines_that_wait_are_written_before_long() -> None:
    written = threading.Event()

    class Stream(io.StringIO):
        def flush(self) -> None:
            written.set()

    stream = Stream()
    setup("text", "info", stream, linger=0.01)
    for round_ in ("first", "second"):
        written.clear()
        fields(LOG, logging.INFO, round_)
        assert written.wait(30)
        assert round_ in stream.getvalue()


def test_many_lines_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MOST_LINES", 3)
    stream = io.StringIO()
    setup("text", "info", stream, linger=3600)
    for number in range(4):
        fields(LOG, logging.INFO, str(number))
    assert len(stream.getvalue().splitlines()) == 3


def test_the_end_of_the_process_writes_what_waits() -> None:
    script = (
        "import logging, sys; from bridge import logs; logs.setup('text', 'info', sys.stderr, linger=3600); "
        "logs.fields(logging.getLogger('bridge.x'), logging.INFO, 'last words'); raise SystemError"
    )
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=False)
    assert "INFO  last words\n" in ended.stderr and ended.returncode == 1


@given(st.floats(min_value=0, max_value=4e9))
@example(1_800_000_000.9999996)
@example(1_800_000_000.9989999)
def test_the_time_is_that_of_datetime(created: float) -> None:
    expected = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert logs._time(created) == expected


def test_others_are_heard_from_warnings_up() -> None:
    stream = started("text", "debug")
    for name in ["spyne.model", "zeep.transports", "websockets.server", "aiohttp.server", "asyncio", "ocpp"]:
        logging.getLogger(name).info("whole message")
        logging.getLogger(name).warning("%s complains", name)
    logging.getLogger("aiohttp.access").critical("GET /")
    said = [line[31:] for line in stream.getvalue().splitlines()]
    assert said == [
        f"{name} complains"
        for name in ["spyne.model", "zeep.transports", "websockets.server", "aiohttp.server", "asyncio", "ocpp"]
    ]


@pytest.mark.parametrize("log_format", FORMATS)
def test_an_exception_is_told_on_the_line(log_format: str) -> None:
    stream = started(log_format)
    try:
        int("no\nnumber")
    except ValueError:
        logging.getLogger("websockets.server").error("opening handshake failed", exc_info=True)
        logging.getLogger("bridge").exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "Traceback" not in line
        assert "ValueError: invalid literal" in line
        assert re.search(r"test_logs\.py:\d+ test_an_exception_is_told_on_the_line", line)
        assert "/" not in line


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
    assert line["at"].startswith("test_logs.py:")


def test_an_exception_that_is_not_there_is_not_told() -> None:
    stream = started("text")
    LOG.error("failed", exc_info=True)
    LOG.error("failed", exc_info=ValueError("never raised"))
    assert [line[31:] for line in stream.getvalue().splitlines()] == [
        "failed",
        'failed error="ValueError: never raised"',
    ]


def test_a_stream_that_cannot_write_a_character_gets_its_escape() -> None:
    octets = io.BytesIO()
    setup("text", "info", io.TextIOWrapper(octets, encoding="ascii", write_through=True))
    fields(LOG, logging.INFO, "x", tag="é😀")
    assert octets.getvalue().endswith(b" x tag=\\xe9\\U0001f600\n")


def test_the_caller_is_the_one_who_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fields(LOG, logging.INFO, "x")
    assert caplog.records[0].funcName == "test_the_caller_is_the_one_who_logs"
