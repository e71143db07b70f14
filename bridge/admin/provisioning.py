"""The endpoints for the settings of Charge Points: read them, give them, import and export them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Literal, Protocol

from msgspec import UNSET, Meta, Struct, UnsetType

from bridge.admin.answers import AdminAnswer
from bridge.admin.endpoints import CSV, AdminEndpoint, AdminRequest, Nothing, OfAllNodes
from bridge.admin.facts import Fact

_Text = Annotated[str, Meta(max_length=2000)]
_Secret = Annotated[str, Meta(min_length=1, max_length=2000)]
_Network = Annotated[str, Meta(max_length=50, description="10.1.0.0/16")]
_Networks = Annotated[list[_Network], Meta(max_length=1000)]
_TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
NOT_FOUND, CONFLICT, UNPROCESSABLE = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY
# The most octets of a CSV file: 100 000 lines of 300.
_MOST_CSV = 32 * 1_048_576


class TlsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """TLS of POSTs to the Charge Point. `ca`, `certificate` and `key` are paths of files on the bridge's machine."""

    ca: _Text = ""
    certificate: _Text = ""
    key: _Text = ""
    minimum_version: _TlsVersion = "1.2"
    ciphers: _Text = ""


class ChargePointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings of a Charge Point: the keys of its table in the configuration file. A missing key is the default."""

    callback_url: _Text = ""
    central_system_identity: _Text = ""
    password: _Secret | None = None
    central_system_password: _Secret | None = None
    certificate_name: _Text = ""
    networks: _Networks = []
    token: _Secret | None = None
    tls: TlsSettings | None = None


class ChargePointChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of the settings of a Charge Point. A missing key stays as it is; null sets the default."""

    callback_url: _Text | UnsetType | None = UNSET
    central_system_identity: _Text | UnsetType | None = UNSET
    password: _Secret | UnsetType | None = UNSET
    central_system_password: _Secret | UnsetType | None = UNSET
    certificate_name: _Text | UnsetType | None = UNSET
    networks: _Networks | UnsetType | None = UNSET
    token: _Secret | UnsetType | None = UNSET
    tls: TlsSettings | UnsetType | None = UNSET


class ShownSettings(Fact, frozen=True, kw_only=True):
    """The settings of a Charge Point, without the values of secrets.

    Attributes:
        source: "file" if they are in the configuration file, "api" if an operator gave them.
        secrets: The keys of the secrets that are set.
    """

    identity: str
    source: Literal["file", "api"]
    callback_url: str
    central_system_identity: str
    certificate_name: str
    networks: list[str]
    tls: TlsSettings | None
    secrets: list[Literal["password", "central_system_password", "token"]]


class SettingsChange(Fact, frozen=True, kw_only=True):
    """The outcome of a change. `kept` is true if it survives a restart, false if the store failed."""

    settings: ShownSettings
    outcome: Literal["created", "changed", "unchanged"]
    audit_id: int
    kept: bool


class ImportReport(Fact, frozen=True, kw_only=True):
    """The outcome of an import.

    Attributes:
        rows: The number of Charge Points in the file.
        created: The number of those that had no settings.
        changed: The number of those whose settings changed.
        unchanged: The number of those whose settings are the same.
        dry_run: Whether the file was only checked.
        audit_id: The number of the import in the audit, None if nothing changed.
        kept: Whether the changes survive a restart; false if the store failed.
    """

    rows: int
    created: int
    changed: int
    unchanged: int
    dry_run: bool
    audit_id: int | None = None
    kept: bool = True


class ExportedSettings(Struct, frozen=True, kw_only=True):
    """The parts of a CSV file: its header, and its rows with the casefolded identities by which they are sorted."""

    header: str
    rows: list[tuple[str, str]]


class ImportQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of an import. With `dry_run`, the file is checked and nothing is changed."""

    dry_run: bool = False


class FleetSettings(Protocol):
    """Reads and changes the settings of Charge Points with the keys `identity`. `who` is the operator, for the audit.

    Each method raises RequestRefused.
    """

    def settings(self, identity: str) -> ShownSettings:
        """Return the settings of a Charge Point. Raises RequestRefused (404) if it has none of its own."""

    async def put(self, identity: str, settings: ChargePointSettings, who: str) -> SettingsChange:
        """Give a Charge Point these settings in place of those that it has.

        Args:
            identity: The Charge Point.
            settings: The settings.
            who: The operator.

        Raises:
            RequestRefused: 400 invalid settings, 409 the file has settings of it, no Route takes it, or too many.
        """

    async def patch(self, identity: str, changes: ChargePointChanges, who: str) -> SettingsChange:
        """Change some of the settings of a Charge Point.

        Args:
            identity: The Charge Point.
            changes: The changes.
            who: The operator.

        Raises:
            RequestRefused: 400 invalid settings, 404 it has none, 409 the file has settings of it.
        """

    async def import_fleet(self, octets: bytes, *, dry_run: bool, who: str, tenant: str) -> ImportReport:
        """Give the Charge Points of a tenant in a CSV file their settings: all of them, or none.

        Args:
            octets: The file.
            dry_run: True only checks the file.
            who: The operator.
            tenant: The tenant.

        Raises:
            RequestRefused: 422 lines of the file cannot be used. `lines` has each of them.
        """

    async def export_fleet(self, *, tenant: str) -> ExportedSettings:
        """Return the settings that operators gave to a tenant's Charge Points, without secrets."""


def endpoints(fleet: FleetSettings) -> list[AdminEndpoint]:
    """Return the endpoints for settings."""
    acting = _Acting(fleet)
    one = "/charge-points/{identity}"
    return [
        AdminEndpoint(
            scope="tenant",
            name="settings",
            method="GET",
            path=f"{one}/settings",
            about="The settings of a Charge Point that has its own, without secrets",
            handle=acting.settings,
            answer=ShownSettings,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="put-settings",
            method="PUT",
            path=one,
            about="Give a Charge Point settings, in place of those that it has",
            handle=acting.put,
            body=ChargePointSettings,
            answer=SettingsChange,
            refusals=(CONFLICT,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="patch-settings",
            method="PATCH",
            path=one,
            about="Change some of the settings of a Charge Point",
            handle=acting.patch,
            body=ChargePointChanges,
            answer=SettingsChange,
            refusals=(NOT_FOUND, CONFLICT),
        ),
        AdminEndpoint(
            scope="tenant",
            name="import",
            method="POST",
            path="/charge-points:import",
            about="Give the Charge Points in a CSV file their settings: all of them, or none",
            handle=acting.import_fleet,
            query=ImportQuery,
            body=bytes,
            takes=CSV,
            most=_MOST_CSV,
            of_all=OfAllNodes(part=ImportReport, merge=merged_reports, trial="dry_run"),
            answer=ImportReport,
            refusals=(UNPROCESSABLE,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="export",
            method="GET",
            path="/charge-points:export",
            about="The settings that operators gave, as a CSV file without secrets",
            handle=acting.export_fleet,
            of_all=OfAllNodes(part=ExportedSettings, merge=merged_export, told=_exported, is_file=True),
            media=CSV,
        ),
    ]


def merged_reports(asked: AdminRequest[ImportQuery, bytes], parts: Sequence[ImportReport]) -> ImportReport:
    """Return the outcome of an import of which each process has done a part."""
    return ImportReport(
        rows=sum(part.rows for part in parts),
        created=sum(part.created for part in parts),
        changed=sum(part.changed for part in parts),
        unchanged=sum(part.unchanged for part in parts),
        dry_run=asked.query.dry_run,
        audit_id=min((part.audit_id for part in parts if part.audit_id is not None), default=None),
        kept=all(part.kept for part in parts),
    )


def merged_export(asked: AdminRequest[Nothing, None], parts: Sequence[ExportedSettings]) -> ExportedSettings:
    """Return the settings of a fleet from those of its parts."""
    return ExportedSettings(header=parts[0].header, rows=sorted(row for part in parts for row in part.rows))


def _exported(asked: AdminRequest[Nothing, None], settings: ExportedSettings) -> AdminAnswer:
    headers = {"Content-Disposition": 'attachment; filename="charge-points.csv"'}
    text = "".join([settings.header, *(row for _, row in settings.rows)])
    return AdminAnswer(media=f"{CSV}; charset=utf-8", headers=headers, body=text.encode())


class _Acting:
    def __init__(self, fleet: FleetSettings) -> None:
        self._fleet = fleet

    async def settings(self, asked: AdminRequest[Nothing, None]) -> ShownSettings:
        return self._fleet.settings(asked.named["identity"])

    async def put(self, asked: AdminRequest[Nothing, ChargePointSettings]) -> SettingsChange:
        return await self._fleet.put(asked.named["identity"], asked.body, asked.who)

    async def patch(self, asked: AdminRequest[Nothing, ChargePointChanges]) -> SettingsChange:
        return await self._fleet.patch(asked.named["identity"], asked.body, asked.who)

    async def import_fleet(self, asked: AdminRequest[ImportQuery, bytes]) -> ImportReport:
        dry_run = asked.query.dry_run
        return await self._fleet.import_fleet(asked.body, dry_run=dry_run, who=asked.who, tenant=asked.tenant)

    async def export_fleet(self, asked: AdminRequest[Nothing, None]) -> ExportedSettings:
        return await self._fleet.export_fleet(tenant=asked.tenant)
