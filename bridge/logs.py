"""Where the log is written to, how soon, and whose: one line for one event (`bridge.lines`).

This room knows standard logging only, and none of what is logged.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import TextIO

from bridge.lines import VALUES, Lines, Sentence

_OURS = "bridge"
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
# That wait to be written. Nothing else is done meanwhile: half a millisecond.
_MOST_LINES = 100
# What is said, when, and of what.
_Said = tuple[Sentence, float, tuple[str, ...], float]


def setup(log_format: str, level: str, stream: TextIO, *, longest: int = 4096, linger: float = 0.0) -> None:
    """Send what this process logs to `stream`, in place of what an earlier call set up.

    `log_format` is `text` or `json`; `level`, of our own messages, is debug, info, warning or error; `longest` is the
    number of characters that a line has at most, itself 300 or more. Below warnings a line may wait `linger` seconds to
    be written with others; the end of the process writes all.
    """
    lines = Lines(log_format, encoding=getattr(stream, "encoding", None) or "utf-8", longest=longest)
    handler = Lingering(stream, linger, lines) if linger else logging.StreamHandler(stream)
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


def said(logger: logging.Logger, sentence: Sentence, texts: tuple[str, ...], number: float) -> bool:
    """Whether its line is on its way: the one that `event` would write, in a fraction of the time. It is left to the
    caller where others than our own handler want it. For who has looked whether the level, below a warning, is on."""
    handler = _only_handler(logger)
    if handler is None:
        return False
    try:
        handler.put((sentence, time.time(), texts, number))
    except Exception:  # as logging has it: what cannot be logged stops nobody
        handler.handleError(_record(logger, logging.INFO, sentence.message, {}, sys._getframe(1)))
    return True


def _only_handler(logger: logging.Logger) -> Lingering | None:
    """What takes all lines of `logger`, if it is a Lingering, and nobody else has a say."""
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
        VALUES: values,
    }
    return record


class Lingering(logging.StreamHandler[TextIO]):
    """Writes what is below a warning `linger` seconds later, all that has come meanwhile at once: a system call for
    each line would cost more than the line, and a line that is put together amid other work more than one of many.
    Warnings, and whoever flushes, take what waits along."""

    lock: threading.RLock  # logging has seen to it

    def __init__(self, stream: TextIO, linger: float, lines: Lines) -> None:
        super().__init__(stream)
        self.lines = self.formatter = lines
        self._linger = linger
        self._held: list[str | _Said] = []
        self._waiting = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the lock held."""
        try:
            self.put(self.format(record), at_once=record.levelno >= logging.WARNING)
        except Exception:  # as logging has it: what cannot be logged stops nobody
            self.handleError(record)

    def put(self, line: str | _Said, *, at_once: bool = False) -> None:
        """Write a line, later if not `at_once`. Raises what the stream raises."""
        with self.lock:
            held = self._held
            held.append(line)
            if at_once or len(held) >= _MOST_LINES:
                self.flush()
            elif len(held) == 1:
                self._wake()

    def flush(self) -> None:
        """Write all that waits."""
        with self.lock:
            held, self._held = self._held, []
            if held:
                lines = [line if isinstance(line, str) else self.lines.of(*line) for line in held]
                self.stream.write("\n".join(lines) + "\n")
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
            except (OSError, ValueError):  # a full disk, or a stream that was closed: the next line tries again
                continue
