"""One Charge Point as it is known: by its Session, by what was kept of it, or by both; and its sides, as the API tells
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from bridge.admin import facts
from bridge.admin.facts import Addresses
from bridge.config import Settings
from bridge.core.links import Status
from bridge.errors import MessageError, UnknownIdentity
from bridge.gateway.audit import Audit
from bridge.gateway.conductor import Conductor
from bridge.gateway.keeping import Keeping
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.sessions import Sessions
from bridge.gateway.tally import Tally
from bridge.gateway.vitals import Outages, transport_of
from bridge.gateway.ways import PostedWay, WebSocketWay
from bridge.ocpp.actions import Party
from bridge.ocpp.manners import PLAIN
from bridge.ocpp.messages import BootNotificationRequest
from bridge.store.records import ChargePointRecord

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_STATES: dict[Status, facts.State] = {Status.UP: "up", Status.OPENING: "connecting", Status.DOWN: "down"}
# Seconds, and heartbeats: who is silent for longer is stale.
_SILENT, _HEARTBEATS = 900.0, 3
_NO_SESSION = "it has not been heard of since the bridge was started, or since it was moved"
_boot = msgspec.json.Decoder(BootNotificationRequest)


class Ground(Struct, frozen=True, kw_only=True):
    """What the overview looks at."""

    settings: Callable[[], Settings]
    placements: Callable[[], Placements]
    addresses: Callable[[], Addresses]
    sessions: Sessions
    keeping: Keeping
    tally: Tally
    outages: Outages
    audit: Audit


class Known:
    """One Charge Point: its Session, or what was kept of it, or both; at the moment when it is asked for."""

    __slots__ = ("_ground", "conductor", "record")

    def __init__(self, ground: Ground, conductor: Conductor | None, record: ChargePointRecord | None) -> None:
        self._ground = ground
        self.conductor = conductor
        self.record = record

    @property
    def identity(self) -> str:
        if self.conductor is not None:
            return self.conductor.identity
        assert self.record is not None
        return self.record.identity

    @property
    def transport(self) -> facts.Transport:
        if self.conductor is not None:
            return "soap" if transport_of(self.conductor, CHARGE_POINT) == "soap" else "json"
        assert self.record is not None
        return self.record.transport

    def state(self, party: Party) -> facts.State:
        return "down" if self.conductor is None else _STATES[self.conductor.session.links[party].status]

    @property
    def placement(self) -> Placement | None:
        """None if no Route takes it any more."""
        if self.conductor is not None:
            return self.conductor.placement
        try:
            return self._ground.placements().of(self.identity)
        except UnknownIdentity:
            return None

    def last_seen(self, now: float, loop_now: float) -> float | None:
        """Unix seconds."""
        kept = None if self.record is None or not self.record.last_seen else self.record.last_seen
        heard = None if self.conductor is None else self.conductor.session.last_heard
        if heard is None:
            return kept
        return max(kept or 0.0, now - (loop_now - heard))

    @property
    def heartbeat(self) -> int | None:
        kept = None if self.record is None else self.record.interval
        return kept if self.conductor is None else self.conductor.session.heartbeat or kept

    def stale(self, now: float, loop_now: float) -> bool:
        seen, interval = self.last_seen(now, loop_now), self.heartbeat
        return seen is None or now - seen > (_HEARTBEATS * interval if interval and interval > 0 else _SILENT)

    @property
    def boot(self) -> BootNotificationRequest | None:
        if self.record is None or self.record.boot is None:
            return None
        try:
            return _boot.decode(self.record.boot)
        except (msgspec.MsgspecError, MessageError):
            return None


def version(known: Known) -> str:
    """OCPP's, or what is passed on unread."""
    way = None if known.conductor is None else known.conductor.ways.get(CHARGE_POINT)
    match way:
        case PostedWay():
            return way.soap.version
        case WebSocketWay():
            return _spoken(way)
    return "1.6" if known.record is None else known.record.version


def _spoken(way: WebSocketWay) -> str:
    subprotocol = way.subprotocol
    return "1.6" if subprotocol.lower() in ("", "ocpp1.6") else subprotocol


def central_side(known: Known, placement: Placement) -> facts.CentralSide:
    """The way to its Central System."""
    way = None if known.conductor is None else known.conductor.ways.get(CENTRAL_SYSTEM)
    link = None if known.conductor is None else known.conductor.session.links[CENTRAL_SYSTEM]
    reason = _NO_SESSION if link is None else link.reason
    state = known.state(CENTRAL_SYSTEM)
    return facts.CentralSide(
        transport="json" if placement.speaks_json else "soap",
        version=_spoken(way) if isinstance(way, WebSocketWay) else placement.system.protocol[4:7],
        state=state,
        failures=0 if link is None else link.failures,
        reason=None if state == "up" else reason or None,
    )


def address(known: Known) -> str | None:
    """Where it is: the peer of its WebSocket, or where it is called back."""
    way = None if known.conductor is None else known.conductor.ways.get(CHARGE_POINT)
    if isinstance(way, WebSocketWay):
        return way.peer if known.state(CHARGE_POINT) == "up" else None
    return callback(known).url


def callback(known: Known) -> facts.Callback:
    """Where it is called back, if it speaks SOAP."""
    if known.conductor is None:
        url = None if known.record is None else known.record.callback_url
        return facts.Callback(url=url, source="learnt" if url else "none")
    way = known.conductor.ways.get(CHARGE_POINT)
    if not isinstance(way, PostedWay):
        return facts.Callback()
    to = way.address.to
    if to is None:
        return facts.Callback(reason=way.address.why_not or None)
    learnt: Literal["guessed", "learnt"] = "guessed" if to.guessed else "learnt"
    return facts.Callback(url=to.url, source="configured" if way.address.fixed else learnt)


def connectors(conductor: Conductor) -> list[facts.Connector]:
    """By number."""
    known = sorted(conductor.session.connectors.by_number.values(), key=lambda connector: connector.number)
    return [
        facts.Connector(number=each.number, status=each.status, transaction_id=each.transaction_id) for each in known
    ]


def charging(conductor: Conductor) -> int:
    """How many of its transactions have not ended."""
    return sum(each.transaction_id is not None for each in conductor.session.connectors.by_number.values())


def manners(conductor: Conductor) -> dict[str, str]:
    """How it is treated, where that is not as all are."""
    held = conductor.manners()
    names = (name for name in held.__struct_fields__ if getattr(held, name) != getattr(PLAIN, name))
    return {name: str(getattr(held, name)) for name in names}
