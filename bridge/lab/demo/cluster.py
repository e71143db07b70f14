"""The demo of several processes: one of them is killed in the middle of a charging session, and another takes over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE
from bridge.lab.demo.ports import HOST, Ports
from bridge.lab.demo.scenario import IDENTITY
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload, now
from bridge.net.tasks import Tasks
from bridge.ocpps.wsdl import folder_of

_NODE = "demo"
# Seconds for one attempt of the Charge Point, for all of its attempts, between two of them, and for the bridge to
# start or to end.
_ATTEMPT, _PATIENCE, _AGAIN, _STARTING = 15.0, 60.0, 0.5, 90.0
_CONFIGURATION = """
[gateway]
workers = {workers}
drain_timeout = 5
[cluster]
node = "{node}"
[soap]
listen = "{host}:{soap}"
public_url = "http://{host}:{soap}"
[websocket]
listen = "{host}:{websocket}"
[admin]
listen = "{host}:{admin}"
[store]
url = "sqlite:///{folder}/bridge.db"
[central_systems.main]
url = "ws://{host}:{central_system}/ocpp"
[[routes]]
charge_point = "*"
central_system = "main"
"""


class BridgeProcesses:
    """`serve` with workers, in processes of their own. `lines` is what they have logged."""

    def __init__(self, supervisor: asyncio.subprocess.Process) -> None:
        self._supervisor = supervisor
        self._tasks = Tasks()
        self._more = asyncio.Event()
        self.lines: list[str] = []
        self._reading = self._tasks.spawn(self._read(), name="log of the bridge")

    async def _read(self) -> None:
        assert self._supervisor.stderr is not None
        while line := await self._supervisor.stderr.readline():
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            self._more.set()
        self._more.set()

    async def said(self, words: str, after: int = 0) -> str:
        """Return the first line from number `after` on that fits the pattern `words`, once there is one.

        Raises OSError if there is none in time, or the bridge has ended.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_STARTING):
                while True:
                    found = (line for line in self.lines[after:] if re.search(words, line))
                    if (line := next(found, None)) is not None:
                        return line
                    if self._reading.done():
                        break
                    self._more.clear()
                    await self._more.wait()
        raise OSError(f"the bridge did not say {words!r}; its last line is: {(self.lines or ['none'])[-1]}")

    async def process_of(self, worker: str) -> int:
        """Return the process ID of a worker, which was started once. Raises OSError as `said` does."""
        line = await self.said(rf" started .* pid=\d+ worker={worker}$")
        return int(line.rpartition(" pid=")[2].partition(" ")[0])

    async def close(self) -> None:
        """End the bridge."""
        with suppress(ProcessLookupError):
            self._supervisor.terminate()
        try:
            async with asyncio.timeout(_STARTING):
                await self._supervisor.wait()
        except TimeoutError:
            self._supervisor.kill()
            await self._supervisor.wait()
        await self._tasks.close()


@asynccontextmanager
async def _serving(folder: Path, ports: Ports, workers: int) -> AsyncIterator[BridgeProcesses]:
    file = folder / "bridge.toml"
    text = _CONFIGURATION.format(
        workers=workers,
        node=_NODE,
        host=HOST,
        soap=ports.soap,
        websocket=ports.websocket,
        admin=ports.admin,
        central_system=ports.central_system,
        folder=folder,
    )
    file.write_text(text, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCPP_BRIDGE")}
    command = (sys.executable, "-m", "bridge", "serve", "--config", str(file))
    # In a session of its own: Ctrl+C at the terminal is for the demo, which ends the bridge.
    supervisor = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment, start_new_session=True
    )
    bridge = BridgeProcesses(supervisor)
    try:
        await bridge.said("all workers serve")
        yield bridge
    finally:
        await bridge.close()


class _KilledSession:
    """A charging session in which the process that has the Charge Point is killed."""

    def __init__(self, bridge: BridgeProcesses, charge_point: SoapChargePoint, say: Callable[[str], None]) -> None:
        self._bridge, self._charge_point, self._say = bridge, charge_point, say

    async def run(self) -> int:
        """Run the session. Returns: the transactionId."""
        await self._send("BootNotification", {"chargePointVendor": "ocpp-bridge", "chargePointModel": "demo"})
        start: Payload = {"connectorId": 1, "idTag": "DRIVER-1", "meterStart": 1000, "timestamp": now()}
        answer, _, owner = await self._send("StartTransaction", start)
        number: int = answer["transactionId"]
        os.kill(await self._bridge.process_of(owner), signal.SIGKILL)
        self._say(f"  kill -9 {owner}, in the middle of transaction {number}")
        sample = {"timestamp": now(), "sampledValue": [{"value": "1200"}]}
        values: Payload = {"connectorId": 1, "transactionId": number, "meterValue": [sample]}
        _, waited, heir = await self._send("MeterValues", values)
        who = f"{heir} has taken over" if heir != owner else f"{heir} was started again, and has the Charge Point"
        self._say(f"  {who}; the Charge Point has waited {waited:.1f} s")
        stop: Payload = {"transactionId": number, "timestamp": now(), "meterStop": 1400, "reason": "Local"}
        await self._send("StopTransaction", stop)
        return number

    async def _send(self, action: str, payload: Payload) -> tuple[Payload, float, str]:
        """Send a message until it is answered, as a Charge Point does.

        Returns: The answer, the seconds until it came, and the name of the worker that sent the message on.

        Raises:
            OSError: There was no answer in time.
        """
        begun, lines = time.monotonic(), len(self._bridge.lines)
        while True:
            try:
                answer = await self._charge_point.call(action, payload)
                break
            except (OSError, CallRefused):
                if time.monotonic() - begun > _PATIENCE:
                    raise
                await asyncio.sleep(_AGAIN)
        took = time.monotonic() - begun
        line = await self._bridge.said(rf"identity={IDENTITY} action={action} .* worker=", lines)
        worker = line.rpartition(" worker=")[2]
        self._say(f"  {action:<17} answered after {took:.2f} s, through {worker}")
        return answer, took, worker


async def kill_one(workers: int, ports: Ports, say: Callable[[str], None]) -> int:
    """Run the demo of `workers` processes. Returns exit code 0 if all went as promised, else 1.

    Args:
        workers: The number of processes, at least 2.
        ports: The wanted ports.
        say: Shows one line.

    Raises:
        OSError: The bridge cannot be started, or does not answer.
    """
    found = ports.free()
    say(f"ocpp-bridge demo: {workers} processes of one bridge, and one of them is killed in the middle of a session.")
    url = f"http://{HOST}:{found.soap}{CENTRAL_SYSTEM_SERVICE}"
    say(f"  a SOAP Charge Point, the bridge at {url}, a JSON Central System")
    central_system = JsonCentralSystem(port=found.central_system)
    charge_point = SoapChargePoint(
        url=url,
        identity=IDENTITY,
        wsdl=folder_of("1.6"),
        port=found.charge_point,
        timeout=_ATTEMPT,
    )
    with tempfile.TemporaryDirectory(prefix="ocpp-bridge-demo-") as folder:
        async with (
            central_system,
            _serving(Path(folder), found, workers) as bridge,
            charge_point,
        ):
            number = await _KilledSession(bridge, charge_point, say).run()
            stops = [sent for _, action, sent in central_system.received if action == "StopTransaction"]
    times = "once" if len(stops) == 1 else f"{len(stops)} times"
    say(f"StopTransaction has arrived {times} at the Central System, {_named(stops, number)}.")
    return 0 if [sent["transactionId"] for sent in stops] == [number] else 1


def _named(stops: list[Payload], number: int) -> str:
    right = all(sent["transactionId"] == number for sent in stops)
    return f"{'with' if right else 'not with'} the transactionId {number}"
