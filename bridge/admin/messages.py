"""The endpoints for messages, as the recorder stored them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct, field

from bridge.admin.charge_points import NOT_FOUND, Cursor, Glob, Limit
from bridge.admin.cursors import closed, number_in, number_of
from bridge.admin.endpoints import JSON_LINES, AdminEndpoint, AdminRequest, Nothing
from bridge.admin.operations import Recordings, Views
from bridge.admin.problems import RequestRefused
from bridge.admin.scope import with_identities
from bridge.ocpp.tenants import tenant_of
from bridge.recorder import trace_export, trace_records
from bridge.recorder.messages import MessageFilter, Outcome, Page, Recorded, Sender

# `seconds` reads the text: msgspec would accept a number in a query as a time.
Moment = Annotated[str, Meta(description="ISO 8601, with its zone", extra_json_schema={"format": "date-time"})]


# The time that a reader waits for the disk, in seconds.
_PATIENCE = 2.0


Part = Annotated[str, Meta(min_length=1, max_length=200)]
Side = Literal["charge-point", "central-system", "both"]
# The most messages in a trace, the messages that are read at once, and the most pages of them: a filter on the content
# may pass over many.
MOST_TRACED = 2000
_TRACED_AT_ONCE, _TRACE_PAGES, _CONVERTED_AT_ONCE = 50, 100, 10
# The octets of messages after which a trace ends.
_MOST_OCTETS = 50_000_000
# The header field of a trace that lacks older messages.
TRUNCATED = "OCPP-Bridge-Truncated"


class MessageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that say which messages of one Charge Point. `since` is included, `until` is excluded.

    Attributes:
        failed: Whether the message did not end well.
        text: A part of what was on a wire, or of the model. The case of the letters A to Z does not count, here and
            below.
        lossy: Whether something was lost in translation.
        loss: A part of the name of a field that was lost, or of the reason.
        error: A part of the explanation of what did not end well.
    """

    action: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    outcome: Outcome | None = None
    sender: Sender | None = field(name="from", default=None)
    since: Moment | None = None
    until: Moment | None = None
    failed: bool | None = None
    text: Part | None = None
    lossy: bool | None = None
    loss: Part | None = None
    error: Part | None = None

    def wanted(self, glob: str | None = None, identity: str | None = None, *, tenant: str) -> MessageFilter:
        """Return the filter. Raises RequestRefused for a text that is no time.

        Args:
            glob: A glob on the identity, None for every Charge Point.
            identity: The key of one Charge Point.
            tenant: The tenant whose messages are wanted.
        """
        return MessageFilter(
            tenant=tenant,
            identity_glob=glob,
            identity=identity,
            actions=None if self.action is None else (self.action,),
            outcome=self.outcome,
            sender=self.sender,
            since=seconds("since", self.since),
            until=seconds("until", self.until),
            failed=self.failed,
            text=self.text,
            lossy=self.lossy,
            loss=self.loss,
            error=self.error,
        )


class OfOne(MessageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters for a page of messages of one Charge Point."""

    limit: Limit = 100
    cursor: Cursor | None = None


class OfAll(OfOne, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters for a page of messages of all Charge Points."""

    identity: Glob | None = None


class TraceParameters(MessageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters for a trace: which messages, and on which side of the bridge."""

    identity: Glob | None = None
    side: Side = "charge-point"


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
            name="trace",
            method="GET",
            path="/messages:trace",
            about=f"The newest messages, {MOST_TRACED} at most, in the Open OCPP Trace format (JSON lines)."
            f" The header field {TRUNCATED} says that there are older ones",
            handle=messages.trace,
            query=TraceParameters,
            media=JSON_LINES,
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
        wanted = query.wanted(glob, identity, tenant=tenant)
        if query.cursor is None:
            await self._caught_up()
        cursor = None if query.cursor is None else str(number_in(query.cursor))
        page = await self._recordings.messages(wanted, limit=query.limit, cursor=cursor)
        return msgspec.structs.replace(page, next=None if page.next is None else closed(page.next))

    async def trace(self, asked: AdminRequest[TraceParameters, None]) -> web.Response:
        wanted = asked.query.wanted(asked.query.identity, tenant=asked.tenant)
        await self._caught_up()
        found: list[Recorded] = []
        cursor: str | None = None
        octets = 0
        for _ in range(_TRACE_PAGES):
            page = await self._recordings.recorded(wanted, limit=_TRACED_AT_ONCE, cursor=cursor)
            found += with_identities(page.items, asked.tenant)
            octets += sum(map(_octets, page.items))
            cursor = page.next
            if cursor is None or len(found) >= MOST_TRACED or octets >= _MOST_OCTETS:
                break
        sides: tuple[trace_export.Side, ...] = trace_export.SIDES if asked.query.side == "both" else (asked.query.side,)
        found = found[MOST_TRACED - 1 :: -1]
        records: list[trace_records.Record] = []
        lines: list[bytes] = []
        # Some at a time, so that other work is served in between.
        for begin in range(0, len(found), _CONVERTED_AT_ONCE):
            records += trace_export.exported(found[begin : begin + _CONVERTED_AT_ONCE], sides).records
            await asyncio.sleep(0)
        records.sort(key=lambda record: record.timestamp)
        for begin in range(0, len(records), _CONVERTED_AT_ONCE):
            lines += [trace_records.write(one) + b"\n" for one in records[begin : begin + _CONVERTED_AT_ONCE]]
            await asyncio.sleep(0)
        headers = {"Content-Disposition": 'attachment; filename="ocpp-bridge-trace.jsonl"'}
        if cursor is not None:
            headers[TRUNCATED] = "true"
        return web.Response(body=b"".join(lines), content_type=JSON_LINES, headers=headers)

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


def _octets(message: Recorded) -> int:
    """Return the octets of a message on all wires, without what was masked."""
    halves = (message.request, message.response)
    return sum(len(form.text) for half in halves for form in (half.received, half.sent) if form is not None)


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
