"""Convert meter values of any form to the form of OCPP 1.6. The versions write meter values in three forms.

1.6   meterValue{timestamp, sampledValue{value, context, ..., phase}}    StopTransaction: transactionData is meterValue
1.5   values{timestamp, value}, a text with attributes                   StopTransaction: transactionData{values}
1.2   values{timestamp, value}, one whole number

Devices mix the forms: the form of one version in the namespace of another, child elements in place of attributes, a
`value` inside a `value`. Each level is found by the names that any version has for it. Input and output are plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.ocpp.leaves import source_of
from bridge.ocpp.losses import LossReason
from bridge.ocpp.shapes import TEXT

Record = dict[str, Any]
Lose = Callable[[str, LossReason], None]

FIELDS = {"MeterValuesRequest": "meterValue", "StopTransactionRequest": "transactionData"}
"""The field of 1.6 with the meter values, by PDU."""
GROUPS = frozenset({"metervalue", "values", "transactiondata"})
"""The names of a group of values at one point in time, in lower case."""
SAMPLES = frozenset({"sampledvalue", "value"})
"""The names of one value in a group, in lower case."""
QUALIFIERS = ("context", "format", "measurand", "phase", "location", "unit")
"""The fields that give a value its meaning (7.43)."""
FACTORS = frozenset({"multiplier", "scale", "scaler", "scaling", "factor", "exponent"})
"""The names of a factor by which a value must be multiplied, in later versions of OCPP and from some vendors."""
# The fields that apply to every value of the group, or of the transactionData, in which they are.
_FOR_EACH = frozenset(QUALIFIERS) | FACTORS
_ONE_GROUP = SAMPLES | {"timestamp"}
# The PDUs that have nothing but meter values, so that a unit in them can only be that of the values.
_MEANT_FOR_ALL = frozenset({"MeterValuesRequest"})

_NOTHING: Record = {}


class Repeated(list[Any]):
    """The contents of several XML elements of one unknown name. Each element is a Loss."""


def sixteen(data: Mapping[str, Any], message: str, version: str, lose: Lose) -> Record:
    """Return `data` of the PDU `message` with its meter values in the form of 1.6.

    Args:
        data: Plain data with the leaves of the wire.
        message: A PDU of `FIELDS`. The data of any other PDU is returned unchanged.
        version: The version of OCPP that the message claims to have.
        lose: Called when the form is that of another version, and for each loss of the conversion.
    """
    field = FIELDS.get(message)
    if field is None:
        return dict(data)
    found = [name for name in data if name.lower() in GROUPS]
    record = {name: value for name, value in data.items() if name not in found}
    reading = _Reading(version, field, lose)
    if found:
        beside = {name: data[name] for name in data if name.lower() in _FOR_EACH} if message in _MEANT_FOR_ALL else {}
        record = {name: value for name, value in record.items() if name not in beside}
        groups = [group for name in found for group in reading.groups(name, data[name], beside)]
    elif message in _MEANT_FOR_ALL and {"timestamp"} < {name.lower() for name in data} & _ONE_GROUP:
        # One group that stands in the message itself.
        flat = {name: record.pop(name) for name in data if name.lower() in _ONE_GROUP | _FOR_EACH}
        groups = reading.groups("", flat, _NOTHING)
    else:
        return record
    if groups or not reading.has_lost:
        record[field] = groups
    return record


class _Reading:
    """The conversion of one message."""

    def __init__(self, version: str, field: str, lose: Lose) -> None:
        self._is_sixteen = version == "1.6"
        self._is_number = version == "1.2"
        self._field = field
        self._lose = lose
        # The names that the claimed version has for each level. OCPP 1.2 has no transactionData.
        self._root = field if self._is_sixteen or (version, field) == ("1.5", "transactionData") else "values"
        self._is_wrapped = (version, field) == ("1.5", "transactionData")
        self._sample = "sampledValue" if self._is_sixteen else "value"
        self._usual = {"timestamp", self._sample}  # the only fields of nearly every group
        self._is_told = False
        self.has_lost = False  # a group without a value

    def groups(self, name: str, value: Any, beside: Record) -> list[Any]:
        """Return the groups in the field `name` of the message. What is `beside` it applies to each value."""
        if name != self._root or beside:
            self._foreign()
        items = [{**beside, **item} if beside and isinstance(item, dict) else item for item in _listed(value)]
        wrappers = [_inner(item) if type(item) is dict and item.keys() - self._usual else None for item in items]
        if self._is_wrapped and sum(map(bool, wrappers)) > 1:
            self._lose(name, LossReason.UNGROUPED)
        return [group for at, item in enumerate(items) for group in self._flat(item, wrappers[at], f"{name}[{at}]")]

    def _flat(self, item: Any, inner: list[Any] | None, path: str) -> list[Any]:
        """Return the groups in one item: the item itself, or the groups that it holds."""
        if inner is not None:
            if not self._is_wrapped:
                self._foreign()
            if not inner:
                self._nothing_in(path)
            beside = {name: item[name] for name in item if name.lower() in _FOR_EACH}
            groups = [self._group({**beside, **group} if isinstance(group, Mapping) else group) for group in inner]
            if groups and isinstance(groups[0], dict):  # unknown fields stay, so that the tolerance reports them
                others = {name: item[name] for name in item if name.lower() not in GROUPS | _FOR_EACH}
                groups[0] = {**others, **groups[0]}
            return groups
        if self._is_wrapped and (item is None or item in ("", {})):  # valid in 1.5, with no form in 1.6
            self._nothing_in(path)
            return []
        if self._is_wrapped:
            self._foreign()
        return [self._group(item)]

    def _group(self, item: Any) -> Any:
        if type(item) is not dict:
            return item
        if self._sample in item and item.keys() <= self._usual:
            group = {**item}
            group["sampledValue"] = [self._sampled(sample, _NOTHING) for sample in _listed(group.pop(self._sample))]
            return group
        found = [name for name in item if name.lower() in SAMPLES]
        # Qualifiers and factors may be beside the values to which they apply.
        beside = {name: item[name] for name in item if name.lower() in _FOR_EACH} if found else {}
        group = {name: value for name, value in item.items() if name not in found and name not in beside}
        if beside or any(name != self._sample for name in found):
            self._foreign()
        if found:
            samples = [sample for name in found for sample in _listed(item[name])]
            group["sampledValue"] = [self._sampled(sample, beside) for sample in samples]
        return group

    def _sampled(self, item: Any, beside: Record) -> Any:
        if type(item) is dict and not beside and TEXT not in item and type(item.get("value")) is not dict:
            return {**item}
        if not isinstance(item, Mapping):
            if item is None or isinstance(item, list | tuple):
                return item
            if self._is_sixteen:
                self._foreign()
            return {**beside, "value": _source(item).strip() if self._is_number else _source(item)}
        sample = {**beside, **item}
        text = sample.pop(TEXT, None)
        if text is not None and ("value" not in sample or text.strip()):
            sample["value"] = text
        inner = sample.get("value")
        if isinstance(inner, Mapping) and (TEXT in inner or any(name.lower() == "value" for name in inner)):
            self._foreign()
            del sample["value"]
            return self._sampled(inner, sample)
        return sample

    def _nothing_in(self, path: str) -> None:
        self.has_lost = True
        self._lose(path, LossReason.EMPTY_OPTIONAL)

    def _foreign(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._lose(self._field, LossReason.SIBLING_SHAPE)


def _inner(item: Mapping[str, Any]) -> list[Any] | None:
    """Return the groups inside an item, or None for an item without groups."""
    found = [name for name in item if name.lower() in GROUPS]
    return [group for name in found for group in _listed(item[name])] if found else None


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [*value]
    return [] if value is None or value in ("", {}) else [value]


def _source(value: Any) -> str:
    """Return the text of a value that is no record."""
    return value if isinstance(value, str) else source_of(value)
