"""Print who may send what to whom: for each route the actions of each party, and the policies that apply to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import cache

from bridge.config import Policy, Route, Settings
from bridge.gateway.services import Services, load_services
from bridge.ocpp import tenants
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party

_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_TITLES = {Party.CHARGE_POINT: "the Charge Point sends", Party.CENTRAL_SYSTEM: "the Central System sends"}
_OLDER = ("1.5", "1.2")
_WIDTH = 30


def lines_of(settings: Settings) -> Iterator[str]:
    """Yield the lines of the matrix for a valid configuration."""
    services = dict(zip((Party.CHARGE_POINT, Party.CENTRAL_SYSTEM), load_services(settings.soap[0].wsdl), strict=True))
    for route in settings.routes:
        protocol = settings.central_systems[route.central_system].protocol
        yield ""
        whose = f" of the tenant {route.tenant}" if tenants.named(route.tenant) else ""
        yield f"{route.charge_point}{whose} -> {route.central_system} ({protocol})"
        for party, title in _TITLES.items():
            yield f"  {title}"
            for action in ACTIONS.values():
                if party in action.senders:
                    notes = _notes(settings, route, party, action.name, services[party])
                    yield f"    {action.name:{_WIDTH}}{'; '.join(notes)}".rstrip()
            yield from _others(settings, route, party, protocol)
        yield from _further(settings, route)


def _further(settings: Settings, route: Route) -> Iterator[str]:
    """Yield the lines about the further Central Systems of a route."""
    for also in route.also:
        yield f"  also -> {also.central_system} ({settings.central_systems[also.central_system].protocol}, {also.role})"
        yield f"    {'gets':{_WIDTH}}{_listed(also.actions)}"
        yield f"    {'may send':{_WIDTH}}{_listed(also.commands)}"


def _listed(actions: Sequence[str]) -> str:
    return "every action" if "*" in actions else ", ".join(actions) or "nothing"


def _others(settings: Settings, route: Route, party: Party, protocol: str) -> Iterator[str]:
    """Yield the lines about actions that OCPP 1.6 over SOAP does not have."""
    if protocol != "ocpp1.6j":
        return
    for name in sorted(SECURITY_EXTENSIONS):
        if notes := _of_policies(settings, route, party, name):
            yield f"    {name:{_WIDTH}}{'; '.join(notes)}"
    text = "passes unread if the Charge Point speaks JSON, else it is answered NotSupported"
    yield f"    {'any other action':{_WIDTH}}{text}"


def _notes(settings: Settings, route: Route, party: Party, action: str, services: Services) -> list[str]:
    """Return what limits an action on a route: the version of the Central System, and policies."""
    system = settings.central_systems[route.central_system]
    version = system.protocol.removeprefix("ocpp")[:-1]
    if action not in services[version].operations:
        return [f"OCPP {version} does not have it"]
    notes = _of_policies(settings, route, party, action)
    lacking = [older for older in _OLDER if action not in services[older].operations]
    if version == "1.6" and lacking and party is Party.CENTRAL_SYSTEM:
        notes.append(f"answered in the place of Charge Points of OCPP {' and '.join(lacking)}, which lack it")
    return notes


def _of_policies(settings: Settings, route: Route, party: Party, action: str) -> list[str]:
    """Return what the policies do with an action, up to the first policy that takes every Charge Point of the route."""
    notes = []
    for index, policy in enumerate(settings.policies):
        if (policy.sender, policy.action) != (party.value, action):
            continue
        if policy.central_system not in ("", route.central_system) or not meet(policy.charge_point, route.charge_point):
            continue
        if not tenants.takes(policy.tenant, tenants.named(route.tenant)):
            continue
        covers = policy.charge_point.casefold() in ("*", route.charge_point.casefold())
        of_some = "" if covers else f" for {policy.charge_point}"
        notes.append(f"{_done(policy)}{of_some} (policies[{index}])")
        if covers:
            break
    return notes


def _done(policy: Policy) -> str:
    match policy.do:
        case "answer":
            return "answered by the bridge"
        case "refuse":
            return f"refused with {policy.code or 'NotSupported'}"
        case "drop_field":
            return f"passed on without {policy.field}"
    return f"delayed by {policy.seconds:g} s"


def meet(one: str, other: str) -> bool:
    """Return whether an identity exists that two globs match, letter case aside."""
    first, second = (_TOKEN.findall(glob.casefold()) for glob in (one, other))

    @cache
    def can(i: int, j: int) -> bool:
        """Return whether a text exists that the rest of both globs matches."""
        left, right = first[i : i + 1], second[j : j + 1]
        if left and left[0][0] == "*":
            return can(i + 1, j) or (bool(right) and can(i, j + 1))
        if right and right[0][0] == "*":
            return can(i, j + 1) or (bool(left) and can(i + 1, j))
        if not left or not right:
            return not left and not right
        return _share(left[0], right[0]) and can(i + 1, j + 1)

    return can(0, 0)


def _share(one: str, other: str) -> bool:
    """Return whether two tokens of globs, each of which stands for one character, match the same character."""
    patterns = [re.compile(translate(token)) for token in (one, other)]
    candidates = {*map(chr, range(32, 384)), *one, *other}
    return any(all(pattern.match(char) for pattern in patterns) for char in candidates)
