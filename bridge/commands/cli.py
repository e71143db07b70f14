"""Run the command line. The exit code is 0 for done, 1 for failed, 2 for bad usage or configuration.

Every error is shown as a sentence, never as a traceback. `bridge.commands.arguments` defines the arguments.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence

from bridge.commands.arguments import parser
from bridge.config.complaints import one_line
from bridge.errors import ConfigurationError, StartError
from bridge.watching import logs

_log = logging.getLogger("bridge.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`, by default the arguments of the process. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape characters that the terminal's encoding lacks
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
    except StartError as error:
        print(one_line(f"ocpp-bridge: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0 if arguments.stays else 1
    except BrokenPipeError:
        # The reader of the output has closed the pipe. Python's flush at exit must not complain about that.
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
