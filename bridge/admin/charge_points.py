"""The endpoints for Charge Points: read their state, send commands to them, move them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct, field

from bridge.admin import facts
from bridge.admin.csv_files import Cell, csv_file
from bridge.admin.cursors import closed, foreign, opened
from bridge.admin.endpoints import CSV, AdminEndpoint, AdminRequest, ClientRequest, Nothing, OfAllNodes
from bridge.admin.list_order import Entry, entry_at
from bridge.admin.merging import PlacedPage, merged_page, summed
from bridge.admin.operations import Actions, FoundChargePoints, ListPlace, Sorting, SortName, Views, Wanted
from bridge.admin.scope import with_identities

Glob = Annotated[str, Meta(min_length=1, max_length=255, description="a glob, letter case aside: EVLINK-*")]
SearchText = Annotated[str, Meta(min_length=1, max_length=255)]
Limit = Annotated[int, Meta(ge=1, le=1000, description="items on a page")]
Cursor = Annotated[str, Meta(min_length=1, max_length=2000, description="`next` of the page before")]
NOT_FOUND, CONFLICT = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
_UNAVAILABLE, _TIMEOUT = HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT


class FilterQuery(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that say which Charge Points, and in which order."""

    identity: Glob | None = None
    text: SearchText | None = None
    vendor: SearchText | None = None
    model: SearchText | None = None
    firmware: SearchText | None = None
    last_error: SearchText | None = None
    sort: SortName = "identity"
    order: Literal["asc", "desc"] = "asc"

    def wanted(self) -> Wanted:
        """Return the filter alone."""
        return Wanted(**{name: getattr(self, name) for name in Wanted.__struct_fields__})


class ListQuery(FilterQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list: which Charge Points, their order, the size of a page, and the page."""

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
            about="Charge Points that fit filters, sorted",
            handle=seeing.several,
            query=ListQuery,
            of_all=OfAllNodes(part=FoundChargePoints, merge=merged_list, told=_listed),
            answer=facts.ChargePoints,
        ),
        AdminEndpoint(
            scope="tenant",
            name="charge-point-values",
            method="GET",
            path="/charge-points:values",
            about="The vendors, models and firmware versions that there are",
            handle=seeing.values,
            of_all=OfAllNodes(part=facts.ChargePointValues, merge=merged_values, told=_most_frequent),
            answer=facts.ChargePointValues,
        ),
        AdminEndpoint(
            scope="tenant",
            name="charge-points-table",
            method="GET",
            path="/charge-points:table",
            about="Charge Points that fit filters, sorted, as a CSV file for a spreadsheet",
            handle=seeing.table,
            query=FilterQuery,
            media=CSV,
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


# The columns of the table, and what each has of a Charge Point.
_TABLE: dict[str, Callable[[facts.Summary], Cell]] = {
    "identity": lambda item: item.identity,
    "state": lambda item: item.state,
    "vendor": lambda item: item.vendor,
    "model": lambda item: item.model,
    "serial": lambda item: item.serial,
    "firmware": lambda item: item.firmware,
    "transport": lambda item: None if item.charge_point is None else item.charge_point.transport,
    "version": lambda item: None if item.charge_point is None else item.charge_point.version,
    "address": lambda item: item.address,
    "central_system": lambda item: item.central_system,
    "last_seen": lambda item: item.last_seen,
    "open_transactions": lambda item: item.transactions,
    "faulted_connectors": lambda item: " ".join(map(str, item.faulted)),
    "waiting": lambda item: item.waiting,
    "errors": lambda item: item.errors,
    "last_error": lambda item: item.last_error,
    "last_error_at": lambda item: item.last_error_at,
}
# The sorts by a text; that by model is by two of them, any other by a number.
_TEXTS: frozenset[SortName] = frozenset({"identity", "firmware", "transport", "central_system"})
# The items that are asked for at once, and the most values of a kind that a list of values has.
_TABLE_PAGE, _VALUES = 1000, 200


def _place(query: ListQuery) -> ListPlace | None:
    """Return the place in the cursor of a query. Raises RequestRefused for a cursor of another list."""
    if query.cursor is None:
        return None
    try:
        place = msgspec.json.decode(opened(query.cursor), type=ListPlace)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise foreign() from error
    kind = list if query.sort == "model" else str if query.sort in _TEXTS else float
    if place.sort != query.sort or not (place.value is None or isinstance(place.value, kind)):
        raise foreign()
    return place


def _cursor(place: ListPlace) -> str:
    return closed(msgspec.json.encode(place).decode())


def merged_list(asked: AdminRequest[ListQuery, None], parts: Sequence[FoundChargePoints]) -> FoundChargePoints:
    """Return a page of the list from the same page of each part of the fleet."""
    descending = asked.query.order == "desc"

    def order(place: ListPlace) -> Entry:
        return entry_at(place, descending=descending)

    pages = [PlacedPage(items=list(zip(part.places, part.items, strict=True)), next=part.next) for part in parts]
    page = merged_page(pages, asked.query.limit, order, descending=descending)
    return FoundChargePoints(
        items=[item for _, item in page.items],
        places=[place for place, _ in page.items],
        total=sum(part.total for part in parts),
        states=dict(summed(part.states for part in parts)),
        next=page.next,
    )


def _listed(asked: AdminRequest[ListQuery, None], page: FoundChargePoints) -> facts.ChargePoints:
    following = None if page.next is None else _cursor(page.next)
    return facts.ChargePoints(items=page.items, total=page.total, states=page.states, next=following)


def merged_values(
    asked: AdminRequest[Nothing, None], parts: Sequence[facts.ChargePointValues]
) -> facts.ChargePointValues:
    """Return all values of a fleet from those of its parts, the most frequent first."""

    def merged(lists: Iterable[list[facts.ValueCount]]) -> list[facts.ValueCount]:
        counts = summed({each.value: each.count for each in values} for values in lists)
        found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [facts.ValueCount(value=value, count=count) for value, count in found]

    return facts.ChargePointValues(
        vendors=merged(part.vendors for part in parts),
        models=merged(part.models for part in parts),
        firmwares=merged(part.firmwares for part in parts),
    )


def _most_frequent(asked: AdminRequest[Nothing, None], values: facts.ChargePointValues) -> facts.ChargePointValues:
    return facts.ChargePointValues(
        vendors=values.vendors[:_VALUES], models=values.models[:_VALUES], firmwares=values.firmwares[:_VALUES]
    )


class _Seeing:
    def __init__(self, overview: Views) -> None:
        self._overview = overview

    async def several(self, asked: AdminRequest[ListQuery, None]) -> FoundChargePoints:
        query = asked.query
        sorting = Sorting(by=query.sort, descending=query.order == "desc", after=_place(query))
        return await self._overview.charge_points(query.wanted(), sorting, query.limit, tenant=asked.tenant)

    async def values(self, asked: AdminRequest[Nothing, None]) -> facts.ChargePointValues:
        return await self._overview.values(tenant=asked.tenant)

    async def table(self, asked: ClientRequest[FilterQuery, None]) -> web.StreamResponse:
        async def page_from(place: ListPlace | None) -> FoundChargePoints:
            query = {name: getattr(asked.query, name) for name in FilterQuery.__struct_fields__}
            wanted = ListQuery(**query, limit=_TABLE_PAGE, cursor=None if place is None else _cursor(place))
            page: FoundChargePoints = await asked.whole("list-charge-points", wanted)
            return page

        async def rows(page: FoundChargePoints) -> AsyncIterator[list[Cell]]:
            while True:
                for item in with_identities(page.items, asked.tenant):
                    yield [column(item) for column in _TABLE.values()]
                if page.next is None:
                    return
                page = await page_from(page.next)

        first = await page_from(None)
        return await csv_file(asked.client, "charge-points-table.csv", list(_TABLE), rows(first))

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
