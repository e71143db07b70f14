"""Every SOAP request that is served goes through both halves of a Spyne server; without Spyne there is no SOAP port."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from spyne.server import ServerBase

from bridge.dialects.versions import DIALECTS
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from tests.e2e.stage import COMMANDS, envelope, post
from tests.e2e.test_legacy import leg

HALVES = ("generate_contexts", "get_in_object", "get_out_object", "get_out_string")


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many messages took each step of Spyne's."""
    counted: Counter[str] = Counter()

    def counting(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counts(*args: Any, **options: Any) -> Any:
            counted[name] += 1
            return step(*args, **options)

        return counts

    for name in HALVES:
        monkeypatch.setattr(ServerBase, name, counting(name, getattr(ServerBase, name)))
    return counted


@pytest.mark.parametrize("version", DIALECTS)
async def test_every_request_takes_both_halves(version: str, passed: Counter[str]) -> None:
    async with leg(version, version) as scene:
        for times in (1, 2):  # a Charge Point's, at the CentralSystemService
            await scene.charge_point.call("Heartbeat", {})
            assert passed == dict.fromkeys(HALVES, times)
        passed.clear()
        assert isinstance(scene.central_system, SoapCentralSystem)
        await scene.central_system.call(scene.identity, "ClearCache", COMMANDS["ClearCache"])
        assert passed == dict.fromkeys(HALVES, 1)  # a Central System's, at the ChargePointService


async def test_a_request_that_cannot_be_read_takes_them_too(passed: Counter[str]) -> None:
    """There is nothing to hand on between the halves."""
    async with leg("1.6", "json") as scene:
        answer = await post(scene.gateway, envelope('<authorizeRequest xmlns="urn://Ocpp/Cs/2015/10/"/>'))
        assert answer.status == 400
        assert passed == {"generate_contexts": 1, "get_in_object": 1, "get_out_string": 1}


def test_without_spyne_it_does_not_start() -> None:
    blocked = "import sys; sys.modules['spyne'] = None; from bridge.commands.cli import main; sys.exit(main(['serve']))"
    started = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False)
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert line.startswith("ocpp-bridge: the SOAP services need Spyne, which cannot be imported here: ")
