"""Decide who may use the admin listener. Pure: the properties of a request go in, a Refused comes out.

the token       Every request needs a token or the cookie of a session, except for the console's files, which are the
                same for everybody, for the sign-in, and for the paths that monitoring uses. The source address is no
                credential: a proxy forwards requests of strangers. A request with a token is judged by that alone.
the header      A browser sends a cookie with the requests of any page. So a change with a cookie needs a header with
                the token that only the console was told (CSRF).
the Origin      A page of another site in the operator's browser must not send requests in the operator's name.
the Host        A page whose host name was made to resolve to this machine (DNS rebinding) has the right Origin for its
                Host. Such a page has no token. So a request without a token must use a name of this listener; a request
                with a token may use any name.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.admin.operator_sessions import OperatorSession
from bridge.admin.problems import RequestRefused
from bridge.admin.scope import Role, Scope
from bridge.ocpp import tenants

CSRF = "X-CSRF-Token"
# Begins the paths of the sign-in, which decide themselves about who asks. Who may only read may sign out.
_SIGN_IN, _SIGN_OUT = "/login/", "/api/v1/session"
# The paths that monitoring uses without a token. They hold no secrets; the first only shows that the process runs.
_ALIVE, _READY, _METRICS = "/healthz", "/readyz", "/metrics"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="ocpp-bridge"'}
# Values of Sec-Fetch-Site for the console's own page, and for an address that somebody typed.
_OUR_SITE = ("same-origin", "none")
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
    role: Role
    tenant: str = tenants.DEFAULT


class Asking(Struct, frozen=True, kw_only=True):
    """The properties of a request that decide about access.

    Attributes:
        path: The path of the request target.
        peer: The IP address of the client, or None.
        secure: The request came over TLS.
        headers: The headers. A look-up ignores letter case.
        cookies: The values of all headers Cookie.
        method: The HTTP method.
        authority: The host and port in the request target, or None.
    """

    path: str
    peer: str | None
    secure: bool
    headers: Mapping[str, str]
    cookies: Sequence[str] = ()
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
        session_of: Returns the session for the values of the headers Cookie, or None.

    Attributes:
        public_origin: A further origin of the console's own page, None for no other. It may be replaced at any time.
    """

    def __init__(
        self,
        credentials: tuple[Credential, ...],
        allowed_origins: tuple[str, ...],
        *,
        open_metrics: bool,
        names: Names,
        session_of: Callable[[Sequence[str]], OperatorSession | None] = lambda cookies: None,
        shared: bool = False,
    ) -> None:
        self.credentials = credentials
        self.shared = shared
        self.public_origin: str | None = None
        self._session_of = session_of
        self._origins = frozenset(allowed_origins)
        hosts = filter(None, (urlsplit(origin).hostname for origin in allowed_origins))
        self._names = Names(hosts=names.hosts | frozenset(hosts), beyond=names.beyond)
        self._open_metrics = open_metrics

    def check(self, asking: Asking) -> Credential | OperatorSession | None:
        """Return what permits a request: a token, a session, or None for a request that needs neither.

        Raises RequestRefused for a request that is not permitted. The status is 403 for a page of a foreign origin, for
        a foreign host name without a token, for a change by an operator who may only read, and for a change with a
        cookie and without the header. The status is 401 without a valid token or session.
        """
        self._check_origin(asking)
        if _is_page(asking.path) or asking.path == _ALIVE or asking.path.startswith(_SIGN_IN):
            return None
        shown = self._shown(asking)
        if shown is None:
            self._check_host(asking)
            if asking.path != _READY and not (asking.path == _METRICS and self._open_metrics):
                raise _unauthorized(asking)
        else:
            if asking.method not in _READING:
                _check_change(shown, asking)
            if asking.path == _METRICS and not self._open_metrics and not self.sees_all(asking):
                text = f"the metrics are about all tenants, and {_whose(shown)} is for one"
                raise RequestRefused(HTTPStatus.FORBIDDEN, text)
        return shown

    def shows_session(self, asking: Asking) -> bool:
        """Return whether the session of the cookie, if there is one, decides about a request."""
        free = _is_page(asking.path) or asking.path in (_ALIVE, _READY) or asking.path.startswith(_SIGN_IN)
        return not free and not _has_token(asking) and _is_ours(asking)

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
        whose = "the token" if shown is None else _whose(shown)
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
        """Return the sender of a permitted request for the audit.

        It is the IP address, and the name of the token or of the operator who has signed in at the provider.
        """
        match self._shown(asking):
            case None:
                return f"{asking.peer}"
            case OperatorSession(name=name):
                return f"{asking.peer} (OIDC: {name})"
            case shown:
                return f"{asking.peer} ({shown.name})"

    def role(self, asking: Asking) -> Role:
        """Return what the sender of a permitted request may do."""
        shown = self._shown(asking)
        return "operate" if shown is None or shown.role != "read" else "read"

    def _check_origin(self, asking: Asking) -> None:
        origin = asking.headers.get("Origin")
        own = f"{'https' if asking.secure else 'http'}://{asking.host}"
        if origin is not None and origin not in (own, self.public_origin) and origin not in self._origins:
            text = "a page of another origin may not ask here (admin.allowed_origins says which may)"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)

    def _check_host(self, asking: Asking) -> None:
        host = _host_of(asking.host)
        if not self._names.has(host) and (self.public_origin is None or host != urlsplit(self.public_origin).hostname):
            text = "without a token this is answered under its own names only: admin.allowed_origins adds to them"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)

    def _shown(self, asking: Asking) -> Credential | OperatorSession | None:
        """Return the credential of the request's token, or its session. Return None if it has neither.

        A request with a token that is not valid has nothing, whatever its cookies are. Credentials of another kind are
        those of a proxy in front, for which a browser sends them along.
        """
        if not _has_token(asking):
            return self._session_of(asking.cookies) if _is_ours(asking) else None
        value = asking.headers["Authorization"].partition(" ")[2]
        token = value.strip().encode("utf-8", "surrogateescape")
        # All tokens are compared, so that the duration does not show which token was nearly right.
        fitting = [each for each in self.credentials if hmac.compare_digest(token, each.token)]
        return fitting[0] if fitting else None


def _has_token(asking: Asking) -> bool:
    return asking.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"


def _is_ours(asking: Asking) -> bool:
    """Return False if the browser says that a page of another site, or of another port of this host, sends the request.

    Such a page cannot read the answer. But it could learn how long the answer takes, and keep the session in use.
    """
    return asking.headers.get("Sec-Fetch-Site", "none") in _OUR_SITE


def _whose(shown: Credential | OperatorSession) -> str:
    return f"the session of {shown.name}" if isinstance(shown, OperatorSession) else f"the token of {shown.name}"


def _check_change(shown: Credential | OperatorSession, asking: Asking) -> None:
    """Raise RequestRefused if the operator may not make this change."""
    who = f"the token of {shown.name}"
    if isinstance(shown, OperatorSession):
        who = shown.name
        if not _same(asking.headers.get(CSRF, ""), shown.csrf):
            text = f"a change with the cookie of a session needs the header {CSRF}: GET /api/v1/session tells its value"
            raise RequestRefused(HTTPStatus.FORBIDDEN, text)
        if asking.path == _SIGN_OUT:
            return
    if shown.role == "read":
        raise RequestRefused(HTTPStatus.FORBIDDEN, f"{who} may read, and not change anything")


def _same(text: str, other: str) -> bool:
    return hmac.compare_digest(text.encode("utf-8", "surrogateescape"), other.encode())


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
