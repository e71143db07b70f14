"""Read the configuration from files and the environment into frozen records. No other package reads settings.

    records      the tables of the file: each key with its type, bounds and default
    sources      read a file, and put the environment into the tree of raw values
    includes     join the files of a configuration into that tree
    reading      convert raw values to records; read the files of secrets
    packs        read the files of quirk packs
    zones        parse the zone that is assumed for timestamps without one
    listeners    the place of each listener in the file, and its name
    changes      find changed keys that need a restart
    access       check the authentication of routes, and secrets
    oidc         check the sign-in of operators at an OpenID Connect provider
    outgoing     check the credentials of requests to Central Systems
    provisioned  read settings of Charge Points that come through the admin API
    fleet        read and write a CSV file of Charge Points
    policies     check policies, and find those that cost a transaction
    exposure     find listeners, commands and secrets that need no credentials
    again        refuse a truncated or emptied file at a reload
    cluster      check the settings of several processes, and give each worker its part of the configuration
    checking     check keys against each other
    urls         check addresses
    tenants      the host names, addresses and Charge Points of each tenant, and checks of their names
    tls          check TLS tables
    receivers    check the receivers of events
    shapes       look up the keys and types of the records
    complaints   write and collect complaints

All complaints are collected before they are reported. Each names the file and the key, or the environment variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bridge.config import includes, packs, sources
from bridge.config.access import cautions
from bridge.config.again import Seen
from bridge.config.checking import check
from bridge.config.complaints import Complaints
from bridge.config.exposure import exposed
from bridge.config.listeners import check_once
from bridge.config.reading import read_table
from bridge.config.records import (
    TLS,
    Accept,
    Admin,
    AdminToken,
    CentralSystem,
    ChargePoint,
    ClientTLS,
    Cluster,
    ClusterTLS,
    EventReceiver,
    FurtherCentralSystem,
    Gateway,
    Limits,
    Listen,
    Listener,
    Match,
    Network,
    Observers,
    Oidc,
    Pack,
    Policy,
    Protocol,
    Quirks,
    Recorder,
    Route,
    Secret,
    SecretFile,
    Settings,
    Soap,
    Store,
    Tenant,
    TLSVersion,
    Tolerance,
    Tracing,
    WebSocket,
)
from bridge.config.zones import zone_of

__all__ = [
    "TLS",
    "Accept",
    "Admin",
    "AdminToken",
    "CentralSystem",
    "ChargePoint",
    "ClientTLS",
    "Cluster",
    "ClusterTLS",
    "EventReceiver",
    "FurtherCentralSystem",
    "Gateway",
    "Limits",
    "Listen",
    "Listener",
    "Match",
    "Network",
    "Observers",
    "Oidc",
    "Pack",
    "Policy",
    "Protocol",
    "Quirks",
    "Recorder",
    "Route",
    "Secret",
    "SecretFile",
    "Seen",
    "Settings",
    "Soap",
    "Store",
    "TLSVersion",
    "Tenant",
    "Tolerance",
    "Tracing",
    "WebSocket",
    "cautions",
    "exposed",
    "files",
    "load",
    "zone_of",
]


def files(path: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the paths of all files that `load` reads tables from, the main file first."""
    return includes.files_of(sources.find(path, environ), environ)


def load(path: Path | None, environ: Mapping[str, str], seen: Seen | None = None) -> Settings:
    """Return the configuration in the file, the files that it includes, and the environment.

    Args:
        path: The file. None takes the file that OCPP_BRIDGE_CONFIG names, else conf/bridge.toml under the working
            directory if that file exists, else the built-in defaults.
        environ: Environment variables, which override the file.
        seen: If given, compares the file with its earlier content, to detect a truncated or emptied file.

    Raises:
        ConfigurationError: Part of the configuration cannot be used. Holds every complaint.
    """
    found = sources.find(path, environ)
    complaints = Complaints(sources.name_of(found))
    read = includes.read(found, environ, complaints)
    if seen is not None:
        # A file that was cut off may also cause other complaints, which would only mislead.
        complaints.stop()
        seen.look(read.contents, read.tree, complaints)
        complaints.stop()
    tree = sources.with_defaults(read.tree)
    sources.override(tree, environ, complaints)
    check_once(tree, complaints)
    settings = read_table(Settings, tree, (), complaints)
    check(settings, complaints)
    settings = msgspec.structs.replace(settings, packs=packs.read(settings.gateway.quirks, complaints))
    complaints.stop()
    return settings
