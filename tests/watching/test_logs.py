"""Whose lines are written where, and when."""

from __future__ import annotations

import io
import json
import logging
import re
import select
import subprocess
import sys
import threading

import pytest

from bridge.watching import logs
from bridge.watching.lines import Sentence
from bridge.watching.logs import fields, setup

LOG = logging.getLogger("bridge.here")
FORMATS = ["text", "json"]
# What a reader may take for the end of a line, for the start of a field or for something unseen.
HOSTILE = 'a"b\\c=d\r\n2026-01-01T00:00:00.000Z INFO  forged\x1b[2J\x00\x7f\x85\u2028\u2029\u202e\ud800 é 😀'


def started(log_format: str, level: str = "info", longest: int = 4096) -> io.StringIO:
    stream = io.StringIO()
    setup(log_format, level, stream, longest=longest)
    return stream


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


def test_a_stream_that_was_closed_does_not_hinder_its_successor() -> None:
    closed, stream = io.StringIO(), io.StringIO()
    setup("text", "info", closed, linger=3600)
    fields(LOG, logging.INFO, "waits")
    closed.close()
    setup("text", "info", stream)
    fields(LOG, logging.INFO, "follows")
    assert stream.getvalue().endswith(" follows\n")


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


# The short way

CALL = Sentence(logging.INFO, "call", ("identity",), "ms", str)


def said() -> bool:
    return logs.said(LOG, CALL, ("CP 1",), 7.1)


def test_a_sentence_is_said_in_its_turn() -> None:
    stream = io.StringIO()
    setup("text", "info", stream, linger=3600)
    fields(LOG, logging.INFO, "first")
    assert said()
    fields(LOG, logging.WARNING, "third")
    assert [line[31:] for line in stream.getvalue().splitlines()] == ["first", 'call identity="CP 1" ms=7.1', "third"]


def test_it_is_left_to_the_caller_while_anybody_else_listens() -> None:
    """Only a record of logging goes to other handlers, and through filters."""
    started("text")
    assert not said()
    setup("text", "info", io.StringIO(), linger=3600)
    [handler] = logging.getLogger("bridge").handlers
    assert said()
    other = logging.NullHandler()
    for near in (LOG, logging.getLogger("bridge")):
        near.addHandler(other)
        assert not said()
        near.removeHandler(other)
    for filtered in (LOG, handler):
        filtered.addFilter(lambda record: True)
        assert not said()
        filtered.filters.clear()
    handler.setLevel(logging.WARNING)
    assert not said()
    handler.setLevel(logging.NOTSET)
    handler.setFormatter(logging.Formatter())
    assert not said()
    assert isinstance(handler, logs.Lingering)
    handler.setFormatter(handler.lines)
    logging.getLogger("bridge").propagate = True
    assert not said()


def test_a_stream_that_fails_stops_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logs, "_MOST_LINES", 1)
    stream = io.StringIO()
    setup("text", "info", stream, linger=3600)
    stream.close()
    assert said()
    assert "I/O operation on closed file" in capsys.readouterr().err


def test_many_lines_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MOST_LINES", 3)
    stream = io.StringIO()
    setup("text", "info", stream, linger=3600)
    for number in range(4):
        fields(LOG, logging.INFO, str(number)) if number % 2 else said()
    assert len(stream.getvalue().splitlines()) == 3


def test_lines_are_written_in_pieces_that_the_system_does_not_mix_with_those_of_others() -> None:
    class Pieces(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[str] = []

        def write(self, text: str) -> int:
            self.written.append(text)
            return super().write(text)

    for worker, most in (("a-1", select.PIPE_BUF), ("", 100_000)):
        stream = Pieces()
        setup("text", "info", stream, linger=60, worker=worker)
        for number in range(90):
            fields(LOG, logging.INFO, "x" * 200, number=number)
        fields(LOG, logging.WARNING, "now")
        assert (len(stream.written) == 1) is not bool(worker)
        assert all(piece.endswith("\n") and len(piece) <= most for piece in stream.written)
        assert len(stream.getvalue().splitlines()) == 91


def test_the_end_of_the_process_writes_what_waits() -> None:
    script = (
        "import logging, sys; from bridge.watching import logs; logs.setup('text', 'info', sys.stderr, linger=3600); "
        "logs.fields(logging.getLogger('bridge.x'), logging.INFO, 'last words'); raise SystemError"
    )
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=False)
    assert "INFO  last words\n" in ended.stderr and ended.returncode == 1


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
