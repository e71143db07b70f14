"""Command `serve`: run the gateway until SIGINT or SIGTERM. SIGHUP reloads the configuration."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from bridge import __version__, config
from bridge.app import Gateway
from bridge.commands.notify import Notifier
from bridge.commands.signals import on_stop
from bridge.config import Seen, Settings
from bridge.distribution.build import commit, tested_pythons, untested_python
from bridge.errors import ConfigurationError
from bridge.gateway import memory
from bridge.net import descriptors
from bridge.net.tasks import Tasks, Threads
from bridge.watching import logs

_log = logging.getLogger("bridge.serve")
# Seconds for which lines of the log are collected before they are written together.
_LINGER = 0.25


class Source(NamedTuple):
    """The source of the configuration: the path from the command line, and the content that was read last."""

    path: Path | None
    seen: Seen


def run(path: Path | None) -> int:
    """Run the gateway with the configuration at `path`. Returns exit code 0.

    Raises:
        ConfigurationError: The configuration cannot be used.
        OSError: A listener cannot bind.
    """
    descriptors.raise_limit()
    seen = Seen()
    settings = config.load(path, os.environ, seen)
    seen.take_over()
    gateway, longest = settings.gateway, settings.limits.log_line
    logs.setup(gateway.log_format, gateway.log_level, sys.stderr, longest=longest, linger=_LINGER)
    asyncio.run(_serve(settings, Source(path, seen)))
    return 0


def _introduce() -> None:
    """Log what has started, and whether it was tested with the Python that runs it."""
    python = platform.python_version()
    logs.fields(_log, logging.INFO, "started", version=__version__, commit=commit() or "unknown", python=python)
    if (untested := untested_python(tested_pythons())) is not None:
        logs.fields(_log, logging.WARNING, "caution", about=untested)


async def _serve(settings: Settings, source: Source) -> None:
    gateway, notifier = Gateway(settings), Notifier(os.environ)
    loop = asyncio.get_running_loop()
    # Set the handlers before the start, which may have to wait for the store: a signal must not kill the process then.
    asked_to_reload = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, asked_to_reload.set)
    starting = asyncio.current_task()
    assert starting is not None
    on_stop(starting.cancel)
    try:
        await gateway.start()
    except asyncio.CancelledError:
        return
    _introduce()  # after the start, because a start that fails prints one sentence only
    stop = asyncio.Event()
    on_stop(stop.set)
    reloading = Reloading(gateway, source, notifier)
    loop.add_signal_handler(signal.SIGHUP, reloading.begin)
    if asked_to_reload.is_set():
        reloading.begin()
    _show_console(gateway)
    memory.settle()
    gateway.resumed.add_done_callback(lambda resumed: gc.freeze())
    notifier.ready()
    notifier.watch(loop)
    await stop.wait()
    await reloading.close()
    notifier.stopping(settings.gateway.drain_timeout)
    await gateway.close()


def _show_console(gateway: Gateway) -> None:
    """Print the console's URL with the token that the bridge made, if an output is a terminal."""
    if gateway.admin_token is None:
        return
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            print(f"The console: {gateway.console_url}", file=stream, flush=True)
            return


class Reloading:
    """Reloads the configuration on request, in a separate thread because a large file takes long to read."""

    def __init__(self, gateway: Gateway, source: Source, notifier: Notifier) -> None:
        self._gateway = gateway
        self._source = source
        self._notifier = notifier
        self._tasks = Tasks()
        self._thread = Threads(1, name="configuration")
        self._again = self._reads = False

    def begin(self) -> None:
        """Begin to reload the configuration.

        If a reload is running, another one follows it, because the file may have changed meanwhile.
        """
        self._again = True
        if not self._reads:
            self._reads = True
            self._notifier.reloading()
            self._tasks.spawn(self._run(), name="reading the configuration again")

    async def close(self) -> None:
        """Cancel a running reload, whose configuration is not applied."""
        await self._tasks.close()
        self._thread.close()

    async def _run(self) -> None:
        while self._again:
            self._again = False
            await self._read()
        self._reads = False
        self._notifier.ready()

    async def _read(self) -> None:
        """Read and apply the configuration. An invalid one changes nothing, and the log and the overview say why."""
        try:
            source = self._source
            settings = await self._thread.run(lambda: config.load(source.path, os.environ, source.seen))
            await self._gateway.reload(settings)
            source.seen.take_over()
        except ConfigurationError as error:
            for complaint in error.complaints:
                logs.fields(_log, logging.ERROR, "configuration not taken over", complaint=complaint)
            self._gateway.reload_refused([str(complaint) for complaint in error.complaints])
