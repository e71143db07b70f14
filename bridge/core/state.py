"""The state of a Charge Point, as the API, the metrics, the console and the command line show it.

Each known Charge Point has exactly one state. It is the first that fits, in this order:

    never_seen         It is listed in the configuration, and was never heard of.
    down               JSON: its WebSocket is not open. SOAP: it was silent for so long that its connection to the
                       Central System was closed (rule 9 of the Session).
    stale              It was silent for more than 1.5 heartbeat intervals. JSON: although its WebSocket is open.
    no_central_system  Its Central System cannot be reached.
    up                 It was heard of within its interval, and its Central System can be reached.

Silence is counted from the last sign of life. That is a message, or a Ping or Pong of its WebSocket.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

State = Literal["up", "no_central_system", "stale", "down", "never_seen"]
STATES: tuple[State, ...] = get_args(State)
# A Charge Point that was never heard of has no transport yet.
Spoken = Literal["soap", "json", "unknown"]

# Heartbeat intervals without a sign of life. One Heartbeat may be late, but not by half an interval.
_INTERVALS = 1.5
# Seconds between signs of life while no interval is known. Rule 9 closes the connection after three times as long.
_UNKNOWN_INTERVAL = 300.0
_NEVER = float("inf")


class Observation(Struct, frozen=True, kw_only=True):
    """The facts about a Charge Point that its state follows from, at one moment.

    Attributes:
        transport: What it speaks; `unknown` if it was never heard of.
        silent: Seconds since its last sign of life.
        interval: Seconds between its Heartbeats, None if not known, 0 if it sends none.
        allowed: SOAP: the seconds of silence after which its connection to the Central System is closed.
        connected: JSON: whether its WebSocket is open.
        reachable: Whether its Central System can be reached, as far as is known.
    """

    transport: Spoken
    silent: float = 0.0
    interval: float | None = None
    allowed: float = _NEVER
    connected: bool = False
    reachable: bool = True


NEVER_SEEN = Observation(transport="unknown")


def state_of(seen: Observation) -> State:
    """Return the state of a Charge Point."""
    if seen.transport == "unknown":
        return "never_seen"
    if not seen.connected if seen.transport == "json" else seen.silent > seen.allowed:
        return "down"
    if seen.silent > _stale_after(seen.interval):
        return "stale"
    return "up" if seen.reachable else "no_central_system"


def changes_in(seen: Observation) -> float:
    """Return the seconds after which silence alone may change the state; infinity if it cannot."""
    if seen.transport == "unknown":
        return _NEVER
    limits = (_stale_after(seen.interval), seen.allowed if seen.transport == "soap" else _NEVER)
    return min((limit - seen.silent for limit in limits if limit >= seen.silent), default=_NEVER)


def _stale_after(interval: float | None) -> float:
    """Return the seconds of silence that a Charge Point with this heartbeat interval may keep."""
    if interval is None:
        return _INTERVALS * _UNKNOWN_INTERVAL
    return _INTERVALS * interval if interval > 0 else _NEVER
