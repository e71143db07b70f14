"""A plot in the browser: what it shows on its canvas, and says to whoever cannot see that or has no mouse."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from playwright.async_api import Page, expect

from bridge.admin.pages import Pages
from bridge.admin.server import CSP
from tests.console.browser import AT_MOST, Console, console, started

expect.set_options(timeout=AT_MOST)
_BLANK = """<!doctype html><html lang="en"><head><title>A plot</title><meta charset="utf-8">
<link rel="stylesheet" href="/console/base.css"><link rel="stylesheet" href="/console/uplot/uPlot.min.css">
<link rel="stylesheet" href="/console/plot.css"><link rel="icon" href="/console/icon.svg"></head>
<body><div class="body"><main><h1>A plot</h1><h2>Of this</h2><div id="here"></div></main></div></body></html>"""
# Ten minutes: 0 to 9 messages, of which each third minute has one error, and one minute knows none.
SHOWN = """async ({begin, values, errors}) => {
  const {plot} = await import("/console/plot.js");
  const left = new AbortController(), here = document.getElementById("here");
  const named = (label, values) => ({label, values, unit: ""});
  const told = (values, errors) => ({
    times: values.map((_, at) => begin + 60 * at), series: [named("Messages", values), named("Errors", errors)],
  });
  const made = plot(here, {title: "Calls a minute", ...told(values, errors), signal: left.signal});
  window.again = (more) => made.update(told([...values, more], [...errors, 0]));
  window.leave = () => left.abort();
}"""
VALUES, ERRORS = list(range(10)), [1 if at % 3 == 0 else 0 for at in range(9)] + [None]
# The opaque colours on the canvas. They are read from a copy, because a browser warns of reading one that it shows.
INK = """() => {
  const canvas = document.querySelector("canvas"), found = new Set();
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) found.add(data.slice(at, at + 3).join());
  return [...found];
}"""


@asynccontextmanager
async def blank(block: str = "", **options: Any) -> AsyncIterator[Console]:
    """A page with nothing on it, served under the policy of the console. Requests for `block` are cut off."""

    async def begin(request: web.Request) -> web.Response:
        return web.Response(text=_BLANK, content_type="text/html", headers={"Content-Security-Policy": CSP})

    pages, application = Pages(), web.Application()
    application.router.add_get("/", begin)
    application.router.add_get("/console/{name:.+}", pages.asset)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with started() as browser, console(browser, base, timezone_id="UTC", **options) as somebody:
            if block:
                await somebody.page.route(block, lambda route: route.abort())
            await somebody.open("")
            await somebody.page.evaluate(SHOWN, {"begin": 1_767_312_000, "values": VALUES, "errors": ERRORS})
            yield somebody
    finally:
        await runner.cleanup()


async def inks(page: Page) -> set[str]:
    return set(await page.evaluate(INK))


async def test_it_is_drawn_and_its_numbers_are_text() -> None:
    async with blank() as somebody:
        page = somebody.page
        await expect(page.locator("canvas")).to_be_visible()
        await expect(page.locator(".legend")).to_have_text("Messages9Errors–")
        lines = page.get_by_role("slider", name="Calls a minute, minute by minute")
        await expect(lines).to_have_attribute("aria-valuetext", "now: Messages 9, Errors –")
        await page.get_by_text("As a table").click()
        rows = page.get_by_role("table").locator("tbody tr")
        await expect(rows).to_have_count(10)
        await expect(rows.first).to_have_text("00:099–")
        await expect(rows.last).to_have_text("00:0001")
        await page.evaluate("again(40)")
        await expect(rows).to_have_count(11)
        await expect(page.locator(".legend")).to_contain_text("Messages40")
        assert await somebody.violations() == []
        await page.evaluate("leave()")
        await expect(page.locator("canvas")).to_have_count(0)


async def test_the_arrow_keys_go_from_minute_to_minute() -> None:
    async with blank() as somebody:
        page = somebody.page
        await expect(page.locator("canvas")).to_be_visible()
        lines = page.get_by_role("slider")
        await lines.focus()
        for keys, text in (
            (["ArrowLeft"], "00:08: Messages 8, Errors 0"),
            (["ArrowLeft", "ArrowLeft"], "00:06: Messages 6, Errors 1"),
            (["Home"], "00:00: Messages 0, Errors 1"),
            (["ArrowLeft"], "00:00: Messages 0, Errors 1"),
            (["PageUp"], "00:09: Messages 9, Errors –"),
            (["Escape"], "now: Messages 9, Errors –"),
        ):
            for key in keys:
                await page.keyboard.press(key)
            await expect(lines).to_have_attribute("aria-valuetext", text)
        await page.keyboard.press("Home")
        await expect(page.locator(".when")).to_have_text("00:00")
        await expect(page.locator(".u-cursor-x")).to_be_visible()


async def test_it_follows_the_theme_and_the_window() -> None:
    async with blank() as somebody:
        page = somebody.page
        await expect(page.locator("canvas")).to_be_visible()
        light, dark = "10,102,111", "99,198,208"  # --accent
        assert light in await inks(page)
        await page.evaluate("document.documentElement.dataset.theme = 'dark'")
        await somebody.sees(f"({INK})().includes('{dark}')")
        assert light not in await inks(page)
        await page.evaluate("delete document.documentElement.dataset.theme")
        await somebody.sees(f"({INK})().includes('{light}')")
        await page.emulate_media(color_scheme="dark")
        await somebody.sees(f"({INK})().includes('{dark}')")
        await page.set_viewport_size({"width": 390, "height": 700})
        await expect(page.locator(".u-wrap")).to_have_attribute("style", re.compile("width: 366px"))
        assert await somebody.width() == 390


async def test_without_the_library_the_numbers_are_there() -> None:
    async with blank("**/uPlot.esm.js") as somebody:
        page = somebody.page
        await page.get_by_text("As a table").click()
        await expect(page.get_by_role("table").locator("tbody tr")).to_have_count(10)
        await page.get_by_role("slider").focus()
        await page.keyboard.press("Home")
        await expect(page.locator(".legend")).to_have_text("Messages0Errors1")
        await expect(page.locator("canvas")).to_have_count(0)
