"""The pages of the fleet as a whole in a browser: what is wrong, where it leads to, and what the numbers are."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from playwright.async_api import Page, Route, expect

from tests.admin.asked import api_of
from tests.console.browser import AT_MOST, DESK, Console, console
from tests.console.stage import IDENTITY, Stage, staged
from tests.console.test_console import rows
from tests.console.whole_fleet import AWAY, CHARGING, FAULTED, MANY, METER_VALUES, enough_files, introduce, lose
from tests.e2e.stage import SAMPLES

HANDY = (390, 844)
expect.set_options(timeout=AT_MOST)

PAGES = {
    "overview": "#/",
    "central-systems": "#/central-systems",
    "routes": "#/routes",
    "losses": "#/losses",
    "quirks": "#/quirks",
    "audit": "#/audit",
}
HEADINGS = {
    "overview": "Overview",
    "central-systems": "Central Systems",
    "routes": "Routes",
    "losses": "Losses",
    "quirks": "Quirk packs",
    "audit": "Audit",
}
# What is there when a page is.
SETTLED = {
    "overview": ".plots canvas >> nth=0",
    "central-systems": "tbody tr >> nth=1",
    "routes": "tbody tr >> nth=1",
    "losses": "tbody tr >> nth=0",
    "quirks": ".packs li >> nth=1",
    "audit": ".rows [role=row] >> nth=0",
}


def alarms(page: Page) -> Any:
    return page.locator(".alarms li")


# With three thousand Charge Points


async def test_three_thousand_charge_points_at_a_glance() -> None:
    enough_files()
    now = [1_767_312_000.0]

    async def each_page_is_accessible_and_fits(somebody: Console, size: tuple[int, int], dark: bool) -> None:
        for name, hash_ in PAGES.items():
            await somebody.open(hash_)
            await expect(somebody.page.locator(SETTLED[name])).to_be_visible()
            await expect(somebody.page.get_by_role("heading", level=1)).to_have_text(HEADINGS[name])
            assert (name, await somebody.violations()) == (name, [])
            assert (name, await somebody.width()) == (name, size[0])
            await somebody.shown(f"{name}-{'dark' if dark else 'light'}-{size[0]}")

    async def it_says_what_is_wrong(somebody: Console) -> None:
        page = somebody.page
        await somebody.open()
        await expect(page.locator("#alarms-title")).to_have_text(re.compile("things are wrong"))
        await expect(alarms(page).first).to_contain_text("The Central System other is away")
        await expect(alarms(page).first).to_contain_text(f"{AWAY} Charge Points")
        await expect(page.locator(".tile.all b")).to_have_text(f"{MANY + 1:,}")
        await expect(page.locator(".tile.unlinked b")).to_have_text(str(AWAY))
        await expect(page.locator(".tile.transactions b")).to_have_text(str(CHARGING))
        faults = alarms(page).filter(has_text="Faulted")
        await expect(faults).to_have_count(3)
        await expect(faults.first).to_contain_text(f"{FAULTED // 2} connectors report Faulted: GroundFailure")
        await page.locator(".tile.unlinked").click()
        await expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(AWAY + 1))

    async def the_keyboard_leads_to_it(somebody: Console) -> None:
        page, key = somebody.page, somebody.page.keyboard.press
        await key("g")
        await key("h")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        await expect(alarms(page).first).to_be_visible()
        await page.locator("main").focus()
        await key("Tab")
        await expect(alarms(page).first.get_by_role("link")).to_be_focused()
        await key("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Central Systems")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody tr")).to_contain_text("Away")
        for letter, heading in (("r", "Routes"), ("l", "Losses"), ("q", "Quirk packs"), ("u", "Audit")):
            await key("g")
            await key(letter)
            await expect(page.get_by_role("heading", level=1)).to_have_text(heading)

    async with staged(lambda: now[0]) as stage, api_of(stage.gateway) as api:
        await introduce(stage)
        await lose(stage)
        moved = await api("PUT", f"/charge-points/{IDENTITY.replace(' ', '%20')}/route", {"central_system": "main"})
        assert moved.status == 200
        now[0] += 120
        await first_paint(stage)
        for size in (DESK, HANDY):
            for dark in (False, True):
                async with console(stage.browser, stage.base, stage.token, size=size, dark=dark) as somebody:
                    await each_page_is_accessible_and_fits(somebody, size, dark)
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await it_says_what_is_wrong(somebody)
            await the_keyboard_leads_to_it(somebody)


# The milliseconds from the request of a page until what is looked for has been painted.
_PAINTED = """(selector) => {
  const look = () => {
    const there = document.querySelector(selector) !== null;
    requestAnimationFrame(there ? () => setTimeout(() => { window.painted = performance.now(); }) : look);
  };
  look();
}"""


async def bare_page(route: Route) -> None:
    await route.fulfill(body="<p>bare</p>", content_type="text/html")


async def first_paint(stage: Stage) -> None:
    """Print how long the overview takes until it is painted, beside a page with one word on it."""

    async def milliseconds(path: str, selector: str) -> float:
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await somebody.page.add_init_script(f"({_PAINTED})({selector!r})")
            if path == "/bare":
                await somebody.page.route("**/bare", bare_page)
            await somebody.page.goto(stage.base + path)
            painted: float = await somebody.sees("window.painted")
            return painted

    bare = [await milliseconds("/bare", "p") for _ in range(3)]
    overview = [await milliseconds("/#/", "#alarms-title") for _ in range(3)]
    print(f"first paint with {MANY} Charge Points: overview {min(overview):.0f} ms, a bare page {min(bare):.0f} ms")


# What changes


async def test_nothing_is_wrong_and_then_something_is() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await somebody.open()
        await expect(page.locator("#alarms-title")).to_have_text("Nothing is wrong")
        await expect(page.locator(".calm")).to_contain_text("No Charge Point has come yet.")
        assert await somebody.violations() == []
        await stage.greet()
        await expect(page.locator(".calm")).to_contain_text("1 Charge Point known, all up.")
        faulted = SAMPLES["StatusNotification"] | {"status": "Faulted", "errorCode": "OtherError"}
        await stage.charge_point.call("StatusNotification", faulted)
        await expect(page.locator("#alarms-title")).to_have_text("1 thing is wrong")
        await expect(alarms(page)).to_contain_text("1 connector reports Faulted: OtherError")
        await alarms(page).get_by_role("link").focus()
        await stage.charge_point.call("StartTransaction", SAMPLES["StartTransaction"])
        await expect(page.locator(".tile.transactions b")).to_have_text("1")
        await expect(alarms(page).get_by_role("link")).to_be_focused()
        await stage.charge_point.call("StatusNotification", SAMPLES["StatusNotification"])
        await expect(page.locator("#alarms-title")).to_have_text("Nothing is wrong")


async def test_the_plots_go_on_minute_by_minute() -> None:
    now = [1_767_312_000.0]
    async with (
        staged(lambda: now[0]) as stage,
        console(stage.browser, stage.base, stage.token, timezone_id="UTC") as somebody,
    ):
        page = somebody.page
        await somebody.open()
        await expect(page.get_by_text("The first minute since the start is not over yet.")).to_be_visible()
        await stage.greet()
        now[0] += 60
        await expect(page.locator(".plots canvas")).to_have_count(3)
        await expect(page.get_by_text("in whole minutes; the numbers are of 00:00")).to_be_visible()
        calls = page.get_by_role("slider", name="Calls a minute")
        await expect(calls).to_have_attribute("aria-valuetext", "now: Calls 2, Errors 0")
        await page.locator(".plots summary").first.click()
        await expect(page.locator(".plots tbody tr")).to_have_text(["00:0020"])
        now[0] += 60
        await expect(page.locator(".plots tbody tr")).to_have_text(["00:0100", "00:0020"])
        await expect(page.locator(".plots details").first).to_have_attribute("open", "")


async def test_when_the_bridge_is_gone_it_says_so_and_comes_back() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open()
            await expect(page.locator(".calm")).to_be_visible()
            await page.route("**/api/v1/overview", lambda route: route.abort())
            await expect(page.get_by_role("alert")).to_contain_text("The bridge does not answer")
            await page.unroute("**/api/v1/overview")
            await page.get_by_role("button", name="Try again").click()
            await expect(page.locator(".calm")).to_be_visible()


# The other pages


async def test_central_systems_are_sorted_by_their_headers() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open("#/central-systems")
            first = page.locator("tbody tr").first
            await expect(first).to_contain_text("main")
            await page.get_by_role("button", name="Name").click()
            header = page.get_by_role("columnheader", name="Name")
            await expect(header).to_have_attribute("aria-sort", "ascending")
            await page.get_by_role("button", name="Name").click()
            await expect(header).to_have_attribute("aria-sort", "descending")
            await expect(page.get_by_role("button", name="Name")).to_be_focused()
            await expect(first).to_contain_text("other")
            await page.get_by_role("button", name="Charge Points").click()
            await expect(header).to_have_attribute("aria-sort", "none")
            await first.get_by_role("link").or_(page.locator("tbody tr").last.get_by_role("link")).click()
            await expect(page).to_have_url(re.compile("#/charge-points.central_system=main"))


async def test_losses_are_filtered_and_the_filter_is_in_the_address() -> None:
    async with staged() as stage:
        await stage.greet()
        assert await stage.says(IDENTITY, METER_VALUES, "MeterValues") == HTTPStatus.OK
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open("#/losses")
            await expect(page.locator("tbody tr")).to_contain_text("meterValue.timestamp")
            await expect(page.locator("tbody tr").get_by_role("cell", name="main", exact=True)).to_be_visible()
            await page.get_by_label("Filter").fill("nothing of the kind")
            await expect(page.get_by_text("No loss fits these filters.")).to_be_visible()
            await page.get_by_label("Filter").fill("timestamp")
            await expect(page.locator("tbody tr")).to_have_count(1)
            assert page.url.endswith("#/losses?text=timestamp")
            await page.get_by_label("Show").select_option("true")
            await expect(page.get_by_text("No loss fits these filters.")).to_be_visible()
            await somebody.open("#/losses?text=timestamp")
            await page.reload()
            await page.get_by_role("link", name=IDENTITY).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(IDENTITY)


async def test_the_audit_is_paged_and_filtered() -> None:
    async with staged() as stage, api_of(stage.gateway) as api:
        await stage.greet()
        path = f"/charge-points/{IDENTITY.replace(' ', '%20')}"
        for _ in range(260):
            assert (await api("POST", f"{path}/disconnect")).status == 204
        assert (await api("PUT", f"{path}/route", {"central_system": "other", "when": "now"})).status == 200
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open("#/audit")
            await expect(rows(page).first).to_contain_text("move")
            assert await rows(page).count() < 60
            grid = page.get_by_role("grid")
            await grid.focus()
            await grid.press("End")
            await expect(grid).to_have_attribute("aria-rowcount", "262")
            await page.get_by_label("What").fill("mov")
            await expect(rows(page)).to_have_count(1)
            assert page.url.endswith("#/audit?what=mov")
            await page.get_by_label("Who").fill("nobody of this name")
            await expect(page.get_by_text("No entry fits these filters.")).to_be_visible()
            await page.get_by_label("Who").fill("")
            await somebody.open("#/audit?what=mov&since=yesterday")
            await expect(page.get_by_label("Since")).to_have_value("")
            await page.get_by_label("Since").fill("2020-01-01")
            await expect(rows(page)).to_have_count(1)
            await rows(page).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(IDENTITY)


async def test_on_a_phone_the_pages_are_behind_a_button() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token, size=HANDY) as somebody:
            page = somebody.page
            await somebody.open()
            menu = page.get_by_role("button", name="Pages")
            await expect(page.get_by_role("navigation")).to_be_hidden()
            await menu.click()
            await expect(menu).to_have_attribute("aria-expanded", "true")
            assert await somebody.violations() == []
            await expect(page.get_by_role("link", name="Overview", exact=True).last).to_be_focused()
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("navigation")).to_be_hidden()
            await expect(menu).to_be_focused()
            await page.keyboard.press("Enter")
            await page.get_by_role("link", name="Routes").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Routes")
            await expect(page.get_by_role("navigation")).to_be_hidden()
