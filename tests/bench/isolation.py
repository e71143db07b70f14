"""What one peer's worst messages cost its neighbour: the p99 of a well-behaved Charge Point's Heartbeats while they
come, as a ratio to its p99 without them.

The worst of each kind is looked for: messages are drawn at random, from a seed, and each is sent once; that which holds
up the neighbour longest is then sent again and again. `--checkout FOLDER` measures the bridge in another folder, and
`--real-time` lets no other program of the machine run in between.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.bench import real_time
from tests.bench.parties import CENTRAL_SYSTEM_SERVICE
from tests.bench.subject import ended, serving, several_cores
from tests.ports import free_port

_SEED = 14
DRAWN = 6
_FRAME, _BODY = 1_048_576, 262_144
NAMESPACE = "urn://Ocpp/Cs/2015/10/"
_CONFIGURATION = """
[gateway]
log_level = "info"
[soap]
listen = "127.0.0.1:{soap}"
[websocket]
listen = "127.0.0.1:{websocket}"
[admin]
listen = "127.0.0.1:{admin}"
[store]
url = "sqlite:///{folder}/bridge.db"
[central_systems.json]
url = "{json_url}"
[central_systems.soap]
protocol = "ocpp1.6s"
url = "{soap_url}"
[[routes]]
charge_point = "J*"
central_system = "soap"
[[routes]]
charge_point = "*"
central_system = "json"
"""


class Row(Struct, frozen=True, kw_only=True):
    """One kind: the size of its worst message, the neighbour's p99 with and without it in milliseconds, and the octets
    of the log for each that was sent."""

    kind: str
    octets: int
    without: float
    p99: float
    longest: float
    sent: int
    logged: float

    @property
    def ratio(self) -> float:
        return self.p99 / self.without


# Messages, drawn.


def _values(random: Random, most: int, stamp: str, sample: Callable[[], dict[str, object]]) -> list[dict[str, object]]:
    one = json.dumps({"timestamp": stamp, "sampledValue": [sample()]})
    count = random.randint(1, max(1, min(most // (len(one) + 2), 20_000)))
    return [{"timestamp": stamp, "sampledValue": [sample()]} for _ in range(count)]


def _meter_values(random: Random, most: int, stamp: str, sample: Callable[[], dict[str, object]]) -> dict[str, object]:
    return {"connectorId": 1, "meterValue": _values(random, most, stamp, sample)}


def frame(action: str, payload: object) -> bytes:
    """A Call over JSON, no longer than a frame may be."""
    return json.dumps([2, "1", action, payload], separators=(",", ":")).encode()[:_FRAME]


def _full(random: Random) -> dict[str, object]:
    words: dict[str, object] = {
        "context": "Sample.Periodic",
        "measurand": "Voltage",
        "phase": "L1",
        "location": "Outlet",
        "unit": "V",
    }
    more: dict[str, object] = {"value": str(random.random())}
    return more | dict(random.sample(sorted(words.items()), random.randint(0, 5)))


def _bad(random: Random) -> dict[str, object]:
    odd: list[object] = [None, [], {}, 1.5, "x" * random.randint(0, 60), True, "-", {"a": [1]}]
    names = ("value", "context", "measurand", "phase", "location", "unit", "format", "more")
    return {name: random.choice(odd) for name in random.sample(names, random.randint(1, len(names)))}


def _nested(random: Random) -> object:
    depth = random.choice((20, 28, 31, 40, 100_000))
    return "[" * depth + "]" * depth if depth > 1_000 else json.loads("[" * depth + "]" * depth)


def _json_kinds() -> dict[str, Callable[[Random], bytes]]:
    now, local = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"

    def unknown(random: Random) -> bytes:
        count = random.choice((5_000, 15_000, 19_000, 60_000, 90_000))
        return frame("Heartbeat", {f"{random.choice('ab')}{number}": 1 for number in range(count)})

    def deep(random: Random) -> bytes:
        inner = _nested(random)
        if isinstance(inner, str):
            return f'[2,"1","Heartbeat",{{"a":{inner}}}]'.encode()[:_FRAME]
        return frame("Heartbeat", {f"a{number}": inner for number in range(random.randint(1, 600))})

    def long(random: Random) -> bytes:
        text = random.choice(("x", "\\", '"', "<", "\u00e9", "&")) * random.randint(1_000, 170_000)
        return frame("DataTransfer", {"vendorId": "v", "data": text})

    return {
        "JSON, unknown members": unknown,
        "JSON, values": lambda r: frame("MeterValues", _meter_values(r, _FRAME, now, lambda: _full(r))),
        "JSON, values without a zone": lambda r: frame(
            "MeterValues", _meter_values(r, _FRAME, local, lambda: {"value": "1"})
        ),
        "JSON, bad in every field": lambda r: frame("MeterValues", _meter_values(r, _FRAME, now, lambda: _bad(r))),
        "JSON, deep": deep,
        "JSON, long": long,
    }


def envelope(body: str) -> bytes:
    """A message of the attacker's over SOAP."""
    return (
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns="{NAMESPACE}"><s:Header>'
        f"<chargeBoxIdentity>S attacker</chargeBoxIdentity></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _xml_values(random: Random, stamp: str, sample: Callable[[], Mapping[str, object]]) -> bytes:
    def value() -> str:
        fields = "".join(f"<{name}>{text}</{name}>" for name, text in sample().items())
        return f"<meterValue><timestamp>{stamp}</timestamp><sampledValue>{fields}</sampledValue></meterValue>"

    count = random.randint(1, (_BODY - 1_000) // len(value()))
    inside = "<connectorId>1</connectorId>"
    while count and len(inside) < _BODY - 1_000:
        inside += value()
        count -= 1
    return envelope(f"<meterValuesRequest>{inside}</meterValuesRequest>")


def _soap_kinds() -> dict[str, Callable[[Random], bytes]]:
    now, local = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"

    def unknown(random: Random) -> bytes:
        form = random.choice(("<a/>", "<a{}/>", "<a b='1'/>", "<idTag/>"))
        count = random.choice((5_000, 9_900, 19_900, 30_000))
        return envelope(f"<heartbeatRequest>{''.join(form.format(n) for n in range(count))}</heartbeatRequest>")

    def deep(random: Random) -> bytes:
        depth = random.choice((20, 28, 200))
        return envelope(f"<heartbeatRequest>{('<a>' * depth + '</a>' * depth) * (3_000 // depth)}</heartbeatRequest>")

    def long(random: Random) -> bytes:
        text = random.choice(("x", "&amp;", "&#65;", "<b/>", "\u00e9")) * random.randint(1_000, 40_000)
        text = text[: _BODY - 1_000] if "&" not in text and "<" not in text else text
        return envelope(f"<dataTransferRequest><vendorId>v</vendorId><data>{text}</data></dataTransferRequest>")

    def bad(random: Random) -> bytes:
        odd = ("", " ", "x", "-", "1e9", "<b/>", "true")
        names = ("value", "context", "measurand", "phase", "location", "unit", "format", "more")
        sample = lambda: {name: random.choice(odd) for name in random.sample(names, random.randint(1, 8))}  # noqa: E731
        return _xml_values(random, random.choice((now, "never", "")), sample)

    return {
        "SOAP, unknown elements": unknown,
        "SOAP, values": lambda r: _xml_values(r, now, lambda: _full(r)),
        "SOAP, values without a zone": lambda r: _xml_values(r, local, lambda: {"value": "1"}),
        "SOAP, bad in every field": bad,
        "SOAP, deep": deep,
        "SOAP, long": long,
    }


def _inflating(random: Random) -> bytes:
    return gzip.compress(b"<a>" + b" " * random.randint(10_000_000, 190_000_000))


# Parties.


async def _answer_json(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            head = message[:60] if isinstance(message, str) else message[:60].decode()
            name, action = head.split('"')[1], head.split('"')[3]
            answers = {"Heartbeat": '{"currentTime":"2026-01-01T00:00:00Z"}', "DataTransfer": '{"status":"Accepted"}'}
            await connection.send(f'[3,"{name}",{answers.get(action, "{}")}]')


@asynccontextmanager
async def soap_central_system() -> AsyncIterator[str]:
    """It answers whatever is asked with what was made beforehand."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                begin = body.find(b"Request", body.find(b"Body>"))
                action = body[body.rfind(b"<", 0, begin) + 1 : begin].rpartition(b":")[2].decode()
                inside = "<status>Accepted</status>" if action == "dataTransfer" else ""
                inside = "<currentTime>2026-01-01T00:00:00Z</currentTime>" if action == "heartbeat" else inside
                said = envelope(f"<{action}Response>{inside}</{action}Response>")
                lines = f"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: {len(said)}\r\n\r\n"
                writer.write(lines.encode() + said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=4_194_304)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{CENTRAL_SYSTEM_SERVICE}"


class _Bench(Struct, kw_only=True):
    process: int
    soap: int
    websocket: int
    log: Path


@asynccontextmanager
async def _bench(checkout: Path) -> AsyncIterator[_Bench]:
    """The bridge of `checkout`, with a Central System of either kind."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        central = await stack.enter_async_context(
            serve(_answer_json, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], max_size=None, compression=None)
        )
        port = next(iter(central.sockets)).getsockname()[1]
        soap_url = await stack.enter_async_context(soap_central_system())
        ports = {name: free_port() for name in ("soap", "websocket", "admin")}
        file, log = folder / "bridge.toml", folder / "log"
        file.write_text(
            _CONFIGURATION.format(folder=folder, json_url=f"ws://127.0.0.1:{port}/ocpp", soap_url=soap_url, **ports)
        )
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bridge", "serve", "--config", str(file)),
                stderr=stderr,
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": str(checkout)},
            )
        stack.push_async_callback(ended, process)
        if several_cores():
            os.sched_setaffinity(process.pid, {0})
        await serving(process, ports["admin"], log)
        yield _Bench(process=process.pid, soap=ports["soap"], websocket=ports["websocket"], log=log)


def post(body: bytes, more: str = "") -> bytes:
    head = f"POST {CENTRAL_SYSTEM_SERVICE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Neighbour:
    """The Charge Point beside the attacker, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.id = process.pid

    async def tell(self) -> None:
        """Begin a measurement, or end the one that is begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    async def took(self) -> list[float]:
        """How long each Heartbeat took, in milliseconds."""
        assert self._process.stdout is not None
        found: list[float] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def _neighbour(port: int) -> AsyncIterator[_Neighbour]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.neighbour", str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16_777_216,
    )
    try:
        yield _Neighbour(process)
    finally:
        await ended(process)


def p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98] if len(took) > 2 else max(took, default=0.0)


class _Attacker:
    """Sends messages, one at a time, on whichever door they are for; who is hung up on comes again."""

    def __init__(self, bench: _Bench, kind: str, pause: float) -> None:
        self._bench = bench
        self._kind = kind
        self._pause = pause  # after each message, as a share of the time that it took
        self._socket: ClientConnection | None = None

    async def send(self, message: bytes) -> None:
        begun = time.perf_counter()
        await self._send(message)
        await asyncio.sleep((time.perf_counter() - begun) * self._pause)

    async def _send(self, message: bytes) -> None:
        with suppress(ConnectionClosed, OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(60):
                await (self._over_json(message) if self._kind.startswith("JSON") else self._over_soap(message))
            return
        self._socket = None

    async def _over_json(self, message: bytes) -> None:
        if self._socket is None:
            url = f"ws://127.0.0.1:{self._bench.websocket}/ocpp/J"
            protocols = [Subprotocol("ocpp1.6")]
            self._socket = await connect(url, subprotocols=protocols, max_size=None, compression=None, proxy=None)
        await self._socket.send(message, text=True)
        await self._socket.recv()

    async def _over_soap(self, message: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._bench.soap)
        try:
            writer.write(post(message, "Content-Encoding: gzip\r\n" if "gzip" in self._kind else ""))
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


# Measuring.


async def measure(
    checkout: Path, seconds: float = 3.0, drawn: int = DRAWN, only: str = "", *, alone: bool = False
) -> list[Row]:
    """The worst of each kind.

    Args:
        checkout: The folder of the bridge that is measured.
        seconds: How long the neighbour is measured, with the worst message and without.
        drawn: How many messages of each kind are tried.
        only: What the names of the kinds that are measured have in them.
        alone: Whether all is measured with real-time priority.
    """
    kinds = _json_kinds() | _soap_kinds() | {"SOAP, gzip": _inflating}
    rows = []
    for kind, draw in kinds.items():
        if only not in kind:
            continue
        async with _bench(checkout) as bench:
            rows.append(await _worst(bench, kind, draw, seconds, drawn, alone=alone))
            print(line(rows[-1]), flush=True)
    return rows


async def _worst(
    bench: _Bench, kind: str, draw: Callable[[Random], bytes], seconds: float, drawn: int, *, alone: bool
) -> Row:
    random = Random(f"{_SEED} {kind}")
    attacker = _Attacker(bench, kind, real_time.PAUSE if alone else 0.0)
    async with AsyncExitStack() as stack:
        gc.disable()  # a pause of the Central Systems, which are in this process, would be felt as one of the bridge
        stack.callback(gc.enable)
        neighbour = await stack.enter_async_context(_neighbour(bench.soap))
        if alone:
            loops = {bench.process: (real_time.LOOP, real_time.THREADS), neighbour.id: (real_time.NEIGHBOUR,) * 2}
            await stack.enter_async_context(real_time.preferred(loops))
        try:
            await _beside(neighbour, 0.5, None)
            without = await _beside(neighbour, seconds, None)
            longest, message = -1.0, b""
            for _ in range(drawn):
                candidate = draw(random)
                felt = max(await _beside(neighbour, 0.0, partial(attacker.send, candidate)), default=0.0)
                if felt > longest:
                    longest, message = felt, candidate
            before, sent = bench.log.stat().st_size, 0

            async def again() -> None:
                nonlocal sent
                await attacker.send(message)
                sent += 1

            beside = await _beside(neighbour, seconds, again)
            logged = (bench.log.stat().st_size - before) / max(1, sent)
        finally:
            await attacker.close()
    return Row(
        kind=kind,
        octets=len(message),
        without=p99(without),
        p99=p99(beside),
        longest=max(beside),
        sent=sent,
        logged=logged,
    )


async def _beside(neighbour: _Neighbour, seconds: float, attack: Callable[[], Awaitable[None]] | None) -> list[float]:
    """What the neighbour felt in so many seconds, while `attack` was done again and again, once at least."""
    await neighbour.tell()
    await asyncio.sleep(0.05)
    until = time.perf_counter() + seconds
    while attack is not None:
        await attack()
        if time.perf_counter() >= until:
            break
    await asyncio.sleep(max(0.05, until - time.perf_counter()))
    await neighbour.tell()
    return await neighbour.took()


def line(row: Row) -> str:
    """One, to be read while the others are measured."""
    return (
        f"{row.kind:<30}{row.octets:>9} octets, {row.sent:>4} sent: p99 {row.without:6.2f} -> {row.p99:8.2f} ms, "
        f"{row.ratio:6.1f} times; longest {row.longest:8.1f} ms; {row.logged:8.0f} octets of log a message"
    )


def report(rows: list[Row]) -> str:
    """As a table of Markdown."""
    lines = [
        "| the worst of its kind | octets | p99 without, ms | with | ratio | log, octets a message |",
        "|---" * 6 + "|",
    ]
    lines += [
        f"| {row.kind} | {row.octets} | {row.without:.1f} | {row.p99:.1f} | {row.ratio:.1f} | {row.logged:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.isolation", description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path(), metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--drawn", type=int, default=DRAWN)
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--real-time", action="store_true", help="let no other program run in between (Linux, root)")
    chosen = parser.parse_args()
    checkout, alone = chosen.checkout.absolute(), chosen.real_time
    print(report(asyncio.run(measure(checkout, chosen.seconds, chosen.drawn, chosen.only, alone=alone))))


if __name__ == "__main__":
    main()
