"""A Central System that serves nobody before a BootNotification on the same connection ("Delivery", D7).

A SOAP Charge Point does not see that its Central System was restarted. With `replay_boot = "auto"` the bridge sends its
last BootNotification again when a SecurityError asks for it, and what could not be delivered is a link failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.app import Gateway
from tests.e2e.stage import AT, CS, Answer, envelope, post, running, settings
from tests.e2e.test_delivery import ACTIONS, QUICK, link_failed, request
from tests.e2e.test_restart import start, stop

_BOOT = envelope(
    f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>v</chargePointVendor><chargePointModel>m'
    "</chargePointModel></bootNotificationRequest>"
)
_TEN_MINUTES = 600


class _Skipping(asyncio.SelectorEventLoop):
    """A loop whose clock a test may put forward."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


def _run(walk: Coroutine[Any, Any, None]) -> None:
    """Without a time limit, which a clock that is put forward would reach."""
    with asyncio.Runner(loop_factory=_Skipping) as runner:
        runner.run(walk)


def _skip(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Skipping)
    loop.skipped += seconds


class InsistingCentralSystem:
    """It answers SecurityError until it has seen a BootNotification on this connection. `recorded` holds what it took,
    and `boots` counts BootNotifications, over all its restarts."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, Any]] = []
        self.boots = 0
        self.refused = 0
        self.port = 0
        self.listening = asyncio.Event()

    async def serve(self, restart: asyncio.Event) -> None:
        """Until it is restarted: its connections end with 1012 then."""
        only = [Subprotocol("ocpp1.6")]
        async with serve(self._accepted, "127.0.0.1", self.port, subprotocols=only, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.listening.set()
            await restart.wait()
            for connection in tuple(server.connections):
                await connection.close(1012)

    async def _accepted(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._answer_all(connection)

    async def _answer_all(self, connection: ServerConnection) -> None:
        booted = False
        async for text in connection:
            _, unique_id, action, payload = json.loads(text)
            if action == "BootNotification":
                booted = True
                self.boots += 1
                answer: list[Any] = [3, unique_id, {"status": "Accepted", "currentTime": AT, "interval": 86400}]
            elif not booted:
                self.refused += 1
                answer = [4, unique_id, "SecurityError", "no BootNotification yet", {}]
            else:
                self.recorded.append((action, payload))
                results: dict[str, Any] = {
                    "StartTransaction": {
                        "transactionId": payload.get("meterStart"),
                        "idTagInfo": {"status": "Accepted"},
                    },
                    "Heartbeat": {"currentTime": AT},
                }
                answer = [3, unique_id, results.get(action, {})]
            await connection.send(json.dumps(answer))


async def _delivered(gateway: Gateway, body: bytes) -> Answer:
    """The Charge Point repeats every ten minutes what failed, and is told of nothing but the link."""
    for _ in range(300):
        answer = await post(gateway, body)
        if answer.status == 200:
            return answer
        assert link_failed(answer), answer.body
        _skip(_TEN_MINUTES)
        await asyncio.sleep(0)
    raise AssertionError("not delivered in two days")


def test_a_charge_point_that_never_boots_again_loses_nothing_in_ten_restarts() -> None:
    async def walk() -> None:
        central, restart = InsistingCentralSystem(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(central.serve(restart))
            await central.listening.wait()
            system = QUICK | {"replay_boot": "auto"}
            url = f"ws://127.0.0.1:{central.port}/ocpp"
            async with running(settings(url, central_system=system)) as gateway:
                assert (await post(gateway, _BOOT)).status == 200
                for number in range(1, 11):
                    restart.set()
                    await serving
                    central.listening.clear()
                    restart.clear()
                    serving = group.create_task(central.serve(restart))
                    await central.listening.wait()
                    answer = await _delivered(gateway, start(number))
                    assert answer.content.findtext("{*}transactionId") == str(number)
                    await _delivered(gateway, request("MeterValues"))
                    await _delivered(gateway, stop(number))
            restart.set()
        taken = [action for action, _ in central.recorded if action in ACTIONS]
        assert taken == ["StartTransaction", "MeterValues", "StopTransaction"] * 10
        assert [payload["meterStart"] for action, payload in central.recorded if action == "StartTransaction"] == list(
            range(1, 11)
        )
        # It insisted each time, and was introduced to each time.
        assert central.refused >= 10
        assert central.boots >= 11

    _run(walk())
