"""The command line, from its arguments to the exit code: 0 done, 1 failed, 2 bad usage or configuration.

Whatever happens, a user reads sentences, never a traceback. What may be said is in `bridge.commands.arguments`.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence

from bridge import logs
from bridge.commands.arguments import parser
from bridge.config.complaints import one_line
from bridge.errors import ConfigurationError

_log = logging.getLogger("bridge.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names, by default the process's own arguments; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is escaped, not a crash
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as left:
        return int(left.code or 0)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0 if arguments.stays else 1
    except BrokenPipeError:
        # Who read our output has gone, and Python's own flush at the exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(one_line(f"ocpp-bridge: {_sentence(error)}"), file=sys.stderr)
        return 1
    except Exception:
        logs.setup("text", "error", sys.stderr)
        _log.exception("a fault of ocpp-bridge itself, please report it")
        return 1
    return code


def _sentence(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text
