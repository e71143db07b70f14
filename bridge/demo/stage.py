"""Who plays in the demo: the gateway, a SOAP Charge Point and a JSON Central System, and notes of what they do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from bridge.config import Admin, CentralSystem, Listen, Settings, Soap, Store, WebSocket
from bridge.config import Gateway as GatewaySettings
from bridge.demo.checks import Outcome, Played, Taken
from bridge.demo.ledger import Ledger, kept
from bridge.demo.ports import HOST, Ports
from bridge.demo.scenario import IDENTITY, Scenario, Step, filled
from bridge.gateway import CENTRAL_SYSTEM_SERVICE, Gateway
from bridge.ocpps.wsdl import folder_of
from bridge.simulators.json_central_system import JsonCentralSystem
from bridge.simulators.soap_charge_point import SoapChargePoint
from bridge.simulators.wire import Behaviour, Payload, Refused, WireMessage, answer_of, now

Prepare: TypeAlias = Callable[[JsonCentralSystem, SoapChargePoint], None]
"""Told of the two parties before the first step: a test makes one of them do something else."""

# The gateway answers in the place of a party that does not, before the other one gives up.
_CALL_TIMEOUT = 4.0
_PATIENCE = 6.0


def settings_for(ports: Ports) -> Settings:
    """The built-in configuration at `ports`, with nothing that survives."""
    return Settings(
        gateway=GatewaySettings(call_timeout=_CALL_TIMEOUT, drain_timeout=1.0),
        soap=(Soap(listen=Listen(HOST, ports.soap), public_url=f"http://{HOST}:{ports.soap}"),),
        websocket=(WebSocket(listen=Listen(HOST, ports.websocket)),),
        admin=Admin(listen=Listen(HOST, ports.admin)),
        store=Store(url="memory:"),
        central_systems={"main": CentralSystem(url=f"ws://{HOST}:{ports.central_system}/ocpp")},
    )


class Stage:
    """The two simulators, and what they saw. `transaction` is the id that the last StartTransaction was given."""

    def __init__(self, scenario: Scenario, ports: Ports, ledger: Ledger) -> None:
        self.scenario = scenario
        self.ports = ports
        self.ledger = ledger
        self.transaction = -1
        self._messages: list[WireMessage] = []
        self._taken: deque[tuple[str, Taken]] = deque()
        self._last_answered = 0.0
        self._entries_seen = 0
        self._triggered: asyncio.Future[tuple[Payload, Outcome]] = asyncio.get_running_loop().create_future()
        self.central_system = JsonCentralSystem(port=ports.central_system, observe=self._messages.append)
        self.charge_point = SoapChargePoint(
            url=self.service_url,
            identity=IDENTITY,
            wsdl=folder_of(scenario.version),
            protocol=scenario.protocol,
            port=ports.charge_point,
            observe=self._messages.append,
            timeout=_PATIENCE,
        )
        self.charge_point.after_command = self._after_command

    @property
    def service_url(self) -> str:
        """What is typed into a Charge Point."""
        return f"http://{HOST}:{self.ports.soap}{CENTRAL_SYSTEM_SERVICE}"

    def prepare(self, prepare: Prepare | None) -> None:
        """The scenario's refusals, then what a test wants, then the notes of all that is answered."""
        for step in self.scenario.steps:
            if step.refusal is not None:
                table = self.central_system.behaviour if step.upwards else self.charge_point.behaviour
                table[step.action] = _refusing(step.payload, step.refusal.raised, table[step.action])
        if prepare is not None:
            prepare(self.central_system, self.charge_point)
        for table in (self.central_system.behaviour, self.charge_point.behaviour):
            table |= {action: self._noted(action, behaviour) for action, behaviour in table.items()}

    def _noted(self, action: str, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Payload) -> Payload:
            try:
                given = await answer_of(behaviour, request)
            except Exception as error:
                self._taken.append((action, Taken(request=request, answer=error)))
                raise
            self._taken.append((action, Taken(request=request, answer=given)))
            return given

        return answer

    async def play(self, step: Step) -> Played:
        """Take one step, and give all that came of it. Raises nothing of the parties."""
        if step.triggered:
            arrives, outcome = await self._awaited()
        else:
            arrives, outcome = await self.ask(step)
        if step.action == "StartTransaction" and isinstance(outcome, dict):
            self.transaction = outcome.get("transactionId", -1)
        return self._played(step, arrives, outcome)

    def forget(self) -> None:
        """The notes of all that is past: other Charge Points may have come to the Central System."""
        self._messages.clear()
        self._taken.clear()

    async def ask(self, step: Step) -> tuple[Payload, Outcome]:
        """What is to arrive when `step` is taken, and what came of it."""
        moment = now()
        payload: Payload = filled(step.payload, self.transaction, moment)
        arrives = payload if step.arrives is None else filled(step.arrives, self.transaction, moment)
        try:
            if step.upwards:
                return arrives, await self.charge_point.call(step.action, payload)
            return arrives, await self.central_system.call(IDENTITY, step.action, payload, timeout=_PATIENCE)
        except (Refused, OSError, ValueError) as error:
            return arrives, error

    async def _after_command(self, action: str, _: Payload) -> None:
        if action == "TriggerMessage" and not self._triggered.done():
            asked = await self.ask(next(step for step in self.scenario.steps if step.triggered))
            self._triggered.set_result(asked)

    async def _awaited(self) -> tuple[Payload, Outcome]:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._triggered
        except TimeoutError:
            return {}, TimeoutError("the Charge Point was not asked to send it")

    def _played(self, step: Step, arrives: Payload, outcome: Outcome) -> Played:
        violations = [*self.central_system.violations, *self.charge_point.violations]
        self.central_system.violations.clear()
        self.charge_point.violations.clear()
        messages = [message for message in self._messages if message.action == step.action]
        self._messages[:] = [message for message in self._messages if message.action != step.action]
        taken = [note for action, note in self._taken if action == step.action]
        self._taken = deque((action, note) for action, note in self._taken if action != step.action)
        not_before = self._last_answered if step.triggered else 0.0
        self._last_answered = max((message.at for message in messages), default=0.0)
        losses = [field for field, _ in self.ledger.entries[self._entries_seen :]]
        self._entries_seen = len(self.ledger.entries)
        return Played(
            arrives=arrives,
            outcome=outcome,
            taken=taken,
            violations=violations,
            losses=losses,
            messages=messages,
            not_before=not_before,
        )


def _refusing(what: Payload, refusal: Refused, otherwise: Behaviour) -> Behaviour:
    async def answer(request: Payload) -> Payload:
        if request == what:
            raise refusal
        return await answer_of(otherwise, request)

    return answer


@asynccontextmanager
async def opened(scenario: Scenario, ports: Ports, prepare: Prepare | None) -> AsyncIterator[Stage]:
    """All three, listening. Raises OSError when a port was taken meanwhile."""
    with kept() as ledger:
        stage = Stage(scenario, ports, ledger)
        stage.prepare(prepare)
        gateway = Gateway(settings_for(ports))
        async with stage.central_system:
            await gateway.start()
            try:
                async with stage.charge_point:
                    yield stage
            finally:
                await gateway.close()
