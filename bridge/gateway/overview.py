"""What there is to see, as the API tells it: Charge Points with and without a Session, the configuration, the audit."""

from __future__ import annotations

import asyncio
import re
import time
from bisect import bisect_right
from collections.abc import Callable
from fnmatch import translate
from http import HTTPStatus

import msgspec

from bridge.admin import facts
from bridge.admin.facts import Addresses, ChargePoints, Details, Summary, moment
from bridge.admin.operations import Wanted
from bridge.admin.problems import Refused
from bridge.config import Quirks, Route
from bridge.gateway import doorplates
from bridge.gateway.known import (
    CHARGE_POINT,
    Ground,
    Known,
    address,
    callback,
    central_side,
    charging,
    connectors,
    manners,
    version,
)
from bridge.gateway.vitals import central_systems
from bridge.identity import normal


class SessionOverview:
    """Implements `bridge.admin.operations.Overview`."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def charge_points(self, wanted: Wanted, after: str | None, limit: int) -> ChargePoints:
        """A page of those that fit. What only a page needs is worked out for the page only."""
        fits = self._filter(wanted)
        keys = [key for key in self._keys(wanted.identity) if fits(key)]
        start = 0 if after is None else bisect_right(keys, after)
        page = keys[start : start + limit]
        following = page[-1] if start + limit < len(keys) else None
        return ChargePoints(items=[self._summary(self._known(key)) for key in page], total=len(keys), next=following)

    def charge_point(self, identity: str) -> Details:
        """All about one. Raises Refused."""
        known = self.known(identity)
        placement, entry = known.placement, self._ground.tally.of(identity)
        plugs = [] if known.conductor is None else connectors(known.conductor)
        record = known.record
        summary = self._summary(known)
        return Details(
            **{name: getattr(summary, name) for name in Summary.__struct_fields__},
            name=known.identity if placement is None else placement.name,
            address=address(known),
            callback=callback(known),
            connectors=plugs,
            open_transactions=[
                facts.Transaction(connector=each.number, transaction_id=each.transaction_id)
                for each in plugs
                if each.transaction_id is not None
            ],
            manners={} if known.conductor is None else manners(known.conductor),
            counters=entry.told(),
            last_error_at=None if entry.error_at is None else moment(entry.error_at),
            moved=record is not None and record.central_system is not None,
            addresses_to_type=doorplates.of(known.identity, self._ground.addresses()),
        )

    def known(self, identity: str) -> Known:
        """The Charge Point. Raises Refused."""
        known = self._known(normal(identity).casefold())
        if known.conductor is None and known.record is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"no Charge Point {identity!r} was ever here")
        return known

    def _known(self, key: str) -> Known:
        return Known(self._ground, self._ground.sessions.get(key), self._ground.keeping.record_of(key))

    def _keys(self, glob: str | None) -> list[str]:
        """The identities, casefolded and sorted."""
        keys = {conductor.identity.casefold() for conductor in self._ground.sessions}
        keys.update(record.identity.casefold() for record in self._ground.keeping.charge_points())
        if glob is None:
            return sorted(keys)
        fits = re.compile(translate(glob.casefold())).match
        return sorted(key for key in keys if fits(key))

    def _filter(self, wanted: Wanted) -> Callable[[str], bool]:
        """Whether one fits, but for its identity."""
        if not any((wanted.state, wanted.transport, wanted.central_system)):
            return lambda key: True
        now, loop_now = time.time(), asyncio.get_running_loop().time()

        def fits(key: str) -> bool:
            known = self._known(key)
            if wanted.transport is not None and known.transport != wanted.transport:
                return False
            if wanted.state == "stale" and not known.stale(now, loop_now):
                return False
            if wanted.state in ("up", "down") and (known.state(CHARGE_POINT) == "up") != (wanted.state == "up"):
                return False
            placement = known.placement if wanted.central_system is not None else None
            return wanted.central_system == (None if placement is None else placement.central_system)

        return fits

    def _summary(self, known: Known) -> Summary:
        now, loop_now = time.time(), asyncio.get_running_loop().time()
        placement, boot, entry = known.placement, known.boot, self._ground.tally.of(known.identity)
        seen, conductor = known.last_seen(now, loop_now), known.conductor
        return Summary(
            identity=known.identity,
            vendor=None if boot is None else boot.chargePointVendor,
            model=None if boot is None else boot.chargePointModel,
            firmware=None if boot is None else boot.firmwareVersion,
            route=self._ground.placements().route_of(known.identity),
            central_system=None if placement is None else placement.central_system,
            charge_point=facts.ChargePointSide(
                transport=known.transport, version=version(known), state=known.state(CHARGE_POINT)
            ),
            central_side=None if placement is None else central_side(known, placement),
            last_seen=None if seen is None else moment(seen),
            heartbeat_interval=known.heartbeat,
            stale=known.stale(now, loop_now),
            transactions=0 if conductor is None else charging(conductor),
            waiting=0 if conductor is None else conductor.session.in_progress(),
            calls=entry.calls,
            errors=entry.failed,
            last_error=entry.error,
        )

    # The configuration, and what was done.

    def routes(self) -> facts.Routes:
        """Who belongs where."""
        settings, moved = self._ground.settings(), self._ground.keeping.moved()
        return facts.Routes(
            items=[_route(route) for route in settings.routes],
            moved=[
                facts.MovedFact(identity=identity, central_system=name, in_force=name in settings.central_systems)
                for identity, name in sorted(moved.items())
            ],
        )

    def central_systems(self) -> facts.CentralSystems:
        """All, with their health."""
        systems, ground = self._ground.settings().central_systems, self._ground
        health = central_systems(systems, ground.sessions, ground.outages)
        sessions = dict.fromkeys(systems, 0)
        for conductor in ground.sessions:
            name = conductor.placement.central_system
            sessions[name] = sessions.get(name, 0) + 1
        return facts.CentralSystems(
            items=[
                facts.CentralSystemFact(
                    name=name,
                    protocol=system.protocol,
                    url=system.url,
                    sessions=sessions[name],
                    connected=health[name].connected,
                    unreachable=health[name].unreachable,
                    degraded=health[name].degraded,
                )
                for name, system in systems.items()
            ]
        )

    def addresses(self) -> Addresses:
        """What to type into a Charge Point."""
        return self._ground.addresses()

    def audit(self, before: int | None, limit: int) -> facts.Audits:
        """What operators did."""
        return self._ground.audit.page(before, limit)


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
