"""Convert meter values between 1.6 and the older versions, which have other forms and fewer enumeration values.

1.6   meterValue{timestamp, sampledValue{value, context, ..., phase}}      children
1.5   values{timestamp, value}                                             a text with attributes; no phase
1.2   values{timestamp, value}                                             one whole number: energy imported, in Wh
"""

from __future__ import annotations

import re
from decimal import Decimal

from bridge.dialects.rules import At, Record, Rule, dropped, each, having, renamed, respelled
from bridge.ocpp.losses import LossReason
from bridge.ocpp.readings import FIELDS, sixteen
from bridge.ocpp.shapes import TEXT

_AMP_AND_VOLT = {"Amp": "A", "Volt": "V"}  # quirk 32
# The enumeration values of OCPP 1.5. A sample with another measurand, location or unit is dropped whole: without that
# field, a receiver would take the sample for a different one. A context only gives the reason of a reading.
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
# The only reading of OCPP 1.2, in the names of 1.6. An absent field means the same (7.43). `phase` has no default.
_ENERGY_OF_12 = {"measurand": "Energy.Active.Import.Register", "format": "Raw", "location": "Outlet", "phase": ""}
_WATT_HOURS = {"Wh": 1, "kWh": 1000}
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?)\s*\Z")


def _sayable_in_15(sample: Record, at: At) -> bool:
    # Signed data holds its own qualifiers, so only the field that 1.5 lacks is dropped, not the sample.
    signed = sample.get("format") == "SignedData"
    for name, words in READINGS_OF_15.items():
        if sample.get(name) is not None and sample[name] not in words:
            if not signed:
                at.lose(name, LossReason.DROPPED_READING)
                return False
            del sample[name]
            at.lose(name, LossReason.NOT_IN_VERSION)
    return True


def _context_of_15(sample: Record, at: At) -> None:
    if sample.get("context") is not None and sample["context"] not in CONTEXTS_OF_15:
        del sample["context"]
        at.lose("context", LossReason.NOT_IN_VERSION)


def as_in_16(version: str) -> Rule:
    """Return a rule that converts the meter values of a message of `version`, in any form, to 1.6.

    An absent attribute has its default value, which is never filled in (rule 86).
    """

    def rule(record: Record, at: At) -> None:
        raised = sixteen(record, at.message, version, at.lose)
        record.clear()
        record.update(raised)
        for group in record.get(FIELDS[at.message], ()):
            for sample in group.get("sampledValue", ()) if isinstance(group, dict) else ():
                if isinstance(sample, dict):
                    _WORDS(sample, at)

    return rule


_WORDS = respelled("unit", _AMP_AND_VOLT)
# The rules for one meter value, from 1.6 to 1.5.
TO_15 = (
    each(
        "sampledValue",
        respelled("unit", {"Celcius": "Celsius"}, LossReason.RESPELLED_UNIT),
        _sayable_in_15,
        _context_of_15,
        dropped("phase"),
        respelled("unit", {new: old for old, new in _AMP_AND_VOLT.items()}),
        renamed("value", TEXT),
    ),
    having("sampledValue"),
    renamed("sampledValue", "value"),
)


def grouped(record: Record, at: At) -> None:
    """Put all values of transactionData into one group, as 1.5 requires."""
    readings = record.pop("transactionData", None)
    if readings:
        record["transactionData"] = [{"values": readings}]
    elif readings is not None:
        at.lose("transactionData", LossReason.EMPTY_LIST)


def to_12(reading: Record, at: At) -> bool:
    """Convert a meter value to 1.2 (soap-wire 5.3): keep the first register of imported energy, in whole Wh.

    Returns False when the meter value has no such register. The caller then drops the meter value.
    """
    register: int | None = None
    for index, sample in enumerate(reading.pop("sampledValue", ())):
        here = at.inside(f"sampledValue[{index}]")
        energy = _watt_hours(sample, here) if register is None else None
        if energy is None:
            here.lose("", LossReason.DROPPED_READING)
        else:
            register = energy
    if register is None:
        return False
    reading["value"] = register
    return True


def _watt_hours(sample: Record, at: At) -> int | None:
    """Return a register of imported energy in whole Wh, or None for another sample or a number that does not fit."""
    factor = _WATT_HOURS.get(sample.get("unit", "Wh"))
    number = _NUMBER.match(sample["value"])
    if factor is None or number is None or not _is_energy_of_12(sample):
        return None
    exact = Decimal(number[1]) * factor
    whole = round(exact)
    if not -(2**31) <= whole < 2**31:
        return None
    if whole != exact:
        at.lose("value", LossReason.WHOLE_WATT_HOURS)
    if sample.get("context", "Sample.Periodic") != "Sample.Periodic":
        at.lose("context", LossReason.NOT_IN_VERSION)
    return whole


def _is_energy_of_12(sample: Record) -> bool:
    return all(sample.get(name, default) == default for name, default in _ENERGY_OF_12.items())
