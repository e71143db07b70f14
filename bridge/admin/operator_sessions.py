"""The sessions of operators who have signed in at the provider. Those of a single process are gone after a restart.

The browser has a random key in a cookie; the bridge keeps a digest of it. A session ends a fixed time after it began,
and earlier if no request has come for a while.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from bridge.ocpp.tenants import DEFAULT

# The most sessions, and the most of one operator. The one that was not used for the longest time makes room.
MOST, MOST_OF_ONE = 1000, 20
_OCTETS = 32  # the length of each secret


class OperatorSession(Struct, kw_only=True, eq=False):
    """The session of an operator.

    Attributes:
        subject: The identifier of the operator at the provider.
        name: The name for the audit.
        role: "read" permits no changes.
        csrf: The token that a request with this session needs to change anything.
        began: The time of the sign-in, by the clock of the sessions.
        used: The time of the last request.
        tenant: The only tenant that the session is for.
    """

    subject: str
    name: str
    role: Literal["read", "operate"]
    csrf: str
    began: float
    used: float
    tenant: str = DEFAULT


class OperatorSessions:
    """All sessions.

    Args:
        lasts: The seconds after which a session ends.
        idle: The seconds without a request after which a session ends.
        clock: Returns the time in seconds, by a clock that is never set.
    """

    def __init__(self, lasts: float, idle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lasts = lasts
        self.idle = idle
        self._clock = clock
        self._sessions: dict[str, OperatorSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, subject: str, name: str, role: Literal["read", "operate"]) -> str:
        """Begin a session of the operator. Returns: the key of the session, for the cookie."""
        self.forget_ended()
        if (gone := makes_room(self._sessions, subject)) is not None:
            del self._sessions[gone]
        key, now = new_key(), self._clock()
        csrf = secrets.token_urlsafe(_OCTETS)
        session = OperatorSession(subject=subject, name=name, role=role, csrf=csrf, began=now, used=now)
        self._sessions[digest_of(key)] = session
        return key

    def keep(self, digest: str, session: OperatorSession) -> None:
        """Take a session that another process may have begun. `digest` is that of its key."""
        self._sessions[digest] = session

    def kept(self, digest: str) -> OperatorSession | None:
        """Return the session whose key has this digest, None if there is none. It may have ended."""
        return self._sessions.get(digest)

    def drop(self, digest: str) -> bool:
        """Forget the session whose key has this digest. Returns: whether there was one."""
        return self._sessions.pop(digest, None) is not None

    def digest_for(self, session: OperatorSession) -> str | None:
        """Return the digest of the key of `session`, None if it is not here any more."""
        return next((digest for digest, each in self._sessions.items() if each is session), None)

    def find(self, key: str) -> OperatorSession | None:
        """Return the session with the key, None if there is none or it has ended."""
        session = self._sessions.get(digest_of(key))
        return None if session is None or self.is_over(session) else session

    def is_over(self, session: OperatorSession) -> bool:
        """Return whether the time of a session is over."""
        return self._ends(session) <= self._clock()

    def use(self, session: OperatorSession) -> None:
        """Take note of a request of the operator."""
        session.used = self._clock()

    def end(self, key: str) -> None:
        """End the session with the key, if there is one."""
        self._sessions.pop(digest_of(key), None)

    def clear(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def forget_ended(self) -> None:
        """Forget the sessions that have ended."""
        for digest, session in tuple(self._sessions.items()):
            if self.is_over(session):
                del self._sessions[digest]

    def next_end(self) -> float | None:
        """Return the seconds until a session ends if no request comes, None without a session."""
        ends = min(map(self._ends, self._sessions.values()), default=None)
        return None if ends is None else max(0.0, ends - self._clock())

    def left(self, session: OperatorSession) -> float:
        """Return the seconds until the session ends if its operator goes on sending requests."""
        return max(0.0, session.began + self.lasts - self._clock())

    def _ends(self, session: OperatorSession) -> float:
        return min(session.began + self.lasts, session.used + self.idle)


def makes_room(sessions: Mapping[str, OperatorSession], subject: str) -> str | None:
    """Return the session that has to end before the operator gets another one, None if there is room.

    Args:
        sessions: The sessions that last, by the digests of their keys.
        subject: The identifier of the operator.
    """
    among = [digest for digest, each in sessions.items() if each.subject == subject]
    if len(among) < MOST_OF_ONE:
        among = [*sessions] if len(sessions) >= MOST else []
    return min(among, key=lambda digest: sessions[digest].used, default=None)


def new_key() -> str:
    """Return the key of a new session."""
    return secrets.token_urlsafe(_OCTETS)


def digest_of(key: str) -> str:
    """Return what the bridge keeps of the key of a session, in hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
