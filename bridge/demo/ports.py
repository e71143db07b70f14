"""Where the demo listens: the ports that the documentation names, or free ones where those are taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One for each listener: the gateway's three, and one of each simulator."""

    soap: int = 8080
    admin: int = 8081
    websocket: int = 9000
    central_system: int = 9100
    charge_point: int = 8082

    def free(self) -> Ports:
        """These, with others in place of those that somebody listens at. Raises OSError when there are none."""
        with ExitStack() as held:  # all at once, so that none is found twice
            soap, admin, websocket, central_system, charge_point = [_bound(port, held) for port in astuple(self)]
        return Ports(
            soap=soap, admin=admin, websocket=websocket, central_system=central_system, charge_point=charge_point
        )

    def moved(self, wanted: Ports) -> Iterator[tuple[int, int]]:
        """What was wanted, and what it became, where that is not the same."""
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
    # As the servers do: connections of an earlier run that have not timed out yet do not count.
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((HOST, port))
    number: int = found.getsockname()[1]
    return number
