"""TLS for listeners and clients: from settings to ssl contexts, which can be renewed while they are in use.

What fails is told with the key of the table, never with a file's content. Old files that were good stay in use.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from bridge.config.records import TLS, ClientTLS
from bridge.errors import Complaint, ConfigurationError, Why

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# Versions that RFC 8996 forbids. OpenSSL 3 speaks them at security level 0 only: they sign with MD5 and SHA-1.
_OLD = {"1.0": ssl.HAS_TLSv1, "1.1": ssl.HAS_TLSv1_1}
_OLD_CIPHERS = "DEFAULT:@SECLEVEL=0"


Failed = Callable[[ssl.SSLError], None]


class Renewable(ssl.SSLContext):
    """A context that can be renewed: handshakes that begin later are made with what `build` gives then, connections
    that are open stay as they are. `failed` is told of every handshake that comes to nothing."""

    def __new__(cls, build: Callable[[], ssl.SSLContext], failed: Failed | None = None) -> Renewable:
        # What it is made for is of no account: it hands every handshake on.
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, build: Callable[[], ssl.SSLContext], failed: Failed | None = None) -> None:
        self._build = build
        self._watched = None if failed is None else _watched(failed)
        self._current: ssl.SSLContext | None = None

    def renew(self, build: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Build it again, from now on with `build`. If that raises, all is as before."""
        self._current = (build or self._build)()
        self._build = build or self._build
        if self._watched is not None:
            self._current.sslobject_class = self._watched

    def wrap_bio(  # what asyncio makes every connection with
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if self._current is None:
            self.renew()
        assert self._current is not None
        return self._current.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _watched(failed: Failed) -> type[ssl.SSLObject]:
    """Of a handshake that fails nobody else is told: it never becomes a connection."""

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                raise  # it goes on, or the peer has gone
            except ssl.SSLError as error:
                failed(error)
                raise

    return Watched


def refusal(error: ssl.SSLError) -> tuple[str, Why]:
    """Why a peer's handshake failed: in OpenSSL's words, and in the one that it is counted by."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}", Why.WRONG_CERTIFICATE
    reason = str(error.reason or "broken handshake").lower().replace("_", " ")
    missing = error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return reason, Why.NO_CREDENTIALS if missing else Why.MALFORMED


class ClientContexts:
    """One context for every way to speak TLS as a client, shared by all connections that are made so."""

    def __init__(self) -> None:
        self._contexts: dict[ClientTLS, Renewable] = {}

    def of(self, tls: ClientTLS | None) -> Renewable:
        """The context of a table; without one, the system's authorities count."""
        tls = tls or ClientTLS()
        if tls not in self._contexts:
            self._contexts[tls] = Renewable(lambda: _client_context(tls, "tls"))
        return self._contexts[tls]

    def load(self, tables: Iterable[tuple[str, ClientTLS]]) -> list[Complaint]:
        """Read the files of the tables, each with its key, and the system's authorities again. Those that cannot be
        read keep what they had, and are complained about.

        Raises ConfigurationError if one of them has nothing to keep; then none is renewed.
        """
        built = {tls: _attempt(tls, key) for key, tls in tables}
        failed = {tls: error for tls, error in built.items() if isinstance(error, ConfigurationError)}
        if new := [error for tls, error in failed.items() if tls not in self._contexts]:
            raise ConfigurationError([complaint for error in new for complaint in error.complaints])
        for tls, context in built.items():
            if isinstance(context, ssl.SSLContext):
                self.of(tls).renew(lambda context=context: context)  # type: ignore[misc]
        if (default := ClientTLS()) in self._contexts and default not in built:
            self._contexts[default].renew()
        return [complaint for error in failed.values() for complaint in error.complaints]


def complaints(listeners: Iterable[tuple[str, TLS]], clients: Iterable[tuple[str, ClientTLS]]) -> Iterator[Complaint]:
    """What keeps the files of the tables, each with its key, from being used."""
    builders = [partial(server_context, tls, key) for key, tls in listeners]
    for build in [*builders, *(partial(_client_context, tls, key) for key, tls in clients)]:
        try:
            build()
        except ConfigurationError as error:
            yield from error.complaints


def server_context(tls: TLS, key: str) -> ssl.SSLContext:
    """The context of a listener. `key` is the table's name, for the ConfigurationError that is raised when its files
    cannot be used."""
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
    """Whether it admits versions of TLS that nobody should speak any more."""
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
        warnings.simplefilter("ignore", DeprecationWarning)  # the operator is told in the log
        if not _OLD.get(tls.minimum_version, True):
            raise ValueError(f"this machine's {ssl.OPENSSL_VERSION} does not speak TLS {tls.minimum_version}")
        context.minimum_version = _VERSIONS[tls.minimum_version]
    with _blamed(key, "ciphers"):
        if tls.ciphers or speaks_old(tls):
            context.set_ciphers(tls.ciphers or _OLD_CIPHERS)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is there to type it")


# Of OpenSSL's reasons, those that say little to who wrote the configuration. None: its PEM reader gives no reason.
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
    """What goes wrong inside becomes a ConfigurationError about `part` of the table `key`."""
    try:
        yield
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        text = f"{part}: {_words(error)}"
        raise ConfigurationError([Complaint(source="configuration", key=key, text=text)]) from error
