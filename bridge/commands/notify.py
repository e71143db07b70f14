"""Report the state of the service to systemd with sd_notify(3): ready, reloading, stopping.

If systemd watches the service, also report regularly that the event loop runs. Without systemd, nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping

# Longest time from the end of the drain to the end of the process, in seconds. Closing connections and the store takes
# less: they have shorter time limits.
_CLOSING = 15


class Notifier:
    """Sends the state of the service to the socket in NOTIFY_SOCKET, and the watchdog's messages (WATCHDOG_USEC)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "If the first character is '@', the string is understood as Linux abstract namespace socket."
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """Report that the service runs with its current configuration."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Report that the service reads its configuration. The caller calls `ready` afterwards in any case."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within: float) -> None:
        """Report that the service stops after a drain of at most `within` seconds, so that systemd waits as long."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((within + _CLOSING) * 1e6)}")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report twice in each watchdog interval that `loop` runs, if there is a watchdog."""
        if self._watchdog > 0:
            self._tell("WATCHDOG=1")
            loop.call_later(self._watchdog / 2, self.watch, loop)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A message that cannot be delivered is no reason to fail.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.setblocking(False)
            teller.sendto(state.encode(), self._address)
