"""Callback addresses of SOAP Charge Points. The From header is "the only way" to learn one (OCPP-S 1.6 section 3.7).

Anyone who knows an identity can send a From header. So a learnt address is used only if it leads to the peer that sent
the header, or into a network that the operator named: otherwise anyone could direct the bridge's requests, and a
Charge Point's commands, to any address. Metadata services of cloud hosts, which give out a machine's credentials, and
multicast addresses are used only if the operator configures them as `callback_url`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

from bridge.core.destinations import (
    LINK_LOCAL,
    LOOPBACK,
    Destinations,
    Network,
    OwnListeners,
    admitted,
    inside,
    is_ip,
    within,
)

# Ports of other protocols. Their servers may execute lines of a POST as commands.
_NO_PORTS = frozenset(
    {0, 7, 9, 11, 13, 17, 19, 20, 21, 22, 23, 25, 37, 53, 69, 79, 110, 111, 119, 123, 135, 137, 139, 143, 161, 179}
    | {389, 445, 465, 512, 513, 514, 515, 587, 636, 989, 990, 993, 995, 2049, 3306, 5432, 6379, 11211}
)
_QUOTED = 200  # most characters of an address that a reason quotes
_ANONYMOUS = ("/addressing/anonymous", "/addressing/role/anonymous", "/addressing/none")
# A host and an optional port. A user, or text around brackets, is refused: other parsers may read another host there.
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:]*)(:[0-9]*)?")
# A name that DNS can resolve. International names are not checked in detail; their addresses are checked all the same.
_HOST_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")


class CallbackTarget(Struct, frozen=True, kw_only=True):
    """An address to POST commands to.

    The networks are checked when the connection is made, so that DNS cannot give another address in between.

    Attributes:
        url: The http or https address.
        networks: The networks that the host name may resolve into, None for any. The network of the peer that stated
            the address comes last.
        guessed: Whether the address was made from the peer's IP address alone.
    """

    url: str
    networks: tuple[Network, ...] | None = None
    guessed: bool = False

    def admits(self, address: str) -> bool:
        """Return whether a connection may be made to the IP `address`."""
        return self.networks is None or admitted(address, self.networks)

    def limited(self, networks: Iterable[Network], *, loopback: bool = True) -> CallbackTarget:
        """Return the CallbackTarget restricted to `networks`, which the operator admits now.

        An IP address is admitted only if it was admitted when the callback was learnt and is in `networks`. The peer
        itself stays admitted; a peer on loopback stays only with `loopback`.
        """
        if self.networks is None:
            return self
        peer = tuple(network for network in self.networks[-1:] if network.num_addresses == 1)
        learnt = self.networks[: len(self.networks) - len(peer)]
        pairs = [(old, now) for old in learnt for now in networks]
        both = [old if inside(old, now) else now for old, now in pairs if inside(old, now) or inside(now, old)]
        if not loopback and any(within(str(network.network_address), LOOPBACK) for network in peer):
            peer = ()
        return replace(self, networks=(*dict.fromkeys(both), *peer))


class Learning(Struct, frozen=True, kw_only=True):
    """The settings for learning callback addresses from the messages of a peer.

    Attributes:
        networks: The networks that the operator admits in addition to the peer's own address.
        loopback: Whether a peer on loopback may be called back there.
        own: The bridge's own listeners, which are never called back.
    """

    networks: tuple[Network, ...] = ()
    loopback: bool = False
    own: OwnListeners = OwnListeners()


class CallbackRefusal(Struct, frozen=True, kw_only=True):
    """The reason, in words for an operator, why no callback address could be learnt."""

    reason: str


def pinned(url: str) -> CallbackTarget:
    """Return a CallbackTarget for `url`, which the operator configured: no network limits it."""
    return CallbackTarget(url=url)


def learn(
    sent_from: str | None, reply_to: str | None, peer: str, learning: Learning
) -> CallbackTarget | CallbackRefusal | None:
    """Return the callback address of a Charge Point, from the headers of its message and the IP address that sent it.

    From counts first, then ReplyTo if it is not anonymous (quirk 10). An anonymous or host-less From is repaired with
    the peer's address.

    Args:
        sent_from: The From header, None if there is none.
        reply_to: The ReplyTo header, None if there is none.
        peer: The IP address of the peer.
        learning: The operator's settings.

    Returns:
        The address, or the reason for refusing the first stated one. None if the message states no address.
    """
    candidates = [text.strip() for text in (sent_from, reply_to) if text is not None and text.strip()]
    stated = [text for text in candidates if not _is_anonymous(text)]
    refusal: CallbackRefusal | None = None
    for text in stated:
        learnt = _check(text, peer, learning)
        if isinstance(learnt, CallbackTarget):
            return learnt
        refusal = refusal or learnt
    if refusal is None and sent_from is not None and _is_anonymous(sent_from.strip()):
        guess = _check(_guess(peer), peer, learning)
        return replace(guess, guessed=True) if isinstance(guess, CallbackTarget) else guess
    return refusal


def known(url: str, networks: Iterable[str] | None) -> CallbackTarget:
    """Return a stored callback address. Raises ValueError if one of `networks` is not an IP network."""
    limits = None if networks is None else tuple(ip_network(network) for network in networks)
    peer = limits[-1] if limits else None
    guessed = peer is not None and url == _guess(str(peer.network_address))
    return CallbackTarget(url=url, networks=limits, guessed=guessed)


def _guess(peer: str) -> str:
    return f"http://{_bracketed(peer)}/"


def _check(text: str, peer: str, learning: Learning) -> CallbackTarget | CallbackRefusal:
    # The text before an @ may be a password, so such an address is not quoted.
    quoted = repr(text[:_QUOTED]) if "@" not in text else "the address"
    parts = _parts(text, peer)
    if parts is None:
        return CallbackRefusal(reason=f"{quoted} is not an http address")
    if parts.port in _NO_PORTS:
        return CallbackRefusal(reason=f"{quoted} is the port of another protocol")
    allowed = (*learning.networks, *_network_of(peer, loopback=learning.loopback))
    callback = CallbackTarget(url=urlunsplit(parts), networks=allowed)
    host = parts.hostname or ""
    why_not = Destinations(networks=allowed, own=learning.own, peer=peer).why_not(host, port_of(callback.url))
    # A name is checked when DNS has resolved it; but the names of the bridge's own listeners are known now.
    if why_not is not None and (is_ip(host) or learning.own.include(host, port_of(callback.url))):
        return CallbackRefusal(reason=f"{quoted} {why_not}")
    return callback


def port_of(url: str) -> int:
    """Return the port of an http or https address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _parts(text: str, peer: str) -> SplitResult | None:
    """Return the parts of the address, None if it is not an http address.

    A missing host (`http://:8082/`, seen in the field) is filled in with the peer's IP address.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _AUTHORITY.fullmatch(parts.netloc):
        return None
    host = parts.hostname
    if host and not is_ip(host) and not _HOST_NAME.fullmatch(host):
        return None
    if not host:
        host = _bracketed(peer)
        parts = parts._replace(netloc=host if port is None else f"{host}:{port}")
    return parts._replace(fragment="")


def _is_anonymous(text: str) -> bool:
    return text.endswith(_ANONYMOUS)


def _network_of(peer: str, *, loopback: bool) -> tuple[Network, ...]:
    """Return the network that contains the peer's IP address alone.

    Returns nothing for a link-local peer, which may be a service of the machine itself. Returns nothing for a peer on
    loopback without `loopback`: it may be a proxy that forwards requests of unknown peers.
    """
    try:
        address = ip_address(peer)
    except ValueError:
        return ()
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if within(str(address), LINK_LOCAL) or (not loopback and within(str(address), LOOPBACK)):
        return ()
    return (IPv4Network(int(address)) if address.version == 4 else IPv6Network(int(address)),)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
