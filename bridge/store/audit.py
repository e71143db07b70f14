"""Which records of the audit a reader wants. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache

from msgspec import Struct

from bridge.ocpp.tenants import identity_of, tenant_of
from bridge.store.records import AuditRecord


class AuditQuery(Struct, frozen=True, kw_only=True):
    """A filter. None takes every record.

    Attributes:
        tenant: The tenant of the Charge Point.
        identity: A glob on the identity of the Charge Point. Letter case does not count, here and below.
        who: A glob on the operator.
        what: A glob on the action.
        since: The time of the oldest record, in unix seconds.
        until: The time before which the newest record is, in unix seconds.
        before: The id that is higher than all ids.
    """

    tenant: str | None = None
    identity: str | None = None
    who: str | None = None
    what: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None

    def fits(self, record: AuditRecord) -> bool:
        """Return whether a reader wants `record`."""
        return (
            (self.before is None or record.id < self.before)
            and (self.tenant is None or tenant_of(record.identity) == self.tenant)
            and (self.since is None or record.at >= self.since)
            and (self.until is None or record.at < self.until)
            and all(
                glob is None or _matcher(glob)(text.casefold()) is not None
                for glob, text in (
                    (self.identity, identity_of(record.identity)),
                    (self.who, record.who),
                    (self.what, record.what),
                )
            )
        )

    def is_over(self, record: AuditRecord) -> bool:
        """Return whether `record` and all records with lower ids are too old.

        An id is at least the time in microseconds, and ids grow even if the clock is set back.
        """
        return self.since is not None and record.id < self.since * 1e6


@lru_cache(maxsize=64)
def _matcher(glob: str) -> Callable[[str], object]:
    return re.compile(translate(glob.casefold())).match


def newest(records: Iterable[AuditRecord], limit: int) -> list[AuditRecord]:
    """Return the `limit` records with the highest ids, the highest first, each id once."""
    by_id = {record.id: record for record in records}
    return [by_id[number] for number in sorted(by_id, reverse=True)[:limit]]
