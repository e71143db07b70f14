"""Make ssl contexts for listeners and clients from the configuration, and renew them while they are in use.

An error names the key of the table in the configuration, and never shows the content of a file. If the new files cannot
be used, the certificates and keys that were loaded earlier stay in use.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from bridge.config.listeners import Place
from bridge.config.records import TLS, ClientTLS
from bridge.errors import Complaint, ConfigurationError, Why
from bridge.net.proxies import tls_after_header

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# Versions that RFC 8996 forbids, and whether OpenSSL was built with them. OpenSSL 3 supports them at security level 0
# only, because they sign with MD5 and SHA-1.
_OLD = {"1.0": ssl.HAS_TLSv1, "1.1": ssl.HAS_TLSv1_1}
# First octets of a connection that are kept. They show which protocol a peer uses in place of TLS.
_BEGINNING = 16
_OLD_CIPHERS = "DEFAULT:@SECLEVEL=0"


# Called for a failed handshake, with the error and the first octets that the peer sent.
Failed = Callable[[ssl.SSLError, bytes], None]


class Renewable(ssl.SSLContext):
    """A context that can be renewed while it is in use.

    Handshakes that begin after `renew` use the new context. Open connections do not change. `failed` is called for each
    handshake that fails.
    """

    def __new__(cls, build: Callable[[], ssl.SSLContext], failed: Failed | None = None) -> Renewable:
        # The protocol does not matter: the current context makes every connection.
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, build: Callable[[], ssl.SSLContext], failed: Failed | None = None) -> None:
        self._build = build
        self._watched = None if failed is None else _watched(failed)
        self._current: ssl.SSLContext | None = None

    def renew(self, build: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Build the context anew. If `build` is given, use it now and in the future.

        Raises what the builder raises; then the earlier context and builder stay.
        """
        self._current = (build or self._build)()
        self._build = build or self._build
        if self._watched is not None:
            self._current.sslobject_class = self._watched

    def current(self) -> ssl.SSLContext:
        """Return the context for handshakes that begin now, for a library that makes them without asyncio."""
        if self._current is None:
            self.renew()
        assert self._current is not None
        return self._current

    def wrap_bio(  # asyncio calls this for each connection
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        wrapped = self.current().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(wrapped, _Watched):
            wrapped.incoming = incoming
        return wrapped


class _Watched(ssl.SSLObject):
    """A TLS connection of a watched context.

    Attributes:
        incoming: Octets that the peer sent and that were not read yet.
        began: First octets that the peer sent.
    """

    incoming: ssl.MemoryBIO
    began = b""


def _watched(failed: Failed) -> type[ssl.SSLObject]:
    """Return a class of TLS connections that call `failed` if the handshake fails.

    asyncio does not report such a handshake to the listener, because it never becomes a connection.
    """

    class Watched(_Watched):
        def do_handshake(self) -> None:
            if not self.began and (data := self.incoming.read()):
                self.began = data[:_BEGINNING]
                self.incoming.write(data)
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                raise  # the handshake continues later, or the peer has closed the connection
            except ssl.SSLError as error:
                failed(error, self.began)
                raise

    return Watched


def refusal(error: ssl.SSLError) -> tuple[str, Why]:
    """Return why a peer's handshake failed: OpenSSL's text for a person, and the reason for metrics and logs."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}", Why.WRONG_CERTIFICATE
    reason = str(error.reason or "broken handshake").lower().replace("_", " ")
    missing = error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return reason, Why.NO_CREDENTIALS if missing else Why.MALFORMED


Built = Mapping[ClientTLS, ssl.SSLContext | ConfigurationError]
"""The new context of each table, or the error if its files cannot be used."""


class ClientContexts:
    """The contexts of clients: a context for each TLS table, shared by all connections with that table."""

    def __init__(self) -> None:
        self._contexts: dict[ClientTLS, Renewable] = {}

    def of(self, tls: ClientTLS | None) -> Renewable:
        """Return the context of the table `tls`; for None, a context that trusts the system's authorities."""
        tls = tls or ClientTLS()
        if tls not in self._contexts:
            self._contexts[tls] = Renewable(lambda: _client_context(tls, "tls"))
        return self._contexts[tls]

    def load(self, tables: Iterable[tuple[str, ClientTLS]]) -> list[Complaint]:
        """Read the files of the tables and use them, by calling `read` and `take`."""
        return self.take(self.read(tables))

    def read(self, tables: Iterable[tuple[str, ClientTLS]]) -> Built:
        """Read the files of the tables, and the system's authorities again if they are in use.

        Reading takes a while, so the caller may use another thread.

        Args:
            tables: Each table, with its key in the configuration.
        """
        default = ClientTLS()
        system = {default: _attempt(default, "tls")} if default in self._contexts else {}
        return system | {tls: _attempt(tls, key) for key, tls in tables}

    def take(self, built: Built) -> list[Complaint]:
        """Use what `read` returned.

        Returns:
            Complaints about tables whose files cannot be used. Their earlier contexts stay in use.

        Raises:
            ConfigurationError: A table whose files cannot be used has no earlier context. No context was renewed.
        """
        failed = {tls: error for tls, error in built.items() if isinstance(error, ConfigurationError)}
        if new := [error for tls, error in failed.items() if tls not in self._contexts]:
            raise ConfigurationError([complaint for error in new for complaint in error.complaints])
        for tls, context in built.items():
            if isinstance(context, ssl.SSLContext):
                self.of(tls).renew(lambda context=context: context)  # type: ignore[misc]
        return [complaint for error in failed.values() for complaint in error.complaints]


def complaints(listeners: Iterable[tuple[str, TLS]], clients: Iterable[tuple[str, ClientTLS]]) -> Iterator[Complaint]:
    """Return the reasons why files of the tables cannot be used. Each table comes with its key in the configuration."""
    builders = [partial(server_context, tls, key) for key, tls in listeners]
    for build in [*builders, *(partial(_client_context, tls, key) for key, tls in clients)]:
        try:
            build()
        except ConfigurationError as error:
            yield from error.complaints


def after_headers(listeners: Iterable[Place]) -> Iterator[Complaint]:
    """Return the reasons why a listener cannot begin TLS behind the PROXY header of its proxies."""
    for place in listeners:
        behind = place.table.tls is not None and place.table.proxy == "protocol"
        if behind and (reason := tls_after_header.missing()) is not None:
            yield Complaint("", f"{place.key}.tls", reason)


def server_context(tls: TLS, key: str) -> ssl.SSLContext:
    """Return the context of a listener. `key` is the table's key in the configuration.

    Raises:
        ConfigurationError: The table's files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _blamed(key, "certificate and key"):
        context.load_cert_chain(tls.certificate, tls.key, _no_passphrase)
    if tls.client_ca:
        with _blamed(key, "client_ca"):
            context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL if tls.client_certificate == "asked" else ssl.CERT_REQUIRED
    _set_versions(context, tls, key)
    return context


def speaks_old(tls: TLS | ClientTLS) -> bool:
    """Return whether `tls` allows versions of TLS that RFC 8996 forbids."""
    return tls.minimum_version in _OLD


def _client_context(tls: ClientTLS, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    with _blamed(key, "ca"):
        if tls.ca:
            context.load_verify_locations(tls.ca)
        else:
            context.load_default_certs()
    if tls.certificate:
        with _blamed(key, "certificate and key"):
            context.load_cert_chain(tls.certificate, tls.key, _no_passphrase)
    _set_versions(context, tls, key)
    return context


def _attempt(tls: ClientTLS, key: str) -> ssl.SSLContext | ConfigurationError:
    try:
        return _client_context(tls, key)
    except ConfigurationError as error:
        return error


def _set_versions(context: ssl.SSLContext, tls: TLS | ClientTLS, key: str) -> None:
    with _blamed(key, "minimum_version"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the log warns the operator
        if not _OLD.get(tls.minimum_version, True):
            raise ValueError(f"this machine's {ssl.OPENSSL_VERSION} does not speak TLS {tls.minimum_version}")
        context.minimum_version = _VERSIONS[tls.minimum_version]
    with _blamed(key, "ciphers"):
        if tls.ciphers or speaks_old(tls):
            context.set_ciphers(tls.ciphers or _OLD_CIPHERS)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is there to type it")


# Clearer texts for some of OpenSSL's reasons. The key None stands for errors of its PEM reader, which have no reason.
_REASONS = {
    None: "not a certificate and its key as text (PEM)",
    "KEY_VALUES_MISMATCH": "mismatch: the key is not that of the certificate",
    "NO_CERTIFICATE_OR_CRL_FOUND": "no certificate as text (PEM) is in it",
}


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", "")
    if isinstance(error, ssl.SSLError) and reason in _REASONS:
        return _REASONS[reason]
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def _blamed(key: str, part: str) -> Iterator[None]:
    """Turn an error of the body into a ConfigurationError about `part` of the table `key`."""
    try:
        yield
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        text = f"{part}: {_words(error)}"
        raise ConfigurationError([Complaint(source="configuration", key=key, text=text)]) from error
