"""Create the watchers that must be started."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.config import Settings, Tracing
from bridge.config.cluster import is_cluster
from bridge.gateway.health import SpokenProtocols
from bridge.gateway.sessions import mint
from bridge.outgoing_events import Outbox
from bridge.outgoing_events.derivation import EventMaker
from bridge.recorder import Recorder
from bridge.watching.spans import Spans, open_spans


def spans_of(tracing: Tracing, places: SpokenProtocols) -> list[Spans]:
    """Return the watcher that exports spans, or none if tracing is off.

    Raises:
        ConfigurationError: The package that exports spans is not installed.
    """
    return [open_spans(tracing.endpoint, tracing.service_name, places)] if tracing.endpoint else []


def outbox_of(settings: Settings, central_system_of: Callable[[str], str]) -> Outbox:
    """Return the watcher that sends events to other systems. It has no receivers yet.

    Args:
        settings: The configuration.
        central_system_of: Returns the name of a Charge Point's Central System, "" without a Session.
    """
    maker = EventMaker(
        clock=time.time,
        mint=mint,
        central_system_of=central_system_of,
        mask_id_tags=settings.recorder.mask_id_tags,
    )
    return Outbox(settings.store.url, maker)


def recorder_of(settings: Settings) -> tuple[Recorder, list[Recorder]]:
    """Return the recorder, and the watchers for it: none if recording is off."""
    asked = settings.recorder
    recorder = Recorder(
        settings.store.url,
        messages_per_charge_point=asked.messages_per_charge_point,
        max_age=asked.max_age,
        mask_id_tags=asked.mask_id_tags,
        max_bytes=asked.max_bytes,
        node=settings.cluster.node if is_cluster(settings) else "",
    )
    if not asked.enabled:
        return recorder, []
    recorder.open()
    return recorder, [recorder]
