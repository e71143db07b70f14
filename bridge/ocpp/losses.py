"""Losses: every value that the bridge dropped, altered or assumed in a message (DESIGN section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

# The most Losses of one message. The last one counts all further kinds of loss.
_MOST = 20
_INDEX = re.compile(r"\[[0-9]+\]")


class LossReason(StrEnum):
    """The reason why a value differs from what its sender wrote. docs/losses.md has these lines."""

    UNKNOWN_FIELD = "a field that OCPP 1.6 does not know is dropped"
    EMPTY_OPTIONAL = "an empty optional part is read as absent"
    EMPTY_LIST = "SOAP cannot tell an empty list from an absent one: it arrives as absent"
    MARKUP_AS_TEXT = "XML elements inside a text field are kept as their source text"
    NOT_TEXT = "a JSON value that is not text, in a text field, is kept as its JSON source text"
    OLDER_NAME = "a field under the name that it has in another version of OCPP is read"
    SENDERS_NAMESPACE = "a request in the namespace of its sender's service is read as in that of the called one"
    CONVERTED = "a JSON text where a number or truth value belongs, or one item where a list belongs, is read as that"
    MISNAMED = "a name in another letter case, or an attribute with a prefix, is read as the one that OCPP knows"
    ASSUMED_ZONE = "a time stamp without a zone is taken as UTC, or as in the zone that the route assumes"
    RESPELLED_TIME = "a time stamp in another form of ISO 8601 is written as in RFC 3339"
    WHOLE_NUMBER = "a fraction of a whole number is rounded, that of a meter value towards zero"
    ROUNDED = "a charging limit with more than one fraction digit is rounded down to one, a minChargingRate up"
    REPEATED = "of an element that may stand once, the last is kept"
    RESPELLED_UNIT = "a unit that the other side spells otherwise is respelled (Celsius, Celcius, Amp, Volt)"
    NOT_IN_VERSION = "a field, or a value of it, that the older version does not have is dropped"
    COLLAPSED = "a value that the other version does not have becomes the nearest one that it has"
    OCCUPIED = "Occupied becomes Charging, Finishing or Preparing by what is known of transactions on the connector"
    CONNECTOR_ZERO = "OCPP 1.6 knows no Occupied or Reserved of the whole Charge Point: Available"
    UNKNOWN_VALUE = "a word outside its enumeration is dropped, and a sampled value that it qualifies with it"
    UNKNOWN_AS_OTHER = "a word outside its enumeration becomes Other, or OtherError"
    UNREADABLE = "an optional part that cannot be read, or does not fit its place, is dropped"
    INCOMPLETE = "an optional part that lacks what it must have is dropped"
    MISLEADING = "a sampled value is dropped whose unknown parts may change what it says"
    SIBLING_SHAPE = "meter values that are written as in another version of OCPP are read as they are written there"
    NO_READINGS = "a MeterValues without a value that can be used is answered here"
    ASSUMED_STATUS = (
        "the status that a StartTransaction.conf lacks is that of the last Authorize.conf for the idTag, else Invalid"
    )
    TRUNCATED = "a descriptive text that is longer than OCPP 1.6 allows is cut"
    OVERLONG = "an optional descriptive text that is longer than OCPP 1.6 allows is dropped (overlong = drop)"
    FRACTION = "fractions of a second are left out for a Charge Point that cannot read them (fractions = false)"
    DROPPED_READING = "a measured value that the older version has no words for is dropped"
    WHOLE_WATT_HOURS = "energy is a whole number of Wh in OCPP 1.2: a fraction is rounded"
    UNGROUPED = "which values stood together in one transactionData is lost"
    ASSUMED_TIME = "OCPP 1.2 may leave out the current time: that of the bridge is taken"
    ASSUMED_INTERVAL = "OCPP 1.2 may leave out the interval: 300 seconds if accepted, else the Charge Point's choice"
    ANSWERED_HERE = "a message that the other version cannot carry is answered in its receiver's place"
    MORE = "of more than 20 kinds of loss in one message, the further ones are only counted"
    REPLAYED = "what a Charge Point last said is sent again in its name, to a Central System that has not heard it"
    HEARTBEAT = "a Heartbeat is sent in the name of a JSON Charge Point whose Pings take its place"
    CAPPED_INTERVAL = "a heartbeat interval that is longer than heartbeat_max is shortened to it"
    SAID_AGAIN = "what a Charge Point last said is sent again in its name, for a TriggerMessage that its version lacks"
    INFERRED_STATUS = "Charging or Finishing is sent in the name of a Charge Point that only says Occupied"
    POLICY_ANSWERS = "a policy answers a message in its receiver's place"
    POLICY_REFUSES = "a policy refuses a message"
    POLICY_DROPS = "a policy drops an optional field"
    POLICY_DELAYS = "a policy delays a message"
    NO_TRANSACTION_THERE = "a message about a transaction that a further Central System has not named is not sent to it"


class Loss(Struct, frozen=True, kw_only=True):
    """A value that was dropped, altered or assumed.

    Attributes:
        message: The name of the PDU.
        path: The first place of the loss, in the names of the wire (`meterValue[0].timestamp`). An empty path is the
            message itself.
        reason: The reason.
        count: The number of places, which differ only in the indexes of lists.
    """

    message: str
    path: str
    reason: LossReason
    count: int = 1

    @property
    def where(self) -> str:
        """Return the name of the PDU with the path."""
        return f"{self.message}.{self.path}" if self.path else self.message

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" + (f" ({self.count} times)" if self.count > 1 else "")


# Key: the PDU, the path with empty brackets, and the reason. Value: the first path, its indexes, and the count.
Kept = dict[tuple[str, str, LossReason], tuple[str, Sequence[int], int]]


class Losses:
    """Collects the Losses of one message.

    The size is bounded for any message: one Loss for each reason and each path without indexes, and at most 20 Losses.
    """

    __slots__ = ("_is_marked", "_kept")

    def __init__(self) -> None:
        self._kept: Kept = {}
        # True after `mark`: the present dict must not be changed, because `back_to` may restore it.
        self._is_marked = False

    def add(self, message: str, path: str, reason: LossReason, count: int = 1, indexes: Sequence[int] = ()) -> None:
        """Add a loss, or `count` losses of the same kind.

        Args:
            message: The name of the PDU.
            path: The place in the PDU, in the names of the wire.
            reason: The reason.
            count: The number of places.
            indexes: The indexes for the empty brackets of `path`. With them, the items of a list share one path text.
        """
        if self._is_marked:
            self._kept, self._is_marked = self._kept.copy(), False
        kept = self._kept
        key = message, path, reason
        if (before := kept.get(key)) is not None:
            kept[key] = before[0], before[1], before[2] + count
            return
        if "[" in path:
            key = message, _INDEX.sub("[]", path), reason
        if key not in kept and len(kept) >= _MOST - 1:
            key, path = (message, "", LossReason.MORE), ""
        before = kept.get(key)
        kept[key] = (path, (*indexes,), count) if before is None else (before[0], before[1], before[2] + count)

    def mark(self) -> Kept:
        """Return the present content, for `back_to`."""
        self._is_marked = True
        return self._kept

    def back_to(self, mark: Kept) -> None:
        """Remove all losses since `mark`: they were in a part that is dropped, and the drop is one Loss."""
        self._kept, self._is_marked = mark, True

    def all(self) -> tuple[Loss, ...]:
        """Return the Losses in the order in which they were first added."""
        return tuple(
            [
                Loss(message=message, path=filled(path, indexes), reason=reason, count=count)
                for (message, _, reason), (path, indexes, count) in self._kept.items()
            ]
        )


class FieldsLost:
    """Collects the Losses of one message during a walk through its data.

    Attributes:
        losses: The Losses.
        indexes: The indexes of the list items around the present value. The walk gives paths with empty brackets.
    """

    __slots__ = ("_message", "indexes", "losses")

    def __init__(self, message: str) -> None:
        self.losses = Losses()
        self.indexes: list[int] = []
        self._message = message

    def __call__(self, path: str, reason: LossReason, count: int = 1) -> None:
        self.losses.add(self._message, path, reason, count, self.indexes)


def filled(path: str, indexes: Sequence[int]) -> str:
    """Return `path` with `indexes` in its empty brackets, in order."""
    for index in indexes:
        path = path.replace("[]", f"[{index}]", 1)
    return path


def merged(*parts: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the Losses of several steps of converting the same message."""
    if not any(parts):
        return ()
    losses = Losses()
    for part in parts:
        for loss in part:
            losses.add(loss.message, loss.path, loss.reason, loss.count)
    return losses.all()
