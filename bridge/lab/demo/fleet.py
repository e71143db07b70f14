"""A fleet of simulated Charge Points that charge all the time, so that the console has something to show.

Of each ten Charge Points five are of OCPP-S 1.6, two of 1.5, one of 1.2, and two of OCPP-J 1.6. Pauses and meter values
follow from the number of a Charge Point, so that two runs of the demo are alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from bridge.lab.demo.checks import described
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload, now
from bridge.net.tasks import Tasks
from bridge.ocpps.wsdl import folder_of

ChargePointSimulator: TypeAlias = SoapChargePoint | JsonChargePoint

_PROTOCOLS = (
    *("ocpp1.6s", "ocpp1.5s", "ocpp1.6j", "ocpp1.6s", "ocpp1.2s"),
    *("ocpp1.6s", "ocpp1.6s", "ocpp1.5s", "ocpp1.6j", "ocpp1.6s"),
)
# The messages a second of a whole fleet that one process, which simulates both ends too, carries with time to spare.
FLEET_RATE = 25
_READINGS = 6  # MeterValues in a session
_TAGS = 40  # drivers
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAddresses:
    """The addresses at which the fleet and the gateway find each other.

    Attributes:
        soap: The CentralSystemService of the gateway.
        websocket: The URL of the gateway that JSON identities are appended to.
        host: The fleet's own IP address or name, where SOAP Charge Points take commands at free ports.
    """

    soap: str
    websocket: str
    host: str = "127.0.0.1"


class DemoFleetCounts:
    """Counts the Calls that were answered, those that were not, and the Charge Points that charge now."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.charging = 0


class DemoFleet:
    """Simulated Charge Points of one gateway.

    Args:
        size: The number of Charge Points, 1 to `bridge.lab.demo.LARGEST_FLEET`.
        addresses: The addresses of the gateway.
        central_system: The Central System behind the gateway. It begins every second session of a Charge Point. None
            if it is in another process.
        say: Shows one line: every Call without a good answer.
        every: The seconds between two messages of a Charge Point.
    """

    def __init__(
        self,
        size: int,
        addresses: FleetAddresses,
        central_system: JsonCentralSystem | None,
        *,
        say: Callable[[str], None],
        every: float,
    ) -> None:
        self.size = size
        self.counts = DemoFleetCounts()
        self._addresses = addresses
        self._central_system = central_system
        self._say = say
        self._every = every
        self._tasks = Tasks()

    async def one_session(self) -> bool:
        """Let each Charge Point charge once, without pauses. Returns whether every Call was answered as expected."""
        members = [self._member(number, every=0.0) for number in range(1, self.size + 1)]
        tasks = [self._tasks.spawn(member.charge_once(), name=member.identity) for member in members]
        try:
            await asyncio.gather(*tasks)
        finally:
            await self._tasks.close()
        return self.counts.failed == 0

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Let the Charge Points live until the block ends. They come one after the other, in `every` seconds."""
        for number in range(1, self.size + 1):
            member = self._member(number, every=self._every)
            first = self._every * (number - 1) / self.size
            self._tasks.spawn(member.live(first), name=member.identity)
        try:
            yield
        finally:
            await self._tasks.close()

    def summary(self) -> str:
        """Return a sentence about what the fleet has done so far, and does now."""
        counts = self.counts
        return (
            f"fleet of {self.size}: {counts.charging} charge, {counts.answered} messages were answered,"
            f" {counts.failed} were not"
        )

    def _member(self, number: int, *, every: float) -> FleetMember:
        protocol = _PROTOCOLS[(number - 1) % len(_PROTOCOLS)]
        identity = f"FLEET-{number:03}"
        simulator: ChargePointSimulator
        if protocol == "ocpp1.6j":
            simulator = JsonChargePoint(url=self._addresses.websocket, identity=identity, timeout=_PATIENCE)
        else:
            simulator = SoapChargePoint(
                url=self._addresses.soap,
                identity=identity,
                wsdl=folder_of(protocol.removeprefix("ocpp").removesuffix("s")),
                host=self._addresses.host,
                protocol=protocol,
                timeout=_PATIENCE,
            )
        return FleetMember(
            simulator, number, protocol, self._central_system, say=self._say, every=every, counts=self.counts
        )


class FleetMember:
    """A Charge Point of a fleet, with one connector. The arguments are those of `DemoFleet`, which makes it."""

    def __init__(
        self,
        simulator: ChargePointSimulator,
        number: int,
        protocol: str,
        central_system: JsonCentralSystem | None,
        *,
        say: Callable[[str], None],
        every: float,
        counts: DemoFleetCounts,
    ) -> None:
        self.identity = simulator.identity
        self._simulator = simulator
        self._number = number
        self._protocol = protocol
        self._central_system = central_system
        self._say = say
        self._every = every
        self._counts = counts
        self._meter = 1000 * number  # Wh
        self._sessions = 0

    async def charge_once(self) -> None:
        """Start, charge once, and disconnect."""
        try:
            async with self._simulator:
                await self._boot()
                await self._charge()
        except OSError as error:
            self._tell("connection", error)

    async def live(self, first: float) -> None:
        """Start after `first` seconds and charge for ever. Start again when the gateway cannot be reached."""
        await asyncio.sleep(first)
        while True:
            try:
                async with self._simulator:
                    await self._boot()
                    while True:
                        for _ in range(1 + (self._number * 5 + self._sessions * 3) % 8):
                            await self._send("Heartbeat", {})
                        await self._charge()
            except OSError as error:
                self._tell("connection", error)
            await asyncio.sleep(self._every)

    async def _boot(self) -> None:
        serial = f"SN-{self._number:05}"
        model = f"{self._protocol.removeprefix('ocpp')} simulator"
        vendor: Payload = {"chargePointVendor": "ocpp-bridge", "chargePointModel": model}
        await self._send("BootNotification", {**vendor, "chargePointSerialNumber": serial, "firmwareVersion": "1.0"})
        await self._status(0, "Available")
        await self._status(1, "Available")

    async def _charge(self) -> None:
        """Run one session. A Charge Point whose start is not accepted does not charge."""
        tag = f"DRIVER-{(self._number * 7 + self._sessions * 3) % _TAGS:02}"
        self._sessions += 1
        if self._central_system is not None and self._sessions % 2 == 0:
            await self._remote_start(self._central_system, tag)
        await self._send("Authorize", {"idTag": tag})
        await self._status(1, "Preparing")
        start: Payload = {"connectorId": 1, "idTag": tag, "meterStart": self._meter}
        begun = await self._send("StartTransaction", {**start, "timestamp": now()})
        if begun is None:
            await self._status(1, "Available")
            return
        transaction: int = begun["transactionId"]
        self._counts.charging += 1
        try:
            await self._status(1, "Charging")
            for reading in self._readings(transaction):
                await self._send("MeterValues", reading)
            await self._send("StopTransaction", self._stop(transaction, tag))
        finally:
            self._counts.charging -= 1
        await self._status(1, "Finishing")
        await self._status(1, "Available")

    async def _remote_start(self, central_system: JsonCentralSystem, tag: str) -> None:
        """Let the Central System ask for the session."""
        command = {"connectorId": 1, "idTag": tag}
        try:
            await central_system.call(self.identity, "RemoteStartTransaction", command, timeout=_PATIENCE)
        except (CallRefused, OSError, ValueError) as error:
            self._tell("RemoteStartTransaction", error)
        else:
            self._counts.answered += 1

    async def _status(self, connector: int, word: str) -> None:
        if self._protocol in ("ocpp1.5s", "ocpp1.2s") and word != "Available":
            word = "Occupied"
        status: Payload = {"connectorId": connector, "status": word, "errorCode": "NoError"}
        await self._send(
            "StatusNotification", status if self._protocol == "ocpp1.2s" else status | {"timestamp": now()}
        )

    def _readings(self, transaction: int) -> Iterator[Payload]:
        """Yield the MeterValues of a session, in the form of the protocol."""
        for reading in range(_READINGS):
            amperes = 10 + (self._number + reading * 3) % 22
            self._meter += amperes * 2
            if self._protocol == "ocpp1.2s":
                yield {"connectorId": 1, "values": [{"timestamp": now(), "value": self._meter}]}
                continue
            energy = {"measurand": "Energy.Active.Import.Register", "unit": "Wh"}
            if self._protocol == "ocpp1.5s":
                current = {"measurand": "Current.Import", "unit": "Amp"}
                values = [{"_value_1": str(self._meter), **energy}, {"_value_1": f"{amperes}.0", **current}]
                body: Payload = {"values": [{"timestamp": now(), "value": values}]}
            else:
                current = {"measurand": "Current.Import", "phase": "L1", "unit": "A"}
                values = [{"value": str(self._meter), **energy}, {"value": f"{amperes}.0", **current}]
                body = {"meterValue": [{"timestamp": now(), "sampledValue": values}]}
            yield {"connectorId": 1, "transactionId": transaction, **body}

    def _stop(self, transaction: int, tag: str) -> Payload:
        stop: Payload = {"transactionId": transaction, "idTag": tag, "timestamp": now(), "meterStop": self._meter}
        return stop | ({"reason": "EVDisconnected"} if self._protocol.startswith("ocpp1.6") else {})

    async def _send(self, action: str, payload: Payload) -> Payload | None:
        """Send a request, then pause. Returns the answer, None if there is no good one.

        Raises OSError if the gateway cannot be reached or does not answer in time.
        """
        answer: Payload | None = None
        try:
            answer = await self._simulator.call(action, payload)
        except (CallRefused, ValueError) as error:
            self._tell(action, error)
        else:
            self._counts.answered += 1
        await asyncio.sleep(self._every)
        return answer

    def _tell(self, what: str, error: Exception) -> None:
        self._counts.failed += 1
        self._say(f"{self.identity}: {what}: {described(error)}")
