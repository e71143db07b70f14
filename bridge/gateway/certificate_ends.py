"""Watch the ends of the certificates that the bridge shows to its peers, at listeners and on its own connections.

A certificate that ends soon is a line in the log, a warning in `/readyz` and a metric. The ends are read at the start
and on SIGHUP, as the certificates are.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.admin.facts import moment
from bridge.admin.health import CertificateHealth
from bridge.config import Settings
from bridge.config.listeners import places
from bridge.config.tls import client_tables
from bridge.net.certificates import end_of
from bridge.net.tls import complaints
from bridge.watching import logs

_log = logging.getLogger("bridge.trust")
_DAY = 86400.0
# Seconds before the end of a certificate from which on the bridge warns.
_SOON = 30 * _DAY
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateEnds:
    """The ends of the certificates in use. `clock` returns the time in unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def take(self, ends: Mapping[str, float | None]) -> None:
        """Take over what `read_ends` returned, and log each certificate that ends soon.

        The certificate of a table whose files cannot be used any more stays in use, and its end stays known.
        """
        known = {table: end if end is not None else self._ends.get(table) for table, end in ends.items()}
        self._ends = {table: end for table, end in known.items() if end is not None}
        for table, warning in self.warnings().items():
            text = "the certificate has ended" if warning.days < 0 else "the certificate ends soon"
            logs.fields(_log, logging.WARNING, text, key=table, ends=warning.ends, days=warning.days)

    def warnings(self) -> dict[str, CertificateHealth]:
        """Return the certificates that end within 30 days, by the path of their table."""
        now = self._clock()
        return {
            table: CertificateHealth(ends=moment(end), days=int((end - now) // _DAY))
            for table, end in self._ends.items()
            if end - now < _SOON
        }

    def by_table(self) -> dict[str, float]:
        """Return the ends in unix seconds, by the path of their table.

        The tables of Charge Points are one entry, the first that ends: their paths hold identities, which no metric
        may.
        """
        found: dict[str, float] = {}
        for table, end in self._ends.items():
            name = "charge_points" if table.startswith("charge_points.") else table
            found[name] = min(end, found.get(name, end))
        return found


def read_ends(settings: Settings, *, again: bool = False) -> dict[str, float | None]:
    """Return when the certificate of each TLS table ends, in unix seconds; None if its files cannot be used.

    Of a file with a chain, the certificate that ends first counts. Tables without a certificate are left out.

    Args:
        settings: The configuration.
        again: Whether the bridge runs already, so that unusable files leave those in use that it read before. The files
            are then tried, which takes a while: call this in another thread.
    """
    listeners = [(f"{place.key}.tls", place.table.tls) for place in places(settings) if place.table.tls is not None]
    clients = [(key, tls) for key, tls in client_tables(settings) if tls.certificate]
    files = {key: tls.certificate for key, tls in listeners} | {key: tls.certificate for key, tls in clients}
    faults = {complaint.key for complaint in complaints(listeners, clients)} if again else set()
    return {key: None if key in faults else _first_end(file) for key, file in files.items()}


def _first_end(file: str) -> float | None:
    try:
        text = Path(file).read_text("latin-1")
        return min((end_of(ssl.PEM_cert_to_DER_cert(pem)).timestamp() for pem in _PEM.findall(text)), default=None)
    except (OSError, ValueError):
        return None
