"""The stream of NATS JetStream that all nodes share: the connection to it, and the checks before it is used.

Reading is fresh although any of several servers may answer, the leader or one that lags behind it. All servers have the
same messages in the same order. A server that has a message with the sequence number of something that this node has
written has all that was written before it. The map is read until it shows the last renewal of this node (`map_stream`),
and a slot from a server that has the claim (`record_stream`).
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Any, TypeVar

import msgspec

from bridge.cluster import stream_forms as form
from bridge.cluster.nats_connection import (
    Answering,
    Login,
    NatsConnection,
    OutgoingMessage,
    PublishRefused,
    Reading,
    ServersAway,
    UnusableServers,
)
from bridge.cluster.stream_forms import STREAM, StoredMessage

_log = logging.getLogger("bridge.cluster")
_T = TypeVar("_T")
_OLDEST_SERVER = (2, 12)
# Headers of a message: it is written only if the last message of its subject, or of the other subject, has this number.
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_OF = "Nats-Expected-Last-Subject-Sequence-Subject"
# The err_codes of JetStream that nodes know. 10164: another batch with the same condition is being written to several
# servers. 10176: a part of the batch was lost, or the leader has changed. 10210: too many batches are begun.
_NO_MESSAGE, _NO_STREAM, _ANOTHER_STREAM, _NOT_ENABLED = 10037, 10059, 10058, (10039, 10076)
_NOT_AS_EXPECTED = (10071, 10164, 10176, 10210)
# The most messages that a server on its own gets without a batch. Six take as much of its processor time as a batch.
FEW = 4
# The most results that a server gives for `multi_last`.
_MOST_LAST = 1024
# Nanoseconds for which a server has to remember the ids of messages. NATS does so by default.
_IDS_KEPT_FOR = 120 * 10**9
# Seconds between two attempts at a server that lags behind, and between two to connect at the start.
SHORTLY, _PAUSE = 0.02, 0.25


class SharedStream:
    """The stream, on one of several servers.

    Args:
        servers: The URLs of the NATS servers.
        node: The name of this node.
        login: What this process shows to the servers.
        replicas: The number of servers that have the stream, if it is created; None for 3 if 3 servers are named,
            else 1.
    """

    def __init__(
        self, servers: Sequence[str], node: str, *, login: Login | None = None, replicas: int | None = None
    ) -> None:
        self._replicas = replicas or (3 if len(servers) >= 3 else 1)
        self._nats = NatsConnection(servers, f"ocpp-bridge {node}", login or Login(), self._check)
        self._ahead = 0.0  # the clock of the servers, less that of this machine since it was started
        self.written = 0
        """The highest sequence number that this node has written."""
        self.remembers_ids = False
        """Whether the server is on its own, and remembers the ids of messages for two minutes."""
        self.lost = False
        """Whether the stream has lost what this node had written: somebody has deleted or restored it."""

    # The start.

    async def open(self, patience: float) -> None:
        """Connect, and create the stream if it is not there.

        Args:
            patience: Seconds to wait for servers that are not there yet.

        Raises:
            UnusableServers: The servers are too old, have no JetStream, refuse the credentials, or have another stream;
                or none has answered.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._nats.connect()
                    return
            except TimeoutError as error:
                raise UnusableServers(f"the NATS servers have not answered within {patience:g} s") from error
            except ServersAway as error:
                if loop.time() + _PAUSE >= deadline:
                    raise UnusableServers(f"{error}, within {patience:g} s") from error
            await asyncio.sleep(_PAUSE)

    async def close(self) -> None:
        """Close the connection."""
        await self._nats.close()

    async def _check(self, server: Answering) -> None:
        """Examine a server, and the stream there."""
        if _version(server.version) < _OLDEST_SERVER:
            text = f"the NATS server is of version {server.version}, and must be of 2.12 or newer"
            raise UnusableServers(f"{text}: an older one writes a batch in part")
        if (account := await server.request("$JS.API.INFO")) is None:
            raise UnusableServers("the NATS server has no JetStream: start it with JetStream")
        if (error := _error_in(account)) is not None:
            if error.code in _NOT_ENABLED:
                raise UnusableServers(f"the NATS server has no JetStream for this account ({error.text})")
            raise ServersAway(f"JetStream does not answer ({error.text})")
        found = await server.request(f"$JS.API.STREAM.INFO.{STREAM}")
        if found is not None and (error := _error_in(found)) is not None and error.code == _NO_STREAM:
            wanted = msgspec.json.encode(form.CONFIGURATION | {"num_replicas": self._replicas})
            found = await server.request(f"$JS.API.STREAM.CREATE.{STREAM}", wanted)
            error = None if found is None else _error_in(found)
            if error is None or error.code == _ANOTHER_STREAM:  # another node was faster
                found = await server.request(f"$JS.API.STREAM.INFO.{STREAM}")  # it says more
        if found is None:
            raise ServersAway("JetStream has no leader")
        if (error := _error_in(found)) is not None:
            raise ServersAway(f"the stream {STREAM!r} cannot be used ({error.text})")
        told = msgspec.json.decode(found)
        self._see(told)
        # One of several servers tells the name of their cluster. Behind a leaf node, another server has the stream.
        servers = told.get("cluster") or {}
        is_alone = "name" not in servers and servers.get("leader") == server.name
        self.remembers_ids = is_alone and told["config"].get("duplicate_window", 0) >= _IDS_KEPT_FOR

    def _see(self, found: dict[str, Any]) -> None:
        """Take what the leader says about the stream."""
        if wrong := form.differences(found["config"]):
            raise UnusableServers(f"the stream {STREAM!r} has another configuration: {'; '.join(wrong)}")
        now = datetime.fromisoformat(f"{found['ts'][:19]}+00:00").timestamp()
        self._ahead = now - _since_start()
        if found["state"]["last_seq"] < self.written:
            _log.error("the stream %r lacks what was written before: somebody has deleted or restored it", STREAM)
            self.written, self.lost = 0, True

    @property
    def server_time(self) -> float:
        """Return the time in unix seconds by the clock of the servers."""
        return self._ahead + _since_start()

    @property
    def connections(self) -> int:
        """Return the number of connections that were made so far."""
        return self._nats.connections

    # Requests. `within` bounds them.

    async def within(self, seconds: float, work: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of `work`, which makes requests.

        Raises:
            ServersAway: `work` has not ended after `seconds`, or the connection was lost.
        """
        return await self._nats.within(seconds, work)

    async def connect(self) -> None:
        """Connect, unless there is a connection."""
        await self._nats.connect()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int | None:
        """Publish messages, all or none of them.

        Returns: The sequence number of the last message; the others have those just before it. None if a condition of
            a message does not hold, or did not for a moment.

        Raises:
            PublishRefused: The server cannot write. Nothing is written.
            ServersAway: It is not known whether the messages are written.
        """
        try:
            sequence = await self._nats.publish(messages)
        except PublishRefused as error:
            if error.code in _NOT_AS_EXPECTED:
                return None
            raise
        self.written = max(self.written, sequence)
        return sequence

    async def publish_each(self, messages: Sequence[OutgoingMessage]) -> list[int | PublishRefused | None]:
        """Publish messages in their order, each apart from the others.

        Returns: For each message its sequence number; None if a condition of it does not hold, or did not for a moment;
            or why the server cannot write it.

        Raises:
            ServersAway: It is not known which messages are written.
        """
        outcomes = await self._nats.publish_each(messages)
        self.written = max([self.written, *(one for one in outcomes if isinstance(one, int))])
        return [None if isinstance(one, PublishRefused) and one.code in _NOT_AS_EXPECTED else one for one in outcomes]

    async def next(self, subjects: str, after: int, most: int) -> Reading:
        """Read the messages with sequence numbers above `after`, at most `most` of them."""
        return await self._nats.read(STREAM, {"next_by_subj": subjects, "seq": after + 1, "batch": most})

    async def last(self, subjects: Sequence[str], after: int = 0) -> Reading:
        """Read the last message of each subject, of those with sequence numbers above `after`.

        There are none, and the status is "413", if the subjects have more than 1024 messages.
        """
        query = {"multi_last": list(subjects), "seq": after + 1, "batch": _MOST_LAST}
        return await self._nats.read(STREAM, query)

    async def last_of(self, subject: str) -> StoredMessage | None:
        """Return the last message of a subject. The leader answers."""
        body = msgspec.json.encode({"last_by_subj": subject})
        answer = await self._nats.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", body)
        if (error := _error_in(answer)) is not None:
            if error.code == _NO_MESSAGE:
                return None
            raise ServersAway(f"the stream {STREAM!r} cannot be read ({error.text})")
        found = msgspec.json.decode(answer)["message"]
        return StoredMessage(subject=subject, sequence=found["seq"], body=b64decode(found.get("data", "")))


def messages_of(reading: Reading) -> list[StoredMessage]:
    """Return the messages of a reading."""
    return [
        StoredMessage(
            subject=message.header(b"Nats-Subject"), sequence=int(message.header(b"Nats-Sequence")), body=message.body
        )
        for message in reading.messages
        if message.head
    ]


def _error_in(answer: bytes) -> PublishRefused | None:
    """Return the error in an answer of the API, None if there is none."""
    error = msgspec.json.decode(answer).get("error")
    return None if error is None else PublishRefused(int(error.get("err_code", 0)), str(error.get("description", "")))


def _version(text: str) -> tuple[int, int]:
    """Return the first two numbers of a version; (0, 0) if it has none."""
    first, _, rest = text.partition(".")
    second = rest.partition(".")[0]
    return (int(first), int(second)) if first.isdecimal() and second.isdecimal() else (0, 0)


def _since_start() -> float:
    """Return the seconds since the machine was started, those that it slept included."""
    return clock_gettime(CLOCK_BOOTTIME)
