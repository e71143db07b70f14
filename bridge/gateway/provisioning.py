"""Give Charge Points settings while the bridge runs: one by one, or all of a CSV file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus

import msgspec

from bridge.access import passwords
from bridge.admin.problems import ProblemLine, RequestRefused
from bridge.admin.provisioning import (
    ChargePointChanges,
    ChargePointSettings,
    ExportedSettings,
    ImportReport,
    SettingsChange,
    ShownSettings,
    TlsSettings,
)
from bridge.config import Settings, fleet
from bridge.config.fleet import BadLine
from bridge.config.provisioned import SECRETS, Raw, SettingsFault, identity_fault, read
from bridge.errors import ConfigurationError
from bridge.gateway.audit import Audit
from bridge.gateway.import_plan import (
    ImportPlan,
    PlannedRow,
    entries_of,
    entry_of,
    foreign_files,
    outcome_of,
    plan,
)
from bridge.gateway.listed import ListedChargePoint
from bridge.gateway.placement import Placements
from bridge.gateway.stored_settings import StoredEntry, StoredSettings
from bridge.gateway.tls_contexts import TlsContexts
from bridge.net.tasks import Threads
from bridge.ocpp import identity as identities
from bridge.ocpp.tenants import identity_of, key_of, tenant_of
from bridge.store.kept import LIMIT

BAD, NOT_FOUND, CONFLICT = HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
# Seconds that a change waits for the disk.
_PATIENCE = 30.0
# N of scrypt for the passwords of a file. Thousands of hashes of the usual cost would take minutes. A password of 16
# random characters, as security profiles 1 and 2 of OCPP ask for, cannot be guessed for all that.
_COST_IN_FILES = 2**9
# Threads that hash, and rows that one of them hashes at once.
_WORKERS, _HASHED_AT_ONCE = min(4, os.cpu_count() or 1), 50
# The most rows of a file: the store keeps as many records waiting for the disk.
_MOST_ROWS = LIMIT
# Charge Points that are listed before other work is served: about a millisecond.
_LISTED_AT_ONCE = 200
_OF_FILE = "the configuration file has settings of this Charge Point, which hold; change them there"
_NO_ROUTE = "no route takes this identity"


class Provisioning:
    """Implements `bridge.admin.provisioning.FleetSettings`.

    Args:
        stored: The settings that operators gave.
        audit: Records each change.
        contexts: The TLS contexts.
        settings: Returns the configuration.
        placements: Returns the Placements.
        changed: Called with the identities whose settings have changed.

    Attributes:
        turn: Held during a change. Changes are made one after the other.
    """

    def __init__(
        self,
        stored: StoredSettings,
        audit: Audit,
        contexts: TlsContexts,
        settings: Callable[[], Settings],
        placements: Callable[[], Placements],
        changed: Callable[[Sequence[str]], Awaitable[None]],
        serves: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self._serves = serves
        self._stored = stored
        self._audit = audit
        self._contexts = contexts
        self._settings = settings
        self._placements = placements
        self._changed = changed
        self._threads = Threads(_WORKERS, name="provisioning")
        self.turn = asyncio.Lock()

    def close(self) -> None:
        """Drop the work that has not begun."""
        self._threads.close()

    # Reading.

    def settings(self, identity: str) -> ShownSettings:
        """Return the settings of a Charge Point. Raises RequestRefused if it has none of its own."""
        listed = self._placements().listed.get(identities.normal(identity))
        if listed is None:
            raise RequestRefused(NOT_FOUND, f"the Charge Point {identity_of(identity)!r} has no settings of its own")
        return _shown(listed)

    def has(self, identity: str) -> str | None:
        """Return the identity, as it was first written, if an operator gave the Charge Point settings; else None."""
        entry = self._stored.get(identities.normal(identity))
        return None if entry is None else entry.identity

    def withdraw(self, identity: str) -> bool:
        """Forget the settings that an operator gave to a Charge Point which is about to be removed.

        Call this with `turn` held. Returns whether there were any.
        """
        self._placements().listed.withdraw(identity)
        return self._stored.withdraw(identity)

    async def export_fleet(self, *, tenant: str) -> ExportedSettings:
        """Return the settings that operators gave to a tenant's Charge Points and that hold, sorted by identity."""
        held = [
            (identity_of(entry.identity), entry.raw)
            for entry in self._stored
            if tenant_of(entry.identity) == tenant
            and self._serves(entry.identity)
            and not self._is_of_file(entry.identity)
        ]
        held.sort(key=lambda each: each[0].casefold())
        header, rows = await self._threads.run(lambda: fleet.written(held))
        keys = [identity.casefold() for identity, _ in held]
        return ExportedSettings(header=header, rows=list(zip(keys, rows, strict=True)))

    # Changes of one Charge Point.

    async def put(self, identity: str, settings: ChargePointSettings, who: str) -> SettingsChange:
        """Give a Charge Point settings in place of those that it has. Raises RequestRefused."""
        raw = {key: value for key, value in msgspec.to_builtins(settings).items() if value is not None}
        return await self._change(identity, lambda present: raw, who)

    async def patch(self, identity: str, changes: ChargePointChanges, who: str) -> SettingsChange:
        """Change some of the settings of a Charge Point. Raises RequestRefused."""
        told = msgspec.to_builtins(changes)

        def changed(present: StoredEntry | None) -> Raw:
            if present is None:
                raise RequestRefused(NOT_FOUND, f"nobody gave settings to the Charge Point {identity_of(identity)!r}")
            return {key: value for key, value in {**present.raw, **told}.items() if value not in (None, "", [])}

        return await self._change(identity, changed, who)

    async def _change(self, identity: str, make: Callable[[StoredEntry | None], Raw], who: str) -> SettingsChange:
        if fault := identity_fault(identity_of(identity)):
            raise RequestRefused(BAD, fault, path="identity")
        async with self.turn:
            identity = identities.normal(identity)
            self._check_place(identity)
            before = self._stored.get(identity)
            raw = make(before)
            _, faults = read(identity_of(identity), raw)
            faults += foreign_files(tenant_of(identity), raw)
            if faults:
                raise _invalid(faults)
            if before is None and len(self._stored) >= self._most:
                raise RequestRefused(CONFLICT, self._too_many(len(self._stored) + 1))
            old = {} if before is None else before.raw
            entry = await self._threads.run(lambda: entry_of(identity, raw, before, passwords.COST))
            if unread := await self._read_tls([entry]):
                raise _invalid([SettingsFault(key="tls", text=text) for _, text in unread])
            self._check_place(identity)  # a reload may have changed the file's entries and the routes
            kept = await self._apply([entry])
            outcome = outcome_of(entry, before)
            detail = ", ".join(sorted(key for key in {**old, **entry.raw} if old.get(key) != entry.raw.get(key)))
            number = self._audit.add(entry.identity, who=who, what="settings", detail=detail, outcome=outcome)
        return SettingsChange(settings=self.settings(identity), outcome=outcome, audit_id=number, kept=kept)

    def _check_place(self, identity: str) -> None:
        if fault := self._fault_of(identity):
            raise RequestRefused(CONFLICT, fault)

    def _fault_of(self, identity: str) -> str:
        """Return why a Charge Point cannot be given settings, "" if it can."""
        if self._is_of_file(identity):
            return _OF_FILE
        return "" if self._placements().would_route(identity) else _NO_ROUTE

    def _is_of_file(self, identity: str) -> bool:
        listed = self._placements().listed.get(identity)
        return listed is not None and listed.source == "file"

    async def _read_tls(self, entries: Sequence[StoredEntry]) -> list[tuple[int, str]]:
        """Read the TLS files that `entries` name.

        Returns:
            The index and the fault of each entry whose files cannot be used. Without any, the files are in use.
        """
        tables = [("tls", entry.own.tls) for entry in entries if entry.own.tls is not None]
        if not tables:
            return []
        built = await self._threads.run(partial(self._contexts.read, tables))
        failed = {tls: error for tls, error in built.items() if isinstance(error, ConfigurationError)}
        faults = [
            (index, failed[entry.own.tls].complaints[0].text)
            for index, entry in enumerate(entries)
            if entry.own.tls in failed
        ]
        if not faults:
            self._stored.take(built)
        return faults

    async def _apply(self, entries: Sequence[StoredEntry]) -> bool:
        """Use and store `entries`. Returns whether the disk has them."""
        future = self._stored.put(entries)
        for start in range(0, len(entries), _LISTED_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            listed = self._placements().listed  # a reload replaces them, and lists all that is stored
            for entry in entries[start : start + _LISTED_AT_ONCE]:
                listed.provision(entry.identity, self._stored.without_unusable(entry.own))
        await self._changed([entry.identity for entry in entries])
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), _PATIENCE)
        except TimeoutError:
            return False

    # Import.

    async def import_fleet(self, octets: bytes, *, dry_run: bool, who: str, tenant: str) -> ImportReport:
        """Give a tenant's Charge Points in a CSV file their settings: all of them, or none. Raises RequestRefused."""
        async with self.turn:
            placements = self._placements()
            planned = await self._planned(octets, tenant)
            entries = await self._hashed(planned.rows)
            if faults := await self._read_tls(entries):
                raise _refused([_bad(planned.rows[index], text, "tls") for index, text in faults])
            while placements is not self._placements():  # a reload may have changed the file's entries and the routes
                placements = self._placements()
                await self._planned(octets, tenant)
            outcomes = [outcome_of(entry, row.before) for row, entry in zip(planned.rows, entries, strict=True)]
            report = ImportReport(
                rows=len(entries),
                created=outcomes.count("created"),
                changed=outcomes.count("changed"),
                unchanged=outcomes.count("unchanged"),
                dry_run=dry_run,
            )
            if dry_run:
                return report
            new = [entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome != "unchanged"]
            kept = await self._apply(new) if new else True
            said = f"{report.created} created, {report.changed} changed, {report.unchanged} unchanged"
            several, detail = key_of(tenant, ""), f"{len(entries)} Charge Points"
            number = self._audit.add(several, who=who, what="import", detail=detail, outcome=said)
        return msgspec.structs.replace(report, kept=kept, audit_id=number)

    async def _planned(self, octets: bytes, tenant: str) -> ImportPlan:
        """Return the plan of an import. Raises RequestRefused if a line cannot be used, or is one too many."""
        planned = await self._threads.run(lambda: plan(octets, self._stored.get, self._fault_of, tenant, self._serves))
        if planned.bad:
            raise _refused(planned.bad)
        if len(planned.rows) > _MOST_ROWS:
            raise _refused([_bad(planned.rows[_MOST_ROWS], f"a file has {_MOST_ROWS} Charge Points at most")])
        new, room = [row for row in planned.rows if row.before is None], max(0, self._most - len(self._stored))
        if len(new) > room:
            raise _refused([_bad(new[room], self._too_many(len(self._stored) + len(new)))])
        return planned

    @property
    def _most(self) -> int:
        return self._settings().limits.charge_points

    def _too_many(self, after: int) -> str:
        return f"{after} Charge Points would have settings, and limits.charge_points is {self._most}"

    async def _hashed(self, rows: Sequence[PlannedRow]) -> list[StoredEntry]:
        """Return the entries to store. The passwords are hashed in several threads."""
        parts = [rows[start : start + _HASHED_AT_ONCE] for start in range(0, len(rows), _HASHED_AT_ONCE)]
        done = await asyncio.gather(*(self._threads.run(partial(entries_of, part, _COST_IN_FILES)) for part in parts))
        return [entry for part in done for entry in part]


def _invalid(faults: Sequence[SettingsFault]) -> RequestRefused:
    detail = "; ".join(f"{each.key}: {each.text}" if each.key else each.text for each in faults)
    return RequestRefused(BAD, detail, path=faults[0].key)


def _bad(row: PlannedRow, text: str, column: str = "") -> BadLine:
    return BadLine(line=row.line, identity=identity_of(row.identity), text=text, column=column)


def _refused(bad: Sequence[BadLine]) -> RequestRefused:
    lines = [ProblemLine(line=each.line, column=each.column, identity=each.identity, detail=each.text) for each in bad]
    number = len({each.line for each in bad})
    count = "1 line" if number == 1 else f"{number} lines"
    text = f"{count} of the file cannot be used, and nothing was imported; {fleet.described(bad[0])}"
    return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, text, lines=lines)


def _shown(listed: ListedChargePoint) -> ShownSettings:
    own = listed.own
    return ShownSettings(
        identity=listed.identity,
        source=listed.source,
        callback_url=own.callback_url,
        central_system_identity=own.central_system_identity,
        certificate_name=own.certificate_name,
        networks=[str(network) for network in own.networks],
        tls=None if own.tls is None else TlsSettings(**msgspec.structs.asdict(own.tls)),
        secrets=[key for key in SECRETS if getattr(own, key) is not None],  # type: ignore[misc]
    )
