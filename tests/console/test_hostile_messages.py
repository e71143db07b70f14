"""Recorded messages that somebody wrote to hold up a browser: the page of each costs little more than another page.

The cost is the processor time of the page's thread, since seconds on the clock depend on what else the machine does.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from playwright.async_api import CDPSession, Page, Route, expect

from tests.console.browser import AT_MOST, console
from tests.console.stage import staged
from tests.e2e.stage import AT

expect.set_options(timeout=AT_MOST)
LARGE = 250_000
# How many times the processor time of a message with nothing in it: ten were seen. A search that goes back for each
# character of a text takes thousands.
_TIMES = 50


def repeated(part: str, size: int = 99_000) -> str:
    """`part` over and over: by default as much as the console still reads."""
    return part * (size // len(part))


def element(inside: str) -> str:
    return f"<a {inside}/>"


# What each is called, and what stands on the wire. The first few are too large to be read, the others are not.
TEXTS: dict[str, str] = {
    "opening brackets": "<" * LARGE,
    "unclosed quotes": '["' * (LARGE // 2),
    "numbers": f'[2,"1","DataTransfer",[{",".join(["1"] * 200_000)}]]',
    "brackets, readable": repeated("<"),
    "quotes, readable": repeated('"'),
    "tags with a quote each": repeated('<a b="'),
    "escaped quotes": '["' + repeated('\\"'),
    "backslashes": '["' + repeated("\\"),
    "comments that do not end": repeated("<!--"),
    "character data that does not end": repeated("<![CDATA["),
    "namespaces without a value": element(repeated("xmlns:")),
    "namespaces without an end": element('b="' + repeated("xmlns:") + '"'),
    "blanks": element(repeated(" ")),
    "ampersands": "<a>" + repeated("&#x0") + "</a>",
    "a name in many places": json.dumps([2, "1", "A", {"n" * 50_000: [1] * 20_000}]),
    "many numbers": json.dumps([2, "1", "A", {"a": [1] * 30_000}]),
    "many elements": "<s:Envelope><s:Body><r>" + repeated("<a>1</a>", 90_000) + "</r></s:Body></s:Envelope>",
    "depth": repeated("["),
    "long words": repeated("a"),
}


def message(received: str, sent: str, losses: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """As the API gives it."""
    forms = [
        {"transport": "json", "text": text, "octets": len(text), "peer": None, "base64": None}
        for text in (received, sent)
    ]
    return {
        "id": 7,
        "identity": "CP-1",
        "at": AT,
        "ms": 1.0,
        "action": "DataTransfer",
        "from": "charge_point",
        "outcome": "result",
        "unique_id": "1",
        "hop_id": None,
        "why": None,
        "summary": "",
        "losses": losses or [],
        "timings": {"before": None, "beyond": None},
        "request": {"received": forms[0], "model": None, "sent": forms[1]},
        "response": None,
    }


async def processor_time(browser: CDPSession) -> float:
    """Return the seconds of processor time that the page's thread has used."""
    told = await browser.send("Performance.getMetrics")
    return next(float(metric["value"]) for metric in told["metrics"] if metric["name"] == "TaskDuration")


async def opened(page: Page, base: str, shown: dict[str, Any]) -> float:
    """Return the seconds of processor time until the page of a message stands and answers to a key."""

    async def answer(route: Route) -> None:
        await route.fulfill(json=shown)

    await page.goto(f"{base}/#/audit")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    await page.unroute_all()
    await page.route("**/api/v1/messages/7", answer)
    browser = await page.context.new_cdp_session(page)
    await browser.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await processor_time(browser)
    await page.evaluate("location.hash = '#/messages/7'")
    await expect(page.get_by_role("heading", level=1)).to_have_text("DataTransfer")
    await page.keyboard.press("r")
    await expect(page.get_by_role("button", name="Pretty")).to_be_visible()
    took = await processor_time(browser) - before
    await browser.detach()
    return took


async def test_no_message_holds_up_the_page() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        empty = statistics.median([await opened(page, stage.base, message("[]", "[]")) for _ in range(3)])
        assert empty > 0
        slow = {}
        for name, text in TEXTS.items():
            # On both sides, and with nothing that is the same.
            took = await opened(page, stage.base, message(text, text[:-1] + " "))
            if took > _TIMES * empty:
                slow[name] = took / empty
        assert slow == {}


async def test_many_losses_and_differences_are_bounded() -> None:
    """As many as a bridge wrote that did not count them."""
    values = [{"timestamp": f"2026-01-01T00:00:{number % 60:02}Z", "value": str(number)} for number in range(1500)]
    received = json.dumps([2, "1", "DataTransfer", {"v": values}])
    sent = received.replace("Z", "+")
    losses = [{"message": "", "path": f"v[{number}].timestamp", "reason": "x"} for number in range(14_000)]
    losses += [{"message": "", "path": "v.timestamp", "reason": f"{number % 3}"} for number in range(14_000)]
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        empty = statistics.median([await opened(page, stage.base, message("[]", "[]")) for _ in range(3)])
        assert await opened(page, stage.base, message(received, sent, losses)) <= _TIMES * empty
        assert await page.locator("table.differences tbody tr").count() == 100
        await expect(page.locator("table.differences caption")).to_contain_text("of which the first 100 are shown")


async def test_what_is_too_large_is_shown_from_its_beginning_and_not_called_the_same() -> None:
    text = json.dumps([2, "1", "DataTransfer", {"data": "x" * LARGE}])
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await opened(page, stage.base, message(text, text))
        await expect(page.get_by_text("Too large to compare value by value.")).to_be_visible()
        raw = page.locator("pre.raw").first
        assert len(await raw.inner_text()) == 100_000
        await expect(page.get_by_text("The first 100,000 of").first).to_be_visible()
