"""Read and write the Open OCPP Trace format, v1.1: JSON lines with one record each. Pure.

The reader checks the rules of the format's schema, and ignores unknown fields.
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
    """The trace cannot be read, or cannot be replayed. A reader's text begins with the number of the line."""


class TraceFailure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of a CALLERROR."""

    code: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    details: Any = UNSET


class Record(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A message on one connection. `raw` is its exact text. `meta` holds what this bridge adds."""

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
    error: TraceFailure | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.message_type == "CALL" and self.action is UNSET:
            raise ValueError("a CALL without its action")
        if (self.message_type == "CALLERROR") is (self.error is UNSET):
            raise ValueError("an error belongs to a CALLERROR, and to nothing else")
        datetime.fromisoformat(self.timestamp)

    @property
    def at(self) -> float:
        """The timestamp as Unix time, in seconds. A timestamp without a zone is in UTC."""
        moment = datetime.fromisoformat(self.timestamp)
        return (moment if moment.tzinfo else datetime.fromisoformat(f"{self.timestamp}+00:00")).timestamp()


_decoder = msgspec.json.Decoder(Record, float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def read(lines: Iterable[bytes]) -> list[Record]:
    """Return the records of a trace. Empty lines are skipped. Raises TraceError."""
    return [_record(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def write(record: Record) -> bytes:
    """Return the line for a record, without a line end."""
    return _encoder.encode(record)


def _record(number: int, line: bytes) -> Record:
    try:
        record = _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
        raise TraceError(f"{number}: {error}") from error
    if record.schema_version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise TraceError(f"{number}: a trace of version {record.schema_version}, expected {SCHEMA_VERSION}")
    return record
