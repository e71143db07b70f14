"""Operators sign in at a provider, and use several processes: real processes, sockets, and NATS servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bridge.cluster import stream_forms as form
from bridge.cluster.shared_stream import SharedStream, messages_of
from tests.admin.asked import Events
from tests.e2e.cluster import ClusterNode, cluster_of, until
from tests.e2e.stage import AT_MOST
from tests.e2e.test_workers import Workers
from tests.oidc.provider import CLIENT_ID, Provider
from tests.oidc.visitor import Page, Visitor
from tests.process_states import frozen

# The browsers' address of the console. A proxy there takes any of the processes.
PUBLIC = "http://127.0.0.1:8081"
NOBODY = {"main": {"url": "ws://127.0.0.1:1/"}}


class Browser(Visitor):
    """A browser whose requests the proxy at PUBLIC sends to the process `node`."""

    def __init__(self, http: aiohttp.ClientSession, node: ClusterNode) -> None:
        super().__init__("", http)
        self.at(node)

    def at(self, node: ClusterNode) -> Browser:
        """Send what comes now to another process."""
        self.base = "http://{}:{}".format(*node.admin_address)
        return self

    def another_at(self, node: ClusterNode) -> Browser:
        """Somebody else, with a browser of their own."""
        return Browser(self._http, node)

    async def back(self) -> str:
        """Begin to sign in. Gives the path to which the provider redirects."""
        start = await self.get("/login/start")
        location = (await self.get(start.location)).location
        assert location.startswith(f"{PUBLIC}/login/callback?"), location
        return location.removeprefix(PUBLIC)

    async def signed_in(self, begun: ClusterNode, ended: ClusterNode) -> Page:
        """Sign in. The provider redirects to another process."""
        path = await self.at(begun).back()
        return await self.at(ended).get(path)

    async def signs_out(self) -> int:
        """Sign out, and keep the cookie. Gives the status."""
        kept = dict(self.cookies)
        status = (await self.ask("DELETE", "/api/v1/session", X_CSRF_Token=await self.csrf())).status
        self.cookies = kept
        return status

    async def statuses(self, nodes: Sequence[ClusterNode]) -> list[int]:
        """What each process answers to a request that needs a session."""
        return [await self.at(node).own_status() for node in nodes]

    async def own_status(self) -> int:
        """What one process answers by itself."""
        return (await self.get("/api/v1/session")).status


def table(provider: Provider, **keys: object) -> str:
    """The table of the configuration."""
    told = {"issuer": provider.issuer, "client_id": CLIENT_ID, "public_url": PUBLIC, "operate": ["ocpp-operators"]}
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in (told | keys).items()]
    return "\n".join(["[admin.oidc]", *lines, ""])


@asynccontextmanager
async def stage(folder: Path, lease: float = 10, **keys: object) -> AsyncIterator[tuple[list[ClusterNode], Browser]]:
    """Two processes, and a browser."""
    http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    async with (
        Provider(secret=None) as provider,
        cluster_of(folder, NOBODY, more=table(provider, **keys), lease=lease) as nodes,
        http,
    ):
        yield nodes, Browser(http, nodes[0])


async def ended(events: Events) -> None:
    """Wait for the end of a live stream."""
    with pytest.raises(EOFError):
        await events.next("none has this name")


async def test_who_signs_in_at_one_process_has_signed_in_at_all(tmp_path: Path) -> None:
    async with stage(tmp_path) as (nodes, ann):
        one, other = nodes
        page = await ann.signed_in(one, one)
        assert page.signs_in() and await ann.statuses(nodes) == [200, 200]
        told = [(await ann.at(node).get("/api/v1/session")).data for node in nodes]
        assert told[0]["name"] == "ann@example.com" and told[0]["csrf"] == told[1]["csrf"]
        # Each takes a change, with the token that the other one has told.
        disconnect = "/api/v1/charge-points/CP%201/disconnect"
        for node in nodes:
            assert (await ann.at(node).ask("POST", disconnect, X_CSRF_Token=told[0]["csrf"])).status == 404
            assert (await ann.ask("POST", disconnect, X_CSRF_Token="x" * 43)).status == 403
        # What one has ended, no other accepts any more.
        assert await ann.at(other).signs_out() == 204
        assert await ann.statuses(nodes) == [401, 401]
        # The browser begins at one, and comes back to the other.
        ben = ann.another_at(one)
        assert (await ben.signed_in(one, other)).signs_in()
        assert await ben.statuses(nodes) == [200, 200] and await ann.statuses(nodes) == [401, 401]


async def test_a_sign_in_ends_once_at_whichever_process(tmp_path: Path) -> None:
    async with stage(tmp_path, lease=2.5) as (nodes, ann):
        one, other = nodes
        path = await ann.at(one).back()
        attempt = dict(ann.cookies)
        assert (await ann.at(other).get(path)).signs_in()
        for node in (one, other):
            again = ann.another_at(node)
            again.cookies = dict(attempt)
            page = await again.get(path)
            assert page.status == 403 and "used before" in page.text and not page.signs_in()
        stranger = ann.another_at(other)
        page = await stranger.get(path)
        assert page.status == 403 and "has not begun" in page.text
        # Somebody who names the other process has no key of it.
        (name,) = attempt
        text, seal, maker = attempt[name].split(".")
        for forged in (f"{text}.{'0' * len(seal)}.{maker}", f"{text}.{seal}.{'0' * len(maker)}", f"{text}.{seal}"):
            stranger.cookies = {name: forged}
            page = await stranger.get(path)
            assert page.status == 403 and not page.signs_in(), forged


async def test_a_session_outlives_the_process_that_made_it(tmp_path: Path) -> None:
    async with stage(tmp_path, lease=2.5) as (nodes, ann):
        one, other = nodes
        assert (await ann.signed_in(one, one)).signs_in()
        path = await (begun := ann.another_at(one)).back()
        await one.kill()
        assert await ann.at(other).own_status() == 200
        # What had begun there is lost with it.
        page = await begun.at(other).get(path)
        assert page.status in (403, 503) and "sign in again" in page.text.casefold(), page.text
        await one.start()
        assert await ann.statuses(nodes) == [200, 200]
        assert await ann.at(one).signs_out() == 204
        assert await ann.statuses(nodes) == [401, 401]


async def test_a_live_stream_ends_with_its_session_elsewhere(tmp_path: Path) -> None:
    async with stage(tmp_path, lease=2.5) as (nodes, ann):
        one, other = nodes
        await ann.signed_in(one, one)
        async with ann.at(other).events() as events:
            assert await ann.at(one).signs_out() == 204
            await ended(events)


async def test_without_the_servers_no_session_counts(tmp_path: Path) -> None:
    """Whether it has ended cannot be known. A token is answered."""
    async with stage(tmp_path, lease=2.5) as (nodes, ann):
        one, other = nodes
        await ann.signed_in(one, one)
        assert await ann.statuses(nodes) == [200, 200]
        server = one.nats.process
        assert server is not None
        async with ann.at(other).events() as events:
            with frozen(server.pid):
                assert await ann.at(one).own_status() == 503
                await ended(events)
                assert (await ann.at(one).get("/login/options")).status == 200
                assert (await one.api("GET", "/about")).status == 200

        async def again() -> bool:
            return await ann.statuses(nodes) == [200, 200]

        await until(again)


async def test_a_changed_configuration_ends_the_sessions_of_all(tmp_path: Path) -> None:
    async with stage(tmp_path) as (nodes, ann):
        one = nodes[0]
        await ann.signed_in(one, one)
        assert await ann.statuses(nodes) == [200, 200]
        former = one.more
        for text in (former.replace("[admin.oidc]", "[admin.oidc]\nsession_hours = 9"), former):
            one.more = text
            one.configure(NOBODY)
            await one.reload()
        assert await ann.statuses(nodes) == [401, 401]


async def test_what_is_shared_holds_no_secret(tmp_path: Path) -> None:
    async with stage(tmp_path) as (nodes, ann):
        await ann.signed_in(nodes[0], nodes[0])
        ((_, key),) = ann.cookies.items()
        csrf = await ann.csrf()
        stream = SharedStream([nodes[0].nats.url], "reader")
        await stream.open(AT_MOST)
        try:
            (message,) = messages_of(await stream.next(form.ALL_SESSIONS, 0, 10))
            everything = messages_of(await stream.next("ocppb.>", 0, 10_000))
        finally:
            await stream.close()
        assert b"ann@example.com" in message.body
        octets = b"\n".join(each.subject.encode() + b" " + each.body for each in everything)
        assert key.encode() not in octets and csrf.encode() not in octets


async def test_workers_of_one_listener_share_the_sessions(tmp_path: Path) -> None:
    """Each request has a connection of its own, which any worker accepts."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        Provider(secret=None) as provider,
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        bridge = Workers(tmp_path)
        url = "http://{}:{}".format(*bridge.admin_address)
        bridge.more = table(provider, public_url=url)
        bridge.configure(NOBODY)
        async with bridge:
            for _ in range(10):
                ann = Visitor(url, http)
                page = await ann.sign_in()
                assert page.signs_in(), page.text
                assert [(await ann.get("/api/v1/session")).status for _ in range(5)] == [200] * 5
                kept = dict(ann.cookies)
                assert (await ann.ask("DELETE", "/api/v1/session", X_CSRF_Token=await ann.csrf())).status == 204
                ann.cookies = kept
                assert [(await ann.get("/api/v1/session")).status for _ in range(5)] == [401] * 5
            assert bridge.named("signed in")  # which worker accepts a connection is up to the system
