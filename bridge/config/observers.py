"""Check the further Central Systems of the routes: that each exists, once, and what it may get and send."""

from __future__ import annotations

from bridge.config.complaints import Complaints, closest, quote, unknown_central_system
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import FurtherCentralSystem, Route, Settings
from bridge.config.tenants import misplaced
from bridge.ocpp.actions import ACTIONS, Party

_ANY = "*"
# OCPP 1.6 edition 2, 7.28: an IdToken has 20 characters.
_LONGEST_TAG = 20
_OLDEST = "ocpp1.2s"


def check_observers(settings: Settings, complaints: Complaints) -> None:
    """Complain about further Central Systems that cannot work."""
    for index, route in enumerate(settings.routes):
        names: list[str] = []
        for number, also in enumerate(route.also):
            path: KeyPath = ("routes", index, "also", number)
            _check_name(path, also.central_system, route, names, settings, complaints)
            names.append(also.central_system)
            _check_actions(path, "actions", also.actions, Party.CHARGE_POINT, complaints)
            _check_actions(path, "commands", also.commands, Party.CENTRAL_SYSTEM, complaints)
            _check_tag(path, also, complaints)


def _check_name(
    path: KeyPath, name: str, route: Route, before: list[str], settings: Settings, complaints: Complaints
) -> None:
    key = (*path, "central_system")
    if complaints.about(key) or complaints.about(("central_systems",)):
        return
    if name not in settings.central_systems:
        complaints.add(key, unknown_central_system(name, settings.central_systems))
    elif name == route.central_system:
        complaints.add(key, f"{quote(name)} is the route's own Central System, which gets every message already")
    elif name in before:
        complaints.add(key, f"{quote(name)} is named twice in this route")
    elif settings.central_systems[name].protocol == _OLDEST:
        complaints.add(key, f"{quote(name)} speaks OCPP 1.2, and a further Central System speaks 1.6 or 1.5")
    elif (
        not complaints.about((*path[:2], "tenant"))
        and (text := misplaced(settings.central_systems[name], name, route.tenant, settings)) is not None
    ):
        complaints.add(key, text)


def _check_actions(path: KeyPath, key: str, names: tuple[str, ...], sender: Party, complaints: Complaints) -> None:
    known = [action.name for action in ACTIONS.values() if sender in action.senders]
    for index, name in enumerate(names):
        place = (*path, key, index)
        if name == _ANY or name in known:
            continue
        if name in ACTIONS:
            complaints.add(place, f"no {sender.value.replace('_', ' ').title()} sends {name}")
        else:
            guess = closest(name, known)
            hint = f", did you mean {guess}?" if guess else ""
            complaints.add(place, f"OCPP 1.6 has no action {quote(name)}{hint}")


def _check_tag(path: KeyPath, also: FurtherCentralSystem, complaints: Complaints) -> None:
    tag = also.id_tag
    if len(tag) > _LONGEST_TAG or not tag.isprintable() or tag != tag.strip():
        complaints.add((*path, "id_tag"), f"expected at most {_LONGEST_TAG} characters, none of them unprintable")
