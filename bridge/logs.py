"""How the log is written: one line for one event, whatever is in it.

Much of what is logged was sent by strangers. A line can neither be forged (whatever would end or disguise one is
escaped) nor grow without bound (long values are cut, visibly, and the short ones beside them stay). An exception is
told on the line of its event: what it is, and the calls that led to it.

This room knows standard logging only, and none of what is logged.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePath
from types import FrameType
from typing import TextIO

# A value as a line shows it: JSON's scalars as they are, everything else as text.
Shown = str | int | float | bool

_OURS = "bridge"
_EXTRA = "bridge_fields"
_OFF = logging.CRITICAL + 1
# What other people's loggers may say. Each Charge Point's connection would be a line of aiohttp.access, and spyne and
# zeep log whole messages below this.
_OTHERS: dict[str, int] = {
    "aiohttp": logging.WARNING,
    "aiohttp.access": _OFF,
    "asyncio": logging.WARNING,
    "ocpp": logging.WARNING,
    "opentelemetry": logging.WARNING,
    "spyne": logging.WARNING,
    "websockets": logging.WARNING,
    "zeep": logging.WARNING,
}
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # at most five letters, so that messages stand in one column
_BARE = re.compile(r"[^\s\"=\\]+")
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # the same of ASCII, all of it printable
_CUT = "…"
_MOST_FRAMES = 8
_LARGEST = 2**63  # what every reader of JSON takes
_MOST_LINES = 1000  # that wait to be written
# ASCII alone cannot disguise anything.
_json = json.JSONEncoder(separators=(",", ":"))


def setup(log_format: str, level: str, stream: TextIO, *, longest: int = 4096, linger: float = 0.0) -> None:
    """Send what this process logs to `stream`, in place of what an earlier call set up.

    `log_format` is `text` or `json`; `level`, of our own messages, is debug, info, warning or error; `longest` is the
    number of characters that a line has at most, itself 300 or more. Below warnings a line may wait `linger` seconds to
    be written with others; the end of the process writes all.
    """
    lines = Lines(log_format, encoding=getattr(stream, "encoding", None) or "utf-8", longest=longest)
    handler = Lingering(stream, linger) if linger else logging.StreamHandler(stream)
    handler.setFormatter(lines)
    for name, least in ({_OURS: logging.getLevelNamesMapping()[level.upper()]} | _OTHERS).items():
        logger = logging.getLogger(name)
        for before in logger.handlers:
            if isinstance(before, Lingering):
                before.flush()
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(least)


def fields(logger: logging.Logger, level: int, message: str, /, **values: object) -> None:
    """Log `message`, one constant sentence, with what it is about in `values`. Those that are None are left out."""
    if logger.isEnabledFor(level):
        logger.handle(_record(logger, level, message, values, sys._getframe(1)))


def event(logger: logging.Logger, level: int, message: str, values: Mapping[str, object]) -> None:
    """The same, for who has looked whether `level` is enabled and has the values at hand."""
    logger.handle(_record(logger, level, message, values, sys._getframe(1)))


def _record(
    logger: logging.Logger, level: int, message: str, values: Mapping[str, object], caller: FrameType
) -> logging.LogRecord:
    """What logging makes of it, without asking for what no line of ours has: every message has one."""
    created, code = time.time(), caller.f_code
    record = logging.LogRecord.__new__(logging.LogRecord)
    record.__dict__ = {
        "name": logger.name,
        "msg": message,
        "args": (),
        "levelname": logging.getLevelName(level),
        "levelno": level,
        "pathname": code.co_filename,
        "filename": code.co_filename.rpartition("/")[2],
        "module": "",
        "exc_info": None,
        "exc_text": None,
        "stack_info": None,
        "lineno": caller.f_lineno,
        "funcName": code.co_name,
        "created": created,
        "msecs": created % 1 * 1000,
        "relativeCreated": 0.0,
        "thread": None,
        "threadName": None,
        "processName": None,
        "process": None,
        "taskName": None,
        _EXTRA: values,
    }
    return record


class Lingering(logging.StreamHandler[TextIO]):
    """Writes what is below a warning `linger` seconds later, all that has come meanwhile at once: a system call for
    each line would cost more than the line. Warnings, and whoever flushes, take what waits along."""

    def __init__(self, stream: TextIO, linger: float) -> None:
        super().__init__(stream)
        self._linger = linger
        self._lines: list[str] = []
        self._waiting = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the lock held."""
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.WARNING or len(self._lines) >= _MOST_LINES:
                self.flush()
            elif len(self._lines) == 1:
                self._wake()
        except Exception:  # as logging has it: what cannot be logged stops nobody
            self.handleError(record)

    def flush(self) -> None:
        """Write all that waits."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
        finally:
            self.release()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="bridge.logs", daemon=True)
            self._thread.start()
        self._waiting.set()

    def _run(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(self._linger)
            self._waiting.clear()
            try:
                self.flush()
            except (OSError, ValueError):  # a full disk, or a stream that was closed: the next line tries again
                continue


def values_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What `fields` was told beside the message."""
    values: Mapping[str, object] = getattr(record, _EXTRA, {})
    return values


class Lines(logging.Formatter):
    """A log record as a line of text, or of JSON, of at most `longest` characters that `encoding` can write."""

    def __init__(self, log_format: str, *, encoding: str = "utf-8", longest: int = 4096) -> None:
        super().__init__()
        self._render: Callable[[logging.LogRecord, str, Mapping[str, Shown]], str]
        self._render = _json_line if log_format == "json" else _text_line
        self._encoding = encoding
        self._longest = longest

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        message = _message(record)
        values = {key: _shown(value) for key, value in _values(record).items() if value is not None}
        limit = self._longest
        if all(type(value) is not str or len(value) <= limit for value in values.values()) and len(message) <= limit:
            line = self._written(record, message, values)
        else:
            line = self._line(record, message, values, limit)
        # Escapes lengthen, so how much of each value fits shows only once it is written.
        while len(line) > self._longest and limit > 1:
            limit //= 2
            line = self._line(record, message, values | {"cut": True}, limit)
        if len(line) > self._longest:
            line = self._line(record, message, {"cut": True}, self._longest // 16)
        return line

    def _line(self, record: logging.LogRecord, message: str, values: Mapping[str, Shown], limit: int) -> str:
        short = {key: _cut(value, limit) if isinstance(value, str) else value for key, value in values.items()}
        return self._written(record, _cut(message, max(limit, 16)), short)

    def _written(self, record: logging.LogRecord, message: str, values: Mapping[str, Shown]) -> str:
        line = self._render(record, message, values)
        return line if line.isascii() else line.encode(self._encoding, "backslashreplace").decode(self._encoding)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + _CUT


def _text_line(record: logging.LogRecord, message: str, values: Mapping[str, Shown]) -> str:
    level = _LEVELS.get(record.levelname, record.levelname)
    pairs = "".join([f" {_quoted(key)}={_quoted(_spelled(value))}" for key, value in values.items()])
    return f"{_time(record.created)} {level:<5} {_escaped(message)}{pairs}"


def _json_line(record: logging.LogRecord, message: str, values: Mapping[str, Shown]) -> str:
    line: dict[str, Shown] = {"time": _time(record.created), "level": record.levelname.lower(), "msg": message}
    line |= {f"{key}_" if key in line else key: value for key, value in values.items()}
    # DEL is the one character of ASCII that json leaves as it is, though it is not seen.
    return _json.encode(line).replace("\x7f", "\\u007f")


def _time(created: float) -> str:
    fraction, second = math.modf(created)
    millisecond, over = round(fraction * 1_000_000) // 1000, 0
    if millisecond == 1000:  # half a microsecond before it
        millisecond, over = 0, 1
    return f"{_second(int(second) + over)}.{millisecond:03}Z"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _spelled(value: Shown) -> str:
    if type(value) is str:
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """The value bare if it can be told from what stands around it, else in quotes."""
    if _PLAIN.fullmatch(text):
        return text
    if text.isprintable() and _BARE.fullmatch(text):
        return text
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escaped(text: str) -> str:
    """The text without anything that ends a line, moves the cursor or turns the direction of writing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its text and its arguments do not fit, or one of them cannot be shown: a log never fails
        return _as_text(record.msg)


def _values(record: logging.LogRecord) -> Mapping[str, object]:
    values = values_of(record)
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        return {**values, **_told(record.exc_info[1])}
    return values


def _told(error: BaseException) -> dict[str, object]:
    """What an exception is, and the calls that led to it, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    calls = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    return {"error": f"{type(error).__name__}: {_as_text(error)}", "at": " < ".join(calls) or None}


def _shown(value: object) -> Shown:
    if type(value) is str:
        return value
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < _LARGEST):
        return value
    if isinstance(value, float) and value - value == 0:  # JSON has neither infinities nor NaN
        return value
    return _as_text(value)


def _as_text(value: object) -> str:
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception:  # a log never fails for what somebody wanted logged
        return f"<{type(value).__name__} that cannot be shown>"
