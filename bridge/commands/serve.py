"""`serve`: the gateway, until it is told to stop; `SIGHUP` reads the routes again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

from bridge import config, logs, memory
from bridge.commands.notify import Notifier
from bridge.commands.signals import on_stop
from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.gateway import Gateway

_log = logging.getLogger("bridge.serve")
# Seconds that a line of the log may wait to be written with others.
_LINGER = 0.25


def run(path: Path | None) -> int:
    """Serve with the configuration at `path`. Raises ConfigurationError, and OSError when a port is taken."""
    settings = config.load(path, os.environ)
    gateway, longest = settings.gateway, settings.limits.log_line
    logs.setup(gateway.log_format, gateway.log_level, sys.stderr, longest=longest, linger=_LINGER)
    asyncio.run(_serve(settings, path))
    return 0


async def _serve(settings: Settings, path: Path | None) -> None:
    gateway, notifier = Gateway(settings), Notifier(os.environ)
    stop = asyncio.Event()
    # Before it listens: a signal that comes meanwhile must not kill it.
    on_stop(stop.set)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, gateway, path, notifier)
    await gateway.start()
    memory.settle()
    gateway.resumed.add_done_callback(lambda resumed: gc.freeze())
    notifier.ready()
    notifier.watch(loop)
    await stop.wait()
    notifier.stopping(settings.gateway.drain_timeout)
    await gateway.close()


def _reload(gateway: Gateway, path: Path | None, notifier: Notifier) -> None:
    notifier.reloading()
    _read_again(gateway, path)
    notifier.ready()


def _read_again(gateway: Gateway, path: Path | None) -> None:
    """A configuration that is bad changes nothing."""
    try:
        gateway.reload(config.load(path, os.environ))
    except ConfigurationError as error:
        for complaint in error.complaints:
            logs.fields(_log, logging.ERROR, "configuration not taken over", complaint=complaint)
