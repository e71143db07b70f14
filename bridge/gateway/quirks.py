"""Build a DeviceProfile from the configuration: the quirks of a Route and of the packs that match."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from bridge.config import Match, Pack, Quirks, zone_of
from bridge.ocpp.device_profile import Boot, DeviceProfile, Overlong, UnknownValues


def profile_of(said: Sequence[Quirks]) -> DeviceProfile:
    """Return the DeviceProfile for `said`. For each key, the first Quirks that sets the key decides its value."""
    return _profile_of(tuple(said))


@lru_cache
def _profile_of(said: tuple[Quirks, ...]) -> DeviceProfile:
    found: dict[str, Any] = {}
    for quirks in said:
        for name, value in keys_of(quirks).items():
            found.setdefault(name, value)
    if "overlong" in found:
        found["overlong"] = Overlong(found["overlong"])
    if "unknown_values" in found:
        found["unknown_values"] = UnknownValues(found["unknown_values"])
    if "assumed_zone" in found:
        found["assumed_zone"] = zone_of(found["assumed_zone"])
    if "soap11" in found:
        found["answers_soap11"] = found.pop("soap11") == "answer"
    return DeviceProfile(**found)


def keys_of(quirks: Quirks) -> dict[str, Any]:
    """Return the keys that `quirks` sets, with their values."""
    values = ((name, getattr(quirks, name)) for name in Quirks.__struct_fields__)
    return {name: value for name, value in values if value is not None}


def fitting(packs: Sequence[Pack], boot: Boot | None) -> list[Pack]:
    """Return the packs that match `boot`. Returns none if the Charge Point has not sent a BootNotification."""
    return [] if boot is None else [pack for pack in packs if _fits(boot, pack.match)]


def _fits(boot: Boot, match: Match) -> bool:
    said = ((boot.vendor, match.vendor), (boot.model, match.model), (boot.firmware, match.firmware))
    return all(fnmatchcase(text.strip().casefold(), glob.strip().casefold()) for text, glob in said)
