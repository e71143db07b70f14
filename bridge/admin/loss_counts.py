"""The losses since the start of the bridge by message, field, reason and Central System, with the last Charge Point.

The number of rows is bounded: each field of OCPP may have a row for each reason and Central System, and of the fields
that OCPP does not know, whose names strangers choose, the first ones.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from bridge.admin.facts import moment
from bridge.admin.fleet_facts import LossFact
from bridge.admin.metrics import OTHER, known_fields
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.rpc import CallResult
from bridge.watching.facts import CallEnded, ContentLost, Fact

_MOST_UNKNOWN = 200
_LONGEST = 100
_INDEX = re.compile(r"\[[0-9]+\]")
_PDU = re.compile(r"(Request|Response)$")
# The losses of something that a party wrote wrongly, and that did not arrive for that reason.
DROPPED = frozenset(
    {
        LossReason.UNKNOWN_VALUE,
        LossReason.UNREADABLE,
        LossReason.INCOMPLETE,
        LossReason.MISLEADING,
        LossReason.NO_READINGS,
        LossReason.TRUNCATED,
        LossReason.OVERLONG,
    }
)


class _Row(Struct):
    count: int
    at: float
    identity: str


# The message, the field, the reason, and the name of the Central System at the other end.
_Key = tuple[str, str, LossReason, str]


class LossCounts:
    """Counts losses. `clock` returns the time in unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known = known_fields()
        self._rows: dict[_Key, _Row] = {}
        self._unknown = 0

    def see(self, fact: Fact) -> None:
        """Count the losses of the Fact."""
        match fact:
            case CallEnded(identity, report, central_system):
                if report.call.losses:
                    self._add(identity, report.call.losses, central_system)
                if isinstance(report.answer, CallResult) and report.answer.losses:
                    self._add(identity, report.answer.losses, central_system)
            case ContentLost(identity, losses, central_system):
                self._add(identity, losses, central_system)

    def all(self) -> list[LossFact]:
        """Return all kinds of losses, the most frequent first."""
        rows = sorted(self._rows.items(), key=lambda row: (-row[1].count, row[0]))
        return [
            LossFact(
                action=_PDU.sub("", message),
                message=message,
                field=field,
                reason=reason.value,
                dropped=reason in DROPPED,
                central_system=central_system,
                count=row.count,
                at=moment(row.at),
                identity=row.identity,
            )
            for (message, field, reason, central_system), row in rows
        ]

    def dropped_since(self, seconds: float) -> set[tuple[str, str]]:
        """Return the fields of which something was dropped since `seconds`, in unix time, each with its message."""
        return {
            (message, field)
            for (message, field, reason, _), row in self._rows.items()
            if reason in DROPPED and row.at >= seconds
        }

    def _add(self, identity: str, losses: Iterable[Loss], central_system: str) -> None:
        now = self._clock()
        for loss in losses:
            key = self._key(loss, central_system)
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row(0, now, identity)
            row.count += loss.count
            row.at, row.identity = now, identity

    def _key(self, loss: Loss, central_system: str) -> _Key:
        field = _INDEX.sub("", loss.path) if "[" in loss.path else loss.path
        if field in self._known.get(loss.message, ()):
            return loss.message, field, loss.reason, central_system
        key = loss.message[:_LONGEST], field[:_LONGEST], loss.reason, central_system
        if key in self._rows:
            return key
        if self._unknown >= _MOST_UNKNOWN:
            return OTHER, OTHER, loss.reason, central_system
        self._unknown += 1
        return key
