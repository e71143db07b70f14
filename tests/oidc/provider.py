"""An OpenID Connect provider on a socket of its own: discovery, keys, the two endpoints of the code flow with PKCE.

It is as strict with the bridge as the specifications let it be. What it says can be changed, to lie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any, Self
from urllib.parse import unquote_plus, urlencode

import msgspec
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

CLIENT_ID, SECRET = "ocpp-bridge", "a secret that only the two know: %&+é"
ANN: dict[str, Any] = {"sub": "248289761001", "email": "ann@example.com", "groups": ["staff", "ocpp-operators"]}
BEN: dict[str, Any] = {"sub": "248289761002", "email": "ben@example.com", "groups": ["ocpp-viewers"]}
EVE: dict[str, Any] = {"sub": "248289761003", "email": "eve@example.com", "groups": ["staff"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Granted:
    """What a code was given for."""

    person: dict[str, Any]
    nonce: str
    challenge: str
    redirect_uri: str


@dataclass(slots=True, kw_only=True)
class Lies:
    """What it says otherwise than it should."""

    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)  # None leaves a claim out
    token: str | None = None  # in place of the ID token
    sign: Callable[[Provider, dict[str, Any]], str] | None = None  # makes the ID token of its claims
    key: Key | None = None  # signs in place of its own
    keys: bytes | None = None  # in place of its keys
    status: dict[str, int] = field(default_factory=dict)  # by path
    answers: dict[str, bytes] = field(default_factory=dict)  # by path
    redirect: dict[str, str] = field(default_factory=dict)  # parameters of the redirect back, "" leaves one out


class Provider:
    """A provider at which `person` signs in, at once or, with `asks`, with a click. `seen` counts requests by path."""

    def __init__(self, person: dict[str, Any] = ANN, *, asks: bool = False, secret: str | None = SECRET) -> None:
        self.person = person
        self.asks = asks
        self.secret = secret
        self.alg = "RS256"
        self.key: Key = rsa("first")
        self.lies = Lies()
        self.seen: Counter[str] = Counter()
        self.codes: list[str] = []
        self._granted: dict[str, _Granted] = {}
        self._runner: web.AppRunner | None = None
        self.issuer = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen."""
        application = web.Application(middlewares=[self._counted])
        application.router.add_get("/.well-known/openid-configuration", self._metadata)
        application.router.add_get("/authorize", self._authorize)
        application.router.add_post("/token", self._token)
        application.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]
        self.issuer = f"http://127.0.0.1:{self.port}" if tls is None else f"https://localhost:{self.port}"

    async def stop(self) -> None:
        """Be gone."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.seen[request.path] += 1
        if (status := self.lies.status.get(request.path)) is not None:
            return web.json_response({"error": "server_error"}, status=status)
        if (answer := self.lies.answers.get(request.path)) is not None:
            return web.Response(body=answer, content_type="application/json")
        response: web.StreamResponse = await handler(request)
        return response

    async def _metadata(self, request: web.Request) -> web.Response:
        told = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.alg],
        }
        return web.json_response(told | self.lies.metadata)

    async def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        assert query["tenant"] == "1"
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) >= 40 and len(query["nonce"]) >= 40
        code = secrets.token_urlsafe(16)
        self.codes.append(code)
        self._granted[code] = _Granted(
            person=self.person,
            nonce=query["nonce"],
            challenge=query["code_challenge"],
            redirect_uri=query["redirect_uri"],
        )
        told = {"code": code, "state": query["state"], "iss": self.issuer} | self.lies.redirect
        back = f"{query['redirect_uri']}?{urlencode({name: text for name, text in told.items() if text})}"
        if self.asks:
            text = f'<!doctype html><title>Provider</title><h1>Provider</h1><a href="{escape(back)}">Continue</a>'
            return web.Response(text=text, content_type="text/html")
        return web.Response(status=302, headers={"Location": back})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        granted = self._granted.pop(str(form["code"]), None)  # once
        verifier = str(form["code_verifier"]).encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if not self._is_client(request, {name: str(text) for name, text in form.items()}):
            return web.json_response({"error": "invalid_client"}, status=401)
        if granted is None or challenge != granted.challenge or form["redirect_uri"] != granted.redirect_uri:
            return web.json_response({"error": "invalid_grant"}, status=400)
        access_token = secrets.token_urlsafe(16)
        token = self.lies.token or self.signed(granted.person, granted.nonce, access_token)
        return web.json_response({"access_token": access_token, "token_type": "Bearer", "id_token": token})

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        methods = self.lies.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self.secret is None or methods == ["client_secret_post"]:
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, self.secret)
        scheme, _, basic = request.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(basic).decode().partition(":")
        return (scheme, unquote_plus(user), unquote_plus(password)) == ("Basic", CLIENT_ID, self.secret)

    def signed(self, person: dict[str, Any], nonce: str, access_token: str) -> str:
        """An ID token."""
        now = int(time.time())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "exp": now + 300, "iat": now, "nonce": nonce}
        claims |= {"at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(), "email_verified": True}
        claims |= person | self.lies.claims
        told = {name: value for name, value in claims.items() if value is not None}
        if self.lies.sign is not None:
            return self.lies.sign(self, told)
        key = self.lies.key or self.key
        return jwt.encode({"alg": self.alg, "kid": key.kid}, told, key, algorithms=[self.alg])

    async def _keys(self, request: web.Request) -> web.Response:
        if self.lies.keys is not None:
            return web.Response(body=self.lies.keys, content_type="application/json")
        unknown = {"kty": "AKP", "alg": "ML-DSA-44", "kid": "of tomorrow", "pub": "AA"}
        return web.json_response({"keys": [unknown, self.key.as_dict(private=False)]})


def unsigned(at: Provider, claims: dict[str, Any]) -> str:
    """An ID token with alg none."""
    return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."


def headed(**header: Any) -> Callable[[Provider, dict[str, Any]], str]:
    """Makes ID tokens with this header."""
    return lambda at, claims: f"{_encoded({'alg': 'RS256', 'kid': at.key.kid} | header)}.{_encoded(claims)}.AAAA"


def signed_with_what_everybody_knows(at: Provider, claims: dict[str, Any]) -> str:
    """An ID token with HS256, whose secret is the public key."""
    assert isinstance(at.key, RSAKey)
    return _hs256(at, claims, at.key.as_pem(private=False))


def signed_with_the_secret_of_the_client(at: Provider, claims: dict[str, Any]) -> str:
    """An ID token with HS256, whose secret the bridge has too."""
    return _hs256(at, claims, SECRET.encode())


def _hs256(at: Provider, claims: dict[str, Any], secret: bytes) -> str:
    text = f"{_encoded({'alg': 'HS256', 'kid': at.key.kid})}.{_encoded(claims)}"
    seal = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode()


def rsa(kid: str, bits: int = 2048) -> RSAKey:
    """A new RSA key."""
    return RSAKey.generate_key(bits, {"kid": kid, "use": "sig"})


def ec(kid: str) -> ECKey:
    """A new key on the curve P-256."""
    return ECKey.generate_key("P-256", {"kid": kid})
