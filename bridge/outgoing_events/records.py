"""The events that other systems get, as records. The JSON Schema in `docs/events.schema.json` is made from them.

An event holds no credential, and no idTag of a driver if idTags are masked. Texts of a peer are as the peer wrote them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from bridge.ocpp.tenants import DEFAULT

Party = Literal["charge_point", "central_system"]


class OutgoingEvent(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """An event about one Charge Point.

    Attributes:
        id: The name of the event. An event that is sent twice has the same id.
        time: The time at which the bridge observed the event, in UTC.
        charge_point: The ChargeBoxIdentity as it was first written.
        central_system: The name of its Central System in the configuration; empty if no route takes it.
        tenant: The name of the tenant of the Charge Point; left out for the default tenant.
    """

    id: str
    time: str
    charge_point: str
    central_system: str
    tenant: str = DEFAULT


class BootEvent(OutgoingEvent, frozen=True, kw_only=True, tag="boot"):
    """The Central System has answered a BootNotification.

    Attributes:
        status: The status in the answer: Accepted, Pending or Rejected.
        replayed: The bridge sent the BootNotification again in the Charge Point's name.
    """

    vendor: str
    model: str
    serial_number: str | None
    firmware: str | None
    status: str
    replayed: bool


class StatusEvent(OutgoingEvent, frozen=True, kw_only=True, tag="status"):
    """A Charge Point has reported the status of a connector.

    Attributes:
        connector: The connectorId; 0 is the whole Charge Point.
        timestamp: The time in the message, None if the message has none.
        inferred: The bridge sent the StatusNotification in the name of a Charge Point that only reports Occupied.
        delivered: The Central System has accepted the message.
    """

    connector: int
    status: str
    error_code: str
    info: str | None
    vendor_error_code: str | None
    timestamp: str | None
    inferred: bool
    delivered: bool


class TransactionStartedEvent(OutgoingEvent, frozen=True, kw_only=True, tag="transaction_started"):
    """The Central System has answered a StartTransaction.

    Attributes:
        transaction_id: The transactionId of the Central System.
        id_tag: The idTag, or *** if idTags are masked.
        status: The status of the idTag in the answer.
        started_at: The time in the message.
        meter_start_wh: The meter value at the start, in Wh.
    """

    transaction_id: int
    connector: int
    id_tag: str
    status: str
    started_at: str
    meter_start_wh: int
    reservation_id: int | None


class TransactionEndedEvent(OutgoingEvent, frozen=True, kw_only=True, tag="transaction_ended"):
    """The Central System has answered a StopTransaction.

    Attributes:
        transaction_id: The transactionId of the Central System.
        connector: The connectorId, None if the start is not known.
        id_tag: The idTag that ended the transaction, or *** if idTags are masked; None if there is none.
        started_at: The time of the start, None if the start is not known.
        ended_at: The time in the message.
        meter_start_wh: The meter value at the start in Wh, None if the start is not known.
        meter_stop_wh: The meter value at the end, in Wh.
        energy_wh: The difference of the two in Wh; None if the start is not known, or if the meter went back.
        reason: The reason in the message, None if the message has none.
    """

    transaction_id: int
    connector: int | None
    id_tag: str | None
    started_at: str | None
    ended_at: str
    meter_start_wh: int | None
    meter_stop_wh: int
    energy_wh: int | None
    reason: str | None


class LinkEvent(OutgoingEvent, frozen=True, kw_only=True, tag="link"):
    """The connection to a party has changed.

    Attributes:
        party: The party at the other end of the connection.
        state: `up`: it was opened; `down`: it was lost or could not be opened; `closed`: the bridge closed it.
        reason: The reason, None for `up`.
    """

    party: Party
    state: Literal["up", "down", "closed"]
    reason: str | None


class MoveEvent(OutgoingEvent, frozen=True, kw_only=True, tag="move"):
    """A Charge Point was moved to the Central System `central_system`.

    Attributes:
        moved_from: The name of its former Central System, None if no route took it.
        moved_by: The name of the operator, None if the routes of the configuration changed.
    """

    moved_from: str | None
    moved_by: str | None


class LostContent(Struct, frozen=True, kw_only=True):
    """A value that the bridge dropped, altered or assumed.

    Attributes:
        message: The name of the message.
        path: The place in the message; empty for the message itself.
        reason: The reason in a sentence.
        count: The number of places.
    """

    message: str
    path: str
    reason: str
    count: int


class LossEvent(OutgoingEvent, frozen=True, kw_only=True, tag="loss"):
    """A message was changed on its way. `losses` says what was changed."""

    losses: tuple[LostContent, ...]


AnyEvent = BootEvent | StatusEvent | TransactionStartedEvent | TransactionEndedEvent | LinkEvent | MoveEvent | LossEvent
KINDS: tuple[type[AnyEvent], ...] = (
    BootEvent,
    StatusEvent,
    TransactionStartedEvent,
    TransactionEndedEvent,
    LinkEvent,
    MoveEvent,
    LossEvent,
)
TYPES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in KINDS)
# Events about money, which are dropped last.
ABOUT_MONEY = (TransactionStartedEvent, TransactionEndedEvent)
# Events that are on disk before the Charge Point gets the answer to the message that they tell.
BEFORE_THE_ANSWER = (BootEvent, *ABOUT_MONEY)


def type_of(event: AnyEvent) -> str:
    """Return the type of an event, as it is written in `type`."""
    return str(type(event).__struct_config__.tag)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of all events."""
    found = msgspec.json.schema(AnyEvent, ref_template="#/$defs/{name}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of ocpp-bridge",
        "description": "More members may be added. A receiver ignores members and types that it does not know.",
    }
    return head | found
