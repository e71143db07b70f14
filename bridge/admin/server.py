"""The admin listener: health, metrics, the API and the console, for who is let in; for others, why not."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from msgspec import Struct
from prometheus_client import CollectorRegistry

from bridge.admin import about, charge_points, messages, problems
from bridge.admin.access import Access, Asking
from bridge.admin.endpoints import PREFIX, Asked, Endpoint
from bridge.admin.events import Stream
from bridge.admin.health import Health
from bridge.admin.metrics import exposition
from bridge.admin.openapi import document
from bridge.admin.operations import Overview, Recordings, Steering
from bridge.admin.pages import Pages
from bridge.admin.problems import Refused
from bridge.listening import Listening

_log = logging.getLogger("bridge.admin")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Octets of a request. The longest command is a SendLocalList.
_MAX_BODY = 1_048_576
# The console needs nothing but its own files and the API, and nobody may put it into a frame.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # What a Charge Point says is shown as text: a browser lets nothing make markup of it.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Desk(Struct, frozen=True, kw_only=True):
    """All that the listener serves."""

    health: Callable[[], Health]
    registry: CollectorRegistry
    access: Access
    overview: Overview
    steering: Steering
    recordings: Recordings
    stream: Stream


class AdminServer:
    """`/healthz`, `/readyz`, `/metrics`, `/api/v1` and the console."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._listening: Listening | None = None
        self.address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        application = web.Application(middlewares=[_told, self._admitted], client_max_size=_MAX_BODY)
        application.on_response_prepare.append(_add_headers)
        self._add_pages(application)
        for endpoint in endpoints(self._desk):
            handler = partial(self._serve, endpoint)
            application.router.add_route(endpoint.method, PREFIX + endpoint.path, handler)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        self._listening = await Listening.at(runner, host, port, tls)
        self.address = self._listening.address

    async def close(self) -> None:
        """Stop listening. Streams would never end by themselves."""
        self._desk.stream.close()
        if self._listening is not None:
            await self._listening.close()

    def _add_pages(self, application: web.Application) -> None:
        pages = Pages()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/", pages.index)
        application.router.add_get("/console/{name:.+}", pages.asset)

    @web.middleware
    async def _admitted(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self._desk.access.check(_asking(request))
        return await handler(request)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        return await endpoint.serve(request, self._desk.access.name(_asking(request)))

    async def _alive(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while it serves: `degraded` names no fault of ours, but of what it depends on."""
        health = self._desk.health()
        return web.json_response(health.told(), status=200 if health.serves else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = exposition(self._desk.registry, request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response


def endpoints(desk: Desk) -> list[Endpoint]:
    """All of the API, the document that describes it included."""
    described: list[Endpoint] = []

    async def describe(asked: Asked[Struct, None]) -> object:
        return document(described)

    described += charge_points.endpoints(desk.overview, desk.steering)
    described += messages.endpoints(desk.overview, desk.recordings)
    described += about.endpoints(desk.overview, desk.stream)
    text = "This document"
    described.append(
        Endpoint(name="openapi", method="GET", path="/openapi.json", about=text, handle=describe, answer=dict[str, Any])
    )
    return described


def _asking(request: web.Request) -> Asking:
    return Asking(path=request.path, peer=request.remote, secure=request.secure, headers=request.headers)


@web.middleware
async def _told(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Whatever goes wrong is said in one way."""
    try:
        return await handler(request)
    except Refused as refused:
        return problems.answer(refused)
    except web.HTTPException as error:
        return problems.answer(problems.of_http(error))
    except ConnectionError:
        raise
    except Exception:
        _log.exception("an API request failed")
        return problems.answer(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of ocpp-bridge itself: see its log"))


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
