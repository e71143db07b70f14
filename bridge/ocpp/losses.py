"""What a translation cost: every value that was dropped, altered or assumed on the way (DESIGN section 6)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Reason(StrEnum):
    """Why something is not as its sender wrote it. The README's table of losses is made from these lines."""

    UNKNOWN_FIELD = "a field that OCPP 1.6 does not know is dropped"
    EMPTY_OPTIONAL = "an empty optional element is read as absent"
    EMPTY_LIST = "SOAP cannot tell an empty list from an absent one: it arrives as absent"
    MARKUP_AS_TEXT = "XML elements inside a text field are kept as their source text"
    NOT_TEXT = "a JSON value that is not text, in a text field, is kept as its JSON source text"
    ASSUMED_ZONE = "a time stamp without a zone is taken as UTC"
    ROUNDED = "a number with more than one fraction digit is rounded to one"
    REPEATED = "of an element that may stand once, the last is kept"
    RESPELLED_UNIT = "a unit spelled as only JSON has it is respelled as in the WSDL"
    DROPPED_UNIT = "a unit that the WSDL does not have is dropped"


class Loss(Struct, frozen=True, kw_only=True):
    """`message` is the PDU's name, `path` where in it, in the names of the wire (`meterValue[0].timestamp`)."""

    message: str
    path: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.message}.{self.path}: {self.reason}"
