"""Decide who may use the admin listener. Pure: the properties of a request go in, a Refused comes out.

the token       Every request needs a token, except for the console's files, which are the same for everybody, and for
                the paths that monitoring uses. The source address is no credential: a proxy forwards requests of
                strangers.
the Origin      A page of another site in the operator's browser must not send requests in the operator's name.
the Host        A page whose host name was made to resolve to this machine (DNS rebinding) has the right Origin for its
                Host. Such a page has no token. So a request without a token must use a name of this listener; a request
                with a token may use any name.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.admin.problems import RequestRefused
from bridge.admin.scope import Scope
from bridge.ocpp import tenants

# The paths that monitoring uses without a token. They hold no secrets; the first only shows that the process runs.
_ALIVE, _READY, _METRICS = "/healthz", "/readyz", "/metrics"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ocpp-bridge"'}
_READING = ("GET", "HEAD", "OPTIONS")
# The field of a refusal with the tenant of the token, for clients that cannot know it.
TENANT_HEADER = "OCPP-Bridge-Tenant"


class Credential(Struct, frozen=True, kw_only=True):
    """A token that is valid, with its owner and its role.

    Attributes:
        name: The owner of the token, for the audit.
        token: The octets of the token.
        role: "read" permits no changes.
        tenant: The only tenant that the token is for, ALL for all tenants and the whole bridge.
    """

    name: str
    token: bytes
    role: Literal["read", "operate"]
    tenant: str = tenants.DEFAULT


class Asking(Struct, frozen=True, kw_only=True):
    """The properties of a request that decide about access.

    Attributes:
        path: The path of the request target.
        peer: The IP address of the client, or None.
        secure: The request came over TLS.
        headers: The headers. A look-up ignores letter case.
        method: The HTTP method.
        authority: The host and port in the request target, or None.
    """

    path: str
    peer: str | None
    secure: bool
    headers: Mapping[str, str]
    method: str = "GET"
    authority: str | None = None

    @property
    def host(self) -> str:
        """Return the host that the request names: that of the request target, if any (RFC 9112 section 3.2.2)."""
        return self.headers.get("Host", "") if self.authority is None else self.authority


class Names(Struct, frozen=True, kw_only=True):
    """The host names under which this listener answers a request without a token.

    No page of another site has such a name.

    Attributes:
        hosts: The names, in lower case.
        beyond: Other machines can reach the listener. Then every IP address and every name without a dot, as in a
            network of containers, may be a name of the listener.
    """

    hosts: frozenset[str] = frozenset()
    beyond: bool = False

    def has(self, host: str | None) -> bool:
        """Return True when `host`, without a port, is a name of this listener."""
        if host is None:
            return False
        address = _address(host)
        if address is not None:
            return self.beyond or address.is_loopback
        return host == "localhost" or host in self.hosts or (self.beyond and host != "" and "." not in host)


class Access:
    """The rules of access.

    Args:
        credentials: The valid tokens. The attribute may be replaced at any time.
        shared: Whether there are other tenants than the default one. The attribute may be replaced at any time.
        allowed_origins: The origins of other pages that may send requests. Their hosts are names of this listener too.
        open_metrics: `/metrics` needs no token.
        names: The names of this listener.
    """

    def __init__(
        self,
        credentials: tuple[Credential, ...],
        allowed_origins: tuple[str, ...],
        *,
        open_metrics: bool,
        names: Names,
        shared: bool = False,
    ) -> None:
        self.credentials = credentials
        self.shared = shared
        self._origins = frozenset(allowed_origins)
        hosts = filter(None, (urlsplit(origin).hostname for origin in allowed_origins))
        self._names = Names(hosts=names.hosts | frozenset(hosts), beyond=names.beyond)
        self._open_metrics = open_metrics

    def check(self, asking: Asking) -> None:
        """Raise Refused for a request that is not permitted.

        The status is 403 for a page of a foreign origin, for a foreign host name without a token, and for a change with
        a token that may only read. The status is 401 without a valid token.
        """
        self._check_origin(asking)
        if _is_page(asking.path) or asking.path == _ALIVE:
            return
        shown = self._shown(asking)
        if shown is None:
            self._check_host(asking)
            if asking.path != _READY and not (asking.path == _METRICS and self._open_metrics):
                raise _unauthorized(asking)
        elif shown.role == "read" and asking.method not in _READING:
            raise RequestRefused(HTTPStatus.FORBIDDEN, f"the token of {shown.name} may read, and not change anything")
        elif asking.path == _METRICS and not self._open_metrics and not self.sees_all(asking):
            text = f"the metrics are about all tenants, and the token of {shown.name} is for one"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)

    def check_scope(self, asking: Asking, scope: Scope, tenant: str) -> None:
        """Raise Refused (403) for a request whose token is not for what the request is about.

        Args:
            asking: The request, which `check` permits.
            scope: What the endpoint is about.
            tenant: The tenant of the address.
        """
        shown = self._shown(asking)
        own = tenants.DEFAULT if shown is None else shown.tenant
        if own == tenants.ALL or scope == "everybody":
            return
        whose = "the token" if shown is None else f"the token of {shown.name}"
        name = tenants.name_of(own)
        if scope == "bridge" and self.shared:
            text = f"this is about all tenants, and {whose} is for the tenant {name}"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)
        if scope == "tenant" and own != tenant:
            text = f"{whose} is for the tenant {name}: the addresses for it begin with /api/v1/tenants/{name}/"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text, headers={TENANT_HEADER: name})

    def may_use(self, asking: Asking, tenant: str) -> bool:
        """Return True for a tenant that the token of the request is for."""
        shown = self._shown(asking)
        return shown is not None and shown.tenant in (tenants.ALL, tenant)

    def sees_all(self, asking: Asking) -> bool:
        """Return True when the sender may see what is about all tenants."""
        shown = self._shown(asking)
        return not self.shared or (shown is not None and shown.tenant == tenants.ALL)

    def admits(self, asking: Asking, scope: Scope = "everybody", tenant: str = tenants.DEFAULT) -> bool:
        """Return True when the request would be permitted now."""
        try:
            self.check(asking)
            self.check_scope(asking, scope, tenant)
        except RequestRefused:
            return False
        return True

    def name(self, asking: Asking) -> str:
        """Return the sender of a permitted request for the audit: the IP address and the name of the token."""
        shown = self._shown(asking)
        return f"{asking.peer}" if shown is None else f"{asking.peer} ({shown.name})"

    def _check_origin(self, asking: Asking) -> None:
        origin = asking.headers.get("Origin")
        own = f"{'https' if asking.secure else 'http'}://{asking.host}"
        if origin is not None and origin != own and origin not in self._origins:
            text = "a page of another origin may not ask here (admin.allowed_origins says which may)"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)

    def _check_host(self, asking: Asking) -> None:
        if not self._names.has(_host_of(asking.host)):
            text = "without a token this is answered under its own names only: admin.allowed_origins adds to them"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)

    def _shown(self, asking: Asking) -> Credential | None:
        """Return the credential of the request's token, or None without a valid token."""
        scheme, _, value = asking.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = value.strip().encode("utf-8", "surrogateescape")
        # All tokens are compared, so that the duration does not show which token was nearly right.
        fitting = [each for each in self.credentials if hmac.compare_digest(token, each.token)]
        return fitting[0] if fitting else None


def _is_page(path: str) -> bool:
    """Return True for a path of the console: a browser loads these files before the user can type a token."""
    return path == "/" or path.startswith("/console/")


def _unauthorized(asking: Asking) -> RequestRefused:
    shown = "Authorization" in asking.headers
    text = "the token is not one of those that are valid" if shown else "a bearer token is needed"
    return RequestRefused(
        HTTPStatus.UNAUTHORIZED, f"{text}: `ocpp-bridge token` prints that of this bridge", headers=_CHALLENGE
    )


def _host_of(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in `host`, or None for a name. An IPv4-mapped IPv6 address gives the IPv4 address."""
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip
