"""Where a Charge Point belongs and what it is called there: its Route, and what the configuration says of it alone."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from bridge import identity as identities
from bridge import paths
from bridge.access.rules import Rule
from bridge.config import CentralSystem, ChargePoint, ClientTLS, Limits, Pack, Quirks, Secret, Settings
from bridge.core import addresses
from bridge.core.addresses import Callback
from bridge.core.links import Terms
from bridge.core.routes import Route, Routes
from bridge.errors import UnknownIdentity
from bridge.gateway.limits import frame_bounds
from bridge.gateway.quirks import fitting, manners_of
from bridge.gateway.rules import rule_of
from bridge.ocpp.manners import Boot, Manners
from bridge.ocppj.client import Target

ContextOf = Callable[[ClientTLS | None], ssl.SSLContext | None]


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
    rule: Rule = Rule(identity="")
    quirks: Quirks = Quirks()
    packs: tuple[Pack, ...] = ()
    otherwise: Quirks = Quirks()
    # How TLS is spoken with the Central System, and with the Charge Point where it is called back.
    tls: ssl.SSLContext | None = None
    callback_tls: ssl.SSLContext | None = None
    limits: Limits = Limits()
    listed: bool = False  # under [charge_points]

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
            tls=self.tls if self.system.url.lower().startswith("wss:") else None,
            bounds=frame_bounds(self.limits),
            **handshake,
        )


class Placements:
    """All that the configuration says about who belongs where. `moved_to` tells the Central System that an operator
    chose for a Charge Point instead, if one did."""

    def __init__(
        self,
        settings: Settings,
        context_of: ContextOf = lambda tls: None,
        moved_to: Callable[[str], str | None] = lambda identity: None,
    ) -> None:
        self._context_of = context_of
        self._moved_to = moved_to
        settings = _in_normal_form(settings)
        self._settings = settings
        self._own = {identity.casefold(): own for identity, own in settings.charge_points.items()}
        self._routes = Routes([_route(route) for route in settings.routes], settings.charge_points)
        # Of Routes that are alike to the core, the first is found.
        self._otherwise = Quirks(connection_per_call=settings.soap[0].connection_per_call)
        self._terms = {
            (name, emulates): _terms(settings, system, emulates)
            for name, system in settings.central_systems.items()
            for emulates in (False, True)
        }
        self._quirks = {_route(route): _quirks(route) for route in reversed(settings.routes)}
        self._told = {_route(route): route for route in reversed(settings.routes)}
        self._tokens = frozenset(own.token for own in settings.charge_points.values() if own.token is not None)
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

    def may_be_token(self, text: str) -> bool:
        """Whether this is a Charge Point's token, or a misspelt one, which then stands where an identity belongs."""
        if not self._tokens or text.casefold() in self._own:
            return False
        return Secret(text.encode("utf-8", "replace")) in self._tokens or paths.may_be_token(text)

    def _unnamed(self, name: str) -> Iterator[str]:
        """What the Routes' templates may have made `name` of."""
        for template in self._templates:
            before, placeholder, after = template.partition("{identity}")
            identity = _between(before.casefold(), name, after.casefold()) if placeholder else None
            if identity is not None:
                yield identity

    def of(self, identity: str) -> Placement:
        """The Charge Point's. Raises UnknownIdentity if no Route takes it."""
        route = self._routes.find(identity)
        identity = self._spellings.get(identity.casefold(), identity)
        own = self._own.get(identity.casefold(), ChargePoint())
        central_system = self._chosen(identity, route.central_system)
        system = self._settings.central_systems[central_system]
        template = own.central_system_identity or route.central_system_identity
        return Placement(
            identity=identity,
            name=_filled(template, identity) if template else identity,
            central_system=central_system,
            system=system,
            own=own,
            strict=route.strict,
            terms=self._terms[central_system, route.emulate_trigger],
            limits=self._settings.limits,
            listed=identity.casefold() in self._own,
            rule=rule_of(identity, own, self._told[route]),
            quirks=self._quirks[route],
            packs=self._settings.packs,
            tls=self._context_of(system.tls),
            callback_tls=self._context_of(own.tls),
            otherwise=self._otherwise,
        )

    def _chosen(self, identity: str, otherwise: str) -> str:
        """A Central System that is gone from the configuration is nobody's choice any more."""
        chosen = self._moved_to(identity)
        return otherwise if chosen is None or chosen not in self._settings.central_systems else chosen

    def route_of(self, identity: str) -> str | None:
        """The glob of the Route that takes it, None if none does."""
        try:
            return self._routes.find(identity).charge_point
        except UnknownIdentity:
            return None


def _in_normal_form(settings: Settings) -> Settings:
    """Identities as those that come in are kept."""
    return msgspec.structs.replace(
        settings,
        charge_points={identities.normal(identity): own for identity, own in settings.charge_points.items()},
        routes=tuple(
            msgspec.structs.replace(route, charge_point=identities.normal(route.charge_point))
            for route in settings.routes
        ),
    )


def _terms(settings: Settings, system: CentralSystem, emulates: bool) -> Terms:
    return Terms(
        call_timeout=settings.gateway.call_timeout,
        reconnect_min=system.reconnect_min,
        reconnect_max=system.reconnect_max,
        replay_boot=system.replay_boot,
        emulate_trigger=emulates,
    )


def _filled(template: str, identity: str) -> str:
    return template.replace("{identity}", identity)


def _between(before: str, name: str, after: str) -> str | None:
    """What stands in `name` between the two, which are casefolded. A casefolded text may be longer (ß), character for
    character, up to three times."""
    starts = range(len(before) // 3, min(len(before), len(name)) + 1)
    ends = range(len(after) // 3, min(len(after), len(name)) + 1)
    start = next((start for start in starts if name[:start].casefold() == before), None)
    end = next((len(name) - end for end in ends if name[len(name) - end :].casefold() == after), None)
    return None if start is None or end is None or end < start else name[start:end]


def _quirks(route: Quirks) -> Quirks:
    return Quirks(**{name: getattr(route, name) for name in Quirks.__struct_fields__})


def _route(route: Any) -> Route:
    return Route(
        charge_point=route.charge_point,
        central_system=route.central_system,
        strict=route.tolerance == "strict",
        emulate_trigger=route.emulate_trigger,
        listed_only=route.accept == "listed",
        central_system_identity=route.central_system_identity,
    )
