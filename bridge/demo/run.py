"""The demo from its first line to its exit code: the session, shown and checked; then a Charge Point that lives on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle

from bridge.demo.checks import Failure, Played, described, failure_of
from bridge.demo.ports import HOST, Ports
from bridge.demo.scenario import IDENTITY, Step
from bridge.demo.screen import (
    Exchange,
    Paint,
    direction,
    exchange_lines,
    failure_lines,
    life_lines,
    loss_lines,
    plain,
    summary,
)
from bridge.demo.session12 import SCENARIO as SESSION_12
from bridge.demo.session15 import SCENARIO as SESSION_15
from bridge.demo.session16 import SCENARIO as SESSION_16
from bridge.demo.stage import Prepare, Stage, opened

# By the protocol of the Charge Point.
SCENARIOS = {scenario.protocol: scenario for scenario in (SESSION_16, SESSION_15, SESSION_12)}
_ATTEMPTS = 3
_EVERY = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo is given: where its lines go, and in which colours; on which ports; what a test changes.

    protocol   of the Charge Point: ocpp1.6s, ocpp1.5s or ocpp1.2s
    every      the number of seconds between two messages of the Charge Point that lives on
    """

    say: Callable[[str], None]
    paint: Paint = plain
    protocol: str = "ocpp1.6s"
    ports: Ports = field(default_factory=Ports)
    prepare: Prepare | None = None
    every: float = _EVERY


async def run(demo: Demo, *, once: bool) -> int:
    """Play the session. 0 when every step was answered as expected, else 1; without `once` stays up until cancelled.

    Raises OSError when there is no port to listen at.
    """
    async with AsyncExitStack() as stack:
        stage = await _opened(demo, stack)
        if not once:
            demo.say(f"The console: {_console(stage)}")
            demo.say("")
        _introduce(demo, stage)
        if not await _session(demo, stage):
            return 1
        if not once:
            _advise(demo, stage)
            await _live_on(demo, stage)
    return 0


async def _opened(demo: Demo, stack: AsyncExitStack) -> Stage:
    """Another process may take a port between its choice and its use: then others are chosen."""
    scenario = SCENARIOS[demo.protocol]
    for _ in range(_ATTEMPTS - 1):
        try:
            return await stack.enter_async_context(opened(scenario, demo.ports.free(), demo.prepare))
        except OSError:
            continue
    return await stack.enter_async_context(opened(scenario, demo.ports.free(), demo.prepare))


def _console(stage: Stage) -> str:
    return f"http://{HOST}:{stage.ports.admin}/"


def _introduce(demo: Demo, stage: Stage) -> None:
    ports, version = stage.ports, stage.scenario.version
    demo.say("ocpp-bridge demo: a Charge Point that speaks SOAP, a Central System that speaks JSON.")
    demo.say(f"  CP      {IDENTITY}, OCPP-S {version}, takes commands at http://{HOST}:{ports.charge_point}/")
    demo.say(f"  bridge  OCPP-S {version} at {stage.service_url}")
    demo.say(f"  CS      OCPP-J 1.6 at ws://{HOST}:{ports.central_system}/ocpp")
    for wanted, found in ports.moved(demo.ports):
        demo.say(f"  port {wanted} is taken, {found} is used instead")
    demo.say("")


async def _session(demo: Demo, stage: Stage) -> bool:
    """Whether every step was answered as expected. The first that was not is the last."""
    begun, steps = time.perf_counter(), stage.scenario.steps
    for number, step in enumerate(steps, start=1):
        played = await stage.play(step)
        for line in exchange_lines(_exchange(number, step, played), demo.paint):
            demo.say(line)
        if failure := failure_of(step, played):
            _tell(demo, f"step {number} of {len(steps)}", step, failure)
            return False
        demo.say("")
    _show_losses(demo, stage)
    up = sum(step.upwards for step in steps)
    for line in summary(up, len(steps) - up, time.perf_counter() - begun, demo.paint):
        demo.say(line)
    return True


def _show_losses(demo: Demo, stage: Stage) -> None:
    """What OCPP 1.6 says and an older version does not, as the gateway's log has it."""
    for (field_, reason), times in stage.ledger.counted().items():
        for line in loss_lines(field_, reason, times, demo.paint):
            demo.say(line)
    if stage.ledger.entries:
        demo.say("")


def _exchange(number: int, step: Step, played: Played) -> Exchange:
    return Exchange(number=number, name=step.name, upwards=step.upwards, messages=played.messages)


def _tell(demo: Demo, which: str, step: Step, failure: Failure) -> None:
    name = f"{which}, {step.name} ({direction(step.upwards)})"
    for line in failure_lines(name, failure.expected, failure.came, demo.paint):
        demo.say(line)


def _advise(demo: Demo, stage: Stage) -> None:
    demo.say("")
    demo.say("The demo stays up; Ctrl-C ends it. The Charge Point lives on, as the console shows:")
    demo.say(f"  {_console(stage)}")
    demo.say("Meanwhile, in another terminal:")
    demo.say(f"  curl {_console(stage)}healthz")
    demo.say(f"  curl http://{HOST}:{stage.ports.soap}/services")
    demo.say(f"  ocpp-bridge simulate charge-point --protocol {demo.protocol} --identity CP-2 \\")
    demo.say(f"      --url {stage.service_url}")
    demo.say("A real Charge Point (OCPP-S 1.6, 1.5 or 1.2) that runs on this machine is pointed at")
    demo.say(f"  {stage.service_url}")
    demo.say('One on the network needs `ocpp-bridge serve` with [soap] listen = "0.0.0.0:8080" in its configuration.')
    demo.say("")


async def _live_on(demo: Demo, stage: Stage) -> None:
    """A Heartbeat, then MeterValues, and so on. One that fails is told of, and changes nothing."""
    for step in cycle(stage.scenario.signs_of_life):
        await asyncio.sleep(demo.every)
        begun = time.perf_counter()
        _, outcome = await stage.ask(step)
        took = time.perf_counter() - begun
        stage.forget()
        clock = f"{datetime.now().astimezone():%H:%M:%S}"
        failure = described(outcome) if isinstance(outcome, Exception) else ""
        for line in life_lines(clock, step.action, took, failure, demo.paint):
            demo.say(line)
