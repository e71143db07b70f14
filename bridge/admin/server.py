"""The admin listener: serves health, metrics, the API and the console to permitted clients, refuses all others."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from msgspec import Struct, to_builtins
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from bridge.access import paths
from bridge.admin import (
    about,
    charge_points,
    fleet,
    messages,
    moves,
    problems,
    provisioning,
    readiness,
    session,
    timeline,
    transactions,
)
from bridge.admin.access import Access, Asking
from bridge.admin.answers import AdminAnswer
from bridge.admin.cookies import cookies_of
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, ClientRequest, SentRequest
from bridge.admin.events import Stream
from bridge.admin.health import Health
from bridge.admin.metrics import exposition
from bridge.admin.metrics_of_machine import sent, together
from bridge.admin.openapi import document
from bridge.admin.operations import Actions, Recordings, Views
from bridge.admin.operator_sessions import OperatorSession
from bridge.admin.other_nodes import OtherNodes, SentPart
from bridge.admin.pages import Pages
from bridge.admin.problems import RequestRefused
from bridge.admin.provisioning import FleetSettings
from bridge.admin.sign_in import SignIn
from bridge.admin.whole_fleet import asked_first, part_of, refuse_gaps, whole
from bridge.errors import BridgeError, ErrorCode, Unavailable, Why
from bridge.net.descriptors import Inherited, Purpose
from bridge.net.listening import Listening, origin_of
from bridge.net.proxies.rules import DIRECT, Misled, Proxies
from bridge.ocpp.tenants import DEFAULT, DEFAULT_NAME, named

_log = logging.getLogger("bridge.admin")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# The console loads only its own files and the API, and no page may put the console into a frame.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Text from a Charge Point is shown as text. The browser prevents scripts from making markup from a text.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# The endpoints that tell which addresses there are, and those about who asks. They have one address each.
_ONLY_ONCE = ("openapi", "tenants", "session", "sign-out")
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",  # frame-ancestors, for browsers that do not know it
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AdminContext(Struct, frozen=True, kw_only=True):
    """The parts of the bridge that the listener serves."""

    health: Callable[[], Health]
    registry: CollectorRegistry
    access: Access
    sign_in: SignIn
    overview: Views
    status: fleet.FleetViews
    steering: Actions
    fleet: FleetSettings
    moves: moves.MoveActions
    readiness: readiness.ReadinessViews
    recordings: Recordings
    transactions: transactions.TransactionReader
    timelines: timeline.Timelines
    stream: Stream
    tenants: Callable[[], Collection[str]]
    """Returns the tenants besides the default one."""
    others: OtherNodes | None
    """The other processes of a cluster; None for a single process."""


class AdminServer:
    """The listener for `/healthz`, `/readyz`, `/metrics`, `/api/v1` and the console."""

    def __init__(
        self,
        admin_context: AdminContext,
        refused: Callable[[str, BridgeError], None] = lambda peer, error: None,
        proxies: Proxies = DIRECT,
    ) -> None:
        """Set the parts of the listener, which does not listen before `start`.

        Args:
            admin_context: The parts of the bridge to serve.
            refused: Called with the peer and the error when a client speaks TLS to a listener without TLS, and when a
                proxy sends an unusable header.
            proxies: The proxies that may name the client of a request.
        """
        self._admin_context = admin_context
        self._refused = refused
        self._proxies = proxies
        self._listening: Listening | None = None
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints(admin_context)}
        if admin_context.others is not None:
            admin_context.others.answer_with(self._answered, self._part_of, lambda: sent(admin_context.registry))
        self.address: tuple[str, int] = ("", 0)
        self.bound: tuple[tuple[str, int], ...] = ()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None, inherited: Inherited | None = None) -> None:
        """Listen at `host` and `port`, with TLS if `tls` is given. Raises OSError when that is not possible."""
        application = web.Application(middlewares=[_told, self._passed_on, self._admitted])
        application.on_response_prepare.append(_add_headers)
        self._add_pages(application)
        for endpoint in self._endpoints.values():
            handler = partial(self._serve, endpoint)
            application.router.add_route(endpoint.method, endpoint.route, handler)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        self._listening = await Listening.at(
            runner,
            host,
            port,
            tls,
            self._spoke_tls,
            proxies=self._proxies,
            refused=self._misled,
            purpose=Purpose.ADMIN,
            inherited=inherited,
        )
        self.bound = self._listening.bound
        self.address = self._listening.address

    async def close(self) -> None:
        """Stop listening and end the streams, which would not end by themselves."""
        self._admin_context.stream.close()
        if self._listening is not None:
            await self._listening.close()

    def _misled(self, peer: str, text: str) -> None:
        """Report a proxy's unusable header, or a peer that is no proxy and names another client."""
        self._refused(peer, BridgeError(ErrorCode.FormationViolation, text, why=Why.MALFORMED))

    def _spoke_tls(self, peer: str, text: str) -> None:
        self._refused(peer, BridgeError(ErrorCode.SecurityError, f"HTTP 400: {text}", why=Why.TLS))

    def _add_pages(self, application: web.Application) -> None:
        pages = Pages()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/", pages.index)
        application.router.add_get("/console/{name:.+}", pages.asset)
        self._admin_context.sign_in.add_routes(application)

    @web.middleware
    async def _passed_on(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Replace the peer of the request by the client that a permitted proxy names."""
        try:
            origin = origin_of(request)
        except Misled as error:
            self._misled(request.remote or "", f"HTTP 400: {error}")
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        if origin.proxy:
            request = request.clone(remote=origin.address, scheme="https" if origin.secure else "http")
        return await handler(request)

    @web.middleware
    async def _admitted(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        asking = _asking(request)
        if self._admin_context.access.shows_session(asking):
            await self._admin_context.sign_in.refresh(asking.cookies)
        shown = self._admin_context.access.check(asking)
        if isinstance(shown, OperatorSession):
            self._admin_context.sign_in.used(shown)
        return await handler(request)

    async def _serve(self, endpoint: AdminEndpoint, request: web.Request) -> web.StreamResponse:
        asking, tenant = _asking(request), named(request.match_info.get("tenant", DEFAULT_NAME))
        access = self._admin_context.access
        access.check_scope(asking, endpoint.scope, tenant)
        if tenant not in (DEFAULT, *self._admin_context.tenants()):
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"no tenant is called {tenant!r}")
        sees_all, role = access.sees_all(asking), access.role(asking)
        received = await endpoint.received(request, access.name(asking), tenant, sees_all=sees_all, role=role)
        asked = endpoint.read(received)
        if (elsewhere := await self._elsewhere(endpoint, received)) is not None:
            return elsewhere.response()
        client = ClientRequest(
            **{name: getattr(asked, name) for name in AdminRequest.__struct_fields__},
            client=request,
            admitted=partial(access.admits, asking, endpoint.scope, tenant),
            may_use=partial(access.may_use, asking),
            whole=partial(self._whole, received),
        )
        if endpoint.of_all is None:
            answer = await endpoint.answered(client)
            return answer.response() if isinstance(answer, AdminAnswer) else answer
        found = await asked_first(endpoint, client, received, self._admin_context.others)
        if endpoint.of_all.is_file:
            refuse_gaps(found)
        told = endpoint.told(client, found.given)
        assert isinstance(told, AdminAnswer)
        response = told.response()
        response.headers.update(found.headers())
        return response

    async def _whole(self, sent: SentRequest, name: str, query: Struct) -> Any:
        """Return what all processes know of what another endpoint is about. Raises RequestRefused if one is missing."""
        endpoint = self._endpoints[name]
        values = {key: _text(value) for key, value in to_builtins(query).items() if value is not None}
        sent = replace(sent, endpoint=name, named={}, query=values, body=None)
        found = await whole(endpoint, endpoint.read(sent), sent, self._admin_context.others)
        refuse_gaps(found)
        return found.given

    async def _elsewhere(self, endpoint: AdminEndpoint, received: SentRequest) -> AdminAnswer | None:
        """Let the process that has what the request is about answer; None if it is this one. Raises RequestRefused."""
        if (others := self._admin_context.others) is None:
            return None
        try:
            if endpoint.is_about_one:
                key, repeatable = received.named["identity"], endpoint.method == "GET"
                return await others.at_holder(key, received, repeatable=repeatable)
            node = endpoint.place(received)
            return await others.at_node(node, received) if node else None
        except Unavailable as error:
            headers = {"Retry-After": "5"}
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, error.description, headers=headers) from error

    async def _part_of(self, received: SentRequest) -> SentPart:
        """Return this process's part of an answer, for another process."""
        others, endpoint = self._admin_context.others, self._endpoints[received.endpoint]
        assert others is not None
        return await part_of(endpoint, received, others.slots)

    async def _answered(self, received: SentRequest) -> AdminAnswer:
        """Answer a request that came to another process, which has checked that its sender is permitted."""
        endpoint = self._endpoints[received.endpoint]
        try:
            answer = await endpoint.answered(endpoint.read(received))
        except RequestRefused as refused:
            return problems.answer(refused)
        except Exception:
            _log.exception("an API request failed")
            return problems.answer(problems.our_fault())
        assert isinstance(answer, AdminAnswer)
        return answer

    async def _alive(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        """Answer 200 while the bridge can serve, even if it is degraded: the fault is then in another system.

        Where tenants share the bridge, only a token for all of them sees more than the status.
        """
        health = self._admin_context.health()
        told = health.told()
        if not self._admin_context.access.sees_all(_asking(request)):
            told = {"status": told["status"]}
        return web.json_response(told, status=200 if health.serves else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        """Answer with the metrics of this process, or with those of all processes of this machine."""
        registry, others = self._admin_context.registry, self._admin_context.others
        if others is not None:
            registry = together({others.node: sent(registry), **await others.metrics()})
        body, content_type = exposition(registry, request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response


def endpoints(admin_context: AdminContext) -> list[AdminEndpoint]:
    """Return all endpoints of the API, including the endpoint of the OpenAPI document."""
    described: list[AdminEndpoint] = []

    async def describe(asked: AdminRequest[Struct, None]) -> object:
        return document(described)

    described += charge_points.endpoints(admin_context.overview, admin_context.steering)
    described += provisioning.endpoints(admin_context.fleet)
    described += fleet.endpoints(admin_context.status)
    described += moves.endpoints(admin_context.moves)
    described += readiness.endpoints(admin_context.readiness)
    node = "" if admin_context.others is None else admin_context.others.node
    described += messages.endpoints(admin_context.overview, admin_context.recordings, node)
    described += transactions.endpoints(admin_context.transactions)
    described += timeline.endpoints(admin_context.timelines)
    described += about.endpoints(admin_context.overview, admin_context.stream)
    described += session.endpoints(admin_context.sign_in)
    text = "This document"
    described.append(
        AdminEndpoint(
            name="openapi",
            method="GET",
            path="/openapi.json",
            about=text,
            handle=describe,
            answer=dict[str, Any],
            scope="everybody",
        )
    )
    described += [
        endpoint.for_tenants()
        for endpoint in described
        if endpoint.scope != "bridge" and endpoint.name not in _ONLY_ONCE
    ]
    return described


def _text(value: object) -> str:
    """Return a value as a parameter of a query has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _asking(request: web.Request) -> Asking:
    return Asking(
        path=request.path,
        peer=request.remote,
        secure=request.secure,
        headers=request.headers,
        cookies=cookies_of(request),
        authority=paths.authority_of(request.raw_path),
        method=request.method,
    )


@web.middleware
async def _told(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer every error with a problem."""
    try:
        return await handler(request)
    except RequestRefused as refused:
        return problems.answer(refused).response()
    except web.HTTPException as error:
        return problems.answer(problems.of_http(error)).response()
    except ConnectionError:
        raise
    except Exception:
        _log.exception("an API request failed")
        return problems.answer(problems.our_fault()).response()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
