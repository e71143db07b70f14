"""How far a message walks through the code: the files it passes, and how often it goes from one file to another.

Both numbers are the price of reading how a message is carried. The aim of design/house.md is 25 files and 60 moves.
The limits here are what was counted when they were last lowered, a twentieth added: a change may lower them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import bridge
from tests.e2e.stage import COMMANDS, SAMPLES, stage

ROOT = str(Path(bridge.__file__).parent)
OTHERS = (f"{ROOT}/lab", f"{ROOT}/watching", f"{ROOT}/admin", f"{ROOT}/gateway/call_counters")


class Walk:
    """Counts the files of the bridge that run, without those that only watch, and the moves between them."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.moves = 0
        self._last = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event not in ("call", "return"):
            return
        running = frame if event == "call" else frame.f_back
        if running is None:
            return
        name = running.f_code.co_filename
        if not name.startswith(ROOT) or name.startswith(OTHERS):
            return
        self.files.add(name[len(ROOT) + 1 :])
        self.moves += name != self._last
        self._last = name


async def walked(again: Callable[[], Awaitable[object]]) -> Walk:
    """The walk of one message, which is not the first of its kind."""
    for _ in range(3):
        await again()
    await asyncio.sleep(0.1)
    walk = Walk()
    sys.setprofile(walk)
    try:
        await again()
    finally:
        sys.setprofile(None)
    return walk


async def test_the_walk_of_meter_values_from_soap_to_json() -> None:
    async with stage() as made:
        values = await walked(lambda: made.charge_point.call("MeterValues", SAMPLES["MeterValues"]))
        assert len(values.files) <= 70, sorted(values.files)
        assert values.moves <= 300


async def test_the_walk_of_a_remote_start_from_json_to_soap() -> None:
    async with stage() as made:
        await made.charge_point.call("Heartbeat", {})
        await made.central_system.wait_for("CP 1")
        asked = COMMANDS["RemoteStartTransaction"]
        started = await walked(lambda: made.central_system.call("CP 1", "RemoteStartTransaction", asked))
        assert len(started.files) <= 66, sorted(started.files)
        assert started.moves <= 267
