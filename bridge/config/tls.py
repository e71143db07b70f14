"""What cannot work in a table of TLS. Complaints never hold a file's name: the key itself may stand there."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import TLS, ClientTLS, Settings


def check_tls(path: KeyPath, tls: TLS, complaints: Complaints) -> None:
    """Complain about a listener's."""
    for key, name in (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca)):
        if name or key != "client_ca":
            check_exists((*path, key), name, "file", complaints)
    if tls.client_certificate is not None and not tls.client_ca:
        complaints.add((*path, "client_certificate"), "needs client_ca, which says whose certificates are accepted")
    _check_ciphers(path, tls.ciphers, ssl.PROTOCOL_TLS_SERVER, complaints)


def check_client_tls(path: KeyPath, tls: ClientTLS | None, url: str, complaints: Complaints) -> None:
    """Complain about that of connections to `url`; "" is an address that is learnt."""
    if tls is None:
        return
    for key, name in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key)):
        if name:
            check_exists((*path, key), name, "file", complaints)
    if bool(tls.certificate) != bool(tls.key):
        complaints.add((*path, "key" if tls.certificate else "certificate"), "missing: the two belong together")
    if url and not url.lower().startswith(("https:", "wss:")):
        complaints.add(path, "is of no use: the address does not begin with https:// or wss://")
    _check_ciphers(path, tls.ciphers, ssl.PROTOCOL_TLS_CLIENT, complaints)


def client_tables(settings: Settings) -> Iterator[tuple[str, ClientTLS]]:
    """All tables of TLS for connections that the bridge makes, with their keys."""
    for name, system in settings.central_systems.items():
        if system.tls is not None:
            yield dotted(("central_systems", name, "tls")), system.tls
    for identity, charge_point in settings.charge_points.items():
        if charge_point.tls is not None:
            yield dotted(("charge_points", identity, "tls")), charge_point.tls


def _check_ciphers(path: KeyPath, ciphers: str, protocol: int, complaints: Complaints) -> None:
    try:
        if ciphers:
            ssl.SSLContext(protocol).set_ciphers(ciphers)
    except (ssl.SSLError, ValueError):
        complaints.add((*path, "ciphers"), f"OpenSSL knows none of {quote(ciphers)}")


def check_exists(path: KeyPath, name: str, kind: str, complaints: Complaints) -> None:
    """Complain if `name` is no `kind`, "file" or "folder"."""
    try:
        exists = Path(name).exists() and Path(name).is_dir() == (kind == "folder")
    except (OSError, ValueError):
        exists = False
    if not exists:
        # Without its name: a key pasted where the name of its file belongs stays unseen.
        complaints.add(path, f"there is no such {kind}")
