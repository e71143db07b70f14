"""Work out what an import of Charge Points would change, and hash passwords. Threads run this code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from bridge.access import passwords
from bridge.config.fleet import BadLine, FleetRow, parse
from bridge.config.provisioned import PASSWORD, TLS, Raw, SettingsFault, read, restored
from bridge.gateway.stored_settings import StoredEntry
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants

Outcome = Literal["created", "changed", "unchanged"]
_PREFIX = passwords.PREFIX.decode()


class PlannedRow(Struct, frozen=True, kw_only=True):
    """A row whose settings are valid. `before` is the present entry, None if there is none."""

    line: int
    identity: str
    raw: Mapping[str, Any]
    before: StoredEntry | None

    def __repr__(self) -> str:
        return f"PlannedRow({self.line}, {self.identity!r})"


class ImportPlan(Struct, frozen=True, kw_only=True):
    """The rows of a file, and the lines that cannot be used, in the order of the file."""

    rows: tuple[PlannedRow, ...]
    bad: tuple[BadLine, ...]


def plan(
    octets: bytes,
    present: Callable[[str], StoredEntry | None],
    fault_of: Callable[[str], str],
    tenant: str = tenants.DEFAULT,
    serves: Callable[[str], bool] = lambda key: True,
) -> ImportPlan:
    """Return the plan of an import.

    Args:
        octets: The CSV file.
        present: Returns the present entry of a Charge Point, by its key.
        fault_of: Returns why a Charge Point with a key cannot be given settings, "" if it can.
        tenant: The tenant of the Charge Points.
        serves: Returns whether this process has a Charge Point. The rows of others are left out.
    """
    fleet = parse(octets)
    rows: list[PlannedRow] = []
    bad = list(fleet.bad)
    for row in fleet.rows:
        if not serves(tenants.key_of(tenant, identities.normal(row.identity))):
            continue
        planned, faults = _planned(row, present, fault_of, tenant)
        bad += faults
        if not faults:
            rows.append(planned)
    return ImportPlan(rows=tuple(rows), bad=tuple(sorted(bad, key=lambda each: each.line)))


def _planned(
    row: FleetRow, present: Callable[[str], StoredEntry | None], fault_of: Callable[[str], str], tenant: str
) -> tuple[PlannedRow, list[BadLine]]:
    identity = identities.normal(row.identity)
    key = tenants.key_of(tenant, identity)
    before = present(key)
    raw = row.applied_to({} if before is None else before.raw)
    _, faults = read(identity, raw)
    faults += foreign_files(tenant, raw)
    bad = [BadLine(line=row.line, identity=row.identity, column=each.key, text=each.text) for each in faults]
    if fault := fault_of(key):
        bad.append(BadLine(line=row.line, identity=row.identity, text=fault))
    return PlannedRow(line=row.line, identity=key, raw=raw, before=before), bad


def foreign_files(tenant: str, raw: Raw) -> list[SettingsFault]:
    """Return a fault if settings that came through the API for a tenant name files of the bridge's machine."""
    if tenant == tenants.DEFAULT or not raw.get(TLS):
        return []
    text = "names files of the bridge's machine, which belong to no tenant: set it in the configuration file"
    return [SettingsFault(key=TLS, text=text)]


def at_rest(raw: Raw, before: Raw, cost: int) -> Raw:
    """Return `raw` with its password hashed. The hash in `before` stays if it is that of the same password.

    Args:
        raw: The new settings.
        before: The stored settings.
        cost: N of scrypt for a new hash.
    """
    password, stored = raw.get(PASSWORD), before.get(PASSWORD)
    if password is None or password.startswith(_PREFIX):
        return raw
    if stored is not None and passwords.matches(passwords.read(stored.encode()), password.encode()):
        return {**raw, PASSWORD: stored}
    return {**raw, PASSWORD: str(passwords.hashed(password.encode(), os.urandom(16), cost))}


def entry_of(identity: str, raw: Raw, before: StoredEntry | None, cost: int) -> StoredEntry:
    """Return the entry to store for valid settings.

    Args:
        identity: The Charge Point.
        raw: Its new settings.
        before: Its present entry, None if there is none. The entry keeps its spelling of the identity.
        cost: N of scrypt for the hash of a new password.
    """
    hashed = at_rest(raw, {} if before is None else before.raw, cost)
    own = restored(hashed)
    assert own is not None  # all settings were read before
    return StoredEntry(identity=identity if before is None else before.identity, raw=hashed, own=own)


def entries_of(rows: Sequence[PlannedRow], cost: int) -> list[StoredEntry]:
    """Return the entries to store for rows of a file. `cost` is N of scrypt for the hashes of new passwords."""
    return [entry_of(row.identity, row.raw, row.before, cost) for row in rows]


def outcome_of(entry: StoredEntry, before: StoredEntry | None) -> Outcome:
    """Return how `entry` differs from the present entry."""
    if before is None:
        return "created"
    return "unchanged" if entry.raw == before.raw else "changed"
