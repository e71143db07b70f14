"""Make the sign-in of operators at an OpenID Connect provider from the configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from urllib.parse import urlsplit

import msgspec

from bridge.admin.sign_in import CALLBACK, SignInTerms
from bridge.config import Admin, ClientTLS, Oidc
from bridge.config.oidc import public_url_of
from bridge.errors import Complaint, ConfigurationError
from bridge.net.tls import Renewable
from bridge.oidc.roles import RoleRules

# The libraries of the extra `oidc`.
_LIBRARIES = ("authlib", "joserfc")
_HOUR = 3600.0


def missing_library(admin: Admin, source: str = "configuration") -> Complaint | None:
    """Return the complaint if the configuration needs the extra `oidc` and it is not installed, else None."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if admin.oidc is None or not missing:
        return None
    text = f"{missing[0]} is not installed here: pip install 'ocpp-bridge[oidc]'"
    return Complaint(source=source, key="admin.oidc", text=text)


def require_library(admin: Admin) -> None:
    """Raise ConfigurationError if the configuration needs the extra `oidc` and it is not installed."""
    if (missing := missing_library(admin)) is not None:
        raise ConfigurationError([missing])


def terms_of(
    admin: Admin, context_of: Callable[[ClientTLS | None], Renewable], before: SignInTerms | None
) -> SignInTerms | None:
    """Return the terms of the sign-in, None if it is not configured. Equal terms are those of before.

    Args:
        admin: The table of the admin listener.
        context_of: Returns the TLS context of a table.
        before: The terms in force.
    """
    oidc = admin.oidc
    if oidc is None:
        return None
    public_url = public_url_of(admin)
    source = (oidc, public_url)
    if before is not None and before.source == source:
        return before
    from bridge.oidc.provider import Client, OidcProvider

    client = Client(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        client_secret=None if oidc.client_secret is None else oidc.client_secret.reveal(),
        scopes=oidc.scopes,
        redirect_uri=public_url + CALLBACK,
        rules=RoleRules(claim=oidc.role_claim, read=frozenset(oidc.read), operate=frozenset(oidc.operate)),
    )
    return SignInTerms(
        provider=OidcProvider(client, context_of(oidc.tls)),
        label=oidc.name or urlsplit(oidc.issuer).hostname or "",
        public_url=public_url,
        lasts=oidc.session_hours * _HOUR,
        idle=oidc.idle_hours * _HOUR,
        source=source,
        # Who has signed in stays so when the bridge's own credentials change.
        binding=_digest(msgspec.structs.replace(oidc, client_secret=None, tls=None), public_url),
    )


def _digest(oidc: Oidc, public_url: str) -> str:
    """Return a word for what sessions depend on, the same at all processes with the same configuration."""
    return hashlib.sha256(msgspec.json.encode((oidc, public_url))).hexdigest()
