"""How things stand, counted over the Sessions when somebody asks: for `/readyz` and for the metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from bridge.admin.health import CentralSystemHealth
from bridge.core.commands import Outcome, Report
from bridge.core.links import Status
from bridge.gateway.conductor import Conductor
from bridge.gateway.ways import PostedWay
from bridge.observing import Observer
from bridge.ocpp.actions import Party

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_STATES = {Status.UP: "up", Status.OPENING: "connecting", Status.DOWN: "down"}
_ANSWERED = (Outcome.RESULT, Outcome.ERROR)


class Outages(Observer):
    """Since when each Charge Point's way to its Central System fails, by identity, in unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.since: dict[str, float] = {}
        self._clock = clock

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        if party is CENTRAL_SYSTEM:
            self.since.setdefault(identity, self._clock())

    def link_up(self, identity: str, party: Party, central_system: str) -> None:
        if party is CENTRAL_SYSTEM:
            self.since.pop(identity, None)

    def link_closed(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        if party is CENTRAL_SYSTEM:
            self.since.pop(identity, None)

    def exchanged(self, identity: str, report: Report) -> None:
        if self.since and report.sender is CHARGE_POINT and report.outcome in _ANSWERED:
            self.since.pop(identity, None)


class Places:
    """What Charge Points and their Central Systems speak now."""

    def __init__(self, conductor_of: Callable[[str], Conductor | None]) -> None:
        self._conductor_of = conductor_of

    def transport_of(self, identity: str, party: Party) -> str:
        """`soap` or `json`."""
        conductor = self._conductor_of(identity)
        return "json" if conductor is None else transport_of(conductor, party)

    def central_system_of(self, identity: str) -> str:
        """The name of its Central System; "" if it has none any more."""
        conductor = self._conductor_of(identity)
        return "" if conductor is None else conductor.placement.central_system

    def version_of(self, identity: str) -> str:
        """The OCPP version of the SOAP between them: the Charge Point's, if it speaks SOAP."""
        conductor = self._conductor_of(identity)
        ways = [] if conductor is None else [conductor.ways.get(party) for party in Party]
        return next((way.soap.version for way in ways if isinstance(way, PostedWay)), "1.6")


def transport_of(conductor: Conductor, party: Party) -> str:
    """What `party` speaks: `soap` or `json`."""
    return "soap" if isinstance(conductor.ways.get(party), PostedWay) else "json"


def sessions_by_state(sessions: Iterable[Conductor]) -> dict[tuple[str, str], int]:
    """How many, by the Charge Point's transport and the state of the way to it."""
    return Counter(
        (transport_of(conductor, CHARGE_POINT), _STATES[conductor.session.links[CHARGE_POINT].status])
        for conductor in sessions
    )


def central_systems(
    names: Iterable[str], sessions: Iterable[Conductor], outages: Outages
) -> dict[str, CentralSystemHealth]:
    """Of each Central System: how many ways are open, and how many are wanted but not."""
    health = {name: CentralSystemHealth() for name in names}
    for conductor in sessions:
        of_it = health.setdefault(conductor.placement.central_system, CentralSystemHealth())
        of_it.connected += conductor.session.links[CENTRAL_SYSTEM].status is Status.UP
        if _unreachable(conductor):
            of_it.unreachable += 1
            if (since := outages.since.get(conductor.identity)) is not None:
                of_it.since = min(of_it.since or _at(since), _at(since))
    return health


def _unreachable(conductor: Conductor) -> bool:
    """A way that is dialled is down until a Call wants it; one that is POSTed to only since a POST has failed."""
    link = conductor.session.links[CENTRAL_SYSTEM]
    posted = isinstance(conductor.ways.get(CENTRAL_SYSTEM), PostedWay)
    return link.status is not Status.UP and (link.failures > 0 or posted)


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
