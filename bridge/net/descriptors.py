"""File descriptors: the limit of the process, and the connections that get none when they run out.

Every connection takes one descriptor. They are counted here. Connections that the bridge opens leave some descriptors
for accepted ones, both leave some for the admin listener, and all leave some for the store, the log and DNS look-ups.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from bridge.net.connection_table import OpenConnections

# Descriptors that are reserved for files, and for other uses that are not counted.
_OWN = 80
# Connections that may wait to be accepted: asyncio's default.
_BACKLOG = 100
# Errors of the system for an address that it does not have, or whose family is switched off.
_NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Purpose(Enum):
    """The purposes of a connection.

    The value of each is the number of descriptors that it leaves to the purposes above it, and the share of all
    descriptors that it leaves in addition.
    """

    ADMIN = (0, 0.0)
    ACCEPTED = (16, 0.0)
    OPENED = (48, 1 / 8)


def raise_limit() -> int:
    """Raise the soft limit of this process to the hard one. Return the limit that holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems have a lower limit than the hard one
            return soft
    return hard


def limit() -> int:
    """Return the number of descriptors that this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Lease:
    """One counted descriptor, until `end` is called."""

    __slots__ = ("_of",)

    def __init__(self, of: Descriptors) -> None:
        self._of: Descriptors | None = of

    def end(self) -> None:
        """Uncount the descriptor. Further calls do nothing."""
        if self._of is not None:
            self._of.in_use -= 1
            self._of = None


class Descriptors:
    """The count of the descriptors of connections. `most` returns the number that the process may have."""

    def __init__(self, most: Callable[[], int] = limit) -> None:
        self._most = most
        self.in_use = 0
        """Number of descriptors that connections use."""

    def room(self, purpose: Purpose) -> int:
        """Return the number of connections, of any purpose, up to which a new one for `purpose` gets a descriptor."""
        below, part = purpose.value
        most = self._most()
        return max(1, most - _OWN - below - int(part * most))

    def lease(self, purpose: Purpose) -> Lease | None:
        """Count a descriptor for a new connection. Return its Lease, None if none is left for `purpose`."""
        if self.in_use >= self.room(purpose):
            return None
        self.in_use += 1
        return Lease(self)


OURS = Descriptors()
"""The one count of this process."""


class _Leased(socket.socket):
    """The socket of a connection, whose descriptor is uncounted when it is closed."""

    __slots__ = ("lease",)
    lease: Lease | _CountedLease

    def close(self) -> None:
        super().close()
        self.lease.end()


class AcceptingSocket(socket.socket):
    """A listening socket that accepts as long as descriptors are left for `purpose`.

    When none is left, `accept` fails as if the system had none: asyncio then accepts nothing for a second, and tries
    again.
    """

    __slots__ = ("descriptors", "purpose")
    descriptors: Descriptors
    purpose: Purpose

    def accept(self) -> tuple[socket.socket, object]:
        lease = self.descriptors.lease(self.purpose)
        if lease is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        try:
            accepted, address = super().accept()
        except BaseException:
            lease.end()
            raise
        connection = _Leased(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        connection.lease = lease
        return connection, address


class _CountedLease:
    """A counted descriptor of a connection that counts for its process, too."""

    __slots__ = ("_connections", "_lease")

    def __init__(self, lease: Lease, connections: OpenConnections) -> None:
        self._lease = lease
        self._connections: OpenConnections | None = connections
        connections.enter()

    def end(self) -> None:
        """Uncount both. Further calls do nothing."""
        self._lease.end()
        if self._connections is not None:
            self._connections.leave()
            self._connections = None


class InheritedSocket(AcceptingSocket):
    """A listening socket that another process has bound, and that others accept from, too."""

    __slots__ = ("connections",)
    connections: OpenConnections

    def accept(self) -> tuple[socket.socket, object]:
        connection, address = super().accept()
        assert isinstance(connection, _Leased) and isinstance(connection.lease, Lease)
        connection.lease = _CountedLease(connection.lease, self.connections)
        return connection, address


class Inherited(NamedTuple):
    """The sockets of one listener that another process has bound and handed to this one.

    Attributes:
        numbers: Their descriptors.
        connections: The open connections of the listener, of this process and of the others.
    """

    numbers: Sequence[int]
    connections: OpenConnections

    def sockets(self, purpose: Purpose = Purpose.ACCEPTED, descriptors: Descriptors = OURS) -> list[InheritedSocket]:
        """Return the sockets, whose connections are for `purpose` and counted in `descriptors`. Call this once."""
        sockets = [InheritedSocket(fileno=number) for number in self.numbers]
        for listening in sockets:
            listening.set_inheritable(False)
            listening.setblocking(False)
            listening.descriptors, listening.purpose = descriptors, purpose
            listening.connections = self.connections
        return sockets


def listen_at(
    host: str, port: int, purpose: Purpose = Purpose.ACCEPTED, descriptors: Descriptors = OURS
) -> list[AcceptingSocket]:
    """Return listening sockets, one for each address of `host`, the IPv4 addresses first.

    An address that this machine does not have is left out, as asyncio does, unless no other is left: "localhost" may
    stand for ::1 on a machine without IPv6.

    Args:
        host: An IP address, or a name of this machine: "localhost" often stands for 127.0.0.1 and ::1.
        port: The port. 0 stands for any free port, which may differ between the addresses.
        purpose: The purpose of the accepted connections.
        descriptors: The count of their descriptors.

    Raises:
        OSError: If the bridge cannot listen at one of the addresses. Then no socket is left open.
    """
    found = dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    sockets: list[AcceptingSocket] = []
    absent: OSError | None = None
    try:
        for family, kind, proto, _, address in sorted(found, key=lambda one: one[0] != socket.AF_INET):
            try:
                sockets.append(_listening(AcceptingSocket(family, kind, proto), address))
            except OSError as error:
                text = f"cannot listen at the address {address[0]}, port {port}: {os.strerror(error.errno or 0)}"
                absent = OSError(error.errno, text)
                if error.errno not in _NOT_HERE:
                    raise absent from error
        if not sockets and absent is not None:
            raise absent
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    for listening in sockets:
        listening.descriptors, listening.purpose = descriptors, purpose
    return sockets


def _listening(made: AcceptingSocket, address: tuple[object, ...]) -> AcceptingSocket:
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio does
        made.bind(address)
        made.listen(_BACKLOG)  # two sockets may be bound to one address; only one of them may listen
    except OSError:
        made.close()
        raise
    return made
