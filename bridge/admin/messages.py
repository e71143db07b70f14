"""The API's messages: what was said, as the recorder kept it."""

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
from bridge.admin.endpoints import Asked, Endpoint, Nothing
from bridge.admin.operations import Overview, Recordings
from bridge.admin.problems import Refused
from bridge.recorder.messages import Outcome, Page, Recorded, Sender

# Read by `_seconds`: where types are guessed from a query, a number would be taken for a point in time.
Moment = Annotated[str, Meta(description="ISO 8601, with its zone", extra_json_schema={"format": "date-time"})]


# Seconds that a reader waits for the disk.
_PATIENCE = 2.0


class OfOne(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages of a Charge Point. `since` is included, `until` is not."""

    action: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    outcome: Outcome | None = None
    sender: Sender | None = field(name="from", default=None)
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfAll(OfOne, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages."""

    identity: Glob | None = None


def endpoints(overview: Overview, recordings: Recordings) -> list[Endpoint]:
    """Those of `/messages`."""
    messages = _Messages(overview, recordings)
    return [
        Endpoint(
            name="list-messages",
            method="GET",
            path="/messages",
            about="What was said, the newest first",
            handle=messages.of_all,
            query=OfAll,
            answer=Page,
        ),
        Endpoint(
            name="messages-of-charge-point",
            method="GET",
            path="/charge-points/{identity}/messages",
            about="What one Charge Point said and was told, the newest first",
            handle=messages.of_one,
            query=OfOne,
            answer=Page,
            refusals=(NOT_FOUND,),
        ),
        Endpoint(
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
    def __init__(self, overview: Overview, recordings: Recordings) -> None:
        self._overview = overview
        self._recordings = recordings

    async def of_all(self, asked: Asked[OfAll, None]) -> Page:
        return await self._page(asked.query.identity, asked.query)

    async def of_one(self, asked: Asked[OfOne, None]) -> Page:
        identity = self._overview.charge_point(asked.named["identity"]).identity
        return await self._page(None, asked.query, identity)

    async def _page(self, glob: str | None, query: OfOne, identity: str | None = None) -> Page:
        if query.cursor is None:
            await self._caught_up()
        page = await self._recordings.messages(
            glob,
            query.action,
            query.outcome,
            query.sender,
            _seconds("since", query.since),
            _seconds("until", query.until),
            query.limit,
            None if query.cursor is None else str(number_in(query.cursor)),
            identity,
        )
        return Page(items=page.items, next=None if page.next is None else closed(page.next))

    async def _caught_up(self) -> None:
        """What was heard of on the live stream can be read; on a disk that hangs, what was written before."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._recordings.flush(), _PATIENCE)

    async def one(self, asked: Asked[Nothing, None]) -> Recorded:
        name = asked.named["id"]
        number = number_of(name)
        found = None if number is None else await self._recordings.message(number)
        if found is None and number is not None:
            await self._caught_up()
            found = await self._recordings.message(number)
        if found is None:
            raise Refused(NOT_FOUND, f"no message {name!r} is recorded, or not any more")
        return found


def _seconds(name: str, moment: str | None) -> float | None:
    """Unix seconds. Raises Refused."""
    if moment is None:
        return None
    try:
        when: datetime = msgspec.convert(moment, Annotated[datetime, Meta(tz=True)])
        return when.timestamp()
    except msgspec.ValidationError as error:
        text = "a point in time is 2026-01-02T03:04:05Z, with its zone"
        raise Refused(HTTPStatus.BAD_REQUEST, text, path=name) from error
