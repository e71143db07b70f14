"""The energy register in a MeterValues, also in one that passes unread. Pure."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct

from bridge.ocpp.enums import Measurand, UnitOfMeasure
from bridge.ocpp.rpc import Call, UnopenedRequest

# Wh in a unit of energy. A value without a unit is in Wh (OCPP 1.6 edition 2, 7.43).
_WH = {None: 1.0, UnitOfMeasure.Wh.value: 1.0, UnitOfMeasure.kWh.value: 1000.0}


class _Sample(Struct):
    value: str | int | float = ""
    measurand: str | None = None
    phase: str | None = None
    unit: str | None = None


class _Group(Struct):
    sampledValue: list[_Sample] = []


class _Meters(Struct):
    meterValue: list[_Group] = []


_meters = msgspec.json.Decoder(_Meters)


def register_of(call: Call) -> float | None:
    """Return the last Energy.Active.Import.Register in a MeterValues, of all phases, in Wh; None if it has none."""
    payload: Any = call.payload
    if isinstance(payload, UnopenedRequest):
        try:
            payload = payload.read if payload.read is not None else _meters.decode(payload.raw)
        except msgspec.MsgspecError:
            return None
    groups = getattr(payload, "meterValue", None) or ()
    found = (_energy(sample) for group in reversed(groups) for sample in reversed(group.sampledValue))
    return next((energy for energy in found if energy is not None), None)


def _energy(sample: Any) -> float | None:
    # A value without a measurand is one of this register (7.43).
    if sample.measurand not in (None, Measurand.EnergyActiveImportRegister.value) or sample.phase is not None:
        return None
    factor = _WH.get(sample.unit)
    if factor is None:
        return None
    try:
        energy = float(sample.value) * factor
    except ValueError:  # signed data, for instance
        return None
    return energy if isfinite(energy) else None
