"""Those who watch the traffic and need a start of their own."""

from __future__ import annotations

from bridge.config import Settings, Tracing
from bridge.gateway.vitals import Places
from bridge.observing import Observer
from bridge.recorder import Recorder
from bridge.spans import Spans, open_spans


def spans_of(tracing: Tracing, places: Places) -> list[Spans]:
    """None or one. Raises ConfigurationError if what makes them is not installed."""
    return [open_spans(tracing.endpoint, tracing.service_name, places)] if tracing.endpoint else []


def recorder_of(settings: Settings) -> tuple[Recorder, list[Observer]]:
    """The recorder, and who is to be told of the traffic for it: nobody, if nothing is to be recorded."""
    asked = settings.recorder
    recorder = Recorder(
        settings.store.url,
        messages_per_charge_point=asked.messages_per_charge_point,
        max_age=asked.max_age,
        mask_id_tags=asked.mask_id_tags,
        max_bytes=asked.max_bytes,
    )
    if not asked.enabled:
        return recorder, []
    recorder.open()
    return recorder, [recorder]
