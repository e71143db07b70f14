"""Find the changed keys of a configuration that a running bridge cannot apply."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bridge.config.complaints import Path as KeyPath
from bridge.config.complaints import dotted
from bridge.config.listeners import places
from bridge.config.records import Admin, Settings, Table

# Keys that a reload applies. A reload also applies new certificates of a listener, but cannot switch TLS on or off.
_READ_AGAIN = frozenset({"routes", "central_systems", "charge_points", "tenants", "events", "packs", "policies"})
_KEYS_READ_AGAIN = frozenset({("gateway", "move_when")})
_LISTENERS_READ_AGAIN = frozenset({"peers", "callback_networks", "token", "tokens", "oidc"})


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Return the keys, as written in the file, whose new values in `new` take effect only after a restart."""
    return [dotted(path) for path in (*_tables(old, new), *_listeners(old, new))]


def _tables(old: Settings, new: Settings) -> Iterator[KeyPath]:
    for name in Settings.__struct_fields__:
        one, other = getattr(old, name), getattr(new, name)
        if name not in _READ_AGAIN and isinstance(one, Table) and not isinstance(one, Admin):
            changed = (key for key in one.__struct_fields__ if getattr(one, key) != getattr(other, key))
            yield from ((name, key) for key in changed if (name, key) not in _KEYS_READ_AGAIN)


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
