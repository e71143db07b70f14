"""The connections of the OCPP-S listener: aiohttp's, guarded. What is not HTTP is answered with 400, and hung up on."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from bridge.errors import Why
from bridge.limits.guard import House
from bridge.limits.queueing import Queueing, Refusal
from bridge.limits.turnstile import Turnstile


class Connection(Queueing, web.RequestHandler):
    """One of them."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refuses is a stranger's fault: a word of refusal, and none of a traceback."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        why = Why.TOO_LARGE if isinstance(exc, LineTooLong) else Why.MALFORMED
        said = (message or "").strip().partition("\n")[0][:100]
        self.house.told(request.remote or "", status, f"not HTTP/1.1: {said}", why)
        response = web.Response(status=status, text="This is not HTTP/1.1 (RFC 9112).\n")
        response.force_close()
        return response


async def listen(
    manager: web.Server,
    house: House,
    turnstile: Turnstile,
    refusal: Refusal,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    idle_timeout: float,
) -> asyncio.Server:
    """Accept connections for `manager`. Raises OSError where that is not possible."""
    loop = asyncio.get_running_loop()
    attributes = {**house.attributes, "turnstile": turnstile, "refusal": staticmethod(refusal)}
    connection = type("GuardedConnection", (Connection,), attributes)
    return await loop.create_server(
        lambda: connection(manager, loop=loop, access_log=None, keepalive_timeout=idle_timeout),
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else house.rules.header_timeout,
    )
