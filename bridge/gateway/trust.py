"""Whom the bridge trusts where it connects, and what it shows there: the TLS of Central Systems and of callbacks."""

from __future__ import annotations

import logging

from bridge import logs
from bridge.config import Settings
from bridge.config.tls import client_tables
from bridge.tls import ClientContexts, speaks_old

_log = logging.getLogger("bridge.trust")


class Trust(ClientContexts):
    """The contexts of one configuration."""

    def take_over(self, settings: Settings) -> None:
        """Read the files of `settings`; those that could be read before, and cannot now, stay in use as they were.
        Raises ConfigurationError if others cannot be read; then all is as before."""
        tables = list(client_tables(settings))
        for complaint in self.load(tables):
            logs.fields(_log, logging.ERROR, "NOT TAKEN OVER, the last good files stay in use", complaint=complaint)
        for key, tls in tables:
            if speaks_old(tls):
                text = "OLD TLS IS ADMITTED, which others can read and change"
                logs.fields(_log, logging.WARNING, text, key=key, minimum_version=tls.minimum_version)
