"""Convert points in time of real peers to the form of the model (OCPP 1.6 edition 2, 3.14 and 3.15).

All calendar forms of ISO 8601 are read: with and without hyphens and colons, without seconds or minutes, with a
fraction of the last unit, with an offset of hours only. Week dates and ordinal dates are not read.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from bridge.ocpp.losses import LossReason

# The forms of XML Schema and RFC 3339. Many peers write a blank for the T, or no colon in the offset; that is no Loss.
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?\Z"
)
_ANY = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2}))?)?(?:[.,](?P<fraction>[0-9]+))?)?"
    # java.time appends the name of the zone to the offset, as RFC 9557 has it. The offset is enough.
    r"(?:(?P<zone>[Zz]|[+\u2212-][0-9]{2}(?::?[0-9]{2})?)(?:\[[^\[\]]{1,64}\]){0,4})?\Z"
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def read_time(text: str, zone: tzinfo, *, day_alone: bool) -> tuple[str, LossReason | None] | None:
    """Return the point in time in `text` in UTC with every fraction digit, and the reason of the Loss, if any.

    Args:
        text: The text. White space around it is ignored (quirk 37).
        zone: The zone of a time without a zone.
        day_alone: A date without a time is read as the start of the day.

    Returns:
        None if `text` is no point in time.
    """
    text = text.strip()
    if (usual := _USUAL.match(text)) is not None and (time := _usually(text, usual, zone)) is not None:
        return time
    match = _ANY.match(text)
    if match is None or (match["hour"] is None and not day_alone):
        return None
    try:
        moment, fraction = _local(match)
        moment -= _offset(match["zone"]) if match["zone"] else _offset_of(zone, moment)
    except (ValueError, OverflowError):  # the day, the hour or the zone does not exist
        return None
    reason = None if usual is not None else LossReason.RESPELLED_TIME
    return f"{_written(moment)}{fraction}Z", reason if match["zone"] else LossReason.ASSUMED_ZONE


def _usually(text: str, match: re.Match[str], zone: tzinfo) -> tuple[str, LossReason | None] | None:
    """Return the result of `read_time` for a usual form, in fewer steps. None for a text that needs all steps."""
    fraction, offset = match.groups("")
    try:
        moment = datetime.fromisoformat(text[:19])
        moment -= _offset(offset) if offset else _offset_of(zone, moment)
    except (ValueError, OverflowError):
        return None
    return f"{_written(moment)}{fraction}Z", None if offset else LossReason.ASSUMED_ZONE


def _written(moment: datetime) -> str:
    """Return `moment` to the second, without its zone. strftime differs for early years in Python 3.11 to 3.13."""
    return moment.isoformat()[:19]


def _local(match: re.Match[str]) -> tuple[datetime, str]:
    """Return the local time to the second, and the fraction of the second as text. Raises ValueError."""
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    digits = match["fraction"] or ""
    last = next((name for name in _SECONDS if match[name] is not None), "second")
    more, fraction = timedelta(), f".{digits}" if digits else ""
    if digits and last != "second":
        exact = Decimal(f"0.{digits[:40]}") * _SECONDS[last]
        more = timedelta(seconds=int(exact))
        left = f"{exact % 1:f}".partition(".")[2].rstrip("0")
        fraction = f".{left}" if left else ""
    if hour == 24:  # XML Schema 1.1 part 2, 3.3.7: the first instant of the next day
        if minute or second or digits.strip("0"):
            raise ValueError("nothing comes after 24:00")
        hour, more = 0, timedelta(days=1)
    if second == 60:  # a leap second
        second, more = 59, timedelta(seconds=1)
    day = int(match["year"]), int(match["month"]), int(match["day"])
    return datetime(*day, hour, minute, second, tzinfo=UTC) + more, fraction


def _offset(zone: str) -> timedelta:
    if zone in "Zz":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:  # RFC 3339 section 5.6
        raise ValueError("there is no such zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return offset if zone[0] == "+" else -offset


def _offset_of(zone: tzinfo, local: datetime) -> timedelta:
    """Return the offset of `zone` from UTC at the local time, in whole minutes."""
    offset = local.replace(tzinfo=zone).utcoffset() or timedelta()
    return timedelta(minutes=int(offset.total_seconds()) // 60)
