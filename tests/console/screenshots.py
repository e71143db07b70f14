"""Make the pictures of the overview in docs/: `python -m tests.console.screenshots`.

The fleet and its hour are real: messages go through a gateway whose clock is an hour behind at first.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from http import HTTPStatus
from pathlib import Path

from playwright.async_api import expect

import bridge
from tests.admin.asked import api_of
from tests.console.browser import console
from tests.console.stage import Stage, staged
from tests.console.whole_fleet import CHARGING, enough_files, identities, introduce, lose, say, started

DOCS = Path(bridge.__file__).parents[1] / "docs"
SIZE = (1440, 1010)
_MINUTES, _NUMBER, _FIRST = 61, 800, 120


async def main() -> None:
    """Let an hour pass, and take the pictures."""
    enough_files()
    now = [time.time() // 60 * 60 - (_MINUTES - 0.5) * 60]
    async with staged(lambda: now[0]) as stage:
        await introduce(stage, charging=_FIRST, number=_NUMBER)
        for minute in range(_MINUTES):
            await an_hour_goes_on(stage, minute)
            if minute == _MINUTES - 9:
                await lose(stage)
            if minute == _MINUTES - 20:
                await some_are_moved(stage)
            now[0] += 60
        for name in ("light", "dark"):
            async with console(
                stage.browser, stage.base, stage.token, size=SIZE, dark=name == "dark", timezone_id="UTC"
            ) as somebody:
                await somebody.open()
                await expect(somebody.page.locator(".plots canvas")).to_have_count(3)
                await expect(somebody.page.locator(".alarms li").first).to_be_visible()
                await expect(somebody.page.locator("#stream")).to_have_text("Live")
                await somebody.page.screenshot(path=DOCS / f"console-overview-{name}.png")


async def an_hour_goes_on(stage: Stage, minute: int) -> None:
    """One minute's messages: of an afternoon that gets busier, with a few that are refused."""
    chance = random.Random(minute)
    known = identities(_NUMBER)
    spoken = chance.sample(known, int(30 + 12 * math.sin(minute / 9) + chance.random() * 8))
    await stage.heartbeats(spoken)
    index = _FIRST + minute * 2
    if index < CHARGING and minute % 4:
        await say(stage, [(known[index], "StartTransaction", started(index))])
    for _ in range(chance.randrange(6, 11) if 34 < minute < 41 else chance.randrange(0, 2)):
        assert await stage.says(chance.choice(known), "<c:teatimeRequest/>") == HTTPStatus.INTERNAL_SERVER_ERROR


async def some_are_moved(stage: Stage) -> None:
    """One by itself, and others together."""
    async with api_of(stage.gateway) as api:
        assert (await api("PUT", "/charge-points/EVLINK-0700/route", {"central_system": "other"})).status == 200
        wanted = {"charge_points": "EVLINK-071*", "central_system": "other", "wave": 4, "pause": 3600}
        assert (await api("POST", "/moves", wanted)).status == 200


if __name__ == "__main__":
    asyncio.run(main())
