"""Run the parties of the demo: the gateway, a SOAP Charge Point and a JSON Central System. Record their messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import msgspec

from bridge.app import Gateway
from bridge.config import Admin, CentralSystem, Limits, Listen, Settings, Soap, Store, WebSocket
from bridge.config import Gateway as GatewaySettings
from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE
from bridge.lab.demo.checks import Outcome, Played, Taken
from bridge.lab.demo.ledger import Ledger, kept
from bridge.lab.demo.ports import HOST, Ports
from bridge.lab.demo.scenario import IDENTITY, Scenario, ScenarioStep, filled
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Behaviour, CallRefused, Payload, WireMessage, answer_of, now
from bridge.ocpps.wsdl import folder_of

Prepare: TypeAlias = Callable[[JsonCentralSystem, SoapChargePoint], None]
"""Called with the two simulators before the first step, so that a test can change their behaviour."""

# The call timeout of the gateway is shorter than the simulators' timeout, in seconds. So when one simulator gives no
# answer, the gateway answers the other before that one gives up.
_CALL_TIMEOUT = 4.0
_PATIENCE = 6.0


def settings_for(ports: Ports, fleet: int = 0) -> Settings:
    """Return the built-in configuration at `ports`. The store is in memory, so nothing survives the demo.

    The limit for new identities leaves room for a fleet of `fleet` Charge Points, all at one address.
    """
    limits = Limits()
    return Settings(
        gateway=GatewaySettings(call_timeout=_CALL_TIMEOUT, drain_timeout=1.0),
        soap=(Soap(listen=Listen(HOST, ports.soap), public_url=f"http://{HOST}:{ports.soap}"),),
        websocket=(WebSocket(listen=Listen(HOST, ports.websocket)),),
        admin=Admin(listen=Listen(HOST, ports.admin)),
        store=Store(url="memory:"),
        limits=msgspec.structs.replace(limits, new_identities_per_minute=limits.new_identities_per_minute + fleet),
        central_systems={"main": CentralSystem(url=f"ws://{HOST}:{ports.central_system}/ocpp")},
    )


class DemoStage:
    """The two simulators, and the record of what they sent and received.

    `transaction` is the transactionId that the last StartTransaction was given. `console_url` is the address of the
    gateway's console, with the token.
    """

    def __init__(self, scenario: Scenario, ports: Ports, ledger: Ledger) -> None:
        self.scenario = scenario
        self.ports = ports
        self.ledger = ledger
        self.transaction = -1
        self.console_url = ""
        self._messages: list[WireMessage] = []
        self._taken: deque[tuple[str, Taken]] = deque()
        self._last_answered = 0.0
        self._entries_seen = 0
        self._moment = ""  # the time in the payload of the last step
        self._progress = asyncio.Event()  # set after each message and each logged loss
        ledger.noted = self._progress.set
        self._triggered: asyncio.Future[tuple[Payload, Outcome]] = asyncio.get_running_loop().create_future()
        self.central_system = JsonCentralSystem(port=ports.central_system, observe=self._saw)
        self.charge_point = SoapChargePoint(
            url=self.service_url,
            identity=IDENTITY,
            wsdl=folder_of(scenario.version),
            protocol=scenario.protocol,
            port=ports.charge_point,
            observe=self._saw,
            timeout=_PATIENCE,
        )
        self.charge_point.after_command = self._after_command

    def _saw(self, message: WireMessage) -> None:
        self._messages.append(message)
        self._progress.set()

    @property
    def websocket_url(self) -> str:
        """Return the URL that a JSON Charge Point appends its identity to."""
        return f"ws://{HOST}:{self.ports.websocket}/ocpp"

    @property
    def service_url(self) -> str:
        """Return the URL of the gateway that a Charge Point is configured with."""
        return f"http://{HOST}:{self.ports.soap}{CENTRAL_SYSTEM_SERVICE}"

    def prepare(self, prepare: Prepare | None) -> None:
        """Set the refusals of the scenario, apply `prepare`, and then record each request and its answer."""
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

    async def play(self, step: ScenarioStep) -> Played:
        """Run one step and return its outcome. Errors of the two parties are part of the outcome."""
        if step.triggered:
            arrives, outcome = await self._awaited()
        elif step.inferred:
            arrives, outcome = await self._inferred(step)
        else:
            arrives, outcome = await self.ask(step)
        if step.action == "StartTransaction" and isinstance(outcome, dict):
            self.transaction = outcome.get("transactionId", -1)
        return self._played(step, arrives, outcome)

    def forget(self) -> None:
        """Delete the record of past messages. After the session, other Charge Points may send messages too."""
        self._messages.clear()
        self._taken.clear()
        self.central_system.received.clear()
        self.ledger.entries.clear()
        self._entries_seen = 0

    async def ask(self, step: ScenarioStep) -> tuple[Payload, Outcome]:
        """Send the request of `step`. Returns the payload that must arrive, and the answer or the error."""
        moment = self._moment = now()
        payload: Payload = filled(step.payload, self.transaction, moment)
        arrives = payload if step.arrives is None else filled(step.arrives, self.transaction, moment)
        try:
            if step.upwards:
                return arrives, await self.charge_point.call(step.action, payload)
            return arrives, await self.central_system.call(IDENTITY, step.action, payload, timeout=_PATIENCE)
        except (CallRefused, OSError, ValueError) as error:
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

    async def _inferred(self, step: ScenarioStep) -> tuple[Payload, Outcome]:
        """Wait until the Central System has answered the gateway's own Call and the gateway has logged the loss."""
        arrives = filled(step.payload, self.transaction, self._moment)
        try:
            async with asyncio.timeout(_PATIENCE):
                while len(self._of(step)) < 2 or len(self.ledger.entries) == self._entries_seen:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return arrives, TimeoutError("the gateway sent nothing by itself")
        return arrives, {}

    def _of(self, step: ScenarioStep) -> list[WireMessage]:
        return [message for message in self._messages if message.action == step.action]

    def _played(self, step: ScenarioStep, arrives: Payload, outcome: Outcome) -> Played:
        violations = [*self.central_system.violations, *self.charge_point.violations]
        self.central_system.violations.clear()
        self.charge_point.violations.clear()
        messages = self._of(step)
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


def _refusing(what: Payload, refusal: CallRefused, otherwise: Behaviour) -> Behaviour:
    async def answer(request: Payload) -> Payload:
        if request == what:
            raise refusal
        return await answer_of(otherwise, request)

    return answer


@asynccontextmanager
async def opened(scenario: Scenario, ports: Ports, prepare: Prepare | None, fleet: int = 0) -> AsyncIterator[DemoStage]:
    """Yield a DemoStage in which all three parties listen. Raises OSError when a port was taken meanwhile.

    Args:
        scenario: The session of the Charge Point.
        ports: The ports of the three parties.
        prepare: Changes the behaviour of the simulators, for a test.
        fleet: The number of Charge Points that join later.
    """
    with kept() as ledger:
        stage = DemoStage(scenario, ports, ledger)
        stage.prepare(prepare)
        gateway = Gateway(settings_for(ports, fleet))
        async with stage.central_system:
            await gateway.start()
            stage.console_url = gateway.console_url
            try:
                async with stage.charge_point:
                    yield stage
            finally:
                await gateway.close()
