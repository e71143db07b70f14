"""The bridge has a fault, or its disk hangs: what each party sees of it, which is as little as possible."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge import config
from bridge.admin.metrics import Meter
from bridge.app import Gateway
from bridge.gateway.authorization_key import AuthorizationKeys
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.health import Outages
from bridge.gateway.live_stream import LiveStream
from bridge.gateway.persistence import Persistence
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.transports import DialledTransport
from bridge.recorder.recorder import Recorder
from bridge.store.audit import AuditQuery
from bridge.store.database import Database
from bridge.store.records import Key, Record
from bridge.watching.facts import Watcher
from bridge.watching.traffic_log import TrafficLog
from tests.e2e.stage import AT_MOST, CS, SOAP12, RawCentralSystem, post, running, settings
from tests.e2e.test_authorization_key import KEY, OLD, change, status
from tests.e2e.test_authorization_key import told as with_passwords
from tests.e2e.test_restart import opened, start, started, through, told

# What the tests break, or what lies on the same disk.
_BROKEN = ("bridge.watching", "bridge.gateway", "bridge.store", "bridge.recorder")


@pytest.fixture(autouse=True)
def nothing_fails_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing fails but what a test has broken, and that is in the log."""
    yield
    for record in caplog.get_records("call"):
        if record.levelno >= logging.ERROR:
            assert record.name in _BROKEN, record.getMessage()


def fails(*_: Any, **__: Any) -> Any:
    """What has a fault."""
    raise KeyError("a fault")


@pytest.mark.parametrize("watcher", [TrafficLog, Meter, Outages, CallCounters, LiveStream, Recorder, AuthorizationKeys])
async def test_a_watcher_with_a_fault_costs_no_message(
    watcher: type[Watcher], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At 1eaf26e one KeyError in a counter closed the Central System's WebSocket with 1006."""
    monkeypatch.setattr(watcher, "see", fails)
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        first, link, _ = await opened(central, gateway, start(1), started(1))
        second, _ = await through(link, gateway, start(2), started(2))
        assert (told(first), told(second)) == (("Accepted", "1"), ("Accepted", "2"))
        assert (await post(gateway, b"<no envelope/>")).status == 400
        assert len(central.requests) == 1
    assert "this event is missing there" in caplog.text


async def test_a_report_that_fails_does_not_stop_the_commands_after_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits behind a Call is sent when that Call has ended, whatever went wrong with the report of it."""
    monkeypatch.setattr(SessionRunner, "_reported", fails)
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(post(gateway, start(number))) for number in (1, 2)]
            link = await central.connected()
            for number in (1, 2):
                await link.serve(started(number))
        assert sorted(told(task.result()) for task in asked) == [("Accepted", "1"), ("Accepted", "2")]
    assert "the command Report of Charge Point 'CP 1' failed" in caplog.text


async def test_a_call_that_cannot_be_sent_is_a_link_failure_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Charge Point keeps it, and the next one goes through."""
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        _, link, _ = await opened(central, gateway, start(1), started(1))
        with monkeypatch.context() as broken:
            broken.setattr(DialledTransport, "send_call", fails)
            refused = await post(gateway, start(2))
        assert (refused.status, refused.fault) == (503, (f"{{{SOAP12}}}Receiver", f"{{{CS}}}InternalError"))
        answer, call = await through(link, gateway, start(2), started(2))
        assert (told(answer), call[2]) == (("Accepted", "2"), "StartTransaction")


async def test_a_commit_that_fails_is_told_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Persistence, "keep", fails)
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        answer, _, _ = await opened(central, gateway, start(1), started(1))
        assert told(answer) == told(await post(gateway, start(1))) == ("Accepted", "1")


class HangingDisk:
    """Takes no transaction while it hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hangs = False
        self._over = threading.Event()
        write: Callable[..., set[Key]] = Database.write

        def wait_and_write(database: Database, records: Iterable[Record], *, durable: bool) -> set[Key]:
            if self.hangs:
                assert self._over.wait(AT_MOST)
            return write(database, records, durable=durable)

        monkeypatch.setattr(Database, "write", wait_and_write)

    def well(self) -> None:
        """From here on."""
        self.hangs = False
        self._over.set()


async def test_a_disk_that_hangs_is_waited_for_a_second_and_then_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """D2: it refuses nobody. `/readyz` says degraded, the log which promises are off."""
    disk = HangingDisk(monkeypatch)

    async def timed(asked: Any) -> float:
        began = asyncio.get_running_loop().time()
        answer, _ = await asked
        assert told(answer)[0] == "Accepted"
        return asyncio.get_running_loop().time() - began

    async def hanging(central: RawCentralSystem, gateway: Gateway) -> None:
        _, link, _ = await opened(central, gateway, start(1), started(1))
        disk.hangs = True
        waited = await timed(through(link, gateway, start(2), started(2)))
        assert 1.0 <= waited < gateway._settings.gateway.call_timeout
        health = gateway._health()
        assert (health.told()["status"], health.serves) == ("degraded", True)
        assert "has not answered for 1 s" in str(health.store.trouble)
        # From now on nobody waits for it.
        commits = gateway._store.commit()
        assert commits.done() and not commits.result()
        answer, _ = await through(link, gateway, start(3), started(3))
        assert told(answer) == told(await post(gateway, start(3))) == ("Accepted", "3")

    async with RawCentralSystem() as central:
        stored = msgspec.structs.replace(
            settings(central.url), store=config.Store(url=f"sqlite:///{tmp_path}/bridge.db")
        )
        async with running(stored) as gateway:
            try:
                await hanging(central, gateway)
            finally:
                disk.well()
    [line] = [line for line in caplog.messages if "nothing is written to the store" in line]
    assert "StartTransaction" in line and "moves" in line
    assert "all is well again with the store" in caplog.text


async def test_passwords_and_audit_in_a_store_that_turns_up_late_hold_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was mounted after the bridge was started: what a Central System set before is not forgotten."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    store = f"sqlite:///{disk}/bridge.db"
    async with RawCentralSystem() as central:
        async with running(with_passwords(central.url, store)) as gateway:
            await change(gateway, central, {"status": "Accepted"})
            gateway._audit.add("CP 1", who="me", what="before", detail="", outcome="done")
            assert await status(gateway, OLD) == 401
        disk.rename(elsewhere)
        disk.write_text("where a folder is expected")
        found = asyncio.Event()
        read_again = Gateway._read_store_again

        def read(gateway: Gateway) -> None:
            read_again(gateway)
            found.set()

        monkeypatch.setattr(Gateway, "_read_store_again", read)
        async with running(with_passwords(central.url, store)) as gateway:
            assert await status(gateway, OLD) == 101  # nobody can know
            gateway._audit.add("CP 1", who="me", what="meanwhile", detail="", outcome="done")
            disk.unlink()
            elsewhere.rename(disk)
            await asyncio.wait_for(found.wait(), AT_MOST)
            assert [await status(gateway, OLD), await status(gateway, KEY)] == [401, 101]
            assert [one.what for one in (await gateway._audit.page(AuditQuery(), 10)).items] == [
                "meanwhile",
                "before",
            ]
