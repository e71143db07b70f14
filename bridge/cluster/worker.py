"""What a supervisor hands to a worker process, and what ends the worker with its supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import MutableMapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from bridge.errors import StartError
from bridge.net.connection_table import ConnectionTable
from bridge.net.descriptors import Inherited

VARIABLE = "OCPP_BRIDGE_WORKER"
"""The environment variable of a worker, with the descriptor of the socket between it and the supervisor."""
# Octets of the longest message on that socket.
LONGEST_MESSAGE = 131_072
# prctl(2): the signal that the system sends to this process when its parent ends.
_PR_SET_PDEATHSIG = 1


class Handover(Struct, frozen=True, kw_only=True):
    """What a supervisor hands to a worker process: the first message on the socket between the two.

    Attributes:
        name: Name of the worker, which is a node of the cluster.
        number: Number of the worker, counted from 1.
        workers: Number of workers on this machine.
        supervisor: Process ID of the supervisor.
        sockets: Descriptors of the listening sockets, by the name of the listener.
        connections: Descriptor of the table of open connections, whose rows are in the order of `sockets`.
        servers: URLs of the NATS servers.
        token: Token of the NATS server that the supervisor has started, "" if it has started none.
    """

    name: str
    number: int
    workers: int
    supervisor: int
    sockets: dict[str, tuple[int, ...]]
    connections: int
    servers: tuple[str, ...]
    token: str = ""

    def message(self) -> bytes:
        """Return the message."""
        return msgspec.json.encode(self)

    def inherited(self) -> dict[str, Inherited]:
        """Return the listening sockets, by the name of the listener. Call this once, in the worker."""
        table = ConnectionTable(self.connections, [*self.sockets], self.workers)
        return {
            listener: Inherited(numbers, table.counts(listener, self.number - 1))
            for listener, numbers in self.sockets.items()
        }


class TakenOver(NamedTuple):
    """The things that a worker has from its supervisor.

    Attributes:
        handover: What the supervisor has handed over.
        channel: The socket on which the worker tells the supervisor of its state.
    """

    handover: Handover
    channel: socket.socket


def taken_over(environ: MutableMapping[str, str]) -> TakenOver | None:
    """Return what the supervisor hands to this process, None if no supervisor has started it.

    The variable is removed from `environ`, and this process ends with the supervisor from now on.

    Raises:
        StartError: The variable is set by somebody else, or the supervisor has ended.
    """
    text = environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        channel = socket.socket(fileno=int(text))
        handover = msgspec.json.decode(channel.recv(LONGEST_MESSAGE), type=Handover)
    except (ValueError, OSError, msgspec.MsgspecError):
        raise StartError(f"the environment variable {VARIABLE} is for workers that a supervisor starts") from None
    channel.set_inheritable(False)
    os.set_inheritable(handover.connections, False)
    _end_with(handover.supervisor)
    return TakenOver(handover, channel)


def _end_with(supervisor: int) -> None:
    """Let the system kill this process when the supervisor ends. Raises StartError if it has ended already."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise StartError(f"the system does not end a worker with its supervisor: {os.strerror(ctypes.get_errno())}")
    # Only now: the supervisor may have ended before the system was told.
    if os.getppid() != supervisor:
        raise StartError("the supervisor of this worker has ended")
