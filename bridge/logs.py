"""How the log is written: one line for one event, whatever is in it.

Much of what is logged was sent by strangers. A line can neither be forged (whatever would end or disguise one is
escaped) nor grow without bound (long values are cut, visibly, and the short ones beside them stay). An exception is
told on the line of its event: what it is, and the calls that led to it.

This room knows standard logging only, and none of what is logged.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
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
_CUT = "…"
_MOST_FRAMES = 8
_LARGEST = 2**63  # what every reader of JSON takes


def setup(log_format: str, level: str, stream: TextIO, *, longest: int = 4096) -> None:
    """Send what this process logs to `stream`, in place of what an earlier call set up.

    `log_format` is `text` or `json`; `level`, of our own messages, is debug, info, warning or error; `longest` is the
    number of characters that a line has at most, itself 300 or more.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(log_format, encoding=getattr(stream, "encoding", None) or "utf-8", longest=longest))
    for name, least in ({_OURS: logging.getLevelNamesMapping()[level.upper()]} | _OTHERS).items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(least)


def fields(logger: logging.Logger, level: int, message: str, /, **values: object) -> None:
    """Log `message`, one constant sentence, with what it is about in `values`. Those that are None are left out."""
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={_EXTRA: values}, stacklevel=2)


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
        line = self._render(record, _cut(message, max(limit, 16)), short)
        return line.encode(self._encoding, "backslashreplace").decode(self._encoding)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + _CUT


def _text_line(record: logging.LogRecord, message: str, values: Mapping[str, Shown]) -> str:
    level = _LEVELS.get(record.levelname, record.levelname)
    pairs = "".join(f" {_quoted(key)}={_quoted(_spelled(value))}" for key, value in values.items())
    return f"{_time(record)} {level:<5} {_escaped(message)}{pairs}"


def _json_line(record: logging.LogRecord, message: str, values: Mapping[str, Shown]) -> str:
    line: dict[str, Shown] = {"time": _time(record), "level": record.levelname.lower(), "msg": message}
    line |= {f"{key}_" if key in line else key: value for key, value in values.items()}
    # ASCII alone cannot disguise anything; DEL is the one character of it that json leaves as it is.
    return json.dumps(line, separators=(",", ":")).replace("\x7f", "\\u007f")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _spelled(value: Shown) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """The value bare if it can be told from what stands around it, else in quotes."""
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


def _values(record: logging.LogRecord) -> dict[str, object]:
    values = dict(values_of(record))
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        values |= _told(record.exc_info[1])
    return values


def _told(error: BaseException) -> dict[str, object]:
    """What an exception is, and the calls that led to it, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    calls = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    return {"error": f"{type(error).__name__}: {_as_text(error)}", "at": " < ".join(calls) or None}


def _shown(value: object) -> Shown:
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
