"""Command `demo`: run a charging session through a gateway on this machine, and print its messages."""

from __future__ import annotations

import asyncio
import functools
import os
import shlex
import shutil
import sys
from pathlib import Path

from bridge.commands.signals import until_stopped
from bridge.lab.demo.cluster import kill_one
from bridge.lab.demo.ports import Ports
from bridge.lab.demo.run import Demo
from bridge.lab.demo.run import run as run_demo
from bridge.lab.demo.screen import coloured, plain
from bridge.net import descriptors
from bridge.watching import logs


def run(*, once: bool, protocol: str, fleet: int) -> int:
    """Run the demo with a Charge Point of `protocol`, and `fleet` more after it.

    Returns 0 if every step was answered as expected, else 1. Raises OSError if no port is free.
    """
    # The demo prints the steps. The log would repeat them, except for errors.
    logs.setup("text", "error", sys.stderr)
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    descriptors.raise_limit()
    demo = Demo(
        say=functools.partial(print, flush=True),
        paint=coloured if in_colour else plain,
        protocol=protocol,
        fleet=fleet,
        command=_command(Path(sys.argv[0])),
    )
    # If a signal stops `--once`, not every step was checked: the exit code is 1.
    return asyncio.run(until_stopped(run_demo(demo, once=once), stopped=1 if once else 0))


def run_workers(workers: int) -> int:
    """Run the demo of several processes. Returns 0 if all went as promised, else 1. Raises OSError."""
    return asyncio.run(until_stopped(kill_one(workers, Ports(), functools.partial(print, flush=True)), stopped=1))


def _command(program: Path) -> str:
    """Return what runs `program` from another folder: its name if the shell finds it, else its absolute path.

    A program in a virtual environment that is not activated is not found by its name.
    """
    found = shutil.which("ocpp-bridge")
    if program.name != "ocpp-bridge" or (found is not None and Path(found).resolve() == program.resolve()):
        return "ocpp-bridge"
    return shlex.quote(str(program.absolute()))
