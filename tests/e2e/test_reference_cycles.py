"""A message leaves no reference cycle behind, which would wait for the garbage collector and make all others wait.

Nor do a Session and a WebSocket that have ended.
"""

from __future__ import annotations

import gc
from collections import Counter
from weakref import ref

import pytest

from bridge.ocpp.actions import Party
from tests.e2e.stage import COMMANDS, SAMPLES, Leg, leg
from tests.outgoing_events.receivers import eventually

# asyncio's transport of a socket refers to itself, and holds these until it is collected, one each for a connection.
OF_A_CONNECTION = {"bridge.net.descriptors.Lease", "bridge.net.descriptors._Leased"}
TIMES = 3


async def exchange_everything(parties: Leg) -> None:
    for name, request in SAMPLES.items():
        await parties.charge_point.call(name, request)
    for name, request in COMMANDS.items():
        await parties.central_system.call(parties.identity, name, request)


@pytest.mark.parametrize("far", ["soap", "json"])
@pytest.mark.parametrize("near", ["soap", "json"])
async def test_no_message_leaves_a_reference_cycle(near: str, far: str) -> None:
    async with leg(near, far) as parties:
        await parties.met()
        await exchange_everything(parties)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(TIMES):
                await exchange_everything(parties)
            cycle: list[object] = []
            cycle.append(cycle)
            del cycle
            gc.collect()
            left = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    ours = {name: count for name, count in left.items() if name.startswith("bridge.") and ".lab." not in name}
    assert ours.keys() <= OF_A_CONNECTION, ours
    assert left["builtins.list"], "the cycle that this test makes was not found"
    assert sum(ours.values()) <= 2 * TIMES * (len(SAMPLES) + len(COMMANDS))


@pytest.mark.parametrize("far", ["soap", "json"])
@pytest.mark.parametrize("near", ["soap", "json"])
async def test_nor_does_a_session_that_another_process_has_from_now_on(near: str, far: str) -> None:
    async with leg(near, far) as parties:
        await parties.met()
        await exchange_everything(parties)
        (runner,) = parties.gateway._sessions.release(lambda key: False)
        session = ref(runner.session)
        gc.disable()
        try:
            runner.end()
            await runner.abandon()
            del runner
            await eventually(lambda: session() is None)
        finally:
            gc.enable()


@pytest.mark.parametrize("far", ["soap", "json"])
async def test_nor_does_a_websocket(far: str) -> None:
    async with leg("json", far) as parties:
        await parties.met()
        (runner,) = parties.gateway._sessions
        gc.disable()
        try:
            transport = runner.transports[Party.CHARGE_POINT]
            link = ref(transport._link)  # type: ignore[attr-defined]
            del transport
            await parties.charge_point.stop()
            await parties.charge_point.start()
            await parties.charge_point.call("Heartbeat", {})
            await eventually(lambda: link() is None)
        finally:
            gc.enable()
