"""Read the settings of a Charge Point that come through the admin API, with the checks that the file has.

The raw settings have the keys of the table `[charge_points."ID"]`. A secret is its own text: keys that name files with
secrets are for the configuration file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bridge.config.access import check_secrets
from bridge.config.checking import check_charge_point
from bridge.config.complaints import Complaints
from bridge.config.reading import read_table
from bridge.config.records import ChargePoint, ClientTLS, Secret
from bridge.config.shapes import fields, present
from bridge.ocpp import identity as identities

Raw = Mapping[str, Any]
# The keys whose values are never shown.
SECRETS = tuple(field.name for field in fields(ChargePoint) if present(field.type) is Secret)
PASSWORD, TLS = "password", "tls"
TLS_KEYS = tuple(field.name for field in fields(ClientTLS))
KEYS = tuple(field.name for field in fields(ChargePoint))


class SettingsFault(Struct, frozen=True, kw_only=True):
    """A fault of the settings. `key` is "" if the identity is at fault."""

    key: str
    text: str


def identity_fault(identity: str) -> str:
    """Return why no Charge Point can have the identity, "" if one can."""
    if not identity.strip():
        return "the identity is empty"
    if identity != identity.strip():
        return "the identity has blanks around it"
    try:
        identities.read(identity)
    except ValueError as error:
        return str(error)
    return ""


def read(identity: str, raw: Raw) -> tuple[ChargePoint, list[SettingsFault]]:
    """Return the settings of one Charge Point, and their faults. Checks whether the TLS files that they name exist."""
    if fault := identity_fault(identity):
        return ChargePoint(), [SettingsFault(key="", text=fault)]
    complaints = Complaints("")
    own = read_table(ChargePoint, dict(raw), (), complaints)
    check_charge_point((), identity, own, complaints)
    check_secrets((), own, complaints)
    return own, [SettingsFault(key=each.key, text=each.text) for each in complaints.found]


def restored(raw: Raw) -> ChargePoint | None:
    """Return stored settings, None if they cannot be read. A TLS file may be missing by now."""
    complaints = Complaints("")
    own = read_table(ChargePoint, dict(raw), (), complaints)
    return None if complaints.found else own
