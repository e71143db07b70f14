"""From what is configured to how a Charge Point is treated: the keys of its Route, and of the packs that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from bridge.config import Match, Pack, Quirks, zone_of
from bridge.ocpp.manners import Boot, Manners, Overlong


def manners_of(said: Sequence[Quirks]) -> Manners:
    """Of each key the first that says something counts."""
    return _manners_of(tuple(said))


@lru_cache
def _manners_of(said: tuple[Quirks, ...]) -> Manners:
    found: dict[str, Any] = {}
    for quirks in said:
        for name, value in keys_of(quirks).items():
            found.setdefault(name, value)
    if "overlong" in found:
        found["overlong"] = Overlong(found["overlong"])
    if "assumed_zone" in found:
        found["assumed_zone"] = zone_of(found["assumed_zone"])
    if "soap11" in found:
        found["answers_soap11"] = found.pop("soap11") == "answer"
    return Manners(**found)


def keys_of(quirks: Quirks) -> dict[str, Any]:
    """What `quirks` says, by key."""
    values = ((name, getattr(quirks, name)) for name in Quirks.__struct_fields__)
    return {name: value for name, value in values if value is not None}


def fitting(packs: Sequence[Pack], boot: Boot | None) -> list[Pack]:
    """The packs for a Charge Point that says `boot` of itself; none as long as it has not said anything."""
    return [] if boot is None else [pack for pack in packs if _fits(boot, pack.match)]


def _fits(boot: Boot, match: Match) -> bool:
    said = ((boot.vendor, match.vendor), (boot.model, match.model), (boot.firmware, match.firmware))
    return all(fnmatchcase(text.strip().casefold(), glob.strip().casefold()) for text, glob in said)
