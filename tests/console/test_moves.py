"""The pages of moves in a browser: how far a move is, and what an operator does to it."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.admin.asked import api_of
from tests.console.browser import AT_MOST, PHONE, console
from tests.console.stage import IDENTITY, staged
from tests.e2e.stage import SAMPLES

OTHER = "RDAM 2"
expect.set_options(timeout=AT_MOST)


def counted(page: Page, state: str) -> str:
    """Where the number of Charge Points in a state stands."""
    return f"dl.facts div:has(dt:text-is('{state}')) dd"


async def test_a_move_is_followed_paused_resumed_and_rolled_back() -> None:
    async with staged() as stage, api_of(stage.gateway) as api:
        await stage.greet()
        wanted = {"charge_points": [IDENTITY, OTHER], "central_system": "other", "wave": 1, "pause": 3600}
        assert (await api("POST", "/moves", wanted)).status == 200
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open("#/moves")
            await expect(page.locator("tbody tr")).to_contain_text("1 of 2")
            assert await somebody.violations() == []
            await page.get_by_role("link", name="Move 1").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Move 1")
            await expect(page.locator("tbody tr").first).to_contain_text("done")
            await expect(page.locator("tbody tr").last).to_contain_text("queued")
            await page.get_by_role("button", name="Pause").click()
            await expect(page.locator(".heading .badge")).to_have_text("paused")
            await page.get_by_role("button", name="Resume").click()
            await expect(page.locator(counted(page, "done"))).to_have_text("2")
            await expect(page.locator(".heading .badge")).to_have_text("done")
            assert await somebody.violations() == []
            await somebody.shown("move")
            await page.get_by_role("button", name="Roll back…").click()
            await page.get_by_role("button", name="Roll back", exact=True).click()
            await expect(page.locator(".heading .badge")).to_have_text("rolled back")
            await expect(page.get_by_role("button", name="Roll back…")).to_have_count(0)
            assert (await api.get(f"/charge-points/{IDENTITY}"))["central_system"] == "main"


async def test_a_move_that_another_operator_has_ended_says_so() -> None:
    async with staged() as stage, api_of(stage.gateway) as api:
        await stage.greet()
        wanted = {"charge_points": [IDENTITY, OTHER], "central_system": "other", "wave": 1, "pause": 3600}
        assert (await api("POST", "/moves", wanted)).status == 200
        async with console(stage.browser, stage.base, stage.token, size=PHONE) as somebody:
            page = somebody.page
            await somebody.open("#/moves/1")
            pause = page.get_by_role("button", name="Pause")
            await expect(pause).to_be_visible()
            # The page does not hear of what somebody else does.
            await page.route("**/api/v1/moves/1", lambda route: route.abort())
            assert (await api("POST", "/moves/1/pause")).status == 200
            await pause.click()
            await expect(page.get_by_role("alert").filter(has_text="not running")).to_be_visible()
            assert await somebody.width() <= PHONE[0]


async def test_what_waits_is_on_the_page_of_moves_and_on_that_of_its_charge_point() -> None:
    async with staged() as stage, api_of(stage.gateway) as api:
        await stage.greet()
        started = await stage.charge_point.call("StartTransaction", SAMPLES["StartTransaction"])
        moved = await api("PUT", f"/charge-points/{IDENTITY}/route", {"central_system": "other"})
        assert moved.data["waits"]
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open("#/moves")
            await expect(page.locator("tbody tr")).to_contain_text("other")
            await page.get_by_role("link", name=IDENTITY).click()
            await expect(page.locator(".line")).to_contain_text("Moves to other when 1 open transaction has ended")
            assert await somebody.violations() == []
            stop = SAMPLES["StopTransaction"] | {"transactionId": started["transactionId"]}
            await stage.charge_point.call("StopTransaction", stop)
            await expect(page.locator(".node").last).to_contain_text("other")
            await expect(page.locator(".line")).not_to_contain_text("Moves to other")
