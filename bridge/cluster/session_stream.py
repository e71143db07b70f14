"""The sessions of operators in the shared stream: one message each, which the server deletes when its time is over.

The leader of the stream answers for a single session, so that a session that has ended is seen as such at once. Any
server may tell what is new, a moment later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from bridge.cluster import stream_forms as form
from bridge.cluster.nats_connection import OutgoingMessage, PublishRefused
from bridge.cluster.shared_stream import EXPECTED, SharedStream, messages_of
from bridge.cluster.stream_forms import StoredSession
from bridge.errors import Unavailable

_T = TypeVar("_T")
# Messages that are read at once.
_PAGE = 250


class SessionStream:
    """Reads and writes sessions by name. Every method raises Unavailable if no server answers, or none can write.

    Args:
        stream: The shared stream.
        timeout: The seconds that a request may take.
    """

    def __init__(self, stream: SharedStream, *, timeout: float) -> None:
        self._stream, self._timeout = stream, timeout

    @property
    def now(self) -> float:
        """Return the time in unix seconds by the clock of the servers."""
        return self._stream.server_time

    async def read(self, name: str) -> StoredSession | None:
        """Return the last message of a session, None if there is none. Its body is empty if the session was ended."""
        message = await self._within(lambda: self._stream.last_of(form.subject_of_session(name)))
        return None if message is None else form.session_of(message)

    async def write(self, name: str, body: bytes, *, after: int, lives: float) -> int | None:
        """Write a session, if its last message has the sequence number `after`, 0 for none.

        Args:
            name: The name of the session, hexadecimal digits.
            body: What is written.
            after: The sequence number.
            lives: Seconds after which the server deletes the message.

        Returns: The sequence number of the message, None if there is a later one.
        """
        headers = {EXPECTED: str(after), "Nats-TTL": f"{max(1, int(lives))}s"}
        return await self._publish(OutgoingMessage(subject=form.subject_of_session(name), body=body, headers=headers))

    async def end(self, name: str) -> None:
        """Write that a session has ended, whatever was written of it before."""
        headers = {"Nats-TTL": f"{form.END_OF_SESSION_KEPT_FOR}s"}
        while await self._publish(OutgoingMessage(subject=form.subject_of_session(name), headers=headers)) is None:
            pass

    async def changes(self, after: int) -> list[StoredSession]:
        """Return the last messages of all sessions, those with sequence numbers above `after`, in order."""
        found: list[StoredSession] = []
        while True:
            last = found[-1].sequence if found else after
            reading = await self._within(partial(self._stream.next, form.ALL_SESSIONS, last, _PAGE))
            messages = messages_of(reading)
            found += map(form.session_of, messages)
            if not messages or not reading.pending:
                return found

    async def _publish(self, message: OutgoingMessage) -> int | None:
        try:
            return await self._within(lambda: self._stream.publish([message]))
        except PublishRefused as error:
            raise Unavailable(f"the NATS servers cannot write: {error}") from error

    async def _within(self, work: Callable[[], Awaitable[_T]]) -> _T:
        return await self._stream.within(self._timeout, work)
