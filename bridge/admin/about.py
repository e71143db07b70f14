"""The endpoints for the program itself, the configuration, the audit, the forms of the actions, and the live stream."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from bridge import __version__
from bridge.admin import facts
from bridge.admin.charge_points import Cursor, Glob, Limit
from bridge.admin.cursors import closed, number_in
from bridge.admin.endpoints import EVENTS, AdminEndpoint, AdminRequest, ClientRequest, Nothing, OfAllNodes
from bridge.admin.events import BLOCKED, Stream
from bridge.admin.facts import ActionForm
from bridge.admin.forms import forms
from bridge.admin.messages import Moment, seconds
from bridge.admin.operations import AuditFilter, Views
from bridge.distribution.build import commit
from bridge.ocpp.tenants import named

# The answers that are the same for all tenants, or that say which tenants there are.
_FOR_EVERYBODY = ("about", "actions", "tenants")
# The time after which a browser reconnects to a stream that ended, in milliseconds.
_RETRY = b"retry: 1000\n\n"


class AuditParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the audit: which entries, the size of a page, and the page. `until` is excluded."""

    identity: Glob | None = None
    who: Glob | None = None
    what: Glob | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class EventsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameter of the live stream: a glob of identities. None stands for all Charge Points."""

    identity: Glob | None = None


def endpoints(overview: Views, stream: Stream) -> list[AdminEndpoint]:
    """Return the endpoints of the API, except those for Charge Points and messages and the OpenAPI document."""
    about = _About(overview)
    listed: list[tuple[str, str, Any, Any]] = [
        (
            "about",
            "Version, commit and Python of the bridge, and the role of who asks",
            about.about,
            facts.About,
        ),
        ("routes", "The routes in their order, and the Charge Points that were moved", about.routes, facts.Routes),
        ("addresses", "The exact addresses to type into a Charge Point", about.addresses, facts.Addresses),
        ("tenants", "The tenants that the token is for", about.tenants, facts.Tenants),
        ("actions", "What can be sent, with the JSON Schema of each request", about.actions, dict[str, ActionForm]),
    ]
    return [
        *(
            AdminEndpoint(
                name=name,
                method="GET",
                path=f"/{name}",
                about=text,
                handle=handle,
                of_all=OfAllNodes(part=facts.Routes, merge=merged_routes) if name == "routes" else None,
                answer=answer,
                scope="everybody" if name in _FOR_EVERYBODY else "tenant",
            )
            for name, text, handle, answer in listed
        ),
        AdminEndpoint(
            scope="tenant",
            name="audit",
            method="GET",
            path="/audit",
            about="What operators did in the last 90 days, the newest first",
            handle=about.audit,
            query=AuditParameters,
            answer=facts.Audits,
        ),
        AdminEndpoint(
            scope="tenant",
            name="events",
            method="GET",
            path="/events",
            about="What happens, as it happens: Server-Sent Events message, link, charge-point, refused and gap."
            " Last-Event-ID takes up a stream again, as far back as it is remembered",
            handle=Streaming(stream).serve,
            query=EventsQuery,
            media=EVENTS,
            refusals=(HTTPStatus.SERVICE_UNAVAILABLE,),
        ),
    ]


def merged_routes(asked: AdminRequest[Nothing, None], parts: Sequence[facts.Routes]) -> facts.Routes:
    """Return the Routes of a fleet from those of its parts, which have the same configuration, with their counts."""
    same: dict[bytes, facts.RouteFact] = {}
    for part in parts:
        seen: Counter[bytes] = Counter()
        for route in part.items:
            name = msgspec.json.encode(replace(route, charge_points=0))
            seen[name] += 1
            name += str(seen[name]).encode()  # two Routes may be equal
            before = same.get(name)
            count = route.charge_points + (0 if before is None else before.charge_points)
            same[name] = replace(route, charge_points=count)
    moved = sorted((each for part in parts for each in part.moved), key=lambda each: each.identity)
    return facts.Routes(items=list(same.values()), moved=moved)


class _About:
    def __init__(self, overview: Views) -> None:
        self._overview = overview

    async def about(self, asked: AdminRequest[Nothing, None]) -> facts.About:
        return facts.About(version=__version__, commit=commit(), python=platform.python_version(), role=asked.role)

    async def routes(self, asked: AdminRequest[Nothing, None]) -> facts.Routes:
        return self._overview.routes(tenant=asked.tenant)

    async def addresses(self, asked: AdminRequest[Nothing, None]) -> facts.Addresses:
        return self._overview.addresses(tenant=asked.tenant)

    async def tenants(self, asked: ClientRequest[Nothing, None]) -> facts.Tenants:
        found = self._overview.tenants().items
        return facts.Tenants(items=[each for each in found if asked.may_use(named(each.name))])

    async def actions(self, asked: AdminRequest[Nothing, None]) -> dict[str, ActionForm]:
        return forms()

    async def audit(self, asked: AdminRequest[AuditParameters, None]) -> facts.Audits:
        query = asked.query
        wanted = AuditFilter(
            identity=query.identity,
            who=query.who,
            what=query.what,
            since=seconds("since", query.since),
            until=seconds("until", query.until),
        )
        before = None if query.cursor is None else number_in(query.cursor)
        page = await self._overview.audit(wanted, before, query.limit, tenant=asked.tenant)
        return facts.Audits(items=page.items, next=None if page.next is None else closed(page.next))


class Streaming:
    """The handler of the live stream. A client that accepts no data for `blocked` seconds is disconnected."""

    def __init__(self, stream: Stream, blocked: float = BLOCKED) -> None:
        self._stream = stream
        self._blocked = blocked

    async def serve(self, asked: ClientRequest[EventsQuery, None]) -> web.StreamResponse:
        """Send events to the client of `asked` and return the response.

        The stream ends when the client disconnects, reads too slowly or loses its token, and when the bridge shuts
        down. Raises Refused when there are too many clients.
        """
        request = asked.client
        last = self._stream.number_of(request.headers.get("Last-Event-ID"))
        client = self._stream.subscribe(asked.query.identity, last, asked.admitted, tenant=asked.tenant)
        # X-Accel-Buffering makes a proxy (nginx) forward each event without delay.
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no"})
        try:
            await self._stream.complete()
            await response.prepare(request)
            await response.write(_RETRY)
            async for chunk in client.chunks():
                async with asyncio.timeout(self._blocked):
                    await response.write(chunk)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._stream.leave(client)
        return response
