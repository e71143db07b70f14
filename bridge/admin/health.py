"""Is it able to serve: what `/readyz` tells.

An unreachable Central System degrades the gateway, it does not make it unready: the Charge Points of the others are
served, and its own are told to wait, which needs the gateway. Nor does a store that cannot be written: it serves on
from memory.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

# Seconds: an event loop that is this late serves nobody in time.
_STUCK = 5.0


class CentralSystemHealth(Struct, kw_only=True):
    """How many ways to it are open, and how many could not be opened when they were last tried; `since` when, as a
    time stamp in UTC, None if all is well or that was not seen."""

    connected: int = 0
    unreachable: int = 0
    since: str | None = None

    @property
    def degraded(self) -> bool:
        """There are Charge Points that it cannot be reached for."""
        return self.unreachable > 0


class StoreHealth(Struct, kw_only=True):
    """Why nothing is written to it, for a person; None if all is well."""

    trouble: str | None = None


class ListenerHealth(Struct, kw_only=True):
    """Where it listens, and whether it does."""

    address: str
    listening: bool


class LoopHealth(Struct, frozen=True, kw_only=True):
    """How late the event loop is at this moment: seconds."""

    lag: float = 0.0


class Health(Struct, kw_only=True):
    """`listeners` and `central_systems` by their names."""

    store: StoreHealth
    central_systems: dict[str, CentralSystemHealth]
    listeners: dict[str, ListenerHealth] = {}
    event_loop: LoopHealth = LoopHealth()
    draining: bool = False

    @property
    def serves(self) -> bool:
        """The bridge itself is able to: whoever asks it gets an answer."""
        listening = all(listener.listening for listener in self.listeners.values())
        return listening and not self.draining and self.event_loop.lag < _STUCK

    @property
    def degraded(self) -> bool:
        """It serves, but something around it is not as it should be."""
        return self.store.trouble is not None or any(each.degraded for each in self.central_systems.values())

    def told(self) -> dict[str, Any]:
        """As JSON."""
        status = "unready" if not self.serves else "degraded" if self.degraded else "ready"
        told: dict[str, Any] = {"status": status} | to_builtins(self)
        for name, system in self.central_systems.items():
            told["central_systems"][name]["degraded"] = system.degraded
        return told
