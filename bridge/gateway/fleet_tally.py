"""Counts over the known Charge Points of each tenant, updated with each change.

A query costs the same with 10 Charge Points and with 50 000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.messages import StatusNotificationRequest
from bridge.ocpp.rpc import UnopenedRequest
from bridge.ocpp.tenants import DEFAULT, tenant_of
from bridge.watching.facts import CallAnswered, CallEnded, ChargePointRemoved, Fact

# The actions of a Charge Point that change what is counted.
_TELLING = frozenset({"BootNotification", "StartTransaction", "StatusNotification", "StopTransaction"})
# A transaction of which nothing is heard for two days counts as open no longer, and nothing happens then: the Charge
# Points with open transactions are looked at again after this time, in seconds.
_EVERY = 600.0
# The errorCode of a connector that has told its fault before the bridge was started.
UNKNOWN_CODE = "not known"
# The most connectors of a Charge Point whose codes are kept: as many as the states of connectors that a Session keeps.
_MOST = 256


class FaultCodes:
    """The errorCode of each faulted connector, as its last StatusNotification has it."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[int, str]] = {}

    def of(self, identity: str, connector: int) -> str:
        """Return the errorCode of a faulted connector."""
        return self._codes.get(identity.casefold(), {}).get(connector, UNKNOWN_CODE)

    def see(self, fact: Fact) -> None:
        """Remember the errorCode in a StatusNotification with Faulted, or forget it with another status."""
        match fact:
            case CallEnded(identity, report) if report.call.action == "StatusNotification":
                payload = report.call.payload
                read = payload.read if isinstance(payload, UnopenedRequest) else payload
                if isinstance(read, StatusNotificationRequest):
                    self._told(identity.casefold(), read)
            case ChargePointRemoved(identity):
                self._codes.pop(identity.casefold(), None)

    def _told(self, key: str, status: StatusNotificationRequest) -> None:
        codes = self._codes.get(key, {})
        codes.pop(status.connectorId, None)
        if status.status is ChargePointStatus.Faulted:
            codes[status.connectorId] = status.errorCode.value
            if len(codes) > _MOST:
                del codes[next(iter(codes))]
        if codes:
            self._codes[key] = codes
        else:
            self._codes.pop(key, None)


class FleetEntry(Struct, frozen=True, kw_only=True):
    """What is counted of one Charge Point.

    Attributes:
        identity: The identity as it was first written.
        central_system: Its Central System, None if no Route takes it.
        route: The glob of its Route, None if no Route takes it.
        transactions: The Central System of each open transaction.
        faults: The errorCode of each connector that reports Faulted.
        boot: What it said about itself in its last BootNotification, None before one.
    """

    identity: str
    central_system: str | None = None
    route: str | None = None
    transactions: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    boot: Boot | None = None


class TenantFleet:
    """The counts of one tenant. The example of a Charge Point for each fault and Boot is the one that was found first.

    Attributes:
        charge_points: The number of known Charge Points of each Central System.
        routes: The number of known Charge Points of each Route, by its glob.
        transactions: The number of open transactions, by the Central System that named them.
    """

    def __init__(self) -> None:
        self.charge_points: Counter[str] = Counter()
        self.routes: Counter[str] = Counter()
        self.transactions: Counter[str] = Counter()
        # The connectors of each Charge Point with a fault, by errorCode and key.
        self._faulted: dict[str, dict[str, int]] = {}
        self._boots: dict[Boot, dict[str, int]] = {}
        self._spellings: dict[str, str] = {}

    def faults(self) -> list[tuple[str, int, int, str]]:
        """Return for each errorCode: the code, the numbers of connectors and of Charge Points, and one of the latter.

        The most frequent is the first.
        """
        found = [
            (code, sum(where.values()), len(where), self._spellings[next(iter(where))])
            for code, where in self._faulted.items()
        ]
        return sorted(found, key=lambda fault: (-fault[1], fault[0]))

    def boots(self) -> list[tuple[Boot, int, str]]:
        """Return what Charge Points say of themselves, how many say so, and the identity of one of them."""
        return [(boot, len(where), self._spellings[next(iter(where))]) for boot, where in self._boots.items()]

    def add(self, key: str, entry: FleetEntry) -> None:
        """Count a Charge Point."""
        self._spellings[key] = entry.identity
        self._count(key, entry, 1)

    def remove(self, key: str, entry: FleetEntry) -> None:
        """Count a Charge Point no longer."""
        self._count(key, entry, -1)
        del self._spellings[key]

    def _count(self, key: str, entry: FleetEntry, times: int) -> None:
        """Add what `entry` is counted by, `times` 1, or take it away, `times` -1."""
        _add(self.charge_points, entry.central_system, times)
        _add(self.routes, entry.route, times)
        for central_system in entry.transactions:
            _add(self.transactions, central_system, times)
        for code, connectors in Counter(entry.faults).items():
            _mark(self._faulted, code, key, connectors if times > 0 else 0)
        if entry.boot is not None:
            _mark(self._boots, entry.boot, key, max(times, 0))


class FleetTally:
    """The counts of all tenants.

    Args:
        observe: Returns what is known of a Charge Point now, None if it is not known any more.
        clock: Returns monotonic seconds.
    """

    def __init__(self, observe: Callable[[str], FleetEntry | None], clock: Callable[[], float]) -> None:
        self._observe = observe
        self._clock = clock
        self._looked = clock()
        self._entries: dict[str, FleetEntry] = {}
        self._tenants: dict[str, TenantFleet] = {}
        self._charging: set[str] = set()

    def see(self, fact: Fact) -> None:
        """Look at a Charge Point that has told something of itself, or got an answer that opens a transaction."""
        match fact:
            case CallEnded(identity, report) if report.sender is Party.CHARGE_POINT and report.call.action in _TELLING:
                self.update(identity)
            case CallAnswered(identity):
                self.update(identity)

    def begin(self, identities: Iterable[str]) -> None:
        """Count the Charge Points that are known at the start."""
        for identity in identities:
            self.update(identity)

    def update(self, identity: str) -> None:
        """Count a Charge Point anew, because something about it has changed."""
        key = identity.casefold()
        before, now = self._entries.get(key), self._observe(key)
        if before == now:
            return
        counts = self._tenants.setdefault(tenant_of(key), TenantFleet())
        if before is not None:
            del self._entries[key]
            counts.remove(key, before)
        if now is not None:
            self._entries[key] = now
            counts.add(key, now)
        if now is not None and now.transactions:
            self._charging.add(key)
        else:
            self._charging.discard(key)

    def of(self, tenant: str = DEFAULT) -> TenantFleet:
        """Return the counts of a tenant."""
        self._look_again()
        return self._tenants.setdefault(tenant, TenantFleet())

    def transactions(self) -> Mapping[str, int]:
        """Return the number of open transactions of all tenants, by the Central System that named them."""
        self._look_again()
        found: Counter[str] = Counter()
        for counts in self._tenants.values():
            found.update(counts.transactions)
        return found

    def open_transactions(self, tenant: str = DEFAULT) -> int:
        """Return the number of open transactions of a tenant."""
        return sum(self.of(tenant).transactions.values())

    def _look_again(self) -> None:
        """Look at the Charge Points with open transactions, some of which may be open no longer."""
        if self._clock() - self._looked > _EVERY:
            self._looked = self._clock()
            for key in tuple(self._charging):
                self.update(key)


def _add(counts: Counter[str], name: str | None, times: int) -> None:
    if name is None:
        return
    counts[name] += times
    if not counts[name]:
        del counts[name]


_N = TypeVar("_N", bound=Hashable)


def _mark(marks: dict[_N, dict[str, int]], name: _N, key: str, number: int) -> None:
    """Set the number of `key` below `name`; 0 removes it, and the name with its last key."""
    below = marks.setdefault(name, {})
    if number:
        below[key] = number
        return
    below.pop(key, None)
    if not below:
        del marks[name]
