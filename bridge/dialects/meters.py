"""Meter values, which the three versions write in three ways.

1.6   meterValue{timestamp, sampledValue{value, context, ..., phase}}      children
1.5   values{timestamp, value}                                             a text with attributes; no phase
1.2   values{timestamp, value}                                             one whole number: energy imported, in Wh
"""

from __future__ import annotations

import re
from decimal import Decimal

from bridge.dialects.dialect import AnsweredHere
from bridge.dialects.rules import At, Record, dropped, each, having, renamed, respelled
from bridge.ocpp.losses import Reason
from bridge.ocpp.messages import MeterValuesResponse
from bridge.ocpp.shapes import TEXT

_AMP_AND_VOLT = {"Amp": "A", "Volt": "V"}  # quirk 32
# What OCPP 1.5 has words for. A value that is something else, was taken elsewhere or is in another unit would be taken
# for what it is not, so it is dropped whole; a context says only why it was read.
READINGS_OF_15: dict[str, frozenset[str]] = {
    "measurand": frozenset(
        {
            *("Energy.Active.Export.Register", "Energy.Active.Import.Register"),
            *("Energy.Reactive.Export.Register", "Energy.Reactive.Import.Register"),
            *("Energy.Active.Export.Interval", "Energy.Active.Import.Interval"),
            *("Energy.Reactive.Export.Interval", "Energy.Reactive.Import.Interval"),
            *("Power.Active.Export", "Power.Active.Import", "Power.Reactive.Export", "Power.Reactive.Import"),
            *("Current.Export", "Current.Import", "Voltage", "Temperature"),
        }
    ),
    "location": frozenset({"Inlet", "Outlet", "Body"}),
    "unit": frozenset({"Wh", "kWh", "varh", "kvarh", "W", "kW", "var", "kvar", "A", "V", "Celsius"}),
}
CONTEXTS_OF_15 = frozenset(
    {
        *("Interruption.Begin", "Interruption.End", "Sample.Clock"),
        *("Sample.Periodic", "Transaction.Begin", "Transaction.End"),
    }
)
# The one reading that OCPP 1.2 has, in the words of 1.6; an absent field means the same (7.43). `phase` has no default.
_ENERGY_OF_12 = {"measurand": "Energy.Active.Import.Register", "format": "Raw", "location": "Outlet", "phase": ""}
_WATT_HOURS = {"Wh": 1, "kWh": 1000}
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?)\s*\Z")


def something(record: Record, at: At) -> None:
    """soap-wire 5.1, MeterValues: without a value there is nothing to pass on, and nothing in 1.6 to say it with."""
    if not record.get("meterValue"):
        raise AnsweredHere(MeterValuesResponse(), "a MeterValues without a value is answered here", "values")


def _sayable_in_15(sample: Record, at: At) -> bool:
    for name, words in READINGS_OF_15.items():
        if sample.get(name) is not None and sample[name] not in words:
            at.lose(name, Reason.DROPPED_READING)
            return False
    return True


def _context_of_15(sample: Record, at: At) -> None:
    if sample.get("context") is not None and sample["context"] not in CONTEXTS_OF_15:
        del sample["context"]
        at.lose("context", Reason.NOT_IN_VERSION)


# One meter value, upward and downward.
FROM_15 = (
    each("value", respelled("unit", _AMP_AND_VOLT), renamed(TEXT, "value")),
    renamed("value", "sampledValue"),
)
TO_15 = (
    each(
        "sampledValue",
        respelled("unit", {"Celcius": "Celsius"}, Reason.RESPELLED_UNIT),
        _sayable_in_15,
        _context_of_15,
        dropped("phase"),
        respelled("unit", {new: old for old, new in _AMP_AND_VOLT.items()}),
        renamed("value", TEXT),
    ),
    having("sampledValue"),
    renamed("sampledValue", "value"),
)


def flattened(record: Record, at: At) -> None:
    """soap-wire 5.1, StopTransaction: transactionData holds groups of values in 1.5, and is the values in 1.6."""
    groups = record.pop("transactionData", [])
    if sum(1 for group in groups if group.get("values")) > 1:
        at.lose("transactionData", Reason.UNGROUPED)
    readings = []
    for index, group in enumerate(groups):
        if not group.get("values"):  # valid in 1.5, with no form in 1.6
            at.lose(f"transactionData[{index}]", Reason.EMPTY_OPTIONAL)
        readings += group.get("values", [])
    if readings:
        record["transactionData"] = readings


def grouped(record: Record, at: At) -> None:
    """All values in one group."""
    readings = record.pop("transactionData", None)
    if readings:
        record["transactionData"] = [{"values": readings}]
    elif readings is not None:
        at.lose("transactionData", Reason.EMPTY_LIST)


def from_12(reading: Record, at: At) -> None:
    """The number is the one value, and all its attributes have their defaults, which are never filled in (rule 86)."""
    if "value" in reading:
        reading["sampledValue"] = [{"value": reading.pop("value").strip()}]


def to_12(reading: Record, at: At) -> bool:
    """soap-wire 5.3: of each point in time the first register of imported energy, in whole Wh, and nothing else."""
    register: int | None = None
    for index, sample in enumerate(reading.pop("sampledValue", ())):
        here = at.inside(f"sampledValue[{index}]")
        energy = _watt_hours(sample, here) if register is None else None
        if energy is None:
            here.lose("", Reason.DROPPED_READING)
        else:
            register = energy
    if register is None:
        return False
    reading["value"] = register
    return True


def _watt_hours(sample: Record, at: At) -> int | None:
    """The value of a register of imported energy; None if it is something else or does not fit."""
    factor = _WATT_HOURS.get(sample.get("unit", "Wh"))
    number = _NUMBER.match(sample["value"])
    if factor is None or number is None or not _is_energy_of_12(sample):
        return None
    exact = Decimal(number[1]) * factor
    whole = round(exact)
    if not -(2**31) <= whole < 2**31:
        return None
    if whole != exact:
        at.lose("value", Reason.WHOLE_WATT_HOURS)
    if sample.get("context", "Sample.Periodic") != "Sample.Periodic":
        at.lose("context", Reason.NOT_IN_VERSION)
    return whole


def _is_energy_of_12(sample: Record) -> bool:
    return all(sample.get(name, default) == default for name, default in _ENERGY_OF_12.items())
