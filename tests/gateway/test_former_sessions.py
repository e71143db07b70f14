"""A Central System that a Charge Point was moved away from, and that does not end its transactions.

What it is sent, and may command, is in tests/e2e/test_former_central_systems.py.
"""

from __future__ import annotations

import asyncio

import pytest

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.stage import AT_MOST
from tests.e2e.test_former_central_systems import moving


async def test_a_transaction_is_given_up_when_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async with moving("soap", "json", "json", drain_hours=0.2 / 3600) as stage, api_of(stage.gateway) as api:
        main = stage.systems["main"]
        assert isinstance(main, JsonCentralSystem)
        number = await stage.start(1)
        await stage.move("new")
        async with asyncio.timeout(AT_MOST):
            while "give up" not in [entry["what"] for entry in (await api.get("/audit"))["items"]]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert "given up" in caplog.text
        await main.wait_gone("CP 1")
        # A StopTransaction that comes still is the Central System's that named the transaction.
        await stage.stop(number)
        assert stage.ids("main") == [("StopTransaction", 1)] and not stage.ids("new")
