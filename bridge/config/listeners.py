"""Find the listeners of a configuration, with the place of each in the file and its name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any

from msgspec import Struct

from bridge.config.complaints import Complaints, dotted, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import Admin, Listen, Listener, Settings, Soap, WebSocket

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (an address to connect to)
# Keys that apply to the whole bridge. Only the first listener's table may hold them.
_ONCE = {"soap": ("connection_per_call", "wsdl")}


class Place(Struct, frozen=True, kw_only=True):
    """A listener of the configuration.

    Attributes:
        path: Path of its table.
        name: Name in logs, metrics and the rest of the bridge.
        table: Its settings.
    """

    path: KeyPath
    name: str
    table: Soap | WebSocket | Admin

    @property
    def key(self) -> str:
        """Path of the table, as complaints show it."""
        return dotted(self.path)


def path_of(table: str, index: int, count: int) -> KeyPath:
    """Return the path of a listener's table.

    Args:
        table: Name of the table.
        index: Index of the listener.
        count: Number of listeners of that name. The path of the only one has no index.
    """
    return (table,) if count == 1 else (table, index)


def places(settings: Settings) -> Iterator[Place]:
    """Return all listeners, in the order in which the bridge opens them."""
    yield from _several("soap", settings.soap)
    yield from _several("websocket", settings.websocket)
    yield Place(path=("admin",), name="admin", table=settings.admin)


def _several(table: str, listeners: Sequence[Soap | WebSocket]) -> Iterator[Place]:
    for index, listener in enumerate(listeners):
        default = table if index == 0 else f"{table}-{index + 1}"
        yield Place(path=path_of(table, index, len(listeners)), name=listener.name or default, table=listener)


def check_names(settings: Settings, complaints: Complaints) -> None:
    """Complain about listener names that are not unique, or that have control characters or outer spaces."""
    seen: set[str] = set()
    for place in places(settings):
        if place.name in seen:
            complaints.add((*place.path, "name"), f"another listener is called {quote(place.name)} too")
        if not place.name.isprintable() or place.name != place.name.strip():
            complaints.add((*place.path, "name"), "has blanks around it or control characters")
        seen.add(place.name)


def check_once(tree: dict[str, Any], complaints: Complaints) -> None:
    """Complain about keys in a further table that only the first table may hold.

    `tree` holds the raw values: in a record, a missing key cannot be distinguished from its default.
    """
    for table, keys in _ONCE.items():
        listeners = tree.get(table)
        for index, raw in enumerate(listeners if isinstance(listeners, list) else []):
            for key in keys if index and isinstance(raw, dict) else ():
                if key in raw:
                    text = f"is one for the whole bridge: it belongs in the first [[{table}]]"
                    complaints.add((table, index, key), text)


def cannot_listen(key: str, listen: Listen, error: OSError) -> OSError:
    """Return the error to raise if a listener cannot bind.

    Args:
        key: Table or option of the listener, which the text names.
        listen: Address of the listener.
        error: The error of asyncio, whose own text would repeat the address.
    """
    if isinstance(error, socket.gaierror):  # its number is one of the resolver's
        text = error.strerror or str(error)
    else:
        text = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"{key}: cannot listen at {listen}: {text}")


def admin_url(admin: Admin) -> str:
    """Return the URL of the admin listener for clients on this machine."""
    listen = Listen(_LOOPBACK_OF.get(admin.listen.host, admin.listen.host), admin.listen.port)
    return f"{'http' if admin.tls is None else 'https'}://{listen}"


def is_local(listen: Listen) -> bool:
    """Return whether only this machine can reach the address. A name other than `localhost` counts as reachable."""
    try:
        return ip_address(listen.host.partition("%")[0]).is_loopback
    except ValueError:
        return listen.host.lower() == "localhost"


def is_listener(table: object) -> bool:
    """Return whether `table` is a record class of which the file may hold several tables."""
    return isinstance(table, type) and issubclass(table, Listener)
