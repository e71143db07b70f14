"""The page of observers in a browser: which further Central Systems there are, and what waits for each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from bridge.config import CentralSystem, FurtherCentralSystem
from tests.console.browser import AT_MOST, DESK, console
from tests.console.stage import staged
from tests.ports import free_port

NARROW = (390, 844)
expect.set_options(timeout=AT_MOST)


@pytest.mark.parametrize("size", [DESK, NARROW], ids=["desk", "narrow"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_what_waits_for_an_observer_that_is_away_is_seen(size: tuple[int, int], dark: bool) -> None:
    async with (
        staged() as stage,
        console(stage.browser, stage.base, stage.token, size=size, dark=dark) as somebody,
    ):
        away = CentralSystem(url=f"ws://127.0.0.1:{free_port()}/ocpp")
        also = FurtherCentralSystem(central_system="ems", role="observer")
        [route] = stage.told.routes
        systems = stage.told.central_systems | {"ems": away}
        told = replace(stage.told, routes=(replace(route, also=(also,)),), central_systems=systems)
        await stage.gateway.reload(told)
        await stage.greet()
        row = somebody.page.get_by_role("region", name="Observers").locator("tbody tr")
        await somebody.open("#/observers")
        await expect(row).to_contain_text("ems")
        await expect(row).to_contain_text("observer")
        await expect(row).not_to_contain_text("nothing waits")
        assert await somebody.violations() == []
        assert await somebody.width() == size[0]
        await somebody.shown(f"observers-{'dark' if dark else 'light'}-{size[0]}")
        await somebody.open("#/central-systems")
        row = somebody.page.get_by_role("region", name="Central Systems").locator("tbody tr", has_text="ems")
        await expect(row).to_contain_text("Messages wait")
        link = row.get_by_role("link", name="further Central System")
        await expect(link).to_have_attribute("href", "#/observers")
        assert await somebody.violations() == []
        await somebody.open("#/")
        alarm = somebody.page.get_by_role("link", name="The further Central System ems does not get all messages")
        await expect(alarm).to_have_attribute("href", "#/observers")
