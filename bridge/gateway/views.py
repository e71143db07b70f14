"""The views of the admin API: Charge Points with and without a Session, the configuration, and the audit."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import islice

import msgspec
from msgspec.structs import replace

from bridge.admin import facts
from bridge.admin.cursors import foreign
from bridge.admin.facts import Addresses, Details, Summary, moment
from bridge.admin.list_order import Entry
from bridge.admin.operations import AuditFilter, FoundChargePoints, ListPlace, Sorting, Wanted
from bridge.admin.problems import RequestRefused
from bridge.config import CentralSystem, Quirks, Route, Settings
from bridge.core.moves import WaitingMove
from bridge.core.state import STATES, State
from bridge.gateway import public_addresses
from bridge.gateway.known import (
    CHARGE_POINT,
    KnownChargePoints,
    ViewSources,
    address,
    callback,
    central_side,
    charging,
    connectors,
    faulted,
    profile,
    version,
)
from bridge.gateway.selection import Ordering, by_identity, filters
from bridge.ocpp.identity import normal
from bridge.ocpp.tenants import DEFAULT_NAME, identity_of, key_of, named, takes, tenant_of
from bridge.store.audit import AuditQuery

# Charge Points that are examined before other work is served: about a millisecond's work.
_SLICE = 100


class SessionViews:
    """Implements `bridge.admin.operations.Views`."""

    def __init__(self, ground: ViewSources) -> None:
        self._ground = ground

    async def charge_points(self, wanted: Wanted, sorting: Sorting, limit: int, *, tenant: str) -> FoundChargePoints:
        """Return a page of the Charge Points that match `wanted`, and how many match without its state, by state.

        Only the items of the page are worked out in full. The examination of all Charge Points is interrupted to serve
        other work.

        Args:
            wanted: The filters.
            sorting: The order, and the place of the page.
            limit: The most items of the page.
            tenant: The tenant whose Charge Points they are.
        """
        ordering = Ordering(sorting.by, descending=sorting.descending, counters=self._ground.call_counters)
        after = None if sorting.after is None else replace(sorting.after, key=_key_of(tenant, sorting.after.key))
        keys = self._ground.states.keys_of(tenant)
        if wanted == Wanted() and sorting.by == "identity" and not sorting.descending:
            start = 0 if after is None else bisect_right(keys, after.key)
            page = [
                ordering.at(ListPlace(sort="identity", value="", key=key)) for key in keys[start : start + limit + 1]
            ]
            total, counts = len(keys), self._ground.states.of_tenant(tenant)
        else:
            page, total, counts = await self._selected(keys, wanted, ordering, after, limit + 1)
        items, places = [], []
        for number, entry in enumerate(page[:limit]):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if (known := self._known(entry.key)).is_there:
                items.append(self._summary(known))
                places.append(_outside(ordering.place(entry)))
        last = _outside(ordering.place(page[limit - 1])) if len(page) > limit else None
        return FoundChargePoints(items=items, places=places, total=total, states=counts, next=last)

    async def _selected(
        self, keys: Sequence[str], wanted: Wanted, ordering: Ordering, after: ListPlace | None, most: int
    ) -> tuple[list[Entry], int, dict[State, int]]:
        """Return the first entries of a page, the number of all that match, and their states without that filter.

        Args:
            keys: The casefolded keys of the Charge Points among which they are.
            wanted: The filters.
            ordering: The order.
            after: The place after which the page begins, None for the first page.
            most: The most entries.
        """
        fits_identity, fits = by_identity(wanted), filters(wanted, self._ground.call_counters)
        begin = None if after is None else ordering.at(after)
        counts, total = dict.fromkeys(STATES, 0), 0
        best: list[Entry] = []
        for some in _slices(keys):
            fresh = []
            for key in some:
                if fits_identity is not None and not fits_identity(key):
                    continue
                known, state = self._known(key), self._ground.states.of(key)
                # It may have been removed meanwhile.
                if state is None or not known.is_there or not all(fit(known) for fit in fits):
                    continue
                counts[state] += 1
                if wanted.state is not None and state != wanted.state:
                    continue
                total += 1
                entry = ordering.entry(key, known)
                if begin is None or ordering.is_after(entry, begin):
                    fresh.append(entry)
            # A page of so few is sorted again and again in less time than all of them at once.
            best = ordering.first(best + fresh, most)
            await asyncio.sleep(0)
        return best, total, counts

    async def values(self, *, tenant: str) -> facts.ChargePointValues:
        """Return all vendors, models and firmware versions of a tenant's Charge Points, in no order.

        Other work is served in between.
        """
        vendors, models, firmwares = Counter[str](), Counter[str](), Counter[str]()
        for keys in _slices(self._ground.states.keys_of(tenant)):
            for key in keys:
                if (boot := self._known(key).boot) is not None:
                    vendors[boot.chargePointVendor] += 1
                    models[boot.chargePointModel] += 1
                    firmwares[boot.firmwareVersion or ""] += 1
            await asyncio.sleep(0)
        return facts.ChargePointValues(
            vendors=_counted(vendors), models=_counted(models), firmwares=_counted(firmwares)
        )

    def charge_point(self, identity: str) -> Details:
        """Return all details of a Charge Point. Raises RequestRefused if it is not known."""
        known = self.known(identity)
        placement, entry = known.placement, self._ground.call_counters.of(identity)
        plugs = [] if known.runner is None else connectors(known.runner)
        record, listed = known.record, self._ground.placements().listed.get(known.identity)
        summary = self._summary(known)
        return Details(
            **{name: getattr(summary, name) for name in Summary.__struct_fields__},
            name=identity_of(known.identity) if placement is None else placement.name,
            callback=callback(known),
            connectors=plugs,
            open_transactions=[
                facts.Transaction(connector=each.number, transaction_id=each.transaction_id)
                for each in plugs
                if each.transaction_id is not None
            ],
            manners={} if known.runner is None else profile(known.runner),
            counters=entry.told(),
            moved=record is not None and bool(record.central_system),
            settings=None if listed is None else listed.source,
            waiting_move=self._waiting_move(known.identity, self._ground.persistence.waiting_move(known.identity)),
            addresses_to_type=public_addresses.of(
                identity_of(known.identity), self._ground.addresses(tenant_of(known.identity))
            ),
        )

    def waiting_moves(self, tenant: str) -> list[facts.WaitingMoveFact]:
        """Return a tenant's moves that wait until no transaction is open, by the identity of the Charge Point."""
        all_of_them = sorted(self._ground.persistence.waiting_moves().items())
        waiting = [(identity, move) for identity, move in all_of_them if tenant_of(identity) == tenant]
        return [fact for identity, move in waiting if (fact := self._waiting_move(identity, move)) is not None]

    def _waiting_move(self, identity: str, move: WaitingMove | None) -> facts.WaitingMoveFact | None:
        if move is None:
            return None
        return facts.WaitingMoveFact(
            identity=identity,
            central_system=move.central_system or self._ground.placements().routed(identity),
            who=move.who,
            at=moment(move.at),
            open_transactions=self._ground.sessions.open_transactions(identity),
            move=move.move,
            when=move.when,
        )

    def known(self, identity: str) -> KnownChargePoints:
        """Return a known Charge Point. Raises RequestRefused if it is not known."""
        known = self._known(normal(identity).casefold())
        if not known.is_there:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"no Charge Point {identity_of(identity)!r} was ever here")
        return known

    def _known(self, key: str) -> KnownChargePoints:
        return KnownChargePoints.of(self._ground, key)

    def _summary(self, known: KnownChargePoints) -> Summary:
        placement, boot, entry = known.placement, known.boot, self._ground.call_counters.of(known.identity)
        seen, runner, transport = known.last_seen(), known.runner, known.transport
        return Summary(
            identity=known.identity,
            state=known.state,
            vendor=None if boot is None else boot.chargePointVendor,
            model=None if boot is None else boot.chargePointModel,
            firmware=None if boot is None else boot.firmwareVersion,
            serial=None if boot is None else boot.chargePointSerialNumber or boot.chargeBoxSerialNumber,
            address=address(known),
            faulted=faulted(known),
            route=self._ground.placements().route_of(known.identity),
            central_system=None if placement is None else placement.central_system,
            charge_point=None
            if transport is None
            else facts.ChargePointSide(transport=transport, version=version(known), state=known.link(CHARGE_POINT)),
            central_side=None if placement is None else central_side(known, placement),
            last_seen=None if seen is None else moment(seen),
            heartbeat_interval=known.heartbeat,
            accepted=known.accepted,
            transactions=0 if runner is None else charging(runner),
            waiting=0 if runner is None else runner.session.in_progress(),
            calls=entry.calls,
            errors=entry.failed,
            last_error=entry.error,
            last_error_at=None if entry.error_at is None else moment(entry.error_at),
        )

    # The configuration and the audit.

    def routes(self, *, tenant: str) -> facts.Routes:
        """Return the Routes of a tenant, and its Charge Points that operators have moved."""
        settings, moved, counted = self._ground.settings(), self._ground.persistence.moved(), set[str]()
        systems, of_route = systems_for(tenant, settings), self._ground.fleet.of(tenant).routes
        items = []
        for route in settings.routes:
            if named(route.tenant) != tenant:
                continue
            taken = 0 if route.charge_point in counted else of_route[route.charge_point]
            counted.add(route.charge_point)
            items.append(_route(route, taken))
        return facts.Routes(
            items=items,
            moved=[
                facts.MovedFact(identity=identity, central_system=name, in_force=name in systems)
                for identity, name in sorted(moved.items())
                if tenant_of(identity) == tenant
            ],
        )

    def tenants(self) -> facts.Tenants:
        """Return all tenants, the default tenant first."""
        others = self._ground.settings().tenants
        return facts.Tenants(
            items=[
                facts.TenantFact(name=DEFAULT_NAME, hosts=[]),
                *(facts.TenantFact(name=name, hosts=list(tenant.hosts)) for name, tenant in others.items()),
            ]
        )

    def addresses(self, *, tenant: str) -> Addresses:
        """Return the addresses to configure in Charge Points and Central Systems of a tenant."""
        return self._ground.addresses(tenant)

    async def audit(self, wanted: AuditFilter, before: int | None, limit: int, *, tenant: str) -> facts.Audits:
        """Return a page of the audit of a tenant, the newest records first."""
        query = AuditQuery(
            tenant=tenant,
            identity=wanted.identity,
            who=wanted.who,
            what=wanted.what,
            since=wanted.since,
            until=wanted.until,
            before=before,
        )
        return await self._ground.audit.page(query, limit)


def _slices(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the keys that are known now, in slices."""
    rest = iter(tuple(keys))
    while keys_ := tuple(islice(rest, _SLICE)):
        yield keys_


def _outside(place: ListPlace) -> ListPlace:
    """Return a place with an identity in place of a key, as it is in a cursor."""
    return replace(place, key=identity_of(place.key))


def _key_of(tenant: str, identity: str) -> str:
    """Return the key of an identity in a cursor. Raises RequestRefused for one that holds a key."""
    try:
        return key_of(tenant, identity)
    except ValueError as error:
        raise foreign() from error


def systems_for(tenant: str, settings: Settings) -> dict[str, CentralSystem]:
    """Return the Central Systems that a tenant may use, by name."""
    return {name: system for name, system in settings.central_systems.items() if takes(system.tenant, tenant)}


def _counted(found: Counter[str]) -> list[facts.ValueCount]:
    return [facts.ValueCount(value=value, count=count) for value, count in found.items() if value]


def _route(route: Route, charge_points: int) -> facts.RouteFact:
    quirks = {name: value for name in Quirks.__struct_fields__ if (value := getattr(route, name)) is not None}
    return facts.RouteFact(
        charge_point=route.charge_point,
        central_system=route.central_system,
        central_system_identity=route.central_system_identity or None,
        tolerance=route.tolerance,
        accept=route.accept,
        quirks=msgspec.to_builtins(quirks),
        charge_points=charge_points,
        also=[
            facts.FurtherCentralSystemFact(central_system=each.central_system, role=each.role) for each in route.also
        ],
    )
