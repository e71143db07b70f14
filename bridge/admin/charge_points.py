"""The endpoints for Charge Points: read their state, send commands to them, move them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct, field

from bridge.admin import facts
from bridge.admin.cursors import closed, opened
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, Nothing
from bridge.admin.operations import Actions, Views, Wanted

Glob = Annotated[str, Meta(min_length=1, max_length=255, description="a glob, letter case aside: EVLINK-*")]
Limit = Annotated[int, Meta(ge=1, le=1000, description="items on a page")]
Cursor = Annotated[str, Meta(min_length=1, max_length=2000, description="`next` of the page before")]
NOT_FOUND, CONFLICT = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
_UNAVAILABLE, _TIMEOUT = HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT


class ListQuery(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list: which Charge Points, the size of a page, and the page."""

    identity: Glob | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to a Charge Point. `payload` is the request of `action`; `/actions` has its JSON Schema."""

    action: Annotated[str, Meta(min_length=1, max_length=50)]
    payload: Annotated[Raw, Meta(extra_json_schema={"type": "object"})] = field(default_factory=lambda: Raw(b"{}"))


class MoveWanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The target of a move: the name of a Central System in the configuration.

    `when` is "now", or "idle" for as soon as the Charge Point has no open transaction.
    """

    central_system: Annotated[str, Meta(min_length=1, max_length=255)]
    when: Literal["idle", "now"] = "idle"


def endpoints(overview: Views, steering: Actions) -> list[AdminEndpoint]:
    """Return the endpoints under `/charge-points`."""
    seeing, acting = _Seeing(overview), _Acting(steering)
    one = "/charge-points/{identity}"
    return [
        AdminEndpoint(
            scope="tenant",
            name="list-charge-points",
            method="GET",
            path="/charge-points",
            about="Charge Points, by identity",
            handle=seeing.several,
            query=ListQuery,
            answer=facts.ChargePoints,
        ),
        AdminEndpoint(
            scope="tenant",
            name="charge-point",
            method="GET",
            path=one,
            about="All about one Charge Point",
            handle=seeing.one,
            answer=facts.Details,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="remove",
            method="DELETE",
            path=one,
            about="Hang up on it and forget it; it is known again if it comes back by itself",
            handle=acting.remove,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="call",
            method="POST",
            path=f"{one}/calls",
            about="Send a command in the place of its Central System, and wait for the answer",
            handle=acting.call,
            body=Command,
            answer=facts.CallOutcome,
            refusals=(NOT_FOUND, CONFLICT, _UNAVAILABLE, _TIMEOUT),
        ),
        AdminEndpoint(
            scope="tenant",
            name="disconnect",
            method="POST",
            path=f"{one}/disconnect",
            about="Close its links; it comes back by itself",
            handle=acting.disconnect,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="move",
            method="PUT",
            path=f"{one}/route",
            about="Give it to another Central System than its Route says, until that is undone",
            handle=acting.move,
            body=MoveWanted,
            answer=facts.Moved,
            refusals=(CONFLICT,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="move-back",
            method="DELETE",
            path=f"{one}/route",
            about="Give it back at once to the Central System that its Route says; a move that waits is dropped",
            handle=acting.move_back,
            answer=facts.Moved,
            refusals=(NOT_FOUND,),
        ),
    ]


class _Seeing:
    def __init__(self, overview: Views) -> None:
        self._overview = overview

    async def several(self, asked: AdminRequest[ListQuery, None]) -> facts.ChargePoints:
        query = asked.query
        after = None if query.cursor is None else opened(query.cursor)
        page = await self._overview.charge_points(query, after, query.limit, tenant=asked.tenant)
        following = None if page.next is None else closed(page.next)
        return facts.ChargePoints(items=page.items, total=page.total, states=page.states, next=following)

    async def one(self, asked: AdminRequest[Nothing, None]) -> facts.Details:
        return self._overview.charge_point(asked.named["identity"])


class _Acting:
    def __init__(self, steering: Actions) -> None:
        self._steering = steering

    async def call(self, asked: AdminRequest[Nothing, Command]) -> facts.CallOutcome:
        command = asked.body
        return await self._steering.call(asked.named["identity"], command.action, command.payload, asked.who)

    async def disconnect(self, asked: AdminRequest[Nothing, None]) -> None:
        await self._steering.disconnect(asked.named["identity"], asked.who)

    async def remove(self, asked: AdminRequest[Nothing, None]) -> None:
        await self._steering.remove(asked.named["identity"], asked.who)

    async def move(self, asked: AdminRequest[Nothing, MoveWanted]) -> facts.Moved:
        wanted = asked.body
        return await self._steering.move(asked.named["identity"], wanted.central_system, wanted.when, asked.who)

    async def move_back(self, asked: AdminRequest[Nothing, Any]) -> facts.Moved:
        return await self._steering.move_back(asked.named["identity"], asked.who)
