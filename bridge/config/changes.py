"""What differs between two configurations and cannot be taken over by a bridge that runs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bridge.config.complaints import Path as KeyPath
from bridge.config.complaints import dotted
from bridge.config.listeners import places
from bridge.config.records import Settings, Table

# Taken over at a reload. Of listeners, their certificates too, but not whether they have any.
_READ_AGAIN = frozenset({"routes", "central_systems", "charge_points", "packs"})
_LISTENERS_READ_AGAIN = frozenset({"peers", "callback_networks"})


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The keys, as a person writes them, whose new value a running bridge does not have yet."""
    return [dotted(path) for path in (*_tables(old, new), *_listeners(old, new))]


def _tables(old: Settings, new: Settings) -> Iterator[KeyPath]:
    for name in Settings.__struct_fields__:
        one, other = getattr(old, name), getattr(new, name)
        if name not in _READ_AGAIN and isinstance(one, Table) and not hasattr(one, "listen"):
            yield from ((name, key) for key in one.__struct_fields__ if getattr(one, key) != getattr(other, key))


def _listeners(old: Settings, new: Settings) -> Iterator[KeyPath]:
    for table in ("soap", "websocket"):
        if len(getattr(old, table)) != len(getattr(new, table)):
            yield (table,)
            return
    for one, other in zip(places(old), places(new), strict=True):
        for key, value in msgspec.structs.asdict(one.table).items():
            wanted = getattr(other.table, key)
            changed = (value is None) != (wanted is None) if key == "tls" else value != wanted
            if changed and key not in _LISTENERS_READ_AGAIN:
                yield (*one.path, key)
