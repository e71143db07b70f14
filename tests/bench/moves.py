"""How soon a Charge Point that is moved has a connection to its new Central System, with the answers to its
BootNotification and its status: seconds since the move was asked for, 20 Charge Points at a time as in a wave.

Beside each wave, as many bare WebSockets are dialled to the same Central System, and send the same. The bridge, its
API, the Charge Points and both Central Systems are in one process, and the store of the bridge is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from msgspec import Struct

from bridge.app import Gateway
from bridge.config import CentralSystem, Store
from tests.admin.asked import Api, api_of
from tests.bench import frames
from tests.bench.figures import Figure, Plan, figure, percentile, table
from tests.bench.parties import answer_of
from tests.e2e.stage import AT, CS, envelope, post, running, settings

WAVE = 20
SOAP, JSON = 220, 80
WITHIN = 5.0  # seconds: design/central-systems.md wants every Charge Point at its new Central System by then
_BARE = "bare"
_BOOT = b',"BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'
_STATUS = b',"StatusNotification",{"connectorId":1,"status":"Available","errorCode":"NoError"}]'
_ANSWERS = {
    b"BootNotification": b'{"status":"Accepted","currentTime":"%s","interval":300}' % AT.encode(),
    b"StatusNotification": b"{}",
}
_SOAP_BOOT = (
    f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor>'
    "<chargePointModel>M</chargePointModel></bootNotificationRequest>"
)
_SOAP_STATUS = (
    f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId><status>Available</status>'
    "<errorCode>NoError</errorCode></statusNotificationRequest>"
)


class Moved(Struct, frozen=True, kw_only=True):
    """Seconds until the status of a Charge Point was at its new Central System, in each repetition; `worst` is that of
    all. `late` took longer than WITHIN, of `count`."""

    kind: str
    count: int
    p50: Figure
    p99: Figure
    worst: float
    late: int


class _Central:
    """A Central System that notes when the status of a Charge Point came."""

    def __init__(self) -> None:
        self.url = ""
        self._waiting: dict[str, Callable[[float], None]] = {}

    def told(self, identity: str) -> asyncio.Future[float]:
        """When the next status of a Charge Point comes."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[identity] = future.set_result
        return future

    def came(self, identity: str) -> None:
        if (waiting := self._waiting.pop(identity, None)) is not None:
            waiting(time.perf_counter())


class _Noting(frames.Accepted):
    def __init__(self, central: _Central) -> None:
        super().__init__(_ANSWERS, lambda party: None)
        self._central = central

    def _take(self, opcode: int, begin: bytes) -> None:
        super()._take(opcode, begin)
        if b'"StatusNotification"' in begin:
            self._central.came(self.path.rpartition("/")[2])


@asynccontextmanager
async def _listening() -> AsyncIterator[_Central]:
    central = _Central()
    parties: list[_Noting] = []

    def accepted() -> _Noting:
        parties.append(_Noting(central))
        return parties[-1]

    server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0, backlog=4096)
    central.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
    try:
        yield central
    finally:
        server.close()
        for party in parties:
            party.close()


async def measure(plan: Plan) -> list[Moved]:
    """All Charge Points to and fro, one wave after the other."""
    logging.getLogger("bridge").setLevel(logging.CRITICAL)  # links go down when it is over
    share = plan.charge_points / 300 if plan.quick else 1.0
    kinds = {
        "SOAP": [f"S{number:04}" for number in range(max(1, int(SOAP * share)))],
        "JSON": [f"J{number:04}" for number in range(max(1, int(JSON * share)))],
    }
    runs: dict[str, list[list[float]]] = {kind: [] for kind in (*kinds, _BARE)}
    async with AsyncExitStack() as held:
        enter = held.enter_async_context
        central = {name: await enter(_listening()) for name in ("main", "new")}
        folder = held.enter_context(tempfile.TemporaryDirectory())
        told = msgspec.structs.replace(
            settings("ws://127.0.0.1:1/"),
            store=Store(url=f"sqlite:///{folder}/store.db"),
            central_systems={name: CentralSystem(url=one.url) for name, one in central.items()},
        )
        gateway = await enter(running(told))
        api = await enter(api_of(gateway))
        points = await _booted(gateway, kinds)
        for repetition in range(plan.repetitions):
            name = ("new", "main")[repetition % 2]
            took: dict[str, list[float]] = {kind: [] for kind in runs}
            for kind, names in kinds.items():
                for first in range(0, len(names), WAVE):
                    wave = names[first : first + WAVE]
                    took[kind] += await _moved(api, name, central[name], wave)
                    took[_BARE] += await _bare(central[name], len(wave))
            for kind, each in took.items():
                runs[kind].append(sorted(each))
        for point in points:
            assert point._wire is not None, "a JSON Charge Point has lost its WebSocket"
            point.close()
    return [_row(kind, each) for kind, each in runs.items()]


async def _booted(gateway: Gateway, kinds: dict[str, list[str]]) -> list[frames.Party]:
    for identity in kinds["SOAP"]:
        for body in (_SOAP_BOOT, _SOAP_STATUS):
            assert (await post(gateway, envelope(body, identity=identity))).status == 200
    port, points = gateway.websocket_address[1], []
    for identity in kinds["JSON"]:
        points.append(await frames.dialled(port, f"/ocpp/{identity}", _ANSWERS))
        await _introduced(points[-1])
    return points


async def _introduced(party: frames.Party) -> None:
    assert [await answer_of(party, said) for said in (_BOOT, _STATUS)] == [200, 200]


async def _moved(api: Api, name: str, central: _Central, wave: Sequence[str]) -> list[float]:
    coming = [central.told(identity) for identity in wave]
    begun = time.perf_counter()
    wanted = {"charge_points": list(wave), "central_system": name, "when": "now", "wave": WAVE}
    number = (await api("POST", "/moves", wanted)).data["id"]
    async with asyncio.timeout(60):
        ended = await asyncio.gather(*coming)
        while (await api.get(f"/moves/{number}"))["state"] != "done":  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)
    return [at - begun for at in ended]


async def _bare(central: _Central, count: int) -> list[float]:
    begun = time.perf_counter()
    port = int(central.url.rpartition(":")[2].partition("/")[0])

    async def one(number: int) -> float:
        party = await frames.dialled(port, f"/ocpp/bare-{number}", _ANSWERS)
        await _introduced(party)
        took = time.perf_counter() - begun
        party.close()
        return took

    return list(await asyncio.gather(*map(one, range(count))))


def _row(kind: str, runs: list[list[float]]) -> Moved:
    return Moved(
        kind=kind,
        count=sum(map(len, runs)),
        p50=figure(percentile(run, 0.5) for run in runs),
        p99=figure(percentile(run, 0.99) for run in runs),
        worst=max(max(run) for run in runs),
        late=sum(took > WITHIN for run in runs for took in run),
    )


def report(rows: list[Moved]) -> str:
    """For a person."""
    bare = next(row for row in rows if row.kind == _BARE)
    cells = [
        (
            f"{row.kind}, {row.count} in waves of {WAVE}",
            row.p50.text(3),
            row.p99.text(3),
            f"{row.worst:.3f}",
            f"{row.p50.median / bare.p50.median:.1f}",
            f"{row.late}",
        )
        for row in rows
    ]
    return table(("until the status was there, s (spread)", "p50", "p99", "worst", "of bare", "over 5 s"), cells)
