"""The order of a list of Charge Points. No I/O."""

from __future__ import annotations

from msgspec import Struct

from bridge.admin.operations import ListPlace


class Entry(Struct, frozen=True, order=True):
    """A Charge Point in an ordered list, which comes before all that are greater.

    Attributes:
        missing: Whether it has no value to be sorted by. These come last in both directions.
        value: The value to be sorted by, None if it is missing.
        key: The casefolded key.
    """

    missing: bool
    value: float | str | tuple[str, ...] | None
    key: str


def placed(value: float | str | tuple[str, ...] | None, key: str, *, descending: bool) -> Entry:
    """Return the entry of a Charge Point.

    Args:
        value: The value to be sorted by, None if it is missing.
        key: The casefolded key.
        descending: Whether the greatest value comes first.
    """
    return Entry((value is None) is not descending, value, key)


def entry_at(place: ListPlace, *, descending: bool) -> Entry:
    """Return the entry at a place."""
    value = tuple(place.value) if isinstance(place.value, list) else place.value
    return placed(value, place.key, descending=descending)
