"""The parts of messages: scalars with their limits, and the records that messages share.

Fields have the order of the WSDL, because OCPP-S requires an order (every type there is an xs:sequence, rule 58) and
OCPP-J does not. The names are those of both wires, so that no name is converted. An object that exists is valid:
lengths, ranges, enumerations, times and the one fraction digit are checked when the object is decoded.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from bridge.ocpp.enums import (
    AuthorizationStatus,
    ChargingProfileKindType,
    ChargingProfilePurposeType,
    ChargingRateUnitType,
    Location,
    Measurand,
    Phase,
    ReadingContext,
    RecurrencyKindType,
    UnitOfMeasure,
    ValueFormat,
)

T = TypeVar("T")

# OCPP 1.6 edition 2, 7.15 to 7.19 and 7.28 (IdToken). A length is the number of characters, on both wires.
String20 = Annotated[str, Meta(max_length=20)]
String25 = Annotated[str, Meta(max_length=25)]
String50 = Annotated[str, Meta(max_length=50)]
String255 = Annotated[str, Meta(max_length=255)]
String500 = Annotated[str, Meta(max_length=500)]
IdToken = Annotated[str, Meta(max_length=20)]

# The WSDLs have xs:int, a signed number of 32 bits. An integer of JSON has no limits (rule 61).
Int = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
# The only number that a Central System chooses. Some Central Systems choose numbers beyond 32 bits.
TransactionId = int

NonEmpty = Annotated[tuple[T, ...], Meta(min_length=1)]

# A point in time in UTC with `Z`, with the fraction digits of its sender. The codecs convert other spellings that their
# wire allows to this one (OCPP 1.6 edition 2, 3.14 and 3.15). The pattern matches only days that exist. Its last
# alternative is 29 February of leap years.
_DAY = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
Timestamp = Annotated[str, Meta(pattern=rf"\A(?!0000){_DAY}T{_TIME}Z\Z")]

# The WSDL's DecimalOne: at most one fraction digit; the schemas have multipleOf 0.1 (rule 61). `one_digit` checks it.
DecimalOne = Decimal


def one_digit(value: Decimal) -> None:
    """Raise ValueError unless `value` is a multiple of 0.1 between -10**12 and 10**12, as a device may send."""
    if not value.is_finite() or abs(value) >= 10**12:
        raise ValueError("Expected `decimal` of a size that a Charge Point knows")
    if value != round(value, 1):
        raise ValueError("Expected `decimal` with one fraction digit")


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The base class of records inside a message."""


class IdTagInfo(Part, frozen=True, kw_only=True):
    """The authorization of an idTag (OCPP 1.6 edition 2, 7.27)."""

    status: AuthorizationStatus
    expiryDate: Timestamp | None = None
    parentIdTag: IdToken | None = None


class SampledValue(Part, frozen=True, kw_only=True):
    """A measured value (OCPP 1.6 edition 2, 7.43). An absent field has its default, never filled in (rule 86)."""

    value: str
    context: ReadingContext | None = None
    format: ValueFormat | None = None
    measurand: Measurand | None = None
    phase: Phase | None = None
    location: Location | None = None
    unit: UnitOfMeasure | None = None


class MeterValue(Part, frozen=True, kw_only=True):
    """The sampled values of one point in time (OCPP 1.6 edition 2, 7.33)."""

    timestamp: Timestamp
    sampledValue: NonEmpty[SampledValue]


class KeyValue(Part, frozen=True, kw_only=True):
    """A configuration key and its value (OCPP 1.6 edition 2, 7.29)."""

    key: String50
    readonly: bool
    value: String500 | None = None


class AuthorizationData(Part, frozen=True, kw_only=True):
    """An entry of the local list (OCPP 1.6 edition 2, 7.1). Without idTagInfo, a Differential update deletes it."""

    idTag: IdToken
    idTagInfo: IdTagInfo | None = None


class ChargingSchedulePeriod(Part, frozen=True, kw_only=True):
    """A period of a charging schedule (OCPP 1.6 edition 2, 7.14). `limit` is in A or W, by chargingRateUnit."""

    startPeriod: Int
    limit: DecimalOne
    numberPhases: Int | None = None

    def __post_init__(self) -> None:
        one_digit(self.limit)


class ChargingSchedule(Part, frozen=True, kw_only=True):
    """A charging schedule (OCPP 1.6 edition 2, 7.13). `duration` is in seconds."""

    duration: Int | None = None
    startSchedule: Timestamp | None = None
    chargingRateUnit: ChargingRateUnitType
    chargingSchedulePeriod: NonEmpty[ChargingSchedulePeriod]
    minChargingRate: DecimalOne | None = None

    def __post_init__(self) -> None:
        if self.minChargingRate is not None:
            one_digit(self.minChargingRate)


class ChargingProfile(Part, frozen=True, kw_only=True):
    """A charging profile (OCPP 1.6 edition 2, 7.8)."""

    chargingProfileId: Int
    transactionId: TransactionId | None = None
    stackLevel: Int
    chargingProfilePurpose: ChargingProfilePurposeType
    chargingProfileKind: ChargingProfileKindType
    recurrencyKind: RecurrencyKindType | None = None
    validFrom: Timestamp | None = None
    validTo: Timestamp | None = None
    chargingSchedule: ChargingSchedule
