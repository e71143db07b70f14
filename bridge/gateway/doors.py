"""Who comes in, and how: the receptions of the SOAP doors and of the OCPP-J listener."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

from bridge.access.gatekeeper import Gatekeeper
from bridge.access.rules import Rule, Shown, judge
from bridge.core import addresses
from bridge.core.links import Status
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import AccessDenied, BridgeError, ErrorCode, Unavailable, UnknownIdentity, Why
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.conductor import Conductor
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.rules import rules_of_central_system
from bridge.gateway.sessions import Sessions, mint
from bridge.gateway.ways import SHUTTING_DOWN, PostedWay
from bridge.ocpp.actions import Party
from bridge.ocppj.bounds import Bounded
from bridge.ocppj.client import DialRefused, NoCommonSubprotocol, dial
from bridge.ocppj.codec import SUBPROTOCOL
from bridge.ocppj.server import Knock, Refused
from bridge.ocpps.door import Admission, Arrival

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class Reception:
    """All who come in. `placements` may be replaced while it works; `networks` says where callback addresses may lead
    that are learnt through a listener of that name."""

    def __init__(
        self,
        placements: Placements,
        sessions: Sessions,
        networks: Callable[[str], tuple[addresses.Network, ...]],
        gatekeeper: Gatekeeper,
        keys: AuthorizationKeys,
    ) -> None:
        self.placements = placements
        self.draining = False
        self._sessions = sessions
        self._networks = networks
        self._gatekeeper = gatekeeper
        self._keys = keys

    # SOAP.

    def soap_charge_point(self, arrival: Arrival) -> Admission | Coroutine[Any, Any, Admission]:
        """A message to our CentralSystemService. Raises UnknownIdentity, AccessDenied, or Unavailable while the bridge
        drains. Nothing of a message is looked at, and nothing learnt from it, before it is let in."""
        self._open()
        conductor = self._sessions.get(arrival.identity)
        placement = self._placement_of(arrival.identity) if conductor is None else conductor.placement
        rule = self._keys.rule(placement)
        shown = _shown_over_soap(arrival, token=rule.asks == "token")
        if rule.guessable:
            return self._once_admitted(placement, rule, shown, arrival)
        judge(rule, shown)
        return self._soap_charge_point(arrival, conductor)

    async def _once_admitted(self, placement: Placement, rule: Rule, shown: Shown, arrival: Arrival) -> Admission:
        self._keys.used(placement, await self._gatekeeper.admit(rule, shown))
        self._open()
        return self._soap_charge_point(arrival, self._sessions.get(arrival.identity))

    def _soap_charge_point(self, arrival: Arrival, conductor: Conductor | None) -> Admission:
        """It is let in."""
        if conductor is None or not isinstance(conductor.ways.get(CHARGE_POINT), PostedWay):
            placement = self.placements.of(self._sessions.spelling(arrival.identity))
            self._sessions.check_room(placement)
            conductor = self._sessions.soap(placement, arrival.version)
        conductor.paced()
        self._sessions.spoke(conductor, arrival.version, arrival.address)
        if arrival.boot is not None:
            conductor.met(arrival.boot)
        self._sessions.learn(conductor, arrival.addressing, arrival.peer, arrival.listener, self._networks)
        return _admission(conductor, CHARGE_POINT, arrival)

    def soap_central_system(self, arrival: Arrival) -> Admission | Coroutine[Any, Any, Admission]:
        """A command to our ChargePointService: from the Central System of the Charge Point that it names. Raises
        UnknownIdentity, AccessDenied, or Unavailable for a Charge Point that was never here."""
        self._open()
        conductor = self._sessions.named_by_soap(arrival.identity)
        placement = self.placements.named(arrival.identity) if conductor is None else conductor.placement
        rules = rules_of_central_system(placement.central_system, placement.system)
        if rules:
            return self._once_proved(rules, placement, arrival)
        return _admission(self._commanded(arrival.identity, placement), CENTRAL_SYSTEM, arrival)

    async def _once_proved(self, rules: Sequence[Rule], placement: Placement, arrival: Arrival) -> Admission:
        for rule in rules:
            await self._gatekeeper.admit(rule, Shown(peer=arrival.peer, authorization=arrival.authorization))
        self._open()
        return _admission(self._commanded(arrival.identity, placement), CENTRAL_SYSTEM, arrival)

    def _commanded(self, name: str, placement: Placement) -> Conductor:
        conductor = self._sessions.named_by_soap(name)
        if conductor is not None:
            return conductor
        if placement.speaks_json:
            raise BridgeError(ErrorCode.SecurityError, f"the Central System of {name!r} speaks JSON")
        raise Unavailable(f"the Charge Point {name!r} has not connected yet")

    def _open(self) -> None:
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)

    # Both.

    def _placement_of(self, identity: str) -> Placement:
        """Of one that has no Session; what is configured differently has none any more. Raises UnknownIdentity, and
        AccessDenied where a token stands in the place of the identity."""
        if self.placements.may_be_token(identity):
            text = "no Charge Point is served at this address"
            raise AccessDenied(HTTPStatus.NOT_FOUND, text, Why.WRONG_DOOR, hides_identity=True)
        return self.placements.of(self._sessions.spelling(identity))

    # JSON.

    async def knock(self, knock: Knock) -> JsonEntry:
        """A handshake. Raises Refused with the HTTP status that it ends with."""
        if self.draining:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
        try:
            known = self._sessions.get(knock.identity)
            placement = self._placement_of(knock.identity) if known is None else known.placement
            admitted = await self._gatekeeper.admit(self._keys.rule(placement), _shown_over_json(knock))
            self._keys.used(placement, admitted)
        except AccessDenied as denied:
            raise _denied(denied) from denied
        except UnknownIdentity as error:
            # OCPP-J 1.6 section 3.2: the server "should send an HTTP 404 status and abort the WebSocket connection".
            raise Refused(HTTPStatus.NOT_FOUND, error.description, why=error.why) from error
        try:
            self._sessions.check_room(placement)
        except Unavailable as full:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, full.description, why=full.why) from full
        self._check_replacement(knock, placement)
        if placement.speaks_json:
            return await self._relayed(knock, placement)
        return await self._translated(knock, placement)

    def _check_replacement(self, knock: Knock, placement: Placement) -> None:
        """The newest connection of an identity replaces the older one, but only with the same credentials, unless it
        has proved whose it is: a password may be new."""
        if placement.rule.proves:
            return
        conductor = self._sessions.get(knock.identity)
        if conductor is None or conductor.session.links[CHARGE_POINT].status is not Status.UP:
            return
        same = hmac.compare_digest(_octets(conductor.shown), _octets(knock.authorization or ""))
        if not isinstance(conductor.ways[CHARGE_POINT], PostedWay) and not same:
            text = "Another connection of this Charge Point is open, with other credentials."
            raise Refused(HTTPStatus.FORBIDDEN, text, why=Why.WRONG_PASSWORD)

    async def _relayed(self, knock: Knock, placement: Placement) -> JsonEntry:
        """Between two JSON parties the far side is dialled while the handshake waits: its refusal is ours."""
        # In the Charge Point's order of preference; it is answered in its own spelling (rule 4).
        offered = {name.lower(): name for name in reversed(knock.subprotocols)}
        ordered = dict.fromkeys(name.lower() for name in knock.subprotocols)
        spoken = tuple(name for name in ordered if name in placement.system.subprotocols)
        if not spoken:
            return JsonEntry(self._sessions, placement, knock, None, None)
        try:
            target = self._keys.target(placement, subprotocols=spoken, authorization=knock.authorization)
            far = await dial(target)
        except NoCommonSubprotocol:
            return JsonEntry(self._sessions, placement, knock, None, None)
        except DialRefused as refused:
            if refused.status == HTTPStatus.UNAUTHORIZED:
                self._keys.denied(placement)
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
        far: Bounded | None,
    ) -> None:
        self.subprotocol = subprotocol
        self._sessions = sessions
        self._placement = placement
        self._knock = knock
        self._far = far

    async def serve(self, connection: Bounded) -> None:
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
        known=None if arrival.version == OCPP16.version else _known(conductor),
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


def _shown_over_soap(arrival: Arrival, *, token: bool) -> Shown:
    """`token`: the first segment behind the service is one. The identity may follow, and is what comes last."""
    path = arrival.path[1:] if token else arrival.path
    return Shown(
        peer=arrival.peer,
        named=(*path[-1:], *((arrival.identity,) if arrival.in_header else ())),
        authorization=arrival.authorization,
        certificate=arrival.certificate,
        token=arrival.path[0] if token and arrival.path else None,
    )


def _shown_over_json(knock: Knock) -> Shown:
    return Shown(
        peer=knock.peer,
        named=(knock.identity,),
        authorization=knock.authorization,
        certificate=knock.certificate,
        token=knock.token,
    )


def _octets(header: str) -> bytes:
    return header.encode("utf-8", "surrogateescape")


def _denied(denied: AccessDenied) -> Refused:
    text = f"{denied.description[:1].upper()}{denied.description[1:]}."
    return Refused(denied.status, text, denied.headers, why=denied.why, hides_identity=denied.hides_identity)


def _refused(refused: DialRefused) -> Refused:
    """The Central System's refusal as ours: its status if it is one that a Charge Point can understand, else 503."""
    status = refused.status if refused.status is not None and 400 <= refused.status < 500 else None
    headers = {"WWW-Authenticate": 'Basic realm="central system"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return Refused(status or HTTPStatus.SERVICE_UNAVAILABLE, refused.reason, headers)
