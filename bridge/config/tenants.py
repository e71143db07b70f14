"""The tenants of a configuration: their host names, addresses and Charge Points, and checks of their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from bridge.config.complaints import Complaints, closest, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import places
from bridge.config.records import CentralSystem, ChargePoint, Listener, Settings, Tenant
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants

_NAME_FAULT = 'expected a name of lower-case letters, digits and "-", such as acme'


class ListedTable(NamedTuple):
    """The table of a Charge Point in the file: its path, the tenant, the identity as it is written, its settings."""

    path: KeyPath
    tenant: str
    identity: str
    own: ChargePoint


def charge_points(settings: Settings) -> Iterator[ListedTable]:
    """Yield the tables of the Charge Points of all tenants, those of the default tenant first."""
    for identity, own in settings.charge_points.items():
        yield ListedTable(("charge_points", identity), tenants.DEFAULT, identity, own)
    for name, tenant in settings.tenants.items():
        for identity, own in tenant.charge_points.items():
            yield ListedTable(("tenants", name, "charge_points", identity), name, identity, own)


def by_key(settings: Settings) -> dict[str, ChargePoint]:
    """Return the settings of all Charge Points in the file, by key, with identities in normal form."""
    return {tenants.key_of(each.tenant, identities.normal(each.identity)): each.own for each in charge_points(settings)}


def tenants_of(settings: Settings) -> tuple[str, ...]:
    """Return all tenants, the default tenant first."""
    return (tenants.DEFAULT, *settings.tenants)


def by_host(settings: Settings) -> dict[str, str]:
    """Return the tenant of each host name, which is in lower case."""
    return {host.lower(): name for name, tenant in settings.tenants.items() for host in tenant.hosts}


def tenant_at(listener: Listener, named: Sequence[str], hosts: Mapping[str, str]) -> str | None:
    """Return the tenant of a peer, None if its address is not one of this listener.

    Args:
        listener: The listener that the peer uses.
        named: The host of the address that the peer asked for, with a port or without; several contradict each other.
        hosts: The tenant of each host name.
    """
    found = {hosts.get(host_in(each), tenants.DEFAULT) for each in named}
    if not listener.tenant:
        return None if len(found) > 1 else next(iter(found), tenants.DEFAULT)
    own = tenants.named(listener.tenant)
    return own if found <= {own, tenants.DEFAULT} else None


def host_in(authority: str) -> str:
    """Return the host of an authority in lower case, without port and final dot; "" if it cannot be read."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def urls_of(listener: Listener, url: str, tenant: str, settings: Settings) -> list[str]:
    """Return the URLs under which the Charge Points of a tenant reach a listener; none if they cannot use it.

    Args:
        listener: The listener.
        url: Its URL.
        tenant: The tenant.
        settings: The configuration.
    """
    if listener.tenant:
        return [url] if tenants.named(listener.tenant) == tenant else []
    if tenant == tenants.DEFAULT:
        return [url]
    found = settings.tenants.get(tenant, Tenant())
    return [with_host(url, host) for host in found.hosts]


def with_host(url: str, host: str) -> str:
    """Return `url` with another host and the same port."""
    parts = urlsplit(url)
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=f"{host.lower()}{port}").geturl()


def soap_url(settings: Settings, tenant: str) -> str:
    """Return the URL, without a path, under which a tenant's SOAP parties reach the bridge; "" if there is none.

    A listener of the tenant alone goes before one where the host name decides.
    """
    listeners = sorted(settings.soap, key=lambda soap: not soap.tenant)
    found = (url for soap in listeners for url in urls_of(soap, soap.public_url, tenant, settings))
    return next(found, "").rstrip("/")


def check_tenants(settings: Settings, complaints: Complaints) -> None:
    """Complain about names that cannot be used or are not known, hosts of two tenants, and tenants without a way in."""
    hosts: dict[str, str] = {}
    for name, tenant in settings.tenants.items():
        path: KeyPath = ("tenants", name)
        if name == tenants.DEFAULT_NAME:
            complaints.add(path, "is the tenant of everything that names no tenant, and has no table")
        elif not tenants.is_name(name):
            complaints.add(path, f"{_NAME_FAULT}, got {quote(name)}")
        for index, host in enumerate(tenant.hosts):
            if not host or host_in(host) != host.lower() or "*" in host:
                complaints.add((*path, "hosts", index), f"expected a host name without a port, got {quote(host)}")
            elif (other := hosts.setdefault(host.lower(), name)) != name:
                complaints.add((*path, "hosts", index), f"{quote(host)} is a host of the tenant {quote(other)} too")
        _check_way_in(path, name, tenant, settings, complaints)
    for path, name, all_too in _names(settings):
        known = (tenants.DEFAULT_NAME, *settings.tenants)
        if name and name not in known and not (all_too and name == tenants.ALL):
            guess = closest(name, known)
            hint = f", did you mean {guess}?" if guess else ""
            complaints.add((*path, "tenant"), f"no tenant is called {quote(name)}{hint}")
    _check_central_systems(settings, complaints)


def _check_way_in(path: KeyPath, name: str, tenant: Tenant, settings: Settings, complaints: Complaints) -> None:
    listeners = (*settings.soap, *settings.websocket)
    if not any(each.tenant == name for each in listeners):
        if not tenant.hosts:
            complaints.add(path, "has no way in: give it hosts, or a listener the key tenant")
        elif all(each.tenant for each in listeners):
            complaints.add((*path, "hosts"), "are of no use: every listener is of one tenant")


def _names(settings: Settings) -> Iterator[tuple[KeyPath, str, bool]]:
    """Yield each key that names a tenant: the path of its table, the name, and whether it may name all tenants."""
    for place in places(settings):
        if isinstance(place.table, Listener):
            yield place.path, place.table.tenant, False
    for index, token in enumerate(settings.admin.tokens):
        yield ("admin", "tokens", index), token.tenant, True
    for name, system in settings.central_systems.items():
        yield ("central_systems", name), system.tenant, True
    for index, route in enumerate(settings.routes):
        yield ("routes", index), route.tenant, False
    for index, policy in enumerate(settings.policies):
        yield ("policies", index), policy.tenant, True
    for index, receiver in enumerate(settings.events):
        yield ("events", index), receiver.tenant, True


def _check_central_systems(settings: Settings, complaints: Complaints) -> None:
    """Complain about routes to a Central System of another tenant, or to one that could not send commands."""
    for index, route in enumerate(settings.routes):
        path: KeyPath = ("routes", index)
        if tenants.SEPARATOR in route.central_system_identity:
            complaints.add((*path, "central_system_identity"), "has control characters")
        system = settings.central_systems.get(route.central_system)
        if system is None or complaints.about((*path, "tenant")):
            continue
        if (text := misplaced(system, route.central_system, route.tenant, settings)) is not None:
            complaints.add((*path, "central_system"), text)


def misplaced(system: CentralSystem, name: str, whose: str, settings: Settings) -> str | None:
    """Return why a route of a tenant cannot have a Central System, None if it can.

    Args:
        system: The Central System.
        name: Its name.
        whose: The tenant, as the route names it.
        settings: The configuration.
    """
    tenant = tenants.named(whose)
    if not tenants.takes(system.tenant, tenant):
        return f"{quote(name)} is not for the tenant {quote(tenants.name_of(tenant))}: see its tenant"
    if system.protocol != "ocpp1.6j" and not soap_url(settings, tenant):
        return f"the tenant {quote(tenants.name_of(tenant))} has no SOAP address to which it could send commands"
    return None


def cautions(settings: Settings) -> Iterator[str]:
    """Return a line for what all tenants share, and what one of them could see of another."""
    if not settings.tenants:
        return
    if settings.admin.open_metrics:
        yield (
            "admin.open_metrics: whoever reaches the admin listener reads the metrics of all tenants without a token; "
            "set it to false"
        )
    for name, system in settings.central_systems.items():
        sharing = [route for route in settings.routes if route.central_system == name]
        plain = {tenants.named(route.tenant) for route in sharing if not route.central_system_identity}
        if system.tenant == tenants.ALL and len(plain) > 1:
            yield (
                f"central_systems.{name}: is shared by several tenants, whose Charge Points may have the same identity "
                "there; give their routes central_system_identity"
            )
