"""What an ask between two nodes costs, beside a bare echo over the same kind of socket: both processes together.

The answering node is a process of its own, on the first core. `python -m tests.bench.cluster_link FOLDER` is that one.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from bridge.cluster.courier import Courier, NodePlace
from bridge.cluster.hello import NodeName
from bridge.cluster.link_streams import NodeStream
from bridge.cluster.link_tls import LinkTLS
from tests.authority import Authority
from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.load import spent_by
from tests.bench.subject import ended, launched

_PATIENCE = 60.0
# As many octets as a MeterValues with 20 values in SOAP has.
_PAYLOAD = bytes(4000)
_AT_ONCE = (1, 32)

# Sends a payload, and returns when it has come back.
Echo = Callable[[], Awaitable[object]]


class Hop(Struct, frozen=True, kw_only=True):
    """One kind of exchange, `at_once` of them at a time.

    Attributes:
        kind: What is exchanged, and over what.
        at_once: How many are under way at any time.
        us: Microseconds of processor time of both processes for one.
        waits_us: Microseconds from the start of one to its end.
        of_bare: The ratio of `us` to that of the bare echo in the same repetition, None for the bare echo.
    """

    kind: str
    at_once: int
    us: Figure
    waits_us: Figure
    of_bare: Figure | None


class _Bare(asyncio.Protocol):
    """Echoes of one connection, each with its length before it, and nothing else."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers
        self._rest = b""
        self._waiting: list[asyncio.Future[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            if self._answers:
                self._wire.write(data[at:end])
            else:
                self._waiting.pop(0).set_result(None)
            at = end
        self._rest = data[at:]

    async def echo(self) -> None:
        """Send a payload, and wait until it is back."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._wire.write(len(_PAYLOAD).to_bytes(4, "big") + _PAYLOAD)
        await waiting


def _tls(folder: Path) -> LinkTLS:
    return LinkTLS(certificate=str(folder / "node.pem"), key=str(folder / "node.key"), ca=str(folder / "ca.pem"))


async def _serve(folder: Path) -> None:
    """Answer until the process ends. Prints the address of the TCP port."""

    async def echo(node: str, payload: bytes) -> bytes:
        return payload

    def frames(node: str, payload: bytes, stream: NodeStream) -> None:
        stream.receiver = stream.try_send

    courier = Courier(NodeName(cluster="bench", node="b", incarnation="1"), lambda node: None, tls=_tls(folder))
    courier.on("at once", lambda node, payload: payload)
    courier.on("in a task", echo)
    courier.on_stream("frames", frames)
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(lambda: _Bare(answers=True), folder / "bare")
    await courier.listen(f"unix:{folder}/link")
    address = await courier.listen("tcp://127.0.0.1:0")
    gc.collect()
    gc.freeze()
    print(address, flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def _node(folder: Path) -> AsyncIterator[tuple[int, str]]:
    """The process id and TCP address of the answering node."""
    authority = Authority(folder)
    authority.issue("node", "127.0.0.1")
    log = folder / "log"
    process = await launched(["-m", "tests.bench.cluster_link", str(folder)], log, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_PATIENCE):
            address = (await process.stdout.readline()).decode().strip()
        if not address:
            raise RuntimeError(f"the answering node did not start: {log.read_text(errors='replace')[-2000:]}")
        yield process.pid, address
    finally:
        await ended(process)


async def measure(plan: Plan) -> list[Hop]:
    """All kinds in turn, again and again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with _node(folder) as (pid, tcp):
            return await _measured(plan, folder, pid, tcp)


async def _measured(plan: Plan, folder: Path, pid: int, tcp: str) -> list[Hop]:
    loop, own, tls = asyncio.get_running_loop(), NodeName(cluster="bench", node="a", incarnation="1"), _tls(folder)
    places = [NodePlace(address=address, incarnation="1") for address in (f"unix:{folder}/link", tcp)]
    unix, secure = (Courier(own, lambda node, place=place: place, tls=tls) for place in places)  # type: ignore[misc]
    _, bare = await loop.create_unix_connection(lambda: _Bare(answers=False), str(folder / "bare"))
    stream = await unix.open("b", "frames", b"", loop.time() + _PATIENCE)

    def asking(courier: Courier, kind: str) -> Echo:
        return lambda: courier.ask("b", kind, _PAYLOAD, loop.time() + _PATIENCE)

    async def frame() -> None:
        await stream.send(_PAYLOAD)
        await stream.recv()

    kinds: dict[str, Echo] = {
        "bare echo, Unix socket": bare.echo,
        "ask, Unix socket": asking(unix, "at once"),
        "ask, Unix socket, handler in a task": asking(unix, "in a task"),
        "ask, TCP and TLS": asking(secure, "at once"),
        "frame of a stream, Unix socket": frame,
    }
    rows = [(kind, at_once) for at_once in _AT_ONCE for kind in kinds if not (at_once > 1 and kinds[kind] is frame)]
    runs: dict[tuple[str, int], list[tuple[float, float]]] = {row: [] for row in rows}
    gc.collect()
    gc.freeze()
    try:
        for turn in range(plan.repetitions + 1):
            for kind, at_once in rows:
                taken = await _run(kinds[kind], at_once, plan.seconds, pid)
                if turn:  # the first is a warm-up
                    runs[kind, at_once].append(taken)
    finally:
        gc.unfreeze()
        for courier in (unix, secure):
            await courier.close()
    return [_row(kind, at_once, taken, runs) for (kind, at_once), taken in runs.items()]


async def _run(echo: Echo, at_once: int, seconds: float, pid: int) -> tuple[float, float]:
    """The microseconds of processor time for one exchange, and those that one takes."""
    count, begun = 0, time.perf_counter()
    spent = time.process_time() + spent_by(pid)

    async def again() -> None:
        nonlocal count
        while time.perf_counter() - begun < seconds:
            await echo()
            count += 1

    await asyncio.gather(*(again() for _ in range(at_once)))
    took = time.perf_counter() - begun
    spent = time.process_time() + spent_by(pid) - spent
    return 1e6 * spent / count, 1e6 * took * at_once / count


def _row(
    kind: str, at_once: int, taken: list[tuple[float, float]], runs: dict[tuple[str, int], list[tuple[float, float]]]
) -> Hop:
    (bare, *_) = (each for (_, many), each in runs.items() if many == at_once)
    return Hop(
        kind=kind,
        at_once=at_once,
        us=figure(us for us, _ in taken),
        waits_us=figure(waits for _, waits in taken),
        of_bare=None if taken is bare else figure(us / other for (us, _), (other, _) in zip(taken, bare, strict=True)),
    )


def report(hops: list[Hop]) -> str:
    """For a person."""
    rows = [
        (
            f"{hop.kind}, {hop.at_once} at once",
            hop.us.text(1),
            hop.waits_us.text(0),
            "" if hop.of_bare is None else hop.of_bare.text(2),
        )
        for hop in hops
    ]
    return table((f"{len(_PAYLOAD)} octets and back", "CPU of both, us (spread)", "waits, us", "x bare"), rows)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
