"""Read the names in a client certificate, which are compared with the identity of the Charge Point, and its end.

This module verifies nothing: the TLS handshake, here or at a proxy, has verified the certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

# Kinds of names, as Python's ssl module spells them.
_COMMON_NAME = "commonName"
_ALTERNATIVES = ("DNS", "URI")

# Tags of X.690, then the tags and object identifiers of X.509 (RFC 5280).
_SEQUENCE, _SET, _BIT_STRING, _OCTET_STRING, _OID, _INTEGER = 0x30, 0x31, 0x03, 0x04, 0x06, 0x02
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_DNS_NAME, _URI_NAME = 0x82, 0x86
_ID_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3
_ID_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
# Encodings of the string types of DirectoryString, and of IA5String, which some certificates use instead.
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}


def names_of(certificate: Mapping[str, object] | None) -> tuple[str, ...] | None:
    """Return the common names of the subject, then its alternative names of the kinds dNSName and URI, unchanged.

    `certificate` is the result of `ssl.SSLSocket.getpeercert`. Returns None if the peer sent no certificate, and an
    empty tuple for a certificate without such names.
    """
    if not certificate:
        return None
    return (*_common_names(certificate.get("subject")), *_alternatives(certificate.get("subjectAltName")))


def _common_names(subject: object) -> list[str]:
    """Return the common names in `subject`, a sequence of sets of pairs."""
    sets = subject if isinstance(subject, tuple) else ()
    return [value for pairs in sets for kind, value in pairs if kind == _COMMON_NAME]


def _alternatives(names: object) -> list[str]:
    return [value for kind, value in (names if isinstance(names, tuple) else ()) if kind in _ALTERNATIVES]


def names_in(der: bytes) -> tuple[str, ...]:
    """Return the names that `names_of` returns, for a certificate in DER (RFC 5280 section 4.1).

    Python's ssl module reads only certificates that arrive in a handshake.

    Raises:
        ValueError: `der` is no X.509 certificate.
    """
    try:
        certificate, signed, _, signature = _whole(der)
        if (certificate, signed[0], signature[0]) != (_SEQUENCE, _SEQUENCE, _BIT_STRING):
            raise ValueError
        return tuple(_names(signed[1]))
    except (ValueError, IndexError):  # UnicodeDecodeError is a ValueError
        raise ValueError("it is no X.509 certificate") from None


def end_of(der: bytes) -> datetime:
    """Return the time after which a certificate in DER is not valid (RFC 5280 section 4.1.2.5).

    Raises:
        ValueError: `der` is no X.509 certificate.
    """
    try:
        _, signed, _, _ = _whole(der)
        _, _, _, validity, *_ = [field for field in _elements(signed[1]) if field[0] != _VERSION]
        _, (kind, end) = _elements(validity[1])
        text = end.decode("ascii")
        if kind == _UTC_TIME:  # two digits of the year: 50 stands for 1950, 49 for 2049
            text = f"{'19' if text >= '5' else '20'}{text}"
        elif kind != _GENERALIZED_TIME:
            raise ValueError
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, IndexError):
        raise ValueError("it is no X.509 certificate") from None


_Element = tuple[int, bytes]


def _whole(der: bytes) -> tuple[int, _Element, _Element, _Element]:
    (tag, content), *rest = _elements(der)
    signed, algorithm, signature = _elements(content)
    if rest:
        raise ValueError
    return tag, signed, algorithm, signature


def _names(signed: bytes) -> Iterator[str]:
    """Return the names in `signed`, the content of a TBSCertificate."""
    fields = [field for field in _elements(signed) if field[0] != _VERSION]
    serial, algorithm, issuer, validity, subject, key, *more = fields
    plain = (algorithm, issuer, validity, subject, key)
    if serial[0] != _INTEGER or any(tag != _SEQUENCE for tag, _ in plain):
        raise ValueError
    yield from _subject_names(subject[1])
    for tag, content in more:
        if tag == _EXTENSIONS:
            yield from _alternative_names(content)


def _subject_names(subject: bytes) -> Iterator[str]:
    for tag, several in _elements(subject):
        if tag != _SET:
            raise ValueError
        for _, pair in _elements(several):
            (_, kind), (encoding, value) = _elements(pair)
            if kind == _ID_COMMON_NAME:
                yield _text(value, _ENCODINGS.get(encoding))


def _alternative_names(content: bytes) -> Iterator[str]:
    ((_, extensions),) = _elements(content)
    for _, extension in _elements(extensions):
        (tag, kind), *_, (kept, value) = _elements(extension)
        if (tag, kept) != (_OID, _OCTET_STRING):
            raise ValueError
        if kind == _ID_SUBJECT_ALT_NAME:
            ((_, names),) = _elements(value)
            yield from (_text(name, "ascii") for tag, name in _elements(names) if tag in (_DNS_NAME, _URI_NAME))


def _text(value: bytes, encoding: str | None) -> str:
    if encoding is None:
        raise ValueError
    return value.decode(encoding)


def _elements(data: bytes) -> list[_Element]:
    """Return tag and content of each element in `data`. Lengths are definite. Raises ValueError, IndexError."""
    found: list[_Element] = []
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4 or at + size > len(data):
                raise ValueError
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError
        found.append((tag, data[at : at + length]))
        at += length
    return found
