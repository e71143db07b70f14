"""Start the worker processes of this machine, and start those again that end.

The supervisor has bound the listening sockets, which all workers inherit and accept from: a worker that ends or stands
still loses no connection that it has not accepted. Workers say on a socket of their own, with the words of
sd_notify(3), when they serve, when they have read their configuration again, and that their event loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from bridge.cluster.worker import LONGEST_MESSAGE, VARIABLE, Handover
from bridge.net.connection_table import ConnectionTable
from bridge.net.tasks import Tasks
from bridge.watching import logs

_log = logging.getLogger("bridge.supervisor")
# Seconds before a worker that has ended is started again. They double each time, unless it ran for some time.
_FIRST_PAUSE, _LONGEST_PAUSE, _LONG_RUN = 0.25, 30.0, 60.0
# Seconds that a worker may take to read its configuration again before the others are no longer kept waiting.
_RELOADS_WITHIN = 60.0
REFUSED = "REFUSED="
"""Begins what a worker says if it cannot take over its configuration: a list of sentences, as JSON."""


class WorkerPlan(Struct, frozen=True, kw_only=True):
    """The processes that a supervisor starts, and their limits.

    Attributes:
        names: Names of the workers.
        command: The command that runs one worker.
        environment: Environment variables of the workers.
        sockets: Descriptors of the listening sockets, by the name of the listener.
        servers: URLs of the NATS servers.
        token: Token of the NATS server that the supervisor has started, "" if it has started none.
        patience: Seconds that a worker may take to end.
        watchdog: Seconds after which a worker whose event loop stands still is killed; 0 for never.
    """

    names: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    sockets: Mapping[str, Sequence[int]]
    servers: tuple[str, ...]
    patience: float
    token: str = ""
    watchdog: float = 0.0


class WorkerEnded(Exception):
    """A worker ended before it served for the first time.

    Attributes:
        exit_code: The exit code of the worker, which has said why; 0 or less if it was ended by a signal.
    """

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"the worker {name} cannot start: {_reason(code)}")
        self.exit_code = code


class Supervisor:
    """Runs the workers of `plan` from `start` to `stop`."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._connections = ConnectionTable.create([*plan.sockets], len(plan.names))
        self._workers = [_Worker(plan, number, self._connections) for number in range(1, len(plan.names) + 1)]
        self._watchdog = plan.watchdog
        self._patience = plan.patience
        self._tasks = Tasks()

    async def start(self) -> None:
        """Start the first worker, and the others when it serves: a fault that all have in common is told once.

        Call `stop` afterwards, whatever happened.

        Raises:
            WorkerEnded: A worker ended before it served.
            OSError: The system cannot start a worker.
        """
        first, *others = self._workers
        for some in ([first], others):
            for worker in some:
                self._tasks.spawn(worker.keep(), name=f"worker {worker.name}")
            await asyncio.gather(*(worker.served for worker in some))
        if self._watchdog:
            self._tasks.spawn(self._watch(), name="watching the workers")

    async def reload(self) -> dict[str, list[str]]:
        """Let each worker read its configuration again.

        Returns: The complaints of each worker that did not take it over.
        """
        results = await asyncio.gather(*(worker.reload() for worker in self._workers))
        return {worker.name: result for worker, result in zip(self._workers, results, strict=True) if result}

    async def stop(self) -> bool:
        """Let all workers drain and end, together. Returns: whether each ended in time; others are killed."""
        for worker in self._workers:
            worker.stop()
        in_time = all(await asyncio.gather(*(worker.ended(self._patience) for worker in self._workers)))
        for worker in self._workers:
            worker.served.cancel()
        self._connections.close()
        await self._tasks.close()
        return in_time

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watchdog / 4)
            for worker in self._workers:
                worker.kill_if_silent(self._watchdog)


class _Worker:
    """One worker: its process, which is started again when it ends, and what it has said.

    Attributes:
        name: Its name.
        served: Done when a process of the worker has served for the first time.
    """

    def __init__(self, plan: WorkerPlan, number: int, connections: ConnectionTable) -> None:
        self.name = plan.names[number - 1]
        self.served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._plan = plan
        self._number = number
        self._connections = connections
        self._process: asyncio.subprocess.Process | None = None
        self._channel: socket.socket | None = None
        self._stop = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()
        self._is_ready = self._reads_again = False
        self._heard = 0.0
        self._refused: list[str] = []
        self._reload: asyncio.Future[list[str]] | None = None

    async def keep(self) -> None:
        """Run the worker until it is told to stop."""
        self._gone.clear()
        try:
            await self._keep()
        except BaseException as error:
            if self.served.done():
                raise
            self.served.set_exception(error)
        finally:
            self._gone.set()

    async def _keep(self) -> None:
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        while not self._stop.is_set():
            began = loop.time()
            try:
                reason = _reason(code := await self._run())
            except OSError as error:
                if not self.served.done():
                    raise
                reason = str(error)
            else:
                if not self.served.done() and not self._stop.is_set():
                    raise WorkerEnded(self.name, code)
            if self._stop.is_set():
                return
            pause = _FIRST_PAUSE if loop.time() - began >= _LONG_RUN else pause
            text = "a worker has ended, and is started again"
            logs.fields(_log, logging.ERROR, text, worker=self.name, reason=reason, after=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run(self) -> int:
        """Run one process of the worker. Returns: its exit code, negative if a signal ended it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                ours.send(self._handover().message())
                process = self._process = await self._start(theirs)
            ours.setblocking(False)
            self._channel = ours
            asyncio.get_running_loop().add_reader(ours, self._listen)
            if self._stop.is_set():
                self._send(signal.SIGTERM)
            code = await process.wait()
            self._listen()
            return code
        finally:
            self._process = None
            self._hang_up()
            ours.close()
            self._is_ready = False
            self._connections.has_ended(self._number - 1)
            self._answer([])  # its successor reads the new configuration

    def _handover(self) -> Handover:
        plan = self._plan
        return Handover(
            name=self.name,
            number=self._number,
            workers=len(plan.names),
            supervisor=os.getpid(),
            sockets={listener: tuple(numbers) for listener, numbers in plan.sockets.items()},
            connections=self._connections.descriptor,
            servers=plan.servers,
            token=plan.token,
        )

    async def _start(self, channel: socket.socket) -> asyncio.subprocess.Process:
        plan = self._plan
        sockets = [number for numbers in plan.sockets.values() for number in numbers]
        return await asyncio.create_subprocess_exec(
            *plan.command,
            stdin=asyncio.subprocess.DEVNULL,
            env={**plan.environment, VARIABLE: str(channel.fileno())},
            pass_fds=(channel.fileno(), self._connections.descriptor, *sockets),
            process_group=0,  # a signal of the terminal goes to the supervisor only
        )

    def stop(self) -> None:
        """Let the worker drain and end, and start it no more."""
        self._stop.set()
        self._send(signal.SIGTERM)

    async def ended(self, patience: float) -> bool:
        """Wait until the worker has ended. Returns: False if it took longer than `patience`, and was killed."""
        try:
            await asyncio.wait_for(self._gone.wait(), patience)
        except TimeoutError:
            text = "a worker did not end in time, and is killed"
            logs.fields(_log, logging.ERROR, text, worker=self.name, within=patience)
            self._send(signal.SIGKILL)
            await self._gone.wait()
            return False
        return True

    async def reload(self) -> list[str]:
        """Let the worker read its configuration again. Returns: why it did not take it over; empty if it did."""
        if not self._is_ready:
            # A process that is just starting may have read the former configuration.
            self._reads_again = True
            return []
        self._reload = asyncio.get_running_loop().create_future()
        self._send(signal.SIGHUP)
        try:
            return await asyncio.wait_for(self._reload, _RELOADS_WITHIN)
        except TimeoutError:
            text = "a worker has not read the configuration again so far"
            logs.fields(_log, logging.ERROR, text, worker=self.name, after=_RELOADS_WITHIN)
            return []

    def kill_if_silent(self, watchdog: float) -> None:
        """Kill a worker that serves and has said nothing for `watchdog` seconds."""
        if self._is_ready and asyncio.get_running_loop().time() - self._heard > watchdog:
            text = "the event loop of a worker stands still: it is killed"
            logs.fields(_log, logging.ERROR, text, worker=self.name, since=watchdog)
            self._is_ready = False
            self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _listen(self) -> None:
        """Take all that the worker has said."""
        while self._channel is not None:
            try:
                message = self._channel.recv(LONGEST_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._hang_up()
                return
            self._heard = asyncio.get_running_loop().time()
            for line in message.decode().split("\n"):
                self._told(line)

    def _hang_up(self) -> None:
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel = None

    def _told(self, line: str) -> None:
        if line.startswith(REFUSED):
            self._refused = msgspec.json.decode(line.removeprefix(REFUSED), type=list[str])
        elif line == "READY=1":
            self._is_ready = True
            if not self.served.done():
                self.served.set_result(None)
            complaints, self._refused = self._refused, []
            self._answer(complaints)
            if self._reads_again:
                self._reads_again = False
                self._send(signal.SIGHUP)

    def _answer(self, complaints: list[str]) -> None:
        """End the present reload, if there is one."""
        if self._reload is not None and not self._reload.done():
            self._reload.set_result(complaints)
        elif complaints:
            log_refusals({self.name: complaints})
        self._reload = None


def log_refusals(refusals: Mapping[str, Sequence[str]]) -> None:
    """Log each complaint once, with the names of the workers that did not take over their configuration for it."""
    workers: dict[str, list[str]] = {}
    for name, complaints in refusals.items():
        for complaint in complaints:
            workers.setdefault(complaint, []).append(name)
    for complaint, names in workers.items():
        text = "configuration not taken over"
        logs.fields(_log, logging.ERROR, text, complaint=complaint, workers=",".join(names))


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {_name_of(-code)}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)
