"""BootNotifications that the bridge sends in a SOAP Charge Point's name, and what a Charge Point may send before one.

A SOAP Charge Point does not see that its Central System was restarted or replaced. A JSON Charge Point would see its
connection break, and send a BootNotification on the next connection if the Central System wants one. The bridge sends
the Charge Point's last BootNotification unchanged: rule 22 forbids inventing one.

The pause between two replays is ten minutes, then twenty, up to a day. No replay is sent before the interval of a
Pending or Rejected answer is over. After two replays without success none is sent until the Charge Point boots itself.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.ocpp.enums import RegistrationStatus
from bridge.ocpp.messages import BootNotificationRequest, BootNotificationResponse

ALWAYS, AUTO, NEVER = True, "auto", False
# Close codes of a Central System that closes for reasons of its own, not because of a message (RFC 6455 section 7.4.1,
# and the registry: Going Away, Service Restart, Try Again Later).
_ITS_OWN_AFFAIR = frozenset({1001, 1012, 1013})
# Seconds after the first Call within which a closed connection is taken for a refusal of that Call.
_SOON = 5.0
_PAUSE, _LONGEST_PAUSE = 600.0, 86_400.0
_MOST_FAILURES = 2


class Booted(Struct, frozen=True, kw_only=True):
    """The last BootNotification of a Charge Point that was answered.

    Attributes:
        central_system: The name of the Central System that answered.
    """

    request: BootNotificationRequest
    status: str
    interval: int
    central_system: str = ""


class Boots:
    """The BootNotifications of one Charge Point, and when the last one is replayed.

    Args:
        mode: When the last BootNotification is replayed: True on each connection, False never, "auto" when the Central
            System asks for it.
        request: The last BootNotification, None if none is known.
        introduce: Whether the Central System has not received it yet, because the Charge Point was moved.
    """

    def __init__(self, mode: bool | str, request: BootNotificationRequest | None, *, introduce: bool) -> None:
        self.request = request
        self.mode = mode
        self.introduce = introduce and request is not None
        self.answered_here = False  # a BootNotification was answered on this connection
        self.waits = False  # a replay was answered Pending or Rejected
        self.pending = False  # a replay was answered Pending
        self._first = False  # the next connection begins with a replay
        self._first_call: float | None = None
        self._next = float("-inf")
        self._pause = _PAUSE
        self._failures = 0

    def connected(self) -> None:
        """Note that a connection to the Central System was opened."""
        self.answered_here, self._first_call = False, None

    def sent(self, at: float) -> None:
        """Note that a Call is sent on the connection."""
        if self._first_call is None:
            self._first_call = at

    def disconnected(self, at: float, code: int | None) -> None:
        """Note the end of the connection. `code` is the Central System's close code, None if the connection broke."""
        soon = self._first_call is not None and at - self._first_call <= _SOON
        if soon and not self.answered_here and code not in _ITS_OWN_AFFAIR:
            self._first = True

    def comes_first(self, at: float) -> bool:
        """Return whether the connection that was just opened begins with a replay."""
        if self.request is None:
            return False
        return self.introduce or self.mode is ALWAYS or (self._first and self.may_replay(at))

    def may_replay(self, at: float) -> bool:
        """Return whether a BootNotification may be replayed now."""
        wanted = self.mode is not NEVER or self.waits
        return wanted and self.request is not None and at >= self._next and self._failures < _MOST_FAILURES

    def is_asked_for(self) -> bool:
        """Return whether a SecurityError may mean that a BootNotification is missing."""
        return self.mode == AUTO and not self.answered_here

    def replayed(self, at: float) -> None:
        """Note that a BootNotification is replayed now. A replay counts as failed until its answer is Accepted."""
        self._first = False
        if self.mode != AUTO or self.introduce:
            return
        if at - self._next > _LONGEST_PAUSE:
            self._pause = _PAUSE
        self._next, self._pause = at + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        self._failures += 1

    def answered(self, answer: BootNotificationResponse, at: float, *, own: bool) -> None:
        """Learn from the Central System's answer to a BootNotification.

        Args:
            answer: The answer.
            at: The time of the answer, in seconds.
            own: Whether the BootNotification was a replay.
        """
        self.answered_here, self.introduce = True, False
        accepted = answer.status is RegistrationStatus.Accepted
        self.waits = own and not accepted
        self.pending = self.waits and answer.status is RegistrationStatus.Pending
        if not own:
            self._failures, self._pause, self._next = 0, _PAUSE, float("-inf")
        elif accepted:
            self._failures = 0
        else:
            self._next = max(self._next, at + answer.interval)
