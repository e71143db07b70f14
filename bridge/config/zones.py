"""Parse the time zone that is assumed for timestamps without one: UTC, an offset, or the name of a zone."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


def zone_of(text: str) -> tzinfo:
    """Return the zone for `UTC`, `+01:00`, or a name in the machine's time zone database. Raises ValueError."""
    if text == "UTC":
        return UTC
    match = _OFFSET.fullmatch(text)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder of the database is no zone
        raise ValueError(text) from error
