"""Where a SOAP Charge Point may be called back: "the only way" to know is its From header (OCPP-S 1.6 section 3.7).

Whoever knows an identity can send a From header. So an address that was learnt is used only where it leads to the
peer that sent it, or into a network that the operator named: otherwise anyone could send the bridge's requests, and
a Charge Point's commands, anywhere. Some addresses are used on nobody's word but a configured `callback_url`: behind
them are the secrets of the machine that the bridge runs on, or everybody at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

Network = IPv4Network | IPv6Network
# Where the machines of the large hosters ask for their own credentials.
_METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
_NOBODY = ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")  # unspecified, multicast, broadcast
_NEVER: tuple[Network, ...] = tuple(ip_network(text) for text in (*_METADATA, *_NOBODY))
# Opened only by who names a network within them: a wider one was not meant for them.
_LINK_LOCAL: tuple[Network, ...] = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# Where other protocols are spoken whose servers may take a POST for commands.
_NO_PORTS = frozenset(
    {0, 7, 9, 11, 13, 17, 19, 20, 21, 22, 23, 25, 37, 53, 69, 79, 110, 111, 119, 123, 135, 137, 139, 143, 161, 179}
    | {389, 445, 465, 512, 513, 514, 515, 587, 636, 989, 990, 993, 995, 2049, 3306, 5432, 6379, 11211}
)
_QUOTED = 200  # characters of an address in a reason
_ANONYMOUS = ("/addressing/anonymous", "/addressing/role/anonymous", "/addressing/none")
# A host and perhaps a port: no user, and nothing around brackets, which others would read as another host.
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:]*)(:[0-9]*)?")
# A name that can be looked up. International ones are not spelled out; what they lead to is checked all the same.
_HOST_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")


class Callback(Struct, frozen=True, kw_only=True):
    """An address to POST commands to. `networks` limits where its host's name may lead; None: anywhere. That of the
    peer who gave it comes last.

    Checked where the connection is made, so that a name cannot lead elsewhere in between.
    """

    url: str
    networks: tuple[Network, ...] | None = None
    guessed: bool = False  # from the peer's address alone

    def admits(self, address: str) -> bool:
        """Whether a connection may be made to the IP `address`."""
        return self.networks is None or _admitted(address, self.networks)

    def limited(self, networks: Iterable[Network]) -> Callback:
        """The same, where `networks` are what the operator admits by now: no more than when it was learnt, and no more
        than that. The peer itself stays admitted."""
        if self.networks is None:
            return self
        peer = tuple(network for network in self.networks[-1:] if network.num_addresses == 1)
        learnt = self.networks[: len(self.networks) - len(peer)]
        pairs = [(old, now) for old in learnt for now in networks]
        both = [old if _inside(old, now) else now for old, now in pairs if _inside(old, now) or _inside(now, old)]
        return replace(self, networks=(*dict.fromkeys(both), *peer))


class Refusal(Struct, frozen=True, kw_only=True):
    """No callback address could be learnt, and why, for a person."""

    reason: str


def pinned(url: str) -> Callback:
    """The address that the operator configured: it is used as it is."""
    return Callback(url=url)


# A Charge Point says the same with every message.
@lru_cache(maxsize=20_000)
def learn(
    sent_from: str | None, reply_to: str | None, peer: str, networks: tuple[Network, ...]
) -> Callback | Refusal | None:
    """The callback address of a Charge Point, from the headers of its message and the IP address that sent it.

    From counts first, then ReplyTo if it is not anonymous (quirk 10). An anonymous or host-less From is repaired with
    the peer's address. None if the message says nothing about addresses.
    """
    candidates = [text.strip() for text in (sent_from, reply_to) if text is not None and text.strip()]
    stated = [text for text in candidates if not _is_anonymous(text)]
    refusal: Refusal | None = None
    for text in stated:
        learnt = _check(text, peer, networks)
        if isinstance(learnt, Callback):
            return learnt
        refusal = refusal or learnt
    if refusal is None and sent_from is not None and _is_anonymous(sent_from.strip()):
        guess = _check(_guess(peer), peer, networks)
        return replace(guess, guessed=True) if isinstance(guess, Callback) else guess
    return refusal


def known(url: str, networks: Iterable[str] | None) -> Callback:
    """One that was learnt and put away. Raises ValueError if its networks are none."""
    limits = None if networks is None else tuple(ip_network(network) for network in networks)
    peer = limits[-1] if limits else None
    guessed = peer is not None and url == _guess(str(peer.network_address))
    return Callback(url=url, networks=limits, guessed=guessed)


def _guess(peer: str) -> str:
    return f"http://{_bracketed(peer)}/"


def _check(text: str, peer: str, networks: Sequence[Network]) -> Callback | Refusal:
    # What stands before an @ may be a password.
    quoted = repr(text[:_QUOTED]) if "@" not in text else "the address"
    parts = _parts(text, peer)
    if parts is None:
        return Refusal(reason=f"{quoted} is not an http address")
    if parts.port in _NO_PORTS:
        return Refusal(reason=f"{quoted} is the port of another protocol")
    allowed = (*networks, *_network_of(peer))
    host = parts.hostname or ""
    if _is_ip(host) and not _admitted(host, allowed):
        return Refusal(reason=f"{quoted} {_why_not(host, peer, allowed)}")
    return Callback(url=urlunsplit(parts), networks=allowed)


def _admitted(address: str, networks: Sequence[Network]) -> bool:
    """Whether one of `networks` opens the IP `address`, and nothing forbids it."""
    if within(address, _NEVER):
        return False
    guarded = [network for network in (*_LINK_LOCAL, *_LOOPBACK) if within(address, [network])]
    return any(within(address, [network]) and all(_inside(network, guard) for guard in guarded) for network in networks)


def _why_not(host: str, peer: str, allowed: Sequence[Network]) -> str:
    if within(host, _NEVER):
        return "is an address that nobody is called back at"
    if within(host, allowed) or within(host, _LINK_LOCAL):
        return "is link-local or loopback: only a network of soap.callback_networks that is so itself admits it"
    return f"is neither the peer {peer} nor in soap.callback_networks"


def _inside(network: Network, other: Network) -> bool:
    """Whether all of `network` lies in `other`."""
    return network.version == other.version and network[0] in other and network[-1] in other


def _parts(text: str, peer: str) -> SplitResult | None:
    """The address, its host filled in with the peer's where it is missing (`http://:8082/`, seen in the field)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _AUTHORITY.fullmatch(parts.netloc):
        return None
    host = parts.hostname
    if host and not _is_ip(host) and not _HOST_NAME.fullmatch(host):
        return None
    if not host:
        host = _bracketed(peer)
        parts = parts._replace(netloc=host if port is None else f"{host}:{port}")
    return parts._replace(fragment="")


def _is_anonymous(text: str) -> bool:
    return text.endswith(_ANONYMOUS)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _network_of(peer: str) -> tuple[Network, ...]:
    """The peer alone; nothing for one that is link-local, which may be the machine's own helper."""
    try:
        address = ip_address(peer)
    except ValueError:
        return ()
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if within(str(address), _LINK_LOCAL):
        return ()
    return (IPv4Network(int(address)) if address.version == 4 else IPv6Network(int(address)),)


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether the IP `address` lies in one of `networks`; IPv4 in IPv6 clothes is IPv4. No address lies nowhere."""
    if not _is_ip(address):
        return False
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip.version == network.version and ip in network for network in networks)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
