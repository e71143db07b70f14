"""Who comes in, and how: the receptions of the SOAP doors and of the OCPP-J listener."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus

from bridge.core import addresses
from bridge.core.session import Status
from bridge.dialects.known import Known
from bridge.errors import BridgeError, ErrorCode, Unavailable, UnknownIdentity
from bridge.gateway.conductor import Conductor
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.sessions import Sessions, mint
from bridge.gateway.ways import SHUTTING_DOWN, PostedWay
from bridge.ocpp.actions import Party
from bridge.ocppj.client import DialRefused, NoCommonSubprotocol, dial
from bridge.ocppj.codec import SUBPROTOCOL
from bridge.ocppj.link import Connection
from bridge.ocppj.server import Knock, Refused
from bridge.ocpps.server import Admission, Arrival

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class Reception:
    """All who come in. `placements` may be replaced while it works."""

    def __init__(self, placements: Placements, sessions: Sessions, networks: Sequence[addresses.Network]) -> None:
        self.placements = placements
        self.draining = False
        self._sessions = sessions
        self._networks = networks

    # SOAP.

    def soap_charge_point(self, arrival: Arrival) -> Admission:
        """A message to our CentralSystemService. Raises UnknownIdentity, or Unavailable while the bridge drains."""
        self._open()
        conductor = self._sessions.get(arrival.identity)
        if conductor is None or not isinstance(conductor.ways.get(CHARGE_POINT), PostedWay):
            placement = self.placements.of(self._sessions.spelling(arrival.identity))
            conductor = self._sessions.soap(placement, arrival.version)
        self._sessions.spoke(conductor, arrival.version)
        if arrival.boot is not None:
            conductor.met(arrival.boot)
        addressing = arrival.addressing
        learnt = addresses.learn(addressing.sent_from, addressing.reply_to, arrival.peer, self._networks)
        self._sessions.learn(conductor, learnt)
        return _admission(conductor, CHARGE_POINT, arrival)

    def soap_central_system(self, arrival: Arrival) -> Admission:
        """A command to our ChargePointService: from the Central System of the Charge Point that it names. Raises
        UnknownIdentity, or Unavailable for a Charge Point that was never here."""
        self._open()
        conductor = self._commanded(arrival.identity)
        return _admission(conductor, CENTRAL_SYSTEM, arrival)

    def _commanded(self, name: str) -> Conductor:
        conductor = self._sessions.named_by_soap(name)
        if conductor is not None:
            return conductor
        placement = self.placements.named(name)
        if placement.speaks_json:
            raise BridgeError(ErrorCode.SecurityError, f"the Central System of {name!r} speaks JSON")
        raise Unavailable(f"the Charge Point {name!r} has not connected yet")

    def _open(self) -> None:
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)

    # JSON.

    async def knock(self, knock: Knock) -> JsonEntry:
        """A handshake. Raises Refused with the HTTP status that it ends with."""
        if self.draining:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
        try:
            placement = self.placements.of(self._sessions.spelling(knock.identity))
        except UnknownIdentity as error:
            # OCPP-J 1.6 section 3.2: the server "should send an HTTP 404 status and abort the WebSocket connection".
            raise Refused(HTTPStatus.NOT_FOUND, error.description, why=error.why) from error
        _authenticate(knock, placement)
        self._check_replacement(knock)
        if placement.speaks_json:
            return await self._relayed(knock, placement)
        return await self._translated(knock, placement)

    def _check_replacement(self, knock: Knock) -> None:
        """The newest connection of an identity replaces the older one, but only with the same credentials."""
        conductor = self._sessions.get(knock.identity)
        if conductor is None or conductor.session.links[CHARGE_POINT].status is not Status.UP:
            return
        if not isinstance(conductor.ways[CHARGE_POINT], PostedWay) and conductor.shown != (knock.authorization or ""):
            text = "Another connection of this Charge Point is open, with other credentials."
            raise Refused(HTTPStatus.FORBIDDEN, text)

    async def _relayed(self, knock: Knock, placement: Placement) -> JsonEntry:
        """Between two JSON parties the far side is dialled while the handshake waits: its refusal is ours."""
        # In the Charge Point's order of preference; it is answered in its own spelling (rule 4).
        offered = {name.lower(): name for name in reversed(knock.subprotocols)}
        ordered = dict.fromkeys(name.lower() for name in knock.subprotocols)
        spoken = tuple(name for name in ordered if name in placement.system.subprotocols)
        if not spoken:
            return JsonEntry(self._sessions, placement, knock, None, None)
        try:
            far = await dial(placement.target(subprotocols=spoken, authorization=knock.authorization))
        except NoCommonSubprotocol:
            return JsonEntry(self._sessions, placement, knock, None, None)
        except DialRefused as refused:
            raise _refused(refused) from refused
        return JsonEntry(self._sessions, placement, knock, offered[far.subprotocol or ""], far)

    async def _translated(self, knock: Knock, placement: Placement) -> JsonEntry:
        spoken = next((name for name in knock.subprotocols if name.lower() == SUBPROTOCOL), None)
        conductor = self._sessions.get(knock.identity)
        if conductor is not None and conductor.session.links[CENTRAL_SYSTEM].status is Status.DOWN:
            way = conductor.ways[CENTRAL_SYSTEM]
            assert isinstance(way, PostedWay)
            if not await way.reachable():
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The Central System cannot be reached; try again later.")
            conductor.link_up(CENTRAL_SYSTEM)
        return JsonEntry(self._sessions, placement, knock, spoken, None)


class JsonEntry:
    """A handshake that was let in. `far` is the Central System's connection, where that is a WebSocket too."""

    def __init__(
        self,
        sessions: Sessions,
        placement: Placement,
        knock: Knock,
        subprotocol: str | None,
        far: Connection | None,
    ) -> None:
        self.subprotocol = subprotocol
        self._sessions = sessions
        self._placement = placement
        self._knock = knock
        self._far = far

    async def serve(self, connection: Connection) -> None:
        """Carry the connection's traffic until it ends."""
        conductor = self._sessions.json(self._placement)
        conductor.shown = self._knock.authorization or ""
        far, self._far = self._far, None
        await self._sessions.connect(conductor, connection, far)

    def abandon(self) -> None:
        """The connection ended before it was served."""
        if self._far is not None:
            self._sessions.hang_up(self._far)


def _admission(conductor: Conductor, party: Party, arrival: Arrival) -> Admission:
    way = conductor.ways[party]
    assert isinstance(way, PostedWay)
    return Admission(
        unique_id=arrival.addressing.message_id or mint(),
        strict=conductor.placement.strict,
        known=_known(conductor),
        manners=conductor.manners() if party is CHARGE_POINT else conductor.towards_central_system(),
        handle=way.receive,
        lost=conductor.lost,
        tap=conductor.tap(party),
    )


def _known(conductor: Conductor) -> Known:
    """What an older version leaves out, and the Session knows."""
    connectors = conductor.session.connectors.by_number.values()
    return Known(
        charging=frozenset(c.number for c in connectors if c.transaction_id is not None),
        finishing=frozenset(c.number for c in connectors if c.ended),
    )


def _authenticate(knock: Knock, placement: Placement) -> None:
    """OCPP-J 1.6 section 6.2.2: the user is the identity, the password the key that was agreed on. Raises Refused."""
    expected = placement.own.password
    if expected is None:
        return
    shown = knock.credentials
    right = shown is not None and hmac.compare_digest(shown.password, expected.reveal())
    if shown is None or not right or shown.user.decode("utf-8", "replace") != knock.identity:
        challenge = {"WWW-Authenticate": 'Basic realm="ocpp-bridge", charset="UTF-8"'}
        raise Refused(HTTPStatus.UNAUTHORIZED, "The password is not that of this Charge Point.", challenge)


def _refused(refused: DialRefused) -> Refused:
    """The Central System's refusal as ours: its status if it is one that a Charge Point can understand, else 503."""
    status = refused.status if refused.status is not None and 400 <= refused.status < 500 else None
    headers = {"WWW-Authenticate": 'Basic realm="central system"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return Refused(status or HTTPStatus.SERVICE_UNAVAILABLE, refused.reason, headers)
