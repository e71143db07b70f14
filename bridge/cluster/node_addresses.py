"""Where a node listens for links: `unix:/path` or `tcp://host:port`."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

# The octets that the path of a Unix socket may have. Linux has room for 107, and the number of a process may follow.
MOST_OF_PATH = 96


class UnixAddress(Struct, frozen=True):
    """A Unix socket, for the nodes of one machine."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class TCPAddress(Struct, frozen=True):
    """A TCP port. `host` is an IP address or a name; `port` 0 stands for any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_address(text: str) -> UnixAddress | TCPAddress:
    """Return the address that `text` spells.

    Raises:
        ValueError: It spells none.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r} has no absolute path")
        if len(path.encode()) > MOST_OF_PATH:
            raise ValueError(f"the path of {text!r} has more than {MOST_OF_PATH} octets")
        return UnixAddress(path)
    parts = urlsplit(text)
    if parts.scheme != "tcp" or not parts.hostname or parts.port is None or parts.netloc.count("@"):
        raise ValueError(f"{text!r} is neither unix:/path nor tcp://host:port")
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has something after the port")
    return TCPAddress(parts.hostname, parts.port)
