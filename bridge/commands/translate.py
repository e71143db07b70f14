"""`translate`: one message from a file or standard input, in its other form on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from bridge.config.complaints import one_line
from bridge.errors import MessageError
from bridge.translate import Translator, Underspecified, Wanted, codecs


def run(to: str, wanted: Wanted, path: Path | None) -> int:
    """0 when it was translated, losses on standard error; 1 for a bad message, 2 when more must be said about it.

    Raises OSError when the file cannot be read.
    """
    name = "standard input" if path is None else str(path)
    data = sys.stdin.buffer.read() if path is None else path.read_bytes()
    translator = Translator(codecs(), wanted)
    try:
        translation = translator.to_json(data) if to == "json" else translator.to_soap(data)
    except MessageError as error:
        return _complain(name, error.description, 1)
    except Underspecified as error:
        return _complain(name, str(error), 2)
    for loss in translation.losses:
        print(loss, file=sys.stderr)
    sys.stdout.buffer.write(translation.document + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _complain(name: str, text: str, code: int) -> int:
    print(one_line(f"{name}: {text}"), file=sys.stderr)
    return code
