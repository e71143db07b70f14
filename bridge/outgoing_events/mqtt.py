"""Publish an event over MQTT 5, with QoS 1. The broker has the event when it acknowledges it.

MQTT 5 is used because a broker of MQTT 3.1.1 acknowledges what it does not let the bridge publish.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from bridge.net.tasks import Tasks
from bridge.ocpp.tenants import name_of
from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend

# Seconds between two signs of life, at least; seconds that the broker has to confirm the end of the connection.
_SHORTEST_KEEPALIVE, _FAREWELL = 5, 1.0


class _Refused(Exception):
    """The broker refused a message."""


class _Client(aiomqtt.Client):
    """A client that closes what it opened, and whose `publish` raises _Refused if the broker does not take the message.

    aiomqtt itself takes every PUBACK for a success, and leaves the socket of a failed attempt open. What is overridden
    and used here is not documented, so pyproject.toml has an upper bound for aiomqtt.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._refusals: dict[int, ReasonCode] = {}

    def abandon(self) -> None:
        """Close the socket without a word to the broker."""
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()
        if self._misc_task is not None:
            self._misc_task.cancel()

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any) -> None:
        if reason_code.is_failure:
            self._refusals[mid] = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)

    @contextmanager
    def _pending_call(self, mid: int, value: Any, pending_dict: dict[int, Any]) -> Iterator[None]:
        try:
            with super()._pending_call(mid, value, pending_dict):
                yield
        finally:
            refusal = self._refusals.pop(mid, None)
        if refusal is not None:
            raise _Refused(str(refusal))


class _Connection(NamedTuple):
    """A connection to the broker, and the task that ends when the connection is lost."""

    client: _Client
    lost: asyncio.Task[None]


class Mqtt:
    """Publishes events at a broker.

    Args:
        host: The host of the broker.
        port: The port of the broker.
        topic: The topic, with {charge_point}, {type} and {tenant}.
        username: The username; empty for none.
        password: The password, None for none.
        tls: Returns the context of a new connection, None for connections without TLS.
        timeout: The seconds that one step may take.
    """

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        *,
        username: str,
        password: bytes | None,
        tls: Callable[[], ssl.SSLContext] | None,
        timeout: float,
    ) -> None:
        self._topic = topic
        self._options: dict[str, Any] = {
            "hostname": host,
            "port": port,
            "username": username or None,
            "password": None if password is None else password.decode("utf-8", "surrogateescape"),
            "timeout": timeout,
            "protocol": aiomqtt.ProtocolVersion.V5,
            # The keep-alive is also the time that a TLS handshake may take, in a thread that nothing interrupts.
            "keepalive": max(_SHORTEST_KEEPALIVE, int(timeout)),
        }
        self._tls = tls
        self._connection: _Connection | None = None
        self._attempt: asyncio.Task[_Connection | Exception] | None = None
        self._tasks = Tasks()

    async def send(self, event: EventToSend) -> None:
        """Publish an event. Raises DeliveryFailed."""
        try:
            connection = await self._connected()
            topic = topic_of(self._topic, event)
            await self._publish(connection, topic, event.content)
        except _Refused as error:
            raise DeliveryFailed(f"the broker refuses it: {error}", refused=True) from error
        except ValueError as error:  # paho refuses a topic of more than 65535 octets
            raise DeliveryFailed(str(error), refused=True) from error
        except aiomqtt.MqttError as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and not self._connection.lost.done():
            with suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self._connection.client.__aexit__(None, None, None)
        self._abandon()
        await self._tasks.close()

    async def _publish(self, connection: _Connection, topic: str, content: bytes) -> None:
        """Publish a message, and end as soon as the connection is lost."""
        published = self._tasks.spawn(_outcome(connection.client, topic, content), name="publishing an event")
        try:
            await asyncio.wait({published, connection.lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not published.done():
                published.cancel()
        if not published.done():
            raise DeliveryFailed("the connection to the broker was lost")
        if (error := published.result()) is not None:
            raise error

    async def _connected(self) -> _Connection:
        """Return the connection, a new one if necessary. Raises what an attempt to connect raises.

        All wait for the same attempt, and one that waits no longer does not end it: aiomqtt connects in a thread, and
        would leave the socket open.
        """
        if self._connection is not None and not self._connection.lost.done():
            return self._connection
        if self._attempt is None:
            self._abandon()
            self._attempt = self._tasks.spawn(self._connect(), name="connecting to a broker")
        attempt = self._attempt
        await asyncio.wait({attempt})
        if isinstance(found := attempt.result(), Exception):
            raise found
        return found

    async def _connect(self) -> _Connection | Exception:
        client: _Client | None = None
        try:
            client = _Client(**self._options, tls_context=None if self._tls is None else self._tls())
            await client.__aenter__()
            lost = self._tasks.spawn(_until_lost(client), name="connection to a broker")
            self._connection = _Connection(client, lost)
        except BaseException as error:
            if client is not None:
                client.abandon()
            if not isinstance(error, Exception):
                raise
            return error
        finally:
            self._attempt = None
        return self._connection

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost.cancel()
            connection.client.abandon()


async def _outcome(client: aiomqtt.Client, topic: str, content: bytes) -> Exception | None:
    """Publish a message. Returns: the reason why that failed, None if the broker has it."""
    try:
        await client.publish(topic, content, qos=1)
    except (_Refused, aiomqtt.MqttError, ValueError) as error:
        return error
    return None


async def _until_lost(client: aiomqtt.Client) -> None:
    try:
        async for _ in client.messages:
            pass
    except aiomqtt.MqttError:
        return


def topic_of(template: str, event: EventToSend) -> str:
    """Return the topic of an event. What separates topics, or stands for several, is percent-encoded in an identity."""
    topic = template.replace("{tenant}", name_of(event.tenant)).replace("{type}", event.type)
    return topic.replace("{charge_point}", quote(event.charge_point, safe=" "))
