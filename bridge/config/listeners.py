"""The listeners of a configuration: where each stands in the file, and what it is called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import Admin, Listen, Listener, Settings, Soap, WebSocket

# What is one for the whole bridge, and stands in the first table.
_ONCE = {"soap": ("connection_per_call", "wsdl")}


class Place(Struct, frozen=True, kw_only=True):
    """A listener: `path` of its table, the `name` that logs and other rooms know it by, and the table."""

    path: KeyPath
    name: str
    table: Soap | WebSocket | Admin

    @property
    def key(self) -> str:
        """The table as complaints name it."""
        return dotted(self.path)


def path_of(table: str, index: int, count: int) -> KeyPath:
    """Where a listener's keys are: in the only table of that name, or in one of several."""
    return (table,) if count == 1 else (table, index)


def places(settings: Settings) -> Iterator[Place]:
    """All listeners, in the order in which they are opened."""
    yield from _several("soap", settings.soap)
    yield from _several("websocket", settings.websocket)
    yield Place(path=("admin",), name="admin", table=settings.admin)


def _several(table: str, listeners: Sequence[Soap | WebSocket]) -> Iterator[Place]:
    for index, listener in enumerate(listeners):
        default = table if index == 0 else f"{table}-{index + 1}"
        yield Place(path=path_of(table, index, len(listeners)), name=listener.name or default, table=listener)


def check_names(settings: Settings, complaints: Complaints) -> None:
    """Complain about names that two listeners share, or that a line of the log cannot hold."""
    seen: set[str] = set()
    for place in places(settings):
        if place.name in seen:
            complaints.add((*place.path, "name"), f"another listener is called {quote(place.name)} too")
        if not place.name.isprintable() or place.name != place.name.strip():
            complaints.add((*place.path, "name"), "has blanks around it or control characters")
        seen.add(place.name)


def check_once(tree: dict[str, Any], complaints: Complaints) -> None:
    """Complain about keys of a further table that only the first can hold. Looks at the raw tree: in the records, a key
    that was left out is the same as its default."""
    for table, keys in _ONCE.items():
        listeners = tree.get(table)
        for index, raw in enumerate(listeners if isinstance(listeners, list) else []):
            for key in keys if index and isinstance(raw, dict) else ():
                if key in raw:
                    text = f"is one for the whole bridge: it belongs in the first [[{table}]]"
                    complaints.add((table, index, key), text)


def cannot_listen(key: str, listen: Listen, error: OSError) -> OSError:
    """What to raise instead of `error`, in words for who wrote `key`. asyncio's own hold the address a second time."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"{key}: cannot listen at {listen}: {text}")


def is_listener(table: object) -> bool:
    """Whether this is a table that a file may hold one or several of."""
    return isinstance(table, type) and issubclass(table, Listener)
