"""The network as the gateway sees it: loopback is what it is, everything else is only written down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch


@dataclass(slots=True)
class Network:
    """`reached` is every address on loopback that was connected to, `strayed` every other that was to be. `names` is
    what a name leads to, one answer after the other, `silent` the domain of those that no name server answers before
    `over`, and `asked` the names that were looked up."""

    names: dict[str, list[str]] = field(default_factory=dict)
    silent: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    reached: list[tuple[str, int]] = field(default_factory=list)
    strayed: list[tuple[str, int]] = field(default_factory=list)

    def lead(self, name: str) -> str:
        """The next answer to `name`; the last one stays."""
        self.asked.append(name)
        if self.silent and name.endswith(self.silent):
            self.over.wait()
        answers = self.names.get(name)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def cut_off() -> Iterator[Network]:
    """No connection of the running loop leaves this machine, and no name is looked up elsewhere.

    All that aiohttp, websockets and asyncio connect goes through this method of the loop, and all that they look up
    through this function of the system.
    """
    loop, network = asyncio.get_running_loop(), Network()
    connect, look_up = loop.sock_connect, socket.getaddrinfo

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        if not ip_address(address[0]).is_loopback:
            network.strayed.append(address[:2])
            raise ConnectionRefusedError(f"{address[0]} is not on this machine")
        network.reached.append(address[:2])
        await connect(sock, address)

    def getaddrinfo(host: Any, port: Any, *others: Any, **options: Any) -> list[Any]:
        return look_up(host if _is_number(host) else network.lead(host), port, *others, **options)

    with patch.object(loop, "sock_connect", sock_connect), patch.object(socket, "getaddrinfo", getaddrinfo):
        try:
            yield network
        finally:
            network.over.set()


def _is_number(host: str) -> bool:
    """Whether it is an IP address, in any of the spellings that the system reads."""
    with contextlib.suppress(OSError):
        return bool(socket.inet_aton(host))
    with contextlib.suppress(OSError):
        return bool(socket.inet_pton(socket.AF_INET6, host))
    return False
