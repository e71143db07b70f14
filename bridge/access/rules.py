"""Check the credentials of a request or handshake against the rule of a Charge Point. Pure.

Credentials that the Rule does not ask for are not sufficient, but can cause a refusal: identities that disagree, and a
certificate with another name, are refused under every Rule. This module returns a password or token to the caller as a
Guess and does not check it, because guesses may have to wait.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from msgspec import Struct

from bridge.access.passwords import Expected
from bridge.errors import AccessDenied, Why
from bridge.ocpp import identity as identities
from bridge.ocpp.tenants import identity_of

Network = IPv4Network | IPv6Network
Asks = Literal["none", "basic", "certificate", "network", "token"]

CHALLENGE = {"WWW-Authenticate": 'Basic realm="ocpp-bridge", charset="UTF-8"'}
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


class Rule(Struct, frozen=True, kw_only=True):
    """The authentication that is required of a Charge Point, or of a Central System for a Charge Point.

    Attributes:
        identity: Key of the Charge Point, by which guesses are counted.
        asks: The only accepted authentication.
        passwords: Accepted passwords.
        certificate_name: Name in the client certificate; "" is the identity.
        networks: Networks of the Charge Point, for the authentication "network".
        token: Token in the URL.
        exact: Whether the user of HTTP Basic must be the identity with the same letter case.
        any_user: Whether the user of HTTP Basic does not matter.
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
    def name(self) -> str:
        """The identity, which the credentials name."""
        return identity_of(self.identity)

    @property
    def proves(self) -> bool:
        """True if the authentication proves the identity."""
        return self.asks in ("basic", "certificate", "token")

    @property
    def guessable(self) -> bool:
        """True if the authentication is a password or a token, which can be guessed."""
        return self.asks in ("basic", "token")

    def __repr__(self) -> str:
        return f"Rule({self.identity!r}, asks={self.asks!r})"


class Shown(Struct, frozen=True, kw_only=True):
    """The credentials of a request or handshake.

    Attributes:
        peer: IP address of the sender.
        named: All identities in the request, beginning with that of the URL.
        authorization: Authorization header.
        certificate: Names in the client certificate, None if there was none.
        token: Token in the URL.
    """

    peer: str
    named: tuple[str, ...] = ()
    authorization: str | None = None
    certificate: tuple[str, ...] | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"Shown({self.peer!r}, {self.named!r})"


class Credentials(Struct, frozen=True):
    """User and password of HTTP Basic (RFC 7617). The password is raw bytes, and may hold a colon."""

    user: bytes
    password: bytes

    @classmethod
    def read(cls, authorization: str | None) -> Credentials | None:
        """Parse an Authorization header. Returns None if there is no header or it is not valid HTTP Basic."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        return cls(user, password) if colon else None

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class Guess(Struct, frozen=True, kw_only=True):
    """A password or token to check.

    Attributes:
        expected: Values of which one must match.
        shown: The password or token of the request.
        denied: The exception to raise if no value matches.
    """

    expected: tuple[Expected, ...]
    shown: bytes
    denied: AccessDenied

    def __repr__(self) -> str:
        return "Guess(***)"


def judge(rule: Rule, shown: Shown) -> Guess | None:
    """Check the credentials `shown` against `rule`, except for a password or token.

    Returns:
        The password or token that has to be checked, None if access is granted.

    Raises:
        AccessDenied: Access is denied.
    """
    for named in shown.named:
        if named != rule.name and not identities.same(named, rule.name):
            text = "the identities in the URL and in the message are not the same"
            raise AccessDenied(_FORBIDDEN, text, Why.WRONG_IDENTITY)
    if shown.certificate is not None and not _is_certified(rule, shown.certificate):
        raise AccessDenied(_FORBIDDEN, "the certificate is not that of this Charge Point", Why.WRONG_CERTIFICATE)
    if shown.token is not None and rule.asks != "token":
        raise AccessDenied(_NOT_FOUND, "no Charge Point is served at this address", Why.WRONG_DOOR)
    if rule.asks != "basic" and _is_of_another(rule, shown):
        text = "the user of HTTP Basic is not the identity in the address"
        raise AccessDenied(_UNAUTHORIZED, text, Why.WRONG_IDENTITY, headers=CHALLENGE)
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
    wanted = rule.certificate_name or rule.name
    return any(identities.same(name, wanted) for name in names)


def _basic(rule: Rule, shown: Shown) -> Guess:
    credentials = Credentials.read(shown.authorization)
    if credentials is None:
        raise AccessDenied(_UNAUTHORIZED, "a password is asked for", Why.NO_CREDENTIALS, headers=CHALLENGE)
    # A wrong user and a wrong password have the same text, so that the sender does not learn which one is wrong.
    text = "the password is not that of this Charge Point"
    if not rule.any_user and not _is_user(rule, shown, credentials.user):
        raise AccessDenied(_UNAUTHORIZED, text, Why.WRONG_IDENTITY, headers=CHALLENGE)
    denied = AccessDenied(_UNAUTHORIZED, text, Why.WRONG_PASSWORD, headers=CHALLENGE)
    return Guess(expected=rule.passwords, shown=credentials.password, denied=denied)


def _is_of_another(rule: Rule, shown: Shown) -> bool:
    """Return whether the request has HTTP Basic with the user of another Charge Point."""
    if rule.any_user or shown.authorization is None:
        return False
    credentials = Credentials.read(shown.authorization)
    return credentials is not None and not _is_user(rule, shown, credentials.user)


def _is_user(rule: Rule, shown: Shown, user: bytes) -> bool:
    """Return whether `user` is the Charge Point.

    OCPP-J 1.6 section 6.2.2: the user is the identity in the URL, percent-decoded.
    """
    text = user.decode("utf-8", "replace")
    if not rule.exact:
        return identities.same(text, rule.name)
    return all(identities.normal(text) == named for named in shown.named or (rule.name,))


def _token(rule: Rule, shown: Shown) -> Guess:
    if shown.token is None:
        raise AccessDenied(_FORBIDDEN, "the address of this Charge Point has a token", Why.NO_CREDENTIALS)
    denied = AccessDenied(_FORBIDDEN, "the token is not that of this Charge Point", Why.WRONG_TOKEN)
    expected = () if rule.token is None else (rule.token,)
    return Guess(expected=expected, shown=shown.token.encode("utf-8", "replace"), denied=denied)


def within(peer: str, networks: tuple[Network, ...]) -> bool:
    """Return whether the IP address `peer` is in one of `networks`. An IPv4-mapped IPv6 address counts as IPv4."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
