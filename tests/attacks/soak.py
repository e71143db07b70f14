"""Minutes' worth of honest and hostile traffic, as fast as it goes: `python -m tests.attacks.soak --minutes N`.

A minute is what two hundred Charge Points say in one, with broken lines, restarts of their Central Systems, and attacks
all the while. What the bridge holds in memory and in open files is measured after each, and must be at the end what it
was after the first tenth of them.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.attacks.fleet import Fleet
from tests.attacks.mob import Mob
from tests.attacks.network import Network
from tests.attacks.stage import SECRET, Siege
from tests.e2e.processes import Bridge
from tests.e2e.stage import answering, listening, soap_central_system

_HOLDS = re.compile(r"holds ([0-9]+) kB and ([0-9]+) files, most ([0-9]+) kB")
_MEASURED = Path("/proc/self/status")
_ROUTES = {
    "good ?J *": "json",
    "good ?S *": "soap",
    "locked": "json",
    **dict.fromkeys(("evil*", "..%2Fevil", "Z\u00fcrich", "CP *"), "json"),
}
# Seconds: what a Central System took with it is answered for so soon.
_CALL_TIMEOUT = 2
_LOCKED = '[charge_points.locked]\npassword = "right"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a process holds: kilobytes of memory, and files; `most` is the memory that it had at its most."""

    memory: int
    most: int
    files: int

    def __str__(self) -> str:
        return f"{self.memory / 1024:.1f} MB ({self.most / 1024:.1f} at most), {self.files} files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """After the first tenth, and at the end; and what was done until then."""

    minutes: int
    early: Holding
    late: Holding
    answered: int
    again: int
    attacks: int
    violations: list[str]

    @property
    def memory(self) -> float:
        """How much more there is of it at the end, in parts of what there was."""
        return self.late.memory / self.early.memory - 1

    @property
    def most(self) -> float:
        return self.late.most / self.early.most - 1

    @property
    def files(self) -> float:
        return self.late.files / self.early.files - 1

    def __str__(self) -> str:
        return (
            f"Soak of {self.minutes} minutes' worth: {self.answered} honest Calls answered ({self.again} said again), "
            f"{self.attacks} attacks; after the first tenth {self.early}, at the end {self.late} "
            f"({self.memory:+.1%} memory, {self.most:+.1%} at most, {self.files:+.1%} files)"
        )


def cannot() -> str:
    """Why nothing can be measured here, if that is so."""
    return "" if _MEASURED.exists() else "the memory of a process is read from Linux's /proc"


class _Subject(Bridge):
    """The bridge that is soaked."""

    def __init__(self, folder: Path, central_systems: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(folder, central_systems, _ROUTES, call_timeout=_CALL_TIMEOUT)
        self._arguments = ("tests.attacks.subject", *self._arguments[1:])
        # One heap, whichever threads there are: how many arenas grow, and when, is a matter of chance.
        self.environment = {"MALLOC_ARENA_MAX": "1"}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(_LOCKED)

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        return {"soap": self.soap_address, "websocket": self.websocket_address, "admin": self.admin_address}

    async def holds(self) -> Holding:
        """As soon as two readings agree on the files: connections that were hung up on take a moment to go. What waits
        to be recorded is memory as well: who reads messages has it recorded first."""
        status, _ = await self.asked("/api/v1/messages?limit=1")
        assert status == 200
        before = None
        while True:
            self.told(signal.SIGUSR1)
            found = _HOLDS.search(await self.says("holds ", " kB and "))
            assert found is not None
            now = Holding(memory=int(found[1]), files=int(found[2]), most=int(found[3]))
            if before is not None and now.files == before.files:
                return now
            before = now


class _Soaked(Siege):
    """Attackers beside many: that they are logged is limited, and who is honest is looked after elsewhere."""

    def noticed(self, since: int) -> None:
        return


@asynccontextmanager
async def _staged(folder: Path, random: Random) -> AsyncIterator[tuple[Fleet, Mob, _Subject]]:
    secret = folder / "secret"
    secret.write_text(SECRET)
    async with (
        listening(answering(SECRET.encode())) as victim,
        JsonCentralSystem() as json,
        soap_central_system() as soap,
        AsyncExitStack() as held,
    ):
        quick = {"reconnect_min": 0.05, "reconnect_max": 0.2}
        systems = {
            "json": {"url": json.url, "protocol": "ocpp1.6j"} | quick,
            "soap": {"url": soap.url, "protocol": "ocpp1.6s"} | quick,
        }
        subject = await held.enter_async_context(_Subject(folder, systems))
        fleet = Fleet(bridge=subject, json=json, soap=soap, random=random)
        await fleet.connect(held)
        siege = _Soaked(
            gateway=subject,
            central_system=json,
            neighbours=(),
            victim=victim,
            secret=secret,
            folder=folder,
            network=Network(),
            lines=subject.lines,
        )
        yield fleet, Mob(siege, random, lambda: fleet.restarts), subject
        assert victim.received == []
        assert [line for line in subject.lines if SECRET in line or "Traceback" in line or " ERROR " in line] == []


async def soak(folder: Path, *, minutes: int = 10, seed: int = 5) -> Soaked:
    """So many minutes' worth, after one that warms up with every attack; in the others are some, drawn by `seed`."""
    random = Random(seed)  # the same traffic each time
    held = []
    async with _staged(folder, random) as (fleet, mob, subject):
        for minute in range(minutes + 1):
            async with asyncio.TaskGroup() as group:
                group.create_task(fleet.minute(minute))
                group.create_task(mob.minute(everything=minute == 0))
                if minute % 3 == 0:
                    group.create_task(fleet.restart())
            await fleet.settle()
            held.append(await subject.holds())
        return Soaked(
            minutes=minutes,
            early=held[max(1, minutes // 10)],
            late=held[-1],
            answered=fleet.answered,
            again=fleet.again,
            attacks=mob.attacks,
            violations=fleet.violations(),
        )


def main() -> int:
    """Exit code 1 if it holds more than a tenth more at the end, 2 if that cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.soak")
    parser.add_argument("--minutes", type=int, default=100, help="of traffic; it takes less")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    if why := cannot():
        print(why, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        soaked = asyncio.run(soak(Path(folder), minutes=arguments.minutes, seed=arguments.seed))
    print(soaked)
    return int(max(soaked.memory, soaked.most, soaked.files) > 0.1 or soaked.violations != [])


if __name__ == "__main__":
    sys.exit(main())
