"""The endpoints for messages, as the recorder stored them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from bridge.admin.charge_points import NOT_FOUND, Cursor, Glob, Limit
from bridge.admin.cursors import closed, number_in, number_of
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, Nothing
from bridge.admin.operations import Recordings, Views
from bridge.admin.problems import RequestRefused
from bridge.ocpp.tenants import tenant_of
from bridge.recorder.messages import Outcome, Page, Recorded, Sender

# `seconds` reads the text: msgspec would accept a number in a query as a time.
Moment = Annotated[str, Meta(description="ISO 8601, with its zone", extra_json_schema={"format": "date-time"})]


# The time that a reader waits for the disk, in seconds.
_PATIENCE = 2.0


class OfOne(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters for the messages of one Charge Point. `since` is included, `until` is excluded."""

    action: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    outcome: Outcome | None = None
    sender: Sender | None = field(name="from", default=None)
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfAll(OfOne, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters for the messages of all Charge Points."""

    identity: Glob | None = None


def endpoints(overview: Views, recordings: Recordings) -> list[AdminEndpoint]:
    """Return the endpoints for messages."""
    messages = _Messages(overview, recordings)
    return [
        AdminEndpoint(
            scope="tenant",
            name="list-messages",
            method="GET",
            path="/messages",
            about="What was said, the newest first",
            handle=messages.of_all,
            query=OfAll,
            answer=Page,
        ),
        AdminEndpoint(
            scope="tenant",
            name="messages-of-charge-point",
            method="GET",
            path="/charge-points/{identity}/messages",
            about="What one Charge Point said and was told, the newest first",
            handle=messages.of_one,
            query=OfOne,
            answer=Page,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="message",
            method="GET",
            path="/messages/{id}",
            about="One message in all its forms: as it came in, as the model has it, as it went out",
            handle=messages.one,
            answer=Recorded,
            refusals=(NOT_FOUND,),
        ),
    ]


class _Messages:
    def __init__(self, overview: Views, recordings: Recordings) -> None:
        self._overview = overview
        self._recordings = recordings

    async def of_all(self, asked: AdminRequest[OfAll, None]) -> Page:
        return await self._page(asked.query.identity, asked.query, tenant=asked.tenant)

    async def of_one(self, asked: AdminRequest[OfOne, None]) -> Page:
        identity = self._overview.charge_point(asked.named["identity"]).identity
        return await self._page(None, asked.query, identity, tenant=asked.tenant)

    async def _page(self, glob: str | None, query: OfOne, identity: str | None = None, *, tenant: str) -> Page:
        if query.cursor is None:
            await self._caught_up()
        page = await self._recordings.messages(
            glob,
            query.action,
            query.outcome,
            query.sender,
            seconds("since", query.since),
            seconds("until", query.until),
            query.limit,
            None if query.cursor is None else str(number_in(query.cursor)),
            identity,
            tenant,
        )
        return Page(items=page.items, next=None if page.next is None else closed(page.next))

    async def _caught_up(self) -> None:
        """Wait until the messages of the live stream can be read, but no longer than _PATIENCE seconds for the disk."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._recordings.flush(), _PATIENCE)

    async def one(self, asked: AdminRequest[Nothing, None]) -> Recorded:
        name = asked.named["id"]
        number = number_of(name)
        found = None if number is None else await self._recordings.message(number)
        if found is None and number is not None:
            await self._caught_up()
            found = await self._recordings.message(number)
        if found is None or tenant_of(found.identity) != asked.tenant:
            raise RequestRefused(NOT_FOUND, f"no message {name!r} is recorded, or not any more")
        return found


def seconds(name: str, moment: str | None) -> float | None:
    """Return `moment` in unix seconds, or None without a moment. Raises Refused for a text that is no time."""
    if moment is None:
        return None
    try:
        when: datetime = msgspec.convert(moment, Annotated[datetime, Meta(tz=True)])
        return when.timestamp()
    except msgspec.ValidationError as error:
        text = "a point in time is 2026-01-02T03:04:05Z, with its zone"
        raise RequestRefused(HTTPStatus.BAD_REQUEST, text, path=name) from error
