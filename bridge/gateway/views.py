"""The views of the admin API: Charge Points with and without a Session, the configuration, and the audit."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import islice

import msgspec

from bridge.admin import facts
from bridge.admin.facts import Addresses, Details, Summary, moment
from bridge.admin.operations import AuditFilter, FoundChargePoints, ListPlace, Sorting, Wanted
from bridge.admin.problems import RequestRefused
from bridge.config import Quirks, Route
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
from bridge.gateway.selection import Entry, Ordering, by_identity, filters
from bridge.ocpp.identity import normal
from bridge.store.audit import AuditQuery

# Charge Points that are examined before other work is served: about a millisecond's work.
_SLICE = 100
# The most values of a kind that a list of values has.
_VALUES = 200


class SessionViews:
    """Implements `bridge.admin.operations.Views`."""

    def __init__(self, ground: ViewSources) -> None:
        self._ground = ground

    async def charge_points(self, wanted: Wanted, sorting: Sorting, limit: int) -> FoundChargePoints:
        """Return a page of the Charge Points that match `wanted`, and how many match without its state, by state.

        Only the items of the page are worked out in full. The examination of all Charge Points is interrupted to serve
        other work.

        Args:
            wanted: The filters.
            sorting: The order, and the place of the page.
            limit: The most items of the page.
        """
        ordering = Ordering(sorting.by, descending=sorting.descending, counters=self._ground.call_counters)
        keys = self._ground.states.keys()
        if wanted == Wanted() and sorting.by == "identity" and not sorting.descending:
            start = 0 if sorting.after is None else bisect_right(keys, sorting.after.key)
            page = [
                ordering.at(ListPlace(sort="identity", value="", key=key)) for key in keys[start : start + limit + 1]
            ]
            total, counts = len(keys), self._counts()
        else:
            page, total, counts = await self._selected(wanted, ordering, sorting.after, limit + 1)
        items = []
        for number, entry in enumerate(page[:limit]):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if (known := self._known(entry.key)).is_there:
                items.append(self._summary(known))
        last = ordering.place(page[limit - 1]) if len(page) > limit else None
        return FoundChargePoints(items=items, total=total, states=counts, next=last)

    async def _selected(
        self, wanted: Wanted, ordering: Ordering, after: ListPlace | None, most: int
    ) -> tuple[list[Entry], int, dict[State, int]]:
        """Return the first entries of a page, the number of all that match, and their states without that filter.

        Args:
            wanted: The filters.
            ordering: The order.
            after: The place after which the page begins, None for the first page.
            most: The most entries.
        """
        named, fits = by_identity(wanted), filters(wanted, self._ground.call_counters)
        begin = None if after is None else ordering.at(after)
        counts, total = dict.fromkeys(STATES, 0), 0
        best: list[Entry] = []
        for keys in _slices(self._ground.states.keys()):
            fresh = []
            for key in keys:
                if named is not None and not named(key):
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

    async def values(self) -> facts.ChargePointValues:
        """Return the vendors, models and firmware versions of all Charge Points. Interrupted to serve other work."""
        vendors, models, firmwares = Counter[str](), Counter[str](), Counter[str]()
        for keys in _slices(self._ground.states.keys()):
            for key in keys:
                if (boot := self._known(key).boot) is not None:
                    vendors[boot.chargePointVendor] += 1
                    models[boot.chargePointModel] += 1
                    firmwares[boot.firmwareVersion or ""] += 1
            await asyncio.sleep(0)
        return facts.ChargePointValues(
            vendors=_counted(vendors), models=_counted(models), firmwares=_counted(firmwares)
        )

    def _counts(self) -> dict[State, int]:
        """Return the number of all Charge Points in each state."""
        counts = dict.fromkeys(STATES, 0)
        for (_, state), number in self._ground.states.by_transport().items():
            counts[state] += number
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
            name=known.identity if placement is None else placement.name,
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
            addresses_to_type=public_addresses.of(known.identity, self._ground.addresses()),
        )

    def waiting_moves(self) -> list[facts.WaitingMoveFact]:
        """Return the moves that wait until no transaction is open, by the identity of the Charge Point."""
        waiting = sorted(self._ground.persistence.waiting_moves().items())
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
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"no Charge Point {identity!r} was ever here")
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

    def routes(self) -> facts.Routes:
        """Return the Routes, and the Charge Points that operators have moved."""
        settings, moved, counted = self._ground.settings(), self._ground.persistence.moved(), set[str]()
        items = []
        for route in settings.routes:
            taken = 0 if route.charge_point in counted else self._ground.fleet.routes[route.charge_point]
            counted.add(route.charge_point)
            items.append(_route(route, taken))
        return facts.Routes(
            items=items,
            moved=[
                facts.MovedFact(identity=identity, central_system=name, in_force=name in settings.central_systems)
                for identity, name in sorted(moved.items())
            ],
        )

    def addresses(self) -> Addresses:
        """Return the addresses to configure in Charge Points and Central Systems."""
        return self._ground.addresses()

    async def audit(self, wanted: AuditFilter, before: int | None, limit: int) -> facts.Audits:
        """Return a page of the audit, the newest records first."""
        query = AuditQuery(
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


def _counted(found: Counter[str]) -> list[facts.ValueCount]:
    return [facts.ValueCount(value=value, count=count) for value, count in found.most_common(_VALUES) if value]


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
    )
