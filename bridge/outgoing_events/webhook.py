"""Send an event as an HTTP POST with a signature. The receiver has the event when it answers with a status of 2xx."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from http import HTTPStatus

import aiohttp

from bridge import __version__
from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend

SIGNATURE = "X-OCPP-Bridge-Signature"
# Statuses by which a receiver refuses one event. Any other status than 2xx is a failure of the receiver, or says that
# the address or the secret is wrong, which no event escapes.
_REFUSALS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
# The longest pause that a receiver may ask for with Retry-After, in seconds.
_LONGEST_PAUSE = 3600.0


def signature(secret: bytes, at: int, body: bytes) -> str:
    """Return the value of the header `X-OCPP-Bridge-Signature`.

    Args:
        secret: The secret that the receiver knows.
        at: The time of the attempt in unix seconds.
        body: The body of the request.

    Returns:
        `t=UNIX,v1=HEX`, where HEX is the HMAC-SHA256 of `UNIX.body`.
    """
    signed = hmac.new(secret, b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Webhook:
    """Sends events to an URL.

    Args:
        url: The URL. Redirects are not followed.
        secret: The secret for the signature.
        tls: The context of https connections.
    """

    def __init__(self, url: str, secret: bytes, tls: ssl.SSLContext) -> None:
        self._url = url
        self._secret = secret
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def send(self, event: EventToSend) -> None:
        """POST an event. Raises DeliveryFailed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls),
                headers={"User-Agent": f"ocpp-bridge/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the caller has the deadline
            )
        headers = {
            "Content-Type": "application/json",
            "X-OCPP-Bridge-Event": event.id,
            SIGNATURE: signature(self._secret, int(time.time()), event.content),
        }
        try:
            asked = self._session.post(self._url, data=event.content, headers=headers, allow_redirects=False)
            async with asked as response:
                status, pause = response.status, _pause(response.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorError as error:
            raise DeliveryFailed(f"{error.host}:{error.port} cannot be reached: {error.os_error}") from error
        except aiohttp.ClientError as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from error
        if not 200 <= status < 300:
            raise DeliveryFailed(f"HTTP {status}", refused=status in _REFUSALS, pause=pause)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _pause(retry_after: str) -> float:
    """Return the seconds in a header Retry-After; 0 without one, or with a date."""
    return min(float(retry_after), _LONGEST_PAUSE) if retry_after.isascii() and retry_after.isdecimal() else 0.0
