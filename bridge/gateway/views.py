"""The views of the admin API: Charge Points with and without a Session, the configuration, and the audit."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from fnmatch import translate
from http import HTTPStatus

import msgspec

from bridge.admin import facts
from bridge.admin.facts import Addresses, ChargePoints, Details, Summary, moment
from bridge.admin.operations import AuditFilter, Wanted
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
    profile,
    version,
)
from bridge.ocpp.identity import normal
from bridge.ocpp.tenants import DEFAULT_NAME, identity_of, named, takes, tenant_of
from bridge.store.audit import AuditQuery

# Charge Points that are examined before other work is served: about a millisecond's work.
_SLICE = 100


class SessionViews:
    """Implements `bridge.admin.operations.Views`."""

    def __init__(self, ground: ViewSources) -> None:
        self._ground = ground

    async def charge_points(self, wanted: Wanted, after: str | None, limit: int, *, tenant: str) -> ChargePoints:
        """Return a page of the Charge Points that match `wanted`, and how many match without its state, by state.

        Only the items of the page are worked out in full. The examination of all Charge Points is interrupted to serve
        other work.

        Args:
            wanted: The filters.
            after: The casefolded identity after which the page begins, None for the first page.
            limit: The most items of the page.
            tenant: The tenant whose Charge Points they are.
        """
        keys = self._ground.states.keys_of(tenant)
        for fits in self._filters(wanted):
            keys = [key async for key in _fitting(tuple(keys), fits)]
        counts = await self._counts(keys)
        if wanted.state is not None:
            keys = [key async for key in _fitting(tuple(keys), lambda key: self._ground.states.of(key) == wanted.state)]
        start = 0 if after is None else bisect_right(keys, after, key=identity_of)
        page = keys[start : start + limit]
        following = identity_of(page[-1]) if start + limit < len(keys) else None
        items = []
        for number, key in enumerate(page):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if (known := self._known(key)).is_there:
                items.append(self._summary(known))
        return ChargePoints(items=items, total=len(keys), states=counts, next=following)

    async def _counts(self, keys: Sequence[str]) -> dict[State, int]:
        """Return the number of Charge Points in each state among `keys`."""
        counts = dict.fromkeys(STATES, 0)
        if keys is self._ground.states.keys():
            for (_, state), number in self._ground.states.by_transport().items():
                counts[state] += number
            return counts
        for number, key in enumerate(keys, start=1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if (found := self._ground.states.of(key)) is not None:  # it may have been removed meanwhile
                counts[found] += 1
        return counts

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
            address=address(known),
            callback=callback(known),
            connectors=plugs,
            open_transactions=[
                facts.Transaction(connector=each.number, transaction_id=each.transaction_id)
                for each in plugs
                if each.transaction_id is not None
            ],
            manners={} if known.runner is None else profile(known.runner),
            counters=entry.told(),
            last_error_at=None if entry.error_at is None else moment(entry.error_at),
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
        )

    def known(self, identity: str) -> KnownChargePoints:
        """Return a known Charge Point. Raises RequestRefused if it is not known."""
        known = self._known(normal(identity).casefold())
        if not known.is_there:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"no Charge Point {identity_of(identity)!r} was ever here")
        return known

    def _known(self, key: str) -> KnownChargePoints:
        return KnownChargePoints.of(self._ground, key)

    def _filters(self, wanted: Wanted) -> Iterator[Callable[[str], object]]:
        """Yield a predicate on casefolded keys for each filter of `wanted` but its state.

        The filter on the identity comes first, because it costs least.
        """
        if wanted.identity is not None:
            match = re.compile(translate(wanted.identity.casefold())).match
            yield lambda key: match(identity_of(key))
        if wanted.accepted is not None:
            yield lambda key: self._known(key).accepted is wanted.accepted
        if not any((wanted.transport, wanted.central_system)):
            return

        def fits(key: str) -> bool:
            known = self._known(key)
            if not known.is_there:  # the Charge Point was removed meanwhile
                return False
            if wanted.transport is not None and known.transport != wanted.transport:
                return False
            placement = known.placement if wanted.central_system is not None else None
            return wanted.central_system == (None if placement is None else placement.central_system)

        yield fits

    def _summary(self, known: KnownChargePoints) -> Summary:
        placement, boot, entry = known.placement, known.boot, self._ground.call_counters.of(known.identity)
        seen, runner, transport = known.last_seen(), known.runner, known.transport
        return Summary(
            identity=known.identity,
            state=known.state,
            vendor=None if boot is None else boot.chargePointVendor,
            model=None if boot is None else boot.chargePointModel,
            firmware=None if boot is None else boot.firmwareVersion,
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
        )

    # The configuration and the audit.

    def routes(self, *, tenant: str) -> facts.Routes:
        """Return the Routes of a tenant, and its Charge Points that operators have moved."""
        settings, moved = self._ground.settings(), self._ground.persistence.moved()
        systems = _systems_for(tenant, settings)
        return facts.Routes(
            items=[_route(route) for route in settings.routes if named(route.tenant) == tenant],
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

    def central_systems(self, *, tenant: str) -> facts.CentralSystems:
        """Return the Central Systems that a tenant may use, with the health of its sessions there."""
        systems, ground = _systems_for(tenant, self._ground.settings()), self._ground
        counts = ground.sessions.counts
        health = counts.central_systems(systems, ground.outages, tenant)
        return facts.CentralSystems(
            items=[
                facts.CentralSystemFact(
                    name=name,
                    protocol=system.protocol,
                    url=system.url,
                    sessions=counts.sessions_of(name, tenant),
                    connected=health[name].connected,
                    unreachable=health[name].unreachable,
                    degraded=health[name].degraded,
                )
                for name, system in systems.items()
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


async def _fitting(keys: Sequence[str], fits: Callable[[str], object]) -> AsyncIterator[str]:
    """Yield each of `keys` for which `fits` is true. Other work is served after each slice."""
    for number, key in enumerate(keys, start=1):
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        if fits(key):
            yield key


def _systems_for(tenant: str, settings: Settings) -> dict[str, CentralSystem]:
    """Return the Central Systems that a tenant may use, by name."""
    return {name: system for name, system in settings.central_systems.items() if takes(system.tenant, tenant)}


def _route(route: Route) -> facts.RouteFact:
    quirks = {name: value for name in Quirks.__struct_fields__ if (value := getattr(route, name)) is not None}
    return facts.RouteFact(
        charge_point=route.charge_point,
        central_system=route.central_system,
        central_system_identity=route.central_system_identity or None,
        tolerance=route.tolerance,
        accept=route.accept,
        quirks=msgspec.to_builtins(quirks),
    )
