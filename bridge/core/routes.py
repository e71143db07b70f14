"""Which Central System a Charge Point belongs to. The first Route whose pattern fits its identity decides."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import translate

from msgspec import Struct

from bridge.errors import UnknownIdentity


class Route(Struct, frozen=True, kw_only=True):
    """`charge_point` is a glob; `listed_only` admits only identities that the configuration names;
    `central_system_identity` is a template of what they are called there (`NL*{identity}`)."""

    charge_point: str
    central_system: str
    strict: bool = False
    emulate_trigger: bool = False
    listed_only: bool = False
    central_system_identity: str = ""


class Routes:
    """The route table. Identities are matched case-insensitively (DESIGN section 5)."""

    def __init__(self, routes: Sequence[Route], listed: Collection[str] = ()) -> None:
        self._routes = [(re.compile(translate(route.charge_point.casefold())), route) for route in routes]
        self._listed = frozenset(identity.casefold() for identity in listed)

    def find(self, identity: str) -> Route:
        """The Route of `identity`. Raises UnknownIdentity: no match is a refusal, never a default."""
        folded = identity.casefold()
        for pattern, route in self._routes:
            if pattern.match(folded):
                if route.listed_only and folded not in self._listed:
                    break
                return route
        raise UnknownIdentity(identity)
