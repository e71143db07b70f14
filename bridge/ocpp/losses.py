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
    ASSUMED_ZONE = "a time stamp without a zone is taken as UTC, or as in the zone that the route assumes"
    ROUNDED = "a number with more than one fraction digit is rounded to one"
    REPEATED = "of an element that may stand once, the last is kept"
    RESPELLED_UNIT = "a unit that the other side spells otherwise is respelled (Celsius, Celcius)"
    DROPPED_UNIT = "a unit that the WSDL does not have is dropped"
    NOT_IN_VERSION = "a field, or a value of it, that the older version does not have is dropped"
    COLLAPSED = "a value that the other version does not have becomes the nearest one that it has"
    OCCUPIED = "Occupied becomes Charging, Finishing or Preparing by what is known of transactions on the connector"
    CONNECTOR_ZERO = "OCPP 1.6 knows no Occupied or Reserved of the whole Charge Point: Available"
    TRUNCATED = "a descriptive text that is longer than OCPP 1.6 allows is cut"
    OVERLONG = "an optional descriptive text that is longer than OCPP 1.6 allows is dropped (overlong = drop)"
    FRACTION = "fractions of a second are left out for a Charge Point that cannot read them (fractions = false)"
    DROPPED_READING = "a measured value that the older version has no words for is dropped"
    WHOLE_WATT_HOURS = "energy is a whole number of Wh in OCPP 1.2: a fraction is rounded"
    UNGROUPED = "which values stood together in one transactionData is lost"
    ASSUMED_TIME = "OCPP 1.2 may leave out the current time: that of the bridge is taken"
    ASSUMED_INTERVAL = "OCPP 1.2 may leave out the interval: 300 seconds if accepted, else the Charge Point's choice"
    ANSWERED_HERE = "a message that the other version cannot carry is answered in its receiver's place"
    SAID_AGAIN = "what a Charge Point last said is sent again in its name, for a TriggerMessage that its version lacks"


class Loss(Struct, frozen=True, kw_only=True):
    """`message` is the PDU's name, `path` where in it, in the names of the wire (`meterValue[0].timestamp`).

    An empty path is the message itself.
    """

    message: str
    path: str
    reason: Reason

    @property
    def where(self) -> str:
        """The message, and where in it."""
        return f"{self.message}.{self.path}" if self.path else self.message

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
