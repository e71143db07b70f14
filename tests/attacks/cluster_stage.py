"""Three nodes of a cluster that can break, their Charge Points, and a Central System that never fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.net.tasks import Tasks
from tests.attacks.cluster_ledger import Arrival, Connected, FaultCounts, counted
from tests.attacks.cluster_past import charged
from tests.attacks.siege_charge_points import JsonPoint, Minutes, Point, SoapPoint
from tests.attacks.siege_json_central_system import answers_to
from tests.attacks.siege_ledger import Recorded, Sent, Told, Verdict
from tests.attacks.siege_messages import number_in_payload
from tests.cluster.servers import NatsServer, nats_at, three_servers
from tests.e2e.processes import Bridge
from tests.ports import free_port

VICTIM = "b"
"""The node that breaks."""
WITHIN = 300.0
"""Seconds within which anything happens, on a machine that is busy."""
# Charge Points of each kind at each node.
_POINTS = {"a": 8, VICTIM: 3, "c": 8}
# Seconds that the Central System takes for an answer, and of a Charge Point between two messages, on average.
_ANSWERS_AFTER, _PAUSE = 0.02, 0.25
_PAUSE_AFTER_FAILURE = 0.05


class CentralSystem:
    """A JSON Central System. It answers after some time, so that there is always something in progress.

    Its URL names the process that dialled it, so that it knows what each process has sent.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.connections: list[Connected] = []
        self._port = free_port()
        self._tasks = Tasks()

    def url(self, sender: str) -> str:
        """Where the process `sender` reaches it."""
        return f"ws://127.0.0.1:{self._port}/{sender}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While it does."""
        only = Subprotocol("ocpp1.6")
        async with serve(self._accepted, "127.0.0.1", self._port, subprotocols=[only], compression=None):
            try:
                yield
            finally:
                await self._tasks.close()

    async def _accepted(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        _, sender, identity = unquote(websocket.request.path).split("/")
        made = Connected(identity=identity, sender=sender, at=time.time())
        self.connections.append(made)
        with contextlib.suppress(ConnectionClosed):
            async for text in websocket:
                frame = json.loads(text)
                if frame[0] != 2:
                    continue
                if (number := number_in_payload(frame[2], frame[3])) is not None:
                    recorded = Recorded(identity=identity, number=number, action=frame[2], unique_id=frame[1])
                    self.arrivals.append(Arrival(recorded=recorded, sender=sender, at=time.time()))
                self._tasks.spawn(self._answer(websocket, identity, frame), name=f"answer to {identity}")
        made.code = websocket.close_code

    async def _answer(self, websocket: ServerConnection, identity: str, frame: list[Any]) -> None:
        await asyncio.sleep(_ANSWERS_AFTER)
        with contextlib.suppress(ConnectionClosed):
            for answer in answers_to(identity, frame, "", "none"):
                await websocket.send(answer)


class Cable:
    """What a node reaches a NATS server through, until it is cut: then nothing comes through, and nothing is closed."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks = Tasks()
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        """While it is there."""
        async with await asyncio.start_server(self._accepted, "127.0.0.1", self._port):
            try:
                yield
            finally:
                await self._tasks.close()

    def cut(self) -> None:
        """From now on what is sent waits."""
        self._whole.clear()

    def mend(self) -> None:
        """What waits is passed on."""
        self._whole.set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        except OSError:
            writer.close()
            return
        self._tasks.spawn(self._pass(reader, far_writer), name="to the server")
        self._tasks.spawn(self._pass(far_reader, writer), name="from the server")

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._whole.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


class Node(Bridge):
    """One node, with listeners of its own. Each of its processes has a URL of its own for the Central System."""

    def __init__(self, folder: Path, name: str, central: CentralSystem, servers: Sequence[str]) -> None:
        self.name = name
        self._central, self._runs = central, 0
        folder.mkdir()
        cluster = f'[cluster]\nservers = {json.dumps(list(servers))}\nnode = "{name}"\n'
        super().__init__(folder, self._systems(), more=cluster)
        self.patience = WITHIN

    def _systems(self) -> Mapping[str, Mapping[str, Any]]:
        url = self._central.url(f"{self.name}.{self._runs}")
        return {"main": {"url": url, "protocol": "ocpp1.6j", "reconnect_min": 0.05, "reconnect_max": 0.5}}

    async def start(self) -> None:
        self._runs += 1
        self.configure(self._systems())
        await super().start()

    async def takes_slots(self, since: int) -> None:
        """Wait until it has taken slots after the first `since` lines of its log."""
        async with asyncio.timeout(WITHIN):
            while not any("slots taken" in line for line in self.lines[since:]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@dataclass(slots=True)
class Load(Minutes):
    """The Charge Points of one node. Each message is timed from its first attempt until it is delivered."""

    points: list[Point] = field(default_factory=list)
    done: list[tuple[str, float, float]] = field(default_factory=list)
    """The identity, and the times of the first attempt and of the delivery."""
    begun: dict[tuple[str, int], float] = field(default_factory=dict)

    def attempt(self, sent: Sent) -> None:
        self.begun.setdefault((sent.identity, sent.number), time.monotonic())
        Minutes.attempt(self, sent)

    def note(self, told: Told) -> None:
        if told.verdict is not Verdict.FAILED and (at := self.begun.pop((told.identity, told.number), None)):
            self.done.append((told.identity, at, time.monotonic()))
        Minutes.note(self, told)

    async def rest_after_failure(self) -> None:
        """Short: the wait is that for the bridge."""
        await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    def longest_since(self, since: float) -> float:
        """The longest wait of those that were over at `since` or later, or are not over, in seconds."""
        now = time.monotonic()
        waits = [now - at for at in self.begun.values()]
        return max([*waits, *(until - at for _, at, until in self.done if until >= since)], default=0.0)

    async def delivers(self) -> None:
        """Wait until each Charge Point has delivered a message that it began after this call."""
        since, wanted = time.monotonic(), {point.identity for point in self.points}
        async with asyncio.timeout(WITHIN):
            while wanted:
                await asyncio.sleep(0.05)
                wanted -= {identity for identity, at, _ in self.done if at >= since}


class Cluster:
    """What runs. There are one or three NATS servers."""

    def __init__(self, folder: Path, servers: Sequence[NatsServer], central: CentralSystem) -> None:
        self.servers, self.central, self.cable = servers, central, Cable(servers[0])
        direct = [server.url for server in servers]
        through = {VICTIM: [self.cable.url] if len(servers) == 1 else direct}
        self.nodes = {name: Node(folder / name, name, central, through.get(name, direct)) for name in _POINTS}
        self.loads: dict[str, Load] = {}
        self._numbers = 0

    @property
    def victim(self) -> Node:
        return self.nodes[VICTIM]

    def longest(self, since: float) -> tuple[float, float]:
        """The longest waits since then: through the nodes that stay well, and through the one that breaks."""
        well = max(load.longest_since(since) for name, load in self.loads.items() if name != VICTIM)
        return well, self.loads[VICTIM].longest_since(since)

    async def deliver(self, *, victim: bool = True) -> None:
        """Wait until each Charge Point delivers, without those of the victim's listeners if `victim` is False."""
        loads = [load for name, load in self.loads.items() if victim or name != VICTIM]
        await asyncio.gather(*(load.delivers() for load in loads))

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """While new Charge Points charge; all that they send is delivered at the end."""
        first = self._numbers
        for name, points in _POINTS.items():
            load = self.loads[name] = Load(
                bridge=self.nodes[name], random=Random(first), pause=_PAUSE, tell=lambda told: None, patience=WITHIN
            )
            for number in range(self._numbers, self._numbers + points):
                load.points += [SoapPoint(f"S {number}", load), JsonPoint(f"J {number}", load)]
            self._numbers += points
        # A collection of the ledger takes half a second after some series, and would count as a wait for the bridge.
        gc.collect()
        gc.disable()
        living = [asyncio.ensure_future(point.live()) for load in self.loads.values() for point in load.points]
        try:
            await self.deliver()
            yield
            for load in self.loads.values():
                load.is_over = True
            await asyncio.wait(living, timeout=WITHIN)
        finally:
            for one in living:
                one.cancel()
            await asyncio.gather(*living, return_exceptions=True)
            gc.enable()

    def counts(self) -> FaultCounts:
        """What was counted of the last Charge Points."""
        sent = [sent for load in self.loads.values() for sent in load.sent]
        identities = {attempt.identity for attempt in sent}
        return counted(
            sent,
            [told for load in self.loads.values() for told in load.told if told.identity in identities],
            [arrival for arrival in self.central.arrivals if arrival.recorded.identity in identities],
            self.central.connections,
        )

    def write_down(self, folder: Path) -> None:
        """For who looks into a fault: the logs of the nodes, and what was sent, told and arrived."""
        for node in self.nodes.values():
            (folder / f"{node.name}.log").write_text("".join(node.lines))
        noted: dict[str, Sequence[Any]] = {
            "arrived": self.central.arrivals,
            "connected": self.central.connections,
            "sent": [sent for load in self.loads.values() for sent in load.sent],
            "told": [told for load in self.loads.values() for told in load.told],
        }
        for name, entries in noted.items():
            text = "".join(msgspec.json.encode(entry).decode() + "\n" for entry in entries)
            (folder / f"{name}.jsonl").write_text(text)

    def trouble(self) -> list[str]:
        """What no log may have in it."""
        return [line.rstrip() for node in self.nodes.values() for line in node.lines if "Traceback" in line]


@asynccontextmanager
async def cluster(folder: Path, *, servers: int, past: int) -> AsyncIterator[Cluster]:
    """One that runs, and has the records of a week of `past` other Charge Points."""
    async with AsyncExitStack() as stack:
        central = CentralSystem()
        if servers == 1:
            running = [stack.enter_context(nats_at(folder, authorization=False))]
        else:
            running = stack.enter_context(three_servers(folder, authorization=False))
        await charged([server.url for server in running], past)
        await stack.enter_async_context(central.listening())
        made = Cluster(folder, running, central)
        await stack.enter_async_context(made.cable.laid())
        for node in made.nodes.values():
            await stack.enter_async_context(node)
        for node in made.nodes.values():
            await node.takes_slots(0)
        try:
            yield made
        finally:
            made.write_down(folder)
