"""Send requests to a Route's `wake_url`, so that an external system wakes a Charge Point that sleeps behind a modem.

OCPP-S 1.6 section 5 does not say how to reach a Charge Point that has no address at the moment. Operators of mobile
networks wake it with a short message. The request names the Charge Point and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from bridge.core.destinations import Destinations, OwnListeners
from bridge.gateway.transports import PostTarget
from bridge.net.http_client import ConnectFailed, ConnectionLost, HttpClient, post_request
from bridge.net.soap_client import Undelivered, endpoint_of
from bridge.net.tasks import Tasks
from bridge.ocpp import tenants
from bridge.watching import logs

_log = logging.getLogger("bridge.gateway")
_TIMEOUT = 10.0  # seconds
_MAX_RESPONSE = 65_536  # octets; the body of the response is not used


class Waker:
    """Sends the requests. The caller does not wait for them, and none is sent twice.

    Args:
        tasks: Owns the requests in progress.
        own: Returns the bridge's own listeners, to which no request is sent.
    """

    def __init__(self, tasks: Tasks, own: Callable[[], OwnListeners]) -> None:
        self._tasks = tasks
        self._own = own
        self._http = HttpClient(max_body=_MAX_RESPONSE)

    def wake(self, identity: str, url: str) -> None:
        """POST `{"identity": ...}` to `url`, without waiting for the response.

        The tenant stands beside the identity, except for the default tenant.
        """
        self._tasks.spawn(self._wake(identity, url), name=f"waking {identity}")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def _wake(self, identity: str, url: str) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                status = await self._post(identity, url)
        except TimeoutError:
            outcome = f"no response within {_TIMEOUT:g} s"
        except (Undelivered, ConnectFailed, ConnectionLost) as error:
            outcome = str(error)
        else:
            outcome = f"HTTP {status}" if status else "no HTTP response"
            if 200 <= status < 300:
                logs.fields(_log, logging.INFO, "asked to wake a Charge Point", identity=identity, outcome=outcome)
                return
        logs.fields(_log, logging.WARNING, "wake_url failed", identity=identity, outcome=outcome)

    async def _post(self, identity: str, url: str) -> int:
        to = PostTarget(url=url, destinations=Destinations(networks=None, own=self._own()))
        target, host, endpoint = await endpoint_of(to, None)
        headers = [("Host", host), ("Content-Type", "application/json"), ("Connection", "close")]
        connection = await self._http.connect(endpoint, fresh=True)
        try:
            tenant = tenants.tenant_of(identity)
            told = {"identity": tenants.identity_of(identity)} | ({"tenant": tenant} if tenant else {})
            body = msgspec.json.encode(told)
            return (await connection.post(post_request(target.raw_path_qs, headers, body))).status
        finally:
            connection.close()
