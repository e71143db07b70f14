"""Run the bridge as several processes on this machine: this process is the supervisor, and the workers serve.

The supervisor reads the configuration, binds the listeners, and starts the NATS server if the configuration names none.
It passes on signals: SIGTERM and SIGINT let all workers drain and end, SIGHUP lets each read its configuration again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

from bridge import config
from bridge.cluster.embedded_server import EmbeddedServer, folder_beside
from bridge.cluster.supervisor import Supervisor, WorkerEnded, WorkerPlan, log_refusals
from bridge.commands.notify import CLOSING, Notifier
from bridge.commands.reloading import Reloading
from bridge.commands.signals import on_stop
from bridge.config import Admin, Seen, Settings
from bridge.config.changes import needs_restart
from bridge.config.cluster import is_cluster, node_name, of_worker, worker_name
from bridge.config.listeners import cannot_listen, places
from bridge.errors import Complaint, StartError
from bridge.gateway.listeners import descriptors_wanted
from bridge.net.descriptors import Purpose, listen_at
from bridge.store import path_of
from bridge.watching import logs

_log = logging.getLogger("bridge.supervisor")
_COMMAND = (sys.executable, "-m", "bridge", "serve")
# cgroups(7), version 2: the share of the CPUs that this container may use, in microseconds of each period.
_CPU_SHARE = Path("/sys/fs/cgroup/cpu.max")
# Databases of a worker in which something may wait for others.
_QUEUES = ("events", "observers")


def server_of_machine(settings: Settings) -> EmbeddedServer:
    """Return the NATS server of a machine whose configuration names none, beside the file that is its store."""
    path = path_of(settings.store.url)
    assert path is not None  # the configuration was checked
    return EmbeddedServer(folder_beside(path), settings.cluster.server_binary)


def complaints(settings: Settings, source: str) -> Iterator[Complaint]:
    """Return the reasons why this configuration cannot be started as several processes.

    Args:
        settings: The configuration.
        source: Name of the configuration file, for complaints.
    """
    if not is_cluster(settings):
        return
    yield from missing_library(settings, source)
    if (path := path_of(settings.store.url)) is not None and path.exists():
        text = (
            f"{path} has the records of a single process, and several processes keep theirs in NATS: "
            "`ocpp-bridge store import` moves them there; or rename the file"
        )
        yield Complaint(source, "store.url", text)


def missing_library(settings: Settings, source: str) -> Iterator[Complaint]:
    """Return the complaint if the configuration needs the extra `cluster` and it is not installed.

    Args:
        settings: The configuration of several processes.
        source: Name of the configuration file, for complaints.
    """
    if find_spec("nats") is None:
        key = "cluster.servers" if settings.cluster.servers else "gateway.workers"
        yield Complaint(source, key, "nats is not installed here: pip install 'ocpp-bridge[cluster]'")


def cautions(settings: Settings, workers: int) -> Iterator[str]:
    """Return a line for each file in which messages may wait that no process sends any more.

    Args:
        settings: The configuration.
        workers: The number of workers; 0 for a single process.
    """
    path = path_of(settings.store.url)
    if path is None:
        return
    used = {f"-{number}" for number in range(1, workers + 1)} if workers else {""}
    for kind in _QUEUES:
        name = re.compile(rf"{re.escape(path.stem)}(|-[1-9][0-9]*)\.{kind}{re.escape(path.suffix or '.db')}")
        for found in sorted(path.parent.glob(f"*.{kind}{path.suffix or '.db'}")):
            if (match := name.fullmatch(found.name)) is not None and match[1] not in used:
                yield (
                    f"gateway.workers: {found} is of another number of workers, and what waits in it is not sent; "
                    "run as many as before until nothing waits, or remove the file"
                )


def count_of(settings: Settings) -> int:
    """Return the number of workers. "auto" is the number of CPUs that this process may use, rounded up."""
    asked = settings.gateway.workers
    return _cpus() if asked == "auto" else asked


def _cpus() -> int:
    allowed = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        share, period = _CPU_SHARE.read_text("ascii").split()
        if share != "max":
            return max(1, min(allowed, math.ceil(int(share) / int(period))))
    return allowed


def supervise(path: Path | None, seen: Seen, settings: Settings) -> int:
    """Run the workers until SIGINT or SIGTERM.

    Args:
        path: The configuration file from the command line.
        seen: The content of the file when it was read.
        settings: The configuration.

    Returns: The exit code: that of a worker that cannot start, 1 if a worker did not end in time, else 0.

    Raises:
        StartError: The NATS server cannot be started, or a worker was ended by a signal before it served.
        OSError: A listener cannot bind, or a worker cannot be started.
    """
    seen.take_over()
    return asyncio.run(_Supervision(path, seen, settings).run())


class _Supervision:
    """One run of the supervisor."""

    def __init__(self, path: Path | None, seen: Seen, settings: Settings) -> None:
        self._path = path
        self._seen = seen
        self._settings = settings
        self._workers = count_of(settings)
        self._notifier = Notifier(os.environ)
        self._server = None if settings.cluster.servers else server_of_machine(settings)

    async def run(self) -> int:
        """Start everything, wait for the signal to stop, and stop everything. Returns: the exit code."""
        loop = asyncio.get_running_loop()
        asked_to_reload, stop = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, asked_to_reload.set)
        starting = asyncio.current_task()
        assert starting is not None
        on_stop(starting.cancel)
        with ExitStack() as bound:
            sockets = _bind(self._settings, bound)
            try:
                servers = self._settings.cluster.servers
                if self._server is not None:
                    await self._server.start()
                    servers = (self._server.url,)
                supervisor = Supervisor(self._plan(sockets, servers))
                try:
                    await supervisor.start()
                    on_stop(stop.set)
                    await self._serve(supervisor, asked_to_reload, stop)
                finally:
                    on_stop(stop.set)  # another signal does not break off the end
                    bound.close()
                    in_time = await supervisor.stop()
            except asyncio.CancelledError:
                return 0
            except WorkerEnded as ended:
                if ended.exit_code <= 0:
                    raise StartError(str(ended)) from None
                return ended.exit_code
            finally:
                if self._server is not None:
                    await self._server.close()
        return 0 if in_time else 1

    async def _serve(self, supervisor: Supervisor, asked_to_reload: asyncio.Event, stop: asyncio.Event) -> None:
        self._report()

        async def apply(settings: Settings) -> None:
            await self._apply(supervisor, settings)

        reloading = Reloading(self._load, apply, self._notifier)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, reloading.begin)
        if asked_to_reload.is_set():
            reloading.begin()
        self._notifier.ready()
        self._notifier.watch(loop)
        await stop.wait()
        await reloading.close()
        self._notifier.stopping(self._settings.gateway.drain_timeout)

    def _load(self) -> Settings:
        return config.load(self._path, os.environ, self._seen)

    async def _apply(self, supervisor: Supervisor, settings: Settings) -> None:
        """Let the workers read the configuration that this process could read."""
        refusals = await supervisor.reload()
        log_refusals(refusals)
        if not refusals:
            self._seen.take_over()
            for key in needs_restart(self._settings, settings):
                logs.fields(_log, logging.WARNING, "changed, and holds from the next start on", key=key)
            logs.fields(_log, logging.INFO, "all workers have read the configuration again")

    def _plan(self, sockets: Mapping[str, list[int]], servers: tuple[str, ...]) -> WorkerPlan:
        node = node_name(self._settings.cluster, socket.gethostname())
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        return WorkerPlan(
            names=tuple(worker_name(node, number) for number in range(1, self._workers + 1)),
            command=_COMMAND if self._path is None else (*_COMMAND, "--config", str(self._path)),
            environment=environment,
            sockets=sockets,
            servers=servers,
            token="" if self._server is None else self._server.token,
            patience=self._settings.gateway.drain_timeout + CLOSING,
            watchdog=self._notifier.watchdog,
        )

    def _report(self) -> None:
        """Log that all workers serve, and what holds for all of them alike."""
        logs.fields(_log, logging.INFO, "all workers serve", workers=self._workers)
        settings = self._settings
        part = of_worker(settings, name="", number=1, workers=self._workers, servers=())
        few = descriptors_wanted(part)
        found = (*config.exposed(settings), *config.cautions(settings), *cautions(settings, self._workers))
        for caution in (*found, *([few] if few is not None else ())):
            logs.fields(_log, logging.WARNING, "caution", about=caution)


def _bind(settings: Settings, bound: ExitStack) -> dict[str, list[int]]:
    """Bind all listeners. Returns: the descriptors of the sockets of each, by its name.

    Raises:
        OSError: An address is taken.
    """
    numbers: dict[str, list[int]] = {}
    for place in places(settings):
        listen, purpose = place.table.listen, Purpose.ADMIN if isinstance(place.table, Admin) else Purpose.ACCEPTED
        try:
            sockets = [bound.enter_context(each) for each in listen_at(listen.host, listen.port, purpose)]
        except OSError as error:
            raise cannot_listen(f"{place.key}.listen", listen, error) from error
        numbers[place.name] = [each.fileno() for each in sockets]
    return numbers
