"""What can be killed: a bridge and a Central System, each in a process of its own, at addresses that outlive it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

import bridge
from bridge.admin import token_file
from bridge.lab.simulators.wire import Payload
from bridge.net.tasks import Tasks
from bridge.store import Store
from tests.e2e.stage import AT_MOST
from tests.ports import free_port

_ROOT = Path(bridge.__file__).parents[1]
_CONFIGURATION = """
[gateway]
call_timeout = {call_timeout}
drain_timeout = 5
[soap]
listen = "127.0.0.1:{soap}"
public_url = "http://127.0.0.1:{soap}"
[websocket]
listen = "127.0.0.1:{websocket}"
[admin]
listen = "127.0.0.1:{admin}"
[store]
url = "{store}"
[limits]
new_identities_per_minute = 100000
"""


def all_well(connected: int) -> dict[str, Any]:
    """What /readyz says of a Central System to which so many ways are open, and all that are wanted."""
    return {"connected": connected, "unreachable": 0, "down": 0, "degraded": False, "since": None}


class Program:
    """`python -m ...`, started and ended at will. `lines` is what all its runs printed, wherever.

    `through` is a command that runs the one that follows it, `environment` what it finds beside ours, `patience` the
    seconds within which it says or ends what it is waited for.
    """

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.through: Sequence[str] = ()
        self.environment: Mapping[str, str] = {}
        self.patience: float = AT_MOST
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._unread: asyncio.Queue[str | None] = asyncio.Queue()
        self._tasks = Tasks()

    async def start(self) -> None:
        """Run it. What it prints is read all the time: it would stop when nobody did."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OCPP_BRIDGE")}
        self._unread = asyncio.Queue()
        self._process = await asyncio.create_subprocess_exec(
            *(*self.through, sys.executable, "-m", *self._arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=_ROOT,
            env=environment | dict(self.environment),
        )
        self._tasks.spawn(self._read(self._process, self._unread), name="reading")

    async def _read(self, process: asyncio.subprocess.Process, unread: asyncio.Queue[str | None]) -> None:
        assert process.stdout is not None
        while line := (await process.stdout.readline()).decode():
            self.lines.append(line)
            unread.put_nowait(line)
        unread.put_nowait(None)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def says(self, *words: str) -> str:
        """The next line with all of `words` in it."""
        async with asyncio.timeout(self.patience):
            while (line := await self._unread.get()) is not None:
                if all(word in line for word in words):
                    return line
        raise AssertionError(f"{words!r} is not in:\n{''.join(self.lines)}")

    def children(self, name: str) -> list[int]:
        """The processes that it has started and that run the program or command `name`."""
        path, found = Path(f"/proc/{self.pid}/task/{self.pid}/children"), []
        for pid in map(int, path.read_text().split()):
            with suppress(OSError):  # it has ended
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if any(word.rpartition("/")[2] == name for word in words):
                    found.append(pid)
        return sorted(found)

    def told(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it as a power cut would: it is told nothing."""
        self.told(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Its exit code, once all that it said has been read."""
        assert self._process is not None
        async with asyncio.timeout(self.patience):
            code = await self._process.wait()
            while await self._unread.get() is not None:
                pass
        self._process = None
        return code

    async def close(self) -> None:
        """It is gone afterwards, whatever happened."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
        await self._tasks.close()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Bridge(Program):
    """`serve`, with a store in `folder`; `start` after `kill` is a restart at the same addresses.

    `central_systems` by name, `routes` by glob: the tables of the configuration; `more` is added to it.
    """

    def __init__(
        self,
        folder: Path,
        central_systems: Mapping[str, Mapping[str, Any]],
        routes: Mapping[str, str] | None = None,
        *,
        call_timeout: float = 20,
        store: str = "",
        more: str = "",
    ) -> None:
        self.more = more
        self.file = folder / "bridge.toml"
        super().__init__("bridge", "serve", "--config", str(self.file))
        self.store_url = store or f"sqlite:///{folder}/bridge.db"
        self.soap_address = ("127.0.0.1", free_port())
        self.websocket_address = ("127.0.0.1", free_port())
        self.admin_address = ("127.0.0.1", free_port())
        self._call_timeout = call_timeout
        self.configure(central_systems, routes)

    def configure(
        self, central_systems: Mapping[str, Mapping[str, Any]], routes: Mapping[str, str] | None = None
    ) -> None:
        """Write the file anew. Whoever runs is told by SIGHUP."""
        text = _CONFIGURATION.format(
            call_timeout=self._call_timeout,
            soap=self.soap_address[1],
            websocket=self.websocket_address[1],
            admin=self.admin_address[1],
            store=self.store_url,
        )
        for name, table in central_systems.items():
            text += f"[central_systems.{name}]\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for glob, name in (routes or {"*": next(iter(central_systems))}).items():
            text += f'[[routes]]\ncharge_point = "{glob}"\ncentral_system = "{name}"\n'
        self.file.write_text(text + self.more)

    async def start(self) -> None:
        await super().start()
        await self.says("listening", "listener", "admin")  # in either format of the log

    async def restart(self) -> None:
        """Killed, and back."""
        await self.kill()
        await self.start()

    async def reload(self) -> None:
        """SIGHUP, and the routes are read."""
        self.told(signal.SIGHUP)
        await self.says("routes read again")

    @property
    def websocket_url(self) -> str:
        """What a JSON Charge Point appends its identity to."""
        return f"ws://127.0.0.1:{self.websocket_address[1]}/ocpp"

    async def ready(self) -> tuple[int, Any]:
        """Status and JSON of /readyz."""
        return await self.asked("/readyz")

    async def asked(self, path: str) -> tuple[int, Any]:
        """Status and JSON of `path` at the admin listener, asked with the token beside the store."""
        url = f"http://127.0.0.1:{self.admin_address[1]}{path}"
        kept = token_file.beside(self.store_url)
        token = None if kept is None else token_file.found(kept)
        headers = {} if token is None else {"Authorization": f"Bearer {token.decode()}"}
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def put_away(self) -> AsyncIterator[Store]:
        """Its store, while it does not run itself."""
        store = Store(self.store_url)
        store.open()
        try:
            assert store.trouble is None
            yield store
        finally:
            await asyncio.to_thread(store.close)


class CentralSystem(Program):
    """One that speaks OCPP-J (`tests.e2e.central_system`), always at the same `url`. Each run has given as many
    transactionIds before as `given` says."""

    def __init__(self, given: int = 0) -> None:
        self._port = free_port()
        super().__init__("tests.e2e.central_system", str(self._port), str(given))

    async def start(self) -> None:
        await super().start()
        await self.says("listening")

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ocpp"

    @property
    def received(self) -> list[tuple[str, str, Payload]]:
        """Identity, action and payload of every Call that any of its runs received."""
        return [tuple(json.loads(line)) for line in self.lines if line.startswith("[")]

    @property
    def unique_ids(self) -> set[tuple[str, str]]:
        """UniqueId and action of every Call that any of its runs received."""
        return {tuple(json.loads(line[1:])) for line in self.lines if line.startswith("=")}
