"""Destinations that others name: one decision for callback addresses, wake-up addresses and webhooks. No I/O.

The decision uses the IP address and port of the connection that is about to be made, after DNS resolved the host name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec import Struct

Network = IPv4Network | IPv6Network
# Metadata services of the large cloud hosts: a machine gets its credentials there.
_METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104  compared only, no socket is bound to them
_NOBODY = ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")  # unspecified, multicast, broadcast
NEVER: tuple[Network, ...] = tuple(ip_network(text) for text in (*_METADATA, *_NOBODY))
"""Addresses that the bridge never connects to because another party named them."""
LINK_LOCAL: tuple[Network, ...] = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""Admitted, as LINK_LOCAL is, only by a network that lies within: a wider network was not meant to admit them."""


def _never_local(address: str) -> bool:
    return within(address, LOOPBACK)


class OwnListeners(Struct, frozen=True, kw_only=True):
    """The addresses that the bridge itself listens on, on all its nodes.

    Attributes:
        places: IP addresses with ports, where 0.0.0.0 and :: stand for every address of this machine; and host names
            with ports, in addition to the addresses that they resolve to.
        is_local: Returns whether an IP address belongs to this machine.
    """

    places: frozenset[tuple[str, int]] = frozenset()
    is_local: Callable[[str], bool] = _never_local

    @classmethod
    def at(cls, places: Iterable[tuple[str, int]], is_local: Callable[[str], bool] = _never_local) -> OwnListeners:
        """Return the listeners at these hosts and ports, whatever the spelling of the IP addresses."""
        return cls(places=frozenset((plain(host), port) for host, port in places), is_local=is_local)

    def include(self, host: str, port: int) -> bool:
        """Return whether a connection to `host`, an IP address or a name, would reach one of the listeners."""
        host = plain(host)
        if (host, port) in self.places:
            return True
        if host in _UNSPECIFIED:  # a connection to the unspecified address reaches this machine
            return any(port == own for _, own in self.places)
        everywhere = any((each, port) in self.places for each in _UNSPECIFIED)
        return everywhere and is_ip(host) and self.is_local(host)


class Destinations(Struct, frozen=True, kw_only=True):
    """The destinations that connections may be made to.

    Attributes:
        networks: The networks that the operator named, and the peer's own address. None admits all, for an address
            that the operator wrote.
        own: The bridge's own listeners, which are never admitted.
        peer: The IP address of the peer that named the destination, for the reason of a refusal.
    """

    networks: tuple[Network, ...] | None = None
    own: OwnListeners = OwnListeners()
    peer: str = ""

    def why_not(self, address: str, port: int) -> str | None:
        """Return why no connection may be made to the IP `address` and `port`, None if it may be made.

        The reason begins with a verb, so that it can follow the address in a sentence.
        """
        if self.own.include(address, port):
            return "is one of the bridge's own listeners"
        if self.networks is None or admitted(address, self.networks):
            return None
        if within(address, NEVER):
            return "is an address that nobody is called back at"
        if within(address, LINK_LOCAL) or within(address, LOOPBACK):
            return "is link-local or loopback: only a network of soap.callback_networks that is so itself admits it"
        where = "in soap.callback_networks"
        return f"is neither the peer {self.peer} nor {where}" if self.peer else f"is not {where}"


def admitted(address: str, networks: Sequence[Network]) -> bool:
    """Return whether one of `networks` admits the IP `address`, and NEVER, LINK_LOCAL and LOOPBACK do not forbid it."""
    if within(address, NEVER):
        return False
    guarded = [network for network in (*LINK_LOCAL, *LOOPBACK) if within(address, [network])]
    return any(within(address, [network]) and all(inside(network, guard) for guard in guarded) for network in networks)


def inside(network: Network, other: Network) -> bool:
    """Return whether all of `network` lies in `other`."""
    return network.version == other.version and network[0] in other and network[-1] in other


def within(address: str, networks: Sequence[Network]) -> bool:
    """Return whether `address` lies in one of `networks`.

    An IPv4-mapped IPv6 address counts as IPv4. A text that is no IP address lies in no network.
    """
    if not is_ip(address):
        return False
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip.version == network.version and ip in network for network in networks)


def plain(host: str) -> str:
    """Return `host` in one spelling: an IPv4-mapped IPv6 address as IPv4, a name in lower case without a final dot."""
    if not is_ip(host):
        return host.lower().rstrip(".")
    ip = ip_address(host.partition("%")[0])
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def is_ip(host: str) -> bool:
    """Return whether `host` is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
