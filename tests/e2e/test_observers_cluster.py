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
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from bridge.cluster.slots import slot_of
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.wire import WireMessage
from bridge.store.records import ObservedRecord, ObserverLaneRecord
from tests.cluster.servers import TOKEN, nats_at
from tests.cluster.test_shared_store import member
from tests.e2e.cluster import ClusterNode, cluster_of, until
from tests.e2e.stage import AT, AT_MOST, CS, WSDL, Answer, envelope, post
from tests.e2e.test_restart import start, told
from tests.ports import free_port
from tests.process_states import frozen

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

    @asynccontextmanager
    async def sessions_going_on(self) -> AsyncIterator[None]:
        """Let all of them have sessions until the end, where each ends its own."""
        self.is_over = False
        async with asyncio.TaskGroup() as group:
            for number in range(POINTS):
                group.create_task(self.live(f"CP {number}"))
            yield
            self.is_over = True

    def check_order(self, observer: Recorded) -> None:
        """An observer got each session, in the order of its Charge Point."""
        for of_one in self.sessions.values():
            order = [(action, meter) for meter in of_one for action in (START, STOP)]
            assert observer.session_order(of_one) == order

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
            async with fleet.sessions_going_on():
                await fleet.more(20)
                fleet.nodes.remove(b)
                await b.kill()
                await fleet.more(20)
                fleet.nodes.remove(c)
                c.told(signal.SIGTERM)
                assert await c.ended() == 0
                await fleet.more(20)
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
            fleet.check_order(observer)


async def test_what_waits_for_an_observer_that_is_away_follows_its_charge_points(tmp_path: Path) -> None:
    """The Charge Points are silent by then. Any node tells how much waits at all of them. Nothing comes twice."""
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
            async with fleet.sessions_going_on():
                await fleet.more(20)
                fleet.nodes.remove(b)
                await b.kill()
                await fleet.more(20)
            waiting = dict.fromkeys(("ems", "lake"), 2 * fleet.ended)

            async def known(node: ClusterNode) -> bool:
                found = (await node.api("GET", "/observers")).data["items"]
                return {each["central_system"]: each["waiting"] for each in found} == waiting

            await until(lambda: known(a))
            await b.start()
            await until(lambda: _waits(b))
            await until(lambda: known(a))
            await until(lambda: known(b))
            a.told(signal.SIGTERM)
            assert await a.ended() == 0
            await until(lambda: known(b))
            assert not ems.got and not lake.got
            async with json_ems, soap_lake, asyncio.timeout(2 * AT_MOST):
                while not len(ems.got) == len(lake.got) == 2 * fleet.ended:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        for observer in (ems, lake):
            assert observer.copies == 0
            fleet.check_order(observer)


async def test_a_node_that_stood_still_sends_nothing_more_to_observers(tmp_path: Path) -> None:
    """What waits is told by the node that has the Charge Points by then."""
    ems, main, at = Recorded(), JsonCentralSystem(), {"reconnect_min": 0.1, "reconnect_max": 0.3}
    json_ems = JsonCentralSystem(port=free_port(), observe=ems.observe)
    also = '[[routes.also]]\ncentral_system = "ems"\n'
    async with main:
        async with json_ems:
            systems = {"main": {"url": main.url} | at, "ems": {"url": json_ems.url} | at}
        async with cluster_of(tmp_path, systems, "ab", more=also, lease=LEASE) as nodes:
            a, b = nodes
            fleet = Fleet([a, b])
            async with fleet.sessions_going_on():
                await fleet.more(40)
            async with AsyncExitStack() as running:
                with frozen(b.pid):
                    await until(lambda: _has_all(a))
                    await running.enter_async_context(json_ems)
                    async with asyncio.timeout(2 * AT_MOST):
                        while len(ems.got) < 2 * fleet.ended:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)
                await until(lambda: _shares(a, 2))
                assert ems.copies == 0
                async with fleet.sessions_going_on():
                    await fleet.more(20)
                async with asyncio.timeout(2 * AT_MOST):
                    while len(ems.got) < 2 * fleet.ended:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        assert all(len(set(unique_ids)) == 1 for unique_ids in ems.got.values())
        assert ems.copies <= POINTS
        fleet.check_order(ems)


async def test_a_start_that_was_kept_and_not_put_into_the_queue_is_told_by_the_next_node(tmp_path: Path) -> None:
    """A node was killed in between."""
    ems, identity = Recorded(), "CP 1"
    main, json_ems = JsonCentralSystem(), JsonCentralSystem(observe=ems.observe)
    async with main, json_ems, AsyncExitStack() as stack:
        server = stack.enter_context(nats_at(tmp_path))
        async with member(server) as killed:
            await killed.hold(slot_of(identity))
            meters = (1, 2, 3)
            rows = [
                ObservedRecord(
                    identity=identity,
                    kept_at=killed.store.running_time,
                    key=f"key-{meter}",
                    observers=("ems",),
                    action=START,
                    request=b'{"connectorId":1,"idTag":"T","meterStart":%d,"timestamp":"2026-11-30T00:00:00Z"}' % meter,
                    answer=b'[3,{"transactionId":%d,"idTagInfo":{"status":"Accepted"}}]' % meter,
                    connector=1,
                    number=meter,
                )
                for meter in meters
            ]
            entered = ObserverLaneRecord(identity=identity, observer="ems", entered="key-1")
            assert await asyncio.wrap_future(killed.store.commit(*rows, entered))
        more = f'password = "{TOKEN}"\n[[routes.also]]\ncentral_system = "ems"\n'
        systems = {"main": {"url": main.url}, "ems": {"url": json_ems.url}}
        node = ClusterNode(tmp_path / "b", "b", server, systems, more=more, lease=LEASE)
        async with node, asyncio.timeout(2 * AT_MOST):
            while len(ems.got) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert ems.got == {(START, 2): ["key-2"], (START, 3): ["key-3"]}


async def test_a_command_of_an_observer_comes_to_any_node(tmp_path: Path) -> None:
    """Its SOAP request goes to the address of a node, which passes it on to the one that has the Charge Point."""
    main, lake, at = JsonCentralSystem(), SoapCentralSystem(wsdl=WSDL), {"reconnect_min": 0.1, "reconnect_max": 0.3}
    also = '[[routes.also]]\ncentral_system = "lake"\ncommands = ["ClearCache"]\n'
    async with main, lake:
        systems = {"main": {"url": main.url} | at, "lake": {"url": lake.url, "protocol": "ocpp1.6s"} | at}
        async with cluster_of(tmp_path, systems, "ab", more=also) as nodes, AsyncExitStack() as stack:
            identities = [f"CP {number}" for number in range(6)]
            for identity in identities:
                point = JsonChargePoint(url=nodes[0].websocket_url, identity=identity)
                await stack.enter_async_context(point)
                await point.call("Heartbeat", {})
            async with asyncio.timeout(AT_MOST):
                while not lake.addresses.keys() >= {*identities}:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            for node in nodes:
                for identity in identities:
                    port = node.soap_address[1]
                    lake.addresses[identity] = f"http://127.0.0.1:{port}/services/ChargePointService/lake"
                    assert await lake.call(identity, "ClearCache", {}) == {"status": "Accepted"}


async def _has_all(node: ClusterNode) -> bool:
    return bool((await node.api("GET", "//readyz")).data["cluster"]["slots"] == 1024)


async def _waits(node: ClusterNode) -> bool:
    """Whether something waits at this node for observers of its Charge Points."""
    observers = (await node.api("GET", "//readyz")).data.get("observers", {})
    return any(each["waiting"] for each in observers.values())


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
