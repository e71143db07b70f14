"""The endpoints for moves of several Charge Points to another Central System."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from bridge.admin.charge_points import CONFLICT, NOT_FOUND, Glob
from bridge.admin.cursors import number_of
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, Nothing, OfAllNodes, SentRequest
from bridge.admin.facts import Fact, WaitingMoveFact
from bridge.admin.problems import RequestRefused

Identity = Annotated[str, Meta(min_length=1, max_length=255)]
Identities = Annotated[list[Identity], Meta(min_length=1, max_length=100_000)]
When = Literal["idle", "now"]


class MovesWanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A move of several Charge Points.

    Attributes:
        charge_points: A glob on the known identities, or a list of identities, which need not have been seen.
        central_system: The name of the new Central System.
        percent: The part of the Charge Points that moves. The same identities belong to it each time.
        when: "now", or "idle" for as soon as a Charge Point has no open transaction.
        wave: The most Charge Points that begin at the same time.
        pause: Seconds between the end of a wave and the next one.
        stop_if: "errors>N" or "errors>N%": more failures stop the move. "" never does.
        dry_run: Only say which Charge Points would move.
    """

    charge_points: Glob | Identities
    central_system: Annotated[str, Meta(min_length=1, max_length=255)]
    percent: Annotated[float, Meta(gt=0, le=100)] = 100.0
    when: When = "idle"
    wave: Annotated[int, Meta(ge=1, le=100_000)] = 20
    pause: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0
    stop_if: Annotated[str, Meta(max_length=50)] = ""
    dry_run: bool = False


class MoveSummary(Fact, frozen=True, kw_only=True):
    """A move in a list.

    Attributes:
        id: The number of the move, None for one that only says what it would do.
        selection: What selected the Charge Points.
        state: A paused move, and one that `stop_if` has stopped, can be resumed.
        reason: Why it was stopped.
        total: The number of Charge Points.
        counts: The number of Charge Points in each state.
    """

    id: int | None
    selection: str
    central_system: str
    when: When
    wave: int
    pause: float
    stop_if: str
    who: str
    at: str
    state: Literal["running", "paused", "stopped", "done", "rolling_back", "rolled_back"]
    reason: str
    total: int
    counts: dict[str, int]


class MoveMemberFact(Fact, frozen=True, kw_only=True):
    """A Charge Point in a move.

    Attributes:
        before: The Central System that an operator had chosen for it before, None for that of its Route.
        reason: Why it failed, or what else is to be said.
    """

    identity: str
    before: str | None
    state: Literal["queued", "waits_for_idle", "moving", "done", "failed", "rolled_back"]
    reason: str


class MoveDetails(MoveSummary, frozen=True, kw_only=True):
    """A move with its Charge Points, in the order of their moves."""

    members: list[MoveMemberFact]


class MovesFact(Fact, frozen=True, kw_only=True):
    """All moves, the newest first, and the Charge Points whose move waits until they have no open transaction."""

    items: list[MoveSummary]
    waiting: list[WaitingMoveFact]


class MovesPart(Struct, frozen=True, kw_only=True):
    """The moves as one process knows them. `own` are those that it carries out, and knows best."""

    moves: MovesFact
    own: list[int]


def merged_moves(asked: AdminRequest[Nothing, None], parts: Sequence[MovesPart]) -> MovesPart:
    """Return the moves as those processes know them that carry them out, and the moves that wait of all."""
    best: dict[int | None, MoveSummary] = {}
    for part in parts:
        for move in part.moves.items:
            if move.id in part.own or move.id not in best:
                best[move.id] = move
    waiting = sorted((each for part in parts for each in part.moves.waiting), key=lambda each: each.identity)
    items = sorted(best.values(), key=lambda move: -(move.id or 0))
    own = [number for part in parts for number in part.own]
    return MovesPart(moves=MovesFact(items=items, waiting=waiting), own=own)


def _told(asked: AdminRequest[Nothing, None], part: MovesPart) -> MovesFact:
    return part.moves


class MoveActions(Protocol):
    """Carries out a tenant's moves of several Charge Points. Each method but `all` raises Refused.

    `who` is the operator.
    """

    def node_of(self, number: int | None) -> str:
        """Return the process that carries out a move, or None for a new one; "" for a single process."""

    def own(self, *, tenant: str) -> list[int]:
        """Return the numbers of the moves that this process carries out."""

    async def create(self, wanted: MovesWanted, who: str, *, tenant: str) -> MoveDetails:
        """Begin a move. Raises Refused: 400 or 409 if it cannot be carried out as a whole."""

    def all(self, *, tenant: str) -> MovesFact:
        """Return all moves."""

    def one(self, number: int, *, tenant: str) -> MoveDetails:
        """Return a move. Raises Refused (404)."""

    def pause(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Begin no further Charge Point. Raises Refused (404, 409)."""

    def resume(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Go on with a move that was paused or has stopped. Raises Refused (404, 409)."""

    def rollback(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Give every Charge Point back to the Central System that it had before. Raises Refused (404, 409)."""


def endpoints(moves: MoveActions) -> list[AdminEndpoint]:
    """Return the endpoints under `/moves`."""
    handlers = _Handlers(moves)

    def place(sent: SentRequest) -> str:
        number = number_of(sent.named["id"]) if "id" in sent.named else None
        return moves.node_of(number)

    listed: list[tuple[str, str, Any]] = [
        ("pause", "Begin no further Charge Point of a move", handlers.pause),
        ("resume", "Go on with a move that was paused or has stopped", handlers.resume),
        ("rollback", "Give all Charge Points of a move back to where they were, at once", handlers.rollback),
    ]
    return [
        AdminEndpoint(
            scope="tenant",
            name="list-moves",
            method="GET",
            path="/moves",
            about="Moves of several Charge Points, and what waits for open transactions",
            handle=handlers.all,
            of_all=OfAllNodes(part=MovesPart, merge=merged_moves, told=_told),
            answer=MovesFact,
        ),
        AdminEndpoint(
            scope="tenant",
            name="create-move",
            method="POST",
            path="/moves",
            about="Move several Charge Points to another Central System, in waves",
            handle=handlers.create,
            place=place,
            body=MovesWanted,
            answer=MoveDetails,
            refusals=(CONFLICT,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="one-move",
            method="GET",
            path="/moves/{id}",
            about="A move with its Charge Points",
            handle=handlers.one,
            place=place,
            answer=MoveDetails,
            refusals=(NOT_FOUND,),
        ),
        *(
            AdminEndpoint(
                scope="tenant",
                name=f"{name}-move",
                method="POST",
                path=f"/moves/{{id}}/{name}",
                about=about,
                handle=handle,
                place=place,
                answer=MoveSummary,
                refusals=(NOT_FOUND, CONFLICT),
            )
            for name, about, handle in listed
        ),
    ]


class _Handlers:
    def __init__(self, moves: MoveActions) -> None:
        self._moves = moves

    async def all(self, asked: AdminRequest[Nothing, None]) -> MovesPart:
        return MovesPart(moves=self._moves.all(tenant=asked.tenant), own=self._moves.own(tenant=asked.tenant))

    async def create(self, asked: AdminRequest[Nothing, MovesWanted]) -> MoveDetails:
        return await self._moves.create(asked.body, asked.who, tenant=asked.tenant)

    async def one(self, asked: AdminRequest[Nothing, None]) -> MoveDetails:
        return self._moves.one(_number(asked), tenant=asked.tenant)

    async def pause(self, asked: AdminRequest[Nothing, None]) -> MoveSummary:
        return self._moves.pause(_number(asked), asked.who, tenant=asked.tenant)

    async def resume(self, asked: AdminRequest[Nothing, None]) -> MoveSummary:
        return self._moves.resume(_number(asked), asked.who, tenant=asked.tenant)

    async def rollback(self, asked: AdminRequest[Nothing, None]) -> MoveSummary:
        return self._moves.rollback(_number(asked), asked.who, tenant=asked.tenant)


def _number(asked: AdminRequest[Nothing, None]) -> int:
    number = number_of(asked.named["id"])
    if number is None:
        raise RequestRefused(NOT_FOUND, f"there is no move {asked.named['id']!r}")
    return number
