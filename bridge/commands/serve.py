"""Command `serve`: run the gateway until SIGINT or SIGTERM. SIGHUP reloads the configuration.

With `gateway.workers`, this process becomes the supervisor of worker processes, which run the same command.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bridge import __version__, config
from bridge.app import Gateway
from bridge.cluster.worker import Handover, TakenOver, taken_over
from bridge.commands import workers
from bridge.commands.notify import Notifier
from bridge.commands.reloading import Reloading
from bridge.commands.signals import on_stop
from bridge.config import Seen, Settings, sources
from bridge.config.cluster import as_one_node, has_workers, of_worker
from bridge.distribution.build import commit, tested_pythons, untested_python
from bridge.errors import ConfigurationError
from bridge.gateway import memory
from bridge.net import descriptors
from bridge.watching import logs

_log = logging.getLogger("bridge.serve")
# Seconds for which lines of the log are collected before they are written together.
_LINGER = 0.25


class Source(NamedTuple):
    """The source of the configuration of this process.

    Attributes:
        path: The path from the command line.
        seen: The content that was read last.
        part: Returns the part of the configuration that is for this process.
    """

    path: Path | None
    seen: Seen
    part: Callable[[Settings], Settings]

    def load(self) -> Settings:
        """Return the configuration of this process. Raises ConfigurationError."""
        return self.part(config.load(self.path, os.environ, self.seen))


def run(path: Path | None) -> int:
    """Run the gateway with the configuration at `path`. Returns the exit code.

    Raises:
        ConfigurationError: The configuration cannot be used.
        StartError: A worker cannot be started.
        OSError: A listener cannot bind.
    """
    taken = taken_over(os.environ)
    handover = None if taken is None else taken.handover
    descriptors.raise_limit()
    seen = Seen()
    settings = config.load(path, os.environ, seen)
    if handover is None:
        if complaints := [*workers.complaints(settings, sources.name_of(sources.find(path, os.environ)))]:
            raise ConfigurationError(complaints)
        if has_workers(settings):
            _log_to_stderr(settings)
            return workers.supervise(path, seen, settings)
    source = Source(path, seen, _part_of(handover))
    settings = source.part(settings)
    seen.take_over()
    _log_to_stderr(settings, "" if handover is None else handover.name)
    asyncio.run(_serve(settings, source, taken))
    return 0


def _part_of(worker: Handover | None) -> Callable[[Settings], Settings]:
    """Return what makes the configuration of this process from that of the machine."""
    if worker is None:
        return lambda settings: as_one_node(settings, socket.gethostname())
    return lambda settings: of_worker(
        settings,
        name=worker.name,
        number=worker.number,
        workers=worker.workers,
        servers=worker.servers,
        token=worker.token,
    )


def _log_to_stderr(settings: Settings, worker: str = "") -> None:
    gateway, longest = settings.gateway, settings.limits.log_line
    logs.setup(gateway.log_format, gateway.log_level, sys.stderr, longest=longest, linger=_LINGER, worker=worker)


def _introduce() -> None:
    """Log what has started, and whether it was tested with the Python that runs it."""
    python = platform.python_version()
    built = commit() or "unknown"
    logs.fields(_log, logging.INFO, "started", version=__version__, commit=built, python=python, pid=os.getpid())
    if (untested := untested_python(tested_pythons())) is not None:
        logs.fields(_log, logging.WARNING, "caution", about=untested)


async def _serve(settings: Settings, source: Source, worker: TakenOver | None) -> None:
    if worker is None:
        gateway, notifier = Gateway(settings), Notifier(os.environ)
    else:
        gateway = Gateway(settings, inherited=worker.handover.inherited(), reports=False)
        notifier = Notifier(os.environ, worker.channel)
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

    async def apply(settings: Settings) -> None:
        await gateway.reload(settings)
        source.seen.take_over()

    reloading = Reloading(source.load, apply, notifier, gateway.reload_refused)
    loop.add_signal_handler(signal.SIGHUP, reloading.begin)
    if asked_to_reload.is_set():
        reloading.begin()
    if worker is None or worker.handover.number == 1:
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
