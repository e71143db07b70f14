"""Client certificates in header fields of a proxy that has terminated the TLS and verified the certificate.

This module is pure and verifies nothing. Only the first certificate of a chain, the client's own, counts.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from bridge.net.certificates import names_in

Format = Literal["pem", "der", "xfcc", "rfc9440"]

_ARMOUR = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
# RFC 9651 section 3.3.5, a Byte Sequence. Parameters mean nothing here.
_BYTES = re.compile(r":([A-Za-z0-9+/=]*):(?:;.*)?")
# A pair of Envoy's x-forwarded-client-cert.
_PAIR = re.compile(r'[ \t]*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)[ \t]*')
_ESCAPED = re.compile(r"\\(.)")


class NoCertificate(ValueError):
    """The field does not hold a certificate. The text gives the reason for the log."""


@lru_cache(maxsize=1024)
def names(text: str, form: Format) -> tuple[str, ...] | None:
    """Return the names in the certificate in a header field.

    Args:
        text: The value of the header field.
        form: The format of the certificate in the field.

    Returns:
        The names; None for an empty value, which means that the client showed no certificate.

    Raises:
        NoCertificate: If the value is not empty and holds no certificate.
    """
    text = text.strip(" \t")
    if not text:
        return None
    der = _READERS[form](text)
    try:
        return names_in(der)
    except ValueError as error:
        raise NoCertificate(str(error)) from None


def _pem(text: str) -> bytes:
    """Return the DER of the first certificate in the format of nginx and Traefik.

    The format is percent-encoded PEM, with or without the BEGIN and END lines.
    """
    plain = unquote(text)
    armoured = _ARMOUR.search(plain)
    if armoured is None and "-----" in plain:
        raise NoCertificate("it holds no certificate as text (PEM)")
    return _base64(armoured[1] if armoured is not None else plain.partition(",")[0])


def _rfc9440(text: str) -> bytes:
    """Return the DER of a certificate in the format of RFC 9440 section 2.1."""
    held = _BYTES.fullmatch(text)
    if held is None:
        raise NoCertificate("it is no Byte Sequence (RFC 9440)")
    return _base64(held[1])


def _xfcc(text: str) -> bytes:
    """Return the DER in Envoy's format: a list with one element per proxy, the nearest proxy's last."""
    pairs = _last_element(text)
    held = pairs.get("cert") or pairs.get("chain")
    if not held:
        raise NoCertificate("its last element has neither Cert nor Chain")
    return _pem(held)


def _last_element(text: str) -> Mapping[str, str]:
    """Return the pairs of the last element. Raises NoCertificate."""
    pairs: dict[str, str] = {}
    for name, value, separator in _pairs(text):
        pairs.setdefault(name, value)
        if separator == ",":
            pairs = {}
    return pairs


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name and value of each pair, and the separator after it."""
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        separator = "" if pair is None else text[pair.end() : pair.end() + 1]
        if pair is None or separator not in ("", ";", ","):
            raise NoCertificate("it is no list of pairs as Envoy writes it")
        value = pair[2]
        quoted = value.startswith('"')
        yield pair[1].lower(), _ESCAPED.sub(r"\1", value[1:-1]) if quoted else value, separator
        at = pair.end() + 1


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:  # includes text that is not ASCII
        raise NoCertificate("it is not base64") from None


_READERS: Mapping[Format, Callable[[str], bytes]] = {
    "pem": _pem,
    "der": _base64,
    "xfcc": _xfcc,
    "rfc9440": _rfc9440,
}
