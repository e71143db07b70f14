"""TLS for listeners and clients: from settings to ssl contexts."""

from __future__ import annotations

import ssl

from bridge.config.records import TLS
from bridge.errors import Complaint, ConfigurationError

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


def server_context(tls: TLS | None, key: str) -> ssl.SSLContext | None:
    """The context of a listener, None for a plain one. `key` is the table's name, for the ConfigurationError that is
    raised when its files cannot be used."""
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.minimum_version = _VERSIONS[tls.minimum_version]
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        if tls.ciphers:
            context.set_ciphers(tls.ciphers)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError([Complaint(source="configuration", key=key, text=str(error))]) from error
    return context
