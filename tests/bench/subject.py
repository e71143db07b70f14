"""The processes that are measured: the bridge as it is served, the bare transports, and Spyne and zeep as they come.
Each runs alone on the first core; who measures stays off that one."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from msgspec import Struct

from tests.authority import Authority
from tests.ports import free_port

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PATIENCE = 60.0


class Bridge(Struct, frozen=True, kw_only=True):
    """How the bridge is configured; what is not here is as it ships. Limits on what one peer may do are raised: all
    load comes from one address, and from few Charge Points. `store` is a file, "" a new one. `without` is one of the
    shortcuts of tests.bench.without that it does not take, "" for none. `observers` are the URLs of further Central
    Systems. `node` is its name in a cluster that shares the NATS `servers`; without these it is in none."""

    central_system: str
    protocol: str = "ocpp1.6j"
    recording: bool = False
    tls: bool = False
    connection_per_call: bool = False
    log_level: str = "info"
    ping_interval: int = 0
    store: str = ""
    without: str = ""
    observers: tuple[str, ...] = ()
    node: str = ""
    servers: tuple[str, ...] = ()


class Subject(Struct, kw_only=True):
    """One that answers. Ports are 0 where it has no such listener; `tls` is what its peers need to talk to it;
    `records`: it has more to do when it has answered."""

    pid: int
    soap: int = 0
    websocket: int = 0
    admin: int = 0
    tls: ssl.SSLContext | None = None
    records: bool = False


def several_cores() -> bool:
    """Whether the subject and the load can each have one."""
    return hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1


def stay_off() -> None:
    """Leave the first core to the subjects."""
    if several_cores():
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))


@contextmanager
def all_cores() -> Iterator[None]:
    """While many processes share the machine, of which none is the subject."""
    if not several_cores():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_files(count: int) -> str:
    """Let this process, and those that it starts, open `count` files. Returns why not, if that is so."""
    if resource is None:
        return ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return f"the system allows {hard} open files, and {count} are needed (ulimit -n)"
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return ""


async def launched(command: Sequence[str], log: Path, *, stdout: int = DEVNULL) -> Process:
    """A process on the first core. What it says on standard error goes to the file `log`."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=stdout, stderr=stderr
        )
    if several_cores():
        os.sched_setaffinity(process.pid, {0})
    return process


@asynccontextmanager
async def bare(module: str, *arguments: str) -> AsyncIterator[Subject]:
    """`floor` or `stock`: it prints its port, or "up" where it only dials."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = await launched(["-m", f"tests.bench.{module}", *arguments], log, stdout=PIPE)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_PATIENCE):
                said = (await process.stdout.readline()).decode().strip()
            if not said:
                raise RuntimeError(f"{module} did not start: {_end_of(log)}")
            port = int(said) if said.isdigit() else 0
            yield Subject(pid=process.pid, soap=port, websocket=port)
        finally:
            await ended(process)


@asynccontextmanager
async def bridge(configured: Bridge) -> AsyncIterator[Subject]:
    """`ocpp-bridge serve`, ready."""
    with tempfile.TemporaryDirectory() as folder:
        ports = [free_port() for _ in range(3)]
        file, tls = configuration(configured, Path(folder), ports)
        log = Path(folder) / "log"
        program = ["tests.bench.without", configured.without] if configured.without else ["bridge"]
        process = await launched(["-m", *program, "serve", "--config", str(file)], log)
        try:
            await serving(process, ports[2], log)
            yield Subject(
                pid=process.pid,
                soap=ports[0],
                websocket=ports[1],
                admin=ports[2],
                tls=tls,
                records=configured.recording,
            )
        finally:
            await ended(process)


async def ended(process: Process) -> None:
    """End it, without ceremony."""
    if process.returncode is None:
        process.kill()
    await process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def serving(process: Process, admin: int, log: Path) -> None:
    """Wait until its /healthz answers 200. Raises RuntimeError if it ends instead, or takes too long."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < _PATIENCE:
        if process.returncode is not None:
            raise RuntimeError(f"the bridge ended with {process.returncode}: {_end_of(log)}")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", admin)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
            writer.close()
        except OSError:
            status = b""
        if b" 200 " in status:
            return
        await asyncio.sleep(0.005)
    raise RuntimeError("the bridge does not serve")


def configuration(bridge: Bridge, folder: Path, ports: Sequence[int]) -> tuple[Path, ssl.SSLContext | None]:
    """The file, and what peers need to talk TLS with it. `ports` are of SOAP, WebSocket and admin."""
    authority = Authority(folder) if bridge.tls else None
    tls = {"tls": authority.issue("bridge", "127.0.0.1")} if authority else {}
    most = 1_000_000
    soap: dict[str, object] = {
        "listen": f"127.0.0.1:{ports[0]}",
        "connection_per_call": bridge.connection_per_call,
        "callback_networks": ["127.0.0.0/8"],
    }
    of_one_peer = ("connections_per_address", "messages_per_second", "messages_burst", "new_identities_per_minute")
    raised = ("connections", *of_one_peer)
    # All connections are opened before anything is measured, and wait for their turn.
    limits: dict[str, object] = {"header_timeout": 3600, "idle_timeout": 3600, **dict.fromkeys(raised, most)}
    store = f"sqlite:///{bridge.store or folder / 'bridge.db'}"
    system: dict[str, object] = {
        "protocol": bridge.protocol,
        "url": bridge.central_system,
        "ping_interval": bridge.ping_interval,
    }
    tables: dict[str, dict[str, object]] = {
        "gateway": {"log_level": bridge.log_level},
        "soap": soap,
        "websocket": {"listen": f"127.0.0.1:{ports[1]}"},
        **{f"{listener}.{name}": files for listener in ("soap", "websocket") for name, files in tls.items()},
        "admin": {"listen": f"127.0.0.1:{ports[2]}"},
        "limits": limits,
        "store": {"url": store},
        **({"cluster": {"node": bridge.node, "servers": bridge.servers}} if bridge.servers else {}),
        "recorder": {"enabled": bridge.recording},
        "central_systems.main": system,
        **{f"central_systems.observer-{number}": {"url": url} for number, url in enumerate(bridge.observers)},
    }
    file = folder / "bridge.toml"
    route = '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
    for number in range(len(bridge.observers)):
        route += f'[[routes.also]]\ncentral_system = "observer-{number}"\n'
    file.write_text("\n".join((*(_table(name, keys) for name, keys in tables.items()), route)))
    return file, authority.client() if authority else None


def _table(name: str, keys: dict[str, object]) -> str:
    """In TOML. Its strings, numbers, truths and lists are written as in JSON."""
    lines = (f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return "\n".join((f"[{name}]", *lines, ""))
