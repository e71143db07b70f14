"""Chromium, as somebody at the console: it opens pages, presses keys, and says what is wrong with what it sees.

Chromium is the one named by CHROMIUM or found as `chromium`: Playwright's own download is not needed. Without one these
tests are skipped, and fail where OCPP_BRIDGE_NO_SKIP=1. Screenshots are kept in var/screenshots.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

import bridge
from tests.lacking import lacking

SCREENSHOTS = Path(bridge.__file__).parents[1] / "var" / "screenshots"
# Milliseconds: far longer than anything takes. What is waited for comes, or the test fails.
AT_MOST = 30_000
DESK, PHONE = (1440, 900), (320, 640)
# It asks nobody but us for anything; as root, as in a container, its own sandbox does not work.
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of the browser; skips the test, or fails it, where there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        lacking("no Chromium here: install Debian's package chromium, or name one in CHROMIUM")
    return found


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """A browser that nobody has used."""
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Console:
    """A page at the console of the admin listener at `base`. `complaints` is what the browser found wrong with it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.set_default_timeout(AT_MOST)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._said)
        page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(f"{self.base}/"):
            self.complaints.append(f"asked for {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        # That something could not be fetched is told for each status over 399, expected ones too.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    async def open(self, hash_: str = "#/") -> None:
        """Go to a page of it."""
        await self.page.goto(f"{self.base}/{hash_}")

    async def shown(self, name: str) -> None:
        """Keep a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    async def violations(self) -> list[str]:
        """What axe objects to: the rule, and the elements that break it."""
        await self.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        result: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes'][:3]]}"
            for each in result["violations"]
        ]

    async def width(self) -> int:
        """How wide what is shown is: more than the window is wide, and one has to scroll sideways."""
        found: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return found


@asynccontextmanager
async def console(
    browser: Browser,
    base: str,
    token: bytes | None = None,
    *,
    size: tuple[int, int] = DESK,
    dark: bool = False,
    **options: Any,
) -> AsyncIterator[Console]:
    """Somebody at the console with a window of `size`, who has shown `token` before. Nothing is wrong at the end."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
    )
    if token is not None:
        await context.add_init_script(f"sessionStorage['ocpp-bridge.token'] ??= {token.decode()!r}")
    try:
        somebody = Console(await context.new_page(), base)
        yield somebody
        assert somebody.complaints == []
    finally:
        await context.close()
