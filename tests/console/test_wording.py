"""What the console says of messages that did not go their usual way, and of commands to several Charge Points."""

from __future__ import annotations

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.console.browser import AT_MOST, console
from tests.console.stage import IDENTITY, staged
from tests.e2e.stage import post, websocket_of

expect.set_options(timeout=AT_MOST)


async def newest(page: Page) -> None:
    """Open the newest of the messages that are shown."""
    await page.locator(".rows [role=row]").first.click()
    await expect(page.locator(".half")).to_have_count(2)


async def test_a_message_that_was_answered_400_has_its_answer() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        assert (await post(stage.gateway, b"<s:Envelope")).status == 400
        await somebody.open("#/messages")
        await newest(page)
        asked, answer = page.locator(".half").first, page.locator(".half").last
        await expect(asked).to_contain_text("It was not understood as a message.")
        await expect(answer.locator("pre").first).to_contain_text("Fault")
        await expect(answer).to_contain_text("Nothing came in to be understood.")
        await expect(answer).not_to_contain_text("It was not understood")
        await expect(page.locator(".why")).not_to_contain_text("strict")


async def test_a_handshake_that_was_refused_says_with_what() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await http.ws_connect(websocket_of(stage.gateway).replace("/ocpp", "/nowhere"), protocols=("ocpp1.6",))
        await somebody.open("#/messages")
        await newest(page)
        await expect(page.locator(".half").last).to_contain_text("The bridge answered with HTTP 404")


async def test_a_call_without_an_answer_says_so() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await stage.greet()
        await stage.central_system.stop()
        assert await stage.says("RDAM 2", "<c:heartbeatRequest/>") == 503
        await somebody.open("#/messages?outcome=unanswered")
        await newest(page)
        answer = page.locator(".half").last
        await expect(answer).to_contain_text("Nothing came in to be understood.")


async def test_each_of_several_answers_a_command() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        page = somebody.page
        await stage.greet()
        await somebody.open("#/charge-points")
        await page.get_by_label(f"Select {IDENTITY}").check()
        await page.get_by_role("link", name="Send a command…").click()
        await page.get_by_label("Action", exact=True).select_option("Reset")
        await page.get_by_label("type").select_option("Soft")
        await page.get_by_role("button", name="Preview").click()
        await page.get_by_role("button", name="Send to 1 Charge Point").click()
        # What interrupts charging asks first.
        await page.get_by_role("button", name="Send Reset").click()
        await expect(page.locator(".outcomes .rows [role=row]")).to_contain_text("Accepted")
        assert stage.charge_point.received == [("Reset", {"type": "Soft"})]
        await somebody.open("#/charge-points")
        await page.get_by_role("button", name="Clear").click()
        await expect(page.get_by_text("1 selected")).to_have_count(0)
