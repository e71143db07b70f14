"""What the processes of a cluster ask each other to carry out a move of several Charge Points."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from bridge.admin.moves import MovesWanted
from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeRefused
from bridge.core.moves import MoveMember, MoveTime
from bridge.errors import Unavailable
from bridge.gateway.holder_search import HolderSearch
from bridge.gateway.node import Node

_STEP, _VIEWS, _MEMBERS = "move-step", "move-views", "move-members"
# Seconds for the answer of another process.
_ANSWER_TIME = 10.0


class MoveStep(Struct, frozen=True, kw_only=True):
    """What is done with one Charge Point of a move.

    Attributes:
        identity: The Charge Point.
        withdraws: Whether its move that waits is dropped. The next attributes count for nothing then.
        central_system: The Central System that it is given to, None for that of its Route.
        when: Whether it moves at once, or when it has no open transaction.
        only_from: The Central System that an operator must have chosen for it, "" for any.
        who: Who asked for the move.
        move: The number of the move.
    """

    identity: str
    withdraws: bool = False
    central_system: str | None = None
    when: MoveTime = "now"
    only_from: str = ""
    who: str = ""
    move: int


class StepOutcome(Struct, frozen=True, kw_only=True):
    """What came of a step. `reason` is why it failed; `is_away` says that the Charge Point is not connected."""

    outcome: Literal["done", "waits", "failed", "elsewhere"]
    reason: str = ""
    is_away: bool = False


class MemberView(Struct, frozen=True, kw_only=True):
    """What the process that has a Charge Point knows about its move.

    Attributes:
        identity: The Charge Point.
        is_waiting: Whether a move of it waits until no transaction is open.
        waits: Whether that is this move.
        chosen: The Central System that an operator has chosen for it, None for that of its Route.
        is_there: Whether it has come to its Central System.
        is_away: Whether it was not heard of for too long.
        failure: Why it does not come; None if it has not failed.
    """

    identity: str
    is_waiting: bool
    waits: bool
    chosen: str | None
    is_there: bool
    is_away: bool
    failure: str | None


class ViewWanted(Struct, frozen=True, kw_only=True):
    """Which Charge Points of a move to look at, each with its Central System; None stands for that of its Route."""

    move: int
    targets: list[tuple[str, str | None]]


class FoundMembers(Struct, frozen=True, kw_only=True):
    """The Charge Points that a move would have.

    Attributes:
        keys: The number of Charge Points that fit.
        members: Those of them that are not at the Central System already.
        refused: Why others cannot be moved.
    """

    keys: int
    members: list[MoveMember]
    refused: list[str]


class _MembersWanted(Struct, frozen=True, kw_only=True):
    wanted: MovesWanted
    tenant: str


class MoveWorker(Protocol):
    """Carries out what concerns the Charge Points of this process."""

    def step_here(self, step: MoveStep) -> StepOutcome:
        """Carry out a step."""

    def views_here(self, wanted: ViewWanted) -> list[MemberView]:
        """Return what this process knows about the Charge Points that it has."""

    async def members_here(self, wanted: MovesWanted, tenant: str) -> FoundMembers:
        """Return the Charge Points of this process that a move would have."""


class MoveNodes(Protocol):
    """The other processes."""

    @property
    def node(self) -> str:
        """The name of this process."""

    def living(self) -> list[str]:
        """Return the names of all living processes, sorted; that of this one while it may act."""

    def is_here(self, key: str) -> bool:
        """Return whether this process has a Charge Point, and may act for it now."""

    def serve(self, worker: MoveWorker) -> None:
        """Let `worker` answer other processes."""

    async def step(self, step: MoveStep) -> StepOutcome | None:
        """Let the process that has the Charge Point carry out a step; None if it is this one. Raises Unavailable."""

    async def views(self, wanted: ViewWanted) -> list[MemberView]:
        """Return what other processes know. Charge Points of one that does not answer are left out."""

    async def members(self, wanted: MovesWanted, tenant: str) -> list[FoundMembers]:
        """Return the Charge Points of other processes that a move would have. Raises Unavailable."""


_encode = msgspec.msgpack.encode


class ClusterMoves:
    """Implements MoveNodes.

    Args:
        own: This process.
        holders: Finds the process that has a Charge Point.
        courier: The links to other processes.
    """

    def __init__(self, own: Node, holders: HolderSearch, courier: Courier) -> None:
        self._own, self._holders, self._courier = own, holders, courier
        self.node = own.node

    def living(self) -> list[str]:
        """Return the names of all living processes, sorted; that of this one while it may act."""
        return self._own.nodes

    def is_here(self, key: str) -> bool:
        """Return whether this process has a Charge Point, and may act for it now."""
        return self._holders.is_here(key)

    def serve(self, worker: MoveWorker) -> None:
        """Let `worker` answer other processes."""

        async def step(node: str, octets: bytes) -> bytes:
            asked = msgspec.msgpack.decode(octets, type=MoveStep)
            is_here = await self._holders.is_here_when_loaded(asked.identity)
            return _encode(worker.step_here(asked)) if is_here else b""

        async def members(node: str, octets: bytes) -> bytes:
            asked = msgspec.msgpack.decode(octets, type=_MembersWanted)
            return _encode(await worker.members_here(asked.wanted, asked.tenant))

        self._courier.on(_STEP, step)
        self._courier.on(
            _VIEWS,
            lambda node, octets: _encode(worker.views_here(msgspec.msgpack.decode(octets, type=ViewWanted))),
        )
        self._courier.on(_MEMBERS, members)

    async def step(self, step: MoveStep) -> StepOutcome | None:
        """Let the process that has the Charge Point carry out a step; None if it is this one. Raises Unavailable."""
        answer = await self._holders.ask(step.identity, _STEP, lambda: _encode(step))
        return None if answer is None else msgspec.msgpack.decode(answer, type=StepOutcome)

    async def views(self, wanted: ViewWanted) -> list[MemberView]:
        """Return what other processes know. Charge Points of one that does not answer are left out."""
        of_nodes: dict[str, list[tuple[str, str | None]]] = {}
        for identity, target in wanted.targets:
            if (node := self._holders.other(identity)) is not None:
                of_nodes.setdefault(node, []).append((identity, target))
        found = await asyncio.gather(
            *(
                self._ask(node, _VIEWS, _encode(ViewWanted(move=wanted.move, targets=targets)))
                for node, targets in of_nodes.items()
            ),
            return_exceptions=True,
        )
        views: list[MemberView] = []
        for each in found:
            if isinstance(each, bytes):
                views += msgspec.msgpack.decode(each, type=list[MemberView])
            elif not isinstance(each, Unavailable):
                raise each
        return views

    async def members(self, wanted: MovesWanted, tenant: str) -> list[FoundMembers]:
        """Return the Charge Points of other processes that a move would have. Raises Unavailable."""
        octets = _encode(_MembersWanted(wanted=wanted, tenant=tenant))
        answers: Sequence[bytes] = await asyncio.gather(
            *(self._ask(node, _MEMBERS, octets) for node in self._own.others)
        )
        return [msgspec.msgpack.decode(each, type=FoundMembers) for each in answers]

    async def _ask(self, node: str, kind: str, octets: bytes) -> bytes:
        try:
            return await self._courier.ask(node, kind, octets, asyncio.get_running_loop().time() + _ANSWER_TIME)
        except NodeRefused as refused:
            raise Unavailable(f"the node {node!r} failed: {refused.text}") from refused
