"""Dials a Central System in a Charge Point's name, on websockets: one connection per Charge Point (OCPP-J 1.6, 3)."""

from __future__ import annotations

import ssl
from base64 import b64encode
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, NegotiationError
from websockets.http11 import Response
from websockets.typing import Subprotocol

from bridge.ocppj.bounds import Bounds, DialledConnection, dialled
from bridge.ocppj.codec import SUBPROTOCOL

# What RFC 3986 lets stand in a path segment besides letters, digits and -._~ (rule 2).
_PCHAR = "!$&'()*+,;=:@"
_POLICY = 1008
# What websockets takes as a sign that the handshake is over.
_SAID = Response(101, "Switching Protocols", Headers())


class Target(Struct, frozen=True, kw_only=True):
    """Where to dial, and as whom. `password` is raw bytes (OCPP-J 1.6 section 6.2.2); times in seconds."""

    url: str
    identity: str
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)
    password: bytes | None = None
    authorization: str | None = None
    ping_interval: float | None = 30.0
    open_timeout: float = 10.0
    bounds: Bounds = Bounds()
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """The endpoint's path, a slash, and the identity percent-encoded; a query stays (rules 2 and 3)."""
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{quote(self.identity, safe=_PCHAR)}"
        return urlunsplit(parts._replace(path=path))

    def headers(self) -> dict[str, str]:
        """HTTP Basic: the user is the identity, not encoded, the password its raw bytes (rule 27). Without a password
        of our own, what the Charge Point itself sent as `authorization`."""
        if self.password is None:
            return {} if self.authorization is None else {"Authorization": self.authorization}
        credentials = b64encode(self.identity.encode() + b":" + self.password).decode()
        return {"Authorization": f"Basic {credentials}"}


class DialRefused(Exception):
    """No connection. `status` is the HTTP status of the refusal, if it was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


async def dial(target: Target) -> DialledConnection:
    """An open connection to `target`, with one of its subprotocols. Raises DialRefused."""
    try:
        connection = await _dial(target)
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ValueError, EOFError) as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        raise DialRefused(f"{target.url} {_refusal(error, target)}", status) from error
    # What was said in the handshake is read: it would be kept, two kilobytes, as long as the connection.
    connection.request, connection.response = None, _SAID
    if connection.subprotocol is None:
        # OCPP-J 1.6 section 3.2: a server without a common subprotocol completes the handshake all the same.
        await connection.close(_POLICY, "no common subprotocol")
        raise NoCommonSubprotocol(f"{target.url} does not speak {' or '.join(target.subprotocols)}")
    return connection


class NoCommonSubprotocol(DialRefused):
    """The other end is there, but speaks nothing that we do."""


class _Connect(connect):
    """No redirect is followed: a Central System is where the configuration says, or nowhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _dial(target: Target) -> DialledConnection:
    connection = await _Connect(
        target.address,
        subprotocols=[Subprotocol(name) for name in target.subprotocols],
        additional_headers=target.headers(),
        user_agent_header="ocpp-bridge",
        compression=None,
        open_timeout=target.open_timeout,
        close_timeout=2,
        ping_interval=target.ping_interval,
        ping_timeout=target.ping_interval,
        max_size=target.bounds.max_size,
        create_connection=dialled(target.bounds),
        proxy=None,
        ssl=target.tls or (True if target.url.startswith("wss:") else None),
    )
    assert isinstance(connection, DialledConnection)
    return connection


def _refusal(error: Exception, target: Target) -> str:
    match error:
        case InvalidStatus(response=response):
            return f"refused the Charge Point: HTTP {response.status_code}"
        case NegotiationError():
            return f"does not speak {' or '.join(target.subprotocols)}: {error}"
        case TimeoutError():
            return "did not answer the handshake in time"
        case OSError(strerror=str(text)):
            return f"cannot be reached: {text}"
    return f"cannot be reached: {error}"
