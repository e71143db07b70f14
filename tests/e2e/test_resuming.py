"""A bridge that has many Sessions to take up again serves meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from bridge import config
from bridge.app import Gateway
from bridge.config import Listen, Settings
from bridge.gateway.rerouting import Rerouting
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.store import ChargePointRecord, Store
from tests.e2e.stage import CP, answering, envelope, listening, post, settings, soap_central_system
from tests.ports import free_port

KNOWN = 300


def stored(folder: Path, url: str) -> Settings:
    """Of a bridge that has heard of many Charge Points just now."""
    file = f"sqlite:///{folder / 'bridge.db'}"
    store = Store(file)
    store.open()
    names = [f"CP {number}" for number in range(KNOWN)]
    records = [
        ChargePointRecord(identity=name, last_seen=time.time(), transport="soap", version="1.6") for name in names
    ]
    store.put(*records)
    store.close()
    return msgspec.structs.replace(settings(url), store=config.Store(url=file))


async def test_it_answers_before_all_sessions_are_taken_up(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        gateway = Gateway(stored(tmp_path, central.url))
        await gateway.start()
        try:
            assert not gateway.resumed.done()
            # The last one: it is there before its turn comes, and is not taken up a second time.
            answer = await post(gateway, envelope(identity=f"CP {KNOWN - 1}"))
            assert (answer.status, answer.fault) == (200, None)
            await gateway.resumed
            assert len(gateway._sessions) == KNOWN
        finally:
            await gateway.close()


async def test_a_bridge_that_is_stopped_at_once_takes_up_no_more(tmp_path: Path) -> None:
    gateway = Gateway(stored(tmp_path, "ws://127.0.0.1:1/"))
    await gateway.start()
    await gateway.close()
    assert gateway.resumed.done()
    assert len(gateway._sessions) < KNOWN


async def test_a_command_of_a_soap_central_system_does_not_wait_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(self: Rerouting, records: object) -> None: ...

    monkeypatch.setattr(Rerouting, "resume", nobody)
    reset = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
    async with soap_central_system() as central, listening(answering(reset)) as point:
        port = free_port()
        made = msgspec.structs.replace(
            settings(
                central.url,
                soap={"listen": Listen("127.0.0.1", port), "public_url": f"http://127.0.0.1:{port}"},
                central_system={"protocol": "ocpp1.6s"},
            ),
            store=config.Store(url=f"sqlite:///{tmp_path / 'bridge.db'}"),
        )
        for number in range(2):
            gateway = Gateway(made)
            await gateway.start()
            try:
                if not number:
                    assert (await post(gateway, envelope(source=point.url))).status == 200
                assert await central.call("CP 1", "Reset", {"type": "Soft"}) == {"status": "Accepted"}
            finally:
                await gateway.close()
        assert len(point.received) == 2
