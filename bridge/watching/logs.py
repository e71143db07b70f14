"""Set up logging, and write the log: one line for each event (`bridge.watching.lines`).

This module depends on standard logging only, and on nothing about OCPP.
"""

from __future__ import annotations

import contextlib
import logging
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TextIO

from bridge.watching.lines import VALUES, Lines, Sentence

_OURS = "bridge"
_OFF = logging.CRITICAL + 1
# Levels of the libraries' loggers. aiohttp.access would write a line for each request, and spyne and zeep log whole
# messages below these levels.
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
# Number of lines that are written at once at the latest. Writing them blocks the event loop for half a millisecond.
_MOST_LINES = 100
# A line that is not formatted yet: its message, the Unix time in seconds, the values of its texts, and its number.
_Said = tuple[Sentence, float, tuple[str, ...], float]


def setup(
    log_format: str, level: str, stream: TextIO, *, longest: int = 4096, linger: float = 0.0, worker: str = ""
) -> None:
    """Write the log of this process to `stream`. Replaces the set-up of an earlier call.

    Args:
        log_format: `text` or `json`.
        level: Level of the bridge's own messages: debug, info, warning or error.
        stream: Receives the lines.
        longest: Highest number of characters in a line, 300 or more.
        linger: Seconds for which lines below warning are collected before they are written together; 0 writes each line
            at once. The end of the process writes all.
        worker: Name of this process among several that write to the same stream, which each line ends with; "" if this
            is the only one.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = Lines(log_format, encoding=encoding, longest=longest, worker=worker)
    most = select.PIPE_BUF if worker else sys.maxsize
    handler = Lingering(stream, linger, lines, most) if linger else logging.StreamHandler(stream)
    handler.setFormatter(lines)
    for name, least in ({_OURS: logging.getLevelNamesMapping()[level.upper()]} | _OTHERS).items():
        logger = logging.getLogger(name)
        for before in logger.handlers:
            if isinstance(before, Lingering):
                with contextlib.suppress(OSError, ValueError):  # the stream is broken or closed
                    before.flush()
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(least)


def fields(logger: logging.Logger, level: int, message: str, /, **values: object) -> None:
    """Log a message with fields, if its level is enabled.

    Args:
        logger: Logger of the message.
        level: Level of the message, as in standard logging.
        message: Constant sentence.
        values: The fields. Fields that are None are left out.
    """
    if logger.isEnabledFor(level):
        logger.handle(_record(logger, level, message, values, sys._getframe(1)))


def event(logger: logging.Logger, level: int, message: str, values: Mapping[str, object]) -> None:
    """Log a message as `fields` does. The caller has checked that `level` is enabled.

    Args:
        logger: Logger of the message.
        level: Level of the message, as in standard logging.
        message: Constant sentence.
        values: The fields. Fields that are None are left out.
    """
    logger.handle(_record(logger, level, message, values, sys._getframe(1)))


def said(logger: logging.Logger, sentence: Sentence, texts: tuple[str, ...], number: float) -> bool:
    """Log a frequent message, in a fraction of the time that `event` takes. The line is the same.

    The caller has checked that the level, which is below warning, is enabled.

    Args:
        logger: Logger of the message.
        sentence: The message and the names of its fields.
        texts: Values of the fields, in the order of `sentence`.
        number: Value of the last field.

    Returns:
        False if a handler or filter other than Lingering sees the lines of `logger`. Nothing was logged then, and the
        caller logs with `event`.
    """
    handler = _only_handler(logger)
    if handler is None:
        return False
    try:
        handler.put((sentence, time.time(), texts, number))
    except Exception:  # an error of the log does not stop the caller, as in standard logging
        handler.handleError(_record(logger, logging.INFO, sentence.message, {}, sys._getframe(1)))
    return True


def _only_handler(logger: logging.Logger) -> Lingering | None:
    """Return the Lingering that writes the lines of `logger`, None if another handler or a filter sees them."""
    last = logger
    while not last.handlers and last.propagate and last.parent is not None:
        last = last.parent
    if last.propagate or len(last.handlers) != 1:
        return None
    handler = last.handlers[0]
    if type(handler) is not Lingering or handler.level or handler.filters or logger.filters:
        return None
    return handler if handler.formatter is handler.lines else None


def _record(
    logger: logging.Logger, level: int, message: str, values: Mapping[str, object], caller: FrameType
) -> logging.LogRecord:
    """Return a log record without the attributes that no line shows, such as the thread.

    Every message needs a record, and standard logging takes much longer to make one.
    """
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
        VALUES: values,
    }
    return record


def _pieces(lines: list[str], most: int) -> Iterator[str]:
    """Return the lines, with their ends, in pieces of at most `most` characters; a longer line is one piece."""
    begin = size = 0
    for index, line in enumerate(lines):
        if size and size + len(line) + 1 > most:
            yield "\n".join(lines[begin:index]) + "\n"
            begin, size = index, 0
        size += len(line) + 1
    yield "\n".join(lines[begin:]) + "\n"


class Lingering(logging.StreamHandler[TextIO]):
    """A handler that collects lines below warning for `linger` seconds, and writes them together.

    A system call for each line would cost more than the line, and formatting many lines in a row costs less than
    formatting each amid other work. A warning and `flush` write all collected lines at once.

    Args:
        stream: Receives the lines.
        linger: Seconds for which lines are collected.
        lines: Formats the lines.
        most: Most characters that are written in one piece, unless a single line is longer. The system does not mix
            pieces of PIPE_BUF octets with those that other processes write to the same stream.
    """

    lock: threading.RLock  # made by logging.Handler

    def __init__(self, stream: TextIO, linger: float, lines: Lines, most: int = sys.maxsize) -> None:
        super().__init__(stream)
        self._most = most
        self.lines = self.formatter = lines
        self._linger = linger
        self._held: list[str | _Said] = []
        self._waiting = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write or collect the line of `record`. logging calls this with the lock held."""
        try:
            self.put(self.format(record), at_once=record.levelno >= logging.WARNING)
        except Exception:  # an error of the log does not stop the caller, as in standard logging
            self.handleError(record)

    def put(self, line: str | _Said, *, at_once: bool = False) -> None:
        """Write `line` with all collected lines if `at_once`, else collect it. Raises what the stream raises."""
        with self.lock:
            held = self._held
            held.append(line)
            if at_once or len(held) >= _MOST_LINES:
                self.flush()
            elif len(held) == 1:
                self._wake()

    def flush(self) -> None:
        """Write all collected lines."""
        with self.lock:
            held, self._held = self._held, []
            if held:
                lines = [line if isinstance(line, str) else self.lines.of(*line) for line in held]
                for piece in _pieces(lines, self._most):
                    self.stream.write(piece)
                    super().flush()
            super().flush()

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
            except (OSError, ValueError):  # the disk is full or the stream closed: try again with the next line
                continue
