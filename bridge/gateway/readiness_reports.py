"""Show operators what the comparison of a shadow's answers has shown, and which Charge Points are ready."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from fnmatch import translate
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from bridge.admin.facts import moment
from bridge.admin.merging import PlacedPage, merged_page, summed
from bridge.admin.problems import RequestRefused
from bridge.admin.readiness import (
    ActionComparison,
    ChargePointReadiness,
    DifferenceFact,
    FieldDifferences,
    ReadinessFact,
    ReadinessQuery,
)
from bridge.config import Settings
from bridge.core.readiness import (
    OTHER,
    ComparisonHistory,
    ComparisonSum,
    DifferenceExample,
    days_between,
    newest_examples,
)
from bridge.gateway.readiness import ShadowComparisons
from bridge.ocpp.tenants import identity_of, named, takes, tenant_of

# The examples, and the fields of each action, in one answer of the API.
_MOST_EXAMPLES, _MOST_FIELDS = 50, 50
# Charge Points that are examined before other work is served.
_SLICE = 100
# Of a Charge Point none of whose answers was compared.
_WITHOUT = ComparisonHistory(first=0.0, last=0.0)


class ReadinessPart(Struct, frozen=True, kw_only=True):
    """What one process knows of the readiness for a Central System, or several together.

    Attributes:
        central_system: The name of the Central System.
        ready_after: The sessions that it wants.
        charge_points: The number of Charge Points that count.
        ready_charge_points: The number of those that are ready.
        sessions: The number of sessions. The next attributes are as in ComparisonSum.
        examples: The newest examples of each field, each with its identity.
        items: A page of Charge Points, each with its casefolded identity, by which they are sorted.
        total: The number of Charge Points on all pages.
        next: The casefolded identity to which the page reaches, if others follow.
    """

    central_system: str
    ready_after: int
    charge_points: int
    ready_charge_points: int
    sessions: int
    first: float | None
    last: float | None
    compared: dict[str, int]
    differing: dict[str, int]
    fields: dict[str, dict[str, int]]
    examples: list[tuple[str, DifferenceExample]]
    items: list[tuple[str, ChargePointReadiness]]
    total: int
    next: str | None


def merged_readiness(parts: Sequence[ReadinessPart], limit: int) -> ReadinessPart:
    """Return what several processes know, with a page of at most `limit` Charge Points."""
    one = parts[0]
    pages = [PlacedPage(items=part.items, next=part.next) for part in parts]
    page = merged_page(pages, limit, lambda identity: identity)
    actions = {action for part in parts for action in part.fields}
    return ReadinessPart(
        central_system=one.central_system,
        ready_after=one.ready_after,
        charge_points=sum(part.charge_points for part in parts),
        ready_charge_points=sum(part.ready_charge_points for part in parts),
        sessions=sum(part.sessions for part in parts),
        first=min((part.first for part in parts if part.first is not None), default=None),
        last=max((part.last for part in parts if part.last is not None), default=None),
        compared=dict(summed(part.compared for part in parts)),
        differing=dict(summed(part.differing for part in parts)),
        fields={action: dict(summed(part.fields.get(action, {}) for part in parts)) for action in actions},
        examples=[example for part in parts for example in part.examples],
        items=page.items,
        total=sum(part.total for part in parts),
        next=page.next,
    )


class ReadinessReports:
    """Implements `bridge.admin.readiness.ReadinessViews`.

    Args:
        comparisons: What the comparison of answers has shown.
        settings: Returns the configuration.
        known: Returns the casefolded keys of the Charge Points that were ever heard of, sorted.
        shadows_of: Returns the names of the Central Systems that are shadows for a Charge Point.
        spelling: Returns the identity of a Charge Point as it was first written.
    """

    def __init__(
        self,
        comparisons: ShadowComparisons,
        settings: Callable[[], Settings],
        known: Callable[[], Sequence[str]],
        shadows_of: Callable[[str], Collection[str]],
        spelling: Callable[[str], str],
    ) -> None:
        self._comparisons = comparisons
        self._settings = settings
        self._known = known
        self._shadows_of = shadows_of
        self._spelling = spelling

    async def readiness(
        self, central_system: str, query: ReadinessQuery, after: str | None, *, tenant: str
    ) -> ReadinessPart:
        """Return what this process knows of the readiness of a tenant, with a page of its Charge Points.

        Other work is served in between.

        Args:
            central_system: The name of the Central System.
            query: Which Charge Points count, which of them are listed, and the size of the page.
            after: The casefolded identity after which the page begins, None for the first page.
            tenant: The tenant.

        Raises:
            RequestRefused: There is no such Central System, or it is a shadow in no route of the tenant.
        """
        ready_after, ready = self._ready_after(central_system, tenant), query.ready
        fits = re.compile(translate((query.identity or "*").casefold())).match
        total, listed, charge_points, ready_ones = ComparisonSum(), [], 0, 0
        for number, key in enumerate(tuple(self._known()), start=1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if tenant_of(key) != tenant or not fits(identity_of(key)):
                continue
            if central_system not in self._shadows_of(key):
                continue
            history = self._comparisons.of(central_system, key)
            if history is not None:
                total.add(self._spelling(key), history)
            is_ready = not (history or _WITHOUT).lacks(ready_after)
            charge_points += 1
            ready_ones += is_ready
            if ready is None or ready is is_ready:
                listed.append(key)
        start = 0 if after is None else bisect_right(listed, after, key=identity_of)
        page = listed[start : start + query.limit]
        return ReadinessPart(
            central_system=central_system,
            ready_after=ready_after,
            charge_points=charge_points,
            ready_charge_points=ready_ones,
            sessions=total.sessions,
            first=total.first,
            last=total.last,
            compared=dict(total.compared),
            differing=dict(total.differing),
            fields={action: dict(counts) for action, counts in total.fields.items()},
            examples=total.all_examples(),
            items=[(identity_of(key), self._item(central_system, key, ready_after)) for key in page],
            total=len(listed),
            next=identity_of(page[-1]) if start + query.limit < len(listed) else None,
        )

    def merged(self, parts: Sequence[Any], limit: int) -> ReadinessPart:
        """Return what several processes know, with a page of `limit` Charge Points at most. Parts may be plain data."""
        return merged_readiness([msgspec.convert(part, ReadinessPart) for part in parts], limit)

    def told(self, part: ReadinessPart) -> ReadinessFact:
        """Return the readiness as the API has it."""
        charge_points, ready_ones = part.charge_points, part.ready_charge_points
        why = ""
        if ready_ones < charge_points:
            why = f"{charge_points - ready_ones} of {charge_points} Charge Points are not ready"
        elif not charge_points:
            why = "no Charge Point whose Calls it gets was heard of, or none fits"
        return ReadinessFact(
            central_system=part.central_system,
            ready=not why,
            why=why,
            ready_after=part.ready_after,
            charge_points=charge_points,
            ready_charge_points=ready_ones,
            sessions=part.sessions,
            since=None if part.first is None else moment(part.first),
            days=days_between(part.first, part.last),
            actions=_actions(part),
            examples=[_difference(*example) for example in newest_examples(part.examples, _MOST_EXAMPLES)],
            items=[item for _, item in part.items],
            total=part.total,
            next=part.next,
        )

    def _ready_after(self, name: str, tenant: str) -> int:
        """Return the sessions that a Central System wants. Raises RequestRefused if it is no shadow of the tenant."""
        settings = self._settings()
        system = settings.central_systems.get(name)
        if system is None or not takes(system.tenant, tenant):
            text = f"no Central System of the configuration is called {name!r}"
            raise RequestRefused(HTTPStatus.NOT_FOUND, text)
        own = (route for route in settings.routes if named(route.tenant) == tenant)
        if not any(also.central_system == name and also.role == "shadow" for route in own for also in route.also):
            text = f"the Central System {name!r} is a shadow in no route: its answers are not compared"
            raise RequestRefused(HTTPStatus.CONFLICT, text)
        return system.ready_after

    def _item(self, name: str, key: str, ready_after: int) -> ChargePointReadiness:
        identity, history = self._spelling(key), self._comparisons.of(name, key)
        if history is None:
            history, since, why = _WITHOUT, None, "no answer was compared yet"
        else:
            since, why = moment(history.first), history.lacks(ready_after)
        return ChargePointReadiness(
            identity=identity,
            ready=not why,
            why=why,
            sessions=history.sessions,
            clean_sessions=history.clean,
            since=since,
            days=0 if since is None else days_between(history.first, history.last),
            compared=sum(history.compared.values()),
            differing=sum(history.differing.values()),
            last_difference=None if history.felt is None else _difference(identity, history.felt),
        )


def _difference(identity: str, example: DifferenceExample) -> DifferenceFact:
    return DifferenceFact(
        identity=identity,
        at=moment(example.at),
        action=example.action,
        field=example.field,
        main=example.main,
        shadow=example.shadow,
        request=example.request,
    )


def _actions(total: ReadinessPart) -> list[ActionComparison]:
    return [
        ActionComparison(
            action=action, compared=compared, differing=total.differing.get(action, 0), fields=_fields(total, action)
        )
        for action, compared in sorted(total.compared.items())
    ]


def _fields(total: ReadinessPart, action: str) -> list[FieldDifferences]:
    counts = Counter(total.fields.get(action, {}))
    named = counts.most_common(_MOST_FIELDS)
    beyond = counts.total() - sum(count for _, count in named)
    if beyond:
        named.append((OTHER, beyond))
    return [FieldDifferences(field=field, count=count) for field, count in named]
