"""An operator signs in at a provider in a browser, commands a Charge Point, and signs out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.async_api import ViewportSize, expect

from bridge.config import TLS, Oidc, Secret
from tests.authority import Authority
from tests.console.browser import AT_MOST, DESK, PHONE, Console
from tests.console.stage import IDENTITY, Stage, staged
from tests.oidc.provider import BEN, CLIENT_ID, SECRET, Provider

expect.set_options(timeout=AT_MOST)


def table(at: Provider) -> dict[str, Any]:
    """The keys of `[admin]`."""
    oidc = Oidc(
        issuer=at.issuer,
        client_id=CLIENT_ID,
        client_secret=Secret(SECRET.encode()),
        name="Example",
        read=("ocpp-viewers",),
        operate=("ocpp-operators",),
    )
    return {"oidc": oidc}


@asynccontextmanager
async def somebody_at(
    stage: Stage, at: Provider, size: tuple[int, int] = DESK, base: str | None = None
) -> AsyncIterator[Console]:
    """Somebody at the console at `base`, who may leave it for the provider."""
    viewport: ViewportSize = {"width": size[0], "height": size[1]}
    context = await stage.browser.new_context(viewport=viewport, ignore_https_errors=True)
    try:
        somebody = Console(await context.new_page(), base or stage.base)
        yield somebody
        assert [each for each in somebody.complaints if not each.startswith(f"asked for {at.issuer}/")] == []
    finally:
        await context.close()


async def test_the_whole_of_it() -> None:
    async with Provider(asks=True) as at, staged(**table(at)) as stage:
        await stage.greet()
        async with somebody_at(stage, at) as ann:
            page = ann.page
            await ann.open("#/charge-points/RDAM%201/command/ClearCache")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
            assert await ann.violations() == []
            await ann.shown("login-with-provider")
            await page.get_by_role("link", name="Sign in with Example").click()
            await page.get_by_role("link", name="Continue").click()
            # Back at the page that asked for it.
            await expect(page).to_have_url(f"{stage.base}/#/charge-points/RDAM%201/command/ClearCache")
            await expect(page.locator("#who")).to_have_text("ann@example.com")
            assert await page.evaluate("document.cookie + Object.values(sessionStorage)") == ""
            await page.get_by_role("button", name="Send").click()
            await expect(page.locator("main")).to_contain_text("Accepted")
            await ann.open(f"#/charge-points/{IDENTITY.replace(' ', '%20')}")
            await expect(page.locator("#stream")).to_have_attribute("data-state", "live")
            await ann.shown("signed-in")
            await ann.open("#/audit")
            await expect(page.locator("main")).to_contain_text("(OIDC: ann@example.com)")
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
            await expect(page.locator("#who")).to_be_hidden()
            await ann.open("#/messages")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
            assert await page.context.cookies() == []


async def test_what_the_login_page_says_when_the_provider_is_gone_and_to_who_has_no_role() -> None:
    async with Provider(BEN | {"groups": []}) as at, staged(**table(at)) as stage:
        async with somebody_at(stage, at, PHONE) as ben:
            page = ben.page
            await ben.open("#/login")
            await page.get_by_role("link", name="Sign in with Example").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Sign-in refused")
            await expect(page.get_by_role("alert")).to_contain_text("You have no role here: no value of the claim")
            assert await ben.violations() == []
            assert await ben.width() == PHONE[0]
            await ben.shown("sign-in-refused")
            await page.get_by_role("link", name="Back to the login page").click()
            await expect(page.get_by_label("Admin token")).to_be_visible()
        at.issuer = "http://127.0.0.1:1"  # where nobody listens
        await stage.gateway.reload(replace(stage.told, admin=replace(stage.told.admin, **table(at))))
        async with somebody_at(stage, at, PHONE) as ben:
            await ben.open("#/login")
            await expect(ben.page.get_by_role("alert")).to_contain_text("the provider cannot be reached")
            assert await ben.violations() == []
            assert await ben.width() == PHONE[0]
            await ben.shown("login-without-provider")


async def test_over_https_the_cookies_are_bound_to_the_host(tmp_path: Path) -> None:
    tls = TLS(**Authority(tmp_path).issue("console", "127.0.0.1"))
    async with Provider() as at, staged(tls=tls, **table(at)) as stage:
        base = stage.base.replace("http:", "https:")
        async with somebody_at(stage, at, base=base) as ann:
            await ann.open("#/audit")
            await ann.page.get_by_role("link", name="Sign in with Example").click()
            await expect(ann.page).to_have_url(f"{base}/#/audit")
            await expect(ann.page.locator("#who")).to_have_text("ann@example.com")
            (cookie,) = await ann.page.context.cookies()
            port = base.rpartition(":")[2]
            assert (cookie["name"], cookie["path"]) == (f"__Host-ocpp-bridge-session-{port}", "/")
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
            await ann.page.get_by_role("button", name="Log out").click()
            await expect(ann.page.get_by_role("heading", level=1)).to_have_text("Log in")
            assert await ann.page.context.cookies() == []
