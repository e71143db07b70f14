"""Which Charge Points a list has, and in which order: the filters, the search and the sorting of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import translate

from bridge.admin.list_order import Entry, entry_at, placed
from bridge.admin.operations import ListPlace, SortName, Wanted
from bridge.core.state import STATES
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.known import KnownChargePoints, address, charging, faulted
from bridge.ocpp.tenants import identity_of

Fits = Callable[[KnownChargePoints], object]


class Ordering:
    """The order of a list.

    Args:
        by: The name of the value to be sorted by.
        descending: Whether the greatest value comes first.
        counters: The counts of the Charge Points.
    """

    def __init__(self, by: SortName, *, descending: bool, counters: CallCounters) -> None:
        self.by = by
        self.descending = descending
        self._counters = counters

    def entry(self, key: str, known: KnownChargePoints) -> Entry:
        """Return the entry of a Charge Point."""
        return placed(self._value(key, known), key, descending=self.descending)

    def at(self, place: ListPlace) -> Entry:
        """Return the entry at the end of the page before, whose `key` is in the place."""
        return entry_at(place, descending=self.descending)

    def place(self, entry: Entry) -> ListPlace:
        """Return the place of an entry, for the cursor of the next page."""
        value = list(entry.value) if isinstance(entry.value, tuple) else entry.value
        return ListPlace(sort=self.by, value=value, key=entry.key)

    def is_after(self, entry: Entry, other: Entry) -> bool:
        """Return whether `entry` comes after `other` in the list."""
        return entry < other if self.descending else entry > other

    def first(self, entries: list[Entry], most: int) -> list[Entry]:
        """Return the first `most` entries in order."""
        return sorted(entries, reverse=self.descending)[:most]

    def _value(self, key: str, known: KnownChargePoints) -> float | str | tuple[str, ...] | None:
        match self.by:
            case "identity":
                return ""
            case "state":
                return float(STATES.index(known.state))
            case "central_system":
                return None if known.placement is None else known.placement.central_system.casefold()
            case "last_seen":
                return known.last_seen()
            case "transactions":
                return float(0 if known.runner is None else charging(known.runner))
            case "waiting":
                return float(0 if known.runner is None else known.runner.session.in_progress())
            case "errors":
                return float(self._counters.of(key).failed)
            case "transport":
                return known.transport
        boot = known.boot
        if boot is None:
            return None
        if self.by == "firmware":
            return None if boot.firmwareVersion is None else boot.firmwareVersion.casefold()
        return (boot.chargePointVendor.casefold(), boot.chargePointModel.casefold())


def by_identity(wanted: Wanted) -> Callable[[str], object] | None:
    """Return the filter on the identity in a casefolded key, None if every identity is wanted."""
    if wanted.identity is None:
        return None
    match = re.compile(translate(wanted.identity.casefold())).match
    return lambda key: match(identity_of(key))


def filters(wanted: Wanted, counters: CallCounters) -> list[Fits]:
    """Return the filters of `wanted` but those on identity and state, those that cost least first.

    Args:
        wanted: The filters.
        counters: The counts of the Charge Points.
    """
    return list(_filters(wanted, counters))


def _filters(wanted: Wanted, counters: CallCounters) -> Iterator[Fits]:
    if wanted.transport is not None:
        yield lambda known: known.transport == wanted.transport
    if wanted.accepted is not None:
        yield lambda known: known.accepted is wanted.accepted
    if wanted.charging is not None:
        yield lambda known: (known.runner is not None and charging(known.runner) > 0) is wanted.charging
    if wanted.faulted is not None:
        yield lambda known: bool(faulted(known)) is wanted.faulted
    if wanted.failed is not None:
        yield lambda known: (counters.of(known.identity).error is not None) is wanted.failed
    if wanted.last_error is not None:
        part = wanted.last_error.casefold()
        yield lambda known: part in (counters.of(known.identity).error or "").casefold()
    if wanted.central_system is not None:
        yield lambda known: known.placement is not None and known.placement.central_system == wanted.central_system
    if wanted.vendor is not None:
        yield _boots("chargePointVendor", wanted.vendor)
    if wanted.model is not None:
        yield _boots("chargePointModel", wanted.model)
    if wanted.firmware is not None:
        yield _boots("firmwareVersion", wanted.firmware)
    if wanted.text is not None:
        words = wanted.text.casefold().split()
        yield lambda known: _holds(known, words)


def _boots(field: str, wanted: str) -> Fits:
    """Return a filter on a field of the BootNotification, letter case aside."""
    folded = wanted.casefold()

    def fits(known: KnownChargePoints) -> bool:
        found = getattr(known.boot, field, None)
        return found is not None and found.casefold() == folded

    return fits


def _holds(known: KnownChargePoints, words: list[str]) -> bool:
    """Return whether each of `words` is a part of what a Charge Point is known by."""
    first = identity_of(known.identity).casefold()
    left = [word for word in words if word not in first]
    if not left:
        return True
    boot = known.boot
    told = [address(known)]
    if boot is not None:
        told += [boot.chargePointVendor, boot.chargePointModel, boot.chargePointSerialNumber]
        told += [boot.chargeBoxSerialNumber, boot.meterSerialNumber]
    text = "\n".join(filter(None, told)).casefold()
    return all(word in text for word in left)
