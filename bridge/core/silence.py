"""Allowed silence: the time without a message of a SOAP Charge Point until its WebSocket to the Central System closes.

A SOAP Charge Point has no connection that shows that it is there. It sends a message at least once in each heartbeat
interval, if the interval is known. Some Charge Points are configured to another interval than the BootNotification.conf
gave, and some send messages only when a driver comes.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bridge.ocpp.enums import ConfigurationStatus, RegistrationStatus
from bridge.ocpp.messages import (
    BootNotificationResponse,
    ChangeConfigurationRequest,
    ChangeConfigurationResponse,
    GetConfigurationResponse,
)

_HEARTBEATS = 3
# Seconds. After a longer pause the Charge Point counts as having been away.
_LONGEST_PAUSE = 26 * 3600.0
_KEY = "heartbeatinterval"


class Presence(Struct, frozen=True, kw_only=True):
    """The known intervals between messages of a Charge Point, in seconds; None if not known.

    Attributes:
        interval: The interval of the last Accepted BootNotification.conf, as it was sent to the Charge Point.
        configured: The value of HeartbeatInterval that the Charge Point accepted or reported.
        pause: The longest time between two messages without a BootNotification after it.
        pending: Whether the last BootNotification.conf said Pending.
    """

    interval: int | None = None
    configured: int | None = None
    pause: float | None = None
    pending: bool = False


class Silence:
    """The allowed silence of one Charge Point.

    Args:
        known: The stored intervals.
        shortest: The seconds of silence that are always allowed.
    """

    def __init__(self, known: Presence, shortest: float) -> None:
        self.known = known
        self._shortest = shortest

    def allowed(self) -> float:
        """Return the seconds without a message after which the Charge Point counts as silent.

        Returns infinity after a Pending answer, because the Charge Point then has to wait.
        """
        known = self.known
        if known.pending:
            return float("inf")
        return max(
            self._shortest, *(_HEARTBEATS * (each or 0) for each in (known.interval, known.configured, known.pause))
        )

    def paused(self, seconds: float, *, booted: bool) -> bool:
        """Learn from a message that comes after a pause. Return whether the record changed and has to be stored.

        Args:
            seconds: The length of the pause.
            booted: Whether the message is a BootNotification, which means that the Charge Point was away.
        """
        if booted or seconds > _LONGEST_PAUSE or seconds * _HEARTBEATS <= self._shortest:
            return False
        # A quarter longer, so that a slowly growing pause is not stored again and again.
        if self.known.pause is not None and seconds <= self.known.pause * 1.25:
            return False
        return self._now(pause=seconds)

    def see(self, request: Any, response: Any) -> bool:
        """Learn from a request and its response. Return whether the record changed."""
        match request, response:
            case _, BootNotificationResponse(status=RegistrationStatus.Accepted, interval=interval):
                return self._now(interval=interval, pending=False)
            case _, BootNotificationResponse(status=status):
                return self._now(pending=status is RegistrationStatus.Pending)
            case ChangeConfigurationRequest(key=key, value=value), ChangeConfigurationResponse(status=status):
                accepted = status in (ConfigurationStatus.Accepted, ConfigurationStatus.RebootRequired)
                return accepted and self._configured(key, value)
            case _, GetConfigurationResponse(configurationKey=keys):
                return any(self._configured(each.key, each.value) for each in keys or ())
        return False

    @property
    def interval(self) -> int | None:
        """Seconds between heartbeats. None if not known, 0 if the Charge Point sends none."""
        return self.known.interval if self.known.configured is None else self.known.configured

    def _configured(self, key: str, value: str | None) -> bool:
        if key.strip().lower() != _KEY or value is None or not value.strip().isdecimal() or len(value) > 9:
            return False
        return self._now(configured=int(value))

    def _now(self, **changes: Any) -> bool:
        before = self.known
        values = {name: changes.get(name, getattr(before, name)) for name in before.__struct_fields__}
        self.known = Presence(**values)
        return self.known != before
