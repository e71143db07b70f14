"""Read the discovery document of a provider (OpenID Connect Discovery 1.0). Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bridge.oidc.outcome import ProviderFailed

PATH = "/.well-known/openid-configuration"


class ProviderMetadata(Struct, frozen=True, kw_only=True):
    """What the bridge uses of a discovery document. The names are those of the document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


def metadata_of(document: bytes, issuer: str) -> ProviderMetadata:
    """Return the content of the discovery document of `issuer`. Raises ProviderFailed if it cannot be used."""
    try:
        metadata = msgspec.json.decode(document, type=ProviderMetadata)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderFailed("the provider's discovery document cannot be read", str(error)) from error
    if metadata.issuer != issuer:
        # Discovery section 4.3: the two must be equal. Otherwise another provider could answer in the place of this.
        text = "the provider's discovery document is of another issuer than admin.oidc.issuer"
        raise ProviderFailed(text, metadata.issuer[:200])
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not _is_address(getattr(metadata, name), secure=urlsplit(issuer).scheme == "https"):
            raise ProviderFailed(f"the provider's discovery document has no usable {name}")
    return metadata


def _is_address(url: str, *, secure: bool) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    schemes = ("https",) if secure else ("http", "https")
    plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc
    return plain and parts.scheme in schemes and bool(parts.hostname) and port != 0 and not parts.fragment
