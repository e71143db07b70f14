"""All listeners: opened, named in the log, given new certificates while they listen, closed."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from bridge import logs
from bridge.config import TLS, Network, Settings, Soap, WebSocket
from bridge.config.listeners import Place, cannot_listen, places
from bridge.core.addresses import within
from bridge.errors import BridgeError, ConfigurationError, ErrorCode
from bridge.tls import Renewable, refusal, server_context, speaks_old

_log = logging.getLogger("bridge.listeners")


class Server(Protocol):
    """What listens."""

    address: tuple[str, int]

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Begin. Raises OSError where that is not possible."""

    async def close(self) -> None:
        """Stop, and hang up."""


S = TypeVar("S", bound=Server)
Made = Callable[[Place], Server]


class Listening(Struct):
    """One listener, and the rules that hold for it now."""

    place: Place
    server: Server
    context: Renewable | None


class Listeners:
    """All of a gateway's, by their names. `refused` is told of peers whose TLS handshake fails."""

    def __init__(self, refused: Callable[[BridgeError], None] = lambda error: None) -> None:
        self._refused = refused
        self._all: dict[str, Listening] = {}

    async def open(self, settings: Settings, make: Made) -> None:
        """Listen with what `make` makes for each. Raises OSError when a port is taken, and ConfigurationError when a
        certificate is unusable; what listens already is left for `close`."""
        for place in places(settings):
            context = self._context(place)
            server = make(place)
            self._all[place.name] = Listening(place, server, context)
            await _start(place, server, context)
            host, port = server.address
            logs.fields(_log, logging.INFO, "listening", listener=place.name, address=f"{host}:{port}")

    def _context(self, place: Place) -> Renewable | None:
        if place.table.tls is None:
            return None

        def failed(error: ssl.SSLError) -> None:
            text, why = refusal(error)
            said = f"no TLS at the listener {place.name}: {text}"
            self._refused(BridgeError(ErrorCode.SecurityError, said, why=why))

        context = Renewable(_building(place, place.table.tls), failed)
        context.renew()
        _warn_of_old(place, place.table.tls)
        return context

    async def close(self) -> None:
        """Stop listening, and hang up."""
        for listening in self._all.values():
            await listening.server.close()

    def reload(self, settings: Settings) -> None:
        """Take over certificates, and from where each may be used and callbacks may be learnt; connections stay.

        What cannot be read is not taken over: the last good certificate stays in use.
        """
        for place in places(settings):
            listening = self._all.get(place.name)
            if listening is not None and type(listening.place.table) is type(place.table):
                _renew(listening, place)
                listening.place = _with_rules_of(listening.place, place)

    def __iter__(self) -> Iterator[Listening]:
        return iter(self._all.values())

    def of(self, kind: type[S]) -> list[S]:
        """The servers of a kind, in the order in which they stand in the configuration."""
        return [listening.server for listening in self if isinstance(listening.server, kind)]

    def admits(self, name: str, peer: str) -> bool:
        """Whether the IP address `peer` may use the listener."""
        table = self._all[name].place.table
        networks = table.peers if isinstance(table, Soap | WebSocket) else ()
        return not networks or within(peer, networks)

    def callback_networks(self, name: str) -> tuple[Network, ...]:
        """Where callback addresses may lead that are learnt through the listener."""
        table = self._all[name].place.table
        return table.callback_networks if isinstance(table, Soap) else ()

    def all_callback_networks(self) -> tuple[Network, ...]:
        """The same, through any of them."""
        return tuple(dict.fromkeys(network for name in self._all for network in self.callback_networks(name)))


async def _start(place: Place, server: Server, context: Renewable | None) -> None:
    listen = place.table.listen
    try:
        await server.start(listen.host, listen.port, context)
    except OSError as error:
        raise cannot_listen(f"{place.key}.listen", listen, error) from error


def _building(place: Place, tls: TLS) -> Callable[[], ssl.SSLContext]:
    return lambda: server_context(tls, f"{place.key}.tls")


def _renew(listening: Listening, place: Place) -> None:
    if listening.context is None or place.table.tls is None:
        return
    try:
        listening.context.renew(_building(place, place.table.tls))
    except ConfigurationError as error:
        text = "CERTIFICATE NOT TAKEN OVER, the last good one stays in use"
        for complaint in error.complaints:
            logs.fields(_log, logging.ERROR, text, listener=place.name, complaint=complaint)
        return
    logs.fields(_log, logging.INFO, "certificate read again", listener=place.name)
    _warn_of_old(place, place.table.tls)


def _warn_of_old(place: Place, tls: TLS) -> None:
    if speaks_old(tls):
        text = "OLD TLS IS SPOKEN HERE, which others can read and change; let in only who can do nothing better"
        logs.fields(_log, logging.WARNING, text, listener=place.name, minimum_version=tls.minimum_version)


def _with_rules_of(old: Place, new: Place) -> Place:
    rules = {name: getattr(new.table, name) for name in ("peers", "callback_networks") if hasattr(new.table, name)}
    return msgspec.structs.replace(old, table=msgspec.structs.replace(old.table, **rules))
