"""Command `translate`: read a message from a file or standard input, and print its translation."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from pathlib import Path

from bridge.commands.terminal import say
from bridge.config import Limits
from bridge.errors import MessageError
from bridge.lab.translation import TranslationRequest, Translator, Underspecified, codecs

# Largest message, in octets: the default limit of the listeners.
_LARGEST = Limits().max_frame
# Number of losses that are printed one by one.
_LOSSES = 20
# Seconds to wait for the next octet of a FIFO or device.
_PATIENCE = 10.0


class _Unread(Exception):
    """There is no message to translate. The text says why."""


def run(to: str, wanted: TranslationRequest, path: Path | None) -> int:
    """Translate a message, and print its losses on standard error.

    Args:
        to: "json" or "soap".
        wanted: Information that the message itself does not hold.
        path: File with the message; None reads standard input.

    Returns:
        0 if the message was translated, 1 for a bad message, 2 if an option is needed to translate it.

    Raises:
        OSError: The file cannot be read.
    """
    name = "standard input" if path is None else str(path)
    try:
        data = _bounded(sys.stdin.buffer.read(_LARGEST + 1)) if path is None else _read(path)
    except _Unread as error:
        return _complain(name, str(error), 1)
    translator = Translator(codecs(), wanted)
    try:
        translation = translator.to_json(data) if to == "json" else translator.to_soap(data)
    except MessageError as error:
        return _complain(name, error.description, 1)
    except Underspecified as error:
        return _complain(name, str(error), 2)
    for loss in translation.losses[:_LOSSES]:
        say(str(loss), sys.stderr)
    if len(translation.losses) > _LOSSES:
        say(f"and {len(translation.losses) - _LOSSES} more losses", sys.stderr)
    sys.stdout.buffer.write(translation.document + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _read(path: Path) -> bytes:
    """Return the content of the file at `path`. Raises OSError, and _Unread if it is too large or does not arrive."""
    # Without O_NONBLOCK, opening a FIFO without a writer would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(21, os.strerror(21), str(path))
        return _bounded(_drained(descriptor))
    finally:
        os.close(descriptor)


def _drained(descriptor: int) -> bytes:
    """Read to the end, at most one octet more than the largest message. Raises _Unread."""
    data = bytearray()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    until = time.monotonic() + _PATIENCE
    while len(data) <= _LARGEST:
        if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            raise _Unread(f"nothing came for {_PATIENCE:g} seconds")
        try:
            part = os.read(descriptor, _LARGEST + 1 - len(data))
        except BlockingIOError:
            continue
        if not part:
            break
        data += part
        until = time.monotonic() + _PATIENCE
    return bytes(data)


def _bounded(data: bytes) -> bytes:
    """Return `data`. Raises _Unread if it is larger than the largest message."""
    if len(data) > _LARGEST:
        raise _Unread(f"is larger than {_LARGEST} octets: that is no message")
    return data


def _complain(name: str, text: str, code: int) -> int:
    say(f"{name}: {text}", sys.stderr)
    return code
