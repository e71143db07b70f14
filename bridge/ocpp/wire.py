"""The octets of a message as they were on a wire, for the recorder. No decision depends on them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bridge.ocpp.losses import Loss

Transport = Literal["soap", "json"]


class Octets(Struct, frozen=True, array_like=True, gc=False):
    """A message as it was on a wire: an envelope or a frame.

    Attributes:
        transport: The transport of the message.
        at: The time when the message was received or sent, in unix seconds.
        data: The octets that were received or sent.
    """

    transport: Transport
    at: float
    data: bytes


class Wires(Struct, gc=False):
    """The octets of one Call on both wires.

    The Call holds this record, and each transport adds the octets that it sends. The answer to a SOAP request may be
    written after the Call has ended.

    Attributes:
        received: The request that the bridge received.
        sent: The request that the bridge sent.
        answer_received: The answer that the bridge received.
        answer_sent: The answer that the bridge sent.
        losses: The Losses of writing the request and the answer.
    """

    received: Octets | None = None
    sent: Octets | None = None
    answer_received: Octets | None = None
    answer_sent: Octets | None = None
    losses: tuple[Loss, ...] = ()
