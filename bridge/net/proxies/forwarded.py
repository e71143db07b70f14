"""The sender of a request behind proxies: `Forwarded` (RFC 7239), else `X-Forwarded-For` and `X-Forwarded-Proto`. Pure.

Each proxy adds the address of its own peer at the end. So the fields are read from their end: an address counts only if
a trusted proxy wrote it. Any client can have written the addresses before that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address

from msgspec import Struct

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'  # RFC 9110 section 5.6.4
_PAIR = re.compile(rf"[ \t]*({_WORD})=({_WORD}|{_QUOTED})[ \t]*")
_BLANK = re.compile(r"[ \t]+")
_ESCAPED = re.compile(r"\\(.)")
# RFC 7239 section 6: an IP address, with brackets around IPv6, and an optional port, which may be an obfuscated name.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_HIDDEN = re.compile(r"(?:unknown|_[A-Za-z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?", re.IGNORECASE)
_SECURE = {"https": True, "wss": True, "http": False, "ws": False}


class BrokenForwarding(ValueError):
    """A proxy's field cannot be read. The text gives the field and the reason for the log."""


class Sender(Struct, frozen=True, kw_only=True):
    """The IP address that a request is from. `secure` says whether it came over TLS; None if no proxy states it."""

    address: str
    secure: bool | None = None


class _Hop(Struct, frozen=True, kw_only=True):
    """The entry of one proxy in the fields.

    Attributes:
        node: The peer of the proxy, as it is written; None if the proxy does not state it.
        proto: The scheme of the peer's request, "" if the proxy does not state it.
    """

    node: str | None
    proto: str = ""


FIELDS = ("Forwarded", "X-Forwarded-For")
"""The fields that state the peer of a proxy."""
Lines = Callable[[str], Sequence[str]]
"""A function that returns all values of the header field of a given name, in their order."""


def sender(proxy: str, is_proxy: Callable[[str], bool], lines: Lines) -> Sender:
    """Return the sender of a request that a proxy forwarded: the last address that is not a trusted proxy's.

    Args:
        proxy: The IP address that the request came from, a trusted proxy's.
        is_proxy: Returns whether an IP address is a trusted proxy's.
        lines: The header fields of the request.

    Returns:
        The sender. If all addresses are trusted proxies', the sender is the first of them. If a proxy hides its peer
        ("unknown", or a name that begins with "_"), the sender is that proxy.

    Raises:
        BrokenForwarding: If the entry of a trusted proxy cannot be read.
    """
    stated = lines("Forwarded")
    if stated:
        return _walk(proxy, is_proxy, _hops(stated))
    found = _walk(proxy, is_proxy, _x_hops(lines("X-Forwarded-For")))
    protos = [proto.strip().lower() for line in lines("X-Forwarded-Proto") for proto in line.split(",")]
    return Sender(address=found.address, secure=_SECURE.get(protos[-1]) if protos else None)


def _walk(proxy: str, is_proxy: Callable[[str], bool], hops: Iterable[_Hop]) -> Sender:
    """Return the sender, by going back from proxy to proxy. `hops` begins with the last entry."""
    address, proto = proxy, ""
    for hop in hops:
        proto = hop.proto
        stated = None if hop.node is None else _address(hop.node)
        if stated is None:
            break
        address = stated
        if not is_proxy(address):
            break
    return Sender(address=address, secure=_SECURE.get(proto.lower()))


def _x_hops(lines: Sequence[str]) -> Iterator[_Hop]:
    """Yield the entries of X-Forwarded-For, the last first.

    No document defines the field: it lists addresses, IPv6 with or without brackets.
    """
    for line in reversed(lines):
        for part in reversed(line.split(",")):
            if node := part.strip():
                yield _Hop(node=f"[{node}]" if node.count(":") > 1 and not node.startswith("[") else node)


def _hops(lines: Sequence[str]) -> Iterator[_Hop]:
    for line in reversed(lines):
        yield from reversed(_elements(line))


def _elements(line: str) -> list[_Hop]:
    """Return the entries of one Forwarded field (RFC 7239 section 4). Raises BrokenForwarding."""
    hops: list[_Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while True:
        if (pair := _PAIR.match(line, at)) is not None:
            name, at = pair[1].lower(), pair.end()
            if name in pairs:
                raise BrokenForwarding(f"Forwarded has {name!r} twice in one element")
            pairs[name] = _ESCAPED.sub(r"\1", pair[2][1:-1]) if pair[2].startswith('"') else pair[2]
        elif (blank := _BLANK.match(line, at)) is not None:  # RFC 9110 section 5.6.1: an element of a list may be empty
            at = blank.end()
        if at == len(line) or line[at] == ",":
            if pairs:
                hops.append(_Hop(node=pairs.get("for"), proto=pairs.get("proto", "")))
            pairs = {}
        elif line[at] != ";":
            raise BrokenForwarding("Forwarded is not as RFC 7239 has it")
        if at == len(line):
            return hops
        at += 1


def _address(node: str) -> str | None:
    """Return the IP address of a node, None for a hidden node. Raises BrokenForwarding."""
    match = _NODE.fullmatch(node)
    try:
        if match is not None:
            address = ip_address(match[1] or match[2])
            if (address.version == 6) == (match[1] is not None):
                return str(getattr(address, "ipv4_mapped", None) or address)
        elif _HIDDEN.fullmatch(node):
            return None
    except ValueError:
        pass
    raise BrokenForwarding("Forwarded or X-Forwarded-For names a peer that is no IP address")
