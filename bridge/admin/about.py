"""The rest of the API: what is configured, what operators did, how to make a command, what happens now, and itself."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web
from msgspec import Struct

from bridge.admin import facts
from bridge.admin.charge_points import Cursor, Glob, Limit
from bridge.admin.cursors import closed, number_in, number_of
from bridge.admin.endpoints import EVENTS, Asked, Endpoint, Nothing
from bridge.admin.events import BLOCKED, Stream
from bridge.admin.facts import ActionForm
from bridge.admin.forms import forms
from bridge.admin.operations import Overview

# Milliseconds after which a browser comes back to a stream that ended.
_RETRY = b"retry: 1000\n\n"


class AuditQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 100
    cursor: Cursor | None = None


class EventsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which Charge Points; None is all."""

    identity: Glob | None = None


def endpoints(overview: Overview, stream: Stream) -> list[Endpoint]:
    """All but charge points, messages, and the OpenAPI document."""
    about = _About(overview)
    listed: list[tuple[str, str, Any, Any]] = [
        ("routes", "The routes in their order, and the Charge Points that were moved", about.routes, facts.Routes),
        ("central-systems", "The Central Systems and their health", about.central_systems, facts.CentralSystems),
        ("addresses", "The exact addresses to type into a Charge Point", about.addresses, facts.Addresses),
        ("actions", "What can be sent, with the JSON Schema of each request", about.actions, dict[str, ActionForm]),
    ]
    return [
        *(
            Endpoint(name=name, method="GET", path=f"/{name}", about=text, handle=handle, answer=answer)
            for name, text, handle, answer in listed
        ),
        Endpoint(
            name="audit",
            method="GET",
            path="/audit",
            about="What operators did, the newest first",
            handle=about.audit,
            query=AuditQuery,
            answer=facts.Audits,
        ),
        Endpoint(
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


class _About:
    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    async def routes(self, asked: Asked[Nothing, None]) -> facts.Routes:
        return self._overview.routes()

    async def central_systems(self, asked: Asked[Nothing, None]) -> facts.CentralSystems:
        return self._overview.central_systems()

    async def addresses(self, asked: Asked[Nothing, None]) -> facts.Addresses:
        return self._overview.addresses()

    async def actions(self, asked: Asked[Nothing, None]) -> dict[str, ActionForm]:
        return forms()

    async def audit(self, asked: Asked[AuditQuery, None]) -> facts.Audits:
        query = asked.query
        page = self._overview.audit(None if query.cursor is None else number_in(query.cursor), query.limit)
        return facts.Audits(items=page.items, next=None if page.next is None else closed(page.next))


class Streaming:
    """Serves the live stream. `blocked` is how many seconds a client may not take what is sent."""

    def __init__(self, stream: Stream, blocked: float = BLOCKED) -> None:
        self._stream = stream
        self._blocked = blocked

    async def serve(self, asked: Asked[EventsQuery, None]) -> web.StreamResponse:
        """Until the client goes, cannot follow, or the bridge goes. Raises Refused."""
        request = asked.request
        client = self._stream.subscribe(asked.query.identity, _last(request.headers.get("Last-Event-ID")))
        # X-Accel-Buffering: a proxy (nginx) shall pass on each event when it comes.
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no"})
        try:
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


def _last(header: str | None) -> int | None:
    """An id that is none of ours is one that nothing is known about."""
    if header is None or not header.strip():
        return None
    return number_of(header.strip()) or 0
