"""The API's Charge Points: seeing them, and steering them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from bridge.admin import facts
from bridge.admin.cursors import closed, opened
from bridge.admin.endpoints import Asked, Endpoint, Nothing
from bridge.admin.operations import Overview, Steering, Wanted

Glob = Annotated[str, Meta(min_length=1, max_length=255, description="a glob, letter case aside: EVLINK-*")]
Limit = Annotated[int, Meta(ge=1, le=1000, description="items on a page")]
Cursor = Annotated[str, Meta(min_length=1, max_length=2000, description="`next` of the page before")]
NOT_FOUND, CONFLICT = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
_UNAVAILABLE, _TIMEOUT = HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT


class ListQuery(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which Charge Points, and how many."""

    identity: Glob | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to send. `payload` is the request of `action`, as `/actions` describes it."""

    action: Annotated[str, Meta(min_length=1, max_length=50)]
    payload: Annotated[Raw, Meta(extra_json_schema={"type": "object"})] = field(default_factory=lambda: Raw(b"{}"))


class Move(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to: the name of a Central System of the configuration."""

    central_system: Annotated[str, Meta(min_length=1, max_length=255)]


def endpoints(overview: Overview, steering: Steering) -> list[Endpoint]:
    """Those of `/charge-points`."""
    seeing, acting = _Seeing(overview), _Acting(steering)
    one = "/charge-points/{identity}"
    return [
        Endpoint(
            name="list-charge-points",
            method="GET",
            path="/charge-points",
            about="Charge Points, by identity",
            handle=seeing.several,
            query=ListQuery,
            answer=facts.ChargePoints,
        ),
        Endpoint(
            name="charge-point",
            method="GET",
            path=one,
            about="All about one Charge Point",
            handle=seeing.one,
            answer=facts.Details,
            refusals=(NOT_FOUND,),
        ),
        Endpoint(
            name="call",
            method="POST",
            path=f"{one}/calls",
            about="Send a command in the place of its Central System, and wait for the answer",
            handle=acting.call,
            body=Command,
            answer=facts.CallOutcome,
            refusals=(NOT_FOUND, CONFLICT, _UNAVAILABLE, _TIMEOUT),
        ),
        Endpoint(
            name="disconnect",
            method="POST",
            path=f"{one}/disconnect",
            about="Close its links; it comes back by itself",
            handle=acting.disconnect,
            refusals=(NOT_FOUND,),
        ),
        Endpoint(
            name="move",
            method="PUT",
            path=f"{one}/route",
            about="Give it to another Central System than its Route says, until that is undone",
            handle=acting.move,
            body=Move,
            answer=facts.Moved,
            refusals=(NOT_FOUND,),
        ),
        Endpoint(
            name="move-back",
            method="DELETE",
            path=f"{one}/route",
            about="Give it back to the Central System that its Route says",
            handle=acting.move_back,
            answer=facts.Moved,
            refusals=(NOT_FOUND,),
        ),
    ]


class _Seeing:
    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    async def several(self, asked: Asked[ListQuery, None]) -> facts.ChargePoints:
        query = asked.query
        after = None if query.cursor is None else opened(query.cursor)
        page = self._overview.charge_points(query, after, query.limit)
        following = None if page.next is None else closed(page.next)
        return facts.ChargePoints(items=page.items, total=page.total, next=following)

    async def one(self, asked: Asked[Nothing, None]) -> facts.Details:
        return self._overview.charge_point(asked.named["identity"])


class _Acting:
    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    async def call(self, asked: Asked[Nothing, Command]) -> facts.CallOutcome:
        command = asked.body
        return await self._steering.call(asked.named["identity"], command.action, command.payload, asked.who)

    async def disconnect(self, asked: Asked[Nothing, None]) -> None:
        await self._steering.disconnect(asked.named["identity"], asked.who)

    async def move(self, asked: Asked[Nothing, Move]) -> facts.Moved:
        return await self._steering.move(asked.named["identity"], asked.body.central_system, asked.who)

    async def move_back(self, asked: Asked[Nothing, Any]) -> facts.Moved:
        return await self._steering.move(asked.named["identity"], None, asked.who)
