"""Check keys against each other, and check addresses.

Each rule is a function that complains. A complaint never holds an address or the name of a file, because an operator
may have pasted a secret there.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from itertools import combinations
from urllib.parse import urlsplit

from bridge.config.access import check_access
from bridge.config.cluster import check_cluster
from bridge.config.complaints import Complaints, dotted, quote, unknown_central_system
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import check_names, places
from bridge.config.observers import check_observers
from bridge.config.oidc import check_oidc
from bridge.config.outgoing import FIELD_NAME, check_outgoing, placeholder_fault
from bridge.config.policies import check_policies
from bridge.config.receivers import check_receivers
from bridge.config.records import CentralSystem, ChargePoint, Listen, Proxied, Quirks, Route, Settings, Soap, WebSocket
from bridge.config.tenants import ListedTable, charge_points, check_tenants
from bridge.config.tls import check_client_tls, check_exists, check_tls
from bridge.config.urls import HTTP, check_url, url_fault
from bridge.config.zones import zone_of
from bridge.ocpp import identity as identities

# Namespaces in XML 1.0, section 3: names that begin with xml are reserved.
_PREFIX = re.compile(r"(?![xX][mM][lL])[A-Za-z_][A-Za-z0-9._-]{0,31}")
# Prefixes of other namespaces in the envelopes that the bridge writes.
_OURS = frozenset({"a", "b", "n", "s", "v"})
_SCHEMES = {"ocpp1.6j": ("ws", "wss"), "ocpp1.6s": HTTP, "ocpp1.5s": HTTP, "ocpp1.2s": HTTP}


def check(settings: Settings, complaints: Complaints) -> None:
    """Complain about all settings that cannot work. Checks whether the files that `settings` names exist."""
    _check_listeners(settings, complaints)
    _check_addresses_of_ours(settings, complaints)
    _check_origins(settings.admin.allowed_origins, complaints)
    _check_store(settings.store.url, complaints)
    check_cluster(settings, complaints)
    if settings.tracing.endpoint:
        check_url(("tracing", "endpoint"), settings.tracing.endpoint, HTTP, complaints, query=True)
    for name, central_system in settings.central_systems.items():
        _check_central_system(("central_systems", name), central_system, complaints)
    _check_routes(settings, complaints)
    check_policies(settings, complaints)
    _check_identities(settings, complaints)
    check_access(settings, complaints)
    check_receivers(settings.events, complaints)
    if settings.admin.oidc is not None:
        check_oidc(settings.admin.oidc, complaints)
    check_tenants(settings, complaints)
    check_observers(settings, complaints)
    for path, _, identity, charge_point in charge_points(settings):
        check_charge_point(path, identity, charge_point, complaints)


# Listeners


def _check_listeners(settings: Settings, complaints: Complaints) -> None:
    check_names(settings, complaints)
    for place in places(settings):
        _check_proxies(place.path, place.table, complaints)
        if place.table.tls is not None:
            check_tls((*place.path, "tls"), place.table.tls, complaints)
    for first, second in combinations(places(settings), 2):
        paths = [(*first.path, "listen"), (*second.path, "listen")]
        if not any(map(complaints.about, paths)) and _collide(first.table.listen, second.table.listen):
            complaints.add(paths[1], f"port {second.table.listen.port} is taken by {dotted(paths[0])}")


def _check_proxies(path: KeyPath, table: Proxied, complaints: Complaints) -> None:
    """Complain about proxy keys that need each other, and about an invalid name of a header (RFC 9110 section 5.1)."""
    header, form = table.proxy_certificate_header, table.proxy_certificate_format
    if any(complaints.inside((*path, key)) for key in ("proxies", "proxy", "proxy_certificate_format")):
        return
    if table.proxies and table.proxy is None:
        text = 'needs proxy, which says how they tell whom they speak for: "protocol" or "forwarded"'
        complaints.add((*path, "proxies"), text)
    if table.proxy is not None and not table.proxies:
        complaints.add((*path, "proxy"), "needs proxies, the networks of those that may speak for others")
    if header and not FIELD_NAME.fullmatch(header):
        complaints.add((*path, "proxy_certificate_header"), "expected the name of a header, such as X-Client-Cert")
    if header and not table.proxies:
        complaints.add((*path, "proxy_certificate_header"), "needs proxies, the networks of those that may send it")
    if header and form is None:
        complaints.add((*path, "proxy_certificate_header"), "needs proxy_certificate_format")
    if form is not None and not header:
        complaints.add((*path, "proxy_certificate_format"), "needs proxy_certificate_header")


def _collide(one: Listen, other: Listen) -> bool:
    """Return whether two listeners need the same port. Names and wildcards count as the same address."""
    if one.port != other.port or one.port == 0:
        return False
    try:
        addresses = [ip_address(one.host), ip_address(other.host)]
    except ValueError:
        return True
    return addresses[0] == addresses[1] or any(address.is_unspecified for address in addresses)


# Addresses


def _check_addresses_of_ours(settings: Settings, complaints: Complaints) -> None:
    for place in places(settings):
        if isinstance(place.table, Soap):
            check_url((*place.path, "public_url"), place.table.public_url, HTTP, complaints, query=False)
            if place.table.wsdl:
                check_exists((*place.path, "wsdl"), place.table.wsdl, "folder", complaints)
        if isinstance(place.table, WebSocket):
            _check_path((*place.path, "path"), place.table.path, complaints)


def _check_origins(origins: tuple[str, ...], complaints: Complaints) -> None:
    """Complain about origins that no browser sends.

    RFC 6454 section 6.2: an origin is the scheme, the host and, unless it is the scheme's default, the port.
    """
    for index, origin in enumerate(origins):
        fault = url_fault(origin, HTTP, query=False)
        if not fault and (urlsplit(origin).path or origin != origin.lower()):
            fault = "expected an origin as browsers write it, https://ocpp.example.com, lower case and without a path"
        if fault:
            complaints.add(("admin", "allowed_origins", index), fault)


def _check_path(key: KeyPath, path: str, complaints: Complaints) -> None:
    plain = path.isascii() and path.isprintable() and not any(char in ' ?#%"<>\\^`{|}' for char in path)
    if not plain or not path.startswith("/") or "//" in path or (path != "/" and path.endswith("/")):
        fault = "expected a path such as /ocpp, without a slash at its end, a query or escapes, got "
        complaints.add(key, fault + quote(path))


def _check_store(url: str, complaints: Complaints) -> None:
    path = url.removeprefix("sqlite:///")
    if url != "memory:" and (path == url or not path.strip("/") or not path.isprintable()):
        complaints.add(("store", "url"), 'expected "memory:" or "sqlite:///" and a path')


# Central Systems and the routes to them


def _check_central_system(path: KeyPath, central_system: CentralSystem, complaints: Complaints) -> None:
    json = central_system.protocol == "ocpp1.6j"
    if not complaints.about((*path, "protocol")):
        has_place = identities.PLACEHOLDER in central_system.url
        schemes = _SCHEMES[central_system.protocol]
        check_url((*path, "url"), central_system.url, schemes, complaints, query=has_place or not json)
        if not complaints.about((*path, "url")) and (fault := placeholder_fault(central_system.url)):
            complaints.add((*path, "url"), fault)
    check_outgoing(path, central_system, complaints)
    if central_system.html_escaped and not json:
        complaints.add((*path, "html_escaped"), "is for Central Systems that speak JSON")
    check_client_tls((*path, "tls"), central_system.tls, central_system.url, complaints)
    known = not complaints.about((*path, "reconnect_min")) and not complaints.about((*path, "reconnect_max"))
    if known and central_system.reconnect_max < central_system.reconnect_min:
        complaints.add((*path, "reconnect_max"), "is less than reconnect_min")


def _check_routes(settings: Settings, complaints: Complaints) -> None:
    if not settings.routes:
        complaints.add(("routes",), "nothing is routed")
    for index, route in enumerate(settings.routes):
        path: KeyPath = ("routes", index)
        if route.wake_url:
            check_url((*path, "wake_url"), route.wake_url, HTTP, complaints, query=True)
        if not route.charge_point.strip():
            complaints.add((*path, "charge_point"), "is empty, a * takes every Charge Point")
        if route.central_system not in settings.central_systems and not complaints.about(("central_systems",)):
            complaints.add(
                (*path, "central_system"), unknown_central_system(route.central_system, settings.central_systems)
            )
        _check_strict(path, route, complaints)
        check_quirks(path, route, complaints)


def _check_strict(path: KeyPath, route: Route, complaints: Complaints) -> None:
    """Complain about keys that alter messages, on a route whose tolerance refuses altered messages."""
    if route.soap11 == "answer" and route.tolerance == "strict":
        complaints.add((*path, "soap11"), 'answers SOAP 1.1, which tolerance = "strict" refuses')
    for key, alters in (("emulate_trigger", route.emulate_trigger), ("celsius", route.celsius == "Celcius")):
        if alters and route.tolerance == "strict":
            complaints.add((*path, key), 'alters what is sent, which tolerance = "strict" refuses')


def check_quirks(path: KeyPath, quirks: Quirks, complaints: Complaints) -> None:
    """Complain about invalid quirks of a route or pack.

    Args:
        path: Path of the table with the quirks, for complaints.
        quirks: The quirks.
        complaints: Receives the complaints.
    """
    try:
        zone_of("UTC" if quirks.assumed_zone is None else quirks.assumed_zone)
    except ValueError:
        text = 'expected "UTC", an offset such as "+01:00" or a time zone of this machine such as "Europe/Paris", got '
        complaints.add((*path, "assumed_zone"), text + quote(quirks.assumed_zone or ""))
    if quirks.prefix is not None and (not _PREFIX.fullmatch(quirks.prefix) or quirks.prefix in _OURS):
        text = 'expected a namespace prefix of ASCII letters, digits, ".", "-" and "_" such as "ns1", none of '
        complaints.add((*path, "prefix"), f"{text}{', '.join(sorted(_OURS))}, got {quote(quirks.prefix)}")


# Charge Points


def _check_identities(settings: Settings, complaints: Complaints) -> None:
    seen: dict[tuple[str, str], ListedTable] = {}
    for table in charge_points(settings):
        first = seen.setdefault((table.tenant, identities.normal(table.identity).casefold()), table)
        if first is not table:
            source = complaints.source_of(first.path)
            where = "" if source == complaints.source_of(table.path) else f" in {source}"
            complaints.add(table.path, f"is the same Charge Point as {quote(first.identity)}{where}")


def check_charge_point(path: KeyPath, identity: str, charge_point: ChargePoint, complaints: Complaints) -> None:
    """Complain about invalid settings of a Charge Point.

    Args:
        path: Path of the table, for complaints.
        identity: The Charge Point.
        charge_point: The settings.
        complaints: Receives the complaints.
    """
    if not _is_identity(identity):
        complaints.add(
            path, "no Charge Point has an identity that is empty, has blanks around it or control characters"
        )
    if charge_point.callback_url:
        check_url((*path, "callback_url"), charge_point.callback_url, HTTP, complaints, query=True)
    check_client_tls((*path, "tls"), charge_point.tls, charge_point.callback_url, complaints)
    towards = charge_point.central_system_identity
    if towards and not _is_identity(towards):
        complaints.add((*path, "central_system_identity"), "has blanks around it or control characters")
    if charge_point.password is not None:
        _check_basic((*path, "password"), identity, complaints)
    if charge_point.central_system_password is not None:
        _check_basic((*path, "central_system_password"), towards or identity, complaints)


def _is_identity(identity: str) -> bool:
    try:
        return identity.strip() == identity and bool(identities.read(identity))
    except ValueError:
        return False


def _check_basic(path: KeyPath, identity: str, complaints: Complaints) -> None:
    """Complain if `identity` holds a colon.

    RFC 7617 section 2: "a user-id containing a colon character is invalid" (rule 27).
    """
    if ":" in identity:
        complaints.add(path, f"the identity {quote(identity)} holds a colon, which Basic authentication cannot carry")
