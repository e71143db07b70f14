"""Ask an OpenID Connect provider: discovery, keys, and the exchange of a code for an ID token.

Every request has a deadline and a bound on its answer, and no redirect is followed. What was fetched is kept for an
hour. Keys are fetched again when an ID token has an unknown one, once a minute at most.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import KeySet
from msgspec import Struct

from bridge import __version__
from bridge.oidc.attempts import SignInAttempt
from bridge.oidc.id_token import Expected, UnknownKey, keys_of, verified
from bridge.oidc.metadata import PATH, ProviderMetadata, metadata_of
from bridge.oidc.outcome import Identified, ProviderFailed, SignInRefused
from bridge.oidc.roles import RoleRules, identified

_DEADLINE = 10.0  # seconds for one request
_LARGEST = 262_144  # octets of an answer
# Seconds for which documents are kept, for which a failure is, and between two fetches for the sake of an unknown key.
_KEPT, _FAILURE_KEPT, _BETWEEN_KEYS = 3600.0, 5.0, 60.0
_MOST_EXCHANGES, _MOST_WAITING = 4, 100  # at once


class Client(Struct, frozen=True, kw_only=True):
    """What the provider knows the bridge by.

    Attributes:
        issuer: The URL of the provider.
        client_id: The identifier of the bridge.
        client_secret: The secret of the bridge, None for a public client.
        scopes: The scopes that are requested.
        redirect_uri: The URL to which the provider redirects browsers.
        rules: Which claims give which role.
    """

    issuer: str
    client_id: str
    client_secret: bytes | None
    scopes: tuple[str, ...]
    redirect_uri: str
    rules: RoleRules


class _TokenAnswer(Struct, frozen=True, kw_only=True):
    """The answer of the token endpoint (OpenID Connect Core 1.0 section 3.1.3.3)."""

    id_token: str
    access_token: str = ""


class _TokenError(Struct, frozen=True, kw_only=True):
    error: str = ""


class OidcProvider:
    """An OpenID Connect provider, as a client sees it.

    Args:
        client: What the provider knows the bridge by.
        tls: The context of https connections.
        clock: Returns the time in unix seconds.
        timer: Returns the seconds of a clock that is never set.
    """

    def __init__(
        self,
        client: Client,
        tls: ssl.SSLContext,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._tls = tls
        self._clock = clock
        self._timer = timer
        self._turn = asyncio.Lock()
        self._exchanges = asyncio.Semaphore(_MOST_EXCHANGES)
        self._waiting = 0
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._metadata: ProviderMetadata | None = None
        self._metadata_until = 0.0
        self._failure: ProviderFailed | None = None
        self._failure_until = 0.0
        self._keys: KeySet | None = None
        self._keys_until = self._keys_asked = 0.0

    async def ready(self) -> None:
        """Fetch the discovery document unless it is known. Raises ProviderFailed."""
        await self._discovered()

    async def address(self, attempt: SignInAttempt) -> str:
        """Return the URL at the provider at which an operator signs in. Raises ProviderFailed."""
        metadata = await self._discovered()
        url: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            self._client.client_id,
            "code",
            redirect_uri=self._client.redirect_uri,
            scope=list(self._client.scopes),
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return url

    async def identify(self, code: str, issuer: str | None, attempt: SignInAttempt) -> Identified:
        """Return the operator whom the provider has identified.

        Args:
            code: The authorization code.
            issuer: The parameter `iss` of the answer, None without one.
            attempt: The sign-in that the answer belongs to.

        Raises:
            SignInRefused: The provider does not answer, refuses the code, or gives an ID token that is not valid.
        """
        metadata = await self._discovered()
        wants_issuer = metadata.authorization_response_iss_parameter_supported
        # RFC 9207 section 2.4: an answer of another provider is not sent to this one.
        if (issuer is None and wants_issuer) or (issuer is not None and issuer != self._client.issuer):
            raise SignInRefused("the answer is from another provider (iss)")
        if self._waiting >= _MOST_WAITING:
            raise SignInRefused("too many people sign in at once: try again", HTTPStatus.SERVICE_UNAVAILABLE)
        self._waiting += 1
        try:
            return await self._identified(metadata, code, attempt)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Close all connections. No request is sent any more."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _identified(self, metadata: ProviderMetadata, code: str, attempt: SignInAttempt) -> Identified:
        async with self._exchanges:
            answer = await self._exchanged(metadata, code, attempt)
            expected = Expected(
                issuer=self._client.issuer,
                client_id=self._client.client_id,
                nonce=attempt.nonce,
                access_token=answer.access_token,
                now=int(self._clock()),
            )
            return identified(await self._verified(metadata, answer.id_token, expected), self._client.rules)

    async def _discovered(self) -> ProviderMetadata:
        async with self._turn:
            if self._metadata is not None and self._timer() < self._metadata_until:
                return self._metadata
            if self._failure is not None and self._timer() < self._failure_until:
                raise ProviderFailed(self._failure.reason, self._failure.detail)
            try:
                status, document = await self._ask("GET", self._client.issuer.rstrip("/") + PATH)
                if status != HTTPStatus.OK:
                    raise ProviderFailed(
                        f"the provider answers HTTP {status} to the request for its discovery document"
                    )
                self._metadata = metadata_of(document, self._client.issuer)
            except ProviderFailed as failure:
                self._failure, self._failure_until = failure, self._timer() + _FAILURE_KEPT
                raise
            self._metadata_until = self._timer() + _KEPT
            return self._metadata

    async def _verified(self, metadata: ProviderMetadata, token: str, expected: Expected) -> dict[str, Any]:
        async with self._turn:
            keys = self._keys
            if keys is None or self._timer() >= self._keys_until:
                keys = await self._fetch_keys(metadata)
            try:
                return verified(token, keys, expected)
            except UnknownKey:
                if self._timer() < self._keys_asked + _BETWEEN_KEYS:
                    raise
            return verified(token, await self._fetch_keys(metadata), expected)

    async def _fetch_keys(self, metadata: ProviderMetadata) -> KeySet:
        self._keys_asked = self._timer()
        status, document = await self._ask("GET", metadata.jwks_uri)
        if status != HTTPStatus.OK:
            raise ProviderFailed(f"the provider answers HTTP {status} to the request for its keys")
        self._keys, self._keys_until = keys_of(document), self._keys_asked + _KEPT
        return self._keys

    async def _exchanged(self, metadata: ProviderMetadata, code: str, attempt: SignInAttempt) -> _TokenAnswer:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Accept": "application/json"}
        secret = self._client.client_secret
        methods = metadata.token_endpoint_auth_methods_supported
        if secret is None:
            fields["client_id"] = self._client.client_id
        elif "client_secret_basic" not in methods and "client_secret_post" in methods:
            fields |= {"client_id": self._client.client_id, "client_secret": secret.decode("utf-8", "replace")}
        else:
            # RFC 6749 section 2.3.1: both are encoded as in a form before they are encoded as Basic.
            user, password = quote_plus(self._client.client_id), quote_plus(secret)
            headers["Authorization"] = aiohttp.encode_basic_auth(user, password)
        status, document = await self._ask("POST", metadata.token_endpoint, data=fields, headers=headers)
        if status != HTTPStatus.OK:
            raise ProviderFailed(f"the provider answers HTTP {status} to the code", _error_of(document))
        try:
            return msgspec.json.decode(document, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProviderFailed("the provider's answer to the code holds no ID token") from error

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        """Return the status and the body of an answer. Raises ProviderFailed."""
        if self._closed:
            raise ProviderFailed("the configuration has changed during the sign-in")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls),
                headers={"User-Agent": f"ocpp-bridge/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_DEADLINE),
            )
        try:
            async with self._session.request(method, url, allow_redirects=False, **more) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _LARGEST:
                        raise ProviderFailed(f"the provider's answer has more than {_LARGEST} octets")
                return response.status, bytes(body)
        except TimeoutError as error:
            raise ProviderFailed(f"the provider does not answer within {_DEADLINE:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderFailed("the provider cannot be reached", _told(error)) from error


def _told(error: Exception) -> str:
    """Return the reason of a failed request. The text of aiohttp's own errors shows objects of the bridge."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(error).__name__


def _error_of(document: bytes) -> str | None:
    """Return the error code in a refusal of the token endpoint (RFC 6749 section 5.2), None without one."""
    try:
        code = msgspec.json.decode(document, type=_TokenError).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return code[:50] or None
