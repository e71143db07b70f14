"""Further Central Systems of a cluster: what waits for them follows a Charge Point to whichever process has it.

Each node is a process of its own. One is killed and one is stopped while sessions go on. The meter value of a session
is its name: no other one has it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.wire import WireMessage
from tests.e2e.cluster import ClusterNode, cluster_of, until
from tests.e2e.stage import AT, AT_MOST, CS, WSDL, Answer, envelope, post
from tests.e2e.test_restart import start, told
from tests.ports import free_port

POINTS, LEASE = 8, 2.5
START, STOP = "StartTransaction", "StopTransaction"
ALSO = '[[routes.also]]\ncentral_system = "ems"\n[[routes.also]]\ncentral_system = "lake"\n'
_METER = re.compile(r"meterSt(?:art|op)\"?\s*[:>]\s*(\d+)")


class Recorded:
    """What a Central System got: the UniqueIds of each Start and Stop, by its action and meter value, in order."""

    def __init__(self) -> None:
        self.got: dict[tuple[str, int], list[str]] = defaultdict(list)

    def observe(self, message: WireMessage) -> None:
        if (message.direction, message.kind) == ("received", "call") and message.action in (START, STOP):
            meter = _METER.search(message.text)
            assert meter is not None, message.text
            self.got[message.action, int(meter[1])].append(message.unique_id)

    def session_order(self, sessions: list[int]) -> list[tuple[str, int]]:
        """The messages of a Charge Point with these sessions, in the order in which they came first."""
        return [one for one in self.got if one[1] in sessions]

    @property
    def copies(self) -> int:
        return sum(len(each) - 1 for each in self.got.values())


def stop_at(number: str, meter: int, identity: str) -> bytes:
    body = (
        f'<stopTransactionRequest xmlns="{CS}"><transactionId>{number}</transactionId><timestamp>{AT}</timestamp>'
        f"<meterStop>{meter}</meterStop></stopTransactionRequest>"
    )
    return envelope(body, identity=identity)


class Fleet:
    """Charge Points with one session after the other, at any of the nodes that are there. They repeat what fails.

    Attributes:
        nodes: The nodes to which requests go.
        sessions: The meter values of the sessions whose StopTransaction was answered, by Charge Point.
    """

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes
        self.sessions: dict[str, list[int]] = defaultdict(list)
        self.is_over = False
        self._random, self._meters = Random(7), itertools.count(1)

    async def live(self, identity: str) -> None:
        while not self.is_over:
            meter = next(self._meters)
            number = told(await self._sent(start(meter, identity=identity)))[1]
            await self._sent(stop_at(number, meter, identity))
            self.sessions[identity].append(meter)
            await asyncio.sleep(0.02)

    async def _sent(self, body: bytes) -> Answer:
        async with asyncio.timeout(2 * AT_MOST):
            while True:
                with suppress(OSError, EOFError, TimeoutError):
                    answer = await post(self._random.choice(self.nodes), body)
                    if answer.status == 200:
                        return answer
                await asyncio.sleep(0.05)

    async def more(self, number: int) -> None:
        """Wait until so many more sessions have ended."""
        until = self.ended + number
        async with asyncio.timeout(2 * AT_MOST):
            while self.ended < until:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.05)

    @property
    def ended(self) -> int:
        return sum(map(len, self.sessions.values()))


async def test_no_start_and_no_stop_is_missing_at_an_observer_whatever_becomes_of_the_nodes(tmp_path: Path) -> None:
    ems, lake = Recorded(), Recorded()
    main = JsonCentralSystem()
    json_ems, soap_lake = JsonCentralSystem(observe=ems.observe), SoapCentralSystem(wsdl=WSDL, observe=lake.observe)
    json_ems.answers.transactions.update({number: {} for number in range(1, 5000)})
    async with main, json_ems, soap_lake:
        systems = {
            "main": {"url": main.url, "reconnect_min": 0.1, "reconnect_max": 0.3},
            "ems": {"url": json_ems.url, "reconnect_min": 0.1, "reconnect_max": 0.3},
            "lake": {"url": soap_lake.url, "protocol": "ocpp1.6s", "reconnect_min": 0.1, "reconnect_max": 0.3},
        }
        async with cluster_of(tmp_path, systems, "abc", more=ALSO, lease=LEASE) as nodes:
            a, b, c = nodes
            fleet = Fleet([a, b, c])
            async with asyncio.TaskGroup() as group:
                for number in range(POINTS):
                    group.create_task(fleet.live(f"CP {number}"))
                await fleet.more(20)
                fleet.nodes.remove(b)
                await b.kill()
                await fleet.more(20)
                fleet.nodes.remove(c)
                c.told(signal.SIGTERM)
                assert await c.ended() == 0
                await fleet.more(20)
                fleet.is_over = True
            sessions = {meter for each in fleet.sessions.values() for meter in each}
            wanted = {(action, meter) for meter in sessions for action in (START, STOP)}
            async with asyncio.timeout(2 * AT_MOST):
                while not (wanted <= ems.got.keys() and wanted <= lake.got.keys()):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            states = (await a.api("GET", "/observers")).data["items"]
            assert [(each["central_system"], each["waiting"], each["halted"]) for each in states] == [
                ("ems", 0, 0),
                ("lake", 0, 0),
            ]
        for observer in (ems, lake):
            assert observer.got.keys() == wanted
            # What was out when a node ended came twice, under one UniqueId: one message for each Charge Point at most.
            assert all(len(set(unique_ids)) == 1 for unique_ids in observer.got.values())
            assert observer.copies <= 2 * POINTS
            for of_one in fleet.sessions.values():
                order = [(action, meter) for meter in of_one for action in (START, STOP)]
                assert observer.session_order(of_one) == order


async def test_what_waits_for_an_observer_that_is_away_follows_its_charge_points(tmp_path: Path) -> None:
    """Nothing is sent before: so nothing comes twice."""
    ems, lake = Recorded(), Recorded()
    main, at = JsonCentralSystem(), {"reconnect_min": 0.1, "reconnect_max": 0.3}
    json_ems = JsonCentralSystem(port=free_port(), observe=ems.observe)
    soap_lake = SoapCentralSystem(wsdl=WSDL, port=free_port(), observe=lake.observe)
    async with main:
        async with json_ems, soap_lake:
            systems = {
                "main": {"url": main.url} | at,
                "ems": {"url": json_ems.url} | at,
                "lake": {"url": soap_lake.url, "protocol": "ocpp1.6s"} | at,
            }
        async with cluster_of(tmp_path, systems, "ab", more=ALSO, lease=LEASE) as nodes:
            a, b = nodes
            fleet = Fleet([a, b])
            async with asyncio.TaskGroup() as group:
                for number in range(POINTS):
                    group.create_task(fleet.live(f"CP {number}"))
                await fleet.more(20)
                fleet.nodes.remove(b)
                await b.kill()
                await fleet.more(20)
                await b.start()
                await until(lambda: _shares(a, 2))
                fleet.nodes = [b]
                a.told(signal.SIGTERM)
                assert await a.ended() == 0
                await fleet.more(20)
                fleet.is_over = True
            waiting = dict.fromkeys(("ems", "lake"), 2 * fleet.ended)

            async def known() -> bool:
                found = (await b.api("GET", "/observers")).data["items"]
                return {each["central_system"]: each["waiting"] for each in found} == waiting

            await until(known)
            assert not ems.got and not lake.got
            async with json_ems, soap_lake:
                async with asyncio.timeout(2 * AT_MOST):
                    while not len(ems.got) == len(lake.got) == 2 * fleet.ended:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        for observer in (ems, lake):
            assert observer.copies == 0
            for of_one in fleet.sessions.values():
                order = [(action, meter) for meter in of_one for action in (START, STOP)]
                assert observer.session_order(of_one) == order


async def _shares(node: ClusterNode, nodes: int) -> bool:
    cluster = (await node.api("GET", "//readyz")).data["cluster"]
    return len(cluster["nodes"]) == nodes and cluster["slots"] < 1024


async def test_any_node_tells_the_readiness_of_all_and_it_follows_the_charge_points(tmp_path: Path) -> None:
    shadow = '[[routes.also]]\ncentral_system = "ems"\nrole = "shadow"\n'
    main, ems = JsonCentralSystem(), JsonCentralSystem()
    async with main, ems:
        systems: dict[str, dict[str, Any]] = {
            "main": {"url": main.url},
            "ems": {"url": ems.url, "ready_after": 1},
        }
        async with cluster_of(tmp_path, systems, "ab", more=shadow, lease=LEASE) as nodes:
            a, b = nodes
            for number in range(POINTS):
                identity, meter = f"CP {number}", number + 1
                transaction = told(await post(a, start(meter, identity=identity)))[1]
                assert (await post(b, stop_at(transaction, meter, identity))).status == 200

            async def ready(node: ClusterNode) -> bool:
                told_ = (await node.api("GET", "/central-systems/ems/readiness")).data
                return bool(told_["ready"]) and told_["sessions"] == told_["charge_points"] == POINTS

            await until(lambda: ready(a))
            await until(lambda: ready(b))
            b.told(signal.SIGTERM)
            assert await b.ended() == 0
            await until(lambda: ready(a))
