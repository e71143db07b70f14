"""A siege: is anything lost, doubled or told wrongly while everything breaks? `python -m tests.attacks.siege`.

A hundred SOAP and a hundred JSON Charge Points charge through one bridge, half of each at a JSON Central System and
half at a SOAP one. All three are processes of their own that are killed, stopped, terminated and started again, as
drawn by a seed; the Central Systems also misbehave by themselves. What was told is then held against what was recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.attacks.siege_charge_points import JsonPoint, Minutes, Point, SoapPoint
from tests.attacks.siege_ledger import Counts, Told, Verdict, count, read_journal
from tests.e2e.processes import Bridge, Program
from tests.ports import free_port
from tests.process_states import frozen

# Seconds. Small, since each answer that never comes takes as long; a late answer comes LATE after its Call.
_CALL_TIMEOUT = 2
_LATE_ANSWERS = 6
_SETTLED_WITHIN = 300
_QUICK = {"reconnect_min": 0.05, "reconnect_max": 0.5}
_ROUTES = {"*[02468]": "json", "*": "soap"}


class BesiegedBridge(Bridge):
    """With the time-outs of a siege."""

    def configure(
        self, central_systems: Mapping[str, Mapping[str, Any]], routes: Mapping[str, str] | None = None
    ) -> None:
        super().configure(central_systems, routes)
        text = self.file.read_text()
        self.file.write_text(text.replace("[gateway]\n", f"[gateway]\nlate_answers = {_LATE_ANSWERS}\n", 1))


class BesiegedWorkers(BesiegedBridge):
    """Several processes, whose supervisor and NATS server are besieged as well."""

    workers = 0

    def share_among(self, workers: int) -> None:
        """Have so many workers from the next start on."""
        self.workers = workers
        self.environment = {"OCPP_BRIDGE__GATEWAY__WORKERS": str(workers), "OCPP_BRIDGE__CLUSTER__NODE": "a"}

    async def start(self) -> None:
        await super().start()
        if self.workers > 1:
            await self.says("all workers serve")


class CentralSystem(Program):
    """One of a kind, "json" or "soap"; each run misbehaves in its own way."""

    def __init__(self, kind: str, folder: Path, seed: int) -> None:
        self.kind = kind
        self.traffic_log = folder / f"{kind}.journal"
        self._port = free_port()
        self._calm = folder / "calm"
        self._seed = seed
        self._runs = 0
        super().__init__()

    @property
    def url(self) -> str:
        return f"{'ws' if self.kind == 'json' else 'http'}://127.0.0.1:{self._port}/ocpp"

    async def start(self) -> None:
        self._runs += 1
        self._arguments = (
            f"tests.attacks.siege_{self.kind}_central_system",
            *(str(self._port), str(self.traffic_log), str(self._calm), f"{self._seed}.{self._runs}"),
        )
        await super().start()
        await self.says("listening")

    def is_of(self, identity: str) -> bool:
        """Whether a Charge Point belongs to it, by the routes."""
        return (int(identity[-1]) % 2 == 0) == (self.kind == "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a siege came to. `events` is what was done, in its order; `trouble` what a log must not hold."""

    seed: int
    seconds: float
    events: tuple[str, ...]
    counts: Counts
    trouble: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.counts.faults and not self.trouble

    def __str__(self) -> str:
        return (
            f"Siege of {self.seconds:.0f} s, seed {self.seed}, {len(self.events)} events: {self.counts}"
            + (f"; FAULTS: {self.counts.faults}" if self.counts.faults else "; no faults")
            + "".join(f"\n{line}" for line in self.trouble)
        )


class _Progress:
    """What the Charge Points are told, as it comes."""

    def __init__(self) -> None:
        self.delivered = 0
        self._failed: list[str] = []
        self._changed = asyncio.Event()

    def tell(self, told: Told) -> None:
        if told.verdict is Verdict.FAILED:
            self._failed.append(told.identity)
        else:
            self.delivered += 1
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(_SETTLED_WITHIN):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def more_delivered(self, number: int) -> None:
        """Until so many more messages are told delivered."""
        until = self.delivered + number
        await self.until(lambda: self.delivered >= until)

    async def more_failed(self, number: int, of: CentralSystem) -> None:
        """Until so many more attempts of Charge Points of `of` have failed."""
        before = len(self._failed)
        await self.until(lambda: sum(map(of.is_of, self._failed[before:])) >= number)


class _Siege:
    """The parties, and what is done to them."""

    def __init__(self, folder: Path, seed: int, *, points: int, pause: float, workers: int) -> None:
        self.random = Random(seed)
        self.progress = _Progress()
        self.folder = folder
        self.json, self.soap = (CentralSystem(kind, folder, seed) for kind in ("json", "soap"))
        systems = {
            "json": {"url": self.json.url, "protocol": "ocpp1.6j", **_QUICK},
            "soap": {"url": self.soap.url, "protocol": "ocpp1.6s", **_QUICK},
        }
        self.bridge = BesiegedWorkers(folder, systems, _ROUTES, call_timeout=_CALL_TIMEOUT)
        self.bridge.share_among(workers)
        for program in (self.json, self.soap, self.bridge):
            program.patience = _SETTLED_WITHIN
        self.shared = Minutes(bridge=self.bridge, random=Random(seed + 1), pause=pause, tell=self.progress.tell)
        self.points: list[Point] = [
            *(SoapPoint(f"S {number}", self.shared) for number in range(points)),
            *(JsonPoint(f"J {number}", self.shared) for number in range(points)),
        ]
        self.events: list[str] = []
        self.begun = time.monotonic()
        self._to_come: list[str] = []
        self._things: dict[str, Callable[[], Awaitable[None]]] = {
            "the bridge is killed": self.bridge.restart,
            "the bridge is terminated": self._terminate_the_bridge,
            "both Central Systems are away, and the bridge is killed": self._all_at_once,
        }
        if workers > 1:
            self._things |= {
                "a worker is killed": partial(self._hit, "serve", signal.SIGKILL),
                "a worker is frozen": self._freeze,
                "a worker is terminated": partial(self._hit, "serve", signal.SIGTERM),
                "the NATS server is killed": partial(self._hit, "nats-server", signal.SIGKILL),
            }
        for central in (self.json, self.soap):
            self._things[f"the {central.kind} Central System is killed"] = partial(self._kill, central)
            self._things[f"the {central.kind} Central System is stopped"] = partial(self._stop, central)

    async def event(self) -> None:
        """One thing that breaks, and is whole again: each of them once, then each once more, in any order."""
        if not self._to_come:
            self._to_come = self.random.sample(list(self._things), len(self._things))
        name = self._to_come.pop()
        begun = time.monotonic()
        await self._things[name]()
        self.events.append(f"{begun - self.begun:.0f} s: {name}, for {time.monotonic() - begun:.1f} s")

    async def _terminate_the_bridge(self) -> None:
        self.bridge.told(signal.SIGTERM)
        await self.bridge.ended()
        await self.bridge.start()

    async def _hit(self, program: str, number: signal.Signals) -> None:
        """A process of the bridge ends, and is started again by its supervisor."""
        victim = self.random.choice(self.bridge.children(program))
        os.kill(victim, number)
        async with asyncio.timeout(_SETTLED_WITHIN):
            while not self._is_replaced(victim, program):  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)

    def _is_replaced(self, victim: int, program: str) -> bool:
        children = self.bridge.children
        return victim not in children(program) and len(children("serve")) == self.bridge.workers

    async def _freeze(self) -> None:
        """A worker stands still until others have taken its Charge Points, and goes on as if nothing had been."""
        with frozen(self.random.choice(self.bridge.children("serve"))):
            await asyncio.sleep(self.random.choice((1.0, 8.0)))

    async def _kill(self, central: CentralSystem) -> None:
        """Its port stays closed until some have noticed."""
        await central.kill()
        await self.progress.more_failed(self.random.choice((0, 10)), central)
        await central.start()

    async def _stop(self, central: CentralSystem) -> None:
        """It says nothing for longer than call_timeout, and then goes on as if nothing had been."""
        with frozen(central.pid):
            await asyncio.sleep(_CALL_TIMEOUT + 0.5)
            await self.progress.more_failed(10, central)

    async def _all_at_once(self) -> None:
        await self.json.kill()
        await self.soap.kill()
        await self.bridge.kill()
        await self.json.start()
        await self.bridge.start()
        await self.progress.more_failed(10, self.soap)
        await self.soap.start()

    async def settle(self) -> None:
        """All behave from now on, and each Charge Point gets rid of what it keeps."""
        (self.folder / "calm").touch()
        self.shared.is_over = True

    def write_down(self) -> None:
        """For who looks into a fault: what was sent and told, and the log of the bridge, beside the journals."""
        for name, entries in (("sent", self.shared.sent), ("told", self.shared.told)):
            text = "".join(msgspec.json.encode(entry).decode() + "\n" for entry in entries)
            (self.folder / f"{name}.jsonl").write_text(text)
        (self.folder / "bridge.log").write_text("".join(self.bridge.lines))

    def counts(self) -> Counts:
        recorded = [*read_journal(self.json.traffic_log), *read_journal(self.soap.traffic_log)]
        return count(self.shared.sent, self.shared.told, recorded)


async def siege(
    folder: Path,
    *,
    seed: int,
    events: int = 0,
    seconds: float = 0,
    points: int = 100,
    pause: float = 1.0,
    workers: int = 1,
) -> Result:
    """Besiege a bridge.

    Args:
        folder: Where the store and the journals are.
        seed: Draws the events, the misdeeds and the pauses.
        events: How many things break, at least.
        seconds: How long it lasts, at least.
        points: How many Charge Points there are of each kind.
        pause: Seconds of a Charge Point between two messages, on average.
        workers: How many processes the bridge has.

    Returns:
        What was counted.
    """
    besieged = _Siege(folder, seed, points=points, pause=pause, workers=workers)
    async with besieged.json, besieged.soap, besieged.bridge, asyncio.TaskGroup() as group:
        living = [group.create_task(point.live()) for point in besieged.points]
        while len(besieged.events) < events or time.monotonic() - besieged.begun < seconds:
            await besieged.progress.more_delivered(points)
            await besieged.event()
        await besieged.settle()
        await asyncio.wait(living, timeout=_SETTLED_WITHIN)
        for task in living:
            task.cancel()
    besieged.write_down()
    return Result(
        seed=seed,
        seconds=time.monotonic() - besieged.begun,
        events=tuple(besieged.events),
        counts=besieged.counts(),
        trouble=tuple(line.rstrip() for line in besieged.bridge.lines if "Traceback" in line),
    )


def main() -> int:
    """Exit code 1 if anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.siege")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=None, help="drawn if left out, and printed")
    parser.add_argument("--folder", type=Path, default=None, help="where journals and the store are kept")
    arguments = parser.parse_args()
    seed = Random().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        result = asyncio.run(
            siege(
                folder,
                seed=seed,
                events=arguments.events,
                seconds=60 * arguments.minutes,
                points=arguments.points,
                workers=arguments.workers,
            )
        )
    print(*result.events, result, sep="\n")
    return int(not result.holds)


if __name__ == "__main__":
    sys.exit(main())
