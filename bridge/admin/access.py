"""Who may ask. Pure: what a request shows in, a refusal out.

Three doors, each for one way in:

    the token       without one in the configuration only this machine is answered, and not what a proxy on it passes on
    the Origin      a page of another site, in the operator's browser, must not ask in the operator's name
    the Host        nor a page whose name was made to lead here (DNS rebinding), which has the right Origin for its Host
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.admin.problems import Refused

# What a proxy adds: who asks through it is not on this machine.
_PASSED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
# What monitoring asks without a token; what a browser must load before its user can type one. None of it tells secrets.
_HEALTH = ("/healthz", "/readyz")
_METRICS = "/metrics"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ocpp-bridge"'}


class Asking(Struct, frozen=True, kw_only=True):
    """What a request shows. `peer` is the IP address that it came from, None if there is none; `headers` are looked up
    without regard to letter case; `secure`: it came over TLS."""

    path: str
    peer: str | None
    secure: bool
    headers: Mapping[str, str]


class Access:
    """The rules. `allowed_origins` are those of pages that may ask, beside our own."""

    def __init__(self, token: bytes | None, allowed_origins: tuple[str, ...], *, open_metrics: bool) -> None:
        self._token = token
        self._origins = frozenset(allowed_origins)
        self._names = frozenset(filter(None, (urlsplit(origin).hostname for origin in allowed_origins)))
        self._open_metrics = open_metrics

    def check(self, asking: Asking) -> None:
        """Raises Refused: 403 for a foreign page, 401 for somebody who may not."""
        self._check_origin(asking)
        if asking.path in _HEALTH or (asking.path == _METRICS and self._open_metrics):
            return
        if self._token is None:
            self._check_local(asking)
        elif not _is_page(asking.path):
            self._check_token(asking, self._token)

    def name(self, asking: Asking) -> str:
        """Who it is that may ask, for the audit."""
        return f"{asking.peer}" if self._token is None else f"{asking.peer} (token)"

    def _check_origin(self, asking: Asking) -> None:
        origin = asking.headers.get("Origin")
        own = f"{'https' if asking.secure else 'http'}://{asking.headers.get('Host', '')}"
        if origin is not None and origin != own and origin not in self._origins:
            text = "a page of another origin may not ask here (admin.allowed_origins says which may)"
            raise Refused(HTTPStatus.FORBIDDEN, text)

    def _check_local(self, asking: Asking) -> None:
        if not _is_loopback(asking.peer):
            raise _unauthorized("only this machine is answered unless a token is configured (admin.token_file)")
        if any(name in asking.headers for name in _PASSED_ON):
            raise _unauthorized("what a proxy passes on is answered only if a token is configured (admin.token_file)")
        host = _host_of(asking.headers.get("Host", ""))
        if host != "localhost" and not _is_loopback(host) and host not in self._names:
            text = "without a token this is answered as localhost, 127.0.0.1, [::1] and the hosts of "
            raise Refused(HTTPStatus.FORBIDDEN, f"{text}admin.allowed_origins only")

    def _check_token(self, asking: Asking, token: bytes) -> None:
        shown = asking.headers.get("Authorization")
        scheme, _, value = (shown or "").partition(" ")
        if not hmac.compare_digest(value.strip().encode("utf-8", "surrogateescape"), token) or (
            scheme.lower() != "bearer"
        ):
            raise _unauthorized("a bearer token is needed" if shown is None else "the token is not the right one")


def _is_page(path: str) -> bool:
    """Of the console, which is the same for everybody."""
    return path == "/" or path.startswith("/console/")


def _unauthorized(text: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, text, headers=_CHALLENGE)


def _host_of(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_loopback(address: str | None) -> bool:
    """127.0.0.0/8, ::1, and the former as IPv6 writes it."""
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
