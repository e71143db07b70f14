"""Scalars: which points in time and which numbers the model takes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.ocpp.enums import ChargingRateUnitType
from bridge.ocpp.types import ChargingSchedule, ChargingSchedulePeriod, Timestamp, one_digit
from tests.ocpp import strategies


def taken(text: str) -> bool:
    """Whether the model takes `text` as a point in time."""
    try:
        return bool(msgspec.convert(text, Timestamp) == text)
    except msgspec.ValidationError:
        return False


def exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


@given(st.integers(0, 9999))
@example(1900)
@example(2000)
@example(2023)
@example(2024)
@example(2100)
@example(2400)
def test_exactly_the_days_that_exist(year: int) -> None:
    for month in range(14):
        for day in range(33):
            assert taken(f"{year:04}-{month:02}-{day:02}T00:00:00Z") is exists(year, month, day)


@given(strategies.timestamps())
def test_every_moment_with_any_fraction(text: str) -> None:
    assert taken(text)
    datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-02-29",
        "2024-02-29T12:00:00",
        "2024-02-29T12:00Z",
        "2024-02-29T12:00:00z",
        "2024-02-29t12:00:00Z",
        "2024-02-29 12:00:00Z",
        "2024-02-29T12:00:00+00:00",
        "2024-02-29T12:00:00.Z",
        "2024-02-29T12:00:00,5Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29T12:60:00Z",
        "2024-02-29T12:00:60Z",
        "2024-2-29T12:00:00Z",
        "02024-02-29T12:00:00Z",
        "-2024-02-29T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "2024-02-29T12:00:00Z\n",
        "\n2024-02-29T12:00:00Z",
        " 2024-02-29T12:00:00Z",
        "2024-02-29T12:00:00ZZ",
        "２０２４-02-29T12:00:00Z",
        "2024-02-29T12:00:00.٣Z",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    assert not taken(text)


@given(strategies.decimals())
def test_one_digit_takes_tenths(value: Decimal) -> None:
    one_digit(value)


@pytest.mark.parametrize("text", ["0", "-0.0", "1E+3", "16.00", "999999999999.9", "-999999999999.9"])
def test_one_digit_looks_at_the_value(text: str) -> None:
    one_digit(Decimal(text))


@pytest.mark.parametrize("text", ["0.05", "16.01", "1E-2", "0.1000000000000000000000000000001"])
def test_one_digit_refuses_more_digits(text: str) -> None:
    with pytest.raises(ValueError, match="one fraction digit"):
        one_digit(Decimal(text))


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+12", "-1E+12", "1E+999"])
def test_one_digit_refuses_what_no_device_means(text: str) -> None:
    with pytest.raises(ValueError, match="a Charge Point knows"):
        one_digit(Decimal(text))


def test_the_records_hold_to_one_digit() -> None:
    period = ChargingSchedulePeriod(startPeriod=0, limit=Decimal("16.5"))
    with pytest.raises(ValueError, match="one fraction digit"):
        ChargingSchedulePeriod(startPeriod=0, limit=Decimal("16.55"))
    with pytest.raises(ValueError, match="one fraction digit"):
        ChargingSchedule(
            chargingRateUnit=ChargingRateUnitType.A, chargingSchedulePeriod=(period,), minChargingRate=Decimal("6.25")
        )
