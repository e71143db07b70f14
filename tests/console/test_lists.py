"""The pages of lists with 3000 Charge Points and 300 open transactions: filtered, selected, exported, looked into."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.async_api import Download, Locator, Page, expect

from bridge.recorder.trace_records import read
from tests.console.browser import AT_MOST, DESK, Console, console
from tests.console.charging_fleet import AWAY, BUSY, CHARGING, ENDED, FAULTED, MANY, Fleet, fleet, identity

T = TypeVar("T")
PHONE = (390, 844)
# Seconds: far longer than anything takes.
FILLED, WITHIN = 600, 600
expect.set_options(timeout=AT_MOST)

PAGES = {
    "charge-points": "#/charge-points",
    "no-central-system": "#/charge-points?state=no_central_system&sort=last_seen&order=desc",
    "one": f"#/charge-points/{BUSY}",
    "one-away": "#/charge-points/AWAY-001",
    "transactions": "#/transactions",
    "messages": "#/messages",
    "messages-found": "#/messages?text=GroundFailure&since=2026-01-01T00:00:00Z",
    "bulk": "#/bulk/command",
}


class Theatre:
    """The fleet, and the loop that it lives in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, there: Fleet) -> None:
        self._loop = loop
        self.fleet = there

    def run(self, walk: Coroutine[Any, Any, T]) -> T:
        """The result of `walk`."""
        return self._loop.run_until_complete(asyncio.wait_for(walk, WITHIN))

    def somebody(self, size: tuple[int, int] = DESK, *, dark: bool = False) -> Any:
        """Somebody at the console."""
        return console(self.fleet.browser, self.fleet.base, self.fleet.token, size=size, dark=dark)


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    loop, held = asyncio.new_event_loop(), AsyncExitStack()
    try:
        there = loop.run_until_complete(asyncio.wait_for(held.enter_async_context(fleet()), FILLED))
        yield Theatre(loop, there)
    finally:
        loop.run_until_complete(held.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def rows(page: Page, words: str = "") -> Locator:
    """Of the list on the page, its header apart."""
    return page.locator(".rows [role=row]").filter(has_text=words)


async def clipped(page: Page, cells: str) -> list[str]:
    """The texts of those cells that are wider than their place."""
    found: list[str] = await page.evaluate(
        "(cells) => [...document.querySelectorAll(cells)].filter((each) => each.scrollWidth > each.clientWidth)"
        ".map((each) => each.textContent)",
        cells,
    )
    return found


async def saved(page: Page, name: str) -> str:
    """The file that a button saves."""
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name=name).click()
    download: Download = await downloading.value
    return await asyncio.to_thread(Path(await download.path()).read_text, "utf-8")


# Charge Points.


def test_they_are_found_as_people_type(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open("#/charge-points")
            await expect(page.locator(".count.all b")).to_have_text(f"{MANY:,}")
            await expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY + 1))
            assert await rows(page).count() < 60
            search = page.get_by_label("Search")
            for text, count in (
                ("sn000123", 1),
                (f"{identity(7).lower()[2:]}", 1),
                ("eve single utr-000", 1),
                ("zzz", 0),
            ):
                await search.fill(text)
                await expect(rows(page)).to_have_count(count)
            await expect(page.get_by_text("No Charge Point fits these filters.")).to_be_visible()
            await search.fill("UTR-000?")
            await expect(rows(page)).to_have_count(2)

    theatre.run(walk())


def test_they_are_filtered_sorted_and_exported(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open("#/charge-points")
            grid = page.get_by_role("grid")
            await page.get_by_label("Show").select_option("faulted")
            await expect(grid).to_have_attribute("aria-rowcount", str(FAULTED + 1))
            await expect(rows(page).first.locator(".c-faulted")).to_contain_text("Connector 1 faulted")
            await page.get_by_label("Vendor").select_option("Alfen")
            await expect(grid).to_have_attribute("aria-rowcount", str(FAULTED // 3 + 1))
            assert page.url.endswith("#/charge-points?vendor=Alfen&faulted=true")
            await page.get_by_label("Vendor").select_option("")
            await page.get_by_label("Show").select_option("charging")
            await expect(grid).to_have_attribute("aria-rowcount", str(CHARGING + 1))
            await page.get_by_label("Show").select_option("")
            await page.get_by_text("No Central System", exact=True).first.click()
            await expect(grid).to_have_attribute("aria-rowcount", str(AWAY + 1))
            assert await clipped(page, ".c-state, .count span") == []
            await page.get_by_role("button", name="Identity").click()
            await expect(page.get_by_role("columnheader", name="Identity")).to_have_attribute("aria-sort", "descending")
            await expect(rows(page).first).to_contain_text(f"AWAY-{AWAY - 1:03}")
            exported = list(csv.DictReader((await saved(page, "Export CSV")).splitlines()))
            assert [row["identity"] for row in exported] == [f"AWAY-{number:03}" for number in reversed(range(AWAY))]
            assert {row["state"] for row in exported} == {"no_central_system"}
            await page.reload()
            await expect(rows(page).first).to_contain_text(f"AWAY-{AWAY - 1:03}")

    theatre.run(walk())


def test_several_are_commanded_with_the_keyboard_alone(theatre: Theatre) -> None:
    """Nobody listens at the callback addresses of this fleet: each command fails, and says so."""

    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page, key = somebody.page, somebody.page.keyboard.press
            await somebody.open("#/charge-points")
            await expect(rows(page).first).to_be_visible()
            await key("/")
            await page.keyboard.type("utr-000")
            await expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "3")
            await key("Escape")
            for step in ("j", "Space", "j", "Space"):
                await key(step)
            await expect(page.get_by_text("2 selected")).to_be_visible()
            link = page.get_by_role("link", name="Send a command…")
            await link.focus()
            await key("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Send a command to 2 Charge Points")
            await page.get_by_label("Action", exact=True).select_option("ClearCache")
            await page.get_by_role("button", name="Preview").focus()
            await key("Enter")
            begin = page.get_by_role("button", name="Send to 2 Charge Points")
            await expect(begin).to_be_focused()
            await expect(page.locator(".answer")).to_contain_text("ClearCache")
            await expect(page.locator(".named")).to_have_text(f"{identity(2)}, {identity(6)}")
            assert await somebody.violations() == []
            await key("Enter")
            # Each command is tried until the patience of the gateway is at its end.
            ended = page.locator(".answer [role=status]")
            await expect(ended).to_have_text("2 of 2: 2 failed", timeout=2 * AT_MOST)
            await expect(rows(page, "failed")).to_have_count(2)
            assert await somebody.violations() == []

    theatre.run(walk())


def test_several_are_moved_after_a_preview(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open("#/charge-points?identity=EIN-290*")
            await page.get_by_role("button", name="Select all 2").click()
            await page.get_by_role("link", name="Move…").click()
            await page.get_by_label("To the Central System").select_option("other")
            await page.get_by_role("button", name="Preview").click()
            await expect(page.locator(".answer .facts")).to_contain_text("main 2")
            assert await somebody.violations() == []
            await page.get_by_role("button", name="Move 2 Charge Points").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Move 1")
            await expect(page.locator("dl.facts div:has(dt:text-is('done')) dd")).to_have_text("2")

    theatre.run(walk())


# Transactions.


def test_transactions_are_listed_filtered_and_exported(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open("#/transactions")
            grid = page.get_by_role("grid")
            await page.get_by_label("State").select_option("ended")
            await expect(grid).to_have_attribute("aria-rowcount", str(ENDED + 1))
            await expect(rows(page).first).to_contain_text("7.35 kWh")
            await expect(rows(page).first).to_contain_text("EVDisconnected")
            await page.get_by_label("State").select_option("open")
            await grid.focus()
            await grid.press("End")
            await expect(grid).to_have_attribute("aria-rowcount", str(CHARGING + 1))
            await page.get_by_label("Charge Point").fill(BUSY[2:].lower())
            await expect(rows(page)).to_have_count(1)
            await expect(rows(page)).to_contain_text("***001")
            await expect(rows(page).locator(".c-energy")).to_have_text("5.49 kWh")
            assert page.url.endswith(f"#/transactions?identity={BUSY[2:].lower()}&state=open")
            await page.get_by_label("Charge Point").fill("")
            await expect(rows(page).nth(1)).to_be_visible()
            exported = list(csv.DictReader((await saved(page, "Export CSV")).splitlines()))
            assert len(exported) == CHARGING and {row["state"] for row in exported} == {"open"}
            await page.get_by_label("Central System").select_option("away")
            await expect(page.get_by_text("No transaction fits these filters.")).to_be_visible()

    theatre.run(walk())


# One Charge Point.


def test_a_charge_point_has_a_timeline_and_its_meter_values(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open(PAGES["one"])
            timeline = page.get_by_role("region", name="What happened")
            await expect(timeline).to_contain_text("started on connector 1, at main")
            await expect(timeline).to_contain_text("BootNotification: Accepted")
            await expect(timeline).to_contain_text("Central System connected to main")
            await expect(page.locator(".meters figure")).to_have_count(3)
            await expect(page.locator(".meters canvas")).to_have_count(3)
            await expect(page.locator(".meters")).to_contain_text("Power Active Import")
            await page.get_by_label("Show", exact=True).select_option("statuses")
            await expect(timeline.locator("li")).to_have_count(3)
            await timeline.get_by_role("link", name="Connector 1: SuspendedEV").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("StatusNotification")
            await expect(page.get_by_text("Arrival to forwarding")).to_be_visible()
            await expect(page.get_by_text("Forwarding to answer")).to_be_visible()

    theatre.run(walk())


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_alerts_have_a_place_of_their_own(theatre: Theatre, size: tuple[int, int]) -> None:
    """They do not run under what is beside them, and no state is clipped."""

    async def walk() -> None:
        async with theatre.somebody(size) as somebody:
            page = somebody.page
            await somebody.open(PAGES["one-away"])
            await expect(page.locator(".why")).to_have_count(2)
            await expect(rows(page).first).to_be_visible()
            beyond: list[str] = await page.evaluate(
                "() => { const edge = document.querySelector('.side').getBoundingClientRect().right;"
                " return [...document.querySelectorAll('.side .why, .side .why *')]"
                ".filter((each) => each.getBoundingClientRect().right > edge + 1).map((each) => each.textContent); }"
            )
            assert beyond == []
            assert await clipped(page, ".c-outcome, .wire .badge, .heading .badge") == []

    theatre.run(walk())


# Messages.


def test_messages_are_found_by_what_is_in_them_and_saved(theatre: Theatre) -> None:
    async def walk() -> None:
        async with theatre.somebody() as somebody:
            page = somebody.page
            await somebody.open("#/messages")
            await page.get_by_label("Contains").fill("groundfailure")
            grid = page.get_by_role("grid")
            await expect(grid).to_have_attribute("aria-rowcount", str(FAULTED + 1))
            await expect(page.get_by_text("New messages are not added here")).to_be_visible()
            records = read((await saved(page, "Save as trace")).encode().splitlines())
            assert len(records) == 2 * FAULTED
            assert all("GroundFailure" in json.dumps(one.payload) for one in records if one.message_type == "CALL")
            await page.get_by_label("Contains").fill("")
            await page.get_by_label("Outcome").select_option("failed")
            await page.get_by_label("Charge Point", exact=True).fill("away-")
            await expect(grid).to_have_attribute("aria-rowcount", str(AWAY + 1))
            await page.get_by_role("button", name="More filters").click()
            await page.get_by_label("Error").fill("cannot be reached")
            await page.get_by_label("Charge Point", exact=True).fill("away-00")
            await expect(grid).to_have_attribute("aria-rowcount", "11")
            await page.get_by_label("Until").fill("2026-01-01T00:00:00")
            await expect(page.get_by_text("No message fits these filters.")).to_be_visible()
            assert "identity=away-00" in page.url and "until=2026-01-01T00%3A00%3A00.000Z" in page.url

    theatre.run(walk())


# For everybody.


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_each_page_is_accessible_and_fits(theatre: Theatre, size: tuple[int, int], dark: bool) -> None:
    async def walk() -> None:
        async with theatre.somebody(size, dark=dark) as somebody:
            for name, address in PAGES.items():
                await somebody.open(address)
                await settled(somebody, name)
                assert (name, await somebody.violations()) == (name, [])
                assert (name, await somebody.width()) == (name, size[0])
                await somebody.shown(f"lists-{name}-{'dark' if dark else 'light'}-{size[0]}")

    async def settled(somebody: Console, name: str) -> None:
        page = somebody.page
        await expect(page.locator("#stream")).to_have_attribute("data-state", "live")
        await expect(
            page.get_by_text("No Charge Point is selected") if name == "bulk" else rows(page).first
        ).to_be_visible()
        if name == "one":
            await expect(page.locator(".meters canvas")).to_have_count(3)

    theatre.run(walk())
