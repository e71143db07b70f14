"""Create the objects that the admin listener serves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bridge.admin.access import Access, Credential, Names
from bridge.admin.events import Stream
from bridge.admin.facts import Addresses
from bridge.admin.health import Health
from bridge.admin.metrics import Meter, registry_of
from bridge.admin.moves import MoveActions
from bridge.admin.server import AdminContext
from bridge.config import Listen, Settings, Soap, WebSocket
from bridge.config.listeners import is_local
from bridge.gateway import public_addresses
from bridge.gateway.known import ViewSources
from bridge.gateway.listeners import Listeners, OpenListener
from bridge.gateway.live_stream import LiveStream
from bridge.gateway.operator_actions import OperatorActions
from bridge.gateway.provisioning import Provisioning
from bridge.gateway.route_choices import RouteChoices
from bridge.gateway.views import SessionViews
from bridge.recorder import Message, Recorder
from bridge.watching.facts import Watcher


def stream_of(recorder: Recorder) -> Stream:
    """Return the live stream. `recorder` passes messages to it while a client listens."""

    def said(message: Message) -> None:
        stream.publish("message", message.identity, message)

    def listened(listens: bool) -> None:
        recorder.on_message = said if listens else None

    stream = Stream(listened)
    return stream


def admin_context_of(
    ground: ViewSources,
    *,
    health: Callable[[], Health],
    meter: Meter,
    live: LiveStream,
    audience: Watcher,
    recorder: Recorder,
    fleet: Provisioning,
    choices: RouteChoices,
    moves: MoveActions,
    access: Access,
) -> AdminContext:
    """Return the context of the admin listener.

    Args:
        ground: The sources of the views.
        health: Returns the health of the bridge.
        meter: Counts for the metrics.
        live: Publishes events on the live stream.
        audience: Sees what operators do.
        recorder: Holds the recorded messages.
        fleet: Gives Charge Points settings.
        choices: Moves single Charge Points.
        moves: Moves several Charge Points.
        access: The rules for the use of the admin listener.
    """
    overview = SessionViews(ground)
    return AdminContext(
        health=health,
        registry=registry_of(meter),
        access=access,
        overview=overview,
        steering=OperatorActions(ground, overview, choices, fleet),
        fleet=fleet,
        moves=moves,
        recordings=recorder,
        stream=live.stream,
        tenants=lambda: ground.settings().tenants,
    )


def access_of(settings: Settings, credentials: tuple[Credential, ...]) -> Access:
    """Return the rules for the use of the admin listener. Hosts of public addresses count as names of this machine."""
    admin = settings.admin
    hosts = {admin.listen.host, socket.gethostname(), *(urlsplit(soap.public_url).hostname for soap in settings.soap)}
    names = Names(hosts=frozenset(host.lower() for host in hosts if host), beyond=not is_local(admin.listen))
    return Access(
        credentials,
        admin.allowed_origins,
        open_metrics=admin.open_metrics,
        names=names,
        shared=bool(settings.tenants),
    )


def addresses_of(listeners: Listeners, tenant: str, settings: Settings) -> Addresses:
    """Return the public addresses of a tenant, with the ports that the system chose."""
    return public_addresses.addresses(
        [_at(listening) for listening in listeners if isinstance(listening.place.table, Soap)],
        [_at(listening) for listening in listeners if isinstance(listening.place.table, WebSocket)],
        tenant,
        settings,
    )


def _at(listening: OpenListener) -> Any:
    table, port = listening.place.table, listening.server.address[1]
    return msgspec.structs.replace(table, listen=Listen(table.listen.host, table.listen.port or port))
