"""The Open OCPP Trace format, v1.1: JSON lines, a record each. Pure.

What a record must have is held when it is read, as the format's schema says it; fields that no version of it has yet
are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

SCHEMA_VERSION = "1.1"

Direction = Literal["cp-to-csms", "csms-to-cp"]
MessageType = Literal["CALL", "CALLRESULT", "CALLERROR"]
UP: Direction = "cp-to-csms"
DOWN: Direction = "csms-to-cp"


class TraceError(ValueError):
    """A trace that cannot be read; the text begins with the line's number."""


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a CALLERROR says."""

    code: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    details: Any = UNSET


class Record(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message on one wire. `raw` is what was on it, byte for byte; everything of our own is in `meta`."""

    schema_version: str = field(name="schemaVersion")
    timestamp: str
    ocpp_version: str | UnsetType = UNSET
    transport: Literal["json", "soap"]
    charge_point_id: str | UnsetType = UNSET
    connector_id: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    direction: Direction
    message_type: MessageType
    message_id: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    payload: Any = UNSET
    raw: str | UnsetType = UNSET
    error: Failure | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.message_type == "CALL" and self.action is UNSET:
            raise ValueError("a CALL without its action")
        if (self.message_type == "CALLERROR") is (self.error is UNSET):
            raise ValueError("an error belongs to a CALLERROR, and to nothing else")
        datetime.fromisoformat(self.timestamp)

    @property
    def at(self) -> float:
        """The timestamp in unix seconds; one without a zone is UTC."""
        moment = datetime.fromisoformat(self.timestamp)
        return (moment if moment.tzinfo else datetime.fromisoformat(f"{self.timestamp}+00:00")).timestamp()


_decoder = msgspec.json.Decoder(Record, float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def read(lines: Iterable[bytes]) -> list[Record]:
    """The records of a trace; empty lines are none. Raises TraceError."""
    return [_record(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def write(record: Record) -> bytes:
    """The record as a line, without its end."""
    return _encoder.encode(record)


def _record(number: int, line: bytes) -> Record:
    try:
        record = _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
        raise TraceError(f"{number}: {error}") from error
    if record.schema_version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise TraceError(f"{number}: a trace of version {record.schema_version}, expected {SCHEMA_VERSION}")
    return record
