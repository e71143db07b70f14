"""Trusted proxies of a listener, and the peer of a connection or request behind them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from bridge.core.destinations import Network, within
from bridge.net.proxies.client_certificate import Format, NoCertificate, names
from bridge.net.proxies.forwarded import FIELDS, BrokenForwarding, Lines, sender

Mode = Literal["protocol", "forwarded"]


class Misled(ValueError):
    """The fields of a proxy cannot be used. The text gives the reason for the log and the peer."""


class Origin(Struct, frozen=True, kw_only=True):
    """The peer of a connection, or of a request on it.

    Attributes:
        address: The IP address of the peer.
        port: The port of the peer, 0 if not known.
        proxy: The IP address of the proxy that forwards for the peer, "" if the peer connected directly.
        certificate: The names in the certificate that the peer showed, None if it showed none.
        secure: Whether the connection or request came over TLS.
    """

    address: str = ""
    port: int = 0
    proxy: str = ""
    certificate: tuple[str, ...] | None = None
    secure: bool = False


def _silent(address: str, fields: str) -> None:
    """Do nothing: no caller asked for a report."""


class Proxies(Struct, frozen=True, kw_only=True):
    """The trusted proxies of one listener.

    Attributes:
        networks: The networks of the proxies.
        mode: "protocol" for PROXY headers, "forwarded" for header fields, None without proxies.
        certificate_header: The header field with the client's certificate, "" for none.
        certificate_format: The format of the certificate in that field.
        ignored: Called with the IP address and the names of fields that are ignored, because the address is not a
            proxy's.
    """

    networks: tuple[Network, ...] = ()
    mode: Mode | None = None
    certificate_header: str = ""
    certificate_format: Format | None = None
    ignored: Callable[[str, str], None] = _silent

    def include(self, address: str) -> bool:
        """Return whether the IP `address` is a trusted proxy's."""
        return bool(self.networks) and within(address, self.networks)

    def shares(self, connection: Origin) -> bool:
        """Return whether requests of many peers come on this connection."""
        return self.mode == "forwarded" and connection.proxy != ""

    def origin(self, connection: Origin, lines: Lines) -> Origin:
        """Return the peer of a request.

        Args:
            connection: The peer of the connection that the request came on.
            lines: The header fields of the request.

        Raises:
            Misled: If the proxy's fields cannot be read.
        """
        if not connection.proxy:
            if fields := [name for name in (*FIELDS, self.certificate_header) if name and lines(name)]:
                self.ignored(connection.address, ", ".join(fields))
            return connection
        try:
            origin = self._forwarded(connection, lines) if self.mode == "forwarded" else connection
            if not self.certificate_header:
                return origin
            return Origin(
                address=origin.address,
                port=origin.port,
                proxy=origin.proxy,
                certificate=self._certificate(lines),
                secure=origin.secure,
            )
        except NoCertificate as error:
            raise Misled(f"the header {self.certificate_header} of the proxy holds no certificate: {error}") from None
        except BrokenForwarding as error:
            raise Misled(f"the headers of the proxy cannot be read: {error}") from None

    def _forwarded(self, connection: Origin, lines: Lines) -> Origin:
        """Return the peer that the header fields state.

        A certificate that was shown on the connection is the proxy's own, so the result has none.
        """
        found = sender(connection.proxy, self.include, lines)
        secure = connection.secure if found.secure is None else found.secure
        return Origin(address=found.address, proxy=connection.proxy, secure=secure)

    def _certificate(self, lines: Lines) -> tuple[str, ...] | None:
        assert self.certificate_format is not None
        values = lines(self.certificate_header)
        if len(values) > 1:  # even if one is empty: the proxy added its own field, and kept the one of the peer
            raise NoCertificate("it is there twice")
        return names(values[0], self.certificate_format) if values else None


DIRECT = Proxies()
"""The rules of a listener without proxies."""
