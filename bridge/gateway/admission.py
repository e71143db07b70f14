"""Admit or refuse the senders of SOAP messages, and OCPP-J handshakes."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from bridge.access.rules import Rule, Shown, judge, within
from bridge.core.links import Status
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import (
    AccessDenied,
    BridgeError,
    ErrorCode,
    HeldElsewhere,
    NotConnected,
    Unavailable,
    UnknownIdentity,
    Why,
)
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.gatekeeper import Gatekeeper
from bridge.gateway.newcomers import Newcomers
from bridge.gateway.observer_runner import ObserverRunner
from bridge.gateway.observers import Observers
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.rules import rules_of_central_system
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.sessions import Sessions, mint
from bridge.gateway.transports import SERVICE_RESTART, SHUTTING_DOWN
from bridge.net.endpoints import Admission, SoapSender
from bridge.net.json_client import DialRefused, NoCommonSubprotocol, dial
from bridge.net.json_server import HandshakeDenied, HandshakeRequest
from bridge.net.message_socket import MessageSocket
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Call
from bridge.ocpp.tenants import identity_of
from bridge.ocppj.codec import SUBPROTOCOL

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class AdmissionControl:
    """Admits or refuses all senders. `placements` may be replaced at any time.

    While `draining` is True, every message and handshake is refused.

    Args:
        placements: The Placements of all Charge Points.
        sessions: The table of Sessions.
        gatekeeper: Examines passwords, certificates and tags.
        keys: The passwords of JSON Charge Points.
        newcomers: Decides on Charge Points that were never seen.
        observers: The further Central Systems.
        resume: Resumes the Session of a Charge Point that was present before a restart, if it has none.
    """

    def __init__(
        self,
        placements: Placements,
        sessions: Sessions,
        gatekeeper: Gatekeeper,
        keys: AuthorizationKeys,
        newcomers: Newcomers,
        observers: Observers,
        resume: Callable[[str], None],
    ) -> None:
        self.placements = placements
        self._observers = observers
        self.draining = False
        self._sessions = sessions
        self._gatekeeper = gatekeeper
        self._keys = keys
        self._newcomers = newcomers
        self._resume = resume

    # SOAP.

    def soap_charge_point(self, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        """Admit a message to the bridge's CentralSystemService.

        The bridge learns nothing from a message before its sender is admitted.

        Args:
            arrival: The sender, and the parts of the message that identify the sender.

        Raises:
            UnknownIdentity: No Route takes the identity.
            AccessDenied: The credentials are not sufficient.
            BridgeError: The Central System does not serve the OCPP version of the Charge Point.
            Unavailable: The bridge drains, or a limit is reached.
        """
        self._open()
        runner = self._sessions.get(arrival.identity)
        placement = self._placement_of(arrival.identity) if runner is None else runner.placement
        rule = self._keys.rule(placement)
        shown = _shown_over_soap(arrival, token=rule.asks == "token")
        if rule.guessable:
            return self._once_admitted(placement, rule, shown, arrival)
        judge(rule, shown)
        if runner is None and self._sessions.is_new(placement):
            try:
                self._newcomers.enter(arrival.peer, arrival.identity)
            except Unavailable:
                if arrival.boot is None:
                    raise
                return self._once_entered(arrival)
        return self._soap_charge_point(arrival, runner)

    async def _once_entered(self, arrival: SoapSender) -> Admission:
        await self._newcomers.entered(arrival.peer, arrival.identity)
        self._open()
        return self._soap_charge_point(arrival, self._sessions.get(arrival.identity))

    async def _once_admitted(self, placement: Placement, rule: Rule, shown: Shown, arrival: SoapSender) -> Admission:
        self._keys.used(placement, await self._gatekeeper.admit(rule, shown))
        self._open()
        return self._soap_charge_point(arrival, self._sessions.get(arrival.identity))

    def _soap_charge_point(self, arrival: SoapSender, runner: SessionRunner | None) -> Admission:
        """Return the Admission of a Charge Point whose credentials are sufficient. Its Session is created if needed."""
        if runner is None or runner.charge_point.speaks_json:
            placement = self.placements.of(self._sessions.spelling(arrival.identity))
            placement.check_version(arrival.version)
            self._sessions.check_room(placement)
            runner = self._sessions.soap(placement, arrival.version)
        runner.charge_point.shown = arrival.authorization or ""
        runner.paced()
        runner.placement.check_version(arrival.version)
        self._sessions.spoke(runner, arrival.version, arrival.address)
        if arrival.boot is not None:
            runner.met(arrival.boot)
        self._sessions.learn(runner, arrival.addressing, arrival.peer, arrival.listener)
        return _admission(runner, CHARGE_POINT, arrival)

    def soap_central_system(self, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        """Admit a command to the bridge's ChargePointService by a Central System of the Charge Point that it names.

        The address says which Central System it is, if it is the one that the bridge gives in From. Otherwise it is
        the Charge Point's own, unless its networks exclude the sender and those of one that the Charge Point was moved
        away from do not.

        Raises:
            UnknownIdentity: No Route takes the identity.
            AccessDenied: The credentials are not sufficient.
            BridgeError: The Central System of the Charge Point speaks JSON.
            NotConnected: The Charge Point has no Session.
            Unavailable: The bridge drains.
        """
        self._open()
        if arrival.path and arrival.path[0] in self.placements.central_system_names:
            return self._soap_named(arrival.path[0], arrival)
        runner = self._sessions.named_by_soap(arrival.identity)
        placement = self.placements.named(arrival.identity) if runner is None else runner.placement
        if (former := self._former_by_network(placement, arrival.peer)) is not None:
            return self._soap_former(former, arrival)
        return self._soap_present(placement, arrival)

    def _soap_named(self, named: str, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        """Admit a command that comes to an address with the name of its Central System."""
        placement = self.placements.named(arrival.identity)
        if placement.central_system == named:
            if placement.speaks_json:  # whoever sends this, it is not that Central System
                raise _speaks_json(named)
            return self._soap_present(placement, arrival)
        if any(terms.central_system == named for terms in self.placements.observers_of(placement.identity)):
            return self._soap_observer(named, arrival)
        former = self.placements.at(placement.identity, named)
        if former is None:
            raise UnknownIdentity(identity_of(arrival.identity))
        return self._soap_former(former, arrival)

    def _soap_present(self, placement: Placement, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        rules = rules_of_central_system(placement.central_system, placement.system)
        if rules:
            return self._once_proved(rules, partial(self._commanded, arrival.identity, placement), arrival)
        return _admission(self._commanded(arrival.identity, placement), CENTRAL_SYSTEM, arrival)

    def _soap_former(self, former: Placement, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        """Admit a command of a Central System that does not have the Charge Point, but may have transactions of it."""
        rules = rules_of_central_system(former.central_system, former.system)
        if rules:
            return self._once_proved(rules, partial(self._commanded_by_former, former), arrival)
        return _admission(self._commanded_by_former(former), CENTRAL_SYSTEM, arrival)

    def _former_by_network(self, present: Placement, peer: str) -> Placement | None:
        """Return the Placement at a Central System that the Charge Point was moved away from, if only it has `peer`."""
        own, runner = present.system.networks, self._sessions.get(present.identity)
        if not own or runner is None or within(peer, own):
            return None
        names = dict.fromkeys(
            row.central_system for row in runner.session.transactions.open(asyncio.get_running_loop().time())
        )
        formers = (self.placements.at(present.identity, name) for name in names if name != present.central_system)
        return next((one for one in formers if one is not None and within(peer, one.system.networks)), None)

    def _commanded_by_former(self, former: Placement) -> SessionRunner:
        if former.speaks_json:
            raise _speaks_json(former.central_system)
        present = self._sessions.get(former.identity)
        other = None if present is None or present.elsewhere is None else present.elsewhere.of(former.central_system)
        if other is None:
            raise NotConnected(identity_of(former.identity))
        return other

    async def _once_proved(
        self, rules: Sequence[Rule], commanded: Callable[[], SessionRunner], arrival: SoapSender
    ) -> Admission:
        for rule in rules:
            await self._gatekeeper.admit(rule, Shown(peer=arrival.peer, authorization=arrival.authorization))
        self._open()
        return _admission(commanded(), CENTRAL_SYSTEM, arrival)

    def _soap_observer(self, named: str, arrival: SoapSender) -> Admission | Coroutine[Any, Any, Admission]:
        """Admit a command of an observer, which comes to an address with the observer's name."""
        runner = self._observers.commanding(named, arrival.identity)
        if runner is None:
            raise UnknownIdentity(identity_of(arrival.identity))
        rules = rules_of_central_system(named, runner.place.placement.system)
        return self._once_observer_proved(rules, runner, arrival) if rules else _observer_admission(runner, arrival)

    async def _once_observer_proved(
        self, rules: Sequence[Rule], runner: ObserverRunner, arrival: SoapSender
    ) -> Admission:
        for rule in rules:
            await self._gatekeeper.admit(rule, Shown(peer=arrival.peer, authorization=arrival.authorization))
        self._open()
        return _observer_admission(runner, arrival)

    def _commanded(self, name: str, placement: Placement) -> SessionRunner:
        runner = self._sessions.named_by_soap(name)
        if runner is None and placement.speaks_json:
            raise BridgeError(ErrorCode.SecurityError, f"the Central System of {identity_of(name)!r} speaks JSON")
        if runner is None:  # after a restart, Sessions are resumed one after the other
            self._resume(placement.identity)
            runner = self._sessions.named_by_soap(name)
        if runner is None:
            raise NotConnected(identity_of(name))
        return runner

    def _open(self) -> None:
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)

    # SOAP and JSON.

    def _placement_of(self, identity: str) -> Placement:
        """Return the Placement of a Charge Point that has no Session.

        Raises:
            UnknownIdentity: No Route takes the identity.
            AccessDenied: A token is in the place of the identity.
        """
        if self.placements.may_be_token(identity):
            text = "no Charge Point is served at this address"
            raise AccessDenied(HTTPStatus.NOT_FOUND, text, Why.WRONG_DOOR, hides_identity=True)
        return self.placements.of(self._sessions.spelling(identity))

    # JSON.

    async def handshake(self, handshake: HandshakeRequest) -> JsonAdmission:
        """Admit a WebSocket handshake. Raises HandshakeDenied with the HTTP status of the response."""
        if self.draining:
            raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
        try:
            known = self._sessions.get(handshake.identity)
            placement = self._placement_of(handshake.identity) if known is None else known.placement
            admitted = await self._gatekeeper.admit(self._keys.rule(placement), _shown_over_json(handshake))
            self._keys.used(placement, admitted)
        except AccessDenied as denied:
            raise _denied(denied) from denied
        except UnknownIdentity as error:
            # OCPP-J 1.6 section 3.2: the server "should send an HTTP 404 status and abort the WebSocket connection".
            raise HandshakeDenied(HTTPStatus.NOT_FOUND, error.description, why=error.why) from error
        try:
            placement.check_version("")
        except BridgeError as error:
            raise HandshakeDenied(
                HTTPStatus.NOT_FOUND, f"{error.description[:1].upper()}{error.description[1:]}.", why=error.why
            ) from error
        try:
            if self._sessions.is_new(placement):
                await self._newcomers.entered(handshake.peer, handshake.identity)
            self._sessions.check_room(placement)
        except Unavailable as full:
            later = {} if full.retry_after is None else {"Retry-After": str(math.ceil(full.retry_after))}
            raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, full.description, later, why=full.why) from full
        self._check_replacement(handshake, placement)
        if placement.speaks_json:
            return await self._relayed(handshake, placement)
        return await self._translated(handshake, placement)

    def _check_replacement(self, handshake: HandshakeRequest, placement: Placement) -> None:
        """Raise HandshakeDenied if the handshake may not replace the open connection of the same identity.

        The newest connection replaces the older one only with the same credentials, unless the Rule proves the
        identity: a password may have changed.
        """
        if placement.rule.proves:
            return
        runner = self._sessions.get(handshake.identity)
        if runner is None or runner.session.links[CHARGE_POINT].status is not Status.UP:
            return
        same = hmac.compare_digest(_octets(runner.charge_point.shown), _octets(handshake.authorization or ""))
        if runner.charge_point.speaks_json and not same:
            text = "Another connection of this Charge Point is open, with other credentials."
            raise HandshakeDenied(HTTPStatus.FORBIDDEN, text, why=Why.WRONG_PASSWORD)

    async def _relayed(self, handshake: HandshakeRequest, placement: Placement) -> JsonAdmission:
        """Dial the JSON Central System while the Charge Point's handshake waits.

        A refusal is passed on to the Charge Point.
        """
        # The order is the Charge Point's order of preference. The answer uses the Charge Point's spelling (rule 4).
        offered = {name.lower(): name for name in reversed(handshake.subprotocols)}
        ordered = dict.fromkeys(name.lower() for name in handshake.subprotocols)
        spoken = tuple(name for name in ordered if name in placement.system.subprotocols)
        if not spoken:
            return JsonAdmission(self._sessions, placement, handshake, None, None)
        try:
            target = self._keys.target(placement, handshake.authorization or "", subprotocols=spoken)
            far = await dial(target)
        except NoCommonSubprotocol:
            return JsonAdmission(self._sessions, placement, handshake, None, None)
        except DialRefused as refused:
            if refused.status == HTTPStatus.UNAUTHORIZED:
                self._keys.denied(placement)
            raise _refused(refused, placement.central_system) from refused
        return JsonAdmission(self._sessions, placement, handshake, offered[far.subprotocol or ""], far)

    async def _translated(self, handshake: HandshakeRequest, placement: Placement) -> JsonAdmission:
        spoken = next((name for name in handshake.subprotocols if name.lower() == SUBPROTOCOL), None)
        runner = self._sessions.get(handshake.identity)
        if runner is not None and runner.session.links[CENTRAL_SYSTEM].status is Status.DOWN:
            # After the pause, one handshake is admitted. Its first POST shows whether the Central System is reachable.
            wait = (runner.session.links[CENTRAL_SYSTEM].retry_at or 0.0) - asyncio.get_running_loop().time()
            if wait > 0:
                headers = {"Retry-After": f"{math.ceil(wait)}"}
                text = "The Central System cannot be reached; try again later."
                raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, text, headers)
            runner.link_up(CENTRAL_SYSTEM)
        return JsonAdmission(self._sessions, placement, handshake, spoken, None)


class JsonAdmission:
    """A handshake that was admitted. `far` is the WebSocket of the Central System, None for one that speaks SOAP."""

    def __init__(
        self,
        sessions: Sessions,
        placement: Placement,
        handshake: HandshakeRequest,
        subprotocol: str | None,
        far: MessageSocket | None,
    ) -> None:
        self.subprotocol = subprotocol
        self._sessions = sessions
        self._placement = placement
        self._handshake = handshake
        self._far = far

    async def serve(self, connection: MessageSocket) -> None:
        """Carry the traffic of the Charge Point's WebSocket until the WebSocket ends."""
        try:
            runner = self._sessions.json(self._placement)
        except HeldElsewhere as error:
            self.abandon()
            connection.close(SERVICE_RESTART, error.description)
            return
        runner.charge_point.shown = self._handshake.authorization or ""
        far, self._far = self._far, None
        await self._sessions.connect(runner, connection, far)

    def abandon(self) -> None:
        """Close the Central System's WebSocket, because the Charge Point's ended before it was served."""
        if self._far is not None:
            self._sessions.hang_up(self._far)


def _admission(runner: SessionRunner, party: Party, arrival: SoapSender) -> Admission:
    return Admission(
        unique_id=arrival.addressing.message_id or mint(),
        strict=runner.placement.strict,
        known=None if arrival.version == OCPP16.version else _known(runner),
        profile=runner.profile() if party is CHARGE_POINT else runner.towards_central_system(),
        passes=_passes(runner, party, arrival.version),
        handle=partial(_called, runner, party),
        lost=runner.lost,
        records=runner.records,
    )


def _called(runner: SessionRunner, party: Party, key: str, call: Call) -> None:
    """Give a Call to a Session. Raises Unavailable if the Session has ended since the message was admitted."""
    runner.check_open()
    runner.called(party, key, call)


def _observer_admission(runner: ObserverRunner, arrival: SoapSender) -> Admission:
    return Admission(
        unique_id=arrival.addressing.message_id or mint(),
        strict=False,
        handle=partial(runner.called, CENTRAL_SYSTEM),
        lost=runner.lost,
    )


def _speaks_json(central_system: str) -> BridgeError:
    return BridgeError(ErrorCode.SecurityError, f"the Central System {central_system!r} speaks JSON")


def _passes(runner: SessionRunner, party: Party, version: str) -> bool:
    """Return whether the Body of a message passes unchanged: both parties speak the same older version of OCPP."""
    if version == OCPP16.version or runner.session.sides[party.other].carries_answers:
        return False
    return runner.transports[party.other].version == version


def _known(runner: SessionRunner) -> Known:
    """Return the facts that the Session knows and that an older OCPP version leaves out of its messages."""
    connectors = runner.session.connectors.by_number.values()
    return Known(
        charging=frozenset(c.number for c in connectors if c.transaction_id is not None),
        finishing=frozenset(c.number for c in connectors if c.ended),
    )


def _shown_over_soap(arrival: SoapSender, *, token: bool) -> Shown:
    """Return the credentials of a SOAP message.

    With `token`, the first segment of the path after the service is a token. The identity may follow as the last
    segment.
    """
    path = arrival.path[1:] if token else arrival.path
    return Shown(
        peer=arrival.peer,
        named=(*path[-1:], *(() if arrival.in_header is None else (arrival.in_header,))),
        authorization=arrival.authorization,
        certificate=arrival.certificate,
        token=arrival.path[0] if token and arrival.path else None,
    )


def _shown_over_json(handshake: HandshakeRequest) -> Shown:
    return Shown(
        peer=handshake.peer,
        named=(identity_of(handshake.identity),),
        authorization=handshake.authorization,
        certificate=handshake.certificate,
        token=handshake.token,
    )


def _octets(header: str) -> bytes:
    return header.encode("utf-8", "surrogateescape")


def _denied(denied: AccessDenied) -> HandshakeDenied:
    text = f"{denied.description[:1].upper()}{denied.description[1:]}."
    return HandshakeDenied(denied.status, text, denied.headers, why=denied.why, hides_identity=denied.hides_identity)


def _refused(refused: DialRefused, central_system: str) -> HandshakeDenied:
    """Return the response to a handshake that `central_system` refused, or for which it could not be reached.

    Its status is the Central System's if that is a 4xx, which a Charge Point can understand, otherwise 503.
    """
    status = refused.status if refused.status is not None and 400 <= refused.status < 500 else None
    headers = {"WWW-Authenticate": 'Basic realm="central system"'} if status == HTTPStatus.UNAUTHORIZED else {}
    if status is not None:
        return HandshakeDenied(status, refused.reason, headers)
    return HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, refused.reason, headers, central_system=central_system)
