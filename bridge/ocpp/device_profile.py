"""The settings for one Charge Point and its Central System, from its Route and its quirk pack.

The record is passed from the configuration to the code that applies each field. The defaults follow the specifications.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace


class Overlong(StrEnum):
    """The treatment of a descriptive text that is longer than OCPP 1.6 allows."""

    TRUNCATE = "truncate"
    DROP = "drop"
    REFUSE = "refuse"
    ANY = "any"  # truncate every text that is too long, names too; for a copy that is only read


class UnknownValues(StrEnum):
    """The treatment of a value outside its enumeration, in messages of a Charge Point and in answers."""

    DROP = "drop"
    PASS = "pass"  # noqa: S105  a policy, no password
    REFUSE = "refuse"


class DeviceProfile(Struct, frozen=True, kw_only=True):
    """The settings for one Charge Point.

    Attributes:
        overlong: The treatment of texts that are too long. Applied by `tolerance`, on both wires.
        unknown_values: The treatment of unknown enumeration values. Applied by `tolerance`. "pass" applies only where
            the receiver speaks JSON.
        celsius: The spelling of the unit for JSON Central Systems. "Celsius" leaves the spelling of the sender.
        assumed_zone: The zone of times without a zone. Applied by `tolerance`, on both wires.
        must_understand: SOAP headers that the bridge sends have mustUnderstand.
        connection_per_call: Each POST has a TCP connection of its own.
        close_after_answer: The bridge closes the connection of a SOAP request after the answer.
        answers_soap11: SOAP 1.1 is answered in SOAP 1.1. Otherwise it is refused.
        fractions: Times that the bridge sends to a SOAP Charge Point have fractions of a second.
        heartbeat_interval: A 1.6 SOAP Charge Point receives its interval also under the name of OCPP 1.5.
        prefix: The prefix of the OCPP namespace in SOAP that the bridge sends. Some firmware looks for the text `ns1:`.
    """

    overlong: Overlong = Overlong.TRUNCATE
    unknown_values: UnknownValues = UnknownValues.DROP
    celsius: str = "Celsius"
    assumed_zone: tzinfo = UTC
    must_understand: bool = True
    connection_per_call: bool = True
    close_after_answer: bool = False
    answers_soap11: bool = True
    fractions: bool = True
    heartbeat_interval: bool = False
    prefix: str = "c"


PLAIN = DeviceProfile()


@lru_cache
def for_soap(profile: DeviceProfile) -> DeviceProfile:
    """Return `profile` for a receiver that speaks SOAP: SOAP has no unknown enumeration values, so none is passed."""
    if profile.unknown_values is not UnknownValues.PASS:
        return profile
    return replace(profile, unknown_values=UnknownValues.DROP)


def plain_profile() -> DeviceProfile:
    """Return the settings for a Charge Point about which nothing is known."""
    return PLAIN


class Boot(Struct, frozen=True, kw_only=True):
    """The identification of a Charge Point in its BootNotification, as it is written; "" for an absent field."""

    vendor: str = ""
    model: str = ""
    firmware: str = ""


# The field of Boot for each field of a BootNotification, in lower case. The names are the same on both wires and in all
# versions.
BOOT_FIELDS = {"chargepointvendor": "vendor", "chargepointmodel": "model", "firmwareversion": "firmware"}
