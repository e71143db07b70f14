"""The configuration: files and environment in, frozen records out. Nobody else reads either for settings.

    records      the tables: each key, its type, bounds and default, once
    sources      the file and the environment, joined into one tree of raw values
    reading      raw values -> records; files of secrets
    packs        the files of quirk packs
    zones        what a time stamp without a zone may be taken for
    listeners    where each listener stands in the file, and what it is called
    changes      what a bridge that runs cannot take over
    access       ways in that nobody can take, or everybody
    checking     what only shows when keys are seen together; tls the same, of tables of TLS
    shapes, complaints    how the records are walked; how a complaint is put

Every complaint is collected before anything is said, and names the file and key, or the variable, that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bridge.config import packs, sources
from bridge.config.access import cautions
from bridge.config.checking import check
from bridge.config.complaints import Complaints
from bridge.config.listeners import check_once
from bridge.config.reading import read_table
from bridge.config.records import (
    TLS,
    Accept,
    Admin,
    CentralSystem,
    ChargePoint,
    ClientTLS,
    Gateway,
    Limits,
    Listen,
    Listener,
    Match,
    Network,
    Pack,
    Protocol,
    Quirks,
    Recorder,
    Route,
    Secret,
    Settings,
    Soap,
    Store,
    TLSVersion,
    Tolerance,
    Tracing,
    WebSocket,
)
from bridge.config.zones import zone_of
from bridge.errors import ConfigurationError

__all__ = [
    "TLS",
    "Accept",
    "Admin",
    "CentralSystem",
    "ChargePoint",
    "ClientTLS",
    "Gateway",
    "Limits",
    "Listen",
    "Listener",
    "Match",
    "Network",
    "Pack",
    "Protocol",
    "Quirks",
    "Recorder",
    "Route",
    "Secret",
    "Settings",
    "Soap",
    "Store",
    "TLSVersion",
    "Tolerance",
    "Tracing",
    "WebSocket",
    "cautions",
    "load",
    "zone_of",
]


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration, from the file at `path` and from `environ`, which overrides it.

    Without `path`, the file that OCPP_BRIDGE_CONFIG names, else conf/bridge.toml under the working directory if it is
    there, else the built-in defaults. Raises ConfigurationError, with every complaint, if any part cannot be used.
    """
    found = sources.find(path, environ)
    tree = sources.with_defaults({} if found is None else sources.read(found))
    complaints = Complaints(sources.name_of(found))
    sources.override(tree, environ, complaints)
    check_once(tree, complaints)
    settings = read_table(Settings, tree, (), complaints)
    check(settings, complaints)
    settings = msgspec.structs.replace(settings, packs=packs.read(settings.gateway.quirks, complaints))
    if complaints.found:
        raise ConfigurationError(complaints.found)
    return settings
