"""The console of a tenant: it finds its tenant by the token, and shows nothing of another."""

from __future__ import annotations

from playwright.async_api import expect

from tests.console.browser import AT_MOST, console, started
from tests.e2e.test_tenants import ACME, OURS, met, world

expect.set_options(timeout=AT_MOST)
PAGES = (
    "#/",
    "#/charge-points",
    "#/charge-points/CP%201",
    "#/transactions",
    "#/messages",
    "#/central-systems",
    "#/routes",
    "#/losses",
    "#/quirks",
    "#/audit",
    "#/moves",
    "#/addresses",
)


async def test_a_token_shows_the_charge_points_of_its_tenant() -> None:
    async with world() as there, started() as browser:
        await met(there.ours, "OursInc")
        await met(there.acme, "AcmeInc")
        for token, own, other in ((ACME, "AcmeInc", "OursInc"), (OURS, "OursInc", "AcmeInc")):
            async with console(browser, there.api.base, token.encode()) as somebody:
                for page in PAGES:
                    await somebody.open(page)
                    await expect(somebody.page.get_by_role("heading", level=1)).to_be_visible()
                    await expect(somebody.page.get_by_text(other)).to_have_count(0)
                await somebody.open("#/charge-points")
                await expect(somebody.page.get_by_role("row").filter(has_text=own).first).to_be_visible()
                await somebody.open("#/charge-points/CP%201")
                await expect(somebody.page.get_by_text(own).first).to_be_visible()


async def test_what_happens_live_is_that_of_the_tenant() -> None:
    async with world() as there, started() as browser:
        await met(there.acme, "AcmeInc")
        async with console(browser, there.api.base, ACME.encode()) as somebody:
            await somebody.open("#/messages")
            rows = somebody.page.locator(".rows [role=row]")
            await expect(rows.filter(has_text="BootNotification")).to_have_count(2)
            await there.ours.json.call("Authorize", {"idTag": "A"})
            await there.acme.json.call("Heartbeat", {})
            await expect(rows.filter(has_text="Heartbeat")).to_have_count(1)
            await expect(rows.filter(has_text="Authorize")).to_have_count(0)


async def test_a_token_for_all_shows_the_tenant_of_the_address() -> None:
    async with world() as there, started() as browser:
        await met(there.ours, "OursInc")
        await met(there.acme, "AcmeInc")
        async with console(browser, there.api.base, there.gateway.admin_token) as somebody:
            for address, own, other in (("", "OursInc", "AcmeInc"), ("?tenant=acme", "AcmeInc", "OursInc")):
                await somebody.open(f"{address}#/charge-points")
                await expect(somebody.page.get_by_role("row").filter(has_text=own).first).to_be_visible()
                await expect(somebody.page.get_by_text(other)).to_have_count(0)
