"""Check that Charge Points can pass the authentication of their routes, and that secrets are well-formed.

A complaint is about settings that cannot work. A caution is about settings that work, but perhaps not as intended: the
command `check` prints cautions, and the gateway logs them when it starts. Parties that pass without credentials are
found by `exposure`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from bridge.access import passwords, paths
from bridge.config import cluster, oidc, policies
from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import places
from bridge.config.records import Admin, ChargePoint, Route, Secret, Settings
from bridge.config.tenants import cautions as shared
from bridge.config.tenants import charge_points
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants

# Name of the token without a configured name: `admin.token`, or the token that the bridge made.
OWN = "token"
# Characters of a token of the admin API. A shorter token can be guessed.
SHORT = 16
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
# Key that a Charge Point's table needs for each authentication. A certificate needs none.
_NEEDS = {"basic": "password", "network": "networks", "token": "token"}
_SAID = {"password": "a password", "networks": "networks", "token": "a token"}


def check_access(settings: Settings, complaints: Complaints) -> None:
    """Complain about authentication that no Charge Point can pass, and about malformed or useless secrets."""
    _check_admin(settings.admin, complaints)
    for index, route in enumerate(settings.routes):
        _check_route(("routes", index), route, settings, complaints)
    for path, _, _, own in charge_points(settings):
        check_secrets(path, own, complaints)
    for name, central_system in settings.central_systems.items():
        outgoing = central_system.outgoing_password
        if outgoing is not None and outgoing.reveal().startswith(passwords.PREFIX):
            complaints.add(("central_systems", name, "outgoing_password"), "is a hash, but it has to be sent")
        _check_password(("central_systems", name, "password"), central_system.password, complaints)
        for key in ("networks", "password"):
            if central_system.protocol == "ocpp1.6j" and getattr(central_system, key):
                text = "is for Central Systems that speak SOAP: a JSON one is dialled, and sends nothing by itself"
                complaints.add(("central_systems", name, key), text)


def check_secrets(path: KeyPath, own: ChargePoint, complaints: Complaints) -> None:
    """Complain about malformed secrets of a Charge Point, whose table is at `path`."""
    _check_password((*path, "password"), own.password, complaints)
    _check_token((*path, "token"), own.token, complaints)
    towards = b"" if own.central_system_password is None else own.central_system_password.reveal()
    if towards.startswith(passwords.PREFIX):
        complaints.add((*path, "central_system_password"), "is a hash, but it has to be sent")


def _check_admin(admin: Admin, complaints: Complaints) -> None:
    """Complain about blank or repeated tokens, and about names that do not distinguish people in the audit log."""
    if admin.token is not None and not admin.token.reveal().strip():
        complaints.add(("admin", "token_file" if admin.token.file else "token"), "is blank")
    names: set[str] = {OWN}
    values = {b"" if admin.token is None else admin.token.reveal().strip()}
    for index, each in enumerate(admin.tokens):
        path: KeyPath = ("admin", "tokens", index)
        if not each.name.strip() or not each.name.isprintable() or each.name != each.name.strip():
            complaints.add((*path, "name"), "expected a name without blanks around it or control characters")
        elif each.name.casefold() in names:
            complaints.add((*path, "name"), f"{quote(each.name)} is taken: the audit could not tell who it was")
        names.add(each.name.casefold())
        if complaints.about((*path, "file")):
            continue
        value = each.file.reveal().strip()
        if not value:
            complaints.add((*path, "file"), "the file is blank")
        elif value in values:
            complaints.add((*path, "file"), "the file holds the token of somebody else")
        values.add(value)


def _check_password(path: KeyPath, password: Secret | None, complaints: Complaints) -> None:
    try:
        passwords.read(b"" if password is None else password.reveal())
    except ValueError as error:
        complaints.add(path, str(error))


def _check_token(path: KeyPath, token: Secret | None, complaints: Complaints) -> None:
    text = "" if token is None else token.reveal().decode("utf-8", "replace")
    if token is not None and not (_SAFE.issuperset(text) and paths.may_be_token(text)):
        fault = f"expected at least {paths.LEAST_TOKEN} letters, digits and -._~, with a digit among them"
        complaints.add(path, f"{fault}: `ocpp-bridge password --token` makes one")


def _check_route(path: KeyPath, route: Route, settings: Settings, complaints: Complaints) -> None:
    if route.authentication == "certificate" and not _asks_certificates(settings):
        text = (
            "no listener asks for certificates: tls.client_ca of [soap] or [websocket] names who issues them, "
            "proxy_certificate_header where a proxy passes them on"
        )
        complaints.add((*path, "authentication"), text)


def _asks_certificates(settings: Settings) -> bool:
    tables = [place.table for place in places(settings) if not isinstance(place.table, Admin)]
    return any((table.tls is not None and table.tls.client_ca) or table.proxy_certificate_header for table in tables)


def route_of(identity: str, settings: Settings, tenant: str = tenants.DEFAULT) -> Route | None:
    """Return the route that applies to the Charge Point `identity` of a tenant, None if no route matches."""
    folded = identities.normal(identity).casefold()
    own = (route for route in settings.routes if tenants.named(route.tenant) == tenant)
    globs = ((identities.normal(route.charge_point).casefold(), route) for route in own)
    return next((route for glob, route in globs if fnmatchcase(folded, glob)), None)


def cautions(settings: Settings) -> Iterator[str]:
    """Return a line for each setting that works, but perhaps not as the operator intended."""
    for index, route in enumerate(settings.routes):
        need, asks = _NEEDS.get(route.authentication), dotted(("routes", index, "authentication"))
        if need is not None and not (need == "networks" and route.networks):
            yield from _refused(asks, need, route, settings)
        if route.authentication == "token" and any(_is_plain(settings)):
            yield f"{asks}: a token on a listener without TLS can be read, and used, by whoever sees the traffic"
    yield from _certificates(settings)
    yield from policies.cautions(settings)
    yield from oidc.cautions(settings.admin)
    yield from cluster.cautions(settings)
    for name, central_system in settings.central_systems.items():
        if central_system.protocol == "ocpp1.2s":
            key = dotted(("central_systems", name, "protocol"))
            yield (
                f"{key}: serves only Charge Points that speak OCPP 1.2; a message of another version is answered "
                "NotSupported, a WebSocket handshake HTTP 404"
            )
    for path, tenant, identity, own in charge_points(settings):
        yield from _idle(path, own, route_of(identity, settings, tenant))
    yield from shared(settings)


def _refused(key: str, need: str, route: Route, settings: Settings) -> Iterator[str]:
    """Return a caution if the route refuses Charge Points that have no `need` of their own.

    Operators may give Charge Points settings while the bridge runs, so a route that admits nobody yet is no error.
    """
    mine = _of_route(route, settings)
    if not any(getattr(own, need) for own in mine):
        yield f"{key}: nobody gets in by this file: no Charge Point of this route has {_SAID[need]} in it"
    elif route.accept == "any":
        yield f"{key}: Charge Points without {_SAID[need]} under charge_points are refused"


def lets_anybody_in(route: Route, settings: Settings) -> bool:
    """Return whether `route` accepts Charge Points without credentials. "auto" asks only those with a password."""
    if route.authentication != "auto":
        return route.authentication == "none"
    mine = _of_route(route, settings)
    return route.accept == "any" or any(own.password is None for own in mine)


def _of_route(route: Route, settings: Settings) -> list[ChargePoint]:
    """Return the settings of the Charge Points in the file that `route` applies to."""
    found = charge_points(settings)
    return [own for _, tenant, identity, own in found if route_of(identity, settings, tenant) is route]


def _certificates(settings: Settings) -> Iterator[str]:
    """Return cautions about headers with certificates that have no effect, or that peers could forge."""
    for place in places(settings):
        key = dotted((*place.path, "proxy_certificate_header"))
        if place.table.proxy_certificate_header and isinstance(place.table, Admin):
            yield f"{key}: is of no use, the admin API asks for a token and for no certificate"
        elif place.table.proxy_certificate_header and place.table.proxy == "protocol":
            yield f"{key}: a proxy that only passes octets on lets its peers write this header; it must read HTTP"


def _is_plain(settings: Settings) -> Iterator[bool]:
    return (place.table.tls is None for place in places(settings) if not isinstance(place.table, Admin))


def _idle(path: KeyPath, own: ChargePoint, route: Route | None) -> Iterator[str]:
    """Return cautions about keys of the Charge Point that its route's authentication does not use."""
    asked = "none" if route is None else route.authentication
    for asks, key in (*_NEEDS.items(), ("certificate", "certificate_name")):
        useful = asked == asks or (asked == "auto" and key == "password") or key == "certificate_name"
        if getattr(own, key) and not useful:
            place = dotted((*path, key))
            yield f"{place}: is not asked for, its route has authentication = {quote(asked)}"
