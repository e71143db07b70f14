"""A single process becomes several ones: transactions that were open go on, with `ocpp-bridge store import`."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.processes import Bridge, CentralSystem
from tests.e2e.stage import AT_MOST, post
from tests.e2e.test_restart import start, stop, told
from tests.e2e.test_workers import Workers

VERSION_3 = Path(__file__).parents[1] / "store" / "version_3.sql"
WITH_WORKERS = {
    "OCPP_BRIDGE__GATEWAY__WORKERS": "2",
    "OCPP_BRIDGE__CLUSTER__NODE": "a",
    "OCPP_BRIDGE__CLUSTER__LEASE": "10",
}


async def imported(bridge: Bridge) -> str:
    """Run the command. Returns: what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "store", "import", "--config", str(bridge.file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(bridge.environment),
        cwd=Path(__file__).parents[2],
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_transaction_goes_on_with_workers(tmp_path: Path) -> None:
    async with CentralSystem(given=40) as central:
        single = Bridge(tmp_path, {"main": {"url": central.url}})
        numbers = {}
        async with single:
            for identity in ("S 1", "S 2", "S 3"):
                numbers[identity] = told(await post(single, start(identity=identity)))[1]
            single.told(signal.SIGTERM)
            assert await single.ended() == 0
        assert len(set(numbers.values())) == 3
        workers = Workers(tmp_path, 2, {"main": {"url": central.url}})
        said = await imported(workers)
        assert "of 3 Charge Points are imported" in said and "  transactions: 3\n" in said
        async with workers:
            for identity, number in numbers.items():
                # It repeats what it was answered, and ends the transaction.
                assert told(await post(workers, start(identity=identity)))[1] == number
                assert (await post(workers, stop(int(number), identity=identity))).status == 200
        sent = [(identity, action, content) for identity, action, content in central.received]
        assert len([one for one in sent if one[1] == "StartTransaction"]) == 3
        stopped = {one[0]: str(one[2]["transactionId"]) for one in sent if one[1] == "StopTransaction"}
        assert stopped == numbers
    assert not (tmp_path / "bridge.db").exists() and (tmp_path / "bridge.db.imported-1").exists()


async def test_a_transaction_of_a_store_of_version_3_ends_where_the_charge_point_was_moved(tmp_path: Path) -> None:
    """Its transactionId has more than 32 bits; the Charge Point knows an alias."""

    with closing(sqlite3.connect(tmp_path / "bridge.db")) as connection:
        connection.executescript(VERSION_3.read_text("utf-8"))
    async with CentralSystem() as main, CentralSystem() as other:
        workers = Workers(tmp_path, 2, {"main": {"url": main.url}, "other": {"url": other.url}})
        await imported(workers)
        async with workers:
            assert (await post(workers, stop(2**31 - 1, identity="RDAM 123"))).status == 200
        (stopped,) = [one for one in other.received if one[1] == "StopTransaction"]
        assert stopped[0] == "RDAM 123" and stopped[2]["transactionId"] == 2**40
        assert not [one for one in main.received if one[1] == "StopTransaction"]


async def test_what_waits_for_an_observer_is_told_by_the_workers(tmp_path: Path) -> None:
    """It was away before. The transaction that it names then ends with its number."""
    also = '[[routes.also]]\ncentral_system = "ems"\n'
    async with CentralSystem() as main, CentralSystem(given=40) as ems:
        systems: dict[str, dict[str, Any]] = {
            "main": {"url": main.url},
            "ems": {"url": ems.url, "reconnect_min": 0.1, "reconnect_max": 0.3},
        }
        await ems.kill()
        single = Bridge(tmp_path, systems, more=also)
        async with single:
            number = told(await post(single, start(identity="S 1")))[1]
            single.told(signal.SIGTERM)
            assert await single.ended() == 0
        workers = Workers(tmp_path, 2, systems, more=also)
        said = await imported(workers)
        assert "  observer_message: 1\n" in said and "bridge.observers.db.imported-1" in said
        assert not (tmp_path / "bridge.observers.db").exists()
        async with workers:
            await ems.start()
            assert (await post(workers, stop(int(number), identity="S 1"))).status == 200
            async with asyncio.timeout(AT_MOST):
                while "StopTransaction" not in {action for _, action, _ in ems.received}:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        named = [(action, told_.get("transactionId")) for _, action, told_ in ems.received if "Transaction" in action]
        assert named == [("StartTransaction", None), ("StopTransaction", 41)]
    assert not (tmp_path / "bridge-2.observers.db").exists()
