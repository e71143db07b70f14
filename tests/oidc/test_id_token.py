"""Which ID tokens are verified. What a provider may say in their claims is in `tests/admin/test_sign_in.py`."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.oidc.id_token import Expected, UnknownKey, keys_of, verified
from bridge.oidc.outcome import SignInRefused
from tests.oidc.provider import CLIENT_ID, Provider, ec, headed, rsa

NOW = int(time.time())
AT = Provider()
AT.issuer = "https://login.example.com"
CLAIMS = {"iss": AT.issuer, "aud": CLIENT_ID, "exp": NOW + 99, "iat": NOW, "nonce": "n", "sub": "1"}
EXPECTED = Expected(issuer=AT.issuer, client_id=CLIENT_ID, nonce="n", access_token="a", now=NOW)


def document(*keys: Any) -> bytes:
    """The key set of a provider."""
    return msgspec.json.encode({"keys": [key if isinstance(key, dict) else key.as_dict(private=False) for key in keys]})


KEYS = keys_of(document(AT.key))


def refusal(token: str) -> SignInRefused:
    """Why it is refused."""
    with pytest.raises(SignInRefused) as caught:
        verified(token, KEYS, EXPECTED)
    return caught.value


def test_a_good_one() -> None:
    token = AT.signed({"sub": "1", "groups": ["a"]}, "n", "a")
    now = msgspec.structs.replace(EXPECTED, now=int(time.time()))
    assert verified(token, KEYS, now)["groups"] == ["a"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"kid": 7}, "the ID token cannot be read"),
        ({"kid": None}, "the ID token cannot be read"),
        ({"alg": None}, "the ID token cannot be read"),
        ({"crit": ["x"], "x": 1}, "the ID token cannot be read"),
        ({"crit": ["b64"], "b64": False}, "the signature of the ID token is wrong"),
        ({"jwk": {"kty": "RSA"}}, "the signature of the ID token is wrong"),
        ({"alg": "HS256"}, "the ID token has a signature that is not accepted"),
        ({"alg": "EdDSA"}, "the ID token has a signature that is not accepted"),
        ({"alg": "ES256"}, "the ID token cannot be read"),
        ({"kid": "another"}, "the provider's keys lack the key of the ID token"),
    ],
)
def test_a_header_that_is_not_good(header: dict[str, Any], reason: str) -> None:
    refused = refusal(headed(**header)(AT, CLAIMS))
    assert refused.reason.startswith(reason)
    assert isinstance(refused, UnknownKey) == (header == {"kid": "another"})


@given(st.text(max_size=60))
def test_any_text_is_read_without_a_fault(token: str) -> None:
    assert refusal(token).reason
    assert refusal(f"{token}.{token}.{token}").reason


def test_which_keys_are_of_use() -> None:
    """Another kind of key, one that is too short, too long or cannot be read do not keep the others from being used."""
    secret, short = {"kty": "oct", "k": "AAAA", "kid": "x"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "y"}
    long = {"kty": "RSA", "n": "u" * 1368, "e": "AQAB", "kid": "z"}
    keys = keys_of(document(secret, short, long, {"kty": "EC", "crv": "P-1"}, {"kty": []}, ec("curve"), rsa("other")))
    assert [key.kid for key in keys] == ["curve", "other"]
