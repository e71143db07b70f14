"""The session table: one Conductor per Charge Point, made when it is first heard of, for whichever leg it needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from bridge.core import addresses
from bridge.core.addresses import Callback, Network, Refusal
from bridge.core.links import Side
from bridge.core.session import Session
from bridge.errors import Unavailable, Why
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.conductor import Conductor, Traffic
from bridge.gateway.keeping import Keeping
from bridge.gateway.limits import frame_bounds
from bridge.gateway.placement import Placement
from bridge.gateway.ways import REPLACED, Address, DialledWay, PostedWay, WebSocketWay
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.manners import Boot
from bridge.ocpp.messages import BootNotificationRequest
from bridge.ocppj.bounds import Bounded
from bridge.ocppj.link import Terms as LinkTerms
from bridge.ocpps.client import SoapClient
from bridge.ocpps.envelope import Addressing
from bridge.store.records import ChargePointRecord
from bridge.tasks import Tasks

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
_SOAP_CHARGE_POINT = Side(dialable=False, carries_answers=False, narrow_ids=True)
# How many handshakes with one Central System are under way at once.
_HANDSHAKES = 32
_NOT_HEARD = "it has not said yet where it can be called back (wsa:From)"


def mint() -> str:
    """A UniqueId: 36 characters, all that OCPP-J 1.6 section 4.1.4 allows. A UUID of version 4, made without the detour
    over its octets: every message needs three."""
    bits = f"{random.getrandbits(128):032x}"
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def _replaces(learnt: Callback, known: Address) -> bool:
    """A guess takes the place of a guess only: of a Charge Point that has another IP address than before."""
    if known.fixed:
        return False
    return not learnt.guessed or known.to is None or known.to.guessed


def _said(boot: BootNotificationRequest) -> Boot:
    return Boot(vendor=boot.chargePointVendor, model=boot.chargePointModel, firmware=boot.firmwareVersion or "")


class Clients(Struct, frozen=True, kw_only=True):
    """Who POSTs: to Charge Points by the OCPP version that they speak, and to Central Systems by their protocol."""

    charge_point: Mapping[str, SoapClient]
    central_system: Mapping[str, SoapClient]

    def all(self) -> tuple[SoapClient, ...]:
        """Each of them."""
        return (*self.charge_point.values(), *self.central_system.values())


class Sessions:
    """The table. Identities are matched case-insensitively, and kept as they were first written. `networks` says where
    callback addresses may lead that were learnt before, now."""

    def __init__(
        self,
        clients: Clients,
        tasks: Tasks,
        traffic: Traffic,
        keeping: Keeping,
        observer: Observer,
        keys: AuthorizationKeys,
        networks: Callable[[], tuple[Network, ...]],
    ) -> None:
        self._clients = clients
        self._networks = networks
        self._tasks = tasks
        self._traffic = traffic
        self._keeping = keeping
        self._observer = observer
        self._keys = keys
        self._table: dict[str, Conductor] = {}
        self._by_name: dict[str, Conductor] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}

    def __iter__(self) -> Iterator[Conductor]:
        return iter(self._table.values())

    def __len__(self) -> int:
        return len(self._table)

    def get(self, identity: str) -> Conductor | None:
        """The Charge Point's Conductor, if it has one."""
        return self._table.get(identity.casefold())

    def check_room(self, placement: Placement) -> None:
        """Raises Unavailable for one more stranger than there may be: identities cost nothing to invent."""
        most = placement.limits.charge_points
        if len(self._table) >= most and not placement.listed and self.get(placement.identity) is None:
            raise Unavailable(f"{most} Charge Points are known already (limits.charge_points)", why=Why.BUSY)

    def spelling(self, identity: str) -> str:
        """The identity as it was first written, before the last start too."""
        record = self._keeping.record_of(identity)
        return identity if record is None else record.identity

    def named_by_soap(self, name: str) -> Conductor | None:
        """The one that its Central System, which speaks SOAP, calls `name`."""
        return self._by_name.get(name.casefold())

    def forget(self, conductor: Conductor) -> None:
        """It has moved away: the next message makes a new one."""
        self._table.pop(conductor.identity.casefold(), None)
        self._by_name.pop(conductor.placement.name.casefold(), None)

    def soap(self, placement: Placement, version: str) -> Conductor:
        """For a SOAP Charge Point that speaks OCPP `version`: the one it has, or a new one."""
        known = self.get(placement.identity)
        if known is not None and isinstance(known.ways.get(CHARGE_POINT), PostedWay):
            return known
        conductor = self._new(placement, _SOAP_CHARGE_POINT)
        pinned = placement.pinned
        learnt = self._keeping.callback_of(placement.identity, self._networks())
        address = Address(to=pinned or learnt, why_not=_NOT_HEARD, fixed=pinned is not None)
        conductor.ways[CHARGE_POINT] = self._posted(
            conductor, CHARGE_POINT, address, self._clients.charge_point[version], placement.identity
        )
        if address.to is None:
            conductor.no_way(CHARGE_POINT, _NOT_HEARD)
        else:
            conductor.link_up(CHARGE_POINT)
        return conductor

    def json(self, placement: Placement) -> Conductor:
        """For a JSON Charge Point: the one it has, or a new one. It is not connected yet."""
        known = self.get(placement.identity)
        if known is not None and not isinstance(known.ways.get(CHARGE_POINT), PostedWay):
            return known
        return self._new(placement, WebSocketWay.side)

    def _new(self, placement: Placement, side: Side) -> Conductor:
        relays = side.carries_answers and placement.speaks_json
        central_side = WebSocketWay.side if relays else (DialledWay if placement.speaks_json else PostedWay).side
        memory = self._keeping.memory_of(placement.identity)
        session = Session(
            {CHARGE_POINT: side, CENTRAL_SYSTEM: central_side},
            placement.terms,
            mint=mint,
            chance=random.random,
            memory=memory,
        )
        conductor = Conductor(placement, session, self._traffic, self._keeping, self._observer)
        if (former := self.get(placement.identity)) is not None:  # it spoke SOAP before and JSON now, or the reverse
            self._tasks.spawn(former.retire(), name=f"retiring {former.identity}")
        if memory.boot is not None:
            conductor.met(_said(memory.boot))
        self._table[placement.identity.casefold()] = conductor
        if not placement.speaks_json:
            self._by_name[placement.name.casefold()] = conductor
        if not relays:
            self._add_central_system(conductor)
        return conductor

    def _add_central_system(self, conductor: Conductor) -> None:
        placement = conductor.placement
        if placement.speaks_json:
            gate = self._gates.setdefault(placement.central_system, asyncio.Semaphore(_HANDSHAKES))
            conductor.ways[CENTRAL_SYSTEM] = DialledWay(
                lambda: self._keys.target(placement),
                conductor,
                strict=placement.strict,
                tasks=self._tasks,
                gate=gate,
                manners=conductor.manners,
                denied=lambda: self._keys.denied(placement),
            )
            return
        address = Address(to=addresses.pinned(placement.system.url), fixed=True)
        soap = self._clients.central_system[placement.system.protocol]
        conductor.ways[CENTRAL_SYSTEM] = self._posted(conductor, CENTRAL_SYSTEM, address, soap, placement.name)
        conductor.link_up(CENTRAL_SYSTEM)

    def _posted(
        self, conductor: Conductor, party: Party, address: Address, soap: SoapClient, identity: str
    ) -> PostedWay:
        return PostedWay(
            party,
            address,
            conductor,
            identity=identity,
            strict=conductor.placement.strict,
            soap=soap,
            tasks=self._tasks,
            manners=conductor.manners if party is CHARGE_POINT else conductor.towards_central_system,
            tls=conductor.placement.callback_tls if party is CHARGE_POINT else conductor.placement.tls,
        )

    def spoke(self, conductor: Conductor, version: str, sent_to: str) -> None:
        """In which OCPP version the Charge Point's latest message was written, and to which address of ours: it is
        called back in the same, and from there."""
        way = conductor.ways[CHARGE_POINT]
        assert isinstance(way, PostedWay)
        soap = self._clients.charge_point[version]
        if way.sent_from == sent_to and way.soap is soap:
            return
        way.soap, way.sent_from = soap, sent_to
        self._keeping.heard(conductor.identity, "soap", version)

    def learn(
        self,
        conductor: Conductor,
        addressing: Addressing,
        peer: str,
        listener: str,
        networks: Callable[[str], tuple[Network, ...]],
    ) -> None:
        """Where the Charge Point's latest message says that it can be called back; `networks` are those of a
        listener. It says the same again and again."""
        way = conductor.ways[CHARGE_POINT]
        assert isinstance(way, PostedWay)
        said = (addressing.sent_from, addressing.reply_to, peer, listener)
        if said != way.said:
            way.said = said
            learnt = addresses.learn(addressing.sent_from, addressing.reply_to, peer, networks(listener))
            self._learnt(conductor, way, learnt)
        if way.address.to is not None:
            conductor.link_up(CHARGE_POINT)

    def _learnt(self, conductor: Conductor, way: PostedWay, learnt: Callback | Refusal | None) -> None:
        if isinstance(learnt, Refusal):
            reason = f"its callback address was not accepted: {learnt.reason}"
            if not way.address.fixed and way.address.to is None and way.address.why_not != reason:
                way.address = Address(to=None, why_not=reason)
                conductor.callback_refused(learnt.reason)
                conductor.no_way(CHARGE_POINT, reason)
        elif learnt is not None and _replaces(learnt, way.address):
            changed = way.address.to != learnt
            way.address = Address(to=learnt)
            if changed:
                self._keeping.heard(conductor.placement.identity, "soap", callback=learnt)

    def limit_callbacks(self) -> None:
        """The operator may admit fewer callback addresses by now: it holds for those that are known, too."""
        for conductor in self:
            way = conductor.ways.get(CHARGE_POINT)
            if not isinstance(way, PostedWay):
                continue
            way.said = None  # what it says again may be admitted now
            if way.address.to is not None and not way.address.fixed:
                way.address = Address(to=way.address.to.limited(self._networks()))

    async def connect(self, conductor: Conductor, near: Bounded, far: Bounded | None) -> None:
        """A JSON Charge Point's WebSocket, and its Central System's where that is one, for as long as it lasts."""
        strict = conductor.placement.strict
        relay = far is not None
        bounds = frame_bounds(conductor.placement.limits)
        terms = LinkTerms(
            peer=CHARGE_POINT,
            strict=strict,
            relay=relay,
            manners=conductor.manners,
            booted=conductor.met,
            tap=conductor.tap(CHARGE_POINT),
            bounds=bounds,
            pace=conductor.pace.take,
        )
        near_way = WebSocketWay(near, CHARGE_POINT, conductor, terms)
        if CHARGE_POINT in conductor.ways:
            conductor.replace(REPLACED, "replaced by a newer connection of the same Charge Point")
        if far is not None:
            far_terms = LinkTerms(peer=CENTRAL_SYSTEM, relay=True, tap=conductor.tap(CENTRAL_SYSTEM), bounds=bounds)
            far_way = WebSocketWay(far, CENTRAL_SYSTEM, conductor, far_terms)
            conductor.ways[CENTRAL_SYSTEM] = far_way
            self._tasks.spawn(far_way.run(), name=f"central system of {conductor.identity}")
            conductor.link_up(CENTRAL_SYSTEM)
        conductor.ways[CHARGE_POINT] = near_way
        conductor.link_up(CHARGE_POINT)
        self._keeping.heard(conductor.placement.identity, "json")
        await near_way.run()

    def hang_up(self, connection: Bounded) -> None:
        """A connection that was made for nothing."""
        self._tasks.spawn(connection.close(), name="hanging up")

    def resume(self, placement: Placement, record: ChargePointRecord, ago: float) -> None:
        """A SOAP Charge Point that was heard of `ago` seconds before the bridge was started again."""
        conductor = self.soap(placement, record.version if record.version in self._clients.charge_point else "1.6")
        conductor.resume(asyncio.get_running_loop().time() - ago)
