"""One Charge Point's one way in, and what it shows, judged. Pure.

What the Rule does not ask for does not help. It may harm: names that disagree, and a certificate of somebody else, are
turned away whatever is asked. A password and a token are not judged here, but handed on: who guesses may have to wait.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from msgspec import Struct

from bridge import identity as identities
from bridge.access.basic import CHALLENGE, Credentials
from bridge.access.passwords import Expected
from bridge.errors import AccessDenied, Why

Network = IPv4Network | IPv6Network
Asks = Literal["none", "basic", "certificate", "network", "token"]

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


class Rule(Struct, frozen=True, kw_only=True):
    """What is asked of the Charge Point `identity`. Any of `passwords` will do; `certificate_name` "" is its identity.

    `exact`: the user of Basic is the identity letter for letter. `any_user`: it does not matter.
    """

    identity: str
    asks: Asks = "none"
    passwords: tuple[Expected, ...] = ()
    certificate_name: str = ""
    networks: tuple[Network, ...] = ()
    token: bytes | None = None
    exact: bool = False
    any_user: bool = False

    @property
    def proves(self) -> bool:
        """Whether who gets in has proved who it is."""
        return self.asks in ("basic", "certificate", "token")

    @property
    def guessable(self) -> bool:
        """Whether it takes a password or a token, which somebody may try to guess."""
        return self.asks in ("basic", "token")

    def __repr__(self) -> str:
        return f"Rule({self.identity!r}, asks={self.asks!r})"


class Shown(Struct, frozen=True, kw_only=True):
    """What came with a message or handshake. `named` is every identity that it names, the URL's first; `certificate`
    the names in the certificate, None if none was shown."""

    peer: str
    named: tuple[str, ...] = ()
    authorization: str | None = None
    certificate: tuple[str, ...] | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"Shown({self.peer!r}, {self.named!r})"


class Guess(Struct, frozen=True, kw_only=True):
    """What is to be held against what was expected; `denied` is what to say if nothing of it fits."""

    expected: tuple[Expected, ...]
    shown: bytes
    denied: AccessDenied

    def __repr__(self) -> str:
        return "Guess(***)"


def judge(rule: Rule, shown: Shown) -> Guess | None:
    """None: it is let in. Raises AccessDenied."""
    for named in shown.named:
        if named != rule.identity and not identities.same(named, rule.identity):
            text = "the identities in the URL and in the message are not the same"
            raise AccessDenied(_FORBIDDEN, text, Why.WRONG_IDENTITY)
    if shown.certificate is not None and not _is_certified(rule, shown.certificate):
        raise AccessDenied(_FORBIDDEN, "the certificate is not that of this Charge Point", Why.WRONG_CERTIFICATE)
    if shown.token is not None and rule.asks != "token":
        raise AccessDenied(_NOT_FOUND, "no Charge Point is served at this address", Why.WRONG_DOOR)
    match rule.asks:
        case "basic":
            return _basic(rule, shown)
        case "token":
            return _token(rule, shown)
        case "certificate" if shown.certificate is None:
            raise AccessDenied(_FORBIDDEN, "a client certificate is asked for", Why.NO_CREDENTIALS)
        case "network" if not within(shown.peer, rule.networks):
            raise AccessDenied(_FORBIDDEN, "this address is not one of the Charge Point's", Why.WRONG_ADDRESS)
    return None


def _is_certified(rule: Rule, names: tuple[str, ...]) -> bool:
    wanted = rule.certificate_name or rule.identity
    return any(identities.same(name, wanted) for name in names)


def _basic(rule: Rule, shown: Shown) -> Guess:
    credentials = Credentials.read(shown.authorization)
    if credentials is None:
        raise AccessDenied(_UNAUTHORIZED, "a password is asked for", Why.NO_CREDENTIALS, headers=CHALLENGE)
    # One text for a wrong user and a wrong password: who guesses is not told which.
    text = "the password is not that of this Charge Point"
    if not rule.any_user and not _is_user(rule, shown, credentials.user):
        raise AccessDenied(_UNAUTHORIZED, text, Why.WRONG_IDENTITY, headers=CHALLENGE)
    denied = AccessDenied(_UNAUTHORIZED, text, Why.WRONG_PASSWORD, headers=CHALLENGE)
    return Guess(expected=rule.passwords, shown=credentials.password, denied=denied)


def _is_user(rule: Rule, shown: Shown, user: bytes) -> bool:
    """OCPP-J 1.6 section 6.2.2: the user is the identity as it is in the URL, decoded."""
    text = user.decode("utf-8", "replace")
    if not rule.exact:
        return identities.same(text, rule.identity)
    return all(identities.normal(text) == named for named in shown.named or (rule.identity,))


def _token(rule: Rule, shown: Shown) -> Guess:
    if shown.token is None:
        raise AccessDenied(_FORBIDDEN, "the address of this Charge Point has a token", Why.NO_CREDENTIALS)
    denied = AccessDenied(_FORBIDDEN, "the token is not that of this Charge Point", Why.WRONG_TOKEN)
    expected = () if rule.token is None else (rule.token,)
    return Guess(expected=expected, shown=shown.token.encode("utf-8", "replace"), denied=denied)


def within(peer: str, networks: tuple[Network, ...]) -> bool:
    """Whether the IP address `peer` lies in one of `networks`. An IPv4 address mapped into IPv6 is that address."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
