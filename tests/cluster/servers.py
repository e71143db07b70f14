"""NATS servers that a test starts, stops and kills."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import Login
from bridge.cluster.record_stream import RecordStream
from bridge.cluster.shared_stream import SharedStream
from tests.e2e.stage import AT_MOST
from tests.outgoing_events.receivers import nats_server
from tests.ports import free_port

TOKEN = "t0ken"


class NatsServer:
    """One nats-server, which can be killed and started again with what it has stored."""

    def __init__(
        self, folder: Path, name: str = "one", *lines: str, jetstream: bool = True, authorization: bool = True
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._said = folder / f"{name}.log"
        self._file = folder / f"{name}.conf"
        text = [
            f"server_name: {name}",
            f"listen: 127.0.0.1:{self.port}",
            *([f'authorization {{ token: "{TOKEN}" }}'] if authorization else []),
            *([f'jetstream {{ store_dir: "{folder / name}", sync_interval: always }}'] if jetstream else []),
            *lines,
        ]
        self._file.write_text("\n".join(text) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._said.open("ab") as output:
            before = output.tell()
            self.process = subprocess.Popen([nats_server(), "-c", str(self._file)], stdout=output, stderr=output)
        until = time.monotonic() + AT_MOST
        while b"Server is ready" not in self._said.read_bytes()[before:]:
            assert self.process.poll() is None and time.monotonic() < until, self._said.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power failure does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def nats_at(folder: Path, *lines: str, **options: Any) -> Iterator[NatsServer]:
    """One server that runs."""
    server = NatsServer(folder, "one", *lines, **options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def three_servers(folder: Path, **options: Any) -> Iterator[list[NatsServer]]:
    """Three servers that are a cluster."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = [
        NatsServer(
            folder, f"s{number}", f"cluster {{ name: c, listen: 127.0.0.1:{port}, routes: [{routes}] }}", **options
        )
        for number, port in enumerate(ports)
    ]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.kill)
            server.start()
        yield servers


class Node:
    """What one node has of the stream."""

    def __init__(self, urls: list[str], name: str, incarnation: str = "", *, timeout: float = 20.0) -> None:
        self.name, self.incarnation = name, incarnation or f"i-{name}"
        self.stream = SharedStream(urls, name, login=Login(password=TOKEN))
        self.map = MapStream(self.stream, name, self.incarnation, timeout=timeout)
        self.records = RecordStream(self.stream, name, self.incarnation, timeout=timeout)


@asynccontextmanager
async def node(urls: list[str] | str, name: str = "a", incarnation: str = "", **options: Any) -> AsyncIterator[Node]:
    """A node that is connected."""
    made = Node([urls] if isinstance(urls, str) else urls, name, incarnation, **options)
    try:
        await made.stream.open(AT_MOST)
        yield made
    finally:
        await made.stream.close()


@asynccontextmanager
async def nodes(urls: list[str] | str, *names: str, **options: Any) -> AsyncIterator[list[Node]]:
    """Several nodes that are connected."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node(urls, name, **options)) for name in names]
