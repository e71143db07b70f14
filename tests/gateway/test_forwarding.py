"""What is passed on to another process follows its Charge Point when yet another one gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cluster.courier import Courier
from bridge.errors import Unavailable
from bridge.gateway.forwarding import Forwarding
from bridge.gateway.holder_search import HolderSearch
from bridge.net.forwarding import ForwardedPost, post_of, reply_octets
from bridge.net.json_server import AcceptedHandshake, HandshakeRequest
from bridge.net.proxies.rules import Origin
from bridge.net.tasks import Tasks
from bridge.ocpps.replies import Reply
from tests.cluster.nodes import nodes
from tests.e2e.stage import AT_MOST

POST = ForwardedPost(
    listener="soap", key="1", path="/", query="", authority=None, fields=(), body=b"<x/>", origin=Origin(), tenant=""
)


class Map:
    """What the process "front" knows of the cluster, as a test says."""

    node, lease = "front", 2.5

    def __init__(self, holder: str | None, *, loads: bool = False) -> None:
        self.holder, self.loads = holder, loads
        self._changed = asyncio.Event()

    def moves_to(self, holder: str) -> None:
        self.holder = holder
        self._changed.set()

    def is_here(self, key: str) -> bool:
        return self.holder == self.node and not self.loads

    def holder_of(self, key: str) -> str | None:
        return self.holder

    def holder_of_slot(self, slot: int) -> str | None:
        return self.holder

    def is_loading(self, key: str) -> bool:
        return self.loads

    async def load(self, key: str) -> None:
        await asyncio.sleep(0.01)
        self.loads = False

    async def changed(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), patience)
        except TimeoutError:
            return
        self._changed.clear()


class Admitted:
    """A handshake that was accepted."""

    subprotocol = "ocpp1.6"

    async def serve(self, connection: object) -> None:
        """Nothing is sent."""

    def abandon(self) -> None:
        """It is not served."""


async def _admit(handshake: HandshakeRequest) -> AcceptedHandshake:
    return Admitted()


class Listener:
    """The SOAP listener of a process. It answers each POST that was passed on to it if the Charge Point is there."""

    def __init__(self, passing: Forwarding) -> None:
        self._passing = passing
        self._tasks = Tasks()

    def forwarded(self, node: str, post: ForwardedPost, respond: Callable[[Reply | None], None]) -> None:
        self._tasks.spawn(self._answer(respond), name="answer")

    async def _answer(self, respond: Callable[[Reply | None], None]) -> None:
        is_here = await self._passing.is_here_when_loaded("CP")
        respond(Reply(status=200, body=b"<answer/>", content_type="text/xml") if is_here else None)


def forwarding(known: Map, courier: Courier) -> Forwarding:
    def nothing() -> dict[str, object]:
        return {}

    def servers() -> dict[str, Listener]:
        return {"soap": Listener(made)}

    search = HolderSearch(known, courier)
    made = Forwarding(search, courier, process="front.1", handshake=_admit, placements=nothing, servers=servers)  # type: ignore[arg-type]
    return made


def answers(courier: Courier, body: bytes) -> list[bytes]:
    """Answer each POST with `body`. Returns: what comes."""
    came: list[bytes] = []

    def asked(node: str, octets: bytes) -> bytes:
        came.append(post_of(octets).body)
        return reply_octets(Reply(status=200, body=body, content_type="text/xml")) if body else b""

    courier.on("post", asked)
    return came


async def test_a_request_is_asked_of_the_next_process_if_the_first_one_neither_answers_nor_ends(tmp_path: Path) -> None:
    async with nodes(tmp_path) as cluster:
        front, cut, other = [await cluster.node(name) for name in ("front", "cut", "other")]
        has_come = asyncio.Event()

        async def never(node: str, octets: bytes) -> bytes:
            has_come.set()
            await asyncio.Event().wait()
            raise AssertionError

        cut.on("post", never)
        came = answers(other, b"<answer/>")
        known = Map("cut")
        passing = forwarding(known, front)
        asking = asyncio.ensure_future(passing.forward("CP", POST))
        await has_come.wait()
        known.moves_to("other")
        reply = await asking
        assert reply is not None and reply.body == b"<answer/>" and came == [b"<x/>"]
        await passing.close()


async def test_a_message_that_nobody_has_read_is_read_here_if_its_process_does_not_have_the_charge_point(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path) as cluster:
        front, other = [await cluster.node(name) for name in ("front", "other")]
        came = answers(other, b"")
        passing = forwarding(Map("other"), front)
        assert await passing.forward_unread("CP", POST) is None and not came  # there is no link
        await front.reach("other", asyncio.get_running_loop().time() + 60)
        assert await passing.forward_unread("CP", POST) is None and came
        answers(other, b"<answer/>")
        reply = await passing.forward_unread("CP", POST)
        assert reply is not None and reply.body == b"<answer/>" and not reply.closes
        await passing.close()


async def test_a_process_that_stops_passes_on_what_it_has_and_nothing_new(tmp_path: Path) -> None:
    async with nodes(tmp_path) as cluster:
        front, other = [await cluster.node(name) for name in ("front", "other")]
        go_on, has_come = asyncio.Event(), asyncio.Event()

        async def slowly(node: str, octets: bytes) -> bytes:
            has_come.set()
            await go_on.wait()
            return reply_octets(Reply(status=200, body=b"<answer/>", content_type="text/xml"))

        other.on("post", slowly)
        passing = forwarding(Map("other"), front)
        asking = asyncio.ensure_future(passing.forward("CP", POST))
        await has_come.wait()
        draining = asyncio.ensure_future(passing.drained(60))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await passing.forward("CP", POST)
        assert await passing.forward_unread("CP", POST) is None
        go_on.set()
        reply = await asking
        assert reply is not None and reply.closes  # its sender connects to another process
        await draining
        await passing.close()


async def test_a_process_that_is_asked_while_it_loads_answers_when_the_records_have_come(tmp_path: Path) -> None:
    """Nobody asks again, and nobody waits for the other records of the slot."""
    async with nodes(tmp_path) as cluster:
        front, other = [await cluster.node(name) for name in ("front", "other")]
        has = Map("front", loads=True)
        passing, serving = forwarding(Map("other"), front), forwarding(has, other)
        reply = await asyncio.wait_for(passing.forward("CP", POST), AT_MOST)
        assert reply is not None and reply.body == b"<answer/>" and not has.loads

        has.loads = True
        handshake = HandshakeRequest(identity="CP", peer="192.0.2.1", subprotocols=("ocpp1.6",), authorization=None)
        accepted = await asyncio.wait_for(passing.handshake(handshake), AT_MOST)
        assert accepted.subprotocol == "ocpp1.6" and not has.loads
        accepted.abandon()
        for one in (passing, serving):
            await one.close()


async def test_records_that_do_not_come_are_waited_for_as_long_as_a_lease(tmp_path: Path) -> None:
    """NATS may be away. Who has asked asks again."""

    class Away(Map):
        lease = 0.05

        async def load(self, key: str) -> None:
            await asyncio.Event().wait()

    async with nodes(tmp_path) as cluster:
        search = HolderSearch(Away("front", loads=True), await cluster.node("front"))
        assert not await asyncio.wait_for(search.is_here_when_loaded("CP"), AT_MOST)
