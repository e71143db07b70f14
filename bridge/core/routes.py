"""Routes: the Central System of each Charge Point. The first Route whose pattern matches the identity decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Protocol

from msgspec import Struct

from bridge.errors import UnknownIdentity
from bridge.ocpp.tenants import DEFAULT, identity_of, tenant_of


class RouteRule(Struct, frozen=True, kw_only=True):
    """A line of the route table. docs/configure.md describes each setting.

    Attributes:
        charge_point: A glob for identities.
        tenant: The tenant whose Charge Points the Route takes.
        listed_only: Whether only listed identities are admitted.
        central_system_identity: A template for the identity at the Central System (`NL*{identity}`).
    """

    charge_point: str
    central_system: str
    tenant: str = DEFAULT
    strict: bool = False
    emulate_trigger: bool = False
    infer_status: bool = True
    listed_only: bool = False
    central_system_identity: str = ""
    heartbeat_max: int | None = None
    command_timeout: float | None = None
    wake_url: str = ""


class Listed(Protocol):
    """Tells which Charge Points are listed."""

    def __contains__(self, identity: str, /) -> bool: ...


class RouteTable:
    """The route table. The letter case of identities does not count (DESIGN section 5).

    Args:
        routes: The Routes, in their order.
        listed: The Charge Points with settings of their own. It is asked about casefolded keys.
    """

    def __init__(self, routes: Sequence[RouteRule], listed: Listed = frozenset[str]()) -> None:
        self._routes = [(re.compile(translate(route.charge_point.casefold())), route) for route in routes]
        self._listed = listed

    def find(self, identity: str) -> RouteRule:
        """Return the Route of a Charge Point. Raises UnknownIdentity if none matches: there is no default Route.

        `identity` is its key: only Routes of its tenant take it.
        """
        folded = identity.casefold()
        tenant, name = tenant_of(folded), identity_of(folded)
        for pattern, route in self._routes:
            if route.tenant == tenant and pattern.match(name):
                if route.listed_only and folded not in self._listed:
                    break
                return route
        raise UnknownIdentity(identity_of(identity))

    def would_find(self, identity: str) -> bool:
        """Return whether a Route would take `identity` if it were listed."""
        folded = identity.casefold()
        tenant, name = tenant_of(folded), identity_of(folded)
        return any(route.tenant == tenant and pattern.match(name) for pattern, route in self._routes)
