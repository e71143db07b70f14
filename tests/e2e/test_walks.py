"""How far a message walks through the code: the files it passes, and how often it goes from one file to another.

Both numbers are the price of reading how a message is carried. The aim of design/house.md is 25 files and 60 moves. A
move is a call in another file than the call before, as in that design: so counted, commit 1eaf26e has the 129 moves
that the design gives for it, within two. The limits here are what was counted when they were last lowered, a twentieth
added: a change may lower them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType

import bridge
from bridge.net import listening
from bridge.watching.audience import Audience
from tests.e2e.stage import COMMANDS, SAMPLES, stage

ROOT = str(Path(bridge.__file__).parent)
# The simulators, and the listener of `bridge.net` that they share with the admin server.
OTHERS = f"{ROOT}/lab/"
THEIRS = ("Listening.", "ClosingHandler.", "_Handler.")


class Walk:
    """Counts the files of the bridge that run for a message, and the moves between them.

    Two kinds of calls do not count, nor what they call in turn: those of the other parties, and `Audience.see`, because
    no message depends on who is told of a fact.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.moves = 0
        self._last = ""
        self._aside: FrameType | None = None  # the outermost call in progress that does not count

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if self._aside is not None:
            if event == "return" and frame is self._aside:
                self._aside = None
        elif event == "call" and _is_aside(frame.f_code):
            self._aside = frame
        elif event == "call" and frame.f_code.co_filename.startswith(ROOT):
            name = frame.f_code.co_filename[len(ROOT) + 1 :]
            self.files.add(name)
            self.moves += name != self._last
            self._last = name


def _is_aside(code: CodeType) -> bool:
    if code.co_filename == listening.__file__:
        return code.co_qualname.startswith(THEIRS)
    return code is Audience.see.__code__ or code.co_filename.startswith(OTHERS)


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
        assert len(values.files) <= 51, sorted(values.files)
        assert values.moves <= 181


async def test_the_walk_of_a_remote_start_from_json_to_soap() -> None:
    async with stage() as made:
        await made.charge_point.call("Heartbeat", {})
        await made.central_system.wait_for("CP 1")
        asked = COMMANDS["RemoteStartTransaction"]
        started = await walked(lambda: made.central_system.call("CP 1", "RemoteStartTransaction", asked))
        assert len(started.files) <= 44, sorted(started.files)
        assert started.moves <= 142
