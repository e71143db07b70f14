"""Format a log record as one line of text or JSON.

Much of what is logged comes from unknown parties. A line cannot be forged: characters that end or disguise a line are
escaped. A line cannot grow without bound: long values are cut, which is marked, and short values beside them are kept.
An exception is shown on the line of its event, with its type, its text and the calls that led to it.

This module depends on standard logging and the form of a key only, and on nothing about OCPP.
"""

from __future__ import annotations

import json
import logging
import math
import re
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePath

from bridge.ocpp.tenants import SEPARATOR, identity_of, tenant_of

# A value in a line: a scalar of JSON, or the text of any other object.
Shown = str | int | float | bool

# Attribute of a log record that holds the fields of its message.
VALUES = "bridge_fields"
_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # at most five letters, so that messages stand in one column
_BARE = re.compile(r"[^\s\"=\\]+")
# ASCII values that need no escapes: without quotes in a line of text, in quotes in JSON.
_PLAIN = r"[!#-<>-\[\]-~]+"
_PLAIN_IN_JSON = r"[ !#-\[\]-~]*"
_BARE_ASCII = re.compile(_PLAIN)
_FINITE = r"[-+.0-9e]+"
_CUT = "…"
_MOST_FRAMES = 8
_LARGEST = 2**63  # every reader of JSON accepts smaller integers
# The encoder escapes everything outside ASCII, so that no character can disguise another.
_json = json.JSONEncoder(separators=(",", ":"))


def values_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the fields of the message in `record`, by name."""
    values: Mapping[str, object] = getattr(record, VALUES, {})
    return values


class Sentence:
    """A frequent message, with templates for its lines so that `Lines.of` formats them fast.

    All lines of the message have the same fields, in the same order.
    """

    def __init__(
        self, level: int, message: str, texts: Sequence[str], number: str, clean: Callable[[str], str]
    ) -> None:
        """Make the templates of the message's lines.

        Args:
            level: Level of the message, as in standard logging.
            message: Constant sentence.
            texts: Names of the fields whose values are texts.
            number: Name of the last field, whose value is a number.
            clean: Returns a text without its secrets; the same object if the text has none.
        """
        self.level: str = logging.getLevelName(level)
        self.message = message
        self.keys = (*texts, number)
        self.clean = clean
        self.in_text = self._shape(_text_line, _PLAIN)
        self.in_json = self._shape(_json_line, _PLAIN_IN_JSON)

    def _shape(self, render: _Render, plain: str) -> tuple[str, re.Pattern[str]]:
        """Return the template of a line and the pattern of the lines that need no further work.

        The template has `%s` in place of the time and of each value. `plain` is the pattern of a text without escapes.
        """
        time, text, number = "~time~", "~text~", 1e300
        values = dict.fromkeys(self.keys[:-1], text) | {self.keys[-1]: number}
        line = render(time, self.level, self.message, values)
        template, pattern = line.replace("%", "%%"), re.escape(line)
        for mark, shape in ((time, r"[-.:0-9TZ]+"), (text, plain), (str(number), _FINITE)):
            template = template.replace(mark, "%s")
            pattern = pattern.replace(re.escape(mark), shape)
        return template, re.compile(pattern)


class Lines(logging.Formatter):
    """A formatter that makes lines of text or JSON.

    Args:
        log_format: `text` or `json`.
        encoding: Encoding that must be able to encode the lines.
        longest: Highest number of characters in a line.
        worker: Name of the process, of letters, digits, "-" and "_", which is the last field of each line; "" for none.
    """

    def __init__(self, log_format: str, *, encoding: str = "utf-8", longest: int = 4096, worker: str = "") -> None:
        super().__init__()
        self._as_json = log_format == "json"
        self._render: _Render = _json_line if self._as_json else _text_line
        self._encoding = encoding
        self._end = "" if not worker else f',"worker":"{worker}"}}' if self._as_json else f" worker={worker}"
        self._longest = longest - len(self._end)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`, without a newline."""
        return self._ended(self._made(_time(record.created), record.levelname, _message(record), _values(record)))

    def of(self, sentence: Sentence, created: float, texts: tuple[str, ...], number: float) -> str:
        """Return the line that `format` would return for a record of `sentence`, in less time.

        Args:
            sentence: The message.
            created: Unix time of the event, in seconds.
            texts: Values of the fields, in the order of `sentence`.
            number: Value of the last field.
        """
        return self._ended(self._of(sentence, created, texts, number))

    def _ended(self, line: str) -> str:
        """Return the line with the name of the process as its last field."""
        return f"{line[:-1] if self._as_json else line}{self._end}" if self._end else line

    def _of(self, sentence: Sentence, created: float, texts: tuple[str, ...], number: float) -> str:
        template, pattern = sentence.in_json if self._as_json else sentence.in_text
        time = _time(created)
        line = template % (time, *texts, number)
        as_it_is = pattern.fullmatch(line) is not None
        if (
            not as_it_is and not self._as_json and SEPARATOR not in line
        ):  # identities with a space are common: quote them and try again
            line = template % (time, *map(_quoted, texts), _spelled(number))
            as_it_is = line.isascii()
        if as_it_is and len(line) <= self._longest and sentence.clean(line) is line:
            return line
        values: list[object] = [*map(sentence.clean, texts), number]
        return self._made(time, sentence.level, sentence.message, dict(zip(sentence.keys, values, strict=True)))

    def _made(self, time: str, level: str, message: str, told: Mapping[str, object]) -> str:
        values = {key: _shown(value) for key, value in _with_tenant(told).items() if value is not None}
        limit = self._longest
        if all(type(value) is not str or len(value) <= limit for value in values.values()) and len(message) <= limit:
            line = self._written(time, level, message, values)
        else:
            line = self._short(time, level, message, values, limit)
        # Escapes lengthen a value, so the length of the line is known only after formatting.
        while len(line) > self._longest and limit > 1:
            limit //= 2
            line = self._short(time, level, message, values | {"cut": True}, limit)
        if len(line) > self._longest:
            line = self._short(time, level, message, {"cut": True}, self._longest // 16)
        return line

    def _short(self, time: str, level: str, message: str, values: Mapping[str, Shown], limit: int) -> str:
        short = {key: _cut(value, limit) if isinstance(value, str) else value for key, value in values.items()}
        return self._written(time, level, _cut(message, max(limit, 16)), short)

    def _written(self, time: str, level: str, message: str, values: Mapping[str, Shown]) -> str:
        line = self._render(time, level, message, values)
        return line if line.isascii() else line.encode(self._encoding, "backslashreplace").decode(self._encoding)


def _with_tenant(values: Mapping[str, object]) -> Mapping[str, object]:
    """Return the fields of a message with an identity and a tenant in place of a key."""
    key = values.get("identity")
    if not isinstance(key, str) or SEPARATOR not in key:
        return values
    return {"tenant": tenant_of(key), **values, "identity": identity_of(key) or None}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + _CUT


# Formats a line from the time, the level, the message and the fields.
_Render = Callable[[str, str, str, Mapping[str, Shown]], str]


def _text_line(time: str, level: str, message: str, values: Mapping[str, Shown]) -> str:
    pairs = "".join([f" {_quoted(key)}={_quoted(_spelled(value))}" for key, value in values.items()])
    return f"{time} {_LEVELS.get(level, level):<5} {_escaped(message)}{pairs}"


def _json_line(time: str, level: str, message: str, values: Mapping[str, Shown]) -> str:
    line: dict[str, Shown] = {"time": time, "level": level.lower(), "msg": message}
    line |= {f"{key}_" if key in line else key: value for key, value in values.items()}
    # DEL is the only invisible character of ASCII that json does not escape.
    return _json.encode(line).replace("\x7f", "\\u007f")


def _time(created: float) -> str:
    fraction, second = math.modf(created)
    millisecond, over = round(fraction * 1_000_000) // 1000, 0
    if millisecond == 1000:  # the last half microsecond of a second is rounded up
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
    """Return `text` without quotes if it holds no space, quote, equals sign or backslash, else in quotes."""
    if _BARE_ASCII.fullmatch(text):
        return text
    if text.isprintable() and _BARE.fullmatch(text):
        return text
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escaped(text: str) -> str:
    """Escape the characters of `text` that end a line, move the cursor or change the direction of writing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # text and arguments do not fit, or an argument cannot be shown: the log must not fail
        return _as_text(record.msg)


def _values(record: logging.LogRecord) -> Mapping[str, object]:
    values = values_of(record)
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        return {**values, **_told(record.exc_info[1])}
    return values


def _told(error: BaseException) -> dict[str, object]:
    """Return the fields of an exception: its type and text, and the calls that led to it, the innermost first."""
    # `extract_tb` would open the source files, which fails when no file descriptor is left.
    frames = deque(traceback.walk_tb(error.__traceback__), _MOST_FRAMES)
    calls = [
        f"{PurePath(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}" for frame, line in reversed(frames)
    ]
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
    except Exception:  # a value that cannot be shown must not fail the log
        return f"<{type(value).__name__} that cannot be shown>"
