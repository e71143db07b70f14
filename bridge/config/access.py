"""Whether anybody can come in as the routes ask, and who else could: complaints, and cautions.

A complaint is about what cannot work. A caution is about what works, and may not be meant: `check` prints it, and the
gateway logs it at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from bridge import identity as identities
from bridge import paths
from bridge.access import passwords
from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import places
from bridge.config.records import Admin, ChargePoint, Route, Secret, Settings

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
# What a Charge Point needs for each way in, but for certificates, which it has with it.
_NEEDS = {"basic": "password", "network": "networks", "token": "token"}
_SAID = {"password": "a password", "networks": "networks", "token": "a token"}


def check_access(settings: Settings, complaints: Complaints) -> None:
    """Complain about ways in that nobody can take, and about secrets that are none."""
    for index, route in enumerate(settings.routes):
        _check_route(("routes", index), route, settings, complaints)
    for identity, own in settings.charge_points.items():
        path: KeyPath = ("charge_points", identity)
        _check_password((*path, "password"), own.password, complaints)
        _check_token((*path, "token"), own.token, complaints)
        towards = b"" if own.central_system_password is None else own.central_system_password.reveal()
        if towards.startswith(passwords.PREFIX):
            complaints.add((*path, "central_system_password"), "is a hash, but it has to be sent")
    for name, central_system in settings.central_systems.items():
        _check_password(("central_systems", name, "password"), central_system.password, complaints)
        for key in ("networks", "password"):
            if central_system.protocol == "ocpp1.6j" and getattr(central_system, key):
                text = "is for Central Systems that speak SOAP: a JSON one is dialled, and sends nothing by itself"
                complaints.add(("central_systems", name, key), text)


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
    asks, need = route.authentication, _NEEDS.get(route.authentication)
    if asks == "certificate" and not _asks_certificates(settings):
        text = "no listener asks for certificates: tls.client_ca of [soap] or [websocket] names who issues them"
        complaints.add((*path, "authentication"), text)
    if need is not None and not (need == "networks" and route.networks):
        mine = [own for identity, own in settings.charge_points.items() if route_of(identity, settings) is route]
        if not any(getattr(own, need) for own in mine):
            complaints.add(
                (*path, "authentication"), f"nobody gets in: no Charge Point of this route has {_SAID[need]}"
            )


def _asks_certificates(settings: Settings) -> bool:
    tables = [place.table for place in places(settings) if not isinstance(place.table, Admin)]
    return any(table.tls is not None and table.tls.client_ca for table in tables)


def route_of(identity: str, settings: Settings) -> Route | None:
    """The route that a Charge Point comes under."""
    folded = identities.normal(identity).casefold()
    globs = ((identities.normal(route.charge_point).casefold(), route) for route in settings.routes)
    return next((route for glob, route in globs if fnmatchcase(folded, glob)), None)


def cautions(settings: Settings) -> Iterator[str]:
    """What the operator may not have meant, a line each."""
    for index, route in enumerate(settings.routes):
        need, asks = _NEEDS.get(route.authentication), dotted(("routes", index, "authentication"))
        if need is not None and route.accept == "any" and not (need == "networks" and route.networks):
            yield f"{asks}: Charge Points without {_SAID[need]} under charge_points are refused"
        if route.authentication == "token" and any(_is_plain(settings)):
            yield f"{asks}: a token on a listener without TLS can be read, and used, by whoever sees the traffic"
    for name, central_system in settings.central_systems.items():
        open_to_all = not central_system.networks and central_system.password is None
        if central_system.protocol != "ocpp1.6j" and open_to_all:
            key = dotted(("central_systems", name))
            yield f"{key}: whoever reaches the SOAP listener can command its Charge Points; set networks or password"
    for identity, own in settings.charge_points.items():
        yield from _idle(identity, own, route_of(identity, settings))


def _is_plain(settings: Settings) -> Iterator[bool]:
    return (place.table.tls is None for place in places(settings) if not isinstance(place.table, Admin))


def _idle(identity: str, own: ChargePoint, route: Route | None) -> Iterator[str]:
    """Keys that look as if they kept somebody out, and do not."""
    asked = "none" if route is None else route.authentication
    for asks, key in (*_NEEDS.items(), ("certificate", "certificate_name")):
        useful = asked == asks or (asked == "auto" and key == "password") or key == "certificate_name"
        if getattr(own, key) and not useful:
            place = dotted(("charge_points", identity, key))
            yield f"{place}: is not asked for, its route has authentication = {quote(asked)}"
