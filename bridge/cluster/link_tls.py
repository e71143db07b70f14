"""The TLS contexts of links between machines. Both sides show a certificate of the cluster's own authority."""

from __future__ import annotations

import ssl

from bridge.config.records import TLS, ClientTLS
from bridge.net.tls import ClientContexts, Renewable, server_context

# The key of the table in the configuration.
_KEY = "cluster.tls"


class LinkTLS:
    """The contexts of both sides. `renew` reads the files again, for links that begin later.

    Whoever has a certificate of the authority is taken for a node. The side that dials also checks that the certificate
    names the host of the address that it dials.

    Args:
        certificate: PEM file with the certificate of this node and its chain.
        key: PEM file with the certificate's key.
        ca: PEM file with the authorities of the nodes' certificates.

    Raises:
        ConfigurationError: The files cannot be used.
    """

    def __init__(self, *, certificate: str, key: str, ca: str) -> None:
        listener = TLS(certificate=certificate, key=key, client_ca=ca, minimum_version="1.3")
        self._table = ClientTLS(ca=ca, certificate=certificate, key=key, minimum_version="1.3")
        self._clients = ClientContexts()
        self.listener: ssl.SSLContext = Renewable(lambda: server_context(listener, _KEY))
        self.renew()

    @property
    def dialler(self) -> ssl.SSLContext:
        """The context of links that this node dials."""
        return self._clients.of(self._table)

    def renew(self) -> None:
        """Read the files. If they cannot be used, those that were read before stay in use.

        Raises:
            ConfigurationError: The files cannot be used.
        """
        assert isinstance(self.listener, Renewable)
        self.listener.renew()
        self._clients.of(self._table).renew()


def tls_failure(error: Exception) -> str:
    """Return why a TLS handshake failed, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {str(error.reason or error).lower().replace('_', ' ')}"
    return str(error) or type(error).__name__
