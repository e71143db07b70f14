"""Decompression of HTTP contents, with a limit on the result's size (RFC 9110 section 8.4.1)."""

from __future__ import annotations

import zlib

# Values of zlib's `wbits`. "deflate" is zlib's format; some peers send it without the zlib header.
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_CODINGS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _BARE), "identity": (), "": ()}


def is_known(coding: str) -> bool:
    """Return whether `inflated` can read a content in this coding."""
    return coding.strip().lower() in _CODINGS


def too_large(most: int) -> str:
    """Return the error text for a content of more than `most` octets."""
    return f"more than {most} bytes"


def inflated(body: bytes, coding: str, most: int) -> tuple[bytes, str]:
    """Decompress a content.

    Args:
        body: The content as it was received.
        coding: The value of Content-Encoding.
        most: The most octets of the result; decompression stops there.

    Returns:
        The content, and the reason why it cannot be read, "" if it can.
    """
    coding = coding.strip().lower()
    if not is_known(coding):
        return body, f"a body in the unknown coding {coding[:40]!r}"
    formats = _CODINGS[coding]
    if not formats or not body:
        return body, ""
    content = None
    for wbits in formats:
        content = _inflated(body, wbits, most)
        if content is not None:
            break
    if content is None:
        return body, f"a body that is not {coding}, or not all of it"
    if len(content) > most:
        return b"", too_large(most)
    return content, ""


def _inflated(body: bytes, wbits: int, most: int) -> bytes | None:
    """Return the decompressed content, cut after `most` + 1 octets; None if it is incomplete or in another format.

    A gzip content may have several members, one behind another (RFC 1952 section 2.2).
    """
    content = b""
    try:
        while body:
            member = zlib.decompressobj(wbits)
            content += member.decompress(body, most + 1 - len(content))
            if len(content) > most:
                return content
            if not member.eof:
                return None
            body = member.unused_data
    except zlib.error:
        return None
    return content
