"""An import is one transaction: a bridge that is killed in the middle of it has all of it afterwards, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import pytest

from bridge.admin import token_file
from tests.e2e.processes import Bridge

ROWS = 3000


class DemoFleet:
    """The API of a bridge in a process of its own."""

    def __init__(self, bridge: Bridge) -> None:
        kept = token_file.beside(bridge.store_url)
        assert kept is not None
        token = token_file.found(kept)
        assert token is not None
        self._headers = {"Authorization": f"Bearer {token.decode()}"}
        self._url = f"http://127.0.0.1:{bridge.admin_address[1]}/api/v1/charge-points"

    async def send(self, rows: int) -> int:
        """Import that many. Returns the status."""
        csv = "identity,callback_url\n" + "".join(f"CP {n:05},http://10.0.0.1:{n + 1}/\n" for n in range(rows))
        headers = self._headers | {"Content-Type": "text/csv"}
        url, data = f"{self._url}:import", csv.encode()
        async with aiohttp.ClientSession(headers=headers) as http, http.post(url, data=data) as response:
            return response.status

    async def count(self) -> int:
        """How many an export has."""
        async with aiohttp.ClientSession(headers=self._headers) as http, http.get(f"{self._url}:export") as response:
            return len((await response.text()).splitlines()) - 1


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2, 0.4])
async def test_a_bridge_that_is_killed_has_all_or_nothing(tmp_path: Path, after: float) -> None:
    async with Bridge(tmp_path, {"main": {"url": "ws://127.0.0.1:1/"}}) as bridge:
        fleet = DemoFleet(bridge)
        assert await fleet.send(1) == 200
        async with asyncio.TaskGroup() as group:

            async def send() -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    await fleet.send(ROWS)

            group.create_task(send())
            await asyncio.sleep(after)
            await bridge.kill()
        await bridge.start()
        assert await fleet.count() in (1, ROWS)
        assert await fleet.send(ROWS) == 200
        await bridge.restart()
        assert await fleet.count() == ROWS
