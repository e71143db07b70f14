"""Open and close all listeners, log them, and renew their certificates while they listen."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bridge.config import TLS, Admin, Listen, Network, Settings, Soap, WebSocket
from bridge.config.listeners import Place, cannot_listen, places
from bridge.config.records import Proxied
from bridge.config.tenants import by_host, tenant_at
from bridge.core.addresses import CallbackTarget, Learning, port_of
from bridge.core.destinations import LOOPBACK, Destinations, OwnListeners, within
from bridge.errors import BridgeError, ConfigurationError, ErrorCode, Why
from bridge.net.descriptors import OURS, Inherited, Purpose
from bridge.net.listening import is_local
from bridge.net.lookups import look_up
from bridge.net.proxies.preamble import STRANGER, stands_for_tls
from bridge.net.proxies.rules import Proxies
from bridge.net.tls import Renewable, after_headers, refusal, server_context, speaks_old
from bridge.ocpp import tenants
from bridge.watching import logs
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.listeners")
# Seconds between two resolutions of the public names.
_LOOKED_UP_EVERY = 60.0


class Server(Protocol):
    """A server of one listener."""

    address: tuple[str, int]
    bound: tuple[tuple[str, int], ...]
    """All IP addresses and ports at which the server listens."""

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None, inherited: Inherited | None = None) -> None:
        """Start to listen, with `inherited` at these sockets. Raises OSError if it cannot."""

    async def close(self) -> None:
        """Stop listening, and close all connections."""


S = TypeVar("S", bound=Server)
Made = Callable[[Place], Server]


class OpenListener(Struct):
    """One listener, and the rules that apply to it now."""

    place: Place
    server: Server
    context: Renewable | None


class Listeners:
    """All listeners of a gateway, by name.

    Args:
        refused: Called for each failed TLS handshake.
        inherited: The sockets that another process bound, by the name of the listener. A listener without any binds its
            address itself.
    """

    def __init__(
        self,
        refused: Callable[[BridgeError], None] = lambda error: None,
        inherited: Mapping[str, Inherited] = MappingProxyType({}),
    ) -> None:
        self._refused = refused
        self._inherited = inherited
        self._all: dict[str, OpenListener] = {}
        self._hosts: dict[str, str] = {}  # the tenants, by host name
        self._led_to: dict[str, list[str]] = {}  # IP addresses, by the names in `public_url`
        self.own = OwnListeners()
        """The addresses of the bridge's own listeners, as far as they are open and resolved."""

    async def open(self, settings: Settings, make: Made) -> None:
        """Open all listeners of `settings`, each with the server that `make` returns.

        If one cannot be opened, those that are open are left for `close`.

        Raises:
            OSError: A port is taken.
            ConfigurationError: A certificate, or the Python that runs, cannot be used.
        """
        self._hosts = by_host(settings)
        if complaints := list(after_headers(places(settings))):
            raise ConfigurationError(complaints)
        for place in places(settings):
            context = self._context(place)
            server = make(place)
            self._all[place.name] = OpenListener(place, server, context)
            await _start(place, server, context, self._inherited.get(place.name))
            self.own = self._own()
            addresses = ",".join(str(Listen(host, port)) for host, port in server.bound)
            logs.fields(_log, logging.INFO, "listening", listener=place.name, address=addresses)

    def _own(self) -> OwnListeners:
        """Return the addresses to which the listeners are bound, and those of their public names."""
        bound = [place for listening in self for place in listening.server.bound]
        known = [(host, port) for name, port in self._public() for host in (name, *self._led_to.get(name, ()))]
        return OwnListeners.at([*bound, *known], is_local)

    def _public(self) -> Iterator[tuple[str, int]]:
        """Yield the hosts and ports of the public URLs, with those of the tenants."""
        for table in self._tables():
            url = urlsplit(table.public_url) if isinstance(table, Soap) else None
            if url is not None and url.hostname:
                for host in (url.hostname, *self._hosts):
                    yield host, port_of(url.geturl())

    async def look_up(self) -> None:
        """Resolve the public names, because a callback address that leads there would lead to a listener of the bridge.

        A name that cannot be resolved now keeps its last addresses.
        """
        names = dict.fromkeys(name for name, _ in self._public())
        found = await asyncio.gather(*(look_up(name, None) for name in names), return_exceptions=True)
        self._led_to |= {name: hosts for name, hosts in zip(names, found, strict=True) if isinstance(hosts, list)}
        self.own = self._own()

    async def follow_names(self) -> None:
        """Resolve the public names every 60 seconds, because their addresses may change."""
        while True:
            await asyncio.sleep(_LOOKED_UP_EVERY)
            await self.look_up()

    def _tables(self) -> Iterator[Soap | WebSocket | Admin]:
        return (listening.place.table for listening in self)

    def _context(self, place: Place) -> Renewable | None:
        if place.table.tls is None:
            return None

        def failed(error: ssl.SSLError, began: bytes) -> None:
            text, why = (STRANGER, Why.MALFORMED) if stands_for_tls(began) else refusal(error)
            said = f"no TLS at the listener {place.name}: {text}"
            self._refused(BridgeError(ErrorCode.SecurityError, said, why=why))

        context = Renewable(_building(place, place.table.tls), failed)
        context.renew()
        _warn_of_old(place, place.table.tls)
        return context

    async def close(self) -> None:
        """Close all listeners and their connections."""
        for listening in self._all.values():
            await listening.server.close()

    def reload(self, settings: Settings) -> None:
        """Take over the certificates, the hosts of tenants, and the networks of peers and callbacks of `settings`.

        Connections stay open.

        If a certificate cannot be read, the last good one stays in use.
        """
        self._hosts = by_host(settings)
        for place in places(settings):
            listening = self._all.get(place.name)
            if listening is not None and type(listening.place.table) is type(place.table):
                _renew(listening, place)
                listening.place = _with_rules_of(listening.place, place)

    def __iter__(self) -> Iterator[OpenListener]:
        return iter(self._all.values())

    def of(self, kind: type[S]) -> list[S]:
        """Return the servers of the type `kind`, in the order of the configuration."""
        return [listening.server for listening in self if isinstance(listening.server, kind)]

    def admits(self, name: str, peer: str) -> bool:
        """Return whether the IP address `peer` may use the listener `name`."""
        table = self._all[name].place.table
        networks = table.peers if isinstance(table, Soap | WebSocket) else ()
        return not networks or within(peer, networks)

    def tenant_at(self, name: str, hosts: Sequence[str]) -> str | None:
        """Return the tenant of a peer of the listener `name`, None if its address is not one of the listener.

        `hosts` are the host names in the peer's address.
        """
        table = self._all[name].place.table
        if not isinstance(table, Soap | WebSocket):
            return tenants.DEFAULT
        # Most bridges have no tenants, and each message comes by here.
        return tenant_at(table, hosts, self._hosts) if self._hosts else tenants.named(table.tenant)

    # Callback addresses.

    def learning(self, name: str, peer: str) -> Learning:
        """Return how to learn a callback address from the IP address `peer` at the listener `name`."""
        loopback = self._is_on_loopback(name) and not within(peer, self._all[name].place.table.proxies)
        return Learning(networks=self._callback_networks(name), loopback=loopback, own=self.own)

    def limited(self, callback: CallbackTarget) -> CallbackTarget:
        """Return `callback`, which was learnt before, restricted to the networks that any listener admits now."""
        networks = tuple(dict.fromkeys(network for name in self._all for network in self._callback_networks(name)))
        return callback.limited(networks, loopback=any(map(self._is_on_loopback, self._all)))

    def destinations(self, callback: CallbackTarget) -> Destinations:
        """Return the IP addresses to which a connection to `callback` may lead, once its host is resolved."""
        return Destinations(networks=callback.networks, own=self.own)

    def _callback_networks(self, name: str) -> tuple[Network, ...]:
        table = self._all[name].place.table
        return table.callback_networks if isinstance(table, Soap) else ()

    def _is_on_loopback(self, name: str) -> bool:
        listening = self._all[name]
        return isinstance(listening.place.table, Soap) and all(
            within(host, LOOPBACK) for host, _ in listening.server.bound
        )


def proxies_of(table: Proxied, ignored: Callable[[str, str], None]) -> Proxies:
    """Return the proxies that a listener trusts to state the client's address.

    Args:
        table: The settings of the listener.
        ignored: Called with the IP address and the fields of a peer that is not such a proxy.
    """
    return Proxies(
        networks=table.proxies,
        mode=table.proxy,
        certificate_header=table.proxy_certificate_header,
        certificate_format=table.proxy_certificate_format,
        ignored=ignored,
    )


def descriptors_wanted(settings: Settings) -> str | None:
    """Return a warning if file descriptors do not suffice for the connections of all listeners, else None."""
    listeners = len(settings.soap) + len(settings.websocket)
    wanted, room = listeners * settings.limits.connections, OURS.room(Purpose.ACCEPTED)
    if wanted <= room:
        return None
    return (
        f"limits.connections: {listeners} listeners may have {wanted} connections together, and file descriptors "
        f"suffice for {room} (RLIMIT_NOFILE, LimitNOFILE of systemd): accepting pauses when they are gone"
    )


def watch_accepting() -> None:
    """Log once a minute that connections cannot be accepted for lack of file descriptors.

    asyncio reports it once a second for each listener.
    """
    loop, gate = asyncio.get_running_loop(), RepeatLimiter(time.monotonic)

    def told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") != "socket.accept() out of system resource":
            loop.default_exception_handler(context)
        elif (held := gate.passes("accept")) is not None:
            text = "no file descriptor is left (RLIMIT_NOFILE): accepting pauses until some are"
            logs.fields(_log, logging.ERROR, text, held_back=held or None)

    loop.set_exception_handler(told)


async def _start(place: Place, server: Server, context: Renewable | None, inherited: Inherited | None) -> None:
    listen = place.table.listen
    try:
        await server.start(listen.host, listen.port, context, inherited)
    except OSError as error:
        raise cannot_listen(f"{place.key}.listen", listen, error) from error


def _building(place: Place, tls: TLS) -> Callable[[], ssl.SSLContext]:
    return lambda: server_context(tls, f"{place.key}.tls")


def _renew(listening: OpenListener, place: Place) -> None:
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
