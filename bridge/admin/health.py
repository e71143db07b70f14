"""The answer of `/readyz`: whether the gateway can serve.

An unreachable Central System makes the gateway degraded, not unready. The gateway still serves the Charge Points of
other Central Systems, and tells the Charge Points of the unreachable one to wait. A store that cannot be written also
makes the gateway only degraded: it continues to serve from memory. So does a receiver of events that cannot be reached:
its events wait. A certificate that ends soon is only a warning: the gateway serves as before until its end.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

# An event loop that is late by this time, in seconds, answers no request in time.
_STUCK = 5.0


class CentralSystemHealth(Struct, kw_only=True):
    """The state of the connections to one Central System.

    Attributes:
        connected: The number of open connections.
        unreachable: The number of Charge Points for which the last attempt to connect failed.
        down: The number of those that speak JSON, and are down because they are let in only with their Central System.
        since: The begin of the outage as a time in UTC; None without an outage or if the begin was not observed.
        misconfigured: HTTP status and media type of the last response to a POST, if it was no answer of the service.
    """

    connected: int = 0
    unreachable: int = 0
    down: int = 0
    since: str | None = None
    misconfigured: str | None = None

    @property
    def degraded(self) -> bool:
        """Return True when a connection cannot be opened, or when the URL is not that of a CentralSystemService."""
        return self.unreachable > 0 or self.misconfigured is not None


class StoreHealth(Struct, kw_only=True):
    """The reason why nothing is written to the store, as a text; None without trouble."""

    trouble: str | None = None


class ListenerHealth(Struct, kw_only=True):
    """The address of a listener, and whether it accepts connections."""

    address: str
    listening: bool


class LoopHealth(Struct, frozen=True, kw_only=True):
    """The present delay of the event loop, in seconds."""

    lag: float = 0.0


class CertificateHealth(Struct, frozen=True, kw_only=True):
    """A certificate of the bridge that ends soon: its end as a time in UTC, and the days until then.

    `days` is negative after the end.
    """

    ends: str
    days: int


class ReceiverCounts(Struct, frozen=True, kw_only=True):
    """The state of a receiver of events.

    Attributes:
        waiting: The number of events that wait.
        oldest: The time of the oldest of them in UTC; None if none waits.
        trouble: The reason why events are not delivered; None without trouble.
        since: The begin of the trouble as a time in UTC; None without trouble.
        delivered: The number of events that were delivered since the start.
        dropped: The number of events that were dropped since the start, by reason.
    """

    waiting: int
    oldest: str | None
    trouble: str | None
    since: str | None
    delivered: int
    dropped: dict[str, int]


class ObserverCounts(Struct, frozen=True, kw_only=True):
    """The state of a further Central System.

    Attributes:
        waiting: The number of messages that wait for it.
        octets: The size of these messages.
        oldest: The time of the oldest of them in UTC; None if none waits.
        halted: The number of Charge Points whose messages wait because a StartTransaction or StopTransaction got no
            answer.
        trouble: The reason why messages wait; None without trouble.
        lost: The number of messages that it never gets since the start, by reason.
    """

    waiting: int
    octets: int
    oldest: str | None
    halted: int
    trouble: str | None
    lost: dict[str, int]


class ClusterHealth(Struct, frozen=True, kw_only=True):
    """This process as a node of a cluster.

    Attributes:
        node: The name of this process.
        nodes: The names of all living nodes, as far as this process knows.
        slots: The number of slots, of 1024, whose Charge Points this process serves.
        suspended: Its lease is over: it does nothing for its Charge Points until it reaches the NATS servers again.
    """

    node: str
    nodes: list[str]
    slots: int
    suspended: bool


class Health(Struct, kw_only=True):
    """The health of the gateway. `listeners`, `central_systems`, `events` (the receivers) and `observers` are by name.

    `cluster` is None for a single process.

    `certificates` holds a warning for each certificate that ends soon, by the path of its table in the configuration.
    """

    store: StoreHealth
    central_systems: dict[str, CentralSystemHealth]
    listeners: dict[str, ListenerHealth] = {}
    event_loop: LoopHealth = LoopHealth()
    certificates: dict[str, CertificateHealth] = {}
    draining: bool = False
    events: dict[str, ReceiverCounts] = {}
    observers: dict[str, ObserverCounts] = {}
    cluster: ClusterHealth | None = None

    @property
    def serves(self) -> bool:
        """Return True when the bridge itself can answer every request."""
        listening = all(listener.listening for listener in self.listeners.values())
        suspended = self.cluster is not None and self.cluster.suspended
        return listening and not suspended and not self.draining and self.event_loop.lag < _STUCK

    @property
    def degraded(self) -> bool:
        """Return True when the store, a Central System, an observer or a receiver of events has trouble.

        The bridge still serves.
        """
        central_systems = any(each.degraded for each in self.central_systems.values())
        receivers = any(each.trouble is not None for each in self.events.values())
        observers = any(each.trouble is not None for each in self.observers.values())
        return self.store.trouble is not None or central_systems or receivers or observers

    def told(self) -> dict[str, Any]:
        """Return the health as plain data for JSON."""
        status = "unready" if not self.serves else "degraded" if self.degraded else "ready"
        told: dict[str, Any] = {"status": status} | to_builtins(self)
        for name in ("events", "observers", "cluster"):
            if not told[name]:
                del told[name]
        for name, system in self.central_systems.items():
            told["central_systems"][name]["degraded"] = system.degraded
            if system.misconfigured is None:
                del told["central_systems"][name]["misconfigured"]
        return told
