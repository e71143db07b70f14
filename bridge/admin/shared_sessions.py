"""The sessions of operators that several processes share. Any of them accepts a session that another one has made.

What is shared of a session is named by the digest of its key, and holds neither the key nor the token for changes,
which is derived from the key. So who can read what is shared can use no session.

Each request asks for the session that it shows, so that it is refused from the moment on at which the session has
ended anywhere. A process also asks from time to time whether the sessions that it knows have ended: their live streams
end with them. If nobody can be asked, a session is neither accepted nor refused: `refresh` raises.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from bridge.admin.operator_sessions import OperatorSession, OperatorSessions, digest_of, makes_room, new_key
from bridge.errors import Unavailable
from bridge.net.tasks import Tasks
from bridge.watching import logs

_log = logging.getLogger("bridge.admin")
# Requests with sessions that this process does not know: so many are asked about at once, and so many wait for that.
# Strangers can send any number of them.
_MOST_READING, _MOST_WAITING = 4, 100
# A request is noted if it is so many seconds, and this part of `idle`, later than the last one that was noted.
_NOTED_AFTER, _PART_OF_IDLE = 60.0, 0.1
# Seconds that what is shared is kept after the end of a session. No process can tell the time better.
_MARGIN = 60.0
_LONGEST_KEY = 64


class SharedSession(Protocol):
    """The part of a session that all processes have. `body` is empty if the session was ended."""

    @property
    def name(self) -> str:
        """The digest of the key, in hexadecimal digits."""

    @property
    def sequence(self) -> int:
        """A number that grows with each change."""

    @property
    def body(self) -> bytes:
        """The octets that were written for the session."""


class SessionValues(Protocol):
    """The sessions that all processes have: `bridge.cluster.session_stream.SessionStream`.

    Every method may raise Unavailable.
    """

    @property
    def now(self) -> float:
        """The time in seconds, by a clock that all processes have in common."""

    async def read(self, name: str) -> SharedSession | None:
        """Return a session as it is now, None if there is none."""

    async def write(self, name: str, body: bytes, *, after: int, lives: float) -> int | None:
        """Write a session for `lives` seconds. Returns: the new number, None if it has changed since `after`."""

    async def end(self, name: str) -> None:
        """Write that a session has ended."""

    async def changes(self, after: int) -> Sequence[SharedSession]:
        """Return the sessions that have changed since `after`, in order."""


class _Body(Struct, frozen=True, kw_only=True):
    """The content of a session as it is written. `binding` is the configuration under which it holds."""

    subject: str
    name: str
    role: Literal["read", "operate"]
    binding: str
    began: float
    used: float


class SharedSessions:
    """The sessions under one configuration.

    Args:
        values: The sessions that all processes have.
        binding: The configuration under which these sessions hold.
        lasts: The seconds after which a session ends.
        idle: The seconds without a request after which a session ends.
        ended: Called after a session of `known` has ended.
        may_act: Returns whether this process is one of the cluster now. One that is cut off may be told the past.
        every: Seconds between two looks whether a session has ended elsewhere.
        patience: Seconds without an answer after which no session of `known` counts.

    Attributes:
        known: The sessions that this process has seen.
    """

    def __init__(
        self,
        values: SessionValues,
        *,
        binding: str,
        lasts: float,
        idle: float,
        ended: Callable[[], None],
        may_act: Callable[[], bool],
        every: float,
        patience: float,
    ) -> None:
        self._values, self._binding, self._ended = values, binding, ended
        self._may_act, self._every, self._patience = may_act, every, patience
        self.known = OperatorSessions(lasts, idle, lambda: values.now)
        self._noted_after = min(_NOTED_AFTER, idle * _PART_OF_IDLE)
        self._sequences: dict[str, int] = {}  # the number of the last change of each known session
        self._after = 0  # the number up to which changes were read
        self._reading, self._waiting = asyncio.Semaphore(_MOST_READING), 0
        self._tasks = Tasks()
        self._following: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the work of this process. The sessions go on at the others."""
        await self._tasks.close()

    async def begin(self, subject: str, name: str, role: Literal["read", "operate"]) -> str:
        """Begin a session of the operator. Returns: the key of the session, for the cookie. Raises Unavailable."""
        if (gone := makes_room(await self._lasting(), subject)) is not None:
            await self._end(gone)
        key, now = new_key(), self._values.now
        body = _Body(subject=subject, name=name, role=role, binding=self._binding, began=now, used=now)
        digest = digest_of(key)
        if (sequence := await self._write(digest, body, after=0)) is None:
            raise Unavailable("the session could not be written")
        self._add(digest, sequence, _session(body, csrf=_csrf_of(key)))
        return key

    async def refresh(self, key: str) -> None:
        """Ask for the session with the key: `known` has it as it is now. Raises Unavailable."""
        if not key or len(key) > _LONGEST_KEY:
            return
        digest = digest_of(key)
        if digest in self._sequences:
            self._take(digest, await self._read(digest), key)
            return
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("too many requests with unknown sessions come at once")
        self._waiting += 1
        try:
            async with self._reading:
                self._take(digest, await self._read(digest), key)
        finally:
            self._waiting -= 1

    def use(self, session: OperatorSession) -> None:
        """Take note of a request of the operator, for all processes."""
        now, digest = self._values.now, self.known.digest_for(session)
        if digest is None or now - session.used < self._noted_after:
            return
        session.used = now
        self._tasks.spawn(self._note(digest, session), name="noting the use of a session")

    async def end(self, key: str) -> None:
        """End the session with the key, if it is known. Raises Unavailable: then it may have ended, or not."""
        if (digest := digest_of(key)) in self._sequences:
            await self._end(digest)

    async def clear(self) -> None:
        """End all sessions at all processes: their configuration is not in force any more."""
        try:
            for digest in await self._lasting():
                await self._end(digest)
        except Unavailable as error:
            logs.fields(_log, logging.WARNING, "sessions under the former configuration are not ended", reason=error)

    # The sessions of all processes.

    async def _lasting(self) -> dict[str, OperatorSession]:
        """Return all sessions that last, by the digests of their keys. Raises Unavailable."""
        found: dict[str, OperatorSession] = {}
        for each in await self._values.changes(0):
            if (body := self._body_of(each)) is not None:
                session = _session(body, csrf="")
                if not self.known.is_over(session):
                    found[each.name] = session
        return found

    async def _read(self, digest: str) -> SharedSession | None:
        found = await self._values.read(digest)
        if not self._may_act():
            raise Unavailable("this process is cut off from the others")
        return found

    async def _end(self, digest: str) -> None:
        await self._values.end(digest)
        self._drop(digest)

    async def _write(self, digest: str, body: _Body, *, after: int) -> int | None:
        lives = body.began + self.known.lasts - self._values.now + _MARGIN
        return await self._values.write(digest, msgspec.json.encode(body), after=after, lives=lives)

    async def _note(self, digest: str, session: OperatorSession) -> None:
        """Write that a session was used. One that was ended meanwhile has changed, and nothing is written."""
        body = _Body(
            subject=session.subject,
            name=session.name,
            role=session.role,
            binding=self._binding,
            began=session.began,
            used=session.used,
        )
        if (after := self._sequences.get(digest)) is None:
            return
        try:
            sequence = await self._write(digest, body, after=after)
            if sequence is None:
                self._take(digest, await self._values.read(digest))
            elif digest in self._sequences:
                self._sequences[digest] = max(sequence, self._sequences[digest])
        except Unavailable:
            return  # the next request finds it as it was before

    def _body_of(self, found: SharedSession | None) -> _Body | None:
        """Return what was written of a session, None if it does not hold here."""
        if found is None or not found.body:
            return None
        try:
            body = msgspec.json.decode(found.body, type=_Body)
        except msgspec.MsgspecError:
            return None  # another version has written it
        return body if body.binding == self._binding else None

    # The sessions that this process has seen.

    def _take(self, digest: str, found: SharedSession | None, key: str = "") -> None:
        """Take a session as it is now. One that is not known yet is taken with its key."""
        body, session = self._body_of(found), self.known.kept(digest)
        if found is None or body is None:
            self._drop(digest)
        elif session is None:
            # A session whose time is over stays in the stream for `_MARGIN`.
            if key and not self.known.is_over(shared := _session(body, csrf=_csrf_of(key))):
                self._add(digest, found.sequence, shared)
        elif found.sequence > self._sequences[digest]:
            session.used, self._sequences[digest] = body.used, found.sequence

    def _add(self, digest: str, sequence: int, session: OperatorSession) -> None:
        # What has changed since is read again: the session may have ended after it was read.
        self._after = min(self._after, sequence) if self._sequences else sequence
        self._sequences[digest] = sequence
        self.known.keep(digest, session)
        if self._following is None or self._following.done():
            self._following = self._tasks.spawn(self._follow(), name="following sessions of operators")

    def _drop(self, digest: str) -> None:
        self._sequences.pop(digest, None)
        if self.known.drop(digest):
            self._ended()

    async def _follow(self) -> None:
        """Read what has changed, as long as a session is known."""
        time = asyncio.get_running_loop().time
        answered = time()
        while self._sequences:
            await asyncio.sleep(self._every)
            asked = self._after
            try:
                changes = await self._values.changes(asked)
                if not self._may_act():
                    raise Unavailable("this process is cut off from the others")
            except Unavailable:
                if time() - answered >= self._patience:
                    self._forget(lambda digest: True)
                continue
            answered = time()
            for each in changes:
                if each.name in self._sequences:
                    self._take(each.name, each)
            if changes and self._after == asked:
                self._after = changes[-1].sequence
            self._forget(self._is_over)

    def _is_over(self, digest: str) -> bool:
        session = self.known.kept(digest)
        return session is None or self.known.is_over(session)

    def _forget(self, chosen: Callable[[str], bool]) -> None:
        """Know some sessions no more. A request may make them known again."""
        for digest in tuple(filter(chosen, self._sequences)):
            self._drop(digest)


def _session(body: _Body, csrf: str) -> OperatorSession:
    return OperatorSession(
        subject=body.subject, name=body.name, role=body.role, csrf=csrf, began=body.began, used=body.used
    )


def _csrf_of(key: str) -> str:
    """Return the token for changes of the session with a key, the same at all processes."""
    seal = hmac.new(key.encode("utf-8", "replace"), b"the token for changes", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(seal).rstrip(b"=").decode()
