"""`demo`: the session on this machine, on standard output."""

from __future__ import annotations

import asyncio
import functools
import os
import sys

from bridge import logs
from bridge.commands.signals import until_stopped
from bridge.demo.run import Demo
from bridge.demo.run import run as run_demo
from bridge.demo.screen import coloured, plain


def run(*, once: bool, protocol: str) -> int:
    """With a Charge Point of `protocol`. 0 when every step was answered as expected, else 1.

    Raises OSError when there is no port to listen at.
    """
    # The steps tell what happens; of the log, only what went wrong.
    logs.setup("text", "error", sys.stderr)
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    demo = Demo(say=functools.partial(print, flush=True), paint=coloured if in_colour else plain, protocol=protocol)
    # Cut short, `--once` has not seen every step.
    return asyncio.run(until_stopped(run_demo(demo, once=once), stopped=1 if once else 0))
