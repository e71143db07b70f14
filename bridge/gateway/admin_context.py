"""Create the objects that the admin listener serves."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bridge.admin.access import Access, Credential, Names
from bridge.admin.by_tenant import ByTenant
from bridge.admin.events import Stream
from bridge.admin.facts import Addresses
from bridge.admin.health import Health, ObserverCounts
from bridge.admin.history import TrafficHistory
from bridge.admin.loss_counts import LossCounts
from bridge.admin.metrics import Meter, registry_of
from bridge.admin.other_nodes import OtherNodes
from bridge.admin.readiness import ReadinessViews
from bridge.admin.server import AdminContext
from bridge.admin.sign_in import SignIn
from bridge.config import Listen, Settings, Soap, WebSocket
from bridge.config.listeners import is_local
from bridge.gateway import public_addresses
from bridge.gateway.change_history import ChangeHistory
from bridge.gateway.fleet_status import FleetStatus, UnreadConfiguration
from bridge.gateway.known import ViewSources
from bridge.gateway.listeners import Listeners, OpenListener
from bridge.gateway.live_stream import LiveStream
from bridge.gateway.moves import Moves
from bridge.gateway.operator_actions import OperatorActions
from bridge.gateway.provisioning import Provisioning
from bridge.gateway.route_choices import RouteChoices
from bridge.gateway.timelines import TimelineViews
from bridge.gateway.transaction_views import TransactionViews
from bridge.gateway.views import SessionViews
from bridge.recorder import Message, Recorder
from bridge.watching.facts import Watcher


def stream_of(recorder: Recorder, node: str) -> Stream:
    """Return the live stream.

    Args:
        recorder: Passes messages to it while a client listens.
        node: The name of this process, "" for a single one.
    """

    def said(message: Message) -> None:
        stream.publish("message", message.identity, message)

    def listened(listens: bool) -> None:
        recorder.on_message = said if listens else None

    stream = Stream(listened, node=node)
    return stream


def admin_context_of(
    ground: ViewSources,
    *,
    health: Callable[[], Health],
    meter: Meter,
    live: LiveStream,
    audience: Watcher,
    recorder: Recorder,
    transactions: TransactionViews,
    changes: ChangeHistory,
    fleet: Provisioning,
    choices: RouteChoices,
    moves: Moves,
    history: ByTenant[TrafficHistory],
    losses: ByTenant[LossCounts],
    cautions: Callable[[], Sequence[str]],
    unread: Callable[[], UnreadConfiguration],
    observers: Callable[[str | None], Mapping[str, ObserverCounts]],
    readiness: ReadinessViews,
    access: Access,
    sign_in: SignIn,
    others: OtherNodes | None,
) -> AdminContext:
    """Return the context of the admin listener.

    Args:
        ground: The sources of the views.
        health: Returns the health of the bridge.
        meter: Counts for the metrics.
        live: Publishes events on the live stream.
        audience: Sees what operators do.
        recorder: Holds the recorded messages.
        transactions: Reads the transactions.
        changes: Knows the changes of connections, states and routes.
        fleet: Gives Charge Points settings.
        choices: Moves single Charge Points.
        moves: Moves several Charge Points.
        history: The traffic of the last hour of each tenant.
        losses: The losses of each tenant since the start.
        cautions: Returns what is doubtful in the configuration.
        unread: Returns what of the configuration file does not hold.
        observers: Returns the state of the further Central Systems, by name; of a tenant, or None for all tenants.
        readiness: Shows what the comparison of shadows' answers has shown.
        access: The rules for the use of the admin listener.
        sign_in: Signs operators in at the provider.
        others: The other processes of a cluster, None for a single process.
    """
    overview = SessionViews(ground)
    return AdminContext(
        health=health,
        registry=registry_of(meter),
        access=access,
        sign_in=sign_in,
        overview=overview,
        status=FleetStatus(
            ground,
            overview,
            health=health,
            history=history,
            losses=losses,
            moves=moves,
            cautions=cautions,
            unread=unread,
            observers=observers,
        ),
        steering=OperatorActions(ground, overview, choices, fleet),
        fleet=fleet,
        moves=moves,
        readiness=readiness,
        recordings=recorder,
        transactions=transactions,
        timelines=TimelineViews(overview, recorder, transactions, changes),
        stream=live.stream,
        tenants=lambda: ground.settings().tenants,
        others=others,
    )


def access_of(settings: Settings, credentials: tuple[Credential, ...], sign_in: SignIn) -> Access:
    """Return the rules for the use of the admin listener. Hosts of public addresses count as names of this machine.

    Args:
        settings: The configuration.
        credentials: The valid tokens.
        sign_in: Knows the sessions of operators.
    """
    admin = settings.admin
    hosts = {admin.listen.host, socket.gethostname(), *(urlsplit(soap.public_url).hostname for soap in settings.soap)}
    names = Names(hosts=frozenset(host.lower() for host in hosts if host), beyond=not is_local(admin.listen))
    return Access(
        credentials,
        admin.allowed_origins,
        open_metrics=admin.open_metrics,
        names=names,
        session_of=sign_in.session_of,
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
