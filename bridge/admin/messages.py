"""The endpoints for messages, as the recorder stored them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from bridge.admin.answers import AdminAnswer
from bridge.admin.charge_points import NOT_FOUND, Cursor, Glob, Limit
from bridge.admin.cursors import closed, foreign, number_in, number_of, opened
from bridge.admin.endpoints import JSON_LINES, AdminEndpoint, AdminRequest, Nothing, OfAllNodes, SentRequest
from bridge.admin.merging import PlacedPage, latest, merged_streams
from bridge.admin.operations import Recordings, Views
from bridge.admin.problems import RequestRefused
from bridge.admin.scope import with_identities
from bridge.ocpp.tenants import identity_of, tenant_of
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
# The octets of messages after which a trace ends, and the part of one of several processes.
_MOST_OCTETS, _MOST_OCTETS_OF_NODE = 50_000_000, 5_000_000
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


class MessagesPart(Struct, frozen=True, kw_only=True):
    """A page of the messages that one process has recorded.

    Attributes:
        node: The name of the process, "" for a single one.
        page: The page. Its `next` is the place to which it reaches.
        places: The place of each message in the records of this process.
        is_known: Whether this process has the Charge Point that the messages are wanted of.
    """

    node: str
    page: Page
    places: list[int]
    is_known: bool = True


class TracedMessage(Struct, frozen=True, kw_only=True):
    """The lines of a trace that stand for one message, each with its time. `at` is the time of the message."""

    at: str
    lines: list[tuple[str, str]]


class TracePart(Struct, frozen=True, kw_only=True):
    """The newest messages that one process has recorded, the newest first. `more` says that it has older ones."""

    messages: list[TracedMessage]
    more: bool


def endpoints(overview: Views, recordings: Recordings, node: str = "") -> list[AdminEndpoint]:
    """Return the endpoints for messages. `node` is the name of this process, "" for a single one."""
    messages = _Messages(overview, recordings, node)
    return [
        AdminEndpoint(
            scope="tenant",
            name="list-messages",
            method="GET",
            path="/messages",
            about="What was said, the newest first",
            handle=messages.of_all,
            query=OfAll,
            of_all=OfAllNodes(part=MessagesPart, merge=merged_messages, told=_told),
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
            of_all=OfAllNodes(part=MessagesPart, merge=merged_messages, told=_told),
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
            of_all=OfAllNodes(part=TracePart, merge=merged_trace, told=_trace),
            media=JSON_LINES,
        ),
        AdminEndpoint(
            scope="tenant",
            name="message",
            method="GET",
            path="/messages/{id}",
            about="One message in all its forms: as it came in, as the model has it, as it went out",
            handle=messages.one,
            place=_recorded_by,
            answer=Recorded,
            refusals=(NOT_FOUND,),
        ),
    ]


def _recorded_by(sent: SentRequest) -> str:
    """Return the name of the process that has recorded a message, "" if its id names none."""
    return sent.named["id"].rpartition(".")[0]


def merged_messages(asked: AdminRequest[OfOne, None], parts: Sequence[MessagesPart]) -> MessagesPart:
    """Return a page of all messages from the same page of what each process has recorded.

    The order within the messages of a process stays. Those of several are ordered by the time.
    """
    if len(parts) == 1 and not parts[0].node:
        return parts[0]
    pages = {
        part.node: PlacedPage(
            items=list(zip(part.places, part.page.items, strict=True)),
            next=None if part.page.next is None else int(part.page.next),
        )
        for part in parts
    }
    items, places = merged_streams(pages, asked.query.limit, lambda message: message.at)
    before = _places(asked.query.cursor)
    if before is not None:
        silent = {node: place for node, place in before.items() if node not in pages}
        places = silent | {node: before[node] if place is None else place for node, place in places.items()}
    following = None if not places else msgspec.json.encode(places).decode()
    searched = [part.page.searched_to for part in parts if part.node in places]
    page = Page(items=items, next=following, searched_to=latest(searched))
    return MessagesPart(node="", page=page, places=[], is_known=any(part.is_known for part in parts))


def _places(cursor: str | None) -> dict[str, int | None] | None:
    """Return the place at which the page of each process begins, None for the newest message; None without a cursor.

    A process that is not in it has no more messages. Raises RequestRefused for a cursor of another list.
    """
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(opened(cursor), type=dict[str, int | None])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise foreign() from error


def _told(asked: AdminRequest[OfOne, None], part: MessagesPart) -> Page:
    if not part.is_known:
        name = identity_of(asked.named["identity"])
        raise RequestRefused(NOT_FOUND, f"no Charge Point {name!r} was ever here")
    page = part.page
    return msgspec.structs.replace(page, next=None if page.next is None else closed(page.next))


def merged_trace(asked: AdminRequest[TraceParameters, None], parts: Sequence[TracePart]) -> TracePart:
    """Return the newest messages of all processes."""
    found = [message for part in parts for message in part.messages]
    # What a process with more messages has not told is not newer than the oldest that it has told.
    oldest = latest(part.messages[-1].at if part.messages else None for part in parts if part.more)
    if oldest is not None and len(parts) > 1:
        found = [message for message in found if message.at >= oldest]
    found.sort(key=lambda message: message.at, reverse=True)
    more = any(part.more for part in parts) or len(found) > MOST_TRACED
    return TracePart(messages=found[:MOST_TRACED], more=more)


def _trace(asked: AdminRequest[TraceParameters, None], part: TracePart) -> AdminAnswer:
    # Messages that end at the same time are in the order in which they ended.
    lines = [line for message in reversed(part.messages) for line in message.lines]
    lines.sort(key=lambda line: line[0])
    headers = {"Content-Disposition": 'attachment; filename="ocpp-bridge-trace.jsonl"'}
    if part.more:
        headers[TRUNCATED] = "true"
    return AdminAnswer(media=JSON_LINES, headers=headers, body="".join(line for _, line in lines).encode())


class _Messages:
    def __init__(self, overview: Views, recordings: Recordings, node: str) -> None:
        self._overview = overview
        self._recordings = recordings
        self._node = node

    async def of_all(self, asked: AdminRequest[OfAll, None]) -> MessagesPart:
        return await self._page(asked.query.identity, asked.query, tenant=asked.tenant)

    async def of_one(self, asked: AdminRequest[OfOne, None]) -> MessagesPart:
        key = asked.named["identity"]
        try:
            identity, is_known = self._overview.charge_point(key).identity, True
        except RequestRefused:
            identity, is_known = key, False
        part = await self._page(None, asked.query, identity, tenant=asked.tenant)
        return msgspec.structs.replace(part, is_known=is_known)

    async def _page(self, glob: str | None, query: OfOne, identity: str | None = None, *, tenant: str) -> MessagesPart:
        wanted = query.wanted(glob, identity, tenant=tenant)
        if query.cursor is None:
            await self._caught_up()
        begin: int | None = None
        if not self._node:
            begin = None if query.cursor is None else number_in(query.cursor)
        elif (places := _places(query.cursor)) is not None:
            if self._node not in places:
                return MessagesPart(node=self._node, page=Page(items=[]), places=[])
            begin = places[self._node]
        cursor = None if begin is None else str(begin)
        page = await self._recordings.messages(wanted, limit=query.limit, cursor=cursor)
        places_ = [int(str(item.id).rpartition(".")[2]) for item in page.items]
        return MessagesPart(node=self._node, page=page, places=places_)

    async def trace(self, asked: AdminRequest[TraceParameters, None]) -> TracePart:
        wanted = asked.query.wanted(asked.query.identity, tenant=asked.tenant)
        await self._caught_up()
        found: list[Recorded] = []
        cursor: str | None = None
        octets = 0
        most = _MOST_OCTETS_OF_NODE if self._node else _MOST_OCTETS
        for _ in range(_TRACE_PAGES):
            page = await self._recordings.recorded(wanted, limit=_TRACED_AT_ONCE, cursor=cursor)
            found += with_identities(page.items, asked.tenant)
            octets += sum(map(_octets, page.items))
            cursor = page.next
            if cursor is None or len(found) >= MOST_TRACED or octets >= most:
                break
        sides: tuple[trace_export.Side, ...] = trace_export.SIDES if asked.query.side == "both" else (asked.query.side,)
        traced = []
        for number, message in enumerate(found[:MOST_TRACED], start=1):
            records = trace_export.exported([message], sides).records
            lines = [(record.timestamp, trace_records.write(record).decode() + "\n") for record in records]
            traced.append(TracedMessage(at=message.at, lines=lines))
            if number % _CONVERTED_AT_ONCE == 0:  # so that other work is served in between
                await asyncio.sleep(0)
        return TracePart(messages=traced, more=cursor is not None)

    async def _caught_up(self) -> None:
        """Wait until the messages of the live stream can be read, but no longer than _PATIENCE seconds for the disk."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._recordings.flush(), _PATIENCE)

    async def one(self, asked: AdminRequest[Nothing, None]) -> Recorded:
        name = asked.named["id"]
        node, _, text = name.rpartition(".")
        number = number_of(text) if node == self._node else None
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
