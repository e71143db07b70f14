"""Where a Charge Point belongs and what it is called there: its Route, and what the configuration says of it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from msgspec import Struct

from bridge.config import CentralSystem, ChargePoint, Pack, Quirks, Settings
from bridge.core import addresses
from bridge.core.addresses import Callback
from bridge.core.routes import Route, Routes
from bridge.core.session import Terms
from bridge.errors import UnknownIdentity
from bridge.gateway.quirks import fitting, manners_of
from bridge.ocpp.manners import Boot, Manners
from bridge.ocppj.client import Target


class Placement(Struct, frozen=True, kw_only=True):
    """`name` is the Charge Point's identity towards its Central System. `quirks` are its Route's, `packs` those that
    may fit it, `otherwise` what holds where neither says anything."""

    identity: str
    name: str
    central_system: str
    system: CentralSystem
    own: ChargePoint
    strict: bool
    terms: Terms
    quirks: Quirks = Quirks()
    packs: tuple[Pack, ...] = ()
    otherwise: Quirks = Quirks()

    def manners(self, boot: Boot | None) -> Manners:
        """How it is treated, once it has said `boot` of itself."""
        return manners_of([self.quirks, *(pack.set for pack in fitting(self.packs, boot)), self.otherwise])

    @property
    def speaks_json(self) -> bool:
        """Whether its Central System does."""
        return self.system.protocol == "ocpp1.6j"

    @property
    def pinned(self) -> Callback | None:
        """The callback address that the operator configured."""
        return addresses.pinned(self.own.callback_url) if self.own.callback_url else None

    def target(self, **handshake: Any) -> Target:
        """What to dial, for a Central System that speaks JSON."""
        password = self.own.central_system_password
        return Target(
            url=self.system.url,
            identity=self.name,
            password=None if password is None else password.reveal(),
            ping_interval=self.system.ping_interval or None,
            **handshake,
        )


class Placements:
    """All that the configuration says about who belongs where."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = {identity.casefold(): own for identity, own in settings.charge_points.items()}
        self._routes = Routes([_route(route) for route in settings.routes], settings.charge_points)
        # Of Routes that are alike to the core, the first is found.
        self._quirks = {_route(route): _quirks(route) for route in reversed(settings.routes)}
        # Who is configured by name was first written there (quirk 40).
        self._spellings = {identity.casefold(): identity for identity in settings.charge_points}
        named = {key: own.central_system_identity for key, own in settings.charge_points.items()}
        self._renamed = {_filled(name, key).casefold(): key for key, name in named.items() if name}
        self._templates = [route.central_system_identity for route in settings.routes]

    def named(self, name: str) -> Placement:
        """That of the Charge Point that its Central System calls `name`. Raises UnknownIdentity."""
        for identity in filter(None, (self._renamed.get(name.casefold()), *self._unnamed(name), name)):
            with suppress(UnknownIdentity):
                placement = self.of(identity)
                if placement.name.casefold() == name.casefold():
                    return placement
        raise UnknownIdentity(name)

    def _unnamed(self, name: str) -> Iterator[str]:
        """What the Routes' templates may have made `name` of."""
        for template in self._templates:
            before, placeholder, after = template.casefold().partition("{identity}")
            if placeholder and name.casefold().startswith(before) and name.casefold().endswith(after):
                yield name[len(before) : len(name) - len(after)]

    def of(self, identity: str) -> Placement:
        """The Charge Point's. Raises UnknownIdentity if no Route takes it."""
        route = self._routes.find(identity)
        identity = self._spellings.get(identity.casefold(), identity)
        own = self._own.get(identity.casefold(), ChargePoint())
        system = self._settings.central_systems[route.central_system]
        template = own.central_system_identity or route.central_system_identity
        return Placement(
            identity=identity,
            name=_filled(template, identity) if template else identity,
            central_system=route.central_system,
            system=system,
            own=own,
            strict=route.strict,
            terms=Terms(
                call_timeout=self._settings.gateway.call_timeout,
                reconnect_min=system.reconnect_min,
                reconnect_max=system.reconnect_max,
                replay_boot=system.replay_boot,
            ),
            quirks=self._quirks[route],
            packs=self._settings.packs,
            otherwise=Quirks(connection_per_call=self._settings.soap.connection_per_call),
        )


def _filled(template: str, identity: str) -> str:
    return template.replace("{identity}", identity)


def _quirks(route: Quirks) -> Quirks:
    return Quirks(**{name: getattr(route, name) for name in Quirks.__struct_fields__})


def _route(route: Any) -> Route:
    return Route(
        charge_point=route.charge_point,
        central_system=route.central_system,
        strict=route.tolerance == "strict",
        listed_only=route.accept == "listed",
        central_system_identity=route.central_system_identity,
    )
