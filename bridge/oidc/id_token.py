"""Verify an ID token (OpenID Connect Core 1.0 section 3.1.3.7) with authlib and joserfc. No I/O."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import JWKRegistry, KeySet
from joserfc.jws import JWSRegistry
from msgspec import Meta, Struct

from bridge.oidc.outcome import ProviderFailed, SignInRefused

# Signatures with a private key that only the provider has. "none" is no signature, and HS256 would take a secret that
# the bridge has too, or a public key for a secret.
ALGORITHMS = tuple(f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512))
# Seconds by which the clocks of the bridge and the provider may differ.
_LEEWAY = 60
# RSA keys have 2048 to 8192 bits: these are characters of base64url. To verify with a longer key takes long.
_SHORTEST_RSA, _LONGEST_RSA = 342, 1366
_MOST_KEYS = 100
_LONGEST = 65_536  # characters of an ID token
_WRONG = {
    "iss": "the ID token is from another issuer",
    "aud": "the ID token is for another client (audience)",
    "azp": "the ID token is for another client (azp)",
    "nonce": "the ID token belongs to another sign-in (nonce)",
    "at_hash": "the ID token belongs to another access token (at_hash)",
    "iat": "the ID token was issued in the future: the clocks of the bridge and the provider differ",
    "nbf": "the ID token is not valid yet: the clocks of the bridge and the provider differ",
}


class UnknownKey(SignInRefused):
    """The keys of the provider lack the key of an ID token. The provider may have a new key."""


class Expected(Struct, frozen=True, kw_only=True):
    """What an ID token must fit.

    Attributes:
        issuer: The issuer.
        client_id: The audience.
        nonce: The nonce of the sign-in.
        access_token: The access token that came with the ID token, "" for none.
        now: The time in unix seconds.
    """

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    now: int


class _Claims(Struct, frozen=True, kw_only=True):
    """The types of the claims that are verified."""

    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    aud: str | list[str]
    exp: int | float
    iat: int | float
    nonce: str
    nbf: int | float | None = None
    auth_time: int | float | None = None
    azp: str | None = None
    at_hash: str | None = None


def keys_of(document: bytes) -> KeySet:
    """Return the usable keys of a JSON Web Key Set. Raises ProviderFailed if it has none."""
    try:
        read = msgspec.json.decode(document, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderFailed("the provider's keys cannot be read", str(error)) from error
    listed = read.get("keys")
    keys = []
    for raw in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
        if isinstance(raw, dict) and _is_usable(raw):
            try:
                keys.append(JWKRegistry.import_key(raw))
            except (JoseError, ValueError, TypeError, KeyError):
                continue  # RFC 7517 section 5: a key that is not understood is ignored
    if not keys:
        raise ProviderFailed("the provider has no key that can sign an ID token")
    return KeySet(keys)


def _is_usable(raw: dict[str, Any]) -> bool:
    """Return whether a key is one of those that sign with a private key, and is neither too short nor too long."""
    modulus = raw.get("n")
    if raw.get("kty") == "RSA":
        return isinstance(modulus, str) and _SHORTEST_RSA <= len(modulus.rstrip("=")) <= _LONGEST_RSA
    return raw.get("kty") == "EC"


def verified(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """Return the claims of an ID token.

    Args:
        token: The ID token.
        keys: The keys of the provider.
        expected: What the token must fit.

    Raises:
        UnknownKey: The keys lack that of the token.
        SignInRefused: The token is not valid. The text says why.
    """
    if len(token) > _LONGEST or not token.isascii():
        raise SignInRefused("the ID token cannot be read")
    try:
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        decoded = jwt.decode(token, keys, registry=registry)
        msgspec.convert(decoded.claims, _Claims)
        _check(decoded, expected)
    except UnsupportedAlgorithmError as error:
        text = f"the ID token has a signature that is not accepted: only {', '.join(ALGORITHMS)} are"
        raise SignInRefused(text) from error
    except InvalidKeyIdError as error:
        raise UnknownKey("the provider's keys lack the key of the ID token") from error
    except BadSignatureError as error:
        raise SignInRefused("the signature of the ID token is wrong") from error
    except ExpiredTokenError as error:
        raise SignInRefused("the ID token has expired") from error
    except ClaimError as error:
        raise SignInRefused(_WRONG.get(error.claim, "a claim of the ID token is wrong"), detail=error.claim) from error
    except msgspec.ValidationError as error:
        raise SignInRefused("a claim of the ID token is missing or has a wrong type", detail=str(error)) from error
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise SignInRefused("the ID token cannot be read", detail=type(error).__name__) from error
    return decoded.claims


def _check(decoded: jwt.Token, expected: Expected) -> None:
    options = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.client_id},
    }
    given = {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token}
    CodeIDToken(decoded.claims, decoded.header, options, given).validate(now=expected.now, leeway=_LEEWAY)
