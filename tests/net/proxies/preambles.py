"""PROXY headers, written from the document and not with the bridge's code (HAProxy's proxy-protocol.txt)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")


def version_1(source: str, port: int = 40000, destination: str | None = None) -> bytes:
    """A line of version 1 for TCP."""
    six = ip_address(source).version == 6
    return f"PROXY TCP{6 if six else 4} {source} {destination or source} {port} 443\r\n".encode()


def version_2(source: str, port: int = 40000, *, tlvs: bytes = b"") -> bytes:
    """A header of version 2 for TCP."""
    address = ip_address(source)
    body = address.packed + address.packed + struct.pack("!HH", port, 443) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if address.version == 4 else 0x21, len(body)) + body


def local(tlvs: bytes = b"") -> bytes:
    """A header of version 2 by which a proxy speaks for itself, as its health checks do."""
    return SIGNATURE + struct.pack("!BBH", 0x20, 0x00, len(tlvs)) + tlvs
