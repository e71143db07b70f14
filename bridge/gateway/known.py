"""One Charge Point as the API shows it, from its Session, from its stored record, or from both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from bridge.admin import facts
from bridge.admin.facts import Addresses
from bridge.config import Settings
from bridge.core.links import Status
from bridge.core.state import NEVER_SEEN, Observation, State
from bridge.errors import MessageError, UnknownIdentity
from bridge.gateway.audit import Audit
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.fleet_tally import FaultCodes, FleetEntry, FleetTally
from bridge.gateway.health import Outages, RefusedEntry, is_unreachable, transport_of
from bridge.gateway.persistence import Persistence, silence_of
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.sessions import Sessions, said
from bridge.gateway.states import ChargePointStates
from bridge.gateway.transports import JSON_VERSION
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import PLAIN, Boot
from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.messages import BootNotificationRequest
from bridge.store.records import ChargePointRecord

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_NO_SESSION = "it has not been heard of since the bridge was started, or since it was moved"
_boot = msgspec.json.Decoder(BootNotificationRequest)
# Seconds by which the two clocks have to part before unix times are reckoned anew. Reading both takes microseconds.
_CLOCK_WAS_SET = 0.1


class UnixTimes:
    """Converts times on the clock of the event loop to unix times.

    Args:
        clock: Returns unix seconds.
        loop_clock: Returns seconds of the event loop.
    """

    def __init__(self, clock: Callable[[], float], loop_clock: Callable[[], float]) -> None:
        self._clock, self._loop_clock = clock, loop_clock
        self._ahead = clock() - loop_clock()

    def of(self, at: float) -> float:
        """Return the unix time of `at`. It is the same at each call, until the two clocks differ by 0.1 s more."""
        ahead = self._clock() - self._loop_clock()
        if abs(ahead - self._ahead) > _CLOCK_WAS_SET:
            self._ahead = ahead
        return self._ahead + at


class ViewSources(Struct, frozen=True, kw_only=True):
    """The sources of the views. `clock` returns unix seconds, `loop_clock` those of the event loop."""

    clock: Callable[[], float]
    loop_clock: Callable[[], float]
    unix_times: UnixTimes
    settings: Callable[[], Settings]
    placements: Callable[[], Placements]
    addresses: Callable[[str], Addresses]
    sessions: Sessions
    persistence: Persistence
    states: ChargePointStates
    fleet: FleetTally
    fault_codes: FaultCodes
    call_counters: CallCounters
    outages: Outages
    audit: Audit
    serves: Callable[[str], bool] = lambda key: True
    """Returns whether this process has a Charge Point. Others of a cluster have, and show, the rest."""


class KnownChargePoints:
    """One Charge Point at the moment of a request.

    Attributes:
        runner: The SessionRunner, None without a Session.
        record: The stored record, None without one.
        listed: The identity in the configuration, None if the configuration does not name the Charge Point.
    """

    __slots__ = ("_ground", "listed", "record", "runner")

    def __init__(
        self,
        ground: ViewSources,
        runner: SessionRunner | None,
        record: ChargePointRecord | None,
        listed: str | None = None,
    ) -> None:
        self._ground = ground
        self.runner = runner
        self.record = record
        self.listed = listed

    @classmethod
    def of(cls, ground: ViewSources, identity: str) -> KnownChargePoints:
        """Return what is known of the Charge Point `identity`, which may be nothing."""
        if not ground.serves(identity):
            return cls(ground, None, None)
        listed = ground.placements().listed.get(identity)
        spelling = None if listed is None else listed.identity
        return cls(ground, ground.sessions.get(identity), ground.persistence.record_of(identity), spelling)

    @property
    def is_there(self) -> bool:
        """Return whether the Charge Point has a Session or a record, or is listed."""
        return self.was_seen or self.listed is not None

    @property
    def was_seen(self) -> bool:
        """Return whether the Charge Point was ever heard of."""
        return self.runner is not None or self.record is not None

    @property
    def identity(self) -> str:
        if self.runner is not None:
            return self.runner.identity
        if self.record is not None:
            return self.record.identity
        assert self.listed is not None
        return self.listed

    @property
    def transport(self) -> facts.Transport | None:
        """Return what the Charge Point speaks, None if it was never heard of."""
        if self.runner is not None:
            return "soap" if transport_of(self.runner, CHARGE_POINT) == "soap" else "json"
        return None if self.record is None else self.record.transport

    @property
    def state(self) -> State:
        """Return the state of the Charge Point, which is known."""
        if self._ground.states.of(self.identity) is None:  # the configuration has listed it a moment ago
            self._ground.states.update(self.identity)
        state = self._ground.states.of(self.identity)
        assert state is not None
        return state

    def link(self, party: Party) -> facts.LinkStatus:
        """Return whether the link to `party` is open."""
        up = self.runner is not None and self.runner.session.links[party].status is Status.UP
        return "up" if up else "down"

    def refused(self, central_system: str) -> RefusedEntry | None:
        """Return how the Charge Point is kept out because a Central System cannot be reached; None if it is not."""
        return self._ground.outages.refused_one(self.identity, central_system)

    def observed(self) -> Observation | None:
        """Return what decides the state of the Charge Point; None if it is not known."""
        transport = self.transport
        if transport is None:
            return NEVER_SEEN if self.is_there else None
        if self.runner is not None:
            silence, reachable = self.runner.session.silence, not is_unreachable(self.runner)
        else:
            assert self.record is not None
            silence = silence_of(self.record)
            # A JSON Charge Point without a Session is down, whatever its Central System does.
            reachable = transport == "json" or self._ground.placements().route_of(self.identity) is not None
        seen = self.last_seen()
        return Observation(
            transport=transport,
            silent=0.0 if seen is None else self._ground.clock() - seen,
            interval=silence.interval,
            allowed=silence.allowed(),
            connected=self.link(CHARGE_POINT) == "up",
            reachable=reachable,
        )

    def entry(self) -> FleetEntry | None:
        """Return what is counted of the Charge Point; None if it is not known."""
        if not self.is_there:
            return None
        identity, runner = self.identity, self.runner
        route, central_system = self._ground.placements().taken_by(identity)
        if runner is None:
            return FleetEntry(identity=identity, central_system=central_system, route=route, boot=self._said())
        connectors = runner.session.connectors.by_number.values()
        return FleetEntry(
            identity=identity,
            central_system=runner.placement.central_system,
            route=route,
            transactions=tuple(
                row.central_system for row in runner.session.transactions.open(self._ground.loop_clock())
            ),
            faults=tuple(
                self._ground.fault_codes.of(identity, connector.number)
                for connector in connectors
                if connector.status == ChargePointStatus.Faulted
            ),
            boot=self._said(),
        )

    def _said(self) -> Boot | None:
        """Return what the Charge Point said about itself in its last BootNotification."""
        if self.runner is not None and self.runner.charge_point.boot is not None:
            return self.runner.charge_point.boot
        return None if self.boot is None else said(self.boot)

    @property
    def placement(self) -> Placement | None:
        """Return the Placement, or None if no Route takes the Charge Point any more."""
        if self.runner is not None:
            return self.runner.placement
        try:
            return self._ground.placements().of(self.identity)
        except UnknownIdentity:
            return None

    def last_seen(self) -> float | None:
        """Return when the Charge Point was last heard of, in unix seconds, or None."""
        kept = None if self.record is None or not self.record.last_seen else self.record.last_seen
        heard = None if self.runner is None else self.runner.last_heard
        if heard is None:
            return kept
        return max(kept or 0.0, self._ground.unix_times.of(heard))

    @property
    def accepted(self) -> bool:
        """Return whether a Central System has ever accepted a BootNotification of the Charge Point."""
        return self.record is not None and self.record.accepted

    @property
    def heartbeat(self) -> int | None:
        """Return the seconds between Heartbeats, None if not known."""
        kept = None if self.record is None else silence_of(self.record).interval
        return kept if self.runner is None else self.runner.session.heartbeat or kept

    @property
    def boot(self) -> BootNotificationRequest | None:
        if self.record is None or self.record.boot is None:
            return None
        try:
            return _boot.decode(self.record.boot)
        except (msgspec.MsgspecError, MessageError):
            return None


def version(known: KnownChargePoints) -> str:
    """Return the OCPP version of the Charge Point, or the subprotocol of messages that are passed on unread."""
    transport = None if known.runner is None else known.runner.transports.get(CHARGE_POINT)
    if transport is not None:
        return transport.version
    return JSON_VERSION if known.record is None else known.record.version


def central_side(known: KnownChargePoints, placement: Placement) -> facts.CentralSide:
    """Return the protocol and the state of the link to the Central System."""
    transport = None if known.runner is None else known.runner.transports.get(CENTRAL_SYSTEM)
    link = None if known.runner is None else known.runner.session.links[CENTRAL_SYSTEM]
    failures, reason = (0, _NO_SESSION) if link is None else (link.failures, link.reason)
    state = known.link(CENTRAL_SYSTEM)
    if state == "down" and (refused := known.refused(placement.central_system)) is not None:
        failures, reason = refused.times, refused.reason
    return facts.CentralSide(
        transport="json" if placement.speaks_json else "soap",
        version=placement.system.protocol[4:7] if transport is None else transport.version,
        state=state,
        failures=failures,
        reason=None if state == "up" else reason or None,
    )


def address(known: KnownChargePoints) -> str | None:
    """Return the address of the Charge Point: the peer of its WebSocket, or its callback address. None if not known."""
    if known.runner is not None and known.runner.charge_point.speaks_json:
        transport = known.runner.transports.get(CHARGE_POINT)
        return None if transport is None or known.link(CHARGE_POINT) != "up" else transport.peer
    return callback(known).url


def callback(known: KnownChargePoints) -> facts.Callback:
    """Return the callback address of a SOAP Charge Point, and its source."""
    if known.runner is None:
        url = None if known.record is None else known.record.callback_url
        return facts.Callback(url=url, source="learnt" if url else "none")
    held = known.runner.charge_point.callback
    if held is None:
        return facts.Callback()
    if held.to is None:
        return facts.Callback(reason=held.why_not or None)
    learnt: Literal["guessed", "learnt"] = "guessed" if held.to.guessed else "learnt"
    return facts.Callback(url=held.to.url, source="configured" if held.fixed else learnt)


def connectors(runner: SessionRunner) -> list[facts.Connector]:
    """Return the connectors, sorted by number."""
    known = sorted(runner.session.connectors.by_number.values(), key=lambda connector: connector.number)
    return [
        facts.Connector(number=each.number, status=each.status, transaction_id=each.transaction_id) for each in known
    ]


def charging(runner: SessionRunner) -> int:
    """Return the number of the Charge Point's transactions that have not ended."""
    return sum(each.transaction_id is not None for each in runner.session.connectors.by_number.values())


def faulted(known: KnownChargePoints) -> list[int]:
    """Return the connectors whose last status is Faulted; none of a Charge Point without a Session."""
    if known.runner is None:
        return []
    states = known.runner.session.connectors.by_number.values()
    return sorted(each.number for each in states if each.status == ChargePointStatus.Faulted)


def profile(runner: SessionRunner) -> dict[str, str]:
    """Return the settings of the DeviceProfile that differ from the default."""
    held = runner.profile()
    names = (name for name in held.__struct_fields__ if getattr(held, name) != getattr(PLAIN, name))
    return {name: str(getattr(held, name)) for name in names}
