"""`serve`: the gateway, until it is told to stop; `SIGHUP` reads the routes again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from bridge import config, logs
from bridge.commands.signals import on_stop
from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.gateway import Gateway

_log = logging.getLogger("bridge.serve")


def run(path: Path | None) -> int:
    """Serve with the configuration at `path`. Raises ConfigurationError, and OSError when a port is taken."""
    settings = config.load(path, os.environ)
    logs.setup(settings.gateway.log_format, settings.gateway.log_level, sys.stderr)
    asyncio.run(_serve(settings, path))
    return 0


async def _serve(settings: Settings, path: Path | None) -> None:
    gateway = Gateway(settings)
    stop = asyncio.Event()
    # Before it listens: a signal that comes meanwhile must not kill it.
    on_stop(stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, gateway, path)
    await gateway.start()
    await stop.wait()
    await gateway.close()


def _reload(gateway: Gateway, path: Path | None) -> None:
    """A configuration that is bad changes nothing."""
    try:
        settings = config.load(path, os.environ)
    except ConfigurationError as error:
        for complaint in error.complaints:
            logs.fields(_log, logging.ERROR, "configuration not taken over", complaint=complaint)
        return
    gateway.reload(settings)
