"""Run the demo from its first line to its exit code: show and check a session, then keep the Charge Point running."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle

from bridge.lab.demo.checks import CheckFailure, Played, described, failure_of
from bridge.lab.demo.fleet import FLEET_RATE, DemoFleet, FleetAddresses
from bridge.lab.demo.ports import HOST, Ports
from bridge.lab.demo.scenario import IDENTITY, ScenarioStep
from bridge.lab.demo.screen import (
    Paint,
    ShownExchange,
    direction,
    exchange_lines,
    failure_lines,
    life_lines,
    loss_lines,
    plain,
    summary,
)
from bridge.lab.demo.session12 import SCENARIO as SESSION_12
from bridge.lab.demo.session15 import SCENARIO as SESSION_15
from bridge.lab.demo.session16 import SCENARIO as SESSION_16
from bridge.lab.demo.stage import DemoStage, Prepare, opened

# The session of each protocol of the Charge Point.
SCENARIOS = {scenario.protocol: scenario for scenario in (SESSION_16, SESSION_15, SESSION_12)}
_ATTEMPTS = 3
_EVERY = 10.0
# The pause of a Charge Point of the fleet, as a part of `Demo.every`.
_FLEET_PAUSE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The settings of the demo.

    Attributes:
        say: Shows one line.
        paint: Colours a text.
        protocol: The protocol of the Charge Point: ocpp1.6s, ocpp1.5s or ocpp1.2s.
        ports: The wanted ports.
        prepare: Changes the behaviour of the simulators, for a test.
        every: The seconds between two messages of a Charge Point after the session.
        fleet: The number of further Charge Points that charge after the session.
        command: The command that runs this program, as a person types it in another terminal.
    """

    say: Callable[[str], None]
    paint: Paint = plain
    protocol: str = "ocpp1.6s"
    ports: Ports = field(default_factory=Ports)
    prepare: Prepare | None = None
    every: float = _EVERY
    fleet: int = 0
    command: str = "ocpp-bridge"


async def run(demo: Demo, *, once: bool) -> int:
    """Run the session and return the exit code: 0 when every step was answered as expected, otherwise 1.

    Without `once`, the demo stays up after a good session until the task is cancelled, and the fleet lives. With
    `once`, each Charge Point of the fleet charges once.
    Raises OSError when there is no free port to listen at.
    """
    async with AsyncExitStack() as stack:
        stage = await _opened(demo, stack)
        if not once:
            demo.say(f"The console: {stage.console_url}")
            demo.say("")
        _introduce(demo, stage)
        if not await _session(demo, stage):
            return 1
        fleet = _fleet(demo, stage)
        if once:
            return 0 if fleet is None or await _fleet_session(demo, fleet) else 1
        _advise(demo, stage)
        async with nullcontext() if fleet is None else fleet.alive():
            await _live_on(demo, stage, fleet)
    return 0


def _fleet(demo: Demo, stage: DemoStage) -> DemoFleet | None:
    if not demo.fleet:
        return None
    stage.forget()
    pause = max(demo.every * _FLEET_PAUSE, demo.fleet / FLEET_RATE)
    addresses = FleetAddresses(soap=stage.service_url, websocket=stage.websocket_url)
    return DemoFleet(demo.fleet, addresses, stage.central_system, say=demo.say, every=pause)


async def _fleet_session(demo: Demo, fleet: DemoFleet) -> bool:
    well = await fleet.one_session()
    demo.say(fleet.summary())
    return well


async def _opened(demo: Demo, stack: AsyncExitStack) -> DemoStage:
    """Return an open DemoStage. If another process takes a port after it was chosen, choose the ports again."""
    scenario = SCENARIOS[demo.protocol]
    for _ in range(_ATTEMPTS - 1):
        try:
            return await stack.enter_async_context(opened(scenario, demo.ports.free(), demo.prepare, demo.fleet))
        except OSError:
            continue
    return await stack.enter_async_context(opened(scenario, demo.ports.free(), demo.prepare, demo.fleet))


def _introduce(demo: Demo, stage: DemoStage) -> None:
    ports, version = stage.ports, stage.scenario.version
    demo.say("ocpp-bridge demo: a Charge Point that speaks SOAP, a Central System that speaks JSON.")
    demo.say(f"  CP      {IDENTITY}, OCPP-S {version}, takes commands at http://{HOST}:{ports.charge_point}/")
    demo.say(f"  bridge  OCPP-S {version} at {stage.service_url}")
    demo.say(f"  CS      OCPP-J 1.6 at ws://{HOST}:{ports.central_system}/ocpp")
    for wanted, found in ports.moved(demo.ports):
        demo.say(f"  port {wanted} is taken, {found} is used instead")
    demo.say("")


async def _session(demo: Demo, stage: DemoStage) -> bool:
    """Run the steps and return True when every step was answered as expected. Stop after the first failed step."""
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


def _show_losses(demo: Demo, stage: DemoStage) -> None:
    """Show each loss in the gateway's log: what OCPP 1.6 can express and the older version cannot."""
    for (field_, reason), times in stage.ledger.counted().items():
        for line in loss_lines(field_, reason, times, demo.paint):
            demo.say(line)
    if stage.ledger.entries:
        demo.say("")


def _exchange(number: int, step: ScenarioStep, played: Played) -> ShownExchange:
    return ShownExchange(number=number, name=step.name, upwards=step.upwards, messages=played.messages)


def _tell(demo: Demo, which: str, step: ScenarioStep, failure: CheckFailure) -> None:
    name = f"{which}, {step.name} ({direction(step.upwards)})"
    for line in failure_lines(name, failure.expected, failure.came, demo.paint):
        demo.say(line)


def _advise(demo: Demo, stage: DemoStage) -> None:
    demo.say("")
    demo.say("The demo stays up; Ctrl-C ends it. The Charge Point lives on, as the console shows:")
    demo.say(f"  {stage.console_url}")
    demo.say("Meanwhile, in another terminal:")
    demo.say(f"  curl http://{HOST}:{stage.ports.admin}/healthz")
    demo.say(f"  curl http://{HOST}:{stage.ports.soap}/services")
    demo.say(f"  {demo.command} simulate charge-point --protocol {demo.protocol} --identity CP-2 \\")
    demo.say(f"      --url {stage.service_url}")
    demo.say("A real Charge Point (OCPP-S 1.6, 1.5 or 1.2) that runs on this machine is pointed at")
    demo.say(f"  {stage.service_url}")
    demo.say('One on the network needs `ocpp-bridge serve` with [soap] listen = "0.0.0.0:8080" in its configuration.')
    if demo.fleet:
        demo.say(f"{demo.fleet} more Charge Points, FLEET-001 and so on, charge from now on.")
    demo.say("")


async def _live_on(demo: Demo, stage: DemoStage, fleet: DemoFleet | None) -> None:
    """Send a Heartbeat and MeterValues in turn, for ever. Report a failed message and continue."""
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
        if fleet is not None:
            demo.say(f"{clock}  {fleet.summary()}")
