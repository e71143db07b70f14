"""The PROXY header before the first octet of a connection, versions 1 and 2 (HAProxy's proxy-protocol.txt). Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

SIGNATURES = (b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n")
"""The first octets of a header of version 1, and of one of version 2."""
STRANGER = "a PROXY header from who may not send one here (`proxies` of the listener)"
"""The reason for refusing a header from a peer that is not a trusted proxy."""

_V1, _V2 = SIGNATURES
_MOST_V1 = 107  # octets, CRLF included (section 2.1)
_HEAD_V2 = 16  # octets before the addresses (section 2.2)
_LINE = re.compile(rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP[46]) ([0-9.]+|[0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d+) (\d+))")
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_LOCAL, _PROXY = 0, 1  # commands
_TCP4, _TCP6 = 0x11, 0x21
_WITHOUT_ADDRESS = frozenset({0x00, 0x31, 0x32})  # unspecified, and UNIX sockets, which name no IP address


class BrokenPreamble(ValueError):
    """The octets are not a PROXY header. The text gives the reason for the log."""


class Preamble(Struct, frozen=True, kw_only=True):
    """A complete PROXY header.

    Attributes:
        size: The length of the header in octets.
        source: The IP address and port of the proxy's peer. None if the proxy itself opened the connection, or does not
            state its peer.
    """

    size: int
    source: tuple[str, int] | None


def stands_for_tls(data: bytes) -> bool:
    """Return whether `data`, received in place of TLS, begins a PROXY header.

    Only five octets are compared: OpenSSL does not read past the five octets of a TLS record header.
    """
    return data[:5] in {signature[:5] for signature in SIGNATURES}


def is_begun(data: bytes) -> bool:
    """Return whether `data` may be the beginning of a PROXY header, or begins with a whole one."""
    return any(data.startswith(signature) or signature.startswith(data) for signature in SIGNATURES)


def read(data: bytes) -> Preamble | None:
    """Return the PROXY header at the beginning of `data`; None while octets are missing. Raises BrokenPreamble."""
    if not is_begun(data):
        raise BrokenPreamble("no PROXY header comes first")
    if data.startswith(_V2):
        return _version_2(data)
    return _version_1(data) if data.startswith(_V1) else None


def _version_1(data: bytes) -> Preamble | None:
    end = data.find(b"\r\n", 0, _MOST_V1)
    if end < 0:
        if len(data) >= _MOST_V1:
            raise BrokenPreamble(f"the PROXY line has no end within {_MOST_V1} octets")
        return None
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise BrokenPreamble("the PROXY line is not as version 1 has it")
    protocol, source, destination, *ports = line.groups()
    if protocol is None:
        return Preamble(size=end + 2, source=None)
    read_address = IPv4Address if protocol == b"TCP4" else IPv6Address
    try:
        address, _ = read_address(source.decode()), read_address(destination.decode())
    except ValueError:
        raise BrokenPreamble(f"the PROXY line has an address that is not of {protocol.decode()}") from None
    if not all(_PORT.fullmatch(port) and int(port) <= 65535 for port in ports):
        raise BrokenPreamble("the PROXY line has a port that is none")
    return Preamble(size=end + 2, source=(_plain(address), int(ports[0])))


def _version_2(data: bytes) -> Preamble | None:
    if len(data) < _HEAD_V2:
        return None
    version, command, family = data[12] >> 4, data[12] & 0x0F, data[13]
    length = int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise BrokenPreamble("the PROXY header has a version or command that version 2 does not know")
    least = {_TCP4: 12, _TCP6: 36}.get(family, 0)
    if command == _PROXY and not least and family not in _WITHOUT_ADDRESS:
        raise BrokenPreamble("the PROXY header speaks of something other than TCP")
    if command == _PROXY and length < least:
        raise BrokenPreamble("the PROXY header is shorter than its addresses")
    size = _HEAD_V2 + length
    if len(data) < size:
        return None
    if command == _LOCAL or not least:
        return Preamble(size=size, source=None)
    addresses = data[_HEAD_V2 : _HEAD_V2 + least]
    if family == _TCP4:
        return Preamble(size=size, source=(str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10], "big")))
    return Preamble(size=size, source=(_plain(IPv6Address(addresses[:16])), int.from_bytes(addresses[32:34], "big")))


def _plain(address: IPv4Address | IPv6Address) -> str:
    """Return the address as text, an IPv4-mapped IPv6 address as IPv4."""
    return str(getattr(address, "ipv4_mapped", None) or address)
