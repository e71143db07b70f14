"""Publish an event to a stream of NATS JetStream. The stream has the event when it acknowledges it.

The header Nats-Msg-Id holds the id of the event, so that a stream drops an event that comes twice.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from bridge.ocpp.tenants import name_of
from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend

_NO_STREAM = "no stream takes the subject {}: make one with JetStream"


class Nats:
    """Publishes events at a NATS server.

    Args:
        url: The URL of the server, nats:// or tls://.
        subject: The subject, with {charge_point}, {type} and {tenant}.
        username: The username; empty for none.
        password: The password, or the token if there is no username; None for none.
        tls: The context of the connection, None for a connection without TLS.
        timeout: The seconds that one attempt may take.
    """

    def __init__(
        self,
        url: str,
        subject: str,
        *,
        username: str,
        password: bytes | None,
        tls: ssl.SSLContext | None,
        timeout: float,
    ) -> None:
        self._subject = subject
        self._timeout = timeout
        text = None if password is None else password.decode("utf-8", "surrogateescape")
        self._options: dict[str, Any] = {
            "servers": [url],
            "name": "ocpp-bridge",
            "tls": tls,
            "user": username or None,
            "password": text if username else None,
            "token": None if username else text,
            # The queue decides when the next attempt is made. The client makes two, which is the least.
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": max(1, int(timeout / 2)),
            "error_cb": self._failed,
        }
        self._error: Exception | None = None  # the last error of the connection
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def send(self, event: EventToSend) -> None:
        """Publish an event. Raises DeliveryFailed."""
        subject = subject_of(self._subject, event)
        try:
            stream = await self._stream()
            await stream.publish(subject, event.content, timeout=self._timeout, headers={"Nats-Msg-Id": event.id})
        except NoStreamResponseError as error:
            raise DeliveryFailed(_NO_STREAM.format(subject)) from error
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
            raise DeliveryFailed(str(error), refused=True) from error
        except nats.errors.NoServersError as error:
            raise DeliveryFailed(str(self._error or error)) from error
        except (nats.errors.Error, APIError, OSError) as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(nats.errors.Error, OSError):
                await client.close()

    async def _failed(self, error: Exception) -> None:
        """Take note of an error of the connection. What was sent on it fails by itself."""
        self._error = error

    async def _stream(self) -> JetStreamContext:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self.close()
                self._client = client = Client()
                try:
                    await client.connect(**self._options)
                except BaseException:  # a cancellation too: the client would leave the socket open
                    await self.close()
                    raise
            return self._client.jetstream()


def subject_of(template: str, event: EventToSend) -> str:
    """Return the subject of an event. What separates subjects, or stands for several, is percent-encoded."""
    identity = quote(event.charge_point, safe="").replace(".", "%2E").replace("~", "%7E")
    subject = template.replace("{tenant}", name_of(event.tenant)).replace("{type}", event.type)
    return subject.replace("{charge_point}", identity)
