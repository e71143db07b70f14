"""Make the pictures of the lists in docs/: `python -m tests.console.list_screenshots`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import expect

import bridge
from tests.console.browser import Console, console
from tests.console.charging_fleet import BUSY, fleet

DOCS = Path(bridge.__file__).parents[1] / "docs"
SIZE = (1440, 900)


async def main() -> None:
    """Fill a fleet, and take the pictures."""
    async with fleet() as there:
        for name in ("light", "dark"):
            async with console(there.browser, there.base, there.token, size=SIZE, dark=name == "dark") as somebody:
                await pictured(somebody, name)


async def pictured(somebody: Console, colours: str) -> None:
    """Take each picture in the colours of the browser."""
    page = somebody.page
    await somebody.open("#/charge-points?text=030")
    boxes = page.get_by_role("checkbox")
    await expect(boxes.first).to_be_visible()
    await boxes.nth(1).check()
    await boxes.nth(2).check()
    await taken(somebody, f"console-charge-points-{colours}")
    await somebody.open(f"#/charge-points/{BUSY}")
    await expect(page.locator(".meters canvas")).to_have_count(3)
    await expect(page.locator(".rows [role=row]").first).to_be_visible()
    await taken(somebody, "console" if colours == "light" else "console-dark")
    await somebody.open("#/transactions?state=open")
    await expect(page.locator(".rows [role=row]").first).to_be_visible()
    await taken(somebody, f"console-transactions-{colours}")


async def taken(somebody: Console, name: str) -> None:
    """Take a picture of what is in the window."""
    await expect(somebody.page.locator("#stream")).to_have_text("Live")
    await somebody.page.screenshot(path=DOCS / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
