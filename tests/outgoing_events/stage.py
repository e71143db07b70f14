"""An Outbox with a receiver, and the facts that it is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from bridge.core.commands import Exchange
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import AuthorizationStatus
from bridge.ocpp.messages import StartTransactionRequest, StartTransactionResponse
from bridge.ocpp.types import IdTagInfo
from bridge.outgoing_events import Outbox, Receiver
from bridge.outgoing_events.delivery import EventSender
from bridge.outgoing_events.derivation import EventMaker
from bridge.outgoing_events.queue import QueueBounds
from bridge.watching.facts import CallAnswered, LinkLost

ROOM = QueueBounds(events=1000, octets=1_000_000, age=3600)
AT = "2026-01-02T03:04:05Z"


def link(reason: str, identity: str = "CP 1") -> LinkLost:
    """A fact of little weight, which `reason` tells from others."""
    return LinkLost(identity, Party.CENTRAL_SYSTEM, "main", reason)


def started(number: int, identity: str = "CP 1") -> CallAnswered:
    """The start of transaction `number`."""
    request = StartTransactionRequest(connectorId=1, idTag="DRIVER-1", timestamp=AT, meterStart=100)
    info = IdTagInfo(status=AuthorizationStatus.Accepted)
    response = StartTransactionResponse(transactionId=number, idTagInfo=info)
    return CallAnswered(identity, "main", Exchange(request=request, response=response))


def receiver(
    open_sender: Callable[[], EventSender],
    name: str = "billing",
    *,
    bounds: QueueBounds = ROOM,
    types: Sequence[str] = (),
    timeout: float = 30,
    settings: object = None,
) -> Receiver:
    """A receiver of all events, or of `types`."""
    return Receiver(
        name=name,
        wants=lambda kind, folded: not types or kind in types,
        open=open_sender,
        timeout=timeout,
        bounds=bounds,
        settings=settings,
    )


@asynccontextmanager
async def outbox(url: str, *receivers: Receiver, clock: Callable[[], float] = time.time) -> AsyncIterator[Outbox]:
    """One that sends to `receivers`."""
    maker = EventMaker(
        clock=clock,
        mint=lambda: str(uuid.uuid4()),
        central_system_of=lambda identity: "main",
        mask_id_tags=True,
    )
    made = Outbox(url, maker, clock)
    await made.take_over(receivers)
    try:
        yield made
    finally:
        await made.close()
