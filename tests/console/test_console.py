"""The console in a browser, over a real gateway: what an operator sees, and does about it.

Nothing waits for time to pass: `expect` waits for what is to be seen, and fails when it does not come.
"""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from msgspec.structs import replace
from playwright.async_api import Error, Locator, Page, expect

from bridge.app import Gateway
from bridge.config import AdminToken, CentralSystem, Secret, SecretFile
from bridge.lab.simulators.wire import CallRefused
from tests.console.browser import AT_MOST, DESK, PHONE, Console, console
from tests.console.stage import BOOT, IDENTITY, Stage, staged
from tests.e2e.stage import SAMPLES, charge_point

try:
    import resource
except ImportError:  # not on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

MANY = 2000
# Two ends of a WebSocket for each Charge Point, in one process.
_FILES = MANY * 3
expect.set_options(timeout=AT_MOST)

PAGES = {
    "charge-points": "#/charge-points",
    "charge-point": f"#/charge-points/{IDENTITY.replace(' ', '%20')}",
    "command": f"#/charge-points/{IDENTITY.replace(' ', '%20')}/command/SetChargingProfile",
    "messages": "#/messages",
    "moves": "#/moves",
    "observers": "#/observers",
    "readiness": "#/readiness",
    "addresses": f"#/addresses?identity={IDENTITY.replace(' ', '%20')}",
    "audit": "#/audit",
    "login": "#/login",
}


def rows(page: Page, words: str | re.Pattern[str] = "") -> Locator:
    """Of the list on the page, its header apart."""
    return page.locator(".rows [role=row]").filter(has_text=words)


async def newest(stage: Stage, somebody: Console, action: str) -> None:
    """Open the newest message of `action` from the page of the Charge Point."""
    await somebody.open(PAGES["charge-point"])
    await rows(somebody.page, action).first.get_by_role("link", name=action).click()
    await expect(somebody.page.get_by_role("heading", level=1)).to_have_text(action)


@pytest.fixture
def enough_files() -> None:
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        pytest.skip(f"the system allows {hard} open files, and {_FILES} are needed")
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


# The night shift


@pytest.mark.usefixtures("enough_files")
async def test_from_two_thousand_charge_points_to_one_answer() -> None:
    async def all_are_counted(somebody: Console) -> None:
        await somebody.open(PAGES["charge-points"])
        await expect(somebody.page.locator(".count.all b")).to_have_text("2,000")
        await expect(somebody.page.get_by_role("grid")).to_have_attribute("aria-rowcount", "2001")
        assert await rows(somebody.page).count() < 60
        await somebody.shown("2000-charge-points")

    async def the_last_one_is_reached(somebody: Console) -> None:
        grid = somebody.page.get_by_role("grid")
        await grid.focus()
        await grid.press("End")
        await expect(rows(somebody.page, IDENTITY)).to_be_visible()
        await expect(rows(somebody.page, IDENTITY)).to_have_attribute("aria-rowindex", "2001")

    async def one_is_found_and_opened(somebody: Console) -> None:
        await somebody.page.get_by_label("Search").fill("EVLINK-00?7")
        await expect(rows(somebody.page)).to_have_count(10)
        await somebody.page.get_by_label("Search").fill("rdam")
        await expect(rows(somebody.page)).to_have_count(1)
        assert somebody.page.url.endswith("#/charge-points?text=rdam")
        await rows(somebody.page, IDENTITY).click()
        await expect(somebody.page.get_by_role("heading", level=1)).to_have_text(IDENTITY)
        await expect(somebody.page.get_by_text("Schneider", exact=True)).to_be_visible()
        await expect(somebody.page.locator("#stream")).to_have_text("Live")

    async def a_message_arrives_live(stage: Stage, somebody: Console) -> None:
        await expect(rows(somebody.page, "MeterValues")).to_have_count(0)
        await stage.charge_point.call("MeterValues", SAMPLES["MeterValues"])
        await expect(rows(somebody.page, "MeterValues")).to_have_count(1)
        await somebody.shown("charge-point")

    async def it_is_shown_in_three_parts(somebody: Console) -> None:
        page = somebody.page
        await rows(page, "MeterValues").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("MeterValues")
        request = page.locator(".half").first
        came_in, model, went_out = await request.locator(".panel").all()
        await expect(came_in).to_contain_text("SOAP")
        await expect(came_in.locator("pre")).to_contain_text("230.10")
        await expect(model.locator("pre")).to_contain_text('"value": "230.10"')
        await expect(went_out.locator("pre")).to_contain_text('"MeterValues"')
        await expect(request.locator(".same")).to_have_text("Every value went through as it came.")
        await somebody.shown("message")

    async def a_command_is_answered(stage: Stage, somebody: Console) -> None:
        page = somebody.page
        await somebody.open(PAGES["charge-point"])
        await page.get_by_role("link", name="Send a command").click()
        await expect(page.get_by_label("Action", exact=True)).to_have_value("TriggerMessage")
        await page.get_by_label("requestedMessage").select_option("Heartbeat")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator(".answer")).to_contain_text('"Accepted"')
        assert ("TriggerMessage", {"requestedMessage": "Heartbeat"}) in stage.charge_point.received
        await somebody.shown("command-answered")

    async with staged() as stage:
        await stage.heartbeats(f"EVLINK-{number:04}" for number in range(MANY - 1))
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await all_are_counted(somebody)
            await the_last_one_is_reached(somebody)
            await one_is_found_and_opened(somebody)
            await a_message_arrives_live(stage, somebody)
            await it_is_shown_in_three_parts(somebody)
            await a_command_is_answered(stage, somebody)


async def test_the_stream_is_lost_and_regained() -> None:
    async with staged(token=Secret(b"night shift")) as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, b"night shift") as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-point"])
            await expect(page.locator("#stream")).to_have_text("Live")
            await stage.gateway.close()
            await expect(page.locator("#stream")).to_have_text("Stream lost, trying again")
            await expect(page.locator("#notice")).to_contain_text("may be old")
            await somebody.shown("stream-lost")
            again = Gateway(stage.told)
            await again.start()
            try:
                with contextlib.suppress(Error):  # the console tries by itself, too, and may be first
                    await page.get_by_role("button", name="Try now").click(timeout=5_000)
                await expect(page.locator("#stream")).to_have_text("Stream regained")
                await expect(page.locator("#notice")).to_be_hidden()
                await stage.charge_point.call("Authorize", SAMPLES["Authorize"])
                await expect(rows(page, "Authorize")).to_have_count(1)
                await expect(page.locator("#stream")).to_have_text("Live")
            finally:
                await again.close()


async def test_who_may_only_read_is_told_so_and_sees_no_button_that_changes_anything() -> None:
    tokens = (AdminToken(name="desk", file=SecretFile(b"a token that may only read")),)
    async with staged(tokens=tokens) as stage:
        await stage.greet()
        for token, may in ((b"a token that may only read", False), (stage.token, True)):
            async with console(stage.browser, stage.base, token) as somebody:
                page = somebody.page
                await somebody.open(PAGES["charge-point"])
                await expect(page.get_by_text("Read only")).to_be_visible(visible=not may)
                await expect(page.get_by_role("link", name="Send a command")).to_have_count(int(may))
                await expect(page.get_by_role("button", name="Disconnect…")).to_have_count(int(may))
                await somebody.open("#/charge-points")
                await page.get_by_role("button", name="Select all").click()
                await expect(page.get_by_text("1 selected")).to_be_visible()
                await expect(page.get_by_role("link", name="Move…")).to_have_count(int(may))
                assert await somebody.violations() == []


# For everybody


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_each_page_is_accessible_and_fits(size: tuple[int, int], dark: bool) -> None:
    async def seen(somebody: Console, page: str, name: str) -> None:
        settled = {
            "charge-points": rows(somebody.page),
            "charge-point": somebody.page.locator(".facts"),
            "command": somebody.page.get_by_label("chargingProfileId"),
            "messages": rows(somebody.page),
            "addresses": somebody.page.locator(".urls"),
            "moves": somebody.page.locator(".empty"),
            "observers": somebody.page.locator(".empty"),
            "readiness": somebody.page.locator(".empty"),
            "audit": somebody.page.locator(".empty:visible"),
            "login": somebody.page.get_by_label("Admin token"),
            "message": somebody.page.locator(".three"),
            "help": somebody.page.get_by_role("dialog"),
        }
        await expect(settled[page].first).to_be_visible()
        assert (page, await somebody.violations()) == (page, [])
        assert (page, await somebody.width()) == (page, size[0])
        await somebody.shown(name)

    name = f"{'dark' if dark else 'light'}-{size[0]}"
    async with staged() as stage:
        await stage.greet()
        stage.central_system.behaviour["DataTransfer"] = refusing
        with pytest.raises(CallRefused):
            await stage.charge_point.call("DataTransfer", SAMPLES["DataTransfer"])
        await stage.charge_point.call("MeterValues", SAMPLES["MeterValues"])
        async with console(stage.browser, stage.base, stage.token, size=size, dark=dark) as somebody:
            for page, hash_ in PAGES.items():
                await somebody.open(hash_)
                await seen(somebody, page, f"{page}-{name}")
            await newest(stage, somebody, "DataTransfer")
            await expect(somebody.page.locator(".why").first).to_contain_text("The Central System refused it")
            await seen(somebody, "message", f"message-{name}")
            await somebody.page.keyboard.press("?")
            await seen(somebody, "help", f"help-{name}")


def refusing(_: object) -> dict[str, object]:
    raise CallRefused("NotSupported", "no data, thank you")


async def test_the_keyboard_is_enough() -> None:
    async with staged() as stage:
        await stage.heartbeats(["AA 1", "AA 2", "AA 3"])
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page, key = somebody.page, somebody.page.keyboard.press
            await somebody.open(PAGES["charge-points"])
            await expect(rows(page)).to_have_count(4)
            await key("Tab")
            await expect(page.locator(".skip")).to_be_focused()
            await key("Enter")
            await expect(page.locator("main")).to_be_focused()
            await key("?")
            await expect(page.get_by_role("dialog")).to_be_visible()
            await key("Escape")
            await expect(page.get_by_role("dialog")).to_be_hidden()
            await key("/")
            await expect(page.get_by_label("Search")).to_be_focused()
            await page.keyboard.type("aa")
            await expect(rows(page)).to_have_count(3)
            await key("Escape")
            for step in "jjk":
                await key(step)
            await expect(page.locator("[aria-selected=true]")).to_contain_text("AA 1")
            await key("ArrowDown")
            await key("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text("AA 2")
            await expect(rows(page, "Heartbeat")).to_have_count(1)
            await key("j")
            await key("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Heartbeat")
            await key("r")
            await expect(page.locator("pre.raw").first).to_contain_text("<c:heartbeatRequest/>")
            await key("Escape")
            await expect(page.get_by_role("heading", level=1)).to_have_text("AA 2")
            await key("c")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Send a command")
            await key("g")
            await key("a")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Addresses")
            await key("t")
            await expect(page.locator("html")).to_have_attribute("data-theme", "light")
            await key("t")
            await page.reload()
            await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_without_a_token_it_asks_for_it_and_goes_where_one_wanted() -> None:
    async with staged(token=Secret(b"night shift")) as stage:
        await stage.greet()
        async with console(stage.browser, stage.base) as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-point"])
            await page.get_by_label("Admin token").fill("day shift")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("That is not the token.")).to_be_visible()
            await page.get_by_label("Admin token").fill("night shift")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", level=1)).to_have_text(IDENTITY)
            await expect(page.locator("#stream")).to_have_text("Live")
            await page.reload()
            await expect(page.locator("#stream")).to_have_text("Live")
            assert await page.evaluate("JSON.stringify([localStorage, document.cookie])") == '[{},""]'
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_label("Admin token")).to_be_visible()
            await expect(page.get_by_role("button", name="Log out")).to_be_hidden()
            assert await page.evaluate("sessionStorage.length") == 0
            await page.reload()
            await somebody.open(PAGES["charge-point"])
            await expect(page.get_by_label("Admin token")).to_be_visible()
        async with console(stage.browser, stage.base) as another:
            await another.open()
            await expect(another.page.get_by_label("Admin token")).to_be_visible()


async def test_the_address_that_the_bridge_prints_is_one_click() -> None:
    """The token leaves the address and the history at once, also where the console is open already."""
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base) as somebody:
            page = somebody.page
            await page.goto(stage.gateway.console_url)
            await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
            assert page.url == f"{stage.base}/#/"
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_label("Admin token")).to_be_visible()
            await page.evaluate(f"location.hash = {'#' + stage.gateway.console_url.partition('#')[2]!r}")
            await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
            assert page.url == f"{stage.base}/#/"
            await page.evaluate("location.hash = '#token=wrong%'")
            await expect(page.get_by_label("Admin token")).to_be_visible()


async def test_an_address_that_is_broken_says_so() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        for address in ("#/charge-points/RDAM%2", "#/messages/%", "#/charge-points/%FF/command"):
            await somebody.open(address)
            await expect(somebody.page.get_by_role("heading", level=1)).to_have_text("This address is broken")
            await somebody.open(PAGES["addresses"])


async def test_an_identity_with_braces_is_reached_as_any_other() -> None:
    """Through the API, by its page, with a command."""
    identity = "{NL}*{x"
    async with staged() as stage, charge_point(stage.gateway, identity) as point:
        await point.call("BootNotification", BOOT)
        await stage.central_system.wait_for(identity)
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-points"])
            await rows(page, identity).get_by_role("link").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(identity)
            await expect(rows(page, "BootNotification")).to_be_visible()


# Steering


# Somebody leaves just when the actions are here, before the page has drawn them and before it is told that it is left.
_LEAVES = """
const real = window.fetch;
window.fetch = async (...asked) => {
  const answer = await real(...asked);
  if (!answer.url.endsWith("/actions")) return answer;
  const text = await answer.text();
  location.hash = "#/addresses";
  return { ok: answer.ok, status: answer.status, headers: answer.headers, text: async () => text };
};
"""


async def test_who_leaves_before_a_page_is_complete_gets_where_he_goes() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await somebody.page.add_init_script(_LEAVES)
            await somebody.open(PAGES["command"].rpartition("/command")[0] + "/command")
            await expect(somebody.page.get_by_role("heading", level=1)).to_have_text("Addresses")


async def test_a_command_is_checked_before_it_is_sent() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page, send = somebody.page, somebody.page.get_by_role("button", name="Send", exact=True)
            await somebody.open(PAGES["command"])
            await page.get_by_label("connectorId").fill("one")
            await send.click()
            await expect(page.get_by_label("connectorId")).to_have_attribute("aria-invalid", "true")
            await expect(page.get_by_text("must be a whole number")).to_be_visible()
            await expect(page.get_by_text("is required").first).to_be_visible()
            await page.get_by_label("Action", exact=True).select_option("SendLocalList")
            await page.get_by_label("listVersion").fill("7")
            await page.get_by_label("updateType").select_option("Full")
            await page.get_by_role("button", name="Add localAuthorizationList").click()
            await page.get_by_role("button", name="Add to localAuthorizationList").click()
            await page.get_by_label("idTag").fill("DRIVER-1")
            await page.get_by_role("button", name="Edit as JSON").click()
            area = page.get_by_label("Payload as JSON")
            wanted = {"listVersion": 7, "updateType": "Full", "localAuthorizationList": [{"idTag": "DRIVER-1"}]}
            assert json.loads(await area.input_value()) == wanted
            await area.fill('{"listVersion": 7, "updateType": "Half"')
            await send.click()
            await expect(page.get_by_text("This is no JSON")).to_be_visible()
            await area.fill('{"listVersion": 7, "updateType": "Half"}')
            await send.click()
            await expect(page.get_by_text("updateType must be one of Differential, Full")).to_be_visible()
            assert stage.charge_point.received == []
            await area.fill(json.dumps(wanted))
            await page.get_by_role("button", name="Edit as a form").click()
            await expect(page.get_by_label("idTag")).to_have_value("DRIVER-1")
            await send.click()
            await expect(page.locator(".answer")).to_contain_text('"status"')
            assert stage.charge_point.received == [("SendLocalList", wanted)]


async def test_it_asks_before_a_reset() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page, send = somebody.page, somebody.page.get_by_role("button", name="Send", exact=True)
            await somebody.open(PAGES["command"].replace("SetChargingProfile", "Reset"))
            await page.get_by_label("type").select_option("Hard")
            await send.click()
            await expect(page.get_by_role("dialog")).to_contain_text("The Charge Point restarts.")
            await somebody.shown("asks-before-reset")
            assert await somebody.violations() == []
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("dialog")).to_have_count(0)
            assert stage.charge_point.received == []
            await send.click()
            await page.get_by_role("button", name="Send Reset").click()
            await expect(page.locator(".answer")).to_contain_text('"Accepted"')
            assert stage.charge_point.received == [("Reset", {"type": "Hard"})]


async def test_a_charge_point_is_moved_and_disconnected() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-point"])
            await page.get_by_role("button", name="Move…").click()
            await expect(page.get_by_role("dialog")).to_contain_text("It is with main now.")
            await page.get_by_role("button", name="Move", exact=True).click()
            await expect(page.locator(".node").last).to_contain_text("other")
            await stage.charge_point.call("Heartbeat", {})
            await stage.other.wait_for(IDENTITY)
            await expect(page.locator(".wire.up")).to_have_count(2)
            await page.get_by_role("button", name="Disconnect…").click()
            await page.get_by_role("button", name="Disconnect", exact=True).click()
            await expect(page.locator("#said")).to_have_text(f"{IDENTITY} was disconnected")
            await somebody.open(PAGES["audit"])
            await expect(rows(page)).to_have_count(2)
            assert await somebody.violations() == []
            await somebody.shown("audit")


async def test_a_move_that_is_refused_says_why() -> None:
    async with staged() as stage:
        await stage.greet()
        old = CentralSystem(url="http://127.0.0.1:1/", protocol="ocpp1.2s")
        await stage.gateway.reload(replace(stage.told, central_systems=stage.told.central_systems | {"old": old}))
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-point"])
            await page.get_by_role("button", name="Move…").click()
            await page.get_by_label("To").select_option("old")
            await page.get_by_role("button", name="Move", exact=True).click()
            await expect(page.locator("main")).to_contain_text("serves no Charge Point that speaks OCPP 1.6")


# What is shown


async def test_what_a_charge_point_says_is_text_and_nothing_else() -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    async with staged() as stage:
        await stage.heartbeats([hostile])
        await stage.greet()
        await stage.charge_point.call("DataTransfer", {"vendorId": "<b>", "data": hostile})
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await somebody.open(PAGES["charge-points"])
            await expect(rows(somebody.page, hostile)).to_be_visible()
            await rows(somebody.page, hostile).click()
            await expect(somebody.page.get_by_role("heading", level=1)).to_have_text(hostile)
            await newest(stage, somebody, "DataTransfer")
            await expect(somebody.page.locator(".panel pre").nth(1)).to_contain_text(hostile)
            assert await somebody.page.locator("main :is(img, script, b)").count() == 0


async def test_what_was_turned_away_says_why() -> None:
    async with staged() as stage, console(stage.browser, stage.base, stage.token) as somebody:
        await somebody.open("#/messages")
        await expect(somebody.page.locator("#stream")).to_have_text("Live")
        assert await stage.says("RDAM 2", "<c:teatimeRequest/>") == 500
        await expect(rows(somebody.page, "RDAM 2")).to_contain_text("refused")
        await rows(somebody.page, "RDAM 2").click()
        await expect(somebody.page.locator(".why")).to_be_visible()
        await expect(somebody.page.locator(".panel pre").first).to_contain_text("teatimeRequest")
        await somebody.shown("turned-away")


async def test_losses_and_differences_are_marked() -> None:
    async with staged() as stage:
        await stage.greet()
        reading = {"timestamp": "2026-01-02T04:04:05+01:00", "sampledValue": [{"value": "1"}]}
        await stage.charge_point.call("MeterValues", {"connectorId": 1, "meterValue": [reading]})
        async with console(stage.browser, stage.base, stage.token) as somebody:
            await newest(stage, somebody, "MeterValues")
            table = somebody.page.locator(".differences")
            await expect(table).to_contain_text("meterValue.timestamp")
            await expect(table).to_contain_text("2026-01-02T03:04:05Z")
            await expect(somebody.page.locator("pre .mark.changed")).to_have_count(3)


async def test_messages_wait_while_paused_and_are_filtered() -> None:
    async with staged() as stage:
        await stage.greet()
        async with console(stage.browser, stage.base, stage.token) as somebody:
            page = somebody.page
            await somebody.open(PAGES["charge-point"])
            await expect(rows(page)).to_have_count(2)
            await expect(page.locator("#stream")).to_have_text("Live")
            await page.get_by_role("button", name="Pause").click()
            await stage.charge_point.call("Heartbeat", {})
            await expect(page.get_by_role("button", name="Resume (1 new one)")).to_be_visible()
            await expect(rows(page)).to_have_count(2)
            await page.get_by_role("button", name="Resume").click()
            await expect(rows(page)).to_have_count(3)
            await page.get_by_label("Action", exact=True).fill("BootNotification")
            await expect(rows(page)).to_have_count(1)
            await page.get_by_label("Outcome").select_option("error")
            await expect(page.get_by_text("No message fits these filters.")).to_be_visible()


async def test_addresses_are_copied_as_they_are_typed() -> None:
    async with staged() as stage:
        allowed = ["clipboard-read", "clipboard-write"]
        async with console(stage.browser, stage.base, stage.token, permissions=allowed) as somebody:
            page = somebody.page
            await somebody.open("#/addresses")
            await page.get_by_label("Identity of the Charge Point").fill("A/B 1")
            host, port = stage.gateway.websocket_address
            address = f"ws://{host}:{port}/ocpp/A%2FB%201"
            copy = page.get_by_role("button", name=f"Copy address {address}", exact=True)
            await copy.click()
            await expect(copy).to_have_text("Copied")
            assert await page.evaluate("navigator.clipboard.readText()") == address
