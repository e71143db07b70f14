"""A bridge that is killed between the steps of a session whose Charge Point is moved: nothing goes to the wrong one.

Both Central Systems give their first transaction the number 1. The kill is `kill -9`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT, CS, envelope, post
from tests.e2e.test_reload import tables
from tests.e2e.test_restart import start, stop, told

STEPS = ("start", "move", "other start", "meter values")


def meter(number: str) -> bytes:
    return envelope(
        f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId><transactionId>{number}</transactionId>'
        f"<meterValue><timestamp>{AT}</timestamp><sampledValue><value>1</value></sampledValue></meterValue>"
        "</meterValuesRequest>"
    )


@pytest.mark.parametrize("killed_after", STEPS)
async def test_killed_after(killed_after: str, tmp_path: Path) -> None:
    async with (
        JsonCentralSystem() as old,
        JsonCentralSystem() as new,
        Bridge(tmp_path, tables(old=old.url, new=new.url)) as bridge,
    ):

        async def done(step: str) -> None:
            if step == killed_after:
                await bridge.restart()

        _, first = told(await post(bridge, start()))
        await done("start")
        bridge.configure(tables(old=old.url, new=new.url), {"*": "new"})
        await bridge.reload()
        await done("move")
        _, second = told(await post(bridge, start(connector=2)))
        await done("other start")
        assert (await post(bridge, meter(first))).status == 200
        assert (await post(bridge, meter(second))).status == 200
        await done("meter values")
        for number in (first, second, first, second):  # and once more: the answer did not arrive
            assert (await post(bridge, stop(int(number)))).status == 200
        for central in (old, new):
            said = [(action, payload.get("transactionId")) for _, action, payload in central.received]
            counted = [one for one in said if one[0] in ("StartTransaction", "MeterValues", "StopTransaction")]
            assert counted == [("StartTransaction", None), ("MeterValues", 1), ("StopTransaction", 1)]
