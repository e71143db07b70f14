"""Check the sign-in of operators at an OpenID Connect provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import admin_url, is_local
from bridge.config.records import Admin, Listen, Oidc
from bridge.config.tls import check_client_tls
from bridge.config.urls import HTTP, check_url

_PATH: KeyPath = ("admin", "oidc")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 6749 section 3.3: scope-token.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def check_oidc(oidc: Oidc, complaints: Complaints) -> None:
    """Complain about a table `[admin.oidc]` that cannot work."""
    if not complaints.about((*_PATH, "issuer")):
        check_url((*_PATH, "issuer"), oidc.issuer, HTTP, complaints, query=False)
    if not complaints.about((*_PATH, "client_id")) and not _is_plain(oidc.client_id):
        complaints.add((*_PATH, "client_id"), "expected a text without blanks around it or control characters")
    if oidc.public_url:
        _check_public_url(oidc.public_url, complaints)
    if oidc.name and not _is_plain(oidc.name):
        complaints.add((*_PATH, "name"), "expected a text without blanks around it or control characters")
    _check_scopes(oidc.scopes, complaints)
    _check_roles(oidc, complaints)
    if oidc.idle_hours > oidc.session_hours and not complaints.about((*_PATH, "idle_hours")):
        complaints.add((*_PATH, "idle_hours"), "is more than session_hours")
    check_client_tls((*_PATH, "tls"), oidc.tls, oidc.issuer, complaints)


def _check_public_url(url: str, complaints: Complaints) -> None:
    check_url((*_PATH, "public_url"), url, HTTP, complaints, query=False)
    if complaints.about((*_PATH, "public_url")):
        return
    parts = urlsplit(url)
    if parts.path or url != url.lower() or parts.port == _DEFAULT_PORTS[parts.scheme]:
        text = "expected an origin as browsers write it, https://ocpp.example.com: lower case, no path, no default port"
        complaints.add((*_PATH, "public_url"), text)


def _check_scopes(scopes: tuple[str, ...], complaints: Complaints) -> None:
    for index, scope in enumerate(scopes):
        if not _SCOPE.fullmatch(scope):
            complaints.add((*_PATH, "scopes", index), "expected a word without blanks, quotes and backslashes")
    if "openid" not in scopes and not complaints.inside((*_PATH, "scopes")):
        complaints.add((*_PATH, "scopes"), "lacks openid, without which a provider gives no ID token")


def _check_roles(oidc: Oidc, complaints: Complaints) -> None:
    """Complain about roles that nobody can have, and about values that give two roles."""
    if not _is_plain(oidc.role_claim):
        complaints.add((*_PATH, "role_claim"), "expected the name of a claim")
    if not oidc.read and not oidc.operate and not complaints.inside(_PATH):
        complaints.add((*_PATH, "operate"), "missing, and read too: nobody could have a role")
    for key, values in (("read", oidc.read), ("operate", oidc.operate)):
        for index, value in enumerate(values):
            if not value.strip():
                complaints.add((*_PATH, key, index), "is blank")
    for value in sorted(set(oidc.read) & set(oidc.operate)):
        complaints.add((*_PATH, "read"), f"{quote(value)} is in operate too, which permits everything that read does")


def _is_plain(text: str) -> bool:
    return bool(text) and text.isprintable() and text == text.strip()


def public_url_of(admin: Admin) -> str:
    """Return the URL under which browsers reach the console to sign in."""
    assert admin.oidc is not None
    return admin.oidc.public_url or admin_url(admin)


def exposed(admin: Admin) -> Iterator[str]:
    """Return a line for each way in which a sign-in can be overheard or forged."""
    if admin.oidc is None:
        return
    if _is_open(admin.oidc.issuer):
        key = dotted((*_PATH, "issuer"))
        yield f"{key}: is reached over http: who can change that traffic signs in as anybody"
    if _is_open(public_url_of(admin)):
        key = dotted((*_PATH, "public_url"))
        yield f"{key}: is reached over http: who sees that traffic can use the sessions of operators"


def cautions(admin: Admin) -> Iterator[str]:
    """Return a line if operators on other machines cannot sign in."""
    if admin.oidc is not None and not admin.oidc.public_url and not is_local(admin.listen):
        key = dotted((*_PATH, "public_url"))
        yield f"{key}: is not set: only a browser on this machine can sign in"


def _is_open(url: str) -> bool:
    """Return whether `url` leads over a network without TLS."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_local(Listen(parts.hostname or "", 0))
