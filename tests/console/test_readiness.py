"""The page of readiness in a browser: how a shadow's answers compare, and who may be moved to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from bridge.config import FurtherCentralSystem
from tests.admin.test_readiness import charge, differ
from tests.console.browser import AT_MOST, DESK, console
from tests.console.stage import IDENTITY, Stage, staged

NARROW = (390, 844)
OTHER = "RDAM 2"
expect.set_options(timeout=AT_MOST)


@asynccontextmanager
async def shadowed() -> AsyncIterator[Stage]:
    """Two Charge Points with a shadow: one that is ready, and one whose driver would be refused."""
    async with staged() as stage:
        also = FurtherCentralSystem(central_system="other", role="shadow")
        [route] = stage.told.routes
        systems = dict(stage.told.central_systems)
        systems["other"] = replace(systems["other"], ready_after=2)
        await stage.gateway.reload(replace(stage.told, routes=(replace(route, also=(also,)),), central_systems=systems))
        await stage.heartbeats([OTHER])
        await stage.greet()
        charge(stage.gateway, IDENTITY, 1, 2, central_system="other")
        differ(stage.gateway, OTHER, central_system="other")
        yield stage


@pytest.mark.parametrize("size", [DESK, NARROW], ids=["desk", "narrow"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_who_is_ready_is_seen_by_everybody(size: tuple[int, int], dark: bool) -> None:
    async with (
        shadowed() as stage,
        console(stage.browser, stage.base, stage.token, size=size, dark=dark) as somebody,
    ):
        page, name = somebody.page, f"{'dark' if dark else 'light'}-{size[0]}"
        await somebody.open("#/readiness")
        await expect(page.locator("tbody tr")).to_contain_text("1 of 2")
        assert await somebody.violations() == []
        assert await somebody.width() == size[0]
        await somebody.shown(f"readiness-{name}")
        await page.get_by_role("link", name="other").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("other")
        await expect(page.locator(".heading .badge")).to_have_text("not ready")
        await expect(page.get_by_role("region", name="Examples of differences")).to_contain_text("'Invalid'")
        listed = page.get_by_role("region", name="Charge Points", exact=True).locator("tbody tr")
        await expect(listed).to_have_count(2)
        await expect(listed.last).to_contain_text("0 of 2 sessions without a difference that a driver feels")
        assert await somebody.violations() == []
        assert await somebody.width() == size[0]
        await somebody.shown(f"readiness-of-{name}")


async def test_a_wave_is_looked_at_and_a_charge_point_opened() -> None:
    async with shadowed() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await somebody.open("#/readiness/other")
        listed = page.get_by_role("region", name="Charge Points", exact=True).locator("tbody tr")
        await expect(listed).to_have_count(2)
        await page.get_by_label("Listed").select_option("not ready")
        await expect(listed).to_have_count(1)
        await expect(listed).to_contain_text(OTHER)
        await page.get_by_label("Listed").select_option("all")
        await page.get_by_label("Charge Points that count").fill(IDENTITY)
        await expect(page.locator(".heading .badge")).to_have_text("ready")
        await expect(listed).to_have_count(1)
        differ(stage.gateway, IDENTITY, central_system="other")
        await page.get_by_role("button", name="Read again").click()
        await expect(page.locator(".heading .badge")).to_have_text("not ready")
        await listed.get_by_role("link").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(IDENTITY)


async def test_a_central_system_that_is_no_shadow_says_so() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await somebody.open("#/readiness")
        await expect(page.locator(".empty")).to_have_text("No Central System is a shadow in a route.")
        await somebody.open("#/readiness/other")
        await expect(page.get_by_role("alert")).to_contain_text("is a shadow in no route")
        await somebody.open("#/readiness/nowhere")
        await expect(page.get_by_role("alert")).to_contain_text("no Central System of the configuration")
        assert await somebody.violations() == []
