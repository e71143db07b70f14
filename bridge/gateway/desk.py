"""The operator's desk: what the admin listener serves, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bridge import config
from bridge.admin.access import Access
from bridge.admin.events import Stream
from bridge.admin.facts import Addresses
from bridge.admin.health import Health
from bridge.admin.metrics import Meter, registry_of
from bridge.admin.server import Desk
from bridge.config import Listen, Soap, WebSocket
from bridge.gateway import doorplates
from bridge.gateway.conductor import Conductor
from bridge.gateway.known import Ground
from bridge.gateway.listeners import Listeners, Listening
from bridge.gateway.live import Live
from bridge.gateway.overview import SessionOverview
from bridge.gateway.steering import OperatorSteering
from bridge.recorder import Message, Recorder


def stream_of(recorder: Recorder) -> Stream:
    """The live stream, which hears of messages from `recorder` while somebody listens."""

    def said(message: Message) -> None:
        stream.publish("message", message.identity, message)

    def listened(listens: bool) -> None:
        recorder.on_message = said if listens else None

    stream = Stream(listened)
    return stream


def furnished(
    ground: Ground,
    *,
    admin: config.Admin,
    health: Callable[[], Health],
    meter: Meter,
    live: Live,
    recorder: Recorder,
    rehouse: Callable[[Conductor], object],
) -> Desk:
    """The desk. `rehouse` lets a Session whose place has changed move."""
    overview = SessionOverview(ground)
    token = None if admin.token is None else admin.token.reveal()
    return Desk(
        health=health,
        registry=registry_of(meter),
        access=Access(token, admin.allowed_origins, open_metrics=admin.open_metrics),
        overview=overview,
        steering=OperatorSteering(ground, overview, live, rehouse),
        recordings=recorder,
        stream=live.stream,
    )


def addresses_of(listeners: Listeners) -> Addresses:
    """As they are: with the ports that the system chose."""
    return doorplates.addresses(
        [_at(listening) for listening in listeners if isinstance(listening.place.table, Soap)],
        [_at(listening) for listening in listeners if isinstance(listening.place.table, WebSocket)],
    )


def _at(listening: Listening) -> Any:
    table, port = listening.place.table, listening.server.address[1]
    return msgspec.structs.replace(table, listen=Listen(table.listen.host, table.listen.port or port))
