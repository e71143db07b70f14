"""Let other processes answer requests of operators, and answer theirs: implements `bridge.admin.other_nodes`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from bridge.admin.answers import AdminAnswer
from bridge.admin.endpoints import SentRequest
from bridge.admin.metrics_of_machine import SentMetric
from bridge.admin.other_nodes import Answering, SentPart
from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeRefused
from bridge.cluster.slots import SLOTS
from bridge.errors import Unavailable
from bridge.gateway.holder_search import HolderSearch
from bridge.gateway.node import Node

_ONE, _AT_NODE, _PART, _METRICS = "admin", "admin-node", "admin-part", "metrics"
# Seconds for another process's part of an answer, and for an answer of a certain process.
_PART_TIME, _ANSWER_TIME = 10.0, 60.0
# Seconds for the metrics of another process, which Prometheus waits for.
_PATIENCE = 2.0
_SUSPENDED = "suspended"
_encode = msgspec.msgpack.encode
_request = msgspec.msgpack.Decoder(SentRequest)
_answer = msgspec.msgpack.Decoder(AdminAnswer)
_part = msgspec.msgpack.Decoder(SentPart)
_metrics = msgspec.msgpack.Decoder(list[SentMetric])


class AdminForwarding:
    """The requests of operators that came to this process and that another one answers, and the reverse.

    Args:
        own: This process.
        holders: Finds the process that has a Charge Point.
        courier: The links to other processes.
        neighbours: Returns the other processes of this machine.
    """

    def __init__(self, own: Node, holders: HolderSearch, courier: Courier, neighbours: Callable[[], list[str]]) -> None:
        self._own, self._holders, self._courier, self._neighbours = own, holders, courier, neighbours

    @property
    def node(self) -> str:
        """The name of this process."""
        return self._own.node

    @property
    def slots(self) -> int:
        """The number of slots whose Charge Points this process may speak for now, 0 while it is suspended."""
        return self._own.slots if self._own.may_act() else 0

    @property
    def slots_of_all(self) -> int:
        """The number of slots that there are."""
        return SLOTS

    def answer_with(
        self,
        answering: Answering,
        telling: Callable[[SentRequest], Awaitable[SentPart]],
        metrics: Callable[[], list[SentMetric]],
    ) -> None:
        """Answer other nodes. See OtherNodes.answer_with."""

        async def one(node: str, octets: bytes) -> bytes:
            sent = _request.decode(octets)
            if not await self._holders.is_here_when_loaded(sent.named["identity"]):
                return b""
            return _encode(await answering(sent))

        async def at_node(node: str, octets: bytes) -> bytes:
            return _encode(await answering(_request.decode(octets)))

        async def part(node: str, octets: bytes) -> bytes:
            if not self._own.may_act():
                raise NodeRefused(_SUSPENDED, "this process is suspended")
            return _encode(await telling(_request.decode(octets)))

        self._courier.on(_ONE, one)
        self._courier.on(_AT_NODE, at_node)
        self._courier.on(_PART, part)
        self._courier.on(_METRICS, lambda node, octets: _encode(metrics()))

    async def at_holder(self, key: str, sent: SentRequest, *, repeatable: bool) -> AdminAnswer | None:
        """Let the process that has a Charge Point answer a request. See OtherNodes.at_holder. Raises Unavailable."""
        answer = await self._holders.ask(key, _ONE, lambda: _encode(sent), repeatable=repeatable)
        return None if answer is None else _answer.decode(answer)

    async def at_node(self, node: str, sent: SentRequest) -> AdminAnswer | None:
        """Let a certain node answer a request; None if that is this process. Raises Unavailable."""
        if node == self._own.node:
            return None
        try:
            until = asyncio.get_running_loop().time() + _ANSWER_TIME
            return _answer.decode(await self._courier.ask(node, _AT_NODE, _encode(sent), until))
        except NodeRefused as refused:
            raise Unavailable(f"the node {node!r} failed: {refused.text}") from refused

    async def parts(self, sent: SentRequest) -> dict[str, SentPart | None]:
        """Let each other living node tell its part of an answer. None stands for one that has not answered in time."""
        others, octets = self._own.others, _encode(sent)
        found = await asyncio.gather(*(self._ask(node, _PART, octets, _PART_TIME) for node in others))
        return {node: None if told is None else _part.decode(told) for node, told in zip(others, found, strict=True)}

    async def metrics(self) -> dict[str, list[SentMetric]]:
        """Return the metrics of the other processes of this machine, by name. One that is away is left out."""
        neighbours = self._neighbours()
        found = await asyncio.gather(*(self._ask(node, _METRICS, b"", _PATIENCE) for node in neighbours))
        return {
            node: _metrics.decode(octets) for node, octets in zip(neighbours, found, strict=True) if octets is not None
        }

    async def _ask(self, node: str, kind: str, payload: bytes, patience: float) -> bytes | None:
        """Ask a node. Returns: the answer, None if there is none within `patience` seconds."""
        try:
            return await self._courier.ask(node, kind, payload, asyncio.get_running_loop().time() + patience)
        except (Unavailable, NodeRefused):
            return None
