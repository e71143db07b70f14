"""Nodes of a cluster that are processes of their own, as on several machines: each has its listeners, and all one
nats-server."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import Payload, WireMessage
from tests.cluster.nodes import until
from tests.cluster.servers import TOKEN, NatsServer, nats_at
from tests.e2e.processes import Bridge, CentralSystem
from tests.e2e.stage import AT, AT_MOST, CS, envelope, post
from tests.e2e.test_restart import start, told

POINTS, LEASE = 24, 2.5


class Node(Bridge):
    """A bridge that is a node of the cluster at `nats`, with a folder of its own."""

    def __init__(
        self, folder: Path, name: str, nats: NatsServer, central: str = "ws://127.0.0.1:1/", password: str = TOKEN
    ) -> None:
        self.name = name
        (folder / name).mkdir(exist_ok=True)
        more = f'[cluster]\nservers = ["{nats.url}"]\nnode = "{name}"\nlease = {LEASE}\npassword = "{password}"\n'
        super().__init__(folder / name, {"main": {"url": central}}, more=more)


class Traffic:
    """Charge Points that start transactions, at whichever node is there, as behind a proxy.

    Attributes:
        nodes: The nodes to which requests go.
        answered: The transactionId of each transaction, by identity and meter value.
        lost: What else came of a request.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.answered: dict[tuple[str, int], str] = {}
        self.lost: list[str] = []
        self.is_over = False
        self._random = Random(7)
        self._meters = itertools.count(1)

    async def live(self, identity: str) -> None:
        while not self.is_over:
            meter = next(self._meters)
            message = start(meter, identity=identity)
            while True:
                node = self._random.choice(self.nodes)
                try:
                    answer = await post(node, message)
                except ConnectionRefusedError:
                    continue  # it has just closed its listener: a proxy takes the next one
                except (OSError, EOFError) as error:
                    self.lost.append(f"{identity} {meter} at {node.name}: {error!r}")
                    break
                if answer.status == 200:
                    self.answered[identity, meter] = told(answer)[1]
                else:
                    self.lost.append(f"{identity} {meter} at {node.name}: {answer}")
                break
            await asyncio.sleep(0.02)

    async def more(self, number: int) -> None:
        """Wait until so many more requests are answered."""
        until = len(self.answered) + number
        async with asyncio.timeout(AT_MOST):
            while len(self.answered) < until and not self.lost:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def leave(traffic: Traffic, node: Node) -> None:
    """A node ends as in a rolling upgrade. It has requests in progress, and gets no further ones."""
    traffic.nodes.remove(node)
    node.told(signal.SIGTERM)
    assert await node.ended() == 0


async def test_one_node_becomes_three_and_one_again_without_a_lost_call(tmp_path: Path) -> None:
    with nats_at(tmp_path) as nats:
        async with CentralSystem() as central:
            a, b, c = (Node(tmp_path, name, nats, central.url) for name in "abc")
            traffic = Traffic()
            async with a, asyncio.TaskGroup() as group:
                traffic.nodes.append(a)
                living = [group.create_task(traffic.live(f"CP {number}")) for number in range(POINTS)]
                try:
                    await traffic.more(100)
                    for node in (b, c):
                        await node.start()
                        traffic.nodes.append(node)
                        await node.says("slots taken")
                        await traffic.more(100)
                    await traffic.more(100)
                    await leave(traffic, c)
                    await traffic.more(100)
                    await leave(traffic, a)
                    await traffic.more(100)
                finally:
                    traffic.is_over = True
                    await asyncio.wait(living)
                    await b.close()
                    await c.close()
            assert not traffic.lost
            assert {each.name for each in (a, b, c) if any("StartTransaction" in line for line in each.lines)} == {
                *"abc"
            }
            sent = [(one[0], int(one[2]["meterStart"])) for one in central.received if one[1] == "StartTransaction"]
            assert sorted(sent) == sorted(traffic.answered)
            assert len(set(traffic.answered.values())) == len(traffic.answered)


async def test_two_nodes_with_one_name(tmp_path: Path) -> None:
    """The second one ends, and the first one serves on."""

    with nats_at(tmp_path) as nats:
        async with CentralSystem() as central, Node(tmp_path, "a", nats, central.url) as a:
            (tmp_path / "again").mkdir()
            second = Node(tmp_path / "again", "a", nats, central.url)
            try:
                await super(Bridge, second).start()
                assert await second.ended() != 0
            finally:
                await second.close()
            assert [line for line in second.lines if "each node needs" in line], second.lines
            assert (await post(a, start(1, identity="CP 1"))).status == 200


async def test_a_node_whose_password_is_wrong(tmp_path: Path) -> None:
    with nats_at(tmp_path) as nats:
        node = Node(tmp_path, "a", nats, password="wrong")
        try:
            await super(Bridge, node).start()
            assert await node.ended() == 1
        finally:
            await node.close()
        assert len(node.lines) == 1 and "Traceback" not in node.lines[0], node.lines
        assert "refuse" in node.lines[0] and "wrong" not in node.lines[0], node.lines


class Slow:
    """A Central System that answers one action when it may. `asked` holds the UniqueIds that it was asked under."""

    def __init__(self, action: str, answer: Callable[[Payload], Payload]) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.party = JsonCentralSystem(observe=self._observe)
        self._action, self._answer = action, answer
        self.party.behaviour[action] = self._accept

    def _observe(self, message: WireMessage) -> None:
        if (message.direction, message.kind, message.action) == ("received", "call", self._action):
            self.asked.append(message.unique_id)

    async def _accept(self, request: Payload) -> Payload:
        await self.may_answer.wait()
        return self._answer(request)


async def test_a_request_in_progress_is_answered_by_the_node_that_has_the_charge_point_then(tmp_path: Path) -> None:
    """The Central System takes longer over it than a node waits that hands over its slots."""
    slow = Slow(
        "StartTransaction",
        lambda request: {"transactionId": request["meterStart"], "idTagInfo": {"status": "Accepted"}},
    )
    central, asked, may_answer = slow.party, slow.asked, slow.may_answer
    with nats_at(tmp_path) as nats:
        async with central, Node(tmp_path, "a", nats, central.url) as a:
            b = Node(tmp_path, "b", nats, central.url)
            numbers = range(1, 11)
            posts = [asyncio.ensure_future(post(a, start(number, identity=f"CP {number}"))) for number in numbers]
            await until(lambda: len(asked) == len(posts))
            async with b:
                # Some of the Charge Points are at the other node now, which asks under the same UniqueIds.
                await until(lambda: len(asked) > len(posts))
                may_answer.set()
                answers = await asyncio.gather(*posts)
                assert [told(answer)[1] for answer in answers] == [str(number) for number in numbers]
                assert len(set(asked)) == len(posts)


async def test_meter_values_in_progress_keep_their_unique_id_when_their_node_dies(tmp_path: Path) -> None:
    """No UniqueId of them is written before they are sent. That of their request is the same at whichever node."""
    slow = Slow("MeterValues", lambda request: {})
    with nats_at(tmp_path) as nats:
        async with slow.party, Node(tmp_path, "a", nats, slow.party.url) as a:
            b = Node(tmp_path, "b", nats, slow.party.url)
            async with b:
                await until(lambda: any("slots taken" in line for line in b.lines))
                posts = [asyncio.ensure_future(post(a, values(number, f"CP {number}"))) for number in range(12)]
                await until(lambda: len(slow.asked) == len(posts))
                await b.kill()
                # The other node has got all slots, and what it has passed on to the one that died is in progress here.
                await until(lambda: len(slow.asked) > len(posts))
                slow.may_answer.set()
                assert [answer.status for answer in await asyncio.gather(*posts)] == [200] * len(posts)
                assert len(set(slow.asked)) == len(posts)


def values(number: int, identity: str) -> bytes:
    """MeterValues of a Charge Point."""
    body = (
        f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId><meterValue><timestamp>{AT}</timestamp>'
        f"<sampledValue><value>{number}</value></sampledValue></meterValue></meterValuesRequest>"
    )
    return envelope(body, identity=identity)
