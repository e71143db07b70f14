"""How one Charge Point, and its Central System towards it, wants to be treated: what its Route and its quirk pack say.

A record that travels from the configuration to where each of its fields is obeyed. Its defaults are what the
specifications say.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from enum import StrEnum

from msgspec import Struct


class Overlong(StrEnum):
    """What becomes of a descriptive text that is longer than OCPP 1.6 allows."""

    TRUNCATE = "truncate"
    DROP = "drop"
    REFUSE = "refuse"


class Manners(Struct, frozen=True, kw_only=True):
    """overlong             obeyed by `tolerance`, on both wires
    celsius              how JSON Central Systems are told; "Celsius" leaves what was written
    assumed_zone         of time stamps without a zone; by `tolerance`, on both wires
    must_understand      whether SOAP headers that we send say mustUnderstand
    connection_per_call  whether a POST has a TCP connection of its own
    close_after_answer   whether the connection on which a SOAP request came is closed after the answer
    answers_soap11       whether SOAP 1.1 is answered in SOAP 1.1, or refused
    fractions            whether what a SOAP Charge Point is sent has fractions of a second
    heartbeat_interval   whether a 1.6 SOAP Charge Point is told its interval under the name of 1.5, too
    """

    overlong: Overlong = Overlong.TRUNCATE
    celsius: str = "Celsius"
    assumed_zone: tzinfo = UTC
    must_understand: bool = True
    connection_per_call: bool = True
    close_after_answer: bool = False
    answers_soap11: bool = True
    fractions: bool = True
    heartbeat_interval: bool = False


PLAIN = Manners()


def plain_manners() -> Manners:
    """Of a Charge Point about which nothing is known."""
    return PLAIN


class Boot(Struct, frozen=True, kw_only=True):
    """What a Charge Point says of itself in its BootNotification, as it writes it: "" for what it leaves out."""

    vendor: str = ""
    model: str = ""
    firmware: str = ""


# The fields of Boot, by what they are called in a BootNotification, on both wires and in all versions.
BOOT_FIELDS = {"chargePointVendor": "vendor", "chargePointModel": "model", "firmwareVersion": "firmware"}
