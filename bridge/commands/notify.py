"""What systemd is told of the service, sd_notify(3): that it is ready, reads its configuration again, or goes; and, if
a watchdog waits for it, that the event loop still turns. Where no systemd asks, nobody is told anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping

# Seconds that closing takes after the drain, at most: connections and the store have their own, shorter patience.
_CLOSING = 15


class Notifier:
    """Tells whoever `environment` names: NOTIFY_SOCKET, WATCHDOG_USEC."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "If the first character is '@', the string is understood as Linux abstract namespace socket."
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0

    def ready(self) -> None:
        """It serves, with the configuration that holds."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """It reads its configuration; `ready` follows, whatever comes of it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within: float) -> None:
        """It goes, after a drain of `within` seconds at most: systemd need not lose patience before."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((within + _CLOSING) * 1e6)}")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say twice in the watchdog's time that `loop` turns, if there is a watchdog."""
        if self._watchdog > 0:
            self._tell("WATCHDOG=1")
            loop.call_later(self._watchdog / 2, self.watch, loop)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # Whoever does not listen is not told: that is no reason to fail.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.setblocking(False)
            teller.sendto(state.encode(), self._address)
