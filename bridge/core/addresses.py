"""Where a SOAP Charge Point may be called back: "the only way" to know is its From header (OCPP-S 1.6 section 3.7).

Whoever knows an identity can send a From header. So an address that was learnt is used only where it leads to the
peer that sent it, or into a network that the operator named: otherwise anyone could send the bridge's requests, and
a Charge Point's commands, anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

Network = IPv4Network | IPv6Network
_ANONYMOUS = ("/addressing/anonymous", "/addressing/role/anonymous", "/addressing/none")
# A name that can be looked up. International ones are not spelled out; what they lead to is checked all the same.
_HOST_NAME = re.compile(r"[\w.-]+")


class Callback(Struct, frozen=True, kw_only=True):
    """An address to POST commands to. `networks` limits where its host's name may lead; None: anywhere.

    Checked where the connection is made, so that a name cannot lead elsewhere in between.
    """

    url: str
    networks: tuple[Network, ...] | None = None
    guessed: bool = False  # from the peer's address alone

    def admits(self, address: str) -> bool:
        """Whether a connection may be made to the IP `address`."""
        return self.networks is None or _within(address, self.networks)


class Refusal(Struct, frozen=True, kw_only=True):
    """No callback address could be learnt, and why, for a person."""

    reason: str


def pinned(url: str) -> Callback:
    """The address that the operator configured: it is used as it is."""
    return Callback(url=url)


def learn(
    sent_from: str | None, reply_to: str | None, peer: str, networks: Sequence[Network]
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
        guess = _check(f"http://{_bracketed(peer)}/", peer, networks)
        return replace(guess, guessed=True) if isinstance(guess, Callback) else guess
    return refusal


def _check(text: str, peer: str, networks: Sequence[Network]) -> Callback | Refusal:
    parts = _parts(text, peer)
    if parts is None:
        return Refusal(reason=f"{text!r} is not an http address")
    allowed = (*networks, *_network_of(peer))
    host = parts.hostname or ""
    if _is_ip(host) and not _within(host, allowed):
        return Refusal(reason=f"{text!r} is neither the peer {peer} nor in soap.callback_networks")
    return Callback(url=urlunsplit(parts), networks=allowed)


def _parts(text: str, peer: str) -> SplitResult | None:
    """The address, its host filled in with the peer's where it is missing (`http://:8082/`, seen in the field)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
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
    try:
        address = ip_address(peer)
    except ValueError:
        return ()
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return (IPv4Network(int(address)) if address.version == 4 else IPv6Network(int(address)),)


def _within(address: str, networks: Sequence[Network]) -> bool:
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip.version == network.version and ip in network for network in networks)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
