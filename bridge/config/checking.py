"""What only shows when keys are seen together, or when an address is looked at closely: combinations that cannot work.

Every rule is a function that complains. Complaints never hold an address or a file's name: a secret may
stand there.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from bridge.config.complaints import Complaints, closest, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import TLS, CentralSystem, ChargePoint, Listen, Quirks, Settings
from bridge.config.zones import zone_of

_HTTP = ("http", "https")
_SCHEMES = {"ocpp1.6j": ("ws", "wss"), "ocpp1.6s": _HTTP, "ocpp1.5s": _HTTP}


def check(settings: Settings, complaints: Complaints) -> None:
    """Complain about everything in `settings` that cannot work. Looks at the files it names; opens nothing else."""
    _check_listeners(settings, complaints)
    _check_soap(settings, complaints)
    _check_path(settings.websocket.path, complaints)
    _check_store(settings.store.url, complaints)
    for name, central_system in settings.central_systems.items():
        _check_central_system(("central_systems", name), central_system, complaints)
    _check_routes(settings, complaints)
    _check_identities(settings, complaints)
    for identity, charge_point in settings.charge_points.items():
        _check_charge_point(("charge_points", identity), identity, charge_point, complaints)


# Listeners


def _listeners(settings: Settings) -> Iterator[tuple[str, Listen, TLS | None]]:
    for name in msgspec.structs.asdict(settings):
        table = getattr(settings, name)
        if hasattr(table, "listen"):
            yield name, table.listen, table.tls


def _check_listeners(settings: Settings, complaints: Complaints) -> None:
    for name, _, tls in _listeners(settings):
        if tls is not None:
            _check_tls((name, "tls"), tls, complaints)
    for (first, one, _), (second, other, _) in combinations(_listeners(settings), 2):
        known = not complaints.about((first, "listen")) and not complaints.about((second, "listen"))
        if known and _collide(one, other):
            complaints.add((second, "listen"), f"port {other.port} is taken by {first}.listen")


def _collide(one: Listen, other: Listen) -> bool:
    """One port serves two listeners only on two addresses; names and wildcards may be the same address."""
    if one.port != other.port or one.port == 0:
        return False
    try:
        addresses = [ip_address(one.host), ip_address(other.host)]
    except ValueError:
        return True
    return addresses[0] == addresses[1] or any(address.is_unspecified for address in addresses)


def _check_tls(path: KeyPath, tls: TLS, complaints: Complaints) -> None:
    for key, name in (("certificate", tls.certificate), ("key", tls.key), ("client_ca", tls.client_ca)):
        if name or key != "client_ca":
            _check_exists((*path, key), name, "file", complaints)
    try:
        if tls.ciphers:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(tls.ciphers)
    except (ssl.SSLError, ValueError):
        complaints.add((*path, "ciphers"), f"OpenSSL knows none of {quote(tls.ciphers)}")


def _check_exists(path: KeyPath, name: str, kind: str, complaints: Complaints) -> None:
    try:
        exists = Path(name).exists() and Path(name).is_dir() == (kind == "folder")
    except (OSError, ValueError):
        exists = False
    if not exists:
        # Without its name: a key pasted where the name of its file belongs stays unseen.
        complaints.add(path, f"there is no such {kind}")


# Addresses


def _check_soap(settings: Settings, complaints: Complaints) -> None:
    _check_url(("soap", "public_url"), settings.soap.public_url, _HTTP, complaints, query=False)
    if settings.soap.wsdl:
        _check_exists(("soap", "wsdl"), settings.soap.wsdl, "folder", complaints)


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


def _check_path(path: str, complaints: Complaints) -> None:
    plain = path.isascii() and path.isprintable() and not any(char in ' ?#%"<>\\^`{|}' for char in path)
    if not plain or not path.startswith("/") or "//" in path or (path != "/" and path.endswith("/")):
        fault = "expected a path such as /ocpp, without a slash at its end, a query or escapes, got "
        complaints.add(("websocket", "path"), fault + quote(path))


def _check_store(url: str, complaints: Complaints) -> None:
    path = url.removeprefix("sqlite:///")
    if url != "memory:" and (path == url or not path.strip("/") or not path.isprintable()):
        complaints.add(("store", "url"), 'expected "memory:" or "sqlite:///" and a path')


# Central Systems and the routes to them


def _check_central_system(path: KeyPath, central_system: CentralSystem, complaints: Complaints) -> None:
    json = central_system.protocol == "ocpp1.6j"
    if not complaints.about((*path, "protocol")):
        _check_url((*path, "url"), central_system.url, _SCHEMES[central_system.protocol], complaints, query=not json)
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
        check_quirks(path, route, complaints)


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
        first = seen.setdefault(identity.casefold(), identity)
        if first != identity:
            complaints.add(("charge_points", identity), f"is the same Charge Point as {quote(first)}")


def _check_charge_point(path: KeyPath, identity: str, charge_point: ChargePoint, complaints: Complaints) -> None:
    if not _is_identity(identity):
        complaints.add(
            path, "no Charge Point has an identity that is empty, has blanks around it or control characters"
        )
    if charge_point.callback_url:
        _check_url((*path, "callback_url"), charge_point.callback_url, _HTTP, complaints, query=True)
    towards = charge_point.central_system_identity
    if towards and not _is_identity(towards):
        complaints.add((*path, "central_system_identity"), "has blanks around it or control characters")
    if charge_point.password is not None:
        _check_basic((*path, "password"), identity, complaints)
    if charge_point.central_system_password is not None:
        _check_basic((*path, "central_system_password"), towards or identity, complaints)


def _is_identity(identity: str) -> bool:
    return identity != "" and identity.strip() == identity and identity.isprintable()


def _check_basic(path: KeyPath, identity: str, complaints: Complaints) -> None:
    """RFC 7617 section 2: "a user-id containing a colon character is invalid" (rule 27)."""
    if ":" in identity:
        complaints.add(path, f"the identity {quote(identity)} holds a colon, which Basic authentication cannot carry")
