"""An installed bridge, in a process that has nothing of this checkout, and a Charge Point that it serves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.ocpps.wsdl import folder_of
from tests.ports import free_port

AT_MOST = 60
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}


def bare(**more: str) -> dict[str, str]:
    """The environment of a process that finds nothing of ours: no PYTHONPATH, no virtual environment, no settings."""
    kept = ("LANG", "HOME", "TMPDIR")
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return path | {name: os.environ[name] for name in kept if name in os.environ} | more


class InstalledBridge:
    """`serve` in the folder `cwd`. `command` is given the environment, which moves the listeners to free ports."""

    def __init__(
        self, command: Callable[[Mapping[str, str]], Sequence[str]], cwd: Path, environment: Mapping[str, str]
    ) -> None:
        self.lines: list[str] = []
        self._command = command
        self._cwd = cwd
        self._environment = environment
        self.soap, self.websocket, self.admin, self._central = (free_port() for _ in range(4))

    async def boots(self, token: Callable[[], str]) -> Any:
        """Start it, let a SOAP Charge Point boot through it, and end it by SIGTERM. Returns what /about says.

        `token` is called while it runs, and returns the token of the API.

        Asserts that the JSON Central System got the BootNotification, and that the exit code is 0.
        """
        async with JsonCentralSystem(port=self._central) as central_system:
            environment = {**self._environment, **self._ports()}
            process = await asyncio.create_subprocess_exec(
                *self._command(environment),
                cwd=self._cwd,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                about = await self._served(process, token)
                assert ("BOX-1", "BootNotification", BOOT) in central_system.received
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(AT_MOST):
                    await self._read(process, None)
                    assert await process.wait() == 0, self.lines
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert not [line for line in self.lines if " ERROR " in line or "Traceback" in line]
        return about

    def _ports(self) -> dict[str, str]:
        return {
            "OCPP_BRIDGE__SOAP__LISTEN": f"127.0.0.1:{self.soap}",
            "OCPP_BRIDGE__WEBSOCKET__LISTEN": f"127.0.0.1:{self.websocket}",
            "OCPP_BRIDGE__ADMIN__LISTEN": f"127.0.0.1:{self.admin}",
            "OCPP_BRIDGE__CENTRAL_SYSTEMS__MAIN__URL": f"ws://127.0.0.1:{self._central}/ocpp",
        }

    async def _served(self, process: asyncio.subprocess.Process, token: Callable[[], str]) -> Any:
        async with asyncio.timeout(AT_MOST):
            await self._read(process, "listener=admin")
        url = f"http://127.0.0.1:{self.soap}/services/CentralSystemService"
        async with SoapChargePoint(url=url, identity="BOX-1", wsdl=folder_of("1.6")) as charge_point:
            answer = await charge_point.call("BootNotification", BOOT)
        assert answer["status"] == "Accepted"
        headers = {"Authorization": f"Bearer {await asyncio.to_thread(token)}"}
        about = f"http://127.0.0.1:{self.admin}/api/v1/about"
        async with aiohttp.ClientSession() as http, http.get(about, headers=headers) as response:
            assert response.status == 200
            return await response.json()

    async def _read(self, process: asyncio.subprocess.Process, word: str | None) -> None:
        """Read what it prints up to the line with `word`, or to the end."""
        assert process.stdout is not None
        while line := (await process.stdout.readline()).decode():
            self.lines.append(line)
            if word is not None and word in line:
                return
        assert word is None, "".join(self.lines)
