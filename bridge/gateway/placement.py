"""Find the Route of a Charge Point, its Central System, its name there and its own settings in the configuration."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from bridge.access import paths
from bridge.access.rules import Rule
from bridge.config import CentralSystem, ChargePoint, ClientTLS, Limits, Pack, Quirks, Route, Secret, Settings
from bridge.config.tenants import by_key, soap_url, tenants_of
from bridge.core import addresses
from bridge.core.addresses import CallbackTarget
from bridge.core.links import SessionTerms
from bridge.core.observers import ObserverRole, ObserverTerms
from bridge.core.routes import RouteRule, RouteTable
from bridge.errors import BridgeError, ErrorCode, UnknownIdentity
from bridge.gateway.limits import frame_bounds
from bridge.gateway.listed import ListedChargePoints, filled
from bridge.gateway.outgoing import header_fields
from bridge.gateway.quirks import fitting, profile_of
from bridge.gateway.rules import rule_of
from bridge.net.json_client import Target
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants
from bridge.ocpp.device_profile import Boot, DeviceProfile

_OCPP12 = "ocpp1.2s"
_READ = CentralSystem(url="").subprotocols  # those whose messages the bridge reads
_READY_AFTER = CentralSystem(url="").ready_after
_OCPP16 = ("ocpp1.6j", "ocpp1.6s")
ContextOf = Callable[[ClientTLS | None], ssl.SSLContext | None]


class Placement(Struct, frozen=True, kw_only=True):
    """The Central System and the settings of one Charge Point.

    Attributes:
        identity: The key of the Charge Point: the tenant, and the identity as it was first written.
        name: The identity towards the Central System.
        central_system: The name of the Central System.
        system: The configuration of the Central System.
        own: The configuration of the Charge Point.
        strict: Whether the Route's tolerance is strict.
        terms: The settings of the Session.
        wake_url: The URL that wakes the Charge Point, "" for none.
        rule: The authentication that is required.
        quirks: The quirks of the Route.
        packs: The packs that may match the Charge Point.
        otherwise: The quirks that apply where neither Route nor packs set a key.
        tls: The TLS context towards the Central System.
        callback_tls: The TLS context towards the Charge Point's callback address.
        limits: The limits of the configuration.
        listed: Whether the Charge Point has settings of its own.
        public_url: The URL of the bridge for the tenant's SOAP parties, "" if there is none.
    """

    identity: str
    name: str
    central_system: str
    system: CentralSystem
    own: ChargePoint
    strict: bool
    terms: SessionTerms
    wake_url: str = ""
    rule: Rule = Rule(identity="")
    quirks: Quirks = Quirks()
    packs: tuple[Pack, ...] = ()
    otherwise: Quirks = Quirks()
    tls: ssl.SSLContext | None = None
    callback_tls: ssl.SSLContext | None = None
    limits: Limits = Limits()
    listed: bool = False
    public_url: str = ""

    def profile(self, boot: Boot | None) -> DeviceProfile:
        """Return the DeviceProfile of the Charge Point.

        `boot` is from its last BootNotification, None before the first.
        """
        return profile_of([self.quirks, *(pack.set for pack in fitting(self.packs, boot)), self.otherwise])

    @property
    def charge_box_identity(self) -> str:
        """Return the identity towards the Charge Point."""
        return tenants.identity_of(self.identity)

    @property
    def name_key(self) -> str:
        """Return the key of the name towards the Central System."""
        return tenants.renamed(self.identity, self.name)

    @property
    def speaks_json(self) -> bool:
        """Return whether the Central System speaks JSON."""
        return self.system.protocol == "ocpp1.6j"

    def check_version(self, version: str) -> None:
        """Raise BridgeError (NotSupported) if the Central System cannot serve a Charge Point of OCPP `version`."""
        check_version(self.system, version)

    def may_keep_connection(self, before: Placement, subprotocol: str) -> bool:
        """Return whether a JSON Charge Point keeps its connection when this takes the place of another Placement.

        It connects again if it has to show other credentials, if the Central System does not speak its subprotocol, or
        if only its settings have changed.

        Args:
            before: The Placement until now.
            subprotocol: The subprotocol of its connection, in lower case.
        """
        fits = subprotocol in _READ and self.system.protocol != _OCPP12
        if self.speaks_json:
            fits = fits and subprotocol in self.system.subprotocols
        return fits and self.central_system != before.central_system and self.rule == before.rule

    @property
    def pinned(self) -> CallbackTarget | None:
        """Return the callback address in the configuration, or None."""
        return addresses.pinned(self.own.callback_url) if self.own.callback_url else None

    @property
    def url(self) -> str:
        """Return the URL to POST to, for a Central System that speaks SOAP."""
        return identities.in_url(self.system.url, self.name)

    @property
    def password(self) -> bytes | None:
        """Return the Charge Point's own password towards its Central System, or None."""
        password = self.own.central_system_password
        return None if password is None else password.reveal()

    def fields(self, password: bytes | None, shown: str) -> tuple[tuple[str, str], ...]:
        """Return the header fields of a request to the Central System.

        Args:
            password: The Charge Point's own password, which may have changed since it was configured; None for none.
            shown: The Authorization header of the Charge Point, "" for none.
        """
        return header_fields(self.name, self.system, password, shown)

    def target(self, fields: tuple[tuple[str, str], ...] = (), **handshake: Any) -> Target:
        """Return the target to dial for a JSON Central System.

        Args:
            fields: The header fields of the handshake.
            handshake: More attributes of the Target.
        """
        return Target(
            url=self.system.url,
            identity=self.name,
            fields=fields,
            ping_interval=self.system.ping_interval or None,
            tls=self.tls if self.system.url.lower().startswith("wss:") else None,
            bounds=frame_bounds(self.limits),
            **handshake,
        )


def check_version(system: CentralSystem, version: str) -> None:
    """Raise BridgeError (NotSupported) if `system` cannot serve a Charge Point of OCPP `version`, "" for JSON.

    A Central System of OCPP 1.2 serves only Charge Points of 1.2: what 1.2 lacks is too much to translate.
    """
    if system.protocol == _OCPP12 and version != "1.2":
        spoken = f"OCPP {version} over SOAP" if version else "OCPP-J"
        text = f"its Central System speaks OCPP 1.2, and serves no Charge Point that speaks {spoken}"
        raise BridgeError(ErrorCode.NotSupported, text)


class Placements:
    """Finds the Placement of each Charge Point.

    Args:
        settings: The configuration.
        context_of: Returns the TLS context of a TLS table.
        moved_to: Returns the Central System that an operator chose for an identity, or None.
        provisioned: The settings of Charge Points that operators gave, by identity in normal form.

    Attributes:
        listed: The Charge Points with settings of their own. It changes while the bridge runs.
        observer_names: The names of all further Central Systems of the Routes.
        central_system_names: The names of all Central Systems.
    """

    def __init__(
        self,
        settings: Settings,
        context_of: ContextOf = lambda tls: None,
        moved_to: Callable[[str], str | None] = lambda identity: None,
        provisioned: Mapping[str, ChargePoint] = MappingProxyType({}),
    ) -> None:
        self._context_of = context_of
        self._moved_to = moved_to
        settings = _in_normal_form(settings)
        self._settings = settings
        self.listed = ListedChargePoints(settings.charge_points, provisioned)
        self._routes = RouteTable([_route(route) for route in settings.routes], self.listed)
        self._otherwise = Quirks(connection_per_call=settings.soap[0].connection_per_call)
        self._terms = {
            (name, route): _terms(settings, name, route)
            for name in settings.central_systems
            for route in dict.fromkeys(map(_route, settings.routes))
        }
        # Several Routes may be equal as RouteRules. The order is reversed so that the first of them is kept.
        self._quirks = {_route(route): _quirks(route) for route in reversed(settings.routes)}
        self._told = {_route(route): route for route in reversed(settings.routes)}
        self._observers = {_route(route): _observers(route) for route in reversed(settings.routes)}
        self.observer_names = frozenset(also.central_system for route in settings.routes for also in route.also)
        self.central_system_names = frozenset(settings.central_systems)
        self._templates = [
            (tenants.named(route.tenant), route.central_system_identity)
            for route in settings.routes
            if route.central_system_identity
        ]
        self._public_urls = {tenant: soap_url(settings, tenant) for tenant in tenants_of(settings)}

    def lists(self, identity: str) -> bool:
        """Return whether the Charge Point has settings of its own."""
        return identity in self.listed

    def named(self, name: str) -> Placement:
        """Return the Placement of the Charge Point that its Central System calls `name`, a key with the tenant.

        Raises UnknownIdentity.
        """
        for identity in filter(None, (self.listed.identity_of(name), *self._unnamed(name), name)):
            with suppress(UnknownIdentity):
                placement = self.of(identity)
                if placement.name_key.casefold() == name.casefold():
                    return placement
        raise UnknownIdentity(tenants.identity_of(name))

    def may_be_token(self, text: str) -> bool:
        """Return whether `text`, in the place of an identity, is a Charge Point's token or may be a misspelt token.

        `text` is a key: tokens of its tenant count.
        """
        tenant, shown = tenants.tenant_of(text), tenants.identity_of(text)
        if not self.listed.has_tokens(tenant) or text in self.listed:
            return False
        return self.listed.is_token(Secret(shown.encode("utf-8", "replace")), tenant) or paths.may_be_token(shown)

    def _unnamed(self, name: str) -> Iterator[str]:
        """Yield the key of each Charge Point from whose identity the template of a Route makes `name`, a key."""
        tenant, named = tenants.tenant_of(name), tenants.identity_of(name)
        for whose, template in self._templates:
            before, placeholder, after = template.partition("{identity}")
            here = placeholder and whose == tenant
            identity = _between(before.casefold(), named, after.casefold()) if here else None
            if identity is not None:
                yield tenants.key_of(tenant, identity)

    def of(self, identity: str) -> Placement:
        """Return the Placement of a Charge Point. Raises UnknownIdentity if no Route takes it."""
        return self._placed(identity, None)

    def at(self, identity: str, central_system: str) -> Placement | None:
        """Return the Placement of a Charge Point at a Central System, by name; None if that is not configured."""
        if not self._may_use(identity, central_system):
            return None
        try:
            return self._placed(identity, central_system)
        except UnknownIdentity:
            return None

    def _placed(self, identity: str, central_system: str | None) -> Placement:
        route = self._routes.find(identity)
        listed = self.listed.get(identity)
        # The spelling in the settings counts as the first spelling of a Charge Point (quirk 40).
        identity, own = (identity, ChargePoint()) if listed is None else (listed.identity, listed.own)
        central_system = central_system or self._chosen(identity, route.central_system)
        system = self._settings.central_systems[central_system]
        template = own.central_system_identity or route.central_system_identity
        plain = tenants.identity_of(identity)
        return Placement(
            identity=identity,
            name=filled(template, plain) if template else plain,
            central_system=central_system,
            system=system,
            own=own,
            strict=route.strict,
            terms=self._terms[central_system, route],
            wake_url=route.wake_url,
            limits=self._settings.limits,
            listed=listed is not None,
            public_url=self._public_urls.get(tenants.tenant_of(identity), ""),
            rule=rule_of(identity, own, self._told[route]),
            quirks=self._quirks[route],
            packs=self._settings.packs,
            tls=self._context_of(system.tls),
            callback_tls=self._context_of(own.tls),
            otherwise=self._otherwise,
        )

    def _chosen(self, identity: str, otherwise: str) -> str:
        """Return the Central System that an operator chose; `otherwise` if there is none or it cannot be used."""
        chosen = self._moved_to(identity)
        return otherwise if chosen is None or not self._may_use(identity, chosen) else chosen

    def _may_use(self, identity: str, central_system: str) -> bool:
        """Return whether a Central System is configured, and is for the tenant of a Charge Point."""
        system = self._settings.central_systems.get(central_system)
        return system is not None and tenants.takes(system.tenant, tenants.tenant_of(identity))

    def taken_by(self, identity: str) -> tuple[str | None, str | None]:
        """Return the glob of a Charge Point's Route and its Central System by name; None twice without a Route."""
        try:
            route = self._routes.find(identity)
        except UnknownIdentity:
            return None, None
        return route.charge_point, self._chosen(identity, route.central_system)

    def observers_of(self, identity: str) -> tuple[ObserverTerms, ...]:
        """Return the further Central Systems of a Charge Point; none if no Route takes it.

        The Central System that the Charge Point belongs to now is not among them, also after a move.
        """
        try:
            route = self._routes.find(identity)
        except UnknownIdentity:
            return ()
        if not (terms := self._observers[route]):
            return ()
        listed = self.listed.get(identity)
        main = self._chosen(identity if listed is None else listed.identity, route.central_system)
        return tuple(each for each in terms if each.central_system != main)

    def routed(self, identity: str) -> str | None:
        """Return the name of the Central System of a Charge Point's Route, whatever operators chose, or None."""
        try:
            return self._routes.find(identity).central_system
        except UnknownIdentity:
            return None

    def route_of(self, identity: str) -> str | None:
        """Return the glob of the Route that takes the Charge Point, or None."""
        try:
            return self._routes.find(identity).charge_point
        except UnknownIdentity:
            return None

    def would_route(self, identity: str) -> bool:
        """Return whether a Route would take the Charge Point if it had settings of its own."""
        return self._routes.would_find(identity)


def _in_normal_form(settings: Settings) -> Settings:
    """Return `settings` with identities in the normal form in which identities of messages are kept.

    `charge_points` is by key, and has those of all tenants. `ready_after` has its default in it: a Charge Point does
    not move because the operator expects more of a shadow.
    """
    return msgspec.structs.replace(
        settings,
        central_systems={
            name: msgspec.structs.replace(system, ready_after=_READY_AFTER)
            for name, system in settings.central_systems.items()
        },
        charge_points=by_key(settings),
        routes=tuple(
            msgspec.structs.replace(route, charge_point=identities.normal(route.charge_point))
            for route in settings.routes
        ),
    )


def _terms(settings: Settings, name: str, route: RouteRule) -> SessionTerms:
    system = settings.central_systems[name]
    return SessionTerms(
        call_timeout=settings.gateway.call_timeout,
        command_timeout=route.command_timeout,
        late_answers=settings.gateway.late_answers,
        reconnect_min=system.reconnect_min,
        reconnect_max=system.reconnect_max,
        replay_boot=system.replay_boot,
        emulate_trigger=route.emulate_trigger,
        infer_status=route.infer_status and not route.strict and system.protocol in _OCPP16,
        heartbeat_max=route.heartbeat_max,
        wakes=bool(route.wake_url),
        central_system=name,
    )


def _between(before: str, name: str, after: str) -> str | None:
    """Return the text in `name` between `before` and `after`, which are casefolded. Returns None without a match.

    Casefolding can make a text longer (ß), at most three times, character for character.
    """
    starts = range(len(before) // 3, min(len(before), len(name)) + 1)
    ends = range(len(after) // 3, min(len(after), len(name)) + 1)
    start = next((start for start in starts if name[:start].casefold() == before), None)
    end = next((len(name) - end for end in ends if name[len(name) - end :].casefold() == after), None)
    return None if start is None or end is None or end < start else name[start:end]


def _quirks(route: Quirks) -> Quirks:
    return Quirks(**{name: getattr(route, name) for name in Quirks.__struct_fields__})


def _observers(route: Route) -> tuple[ObserverTerms, ...]:
    return tuple(
        ObserverTerms(
            central_system=also.central_system,
            role=ObserverRole(also.role),
            commands=frozenset(also.commands),
            id_tag=also.id_tag,
            actions=frozenset(also.actions),
        )
        for also in route.also
    )


def _route(route: Any) -> RouteRule:
    return RouteRule(
        charge_point=route.charge_point,
        central_system=route.central_system,
        tenant=tenants.named(route.tenant),
        strict=route.tolerance == "strict",
        emulate_trigger=route.emulate_trigger,
        infer_status=route.infer_status,
        listed_only=route.accept == "listed",
        central_system_identity=route.central_system_identity,
        heartbeat_max=route.heartbeat_max,
        command_timeout=route.command_timeout,
        wake_url=route.wake_url,
    )
