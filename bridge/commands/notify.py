"""Report the state of the service to systemd with sd_notify(3): ready, reloading, stopping.

If systemd watches the service, also report regularly that the event loop runs. Without systemd, nothing is sent. A
worker reports the same to its supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping, Sequence

import msgspec

from bridge.cluster.supervisor import REFUSED

# Longest time from the end of the drain to the end of the process, in seconds. Closing connections and the store takes
# less: they have shorter time limits.
CLOSING = 15
# Characters of all complaints together that a worker tells its supervisor.
_LONGEST = 30_000


class Notifier:
    """Sends the state of the service to the socket in NOTIFY_SOCKET, and the watchdog's messages (WATCHDOG_USEC).

    Args:
        environment: The environment variables.
        channel: A socket to send to in place of that in NOTIFY_SOCKET: a supervisor listens there.
    """

    def __init__(self, environment: Mapping[str, str], channel: socket.socket | None = None) -> None:
        self._channel = channel
        address = environment.get("NOTIFY_SOCKET", "")
        # "If the first character is '@', the string is understood as Linux abstract namespace socket."
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
        """Seconds within which the service must report that its event loop runs; 0 for never."""

    def ready(self) -> None:
        """Report that the service runs with its current configuration."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Report that the service reads its configuration. The caller calls `ready` afterwards in any case."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within: float) -> None:
        """Report that the service stops after a drain of at most `within` seconds, so that systemd waits as long."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((within + CLOSING) * 1e6)}")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report twice in each watchdog interval that `loop` runs, if there is a watchdog."""
        if self.watchdog > 0:
            self._tell("WATCHDOG=1")
            loop.call_later(self.watchdog / 2, self.watch, loop)

    def refused(self, complaints: Sequence[str]) -> bool:
        """Report to the supervisor why this worker does not take over its configuration.

        Returns: False if there is no supervisor, so that the caller reports it otherwise.
        """
        if self._channel is None:
            return False
        kept, size = list[str](), 0
        for complaint in complaints:
            size += len(complaint)
            if kept and size > _LONGEST:
                break
            kept.append(complaint[:_LONGEST])
        self._tell(REFUSED + msgspec.json.encode(kept).decode())
        return True

    def _tell(self, state: str) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(state.encode(), socket.MSG_DONTWAIT)
            return
        if not self._address:
            return
        # A message that cannot be delivered is no reason to fail.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.setblocking(False)
            teller.sendto(state.encode(), self._address)
