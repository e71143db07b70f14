"""What became of the messages of a run where they are recorded: that is done behind the traffic, and takes longer."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from bridge.admin.metrics import PREFIX

_PATIENCE, _BETWEEN = 120.0, 0.05


class Recorded(Struct, frozen=True, kw_only=True):
    """How many messages there were, how many of them are lost, and how many seconds after the run it was done."""

    messages: float
    lost: float
    behind: float

    @property
    def share(self) -> float:
        """What was recorded of all, 0 to 1."""
        return 1 - self.lost / self.messages if self.messages else 1.0


class Recording:
    """One subject's, run by run; `admin` is the port of its admin listener."""

    def __init__(self, admin: int) -> None:
        self._admin = admin
        self._messages = self._lost = 0.0

    async def caught_up(self) -> Recorded:
        """Wait until nothing waits to be recorded, so that its work is not in the measurement of another. Raises
        TimeoutError."""
        begun = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            while (counted := await _counted(self._admin))["recorder_waiting"]:  # noqa: ASYNC110
                await asyncio.sleep(_BETWEEN)
        messages, lost = counted.get("calls_total", 0.0), counted["recorder_lost_total"]
        recorded = Recorded(
            messages=messages - self._messages, lost=lost - self._lost, behind=time.perf_counter() - begun
        )
        self._messages, self._lost = messages, lost
        return recorded


async def _counted(admin: int) -> dict[str, float]:
    """The sum of each metric."""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    lines = (await reader.read()).decode().splitlines()
    writer.close()
    sums: dict[str, float] = {}
    for line in lines:
        if line.startswith(PREFIX):
            name, _, value = line.removeprefix(PREFIX).rpartition(" ")
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums
