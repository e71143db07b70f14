"""Make the receivers of events from the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import partial
from importlib.util import find_spec
from urllib.parse import urlsplit

from bridge.config import ClientTLS, EventReceiver
from bridge.errors import Complaint, ConfigurationError
from bridge.net.tls import Renewable
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants
from bridge.outgoing_events import Receiver
from bridge.outgoing_events.delivery import EventSender
from bridge.outgoing_events.queue import QueueBounds
from bridge.outgoing_events.webhook import Webhook

# The library of each kind that is an extra of the package, which has the name of the kind.
_LIBRARIES = {"mqtt": "aiomqtt", "nats": "nats"}
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_TOPICS = {"mqtt": "ocpp/{charge_point}/{type}", "nats": "ocpp.{charge_point}.{type}"}
# Of a receiver that gets the events of all tenants.
_SHARED_TOPICS = {"mqtt": "ocpp/{tenant}/{charge_point}/{type}", "nats": "ocpp.{tenant}.{charge_point}.{type}"}


def receivers_of(
    tables: Sequence[EventReceiver], context_of: Callable[[ClientTLS | None], Renewable]
) -> list[Receiver]:
    """Return the receivers of events.

    Args:
        tables: The tables of the configuration.
        context_of: Returns the TLS context of a table.

    Raises:
        ConfigurationError: A library that a kind of receiver needs is not installed.
    """
    missing = [
        Complaint(
            source="configuration",
            key=f"events[{index}].kind",
            text=f"{_LIBRARIES[table.kind]} is not installed here: pip install 'ocpp-bridge[{table.kind}]'",
        )
        for index, table in enumerate(tables)
        if table.kind in _LIBRARIES and find_spec(_LIBRARIES[table.kind]) is None
    ]
    if missing:
        raise ConfigurationError(missing)
    return [_receiver(table, context_of) for table in tables]


def _receiver(table: EventReceiver, context_of: Callable[[ClientTLS | None], Renewable]) -> Receiver:
    fits = re.compile(translate(identities.normal(table.charge_point).casefold())).match
    types = frozenset(table.types)
    return Receiver(
        name=table.name,
        wants=lambda kind, folded: (
            (not types or kind in types)
            and tenants.takes(table.tenant, tenants.tenant_of(folded))
            and fits(tenants.identity_of(folded)) is not None
        ),
        open=partial(_sender, table, context_of),
        timeout=table.timeout,
        bounds=QueueBounds(events=table.max_events, octets=table.max_bytes, age=table.max_age),
        settings=table,
    )


def _sender(table: EventReceiver, context_of: Callable[[ClientTLS | None], Renewable]) -> EventSender:
    url = urlsplit(table.url)
    context = context_of(table.tls)
    password = None if table.password is None else table.password.reveal()
    defaults = _SHARED_TOPICS if table.tenant == tenants.ALL else _TOPICS
    topic = table.topic or defaults.get(table.kind, "")
    match table.kind:
        case "webhook":
            assert table.secret is not None
            return Webhook(table.url, table.secret.reveal(), context)
        case "mqtt":
            from bridge.outgoing_events.mqtt import Mqtt

            return Mqtt(
                url.hostname or "",
                url.port or _MQTT_PORTS[url.scheme],
                topic,
                username=table.username,
                password=password,
                tls=context.current if url.scheme == "mqtts" else None,
                timeout=table.timeout,
            )
    from bridge.outgoing_events.nats import Nats

    return Nats(
        table.url,
        topic,
        username=table.username,
        password=password,
        tls=context if url.scheme == "tls" else None,
        timeout=table.timeout,
    )
