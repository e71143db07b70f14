"""Tolerance: convert messages of real peers, which deviate from the specification, to valid data of the model.

The code walks once through plain data (dicts, lists, leaves) along a Shape, the same way for both wires. Each value
that is dropped, altered or assumed is a Loss. An optional value at fault is dropped alone. A required value at fault
drops the smallest optional part around it. Without such a part, the value stays, and `validation` reports the error.

In a request of a Central System, absence has a meaning. So only unknown fields and empty values are dropped there. Any
other fault refuses the request, and the Central System receives the error at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache, partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.device_profile import PLAIN, DeviceProfile, Overlong, UnknownValues
from bridge.ocpp.leaves import How, LeafFault, Unfit, WrittenNumber, read_leaf, source_of
from bridge.ocpp.losses import FieldsLost, Loss, LossReason, filled
from bridge.ocpp.messages import MeterValuesRequest
from bridge.ocpp.readings import FACTORS, QUALIFIERS, SAMPLES, Repeated, sixteen
from bridge.ocpp.shapes import Field, Kind, Shape, shape_of
from bridge.ocpp.types import SampledValue
from bridge.ocpp.validation import record_of

R = TypeVar("R", bound=Struct)
Mended = tuple[dict[str, Any], tuple[Loss, ...]]

# The fields in which an empty text has a meaning: a configuration key with an empty value (quirk 26).
_MEANINGFUL_WHEN_EMPTY = frozenset({("KeyValue", "value")})
# The requests in which an absent part has a larger effect than an empty one. Without the part, they delete a driver,
# clear every profile or start without a limit. The Central System must have intended that.
_ABSENCE_MATTERS = frozenset(
    {
        *("ClearChargingProfileRequest", "RemoteStartTransactionRequest"),
        *("SendLocalListRequest", "SetChargingProfileRequest"),
    }
)
# The lists that change their meaning without one of their items: each period lasts until the next begins (C 7.14).
_WHOLE_LISTS = frozenset({"chargingSchedulePeriod"})
# The value that replaces a value which OCPP 1.6 does not have, where the enumeration has such a value.
_OTHERS = {
    ("SampledValue", "context"): "Other",
    ("StopTransactionRequest", "reason"): "Other",
    ("StatusNotificationRequest", "errorCode"): "OtherError",
}
_VENDOR_CODE_LIMIT = 50
# The qualifiers that change the meaning of a value. A context only gives the reason of the reading.
_MEANING = tuple(name for name in QUALIFIERS if name != "context")
_NEUTRAL = frozenset({"", "none", "null"})
_TEXTS = frozenset({Kind.TEXT, Kind.LONG_TEXT})
_CONTAINERS = frozenset({dict, list, Repeated})
# The error text for a Central System's request, for reasons other than a value that does not fit.
_REFUSED: Mapping[LossReason | None, str] = {
    LossReason.EMPTY_OPTIONAL: "empty; in this request it has to have a value, or to be left out",
    LossReason.INCOMPLETE: "required, and missing",
}


class ToleranceReading(Struct, frozen=True, kw_only=True):
    """The settings for reading a message.

    Attributes:
        typed: Values have types, as in JSON.
        command: The message is a request of a Central System.
        profile: The settings for the Charge Point.
    """

    typed: bool
    command: bool = False
    profile: DeviceProfile = PLAIN


class Passed(str):
    """A value outside its enumeration that is passed unchanged (`unknown_values = "pass"`)."""

    __slots__ = ()


_ABSENT = object()


def mend(data: Mapping[str, Any], shape: Shape, message: str, reading: ToleranceReading) -> Mended:
    """Convert `data` of the PDU `message` to valid data as far as possible. Returns the data and the Losses.

    Args:
        data: Plain data of the wire.
        shape: The Shape of the PDU.
        message: The name of the PDU.
        reading: The settings for reading the message.

    Raises:
        MessageError: A part of a Central System's request would have to be dropped.
    """
    walk = _Walk(message, reading)
    return walk.message(data, shape), walk.lose.losses.all()


def accepted(mended: Mapping[str, Any], record: type[R]) -> R:
    """Return the record that `mended` describes. Raises MessageError for invalid data.

    A MeterValuesRequest may have no value; `nothing_left` detects that.
    """
    if record is MeterValuesRequest and mended.get("meterValue") == []:
        whole = record_of({**mended, "meterValue": _ANY_READINGS}, record)
        return msgspec.structs.replace(whole, meterValue=())
    try:
        return record_of(mended, record)
    except MessageError:  # a Passed value may be the reason
        words: list[tuple[list[str | int], Passed]] = []
        clean = _without_passed(mended, shape_of(record), [], words)
        if not words:
            raise
    made = record_of(clean, record)
    for path, word in words:
        _put(made, path, word)
    return made


_ANY_READINGS = [{"timestamp": "2000-01-01T00:00:00Z", "sampledValue": [{"value": ""}]}]


def absence_matters(message: str) -> bool:
    """Return True if an empty part of `message` must not be taken for an absent one."""
    return message in _ABSENCE_MATTERS


def nothing_left(payload: object) -> bool:
    """Return True for a MeterValues without a value. The bridge answers it, because no peer accepts such a message."""
    return isinstance(payload, MeterValuesRequest) and not payload.meterValue


def _without_passed(data: Any, shape: Shape, path: list[str | int], words: list[tuple[list[str | int], Passed]]) -> Any:
    """Return `data` with any valid value in place of each Passed value. The Passed values are appended to `words`."""
    clean: dict[str, Any] = {}
    for name, value in data.items():
        field = shape.fields[name]
        clean[name] = value
        if isinstance(value, Passed):
            words.append(([*path, name], value))
            clean[name] = next(iter(field.spellings.values()))
        elif field.shape is not None and isinstance(value, Mapping):
            clean[name] = _without_passed(value, field.shape, [*path, name], words)
        elif field.shape is not None and field.many and isinstance(value, list):
            clean[name] = [
                _without_passed(item, field.shape, [*path, name, at], words) if isinstance(item, Mapping) else item
                for at, item in enumerate(value)
            ]
    return clean


def _put(record: Any, path: list[str | int], word: str) -> None:
    for step in path[:-1]:
        record = record[step] if isinstance(step, int) else getattr(record, step)
    msgspec.structs.force_setattr(record, str(path[-1]), str(word))


class _Walk:
    """The conversion of one message."""

    def __init__(self, message: str, reading: ToleranceReading) -> None:
        self.lose = FieldsLost(message)
        self._losses, self._indexes = self.lose.losses, self.lose.indexes
        self._message = message
        self._typed, self._command = reading.typed, reading.command
        self._profile = reading.profile
        self._how = How(
            typed=reading.typed,
            zone=reading.profile.assumed_zone,
            day_alone=message.endswith("Response"),
            exact=reading.command,
        )
        # True if the value in the place of meter values was not understood.
        self._strange = False
        # True if an enumeration value became Other or OtherError.
        self._has_other = False
        # True while a signed sampled value is read.
        self._is_signed = False

    def message(self, data: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
        """Return the converted message."""
        mended, _ = self.record(sixteen(data, self._message, "1.6", self.lose), shape, "")
        if self._message == "MeterValuesRequest" and not mended.get("meterValue"):
            mended.pop("meterValue", None)
            if not self._strange:
                mended["meterValue"] = []
                self.lose("meterValue", LossReason.NO_READINGS)
        if self._message == "StartTransactionResponse":
            self._assume_status(mended)
        return mended

    def record(self, data: Mapping[str, Any], shape: Shape, path: str) -> tuple[dict[str, Any], LeafFault | None]:
        """Return what is left of a record, and the first fault in it that cannot be dropped alone, if any."""
        mended: dict[str, Any] = {}
        fault: LeafFault | None = None
        is_sample = shape.name == "SampledValue"
        self._is_signed = is_sample and _is_signed(data)
        strange = False
        fields, prefix = shape.fields, f"{path}." if path else ""
        for name, value in data.items():
            field = fields.get(name)
            if type(value) is str and field is not None and (0 < len(value) <= field.fits or value in field.words):
                mended[name] = value  # the text needs no conversion
                continue
            place = prefix + name
            if field is None:
                field = self._misnamed(name, data, mended, shape, place)
            if field is None:
                strange = True
                if not path and value and (type(value) in _CONTAINERS or name.lower() in SAMPLES):
                    self._strange = True
                if is_sample and fault is None and not self._is_signed and _misleads(name, value, data):
                    fault = self._fault(LossReason.MISLEADING, place, value)
                self.lose(place, LossReason.UNKNOWN_FIELD, len(value) if type(value) is Repeated else 1)
                continue
            found = self._field(value, field, shape, place)
            if type(found) is LeafFault:
                if field.required or (is_sample and not self._is_signed):
                    fault = fault or found
                    found = found.value
                else:
                    found = self._dropped(found)
            if found is not _ABSENT:
                mended[field.name] = found
        if shape.name == "StatusNotificationRequest":
            self._keep_error_code(data, mended)
        for name in shape.required:
            if name not in mended:
                self._strange = self._strange or (strange and bool(path))
                reason = LossReason.INCOMPLETE if data else LossReason.EMPTY_OPTIONAL
                fault = fault or self._fault(reason, prefix + name, None)
                break
        if fault is not None:
            fault = LeafFault(fault.reason, fault.path, fault.indexes, mended)
        return mended, fault

    def _misnamed(
        self, name: str, data: Mapping[str, Any], mended: Mapping[str, Any], shape: Shape, place: str
    ) -> Field | None:
        """Return the field that `name` stands for in other letter case or in another version, or None.

        The field must be absent under its own name. A name that is not recognised may change a message: the connectorId
        of a ClearChargingProfile limits what is cleared, the unit of a meter value says what it is.
        """
        folded = name.lower()
        other = shape.others.get(folded)
        meant = shape.folded.get(folded) if other is None else other
        if meant is None or meant.name in data or meant.name in mended:
            return None
        self.lose(place, LossReason.MISNAMED if other is None else LossReason.OLDER_NAME)
        return meant

    def _field(self, value: Any, field: Field, shape: Shape, place: str) -> Any:
        """Return the value of the field, _ABSENT, or a LeafFault."""
        if field.many:
            return self._list(value, field, place)
        mark = self._losses.mark()
        if value is None and not self._typed and not self._minds_absence():
            return _ABSENT  # xsi:nil means absent (soap-wire section 6)
        if _is_empty(value, field) and not (value == "" and (shape.name, field.name) in _MEANINGFUL_WHEN_EMPTY):
            return self._fault(LossReason.EMPTY_OPTIONAL, place, value) if field.required else self._empty(place)
        is_reading = field.name == "value" and shape.name == "SampledValue" and not self._is_signed
        if isinstance(value, list | tuple) and len(value) == 1 and (field.kind not in _TEXTS or is_reading):
            value = value[0]
            self.lose(place, LossReason.CONVERTED)
        if is_reading and isinstance(value, Mapping | list | tuple):
            self._strange = True
            self._losses.back_to(mark)
            return self._fault(LossReason.UNREADABLE, place, value)
        found = self._one(value, field, shape, place)
        if type(found) is LeafFault and found.reason is not None:
            self._losses.back_to(mark)
        return found

    def _list(self, value: Any, field: Field, place: str) -> Any:
        items = [*value] if isinstance(value, list | tuple) else [value]
        if not isinstance(value, list | tuple):
            if _is_nothing(value):
                items = []
            else:
                self.lose(place, LossReason.CONVERTED)
        if not items:
            if field.required:
                return self._fault(LossReason.EMPTY_OPTIONAL, place, items)
            # SOAP has no empty list beside an absent one. The SOAP encoder reports that Loss.
            return items if value == [] and not self._minds_absence() else self._empty(place)
        left: list[Any] = []
        fault: LeafFault | None = None
        where, indexes, is_text, may_drop = f"{place}[]", self._indexes, field.kind in _TEXTS, not self._is_whole(field)
        again: dict[LossReason, int] = {}  # for items that are no records: the number after the first, by reason
        indexes.append(0)
        for at, item in enumerate(items):
            indexes[-1] = at
            if may_drop and field.shape is not None and (type(item) is not dict or not item):
                reason = LossReason.EMPTY_OPTIONAL if _is_nothing(item) else LossReason.UNREADABLE
                if reason in again:
                    again[reason] += 1
                else:
                    again[reason] = 0
                    self.lose(where, reason)
                continue
            mark = self._losses.mark()
            if (item is None) if is_text else (not item if type(item) is dict else _is_nothing(item)):
                found: Any = self._fault(LossReason.EMPTY_OPTIONAL, where, item)
            else:
                found = self._one(item, field, None, where)
            if type(found) is LeafFault:
                if may_drop:
                    if found.reason is not None:
                        self._losses.back_to(mark)
                    found = self._dropped(found)
                else:
                    fault = fault or found
                    found = found.value
            if found is not _ABSENT:
                left.append(found)
        for reason, count in again.items():
            self._strange = self._strange or reason is LossReason.UNREADABLE
            if count:
                self.lose(where, reason, count)
        indexes.pop()
        if fault is not None:
            return LeafFault(fault.reason, fault.path, fault.indexes, left)
        if left:
            return left
        return self._fault(None, place, left) if field.required else _ABSENT

    def _one(self, value: Any, field: Field, shape: Shape | None, place: str) -> Any:
        """Return one record or leaf. `shape` is that of the record around it, None for an item of a list."""
        if field.shape is not None:
            if type(value) is not dict:
                self._strange = True
                return self._fault(LossReason.UNREADABLE, place, value)
            mended, fault = self.record(value, field.shape, place)
            return mended if fault is None else fault
        found = read_leaf(value, field, self._how, partial(self.lose, place))
        if type(found) is Unfit:
            if field.kind is Kind.ENUMERATION:
                return self._unknown(found.value, shape, field, place)
            return self._fault(LossReason.UNREADABLE, place, found.value)
        if field.limit is not None and len(found) > field.limit:
            return self._shortened(found, field, shape, place)
        return found

    def _unknown(self, value: Any, shape: Shape | None, field: Field, place: str) -> Any:
        """Return the replacement of a value outside its enumeration, or a LeafFault."""
        policy = self._profile.unknown_values
        if self._command:
            return self._fault(LossReason.UNKNOWN_VALUE, place, value)
        if policy is UnknownValues.REFUSE:
            return value
        other = None if shape is None or self._is_signed else _OTHERS.get((shape.name, field.name))
        if policy is UnknownValues.PASS and isinstance(value, str) and (other is not None or not field.required):
            return Passed(value)
        if other is None:
            return self._fault(LossReason.UNKNOWN_VALUE, place, value)
        self._has_other = True
        self.lose(place, LossReason.UNKNOWN_AS_OTHER)
        return other

    def _shortened(self, value: str, field: Field, shape: Shape | None, place: str) -> Any:
        """Apply the policy for over-long texts (rule 112a). A text that cannot be left out is truncated."""
        if self._profile.overlong is Overlong.ANY:
            self.lose(place, LossReason.TRUNCATED)
            return value[: field.limit]
        if field.names:
            # A truncated idTag would be another driver's. A vendor's message is useless without its name.
            is_driver = field.name in ("idTag", "parentIdTag")
            return self._fault(LossReason.UNREADABLE, place, value) if is_driver else value
        if self._profile.overlong is Overlong.REFUSE:
            return value
        if self._profile.overlong is Overlong.DROP and not field.required and not field.many:
            self.lose(place, LossReason.OVERLONG)
            return _ABSENT
        self.lose(place, LossReason.TRUNCATED)
        return value[: field.limit]

    def _keep_error_code(self, data: Mapping[str, Any], mended: dict[str, Any]) -> None:
        """Put an errorCode that became OtherError into vendorErrorCode, if that field is absent."""
        if self._has_other:
            said = next((value for name, value in data.items() if name.lower() == "errorcode"), None)
            if isinstance(said, int | Decimal):
                said = source_of(said)
            if isinstance(said, str) and "vendorErrorCode" not in mended:
                mended["vendorErrorCode"] = said.strip()[:_VENDOR_CODE_LIMIT]

    def _assume_status(self, mended: dict[str, Any]) -> None:
        """Set the status that C 6.46 requires. The Session replaces it by that of the last Authorize.conf, if known."""
        info = mended.get("idTagInfo")
        info = {} if _is_nothing(info) else info
        if isinstance(info, dict) and _is_nothing(info.get("status")) and "transactionId" in mended:
            mended["idTagInfo"] = {**info, "status": "Invalid"}
            self.lose("idTagInfo.status", LossReason.ASSUMED_STATUS)

    def _is_whole(self, field: Field) -> bool:
        """Return True if no item of the list may be dropped."""
        return self._command or field.name in _WHOLE_LISTS

    def _minds_absence(self) -> bool:
        return self._command and absence_matters(self._message)

    def _empty(self, place: str) -> Any:
        if self._minds_absence():
            where = filled(place, self._indexes)
            raise MessageError(ErrorCode.PropertyConstraintViolation, _REFUSED[LossReason.EMPTY_OPTIONAL], where)
        self.lose(place, LossReason.EMPTY_OPTIONAL)
        return _ABSENT

    def _dropped(self, fault: LeafFault) -> Any:
        if self._command:
            text = _REFUSED.get(fault.reason, "no value that this field can have")
            raise MessageError(ErrorCode.PropertyConstraintViolation, text, filled(fault.path, fault.indexes))
        if fault.reason is not None:
            self._losses.add(self._message, fault.path, fault.reason, 1, fault.indexes)
        return _ABSENT

    def _fault(self, reason: LossReason | None, place: str, value: Any) -> LeafFault:
        value = Decimal(value) if type(value) is WrittenNumber else value
        return LeafFault(reason, place, tuple(self._indexes), value)


def _is_nothing(value: Any) -> bool:
    """Return True for a value that is empty in the place of a record or a list."""
    return value is None or value in ({}, [], ()) or (isinstance(value, str) and not value.strip())


def _is_empty(value: Any, field: Field) -> bool:
    """Return True for a field that is present but empty (quirks 24 to 26).

    White space is a text, but neither a number nor a time. A required text may be empty.
    """
    if field.kind in _TEXTS and isinstance(value, str):
        return not value and not field.required
    return _is_nothing(value)


def _is_signed(sample: Mapping[str, Any]) -> bool:
    """Return True for a signed value, which holds its own qualifiers and is useless after a change."""
    for name in sample:
        if name.lower() == "format":
            said = sample[name]
            said = said[0] if isinstance(said, list) and len(said) == 1 else said
            return isinstance(said, str) and said.strip().lower() == "signeddata"
    return False


def _misleads(name: str, value: Any, sample: Mapping[str, Any]) -> bool:
    """Return True if an unknown part of a sampled value may change the meaning of the value.

    Such a part is a valid value of an absent qualifier (`unti="W"`), or a factor.
    """
    if isinstance(value, Mapping):
        return any(_misleads(inner, within, sample) for inner, within in value.items())
    if isinstance(value, list | tuple):
        return any(_misleads(name, item, sample) for item in value)
    said, folded = str(value).strip().lower(), name.lower()
    if folded in FACTORS:
        # A multiplier is an exponent in OCPP 2 and a factor elsewhere. Neither changes the value with these numbers.
        return said not in _NEUTRAL | ({"0"} if folded in ("multiplier", "exponent") else {"1"})
    meant = _qualified_by().get(said)
    return meant is not None and not meant <= {key.lower() for key in sample}


@cache
def _qualified_by() -> dict[str, frozenset[str]]:
    """Return the names of the qualifiers that have each value, by the value in lower case."""
    found: dict[str, set[str]] = {}
    shape = shape_of(SampledValue)
    for name in _MEANING:
        for word in shape.fields[name].spellings:
            found.setdefault(word, set()).add(name)
    return {word: frozenset(names) for word, names in found.items()}
