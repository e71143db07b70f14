"""Whom the bridge trusts where it connects, and what it shows there: the TLS of Central Systems and of callbacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from bridge import logs
from bridge.config import ClientTLS, Settings
from bridge.config.complaints import dotted
from bridge.tls import ClientContexts, speaks_old

_log = logging.getLogger("bridge.trust")


class Trust(ClientContexts):
    """The contexts of one configuration."""

    def take_over(self, settings: Settings) -> None:
        """Read the files of `settings`; those that could be read before, and cannot now, stay in use as they were.
        Raises ConfigurationError if others cannot be read; then all is as before."""
        tables = list(_tables(settings))
        for complaint in self.load(tables):
            logs.fields(_log, logging.ERROR, "NOT TAKEN OVER, the last good files stay in use", complaint=complaint)
        for key, tls in tables:
            if speaks_old(tls):
                text = "OLD TLS IS ADMITTED, which others can read and change"
                logs.fields(_log, logging.WARNING, text, key=key, minimum_version=tls.minimum_version)


def _tables(settings: Settings) -> Iterator[tuple[str, ClientTLS]]:
    for name, system in settings.central_systems.items():
        if system.tls is not None:
            yield dotted(("central_systems", name, "tls")), system.tls
    for identity, charge_point in settings.charge_points.items():
        if charge_point.tls is not None:
            yield dotted(("charge_points", identity, "tls")), charge_point.tls
