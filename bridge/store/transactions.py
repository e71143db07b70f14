"""Which transactions a reader wants. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from zlib import crc32

from msgspec import Struct

from bridge.ocpp.tenants import SEPARATOR, identity_of, tenant_of
from bridge.store.records import LONGEST, TransactionRecord

# The number of a transaction that has none above 0, which is a place to remember its Central System.
_UNNAMED = 0
_PATTERN = frozenset("*?[")
# The bits of a place that tell apart what changed in the same microsecond.
_NAMED_BITS = 12


class TransactionQuery(Struct, frozen=True, kw_only=True):
    """A filter. None takes every transaction.

    Attributes:
        tenant: The tenant of the Charge Points.
        identity: A glob on the identities of the tenant, None for the default one. Letter case does not count.
        central_system: The name of the Central System.
        state: "open", "closed" or "ended".
        before: The place that is higher than all places on the page, None for the first page.
    """

    tenant: str | None = None
    identity: str | None = None
    central_system: str | None = None
    state: str | None = None
    before: int | None = None

    @property
    def folded(self) -> str | None:
        """Return the casefolded key if only one Charge Point is wanted, else None."""
        if self.identity is None or not _PATTERN.isdisjoint(self.identity):
            return None
        return (f"{self.tenant}{SEPARATOR}" if self.tenant else "") + self.identity.casefold()

    def fits(self, record: TransactionRecord) -> bool:
        """Return whether a reader wants `record`."""
        return (
            record.number != _UNNAMED
            and (self.tenant is None or tenant_of(record.identity) == self.tenant)
            and (self.central_system is None or record.central_system == self.central_system)
            and (self.state is None or record.state == self.state)
            and (self.identity is None or _matcher(self.identity)(identity_of(record.identity).casefold()) is not None)
        )


class TransactionPage(Struct, frozen=True, kw_only=True):
    """Transactions, the one that changed last first.

    Attributes:
        records: The transactions.
        places: The place of each of them, if the places are the same in every process (`place_of`).
        next: The `before` of the next page, None if there are no more. A page may have fewer records than were asked
            for, and none, if many were looked through.
    """

    records: list[TransactionRecord]
    places: list[int] = []
    next: int | None = None


def page_of(places: Iterable[tuple[int, TransactionRecord]], query: TransactionQuery, limit: int) -> TransactionPage:
    """Return a page of transactions in memory.

    Args:
        places: All transactions with their places, the highest place first.
        query: The filter.
        limit: The most records of the page.
    """
    found: list[tuple[int, TransactionRecord]] = []
    for place, record in places:
        if (query.before is None or place < query.before) and query.fits(record):
            found.append((place, record))
            if len(found) > limit:
                return _page(found[:limit], found[limit - 1][0])
    return _page(found, None)


def _page(found: list[tuple[int, TransactionRecord]], following: int | None) -> TransactionPage:
    return TransactionPage(records=[one for _, one in found], places=[place for place, _ in found], next=following)


def place_of(record: TransactionRecord) -> int:
    """Return the place of a transaction among those of all processes: when it changed, and what tells it apart."""
    ended = TransactionRecord.KEPT_FOR - LONGEST if record.state == "ended" else 0.0
    named = f"{record.identity.casefold()}\0{record.number}".encode("utf-8", "surrogatepass")
    return int((record.kept_at + ended) * 1e6) << _NAMED_BITS | crc32(named) & (1 << _NAMED_BITS) - 1


@lru_cache(maxsize=64)
def _matcher(glob: str) -> Callable[[str], object]:
    return re.compile(translate(glob.casefold())).match
