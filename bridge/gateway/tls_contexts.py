"""The TLS contexts for connections that the bridge opens: to Central Systems and to callback addresses."""

from __future__ import annotations

import logging

from bridge.config import Settings
from bridge.config.tls import client_tables
from bridge.net.tls import Built, ClientContexts, speaks_old
from bridge.watching import logs

_log = logging.getLogger("bridge.trust")


class TlsContexts(ClientContexts):
    """The TLS contexts of one configuration."""

    def read_for(self, settings: Settings) -> Built:
        """Read the TLS files of `settings`. Any thread may call it."""
        return self.read(client_tables(settings))

    def take_over(self, settings: Settings, built: Built) -> None:
        """Use the contexts that were built for `settings`.

        A context of files that could be read before and cannot be read now stays in use.

        Raises:
            ConfigurationError: Other files cannot be read. Then nothing is changed.
        """
        tables = list(client_tables(settings))
        for complaint in self.take(built):
            logs.fields(_log, logging.ERROR, "NOT TAKEN OVER, the last good files stay in use", complaint=complaint)
        for key, tls in tables:
            if speaks_old(tls):
                text = "OLD TLS IS ADMITTED, which others can read and change"
                logs.fields(_log, logging.WARNING, text, key=key, minimum_version=tls.minimum_version)
