"""Check the TLS tables of listeners and clients.

A complaint never holds the name of a file, because an operator may have pasted the key there.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import TLS, ClientTLS, Settings
from bridge.config.tenants import charge_points


def check_tls(path: KeyPath, tls: TLS, complaints: Complaints) -> None:
    """Complain about the TLS table of a listener.

    Args:
        path: Path of the table, for complaints.
        tls: The table.
        complaints: Receives the complaints.
    """
    for key, name in (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca)):
        if name or key != "client_ca":
            check_exists((*path, key), name, "file", complaints)
    if tls.client_certificate is not None and not tls.client_ca:
        complaints.add((*path, "client_certificate"), "needs client_ca, which says whose certificates are accepted")
    _check_ciphers(path, tls.ciphers, ssl.PROTOCOL_TLS_SERVER, complaints)


def check_client_tls(
    path: KeyPath,
    tls: ClientTLS | None,
    url: str,
    complaints: Complaints,
    secure: tuple[str, ...] = ("https:", "wss:"),
) -> None:
    """Complain about the TLS table of connections to `url`. An empty `url` is learnt later.

    Args:
        path: Path of the table, for complaints.
        tls: The table; None causes no complaint.
        url: URL that the bridge connects to.
        complaints: Receives the complaints.
        secure: The schemes of URLs that TLS is used for.
    """
    if tls is None:
        return
    for key, name in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key)):
        if name:
            check_exists((*path, key), name, "file", complaints)
    if bool(tls.certificate) != bool(tls.key):
        complaints.add((*path, "key" if tls.certificate else "certificate"), "missing: the two belong together")
    if url and not url.lower().startswith(secure):
        wanted = " or ".join(f"{scheme}//" for scheme in secure)
        complaints.add(path, f"is of no use: the address does not begin with {wanted}")
    _check_ciphers(path, tls.ciphers, ssl.PROTOCOL_TLS_CLIENT, complaints)


def client_tables(settings: Settings) -> Iterator[tuple[str, ClientTLS]]:
    """Return all TLS tables of connections that the bridge opens, each with its key."""
    for name, system in settings.central_systems.items():
        if system.tls is not None:
            yield dotted(("central_systems", name, "tls")), system.tls
    for path, _, _, charge_point in charge_points(settings):
        if charge_point.tls is not None:
            yield dotted((*path, "tls")), charge_point.tls
    for index, receiver in enumerate(settings.events):
        if receiver.tls is not None:
            yield dotted(("events", index, "tls")), receiver.tls
    if settings.admin.oidc is not None and settings.admin.oidc.tls is not None:
        yield dotted(("admin", "oidc", "tls")), settings.admin.oidc.tls


def _check_ciphers(path: KeyPath, ciphers: str, protocol: int, complaints: Complaints) -> None:
    try:
        if ciphers:
            ssl.SSLContext(protocol).set_ciphers(ciphers)
    except (ssl.SSLError, ValueError):
        complaints.add((*path, "ciphers"), f"OpenSSL knows none of {quote(ciphers)}")


def check_exists(path: KeyPath, name: str, kind: str, complaints: Complaints) -> None:
    """Complain if a file or folder does not exist.

    Args:
        path: Path of the key, for complaints.
        name: Path of the file or folder.
        kind: "file" or "folder".
        complaints: Receives the complaint.
    """
    try:
        exists = Path(name).exists() and Path(name).is_dir() == (kind == "folder")
    except (OSError, ValueError):
        exists = False
    if not exists:
        # The complaint leaves out the name: an operator may have pasted the key itself.
        complaints.add(path, f"there is no such {kind}")
