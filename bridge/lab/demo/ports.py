"""The ports of the demo: those in the documentation, or free ports in place of taken ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The port of each listener: three of the gateway, one of each simulator."""

    soap: int = 8080
    admin: int = 8081
    websocket: int = 9000
    central_system: int = 9100
    charge_point: int = 8082

    def free(self) -> Ports:
        """Return these ports, with a free port in place of each taken one. Raises OSError without a free port."""
        with ExitStack() as held:  # all ports are held at the same time, so that no free port is found twice
            soap, admin, websocket, central_system, charge_point = [_bound(port, held) for port in astuple(self)]
        return Ports(
            soap=soap, admin=admin, websocket=websocket, central_system=central_system, charge_point=charge_point
        )

    def moved(self, wanted: Ports) -> Iterator[tuple[int, int]]:
        """Yield each pair of a port in `wanted` and the different port that replaced it."""
        for before, after in zip(astuple(wanted), astuple(self), strict=True):
            if before != after:
                yield before, after


def _bound(port: int, held: ExitStack) -> int:
    try:
        return _bind(port, held)
    except OSError:
        return _bind(0, held)


def _bind(port: int, held: ExitStack) -> int:
    found = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # The servers set SO_REUSEADDR too: connections of an earlier run in TIME_WAIT do not make a port taken.
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((HOST, port))
    number: int = found.getsockname()[1]
    return number
