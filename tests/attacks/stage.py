"""A gateway under siege: who attacks it, who is served beside, and what must never see anything of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bridge.config import Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from tests.attacks.network import Network, cut_off
from tests.e2e.stage import (
    RawChargePoint,
    answering,
    charge_point,
    json_charge_point,
    listening,
    logged,
    running,
    settings,
)

ATTACKER = "127.0.0.2"
SECRET = "planted-4f1d9c"
# Seconds between an answer and the next Heartbeat of who is served beside: as often as limits.messages_per_second lets.
_PACE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An attack, what the attacker gets, and the tables that differ from the default; `configure` has the last word."""

    attack: Attack
    gets: str
    tables: Mapping[str, Any] = field(default_factory=dict)
    configure: Callable[[Settings, Path], Settings] | None = None

    @property
    def plain(self) -> bool:
        """Whether the bridge is as it comes."""
        return not self.tables and self.configure is None


class Neighbour:
    """A well-behaved Charge Point that sends a Heartbeat after the other, each of which is answered."""

    def __init__(self, point: SoapChargePoint | JsonChargePoint) -> None:
        self.point = point
        self.answered = 0
        self._changed = asyncio.Condition()

    async def live(self, over: asyncio.Event) -> None:
        """Until it is over. Raises what a Heartbeat ended with that was not answered."""
        while not over.is_set():
            assert (await self.point.call("Heartbeat", {})).keys() == {"currentTime"}
            async with self._changed:
                self.answered += 1
                self._changed.notify_all()
            await asyncio.sleep(_PACE)

    async def served(self) -> None:
        """Until a Heartbeat was answered that was sent after now: the one after the next answer."""
        wanted = self.answered + 2
        async with self._changed:
            await self._changed.wait_for(lambda: self.answered >= wanted)


class Besieged(Protocol):
    """A gateway, in this process or in another."""

    @property
    def soap_address(self) -> tuple[str, int]: ...

    @property
    def websocket_address(self) -> tuple[str, int]: ...

    @property
    def addresses(self) -> Mapping[str, tuple[str, int]]: ...


@dataclass(frozen=True, kw_only=True)
class Siege:
    """All parties. `secret` is a file that nobody may read, `victim` a server that nobody may ask, and `folder` that
    of the row's own files."""

    gateway: Besieged
    central_system: JsonCentralSystem
    neighbours: tuple[Neighbour, ...]
    victim: RawChargePoint
    secret: Path
    folder: Path
    network: Network
    lines: list[str]
    _tries: list[int] = field(default_factory=list)

    def tried(self, times: int = 1) -> None:
        """The attacker sends so many messages, handshakes or frames, or opens so many connections."""
        self._tries.append(times)

    @property
    def tries(self) -> int:
        """How many that were."""
        return sum(self._tries)

    async def served(self) -> None:
        """Until each of the honest has been served once more, whatever goes on."""
        await asyncio.gather(*(neighbour.served() for neighbour in self.neighbours))

    def arrived(self) -> list[tuple[str, str, Any]]:
        """What the Central System received that is not of the honest."""
        return [call for call in self.central_system.received if not call[0].startswith("good")]

    def noticed(self, since: int) -> None:
        """Raises AssertionError unless the lines after the first `since` name an attacker who was refused."""
        assert [line for line in self.lines[since:] if "refused" in line and f"peer={ATTACKER}" in line] != []

    def unharmed(self) -> None:
        """Raises AssertionError if anybody beside the attacker has noticed anything."""
        assert self.victim.received == []
        assert self.network.strayed == []
        assert [line for line in self.lines if SECRET in line or "Traceback" in line] == []
        assert SECRET not in repr(self.central_system.received)
        assert self.central_system.violations == []
        for neighbour in self.neighbours:
            received = [identity for identity, _, _ in self.central_system.received]
            assert neighbour.point.violations == []
            assert received.count(neighbour.point.identity) == neighbour.answered


Attack = Callable[[Siege], Awaitable[str]]


@asynccontextmanager
async def besieged(row: Row, folder: Path) -> AsyncIterator[Siege]:
    """A gateway as `row` wants it, with two honest Charge Points that are served from here to the end."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    async with listening(answering(SECRET.encode())) as victim, JsonCentralSystem() as central:
        told = settings(central.url, **row.tables)
        if row.configure is not None:
            told = row.configure(told, folder)
        async with (
            running(told) as gateway,
            charge_point(gateway, "good S") as soap,
            json_charge_point(gateway, "good J") as json,
        ):
            with cut_off() as network, logged() as lines:
                siege = Siege(
                    gateway=gateway,
                    central_system=central,
                    neighbours=(Neighbour(soap), Neighbour(json)),
                    victim=victim,
                    secret=secret,
                    folder=folder,
                    network=network,
                    lines=lines,
                )
                over = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    for neighbour in siege.neighbours:
                        group.create_task(neighbour.live(over))
                    await siege.served()
                    yield siege
                    await siege.served()
                    over.set()
                siege.unharmed()
