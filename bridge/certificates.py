"""What a certificate says of who showed it: the names that an identity can be compared with. Verifies nothing: who
asks has a certificate that the TLS handshake verified."""

from __future__ import annotations

from collections.abc import Mapping

# As Python's ssl spells them.
_COMMON_NAME = "commonName"
_ALTERNATIVES = ("DNS", "URI")


def names_of(certificate: Mapping[str, object] | None) -> tuple[str, ...] | None:
    """The common names of the subject, then its alternative names of the kinds dNSName and URI, as they are written.

    `certificate` is what `ssl.SSLSocket.getpeercert` gives. None where no certificate was shown; a certificate that
    names nobody gives an empty tuple.
    """
    if not certificate:
        return None
    return (*_common_names(certificate.get("subject")), *_alternatives(certificate.get("subjectAltName")))


def _common_names(subject: object) -> list[str]:
    """A subject is a sequence of sets of pairs."""
    sets = subject if isinstance(subject, tuple) else ()
    return [value for pairs in sets for kind, value in pairs if kind == _COMMON_NAME]


def _alternatives(names: object) -> list[str]:
    return [value for kind, value in (names if isinstance(names, tuple) else ()) if kind in _ALTERNATIVES]
