"""A connection to one of several NATS servers: requests, atomic batches, and reading a stream.

The library's own reconnecting is not used: it keeps what was published for the next connection, and it ends for good
when a server refuses the credentials once. Here a connection that is lost fails what waits for it, and the next request
makes a new one.

Nothing is published twice by this module. A caller that does not know an outcome decides what to do.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import RawCredentials

from bridge.cluster.nats_client import NatsClient, ReceivedMessage, missing
from bridge.errors import StartError, Unavailable
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.cluster")
_T = TypeVar("_T")
# Seconds for the check of a new connection. Without a leader nobody answers it, and it is made again.
_CHECKING = 2.0
# Seconds for one attempt to connect; between two Pings; and the Pings that may be unanswered.
_CONNECTING, _PING_EVERY, _PINGS = 2, 2, 2
# Seconds without any message after which a connection on which an answer is missing is closed.
_QUIET = 2.0
# The code of PublishRefused for a message that was not sent, because the server takes none so large.
TOO_LARGE = 0
# Octets that wait to be sent before publishing waits too.
_PENDING = 64 * 1024 * 1024


class ServersAway(Unavailable):
    """No server answered in time, or the connection was lost. It is not known whether the request was carried out."""


class PublishRefused(Exception):
    """The server has refused a message, or a batch as a whole. Nothing of it is in the stream.

    Attributes:
        code: The err_code of JetStream, or TOO_LARGE.
        text: The description of the server.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the server refused it: {text} ({code})")
        self.code = code
        self.text = text


class UnusableServers(StartError):
    """The servers, or the stream there, cannot be used. An operator has to do something."""


class OutgoingMessage(Struct, frozen=True, kw_only=True):
    """A message to publish.

    Attributes:
        subject: Its subject.
        body: Its body.
        headers: Its headers.
    """

    subject: str
    body: bytes = b""
    headers: dict[str, str] = {}


class Login(Struct, frozen=True, kw_only=True):
    """What this process shows to the servers.

    Attributes:
        username: The username, "" for none.
        password: The password; the token if there is no username. None for neither.
        credentials: The content of a `.creds` file, in place of a password.
        tls: The context of connections, None for those without TLS.
    """

    username: str = ""
    password: str | None = None
    credentials: str | None = None
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Login(username={self.username!r})"

    def options(self) -> dict[str, Any]:
        """Return the options of the client."""
        return {
            "user": self.username or None,
            "password": self.password if self.username else None,
            "token": None if self.username else self.password,
            "user_credentials": None if self.credentials is None else RawCredentials(self.credentials),
            "tls": self.tls,
        }


class Reading(Struct, frozen=True, kw_only=True):
    """The answer to a direct get of several messages.

    Attributes:
        messages: The messages, in the order of their sequence numbers.
        status: "204" after the last message, "404" if there is none, "413" if there are too many.
        pending: How many messages more there are.
        up_to: The last sequence number in the stream of the server that has answered; 0 if it does not say.
    """

    messages: list[ReceivedMessage]
    status: str
    pending: int
    up_to: int


class Answering(Protocol):
    """What a connection offers to the check that is made of each new one."""

    @property
    def version(self) -> str:
        """Return the version of the server."""

    @property
    def name(self) -> str:
        """Return the name of the server."""

    async def request(self, subject: str, body: bytes = b"") -> bytes | None:
        """Return the body of the answer, None if nobody answers at `subject`."""


class _Reply:
    """What was answered to one request so far.

    Args:
        several: Whether there are answers until one with a status; else there is one.
        ended: Called when nothing more is waited for.
    """

    def __init__(self, *, several: bool, ended: Callable[[], object]) -> None:
        self._messages: list[ReceivedMessage] = []
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done.add_done_callback(lambda _: ended())
        self._several = several

    def add(self, message: ReceivedMessage) -> None:
        if self._done.done():  # several servers may answer
            return
        self._messages.append(message)
        if not self._several or message.status:
            self._done.set_result(None)

    def fail(self) -> None:
        if not self._done.done():
            self._done.set_exception(ServersAway("the connection to the NATS server was lost"))
            self._done.exception()  # nobody may wait for it

    def cancel(self) -> None:
        """Wait no more."""
        self._done.cancel()

    async def answers(self) -> list[ReceivedMessage]:
        """Return the answers when all are there. Raises ServersAway."""
        await self._done
        return self._messages


class _Connection:
    """One connection, until it is lost."""

    def __init__(self) -> None:
        self.client = NatsClient(self._answered)
        self.closed = False
        self.heard_at = _now()
        self._inbox = ""
        self._numbers = itertools.count()
        self._replies: dict[bytes, _Reply] = {}
        self._error: Exception | None = None

    @property
    def version(self) -> str:
        """The version of the server."""
        return str(self.client._server_info.get("version", "")) or "unknown"

    @property
    def name(self) -> str:
        """The name of the server."""
        return str(self.client._server_info.get("server_name", ""))

    async def open(self, servers: Sequence[str], name: str, login: Login) -> None:
        """Connect. Raises ServersAway, or UnusableServers if a server refuses the login."""
        options: dict[str, Any] = {
            **login.options(),
            "servers": list(servers),
            "name": name,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": _CONNECTING,
            "ping_interval": _PING_EVERY,
            "max_outstanding_pings": _PINGS,
            "pending_size": _PENDING,
            "error_cb": self._failed,
            "closed_cb": self._lost,
            "disconnected_cb": self._lost,
        }
        try:
            await self.client.connect(**options)
            self._inbox = self.client.new_inbox()
            await self.client.subscribe(f"{self._inbox}.*")
        except (nats.errors.Error, OSError, ssl.SSLError) as error:
            await self.close()
            cause = self._error or error
            if "uthorization" in str(cause):
                raise UnusableServers(f"the NATS servers refuse the credentials ({cause})") from error
            raise ServersAway(f"no NATS server can be reached ({cause})") from error
        except BaseException:  # a cancellation too: the client would leave the socket open
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection at once, and fail what waits for an answer."""
        await self._lost()
        self.client.drop_unsent()
        with suppress(nats.errors.Error, OSError):
            await self.client.close()

    async def _failed(self, error: Exception) -> None:
        if self._error is None or "uthorization" not in str(self._error):
            self._error = error

    async def _lost(self) -> None:
        self.closed = True
        for reply in tuple(self._replies.values()):
            reply.fail()

    def _answered(self, message: ReceivedMessage) -> None:
        self.heard_at = _now()
        if (reply := self._replies.get(message.subject.rpartition(b".")[2])) is not None:
            reply.add(message)

    async def publish(
        self, message: OutgoingMessage, reply_to: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish a message. `headers` are added to its own."""
        all_headers = message.headers | (headers or {})
        try:
            await self.client.publish(message.subject, message.body, reply=reply_to, headers=all_headers or None)
        except nats.errors.MaxPayloadError as error:
            raise PublishRefused(TOO_LARGE, "the message is too large for the server") from error
        except (nats.errors.Error, OSError) as error:
            raise ServersAway(f"the connection to the NATS server was lost ({error})") from error

    async def send(
        self, message: OutgoingMessage, *, several: bool = False, headers: dict[str, str] | None = None
    ) -> _Reply:
        """Publish a message. Returns: what gets its answers: one, or all until one with a status."""
        number = b"%d" % next(self._numbers)
        reply = self._replies[number] = _Reply(several=several, ended=lambda: self._replies.pop(number))
        try:
            if self.closed:
                reply.fail()
            else:
                await self.publish(message, f"{self._inbox}.{number.decode()}", headers)
        except BaseException:
            reply.cancel()
            raise
        return reply

    async def request(self, subject: str, body: bytes = b"") -> bytes | None:
        """Return the body of the answer, None if nobody answers at `subject`."""
        (answer,) = await (await self.send(OutgoingMessage(subject=subject, body=body))).answers()
        return None if answer.status == "503" else answer.body


class NatsConnection:
    """Connects to one of `servers` when there is something to ask, and again when the connection was lost.

    Args:
        servers: The URLs of the servers, nats:// or tls://.
        name: The name of this process, which the server shows.
        login: What this process shows to the servers.
        check: Examines each new connection, before it is used. Raises UnusableServers or ServersAway.
    """

    def __init__(
        self, servers: Sequence[str], name: str, login: Login, check: Callable[[Answering], Awaitable[None]]
    ) -> None:
        self._servers, self._name, self._login, self._check = tuple(servers), name, login, check
        self._connection: _Connection | None = None
        self._tasks = Tasks()
        self._connecting: asyncio.Task[_Connection | ServersAway | StartError] | None = None
        self._publishing = asyncio.Lock()
        self._id, self._batches = secrets.token_hex(12), itertools.count(1)
        self._closing = False
        self._unusable = ""  # why the servers cannot be used, as it was logged
        self.connections = 0
        """The number of connections that were made so far."""

    async def connect(self) -> None:
        """Connect now, unless there is a connection. Raises ServersAway or UnusableServers."""
        await self._connected()

    async def close(self) -> None:
        """Close the connection, and make no new one."""
        self._closing = True
        await self._tasks.close()
        await self._drop(self._connection)

    async def _connected(self) -> _Connection:
        if self._closing:
            raise ServersAway("the connection to the NATS servers is closed")
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if self._connecting is None or self._connecting.done():
            self._connecting = self._tasks.spawn(self._connect(), name="connecting to NATS")
        # A request that does not wait so long leaves the attempt to the next one: the first of the servers may be gone.
        outcome = await asyncio.shield(self._connecting)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _connect(self) -> _Connection | ServersAway | StartError:
        """Make a connection. Returns: the connection, or why there is none."""
        if (reason := missing()) is not None:
            return UnusableServers(reason)
        await self._drop(self._connection)
        connection = _Connection()
        try:
            await connection.open(self._servers, self._name, self._login)
            async with asyncio.timeout(_CHECKING):
                await self._check(connection)
        except (ServersAway, StartError) as error:
            await connection.close()
            return error
        except TimeoutError:
            await connection.close()
            return ServersAway(f"the NATS server has not answered within {_CHECKING:g} s")
        except BaseException:
            await connection.close()
            raise
        self._connection, self._unusable = connection, ""
        self.connections += 1
        return connection

    async def _drop(self, connection: _Connection | None) -> None:
        if connection is not None:
            if self._connection is connection:
                self._connection = None
            await connection.close()

    async def within(self, seconds: float, work: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of `work`.

        A connection on which nothing comes any more is closed, so that the next attempt may find another server.

        Raises:
            ServersAway: `work` has not ended after `seconds`, or has raised this.
        """
        try:
            async with asyncio.timeout(seconds):
                return await work()
        except TimeoutError as error:
            connection = self._connection
            if connection is not None and _now() - connection.heard_at > _QUIET:
                await self._drop(connection)
            raise ServersAway(f"the NATS servers have not answered within {seconds:g} s") from error
        except ServersAway:
            # A connection learns of its end from the event loop, also if the caller tries again without a pause.
            await asyncio.sleep(0)
            raise
        except UnusableServers as error:
            if self._unusable != str(error):
                self._unusable = str(error)
                _log.error("the NATS servers cannot be used: %s", error)
            raise ServersAway(str(error)) from error

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish messages, more than one as an atomic batch: the stream takes all or none.

        Returns: The sequence number of the last message. The others have those just before it.

        Raises:
            PublishRefused: Nothing is in the stream.
            ServersAway: It is not known whether the messages are in the stream.
        """
        connection = await self._connected()
        if len(messages) == 1:
            reply = await connection.send(messages[0])
        else:
            batch = {"Nats-Batch-Id": f"{self._id}.{next(self._batches)}"}
            # One batch after the other: a server takes few that are begun and not ended.
            async with self._publishing:
                for number, message in enumerate(messages[:-1], 1):
                    await connection.publish(message, headers=batch | {"Nats-Batch-Sequence": str(number)})
                end = {"Nats-Batch-Sequence": str(len(messages)), "Nats-Batch-Commit": "1"}
                reply = await connection.send(messages[-1], headers=batch | end)
        return await self._sequence_in(reply, connection)

    async def publish_each(self, messages: Sequence[OutgoingMessage]) -> list[int | PublishRefused]:
        """Publish messages in their order, and not as a batch: the stream may take some of them.

        Returns: For each message its sequence number, or why it is not in the stream.

        Raises:
            ServersAway: It is not known whether the messages are in the stream.
        """
        connection, sent = await self._connected(), list[_Reply | PublishRefused]()
        try:
            for message in messages:
                try:
                    sent.append(await connection.send(message))
                except PublishRefused as error:
                    sent.append(error)
            return [await self._outcome_of(each, connection) for each in sent]
        finally:
            for each in sent:
                if isinstance(each, _Reply):
                    each.cancel()

    async def _outcome_of(self, sent: _Reply | PublishRefused, connection: _Connection) -> int | PublishRefused:
        """Return the sequence number of what was published, or why it was refused. Raises ServersAway."""
        try:
            return sent if isinstance(sent, PublishRefused) else await self._sequence_in(sent, connection)
        except PublishRefused as error:
            return error

    async def _sequence_in(self, reply: _Reply, connection: _Connection) -> int:
        """Return the sequence number of what was published. Raises PublishRefused or ServersAway."""
        (answer,) = await reply.answers()
        if not answer.body:
            raise await self._no_leader(connection)
        told = msgspec.json.decode(answer.body)
        if "error" in told:
            error = told["error"]
            raise PublishRefused(int(error.get("err_code", 0)), str(error.get("description", "")))
        return int(told["seq"])

    async def request(self, subject: str, body: bytes) -> bytes:
        """Return the body of the answer. Raises ServersAway, also if nobody answers at `subject`."""
        connection = await self._connected()
        if (answer := await connection.request(subject, body)) is None:
            raise await self._no_leader(connection)
        return answer

    async def _no_leader(self, connection: _Connection) -> ServersAway:
        """Close a connection at which nobody answers for the stream. The check of the next one shows why."""
        await self._drop(connection)
        return ServersAway("the stream has no leader")

    async def read(self, stream: str, query: dict[str, Any]) -> Reading:
        """Return the answer to a direct get of several messages, by `next_by_subj` or `multi_last`.

        Raises:
            ServersAway: No server has answered, or it cannot read the stream now.
        """
        connection = await self._connected()
        asked = OutgoingMessage(subject=f"$JS.API.DIRECT.GET.{stream}", body=msgspec.json.encode(query))
        *messages, last = await (await connection.send(asked, several=True)).answers()
        if last.status == "503":
            raise await self._no_leader(connection)
        if last.status not in ("204", "404", "413"):
            raise ServersAway(f"the NATS server cannot read the stream ({last.status} {last.description})")
        return Reading(
            messages=messages,
            status=last.status,
            pending=int(last.header(b"Nats-Num-Pending") or "0"),
            up_to=int(last.header(b"Nats-UpTo-Sequence") or "0"),
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
