"""A bridge that is killed between two steps: `KILLED=POINT python -m tests.outgoing_events.killed serve ...`.

The process sends itself SIGKILL when it comes to the point for the first time: nothing is written, closed or said.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bridge.commands.cli import main
from bridge.outgoing_events.database import EventDatabase, EventRow
from bridge.outgoing_events.delivery import Delivery
from bridge.outgoing_events.webhook import Webhook
from bridge.store.database import Database
from bridge.store.records import AnsweredRecord

# Each with what is patched: a class, a method, which of its calls, and whether the kill comes before the call or after.
_Point = tuple[type, str, Callable[..., bool], bool]


def _money(database: EventDatabase, events: list[EventRow], *_: Any, **__: Any) -> bool:
    return any(event.money for event in events)


def _delivered(database: EventDatabase, events: list[EventRow], done: list[int], *_: Any, **__: Any) -> bool:
    return bool(done)


def _answered(database: Database, records: Any, **_: Any) -> bool:
    return any(isinstance(record, AnsweredRecord) for record in records)


def _always(*_: Any, **__: Any) -> bool:
    return True


POINTS: dict[str, _Point] = {
    "the event is not written yet": (EventDatabase, "write", _money, True),
    "the event is written, the answer is not": (EventDatabase, "write", _money, False),
    "the answer is written, the Charge Point has not got it": (Database, "write", _answered, False),
    "the event is about to be sent": (Webhook, "send", _always, True),
    "the receiver has the event": (Delivery, "_succeeded", _always, True),
    "the event is about to be deleted": (EventDatabase, "write", _delivered, True),
    "the event is deleted": (EventDatabase, "write", _delivered, False),
}


def _patch(owner: type, name: str, wanted: Callable[..., bool], before: bool) -> None:
    original = getattr(owner, name)

    def patched(*arguments: Any, **options: Any) -> Any:
        now = wanted(*arguments, **options)
        if now and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, patched)


if __name__ == "__main__":
    if point := os.environ.get("KILLED"):
        _patch(*POINTS[point])
    sys.exit(main())
