"""Accept connections from a socket that other processes accept from, too."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.net.descriptors import InheritedSocket
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.listeners")
# Seconds for which a process with more connections than another one leaves new ones to the others, and seconds without
# accepting when no descriptor is left.
_LEFT_TO_OTHERS, _WITHOUT_DESCRIPTORS = 0.005, 1.0
# Connections that are accepted at once if the others have left them for some time.
_LEFT_BY_OTHERS = 10
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class SharedServer:
    """Accepts connections from one socket until `close`, as `asyncio.Server` does, but one at a time.

    Args:
        listening: The socket.
        protocol: Called for each connection; returns its protocol.
        tls: The TLS settings; None for plain TCP.
        handshake_timeout: The seconds that a TLS handshake may take; None for asyncio's default.
    """

    def __init__(
        self,
        listening: InheritedSocket,
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
        handshake_timeout: float | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening: InheritedSocket | None = listening
        self._protocol = protocol
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._tasks = Tasks()
        self._later: asyncio.TimerHandle | None = None
        self._accept_from(1)

    @property
    def sockets(self) -> tuple[InheritedSocket, ...]:
        """The socket, none after `close`."""
        return () if self._listening is None else (self._listening,)

    def is_serving(self) -> bool:
        """Return whether the server is not closed."""
        return self._listening is not None

    def pause(self) -> None:
        """Accept no connection from now on."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._listening is not None:
            self._loop.remove_reader(self._listening)

    def close(self) -> None:
        """Accept no more connections. Open ones stay."""
        self.pause()
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _accept_from(self, most: int) -> None:
        """Accept at most `most` connections each time that some wait."""
        self._later = None
        if self._listening is not None:
            self._loop.add_reader(self._listening, self._readable, most)

    def _resume(self, after: float, most: int) -> None:
        self.pause()
        self._later = self._loop.call_later(after, self._accept_from, most)

    def _readable(self, most: int) -> None:
        assert self._listening is not None
        if most == 1 and self._listening.connections.is_ahead:
            self._resume(_LEFT_TO_OTHERS, _LEFT_BY_OTHERS)
            return
        for _ in range(most):
            if not self._accept():
                break
        if most > 1 and self._later is None:
            self._accept_from(1)

    def _accept(self) -> bool:
        """Accept a connection. Returns: False if none waits, or none can be accepted now."""
        assert self._listening is not None
        try:
            accepted, _ = self._listening.accept()
            accepted.setblocking(False)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was faster, or the peer has gone
        except OSError as error:
            if error.errno not in _NO_DESCRIPTORS:
                raise
            self._loop.call_exception_handler(
                {"message": "socket.accept() out of system resource", "exception": error}  # as asyncio has it
            )
            self._resume(_WITHOUT_DESCRIPTORS, 1)
            return False
        connecting = self._loop.connect_accepted_socket(
            self._protocol, accepted, ssl=self._tls, ssl_handshake_timeout=self._handshake_timeout
        )
        self._tasks.spawn(_quietly(connecting), name="accepting")
        return True


async def _quietly(connecting: Coroutine[Any, Any, Any]) -> None:
    """Begin a connection. A TLS handshake that fails is reported by its context, and the connection is closed."""
    try:
        await connecting
    except OSError:  # ssl.SSLError and TimeoutError among them
        _log.debug("a connection was not begun", exc_info=True)
