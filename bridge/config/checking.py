"""What only shows when keys are seen together, or when an address is looked at closely: combinations that cannot work.

Every rule is a function that complains. Complaints never hold an address or a file's name: a secret may
stand there.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import combinations
from urllib.parse import SplitResult, urlsplit

from bridge import identity as identities
from bridge.config.access import check_access
from bridge.config.complaints import Complaints, closest, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import check_names, places
from bridge.config.records import CentralSystem, ChargePoint, Listen, Quirks, Route, Settings, Soap, WebSocket
from bridge.config.tls import check_client_tls, check_exists, check_tls
from bridge.config.zones import zone_of

_HTTP = ("http", "https")
_SCHEMES = {"ocpp1.6j": ("ws", "wss"), "ocpp1.6s": _HTTP, "ocpp1.5s": _HTTP}


def check(settings: Settings, complaints: Complaints) -> None:
    """Complain about everything in `settings` that cannot work. Looks at the files it names; opens nothing else."""
    _check_listeners(settings, complaints)
    _check_addresses_of_ours(settings, complaints)
    _check_origins(settings.admin.allowed_origins, complaints)
    _check_store(settings.store.url, complaints)
    if settings.tracing.endpoint:
        _check_url(("tracing", "endpoint"), settings.tracing.endpoint, _HTTP, complaints, query=True)
    for name, central_system in settings.central_systems.items():
        _check_central_system(("central_systems", name), central_system, complaints)
    _check_routes(settings, complaints)
    _check_identities(settings, complaints)
    check_access(settings, complaints)
    for identity, charge_point in settings.charge_points.items():
        _check_charge_point(("charge_points", identity), identity, charge_point, complaints)


# Listeners


def _check_listeners(settings: Settings, complaints: Complaints) -> None:
    check_names(settings, complaints)
    for place in places(settings):
        if place.table.tls is not None:
            check_tls((*place.path, "tls"), place.table.tls, complaints)
    for first, second in combinations(places(settings), 2):
        paths = [(*first.path, "listen"), (*second.path, "listen")]
        if not any(map(complaints.about, paths)) and _collide(first.table.listen, second.table.listen):
            complaints.add(paths[1], f"port {second.table.listen.port} is taken by {dotted(paths[0])}")


def _collide(one: Listen, other: Listen) -> bool:
    """One port serves two listeners only on two addresses; names and wildcards may be the same address."""
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
            _check_url((*place.path, "public_url"), place.table.public_url, _HTTP, complaints, query=False)
            if place.table.wsdl:
                check_exists((*place.path, "wsdl"), place.table.wsdl, "folder", complaints)
        if isinstance(place.table, WebSocket):
            _check_path((*place.path, "path"), place.table.path, complaints)


def _check_url(path: KeyPath, url: str, schemes: tuple[str, ...], complaints: Complaints, *, query: bool) -> None:
    fault = _url_fault(url, schemes, query=query)
    if fault:
        complaints.add(path, fault)


def _url_fault(url: str, schemes: tuple[str, ...], *, query: bool) -> str:
    """What is wrong with the address; "" if nothing is."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    # urlsplit drops some control characters and takes the others; no address holds any of them.
    if not url.isprintable() or " " in url:
        return f"expected an address that begins with {wanted}, got one with blanks or control characters"
    try:
        parts = urlsplit(url)
        return _parts_fault(parts, schemes, wanted) or _tail_fault(url, parts, query=query)
    except ValueError:
        return f"expected an address that begins with {wanted}, got one whose host or port is not valid"


def _parts_fault(parts: SplitResult, schemes: tuple[str, ...], wanted: str) -> str:
    """Raises ValueError for a port that is none."""
    if parts.scheme not in schemes:
        return f"expected an address that begins with {wanted}"
    if not parts.hostname:
        return "the address has no host"
    if parts.port == 0:
        return "the address has port 0"
    return ""


def _tail_fault(url: str, parts: SplitResult, *, query: bool) -> str:
    if "@" in parts.netloc:
        return "an address holds no credentials, they are configured under charge_points"
    if "#" in url:
        return "the address has a fragment"
    if "?" in url and not query:
        return "the address has a query, which nothing can be appended to"
    return ""


def _check_origins(origins: tuple[str, ...], complaints: Complaints) -> None:
    """RFC 6454 section 6.2: a browser writes scheme, host and, unless it is the scheme's own, port; nothing else."""
    for index, origin in enumerate(origins):
        fault = _url_fault(origin, _HTTP, query=False)
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
        _check_url((*path, "url"), central_system.url, _SCHEMES[central_system.protocol], complaints, query=not json)
    check_client_tls((*path, "tls"), central_system.tls, central_system.url, complaints)
    known = not complaints.about((*path, "reconnect_min")) and not complaints.about((*path, "reconnect_max"))
    if known and central_system.reconnect_max < central_system.reconnect_min:
        complaints.add((*path, "reconnect_max"), "is less than reconnect_min")


def _check_routes(settings: Settings, complaints: Complaints) -> None:
    if not settings.routes:
        complaints.add(("routes",), "nothing is routed")
    for index, route in enumerate(settings.routes):
        path: KeyPath = ("routes", index)
        if not route.charge_point.strip():
            complaints.add((*path, "charge_point"), "is empty, a * takes every Charge Point")
        if route.central_system not in settings.central_systems and not complaints.about(("central_systems",)):
            complaints.add((*path, "central_system"), _unknown_central_system(route.central_system, settings))
        _check_strict(path, route, complaints)
        check_quirks(path, route, complaints)


def _check_strict(path: KeyPath, route: Route, complaints: Complaints) -> None:
    """Keys that alter what is sent, on a route that refuses what would be altered."""
    for key, alters in (("emulate_trigger", route.emulate_trigger), ("celsius", route.celsius == "Celcius")):
        if alters and route.tolerance == "strict":
            complaints.add((*path, key), 'alters what is sent, which tolerance = "strict" refuses')


def check_quirks(path: KeyPath, quirks: Quirks, complaints: Complaints) -> None:
    """Complain about what a route, or a pack, sets and cannot."""
    try:
        zone_of("UTC" if quirks.assumed_zone is None else quirks.assumed_zone)
    except ValueError:
        text = 'expected "UTC", an offset such as "+01:00" or a time zone of this machine such as "Europe/Paris", got '
        complaints.add((*path, "assumed_zone"), text + quote(quirks.assumed_zone or ""))


def _unknown_central_system(name: str, settings: Settings) -> str:
    guess = closest(name, settings.central_systems)
    hint = f", did you mean {guess}?" if guess else ""
    return f"no central system is called {quote(name)}{hint}"


# Charge Points


def _check_identities(settings: Settings, complaints: Complaints) -> None:
    seen: dict[str, str] = {}
    for identity in settings.charge_points:
        first = seen.setdefault(identities.normal(identity).casefold(), identity)
        if first != identity:
            complaints.add(("charge_points", identity), f"is the same Charge Point as {quote(first)}")


def _check_charge_point(path: KeyPath, identity: str, charge_point: ChargePoint, complaints: Complaints) -> None:
    if not _is_identity(identity):
        complaints.add(
            path, "no Charge Point has an identity that is empty, has blanks around it or control characters"
        )
    if charge_point.callback_url:
        _check_url((*path, "callback_url"), charge_point.callback_url, _HTTP, complaints, query=True)
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
    """RFC 7617 section 2: "a user-id containing a colon character is invalid" (rule 27)."""
    if ":" in identity:
        complaints.add(path, f"the identity {quote(identity)} holds a colon, which Basic authentication cannot carry")
