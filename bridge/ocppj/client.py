"""Dials a Central System in a Charge Point's name, on websockets: one connection per Charge Point (OCPP-J 1.6, 3)."""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, NegotiationError
from websockets.typing import Subprotocol

from bridge.ocpp.rpc import Answer, Call
from bridge.ocppj.codec import SUBPROTOCOL
from bridge.ocppj.link import Link, Owner, Terms

# What RFC 3986 lets stand in a path segment besides letters, digits and -._~ (rule 2).
_PCHAR = "!$&'()*+,;=:@"
_GOING_AWAY, _NORMAL, _POLICY = 1001, 1000, 1008


class Target(Struct, frozen=True, kw_only=True):
    """Where to dial, and as whom. `password` is raw bytes (OCPP-J 1.6 section 6.2.2); times in seconds."""

    url: str
    identity: str
    password: bytes | None = None
    ping_interval: float | None = 30.0
    open_timeout: float = 10.0
    max_size: int = 1_048_576
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """The endpoint's path, a slash, and the identity percent-encoded; a query stays (rules 2 and 3)."""
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{quote(self.identity, safe=_PCHAR)}"
        return urlunsplit(parts._replace(path=path))

    def headers(self) -> dict[str, str]:
        """HTTP Basic: the user is the identity, not encoded, the password its raw bytes (rule 27)."""
        if self.password is None:
            return {}
        credentials = b64encode(self.identity.encode() + b":" + self.password).decode()
        return {"Authorization": f"Basic {credentials}"}


class Caller(Owner, Protocol):
    """Who is told what becomes of a dialled Link: `on_up` at most once, then `on_down` exactly once."""

    def on_up(self) -> None:
        """It is open."""

    def on_down(self, reason: str) -> None:
        """It is closed, or could not be opened."""


class Dialled:
    """A connection that is being made, is open, or is over. Make a new one to dial again."""

    def __init__(self, target: Target, caller: Caller, terms: Terms) -> None:
        self._target = target
        self._caller = caller
        self._terms = terms
        self._connection: ClientConnection | None = None
        self._link: Link | None = None
        self._hung_up: tuple[int, str] | None = None

    def send(self, message: Call | Answer) -> None:
        """Send it, if the connection is open; else it is lost, and `on_down` says so."""
        if self._link is not None:
            self._link.send(message)

    async def run(self) -> None:
        """Dial, carry frames until the end, and tell the caller."""
        reason = await self._connected()
        self._link = None
        self._caller.on_down(reason)

    async def hang_up(self, reason: str, *, going_away: bool = False) -> None:
        """Close the connection, with 1000, or 1001 if the bridge itself goes away."""
        self._hung_up = (_GOING_AWAY if going_away else _NORMAL, reason)
        if self._connection is not None:
            await self._connection.close(*self._hung_up)

    async def _connected(self) -> str:
        try:
            self._connection = await _dial(self._target)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ValueError, EOFError) as error:
            return f"{self._target.url} {_refusal(error)}"
        if self._hung_up is not None:
            await self._connection.close(*self._hung_up)
            return "it was no longer needed"
        if self._connection.subprotocol is None:
            # OCPP-J 1.6 section 3.2: a server without a common subprotocol completes the handshake all the same.
            await self._connection.close(_POLICY, f"no {SUBPROTOCOL}")
            return f"{self._target.url} does not speak {SUBPROTOCOL}"
        self._link = Link(self._connection, self._caller, self._terms)
        self._caller.on_up()
        return f"{self._target.url}: {await self._link.run()}"


class _Connect(connect):
    """No redirect is followed: a Central System is where the configuration says, or nowhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _dial(target: Target) -> ClientConnection:
    return await _Connect(
        target.address,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers=target.headers(),
        user_agent_header="ocpp-bridge",
        compression=None,
        open_timeout=target.open_timeout,
        close_timeout=2,
        ping_interval=target.ping_interval,
        ping_timeout=target.ping_interval,
        max_size=target.max_size,
        proxy=None,
        ssl=target.tls or (True if target.url.startswith("wss:") else None),
    )


def _refusal(error: Exception) -> str:
    match error:
        case InvalidStatus(response=response):
            return f"refused the Charge Point: HTTP {response.status_code}"
        case NegotiationError():
            return f"does not speak {SUBPROTOCOL}: {error}"
        case TimeoutError():
            return "did not answer the handshake in time"
        case OSError(strerror=str(text)):
            return f"cannot be reached: {text}"
    return f"cannot be reached: {error}"
