"""The connections of the OCPP-S listener: aiohttp's, guarded. What is not HTTP is answered with 400, and hung up on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from bridge.certificates import names_of
from bridge.errors import Why
from bridge.limits.guard import House
from bridge.limits.queueing import Queueing, Refusal, is_doubtful, whole
from bridge.limits.sums import Sums
from bridge.limits.turnstile import Turnstile
from bridge.ocpps.posts import Post, Posts, Respond, written
from bridge.ocpps.replies import Reply

# Seconds. aiohttp would hang up on connections as idle whose requests it does not get to see.
_NEVER = 1e9
# Whether a request is a message for one of our Doors, and taken care of.
Taken = Callable[[Post, Respond], bool]


class Connection(Queueing, web.RequestHandler):
    """One of them. Its class has what reads whole requests, and what takes messages."""

    posts: Posts
    taken: Taken
    certificate: tuple[str, ...] | None = None
    """The names in the one that was shown."""
    # A Charge Point sends the same head again and again: what was read in the last.
    _known_head = b""
    _known: Post | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.certificate = names_of(transport.get_extra_info("peercert"))

    def serve(self, data: bytes) -> bool:
        parts = whole(data)
        if parts is None:
            return False
        head, body = parts
        if head != self._known_head:
            odd = is_doubtful(head)
            self._known = None if odd else self.posts.head_of(data, self._address, self.certificate)
            self._known_head = head
        known = self._known
        return known is not None and self.taken(known.with_body(body), self._respond)

    def _respond(self, reply: Reply) -> None:
        self.served(written(reply), closes=reply.closes)

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
    sums: Sums,
    taken: Taken,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    idle_timeout: float,
) -> asyncio.Server:
    """Accept connections for `manager`. Raises OSError where that is not possible."""
    loop = asyncio.get_running_loop()
    attributes = {
        **house.attributes,
        "turnstile": turnstile,
        "refusal": staticmethod(refusal),
        "sums": sums,
        "posts": Posts(),
        "taken": staticmethod(taken),
        "idle_timeout": idle_timeout,
    }
    connection = type("GuardedConnection", (Connection,), attributes)
    return await loop.create_server(
        lambda: connection(manager, loop=loop, access_log=None, keepalive_timeout=_NEVER),
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else house.rules.header_timeout,
    )
