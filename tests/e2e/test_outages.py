"""One side is away, late or out of its mind: what was delivered, how often, and what each side was told.

Who goes away is killed (`kill -9`), or closes its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.typing import Subprotocol

from bridge.app import Gateway
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.ocpp.actions import Party
from tests.e2e.processes import Bridge, CentralSystem, all_well
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CS,
    SAMPLES,
    Connection,
    RawCentralSystem,
    answering,
    envelope,
    json_charge_point,
    listening,
    logged,
    post,
    reachable,
    receiver,
    running,
    settings,
    soap_central_system,
)
from tests.e2e.test_restart import ACCEPTED, RESET, asked, on_this, opened, start, started, stop, through, told
from tests.ports import free_port

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

QUICK = {"reconnect_min": 0.05, "reconnect_max": 0.2}
TRANSFER = (
    f'<dataTransferRequest xmlns="{CS}"><vendorId>v</vendorId><messageId>{{name}}</messageId><data>{{number}}</data>'
    "</dataTransferRequest>"
)


# The Central System is away.


class Load:
    """SOAP Charge Points that send numbered messages without a pause, each again until it is answered."""

    def __init__(self, bridge: Bridge, charge_points: int, messages: int) -> None:
        self.names = [f"CP {number}" for number in range(charge_points)]
        self.messages = messages
        self.refused: Counter[str] = Counter()
        self.done: set[str] = set()
        self.answered = 0
        self._bridge = bridge
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Until all are delivered."""
        async with asyncio.TaskGroup() as group:
            for name in self.names:
                group.create_task(self._send_all(name))

    async def _send_all(self, name: str) -> None:
        for number in range(self.messages):
            body = envelope(TRANSFER.format(name=name, number=number), identity=name)
            while (answer := await post(self._bridge, body)).status != 200:
                # Never told that the message is at fault, nor that it was delivered.
                assert (answer.status, answer.fault) == (503, receiver("InternalError"))
                await self._note(name)
            assert answer.content.findtext("{*}status") == "UnknownVendorId"
            await self._note()
        self.done.add(name)

    async def _note(self, refused: str = "") -> None:
        async with self._changed:
            self.refused[refused] += bool(refused)
            self.answered += not refused
            self._changed.notify_all()

    async def until(self, true: Callable[[Load], bool]) -> None:
        async with asyncio.timeout(AT_MOST), self._changed:
            await self._changed.wait_for(lambda: true(self))


def _answered(least: int, load: Load) -> bool:
    return load.answered >= least


def _each_refused(before: Counter[str], load: Load) -> bool:
    return all(load.refused[name] > before[name] or name in load.done for name in load.names)


async def test_a_central_system_that_is_killed_under_load_and_comes_back(tmp_path: Path) -> None:
    async with CentralSystem() as central:
        table = {"main": {"url": central.url, **QUICK}}
        async with Bridge(tmp_path, table) as bridge, asyncio.TaskGroup() as group:
            load = Load(bridge, charge_points=12, messages=40)
            group.create_task(load.run())
            for outage in (1, 2):
                await load.until(functools.partial(_answered, outage * 120))
                await central.kill()
                await load.until(functools.partial(_each_refused, load.refused.copy()))
                beat = await post(bridge, envelope(identity="CP 0"))
                assert (beat.status, beat.fault) == (503, receiver("InternalError"))
                assert (await bridge.ready())[1]["status"] == "degraded"
                await central.start()
        delivered: dict[str, list[int]] = {name: [] for name in load.names}
        for _, action, payload in central.received:
            if action == "DataTransfer":
                delivered[payload["messageId"]].append(int(payload["data"]))
        for numbers in delivered.values():
            # All, in order; twice at most the one that was under way when it was killed.
            assert [number for number, _ in itertools.groupby(numbers)] == list(range(load.messages))
            assert len(numbers) - load.messages <= 2


async def test_a_json_charge_point_is_offline_while_its_json_central_system_is_away(tmp_path: Path) -> None:
    async with CentralSystem() as central, Bridge(tmp_path, {"main": {"url": central.url}}) as bridge:
        point = JsonChargePoint(url=bridge.websocket_url, identity="CP 1")
        async with point:
            assert "currentTime" in await point.call("Heartbeat", {})
            await central.kill()
            await point.wait_closed()
        assert point.close_code == 1013

        for _ in range(2):
            with pytest.raises(ConnectionRefused) as refusal:
                await point.start()
            assert refusal.value.status == 503

        await central.start()
        async with point:
            assert await point.call("StartTransaction", SAMPLES["StartTransaction"]) == started(1)
        assert [action for _, action, _ in central.received] == ["Heartbeat", "StartTransaction"]
        assert point.violations == []


async def test_a_json_charge_point_is_offline_while_its_soap_central_system_is_away() -> None:
    async with soap_central_system() as central:
        told_ = settings(central.url, central_system={"protocol": "ocpp1.6s", "reconnect_min": 5})
        async with running(told_) as gateway:
            point = json_charge_point(gateway)
            async with point:
                assert "currentTime" in await point.call("Heartbeat", {})
                await central.down()
                # It is not told that its message is at fault: it is told nothing, and that it is offline.
                with pytest.raises(ConnectionError):
                    await point.call("StartTransaction", SAMPLES["StartTransaction"])
                await point.wait_closed()
            assert point.close_code == 1013

            for _ in range(2):
                with pytest.raises(ConnectionRefused) as refusal:
                    await point.start()
                assert refusal.value.status == 503

            await central.up()
            while True:  # after the pause one handshake is let in
                with contextlib.suppress(ConnectionRefused):
                    await point.start()
                    break
                await asyncio.sleep(0.1)
            assert await point.call("StartTransaction", SAMPLES["StartTransaction"]) == started(1)
            await point.stop()
        assert [action for _, action, _ in central.received] == ["Heartbeat", "StartTransaction"]
        assert point.violations == central.violations == []


# The Charge Point is elsewhere, or late.


async def test_a_command_reaches_a_charge_point_at_its_new_address(tmp_path: Path) -> None:
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        async with listening(answering(RESET)) as old:
            _, link, _ = await opened(central, bridge, start(source=old.url), started())
        await link.send([2, "id", "Reset", {"type": "Soft"}])
        assert "charge_point" in await bridge.says("link down")
        async with listening(answering(RESET)) as new:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(post(bridge, envelope(source=new.url)))
                frames = [await link.receive(), await link.receive()]
                [call] = [frame for frame in frames if frame[0] == 2]
                await link.send([3, call[1], {"currentTime": AT}])
            assert (beat.result().status, call[2]) == (200, "Heartbeat")
            assert [3, "id", ACCEPTED] in frames
            assert (len(old.received), len(new.received)) == (0, 1)
            # And that is where it is from now on, whatever becomes of the bridge.
            await through(link, bridge, start(connector=2), started(2))
            await bridge.restart()
            link = await central.connected()
            assert await link.ask([2, "again", "Reset", {"type": "Soft"}]) == [3, "again", ACCEPTED]
            assert len(new.received) == 2


async def test_a_soap_charge_point_that_answers_after_the_deadline() -> None:
    late = asyncio.Event()

    async def respond(body: bytes) -> web.Response:
        if b"resetRequest" in body:
            await late.wait()
            return await answering(RESET)(body)
        return await answering(RESET.replace("reset", "clearCache"))(body)

    async with (
        RawCentralSystem() as central,
        running(settings(central.url, gateway={"call_timeout": 0.3})) as gateway,
        listening(respond) as point,
    ):
        _, link, _ = await opened(central, gateway, envelope(source=point.url), {"currentTime": AT})
        answer = await link.ask([2, "slow", "Reset", {"type": "Soft"}])
        assert answer[:3] == [4, "slow", "InternalError"]
        assert "within 0.3 s" in answer[3]
        late.set()
        # What comes next is the answer to the next command, and nothing in between.
        assert await link.ask([2, "next", "ClearCache", {}]) == [3, "next", ACCEPTED]
        assert len(point.received) == 2


async def test_a_central_system_that_answers_after_the_deadline() -> None:
    """The Charge Point was told nothing, and asks again: no second transaction is begun for that."""
    with logged() as lines:
        async with (
            RawCentralSystem() as central,
            running(settings(central.url, gateway={"call_timeout": 0.3})) as gateway,
        ):
            _, link, _ = await opened(central, gateway, envelope(), {"currentTime": AT})
            for request_of, answer in ((start, started(4712)), (stop, {"idTagInfo": ACCEPTED})):
                async with asyncio.TaskGroup() as group:
                    asked = group.create_task(post(gateway, request_of()))
                    call = await link.receive()
                assert asked.result().fault == receiver("InternalError")
                await link.send([3, call[1], answer])
                # Behind it: who is answered has been read.
                _, heartbeat = await through(link, gateway, envelope(), {"currentTime": AT})
                assert heartbeat[2] == "Heartbeat"
                again = await post(gateway, request_of(message_id="urn:uuid:2"))
                assert told(again)[0] == "Accepted"
    assert sum("kept for the repetition" in line for line in lines) == 2


async def test_a_json_charge_point_that_answers_after_the_deadline() -> None:
    late = asyncio.Event()

    async def hold(_: Payload) -> Payload:
        await late.wait()
        return {"status": "Rejected"}

    async with soap_central_system() as central:
        told_ = settings(
            central.url, central_system={"protocol": "ocpp1.6s"}, gateway={"call_timeout": 0.3}, soap=reachable()
        )
        with logged() as lines:
            async with running(told_) as gateway:
                point = json_charge_point(gateway)
                async with point:
                    await point.call("Heartbeat", {})
                    point.behaviour["Reset"] = hold
                    with pytest.raises(CallRefused) as refusal:
                        await central.call("CP 1", "Reset", {"type": "Soft"})
                    assert (refusal.value.code, refusal.value.subcode) == ("Receiver", "InternalError")
                    assert "within 0.3 s" in refusal.value.description
                    late.set()
                    assert await central.call("CP 1", "ClearCache", {}) == ACCEPTED
        assert len([line for line in lines if "answer dropped" in line]) == 1
        assert [action for action, _ in point.received] == ["Reset", "ClearCache"]


# The Central System is out of its mind.


async def test_answers_that_nobody_waits_for_go_nowhere(tmp_path: Path) -> None:
    """Twice the same, to a Call that never was, to one of another Charge Point, and before anything was asked."""
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        _, one, answered = await opened(central, bridge, start(identity="CP 1"), started(1))
        async with asyncio.TaskGroup() as group:
            mine = group.create_task(post(bridge, stop(1, identity="CP 1")))
            theirs = group.create_task(post(bridge, start(identity="CP 2")))
            asked_of_one = await one.receive()
            two = await central.connected()
            asked_of_two = await two.receive()
            nowhere = [
                (one, answered[1], started(666)),
                (one, "never was", started(667)),
                (one, asked_of_two[1], started(668)),
                (two, asked_of_one[1], started(669)),
            ]
            for link, unique_id, answer in nowhere:
                await link.send([3, unique_id, answer])
                assert f"hop_id={unique_id}" in (await bridge.says("answer dropped")).replace('"', "")
            await one.send([4, "never was", "InternalError", "", {}])
            await bridge.says("answer dropped")
            assert not mine.done() and not theirs.done()
            await two.send([3, asked_of_two[1], started(2)])
            await one.send([3, asked_of_one[1], {"idTagInfo": ACCEPTED}])
            await one.send([3, asked_of_one[1], {"idTagInfo": {"status": "Blocked"}}])
            await bridge.says("answer dropped")
        assert told(mine.result()) == ("Accepted", "")
        assert told(theirs.result()) == ("Accepted", "2")
        # What was dropped is remembered by nobody either.
        assert told(await post(bridge, start(identity="CP 2"))) == ("Accepted", "2")
        assert told(await post(bridge, stop(1, identity="CP 1"))) == ("Accepted", "")
        assert len([line for line in bridge.lines if "answer dropped" in line]) == len(nowhere) + 2


# The same message again.


@pytest.mark.parametrize(("request_of", "answer"), [(start, started()), (stop, {"idTagInfo": ACCEPTED})])
@pytest.mark.parametrize("first_hangs_up", [False, True])
async def test_a_repetition_waits_for_the_answer_to_the_first(
    request_of: Any, answer: Payload, first_hangs_up: bool
) -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        async with asked(gateway, request_of()) as hang_up:
            link = await central.connected()
            call = await link.receive()
            if first_hangs_up:
                hang_up()
            async with asyncio.TaskGroup() as group:
                again = [
                    group.create_task(post(gateway, request_of(message_id=f"urn:uuid:{number}")))
                    for number in range(2, 5)
                ]
                # They have come in once a later request of another has been served.
                await opened(central, gateway, envelope(identity="another"), {"currentTime": AT})
                assert not any(each.done() for each in again)
                await link.send([3, call[1], answer])
        for number, each in enumerate(again, 2):
            assert told(each.result()) == ("Accepted", str(answer.get("transactionId", "")))
            assert f"urn:uuid:{number}<" in each.result().text
        _, next_call = await through(link, gateway, envelope(), {"currentTime": AT})
        assert next_call[2] == "Heartbeat"


# The store is in trouble.


@contextlib.contextmanager
def full_disk(bridge: Bridge) -> Any:
    """No file that the process writes may grow, or be written at all."""
    before = resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process")
async def test_a_disk_that_is_full_is_no_reason_to_stop(tmp_path: Path) -> None:
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        _, link, _ = await opened(central, bridge, start(1), started(1))
        assert (await bridge.ready())[1]["store"] == {"trouble": None}
        with full_disk(bridge):
            await served_from_memory(bridge, link)
        await well_again(bridge)


async def test_a_store_that_cannot_be_opened_is_no_reason_not_to_start(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("where a folder is expected")
    store = f"sqlite:///{blocked}/bridge.db"
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central), store=store) as bridge:
        _, link, _ = await opened(central, bridge, start(1), started(1))
        await served_from_memory(bridge, link)
        blocked.unlink()
        await well_again(bridge)


async def served_from_memory(bridge: Bridge, link: Connection) -> None:
    """Everything works but a restart; it is said, once, in the log, and to whoever asks."""
    answer, _ = await through(link, bridge, start(2, connector=2), started(2))
    assert told(answer) == ("Accepted", "2")
    assert told(await post(bridge, start(2, connector=2))) == ("Accepted", "2")
    assert told(await post(bridge, start(1))) == ("Accepted", "1")
    status, health = await bridge.ready()
    assert (status, health["status"]) == (200, "degraded")
    assert "bridge.db" in health["store"]["trouble"]
    assert health["central_systems"] == {"main": all_well(1)}
    [line] = [line for line in bridge.lines if "nothing is written to the store" in line]
    assert " ERROR " in line


async def well_again(bridge: Bridge) -> None:
    """What was kept in memory meanwhile is put away, and outlives the bridge."""
    await bridge.says("all is well again with the store")
    status, health = await bridge.ready()
    assert (status, health["status"], health["store"]) == (200, "ready", {"trouble": None})
    await bridge.restart()
    for number in (1, 2):
        assert told(await post(bridge, start(number, connector=number))) == ("Accepted", str(number))


# A thousand come back.

THOUSAND = 1000
HANDSHAKES = 32
# Both ends of a WebSocket, and of what asked for it.
_FILES = THOUSAND * 2 + 500


class SlowCentralSystem:
    """Takes its time for a handshake, while `slow`; knows when each began, and how many were under way."""

    def __init__(self) -> None:
        self.slow = True
        self.begun: list[float] = []
        self.most = 0
        self._under_way = 0
        self._port = free_port()  # where it is found again
        self._connections: set[ServerConnection] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ocpp"

    async def up(self) -> None:
        self._server: Server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            process_request=self._admit,
            subprotocols=[Subprotocol("ocpp1.6")],
            compression=None,
            ping_interval=None,
        )

    async def down(self) -> None:
        """As when it is killed: the port is closed, and every connection breaks."""
        self._server.close(close_connections=False)
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self.connected(0)
        await self._server.wait_closed()

    async def connected(self, count: int) -> None:
        """Until there are `count` connections."""
        async with asyncio.timeout(AT_MOST), self._changed:
            await self._changed.wait_for(lambda: len(self._connections) == count)

    async def _admit(self, connection: ServerConnection, request: Request) -> None:
        self.begun.append(time.monotonic())
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        if self.slow:
            await asyncio.sleep(0.03)
        self._under_way -= 1

    async def _serve(self, connection: ServerConnection) -> None:
        await self._change(self._connections.add, connection)
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                await connection.send(f'[3,"{str(frame)[4:40]}",{{"currentTime":"{AT}"}}]')
        await self._change(self._connections.discard, connection)

    async def _change(self, change: Callable[[ServerConnection], None], connection: ServerConnection) -> None:
        async with self._changed:
            change(connection)
            self._changed.notify_all()


async def told_to_return(gateway: Gateway) -> list[float]:
    """When each Session will ask for its Central System again, as soon as all have lost it."""
    while True:
        moments = [one.session.links[Party.CENTRAL_SYSTEM].retry_at for one in gateway._sessions]
        known = [moment for moment in moments if moment is not None]
        if len(known) == len(moments):
            return known
        await asyncio.sleep(0.01)


@pytest.fixture
def enough_files() -> None:
    """As many open files as are needed, where the system lets us."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        pytest.skip(f"the system allows {hard} open files, and {_FILES} are needed")
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


@pytest.mark.usefixtures("enough_files")
async def test_a_thousand_charge_points_come_back_spread_over_some_seconds() -> None:
    async with SlowCentralSystem() as central, running(settings(central.url)) as gateway:
        names = iter([f"CP {number}" for number in range(THOUSAND)])

        async def come() -> None:
            for name in names:
                assert (await post(gateway, envelope(identity=name))).status == 200

        # As many as like to may come at once: their Central System is asked by some at a time.
        async with asyncio.TaskGroup() as group:
            for _ in range(4 * HANDSHAKES):
                group.create_task(come())
        await central.connected(THOUSAND)
        assert central.most == HANDSHAKES

        central.begun.clear()
        central.most, central.slow = 0, False
        went = time.monotonic()
        await central.down()
        returns = await told_to_return(gateway)
        await central.up()
        await central.connected(THOUSAND)

        # Each came back at the first attempt, without a word from its Charge Point.
        assert len(central.begun) == THOUSAND
        assert central.most <= HANDSHAKES
        first, last = central.begun[0], central.begun[-1]
        assert first - went >= 1
        assert last - first > 3
        # Of what was decided: those who arrive are brought together by a machine that pauses.
        [(_, most)] = Counter(int(moment - min(returns)) for moment in returns).most_common(1)
        assert len(returns) == THOUSAND
        assert most < THOUSAND / 3
